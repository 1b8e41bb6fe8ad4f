package waftest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// apiError is what AWS answers instead of a result.
type apiError struct {
	Code, Message            string
	Field, Parameter, Reason string
}

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(field, parameter, reason string) *apiError {
	return &apiError{
		Code:    "WAFInvalidParameterException",
		Message: fmt.Sprintf("Error reason: %s, field: %s, parameter: %s", reason, field, parameter),
		Field:   field, Parameter: parameter, Reason: reason,
	}
}

// The services that the stand-in answers for, by their names in signatures and policies.
const (
	serviceWAF        = "wafv2"
	serviceSTS        = "sts"
	serviceCloudFront = "cloudfront"
)

// request is one call's input.
type request struct {
	service string
	op      string
	account string // that the caller's key belongs to
	caller  string // its ARN
	region  string // that it is signed for
	fields  map[string]json.RawMessage
}

// str returns a string field, "" if it is absent.
func (r request) str(field string) string {
	var s string
	if raw, ok := r.fields[field]; ok && json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func (r request) space() space { return space{r.account, r.region, r.str("Scope")} }

// set gives a field a value.
func (r request) set(field string, v any) {
	raw, err := marshal(v)
	if err != nil {
		raw = json.RawMessage("null")
	}
	r.fields[field] = raw
}

// with returns the request with one field more.
func (r request) with(field string, v any) request {
	r.fields = maps.Clone(r.fields)
	if r.fields == nil {
		r.fields = map[string]json.RawMessage{}
	}
	r.set(field, v)
	return r
}

// request returns one that is made within the space, by its owner.
func (s space) request() request {
	return request{service: serviceWAF, account: s.account, region: s.region}.with("Scope", s.scope)
}

// ServeHTTP implements http.Handler.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil {
		return
	}
	req, refused := a.read(r, body)
	call := Call{
		Service: req.service, Op: req.op, Account: req.account, Region: req.region,
		Scope: req.str("Scope"), Name: req.str("Name"), Sent: len(body),
	}
	x := a.admit(r.Context(), a.opts.Latency, &call, &call.Index)
	var result any
	if refused == nil && x.takesEffect() {
		result, call.Changed, refused = a.do(req)
	}
	if x.fault != nil {
		refused = refuse(x.fault.Code, "injected")
	}
	status, answer := req.encode(result, refused)
	call.Answered = len(answer)
	if refused != nil {
		call.Code = refused.Code
	}
	a.settle(x, call)
	w.Header().Set("Content-Type", map[bool]string{true: "application/x-amz-json-1.1", false: "text/xml"}[req.service == serviceWAF])
	w.Header().Set("X-Amzn-RequestId", fmt.Sprintf("%08d", call.Index))
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

const target = "AWSWAF_20190729."

// read decodes a request in the protocol of the service that it is signed for.
func (a *AWS) read(r *http.Request, body []byte) (req request, refused *apiError) {
	req = request{
		service: serviceWAF, op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target),
		account: DefaultAccount, fields: map[string]json.RawMessage{},
	}
	cred, refused := readCredential(r)
	if refused != nil {
		return req, refused
	}
	req.region = cred.region
	switch cred.service {
	case serviceWAF:
		if json.Unmarshal(body, &req.fields) != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), target) {
			refused = refuse("SerializationException", "the body or the X-Amz-Target header is malformed")
		} else if a.opts.Judge != nil {
			if wrong := a.opts.Judge(req.op, body); len(wrong) > 0 {
				refused = refuse("ValidationException", "%d validation errors detected: %s", len(wrong), strings.Join(wrong, "; "))
			}
		}
	case serviceSTS:
		req.service = serviceSTS
		refused = readForm(body, &req)
	case serviceCloudFront:
		req.service = serviceCloudFront
		refused = readPath(r, &req)
	default:
		refused = refuse("InvalidSignatureException", "credential should be scoped to a service that is there")
	}
	if refused != nil {
		return req, refused
	}
	return req, a.identify(&req, cred)
}

// credential is what a request's signature says of its caller. The signature itself
// is not checked: the stand-in has no secrets.
type credential struct{ key, region, service, sessionToken string }

func readCredential(r *http.Request) (c credential, refused *apiError) {
	auth := r.Header.Get("Authorization")
	_, rest, ok := strings.Cut(auth, "Credential=")
	if !ok || !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 ") {
		return c, refuse("MissingAuthenticationToken", "the request is not signed")
	}
	scope, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || parts[4] != "aws4_request" || !strings.Contains(auth, "Signature=") {
		return c, refuse("InvalidSignatureException", "the credential is not as Signature Version 4 has it")
	}
	return credential{parts[0], parts[2], parts[3], r.Header.Get("X-Amz-Security-Token")}, nil
}

// encode returns the answer in the protocol of the request's service.
func (r request) encode(result any, refused *apiError) (status int, body []byte) {
	write := marshal
	if r.service != serviceWAF {
		write = xml.Marshal
	}
	if refused == nil {
		body, err := write(result)
		if err == nil {
			return http.StatusOK, body
		}
		refused = refuse("WAFInternalErrorException", "%v", err)
	}
	status = http.StatusBadRequest
	switch refused.Code {
	case "WAFInternalErrorException", "InternalFailure", "WAFTagOperationInternalErrorException":
		status = http.StatusInternalServerError
	case "AccessDenied", "InvalidClientTokenId":
		status = http.StatusForbidden // of the XML services; WAF says AccessDeniedException with 400
	}
	if r.service != serviceWAF {
		body, err := xml.Marshal(errorResponse{Type: "Sender", Code: refused.Code, Message: refused.Message, RequestID: "0"})
		if err != nil {
			return http.StatusInternalServerError, nil
		}
		return status, body
	}
	fields := map[string]string{"__type": refused.Code, "Message": refused.Message}
	for key, value := range map[string]string{"Field": refused.Field, "Parameter": refused.Parameter, "Reason": refused.Reason} {
		if value != "" {
			fields[key] = value
		}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return http.StatusInternalServerError, nil
	}
	return status, body
}

// errorResponse is an error of the services that speak XML.
type errorResponse struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}
