package awswaf_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

var sentinels = []error{
	waf.ErrConflict, waf.ErrQuota, waf.ErrThrottled, waf.ErrDenied, waf.ErrInvalid, waf.ErrForeign, waf.ErrTheirRules, waf.ErrInUse,
	waf.ErrUnavailable, waf.ErrOutOfTime, waf.ErrEpoch, waf.ErrStale,
}

func TestMapError(t *testing.T) {
	generic := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "m"} }
	other := errors.New("other")
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"typed", &types.WAFOptimisticLockException{}, waf.ErrConflict},
		{"typed and wrapped", fmt.Errorf("op: %w", &types.WAFLimitsExceededException{}), waf.ErrQuota},
		{"of the same code, but not declared for the operation", generic("WAFUnavailableEntityException"), waf.ErrUnavailable},
		{"in no model", generic("ThrottlingException"), waf.ErrThrottled},
		{"denied", generic("AccessDeniedException"), waf.ErrDenied},
		{"expired", &smithy.OperationError{ServiceID: "WAFV2", Err: generic("ExpiredTokenException")}, waf.ErrDenied},
		{"in use", &types.WAFAssociatedItemException{}, waf.ErrInUse},
		{"invalid", &types.WAFInvalidParameterException{}, waf.ErrInvalid},
		{"a model pattern", generic("ValidationException"), waf.ErrInvalid},
		{"their rules", &types.WAFExpiredManagedRuleGroupVersionException{}, waf.ErrTheirRules},
		{"of an unknown code", generic("Strange"), nil},
		{"unrelated", other, nil},
		{"unrelated that looks alike", errors.New("WAFOptimisticLockException"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := awswaf.MapError(c.err)
			if !errors.Is(got, c.err) {
				t.Errorf("%v does not keep the original", got)
			}
			for _, s := range sentinels {
				if errors.Is(got, s) != errors.Is(s, c.want) {
					t.Errorf("%v: is %q = %t", got, s, errors.Is(got, s))
				}
			}
		})
	}
	if awswaf.MapError(nil) != nil {
		t.Error("nil became an error")
	}
}
