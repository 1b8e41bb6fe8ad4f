package waftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	"github.com/tracewall/tracewall/shared/signtest"
)

// tcError is what Tencent Cloud answers instead of a result.
type tcError struct{ Code, Message string }

func (e *tcError) Error() string { return e.Code + ": " + e.Message }

func tcRefuse(code, format string, args ...any) *tcError {
	return &tcError{code, fmt.Sprintf(format, args...)}
}

// The services that the stand-in answers for, by their names in signatures and policies, and their versions.
const (
	tcVPC = "vpc"
	tcCLB = "clb"
	tcWAF = "waf"
)

var tcVersions = map[string]string{tcVPC: "2017-03-12", tcCLB: "2018-03-17", tcWAF: "2018-01-25"}

// tcRegions are the only ones that WAF's actions are served from; VPC and CLB are everywhere.
var tcRegions = []string{"ap-guangzhou", "ap-seoul", "ap-singapore"}

// tcRequest is one call's input.
type tcRequest struct {
	service, action, region string
	body                    []byte
}

// ServeHTTP implements http.Handler.
func (t *Tencent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 10<<20)) // Tencent Cloud's own limit
	if err != nil {
		return
	}
	req, refused := t.read(r, body)
	call := TencentCall{Service: req.service, Action: req.action, Region: req.region, Object: tcObject(body), Sent: len(body)}
	x := t.admit(r.Context(), t.opts.Latency, &call, &call.Index)
	var result map[string]any
	if refused == nil && x.takesEffect() {
		result, call.Changed, refused = t.do(req)
	}
	if x.fault != nil {
		refused = tcRefuse(x.fault.Code, "injected")
	}
	answer := tcEncode(result, refused, call.Index)
	call.Answered = len(answer)
	if refused != nil {
		call.Code = refused.Code
	}
	t.settle(x, call)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Date", t.opts.Now().UTC().Format(http.TimeFormat)) // by the clock that judges signatures
	_, _ = w.Write(answer)                                             // with HTTP 200, errors too
}

// read checks a request's signature and what its headers ask for.
func (t *Tencent) read(r *http.Request, body []byte) (tcRequest, *tcError) {
	req := tcRequest{action: r.Header.Get("X-TC-Action"), region: r.Header.Get("X-TC-Region"), body: body}
	if r.Method != http.MethodPost || r.URL.Path != "/" || r.Header.Get("Content-Type") != "application/json" {
		return req, tcRefuse("UnsupportedProtocol", "the stand-in takes POST / with application/json alone")
	}
	if req.action == "" {
		return req, tcRefuse("MissingParameter", "The request is missing a required parameter `Action`.")
	}
	scope, err := signtest.TC3(r, body, func(id string) (string, string, bool) {
		key, ok := t.opts.Keys[id]
		return key.Secret, key.Token, ok
	}, t.opts.Now())
	if err != nil {
		wrong := &signtest.Error{Code: "InternalError", Message: err.Error()}
		_ = errors.As(err, &wrong) // always
		return req, &tcError{wrong.Code, wrong.Message}
	}
	req.service = scope.Service
	version, known := tcVersions[scope.Service]
	switch {
	case !known:
		return req, tcRefuse("NoSuchProduct", "The request contains an unknown product %q.", scope.Service)
	case r.Header.Get("X-TC-Version") != version:
		return req, tcRefuse("NoSuchVersion", "%s has no version %q.", scope.Service, r.Header.Get("X-TC-Version"))
	case t.operations(scope.Service)[req.action] == nil:
		return req, tcRefuse("InvalidAction", "The request contains an unknown action %q of %s %s.", req.action, scope.Service, version)
	case req.region == "":
		return req, tcRefuse("MissingParameter", "The request is missing a required parameter `Region`.")
	case scope.Service == tcWAF && !slices.Contains(tcRegions, req.region):
		return req, tcRefuse("UnsupportedRegion", "%s does not support the region %q, only %v.", req.action, req.region, tcRegions)
	}
	return req, nil
}

// tcEncode returns the answer: an object Response with what was asked for or with an Error, and with the request's id.
func tcEncode(result map[string]any, refused *tcError, index int) []byte {
	response := map[string]any{"RequestId": fmt.Sprintf("00000000-0000-4000-8000-%012d", index)}
	if refused != nil {
		response["Error"] = refused
	} else {
		for name, value := range result {
			response[name] = value
		}
	}
	answer, err := json.Marshal(map[string]any{"Response": response})
	if err != nil {
		panic(err) // results are made of strings, numbers and structs
	}
	return answer
}

// tcObject returns what a request is about, for the call log.
func tcObject(body []byte) string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return ""
	}
	for _, name := range []string{
		"SecurityGroupId", "AddressTemplateId", "TemplateId", "AddressTemplateGroupId", "AddressTemplateName", "AddressTemplateGroupName",
		"SecurityGroup", "LoadBalancerId", "Domain",
	} {
		var object string
		if raw, ok := fields[name]; ok && json.Unmarshal(raw, &object) == nil {
			return object
		}
	}
	return ""
}
