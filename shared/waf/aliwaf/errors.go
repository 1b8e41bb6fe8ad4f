package aliwaf

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// meaning maps Alibaba Cloud's error codes to one decision each. Codes that are not here are judged by decisionOf.
var meaning = map[string]error{
	"Defense.Control.DefenseAddressOperationTooFrequent": waf.ErrThrottled,

	"Defense.Control.DefenseAddressOversize":       waf.ErrQuota,
	"Defense.Control.DefenseRuleCountOverSize":     waf.ErrQuota,
	"Defense.Control.DefenseTemplateCountOverSize": waf.ErrQuota,
	"AclIpCountOverLimit":                          waf.ErrQuota,

	"Defense.Control.DefenseAddressInvalid": waf.ErrInvalid,

	// Cloud Firewall.
	"ErrorAddressCountExceed":     waf.ErrQuota,
	"ErrorAclExtendedCountExceed": waf.ErrQuota,
	"ErrorAddressGroupExist":      waf.ErrConflict,
	"ErrorAddressGroupReference":  waf.ErrInUse,

	// What Look saw is gone. Look again.
	"Defense.Control.DefenseRuleNotExist":     waf.ErrConflict,
	"Defense.Control.DefenseTemplateNotExist": waf.ErrConflict,

	// The names are the target's; nothing that we could look up again.
	"Defense.Control.DefenseResourceNotExist":      waf.ErrInvalid,
	"Defense.Control.DefenseResourceGroupNotExist": waf.ErrInvalid,

	"SignatureNonceUsed": waf.ErrUnavailable, // a resend on the way: the first one may have been taken

	"Waf.Instance.ValidFaild":        waf.ErrDenied, // their spelling
	"Forbidden.RAM":                  waf.ErrDenied,
	"NoPermission":                   waf.ErrDenied,
	"InvalidSecurityToken.Expired":   waf.ErrDenied,
	"InvalidTimeStamp.Expired":       waf.ErrDenied,
	"SignatureDoesNotMatch":          waf.ErrDenied,
	"IncompleteSignature":            waf.ErrDenied,
	"MissingSecurityToken":           waf.ErrDenied,
	"InvalidAccessKeyId.NotFound":    waf.ErrDenied,
	"InvalidAccessKeyId.Inactive":    waf.ErrDenied,
	"InvalidSecurityToken.Malformed": waf.ErrDenied,
}

// advice says what to do about a code.
var advice = map[string]string{
	"Defense.Control.DefenseAddressOversize":  "the address book is full, or the call has too many addresses: lower the target's batch if a nearly empty book says so",
	"Defense.Control.DefenseResourceNotExist": "the target names a protected object that the instance does not have: correct objects",
	"Waf.Instance.ValidFaild":                 "the instance is not there in this account and region, has expired or is overdue: check instance_id and region of the target, and the instance in the console",
	"ErrorAclExtendedCountExceed":             "the account's quota of policy entries is used up: each address of a book counts for each policy that refers to it; buy more, or lower books of the target",
	"Forbidden.RAM":                           "grant the RAM role this action (see infra)",
	"NoPermission":                            "grant the RAM role this action (see infra)",
	"InvalidTimeStamp.Expired":                "this machine's clock differs from Alibaba Cloud's by more than 15 minutes: set it",
	"InvalidSecurityToken.Expired":            "the credentials have ended: they must come from the invocation's own context",
}

