//go:build cgo

package detect_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// BenchmarkAccessRules asks each rule about a million lines of an access log, all
// of them in one query: the real log a hundred times over, each time with other
// addresses and a little later. Milliseconds are for the million lines, on two threads.
func BenchmarkAccessRules(b *testing.B) {
	s, span, loaded := manyAccessLines(b, 100)
	rules, err := detect.Shipped()
	if err != nil {
		b.Fatal(err)
	}
	for _, rule := range detect.ForFormat(rules, "combined") {
		b.Run(rule.ID, func(b *testing.B) {
			span := detect.Outward(span.From, span.To, rule.Window)
			var found, rows int
			for b.Loop() {
				result, err := s.Query(b.Context(), "access", rule.SQL(), span.From, span.To)
				if err != nil {
					b.Fatal(err)
				}
				detections, _ := rule.Detections(result.Rows, span)
				campaigns, _ := rule.Campaigns(result.Rows, span)
				rows, found = len(result.Rows), len(detections)+len(campaigns)
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N)/float64(loaded)*1e6, "ms/Mlines")
			b.ReportMetric(float64(rows), "rows")
			b.ReportMetric(float64(found), "found")
		})
	}
}

// manyAccessLines loads the real access log so many times over.
func manyAccessLines(b *testing.B, copies int) (*slstest.Server, detect.Span, int64) {
	lines := realLines(b, "apache_access.log", combinedLine)
	s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: "id", AccessKeySecret: "secret", Threads: 2, TempDir: b.TempDir(), Unsafe: detecttest.Unsafe})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	index := map[string]slstest.FieldType{}
	for _, name := range combinedFields {
		index[name] = slstest.Text
	}
	if err := s.CreateLogstore("access", index); err != nil {
		b.Fatal(err)
	}
	at := 0
	loaded, err := s.Load(b.Context(), "access", combinedFields, func() ([]slstest.Row, error) {
		// Nearly in the order of time, as logs are: every line in all its copies, a second apart.
		var block []slstest.Row
		for ; at < len(lines) && len(block) < 100_000; at++ {
			for n := range copies {
				row := slstest.Row{Time: lines[at].Time.Unix() + int64(n)}
				for _, name := range combinedFields {
					row.Values = append(row.Values, lines[at].Fields[name])
				}
				row.Values[0] = moved(row.Values[0], n)
				block = append(block, row)
			}
		}
		if at == len(lines) {
			return block, io.EOF
		}
		return block, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s, detect.Span{From: lines[0].Time, To: lines[len(lines)-1].Time.Add(time.Duration(copies) * time.Second)}, loaded
}

// moved is the address of a copy: of another network, and the same in all of its lines.
func moved(address string, n int) string {
	first, rest, _ := strings.Cut(address, ".")
	var a int
	if _, err := fmt.Sscan(first, &a); err != nil || n == 0 {
		return address
	}
	return fmt.Sprintf("%d.%s", 1+(a+n)%190, rest)
}
