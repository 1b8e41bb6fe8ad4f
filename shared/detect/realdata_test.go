//go:build cgo

package detect_test

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/threat"
)

// realLines reads a real log that lies beside the repository on the developers'
// machines; the test skips where it does not.
func realLines(t *testing.T, name string, parse func(line string) (detecttest.Line, bool)) []detecttest.Line {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name))
	if err != nil {
		t.Skipf("the real log %s is not on this machine", name)
	}
	defer f.Close()
	var lines []detecttest.Line
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if l, ok := parse(scanner.Text()); ok {
			lines = append(lines, l)
		}
	}
	if err := scanner.Err(); err != nil || len(lines) == 0 {
		t.Fatal(len(lines), err)
	}
	return lines
}

// verdicts runs a rule over all of the lines, as one run would.
func verdicts(t *testing.T, rule detect.Rule, lines []detecttest.Line) detect.Verdicts {
	t.Helper()
	first, last := lines[0].Time, lines[0].Time
	for _, l := range lines {
		if l.Time.Before(first) {
			first = l.Time
		}
		if l.Time.After(last) {
			last = l.Time
		}
	}
	span := detect.Outward(first, last.Add(time.Second), rule.Window)
	rows, err := service(laptop(t))(t.Context(), lines, rule.SQL(), span.From, span.To)
	if err != nil {
		t.Fatal(err)
	}
	ds, _ := rule.Detections(rows, span)
	return detect.Decide(ds, nobody, detect.Brake{})
}

func TestNobodyIsBlockedOverAnOrdinaryAccessLog(t *testing.T) {
	combined := regexp.MustCompile(`^(\S+) \S+ \S+ \[([^\]]+)\] "([^"]*)"`)
	lines := realLines(t, "apache_access.log", func(line string) (detecttest.Line, bool) {
		m := combined.FindStringSubmatch(line)
		if m == nil {
			return detecttest.Line{}, false
		}
		at, err := time.Parse("02/Jan/2006:15:04:05 -0700", m[2])
		return detecttest.Line{Time: at, Fields: map[string]string{"remote_addr": m[1], "request": m[3]}}, err == nil
	})
	rule := shippedRule(t, "requests-address")
	if v := verdicts(t, rule, lines); len(v.Block) > 0 {
		t.Errorf("%d addresses would be blocked, first %s", len(v.Block), v.Block[0].Indicator)
	}
	// Googlebot stays far below even a tenth of the threshold.
	rule.Threshold /= 10
	googlebot, _ := threat.ParseAddress("66.249.73.135")
	for _, d := range verdicts(t, rule, lines).Block {
		if d.Indicator == googlebot {
			t.Errorf("Googlebot has %d requests in %d windows above %d", d.Count, d.Windows, rule.Threshold)
		}
	}
}

func TestSSHLinesAreOnlyObserved(t *testing.T) {
	from := regexp.MustCompile(`^(\w{3} +\d+ \d\d:\d\d:\d\d) \S+ sshd\[\d+\]: .* from (\d+\.\d+\.\d+\.\d+)`)
	lines := realLines(t, "auth.log", func(line string) (detecttest.Line, bool) {
		m := from.FindStringSubmatch(line)
		if m == nil {
			return detecttest.Line{}, false
		}
		at, err := time.Parse("2006 Jan _2 15:04:05", "2017 "+m[1])
		return detecttest.Line{Time: at, Fields: map[string]string{"remote_addr": m[2], "msg": line}}, err == nil
	})
	v := verdicts(t, shippedRule(t, "ssh-address"), lines)
	if len(v.Block) > 0 || len(v.Observe) == 0 {
		t.Errorf("%d blocked and %d observed, want none and some", len(v.Block), len(v.Observe))
	}
	t.Logf("%d lines, %d addresses observed", len(lines), len(v.Observe))
}
