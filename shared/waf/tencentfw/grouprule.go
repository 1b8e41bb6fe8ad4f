package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// securityGroup is one of the user's, as it was read at a Version. Rules are matched from
// the top; the first that matches decides; what matches none is denied.
type securityGroup struct {
	ID      string
	missing bool
	version string
	rules   []policy // inbound, in order
}

// policy is one rule. Our own is told by its description and by referring to our group of templates, both.
type policy struct {
	PolicyIndex     int
	Protocol        string
	Port            string
	ServiceTemplate struct {
		ServiceID      string `json:"ServiceId"`
		ServiceGroupID string `json:"ServiceGroupId"`
	}
	CidrBlock       string
	Ipv6CidrBlock   string
	SecurityGroupID string `json:"SecurityGroupId"`
	AddressTemplate struct {
		AddressID      string `json:"AddressId"`
		AddressGroupID string `json:"AddressGroupId"`
	}
	Action            string
	PolicyDescription string
}

func (p policy) is(word, want string) bool { return strings.EqualFold(word, want) }

// accepts tells rules that let through.
func (p policy) accepts() bool { return !p.is(p.Action, "DROP") }

// drops tells whether the rule drops, for a protocol on all ports, whatever our group of templates holds.
func (p policy) drops(list, protocol string) bool {
	return slices.ContainsFunc(bridgePorts, func(ports string) bool { return p.dropsOn(list, protocol, ports) })
}

func (p policy) dropsOn(list, protocol, ports string) bool {
	return p.AddressTemplate.AddressGroupID == list && !p.accepts() && p.is(p.Protocol, protocol) && p.is(p.Port, ports) &&
		p.ServiceTemplate.ServiceID == "" && p.ServiceTemplate.ServiceGroupID == ""
}

// bridgePorts are two ways to say all ports, for a bridge that is needed where one was left lower down.
var bridgePorts = []string{"all", "1-65535"}

// String says the rule in words, bounded: descriptions may hold anything.
func (p policy) String() string {
	from := p.CidrBlock + p.Ipv6CidrBlock + p.SecurityGroupID + p.AddressTemplate.AddressID + p.AddressTemplate.AddressGroupID
	what := p.Protocol + " " + p.Port
	if id := p.ServiceTemplate.ServiceID + p.ServiceTemplate.ServiceGroupID; id != "" {
		what = id
	}
	text := fmt.Sprintf("rule %d, %s %s from %s", p.PolicyIndex, printable(p.Action, 10), printable(what, 40), printable(from, 50))
	if p.PolicyDescription != "" {
		text += fmt.Sprintf(" %q", printable(p.PolicyDescription, 60))
	}
	return text
}

// standing is how our rule stands in a security group.
type standing struct {
	main   int // place of the first rule of ours that drops everything; -1: there is none
	twin   int // place of one that does the same and has not our mark; -1: there is none
	extra  []int
	ahead  []int // rules of others that accept and come before main
	behind []int // and those that come after
	// bridged: rules of ours that drop TCP and UDP come before all that accept.
	bridged bool
}

func (s standing) ok() bool {
	return s.place() >= 0 && len(s.ahead) == 0 && len(s.extra) == 0
}

// place is where what does the work stands; -1: nowhere.
func (s standing) place() int {
	if s.main >= 0 {
		return s.main
	}
	return s.twin
}

// judge finds our rules in a security group.
func (w *securityGroup) judge(list, mark string) standing {
	s := standing{main: -1, twin: -1}
	tcp, udp, accepted := -1, -1, false
	for i, p := range w.rules {
		ours := p.PolicyDescription == mark && p.AddressTemplate.AddressGroupID == list
		switch {
		case ours && p.dropsOn(list, "ALL", "all") && s.main < 0:
			s.main = i
		case ours:
			s.extra = append(s.extra, i)
			if !accepted && p.drops(list, "TCP") {
				tcp = i
			}
			if !accepted && p.drops(list, "UDP") {
				udp = i
			}
		case p.dropsOn(list, "ALL", "all") && s.twin < 0:
			s.twin = i
		case p.accepts():
			accepted = true
		}
	}
	s.bridged = tcp >= 0 && udp >= 0
	for i, p := range w.rules {
		if p.accepts() && !slices.Contains(s.extra, i) {
			if i < s.place() {
				s.ahead = append(s.ahead, i)
			} else {
				s.behind = append(s.behind, i)
			}
		}
	}
	return s
}

