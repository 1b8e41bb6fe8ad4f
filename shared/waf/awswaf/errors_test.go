package awswaf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
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
		{"denied, in the words of other services", fmt.Errorf("op: %w", generic("AccessDenied")), waf.ErrDenied},
		{"mapped already", fmt.Errorf("op: %w", awswaf.MapError(generic("ThrottlingException"))), waf.ErrThrottled},
		{"expired", &smithy.OperationError{ServiceID: "WAFV2", Err: generic("ExpiredTokenException")}, waf.ErrDenied},
		{"in use", &types.WAFAssociatedItemException{}, waf.ErrInUse},
		{"invalid", &types.WAFInvalidParameterException{}, waf.ErrInvalid},
		{"too much capacity, which comes as an invalid parameter", &types.WAFInvalidParameterException{
			Message: aws.String("Error reason: You exceeded the capacity limit for a rule group or web ACL., field: WEB_ACL, parameter: 5001"),
		}, waf.ErrQuota},
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
	once := awswaf.MapError(generic("ThrottlingException"))
	if twice := awswaf.MapError(once); twice.Error() != once.Error() {
		t.Errorf("mapped twice it says %q", twice)
	}
	if awswaf.MapError(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestWhatAnErrorSays(t *testing.T) {
	const iam = "User: arn:aws:sts::111122223333:assumed-role/sync/i-1 is not authorized to perform: wafv2:UpdateIPSet on resource: " +
		"arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/tracewall-edge-v4-001/a1 because no identity-based policy allows the wafv2:UpdateIPSet action"
	denied := func(message string) error {
		return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: message}
	}
	for name, c := range map[string]struct {
		err  error
		want string // at its beginning
	}{
		"a permission is missing": {
			denied(iam),
			"access denied: arn:aws:sts::111122223333:assumed-role/sync/i-1 lacks wafv2:UpdateIPSet on arn:aws:wafv2:eu-west-1:111122223333:regional/ipset/tracewall-edge-v4-001/a1: add it to the policy of that role: api error AccessDenied",
		},
		"a permission that has no resource": {
			fmt.Errorf("list: %w", denied("User: arn:x is not authorized to perform: wafv2:ListIPSets on resource: * because")),
			"access denied: arn:x lacks wafv2:ListIPSets: add it to the policy of that role: list: api error",
		},
		"an organization forbids it": {
			denied("User: arn:x is not authorized to perform: wafv2:UpdateWebACL on resource: arn:y with an explicit deny in a service control policy"),
			"access denied: arn:x may not wafv2:UpdateWebACL on arn:y: a service control policy denies it, whatever the role allows: ",
		},
		"no permission is named":   {denied("no"), "access denied: api error AccessDeniedException: no"},
		"a permission of nonsense": {denied("not authorized to perform: $(rm -rf) on"), "access denied: api error"},
		"the kind of a limit": {
			fmt.Errorf("op: %w", &types.WAFLimitsExceededException{Message: aws.String("m"), SourceType: aws.String("RESOURCE_IP_SET\x1b[31m")}),
			"quota is exhausted: AWS names RESOURCE_IP_SET [31m as what there is too much of: op: WAFLimitsExceededException: m",
		},
		"a limit of no kind": {&types.WAFLimitsExceededException{}, "quota is exhausted: WAFLimitsExceededException"},
		"an unknown code":    {&smithy.GenericAPIError{Code: "Strange", Message: "a\nb"}, "api error Strange: a b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := awswaf.MapError(c.err).Error(); !strings.HasPrefix(got, c.want) {
				t.Errorf("says %q,\nwant %q", got, c.want)
			}
		})
	}
}

func TestTheTextOfAnErrorIsBoundedAndPrintable(t *testing.T) {
	evil := "\x1b]0;owned\a\r\n\u202e" + strings.Repeat("\xff世", 5000)
	for _, err := range []error{
		&smithy.GenericAPIError{Code: "AccessDeniedException", Message: evil},
		&smithy.GenericAPIError{Code: evil, Message: evil},
		&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "User: " + evil + " is not authorized to perform: wafv2:X on resource: " + strings.Repeat("a", 5000)},
		&types.WAFLimitsExceededException{SourceType: &evil, Message: &evil},
		&types.WAFInvalidParameterException{Parameter: &evil, Message: &evil, Reason: &evil},
	} {
		text := awswaf.MapError(fmt.Errorf("op: %w", err)).Error()
		if len(text) > 2000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(text) {
			t.Errorf("%d bytes: %q", len(text), text[:min(len(text), 200)])
		}
	}
}

// TestAMissingPermissionIsNamed through the real SDK, in another account.
func TestAMissingPermissionIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := roleCloud(t)
		v.Account(roleAccount).Deny("UpdateWebACL")
		_, err := v.run(t, v.process(t), 1, hosts(0, 5))
		want := "arn:aws:sts::222222222222:assumed-role/tracewall/tracewall-edge lacks wafv2:UpdateWebACL on arn:aws:wafv2:eu-west-1:222222222222:regional/webacl/shop/"
		if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v", err)
		}
	})
}
