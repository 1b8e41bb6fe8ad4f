package story_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
	"github.com/tracewall/tracewall/shared/threat"
)

var end = time.Date(2026, 5, 28, 20, 26, 40, 0, time.UTC)

func tell(t *testing.T, cfg story.Config) *story.Story {
	t.Helper()
	cfg.End = end
	s, err := story.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSameSeedTellsTheSameStory(t *testing.T) {
	var a, b []story.Line
	for l := range tell(t, story.Config{Seed: 7, Lines: 6000}).Lines() {
		a = append(a, l)
	}
	for l := range tell(t, story.Config{Seed: 7, Lines: 6000}).Lines() {
		b = append(b, l)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error(diff)
	}
	for l := range tell(t, story.Config{Seed: 8, Lines: 6000}).Lines() {
		if l == a[0] {
			t.Error("another seed tells the same story")
		}
		break
	}
}

// limitLine takes a line over the limit apart the slow and obvious way.
func limitLine(msg string) (client string, ok bool) {
	_, rest, ok := strings.Cut(msg, `rate limit for true-client-ip": `)
	if !ok {
		if _, rest, ok = strings.Cut(msg, `rate limit for true-client-ip: `); !ok {
			return "", false
		}
	}
	return strings.Fields(rest)[0], true
}

type slot struct {
	unit   threat.Indicator
	window int64
}

// count gives the rate-limit lines of each unit in each window.
func count(s *story.Story) (counts map[slot]int, rejected map[string]int, total int) {
	counts, rejected = map[slot]int{}, map[string]int{}
	for l := range s.Lines() {
		total++
		client, ok := limitLine(l.Msg)
		if !ok {
			continue
		}
		ind, err := threat.ParseLogAddress(client)
		if err != nil {
			rejected[client]++
			continue
		}
		counts[slot{ind.Unit(), l.Time.Unix() / 120}]++
	}
	return counts, rejected, total
}

func TestEveryStoryHasItsCast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.IntRange(story.MinLines, 9_000).Draw(t, "lines")
		s, err := story.New(story.Config{Seed: rapid.Uint64().Draw(t, "seed"), Lines: lines, End: end.Add(time.Duration(rapid.IntRange(0, 500).Draw(t, "shift")) * time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		counts, rejected, total := count(s)
		if total != lines || s.Len() != lines {
			t.Fatalf("lines = %d, Len = %d, want %d", total, s.Len(), lines)
		}
		loudest := map[threat.Indicator]int{}
		for k, n := range counts {
			loudest[k.unit] = max(loudest[k.unit], n)
		}
		c := s.Cast()
		must := func(kind string, addrs []netip.Addr, loud bool) {
			for _, a := range addrs {
				ind, err := threat.Address(a)
				if err != nil {
					t.Fatalf("%s %s: %v", kind, a, err)
				}
				if got := loudest[ind.Unit()]; got > story.Threshold != loud || got == 0 {
					t.Fatalf("%s %s has %d lines in its loudest window", kind, a, got)
				}
				delete(loudest, ind.Unit())
			}
		}
		must("attacker", c.Attackers, true)
		must("scraper", c.Scrapers, true)
		must("spared", c.Spared, true)
		must("innocent", c.Innocent, false)
		for _, f := range c.Forged {
			if !f.Addr.IsValid() {
				if rejected[f.Text] <= story.Threshold {
					t.Fatalf("forgery %s has %d lines", f.Text, rejected[f.Text])
				}
				continue
			}
			must("forgery", []netip.Addr{f.Addr}, true)
		}
		if len(loudest) != 0 {
			t.Fatalf("addresses that belong to nobody: %v", loudest)
		}
	})
}

func TestTheLinesAreInTheOrderOfTimeAndCarryTheirTimeAndTrace(t *testing.T) {
	s := tell(t, story.Config{Lines: 10_000})
	last := end.Add(-30 * time.Minute)
	shapes := map[string]int{}
	for l := range s.Lines() {
		if l.Time.Before(last) || l.Time.After(end) {
			t.Fatalf("line at %s after one at %s", l.Time, last)
		}
		last = l.Time
		stamp, _, _ := strings.Cut(l.Msg, " +0800] ")
		at, err := time.ParseInLocation("[02/Jan/2006:15:04:05", stamp, time.FixedZone("", 8*3600))
		if err != nil || !at.Equal(l.Time) {
			t.Fatalf("line %q has time %s: %v", l.Msg, l.Time, err)
		}
		if l.TraceID != "" && !strings.HasSuffix(l.Msg, l.TraceID) {
			t.Fatalf("line %q has trace id %q", l.Msg, l.TraceID)
		}
		switch {
		case strings.Contains(l.Msg, `"rate limit for true-client-ip": `):
			shapes["request"]++
		case strings.Contains(l.Msg, ` rate limit for true-client-ip: `):
			shapes["gateway"]++
		case strings.Contains(l.Msg, `player.getSMScode Received "uid":`+story.Account+` "trace_id":`):
			shapes["sms"]++
		default:
			shapes["other"]++
		}
	}
	for _, shape := range []string{"request", "gateway", "sms", "other"} {
		if shapes[shape] < 500 {
			t.Errorf("shape %s has %d lines", shape, shapes[shape])
		}
	}
}

func TestTheStandardStoryIsBigEnough(t *testing.T) {
	s := tell(t, story.Config{})
	if s.Len() < 200_000 {
		t.Errorf("lines = %d", s.Len())
	}
	if n := len(s.Cast().Attackers); n != 4112 {
		t.Errorf("attackers = %d", n)
	}
}

func TestABurstIsInOneWindowAndOfNewAddresses(t *testing.T) {
	s := tell(t, story.Config{Lines: 10_000})
	known := map[netip.Addr]bool{}
	for _, a := range s.Cast().Attackers {
		known[a] = true
	}
	at := end.Add(time.Minute)
	b, err := s.Burst(at, 50)
	if err != nil {
		t.Fatal(err)
	}
	counts, _, _ := count(b)
	if len(counts) != 50 || len(b.Cast().Attackers) != 50 {
		t.Errorf("units and windows = %d, attackers = %d", len(counts), len(b.Cast().Attackers))
	}
	for k, n := range counts {
		if n <= story.Threshold || k.window != at.Unix()/120 || known[k.unit.Prefix().Addr()] {
			t.Errorf("%v has %d lines", k, n)
		}
	}
	for l := range b.Lines() {
		if l.Time.After(at) {
			t.Fatalf("line at %s", l.Time)
		}
	}
}

func TestWrongConfigsAreErrors(t *testing.T) {
	for name, cfg := range map[string]story.Config{
		"no end":           {},
		"too few lines":    {End: end, Lines: 10},
		"too many for it":  {End: end, Lines: 5000, Attackers: 5000},
		"too short a time": {End: end, Span: time.Minute},
	} {
		if _, err := story.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkLines(b *testing.B) {
	s, err := story.New(story.Config{Lines: 200_000, End: end})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		n := 0
		for l := range s.Lines() {
			n += len(l.Msg)
		}
		b.SetBytes(int64(n))
	}
}
