// Package waftest holds what stands in for a firewall: AWS, a strict WAFv2 on
// loopback that speaks the wire protocol, so that the adapter and the functions are tried through the
// real SDK; Firewall, an in-memory waf.Firewall with two-sided faults; and
// TestFirewall, the tests that every waf.Firewall must pass.
//
// AWS is as strict as the service is documented to be, where a sloppier stand-in
// would let bugs pass: UpdateWebACL and UpdateIPSet replace everything, a set in use
// cannot be deleted, a stale lock token is refused, an address with host bits fails the whole call.
package waftest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// AWSOptions tell how the stand-in behaves. The zero value is a fast, calm AWS.
type AWSOptions struct {
	// Latency is added to every call.
	Latency time.Duration
	// RateLimits throttles as AWS does: per Region and action 1 write and 5 reads a second.
	RateLimits bool
	// AlwaysMarker returns a NextMarker from every List call, also after the last item.
	AlwaysMarker bool
	// NotReady makes every new IP set unavailable to the first n calls that refer to it.
	NotReady int
	// MaxSets is the account's quota of IP sets per Region and scope; default 100.
	MaxSets int
	// Refuse lists addresses that the service will not take, for reasons of its own.
	Refuse []netip.Prefix
	// Page is the most items that a List call returns; default 100.
	Page int
	// Now is the clock of RateLimits; default time.Now.
	Now func() time.Time
}

// Call is one request as the stand-in saw it.
type Call struct {
	Index    int // from 0
	Op       string
	Region   string
	Scope    string
	Name     string // of the object
	Sent     int    // bytes of the request's body
	Answered int    // bytes of the answer's body
	Code     string // AWS's error code; "" for success
	Changed  bool   // something was changed, whatever the caller was told
}

// Write tells whether the operation is one that changes something.
func (c Call) Write() bool {
	return !strings.HasPrefix(c.Op, "Get") && !strings.HasPrefix(c.Op, "List") && c.Op != "CheckCapacity"
}

// Fault is what goes wrong with one call.
type Fault struct {
	Code        string // AWS's error code; "" together with Drop
	AfterChange bool   // the call takes effect first, and then its answer is replaced
	Drop        bool   // the connection breaks instead of an answer
}

// AWS is WAFv2 in one process. All methods are safe for concurrent use.
type AWS struct {
	opts AWSOptions

	mu      sync.Mutex
	spaces  map[space]*content
	tags    map[string]map[string]string // by ARN
	serial  uint64
	calls   []Call
	last    map[string]time.Time // RateLimits
	before  func(Call) *Fault
	after   func(Call)
	shuffle *rand.Rand

	server *http.Server
	done   chan struct{}
}

// space is where names are unique: IP sets of one scope and Region know nothing of others.
type space struct{ region, scope string }

type content struct {
	sets map[string]*ipSet // by name
	acls map[string]*webACL
}

// account is the stand-in's account id, AWS's own example.
const account = "123456789012"

// NewAWS returns an empty WAFv2. It is an http.Handler; Start serves it.
func NewAWS(opts AWSOptions) *AWS {
	if opts.MaxSets == 0 {
		opts.MaxSets = 100
	}
	if opts.Page == 0 {
		opts.Page = 100
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &AWS{
		opts: opts, spaces: map[space]*content{}, tags: map[string]map[string]string{}, last: map[string]time.Time{},
		shuffle: rand.New(rand.NewPCG(1, 2)),
	}
}

// Start serves on a free port of loopback and returns the endpoint's URL. Close ends it.
func (a *AWS) Start() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start local waf: %w", err)
	}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.done = make(chan struct{})
	go func() {
		defer close(a.done)
		_ = a.server.Serve(l) // ErrServerClosed: Close was called
	}()
	return "http://" + l.Addr().String(), nil
}

// Close ends what Start began.
func (a *AWS) Close() error {
	if a.server == nil {
		return nil
	}
	err := a.server.Close()
	<-a.done
	return err
}

// Before sets what is asked before each call; a non-nil Fault happens to it. The
// function may use the AWS, and make calls of its own.
func (a *AWS) Before(f func(Call) *Fault) { a.mu.Lock(); a.before = f; a.mu.Unlock() }

// After sets what is told of each call after it took effect and before it is answered.
func (a *AWS) After(f func(Call)) { a.mu.Lock(); a.after = f; a.mu.Unlock() }

// Calls returns all calls since the beginning or the last Forget.
func (a *AWS) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Call(nil), a.calls...)
}

// Forget empties the call log and starts its index anew.
func (a *AWS) Forget() { a.mu.Lock(); a.calls = nil; a.mu.Unlock() }

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

// request is one call's input.
type request struct {
	op     string
	region string
	fields map[string]json.RawMessage
}

