package cls

import (
	"context"
	"errors"
	"net/http"
	"strings"

	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Each sentinel means one decision; they are those of package sls.
var (
	// ErrIncomplete: the answer is partial, cut or sampled. Do not act as if it were whole; ask again, or for less.
	ErrIncomplete = errors.New("cls answer is incomplete")
	// ErrDenied: the credentials are wrong, stale or lack a permission, or the account is closed. Trying again does not help.
	ErrDenied = errors.New("cls denied access")
	// ErrNotFound: there is no such topic or index, or it is shut. Trying again does not help.
	ErrNotFound = errors.New("cls has no such thing")
	// ErrInvalid: the request is wrong for this topic. Trying again does not help.
	ErrInvalid = errors.New("cls refused the request")
	// ErrThrottled: a quota is used up. Try again later.
	ErrThrottled = errors.New("cls is throttling")
	// ErrUnavailable: the service, or the way to it, is broken. Try again later.
	ErrUnavailable = errors.New("cls is unavailable")
)

// verdict is what an error code of the service means.
type verdict struct {
	kind    error
	shorter bool   // asking for a shorter time range can help
	hint    string // what to do about it, where the service does not say
}

// verdicts maps the service's error codes (tencentcloud-sdk-go,
// cls/v20201016/errors.go). A code that is not listed is looked up by the part
// before its dot.
var verdicts = map[string]verdict{
	"AuthFailure":                    {kind: ErrDenied},
	"UnauthorizedOperation":          {kind: ErrDenied, hint: "allow cls:SearchLog on the topic"},
	"OperationDenied.ACLFailed":      {kind: ErrDenied, hint: "allow cls:SearchLog on the topic"},
	"OperationDenied":                {kind: ErrDenied},
	"OperationDenied.AccountIsolate": {kind: ErrDenied, hint: "the account is in arrears"},

	"OperationDenied.AnalysisSwitchClose":            {kind: ErrInvalid, hint: "switch on statistics for the fields that the rule names, in the topic's index"},
	"OperationDenied.NewSyntaxNotSupported":          {kind: ErrInvalid, hint: "the topic does not know CQL: ask Tencent Cloud, or use another topic"},
	"OperationDenied.OperationNotSupportInSearchLow": {kind: ErrInvalid, hint: "the topic is of infrequent storage, which knows no SQL: use one of standard storage"},

	"ResourceNotFound":              {kind: ErrNotFound},
	"FailedOperation.TopicClosed":   {kind: ErrNotFound},
	"FailedOperation.TopicIsolated": {kind: ErrNotFound, hint: "the topic is isolated: look at the account's bill"},

	"InvalidParameter":            {kind: ErrInvalid},
	"InvalidParameterValue":       {kind: ErrInvalid},
	"MissingParameter":            {kind: ErrInvalid},
	"UnknownParameter":            {kind: ErrInvalid},
	"UnsupportedOperation":        {kind: ErrInvalid},
	"FailedOperation.SyntaxError": {kind: ErrInvalid},
	"FailedOperation.QueryError":  {kind: ErrInvalid, hint: "do the fields that the rule names have an index with statistics in this topic?"},

	"RequestLimitExceeded":         {kind: ErrThrottled},
	"LimitExceeded.LogSearch":      {kind: ErrThrottled}, // 15 queries at once on one topic
	"FailedOperation.ReadQpsLimit": {kind: ErrThrottled},
	"InternalError.ServerBusy":     {kind: ErrThrottled},
	"LimitExceeded":                {kind: ErrThrottled},

	"LimitExceeded.SearchResources":      {kind: ErrIncomplete, shorter: true},
	"LimitExceeded.SearchResultTooLarge": {kind: ErrIncomplete, shorter: true},
	"FailedOperation.SearchTimeout":      {kind: ErrIncomplete, shorter: true},
	"FailedOperation.Timeout":            {kind: ErrIncomplete, shorter: true},
	"FailedOperation.GetlogReachLimit":   {kind: ErrIncomplete, shorter: true},

	"FailedOperation": {kind: ErrUnavailable},
	"InternalError":   {kind: ErrUnavailable},
}

// verdictOf returns what a code means. One that nobody knows is not worth a
// second try, unless it came with a status that says otherwise.
func verdictOf(code string, status int) verdict {
	if v, ok := verdicts[code]; ok {
		return v
	}
	family, _, _ := strings.Cut(code, ".")
	if v, ok := verdicts[family]; ok {
		return v
	}
	switch {
	case status == http.StatusTooManyRequests:
		return verdict{kind: ErrThrottled}
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return verdict{kind: ErrDenied}
	case status == http.StatusRequestTimeout, status >= 500:
		return verdict{kind: ErrUnavailable}
	default:
		return verdict{kind: ErrInvalid}
	}
}

// refusal makes an error of what the service answered. Our own credentials are
// taken out, should it repeat them.
func refusal(code, message, request string, status int, used Credentials) error {
	v := verdictOf(code, status)
	for _, s := range []string{used.SecretID, used.SecretKey.Reveal(), used.Token.Reveal()} {
		if s != "" {
			message = strings.ReplaceAll(message, s, "[redacted]")
		}
	}
	if errors.Is(v.kind, ErrDenied) {
		// Such texts may quote the string to sign and both signatures.
		message, _, _ = strings.Cut(message, "\n")
	}
	text := endpoint.Line(code, 80) + ": " + endpoint.Line(message, maxMessage)
	if code == "" {
		text = "HTTP " + http.StatusText(status)
	}
	if request != "" {
		text += " (request " + endpoint.Line(request, 60) + ")"
	}
	if v.hint != "" {
		text += "; " + v.hint
	}
	return &failure{kind: v.kind, text: text, truncated: v.shorter}
}

// classify is the one place where anything that went wrong becomes an error of
// this package. err is what the SDK or the network made of it; ctx is the caller's.
func classify(ctx context.Context, err error, used Credentials) error {
	var own *failure
	var sdk *tcerr.TencentCloudSDKError
	switch {
	case errors.As(err, &own):
		return own // classified where it was noticed
	case ctx.Err() != nil:
		// The context is the reason; the network error is only its echo.
		return &failure{kind: ErrUnavailable, cause: context.Cause(ctx), text: context.Cause(ctx).Error()}
	case errors.As(err, &sdk) && !strings.HasPrefix(sdk.Code, "ClientError."):
		return refusal(sdk.Code, sdk.Message, sdk.RequestId, http.StatusOK, used)
	case errors.As(err, &sdk) && errors.Unwrap(sdk) == nil:
		// Its text is the whole answer, log lines of customers included.
		return &failure{kind: ErrUnavailable, text: "answer is not what the API promises"}
	case errors.As(err, &sdk):
		err = errors.Unwrap(sdk)
	}
	return &failure{kind: ErrUnavailable, cause: err, text: endpoint.Line(err.Error(), maxMessage)}
}

// retryable tells whether the same request may succeed later.
func retryable(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable)
}

// failure is an error with a sentinel, an original and a text fit for logs.
type failure struct {
	kind      error
	cause     error
	text      string
	truncated bool
}

// Error returns the sentinel's text and one line of detail.
func (f *failure) Error() string { return f.kind.Error() + ": " + f.text }

// Unwrap makes errors.Is find the sentinel and errors.As the original.
func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.kind}
	}
	return []error{f.kind, f.cause}
}

// Truncated tells whether asking for a shorter time range can help: the answer
// was cut, too large, or took too long to compute.
func (f *failure) Truncated() bool { return f.truncated }

// maxMessage bounds how much of the service's words we repeat.
const maxMessage = 300
