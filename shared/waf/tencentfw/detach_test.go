package tencentfw_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func detach(t *testing.T, f waf.Firewall, dryRun bool) []string {
	t.Helper()
	done, err := f.(waf.Detacher).Detach(t.Context(), dryRun)
	if err != nil {
		t.Fatalf("%v; done %q", err, done)
	}
	return done
}

func TestDetachFromTheWAFTakesOnlyWhatIsOurs(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{AccessDeletes: 3})
	before := c.Access(shop)
	f := c.looked(t)
	var listings []waf.Listing
	for i, p := range hosts(0, 240) {
		listings = append(listings, waf.Listing{Prefix: p, Until: dawn.Add(time.Duration(1+i/2) * 10 * time.Minute)})
	}
	mustAdd(t, f, listings)
	c.now = c.now.Add(time.Hour) // some have ended
	c.Forget()
	said := detach(t, c.open(t), true)
	if n := c.Writes(); n != 0 {
		t.Fatalf("the dry run wrote %d times", n)
	}
	did := detach(t, c.open(t), false)
	if diff := cmp.Diff(said, did); diff != "" {
		t.Errorf("dry and real run differ:\n%s", diff)
	}
	if diff := cmp.Diff(before, c.Access(shop)); diff != "" {
		t.Errorf("left -before +after:\n%s", diff)
	}
	if again := detach(t, c.open(t), false); len(again) != 0 {
		t.Errorf("a second time does %q", again)
	}
}

func TestDetachGoesOnWhereItStopped(t *testing.T) {
	for n := range 8 {
		for _, after := range []bool{false, true} {
			c := newCloudWAF(t, waftest.TencentOptions{AccessDeletes: 3})
			before := c.Foreign()
			var listings []waf.Listing
			for i, p := range hosts(0, 10) {
				listings = append(listings, waf.Listing{Prefix: p, Until: dawn.Add(time.Duration(1+i) * time.Hour)})
			}
			mustAdd(t, c.looked(t), listings)
			c.failing(n, true, after)
			_, _ = c.open(t).(waf.Detacher).Detach(t.Context(), false)
			c.failing(-1, true, false)
			detach(t, c.open(t), false)
			if in := c.enforced(); len(in) != 0 || c.Foreign() != before {
				t.Errorf("write %d, after the change %t: left %v", n, after, in)
			}
		}
	}
}

func TestDetachFromSecurityGroupsTakesOnlyWhatIsOurs(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	before := c.Foreign()
	c.mustRun(t, c.open(t), 1, groupHosts(0, 45))
	c.Forget()
	said := detach(t, c.open(t), true)
	if n := c.Writes(); n != 0 {
		t.Fatalf("the dry run wrote %d times", n)
	}
	did := detach(t, c.open(t), false)
	if diff := cmp.Diff(said, did); diff != "" {
		t.Errorf("dry and real run differ:\n%s", diff)
	}
	if diff := cmp.Diff(before, c.Foreign()); diff != "" {
		t.Errorf("what is not ours changed:\n%s", diff)
	}
	if names := c.Templates(guangzhou); len(names) != 1 || len(c.enforced()) != 0 {
		t.Errorf("left: %v, %v", names, c.enforced())
	}
	rest := detach(t, c.open(t), false)
	if slices.ContainsFunc(rest, func(line string) bool { return !strings.Contains(line, "stays bound") }) {
		t.Errorf("a second time does %q", rest)
	}
}

func TestDetachFromSecurityGroupsGoesOnWhereItStopped(t *testing.T) {
	for n := range 10 {
		for _, after := range []bool{false, true} {
			c := newGroupCloud(t, waftest.TencentOptions{})
			before := c.Foreign()
			c.mustRun(t, c.open(t), 1, groupHosts(0, 45))
			c.failing(n, true, after)
			_, _ = c.open(t).(waf.Detacher).Detach(t.Context(), false)
			c.Heal()
			detach(t, c.open(t), false)
			if len(c.Templates(guangzhou)) != 1 || c.Foreign() != before {
				t.Errorf("write %d, after the change %t: left %v", n, after, c.Templates(guangzhou))
			}
		}
	}
}

func TestAModeThatIsNotConfiguredIsNotGuessedAt(t *testing.T) {
	w, g := newCloudWAF(t, waftest.TencentOptions{}), newGroupCloud(t, waftest.TencentOptions{})
	for mode, f := range map[string]waf.Firewall{tencentfw.ModeSecurityGroup: w.open(t), tencentfw.ModeWAF: g.open(t)} {
		done, err := f.(waf.Detacher).DetachMode(t.Context(), mode, false)
		if !errors.Is(err, waf.ErrInvalid) || len(done) != 0 {
			t.Errorf("%s: %q, %v", mode, done, err)
		}
	}
	if done, err := w.open(t).(waf.Detacher).DetachMode(t.Context(), "", false); err != nil || len(done) != 0 {
		t.Errorf("the configured mode: %q, %v", done, err)
	}
}
