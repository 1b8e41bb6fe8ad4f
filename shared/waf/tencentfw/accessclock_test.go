package tencentfw_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// ahead returns a Firewall whose clock is ahead of the cloud's.
func (c *cloudWAF) ahead(t *testing.T, by time.Duration) waf.BookFirewall {
	t.Helper()
	cfg := c.config()
	cfg.Now = func() time.Time { return c.now.Add(by) }
	f, err := tencentfw.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	look(t, f)
	return f.(waf.BookFirewall)
}

func TestClocksThatDifferTakeNobodyOutOfForce(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{AccessRepeats: true})
	mustAdd(t, c.ahead(t, 4*time.Minute), append(until(dawn.Add(10*time.Minute), hosts(0, 2)...), until(dawn.Add(time.Hour), hosts(2, 1)...)...))
	if n := len(c.enforced()); n != 3 {
		t.Fatalf("%d in force from the beginning, want 3", n)
	}
	// By our clock the first two have ended, by the cloud's not yet.
	c.now = dawn.Add(8 * time.Minute)
	if err := c.ahead(t, 4*time.Minute).Remove(t.Context(), hosts(2, 1), first); err != nil {
		t.Fatal(err)
	}
	if in := c.enforced(); !slices.Equal(in, hosts(0, 2)) {
		t.Errorf("in force %v, want the two whose end is to come", in)
	}
}

func TestWhatHasEndedAlreadyIsNotEntered(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	mustAdd(t, f, until(dawn, hosts(0, 2)...))
	if _, writes := spent(f); writes != 0 || len(c.enforced()) != 0 {
		t.Errorf("%d writes, in force %v", writes, c.enforced())
	}
}

func TestWhatHasNoEndIsEnteredForGood(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	mustAdd(t, c.looked(t), until(time.Time{}, hosts(0, 2)...))
	if ends := c.ends(t); len(ends) != 2 || !ends[hosts(0, 1)[0]].IsZero() {
		t.Errorf("listings %v", ends)
	}
	c.now = dawn.AddDate(20, 0, 0)
	if n := len(c.enforced()); n != 2 {
		t.Errorf("%d in force in twenty years, want 2", n)
	}
}

func TestWhatCannotBeMeantIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	for _, p := range []netip.Prefix{
		{}, prefix("0.0.0.0/0"), prefix("::/0"), netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 24), prefix("::ffff:192.0.2.1/128"),
	} {
		err := f.Add(t.Context(), append(until(dawn.Add(time.Hour), hosts(0, 1)...), until(dawn.Add(time.Hour), p)...), first)
		var entry *waf.EntryError
		if !errors.As(err, &entry) || entry.Prefix != p || !errors.Is(err, waf.ErrInvalid) {
			t.Errorf("%v: error %v", p, err)
		}
	}
	if _, writes := spent(f); writes != 0 {
		t.Errorf("%d writes", writes)
	}
}