// decisionOf returns the decision that an answer calls for, nil if there is none for it.
func decisionOf(status int, code string) error {
	if d, known := meaning[code]; known {
		return d
	}
	switch low := strings.ToLower(code); {
	case strings.HasSuffix(low, "oversize"), strings.HasSuffix(low, "overlimit"):
		return waf.ErrQuota
	case strings.HasSuffix(low, "inuse"):
		return waf.ErrInUse
	case strings.Contains(code, "Throttling"), status == http.StatusTooManyRequests:
		return waf.ErrThrottled
	case strings.HasSuffix(code, "NotExist"):
		return waf.ErrConflict
	case strings.HasPrefix(code, "Forbidden"), strings.HasPrefix(code, "InvalidAccessKeyId"), strings.HasPrefix(code, "InvalidSecurityToken"),
		status == http.StatusUnauthorized, status == http.StatusForbidden:
		return waf.ErrDenied
	case status >= 500, status < 400, code == "":
		// A gateway's page, a redirect: nothing that the service itself has said.
		return waf.ErrUnavailable
	case strings.HasPrefix(code, "InvalidParameter"), strings.HasPrefix(code, "MissingParameter"), strings.HasPrefix(code, "ErrorParameter"):
		return waf.ErrInvalid
	case strings.HasPrefix(code, "Defense.Control.") && strings.HasSuffix(code, "Invalid"):
		return waf.ErrInvalid
	case strings.HasPrefix(code, "Defense.Control.") && strings.HasSuffix(code, "CountOverSize"):
		return waf.ErrQuota
	case strings.HasPrefix(code, "Defense.Control.") && strings.HasSuffix(code, "NameExist"):
		return waf.ErrConflict // a second writer was quicker
	case strings.HasPrefix(code, "ErrorDB"): // Cloud Firewall's own trouble, said with status 400
		return waf.ErrUnavailable
	case strings.HasPrefix(code, "Error") && strings.HasSuffix(code, "CountExceed"):
		return waf.ErrQuota
	default:
		return nil
	}
}

// apiError is one call that went wrong: by an answer of the service, or for want of one.
type apiError struct {
	op        string
	decision  error // a sentinel of package waf, nil if the code is not known
	status    int   // 0: no answer
	code      string
	message   string
	requestID string
	local     error // why there is no answer, or what is wrong with it
	unsent    bool  // the call was never made
}

const (
	maxErrorText = 300
	maxName      = 128 // of what a cloud's name, note or id may take in our texts
)

// answered reads an answer that is not a success. Its text may hold anything, parts of what was sent
// included: Error shows a bounded length of it, and no character that a terminal or a log would act upon.
func answered(op string, w *wire) error {
	var body struct {
		Code, Message string
		RequestID     string `json:"RequestId"`
	}
	_ = json.Unmarshal(w.body, &body) // a gateway's page has none of it
	e := &apiError{
		op: op, status: w.status, code: printable(body.Code, maxName),
		message: printable(body.Message, maxErrorText), requestID: printable(body.RequestID, maxName),
	}
	e.decision = decisionOf(e.status, e.code)
	return e
}

func (e *apiError) Error() string {
	var b strings.Builder
	b.WriteString(e.op + ": ")
	if e.decision != nil {
		b.WriteString(e.decision.Error() + ": ")
	}
	if words := advice[e.code]; words != "" {
		b.WriteString(words + ": ")
	}
	switch {
	case e.local != nil && e.status == 0:
		b.WriteString(printable(e.local.Error(), maxErrorText))
		return b.String()
	case e.local != nil:
		b.WriteString(e.local.Error())
	default:
		fmt.Fprintf(&b, "status %d", e.status)
	}
	if e.code != "" {
		b.WriteString(" " + e.code)
	}
	if e.message != "" {
		b.WriteString(": " + e.message)
	}
	if e.requestID != "" {
		b.WriteString(" (request " + e.requestID + ")")
	}
	return b.String()
}

// Unwrap returns the decision and our own reason.
func (e *apiError) Unwrap() []error {
	var all []error
	for _, err := range []error{e.decision, e.local} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// code returns the service's error code, "" if there is none.
func code(err error) string {
	var e *apiError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

// unsure tells errors after which the change may have been made: no answer came, or one that is not the service's own word.
func unsure(err error) bool {
	var e *apiError
	return errors.As(err, &e) && !e.unsent && errors.Is(e.decision, waf.ErrUnavailable)
}

// gone tells that what a call named is not there.
func gone(err error) bool {
	c := code(err)
	return strings.HasSuffix(c, "NotExist") && decisionOf(http.StatusBadRequest, c) == waf.ErrConflict //nolint:errorlint // the very value
}

var odd = regexp.MustCompile(`[^\x20-\x7e]`)

// printable returns text, bounded, with everything escaped that is not plain ASCII.
func printable(text string, most int) string {
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "..."
	}
	if !odd.MatchString(text) {
		return text
	}
	return strings.Trim(strconv.QuoteToASCII(text), `"`)
}
