//go:build cgo

package slstest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	sls "github.com/aliyun/aliyun-log-go-sdk"
)

// wireCall is a request that is signed properly and then spoiled.
type wireCall struct {
	method, uri, body string
	header            map[string]string // set before signing
	host              string
	v4                bool
	spoil             func(*http.Request)
}

func (w wireCall) do(t *testing.T, s *Server) *httptest.ResponseRecorder {
	t.Helper()
	host := w.host
	if host == "" {
		host = "acme.sls.localhost"
	}
	headers := map[string]string{
		"Host": "http://" + host, "x-log-apiversion": "0.6.0", "x-log-bodyrawsize": strconv.Itoa(len(w.body)),
		"Date": time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05") + " GMT",
	}
	for k, v := range w.header {
		headers[k] = v
	}
	var body []byte
	if w.body != "" {
		body = []byte(w.body)
		if headers["Content-Type"] == "" {
			headers["Content-Type"] = "application/json"
		}
	}
	var signer sls.Signer = sls.NewSignerV1("AKIDEXAMPLE", "not-a-secret")
	if w.v4 {
		headers["x-log-date"] = time.Now().UTC().Format("20060102T150405Z")
		signer = sls.NewSignerV4("AKIDEXAMPLE", "not-a-secret", "cn-hangzhou")
	}
	if err := signer.Sign(w.method, w.uri, headers, body); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(w.method, "http://"+host+w.uri, bytes.NewReader(body))
	for k, v := range headers {
		if k != "Host" {
			r.Header.Set(k, v)
		}
	}
	if w.spoil != nil {
		w.spoil(r)
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if rec.Header().Get("x-log-requestid") == "" {
		t.Error("an answer without x-log-requestid")
	}
	return rec
}

func TestRequestsThatAreRefused(t *testing.T) {
	s := newDialectStore(t)
	get := `{"from":1746856000,"to":1746857000,"query":"* | select 1"}`
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	body := func(text string) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		}
	}
	logs := "/logstores/web/logs"
	for _, tt := range []struct {
		name   string
		call   wireCall
		status int
		code   string
	}{
		{"as it should be", wireCall{method: "POST", uri: logs, body: get}, 200, ""},
		{"another body", wireCall{method: "POST", uri: logs, body: get, spoil: body(strings.Replace(get, "select 1", "select 2", 1))}, 400, "PostBodyInvalid"},
		{"as it should be, V4", wireCall{method: "POST", uri: logs, body: get, v4: true}, 200, ""},
		{"another body, V4", wireCall{method: "POST", uri: logs, body: get, v4: true, spoil: body(strings.Replace(get, "select 1", "select 2", 1))}, 401, "SignatureNotMatch"},
		{"another parameter, V4", wireCall{method: "GET", uri: "/logstores/web?type=log&from=1", v4: true, spoil: func(r *http.Request) { r.URL.RawQuery = "type=log&from=2" }}, 401, "SignatureNotMatch"},
		{"another host, V4", wireCall{method: "POST", uri: logs, body: get, v4: true, spoil: func(r *http.Request) { r.Host = "acme.elsewhere" }}, 401, "SignatureNotMatch"},
		{"another path", wireCall{method: "POST", uri: logs, body: get, spoil: func(r *http.Request) { r.URL.Path = "/logstores/other/logs" }}, 401, "SignatureNotMatch"},
		{"another parameter", wireCall{method: "GET", uri: "/logstores/web?type=log&from=1", spoil: func(r *http.Request) { r.URL.RawQuery = "type=log&from=2" }}, 401, "SignatureNotMatch"},
		{"another signed header", wireCall{method: "POST", uri: logs, body: get, spoil: set("x-log-bodyrawsize", "1")}, 401, "SignatureNotMatch"},
		{"another method", wireCall{method: "GET", uri: "/logstores/web", spoil: func(r *http.Request) { r.Method = "DELETE" }}, 401, "SignatureNotMatch"},
		{"no signature", wireCall{method: "POST", uri: logs, body: get, spoil: func(r *http.Request) { r.Header.Del("Authorization") }}, 401, "Unauthorized"},
		{"no key id", wireCall{method: "POST", uri: logs, body: get, spoil: set("Authorization", "LOG :x")}, 401, "MissAccessKeyId"},
		{"a V4 credential cut short", wireCall{method: "POST", uri: logs, body: get, spoil: set("Authorization", "SLS4-HMAC-SHA256 Credential=AKIDEXAMPLE")}, 401, "Unauthorized"},
		{"no date", wireCall{method: "POST", uri: logs, body: get, spoil: func(r *http.Request) { r.Header.Del("Date") }}, 400, "MissingDate"},
		{"no API version", wireCall{method: "POST", uri: logs, body: get, spoil: func(r *http.Request) { r.Header.Del("x-log-apiversion") }}, 400, "MissingAPIVersion"},
		{"an old date, signed", wireCall{method: "POST", uri: logs, body: get, header: map[string]string{"Date": "Mon, 02 Jan 2006 15:04:05 GMT"}}, 400, "RequestTimeTooSkewed"},
		{"a raw size that is wrong", wireCall{method: "POST", uri: logs, body: get, header: map[string]string{"x-log-bodyrawsize": "7"}}, 400, "PostBodyUncompressError"},
		{"a raw size that is huge", wireCall{method: "POST", uri: logs, body: get, header: map[string]string{"x-log-bodyrawsize": "999999999"}}, 400, "PostBodyTooLarge"},
		{"a body that is huge", wireCall{method: "POST", uri: logs, body: strings.Repeat("x", maxBody+1)}, 400, "PostBodyTooLarge"},
		{"a body that is huge and does not say so", wireCall{method: "POST", uri: logs, body: strings.Repeat("x", maxBody+1), header: map[string]string{"x-log-bodyrawsize": "5"}, spoil: func(r *http.Request) { r.ContentLength = -1 }}, 400, "PostBodyTooLarge"},
		{"a packing that is unknown", wireCall{method: "POST", uri: logs, body: get, header: map[string]string{"x-log-compresstype": "gzip"}}, 400, "InvalidCompressType"},
		{"LZ4 that is none", wireCall{method: "POST", uri: logs, body: get, header: map[string]string{"x-log-compresstype": "lz4"}}, 400, "PostBodyUncompressError"},
		{"a query that is no JSON", wireCall{method: "POST", uri: logs, body: "x"}, 400, "PostBodyInvalid"},
		{"no LogGroup", wireCall{method: "POST", uri: "/logstores/web", body: "\xff\xff"}, 400, "PostBodyInvalid"},
		{"a LogGroup of too many logs", wireCall{method: "POST", uri: "/logstores/web", body: strings.Repeat("\x0a\x02\x08\x01", maxGroupLogs+1)}, 400, "PostBodyInvalid"},
		{"101 lines", wireCall{method: "POST", uri: logs, body: `{"from":1,"to":2,"query":"*","line":101}`}, 400, "InvalidLine"},
		{"a negative offset", wireCall{method: "POST", uri: logs, body: `{"from":1,"to":2,"query":"*","offset":-1}`}, 400, "InvalidOffset"},
		{"an offset with SQL", wireCall{method: "POST", uri: logs, body: `{"from":1,"to":2,"query":"*|select 1","offset":1}`}, 400, "ParameterInvalid"},
		{"an empty range", wireCall{method: "POST", uri: logs, body: `{"from":1,"to":1,"query":"*"}`}, 400, "InvalidTimeRange"},
		{"another project", wireCall{method: "POST", uri: logs, body: get, host: "nope.sls.localhost"}, 404, "ProjectNotExist"},
		{"no project", wireCall{method: "POST", uri: logs, body: get, host: "127.0.0.1"}, 404, "ProjectNotExist"},
		{"another logstore", wireCall{method: "POST", uri: "/logstores/nope/logs", body: get}, 404, "LogStoreNotExist"},
		{"another shard", wireCall{method: "GET", uri: "/logstores/web/shards/7?type=cursor&from=begin"}, 404, "ShardNotExist"},
		{"a cursor of nobody", wireCall{method: "GET", uri: "/logstores/web/shards/0?type=logs&count=1&cursor=xxxx"}, 400, "InvalidCursor"},
		{"a cursor past the end", wireCall{method: "GET", uri: "/logstores/web/shards/0?type=logs&count=1&cursor=" + encodeCursor(99)}, 400, "InvalidCursor"},
		{"a count of nothing", wireCall{method: "GET", uri: "/logstores/web/shards/0?type=logs&count=0&cursor=" + encodeCursor(0)}, 400, "ParameterInvalid"},
		{"a time that is none", wireCall{method: "GET", uri: "/logstores/web/shards/0?type=cursor&from=noon"}, 400, "ParameterInvalid"},
		{"a call that is unknown", wireCall{method: "GET", uri: "/dashboards"}, 404, "NotSupported"},
		{"an index with nothing in it", wireCall{method: "PUT", uri: "/logstores/web/index", body: `{}`}, 400, "ParameterInvalid"},
		{"a logstore name with blanks", wireCall{method: "POST", uri: "/logstores", body: `{"logstoreName":"a b"}`}, 400, "LogstoreInfoInvalid"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := tt.call.do(t, s)
			var e struct {
				Code    string `json:"errorCode"`
				Message string `json:"errorMessage"`
			}
			if rec.Code != 200 {
				if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Message == "" {
					t.Errorf("body = %s", rec.Body)
				}
			}
			if rec.Code != tt.status || e.Code != tt.code {
				t.Errorf("%d %s %s, want %d %s", rec.Code, e.Code, e.Message, tt.status, tt.code)
			}
			if strings.Contains(rec.Body.String(), "not-a-secret") {
				t.Error("the secret is in the answer")
			}
		})
	}
}

