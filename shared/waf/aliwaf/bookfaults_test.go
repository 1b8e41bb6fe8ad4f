package aliwaf_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestACutAtAnyCallOpensNoGap breaks the connection at each call in turn, before the change and after it, for
// good: nothing that was blocked and is wanted is released, the next run converges and nothing foreign has changed.
func TestACutAtAnyCallOpensNoGap(t *testing.T) {
	for _, objects := range [][]string{nil, {shopObject}} {
		for _, after := range []bool{false, true} {
			for _, code := range []string{"", "ServiceUnavailable", "Throttling.User"} {
				if code == "Throttling.User" && after {
					continue // a throttled call is never made
				}
				t.Run(fmt.Sprintf("%d objects, after %t, %s", len(objects), after, code), func(t *testing.T) {
					cutEverywhere(t, objects, waftest.Fault{Code: code, Drop: code == "", AfterChange: after})
				})
			}
		}
	}
}

func cutEverywhere(t *testing.T, objects []string, fault waftest.Fault) {
	t.Helper()
	for n := 0; ; n++ {
		c := newCloud(t, waftest.AlibabaOptions{})
		c.target.Objects = objects
		foreign := c.Foreign()
		reached := false
		before := []netip.Prefix{}
		for generation, list := range [][]netip.Prefix{hosts(0, 25), hosts(5, 28), hosts(5, 3)} {
			c.Forget()
			c.FailCall(n, -1, fault)
			r := &runner{c: c}
			_, err := r.run(t, uint64(generation), slices.Clone(list))
			reached = reached || len(c.Calls()) > n
			now := c.enforced()
			for _, p := range list {
				if slices.Contains(before, p) && !slices.Contains(now, p) {
					t.Fatalf("cut at %d: %s is free (%v)", n, p, err)
				}
			}
			c.Heal()
			r = &runner{c: c}
			r.ok(t, uint64(generation), slices.Clone(list))
			before = c.enforced()
		}
		if c.Foreign() != foreign {
			t.Fatalf("cut at %d: what is not ours changed", n)
		}
		if books, templates := len(c.Books()), len(c.Templates("custom_acl")); books != 2 || templates != 2 {
			t.Fatalf("cut at %d: %d books and %d templates, want the user's and ours", n, books, templates)
		}
		if !reached {
			return
		}
	}
}

// TestOneLostAnswerIsNoFailure: what turns out to have been done is not done twice, and nothing fails.
func TestOneLostAnswerIsNoFailure(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := range 8 {
			c := newCloud(t, waftest.AlibabaOptions{Pedantic: true})
			c.target.Objects = []string{shopObject}
			r := &runner{c: c}
			c.FailWrite(n, 1, waftest.Fault{Drop: true, AfterChange: after})
			report := r.ok(t, 1, hosts(0, 25))
			c.Heal()
			if again := r.ok(t, 2, hosts(0, 25)); again.Writes != 0 {
				t.Errorf("write %d lost, after %t: %d writes, then %d more", n, after, report.Writes, again.Writes)
			}
			c.FailWrite(0, 1, waftest.Fault{Drop: true, AfterChange: after})
			r.ok(t, 3, hosts(3, 22))
			c.Heal()
		}
	}
}

func TestAnAnswerThatStaysOutIsUnavailableAndInDoubt(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 25))
	c.Fail("AddAddress", 0, -1, waftest.Fault{Drop: true})
	c.Fail("DescribeAddresses", 1, -1, waftest.Fault{Drop: true})
	report, err := r.run(t, 2, hosts(0, 27))
	if !errors.Is(err, waf.ErrUnavailable) || report.Book != nil {
		t.Errorf("error %v, memory %v", err, report.Book)
	}
	if n := len(c.Calls("AddAddress")); n != 4 { // three of the first run
		t.Errorf("%d tries: one that may have been made is not made again before it is known", n-3)
	}
	c.Heal()
	c.Forget()
	if _, err := r.f.Look(t.Context()); err != nil || len(c.Calls()) <= 3 {
		t.Errorf("the look that follows is not a thorough one: %s (%v)", tally(c), err)
	}
	r.ok(t, 3, hosts(0, 27))
}

func TestEachRefusalIsItsOwnDecision(t *testing.T) {
	for code, want := range map[string]error{
		"Throttling.User": waf.ErrThrottled, "Throttling": waf.ErrThrottled, "Rejected.Throttling": waf.ErrThrottled,
		"Defense.Control.DefenseAddressOperationTooFrequent": waf.ErrThrottled,
		"Defense.Control.DefenseAddressOversize":             waf.ErrQuota,
		"AclIpCountOverLimit":                                waf.ErrQuota,
		"Forbidden.RAM":                                      waf.ErrDenied, "NoPermission": waf.ErrDenied,
		"InvalidSecurityToken.Expired": waf.ErrDenied,
		"ServiceUnavailable":           waf.ErrUnavailable, "InternalError": waf.ErrUnavailable,
		"Defense.Control.DefenseRuleNotExist": waf.ErrConflict,
	} {
		t.Run(code, func(t *testing.T) {
			c := newCloud(t, waftest.AlibabaOptions{})
			f := c.open(t).(waf.BookFirewall)
			if _, err := f.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			stamp := waf.Stamp{Epoch: "e", Generation: 1}
			if err := f.Add(t.Context(), listings(hosts(0, 2)), stamp); err != nil {
				t.Fatal(err)
			}
			c.Fail("AddAddress", 0, -1, waftest.Fault{Code: code})
			err := f.Add(t.Context(), listings(hosts(2, 2)), stamp)
			var others []error
			for _, one := range []error{waf.ErrThrottled, waf.ErrQuota, waf.ErrDenied, waf.ErrUnavailable, waf.ErrConflict, waf.ErrInvalid, waf.ErrInUse} {
				if errors.Is(err, one) {
					others = append(others, one)
				}
			}
			if len(others) != 1 || others[0] != want { //nolint:errorlint // the very values
				t.Errorf("error %v is %v, want %v", err, others, want)
			}
		})
	}
}

