package awswaf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

type visibility struct {
	SampledRequestsEnabled   bool
	CloudWatchMetricsEnabled bool
	MetricName               string
}

type setReference struct {
	IPSetReferenceStatement struct{ ARN string }
}

// ourRule returns the generated rule. AWS wants at least two statements in an OrStatement.
func (f *Firewall) ourRule(arns []string, priority int64) json.RawMessage {
	refs := make([]setReference, len(arns))
	for i, arn := range arns {
		refs[i].IPSetReferenceStatement.ARN = arn
	}
	var statement any = struct {
		OrStatement struct{ Statements []setReference }
	}{struct{ Statements []setReference }{refs}}
	if len(refs) == 1 {
		statement = refs[0]
	}
	raw, err := json.Marshal(struct {
		Name             string
		Priority         int64
		Statement        any
		Action           map[string]struct{}
		VisibilityConfig visibility
	}{f.base, priority, statement, map[string]struct{}{f.actionKey(): {}}, f.visibility()})
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return raw
}

func (f *Firewall) actionKey() string {
	if f.target.Action == ActionCount {
		return "Count"
	}
	return "Block"
}

func (f *Firewall) visibility() visibility {
	return visibility{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: f.base + "_Metric"}
}

// ruleOK tells whether our rule is as configured, whichever of our sets it refers
// to. Fields that AWS may add are not looked at.
func (f *Firewall) ruleOK() bool {
	r := f.acl.ours(f.base)
	if r == nil {
		return true
	}
	var got struct {
		Statement        members
		Action           members
		OverrideAction   members
		VisibilityConfig visibility
	}
	if err := json.Unmarshal(r.raw, &got); err != nil {
		return false
	}
	action, ok := got.Action[f.actionKey()]
	return ok && isEmpty(action) && len(got.Action) == 1 && len(got.OverrideAction) == 0 &&
		got.VisibilityConfig == f.visibility() &&
		r.priority == f.acl.freePriority(f.base, f.target.Priority) &&
		plainReferences(got.Statement)
}

// members is a JSON object; a member that is null counts as absent.
type members map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (m *members) UnmarshalJSON(raw []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	maps.DeleteFunc(all, func(_ string, v json.RawMessage) bool { return string(v) == "null" })
	*m = all
	return nil
}

// plainReferences tells whether a statement is one bare reference, or an OR of bare references.
func plainReferences(statement members) bool {
	if bareReference(statement) {
		return true
	}
	var or struct{ Statements []members }
	raw, ok := statement["OrStatement"]
	return ok && len(statement) == 1 && json.Unmarshal(raw, &or) == nil &&
		!slices.ContainsFunc(or.Statements, func(s members) bool { return !bareReference(s) })
}

func bareReference(statement members) bool {
	var ref members
	raw, ok := statement["IPSetReferenceStatement"]
	return ok && len(statement) == 1 && json.Unmarshal(raw, &ref) == nil && len(ref) == 1 && ref["ARN"] != nil
}

// merge returns the rules of the web ACL with our rule referring to arns, at its
// place if it is there, and whether that changes anything. All others are the bytes that we got.
func (f *Firewall) merge(arns []string) (rules []json.RawMessage, changed bool) {
	ours := f.ourRule(arns, f.acl.freePriority(f.base, f.target.Priority))
	found := false
	for _, r := range f.acl.rules {
		if r.name != f.base {
			rules = append(rules, r.raw)
			continue
		}
		found = true
		if len(arns) > 0 {
			rules = append(rules, ours)
		}
		changed = refsKey(r.ipSets) != refsKey(arns) || !f.ruleOK()
	}
	if !found && len(arns) > 0 {
		return append(rules, ours), true
	}
	return rules, changed
}

// Reference implements waf.Firewall. When another writer has changed the web ACL
// meanwhile, the change is merged into the fresh copy; when our own rule has
// changed, the plan no longer stands and it is waf.ErrConflict.
func (f *Firewall) Reference(ctx context.Context, add, drop []string) error {
	if err := f.reference(ctx, add, drop); err != nil {
		return fmt.Errorf("update web acl %s: %w", f.target.WebACL, err)
	}
	return nil
}

