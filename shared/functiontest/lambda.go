package functiontest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
)

// Lambda's quota for a synchronous event and for its answer.
const lambdaMaxPayload = 6 << 20

// lambdaProtocol is the Lambda Runtime API, version 2018-06-01, and as much of the
// Extensions API (2020-01-01) as aws-lambda-go asks for when it wants to see SIGTERM.
type lambdaProtocol struct{}

func (lambdaProtocol) maxPayload() int { return lambdaMaxPayload }

func (lambdaProtocol) defaults(cfg Config) Config {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "000000000000"
	}
	return cfg
}

func (lambdaProtocol) environment(cfg Config, address string) []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + address,
		"AWS_LAMBDA_FUNCTION_NAME=" + cfg.Name,
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(cfg.Memory),
		"AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/" + cfg.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME=local",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand",
		"AWS_EXECUTION_ENV=AWS_Lambda_provided.al2023",
		"AWS_REGION=" + cfg.Region,
		"AWS_DEFAULT_REGION=" + cfg.Region,
		"LAMBDA_TASK_ROOT=" + filepath.Dir(cfg.Binary),
		"_HANDLER=" + filepath.Base(cfg.Binary),
	}
	if c := cfg.Credentials; c.AccessKeyID != "" {
		env = append(env, "AWS_ACCESS_KEY_ID="+c.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+c.AccessKeySecret)
		if c.SecurityToken != "" {
			env = append(env, "AWS_SESSION_TOKEN="+c.SecurityToken)
		}
	}
	return env
}

func (lambdaProtocol) initEvent(context.Context, Config) *event { return nil }

func (lambdaProtocol) routes(p *process, cfg Config) http.Handler {
	const api = "/2018-06-01/runtime/"
	arn := fmt.Sprintf("arn:aws:lambda:%s:%s:function:%s", cfg.Region, cfg.AccountID, cfg.Name)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+api+"invocation/next", func(w http.ResponseWriter, r *http.Request) {
		ev := p.next(r)
		if ev == nil {
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Lambda-Runtime-Aws-Request-Id", ev.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(ev.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", arn)
		h.Set("Lambda-Runtime-Trace-Id", "Root=1-"+ev.id[:8]+"-000000000000000000000000;Parent=0000000000000000;Sampled=0")
		_, _ = w.Write(ev.payload)
	})
	mux.HandleFunc("POST "+api+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		ev, ok := p.take(r.PathValue("id"))
		if !ok {
			lambdaRefuse(w, http.StatusBadRequest, "InvalidRequestID")
			return
		}
		body, ok := readAnswer(r.Body, lambdaMaxPayload)
		if !ok {
			ev.fail(&FunctionError{Type: "Function.ResponseSizeTooLarge", Message: fmt.Sprintf("answer over %d bytes", lambdaMaxPayload)})
			lambdaRefuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge")
			return
		}
		if e := lambdaTrailer(r); e != nil { // the handler's reader broke after the answer had begun
			ev.fail(e)
		} else {
			ev.succeed(body)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+api+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		ev, ok := p.take(r.PathValue("id"))
		if !ok {
			lambdaRefuse(w, http.StatusBadRequest, "InvalidRequestID")
			return
		}
		ev.fail(readFunctionError(r.Body))
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+api+"init/error", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted) // the process ends next, and says why in its output
	})
	mux.HandleFunc("POST /2020-01-01/extension/register", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Lambda-Extension-Identifier", newID())
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"functionName": cfg.Name, "functionVersion": "$LATEST", "handler": filepath.Base(cfg.Binary)})
	})
	mux.HandleFunc("GET /2020-01-01/extension/event/next", func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done() // no extension events here; shutdown comes as SIGTERM
	})
	return mux
}

func lambdaTrailer(r *http.Request) *FunctionError {
	kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return nil
	}
	e := &FunctionError{Type: kind, Message: "the answer broke off"}
	var body struct {
		Message string `json:"errorMessage"`
	}
	if text, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body")); err == nil {
		if json.Unmarshal(text, &body) == nil && body.Message != "" {
			e.Message = body.Message
		}
	}
	return e
}

func lambdaRefuse(w http.ResponseWriter, status int, kind string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"errorMessage": kind, "errorType": kind})
}
