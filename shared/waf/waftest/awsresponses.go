package waftest

import (
	"encoding/json"
	"slices"
	"strings"
)

// AWS's limits of custom responses.
const (
	maxBody    = 4 << 10  // bytes of one body
	maxBodies  = 50 << 10 // bytes of all bodies of a web ACL or rule group
	maxHeaders = 10       // inserted by one action
)

// statusCodes are those that a custom response may have [developer guide: supported status codes].
var statusCodes = []int{
	200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 411,
	412, 413, 414, 415, 416, 421, 429, 500, 501, 502, 503, 504, 505,
}

// readBodies judges CustomResponseBodies and returns their keys.
func readBodies(raw json.RawMessage) (map[string]bool, *apiError) {
	keys := map[string]bool{}
	if raw == nil {
		return keys, nil
	}
	var bodies map[string]struct{ ContentType, Content string }
	if json.Unmarshal(raw, &bodies) != nil || len(bodies) == 0 {
		return nil, refuse("ValidationException", "Value at 'customResponseBodies' failed to satisfy constraint: Member must have length greater than or equal to 1")
	}
	total := 0
	for key, body := range bodies {
		if !namePattern.MatchString(key) || body.Content == "" || !slices.Contains([]string{"TEXT_PLAIN", "TEXT_HTML", "APPLICATION_JSON"}, body.ContentType) {
			return nil, refuse("ValidationException", "Value at 'customResponseBodies.%s' failed to satisfy constraint", key)
		}
		if body.ContentType == "APPLICATION_JSON" && !json.Valid([]byte(body.Content)) {
			return nil, invalid("CUSTOM_RESPONSE_BODY", key, "The content is not JSON.")
		}
		total += len(body.Content)
		if len(body.Content) > maxBody || total > maxBodies {
			return nil, refuse("WAFLimitsExceededException", "custom response body %s: %d bytes, %d in all", key, len(body.Content), total)
		}
		keys[key] = true
	}
	return keys, nil
}

// checkResponse judges the custom response of an action, if it has one.
func checkResponse(settings json.RawMessage, bodies map[string]bool) *apiError {
	var block struct {
		CustomResponse *struct {
			ResponseCode          int
			CustomResponseBodyKey string
			ResponseHeaders       []struct{ Name, Value string }
		}
	}
	if json.Unmarshal(settings, &block) != nil {
		return refuse("SerializationException", "an action's settings are malformed")
	}
	c := block.CustomResponse
	if c == nil {
		return nil
	}
	if !slices.Contains(statusCodes, c.ResponseCode) {
		return invalid("CUSTOM_RESPONSE", "ResponseCode", "The response code is not supported.")
	}
	if c.CustomResponseBodyKey != "" && !bodies[c.CustomResponseBodyKey] {
		return invalid("CUSTOM_RESPONSE_BODY", c.CustomResponseBodyKey, "The custom response body key doesn't exist.")
	}
	if len(c.ResponseHeaders) > maxHeaders {
		return refuse("WAFLimitsExceededException", "%d response headers", len(c.ResponseHeaders))
	}
	seen := map[string]bool{}
	for _, h := range c.ResponseHeaders {
		name := strings.ToLower(h.Name)
		if !responsePattern.MatchString(h.Name) || name == "content-type" || seen[name] || h.Value == "" || len(h.Value) > 255 {
			return invalid("CUSTOM_RESPONSE", h.Name, "The header is not valid.")
		}
		seen[name] = true
	}
	return nil
}
