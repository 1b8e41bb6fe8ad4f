//go:build cgo

package detect_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/webattack"
	"github.com/tracewall/tracewall/shared/webattack/webattacktest"
)

// maxLost is which part of what the program would find the rules' SQL may pass over.
const maxLost = 0.02

// The SQL of the rules about content only narrows down: what the program would find,
// SQL lets through. Each attack comes from an address of its own.
func TestSQLPassesOverHardlyAnythingThatTheProgramWouldFind(t *testing.T) {
	t.Parallel()
	on := bothClouds(t)
	samples := webattacktest.CRS(t)
	var attacks []webattack.Request
	for _, s := range samples {
		if s.Attack {
			attacks = append(attacks, s.Request)
		}
	}
	attacks = append(attacks, webattacktest.KnownHoles()...)
	for _, id := range []string{"web-attack-address", "exploit-probe-address"} {
		rule := shippedRule(t, id)
		rule.Threshold = 0
		var lines []detecttest.Line
		want := map[string]webattack.Request{}
		for n, r := range attacks {
			seen := r
			if len(rule.Content.Columns) < 3 {
				seen.Referer = ""
			} else if strings.HasPrefix(r.Referer, "http") {
				seen.Referer = "" // a browser may have sent it
			}
			address := fmt.Sprintf("203.%d.%d.7", 1+n/250, n%250)
			lines = append(lines, detecttest.Line{Time: storyStart, Fields: map[string]string{"remote_addr": address, "path": r.Path, "user_agent": r.Agent, "referer": r.Referer}})
			if slices.ContainsFunc(webattack.Inspect(seen), func(f webattack.Finding) bool { return slices.Contains(rule.Content.Classes, f.Class) }) {
				want[address] = r
			}
		}
		in := detect.Span{From: storyStart, To: storyStart.Add(2 * time.Minute)}
		found, _ := on.both(t, rule, lines, in)
		for _, d := range found {
			address := strings.TrimSuffix(d.Indicator.String(), "/32")
			if _, ok := want[address]; !ok {
				t.Errorf("%s: %s is found and was not to be", id, address)
			}
			delete(want, address)
		}
		all := len(found) + len(want)
		t.Logf("%s: SQL passes over %d of %d", id, len(want), all)
		for _, r := range want {
			t.Logf("passed over: %q", r)
		}
		if all < 40 || float64(len(want)) > maxLost*float64(all) {
			t.Errorf("%s: SQL passes over %d of %d, want at most %.0f %%", id, len(want), all, 100*maxLost)
		}
	}
}

// BenchmarkContentRules runs the rules that read what stands in requests over half an
// hour of an access log, of which one line in two hundred is an attack and one in
// thirty looks odd, in a local Log Service. What the program does with the rows is in it.
func BenchmarkContentRules(b *testing.B) {
	const lines = 300_000
	s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: "id", AccessKeySecret: "secret", TempDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fields := []string{"remote_addr", "path", "user_agent", "referer"}
	index := map[string]slstest.FieldType{}
	for _, name := range fields {
		index[name] = slstest.Text
	}
	if err := s.CreateLogstore("access", index); err != nil {
		b.Fatal(err)
	}
	agents := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
	}
	request := func(n int) string {
		switch {
		case n%200 == 7:
			return fmt.Sprintf("/item?id=%d%%27%%20UNION%%20SELECT%%201,2--%%20-", n)
		case n%30 == 3:
			return fmt.Sprintf("/people?name=O%%27Reilly&page=%d", n%50)
		case n%3 == 0:
			return fmt.Sprintf("/static/js/chunk-%d.4f9c2e.js?v=1.%d", n%400, n%9)
		case n%3 == 1:
			return fmt.Sprintf("/products/%d/reviews?page=%d&sort=newest&lang=en", n%5000, n%7)
		}
		return fmt.Sprintf("/api/v1/cart/items?session=0f9ac71c2e5b4d1f%06d&_=17000%d", n, n)
	}
	n := 0
	_, err = s.Load(b.Context(), "access", fields, func() ([]slstest.Row, error) {
		var rows []slstest.Row
		for ; n < lines && len(rows) < 10_000; n++ {
			rows = append(rows, slstest.Row{Time: storyStart.Unix() + int64(n)*1800/lines, Values: []string{
				fmt.Sprintf("198.%d.%d.%d", 20+n%2, n/7%250, n%250), request(n), agents[n%len(agents)], "https://shop.example.com/products/" + fmt.Sprint(n%100),
			}})
		}
		if n == lines {
			return rows, io.EOF
		}
		return rows, nil
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, id := range []string{"exploit-probe-address", "requests-address", "web-attack-address"} {
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
