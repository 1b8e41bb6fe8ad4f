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

const pageSize = 100 // the most that a List action returns

// Look implements waf.Firewall. It costs two calls: ListIPSets, whose summaries
// carry each set's description and lock token, and GetWebACL; a third one to find the web ACL's id the first
// time, if no set's description names it. In mode rule-group it is ListRuleGroups in place of GetWebACL, and
// GetRuleGroup for each group that is not remembered under its lock token; in mode ip-set GetIPSet for each set.
func (f *Firewall) Look(ctx context.Context) (waf.State, error) {
	f.inAccount, f.wrote = 0, false
	if named, ok := f.place.(*namedPlace); ok {
		return named.look(ctx)
	}
	var listed []types.IPSetSummary
	var looked bool
	var lookErr error
	err := f.listIPSets(ctx, func(page []types.IPSetSummary, last bool) bool {
		f.inAccount += len(page)
		for _, s := range page {
			if f.names.MatchString(aws.ToString(s.Name)) {
				listed = append(listed, s)
			}
		}
		if !last {
			return true
		}
		// AWS is said to return a marker always, also after the last item. So a page
		// that is not full ends the list, which saves a call in every run, unless our rule
		// refers to a set that is not on it, or one that we left there is missing, or a name has
		// turned out to be taken by a set that we did not see.
		if !looked {
			looked = true
			if lookErr = f.place.find(ctx, listed); lookErr != nil {
				return false
			}
		}
		return f.thorough || f.lacks(listed) || slices.ContainsFunc(f.place.refs(), func(arn string) bool {
			return !slices.ContainsFunc(listed, func(s types.IPSetSummary) bool { return aws.ToString(s.ARN) == arn })
		})
	})
	if err == nil && !looked {
		lookErr = f.place.find(ctx, listed)
	}
	if err := errors.Join(err, lookErr); err != nil {
		return waf.State{}, err
	}
	return f.state(ctx, listed)
}

// state turns what was listed into what the Reconciler needs.
func (f *Firewall) state(ctx context.Context, listed []types.IPSetSummary) (waf.State, error) {
	state := waf.State{
		Wall: fmt.Sprintf("%s (%s %s)", f.place.title(), f.target.Scope, f.target.Region),
		Base: f.base, Exists: f.place.exists(), RoomSets: f.place.room(), CanExcept: f.canExcept(),
	}
	refs := f.place.refs()
	f.sets = map[string]*ipSet{}
	ours := map[string]bool{} // by ARN
	known := map[string]bool{}
	taken := map[string]string{}
	for _, s := range listed {
		set := waf.Set{Name: aws.ToString(s.Name)}
		set.Family, set.Except = familyOfName(set.Name), isExcept(set.Name)
		id, arn, token := aws.ToString(s.Id), aws.ToString(s.ARN), aws.ToString(s.LockToken)
		known[id] = true
		set.Mark, _, set.Marked = parseDescription(aws.ToString(s.Description))
		if !set.Marked {
			mine, err := f.mine(ctx, set.Name, id, arn)
			if err != nil {
				return waf.State{}, fmt.Errorf("list tags of ip set %s: %w", set.Name, err)
			}
			if !mine {
				state.Taken = append(state.Taken, set.Name)
				taken[set.Name] = id
				continue
			}
		}
		set.Referenced = slices.Contains(refs, arn)
		ours[arn] = true
		f.sets[set.Name] = &ipSet{name: set.Name, id: id, arn: arn, token: token}
		state.Sets = append(state.Sets, set)
	}
	for id := range f.memory {
		if !known[id] {
			delete(f.memory, id)
		}
	}
	f.taken = taken
	slices.SortFunc(state.Sets, func(a, b waf.Set) int { return strings.Compare(a.Name, b.Name) })
	if !f.place.exists() {
		f.drifted(&state)
		return state, nil
	}
	cameMeanwhile := func(arn string) bool {
		name := nameInARN(arn)
		return f.names.MatchString(name) && !slices.Contains(state.Taken, name)
	}
	if err := f.place.check(ours, cameMeanwhile); err != nil {
		return waf.State{}, fmt.Errorf("%s: %w", f.place.title(), err)
	}
	// A rule group with something in it that is not ours takes no more sets.
	state.RoomSets, state.CanExcept = f.place.room(), f.canExcept()
	state.RuleOK = f.place.ok()
	state.Notes = f.place.notes()
	f.drifted(&state)
	return state, nil
}

func (f *Firewall) canExcept() bool {
	groups, ok := f.place.(*ruleGroupPlace)
	return f.target.canExcept() && (!ok || groups.canExcept())
}

// lacks tells whether a set that we left is not on the list.
func (f *Firewall) lacks(listed []types.IPSetSummary) bool {
	for name, l := range f.left {
		if !l.Retired && !slices.ContainsFunc(listed, func(s types.IPSetSummary) bool { return aws.ToString(s.Name) == name }) {
			return true
		}
	}
	return false
}

func familyOfName(name string) waf.Family {
	i := strings.LastIndexByte(name, '-')
	if i > 0 && (strings.HasSuffix(name[:i], "-v6") || strings.HasSuffix(name[:i], "-v6-except")) {
		return waf.IPv6
	}
	return waf.IPv4
}

// nameInARN returns the name in arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/NAME/ID.
func nameInARN(arn string) string {
	parts := strings.Split(arn, "/")
	if len(parts) != 4 {
		return ""
	}
	return parts[2]
}

// mine tells whether a set with one of our names whose description says nothing is ours.
// An id is AWS's own and never given twice: who has been asked once need not be asked again.
func (f *Firewall) mine(ctx context.Context, name, id, arn string) (bool, error) {
	switch {
	case f.left[name].ID == id:
		return true, nil
	case f.taken[name] == id:
		return false, nil
	}
	return f.tagged(ctx, arn)
}

// tagged tells whether a set whose description says nothing carries our tag. Only
// sets with our names are asked about, and only if somebody has dropped the description.
func (f *Firewall) tagged(ctx context.Context, arn string) (bool, error) {
	out, err := f.client.ListTagsForResource(ctx, &wafv2.ListTagsForResourceInput{ResourceARN: &arn})
	if err != nil {
		return false, mapError(err)
	}
	if out.TagInfoForResource == nil {
		return false, nil
	}
	return slices.ContainsFunc(out.TagInfoForResource.TagList, func(t types.Tag) bool {
		return aws.ToString(t.Key) == tagKey && aws.ToString(t.Value) == f.target.Name
	}), nil
}

// listIPSets calls each with every page until it returns false or the list ends.
// last says that the page is not full and so, by all we know, the last one; going on then
// reads on if there is a marker.
func (f *Firewall) listIPSets(ctx context.Context, each func(page []types.IPSetSummary, last bool) bool) error {
	var marker *string
	seen := map[string]bool{}
	for range maxPages {
		out, err := f.client.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: f.scope(), Limit: aws.Int32(pageSize), NextMarker: marker})
		if err != nil {
			return fmt.Errorf("list ip sets: %w", mapError(err))
		}
		next := aws.ToString(out.NextMarker)
		if !each(out.IPSets, len(out.IPSets) < pageSize) || next == "" || len(out.IPSets) == 0 || seen[next] {
			return nil
		}
		seen[next] = true
		marker = out.NextMarker
	}
	return fmt.Errorf("list ip sets: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}
