package tencentfw_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// raw makes one call of its own, as the user would with the command line.
func (c *groupCloud) raw(t *testing.T, service, action string, params map[string]any, out any) {
	t.Helper()
	if err := tencentfw.Call(t.Context(), c.config(), guangzhou, service, action, params, out); err != nil {
		t.Fatal(err)
	}
}

// namedTemplate is an address template as a Describe action shows it.
type namedTemplate struct {
	ID   string `json:"AddressTemplateId"`
	Name string `json:"AddressTemplateName"`
}

// lists returns the names of all address template groups.
func (c *groupCloud) lists(t *testing.T) (names []string, ids map[string]string) {
	t.Helper()
	var answer struct {
		AddressTemplateGroupSet []struct {
			Name string `json:"AddressTemplateGroupName"`
			ID   string `json:"AddressTemplateGroupId"`
		}
	}
	c.raw(t, "vpc", "DescribeAddressTemplateGroups", nil, &answer)
	ids = map[string]string{}
	for _, l := range answer.AddressTemplateGroupSet {
		names = append(names, l.Name)
		ids[l.Name] = l.ID
	}
	slices.Sort(names)
	return names, ids
}

func TestGroupOfTemplatesIsNamedAfterTheListItWasMadeFrom(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 92, groupHosts(0, 5))
	want := []string{"offices", "tracewall-edge." + waf.ShortEpoch("epoch-1") + ".2k"}
	if names, _ := c.lists(t); !slices.Equal(names, want) {
		t.Errorf("groups %q, want %q", names, want)
	}
	state, err := c.open(t).Look(t.Context())
	if err != nil || state.Stamp == nil || state.Stamp.Generation != 92 || !state.Stamp.Of("epoch-1") {
		t.Errorf("error %v, stamp %+v, want generation 92 of epoch-1", err, state.Stamp)
	}
}

func TestLongestStampFitsInAName(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.target.Name = strings.Repeat("e", 23)
	f := c.open(t)
	c.mustRun(t, f, 1<<63, groupHosts(0, 5))
	state, err := c.open(t).Look(t.Context())
	if err != nil || state.Stamp == nil || state.Stamp.Generation != 1<<63 {
		t.Errorf("error %v, stamp %+v", err, state.Stamp)
	}
}

func TestNothingIsLeftWhenTheListIsEmpty(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	foreign := c.Foreign()
	c.mustRun(t, c.open(t), 1, groupHosts(0, 25))
	for generation := range uint64(3) {
		c.mustRun(t, c.open(t), 2+generation, nil)
	}
	if names, _ := c.lists(t); !slices.Equal(names, []string{"offices"}) {
		t.Errorf("groups of templates %q, want the user's alone", names)
	}
	if left := c.Templates(guangzhou); len(left) != 1 {
		t.Errorf("templates %v, want the user's alone", left)
	}
	for _, id := range c.target.SecurityGroups {
		if ours := c.ours(id); ours != nil {
			t.Errorf("%s: %q is left", id, ours)
		}
	}
	if diff := cmp.Diff(foreign, c.Foreign()); diff != "" {
		t.Errorf("what is not ours changed:\n%s", diff)
	}
	if r := c.mustRun(t, c.open(t), 9, nil); r.Writes != 0 || len(r.Plan) != 0 {
		t.Errorf("an empty wall for an empty list: %d writes, plan %q", r.Writes, r.Plan)
	}
}

// A name alone makes nothing ours: neither a template nor a group of them.
func TestNameAloneIsNotOurs(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	if _, err := c.SeedTemplate(guangzhou, "tracewall-edge-v4-001", "198.51.100.77"); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	all := c.Templates(guangzhou)
	if got := all["tracewall-edge-v4-001"]; !slices.Equal(got, []string{"198.51.100.77"}) {
		t.Errorf("their template holds %q now", got)
	}
	if names := slices.Sorted(maps.Keys(all)); !slices.Equal(names, []string{"office", "tracewall-edge-v4-001", "tracewall-edge-v4-002", "tracewall-edge-v4-003"}) {
		t.Errorf("templates %q", names)
	}

	c = newGroupCloud(t, waftest.TencentOptions{})
	id, err := c.SeedTemplate(guangzhou, "x", "198.51.100.77")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SeedTemplateGroup(guangzhou, "tracewall-edge", id); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	if _, err := c.run(t, c.open(t), 1, groupHosts(0, 12)); !errors.Is(err, waf.ErrForeign) || c.Writes() != 0 {
		t.Errorf("error %v, %d writes; want ErrForeign and none", err, c.Writes())
	}
}

