package allowlist_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/allowlist"
)

func TestCoverageCountsEachPublicAddressOnce(t *testing.T) {
	for _, c := range []struct {
		name, list string
		want       allowlist.Coverage
		text       string
	}{
		{"nobody", "", allowlist.Coverage{}, "0 IPv4 addresses, 0 IPv6 networks of /64, 0 accounts"},
		{"one of each", "192.0.2.7\n2001:db8::7\naccount:a", allowlist.Coverage{IPv4: 1, IPv6: 1, Accounts: 1}, "1 IPv4 address, 1 IPv6 network of /64, 1 account"},
		{"a range within another", "20.0.0.0/8\n20.1.0.0/16\n20.0.0.0/9\n20.255.255.255", allowlist.Coverage{IPv4: 1 << 24}, "16,777,216 IPv4 addresses (0.4532 %), 0 IPv6 networks of /64, 0 accounts"},
		{"a range twice", "192.0.2.0/24\n192.0.2.0/24 until=2020-01-01", allowlist.Coverage{IPv4: 256}, "256 IPv4 addresses, 0 IPv6 networks of /64, 0 accounts"},
		{"ranges beside each other", "192.0.2.0/25\n192.0.2.128/25", allowlist.Coverage{IPv4: 256}, "256 IPv4 addresses, 0 IPv6 networks of /64, 0 accounts"},
		{"private space is nobody's", "10.0.0.0/8\n192.168.1.1\n172.16.0.0/12\n100.64.0.0/10\n127.0.0.0/8\nfc00::/7\nfe80::/10", allowlist.Coverage{}, "0 IPv4 addresses, 0 IPv6 networks of /64, 0 accounts"},
		{"more than private space counts whole", "8.0.0.0/5", allowlist.Coverage{IPv4: 1 << 27}, "134,217,728 IPv4 addresses (3.625 %), 0 IPv6 networks of /64, 0 accounts"},
		{"IPv6 is counted by /64", "2001:db8::/48", allowlist.Coverage{IPv6: 1 << 16}, "0 IPv4 addresses, 65,536 IPv6 networks of /64, 0 accounts"},
		{"what overflows is all", "::/1\n8000::/1", allowlist.Coverage{IPv6: 1<<64 - 1}, "0 IPv4 addresses, 18,446,744,073,709,551,615 IPv6 networks of /64 (100 %), 0 accounts"},
		{"the last IPv4 and the first IPv6 range are apart", "223.0.0.0/8\n::/8", allowlist.Coverage{IPv4: 1 << 24, IPv6: 1 << 56}, "16,777,216 IPv4 addresses (0.4532 %), 72,057,594,037,927,936 IPv6 networks of /64 (3.125 %), 0 accounts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := parse(t, c.list).Coverage()
			if got != c.want || got.String() != c.text {
				t.Errorf("%+v: %s, want %+v: %s", got, got, c.want, c.text)
			}
		})
	}
	err := parse(t, "16.0.0.0/6").Coverage().Check(allowlist.MaxShare)
	if !errors.Is(err, allowlist.ErrTooWide) || !strings.Contains(err.Error(), "1.813 % of all public IPv4") || !strings.Contains(err.Error(), "0.5 %") {
		t.Errorf("err = %v", err)
	}
}

// TestCoverageIsACount holds the sum against counting addresses.
func TestCoverageIsACount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		held := map[byte]bool{}
		for range rapid.IntRange(0, 12).Draw(t, "lines") {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "last")}), rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
			text.WriteString(p.String() + "\n")
			for i := range 256 {
				if p.Contains(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})) {
					held[byte(i)] = true
				}
			}
		}
		l, err := allowlist.Parse(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		if got := l.Coverage().IPv4; got != uint64(len(held)) {
			t.Fatalf("%d addresses, want %d of:\n%s", got, len(held), text.String())
		}
	})
}

func TestReviewNamesWhatDecays(t *testing.T) {
	l := parse(t, `192.0.2.1 owner=a until=2026-11-19 gone
192.0.2.2 owner=a until=2026-11-20 last day
192.0.2.3 owner=a until=2026-11-21 tomorrow
192.0.2.4 owner=a until=2026-12-20 in a month
192.0.2.5 owner=a until=2026-12-21 a day later
192.0.2.6 until=2030-01-01 who
192.0.2.7 owner=a
20.0.0.0/15 owner=a wide
20.2.0.0/16 owner=a fine
2001::/31 owner=a wide
10.0.0.0/8 owner=a private, so fine
account:jane
`)
	var got []string
	for _, f := range l.Review(now, 31*24*time.Hour) {
		got = append(got, f.Subject()+": "+strings.Join(f.Problems, "; "))
	}
	want := []string{
		"192.0.2.1: ended on 2026-11-19: it spares nobody",
		"192.0.2.2: ends on 2026-11-20, today",
		"192.0.2.3: ends on 2026-11-21, in 1 day",
		"192.0.2.4: ends on 2026-12-20, in 30 days",
		"192.0.2.6: no owner",
		"192.0.2.7: no reason",
		"20.0.0.0/15: wide: 131,072 IPv4 addresses",
		"2001::/31: wide: 8,589,934,592 IPv6 networks of /64",
		"account:jane: no owner; no reason",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if found := (allowlist.List{}).Review(now, time.Hour); found != nil {
		t.Errorf("an empty list has %v", found)
	}
}
