package tencentfw

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/tracewall/tracewall/shared/waf"
)

// meaning maps Tencent Cloud's error codes to one decision each. Codes are families: what is
// not in the table is what its beginning, up to a dot, means. The codes are those that the
// SDK lists for the actions that are called, and the common ones of API 3.0.
var meaning = map[string]error{
	"RequestLimitExceeded":              waf.ErrThrottled,
	"LimitExceeded.ActionLimited":       waf.ErrThrottled,
	"FailedOperation.RateLimitExceeded": waf.ErrThrottled,

	"AuthFailure":           waf.ErrDenied,
	"UnauthorizedOperation": waf.ErrDenied,
	"OperationDenied":       waf.ErrDenied,

	"LimitExceeded":                             waf.ErrQuota,
	"QuotaExceeded":                             waf.ErrQuota,
	"ResourceInsufficient":                      waf.ErrQuota,
	"ResourcesSoldOut":                          waf.ErrQuota,
	"InvalidParameterValue":                     waf.ErrInvalid,
	"InvalidParameterValue.LimitExceeded":       waf.ErrQuota,
	"UnsupportedOperation.ClbPolicyExceedLimit": waf.ErrQuota,
	"UnsupportedOperation.ClbPolicyLimit":       waf.ErrQuota,
	"UnsupportedOperation.SgNumExceedLimit":     waf.ErrQuota,

	"UnsupportedOperation.VersionMismatch": waf.ErrConflict,
	"UnsupportedOperation.DuplicatePolicy": waf.ErrConflict,
	"InvalidParameterValue.Duplicate":      waf.ErrConflict,
	"ResourceNotFound":                     waf.ErrConflict,

	"ResourceInUse": waf.ErrInUse,

	"UnsupportedOperation.MutexOperationTaskRunning": waf.ErrUnavailable,
	"OperationDenied.MutexTaskRunning":               waf.ErrUnavailable,
	"UnsupportedOperation.LockedResources":           waf.ErrUnavailable,
	"FailedOperation":                                waf.ErrUnavailable,
	// Of WAF's access control list: nothing was entered, or deleted.
	"FailedOperation.TheNumberOfAddedBlackAndWhiteListExceedsTheUpperLimit": waf.ErrQuota,
	"FailedOperation.TheNumberOfOneTimeDeletionsReachedTheUpperLimit":       waf.ErrQuota,
	"InternalError":       waf.ErrUnavailable,
	"InternalServerError": waf.ErrUnavailable,
	"ResourceUnavailable": waf.ErrUnavailable,
	"ServiceUnavailable":  waf.ErrUnavailable,

	"InvalidParameter":            waf.ErrInvalid,
	"InvalidParameterCombination": waf.ErrInvalid,
	"InvalidSecurityGroupID":      waf.ErrInvalid,
	"MissingParameter":            waf.ErrInvalid,
	"UnknownParameter":            waf.ErrInvalid,
	"UnsupportedOperation":        waf.ErrInvalid,
	"UnsupportedRegion":           waf.ErrInvalid,
	"UnsupportedProtocol":         waf.ErrInvalid,
	"InvalidAction":               waf.ErrInvalid,
	"InvalidRequest":              waf.ErrInvalid,
	"NoSuchProduct":               waf.ErrInvalid,
	"NoSuchVersion":               waf.ErrInvalid,
	"RequestSizeLimitExceeded":    waf.ErrInvalid,
}

// advice says in words what to do, where the cloud's own text does not.
var advice = map[string]string{
	"AuthFailure.SignatureExpire":               "the clock of this machine is wrong, or the call took minutes to arrive: set the clock",
	"AuthFailure.SignatureFailure":              "the secret key does not belong to the secret id: set both anew",
	"AuthFailure.SecretIdNotFound":              "there is no such secret id, or it is disabled: make a new key in CAM",
	"AuthFailure.TokenFailure":                  "the temporary credentials have ended, or their token is missing",
	"AuthFailure.UnauthorizedOperation":         "the CAM policy lacks this action: attach the one from infra",
	"UnauthorizedOperation":                     "the CAM policy lacks this action: attach the one from infra",
	"InvalidParameter.LBIdNotFound":             "a load balancer of the target is not in its region: correct load_balancers or region",
	"InvalidSecurityGroupID.NotFound":           "a security group of the target is not in its region: correct security_groups or region",
	"LimitExceeded.SecurityGroupPolicySet":      "the security group has as many rules as it may: take one out, or have the quota raised",
	"UnsupportedOperation.ClbPolicyExceedLimit": "a load balancer cannot take that many rules: lower set_size, or unbind other groups",
	"UnsupportedRegion":                         "correct the target's region",
	"InvalidParameterValue.Region":              "correct the target's region",
}

