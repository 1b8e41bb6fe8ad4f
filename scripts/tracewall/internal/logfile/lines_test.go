package logfile_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// row is one parsed line with the names of its values; empty values are left out.
type row map[string]string

// read reads a text in a format, "auto" included.
func read(t *testing.T, text string, f logfile.Format) ([]row, logfile.Stats, error) {
	t.Helper()
	src, err := logfile.Open("-", strings.NewReader(text))
	if err != nil {
		return nil, logfile.Stats{}, err
	}
	return readSource(t, src, f)
}

// readSource does what the loader does, one line after the other.
func readSource(t *testing.T, src *logfile.Source, f logfile.Format) ([]row, logfile.Stats, error) {
	t.Helper()
	t.Cleanup(func() { src.Close() })
	if f == logfile.Auto {
		var err error
		if f, err = src.Sniff(); err != nil {
			return nil, logfile.Stats{}, err
		}
	}
	l, err := logfile.NewLines(src, f, now)
	if err != nil {
		return nil, logfile.Stats{}, err
	}
	text, err := io.ReadAll(l.Text())
	if err != nil {
		return nil, l.Stats(), err
	}
	var rows []row
	var last int64
	for line := range bytes.Lines(text) {
		values := make([][]byte, len(l.Fields()))
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		unix, ok := l.Parse(line, values)
		if !ok {
			continue
		}
		if unix == 0 {
			unix = last
		}
		last = unix
		got := row{"time": time.Unix(unix, 0).UTC().Format(time.RFC3339)}
		for j, name := range l.Fields() {
			if values[j] != nil {
				got[name] = string(values[j])
			}
		}
		rows = append(rows, got)
	}
	return rows, l.Stats(), nil
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format logfile.Format
		line   string
		want   row // without msg, which is always the whole line
	}{
		{
			"a request over the limit", logfile.Story, `[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (...)" "rate limit for true-client-ip": 139.135.241.87 "trace_id": 7b3d9f2a-418a-4b4e-9c52-a60c1f3e8b45`,
			row{"time": "2025-05-10T05:55:36Z", "trace_id": "7b3d9f2a-418a-4b4e-9c52-a60c1f3e8b45"},
		},
		{
			"an SMS code", logfile.Story, `[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":nbNgQ01wRWiOSVcI2Y/hUw== "trace_id":7b3d9f2a-418a-4b4e-9c52-a60c1f3e8b45`,
			row{"time": "2025-05-10T04:55:31Z", "trace_id": "7b3d9f2a-418a-4b4e-9c52-a60c1f3e8b45"},
		},
		{
			"a trace id without quotes", logfile.Story, `[10/May/2025:12:55:31 -0330] rate limit for true-client-ip: 139.135.241.87 trace_id: abc`,
			row{"time": "2025-05-10T16:25:31Z", "trace_id": "abc"},
		},
		{
			"the last trace id is the service's own", logfile.Story, `[10/May/2025:12:55:31 +0800] "x \"trace_id\": forged" "trace_id": "real"`,
			row{"time": "2025-05-10T04:55:31Z", "trace_id": "real"},
		},
		{
			"underscores that begin no trace id", logfile.Story, `[10/May/2025:12:55:31 +0800] trace_id:a_b _ trace_ id_x`,
			row{"time": "2025-05-10T04:55:31Z", "trace_id": "a_b"},
		},
		{
			"an access line", logfile.Combined, `83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a%20b?x=\"1\" HTTP/1.1" 200 203023 "http://semicomplete.com/" "Mozilla/5.0 \"quoted\""`,
			row{"time": "2015-05-17T10:05:03Z", "remote_addr": "83.149.9.216", "method": "GET", "path": `/a%20b?x=\"1\"`, "status": "200", "bytes": "203023", "referer": "http://semicomplete.com/", "user_agent": `Mozilla/5.0 \"quoted\"`},
		},
		{
			"the common format and a user with blanks and brackets", logfile.Combined, `2001:db8::7 - J. [ops] Doe [17/May/2015:10:05:03 +0000] "POST /login" 401 -`,
			row{"time": "2015-05-17T10:05:03Z", "remote_addr": "2001:db8::7", "user": "J. [ops] Doe", "method": "POST", "path": "/login", "status": "401"},
		},
		{
			"a request that is none", logfile.Combined, `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "\x16\x03\x01 a" 400 226 "-" "-"`,
			row{"time": "2015-05-17T10:05:03Z", "remote_addr": "192.0.2.7", "path": `\x16\x03\x01 a`, "status": "400", "bytes": "226"},
		},
		{
			"a failed password", logfile.SSHD, `Mar 27 13:06:56 ip-10-77-20-248 sshd[1291]: Failed password for invalid user x from 192.0.2.9 port 1 from 198.51.100.7 port 22 ssh2`,
			row{"time": "2026-03-27T13:06:56Z", "remote_addr": "198.51.100.7", "account": "x from 192.0.2.9 port 1", "program": "sshd"},
		},
		{
			"PAM", logfile.SSHD, `Nov 30 03:06:56 h sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=198.51.100.7  user=root rhost=192.0.2.9`,
			row{"time": "2025-11-30T03:06:56Z", "remote_addr": "198.51.100.7", "account": "root", "program": "sshd"},
		},
		{
			"a time with a year", logfile.SSHD, `2026-05-28T22:26:40.123456+02:00 h sshd[1]: Received disconnect from 85.245.107.41: 11: disconnected by user`,
			row{"time": "2026-05-28T20:26:40Z", "remote_addr": "85.245.107.41", "program": "sshd"},
		},
		{
			"IPv6", logfile.SSHD, `Nov  1 03:06:56 h sshd[1]: Accepted publickey for ubuntu from 2001:db8:: port 54259 ssh2: RSA SHA256:K`,
			row{"time": "2026-11-01T03:06:56Z", "remote_addr": "2001:db8::", "account": "ubuntu", "program": "sshd"},
		},
		{
			"nobody's line", logfile.SSHD, `Nov  1 03:06:56 h systemd-logind[1118]: New seat seat0.`,
			row{"time": "2026-11-01T03:06:56Z", "program": "systemd-logind"},
		},
		{
			"JSON with a text time", logfile.JSONL, `{"time":"2026-05-28T20:26:40.5Z","client_ip":"192.0.2.7","status":200,"ok":true,"path":"/a","deep":{"x":1},"Odd Key":"v"}`,
			row{"time": "2026-05-28T20:26:40Z", "remote_addr": "192.0.2.7", "client_ip": "192.0.2.7", "status": "200", "ok": "true", "path": "/a", "deep.x": "1"},
		},
		{
			"JSON with milliseconds", logfile.JSONL, `{"ts":1780000000123,"ip":"192.0.2.7"}`,
			row{"time": "2026-05-28T20:26:40Z", "remote_addr": "192.0.2.7", "ip": "192.0.2.7"},
		},
		{
			"JSON with seconds and a fraction", logfile.JSONL, `{"ts":1780000000.9,"src_ip":"192.0.2.7"}`,
			row{"time": "2026-05-28T20:26:40Z", "remote_addr": "192.0.2.7", "src_ip": "192.0.2.7"},
		},
		{
			"JSON with an address one level down", logfile.JSONL, `{"@timestamp":"1780000000","source":{"ip":"192.0.2.7"}}`,
			row{"time": "2026-05-28T20:26:40Z", "remote_addr": "192.0.2.7", "source.ip": "192.0.2.7"},
		},
		{
			"nginx's error log", logfile.ErrorLog, `2024/01/15 03:42:17 [error] 1234#1234: *98231 limiting requests, excess: 5.000 by zone "api_limit", client: 203.0.113.47, server: api.example.com, request: "POST /v1/checkout HTTP/1.1", host: "api.example.com"`,
			row{"time": "2024-01-15T03:42:17Z", "remote_addr": "203.0.113.47", "level": "error"},
		},
		{
			"nginx about a path that names a client", logfile.ErrorLog, `2024/01/15 03:42:17 [error] 1#1: *1 open() "/srv/x, client: 192.0.2.9" failed (2: No such file or directory), client: 203.0.113.47, server: _, request: "GET /x,%20client:%20192.0.2.9 HTTP/1.1"`,
			row{"time": "2024-01-15T03:42:17Z", "level": "error"},
		},
		{
			"nginx about nobody", logfile.ErrorLog, `2024/01/15 03:42:17 [notice] 1#1: signal process started`,
			row{"time": "2024-01-15T03:42:17Z", "level": "notice"},
		},
		{
			"Apache 2.4", logfile.ErrorLog, `[Fri Sep 09 10:42:29.902022 2022] [authz_core:error] [pid 35708:tid 4328636416] [client 203.0.113.47:54321] AH01630: client denied by server configuration: /srv/[client 192.0.2.9:1]`,
			row{"time": "2022-09-09T10:42:29Z", "remote_addr": "203.0.113.47", "level": "error"},
		},
		{
			"Apache 2.2", logfile.ErrorLog, `[Fri Jul  1 16:03:06 2016] [error] [client 203.0.113.47] File does not exist: /srv/x`,
			row{"time": "2016-07-01T16:03:06Z", "remote_addr": "203.0.113.47", "level": "error"},
		},
		{
			"Apache and IPv6", logfile.ErrorLog, `[Fri Sep 09 10:42:29 2022] [core:info] [pid 1] (36)File name too long: [client 2001:db8::7:54321] AH00127: Cannot map GET`,
			row{"time": "2022-09-09T10:42:29Z", "remote_addr": "2001:db8::7", "level": "info"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want["msg"] = tt.line
			for _, f := range []logfile.Format{tt.format, logfile.Auto} {
				rows, _, err := read(t, tt.line+"\r\n", f)
				if err != nil {
					t.Fatalf("as %s: %v", f, err)
				}
				if diff := cmp.Diff([]row{tt.want}, rows); diff != "" {
					t.Errorf("as %s (-want +got):\n%s", f, diff)
				}
			}
		})
	}
}

