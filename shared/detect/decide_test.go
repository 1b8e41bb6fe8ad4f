package detect_test

import (
	"context"
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

// checker is an allowlist of one kind.
type checker func(threat.Indicator) (string, bool)

func (c checker) Covers(ind threat.Indicator, _ time.Time) (string, bool) { return c(ind) }

// judge runs Judge over detections, with nothing known of anybody unless change says so.
func judge(t *testing.T, g detect.Gathered, change func(*detect.Runner, *store)) (detect.Verdicts, error) {
	t.Helper()
	s := &store{}
	r := &detect.Runner{List: s, Allowlist: func(context.Context) (detect.Checker, error) { return checker(nobody), nil }, Clock: func() time.Time { return at(wall) }}
	if change != nil {
		change(r, s)
	}
	return r.Judge(t.Context(), g, at(wall))
}

// words writes verdicts down to compare them.
func words(v detect.Verdicts) []string {
	var all []string
	for _, part := range []struct {
		verdict string
		js      []detect.Judgement
	}{{"block", v.Block}, {"challenge", v.Challenge}, {"observe", v.Observe}, {"spare", v.Spared}, {"hold", v.Held}} {
		for _, j := range part.js {
			var accounts []string
			for _, d := range j.Detections {
				accounts = append(accounts, d.Accounts...)
			}
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %v %s", part.verdict, j.Indicator.Key(), accounts, j.Spared)))
		}
	}
	return all
}

func TestJudgeSortsIndicators(t *testing.T) {
	address := func(s string, a threat.Action) threat.Detection {
		return threat.Detection{Rule: "r", Class: "flood", Indicator: ip(t, s), Action: a, Term: time.Hour}
	}
	behind := func(name string, addresses ...string) threat.Detection {
		d := threat.Detection{Rule: "a", Class: "flood", Indicator: account(t, name), Action: threat.Block, Addresses: len(addresses)}
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
		allow func(threat.Indicator) (string, bool)
		brake int
		want  []string
	}{
		"a rule's action decides when nothing else is known": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Observe), address("192.0.2.3", threat.Challenge)},
			nobody, 0,
			[]string{"block ip:192.0.2.1 []", "challenge ip:192.0.2.3 []", "observe ip:192.0.2.2 []"},
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
			[]string{"block ip:192.0.2.1 [abe zoe]", "block ip:2001:db8::/64 [zoe]", "block account:abe []", "block account:zoe []"},
		},
		"at the brake all are blocked": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Block)},
			nobody, 2,
			[]string{"block ip:192.0.2.1 []", "block ip:192.0.2.2 []"},
		},
		"beyond the brake nobody is, and nobody is challenged": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.2", threat.Challenge), address("192.0.2.3", threat.Observe)},
			nobody, 1,
			[]string{"observe ip:192.0.2.3 []", "hold ip:192.0.2.1 []", "hold ip:192.0.2.2 []"},
		},
		"the brake counts indicators, and neither the spared nor the observed": {
			[]threat.Detection{address("192.0.2.1", threat.Block), address("192.0.2.1", threat.Block), address("192.0.2.7", threat.Block), address("192.0.2.3", threat.Observe)},
			office, 1,
			[]string{"block ip:192.0.2.1 []", "observe ip:192.0.2.3 []", "spare ip:192.0.2.7 [] allowlisted: office"},
		},
		"nothing": {nil, nobody, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := judge(t, detect.Gathered{Detections: c.in}, func(r *detect.Runner, _ *store) {
				r.Allowlist = func(context.Context) (detect.Checker, error) { return checker(c.allow), nil }
				r.Policy.Brake.MaxNew = c.brake
			})
			if diff := cmp.Diff(c.want, words(v)); diff != "" {
				t.Error(diff)
			}
			if held := errors.Is(err, detect.ErrHeld); held != (len(v.Held) > 0) {
				t.Errorf("err = %v with %d held", err, len(v.Held))
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
	r, _, s := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) {
		return []map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1746852600", "first", "1746852603", "last", "1746852690", "country", "CN")}, nil
	})
	r.Rules = r.Rules[:1]
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	want := []blocklist.Offence{{
		Entry: blocklist.Entry{
			Indicator: ip(t, "192.0.2.7"), Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"addresses"}, Score: 80, Tags: []string{"flood"},
			Reason: "21 requests over the rate limit in 1 window of 2m, last 04:51 UTC", Count: 21, FirstSeen: at(1746852603), LastSeen: at(1746852690), Countries: []string{"CN"},
		},
		At: at(1746852720), Term: 72 * time.Hour,
	}}
	if diff := cmp.Diff(want, s.batches[0].Offences, cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
