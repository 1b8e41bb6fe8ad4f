package enforce

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

var today = time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)

func entry(key string, until time.Time) blocklist.Entry {
	ind, err := threat.ParseKey(key)
	if err != nil {
		panic(err)
	}
	return blocklist.Entry{Indicator: ind, ExpiresAt: until}
}

func makeDesired(list blocklist.Snapshot, allow allowlist.List, now time.Time) *desired {
	d := newDesired(allow, now)
	d.take(list.Entries, now)
	d.close(blocklist.Version{Epoch: list.Epoch, Generation: list.Generation})
	return d
}

func TestMarginIsTenSecondsOrATenth(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		15 * time.Minute: 10 * time.Second, 100 * time.Second: 10 * time.Second, 20 * time.Second: 2 * time.Second,
	} {
		if got := margin(timeout); got != want {
			t.Errorf("margin(%s) = %s, want %s", timeout, got, want)
		}
	}
}

func TestMakeDesiredTakesOutTheAllowlistInBothDirections(t *testing.T) {
	allow, err := allowlist.Parse(strings.NewReader("203.0.113.7 owner=office\n2001:db8:1::/48\n2001:db8:3:4::7\n20.0.7.7\n203.0.114.0/24 until=2026-05-27\naccount:x\n"))
	if err != nil {
		t.Fatal(err)
	}
	later := today.Add(time.Minute)
	got := makeDesired(blocklist.Snapshot{Entries: []blocklist.Entry{
		entry("ip:203.0.113.0/29", later), entry("ip:2001:db8:1:2::/64", later), entry("ip:2001:db8:2::/64", later), entry("ip:2001:db8:3:4::/63", later),
		entry("ip:20.0.0.0/15", later), entry("ip:203.0.114.0/24", later), entry("ip:203.0.113.2", later), entry("account:x", later), entry("ip:20.1.1.1", today),
	}}, allow, today)
	var wants []string
	for _, w := range got.goal(Wall{}).Wants {
		wants = append(wants, w.Prefix.String())
	}
	want := []string{
		"20.0.0.0/15", // refused whole: its pieces must not get in
		"203.0.113.0/30", "203.0.113.2/32", "203.0.113.4/31", "203.0.113.6/32", "203.0.114.0/24", "2001:db8:2::/64", "2001:db8:3:5::/64",
	}
	if diff := cmp.Diff(want, wants); diff != "" || got.blocks.spared != 1 {
		t.Errorf("spared %d, want 1; wants (-want +got):\n%s", got.blocks.spared, diff)
	}
}
