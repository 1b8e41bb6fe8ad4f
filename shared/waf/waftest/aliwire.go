package waftest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/signtest"
)

// The products that share the endpoint, by the version that a request names.
const (
	productWAF   = "waf"
	productCloud = "cloudfw"
)

var aliVersions = map[string]string{"2021-10-01": productWAF, "2017-12-07": productCloud}

// aliError is what Alibaba Cloud answers instead of a result.
type aliError struct {
	status        int
	code, message string
}

func (e *aliError) Error() string { return e.code + ": " + e.message }

// bad is an answer with HTTP 400.
func bad(code, format string, args ...any) *aliError {
	return &aliError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func missing(name string) *aliError {
	return bad("Missing"+name, "%s is mandatory for this action.", name)
}

func wrong(name, format string, args ...any) *aliError {
	return bad("InvalidParameter."+name, "The specified parameter %s is not valid: %s", name, fmt.Sprintf(format, args...))
}

// aliRequest is one call's input: parameters of the query and of the form body together.
type aliRequest struct {
	product, action string
	params          url.Values
	call            *AlibabaCall // what is noted about it
}

func (r aliRequest) str(name string) string { return r.params.Get(name) }

// number returns a whole number, or what is wrong with it; standard if it is absent.
func (r aliRequest) number(name string, standard int64) (int64, *aliError) {
	text := r.str(name)
	if text == "" {
		return standard, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, wrong(name, "want a whole number")
	}
	return n, nil
}

// between is number with bounds.
func (r aliRequest) between(name string, standard, least, most int64) (int, *aliError) {
	n, e := r.number(name, standard)
	if e == nil && (n < least || n > most) {
		e = wrong(name, "want %d to %d", least, most)
	}
	return int(n), e
}

// list returns a repeated parameter, Name.1, Name.2 and so on.
func (r aliRequest) list(name string) ([]string, *aliError) {
	if r.params.Has(name) {
		return nil, wrong(name, "want %s.1, %s.2 …, not one text", name, name)
	}
	var values []string
	for i := 1; r.params.Has(name + "." + strconv.Itoa(i)); i++ {
		values = append(values, r.params.Get(name+"."+strconv.Itoa(i)))
	}
	return values, nil
}

// maxQuery is how long a query may be, in bytes. UNVERIFIED: what gateways commonly take.
const maxQuery = 8 << 10

// ServeHTTP implements http.Handler.
func (a *Alibaba) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<20))
	if err != nil {
		return
	}
	call := AlibabaCall{Action: r.Header.Get("x-acs-action"), Product: aliVersions[r.Header.Get("x-acs-version")], Sent: len(r.URL.RawQuery) + len(body)}
	req, refused := a.read(r, body, &call)
	x := a.admit(r.Context(), a.opts.Latency, &call, &call.Index)
	var result any
	if refused == nil && x.takesEffect() {
		req.call = &call
		result, refused = a.do(req)
	}
	if x.fault != nil {
		refused = &aliError{statusOf(x.fault.Code), x.fault.Code, "injected"}
	}
	if refused != nil {
		call.Code = refused.code
	}
	a.settle(x, call)
	a.answer(w, r, result, refused)
}

