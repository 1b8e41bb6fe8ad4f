package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"

	"github.com/tracewall/tracewall/shared/secret"
)

// maxBody bounds an alert's body. Log Service cuts the rows in it at 2 KB an alert, so
// that even a hundred merged alerts stay far below.
const maxBody = 256 << 10

// request is an HTTP request as Function Compute hands it over. The SDK has such a type too, all
// of pointers; a field that is missing here is simply empty.
type request struct {
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	Headers         map[string]string `json:"headers"`
	RawPath         string            `json:"rawPath"`
	RequestContext  struct {
		RequestID string `json:"requestId"`
		HTTP      struct {
			Method   string `json:"method"`
			Path     string `json:"path"`
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// header looks a header up whatever its case: Function Compute promises canonical
// names, but a laptop's test may not.
func (r *request) header(name string) string {
	for key, value := range r.Headers {
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// source returns the address of the caller as the gateway saw it. Forwarding headers are not looked
// at: whoever calls writes them.
func (r *request) source() netip.Addr {
	addr, err := netip.ParseAddr(r.RequestContext.HTTP.SourceIP)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}

// response is the answer in the one form that Function Compute is documented to understand.
// All four fields are always there.
type response struct {
	StatusCode      int               `json:"statusCode"`
	Headers         map[string]string `json:"headers"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	Body            string            `json:"body"`
}

func respond(status int, body any) response {
	text, err := json.Marshal(body)
	if err != nil { // strings and numbers only: it cannot happen
		status, text = http.StatusInternalServerError, []byte(`{"outcome":"failed"}`)
	}
	h := map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store"}
	switch status {
	case http.StatusUnauthorized:
		h["WWW-Authenticate"] = "Bearer"
	case http.StatusMethodNotAllowed:
		h["Allow"] = http.MethodPost
	}
	return response{StatusCode: status, Headers: h, Body: string(text)}
}

// refusal is why a request is turned away before any alert in it is looked at.
type refusal struct {
	status int
	reason string
}

// door decides who may come in.
type door struct {
	token     secret.Secret
	sources   []netip.Prefix
	anySource bool
}

// check returns the first reason against a request. The address comes before the token, so that
// the Internet at large cannot even try tokens.
func (d door) check(r *request) *refusal {
	if m := r.RequestContext.HTTP.Method; m != http.MethodPost {
		return &refusal{http.StatusMethodNotAllowed, "method: want POST"}
	}
	path := r.RequestContext.HTTP.Path
	if path == "" {
		path = r.RawPath
	}
	if path != "/alerts" && path != "/" {
		return &refusal{http.StatusNotFound, "path: want /alerts"}
	}
	if !d.from(r.source()) {
		return &refusal{http.StatusForbidden, "source address: want one of SOURCE_CIDRS"}
	}
	if !d.token.Matches(bearer(r)) {
		return &refusal{http.StatusUnauthorized, "token: want Authorization: Bearer … or X-Tracewall-Token"}
	}
	return nil
}

func (d door) from(addr netip.Addr) bool {
	if d.anySource {
		return true
	}
	if !addr.IsValid() {
		return false
	}
	for _, p := range d.sources {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// bearer returns the token that the caller gave, or "".
func bearer(r *request) string {
	if scheme, token, ok := strings.Cut(r.header("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return r.header("X-Tracewall-Token")
}

// body returns the request's body in bytes.
func (r *request) body() ([]byte, *refusal) {
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, "body: want at most 262144 bytes"}
	if !r.IsBase64Encoded {
		if len(r.Body) > maxBody {
			return nil, tooLarge
		}
		return []byte(r.Body), nil
	}
	if len(r.Body) > base64.StdEncoding.EncodedLen(maxBody) {
		return nil, tooLarge
	}
	body, err := base64.StdEncoding.DecodeString(r.Body)
	switch {
	case err != nil:
		return nil, &refusal{http.StatusBadRequest, "body: isBase64Encoded is true and it is not base64"}
	case len(body) > maxBody:
		return nil, tooLarge
	}
	return body, nil
}
