package functiontest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// protocol is what differs between the two runtime APIs.
type protocol interface {
	defaults(Config) Config
	environment(cfg Config, address string) []string
	initEvent(context.Context, Config) *event
	routes(*process, Config) http.Handler
	maxPayload() int
}

// event is one question to the function. Its answer comes once, or never.
type event struct {
	id       string
	payload  []byte
	timeout  time.Duration
	deadline time.Time
	retry    int // FC: how often this event has been tried before
	kind     int // FC: kindHandle or kindInitializer
	answer   chan answer
}

type answer struct {
	body []byte
	err  error
}

func newEvent(ctx context.Context, cfg Config, payload []byte) *event {
	at := attemptFrom(ctx)
	if at.id == "" {
		at.id = newID()
	}
	return &event{
		id:       at.id,
		payload:  payload,
		timeout:  cfg.Timeout,
		deadline: time.Now().Add(cfg.Timeout),
		retry:    at.retry,
		answer:   make(chan answer, 1),
	}
}

func (e *event) succeed(body []byte) { e.answer <- answer{body: body} }

func (e *event) fail(err error) { e.answer <- answer{err: err} }

// newID returns a random id in the form that both clouds use for requests.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// attempt tells the runtime API what FCAPI knows about an asynchronous call.
type attempt struct {
	id    string
	retry int
}

type attemptKey struct{}

func withAttempt(ctx context.Context, a attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

func attemptFrom(ctx context.Context) attempt {
	a, _ := ctx.Value(attemptKey{}).(attempt)
	return a
}

// maxError bounds an error that a function reports, stack trace included.
const maxError = 1 << 20

// readFunctionError reads the JSON that both SDKs send for an error or a panic.
func readFunctionError(r io.Reader) *FunctionError {
	var e struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	body, err := io.ReadAll(io.LimitReader(r, maxError))
	if err != nil {
		return &FunctionError{Type: "Unreadable", Message: "the function's error could not be read"}
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return &FunctionError{Type: "Unreadable", Message: string(body[:min(len(body), 1000)])}
	}
	return &FunctionError{Type: e.Type, Message: e.Message}
}

// readAnswer reads a response body up to limit; ok is false when it is longer or breaks off.
func readAnswer(r io.Reader, limit int) (body []byte, ok bool) {
	body, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	return body, err == nil && len(body) <= limit
}
