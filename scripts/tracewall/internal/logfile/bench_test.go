package logfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
)

// busy are lines of a busy server: several a second, no two the same.
func busy(format logfile.Format) []string {
	lines := make([]string, 2000)
	for i := range lines {
		switch format {
		case logfile.Combined:
			lines[i] = fmt.Sprintf(`83.149.%d.%d - - [17/May/2015:10:%02d:%02d +0000] "GET /presentations/logstash-monitorama-2013/images/%d.png?a=b HTTP/1.1" 200 %d "http://semicomplete.com/presentations/" "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36"`,
				i%200, i%7, i/600%60, i/10%60, i, 1000+i)
		case logfile.SSHD:
			lines[i] = fmt.Sprintf(`Mar 27 13:%02d:%02d ip-10-77-20-248 sshd[%d]: Failed password for invalid user admin%d from 198.51.%d.7 port %d ssh2`, i/600%60, i/10%60, i, i%9, i%200, 1024+i)
		case logfile.ErrorLog:
			lines[i] = fmt.Sprintf(`2024/01/15 03:%02d:%02d [error] 1234#1234: *%d limiting requests, excess: 5.000 by zone "api_limit", client: 203.0.113.%d, server: api.example.com, request: "POST /v1/checkout HTTP/1.1", host: "api.example.com"`, i/600%60, i/10%60, i, i%250)
		case logfile.JSONL:
			lines[i] = fmt.Sprintf(`{"time":"2026-05-28T20:%02d:%02dZ","remote_addr":"203.0.113.%d","request":"GET /a/%d HTTP/1.1","status":200,"http_user_agent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36","http":{"host":"h.example"},"ms":%d.5}`, i/600%60, i/10%60, i%250, i, i)
		default:
			lines[i] = fmt.Sprintf(`[10/May/2025:13:%02d:%02d +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (...)" "rate limit for true-client-ip": 139.135.241.%d "trace_id": 7b3d9f2a-418a-4b4e-9c52-%012x`, i/600%60, i/10%60, i%250, i)
		}
	}
	return lines
}

var formats = []logfile.Format{logfile.Story, logfile.Combined, logfile.SSHD, logfile.ErrorLog, logfile.JSONL}

func opened(t testing.TB, format logfile.Format) (*logfile.Lines, [][]byte) {
	t.Helper()
	text := busy(format)
	src, err := logfile.Open("-", strings.NewReader(strings.Join(text, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	l, err := logfile.NewLines(src, format, now)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([][]byte, len(text))
	for i, s := range text {
		lines[i] = []byte(s)
	}
	return l, lines
}

// A time stamp that is new is remembered: one line in ten here.
func TestReadingALineCostsNoMemory(t *testing.T) {
	if raced {
		t.Skip("the race detector makes pools forget")
	}
	for _, format := range formats {
		l, lines := opened(t, format)
		values := make([][]byte, len(l.Fields()))
		perPass := testing.AllocsPerRun(5, func() {
			for _, line := range lines {
				clear(values)
				if _, ok := l.Parse(line, values); !ok {
					t.Fatalf("%s: %s", format, line)
				}
			}
		})
		if perLine := perPass / float64(len(lines)); perLine > 0.11 {
			t.Errorf("%s: %.2f allocations a line", format, perLine)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, format := range formats {
		b.Run(string(format), func(b *testing.B) {
			l, lines := opened(b, format)
			values := make([][]byte, len(l.Fields()))
			n := 0
			for b.Loop() {
				clear(values)
				l.Parse(lines[n%len(lines)], values)
				n++
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
