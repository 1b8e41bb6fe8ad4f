package fcinvoke

import (
	"encoding/json"
	"regexp"
	"strings"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// unnamed is a network error whose text does not name the host: the public
// endpoint's name begins with the account's number.
type unnamed struct {
	err  error
	host string
}

func (e unnamed) Error() string {
	return strings.ReplaceAll(endpoint.Bare(e.err).Error(), e.host, "function compute")
}

func (e unnamed) Unwrap() error { return e.err }

var plain = regexp.MustCompile(`^[A-Za-z0-9._-]{1,80}$`)

// printable lets through what looks like an id or an error code and nothing else:
// it ends up in our logs and errors.
func printable(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return ""
}

// errorCode reads the code out of an error's body. Function Compute spells the key
// in two ways, by API version.
func errorCode(body []byte) string {
	var e struct {
		Code      string
		ErrorCode string
	}
	if json.Unmarshal(body, &e) != nil {
		return ""
	}
	if e.Code == "" {
		e.Code = e.ErrorCode
	}
	return printable(e.Code)
}
