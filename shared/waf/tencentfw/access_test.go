package tencentfw_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// hosts returns n single addresses of which no two make a range, numbered from first.
func hosts(first, n int) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		k := 2 * (first + i)
		list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(64 + k>>16), byte(k >> 8), byte(k)}), 32)
	}
	return list
}

// until makes listings that all end at the same time.
func until(end time.Time, list ...netip.Prefix) []waf.Listing {
	out := make([]waf.Listing, len(list))
	for i, p := range list {
		out[i] = waf.Listing{Prefix: p, Until: end}
	}
	return out
}

var first = waf.Stamp{Epoch: "e1", Generation: 1}

// looked returns a Firewall that has looked.
func (c *cloudWAF) looked(t *testing.T) waf.BookFirewall {
	t.Helper()
	f := c.open(t)
	look(t, f)
	return f
}

func look(t *testing.T, f waf.Firewall) waf.State {
	t.Helper()
	state, err := f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func mustAdd(t *testing.T, f waf.BookFirewall, listings []waf.Listing) {
	t.Helper()
	if err := f.Add(t.Context(), listings, first); err != nil {
		t.Fatal(err)
	}
}

// ends returns what a fresh process reads.
func (c *cloudWAF) ends(t *testing.T) map[netip.Prefix]time.Time {
	t.Helper()
	list, err := c.looked(t).Listings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ends := map[netip.Prefix]time.Time{}
	for _, l := range list {
		ends[l.Prefix] = l.Until
	}
	return ends
}

func spent(f waf.Firewall) (calls, writes int) { return f.(waf.Metered).Calls() }

func TestWhatEndsTogetherSharesARuleAndAWrite(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	early, late := dawn.Add(time.Hour), dawn.Add(2*time.Hour)
	var mixed []waf.Listing
	for i, p := range hosts(0, 60) {
		mixed = append(mixed, waf.Listing{Prefix: p, Until: []time.Time{early, late}[i%2]})
	}
	mustAdd(t, f, mixed)
	mustAdd(t, f, until(early, hosts(60, 30)...))
	if _, writes := spent(f); writes != 3 {
		t.Errorf("%d writes, want one for each end and one that tops up", writes)
	}
	var sizes []int
	for _, e := range c.Access(shop)[3:] {
		sizes = append(sizes, len(e.Addresses))
	}
	if diff := cmp.Diff([]int{60, 30}, sizes); diff != "" {
		t.Errorf("sizes of our rules:\n%s", diff)
	}
	ends := c.ends(t)
	if !ends[hosts(0, 1)[0]].Equal(early) || !ends[hosts(1, 1)[0]].Equal(late) || len(ends) != 90 {
		t.Errorf("%d listings, ends %v", len(ends), ends)
	}
}

func TestARenewedAddressIsNeverOutOfForce(t *testing.T) {
	for name, repeats := range map[string]bool{"an address may be twice": true, "an address may not be twice": false} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, waftest.TencentOptions{AccessRepeats: repeats})
			early, late := dawn.Add(time.Hour), dawn.Add(5*time.Hour)
			all := hosts(0, 10)
			mustAdd(t, c.looked(t), until(early, all...))
			c.After(func(waftest.TencentCall) {
				in := c.enforced()
				for _, p := range hosts(0, 10) {
					if !slices.Contains(in, p) {
						t.Errorf("%s is not in force", p)
					}
				}
			})
			f := c.looked(t)
			mustAdd(t, f, append(until(late, all[3]), until(late, hosts(20, 1)...)...))
			all = append(all, hosts(20, 1)...)
			c.After(nil)
			if got := c.ends(t)[all[3]]; !got.Equal(late) {
				t.Errorf("it ends at %s, want %s", got, late)
			}
			c.now = early
			in := c.enforced()
			if want := map[bool]int{true: 2, false: 11}[repeats]; len(in) != want || !slices.Contains(in, all[3]) {
				t.Errorf("after the old end %d are in force, want %d", len(in), want)
			}
			// The same again costs nothing.
			c.now = dawn
			again := c.looked(t)
			mustAdd(t, again, until(late, all[3]))
			if _, writes := spent(again); writes != 0 {
				t.Errorf("the same renewal again: %d writes", writes)
			}
		})
	}
}

