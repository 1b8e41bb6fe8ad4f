package enforce

import (
	"net/netip"
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

func TestMarginIsTenSecondsOrATenth(t *testing.T) {
	for timeout, want := range map[time.Duration]time.Duration{
		15 * time.Minute: 10 * time.Second, 100 * time.Second: 10 * time.Second, 20 * time.Second: 2 * time.Second,
	} {
		if got := margin(timeout); got != want {
			t.Errorf("margin(%s) = %s, want %s", timeout, got, want)
		}
	}
}

func TestMakeDesiredSparesByOverlapInBothDirections(t *testing.T) {
	allow, err := allowlist.Parse(strings.NewReader("203.0.113.7 owner=office\n2001:db8:1::/48\n"))
	if err != nil {
		t.Fatal(err)
	}
	later := today.Add(time.Minute)
	got := makeDesired(blocklist.Snapshot{Entries: []blocklist.Entry{
		entry("ip:203.0.113.0/24", later), entry("ip:2001:db8:1:2::/64", later), entry("ip:2001:db8:2::/64", later), entry("ip:203.0.114.0/24", later),
	}}, allow, today)
	var wants []netip.Prefix
	for _, w := range got.Wants {
		wants = append(wants, w.Prefix)
	}
	want := []netip.Prefix{netip.MustParsePrefix("203.0.114.0/24"), netip.MustParsePrefix("2001:db8:2::/64")}
	if diff := cmp.Diff(want, wants, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" || got.spared != 2 {
		t.Errorf("spared %d, want 2; wants (-want +got):\n%s", got.spared, diff)
	}
}
