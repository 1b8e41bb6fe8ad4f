package awswaf_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// in returns the same cloud with its target in another mode.
func (c *cloud) in(mode string) *cloud {
	target := awswaf.Target{Name: "edge", Region: region, Mode: mode, SetSize: 10}
	switch mode {
	case awswaf.ModeWebACL:
		target.WebACL, target.Priority = acl, 101
	case awswaf.ModeRuleGroup:
		target.Groups = 2
	}
	return &cloud{AWS: c.AWS, url: c.url, target: target}
}

// stage is one run of a story about modes.
type stage struct {
	mode  string
	wants []waf.Want
}

// TestSwitchingModesLeavesNoGap lets every call of a switch fail. The user refers to
// each rule group as soon as it is there, and to nothing else; nobody detaches anything.
func TestSwitchingModesLeavesNoGap(t *testing.T) {
	spread := without(hosts(0, 55), 3, 13, 23, 33, 43, 53) // removed by exception
	stories := map[string][]stage{
		"to rule groups":                 {{awswaf.ModeWebACL, hosts(0, 28)}, {awswaf.ModeRuleGroup, hosts(5, 33)}},
		"to rule groups and back":        {{awswaf.ModeWebACL, hosts(0, 28)}, {awswaf.ModeRuleGroup, hosts(5, 33)}, {awswaf.ModeWebACL, hosts(8, 24)}},
		"from rule groups":               {{awswaf.ModeRuleGroup, hosts(0, 28)}, {awswaf.ModeWebACL, hosts(5, 33)}},
		"to rule groups with exceptions": {{awswaf.ModeWebACL, hosts(0, 55)}, {awswaf.ModeWebACL, spread}, {awswaf.ModeRuleGroup, append(without(spread, 7), hosts(100, 4)...)}},
		"to the web acl with exceptions": {{awswaf.ModeRuleGroup, hosts(0, 55)}, {awswaf.ModeRuleGroup, spread}, {awswaf.ModeWebACL, append(without(spread, 7), hosts(100, 4)...)}},
		"what was excepted is wanted again": {
			{awswaf.ModeWebACL, hosts(0, 55)}, {awswaf.ModeWebACL, spread}, {awswaf.ModeRuleGroup, hosts(0, 55)}, {awswaf.ModeWebACL, hosts(0, 54)},
		},
	}
	for name, story := range stories {
		for kind, fault := range faultKinds {
			if kind == "quota" || kind == "throttled" || kind == "gone" {
				continue // overflow may take what was there; the others leave no doubt
			}
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					if done := tellStory(t, story, n, kind, fault); done {
						if n < 4 {
							t.Errorf("only %d calls: the scenario tests nothing", n)
						}
						return
					}
				}
			})
		}
	}
}

// tellStory lets the n-th call of the last stage fail and tells whether there was none.
func tellStory(t *testing.T, story []stage, n int, kind string, fault waftest.Fault) (done bool) {
	t.Helper()
	c := newCloud(t, waftest.AWSOptions{})
	foreign := c.foreignButUses(t)
	users := 0 // calls that the user makes
	busy := false
	referToAll := func() {
		busy = true
		before := len(c.Calls())
		for name := range c.Groups(region, awswaf.Regional) {
			if rules, err := c.Rules(region, awswaf.Regional, acl); err == nil && rules["use-"+name] == "" {
				c.refer(t, name)
			}
		}
		users += len(c.Calls()) - before
		busy = false
	}
	for i, s := range story {
		at := c.in(s.mode)
		last := i == len(story)-1
		c.Forget()
		users = 0
		where := fmt.Sprintf("%s at call %d of stage %d", kind, n, i)
		c.guardOf(t, where, s.wants, c.enforced)
		c.Before(func(call waftest.Call) *waftest.Fault {
			if busy {
				return nil
			}
			at := call.Index - users
			referToAll()
			if last && at == n {
				return &fault
			}
			return nil
		})
		_, err := at.run(t, at.open(t), uint64(i+1), s.wants)
		if !last && err != nil {
			t.Fatalf("stage %d: %v", i, err)
		}
		done = len(c.Calls())-users <= n
		c.Before(nil)
		referToAll()
	}
	s := story[len(story)-1]
	at := c.in(s.mode)
	report, err := at.run(t, at.open(t), uint64(len(story)), s.wants)
	if err != nil || report.Enforced != len(s.wants) {
		t.Errorf("%s at call %d: the run after it: %v, %d enforced, want %d", kind, n, err, report.Enforced, len(s.wants))
	}
	referToAll()
	now := c.enforced()
	for _, w := range s.wants {
		if !slices.Contains(now, w.Prefix) {
			t.Errorf("%s at call %d: %s is not blocked in the end", kind, n, w.Prefix)
		}
	}
	if s.mode == awswaf.ModeRuleGroup && len(c.inGroups()) != len(s.wants) {
		t.Errorf("%s at call %d: the groups block %d, want %d", kind, n, len(c.inGroups()), len(s.wants))
	}
	if got := c.foreignButUses(t); got != foreign {
		t.Errorf("%s at call %d: what is not ours changed:\n%s\n%s", kind, n, foreign, got)
	}
	return done
}