func TestAnInterruptedRenewalLeavesTheAddressInTwoRulesAndTheNextOnesCopeWithThat(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{AccessRepeats: true})
	early, late := dawn.Add(time.Hour), dawn.Add(5*time.Hour)
	mustAdd(t, c.looked(t), until(early, hosts(0, 10)...))
	c.Fail("ModifyIpAccessControl", 0, -1, waftest.Fault{Code: "FailedOperation"})
	if err := c.looked(t).Add(t.Context(), until(late, hosts(3, 1)...), first); !errors.Is(err, waf.ErrUnavailable) {
		t.Fatalf("error %v, want %v", err, waf.ErrUnavailable)
	}
	c.Heal()
	if got := c.ends(t); !got[hosts(3, 1)[0]].Equal(late) || len(got) != 10 {
		t.Fatalf("%d listings, the renewed one ends at %s; want 10 and %s", len(got), got[hosts(3, 1)[0]], late)
	}
	f := c.looked(t)
	if err := f.Remove(t.Context(), hosts(3, 1), first); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(c.enforced(), hosts(3, 1)[0]) || len(c.enforced()) != 9 {
		t.Errorf("%v are in force, want the nine others", c.enforced())
	}
}

func TestOneTakenOutCostsOneWrite(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	mustAdd(t, c.looked(t), append(until(dawn.Add(time.Hour), hosts(0, 10)...), until(dawn.Add(2*time.Hour), hosts(10, 1)...)...))
	for i, out := range [][]netip.Prefix{hosts(4, 1), hosts(10, 1), hosts(0, 10), hosts(77, 1)} {
		f := c.looked(t)
		if err := f.Remove(t.Context(), out, waf.Stamp{Epoch: "e1", Generation: uint64(2 + i)}); err != nil {
			t.Fatal(err)
		}
		if _, writes := spent(f); writes != map[bool]int{true: 1, false: 0}[i < 3] {
			t.Errorf("take %v out: %d writes", out, writes)
		}
	}
	if len(c.enforced()) != 0 || len(c.Access(shop)) != 3 {
		t.Errorf("left: %v, %v", c.enforced(), c.Access(shop))
	}
}

func TestWithNothingRunningAllEndsByItself(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	r := on(c.open(t), c.now)
	var wants []waf.Want
	for i, p := range hosts(0, 200) {
		wants = append(wants, waf.Want{Prefix: p, ExpiresAt: dawn.Add(time.Duration(i) * time.Minute)})
	}
	if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "e1", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	state := look(t, c.open(t))
	for c.now = dawn; c.now.Before(dawn.Add(4 * time.Hour)); c.now = c.now.Add(time.Minute) {
		in := c.enforced()
		for _, w := range wants {
			late := c.now.Sub(w.ExpiresAt)
			switch has := slices.Contains(in, w.Prefix); {
			case late < 0 && !has:
				t.Fatalf("%s is let go %s before its term", w.Prefix, -late)
			case late > state.Book.Grid+5*time.Minute && has:
				t.Fatalf("%s is held %s after its term", w.Prefix, late)
			}
		}
	}
	if in := c.enforced(); len(in) != 0 {
		t.Errorf("left: %v", in)
	}
}

// on is a Reconciler without any waiting.
func on(f waf.Firewall, now time.Time) *waf.Reconciler {
	return &waf.Reconciler{
		Firewall: f, Name: "edge", Now: now, Guard: waf.Guard{Ended: waftest.AllEnded},
		Pause: func(context.Context, int) error { return nil },
	}
}

func TestWhatHasEndedIsNobodysDoingAndGoesWhenThatIsFree(t *testing.T) {
	for name, opts := range map[string]waftest.TencentOptions{"it stays listed": {}, "it goes by itself": {AccessEndedGo: true}} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, opts)
			f := c.looked(t)
			mustAdd(t, f, append(until(dawn.Add(time.Hour), hosts(0, 3)...), until(dawn.Add(3*time.Hour), hosts(3, 3)...)...))
			look(t, f)
			memory := f.(waf.Rememberer).Memory()
			c.now = dawn.Add(2 * time.Hour)
			g := c.open(t)
			g.(waf.Rememberer).Recall(memory)
			state := look(t, g)
			if calls, _ := spent(g); calls != 1 || state.Book.Count != 3 || len(state.Drift) != 0 {
				t.Errorf("%d calls, count %d, drift %v; want one call and 3", calls, state.Book.Count, state.Drift)
			}
			if err := g.Remove(t.Context(), hosts(3, 3), first); err != nil {
				t.Fatal(err)
			}
			if _, writes := spent(g); writes != 1 || len(c.Access(shop)) != 3 {
				t.Errorf("%d writes, left %v; want one that clears the ended ones away too", writes, c.Access(shop))
			}
		})
	}
}

