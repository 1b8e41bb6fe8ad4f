package awswaf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// Contents implements waf.Firewall. A set whose lock token is the one under which
// this process read or wrote it last costs no call.
func (f *Firewall) Contents(ctx context.Context, name string) ([]netip.Prefix, error) {
	s := f.sets[name]
	if s == nil {
		return nil, fmt.Errorf("get ip set %s: %w: not seen by the last look", name, waf.ErrConflict)
	}
	if m, ok := f.memory[s.id]; ok && m.token == s.token {
		return slices.Clone(m.prefixes), nil
	}
	list, _, err := f.get(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("get ip set %s: %w", name, err)
	}
	return slices.Clone(list), nil
}

// get reads a set, its description included, and remembers it.
func (f *Firewall) get(ctx context.Context, s *ipSet) (list []netip.Prefix, description string, err error) {
	out, err := f.client.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &s.name, Id: &s.id, Scope: f.scope()})
	if err != nil {
		return nil, "", mapError(err)
	}
	if list, err = parseAddresses(out.IPSet.Addresses); err != nil {
		return nil, "", err
	}
	s.token, description = aws.ToString(out.LockToken), aws.ToString(out.IPSet.Description)
	f.memory[s.id] = remembered{token: s.token, prefixes: list}
	f.learn(s, s.token, description, list)
	return list, description, nil
}

// parseAddresses reads a set's addresses. AWS gives IPv6 back in another spelling than it was sent in.
func parseAddresses(texts []string) ([]netip.Prefix, error) {
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("address %q: %w: not a range", text, waf.ErrInvalid)
		}
		list = append(list, p)
	}
	return list, nil
}

// Put implements waf.Firewall.
func (f *Firewall) Put(ctx context.Context, set waf.Set) error {
	addresses := make([]string, len(set.Prefixes)) // never nil: the SDK calls nil a missing field
	for i, p := range set.Prefixes {
		addresses[i] = p.String()
	}
	if named, ok := f.place.(*namedPlace); ok {
		if err := named.put(ctx, set, addresses); err != nil {
			return fmt.Errorf("update ip set %s: %w", set.Name, err)
		}
		return nil
	}
	description := describe(set.Mark, f.place.id())
	if s := f.sets[set.Name]; s != nil {
		if err := f.update(ctx, s, set, description, addresses); err != nil {
			return fmt.Errorf("update ip set %s: %w", set.Name, err)
		}
		return nil
	}
	if err := f.create(ctx, set, description, addresses); err != nil {
		return fmt.Errorf("create ip set %s: %w", set.Name, err)
	}
	return nil
}

func (f *Firewall) update(ctx context.Context, s *ipSet, set waf.Set, description string, addresses []string) error {
	in := &wafv2.UpdateIPSetInput{Name: &s.name, Id: &s.id, Scope: f.scope(), LockToken: &s.token, Addresses: addresses}
	if description != "" { // AWS shows none as "", and does not take that back
		in.Description = &description // left out, it would be dropped
	}
	out, err := f.client.UpdateIPSet(ctx, in)
	if err == nil {
		s.token = aws.ToString(out.NextLockToken)
		f.memory[s.id] = remembered{token: s.token, prefixes: set.Prefixes}
		f.keep(s, s.token, set.Mark)
		f.settle()
		return nil
	}
	err = mapError(err)
	if p, bad := badEntry(err, set.Prefixes); bad {
		return &waf.EntryError{Prefix: p, Err: err}
	}
	if !unsure(err) || ctx.Err() != nil {
		return err
	}
	// A lost answer makes the SDK send again, with a token that is now spent: the
	// conflict may be with ourselves. What stands decides.
	list, stands, gerr := f.get(ctx, s)
	if gerr != nil {
		return err
	}
	if stands == description && sameList(list, set.Prefixes) {
		f.keep(s, s.token, set.Mark)
		f.settle()
		return nil
	}
	return err
}

func (f *Firewall) create(ctx context.Context, set waf.Set, description string, addresses []string) error {
	version := types.IPAddressVersionIpv4
	if set.Family == waf.IPv6 {
		version = types.IPAddressVersionIpv6
	}
	out, err := f.client.CreateIPSet(ctx, &wafv2.CreateIPSetInput{
		Name: &set.Name, Scope: f.scope(), IPAddressVersion: version,
		Addresses: addresses, Description: &description,
		Tags: []types.Tag{{Key: aws.String(tagKey), Value: &f.target.Name}},
	})
	if err == nil {
		f.remember(set, aws.ToString(out.Summary.Id), aws.ToString(out.Summary.ARN), aws.ToString(out.Summary.LockToken))
		return nil
	}
	err = mapError(err)
	if p, bad := badEntry(err, set.Prefixes); bad {
		return &waf.EntryError{Prefix: p, Err: err}
	}
	if !unsure(err) || ctx.Err() != nil {
		return err
	}
	// The name is there, or may be. It is ours, and as we want it, only if its
	// description, which fingerprints its content, is the one that we sent.
	f.thorough = true
	var found *types.IPSetSummary
	lerr := f.listIPSets(ctx, func(page []types.IPSetSummary, _ bool) bool {
		for _, s := range page {
			if aws.ToString(s.Name) == set.Name {
				found = &s
			}
		}
		return found == nil
	})
	if lerr != nil || found == nil || aws.ToString(found.Description) != description {
		return err
	}
	f.remember(set, aws.ToString(found.Id), aws.ToString(found.ARN), aws.ToString(found.LockToken))
	return nil
}

func (f *Firewall) remember(set waf.Set, id, arn, token string) {
	f.sets[set.Name] = &ipSet{name: set.Name, id: id, arn: arn, token: token}
	f.memory[id] = remembered{token: token, prefixes: set.Prefixes}
	f.keep(f.sets[set.Name], token, set.Mark)
	f.settle()
}

// Delete implements waf.Firewall. References are also checked here, against the
// web ACL as last seen: AWS itself says that it cannot always tell.
func (f *Firewall) Delete(ctx context.Context, name string) error {
	if _, named := f.place.(*namedPlace); named {
		return fmt.Errorf("delete ip set %s: %w: in mode %s the sets are the user's", name, waf.ErrInvalid, ModeIPSet)
	}
	s := f.sets[name]
	if s == nil {
		return nil
	}
	if f.place.uses(s.arn) {
		return fmt.Errorf("delete ip set %s: %w by a rule of the %s", name, waf.ErrInUse, f.place.title())
	}
	_, err := f.client.DeleteIPSet(ctx, &wafv2.DeleteIPSetInput{Name: &s.name, Id: &s.id, Scope: f.scope(), LockToken: &s.token})
	if err != nil && code(err) != "WAFNonexistentItemException" {
		return fmt.Errorf("delete ip set %s: %w", name, mapError(err))
	}
	delete(f.memory, s.id)
	delete(f.sets, name)
	f.settle()
	return nil
}

func sameList(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	a, b = slices.Clone(a), slices.Clone(b)
	order := func(p, q netip.Prefix) int {
		if c := p.Addr().Compare(q.Addr()); c != 0 {
			return c
		}
		return p.Bits() - q.Bits()
	}
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.Equal(a, b)
}

var errForeignSet = errors.New("an ip set that is not ours")
