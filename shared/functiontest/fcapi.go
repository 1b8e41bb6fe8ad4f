package functiontest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"time"
)

// Limits of Function Compute's InvokeFunction.
const (
	fcMaxAsyncPayload = 128 << 10 // for an asynchronous event, unless a quota increase was granted
)

// Handler is a function as FCAPI sees it; (*Function).Invoke in most cases.
type Handler func(ctx context.Context, payload []byte, async bool) ([]byte, error)

// FCAPIConfig describes an FCAPI.
type FCAPIConfig struct {
	Credentials Credentials   // what callers must sign with; without them every call is refused
	Retries     int           // further tries of a failing asynchronous event: 0 is FC's default of 3, negative is none
	Backoff     time.Duration // before the first retry, doubled for each further one; 0 is FC's 500 ms
	Now         func() time.Time
	Observe     func(Execution) // called after each try of each event, from its goroutine; may be nil
}

// Execution is one try of one event.
type Execution struct {
	Function  string
	RequestID string
	Async     bool
	Attempt   int // 0 is the first
	Final     bool
	Answer    []byte
	Err       error
}

// Fault is an answer that FCAPI gives instead of its own, to see what a caller makes of it.
type Fault struct {
	Status  int // 429, 503 …; 0 cuts the connection
	Code    string
	Message string
	Accept  bool // the event is taken all the same: the caller is told of a failure that was none
}

// FCAPI stands in for Function Compute's data plane as far as its operation
// InvokeFunction goes: POST /2023-03-30/functions/{name}/invocations with a checked
// ACS3-HMAC-SHA256 signature, synchronous or (x-fc-invocation-type: Async) queued.
// It is an http.Handler and safe for concurrent use.
type FCAPI struct {
	cfg    FCAPIConfig
	signed *acs3Verifier
	ctx    context.Context // of queued events; ended by Close
	end    context.CancelFunc

	mu       sync.Mutex
	handlers map[string]Handler
	fault    func(function string, call int) *Fault
	calls    int
	closed   bool
	servers  []*http.Server
	queued   sync.WaitGroup
}

// NewFCAPI returns an FCAPI that knows no function yet.
func NewFCAPI(cfg FCAPIConfig) *FCAPI {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case cfg.Retries == 0:
		cfg.Retries = 3
	case cfg.Retries < 0:
		cfg.Retries = 0
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = 500 * time.Millisecond
	}
	ctx, end := context.WithCancel(context.Background())
	return &FCAPI{
		cfg:      cfg,
		signed:   newACS3Verifier(cfg.Credentials, cfg.Now),
		ctx:      ctx,
		end:      end,
		handlers: make(map[string]Handler),
	}
}

// Handle makes the function name known, or replaces it.
func (a *FCAPI) Handle(name string, h Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.handlers[name] = h
}

// Fail makes decide choose a Fault for each properly signed call; call counts them
// from 1. A nil Fault lets the call through, a nil decide all of them.
func (a *FCAPI) Fail(decide func(function string, call int) *Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = decide
}

// Start listens on loopback and returns the endpoint, "http://127.0.0.1:port".
func (a *FCAPI) Start(ctx context.Context) (endpoint string, err error) {
	listener, err := loopback(ctx)
	if err != nil {
		return "", fmt.Errorf("start function compute api: %w", err)
	}
	server := &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.mu.Lock()
	a.servers = append(a.servers, server)
	a.mu.Unlock()
	go func() { _ = server.Serve(listener) }()
	return "http://" + listener.Addr().String(), nil
}

// Close stops listening, cancels queued events and waits for them.
func (a *FCAPI) Close() {
	a.mu.Lock()
	a.closed = true
	servers := a.servers
	a.servers = nil
	a.mu.Unlock()
	a.end()
	for _, s := range servers {
		_ = s.Close()
	}
	a.queued.Wait()
}

