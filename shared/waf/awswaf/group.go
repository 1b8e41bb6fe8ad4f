package awswaf

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// groupReferences is AWS WAF's fixed number of reference statements per rule group.
	groupReferences = 50
	// exceptPlaces of them are kept free in every group: an exceptions set of each
	// family has to be referred to beside the sets that it makes exceptions of.
	exceptPlaces = 2
)

// ruleGroupPlace is the place of mode rule-group: rule groups of our own, named
// tracewall-<target>-001 and on, each with one rule like the one that mode web-acl
// puts into the user's web ACL. The user refers to each group once; UpdateWebACL is never called.
//
// A set stays in the group that refers to it, so that a new set costs one write and
// no change anywhere can take a set out of one group before it is in another. Exceptions
// sets are referred to in every group that has sets.
//
// What a group holds beside our rule is not dropped, although an update replaces
// the group: such a group is left as it is, which the notes say, and only a run that would
// have to change it fails, with waf.ErrForeign. The sets in it are kept up to date all the while.
type ruleGroupPlace struct {
	*Firewall
	groupNames *regexp.Regexp
	references int                    // per group: groupReferences
	groups     []*ruleGroup           // those that exist, in order of number
	known      map[string]groupMemory // by id; see Look's cost
	left       map[string]groupMemory // by id, as we left them; nil: not known
	// perReference is what CheckCapacity last said that one reference costs, in WCU; 0: not asked yet.
	perReference int
}

// ruleGroup is one of our groups as it stands.
type ruleGroup struct {
	groupMemory
	number    int
	described bool // it has the description that we give it
	strange   string
	strangers int // sets in our rule that are not ours
}

// notOurs says in words what in the group is not ours, "" if all is. Whose a set with
// one of our names is, this look has found out and the next one does again.
func (g *ruleGroup) notOurs() string { return cmp.Or(g.Foreign, g.strange) }

func newRuleGroupPlace(f *Firewall) *ruleGroupPlace {
	return &ruleGroupPlace{
		Firewall: f, references: groupReferences, known: map[string]groupMemory{},
		groupNames: groupNames(f.base),
	}
}

func (p *ruleGroupPlace) groupName(n int) string { return fmt.Sprintf("%s-%03d", p.base, n) }

