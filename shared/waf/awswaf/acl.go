package awswaf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/tracewall/tracewall/shared/waf"
)

// webACL is a web ACL as GetWebACL returned it, byte for byte, with as much
// understanding of it as we need.
type webACL struct {
	id, token string
	fields    map[string]json.RawMessage
	rules     []aclRule
	managed   bool // by Firewall Manager
}

type aclRule struct {
	raw      json.RawMessage
	name     string
	priority int64
	action   string   // Allow, Block, Count, …; "" for a rule group
	ipSets   []string // ARNs that the rule refers to, however deep in it
	others   int      // references to rule groups and regex pattern sets
}

// outputOnly are fields of a web ACL that UpdateWebACL does not take. ApplicationConfig
// is among them because leaving it out keeps it, and sending it back can only fail.
var outputOnly = []string{
	"ARN", "Capacity", "LabelNamespace", "PreProcessFirewallManagerRuleGroups", "PostProcessFirewallManagerRuleGroups",
	"ManagedByFirewallManager", "RetrofittedByFirewallManager", "ApplicationConfig",
}

// parseWebACL reads the answer of GetWebACL.
func parseWebACL(answer []byte) (*webACL, error) {
	var outer struct{ WebACL json.RawMessage }
	if err := json.Unmarshal(answer, &outer); err != nil {
		return nil, fmt.Errorf("answer: %w: %w", waf.ErrInvalid, err)
	}
	acl := &webACL{}
	if err := json.Unmarshal(outer.WebACL, &acl.fields); err != nil || acl.fields == nil {
		return nil, fmt.Errorf("answer has no web acl: %w", waf.ErrInvalid)
	}
	var raws []json.RawMessage
	if r, ok := acl.fields["Rules"]; ok {
		if err := json.Unmarshal(r, &raws); err != nil {
			return nil, fmt.Errorf("rules: %w: %w", waf.ErrInvalid, err)
		}
	}
	for _, raw := range raws {
		rule, err := parseRule(raw)
		if err != nil {
			return nil, err
		}
		acl.rules = append(acl.rules, rule)
	}
	acl.managed = isTrue(acl.fields["ManagedByFirewallManager"]) || isTrue(acl.fields["RetrofittedByFirewallManager"])
	return acl, nil
}

func isTrue(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "true" }

func parseRule(raw json.RawMessage) (aclRule, error) {
	var known struct {
		Name      string
		Priority  int64
		Statement any
		Action    members
	}
	if err := json.Unmarshal(raw, &known); err != nil {
		return aclRule{}, fmt.Errorf("rule: %w: %w", waf.ErrInvalid, err)
	}
	rule := aclRule{raw: raw, name: known.Name, priority: known.Priority}
	for action := range known.Action {
		rule.action = action
	}
	rule.collect(known.Statement)
	return rule, nil
}

// collect walks a statement of any depth, unknown kinds included, for references.
func (r *aclRule) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			r.collect(e)
		}
	case map[string]any:
		for key, e := range v {
			switch key {
			case "IPSetReferenceStatement":
				if m, ok := e.(map[string]any); ok {
					arn, _ := m["ARN"].(string)
					r.ipSets = append(r.ipSets, arn)
				}
			case "RuleGroupReferenceStatement", "RegexPatternSetReferenceStatement":
				r.others++
			default:
				r.collect(e)
			}
		}
	}
}

// ours returns the rule with our name, nil if there is none.
func (a *webACL) ours(name string) *aclRule {
	for i := range a.rules {
		if a.rules[i].name == name {
			return &a.rules[i]
		}
	}
	return nil
}

func (a *webACL) ourRefs(name string) []string {
	if r := a.ours(name); r != nil {
		return r.ipSets
	}
	return nil
}

// checkOurs refuses a rule that has our name and refers to anything but our sets.
// setLikeOurs tells ARNs with one of our names: such a set that was not listed came meanwhile.
func (a *webACL) checkOurs(name string, ours map[string]bool, setLikeOurs func(arn string) bool) error {
	r := a.ours(name)
	if r == nil {
		return nil
	}
	if len(r.ipSets) == 0 || r.others > 0 {
		return fmt.Errorf("rule %s: %w: it does not consist of references to our ip sets; rename it", name, waf.ErrForeign)
	}
	for _, arn := range r.ipSets {
		switch {
		case ours[arn]:
		case setLikeOurs(arn):
			return fmt.Errorf("rule %s: %w: it refers to %s, which was not listed", name, waf.ErrConflict, arn)
		default:
			return fmt.Errorf("rule %s: %w: it refers to %s, %w; rename the rule", name, waf.ErrForeign, arn, errForeignSet)
		}
	}
	return nil
}