func TestALineWithoutATimeTakesThePreviousOnes(t *testing.T) {
	rows, stats, err := read(t, "at com.example.First\n[10/May/2025:12:55:31 +0800] a\nat com.example.Main\n\n[10/May/2025:12:55:33 +0800] b", logfile.Story)
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{"time": "2025-05-10T04:55:31Z", "msg": "[10/May/2025:12:55:31 +0800] a"},
		{"time": "2025-05-10T04:55:31Z", "msg": "at com.example.Main"},
		{"time": "2025-05-10T04:55:33Z", "msg": "[10/May/2025:12:55:33 +0800] b"},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	wantStats := logfile.Stats{Refused: 1, Samples: []logfile.Sample{{Text: "at com.example.First", Why: "no time in it and none before it"}}}
	if diff := cmp.Diff(wantStats, stats); diff != "" {
		t.Error(diff)
	}
}

func TestTheYearOfAnAuthLogIsTheLastThatFits(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, lines, first, last string }{
		{"this year", "Nov 20 00:00:00 h sshd: x\nNov 21 11:00:00 h sshd: x", "2026-11-20", "2026-11-21"},
		{"not in the future", "Nov 21 11:00:00 h sshd: x\nNov 22 00:00:00 h sshd: x", "2025-11-21", "2025-11-22"},
		{"over New Year's Eve", "Dec 31 23:59:59 h sshd: x\nJan  1 00:00:00 h sshd: x", "2025-12-31", "2026-01-01"},
		{"over New Year's Eve and nearly a year", "Dec 31 23:59:59 h sshd: x\nJan  1 00:00:00 h sshd: x\nJun 1 00:00:00 h sshd: x\nNov 30 00:00:00 h sshd: x", "2024-12-31", "2025-11-30"},
		{"a day that few years have", "Feb 29 10:00:00 h sshd: x\nMar  1 00:00:00 h sshd: x", "2024-02-29", "2024-03-01"},
		{"a line out of order", "Dec 31 23:59:58 h sshd: x\nJan  1 00:00:00 h sshd: x\nDec 31 23:59:59 h sshd: x\nJan  1 00:00:01 h sshd: x", "2025-12-31", "2026-01-01"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "auth.log")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(tt.lines, "Jun 1 ", "Jun  1 ")), 0o600); err != nil {
				t.Fatal(err)
			}
			src, err := logfile.Open(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			rows, _, err := readSource(t, src, logfile.SSHD)
			if err != nil {
				t.Fatal(err)
			}
			first, last := rows[0]["time"][:10], rows[0]["time"][:10]
			for _, r := range rows {
				first, last = min(first, r["time"][:10]), max(last, r["time"][:10])
			}
			if first != tt.first || last != tt.last {
				t.Errorf("from %s to %s, want %s to %s", first, last, tt.first, tt.last)
			}
		})
	}
}