// busyCodes: another task of the cloud's holds the object. Nothing was changed; it passes.
var busyCodes = []string{
	"UnsupportedOperation.MutexOperationTaskRunning",
	"OperationDenied.MutexTaskRunning",
	"FailedOperation.ResourceInOperating",
}

// errNoAnswer: what was asked may have been done or not, nobody said.
var errNoAnswer = fmt.Errorf("%w: no answer", waf.ErrUnavailable)

// cloudError is an error of Tencent Cloud together with our reading of it. Its text may hold
// anything, parts of what was sent among them, and so what an attacker wrote: Error shows a bounded
// length of it, and no character that a terminal or a log would act upon.
type cloudError struct {
	code      string
	decision  error // a sentinel of package waf; nil if the code is not known
	text      string
	requestID string
}

const maxErrorText = 400

// Error says the decision, what to do, the code and the cloud's text.
func (e *cloudError) Error() string {
	var b strings.Builder
	if e.decision != nil {
		b.WriteString(e.decision.Error() + ": ")
	}
	if words := lookUp(advice, e.code); words != "" {
		b.WriteString(words + ": ")
	}
	fmt.Fprintf(&b, "%s: %s", printable(e.code, 100), printable(e.text, maxErrorText))
	if e.requestID != "" {
		b.WriteString(" (request " + printable(e.requestID, 64) + ")")
	}
	return b.String()
}

// Unwrap returns the decision.
func (e *cloudError) Unwrap() error { return e.decision }

// mapError puts the decision that an error of the SDK calls for in front of it. The codes that begin with ClientError
// are the SDK's own: a broken connection, a status other than 200, a body that is no JSON. Their
// texts hold whole bodies and are cut like the others; the cause is not kept, since
// it may look like a deadline of ours.
func mapError(err error) error {
	var sdk *tcerr.TencentCloudSDKError
	if !errors.As(err, &sdk) {
		return fmt.Errorf("%w: %s", errNoAnswer, printable(err.Error(), maxErrorText))
	}
	if strings.HasPrefix(sdk.Code, "ClientError") {
		text := sdk.Message
		if cause := errors.Unwrap(sdk); cause != nil {
			text += ": " + cause.Error()
		}
		return fmt.Errorf("%w: %s", errNoAnswer, printable(text, maxErrorText))
	}
	return &cloudError{code: sdk.Code, decision: lookUp(meaning, sdk.Code), text: sdk.Message, requestID: sdk.RequestId}
}

// lookUp finds a code, or what it begins with.
func lookUp[T any](table map[string]T, code string) (found T) {
	for {
		if found, ok := table[code]; ok {
			return found
		}
		dot := strings.LastIndexByte(code, '.')
		if dot < 0 {
			return found
		}
		code = code[:dot]
	}
}

// code returns the cloud's own code, "" if there is none.
func code(err error) string {
	var e *cloudError
	if errors.As(err, &e) {
		return e.code
	}
	return ""
}

// isBusy tells errors that pass when another task of the cloud's ends.
func isBusy(err error) bool {
	got := code(err)
	for _, c := range busyCodes {
		if got == c {
			return true
		}
	}
	return false
}

// unsure tells errors of a change after which it may have been made: no answer came, the service says
// that it failed within, or the answer may be to a resend of ours. Read back before saying that it failed.
func unsure(err error) bool {
	if err == nil || errors.Is(err, waf.ErrDenied) || errors.Is(err, waf.ErrThrottled) || isBusy(err) {
		return false
	}
	return code(err) == "" && !errors.Is(err, waf.ErrOutOfTime) || errors.Is(err, waf.ErrUnavailable) || errors.Is(err, waf.ErrConflict)
}

// printable bounds a text of somebody else's and makes one harmless line of it.
func printable(text string, most int) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= most {
			b.WriteString("…")
			break
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}
