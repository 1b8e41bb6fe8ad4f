package awswaf

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/targets"
)

// Scopes, actions and modes of a Target.
const (
	Regional   = "REGIONAL"
	CloudFront = "CLOUDFRONT"

	ActionBlock     = "block"
	ActionCount     = "count"
	ActionChallenge = "challenge"
	ActionCaptcha   = "captcha"

	// ModeWebACL: one generated rule inside the user's own web ACL.
	ModeWebACL = "web-acl"
	// ModeRuleGroup: rule groups of our own, to which the user refers once. UpdateWebACL is never called.
	ModeRuleGroup = "rule-group"
	// ModeIPSet: only GetIPSet and UpdateIPSet, on sets that the user names.
	ModeIPSet = "ip-set"

	PositionFirst = "first"
	PositionLast  = "last"

	SyncEnforce = targets.SyncEnforce
	SyncObserve = targets.SyncObserve

	DriftRepair = targets.DriftRepair
	DriftReport = targets.DriftReport

	// LoggedConnection: the log has the address that connected.
	LoggedConnection = "connection"
)

// The defaults and limits of a Target.
const (
	DefaultSetSize  = 5000   // as in the founding story
	MaxSetSize      = 10_000 // AWS WAF: addresses per IP set, fixed
	DefaultPriority = 101    // the founding story's first generated rule
	cloudFrontAt    = "us-east-1"
	// AWS takes 128 characters; the longest name made from it is tracewall-<name>-v4-except-000001.
	maxTargetName = 64
	// AWS's documentation of metric names; "ACLMetric" is appended to the web ACL's name.
	maxWebACLName = 119

	DefaultGroups = 1
	// MaxGroups bounds rule groups: each is one of the 50 references of the web ACL that
	// uses it, and 20 hold 10,000,000 addresses.
	MaxGroups = 20

	maxPriority    = 1_000_000_000 // ours; AWS takes any whole number from 0
	maxIPSetQuota  = 100_000       // ours: beyond any quota that AWS grants
	maxExternalID  = 1224          // AWS STS
	maxHeaderName  = 255           // AWS WAF: IPSetForwardedIPConfig.HeaderName
	maxBody        = 4096          // AWS WAF: bytes of a custom response body, fixed
	maxHeaders     = 10            // AWS WAF: headers of one custom response, fixed
	maxInsertName  = 64            // AWS WAF: CustomHTTPHeader.Name
	maxInsertValue = 255           // AWS WAF: CustomHTTPHeader.Value
)

// Target is one wall on AWS that shall be equal to the blocklist.
type Target struct {
	Name     string // of the target; our rule, rule groups and sets are named after it
	Region   string
	Scope    string // Regional or CloudFront
	Mode     string // ModeWebACL, ModeRuleGroup or ModeIPSet
	WebACL   string // mode web-acl: its name, created when there is none; mode rule-group: optional, only read, to prove that the group is in force
	Action   string // ActionBlock, ActionCount, ActionChallenge or ActionCaptcha; mode ip-set: "", the user's own rule decides
	Priority int32  // mode web-acl: of our rule, if it is free, else the next free one; in a group of our own any will do
	Position string // PositionFirst, PositionLast: before or after all of the user's rules, in place of Priority; "": Priority
	SetSize  int    // addresses per IP set; by default 5,000, in mode ip-set, where no set can be added, 10,000

	RoleARN    string // a role of another account to assume; "": the caller's own account
	ExternalID string // what that role asks for; only with RoleARN

	Groups int      // mode rule-group: how many rule groups, each for 50 sets; the user refers to each once
	IPSets []string // mode ip-set: ARNs of the user's IP sets to fill

	Response   *Response  // action block: what blocked clients are answered; nil: AWS WAF's own 403
	Forwarded  *Forwarded // match the address in a header; nil: the connection's own
	LoggedFrom string     // where the addresses in the log come from: LoggedConnection, or a header's name; "": not said

	Sync       string // SyncObserve: every run is a plan, whatever the function's SYNC_MODE; SyncEnforce or "": as that says
	Drift      string // DriftRepair or DriftReport
	MaxRelease int    // percent, 1 to 100; waf.Guard
	MaxAdd     int    // percent; waf.Guard
	IPSetQuota int    // IP sets that the account may have in the Region; 0: not said (AWS's default is 100)
}

// Response is AWS WAF's custom response to a blocked request.
type Response struct {
	Code        int               // one of those that AWS WAF takes: responseCodes
	Body        string            // at most 4 KB; "": none
	ContentType string            // of Body: TEXT_PLAIN (the default), TEXT_HTML or APPLICATION_JSON
	Headers     map[string]string // inserted into the answer, at most 10
}

// Forwarded says in which header AWS WAF finds the client's address. To a request without that
// header AWS WAF does not apply the rule at all, so nobody may reach the protected resource around
// the proxy that sets it.
type Forwarded struct {
	Header   string // X-Forwarded-For, CF-Connecting-IP, …
	Position string // FIRST, LAST or ANY
	Fallback string // NO_MATCH (the default) or MATCH, when the header holds no valid address
}