func TestWhatCannotBeReadSaysWhy(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	whole := gzipped(t, strings.Repeat("[10/May/2025:12:55:31 +0800] some text to compress\n", 50_000))
	for _, tt := range []struct {
		name, file, want string
		format           logfile.Format
	}{
		{"missing", filepath.Join(dir, "none"), "no such file", logfile.Auto},
		{"directory", dir, "is a directory", logfile.Auto},
		{"empty", write("empty", nil), "no lines in it", logfile.Auto},
		{"blank", write("blank", []byte("\n \n")), "no lines in it", logfile.Auto},
		{"binary", write("binary", []byte("\x7fELF\x00\x01")), "not a text file", logfile.Auto},
		{"gzip of nothing", write("nothing.gz", gzipped(t, "")), "no lines in it", logfile.Auto},
		{"gzip cut short", write("short.gz", whole[:len(whole)/2]), "gzip data ends in the middle", logfile.Story},
		{"not gzip after all", write("bad.gz", []byte("\x1f\x8bxx")), "gzip", logfile.Auto},
		{"no format", write("prose", []byte("Call me Ishmael.\n")), "none of the first 1 lines", logfile.Auto},
		{"two formats", write("two", []byte("[10/May/2025:12:55:31 +0800] a\n{\"ts\":1,\"ip\":\"192.0.2.7\"}\n")), "ambiguous: of the first 2 lines 1 like story, 0 like combined, 0 like sshd, 1 like jsonl, 0 like errorlog; say which with --format", logfile.Auto},
		{"another format", write("other", []byte("\nCall me\n")), `no line of its first 1 fits the format; the first: not of this format: "Call me"`, logfile.SSHD},
		{"no time anywhere", write("timeless", []byte("Call me\n")), `no line of its first 1 fits the format; the first: no time in it and none before it: "Call me"`, logfile.Story},
		{"an auth.log of two years", write("long", []byte("Mar  1 00:00:00 h sshd: x\nDec 31 00:00:00 h sshd: x\nJan  1 00:00:00 h sshd: x\nApr  1 00:00:00 h sshd: x\n")), "split it by year", logfile.SSHD},
		{"a file from the future", write("future", []byte("[10/May/2035:12:55:31 +0800] a\n")), "its time lies in the future", logfile.Story},
	} {
		t.Run(tt.name, func(t *testing.T) {
			src, err := logfile.Open(tt.file, nil)
			if err == nil {
				_, _, err = readSource(t, src, tt.format)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestGzipIsToldByItsFirstBytes(t *testing.T) {
	rows, _, err := read(t, string(gzipped(t, "[10/May/2025:12:55:31 +0800] a\n")), logfile.Auto)
	if err != nil || len(rows) != 1 {
		t.Errorf("rows = %v, %v", rows, err)
	}
}

func TestRefusedLinesAreCountedAndAFewKept(t *testing.T) {
	text := `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2` + "\n" + strings.Repeat(strings.Repeat("é", 100)+"\n", 9) +
		`192.0.2.7 - - [17/May/2035:10:05:03 +0000] "GET / HTTP/1.1" 200 2`
	rows, stats, err := read(t, text, logfile.Combined)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || stats.Refused != 10 || stats.Future != 1 || len(stats.Samples) != 5 {
		t.Errorf("rows = %d, stats = %+v", len(rows), stats)
	}
	if want := strings.Repeat("é", 60) + "…"; stats.Samples[0].Text != want {
		t.Errorf("sample = %q", stats.Samples[0].Text)
	}
}

func TestAStoryIsReadBackAsItWasWritten(t *testing.T) {
	s, err := story.New(story.Config{Lines: 20_000, End: now})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var want []row
	for l := range s.Lines() {
		text.WriteString(l.Msg + "\n")
		r := row{"time": l.Time.Format(time.RFC3339), "msg": l.Msg}
		if l.TraceID != "" {
			r["trace_id"] = l.TraceID
		}
		want = append(want, r)
	}
	rows, _, err := read(t, text.String(), logfile.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzEveryFormat(f *testing.F) {
	f.Add("[10/May/2025:13:55:36 +0800] \"trace_id\": x\n")
	f.Add(`83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2 "-" "x"`)
	f.Add("Mar 27 13:06:56 h sshd[1]: Failed password for a from 192.0.2.1 port 1")
	f.Add(`{"ts":1780000000,"ip":"192.0.2.7"}`)
	f.Add(`2024/01/15 03:42:17 [error] 1#1: *1 limiting requests, client: 203.0.113.47, server: _`)
	f.Add(`[Fri Sep 09 10:42:29.902022 2022] [core:error] [pid 3:tid 4] [client [2001:db8::7]:1] AH`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, format := range []logfile.Format{logfile.Story, logfile.Combined, logfile.SSHD, logfile.JSONL, logfile.ErrorLog, logfile.Auto} {
			rows, stats, err := read(t, text, format)
			if err == nil && len(rows) == 0 {
				t.Errorf("%s: no rows and no error, stats %+v", format, stats)
			}
			for _, r := range rows {
				if r["time"] < "1970" || r["time"] > "2026-11-21T12:05:00Z" {
					t.Errorf("%s: %v", format, r)
				}
			}
		}
	})
}

func BenchmarkStory(b *testing.B) {
	s, err := story.New(story.Config{Lines: 200_000, End: now})
	if err != nil {
		b.Fatal(err)
	}
	var text strings.Builder
	for l := range s.Lines() {
		text.WriteString(l.Msg + "\n")
	}
	raw := []byte(text.String())
	for b.Loop() {
		src, err := logfile.Open("-", strings.NewReader(text.String()))
		if err != nil {
			b.Fatal(err)
		}
		l, err := logfile.NewLines(src, logfile.Story, now)
		if err != nil {
			b.Fatal(err)
		}
		values := make([][]byte, 2)
		for line := range bytes.Lines(raw) {
			l.Parse(line[:len(line)-1], values)
		}
	}
	b.SetBytes(int64(text.Len()))
	b.ReportMetric(float64(s.Len())*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
