package sls_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/gogo/protobuf/proto"
	"github.com/pierrec/lz4/v4"

	"github.com/tracewall/tracewall/shared/sls"
)

const (
	keyID  = "LTAItestkeyid"
	secret = "very-secret-key"
	token  = "very-secret-token"
	query  = "* | select ip from log limit 10"
)

// service answers requests in memory, one scripted answer after the other; the
// last one is repeated. It records what it was asked.
type service struct {
	mu      sync.Mutex
	answers []answer
	seen    []seen
}

type answer struct {
	status int
	code   string // the API's error code
	text   string // the error's message, or the whole body when code is "" and status is not 200
	meta   map[string]any
	rows   []map[string]string
	cut    bool // the connection breaks
	header http.Header
}

type seen struct {
	host, path, authorization string
	header                    http.Header
	body                      []byte
	at                        time.Time
}

func rows(n int) []map[string]string {
	all := make([]map[string]string, n)
	for i := range all {
		all[i] = map[string]string{"ip": "192.0.2." + strconv.Itoa(i)}
	}
	return all
}

func complete(n int) answer {
	return answer{status: 200, rows: rows(n), meta: map[string]any{"progress": "Complete", "count": n}}
}

func incomplete(n int) answer {
	return answer{status: 200, rows: rows(n), meta: map[string]any{"progress": "Incomplete", "count": n}}
}

// RoundTrip implements http.RoundTripper.
func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.answers[min(len(s.seen), len(s.answers)-1)]
	s.seen = append(s.seen, seen{r.URL.Host, r.URL.Path, r.Header.Get("Authorization"), r.Header, body, time.Now()})
	if a.cut {
		return nil, io.ErrUnexpectedEOF
	}
	w := httptest.NewRecorder()
	a.write(w)
	return w.Result(), nil
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("X-Log-Requestid", "REQ1")
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.status != 200 {
		w.WriteHeader(a.status)
		if a.code == "" {
			_, _ = io.WriteString(w, a.text)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"errorCode": a.code, "errorMessage": a.text})
		return
	}
	if a.text != "" {
		_, _ = io.WriteString(w, a.text)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"meta": a.meta, "data": a.rows})
}

func (s *service) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func fixed(context.Context) (sls.Credentials, error) {
	return sls.Credentials{AccessKeyID: keyID, AccessKeySecret: secret, SecurityToken: token}, nil
}

func client(t *testing.T, s http.RoundTripper, change ...func(*sls.Config)) *sls.Client {
	t.Helper()
	c := sls.Config{
		Endpoint: "cn-hangzhou.log.aliyuncs.com", Project: "story", Region: "cn-hangzhou",
		Credentials: fixed, HTTPClient: &http.Client{Transport: s},
	}
	for _, f := range change {
		f(&c)
	}
	got, err := sls.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

var (
	from = time.Unix(1746852840, 0)
	to   = from.Add(2 * time.Minute)
)

// readGroup undoes what Put sends.
func readGroup(t *testing.T, r seen) *sdk.LogGroup {
	t.Helper()
	size, err := strconv.Atoi(r.header.Get("X-Log-Bodyrawsize"))
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, size)
	if _, err := lz4.UncompressBlock(r.body, raw); err != nil {
		t.Fatal(err)
	}
	group := &sdk.LogGroup{}
	if err := proto.Unmarshal(raw, group); err != nil {
		t.Fatal(err)
	}
	return group
}
