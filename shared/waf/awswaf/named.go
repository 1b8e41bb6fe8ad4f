package awswaf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// namedPlace is mode ip-set: the user names the IP sets, makes them, and refers to
// them wherever they like; we fill them. GetIPSet and UpdateIPSet are all that is
// ever called, so two IAM actions are all that is needed.
//
// A named set is handed over whole: what it holds is made equal to the list, and what else
// was in it goes (waf.Guard asks first if that is much). Its description stays the user's, byte
// for byte, so it has no mark, and every run reads every set: the two calls that a run
// without changes costs in the other modes cannot be had here, and nothing but the
// run's lease keeps an older list from overtaking a newer one.
type namedPlace struct {
	*Firewall
	named []namedSet // as configured
}

// namedSet is what an ARN says, and the description that the set was seen with.
type namedSet struct {
	name, id, arn string
	description   string
}

// newNamedPlace takes the sets' names and ids from their ARNs, which Target.check has judged.
func newNamedPlace(f *Firewall) (*namedPlace, error) {
	p := &namedPlace{Firewall: f}
	var problems []error
	for _, arn := range f.target.IPSets {
		name := nameInARN(arn)
		if slices.ContainsFunc(p.named, func(o namedSet) bool { return o.name == name }) {
			// Names are unique in AWS: one of the two ids is of a set that was deleted.
			problems = append(problems, fmt.Errorf("ip set %s: %w: a set named %s is there twice", arn, waf.ErrInvalid, name))
		}
		p.named = append(p.named, namedSet{name: name, id: arn[strings.LastIndexByte(arn, '/')+1:], arn: arn})
	}
	return p, errors.Join(problems...)
}

// look reads every named set.
func (p *namedPlace) look(ctx context.Context) (waf.State, error) {
	state := waf.State{
		Wall: fmt.Sprintf("%s (%s %s)", p.title(), p.target.Scope, p.target.Region), Base: p.base,
		Exists: true, RuleOK: true, Fixed: true, Unmarked: true, RoomSets: p.room(),
	}
	if p.Firewall.left == nil {
		p.Firewall.left = map[string]leftSet{}
	}
	p.sets, p.memory = map[string]*ipSet{}, map[string]remembered{}
	for i := range p.named {
		s := &p.named[i]
		set, err := p.read(ctx, s)
		if err != nil {
			return waf.State{}, fmt.Errorf("get ip set %s: %w", s.name, err)
		}
		state.Drift = append(state.Drift, p.compare(p.sets[s.name], set.Prefixes)...)
		state.Sets = append(state.Sets, set)
	}
	slices.SortFunc(state.Sets, func(a, b waf.Set) int { return strings.Compare(a.Name, b.Name) })
	return state, nil
}

// read reads one set as it stands.
func (p *namedPlace) read(ctx context.Context, s *namedSet) (waf.Set, error) {
	out, err := p.client.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &s.name, Id: &s.id, Scope: p.scope()})
	switch {
	case code(err) == "WAFNonexistentItemException":
		// Not a conflict: looking again does not bring it back.
		return waf.Set{}, fmt.Errorf("%w: it does not exist in %s %s of this account: make it, or take %s out of ip_sets of target %s: %w",
			waf.ErrInvalid, p.target.Scope, p.target.Region, s.arn, p.target.Name, err)
	case err != nil:
		return waf.Set{}, mapError(err)
	}
	list, err := parseAddresses(out.IPSet.Addresses)
	if err != nil {
		return waf.Set{}, err
	}
	set := waf.Set{Name: s.name, Family: waf.IPv4, Referenced: true, Prefixes: list}
	if out.IPSet.IPAddressVersion == types.IPAddressVersionIpv6 {
		set.Family = waf.IPv6
	}
	token := aws.ToString(out.LockToken)
	s.description = aws.ToString(out.IPSet.Description)
	p.sets[s.name] = &ipSet{name: s.name, id: s.id, arn: s.arn, token: token}
	p.memory[s.id] = remembered{token: token, prefixes: list}
	return set, nil
}

// put gives a set its content under the description that it has.
func (p *namedPlace) put(ctx context.Context, set waf.Set, addresses []string) error {
	i := slices.IndexFunc(p.named, func(s namedSet) bool { return s.name == set.Name })
	s := p.sets[set.Name]
	if i < 0 || s == nil {
		return fmt.Errorf("%w: it is none of the sets that the target names", waf.ErrInvalid)
	}
	if err := p.update(ctx, s, set, p.named[i].description, addresses); err != nil {
		return err
	}
	p.Firewall.left[set.Name] = leftNamed(s, set.Prefixes)
	return nil
}

func (p *namedPlace) title() string {
	names := make([]string, len(p.named))
	for i, s := range p.named {
		names[i] = s.name
	}
	if len(names) == 1 {
		return "ip set " + names[0]
	}
	return "ip sets " + strings.Join(names, ", ")
}

// The rest of place: the rule, wherever it is, is the user's.

func (p *namedPlace) exists() bool     { return true }
func (p *namedPlace) ok() bool         { return true }
func (p *namedPlace) id() string       { return "" }
func (p *namedPlace) uses(string) bool { return true }
func (p *namedPlace) notes() []string  { return nil }
func (p *namedPlace) room() int        { return len(p.named) }

func (p *namedPlace) refs() []string {
	arns := make([]string, len(p.named))
	for i, s := range p.named {
		arns[i] = s.arn
	}
	return arns
}

func (p *namedPlace) check(map[string]bool, func(string) bool) error   { return nil }
func (p *namedPlace) find(context.Context, []types.IPSetSummary) error { return nil }
func (p *namedPlace) write(_ context.Context, arns []string) error {
	if refsKey(arns) == refsKey(p.refs()) {
		return nil
	}
	return fmt.Errorf("%w: in mode %s what refers to the sets is the user's", waf.ErrInvalid, ModeIPSet)
}
