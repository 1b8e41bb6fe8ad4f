package functiontest

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"time"
)

// Function Compute's limit for a synchronous event and for its answer.
const fcMaxPayload = 32 << 20

// Values of the header x-fc-function-type.
const (
	kindHandle      = 0
	kindInitializer = 1
)

// fcProtocol is Function Compute's runtime API, version 2020-11-11. Unlike
// Lambda's SDK, this one polls again at once and runs each event in a goroutine of
// its own; that only one is under way at a time is this side's doing.
type fcProtocol struct{}

func (fcProtocol) maxPayload() int { return fcMaxPayload }

func (fcProtocol) defaults(cfg Config) Config {
	if cfg.Region == "" {
		cfg.Region = "cn-hangzhou"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "1000000000000000"
	}
	return cfg
}

func (fcProtocol) environment(cfg Config, address string) []string {
	env := []string{
		"FC_RUNTIME_API=" + address,
		"FC_FUNCTION_NAME=" + cfg.Name,
		"FC_FUNCTION_HANDLER=" + filepath.Base(cfg.Binary),
		"FC_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(cfg.Memory),
		"FC_FUNCTION_VERSION=LATEST",
		"FC_FUNC_CODE_PATH=" + filepath.Dir(cfg.Binary),
		"FC_INSTANCE_ID=local",
		"FC_REGION=" + cfg.Region,
		"FC_ACCOUNT_ID=" + cfg.AccountID,
	}
	if c := cfg.Credentials; c.AccessKeyID != "" {
		env = append(env,
			"ALIBABA_CLOUD_ACCESS_KEY_ID="+c.AccessKeyID,
			"ALIBABA_CLOUD_ACCESS_KEY_SECRET="+c.AccessKeySecret,
			"ALIBABA_CLOUD_SECURITY_TOKEN="+c.SecurityToken)
	}
	return env
}

func (fcProtocol) initEvent(ctx context.Context, cfg Config) *event {
	if !cfg.Initializer {
		return nil // asked of a function that registered none, the SDK panics
	}
	ev := newEvent(ctx, cfg, nil)
	ev.id, ev.kind = newID(), kindInitializer
	return ev
}

func (fcProtocol) routes(p *process, cfg Config) http.Handler {
	const api = "/2020-11-11/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api+"next", func(w http.ResponseWriter, r *http.Request) {
		ev := p.next(r)
		if ev == nil {
			return
		}
		fcHeaders(w.Header(), cfg, ev)
		_, _ = w.Write(ev.payload)
	})
	mux.HandleFunc("POST "+api+"{id}/response", func(w http.ResponseWriter, r *http.Request) {
		ev, ok := p.take(r.PathValue("id"))
		if !ok {
			http.Error(w, "no such invocation", http.StatusNotFound)
			return
		}
		body, ok := readAnswer(r.Body, fcMaxPayload)
		if !ok {
			ev.fail(&FunctionError{Type: "ResponseTooLarge", Message: fmt.Sprintf("answer over %d bytes", fcMaxPayload)})
			http.Error(w, "answer too large", http.StatusRequestEntityTooLarge)
			return
		}
		ev.succeed(body)
	})
	mux.HandleFunc("POST "+api+"{id}/error", func(w http.ResponseWriter, r *http.Request) {
		ev, ok := p.take(r.PathValue("id"))
		if !ok {
			http.Error(w, "no such invocation", http.StatusNotFound)
			return
		}
		ev.fail(readFunctionError(r.Body))
	})
	return mux
}

// fcHeaders says everything that Function Compute says about an invocation. The
// deadline and the timeout are mandatory: without either the SDK drops the event unanswered.
func fcHeaders(h http.Header, cfg Config, ev *event) {
	seconds := int64((ev.timeout + time.Second - 1) / time.Second)
	for name, value := range map[string]string{
		"Content-Type":           "application/octet-stream",
		"x-fc-request-id":        ev.id,
		"x-fc-function-type":     strconv.Itoa(ev.kind),
		"x-fc-function-deadline": strconv.FormatInt(ev.deadline.UnixMilli(), 10),
		"x-fc-function-timeout":  strconv.FormatInt(seconds, 10),
		"x-fc-function-name":     cfg.Name,
		"x-fc-function-handler":  filepath.Base(cfg.Binary),
		"x-fc-function-memory":   strconv.Itoa(cfg.Memory),
		"x-fc-qualifier":         "LATEST",
		"x-fc-version-id":        "LATEST",
		"x-fc-region":            cfg.Region,
		"x-fc-account-id":        cfg.AccountID,
		"x-fc-retry-count":       strconv.Itoa(ev.retry),
		"x-fc-access-key-id":     cfg.Credentials.AccessKeyID,
		"x-fc-access-key-secret": cfg.Credentials.AccessKeySecret,
		"x-fc-security-token":    cfg.Credentials.SecurityToken,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
}
