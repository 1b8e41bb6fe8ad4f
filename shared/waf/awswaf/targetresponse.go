package awswaf

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
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

func (f targetFields) readForwarded(t *Target) {
	in, there := f.inner("forwarded", []string{"header", "position", "fallback"})
	if !there {
		return
	}
	t.Forwarded = &Forwarded{
		Header:   in.required("header", wantHeader, isHeader),
		Position: in.required("position", "FIRST, LAST or ANY", oneOf(positionFirstIP, "LAST", positionAny)),
		Fallback: in.optional("fallback", "NO_MATCH or MATCH", oneOf(fallbackNoMatch, fallbackMatch)),
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

func (f targetFields) readResponse(t *Target) {
	in, there := f.inner("response", []string{"code", "body", "content_type", "headers"})
	if !there {
		return
	}
	if t.Action != "" && t.Action != ActionBlock {
		f.bad("response", string(f.raw["response"]), "nothing: only action block answers by itself, and the action is "+t.Action)
	}
	r := &Response{
		Body: in.optional("body", fmt.Sprintf("1 to %d bytes", maxBody), func(s string) bool { return s != "" && len(s) <= maxBody }),
	}
	code, said := in.raw["code"]
	r.Code = slices.IndexFunc(responseCodes, func(n int) bool { return fmt.Sprint(n) == string(code) })
	switch want := "one of " + strings.Trim(fmt.Sprint(responseCodes), "[]"); {
	case !said:
		in.missing("code", want)
	case r.Code < 0:
		f.bad("response.code", string(code), want)
	default:
		r.Code = responseCodes[r.Code]
	}
	r.ContentType = in.optional("content_type", "TEXT_PLAIN, TEXT_HTML or APPLICATION_JSON", oneOf(textPlain, "TEXT_HTML", applicationJSON))
	if in.raw["body"] == nil {
		in.refuse("it goes with body, which is not there", "content_type")
	}
	if r.ContentType == applicationJSON && r.Body != "" && !json.Valid([]byte(r.Body)) {
		f.bad("response.body", r.Body, "JSON, as content_type says")
	}
	in.readHeaders(r)
	t.Response = r
}

func (f targetFields) readHeaders(r *Response) {
	raw, there := f.raw["headers"]
	if !there {
		return
	}
	in := targetFields{at: f.at, within: f.within + "headers.", problems: f.problems}
	fields, twice, err := takeApart(raw)
	if err != nil || len(fields) == 0 || len(fields) > maxHeaders {
		f.bad(f.within+"headers", string(raw), fmt.Sprintf("an object of 1 to %d names and values", maxHeaders))
		return
	}
	for _, name := range twice {
		f.bad("key", in.within+name, "it only once")
	}
	in.raw = fields
	r.Headers = map[string]string{}
	spelt := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		low := strings.ToLower(name)
		switch {
		case len(name) > maxInsertName || !insertPattern.MatchString(name):
			f.bad("key", in.within+name, "the name of a header: 1 to 64 of A-Z a-z 0-9 . _ $ -")
		case low == "content-type":
			f.bad("key", in.within+name, "any header but content-type, which content_type says")
		case spelt[low] != "":
			f.bad("key", in.within+name, "another header than "+spelt[low]+": upper and lower case are the same")
		}
		spelt[low] = name
		r.Headers[name] = in.optional(name, "1 to 255 characters, none of them a control character", func(s string) bool {
			return s != "" && len(s) <= maxInsertValue && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
		})
	}
}
