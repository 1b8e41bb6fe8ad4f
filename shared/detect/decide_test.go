package detect_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

func ip(t testing.TB, s string) threat.Indicator {
	t.Helper()
	ind, err := threat.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

func account(t testing.TB, s string) threat.Indicator {
	t.Helper()
	ind, err := threat.Account(s)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

func nobody(threat.Indicator) (string, bool) { return "", false }

// words writes verdicts down to compare them.
func words(v detect.Verdicts) []string {
	var all []string
	add := func(verdict string, d threat.Detection, more string) {
		all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %v%s", verdict, d.Indicator.Key(), d.Accounts, more)))
	}
	for _, d := range v.Block {
		add("block", d, "")
	}
	for _, d := range v.Observe {
		add("observe", d, "")
	}
	for _, s := range v.Spared {
		add("spare", s.Detection, " "+s.Reason)
	}
	for _, d := range v.Held {
		add("hold", d, "")
	}
	return all
}

func TestDecide(t *testing.T) {
	address := func(s string, a threat.Action) threat.Detection {
		return threat.Detection{Rule: "r", Indicator: ip(t, s), Action: a}
	}
	behind := func(name string, addresses ...string) threat.Detection {
		d := threat.Detection{Rule: "a", Indicator: account(t, name), Action: threat.Block, Addresses: len(addresses)}
		for _, s := range addresses {
			d.Evidence = append(d.Evidence, ip(t, s))
		}
		return d
	}
	office := func(ind threat.Indicator) (string, bool) {
		return "allowlisted: office", ind.Key() == "ip:192.0.2.7" || ind.Key() == "account:loadtest"
	}
	for name, c := range map[string]struct {
		in    []threat.Detection
		allow detect.Allow
		brake int
		want  []string
	}{
		"a rule's action decides": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Observe), address("192.0.2.3", threat.Challenge)},
			nobody, 0,
			[]string{"block ip:192.0.2.1 []", "observe ip:192.0.2.2 []", "observe ip:192.0.2.3 []"},
		},
		"the allowlist spares addresses and accounts, with its reason": {
			[]threat.Detection{address("192.0.2.7", threat.Block), behind("loadtest"), address("192.0.2.8", threat.Block)},
			office, 0,
			[]string{"block ip:192.0.2.8 []", "spare ip:192.0.2.7 [] allowlisted: office", "spare account:loadtest [] allowlisted: office"},
		},
		"the allowlist comes before observe": {
			[]threat.Detection{address("192.0.2.7", threat.Observe)},
			office, 0,
			[]string{"spare ip:192.0.2.7 [] allowlisted: office"},
		},
		"an address gets the accounts whose evidence lists it, and nothing else does": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("2001:db8::/64", threat.Block), behind("zoe", "192.0.2.1", "2001:db8::/64", "192.0.2.99"), behind("abe", "192.0.2.1")},
			nobody, 0,
			[]string{"block ip:192.0.2.1 [abe zoe]", "block ip:2001:db8::/64 [zoe]", "block account:zoe []", "block account:abe []"},
		},
		"at the brake all are blocked": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Block)},
			nobody, 2,
			[]string{"block ip:192.0.2.1 []", "block ip:192.0.2.2 []"},
		},
		"beyond the brake nobody is": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Block), address("192.0.2.3", threat.Observe)},
			nobody, 1,
			[]string{"observe ip:192.0.2.3 []", "hold ip:192.0.2.1 []", "hold ip:192.0.2.2 []"},
		},
		"the brake counts indicators, and neither the spared nor the observed": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.1", threat.Block), address("192.0.2.7", threat.Block), address("192.0.2.3", threat.Observe)},
			office, 1,
			[]string{"block ip:192.0.2.1 []", "block ip:192.0.2.1 []", "observe ip:192.0.2.3 []", "spare ip:192.0.2.7 [] allowlisted: office"},
		},
		"nothing": {nil, nobody, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := detect.Decide(c.in, c.allow, detect.Brake{MaxNew: c.brake})
			if diff := cmp.Diff(c.want, words(v)); diff != "" {
				t.Error(diff)
			}
			if held := errors.Is(v.Err(), detect.ErrHeld); held != (len(v.Held) > 0) {
				t.Errorf("err = %v with %d held", v.Err(), len(v.Held))
			}
		})
	}
}

func TestReasonsArePeoplesAndMaskAccounts(t *testing.T) {
	d := threat.Detection{Indicator: ip(t, "192.0.2.1"), Count: 412, Windows: 2, LastSeen: time.Date(2025, 5, 10, 13, 58, 3, 0, time.UTC)}
	rule := addressRule()
	for _, c := range []struct {
		change func(*threat.Detection)
		want   string
	}{
		{func(*threat.Detection) {}, "412 requests over the rate limit in 2 windows of 2m, last 13:58 UTC"},
		{func(d *threat.Detection) { d.Accounts = []string{"nbNgQ01wRWiOSVcI2Y/hUw=="} }, "412 requests over the rate limit in 2 windows of 2m, last 13:58 UTC; account nbN…(24)"},
		{func(d *threat.Detection) { d.Accounts = []string{"secretary", "b", "c"} }, "412 requests over the rate limit in 2 windows of 2m, last 13:58 UTC; accounts sec…(9) and 2 more"},
		{func(d *threat.Detection) { d.Windows, d.Addresses = 1, 4112 }, "412 requests over the rate limit in 1 window of 2m, last 13:58 UTC; from 4112 addresses"},
	} {
		d := d
		c.change(&d)
		if got := rule.Reason(d); got != c.want {
			t.Errorf("reason = %q\nwant     %q", got, c.want)
		}
	}
	rule.Counted = strings.Repeat("很", 60)
	if got := rule.Reason(d); len(got) > 200 {
		t.Errorf("reason has %d bytes", len(got))
	}
}

func TestAnOffencesTermCountsFromTheLastWindow(t *testing.T) {
	rule := addressRule()
	ds, _ := rule.Detections([]map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1200", "first", "1203", "last", "1290", "country", "CN")}, whole)
	want := blocklist.Offence{
		Entry: blocklist.Entry{
			Indicator: ip(t, "192.0.2.7"), Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"addresses"},
			Reason: "21 requests over the rate limit in 1 window of 2m, last 00:21 UTC", Count: 21, FirstSeen: at(1203), LastSeen: at(1290), Countries: []string{"CN"},
		},
		At: at(1320), Term: 72 * time.Hour,
	}
	if diff := cmp.Diff(want, rule.Offence(ds[0]), cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