func TestEndedRulesGiveTheirPlaceToNewOnes(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{AccessEntries: 24})
	c.target.Entries = 24
	mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(0, 20)...))
	c.now = dawn.Add(2 * time.Hour)
	mustAdd(t, c.looked(t), until(dawn.Add(3*time.Hour), hosts(30, 20)...))
	if diff := cmp.Diff(20, len(c.enforced())); diff != "" {
		t.Error(diff)
	}
}

func TestAMemorySparesTheReadingAndSeesWhatOthersDid(t *testing.T) {
	page := 100 // rules of a page
	for name, edit := range map[string]struct {
		do    func(t *testing.T, c *cloudWAF)
		calls int // of the next Look
	}{
		"nobody did anything": {func(*testing.T, *cloudWAF) {}, 1},
		"somebody blocks one more": {func(t *testing.T, c *cloudWAF) {
			if _, err := c.SeedAccess(shop, waftest.TencentBlock, "mine", time.Time{}, "198.51.100.44"); err != nil {
				t.Fatal(err)
			}
		}, 3},
		"somebody edits a rule of ours": {func(t *testing.T, c *cloudWAF) {
			c.now = c.now.Add(time.Second)
			edit := c.open(t) // a process of ours that the memory knows nothing of
			look(t, edit)
			if err := edit.Remove(t.Context(), hosts(0, 1), first); err != nil {
				t.Fatal(err)
			}
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, waftest.TencentOptions{})
			f := c.looked(t)
			var listings []waf.Listing
			for i, p := range hosts(0, 3*(page+20)) {
				listings = append(listings, waf.Listing{Prefix: p, Until: dawn.Add(time.Duration(1+i/3) * 10 * time.Minute)})
			}
			mustAdd(t, f, listings)
			c.now = c.now.Add(time.Second)
			look(t, f)
			memory := f.(waf.Rememberer).Memory()
			edit.do(t, c)
			g := c.open(t)
			g.(waf.Rememberer).Recall(memory)
			look(t, g)
			if calls, writes := spent(g); calls != edit.calls || writes != 0 {
				t.Errorf("%d calls, %d writes; want %d and none", calls, writes, edit.calls)
			}
		})
	}
}

func TestAMemoryOfAnotherPlaceOrOfNothingIsNone(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	mustAdd(t, f, until(dawn.Add(time.Hour), hosts(0, 3)...))
	memory := f.(waf.Rememberer).Memory()
	c.target.Name = "third"
	for _, raw := range [][]byte{nil, []byte("{"), []byte(`{"v":9}`), memory, []byte(strings.Repeat(" ", 2<<20))} {
		g := c.open(t)
		g.(waf.Rememberer).Recall(raw)
		if g.(waf.Rememberer).Memory() != nil {
			t.Errorf("%.40q is taken for a memory", raw)
		}
		if state := look(t, g); state.Book.Count != 0 {
			t.Errorf("%.40q: count %d", raw, state.Book.Count)
		}
	}
}

func TestTheStampIsOnTheWall(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	if s := look(t, f).Stamp; s != nil {
		t.Fatalf("an empty wall says %v", s)
	}
	mustAdd(t, f, until(dawn.Add(time.Hour), hosts(0, 3)...))
	c.now = c.now.Add(time.Second)
	says := func(want waf.Stamp) {
		t.Helper()
		s := look(t, c.open(t)).Stamp
		if s == nil || !s.Of(want.Epoch) || s.Generation != want.Generation {
			t.Fatalf("the wall says %v, want %v", s, want)
		}
	}
	says(first)
	later := waf.Stamp{Epoch: "e1", Generation: 9}
	if err := f.Remove(t.Context(), hosts(0, 1), later); err != nil {
		t.Fatal(err)
	}
	says(later)
	// An operator went back: the newest rule counts, not the highest number.
	c.now = c.now.Add(time.Second)
	back := waf.Stamp{Epoch: "e2", Generation: 2}
	g := c.looked(t)
	for range 2 {
		if err := g.(waf.Stamper).Stamp(t.Context(), back); err != nil {
			t.Fatal(err)
		}
	}
	if _, writes := spent(g); writes != 1 {
		t.Errorf("%d writes, want one", writes)
	}
	says(back)
	if diff := cmp.Diff(2, len(c.enforced())); diff != "" {
		t.Error(diff)
	}
}

