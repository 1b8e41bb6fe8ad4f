//go:build cgo

package detect_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// textLines write the n-th line of a log that rules read as text, as busy as under attack.
var textLines = map[string]func(n int) string{
	"sshd": func(n int) string {
		switch n % 10 {
		case 0, 1, 2:
			return fmt.Sprintf(`Mar 27 13:06:56 ip-10-77-20-248 sshd[%d]: Failed password for root from 198.51.%d.7 port %d ssh2`, n%30000, n/7%250, 1024+n%60000)
		case 3, 4:
			return fmt.Sprintf(`Mar 27 13:06:56 ip-10-77-20-248 sshd[%d]: Invalid user u%d from 198.51.%d.8 port %d`, n%30000, n%97, n/7%250, 1024+n%60000)
		case 5:
			return fmt.Sprintf(`Mar 27 13:06:56 ip-10-77-20-248 sshd[%d]: Connection closed by authenticating user root 198.51.%d.9 port %d [preauth]`, n%30000, n/7%250, 1024+n%60000)
		case 6:
			return fmt.Sprintf(`Mar 27 13:06:56 ip-10-77-20-248 sshd[%d]: Accepted publickey for u%d from 203.0.113.%d port %d ssh2: RSA SHA256:aC2UQe4piBfaFwr2ne0PItnl9AcHqZOYrWjDmqpOzvE`, n%30000, n%9, n%50, 1024+n%60000)
		default:
			return fmt.Sprintf(`Mar 27 13:06:56 ip-10-77-20-248 CRON[%d]: pam_unix(cron:session): session opened for user root by (uid=0)`, n%30000)
		}
	},
	"errorlog": func(n int) string {
		switch n % 4 {
		case 0:
			return fmt.Sprintf(`2024/01/15 03:42:17 [error] 1#1: *%d limiting requests, excess: 5.000 by zone "api_limit", client: 198.51.%d.7, server: _, request: "POST /v1/checkout HTTP/1.1", host: "x"`, n, n/7%250)
		case 1:
			return fmt.Sprintf(`2024/01/15 03:42:17 [error] 1#1: *%d open() "/srv/www/a%d.php" failed (2: No such file or directory), client: 198.51.%d.8, server: _, request: "GET /a.php HTTP/1.1", host: "x"`, n, n, n/7%250)
		case 2:
			return fmt.Sprintf(`[Fri Sep 09 10:42:29.902022 2022] [auth_basic:error] [pid 35708:tid 4328636416] [client 198.51.%d.9:51234] AH01617: user admin%d: authentication failure for "/admin/": Password Mismatch`, n/7%250, n%9)
		default:
			return fmt.Sprintf(`2024/01/15 03:42:17 [error] 1#1: *%d upstream timed out (110: Connection timed out) while reading response header from upstream, client: 203.0.113.%d, server: _, request: "GET / HTTP/1.1", upstream: "http://10.0.0.1/"`, n, n%250)
		}
	},
	"story": func(n int) string {
		trace := fmt.Sprintf("7b3d9f2a-418a-4b4e-9c52-%012x", n/4)
		switch n % 8 {
		case 0:
			return fmt.Sprintf(`[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (X11; Linux x86_64)" "rate limit for true-client-ip": 198.51.%d.7 "trace_id": %s`, n/7%250, trace)
		case 4:
			return fmt.Sprintf(`[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (X11; Linux x86_64)" "true-client-ip": 198.51.%d.8 "trace_id": %s`, n/7%250, trace)
		case 1:
			return fmt.Sprintf(`[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":account-%d "trace_id":%s`, n/4%999, trace)
		default:
			return `[10/May/2025:13:55:36 +0800] "GET /static/app.js HTTP/1.1" 200 43210 "https://www.example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"`
		}
	},
}

// BenchmarkTextRules runs each rule that reads a log as text over half an hour of it.
func BenchmarkTextRules(b *testing.B) {
	const lines = 300_000
	shipped, err := detect.Shipped()
	if err != nil {
		b.Fatal(err)
	}
	for _, format := range []string{"sshd", "errorlog", "story"} {
		s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: "id", AccessKeySecret: "secret", Threads: 2, TempDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		fields := []string{"msg", "trace_id"}
		if err := s.CreateLogstore("text", map[string]slstest.FieldType{"msg": slstest.Text, "trace_id": slstest.Text}); err != nil {
			b.Fatal(err)
		}
		n := 0
		if _, err = s.Load(b.Context(), "text", fields, func() ([]slstest.Row, error) {
			var rows []slstest.Row
			for ; n < lines && len(rows) < 10_000; n++ {
				rows = append(rows, slstest.Row{Time: storyStart.Unix() + int64(n)*1800/lines, Values: []string{textLines[format](n), fmt.Sprintf("7b3d9f2a-418a-4b4e-9c52-%012x", n/4)}})
			}
			if n == lines {
				return rows, io.EOF
			}
			return rows, nil
		}); err != nil {
			b.Fatal(err)
		}
		for _, rule := range detect.ForFormat(shipped, format) {
			b.Run(rule.ID, func(b *testing.B) {
				span := detect.Outward(storyStart, storyStart.Add(30*time.Minute), rule.Window)
				rows, found := 0, 0
				for b.Loop() {
					result, err := s.Query(b.Context(), "text", rule.SQL(), span.From, span.To)
					if err != nil {
						b.Fatal(err)
					}
					ds, _ := rule.Detections(result.Rows, span)
					rows, found = len(result.Rows), len(ds)
				}
				b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/lines*1e6, "ms/Mlines")
				b.ReportMetric(float64(rows), "rows")
				b.ReportMetric(float64(found), "detections")
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
