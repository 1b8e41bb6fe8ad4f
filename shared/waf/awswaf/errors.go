package awswaf

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
)

// meaning maps AWS's error codes to one decision each. It is keyed by code because
// the SDK types only the errors that the model declares for an operation; all
// others (ThrottlingException anywhere, WAFUnavailableEntityException from
// UpdateIPSet) come as generic ones with the same code.
var meaning = map[string]error{
	"WAFOptimisticLockException":            waf.ErrConflict,
	"WAFDuplicateItemException":             waf.ErrConflict,
	"WAFNonexistentItemException":           waf.ErrConflict,
	"WAFLimitsExceededException":            waf.ErrQuota,
	"WAFAssociatedItemException":            waf.ErrInUse,
	"WAFUnavailableEntityException":         waf.ErrUnavailable,
	"WAFInternalErrorException":             waf.ErrUnavailable,
	"WAFTagOperationException":              waf.ErrUnavailable,
	"WAFTagOperationInternalErrorException": waf.ErrUnavailable,
	"ServiceUnavailable":                    waf.ErrUnavailable,
	"InternalFailure":                       waf.ErrUnavailable,

	"ThrottlingException":      waf.ErrThrottled,
	"Throttling":               waf.ErrThrottled,
	"TooManyRequestsException": waf.ErrThrottled,
	"RequestLimitExceeded":     waf.ErrThrottled,

	"AccessDeniedException":       waf.ErrDenied,
	"AccessDenied":                waf.ErrDenied,
	"UnrecognizedClientException": waf.ErrDenied,
	"InvalidClientTokenId":        waf.ErrDenied,
	"InvalidSignatureException":   waf.ErrDenied,
	"SignatureDoesNotMatch":       waf.ErrDenied,
	"ExpiredTokenException":       waf.ErrDenied,
	"ExpiredToken":                waf.ErrDenied,
	"MissingAuthenticationToken":  waf.ErrDenied,
	"OptInRequired":               waf.ErrDenied,

	"WAFInvalidParameterException": waf.ErrInvalid,
	"ValidationException":          waf.ErrInvalid,
	"SerializationException":       waf.ErrInvalid,
	"WAFInvalidResourceException":  waf.ErrInvalid,
	"WAFInvalidOperationException": waf.ErrInvalid,

	// We only ever send these parts back as we got them.
	"WAFConfigurationWarningException":            waf.ErrTheirRules,
	"WAFExpiredManagedRuleGroupVersionException":  waf.ErrTheirRules,
	"WAFSubscriptionNotFoundException":            waf.ErrTheirRules,
	"WAFFeatureNotIncludedInPricingPlanException": waf.ErrTheirRules,
}

// mapError puts the decision that an AWS error calls for in front of it, and in
// words what to do about it. Other errors stay as they are.
func mapError(err error) error {
	var api smithy.APIError
	var mapped *awsError
	var role *roleError
	if err == nil || errors.As(err, &mapped) || errors.As(err, &role) || !errors.As(err, &api) {
		return err
	}
	return &awsError{decision: decisionOf(api), words: advice(err, api), err: err}
}

// decisionOf is meaning, but for what AWS says with a code that means something else:
// that a web ACL or a rule group would cost more WCU than it may comes as an invalid parameter.
func decisionOf(api smithy.APIError) error {
	if api.ErrorCode() == "WAFInvalidParameterException" && strings.Contains(api.ErrorMessage(), "exceeded the capacity limit") {
		return waf.ErrQuota
	}
	return meaning[api.ErrorCode()]
}

// awsError is an error of AWS together with our reading of it. AWS's text may hold
// anything: parts of what was sent, and so what an attacker wrote. Error shows a bounded
// length of it, and no character that a terminal or a log would act upon.
type awsError struct {
	decision error // a sentinel of package waf, nil if the code is not known
	words    string
	err      error
}

const maxErrorText = 600

func (e *awsError) Error() string {
	text := printable(e.err.Error(), maxErrorText)
	if e.words != "" {
		text = e.words + ": " + text
	}
	if e.decision != nil {
		text = e.decision.Error() + ": " + text
	}
	return text
}

// Unwrap returns the decision and AWS's own error.
func (e *awsError) Unwrap() []error {
	if e.decision == nil {
		return []error{e.err}
	}
	return []error{e.decision, e.err}
}

// code returns AWS's error code, "" if there is none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// expired tells errors that say that the credentials are no longer good.
func expired(err error) bool {
	switch code(err) {
	case "ExpiredTokenException", "ExpiredToken", "UnrecognizedClientException", "InvalidClientTokenId":
		return true
	}
	return false
}

// namedParameter finds the parameter in AWS's message, "Error reason: …, field: IP_ADDRESS, parameter: 192.0.2.66/29".
var namedParameter = regexp.MustCompile(`field: IP_ADDRESS, parameter: ([0-9A-Fa-f.:]{2,45}/[0-9]{1,3})`)

// badEntry returns the address that AWS names as the reason why it refused a list, if it
// is on the list: one bad entry shall cost only itself.
func badEntry(err error, list []netip.Prefix) (netip.Prefix, bool) {
	if code(err) != "WAFInvalidParameterException" {
		return netip.Prefix{}, false
	}
	var invalid *types.WAFInvalidParameterException
	var text string
	if errors.As(err, &invalid) && invalid.Field == types.ParameterExceptionFieldIpAddress && invalid.Parameter != nil {
		text = *invalid.Parameter
	} else if m := namedParameter.FindStringSubmatch(err.Error()); m != nil {
		text = m[1]
	}
	named, perr := netip.ParsePrefix(text)
	if perr != nil {
		return netip.Prefix{}, false
	}
	for _, p := range list {
		if p == named {
			return p, true
		}
	}
	return netip.Prefix{}, false
}
