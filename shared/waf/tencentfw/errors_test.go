package tencentfw_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

func TestEveryCodeMeansOneDecision(t *testing.T) {
	for code, want := range map[string]error{
		"RequestLimitExceeded":                           waf.ErrThrottled,
		"RequestLimitExceeded.UinLimitExceeded":          waf.ErrThrottled,
		"LimitExceeded.ActionLimited":                    waf.ErrThrottled,
		"AuthFailure.SignatureExpire":                    waf.ErrDenied,
		"AuthFailure.SecretIdNotFound":                   waf.ErrDenied,
		"UnauthorizedOperation":                          waf.ErrDenied,
		"LimitExceeded":                                  waf.ErrQuota,
		"LimitExceeded.SecurityGroupPolicySet":           waf.ErrQuota,
		"InvalidParameterValue.LimitExceeded":            waf.ErrQuota,
		"UnsupportedOperation.ClbPolicyExceedLimit":      waf.ErrQuota,
		"UnsupportedOperation.VersionMismatch":           waf.ErrConflict,
		"UnsupportedOperation.DuplicatePolicy":           waf.ErrConflict,
		"ResourceNotFound":                               waf.ErrConflict,
		"ResourceInUse":                                  waf.ErrInUse,
		"ResourceInUse.Address":                          waf.ErrInUse,
		"UnsupportedOperation.MutexOperationTaskRunning": waf.ErrUnavailable,
		"FailedOperation.ResourceInOperating":            waf.ErrUnavailable,
		"InternalError.ModuleError":                      waf.ErrUnavailable,
		"InvalidParameterValue.Malformed":                waf.ErrInvalid,
		"InvalidParameter.LBIdNotFound":                  waf.ErrInvalid,
		"UnsupportedRegion":                              waf.ErrInvalid,
		"ClientError.NetworkError":                       waf.ErrUnavailable,
		"ClientError.HttpStatusCodeError":                waf.ErrUnavailable,
	} {
		bare := tcerr.NewTencentCloudSDKError(code, "some text", "r-1")
		for name, err := range map[string]error{"bare": bare, "wrapped": fmt.Errorf("call: %w", bare)} {
			if got := tencentfw.MapError(err); !errors.Is(got, want) {
				t.Errorf("%s, %s: %v, want %v", code, name, got, want)
			}
		}
	}
	unknown := tencentfw.MapError(tcerr.NewTencentCloudSDKError("Novel.Thing", "what", "r"))
	for _, sentinel := range []error{waf.ErrConflict, waf.ErrQuota, waf.ErrDenied, waf.ErrInvalid, waf.ErrUnavailable} {
		if errors.Is(unknown, sentinel) {
			t.Errorf("a code that nobody knows means %v", sentinel)
		}
	}
	if got := tencentfw.MapError(errors.New("not the SDK's")); !errors.Is(got, waf.ErrUnavailable) || !tencentfw.Unsure(got) {
		t.Errorf("an error of the transport is %v", got)
	}
}

// After some errors the change may have been made all the same; after others it certainly was not.
func TestWhichErrorsLeaveTheOutcomeOpen(t *testing.T) {
	for code, want := range map[string]bool{
		"ClientError.NetworkError": true, "InternalError": true, "ResourceNotFound": true, "InvalidParameterValue.Duplicate": true,
		"RequestLimitExceeded": false, "UnauthorizedOperation": false, "InvalidParameterValue": false, "LimitExceeded": false,
		"UnsupportedOperation.MutexOperationTaskRunning": false,
	} {
		if got := tencentfw.Unsure(tencentfw.MapError(tcerr.NewTencentCloudSDKError(code, "", ""))); got != want {
			t.Errorf("%s: unsure %t, want %t", code, got, want)
		}
	}
	if tencentfw.Unsure(nil) || tencentfw.Unsure(fmt.Errorf("wait: %w", waf.ErrOutOfTime)) {
		t.Error("a call that succeeded, or was never made, is unsure")
	}
}

func TestErrorsAreBoundedHarmlessAndSayWhatToDo(t *testing.T) {
	text := tencentfw.MapError(tcerr.NewTencentCloudSDKError("AuthFailure.SignatureExpire", "a\x1b[31m\nb\u202e"+strings.Repeat("x", 5000), "r\n1")).Error()
	if len(text) > 900 || strings.ContainsAny(text, "\x1b\n\u202e") || !strings.Contains(text, "set the clock") {
		t.Errorf("error of %d bytes: %q", len(text), text)
	}
	body := tencentfw.MapError(tcerr.NewTencentCloudSDKErrorWithCause("ClientError.ParseJsonError", strings.Repeat("<html>\n", 5000), "", errors.New("\x1b")))
	if len(body.Error()) > 900 || strings.ContainsAny(body.Error(), "\x1b\n") {
		t.Errorf("error of %d bytes", len(body.Error()))
	}
}
