package logfile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
)

// mapped reads a text and returns the mapping without what is not there, and the rows.
func mapped(t *testing.T, text string, f logfile.Format) (map[string]string, []row) {
	t.Helper()
	src, err := logfile.Open("-", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := logfile.NewLines(src, f, now)
	if err != nil {
		t.Fatal(err)
	}
	m := lines.Mapping()
	if len(m) != 12 {
		t.Errorf("mapping of %d names: %v, want each of the twelve", len(m), m)
	}
	for name, field := range m {
		if field == logfile.NoField {
			delete(m, name)
		}
	}
	rows, _, err := read(t, text, f)
	if err != nil {
		t.Fatal(err)
	}
	return m, rows
}

func TestAFormatSaysWhatItsFieldsStandFor(t *testing.T) {
	for f, c := range map[logfile.Format]struct {
		line string
		want map[string]string
	}{
		logfile.Story:    {`[10/May/2025:13:55:36 +0800] x`, map[string]string{"message": "msg", "trace": "trace_id"}},
		logfile.Combined: {`192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2`, map[string]string{"address": "remote_addr", "method": "method", "path": "path", "status": "status", "agent": "user_agent", "referer": "referer", "account": "user", "message": "msg"}},
		logfile.SSHD:     {`Mar 27 13:06:56 h sshd[1]: x`, map[string]string{"address": "remote_addr", "account": "account", "message": "msg"}},
		logfile.ErrorLog: {`2024/01/15 03:42:17 [error] 1#1: x`, map[string]string{"address": "remote_addr", "message": "msg"}},
	} {
		got, rows := mapped(t, c.line, f)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f, diff)
		}
		if len(rows) != 1 {
			t.Errorf("%s: %v", f, rows)
		}
	}
}

func TestJSONKeysAreFoundByNameAndByValue(t *testing.T) {
	for _, tt := range []struct {
		name, lines string
		want        map[string]string
		row         row // some values of the last line
	}{
		{
			"nginx's variables",
			`{"time_iso8601":"2026-05-28T20:26:40+00:00","remote_addr":"192.0.2.7","request_method":"GET","request_uri":"/a?b=1","status":200,"http_user_agent":"curl/8","http_referer":"https://x/","remote_user":"ann","request_id":"r1","http_host":"h","uri":"/a"}`,
			map[string]string{"address": "remote_addr", "method": "request_method", "path": "request_uri", "status": "status", "agent": "http_user_agent", "referer": "http_referer", "account": "remote_user", "trace": "request_id", "host": "http_host", "message": "msg"},
			row{"request_uri": "/a?b=1", "remote_addr": "192.0.2.7"},
		},
		{
			"a request line in one piece",
			`{"time":1780000000,"client":"192.0.2.7","request":"GET /a?b=1 HTTP/1.1","response":404,"agent":"curl/8"}`,
			map[string]string{"address": "remote_addr", "method": "method", "path": "path", "status": "response", "agent": "agent", "message": "msg"},
			row{"method": "GET", "path": "/a?b=1", "request": "GET /a?b=1 HTTP/1.1"},
		},
		{
			"nonsense for a request line",
			`{"time":1780000000,"client":"192.0.2.7","request":"GET /a HTTP/1.1"}` + "\n" + `{"time":1780000001,"client":"192.0.2.7","request":"\u0016\u0003 x"}`,
			map[string]string{"address": "remote_addr", "method": "method", "path": "path", "message": "msg"},
			row{"path": "\x16\x03 x"},
		},
		{
			"a request line beside a method, and a key called path that is something else",
			`{"time":1780000000,"client":"192.0.2.7","request":"GET /a HTTP/1.1","method":"GET","path":"srv"}`,
			map[string]string{"address": "remote_addr", "method": "method", "path": "request_path", "message": "msg"},
			row{"method": "GET", "path": "srv", "request_path": "/a"},
		},
		{
			"words run together",
			`{"timestamp":"2026-05-28T20:26:40Z","clientIp":"192.0.2.7","httpMethod":"POST","path":"/login","statusCode":401,"userAgent":"x","userId":"u1","traceId":"t1","ja4":"j","event":"login_failed"}`,
			map[string]string{"address": "remote_addr", "method": "httpMethod", "path": "path", "status": "statusCode", "agent": "userAgent", "account": "userId", "trace": "traceId", "fingerprint": "ja4", "event": "event", "message": "msg"},
			row{"userId": "u1", "statusCode": "401"},
		},
		{
			"one level down",
			`{"@timestamp":"2026-05-28T20:26:40Z","source":{"ip":"192.0.2.7"},"http":{"request":{"method":"GET"},"status_code":403},"url":{"path":"/a","query":"b=1"},"user":{"id":7},"trace":{"id":"t"},"message":"text"}`,
			map[string]string{"address": "remote_addr", "path": "url.path?url.query", "status": "http.status_code", "account": "user.id", "trace": "trace.id", "message": "message"},
			row{"url.path": "/a", "url.query": "b=1", "http.status_code": "403", "user.id": "7", "message": "text"},
		},
		{
			"a URL for a path, and a status that is none",
			`{"ts":1780000000,"ip":"192.0.2.7","url":"https://h.example/a?b#c","status":"OK","code":502}`,
			map[string]string{"address": "remote_addr", "path": "path", "status": "code", "message": "msg"},
			row{"path": "/a?b#c", "url": "https://h.example/a?b#c"},
		},
		{
			"a path and its query string apart",
			`{"ts":1780000000,"ip":"192.0.2.7","uri":"/a","args":"b=1"}`,
			map[string]string{"address": "remote_addr", "path": "uri?args", "message": "msg"},
			row{"uri": "/a", "args": "b=1"},
		},
		{
			"keys that differ in case only",
			`{"ts":1780000000,"ip":"192.0.2.7","Status":"x","status":200}`,
			map[string]string{"address": "remote_addr", "status": "status", "message": "msg"},
			row{"status": "200"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, rows := mapped(t, tt.lines, logfile.JSONL)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("mapping (-want +got):\n%s", diff)
			}
			last := rows[len(rows)-1]
			for name, want := range tt.row {
				if last[name] != want {
					t.Errorf("%s = %q, want %q", name, last[name], want)
				}
			}
		})
	}
}

func TestWhatRulesAskForIsAmongTheFirstFields(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"ts":1780000000,"ip":"192.0.2.7"`)
	for i := range 60 {
		b.WriteString(`,"a` + strings.Repeat("x", i+1) + `":1`)
	}
	b.WriteString(`,"zz":1,"userAgent":"curl","status":200}`)
	got, rows := mapped(t, b.String(), logfile.JSONL)
	if got["agent"] != "userAgent" || got["status"] != "status" || rows[0]["userAgent"] != "curl" {
		t.Errorf("mapping %v", got)
	}
}