func (f *Firewall) reference(ctx context.Context, add, drop []string) error {
	var before []string
	if f.acl != nil {
		before = f.acl.ourRefs(f.base)
	}
	arns := slices.Clone(before)
	for _, name := range add {
		s := f.sets[name]
		if s == nil {
			return fmt.Errorf("ip set %s: %w: not seen by the last look", name, waf.ErrConflict)
		}
		arns = append(arns, s.arn)
	}
	for _, name := range drop {
		if s := f.sets[name]; s != nil {
			arns = slices.DeleteFunc(arns, func(arn string) bool { return arn == s.arn })
		}
	}
	slices.Sort(arns)
	arns = slices.Compact(arns)

	merges, waits := 0, 0
	for {
		err := f.writeWebACL(ctx, arns)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, waf.ErrOutOfTime), ctx.Err() != nil:
			return err
		case waits < patience(err):
			// A new set, or the web ACL itself, has not spread through AWS yet.
			waits++
			if serr := f.sleep(ctx, waits); serr != nil {
				return fmt.Errorf("%w: %w", serr, err)
			}
			continue
		case !unsure(err):
			return err
		}
		// Another writer, or a lost answer to our own write: what stands decides.
		if merges++; merges == mergeAttempts {
			return err
		}
		if merges > 1 {
			if serr := f.sleep(ctx, merges-1); serr != nil {
				return fmt.Errorf("%w: %w", serr, err)
			}
		}
		if ferr := f.findWebACL(ctx, nil); ferr != nil {
			return errors.Join(err, ferr)
		}
		if f.acl == nil {
			continue // made by nobody yet, or deleted meanwhile: make it
		}
		stands := refsKey(f.acl.ourRefs(f.base))
		switch {
		case stands == refsKey(arns) && f.ruleOK():
			return nil
		case stands != refsKey(before):
			return fmt.Errorf("rule %s: %w", f.base, waf.ErrConflict)
		case !errors.Is(err, waf.ErrConflict):
			// Not a conflict but no answer, after the SDK's own retries: the next run tries again.
			return err
		}
	}
}

// patience returns how often to wait for an error that passes by itself.
func patience(err error) int {
	switch code(err) {
	case "WAFUnavailableEntityException":
		return readyAttempts
	case "WAFNonexistentItemException":
		return goneAttempts // not there yet, or not there any more: then plan again
	}
	return 0
}

// writeWebACL makes our rule refer to arns, with one write or none.
func (f *Firewall) writeWebACL(ctx context.Context, arns []string) error {
	if f.acl == nil {
		return f.createWebACL(ctx, arns)
	}
	rules, changed := f.merge(arns)
	if !changed {
		return nil
	}
	body := f.acl.request(f.target, rules)
	out, err := f.client.UpdateWebACL(ctx, &wafv2.UpdateWebACLInput{
		// Only what the SDK itself insists on; the body that is sent is ours.
		Name: &f.target.WebACL, Id: &f.acl.id, Scope: f.scope(), LockToken: &f.acl.token,
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: storyVisibility(f.target.WebACL),
	}, sendBody(body))
	if err != nil {
		return mapError(err)
	}
	return f.wrote(f.acl.id, aws.ToString(out.NextLockToken), f.acl.fields, rules)
}

// createWebACL makes the web ACL as the founding story does: default action Allow,
// sampled requests and metrics on, metric <name>ACLMetric.
func (f *Firewall) createWebACL(ctx context.Context, arns []string) error {
	f.acl = nil
	var rules []json.RawMessage
	if len(arns) > 0 {
		rules = append(rules, f.ourRule(arns, int64(f.target.Priority)))
	}
	fields := map[string]json.RawMessage{
		"DefaultAction":    json.RawMessage(`{"Allow":{}}`),
		"VisibilityConfig": mustMarshal(visibility{true, true, *storyVisibility(f.target.WebACL).MetricName}),
	}
	body := map[string]json.RawMessage{
		"Name": quote(f.target.WebACL), "Scope": quote(f.target.Scope), "Rules": joinRaw(rules),
		"Tags": mustMarshal([]map[string]string{{"Key": tagKey, "Value": f.target.Name}}),
	}
	for key, raw := range fields {
		body[key] = raw
	}
	out, err := f.client.CreateWebACL(ctx, &wafv2.CreateWebACLInput{
		Name: &f.target.WebACL, Scope: f.scope(),
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: storyVisibility(f.target.WebACL),
	}, sendBody(object(body)))
	if err != nil {
		return mapError(err)
	}
	f.aclID = aws.ToString(out.Summary.Id)
	return f.wrote(f.aclID, aws.ToString(out.Summary.LockToken), fields, rules)
}

// wrote takes over what was just written as what stands.
func (f *Firewall) wrote(id, token string, fields map[string]json.RawMessage, rules []json.RawMessage) error {
	acl := &webACL{id: id, token: token, fields: fields}
	for _, raw := range rules {
		rule, err := parseRule(raw)
		if err != nil {
			return err
		}
		acl.rules = append(acl.rules, rule)
	}
	f.acl = acl
	return nil
}

func storyVisibility(webACL string) *types.VisibilityConfig {
	return &types.VisibilityConfig{
		SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String(webACL + "ACLMetric"),
	}
}

func mustMarshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and booleans always marshal
	}
	return raw
}