// Drain waits until no queued event is left, retries included. No event may be
// queued meanwhile.
func (a *FCAPI) Drain(ctx context.Context) error {
	done := make(chan struct{})
	go func() { a.queued.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apiError is the error body of Function Compute's data plane.
type apiError struct {
	status  int
	Code    string `json:"Code"`
	Message string `json:"Message"`
	Request string `json:"RequestId"`
}

func refuse(w http.ResponseWriter, id string, e *apiError) {
	e.Request = id
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.status)
	_ = json.NewEncoder(w).Encode(e)
}

var invocationPath = regexp.MustCompile(`^/2023-03-30/functions/([A-Za-z_][A-Za-z0-9_-]{0,63})/invocations$`)

// ServeHTTP answers one API call.
func (a *FCAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newID()
	w.Header().Set("x-fc-request-id", id)
	match := invocationPath.FindStringSubmatch(r.URL.Path)
	if match == nil || r.Method != http.MethodPost {
		refuse(w, id, &apiError{
			status: http.StatusBadRequest, Code: "PathNotSupported",
			Message: fmt.Sprintf("'%s' against '%.100s' is not supported", r.Method, r.URL.Path),
		})
		return
	}
	async := false
	switch kind := r.Header.Get("x-fc-invocation-type"); kind {
	case "", "Sync":
	case "Async":
		async = true
	default:
		refuse(w, id, &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "x-fc-invocation-type: want Sync or Async"})
		return
	}
	limit := fcMaxPayload
	if async {
		limit = fcMaxAsyncPayload
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil {
		refuse(w, id, &apiError{status: http.StatusBadRequest, Code: "InvalidArgument", Message: "the body broke off"})
		return
	}
	if len(body) > limit { // before the signature: its hash covers what we did not read
		refuse(w, id, &apiError{
			status: http.StatusBadRequest, Code: "EntityTooLarge",
			Message: fmt.Sprintf("payload size exceeds maximum allowed size (%d bytes)", limit),
		})
		return
	}
	if e := a.signed.check(r, body); e != nil {
		refuse(w, id, e)
		return
	}
	a.invoke(w, r, match[1], id, body, async)
}

func (a *FCAPI) invoke(w http.ResponseWriter, r *http.Request, name, id string, body []byte, async bool) {
	a.mu.Lock()
	a.calls++
	call, decide, h, closed := a.calls, a.fault, a.handlers[name], a.closed
	if async && h != nil && !closed {
		a.queued.Add(1) // under the lock, so that Close never waits for a group that still grows
	}
	a.mu.Unlock()
	queue := func() {
		go func() {
			defer a.queued.Done()
			a.execute(a.ctx, h, Execution{Function: name, RequestID: id, Async: true}, body)
		}()
	}
	unqueue := func() {
		if async && h != nil && !closed {
			a.queued.Done()
		}
	}

	if decide != nil {
		if f := decide(name, call); f != nil {
			if f.Accept && async && h != nil && !closed {
				queue()
			} else {
				unqueue()
			}
			if f.Status == 0 {
				panic(http.ErrAbortHandler) // net/http cuts the connection
			}
			refuse(w, id, &apiError{status: f.Status, Code: f.Code, Message: f.Message})
			return
		}
	}
	switch {
	case h == nil:
		refuse(w, id, &apiError{status: http.StatusNotFound, Code: "FunctionNotFound", Message: fmt.Sprintf("function '%s' does not exist", name)})
	case closed:
		refuse(w, id, &apiError{status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: "closing"})
	case async:
		queue()
		w.WriteHeader(http.StatusAccepted)
	default:
		a.answer(w, a.execute(r.Context(), h, Execution{Function: name, RequestID: id}, body))
	}
}

// answer writes a synchronous result. A function's error is 200 with a header that says so (DOC: error handling).
func (a *FCAPI) answer(w http.ResponseWriter, x Execution) {
	if x.Err == nil {
		_, _ = w.Write(x.Answer)
		return
	}
	var e *FunctionError
	kind, message := "UnhandledInvocationError", x.Err.Error()
	if errors.As(x.Err, &e) {
		kind, message = "HandledInvocationError", e.Message
	}
	w.Header().Set("X-Fc-Error-Type", kind)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorType": kind, "errorMessage": message})
}

// execute tries one event until it works or its retries are used up, and returns the last try.
func (a *FCAPI) execute(ctx context.Context, h Handler, x Execution, body []byte) Execution {
	retries, pause := 0, a.cfg.Backoff
	if x.Async {
		retries = a.cfg.Retries
	}
	for {
		x.Answer, x.Err = h(withAttempt(ctx, attempt{id: x.RequestID, retry: x.Attempt}), body, x.Async)
		x.Final = x.Err == nil || x.Attempt == retries || ctx.Err() != nil
		if a.cfg.Observe != nil {
			a.cfg.Observe(x)
		}
		if x.Final {
			return x
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return x
		}
		x.Attempt++
		pause *= 2
	}
}