// foreignButUses is what is not ours, less the user's references to our groups.
func (c *cloud) foreignButUses(t *testing.T) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(c.foreign(t)) {
		if !strings.HasPrefix(line, `{"Name":"use-`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// TestBetweenTheWebACLAndNamedSets: nothing of the old place is taken away, the new one is filled.
func TestBetweenTheWebACLAndNamedSets(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, sevenSets...)
	named := &cloud{AWS: c.AWS, url: c.url, target: c.target}
	inACL := c.in(awswaf.ModeWebACL)
	inACL.mustRun(t, inACL.open(t), 1, hosts(0, 28))
	own := c.Sets(region, awswaf.Regional)

	c.Forget()
	c.guardOf(t, "to the named sets", hosts(5, 40), c.enforced)
	if _, err := named.run(t, named.open(t), 2, hosts(5, 40)); err != nil {
		t.Fatal(err)
	}
	c.onlyTwoActions(t)
	for name, n := range c.Sets(region, awswaf.Regional) {
		if strings.HasPrefix(name, "tracewall-") && own[name] != n {
			t.Errorf("%s had %d and has %d: the old place stays until it is detached", name, own[name], n)
		}
	}
	filled := c.Sets(region, awswaf.Regional)

	c.guardOf(t, "back to the web acl", hosts(9, 40), c.enforced)
	if _, err := inACL.run(t, inACL.open(t), 3, hosts(9, 40)); err != nil {
		t.Fatal(err)
	}
	for name, n := range c.Sets(region, awswaf.Regional) {
		if strings.HasPrefix(name, "bad-") && filled[name] != n {
			t.Errorf("%s had %d and has %d: it is the user's again", name, filled[name], n)
		}
	}
}

func TestWhatIsLeftOfRuleGroupsIsNoted(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	groups := c.in(awswaf.ModeRuleGroup)
	groups.mustRunGroups(t, groups.open(t), 1, hosts(0, 15))
	c.refer(t, "tracewall-edge-001")
	inACL := c.in(awswaf.ModeWebACL)
	report := inACL.mustRun(t, inACL.open(t), 1, hosts(0, 15))
	if !slices.ContainsFunc(report.Notes, func(n string) bool {
		return strings.HasPrefix(n, "rule use-tracewall-edge-001 ") && strings.Contains(n, "left of mode rule-group")
	}) {
		t.Errorf("notes %q", report.Notes)
	}
}

// TestTheOldPlaceCanBeLeft once the new one does all that it did, although the old
// one still refers to sets that have been emptied since.
func TestTheOldPlaceCanBeLeft(t *testing.T) {
	for _, back := range []bool{false, true} {
		first, second := awswaf.ModeWebACL, awswaf.ModeRuleGroup
		if back {
			first, second = second, first
		}
		t.Run(first+" for "+second, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			old, now := c.in(first), c.in(second)
			old.target.WebACL, now.target.WebACL = acl, acl
			if _, err := old.run(t, old.open(t), 1, hosts(0, 45)); err != nil {
				t.Fatal(err)
			}
			if _, err := now.run(t, now.open(t), 2, hosts(0, 45)); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				c.refer(t, fmt.Sprintf("tracewall-edge-%03d", i+1))
			}
			for generation := uint64(3); generation < 6; generation++ {
				if _, err := now.run(t, now.open(t), generation, hosts(0, 12)); err != nil {
					t.Fatal(err)
				}
			}
			if first == awswaf.ModeRuleGroup { // a group in use cannot be deleted: the user stops referring to it first
				c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
					return slices.DeleteFunc(rules, func(r json.RawMessage) bool { return strings.HasPrefix(string(r), `{"Name":"use-`) })
				})
			}
			c.guardOf(t, "detach", hosts(0, 12), c.enforced)
			done, err := now.open(t).DetachMode(t.Context(), first, false)
			if err != nil {
				t.Fatalf("%v; done %q", err, done)
			}
			if r, err := now.run(t, now.open(t), 6, hosts(0, 12)); err != nil || len(r.Remaining) > 0 || len(c.enforced()) != 12 {
				t.Errorf("%v, remaining %q, %d enforced", err, r.Remaining, len(c.enforced()))
			}
		})
	}
}
