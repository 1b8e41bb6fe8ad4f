package awswaf

import (
	"encoding/json"
	"maps"
	"slices"
)

type visibility struct {
	SampledRequestsEnabled   bool
	CloudWatchMetricsEnabled bool
	MetricName               string
}

// statement is one of the kinds that our rule is made of.
type statement struct {
	IPSetReferenceStatement *setReference `json:",omitempty"`
	OrStatement             *statements   `json:",omitempty"`
	AndStatement            *statements   `json:",omitempty"`
	NotStatement            *negated      `json:",omitempty"`
}

type statements struct{ Statements []statement }

type negated struct{ Statement statement }

type setReference struct {
	ARN                    string
	IPSetForwardedIPConfig *forwardedIP `json:",omitempty"`
}

type forwardedIP struct{ HeaderName, FallbackBehavior, Position string }

// ourRule returns the generated rule: what any of the sets holds, and none of the
// exceptions sets among them. It is nil if arns name nothing to block, since a
// rule that only excepts would block everybody else.
func (f *Firewall) ourRule(arns []string, priority int64) json.RawMessage {
	var blocks, spares []statement
	for _, arn := range arns {
		if s := f.target.reference(arn); isExcept(nameInARN(arn)) {
			spares = append(spares, s)
		} else {
			blocks = append(blocks, s)
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	what := anyOf(blocks)
	if len(spares) > 0 {
		what = statement{AndStatement: &statements{[]statement{what, {NotStatement: &negated{anyOf(spares)}}}}}
	}
	return mustMarshal(struct {
		Name             string
		Priority         int64
		Statement        statement
		Action           map[string]any
		VisibilityConfig visibility
	}{f.base, priority, what, f.action(), f.visibility()})
}

// anyOf joins statements: AWS wants at least two of them in an OrStatement.
func anyOf(list []statement) statement {
	if len(list) == 1 {
		return list[0]
	}
	return statement{OrStatement: &statements{list}}
}

// reference returns the statement that asks for the addresses of one set.
func (t Target) reference(arn string) statement {
	ref := &setReference{ARN: arn}
	if f := t.Forwarded; f != nil {
		ref.IPSetForwardedIPConfig = &forwardedIP{f.Header, f.Fallback, f.Position}
	}
	return statement{IPSetReferenceStatement: ref}
}

// action returns the rule's Action, with the custom response if there is one.
func (f *Firewall) action() map[string]any {
	setting := map[string]any{}
	if r := f.target.Response; r != nil {
		custom := map[string]any{"ResponseCode": r.Code}
		if r.Body != "" {
			custom["CustomResponseBodyKey"] = f.base
		}
		var headers []map[string]string
		for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
			headers = append(headers, map[string]string{"Name": name, "Value": r.Headers[name]})
		}
		if headers != nil {
			custom["ResponseHeaders"] = headers
		}
		setting["CustomResponse"] = custom
	}
	return map[string]any{actionKeys[f.target.Action]: setting}
}

// actionKeys are AWS's names of the actions.
var actionKeys = map[string]string{ActionBlock: "Block", ActionCount: "Count", ActionChallenge: "Challenge", ActionCaptcha: "Captcha"}

func (f *Firewall) visibility() visibility {
	return visibility{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: f.base + "_Metric"}
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

func mustMarshal(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings, numbers and booleans always marshal
	}
	return raw
}