// statusOf is the HTTP status that a code comes with.
func statusOf(code string) int {
	switch {
	case strings.HasPrefix(code, "Throttling"):
		return http.StatusBadRequest
	case code == "InvalidAccessKeyId.NotFound":
		return http.StatusNotFound
	case code == "NoPermission" || strings.HasPrefix(code, "Forbidden"):
		return http.StatusForbidden
	case code == "ServiceUnavailable":
		return http.StatusServiceUnavailable
	case code == "InternalError":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// answer writes a result or an error as the RPC gateway does.
func (a *Alibaba) answer(w http.ResponseWriter, r *http.Request, result any, refused *aliError) {
	a.mu.Lock()
	id := strings.ToUpper(a.uuid())
	a.mu.Unlock()
	status, fields := http.StatusOK, map[string]any{}
	if refused != nil {
		status = refused.status
		fields = map[string]any{
			"HostId": r.Host, "Code": refused.code, "Message": refused.message,
			"Recommend": "https://api.aliyun.com/troubleshoot?q=" + url.QueryEscape(refused.code),
		}
	} else if m, ok := result.(map[string]any); ok {
		fields = m
	}
	fields["RequestId"] = id
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(fields); err != nil {
		http.Error(w, "the stand-in cannot encode its answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.Header().Set("x-acs-request-id", id)
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// read checks the request's signature and form.
func (a *Alibaba) read(r *http.Request, body []byte, call *AlibabaCall) (aliRequest, *aliError) {
	req := aliRequest{product: call.Product, action: call.Action}
	keys := func(id string) (string, string, bool) {
		for _, k := range a.opts.Keys {
			if k.ID == id {
				return k.Secret, k.Token, true
			}
		}
		return "", "", false
	}
	now := a.opts.Now()
	err := signtest.ACS3(r, body, keys, now)
	if err == nil {
		err = a.nonces.Use(r.Header.Get("x-acs-signature-nonce"), now)
	}
	if denied := (*signtest.Error)(nil); errors.As(err, &denied) {
		return req, &aliError{statusOf(denied.Code), denied.Code, denied.Message}
	}
	for _, k := range a.opts.Keys {
		if k.Expired && strings.Contains(r.Header.Get("Authorization"), "Credential="+k.ID+",") {
			return req, &aliError{http.StatusForbidden, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."}
		}
	}
	if call.Product == "" {
		return req, &aliError{http.StatusNotFound, "InvalidVersion", "Specified parameter Version is not valid."}
	}
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return req, &aliError{http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."}
	}
	if len(r.URL.RawQuery) > maxQuery {
		return req, &aliError{http.StatusRequestURITooLong, "RequestURITooLarge", "The request URI is too large: long parameters go into the body."}
	}
	params, refused := parameters(r, body)
	if refused != nil {
		return req, refused
	}
	req.params = params
	call.Scene = params.Get("DefenseScene")
	for _, name := range []string{"RuleId", "RuleIds", "TemplateId", "GroupUuid", "AclUuid"} {
		if id := params.Get(name); id != "" {
			call.Object = id
			break
		}
	}
	for name := range params {
		if strings.HasPrefix(name, "AddressList.") {
			call.Entries++
		}
	}
	if list := params.Get("AddressList"); list != "" {
		call.Entries = strings.Count(list, ",") + 1
	}
	return req, nil
}

// parameters unites query and form. One that is in both, or twice, is refused.
func parameters(r *http.Request, body []byte) (url.Values, *aliError) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, bad("InvalidParameter", "the query cannot be read")
	}
	if len(body) > 0 {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if kind != "application/x-www-form-urlencoded" {
			return nil, &aliError{http.StatusUnsupportedMediaType, "UnsupportedHTTPContentType", "the stand-in takes form bodies only"}
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, bad("InvalidParameter", "the form cannot be read")
		}
		for name, values := range form {
			params[name] = append(params[name], values...)
		}
	}
	for name, values := range params {
		if len(values) > 1 {
			return nil, wrong(name, "given more than once")
		}
	}
	return params, nil
}

// uuid returns the next identifier: it looks random and is the same in every run. The caller holds the lock.
func (a *Alibaba) uuid() string {
	a.uuids++
	h := sha256.Sum256(fmt.Appendf(nil, "waftest alibaba %d", a.uuids))
	x := hex.EncodeToString(h[:16])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-8" + x[17:20] + "-" + x[20:32]
}

// isRead tells whether an action changes nothing.
func isRead(action string) bool { return strings.HasPrefix(action, "Describe") }

// pageOf cuts one page out of a list.
func pageOf[T any](list []T, number, size int) []T {
	from := min((number-1)*size, len(list))
	return slices.Clone(list[from:min(from+size, len(list))])
}
