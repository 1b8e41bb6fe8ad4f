package waftest

import (
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// session is what temporary keys of AssumeRole stand for.
type session struct {
	account string
	caller  string // its ARN
	token   string
	until   time.Time
}

var (
	rolePattern    = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/([\w+=,.@/-]+)$`)
	sessionPattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

// readForm decodes the query protocol of STS.
func readForm(body []byte, req *request) *apiError {
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Version") != "2011-06-15" {
		return refuse("MalformedQueryString", "the query string is malformed")
	}
	req.op = form.Get("Action")
	for key := range form {
		req.set(key, form.Get(key))
	}
	return nil
}

type assumeRoleResponse struct {
	XMLName    xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ AssumeRoleResponse"`
	KeyID      string   `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret     string   `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token      string   `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration string   `xml:"AssumeRoleResult>Credentials>Expiration"`
	RoleID     string   `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	ARN        string   `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	RequestID  string   `xml:"ResponseMetadata>RequestId"`
}

// assumeRole hands out keys for a role of AWSOptions.Roles to who knows its external id.
func (a *AWS) assumeRole(r request) (any, *apiError) {
	role := rolePattern.FindStringSubmatch(r.str("RoleArn"))
	if role == nil || !sessionPattern.MatchString(r.str("RoleSessionName")) {
		return nil, refuse("ValidationError", "1 validation error detected: RoleArn or RoleSessionName failed to satisfy constraint")
	}
	seconds := int64(3600)
	if r.fields["DurationSeconds"] != nil {
		var err error
		if seconds, err = strconv.ParseInt(r.str("DurationSeconds"), 10, 32); err != nil || seconds < 900 || seconds > 43200 {
			return nil, refuse("ValidationError", "1 validation error detected: DurationSeconds is 900 to 43200")
		}
	}
	external, ok := a.opts.Roles[r.str("RoleArn")]
	if !ok || external != r.str("ExternalId") {
		return nil, denied(r, "AccessDenied", r.str("RoleArn"))
	}
	name := role[2][strings.LastIndexByte(role[2], '/')+1:]
	s := session{
		account: role[1], token: a.uuid() + a.uuid(), until: a.opts.Now().Add(time.Duration(seconds) * time.Second),
		caller: fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", role[1], name, r.str("RoleSessionName")),
	}
	key := "ASIA" + strings.ToUpper(strings.ReplaceAll(a.uuid(), "-", "")[:16])
	a.sessions[key] = s
	return assumeRoleResponse{
		KeyID: key, Secret: a.uuid(), Token: s.token, Expiration: s.until.UTC().Format(time.RFC3339),
		RoleID: "AROA" + key[4:] + ":" + r.str("RoleSessionName"), ARN: s.caller, RequestID: "0",
	}, nil
}

// identify says whose key a request is signed with. Keys that nobody handed out are the default account's user.
func (a *AWS) identify(req *request, c credential) *apiError {
	a.mu.Lock()
	defer a.mu.Unlock()
	req.caller = "arn:aws:iam::" + DefaultAccount + ":user/tracewall"
	s, ok := a.sessions[c.key]
	invalid, expired := "UnrecognizedClientException", "ExpiredTokenException"
	if req.service != serviceWAF {
		invalid, expired = "InvalidClientTokenId", "ExpiredToken"
	}
	switch {
	case !ok && strings.HasPrefix(c.key, "ASIA"):
		return refuse(invalid, "The security token included in the request is invalid.")
	case !ok:
		return nil
	case s.token != c.sessionToken:
		return refuse(invalid, "The security token included in the request is invalid.")
	case !a.opts.Now().Before(s.until):
		return refuse(expired, "The security token included in the request is expired")
	}
	req.account, req.caller = s.account, s.caller
	return nil
}
