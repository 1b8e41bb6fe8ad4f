package awswaf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf/targets"
)

const (
	positionAny     = "ANY"
	positionFirstIP = "FIRST"
	fallbackNoMatch = "NO_MATCH"
	fallbackMatch   = "MATCH"
	textPlain       = "TEXT_PLAIN"
	applicationJSON = "APPLICATION_JSON"
)

func isHeader(s string) bool { return len(s) <= maxHeaderName && headerPattern.MatchString(s) }

func readForwarded(f targets.Fields, t *Target) {
	in, there := f.Object("forwarded", "header", "position", "fallback")
	if !there {
		return
	}
	t.Forwarded = &Forwarded{
		Header:   in.Required("header", wantHeader, isHeader),
		Position: in.Required("position", "FIRST, LAST or ANY", targets.OneOf(positionFirstIP, "LAST", positionAny)),
		Fallback: in.Optional("fallback", "NO_MATCH or MATCH", targets.OneOf(fallbackNoMatch, fallbackMatch)),
	}
}

// responseCodes are the status codes that AWS WAF takes in a custom response. The API's model says
// 200 to 599; the developer guide has the list ("Supported status codes for custom response").
var responseCodes = []int{
	200, 201, 202, 204, 206,
	300, 301, 302, 303, 304, 307, 308,
	400, 401, 403, 404, 405, 408, 409, 411, 412, 413, 414, 415, 416, 421, 429,
	500, 501, 502, 503, 504, 505,
}

func readResponse(f targets.Fields, t *Target) {
	in, there := f.Object("response", "code", "body", "content_type", "headers")
	if !there {
		return
	}
	if t.Action != "" && t.Action != ActionBlock {
		f.Bad("response", f.Raw("response"), "nothing: only action block answers by itself, and the action is "+t.Action)
	}
	r := &Response{
		Body: in.Optional("body", fmt.Sprintf("1 to %d bytes", maxBody), func(s string) bool { return s != "" && len(s) <= maxBody }),
	}
	code := in.Raw("code")
	r.Code = slices.IndexFunc(responseCodes, func(n int) bool { return fmt.Sprint(n) == code })
	switch want := "one of " + strings.Trim(fmt.Sprint(responseCodes), "[]"); {
	case code == "":
		in.Missing("code", want)
	case r.Code < 0:
		in.Bad("code", code, want)
	default:
		r.Code = responseCodes[r.Code]
	}
	r.ContentType = in.Optional("content_type", "TEXT_PLAIN, TEXT_HTML or APPLICATION_JSON", targets.OneOf(textPlain, "TEXT_HTML", applicationJSON))
	if !in.Has("body") {
		in.Refuse("it goes with body, which is not there", "content_type")
	}
	if r.ContentType == applicationJSON && r.Body != "" && !json.Valid([]byte(r.Body)) {
		in.Bad("body", r.Body, "JSON, as content_type says")
	}
	readHeaders(in, r)
	t.Response = r
}

func readHeaders(f targets.Fields, r *Response) {
	in, ok := f.Members("headers", fmt.Sprintf("an object of 1 to %d names and values", maxHeaders), maxHeaders)
	if !ok {
		return
	}
	r.Headers = map[string]string{}
	spelt := map[string]string{}
	for _, name := range in.Keys() {
		low := strings.ToLower(name)
		switch {
		case len(name) > maxInsertName || !insertPattern.MatchString(name):
			in.BadKey(name, "the name of a header: 1 to 64 of A-Z a-z 0-9 . _ $ -")
		case low == "content-type":
			in.BadKey(name, "any header but content-type, which content_type says")
		case spelt[low] != "":
			in.BadKey(name, "another header than "+spelt[low]+": upper and lower case are the same")
		}
		spelt[low] = name
		r.Headers[name] = in.Optional(name, "1 to 255 characters, none of them a control character", func(s string) bool {
			return s != "" && len(s) <= maxInsertValue && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
		})
	}
}