// foreignRefs counts the references of all rules but ours.
func (a *webACL) foreignRefs(name string) (n int) {
	for _, r := range a.rules {
		if r.name != name {
			n += len(r.ipSets) + r.others
		}
	}
	return n
}

func (a *webACL) refersTo(arn string) bool {
	return slices.ContainsFunc(a.rules, func(r aclRule) bool { return slices.Contains(r.ipSets, arn) })
}

// freePriority returns the first priority from wish on that no other rule has.
func (a *webACL) freePriority(name string, wish int32) int64 {
	taken := map[int64]bool{}
	for _, r := range a.rules {
		if r.name != name {
			taken[r.priority] = true
		}
	}
	p := int64(wish)
	for taken[p] {
		p++
	}
	return p
}

// notes says what weakens the wall and is the user's to decide.
func (a *webACL) notes(name string, t Target) (notes []string) {
	if t.Action == ActionCount {
		notes = append(notes, "action is count: nothing is blocked")
	}
	at := a.freePriority(name, t.Priority)
	if at != int64(t.Priority) {
		notes = append(notes, fmt.Sprintf("priority %d is taken, our rule has %d", t.Priority, at))
	}
	for _, r := range a.rules {
		if r.name != name && r.priority < at && r.action == "Allow" {
			notes = append(notes, fmt.Sprintf("rule %s (priority %d) allows requests before our rule sees them", r.name, r.priority))
		}
	}
	if a.managed {
		notes = append(notes, "Firewall Manager manages this web acl and may undo changes")
	}
	return notes
}

// request returns the body of an UpdateWebACL that leaves everything as it is but for the rules.
func (a *webACL) request(t Target, rules []json.RawMessage) []byte {
	body := map[string]json.RawMessage{}
	for key, raw := range a.fields {
		switch {
		case slices.Contains(outputOnly, key), key == "Rules":
		case isEmpty(raw): // means absent, and AWS does not take "" for a description back
		default:
			body[key] = raw
		}
	}
	body["Scope"] = quote(t.Scope)
	body["Id"] = quote(a.id)
	body["Name"] = quote(t.WebACL)
	body["LockToken"] = quote(a.token)
	body["Rules"] = joinRaw(rules)
	return object(body)
}

func isEmpty(raw json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(raw), nil)) {
	case "null", `""`, "[]", "{}":
		return true
	}
	return false
}

func quote(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}

// object and joinRaw write JSON without touching a byte of the parts, which json.Marshal would compact and escape.
func object(fields map[string]json.RawMessage) []byte {
	keys := make([]string, 0, len(fields))
	for key := range fields {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var b bytes.Buffer
	for i, key := range keys {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quote(key))
		b.WriteByte(':')
		b.Write(fields[key])
	}
	b.WriteByte('}')
	return b.Bytes()
}

func joinRaw(list []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, raw := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(raw)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// keepAnswer copies the raw answer: what the SDK does not know is still in it.
func keepAnswer(raw *[]byte) func(*wafv2.Options) {
	return wafv2.WithAPIOptions(func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("tracewallKeepAnswer",
			func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
				out, md, err := next.HandleDeserialize(ctx, in)
				if resp, ok := out.RawResponse.(*smithyhttp.Response); ok && err == nil {
					body, rerr := io.ReadAll(resp.Body)
					resp.Body = io.NopCloser(bytes.NewReader(body))
					*raw, err = body, rerr
				}
				return out, md, err
			}), middleware.After)
	})
}

// sendBody replaces the encoded request, before it is measured and signed.
func sendBody(body []byte) func(*wafv2.Options) {
	return wafv2.WithAPIOptions(func(s *middleware.Stack) error {
		return s.Serialize.Add(middleware.SerializeMiddlewareFunc("tracewallSendBody",
			func(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (out middleware.SerializeOutput, md middleware.Metadata, err error) {
				req, ok := in.Request.(*smithyhttp.Request)
				if !ok {
					return out, md, errors.New("request is not an HTTP request")
				}
				if in.Request, err = req.SetStream(bytes.NewReader(body)); err != nil {
					return out, md, err
				}
				return next.HandleSerialize(ctx, in)
			}), middleware.After)
	})
}

// refsKey is the identity of a list of references.
func refsKey(arns []string) string {
	arns = slices.Clone(arns)
	slices.Sort(arns)
	return strings.Join(slices.Compact(arns), " ")
}
