//go:build cgo

package detect_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// floodStart is when the flood begins, in the middle of a window.
var floodStart = time.Date(2025, 5, 10, 5, 13, 0, 0, time.UTC)

// visits is an ordinary half hour of a site, and a flood if one is given: how its
// n-th address asks.
func visits(flood func(n int) (address, path string)) []detecttest.Line {
	dice := rand.New(rand.NewPCG(1, 2))
	var lines []detecttest.Line
	visit := func(at time.Time, address, path, referer, agent string) {
		lines = append(lines, detecttest.Line{Time: at, Fields: map[string]string{
			"remote_addr": address, "user": "", "method": "GET", "path": path, "status": "200", "bytes": "1", "referer": referer, "user_agent": agent,
		}})
	}
	chrome := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36"
	begin := floodStart.Add(-15 * time.Minute)
	someone := func(n int) string { return fmt.Sprintf("%d.%d.%d.%d", 60+n%90, n/90%250, n/7%250, 1+n%250) }
	n := 0
	// The front page is popular: 400 visitors in two minutes, whose pictures come from elsewhere.
	for at := begin; at.Before(begin.Add(30 * time.Minute)); at = at.Add(300 * time.Millisecond) {
		n++
		visit(at, someone(n), "/", "", chrome)
		if n%4 == 0 { // some read on
			for i := range 3 {
				visit(at.Add(time.Duration(5*i)*time.Second), someone(n), fmt.Sprintf("/articles/%d", dice.IntN(50)), "https://example.com/", chrome)
			}
		}
	}
	// A newsletter goes out: 1,500 readers in four minutes, each with a link of its own. One in ten looks at nothing else.
	for i := range 1500 {
		at := begin.Add(10*time.Minute + time.Duration(dice.IntN(240))*time.Second)
		n++
		visit(at, someone(n), fmt.Sprintf("/news/may?utm_source=mail&utm_id=%d", i), "https://mail.example.net/", chrome)
		if i%10 != 0 {
			for _, path := range []string{"/assets/news.css", "/assets/news.js", fmt.Sprintf("/shop/%d", dice.IntN(30))} {
				visit(at.Add(2*time.Second), someone(n), path, "https://example.com/news/may", chrome)
			}
		}
	}
	// A crawler takes page after page from its ten addresses.
	for i := range 900 {
		visit(begin.Add(time.Duration(2*i)*time.Second), fmt.Sprintf("66.249.73.%d", 130+i%10), fmt.Sprintf("/archive/%d", i), "", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
	}
	if flood != nil {
		for i := range 10_372 {
			address, path := flood(i)
			visit(floodStart.Add(time.Duration(i)*7*time.Minute/10_372), address, path, "", fmt.Sprintf("Mozilla/5.0 (Windows NT %d.%d; rv:%d.0) Gecko/20100101", 6+i%5, i%4, 40+i%90))
		}
	}
	slices.SortStableFunc(lines, func(a, b detecttest.Line) int { return a.Time.Compare(b.Time) })
	return lines
}

// accessRules are the rules about access logs that accuse somebody.
func accessRules(t *testing.T) []detect.Rule {
	t.Helper()
	return slices.DeleteFunc(detect.ForFormat(shippedRules(t), "combined"), func(r detect.Rule) bool { return r.Class == detect.ClassContext })
}

// found is what the rules find in a span, as "rule: what".
func foundIn(t *testing.T, ask func(query string, from, to time.Time) []map[string]string, rules []detect.Rule, span detect.Span) []string {
	t.Helper()
	var all []string
	for _, rule := range rules {
		in := detect.Outward(span.From, span.To, rule.Window)
		rows := ask(rule.SQL(), in.From.Add(-rule.Reach()), in.To)
		detections, _ := rule.Detections(rows, in)
		for _, d := range detections {
			all = append(all, rule.ID+": "+d.Indicator.String())
		}
		campaigns, _ := rule.Campaigns(rows, in)
		for _, c := range campaigns {
			all = append(all, rule.ID+": "+c.Value)
		}
	}
	return all
}

// The flood that every rule about single addresses lets through: 10,372 addresses in
// seven minutes, each asks once, each with another agent. It is found within two
// windows, and nothing ordinary beside it is.
func TestADistributedFloodIsFoundWithinTwoWindows(t *testing.T) {
	if testing.Short() {
		t.Skip("half an hour of a site, window by window, takes seconds")
	}
	t.Parallel()
	rules := accessRules(t)
	s := laptop(t)
	hosts := func(n int) string { return fmt.Sprintf("45.%d.%d.%d", 10+n%41/8, n%41, 1+n/41%253) } // 41 networks side by side
	homes := func(n int) string { return fmt.Sprintf("%d.%d.%d.%d", 80+n%40, n/40%200, n*7%200, n%250) }
	for name, c := range map[string]struct {
		flood func(n int) (address, path string)
		want  []string // some of what is found in the first two windows
		only  string   // what is found must have it, and nothing of anybody else
	}{
		"nothing but ordinary visitors": {nil, nil, "nothing"},
		"a search for random words from rented machines": {
			func(n int) (string, string) { return hosts(n), fmt.Sprintf("/search?query=%x", n*7919) },
			[]string{"flood-path: /search", "flood-fingerprint: GET /search? without a referer", "flood-network: 45.10.0.0/24"},
			"search|45.1",
		},
		"page after page from homes all over the world": {
			func(n int) (string, string) { return homes(n), fmt.Sprintf("/works/a%x/items", n*7919) },
			[]string{"flood-fingerprint: GET /works without a referer"},
			"/works",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := visits(c.flood)
			logstore := strings.ReplaceAll(name, " ", "-")
			if err := load(t.Context(), s, logstore, lines); err != nil {
				t.Fatal(err)
			}
			ask := func(query string, from, to time.Time) []map[string]string {
				result, err := s.Query(t.Context(), logstore, query, from, to)
				if err != nil {
					t.Fatal(err)
				}
				return result.Rows
			}
			// As scheduled runs ask: window by window, as soon as each is over.
			var early, all []string
			first := detect.AlignDown(floodStart, 2*time.Minute)
			for at := detect.AlignDown(lines[0].Time, 2*time.Minute); at.Before(lines[len(lines)-1].Time); at = at.Add(2 * time.Minute) {
				found := foundIn(t, ask, rules, detect.Span{From: at, To: at.Add(2 * time.Minute)})
				if all = append(all, found...); !at.Before(first) && at.Before(first.Add(4*time.Minute)) {
					early = append(early, found...)
				}
			}
			for _, want := range c.want {
				if !slices.Contains(early, want) {
					t.Errorf("%s is not found in the first two windows", want)
				}
			}
			for _, f := range all {
				if !slices.ContainsFunc(strings.Split(c.only, "|"), func(part string) bool { return strings.Contains(f, part) }) {
					t.Errorf("found, though ordinary: %s", f)
				}
			}
			// A replay, which asks about all of it at once, finds the same.
			whole := foundIn(t, ask, rules, detect.Span{From: lines[0].Time, To: lines[len(lines)-1].Time})
			slices.Sort(all)
			slices.SortFunc(whole, cmp.Compare)
			if all, whole = slices.Compact(all), slices.Compact(whole); !slices.Equal(all, whole) {
				t.Errorf("window by window %q, all at once %q", all, whole)
			}
			t.Logf("%d lines, %d found", len(lines), len(whole))
		})
	}
}