func TestTwoTemplatesOfOneNameThatAreBothOurs(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	c.raw(t, "vpc", "CreateAddressTemplate", map[string]any{
		"AddressTemplateName": "tracewall-edge-v4-001", "AddressesExtra": []any{map[string]any{"Address": "198.51.100.3", "Description": "tracewall edge"}},
	}, nil)
	c.Forget()
	if _, err := c.run(t, c.open(t), 2, groupHosts(0, 3)); !errors.Is(err, waf.ErrForeign) || c.Writes() != 0 {
		t.Errorf("error %v, %d writes; want ErrForeign and none", err, c.Writes())
	}
}

// Somebody entered an address into a template of ours: it is told, and it goes. A template of theirs in our group stays.
func TestWhatOthersPutIntoOurs(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	list := groupHosts(0, 5)
	c.mustRun(t, c.open(t), 1, list)
	_, lists := c.lists(t)
	var mine struct {
		AddressTemplateSet []namedTemplate
	}
	c.raw(t, "vpc", "DescribeAddressTemplates", nil, &mine)
	var set, theirs string
	for _, one := range mine.AddressTemplateSet {
		if one.Name == "office" {
			theirs = one.ID
		} else {
			set = one.ID
		}
	}
	for name, id := range lists {
		if strings.HasPrefix(name, "tracewall") {
			c.raw(t, "vpc", "AddTemplateMember", map[string]any{"TemplateId": id, "TemplateMember": []any{map[string]any{"Member": theirs}}}, nil)
		}
	}
	c.raw(t, "vpc", "AddTemplateMember", map[string]any{"TemplateId": set, "TemplateMember": []any{map[string]any{"Member": "198.51.100.200-198.51.100.203"}}}, nil)
	report := c.mustRun(t, c.open(t), 2, groupHosts(0, 15))
	if want := []string{`somebody entered "198.51.100.200-198.51.100.203" into tracewall-edge-v4-001`}; !slices.Equal(report.Drift, want) {
		t.Errorf("drift %q, want %q", report.Drift, want)
	}
	if !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, theirs) }) {
		t.Errorf("notes %q do not name the template of theirs in our group", report.Notes)
	}
	want := append(prefixesOf(groupHosts(0, 15)), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.9/32"))
	if got := c.enforced(); !slices.Equal(got, want) {
		t.Errorf("dropped %v, want ours and their own template: %v", got, want)
	}
}

// The cloud refuses one address for reasons of its own. It costs only itself, whether the answer names it or not.
func TestAddressThatTheCloudRefusesCostsOnlyItself(t *testing.T) {
	list := groupHosts(0, 18)
	bad := list[7].Prefix
	for _, named := range []bool{true, false} {
		t.Run(fmt.Sprintf("named %t", named), func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{Refuse: []netip.Prefix{bad}})
			c.target.SetSize = 20
			c.mustRun(t, c.open(t), 1, list[:3])
			cfg := c.config()
			if !named {
				cfg.Transport = mumbling{}
			}
			f, err := tencentfw.New(cfg, c.target)
			if err != nil {
				t.Fatal(err)
			}
			report := c.mustRun(t, f, 2, list)
			if len(report.Rejected) != 1 || report.Rejected[0].Value != bad.String() || report.Enforced != 17 || len(c.enforced()) != 17 {
				t.Errorf("rejected %+v, enforced %d, want only %s to be missing", report.Rejected, report.Enforced, bad)
			}
			if named && report.Writes != 2 {
				t.Errorf("%d writes although the cloud says which it is, want the refused one and the one without it", report.Writes)
			}
		})
	}
}

func TestWhatHasNoRoomIsToldMostUrgentFirst(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{GroupMembers: 2, TemplateMembers: 10})
	list := groupHosts(0, 60)
	for i := range list {
		list[i].Severity = threat.Low
		if i >= 50 {
			list[i].Severity = threat.Critical
		}
	}
	report := c.mustRun(t, c.open(t), 1, list)
	if report.Enforced != 20 || report.Overflow != 40 || len(report.Overflowed) != 40 {
		t.Errorf("enforced %d, overflow %d, want 20 and 40", report.Enforced, report.Overflow)
	}
	for _, w := range list[50:] {
		if !slices.Contains(c.enforced(), w.Prefix) {
			t.Errorf("%s is critical and not in", w.Prefix)
		}
	}
	report = c.mustRun(t, c.open(t), 2, list[:50])
	if report.Enforced != 20 || report.Overflow != 30 {
		t.Errorf("ten gone: enforced %d, overflow %d, want 20 and 30", report.Enforced, report.Overflow)
	}
}