func TestALongNameHasRoomInTheNote(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	names := []string{"abcdefghijklmnopqrstuvw", "abcdefghijklmnopqrstuvx"}
	for i, name := range names {
		c.target.Name = name
		if err := c.looked(t).Add(t.Context(), until(dawn.Add(time.Hour), hosts(i, 1)...), waf.Stamp{Epoch: "e1", Generation: 9_999_999_999_999}); err != nil {
			t.Fatal(err)
		}
		if n := len(c.ends(t)); n != 1 {
			t.Errorf("%s: %d listings, want its own", name, n)
		}
	}
}

func TestARuleOfSomebodyElsesWithTheSameAddressIsNamedAndStays(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	before := c.Foreign()
	guest := netip.MustParsePrefix("198.51.100.66/32")
	for range 2 {
		f := c.looked(t)
		err := f.Add(t.Context(), append(until(dawn.Add(time.Hour), hosts(0, 2)...), until(dawn.Add(time.Hour), guest)...), first)
		var entry *waf.EntryError
		if !errors.As(err, &entry) || entry.Prefix != guest || !strings.Contains(err.Error(), "somebody else") {
			t.Fatalf("error %v, want one about %s", err, guest)
		}
	}
	r := on(c.open(t), c.now)
	report, err := r.Reconcile(t.Context(), waf.Desired{Epoch: "e1", Generation: 1, Wants: []waf.Want{
		{Prefix: guest, ExpiresAt: dawn.Add(time.Hour)}, {Prefix: hosts(0, 1)[0], ExpiresAt: dawn.Add(time.Hour)},
	}})
	if err != nil || len(report.Rejected) != 1 || report.Enforced != 1 {
		t.Errorf("error %v, rejected %v, enforced %d", err, report.Rejected, report.Enforced)
	}
	if diff := cmp.Diff(before, c.Foreign()); diff != "" {
		t.Errorf("what is not ours changed:\n%s", diff)
	}
}

func TestASecondWriterIsNeverOverwritten(t *testing.T) {
	for seed := range uint64(20) {
		c := newCloudWAF(t, waftest.TencentOptions{})
		w := c.Writer(seed, "", shop)
		c.Before(func(call waftest.TencentCall) *waftest.Fault {
			if call.Index%2 == 0 {
				c.now = c.now.Add(time.Second)
				if did, err := w.Edit(); err != nil {
					t.Errorf("%s: %v", did, err)
				}
			}
			return nil
		})
		f := c.open(t)
		for i := range 6 {
			r := on(f, c.now)
			_, _ = r.Reconcile(t.Context(), waf.Desired{Wants: wantsOf(hosts(4*i, 15), dawn.Add(time.Hour)), Epoch: "e1", Generation: uint64(i)})
		}
		if lost := w.Lost(); len(lost) > 0 {
			t.Fatalf("seed %d: lost\n%s\nafter %v", seed, strings.Join(lost, "\n"), w.Did())
		}
		c.Before(nil)
		if _, err := on(c.open(t), c.now).Reconcile(t.Context(), waf.Desired{Wants: wantsOf(hosts(20, 15), dawn.Add(time.Hour)), Epoch: "e1", Generation: 6}); err != nil {
			t.Fatal(err)
		}
	}
}

func wantsOf(list []netip.Prefix, end time.Time) []waf.Want {
	wants := make([]waf.Want, len(list))
	for i, p := range list {
		wants[i] = waf.Want{Prefix: p, ExpiresAt: end}
	}
	return wants
}

func TestARuleOfOursThatSomebodyGaveOtherTimesCountsForNothing(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{AccessRepeats: true})
	f := c.looked(t)
	mustAdd(t, f, until(dawn.Add(time.Hour), hosts(0, 3)...))
	rule := c.Access(shop)[3]
	tamper(t, c, rule)
	state := look(t, c.open(t))
	if state.Book.Count != 0 || len(state.Notes) != 1 {
		t.Fatalf("count %d, notes %q; want 0 and one", state.Book.Count, state.Notes)
	}
	mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(0, 3)...))
	if n := len(c.ends(t)); n != 3 {
		t.Errorf("%d listings, want 3", n)
	}
}