// number returns which of our groups a name is, 0 if it is none.
func (p *ruleGroupPlace) number(name string) int {
	m := p.groupNames.FindStringSubmatch(name)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// configured is how many groups the target asks for.
func (p *ruleGroupPlace) configured() int { return max(1, p.target.Groups) }

func (p *ruleGroupPlace) title() string {
	if n := p.configured(); n > 1 {
		return fmt.Sprintf("rule groups %s to -%03d", p.groupName(1), n)
	}
	return "rule group " + p.groupName(1)
}

func (p *ruleGroupPlace) exists() bool { return len(p.groups) > 0 }

// id is empty: ListRuleGroups finds the groups, whatever the sets say.
func (p *ruleGroupPlace) id() string { return "" }

func (p *ruleGroupPlace) refs() (arns []string) {
	for _, g := range p.groups {
		arns = append(arns, g.Refs...)
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

// room counts the exceptions sets in use once, as the planner does, although each takes a place in every group.
func (p *ruleGroupPlace) room() int {
	excepts := p.excepts()
	n := len(excepts)
	groups := p.all()
	for i, s := range p.shares(excepts) {
		n += max(s.room, len(s.blocks)-groups[i].strangers)
	}
	return n
}

// canExcept tells whether an exceptions set can be referred to wherever it has to be:
// in every group that has sets.
func (p *ruleGroupPlace) canExcept() bool {
	return !slices.ContainsFunc(p.groups, func(g *ruleGroup) bool {
		blocks, excepts := splitRefs(g.Refs)
		full := len(blocks)+exceptPlaces > p.references
		return len(blocks) > 0 && len(excepts) == 0 && (full || g.notOurs() != "")
	})
}

// excepts are the ARNs of the exceptions sets that any group refers to.
func (p *ruleGroupPlace) excepts() (arns []string) {
	_, excepts := splitRefs(p.refs())
	return excepts
}

// ok tells whether all configured groups are there and every rule is as configured
// and spares what the exceptions sets hold.
func (p *ruleGroupPlace) ok() bool {
	form := p.form()
	excepts := p.excepts()
	for n := 1; n <= p.configured(); n++ {
		if !slices.ContainsFunc(p.groups, func(g *ruleGroup) bool { return g.number == n }) {
			return false
		}
	}
	return !slices.ContainsFunc(p.groups, func(g *ruleGroup) bool {
		blocks, own := splitRefs(g.Refs)
		return !g.described || len(g.Refs) > 0 && g.Form != form ||
			len(blocks) > 0 && !slices.Equal(own, excepts) || len(blocks) == 0 && len(own) > 0
	})
}

func (p *ruleGroupPlace) uses(arn string) bool {
	return slices.ContainsFunc(p.groups, func(g *ruleGroup) bool { return slices.Contains(g.Refs, arn) })
}

// check implements place. A set with one of our names that is not ours makes its
// group one to leave alone, like any other thing in it that is not ours.
func (p *ruleGroupPlace) check(ours map[string]bool, cameMeanwhile func(arn string) bool) error {
	for _, g := range p.groups {
		g.strange, g.strangers = "", 0
		for _, arn := range g.Refs {
			switch {
			case ours[arn]:
			case cameMeanwhile(arn):
				return fmt.Errorf("rule group %s: %w: it refers to %s, which was not listed", g.Name, waf.ErrConflict, arn)
			default:
				g.strangers++
				g.strange = fmt.Sprintf("its rule refers to %s, %v", nameInARN(arn), errForeignSet)
			}
		}
	}
	return nil
}

func (p *ruleGroupPlace) notes() (notes []string) {
	notes = p.target.notes()
	for _, g := range p.groups {
		if why := g.notOurs(); why != "" {
			notes = append(notes, fmt.Sprintf("rule group %s is left as it is, since %s: move that to a rule group of your own", g.Name, why))
		}
		if g.number > p.configured() {
			notes = append(notes, fmt.Sprintf("rule group %s is beyond the %d configured: it keeps its %d sets in force and gets no new ones; once it has none, take it out of your web ACLs and delete it",
				g.Name, p.configured(), len(g.Refs)))
		}
	}
	return notes
}

// find implements place. ListRuleGroups gives every group's description and lock token;
// a group is read only if its token is not the one under which we know it.
func (p *ruleGroupPlace) find(ctx context.Context, _ []types.IPSetSummary) error {
	listed, err := p.listGroups(ctx)
	if err != nil {
		return err
	}
	var groups []*ruleGroup
	known := map[string]groupMemory{}
	for _, s := range listed {
		g, err := p.adopt(ctx, s)
		if err != nil {
			return err
		}
		if g != nil {
			groups = append(groups, g)
			known[g.ID] = g.groupMemory
		}
	}
	slices.SortFunc(groups, func(a, b *ruleGroup) int { return a.number - b.number })
	p.groups, p.known = groups, known
	return nil
}

// groupARNs are what the user's web ACLs refer to if our groups are in use.
func (p *ruleGroupPlace) groupARNs() []string {
	arns := make([]string, len(p.groups))
	for i, g := range p.groups {
		arns[i] = g.ARN
	}
	return arns
}

// splitRefs parts the sets whose addresses are blocked from the exceptions sets, both in order.
func splitRefs(arns []string) (blocks, excepts []string) {
	for _, arn := range arns {
		if isExcept(nameInARN(arn)) {
			excepts = append(excepts, arn)
		} else {
			blocks = append(blocks, arn)
		}
	}
	slices.Sort(blocks)
	slices.Sort(excepts)
	return slices.Compact(blocks), slices.Compact(excepts)
}

// groupDescription says for people what a group is, and for us whose.
func groupDescription(target string) string {
	return "tracewall target:" + target + " blocklist. Refer to it from a web ACL, change nothing in it"
}

func describesGroup(description, target string) bool {
	return strings.HasPrefix(description, "tracewall target:"+target+" ")
}