func listings(list []netip.Prefix) (out []waf.Listing) {
	for _, p := range list {
		out = append(out, waf.Listing{Prefix: p})
	}
	return out
}

// TestWhateverHappensTheBookConverges walks at random through runs, hands in the console, faults and
// forgotten memories.
func TestWhateverHappensTheBookConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newCloud(t, waftest.AlibabaOptions{
			Form:     rapid.SampledFrom([]waftest.AddressForm{waftest.AsWritten, waftest.WithBits, waftest.WithoutBits, waftest.LongUpper}).Draw(rt, "form"),
			Pedantic: rapid.Bool().Draw(rt, "pedantic"),
		})
		c.target.Batch = rapid.IntRange(1, 7).Draw(rt, "batch")
		if rapid.Bool().Draw(rt, "objects") {
			c.target.Objects = []string{shopObject, apiObject}
		}
		foreign := c.Foreign()
		r := &runner{c: c}
		for generation := range uint64(rapid.IntRange(2, 6).Draw(rt, "runs")) {
			var list []netip.Prefix
			for i := range 14 {
				if rapid.Bool().Draw(rt, "wanted") {
					list = append(list, hosts(i*3, 1)[0])
				}
				if i%5 == 0 && rapid.Bool().Draw(rt, "wanted6") {
					list = append(list, netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/48", i)))
				}
			}
			if rapid.Bool().Draw(rt, "fault") {
				fault := rapid.SampledFrom([]waftest.Fault{{Drop: true}, {Drop: true, AfterChange: true}, {Code: "ServiceUnavailable"}, {Code: "ServiceUnavailable", AfterChange: true}, {Code: "Throttling.User"}}).Draw(rt, "kind")
				c.FailCall(rapid.IntRange(0, 12).Draw(rt, "at"), rapid.SampledFrom([]int{1, 3, 20}).Draw(rt, "times"), fault)
			}
			before := c.enforced()
			_, err := r.run(t, generation, slices.Clone(list))
			c.Heal()
			now := c.enforced()
			for _, p := range list {
				if slices.Contains(before, p) && !slices.Contains(now, p) {
					rt.Fatalf("%s is wanted, was blocked and is free (%v)", p, err)
				}
			}
			if rapid.IntRange(0, 2).Draw(rt, "forgets") == 0 {
				r.f, r.book = nil, nil
			}
			if report, err := r.run(t, generation, slices.Clone(list)); err != nil {
				rt.Fatalf("after the fault: %v", err)
			} else if now = c.enforced(); len(now) != len(list) {
				rt.Fatalf("%d in force, want %d: %q", len(now), len(list), report.Plan)
			}
		}
		if c.Foreign() != foreign {
			rt.Fatal("what is not ours changed")
		}
	})
}

func FuzzReadAddress(f *testing.F) {
	for _, seed := range []string{"192.0.2.4", "192.0.2.4/32", "192.0.2.4/24", "::ffff:192.0.2.4", "::ffff:192.0.2.0/120", "2001:0DB8::1/64", "fe80::1%eth0", "", "/", "0/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := aliwaf.ReadAddressForTest(text)
		if err != nil {
			return
		}
		if !p.IsValid() || p != p.Masked() || p.Addr().Zone() != "" {
			t.Fatalf("%q is read as %v", text, p)
		}
		if again, err := aliwaf.ReadAddressForTest(aliwaf.SpellForTest(p)); err != nil || again != p {
			t.Fatalf("%q is read as %v, written as %s and read as %v (%v)", text, p, aliwaf.SpellForTest(p), again, err)
		}
	})
}

func TestEverySpellingOfAnAddressIsRead(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.4": "192.0.2.4/32", "192.0.2.4/32": "192.0.2.4/32", " 192.0.2.4/24 ": "192.0.2.0/24",
		"::ffff:192.0.2.4": "192.0.2.4/32", "::FFFF:192.0.2.4/128": "192.0.2.4/32", "::ffff:192.0.2.9/120": "192.0.2.0/24",
		"2001:0DB8:0000:0000:0000:0000:0000:0001": "2001:db8::1/128", "2001:DB8::1/64": "2001:db8::/64",
	} {
		if got, err := aliwaf.ReadAddressForTest(text); err != nil || got.String() != want {
			t.Errorf("%q is read as %v, want %s (%v)", text, got, want, err)
		}
	}
}
