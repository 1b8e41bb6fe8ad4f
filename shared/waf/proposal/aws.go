package proposal

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

type object = map[string]any

// maxPattern is AWS WAF's quota: characters of a regular expression.
const maxPattern = 200

// forAWS writes a rule of a Web ACL: above the limit, counted over all clients together,
// each has to prove that it is a browser. Patterns and not strings: a string is base64
// to the API and plain text in the console, a pattern is the same in both.
func forAWS(p *Proposal, s shared) {
	statement := object{}
	p.Note = "Paste it as a rule's JSON in the Web ACL, in front of rules that allow, with a priority that is free. " + setLimit +
		" A challenge is for browsers: where programs call, take {\"Block\":{}} as the Action."
	raw := []object{{"Priority": 0, "Type": "NONE"}}
	switch s.kind {
	case "path", "agent":
		field, pattern := object{"UriPath": object{}}, "^"+regexp.QuoteMeta(s.value)+"$"
		if s.kind == "agent" {
			field = object{"SingleHeader": object{"Name": "user-agent"}}
		}
		if n := len(pattern); n > maxPattern {
			p.Refused = fmt.Sprintf("a pattern for the %s would have %d characters, and AWS WAF takes %d: write a rule for what it begins with", s.kind, n, maxPattern)
			return
		}
		statement["RegexMatchStatement"] = object{"RegexString": pattern, "FieldToMatch": field, "TextTransformations": raw}
	case "fingerprint":
		field := fingerprintOf(s.value)
		if field == "" {
			p.Refused = "the fingerprint is neither a JA3 nor a JA4: AWS WAF knows no other"
			return
		}
		statement["ByteMatchStatement"] = object{
			"SearchString": base64.StdEncoding.EncodeToString([]byte(s.value)), "PositionalConstraint": "EXACTLY", "TextTransformations": raw,
			"FieldToMatch": object{field: object{"FallbackBehavior": "NO_MATCH"}},
		}
		p.Note += " SearchString is base64, as the API wants it; the console's editor wants " + s.value + " itself."
	case "network":
		if asn, ok := numberOf(s.value); ok {
			statement["AsnMatchStatement"] = object{"AsnList": []int64{asn}}
			break
		}
		network, err := netip.ParsePrefix(s.value)
		if err != nil {
			p.Refused = "the network is neither an address range nor an AS number"
			return
		}
		version := "IPV4"
		if network.Addr().Is6() {
			version = "IPV6"
		}
		statement["IPSetReferenceStatement"] = object{"ARN": "ARN-OF-THE-IP-SET"}
		p.Note += fmt.Sprintf(" First make the IP set and write its ARN into the rule: aws wafv2 create-ip-set --scope REGIONAL --name campaign-%s --ip-address-version %s --addresses %s", s.name, version, network.Masked())
	default:
		p.Refused = "AWS WAF cannot be told to look at this"
		return
	}
	p.Title = fmt.Sprintf("challenge all clients of this %s while together they make more than %d requests a minute", s.kind, s.limit)
	p.Text = asciiJSON(object{
		"Name": "campaign-" + s.name, "Priority": 0, "Action": object{"Challenge": object{}},
		"Statement": object{"RateBasedStatement": object{
			"Limit": s.limit, "EvaluationWindowSec": 60, "AggregateKeyType": "CONSTANT", "ScopeDownStatement": statement,
		}},
		"VisibilityConfig": object{"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "campaign-" + s.name},
	})
}

var (
	ja3 = regexp.MustCompile(`^[0-9a-f]{32}$`)
	ja4 = regexp.MustCompile(`^[a-z0-9]{10}_[0-9a-f]{12}_[0-9a-f]{12}$`)
)

// fingerprintOf returns AWS WAF's name for the kind of a fingerprint.
func fingerprintOf(value string) string {
	switch {
	case ja3.MatchString(value):
		return "JA3Fingerprint"
	case ja4.MatchString(value):
		return "JA4Fingerprint"
	default:
		return ""
	}
}

// numberOf reads an AS number: AS64500 or 64500, with an operator's name behind it or without.
func numberOf(value string) (int64, bool) {
	first, _, _ := strings.Cut(value, " ")
	n, err := strconv.ParseUint(strings.TrimPrefix(first, "AS"), 10, 32)
	return int64(n), err == nil && n > 0
}