func TestGetLogsOverGET(t *testing.T) {
	s := newDialectStore(t)
	rec := wireCall{method: "GET", uri: "/logstores/web?type=log&from=1746856000&to=1746857000&query=user%3A%20ann&line=1&offset=1&reverse=true"}.do(t, s)
	var rows []map[string]string
	if err := json.Unmarshal(rec.Body.Bytes(), &rows); err != nil || len(rows) != 1 || rows[0]["ip"] != "1.2.4.8" {
		t.Errorf("%s, %v", rec.Body, err)
	}
	if h := rec.Header(); h.Get("x-log-progress") != "Complete" || h.Get("x-log-count") != "1" {
		t.Errorf("header = %v", h)
	}
}

func TestLiteralBlock(t *testing.T) {
	for _, n := range []int{0, 1, 14, 15, 16, 269, 270, 271, 5000} {
		raw := make([]byte, n)
		for i := range raw {
			raw[i] = byte(i * 7)
		}
		c := call{Request: httptest.NewRequest("POST", "/", nil), body: literalBlock(raw)}
		c.Header.Set("x-log-compresstype", "lz4")
		c.Header.Set("x-log-bodyrawsize", strconv.Itoa(n))
		if out, err := c.unpack(); err != nil || !bytes.Equal(out, raw) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func FuzzLogGroup(f *testing.F) {
	f.Add([]byte{0x0a, 0x02, 0x08, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		records, _, err := decodeLogGroup(b)
		if err == nil && len(records) > len(b) {
			t.Errorf("%d logs from %d bytes", len(records), len(b))
		}
	})
}