// tamper makes a rule hold on Mondays only, as somebody in the console could.
func tamper(t *testing.T, c *cloudWAF, rule waftest.TencentEntry) {
	t.Helper()
	err := c.raw(t, "ModifyIpAccessControl", map[string]any{
		"Domain": shop, "RuleId": rule.Rule, "IpList": rule.Addresses, "ActionType": 42, "Note": rule.Note, "JobType": "CronJob",
		"JobDateTime": map[string]any{"Cron": []map[string]any{{"WDays": []int{1}, "StartTime": "00:00:00", "EndTime": "23:59:59"}}, "TimeTZone": "UTC+8"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWrongDomainIsSaidWithWhatToDo(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	c.target.Domain = "nobody.example.com"
	_, err := c.open(t).Look(t.Context())
	if !errors.Is(err, waf.ErrInvalid) || !strings.Contains(fmt.Sprint(err), `correct "domain"`) {
		t.Errorf("error %v", err)
	}
	c.target.Domain = tencentfw.Global
	if _, err := c.open(t).Look(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARuleThatWasReadLongAgoIsReadOnceMoreBeforeItIsWritten(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(0, 10)...))
	f := c.looked(t)
	if _, err := f.Listings(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(10 * time.Second)
	rule := c.Access(shop)[3]
	if err := c.raw(t, "ModifyIpAccessControl", map[string]any{
		"Domain": shop, "RuleId": rule.Rule, "IpList": append(rule.Addresses, "192.0.2.99"), "ActionType": 42, "Note": rule.Note, "ValidTS": rule.Until,
	}); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(t.Context(), hosts(0, 1), first); !errors.Is(err, waf.ErrConflict) {
		t.Fatalf("error %v, want %v", err, waf.ErrConflict)
	}
	if err := c.looked(t).Remove(t.Context(), hosts(0, 1), first); err != nil {
		t.Fatal(err)
	}
	if in := c.enforced(); len(in) != 10 || !slices.Contains(in, netip.MustParsePrefix("192.0.2.99/32")) {
		t.Errorf("in force: %v", in)
	}
}

func TestAfterAFaultNothingIsSaidToBeUnchangedThatIsNot(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	mixed := append(until(dawn.Add(time.Hour), hosts(0, 3)...), until(dawn.Add(2*time.Hour), hosts(3, 3)...)...)
	c.Fail("CreateIpAccessControl", 1, -1, waftest.Fault{Code: "RequestLimitExceeded"})
	err := f.Add(t.Context(), mixed, first)
	if errors.Is(err, waf.ErrThrottled) || !errors.Is(err, waf.ErrUnavailable) {
		t.Errorf("error %v: it sounds as if nothing was entered", err)
	}
	c.Heal()
	mustAdd(t, f, mixed)
	if n := len(c.enforced()); n != 6 {
		t.Errorf("%d in force, want 6", n)
	}
}

func TestALostAnswerIsNoFailure(t *testing.T) {
	for action, change := range map[string]func(f waf.BookFirewall) error{
		"CreateIpAccessControl": func(f waf.BookFirewall) error {
			return f.Add(context.Background(), until(dawn.Add(2*time.Hour), hosts(10, 3)...), first)
		},
		"ModifyIpAccessControl":   func(f waf.BookFirewall) error { return f.Remove(context.Background(), hosts(0, 1), first) },
		"DeleteIpAccessControlV2": func(f waf.BookFirewall) error { return f.Remove(context.Background(), hosts(0, 3), first) },
	} {
		for _, after := range []bool{true, false} {
			c := newCloudWAF(t, waftest.TencentOptions{})
			mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(0, 3)...))
			f := c.looked(t)
			c.Fail(action, 0, 1, waftest.Fault{Code: "InternalError", AfterChange: after, Drop: after})
			err := change(f)
			if after && err != nil || !after && !errors.Is(err, waf.ErrUnavailable) {
				t.Errorf("%s, after the change %t: error %v", action, after, err)
			}
			if err := change(f); err != nil {
				t.Errorf("%s again: %v", action, err)
			}
			if _, writes := spent(f); after && writes != 1 {
				t.Errorf("%s: %d writes, want one", action, writes)
			}
		}
	}
}

func TestAnEarlierEndTakesNobodyOutOfForce(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{}) // which takes no address twice
	mustAdd(t, c.looked(t), until(dawn.Add(5*time.Hour), hosts(0, 3)...))
	mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(1, 1)...))
	if n := len(c.enforced()); n != 3 {
		t.Errorf("%d in force, want 3", n)
	}
}

func TestWhatHasEndedIsNotSaidToBeBroken(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	mustAdd(t, c.looked(t), append(until(dawn.Add(time.Hour), hosts(0, 3)...), until(dawn.Add(3*time.Hour), hosts(3, 1)...)...))
	c.now = dawn.Add(2 * time.Hour)
	if state := look(t, c.open(t)); len(state.Notes) != 0 || state.Book.Count != 1 {
		t.Errorf("notes %q, count %d; want none and 1", state.Notes, state.Book.Count)
	}
}
