//go:build cgo

package slstest

import (
	"fmt"
	"strings"
)

// shorten keeps an error text short: what it quotes comes from outside.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// apiError is an error as the service reports it.
type apiError struct {
	status int
	code   string
	msg    string
}

func (e *apiError) Error() string { return e.code + ": " + e.msg }

// invalid is the error for a query that cannot run.
func invalid(format string, args ...any) error {
	return &apiError{status: 400, code: "ParameterInvalid", msg: fmt.Sprintf(format, args...)}
}