// findWalls reads the security groups.
func (g *group) findWalls(ctx context.Context, state *waf.State) error {
	g.walls = nil
	for _, id := range g.target.SecurityGroups {
		w, err := g.readWall(ctx, id)
		if err != nil {
			return err
		}
		g.walls = append(g.walls, w)
		if w.missing {
			state.Notes = append(state.Notes, missingWall(id, g.target.Region))
			continue
		}
		g.drifted(w, state)
	}
	return nil
}

func missingWall(id, region string) string {
	return fmt.Sprintf("security group %s is not in %s: correct security_groups or region", id, region)
}

// drifted notes what only somebody else can have done to our rule. That it is not there may as well be a run
// of ours that did not get so far.
func (g *group) drifted(w *securityGroup, state *waf.State) {
	if g.list == nil {
		return
	}
	s := w.judge(g.list.ID, g.mark)
	for _, i := range s.ahead {
		state.Drift = append(state.Drift, fmt.Sprintf("%s: %s was put before our rule", w.ID, w.rules[i]))
	}
	for _, i := range s.extra {
		p := w.rules[i]
		if !p.dropsOn(g.list.ID, "ALL", "all") && !p.drops(g.list.ID, "TCP") && !p.drops(g.list.ID, "UDP") {
			state.Drift = append(state.Drift, fmt.Sprintf("%s: our rule was changed: %s", w.ID, p))
		}
	}
	if s.main < 0 && s.twin >= 0 {
		state.Notes = append(state.Notes, fmt.Sprintf("%s: %s does what ours would and has not our description %q: left as it is", w.ID, w.rules[s.twin], g.mark))
	}
}

func (g *group) readWall(ctx context.Context, id string) (*securityGroup, error) {
	var answer struct {
		SecurityGroupPolicySet struct {
			Version string
			Ingress []policy
		}
	}
	err := g.call(ctx, "vpc", "DescribeSecurityGroupPolicies", map[string]any{"SecurityGroupId": id}, &answer)
	switch code(err) {
	case "ResourceNotFound", "InvalidSecurityGroupID.NotFound":
		return &securityGroup{ID: id, missing: true}, nil
	}
	if err != nil {
		return nil, err
	}
	set := answer.SecurityGroupPolicySet
	if set.Version == "" {
		return nil, fmt.Errorf("rules of %s come without a version, so nothing can be changed safely: %w", id, waf.ErrUnavailable)
	}
	// What an answer is in order of is not said anywhere.
	slices.SortStableFunc(set.Ingress, func(a, b policy) int { return a.PolicyIndex - b.PolicyIndex })
	return &securityGroup{ID: id, version: set.Version, rules: set.Ingress}, nil
}

// ruleSteps bounds the writes to one security group in one run: five are the most that it takes.
const ruleSteps = 14

// keepOnTop makes our rule the one that decides first in a security group, with the rules of others as they are. It
// reads, makes one change under the version that it read, and reads again, until nothing is left to do: a
// change by somebody else in between only costs another round.
//
// Where an accepting rule was put before ours, another of ours goes on top first and the old one is taken out then.
// Tencent Cloud refuses a rule that is there already (whether a description makes a difference is
// UNVERIFIED). Then two other ones, for TCP and for UDP, bridge the moment in which the old one
// moves: of the sets' addresses, only what is neither TCP nor UDP can then pass for the time of one call.
func (g *group) keepOnTop(ctx context.Context, w *securityGroup) error {
	twins := false // the cloud refuses a second rule like ours
	troubles := 0
	for range ruleSteps {
		now, err := g.readWall(ctx, w.ID)
		if err != nil {
			return err
		}
		if now.missing {
			return fmt.Errorf("%s: %w", missingWall(w.ID, g.target.Region), waf.ErrConflict)
		}
		*w = *now
		s := w.judge(g.list.ID, g.mark)
		switch {
		case s.ok():
			return nil
		case s.place() < 0, s.main >= 0 && len(s.ahead) > 0 && !twins:
			err = g.insert(ctx, w, "all", "ALL")
		case len(s.ahead) == 0: // and something is left over
			err = g.remove(ctx, w, s.extra)
		case s.main < 0:
			return fmt.Errorf("%s: %s refers to our group without our description %q, and accepting rules come before it: delete it or move it to the top: %w", w.ID, w.rules[s.twin], g.mark, waf.ErrForeign)
		case s.bridged:
			err = g.remove(ctx, w, []int{s.main})
		default:
			err = g.bridge(ctx, w, s)
		}
		switch {
		case err == nil:
		case code(err) == "UnsupportedOperation.DuplicatePolicy" && s.main >= 0:
			twins = true
		case errors.Is(err, waf.ErrConflict) || unsure(err):
			if troubles++; troubles == 4 {
				return err
			}
			if unsure(err) && !errors.Is(err, waf.ErrConflict) {
				if waited := g.wait(ctx, troubles); waited != nil {
					return errors.Join(waited, err)
				}
			}
		case errors.Is(err, waf.ErrQuota) && twins:
			return fmt.Errorf("%s: %s comes before our rule, and there is no room for a second one that would go on top: move ours to the top by hand: %w", w.ID, w.rules[s.ahead[0]], err)
		default:
			return err
		}
	}
	return fmt.Errorf("%s: somebody else keeps changing its rules: %w", w.ID, waf.ErrConflict)
}

