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

// BenchmarkStoryRules runs each rule of the story over half an hour of a flood in
// a local Log Service: a quarter of the lines are over the rate limit, an eighth
// are SMS lines of the same traces, the rest is traffic.
func BenchmarkStoryRules(b *testing.B) {
	const lines = 300_000
	s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: "id", AccessKeySecret: "secret", TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fields := []string{"msg", "trace_id"}
	if err := s.CreateLogstore("access", map[string]slstest.FieldType{"msg": slstest.Text, "trace_id": slstest.Text}); err != nil {
		b.Fatal(err)
	}
	n := 0
	_, err = s.Load(b.Context(), "access", fields, func() ([]slstest.Row, error) {
		var rows []slstest.Row
		for ; n < lines && len(rows) < 10_000; n++ {
			trace := fmt.Sprintf("7b3d9f2a-418a-4b4e-9c52-%012x", n/4)
			ip := fmt.Sprintf("198.%d.%d.%d", 20+n/4%16, n/4%250, n/4%7)
			var msg string
			switch n % 8 {
			case 0:
				msg = fmt.Sprintf(`[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36" "rate limit for true-client-ip": %s "trace_id": %s`, ip, trace)
			case 4:
				msg = fmt.Sprintf(`[10/May/2025:13:55:36 +0800] rate limit for true-client-ip: %s trace_id: %s`, ip, trace)
			case 1:
				msg = fmt.Sprintf(`[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":account-%d "trace_id":%s`, n/4%4/3, trace)
			default:
				msg = `[10/May/2025:13:55:36 +0800] "GET /static/app.js HTTP/1.1" 200 43210 "https://www.example.com/" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"`
			}
			rows = append(rows, slstest.Row{Time: storyStart.Unix() + int64(n)*1800/lines, Values: []string{msg, trace}})
		}
		if n == lines {
			return rows, io.EOF
		}
		return rows, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, id := range []string{"rate-limit-address", "sms-account"} {
		b.Run(id, func(b *testing.B) {
			rules, err := detect.Shipped()
			if err != nil {
				b.Fatal(err)
			}
			if rules, err = detect.Select(rules, []string{id}); err != nil {
				b.Fatal(err)
			}
			span := detect.Span{From: storyStart, To: storyStart.Add(30 * time.Minute)}
			var rows, detections int
			for b.Loop() {
				result, err := s.Query(b.Context(), "access", rules[0].SQL(), span.From, span.To)
				if err != nil {
					b.Fatal(err)
				}
				ds, _ := rules[0].Detections(result.Rows, span)
				rows, detections = len(result.Rows), len(ds)
			}
			b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(float64(detections), "detections")
		})
	}
}