// str returns a string field, "" if it is absent.
func (r request) str(field string) string {
	var s string
	if raw, ok := r.fields[field]; ok && json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func (r request) space() space { return space{r.region, r.str("Scope")} }

const target = "AWSWAF_20190729."

// ServeHTTP implements http.Handler.
func (a *AWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 8<<20))
	if err != nil {
		return
	}
	call := Call{Op: strings.TrimPrefix(r.Header.Get("X-Amz-Target"), target), Sent: len(body)}
	req := request{op: call.Op}
	var refused *apiError
	req.region, refused = credentialScope(r)
	if refused == nil {
		if uerr := json.Unmarshal(body, &req.fields); uerr != nil || !strings.HasPrefix(r.Header.Get("X-Amz-Target"), target) {
			refused = refuse("SerializationException", "the body or the X-Amz-Target header is malformed")
		}
	}
	call.Region, call.Scope, call.Name = req.region, req.str("Scope"), req.str("Name")

	a.mu.Lock()
	call.Index = len(a.calls)
	a.calls = append(a.calls, call)
	before, after := a.before, a.after
	a.mu.Unlock()

	if a.opts.Latency > 0 {
		select {
		case <-time.After(a.opts.Latency):
		case <-r.Context().Done():
		}
	}
	var fault *Fault
	if before != nil {
		fault = before(call)
	}
	var result any
	if refused == nil && (fault == nil || fault.AfterChange) {
		result, call.Changed, refused = a.do(req)
	}
	drop := false
	if fault != nil {
		drop = fault.Drop
		refused = refuse(fault.Code, "injected")
	}
	status, answer := encode(result, refused)
	call.Answered = len(answer)
	if refused != nil {
		call.Code = refused.Code
	}
	a.mu.Lock()
	if call.Index < len(a.calls) { // unless forgotten meanwhile
		a.calls[call.Index] = call
	}
	a.mu.Unlock()
	if after != nil {
		after(call)
	}
	if drop {
		panic(http.ErrAbortHandler) // net/http's way to break the connection
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-RequestId", fmt.Sprintf("%08d", call.Index))
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

// credentialScope returns the Region that a request was signed for. The signature
// itself is not checked: the stand-in has no secrets.
func credentialScope(r *http.Request) (region string, refused *apiError) {
	auth := r.Header.Get("Authorization")
	_, rest, ok := strings.Cut(auth, "Credential=")
	if !ok || !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 ") {
		return "", refuse("MissingAuthenticationToken", "the request is not signed")
	}
	credential, _, _ := strings.Cut(rest, ",")
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[3] != "wafv2" || parts[4] != "aws4_request" || !strings.Contains(auth, "Signature=") {
		return "", refuse("InvalidSignatureException", "credential should be scoped to service wafv2")
	}
	return parts[2], nil
}

func encode(result any, refused *apiError) (status int, body []byte) {
	if refused == nil {
		body, err := marshal(result)
		if err == nil {
			return http.StatusOK, body
		}
		refused = refuse("WAFInternalErrorException", "%v", err)
	}
	status = http.StatusBadRequest
	switch refused.Code {
	case "WAFInternalErrorException", "InternalFailure", "WAFTagOperationInternalErrorException":
		status = http.StatusInternalServerError
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

// do carries one call out.
func (a *AWS) do(r request) (result any, changed bool, refused *apiError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused := a.throttle(r); refused != nil {
		return nil, false, refused
	}
	ops := map[string]func(request) (any, *apiError){
		"CreateIPSet": a.createIPSet, "GetIPSet": a.getIPSet, "UpdateIPSet": a.updateIPSet, "DeleteIPSet": a.deleteIPSet, "ListIPSets": a.listIPSets,
		"CreateWebACL": a.createWebACL, "GetWebACL": a.getWebACL, "UpdateWebACL": a.updateWebACL, "ListWebACLs": a.listWebACLs, "CheckCapacity": a.checkCapacity,
		"TagResource": a.tagResource, "UntagResource": a.untagResource, "ListTagsForResource": a.listTags,
	}
	f := ops[r.op]
	if f == nil {
		return nil, false, refuse("UnknownOperationException", "the stand-in does not know %s", r.op)
	}
	if !strings.HasSuffix(r.op, "Resource") { // tags go by ARN
		switch scope := r.str("Scope"); {
		case scope != "REGIONAL" && scope != "CLOUDFRONT" && !(r.op == "GetWebACL" && r.str("ARN") != ""):
			return nil, false, refuse("ValidationException", "1 validation error detected: Value at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [REGIONAL, CLOUDFRONT]")
		case scope == "CLOUDFRONT" && r.region != "us-east-1":
			return nil, false, invalid("SCOPE_VALUE", "CLOUDFRONT", "The scope is not valid.")
		}
	}
	result, refused = f(r)
	return result, refused == nil && Call{Op: r.op}.Write(), refused
}

func (a *AWS) throttle(r request) *apiError {
	if !a.opts.RateLimits {
		return nil
	}
	every := 200 * time.Millisecond
	if (Call{Op: r.op}).Write() {
		every = time.Second
	}
	key, now := r.region+" "+r.op, a.opts.Now()
	if last, ok := a.last[key]; ok && now.Sub(last) < every {
		return refuse("ThrottlingException", "Rate exceeded")
	}
	a.last[key] = now
	return nil
}

func (a *AWS) in(s space) *content {
	c := a.spaces[s]
	if c == nil {
		c = &content{sets: map[string]*ipSet{}, acls: map[string]*webACL{}}
		a.spaces[s] = c
	}
	return c
}

// uuid returns the next identifier or lock token. They look random and are the same in every run.
func (a *AWS) uuid() string {
	a.serial++
	h := sha256.Sum256(fmt.Appendf(nil, "waftest %d", a.serial))
	x := hex.EncodeToString(h[:16])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-8" + x[17:20] + "-" + x[20:32]
}

func arn(s space, kind, name, id string) string {
	scope := "regional"
	if s.scope == "CLOUDFRONT" {
		scope = "global"
	}
	return fmt.Sprintf("arn:aws:wafv2:%s:%s:%s/%s/%s/%s", s.region, account, scope, kind, name, id)
}

// errNoWebACL is returned by the inspecting methods.
var errNoWebACL = errors.New("no such web acl")