// takeOff removes our rules from a security group.
func (g *group) takeOff(ctx context.Context, w *securityGroup) error {
	troubles := 0
	for {
		now, err := g.readWall(ctx, w.ID)
		if err != nil {
			return err
		}
		*w = *now
		s := w.judge(g.list.ID, g.mark)
		ours := s.extra
		if s.main >= 0 {
			ours = append([]int{s.main}, ours...)
		}
		if w.missing || len(ours) == 0 {
			return nil
		}
		err = g.remove(ctx, w, ours)
		switch {
		case err == nil:
			troubles++ // each round that changed nothing is one too many
		case errors.Is(err, waf.ErrConflict) || unsure(err):
			troubles++
			if waited := g.wait(ctx, troubles); waited != nil {
				return errors.Join(waited, err)
			}
		default:
			return err
		}
		if troubles > 4 {
			return errors.Join(fmt.Errorf("%s: our rule is still there: %w", w.ID, waf.ErrConflict), err)
		}
	}
}

// bridge puts rules for TCP and UDP on top. Those that a run left lower down, which had no time to take them out, may
// still be needed there: the new ones spell their ports in another way.
func (g *group) bridge(ctx context.Context, w *securityGroup, s standing) error {
	for _, ports := range bridgePorts {
		if !slices.ContainsFunc(s.extra, func(i int) bool {
			return w.rules[i].dropsOn(g.list.ID, "TCP", ports) || w.rules[i].dropsOn(g.list.ID, "UDP", ports)
		}) {
			return g.insert(ctx, w, ports, "TCP", "UDP")
		}
	}
	return fmt.Errorf("%s: %s comes before our rules, which have been moved too often: move the one for all protocols to the top by hand: %w", w.ID, w.rules[s.ahead[0]], waf.ErrForeign)
}

// insert puts one rule for each protocol on top, under the version that was read.
func (g *group) insert(ctx context.Context, w *securityGroup, ports string, protocols ...string) error {
	var rules []map[string]any
	for _, protocol := range protocols {
		rules = append(rules, map[string]any{
			"PolicyIndex": 0, "Protocol": protocol, "Port": ports, "Action": "DROP", "PolicyDescription": g.mark,
			"AddressTemplate": map[string]any{"AddressGroupId": g.list.ID},
		})
	}
	return g.call(ctx, "vpc", "CreateSecurityGroupPolicies", w.inbound(rules), nil)
}

// remove takes rules out by their places, which only hold under the version that was read.
func (g *group) remove(ctx context.Context, w *securityGroup, places []int) error {
	var rules []map[string]any
	for _, i := range places {
		rules = append(rules, map[string]any{"PolicyIndex": w.rules[i].PolicyIndex})
	}
	return g.call(ctx, "vpc", "DeleteSecurityGroupPolicies", w.inbound(rules), nil)
}

func (w *securityGroup) inbound(rules []map[string]any) map[string]any {
	return map[string]any{"SecurityGroupId": w.ID, "SecurityGroupPolicySet": map[string]any{"Version": w.version, "Ingress": rules}}
}
