//go:build cgo

package slstest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// call is one HTTP request on its way.
type call struct {
	*http.Request
	body    []byte // as it came
	project string
	store   storeKey
	shard   string

	log      Call
	fault    *fault
	settings struct{ rows, cut int }
}

// answer is what a handler gives back.
type answer struct {
	status int // 0 means 200
	header map[string]string
	body   []byte
}

// handlerFunc answers one kind of call.
type handlerFunc func(ctx context.Context, c *call) (answer, error)

// ServeHTTP answers one call of the Log Service's API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	id := requestID()
	w.Header().Set("x-log-requestid", id)
	w.Header().Set("Server", "tracewall-slstest")

	c := &call{Request: r, log: Call{Method: r.Method, Path: r.URL.Path}}
	handler, err := s.route(c)
	if err == nil {
		err = s.admit(c)
	}
	if err != nil {
		s.finish(w, c, answer{}, err)
		return
	}
	var delay time.Duration
	c.fault, delay = s.faults.next(c.log.Op)
	c.settings.rows, c.settings.cut = s.faults.settings()
	if !pause(ctx, delay) {
		return
	}
	if c.fault != nil {
		switch c.fault.kind {
		case faultAnswer:
			s.finish(w, c, answer{}, c.fault.error)
			return
		case faultCut:
			s.cut(c)
			return
		}
	}
	a, err := handler(ctx, c)
	if c.fault != nil && c.fault.kind == faultCutAfter {
		s.cut(c)
		return
	}
	s.finish(w, c, a, err)
}

// pause waits, or returns false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut closes the connection without an answer.
func (s *Server) cut(c *call) {
	s.faults.record(c.log)
	panic(http.ErrAbortHandler) // net/http's way to drop a connection
}

// finish writes an answer, or an error in the service's form.
func (s *Server) finish(w http.ResponseWriter, c *call, a answer, err error) {
	if err != nil {
		api := serviceError(err)
		c.log.Code = api.code
		a = answer{status: api.status, header: map[string]string{"Content-Type": "application/json"}}
		a.body, _ = json.Marshal(map[string]string{"errorCode": api.code, "errorMessage": api.msg}) // two strings always encode
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	c.log.Status = a.status
	s.faults.record(c.log)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client may be gone
}

// serviceError maps an error to the service's code. What is not known is an internal error without details.
func serviceError(err error) *apiError {
	var api *apiError
	switch {
	case errors.As(err, &api):
		return api
	case errors.Is(err, ErrLogstoreNotExist):
		return &apiError{http.StatusNotFound, "LogStoreNotExist", "logstore does not exist"}
	case errors.Is(err, ErrLogstoreExists):
		return &apiError{http.StatusBadRequest, "LogStoreAlreadyExist", "logstore already exists"}
	case errors.Is(err, errEngineClosed), errors.Is(err, context.Canceled):
		return &apiError{http.StatusServiceUnavailable, "ServerBusy", "the server is shutting down"}
	default:
		return &apiError{http.StatusInternalServerError, "InternalServerError", "internal server error"}
	}
}

func requestID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}

// admit reads the body and checks everything that holds for each call: size, signature, project.
func (s *Server) admit(c *call) error {
	if err := c.readBody(); err != nil {
		return err
	}
	if err := s.authenticate(c); err != nil {
		return err
	}
	s.mu.RLock()
	known := s.projects[c.project]
	s.mu.RUnlock()
	if !known && (c.URL.Path != "/" || c.Method != http.MethodPost) {
		return &apiError{http.StatusNotFound, "ProjectNotExist", fmt.Sprintf("The Project does not exist : %s", shorten(c.project))}
	}
	return nil
}

// hostProject returns the project that a Host names: its first label.
func hostProject(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	project, _, more := strings.Cut(host, ".")
	if !more || net.ParseIP(host) != nil {
		return ""
	}
	return project
}

// route finds the handler of a call by method and path.
func (s *Server) route(c *call) (handlerFunc, error) {
	c.project = hostProject(c.Host)
	c.log.Op = OpManage
	parts := strings.Split(strings.Trim(c.URL.Path, "/"), "/")
	if parts[0] == "" {
		return s.routeProject(c)
	}
	if parts[0] != "logstores" || len(parts) > 4 {
		return nil, notSupported(c)
	}
	if len(parts) == 1 {
		switch c.Method {
		case http.MethodGet:
			return s.listLogstores, nil
		case http.MethodPost:
			return s.createLogstoreCall, nil
		}
		return nil, notSupported(c)
	}
	c.store = storeKey{c.project, parts[1]}
	c.log.Logstore = parts[1]
	what := ""
	if len(parts) > 2 {
		what = parts[2]
	}
	if len(parts) == 4 {
		if what != "shards" {
			return nil, notSupported(c)
		}
		c.shard = parts[3]
	}
	return s.routeLogstore(c, what)
}

func (s *Server) routeLogstore(c *call, what string) (handlerFunc, error) {
	op := func(op Op, h handlerFunc) (handlerFunc, error) {
		c.log.Op = op
		return h, nil
	}
	kind := c.URL.Query().Get("type")
	switch {
	case what == "" && c.Method == http.MethodPost,
		what == "shards" && c.Method == http.MethodPost && (c.shard == "lb" || c.shard == "route"):
		return op(OpPut, s.putLogs)
	case what == "logs" && c.Method == http.MethodPost, what == "" && c.Method == http.MethodGet && kind == "log":
		return op(OpQuery, s.getLogs)
	case what == "" && c.Method == http.MethodGet && kind == "histogram":
		return op(OpQuery, s.getHistograms)
	case what == "shards" && c.Method == http.MethodGet && c.shard == "":
		return s.listShards, nil
	case what == "shards" && c.Method == http.MethodGet && kind == "cursor":
		return op(OpCursor, s.getCursor)
	case what == "shards" && c.Method == http.MethodGet && kind == "cursor_time":
		return op(OpCursor, s.getCursorTime)
	case what == "shards" && c.Method == http.MethodGet && kind == "logs":
		return op(OpPull, s.pullLogs)
	case what == "":
		switch c.Method {
		case http.MethodGet:
			return s.getLogstore, nil
		case http.MethodPut:
			return s.updateLogstore, nil
		case http.MethodDelete:
			return s.deleteLogstoreCall, nil
		}
	case what == "index" && c.shard == "":
		switch c.Method {
		case http.MethodGet:
			return s.getIndex, nil
		case http.MethodPost, http.MethodPut:
			return s.putIndex, nil
		case http.MethodDelete:
			return s.deleteIndex, nil
		}
	}
	return nil, notSupported(c)
}

func notSupported(c *call) error {
	return &apiError{http.StatusNotFound, "NotSupported", fmt.Sprintf("%s %s is not served by the local Log Service", c.Method, shorten(c.URL.Path))}
}

// jsonAnswer encodes v as the body.
func jsonAnswer(v any) (answer, error) {
	b, err := json.Marshal(v)
	return answer{body: b, header: map[string]string{"Content-Type": "application/json"}}, err
}
