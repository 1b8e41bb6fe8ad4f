//go:build cgo

package detect_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// combinedFields are the fields of a line of the combined format, but for the line itself.
var combinedFields = []string{"remote_addr", "user", "method", "path", "status", "bytes", "referer", "user_agent"}

var combinedPattern = regexp.MustCompile(`^(\S+) \S+ (\S+) \[([^\]]+)\] "(?:([A-Z]+) )?([^"]*?)(?: HTTP/[\d.]+)?" (\d{3}) (\S+) "([^"]*)" "(.*)"$`)

// combinedLine reads a line of an access log as the program's own parser does.
func combinedLine(line string) (detecttest.Line, bool) {
	m := combinedPattern.FindStringSubmatch(line)
	if m == nil {
		return detecttest.Line{}, false
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[3])
	fields := map[string]string{}
	for i, name := range combinedFields {
		if value := append(m[1:3:3], m[4:]...)[i]; value != "-" {
			fields[name] = value
		} else {
			fields[name] = ""
		}
	}
	return detecttest.Line{Time: at, Fields: fields}, err == nil
}

// What all rules together find in four days of a real site's log. A reader agrees with each.
func TestWhatIsFoundInARealAccessLog(t *testing.T) {
	t.Parallel()
	lines := realLines(t, "apache_access.log", combinedLine)
	got := detectionsIn(t, accessRules(t), lines)
	// HEAD /blog/…/fckeditor/editor/fckeditor.html and the like, in four folders, without a user agent, all 404.
	want := []string{"sensitive-paths-address: 91.236.75.25 block 4"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

// Proven crawlers stay so far below the thresholds that a fifth of them would not find any: Bing came to 39 requests in a window.
func TestNoVerifiedCrawlerIsFoundInARealAccessLog(t *testing.T) {
	t.Parallel()
	crawlers := realRanges(t, "crawlers_and_clouds.txt")
	lines := realLines(t, "apache_access.log", combinedLine)
	rules := accessRules(t)
	for i := range rules {
		rules[i].Threshold /= 5
	}
	googlebot := netip.MustParseAddr("66.249.73.135")
	seen := map[netip.Addr]bool{}
	for _, l := range lines {
		if addr, err := netip.ParseAddr(l.Fields["remote_addr"]); err == nil && (addr == googlebot || crawlers.Contains(addr)) {
			seen[addr] = true
		}
	}
	if !seen[googlebot] || len(seen) < 10 {
		t.Fatalf("%d crawlers in the log: want Googlebot and more", len(seen))
	}
	found := detectionsIn(t, rules, lines)
	for addr := range seen {
		for _, f := range found {
			if strings.Contains(f, " "+addr.String()+" ") {
				t.Errorf("a crawler is found: %s", f)
			}
		}
	}
	t.Logf("%d crawlers in the log; at a fifth of the thresholds %d detections, none of them", len(seen), len(found))
}

// detectionsIn is what rules find in lines, as "rule: whom action count", in order.
func detectionsIn(t *testing.T, rules []detect.Rule, lines []detecttest.Line) []string {
	t.Helper()
	s := laptop(t)
	if err := load(t.Context(), s, "real", lines); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, rule := range rules {
		span := detect.Outward(lines[0].Time, lines[len(lines)-1].Time.Add(time.Second), rule.Window)
		result, err := s.Query(t.Context(), "real", rule.SQL(), span.From.Add(-rule.Reach()), span.To)
		if err != nil {
			t.Fatal(err)
		}
		detections, rejected := rule.Detections(result.Rows, span)
		for _, d := range detections {
			all = append(all, fmt.Sprintf("%s: %s %s %d", rule.ID, d.Indicator, d.Action, d.Count))
		}
		for _, r := range rejected {
			all = append(all, fmt.Sprintf("%s: rejected %s", rule.ID, r.Value))
		}
		campaigns, _ := rule.Campaigns(result.Rows, span)
		for _, c := range campaigns {
			all = append(all, fmt.Sprintf("%s: %s %s %d", rule.ID, c.Value, c.Action, c.Clients))
		}
	}
	return all
}

// realRanges reads the published ranges of crawlers and clouds, one a line with its owner.
func realRanges(t *testing.T, name string) *netipx.IPSet {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", name))
	if err != nil {
		t.Skipf("%s is not on this machine", name)
	}
	var b netipx.IPSetBuilder
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 0 {
			if p, err := netip.ParsePrefix(fields[0]); err == nil {
				b.AddPrefix(p)
			}
		}
	}
	set, err := b.IPSet()
	if err != nil {
		t.Fatal(err)
	}
	return set
}
