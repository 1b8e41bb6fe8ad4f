package awswaf

import (
	"errors"
	"fmt"
	"net/netip"

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

// mapError puts the decision that an AWS error calls for in front of it. An error
// that calls for none stays as it is.
func mapError(err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return err
	}
	sentinel, ok := meaning[api.ErrorCode()]
	if !ok || errors.Is(err, sentinel) {
		return err
	}
	return fmt.Errorf("%w: %w", sentinel, err)
}

// code returns AWS's error code, "" if there is none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// badEntry returns the address that AWS names as the reason why it refused a list, if it
// is on the list: one bad entry shall cost only itself.
func badEntry(err error, list []netip.Prefix) (netip.Prefix, bool) {
	var invalid *types.WAFInvalidParameterException
	if !errors.As(err, &invalid) || invalid.Field != types.ParameterExceptionFieldIpAddress || invalid.Parameter == nil {
		return netip.Prefix{}, false
	}
	named, perr := netip.ParsePrefix(*invalid.Parameter)
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