// A rule whose query reads more than its own windows must say so: a scheduled run asks for no more than the rule reaches.
func TestRulesReachAsFarAsTheirQueriesRead(t *testing.T) {
	t.Parallel()
	s := laptop(t)
	for _, rule := range accessRules(t) {
		if rule.Over == 0 && !strings.Contains(rule.Query, "lag(") {
			continue
		}
		for i, test := range rule.Tests {
			if len(test.Want) == 0 {
				continue
			}
			lines := detecttest.Lines(test)
			for _, l := range lines {
				for _, column := range rule.LogColumns() {
					if _, ok := l.Fields[column]; !ok {
						l.Fields[column] = ""
					}
				}
			}
			logstore := fmt.Sprintf("%s-%d", rule.ID, i)
			if err := load(t.Context(), s, logstore, lines); err != nil {
				t.Fatal(err)
			}
			ask := func(query string, from, to time.Time) []map[string]string {
				result, err := s.Query(t.Context(), logstore, query, from, to)
				if err != nil {
					t.Fatal(err)
				}
				return result.Rows
			}
			last := slices.MaxFunc(lines, func(a, b detecttest.Line) int { return a.Time.Compare(b.Time) }).Time
			first := slices.MinFunc(lines, func(a, b detecttest.Line) int { return a.Time.Compare(b.Time) }).Time
			var apart []string
			for at := detect.AlignDown(first, rule.Window); !at.After(last); at = at.Add(rule.Window) {
				apart = append(apart, foundIn(t, ask, []detect.Rule{rule}, detect.Span{From: at, To: at.Add(rule.Window)})...)
			}
			whole := foundIn(t, ask, []detect.Rule{rule}, detect.Span{From: first, To: last.Add(time.Second)})
			slices.Sort(apart)
			slices.Sort(whole)
			if apart, whole = slices.Compact(apart), slices.Compact(whole); !slices.Equal(apart, whole) {
				t.Errorf("%s, %s: window by window %q, all at once %q", rule.ID, test.Name, apart, whole)
			}
		}
	}
}