// Neighbours that make a whole range take one place, without anybody else in it.
func TestNeighboursTakeOnePlace(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{GroupMembers: 1, TemplateMembers: 10})
	var list []waf.Want
	for i := range 256 {
		list = append(list, waf.Want{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 32)})
	}
	list = append(list, groupHosts(9, 5)...)
	report := c.mustRun(t, c.open(t), 1, list)
	if report.Overflow != 0 || report.Enforced != 261 {
		t.Errorf("enforced %d, overflow %d, want all of 261", report.Enforced, report.Overflow)
	}
}

func TestDenseRangesOnlyWhereTheTargetAsksForThem(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{GroupMembers: 1, TemplateMembers: 10})
	var list []waf.Want
	for i := range 128 {
		list = append(list, waf.Want{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(2*i + 1)}), 32)})
	}
	if report := c.mustRun(t, c.open(t), 1, list); report.Enforced != 10 || report.Overflow != 118 {
		t.Errorf("without aggregate: enforced %d, overflow %d, want 10 and 118", report.Enforced, report.Overflow)
	}
	c.target.Aggregate = 100
	if report := c.mustRun(t, c.open(t), 2, list); report.Overflow != 0 || !slices.Equal(c.enforced(), []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}) {
		t.Errorf("with aggregate 100: overflow %d, dropped %v", report.Overflow, c.enforced())
	}
}

func TestTemplateThatWasRenamedOrDeletedIsMadeAnew(t *testing.T) {
	for name, change := range map[string]func(c *groupCloud, id string){
		"renamed": func(c *groupCloud, id string) {
			c.raw(t, "vpc", "ModifyAddressTemplateAttribute", map[string]any{"AddressTemplateId": id, "AddressTemplateName": "mine now"}, nil)
		},
		"unmarked": func(c *groupCloud, id string) {
			c.raw(t, "vpc", "ModifyAddressTemplateAttribute", map[string]any{"AddressTemplateId": id, "Addresses": []string{"198.51.100.5"}}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{})
			list := groupHosts(0, 25)
			c.mustRun(t, c.open(t), 1, list)
			var all struct {
				AddressTemplateSet []namedTemplate
			}
			c.raw(t, "vpc", "DescribeAddressTemplates", nil, &all)
			for _, one := range all.AddressTemplateSet {
				if one.Name == "tracewall-edge-v4-002" {
					change(c, one.ID)
				}
			}
			c.mustRun(t, c.open(t), 2, list)
			now := c.enforced()
			for _, w := range list {
				if !slices.Contains(now, w.Prefix) {
					t.Fatalf("%s is not dropped", w.Prefix)
				}
			}
		})
	}
}

// A template that changed between the look and the write is a conflict, and looked at again.
func TestPutDoesNotOverwriteWhatChangedSinceTheLook(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	list := groupHosts(0, 5)
	c.mustRun(t, c.open(t), 1, list)
	f := c.open(t)
	state, err := f.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		AddressTemplateSet []namedTemplate
	}
	c.raw(t, "vpc", "DescribeAddressTemplates", map[string]any{"Filters": []any{map[string]any{"Name": "address-template-name", "Values": []string{"tracewall"}}}}, &all)
	c.raw(t, "vpc", "AddTemplateMember", map[string]any{
		"TemplateId": all.AddressTemplateSet[0].ID, "TemplateMember": []any{map[string]any{"Member": "198.51.100.99"}},
	}, nil)
	set := state.Sets[0]
	set.Prefixes = prefixesOf(groupHosts(0, 6))
	if err := f.Put(t.Context(), set); !errors.Is(err, waf.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
	if got := c.Templates(guangzhou)["tracewall-edge-v4-001"]; !slices.Contains(got, "198.51.100.99") || len(got) != 6 {
		t.Errorf("template holds %q, want it as it was", got)
	}
}

