package sls

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Each sentinel means one decision.
var (
	// ErrIncomplete: the answer is partial, cut or inexact. Do not act as if it were whole; ask again, or for less.
	ErrIncomplete = errors.New("log service answer is incomplete")
	// ErrDenied: the credentials are wrong, stale or lack a permission. Trying again does not help.
	ErrDenied = errors.New("log service denied access")
	// ErrNotFound: there is no such project, logstore or index. Trying again does not help.
	ErrNotFound = errors.New("log service has no such thing")
	// ErrInvalid: the request is wrong. Trying again does not help.
	ErrInvalid = errors.New("log service refused the request")
	// ErrThrottled: a quota is used up. Try again later.
	ErrThrottled = errors.New("log service is throttling")
	// ErrUnavailable: the service, or the way to it, is broken. Try again later.
	ErrUnavailable = errors.New("log service is unavailable")
)

// kinds maps the service's error codes. Codes come before HTTP statuses: SLS
// answers 403 for a used-up quota and for a missing permission alike.
var kinds = map[string]error{
	sdk.UN_AUTHORIZED:           ErrDenied,
	sdk.SIGNATURE_NOT_MATCH:     ErrDenied,
	sdk.MISS_ACCESS_KEY_ID:      ErrDenied,
	sdk.PROJECT_FORBIDDEN:       ErrDenied,
	sdk.REQUEST_TIME_TOO_SKEWED: ErrDenied,

	sdk.PROJECT_NOT_EXIST:   ErrNotFound,
	sdk.LOGSTORE_NOT_EXIST:  ErrNotFound,
	sdk.SHARD_NOT_EXIST:     ErrNotFound,
	sdk.CONFIG_NOT_EXIST:    ErrNotFound,
	"IndexConfigNotExist":   ErrNotFound,
	"LogstoreWithoutShard":  ErrNotFound,
	sdk.INVALID_CURSOR:      ErrInvalid,
	sdk.PARAMETER_INVALID:   ErrInvalid,
	sdk.INVALID_PARAMETER:   ErrInvalid,
	sdk.INVALID_TIME_RANGE:  ErrInvalid,
	sdk.INVALID_OFFSET:      ErrInvalid,
	sdk.INVALID_LINE:        ErrInvalid,
	sdk.POST_BODY_INVALID:   ErrInvalid,
	sdk.POST_BODY_TOO_LARGE: ErrInvalid,

	sdk.INVALID_QUERY_STRING: ErrInvalid,

	sdk.READ_QUOTA_EXCEED:        ErrThrottled,
	sdk.SHARD_READ_QUOTA_EXCEED:  ErrThrottled,
	sdk.WRITE_QUOTA_EXCEED:       ErrThrottled,
	sdk.SHARD_WRITE_QUOTA_EXCEED: ErrThrottled,
	sdk.PROJECT_QUOTA_EXCEED:     ErrThrottled,
	sdk.SERVER_BUSY:              ErrThrottled,

	sdk.INTERNAL_SERVER_ERROR: ErrUnavailable,
}

// kindOf returns the sentinel for what the service answered.
func kindOf(e *sdk.Error) error {
	if kind, ok := kinds[e.Code]; ok {
		return kind
	}
	switch {
	case e.HTTPCode == http.StatusTooManyRequests:
		return ErrThrottled
	case e.HTTPCode == http.StatusUnauthorized, e.HTTPCode == http.StatusForbidden:
		return ErrDenied
	case e.HTTPCode == http.StatusNotFound:
		return ErrNotFound
	case e.HTTPCode == http.StatusRequestTimeout, e.HTTPCode >= 500:
		return ErrUnavailable
	default:
		return ErrInvalid
	}
}

// classify is the one place where anything that went wrong becomes an error of
// this package. answer is what the service said, if it said anything; err is what
// the SDK or the network made of it; ctx is the caller's. The originals stay
// reachable through errors.As and errors.Is.
func classify(ctx context.Context, answer *sdk.Error, err error) error {
	var own *failure
	var bad *sdk.BadResponseError
	switch {
	case errors.As(err, &own):
		return err // classified where it was noticed
	case answer != nil:
		return &failure{kind: kindOf(answer), cause: answer, text: describe(answer)}
	case ctx.Err() != nil:
		// The context is the reason; the network error is only its echo.
		return &failure{kind: ErrUnavailable, cause: context.Cause(ctx), text: context.Cause(ctx).Error()}
	case errors.As(err, &bad):
		// Its text is the whole answer, log lines of customers included.
		return &failure{kind: ErrUnavailable, cause: errors.New("answer is not what the API promises"), text: "answer is not what the API promises"}
	default:
		return &failure{kind: ErrUnavailable, cause: err, text: endpoint.Line(err.Error(), maxMessage)}
	}
}

// retryable tells whether the same request may succeed later.
func retryable(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable)
}

// failure is an error with a sentinel, an original and a text fit for logs. The
// SDK's own texts are several lines of JSON.
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
// was cut at its LIMIT or computed over a part of the lines.
func (f *failure) Truncated() bool { return f.truncated }

// maxMessage bounds how much of the service's words we repeat.
const maxMessage = 300

func describe(e *sdk.Error) string {
	code := e.Code
	if code == "" {
		code = fmt.Sprintf("HTTP %d", e.HTTPCode)
	}
	text := endpoint.Line(code, 60) + ": " + endpoint.Line(e.Message, maxMessage)
	if e.RequestID != "" {
		text += " (request " + endpoint.Line(e.RequestID, 60) + ")"
	}
	return text
}