var (
	regionPattern     = regexp.MustCompile(`^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$`)
	webACLPattern     = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	rolePattern       = whenNeeded(`^arn:(aws[a-z-]*):iam::([0-9]{12}):role/(?:[\x21-\x7e]{1,510}/)?[A-Za-z0-9_+=,.@-]{1,64}$`)
	externalIDPattern = regexp.MustCompile(`^[A-Za-z0-9_+=,.@:/-]{2,}$`)
	ipSetPattern      = whenNeeded(`^arn:(aws[a-z-]*):wafv2:([a-z0-9-]+):([0-9]{12}):(regional|global)/ipset/[A-Za-z0-9_-]{1,128}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	headerPattern     = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
	insertPattern     = regexp.MustCompile(`^[A-Za-z0-9._$-]+$`)
)

// Policy returns what the target says about its runs. In mode ip-set nobody here knows what the
// user's rule does to whom it matches, so it counts as a block.
func (t Target) Policy() waf.Policy {
	p := t.runs().Policy()
	switch t.Action {
	case ActionChallenge, ActionCaptcha, ActionCount:
		p.Challenges = t.Mode != ModeIPSet
	}
	return p
}

func (t Target) runs() targets.Runs {
	return targets.Runs{Sync: t.Sync, Drift: t.Drift, MaxRelease: t.MaxRelease, MaxAdd: t.MaxAdd}
}

func (t *Target) setRuns(r targets.Runs) {
	t.Sync, t.Drift, t.MaxRelease, t.MaxAdd = r.Sync, r.Drift, r.MaxRelease, r.MaxAdd
}

// withDefaults fills in what is left out.
func (t Target) withDefaults() Target {
	t.Scope = cmp.Or(t.Scope, Regional)
	t.Mode = cmp.Or(t.Mode, ModeWebACL)
	if t.Scope == CloudFront {
		t.Region = cmp.Or(t.Region, cloudFrontAt)
	}
	switch t.Mode {
	case ModeIPSet:
		t.SetSize = cmp.Or(t.SetSize, MaxSetSize)
	default:
		t.Action = cmp.Or(t.Action, ActionBlock)
		t.SetSize = cmp.Or(t.SetSize, DefaultSetSize)
	}
	if t.Mode == ModeRuleGroup {
		t.Groups = cmp.Or(t.Groups, DefaultGroups)
	}
	t.setRuns(t.runs().WithDefaults())
	if t.Response != nil && t.Response.Body != "" {
		r := *t.Response // the caller's stays as it is
		r.ContentType = cmp.Or(r.ContentType, textPlain)
		t.Response = &r
	}
	if t.Forwarded != nil {
		f := *t.Forwarded
		f.Fallback = cmp.Or(f.Fallback, fallbackNoMatch)
		t.Forwarded = &f
	}
	return t
}

// check is ParseTargets's judgement for a Target that was made in code.
func (t Target) check() error { return targets.Check(t.fields(), ParseTargets) }

// fields is the JSON object from which ParseTargets would make this Target. All that is not zero is in it,
// also where it does not belong, so that it is refused.
func (t Target) fields() targets.Written {
	all := targets.Written{}
	t.runs().Put(all)
	targets.Put(all, map[string]string{
		"name": t.Name, "region": t.Region, "scope": t.Scope, "mode": t.Mode, "web_acl": t.WebACL, "action": t.Action,
		"role_arn": t.RoleARN, "external_id": t.ExternalID, "logged_from": t.LoggedFrom,
	})
	targets.Put(all, map[string]int{"set_size": t.SetSize, "groups": t.Groups, "ip_set_quota": t.IPSetQuota})
	switch {
	case t.Position != "":
		all["priority"] = t.Position
	case t.Mode == ModeRuleGroup, t.Mode == ModeIPSet && t.Priority == 0:
		// Not said. In code there is always some number.
	default:
		all["priority"] = t.Priority
	}
	if len(t.IPSets) > 0 {
		all["ip_sets"] = t.IPSets
	}
	if r := t.Response; r != nil {
		response := map[string]any{"code": r.Code}
		for key, value := range map[string]string{"body": r.Body, "content_type": r.ContentType} {
			if value != "" {
				response[key] = value
			}
		}
		if len(r.Headers) > 0 {
			response["headers"] = r.Headers
		}
		all["response"] = response
	}
	if f := t.Forwarded; f != nil {
		all["forwarded"] = map[string]any{"header": f.Header, "position": f.Position, "fallback": f.Fallback}
	}
	return all
}

// account returns the account that the target is in, "" if it is the caller's own.
func (t Target) account() string {
	if m := rolePattern().FindStringSubmatch(t.RoleARN); m != nil {
		return m[2]
	}
	return ""
}

// partition returns the part of AWS that a Region is in. Nothing of one can be used from another.
func partition(region string) string {
	for _, p := range []struct{ prefix, name string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-iso-", "aws-iso"},
		{"us-isob-", "aws-iso-b"},
		{"eu-isoe-", "aws-iso-e"},
		{"us-isof-", "aws-iso-f"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.name
		}
	}
	return "aws"
}

// canExcept tells whether the rule can spare addresses. It cannot where one request can have
// several addresses, or none and match nevertheless: whoever put a spared address into
// the header would escape. In mode ip-set the rule is the user's.
func (t Target) canExcept() bool {
	return t.Mode != ModeIPSet && (t.Forwarded == nil || t.Forwarded.Position != positionAny && t.Forwarded.Fallback != fallbackMatch)
}
