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

// maxReferences is AWS WAF's fixed number of reference statements (IP set, rule
// group and regex set together) per web ACL.
const maxReferences = 50

const pageSize = 100 // the most that a List action returns

// Look implements waf.Firewall. It costs two calls: ListIPSets, whose summaries
// carry each set's description and lock token, and GetWebACL; a third one to find the web ACL's id the first
// time, if no set's description names it.
func (f *Firewall) Look(ctx context.Context) (waf.State, error) {
	var listed []types.IPSetSummary
	var looked bool
	var lookErr error
	err := f.listIPSets(ctx, func(page []types.IPSetSummary, last bool) bool {
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
		// refers to a set that is not on it, or a name has turned out to be taken by a set
		// that we did not see.
		if !looked {
			looked = true
			if lookErr = f.findWebACL(ctx, listed); lookErr != nil {
				return false
			}
		}
		return f.thorough || f.acl != nil && slices.ContainsFunc(f.acl.ourRefs(f.base), func(arn string) bool {
			return !slices.ContainsFunc(listed, func(s types.IPSetSummary) bool { return aws.ToString(s.ARN) == arn })
		})
	})
	if err == nil && !looked {
		lookErr = f.findWebACL(ctx, listed)
	}
	if err := errors.Join(err, lookErr); err != nil {
		return waf.State{}, err
	}
	return f.state(ctx, listed)
}

// state turns what was listed into what the Reconciler needs.
func (f *Firewall) state(ctx context.Context, listed []types.IPSetSummary) (waf.State, error) {
	state := waf.State{
		Wall: fmt.Sprintf("web acl %s (%s %s)", f.target.WebACL, f.target.Scope, f.target.Region),
		Base: f.base, Exists: f.acl != nil, RoomSets: maxReferences,
	}
	var refs []string
	if f.acl != nil {
		refs = f.acl.ourRefs(f.base)
	}
	f.sets = map[string]*ipSet{}
	ours := map[string]bool{} // by ARN
	known := map[string]bool{}
	for _, s := range listed {
		set := waf.Set{Name: aws.ToString(s.Name), Family: familyOfName(aws.ToString(s.Name))}
		id, arn, token := aws.ToString(s.Id), aws.ToString(s.ARN), aws.ToString(s.LockToken)
		known[id] = true
		set.Mark, _, set.Marked = parseDescription(aws.ToString(s.Description))
		if !set.Marked {
			mine, err := f.tagged(ctx, arn)
			if err != nil {
				return waf.State{}, fmt.Errorf("list tags of ip set %s: %w", set.Name, err)
			}
			if !mine {
				state.Taken = append(state.Taken, set.Name)
				continue
			}
		}
		m, read := f.memory[id]
		set.Suspect = read && m.token != token
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
	slices.SortFunc(state.Sets, func(a, b waf.Set) int { return strings.Compare(a.Name, b.Name) })
	if f.acl == nil {
		return state, nil
	}
	cameMeanwhile := func(arn string) bool {
		name := nameInARN(arn)
		return f.names.MatchString(name) && !slices.Contains(state.Taken, name)
	}
	if err := f.acl.checkOurs(f.base, ours, cameMeanwhile); err != nil {
		return waf.State{}, fmt.Errorf("web acl %s: %w", f.target.WebACL, err)
	}
	state.RoomSets = maxReferences - f.acl.foreignRefs(f.base)
	state.RuleOK = f.ruleOK()
	state.Notes = f.acl.notes(f.base, f.target)
	return state, nil
}

func familyOfName(name string) waf.Family {
	if i := strings.LastIndexByte(name, '-'); i > 0 && strings.HasSuffix(name[:i], "-v6") {
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

// findWebACL reads the web ACL into f.acl, nil if there is none.
func (f *Firewall) findWebACL(ctx context.Context, listed []types.IPSetSummary) error {
	f.acl = nil
	id := f.aclID
	for _, s := range listed {
		if _, named, ok := parseDescription(aws.ToString(s.Description)); ok && id == "" {
			id = named
		}
	}
	if id != "" {
		err := f.getWebACL(ctx, id)
		if err == nil || code(err) != "WAFNonexistentItemException" {
			return err
		}
		// Deleted and perhaps made anew under the same name since.
	}
	id, err := f.searchWebACL(ctx)
	if err != nil || id == "" {
		f.aclID = ""
		return err
	}
	return f.getWebACL(ctx, id)
}

func (f *Firewall) getWebACL(ctx context.Context, id string) error {
	var raw []byte
	out, err := f.client.GetWebACL(ctx, &wafv2.GetWebACLInput{Name: &f.target.WebACL, Id: &id, Scope: f.scope()}, keepAnswer(&raw))
	if err != nil {
		return fmt.Errorf("get web acl %s: %w", f.target.WebACL, mapError(err))
	}
	acl, err := parseWebACL(raw)
	if err != nil {
		return fmt.Errorf("get web acl %s: %w", f.target.WebACL, err)
	}
	acl.id, acl.token = id, aws.ToString(out.LockToken)
	f.acl, f.aclID = acl, id
	return nil
}

// searchWebACL returns the id of the web ACL by its name, "" if there is none.
func (f *Firewall) searchWebACL(ctx context.Context) (id string, err error) {
	var marker *string
	seen := map[string]bool{}
	for range maxPages {
		out, err := f.client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: f.scope(), Limit: aws.Int32(pageSize), NextMarker: marker})
		if err != nil {
			return "", fmt.Errorf("list web acls: %w", mapError(err))
		}
		for _, s := range out.WebACLs {
			if aws.ToString(s.Name) == f.target.WebACL {
				return aws.ToString(s.Id), nil
			}
		}
		next := aws.ToString(out.NextMarker)
		if next == "" || len(out.WebACLs) == 0 || seen[next] {
			return "", nil
		}
		seen[next] = true
		marker = out.NextMarker
	}
	return "", fmt.Errorf("list web acls: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
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