// The group of templates is read again before it is written: what others entered since the look stays, and another name is a conflict.
func TestReferenceDoesNotOverwriteWhatChangedSinceTheLook(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 5))
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), waf.Set{Name: "tracewall-edge-v4-002", Family: waf.IPv4, Prefixes: prefixesOf(groupHosts(7, 2))}); err != nil {
		t.Fatal(err)
	}
	theirs, err := c.SeedTemplate(guangzhou, "theirs", "198.51.100.240")
	if err != nil {
		t.Fatal(err)
	}
	_, ids := c.lists(t)
	delete(ids, "offices")
	for _, id := range ids {
		c.raw(t, "vpc", "AddTemplateMember", map[string]any{"TemplateId": id, "TemplateMember": []any{map[string]any{"Member": theirs}}}, nil)
	}
	if err := f.Reference(t.Context(), []string{"tracewall-edge-v4-002"}, nil); err != nil {
		t.Fatal(err)
	}
	if now := c.enforced(); !slices.Contains(now, netip.MustParsePrefix("198.51.100.240/32")) || len(now) != 8 {
		t.Errorf("dropped %v, want ours and theirs", now)
	}
	for _, id := range ids {
		c.raw(t, "vpc", "ModifyAddressTemplateGroupAttribute", map[string]any{"AddressTemplateGroupId": id, "AddressTemplateGroupName": "mine now"}, nil)
	}
	if err := f.Reference(t.Context(), nil, []string{"tracewall-edge-v4-002"}); !errors.Is(err, waf.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
}

// An answer that got lost after the change was made is no failure.
func TestLostAnswersAreNoFailures(t *testing.T) {
	for n := range 9 {
		t.Run(fmt.Sprintf("write %d", n), func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{})
			c.target.LoadBalancers = append(c.target.LoadBalancers, c.SeedLoadBalancer(guangzhou, "more"))
			c.failing(n, true, true)
			c.mustRun(t, c.open(t), 1, groupHosts(0, 15)) // two templates, the group, two rules, two bindings, the stamp
			c.failing(n%2, true, true)
			c.mustRun(t, c.open(t), 2, groupHosts(1, 15))
			c.failing(n, true, true)
			c.mustRun(t, c.open(t), 3, nil) // two rules, the group
			c.failing(n, true, true)
			c.mustRun(t, c.open(t), 4, nil) // two templates
		})
	}
}

// A template that a group of somebody else's refers to cannot be deleted: it is left for the next run.
func TestTemplateThatSomebodyElseRefersToStays(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 25))
	var all struct{ AddressTemplateSet []namedTemplate }
	c.raw(t, "vpc", "DescribeAddressTemplates", nil, &all)
	for _, one := range all.AddressTemplateSet {
		if one.Name == "tracewall-edge-v4-003" {
			if _, err := c.SeedTemplateGroup(guangzhou, "borrowed", one.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for generation := range uint64(3) {
		c.mustRun(t, c.open(t), 2+generation, groupHosts(0, 10))
	}
	if got := c.enforced(); !slices.Equal(got, prefixesOf(groupHosts(0, 10))) {
		t.Errorf("%d dropped, want 10", len(got))
	}
}

func TestBusyTemplatesAreWaitedFor(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{TaskCalls: 3})
	for generation, size := range []int{25, 12, 33, 5, 0, 40} {
		c.mustRun(t, c.open(t), uint64(generation), groupHosts(generation, size))
		if got := c.enforced(); !slices.Equal(got, prefixesOf(groupHosts(generation, size))) {
			t.Errorf("%d dropped, want %d", len(got), size)
		}
	}
}

func TestAddressesAreWrittenAsTheDocumentationSpellsThem(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	var list []waf.Want
	for _, text := range []string{"192.0.2.1/32", "192.0.2.128/25", "2001:db8::1/128", "2001:db8:1::/64"} {
		list = append(list, waf.Want{Prefix: netip.MustParsePrefix(text)})
	}
	c.mustRun(t, c.open(t), 1, list)
	all := c.Templates(guangzhou)
	if got := all["tracewall-edge-v4-001"]; !slices.Equal(got, []string{"192.0.2.1", "192.0.2.128/25"}) {
		t.Errorf("IPv4 %q", got)
	}
	if got := all["tracewall-edge-v6-001"]; !slices.Equal(got, []string{"2001:db8::1", "2001:db8:1::/64"}) {
		t.Errorf("IPv6 %q", got)
	}
}
