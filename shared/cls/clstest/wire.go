//go:build cgo

package clstest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/signtest"
)

// Limits of SearchLog.
const (
	maxBody       = 1 << 20
	maxQuery      = 12 << 10 // bytes of QueryString
	maxConcurrent = 15       // queries at once on one topic
	maxAnswer     = 49 << 20 // bytes
)

// apiError is an error as the service reports it.
type apiError struct{ Code, Message string }

func (e *apiError) Error() string { return e.Code + ": " + e.Message }

func refuse(code, format string, args ...any) *apiError {
	return &apiError{code, fmt.Sprintf(format, args...)}
}

// parameters are those of SearchLog. Anything else is UnknownParameter.
type parameters struct {
	From, To       *int64
	QueryString    *string
	QuerySyntax    *int
	TopicID        *string `json:"TopicId"`
	Topics         []json.RawMessage
	Sort           *string
	Limit          *int64
	Offset         *uint64
	Context        *string
	SamplingRate   *float64
	UseNewAnalysis *bool
	HighLight      *bool
	Query          *string // deprecated
	SyntaxRule     *int    // deprecated
}

// ServeHTTP answers one call of the API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault, slow := s.faults.next()
	log := Call{Token: r.Header.Get("X-TC-Token")}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return
	}
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
		}
	}
	if fault.status != 0 {
		log.Code = fmt.Sprint("HTTP ", fault.status)
		s.faults.record(log)
		http.Error(w, "<html>"+http.StatusText(fault.status)+"</html>", fault.status)
		return
	}
	answer, err := s.answer(r.Context(), r, body, &log, fault)
	var bad *apiError
	if errors.As(err, &bad) {
		answer = map[string]any{"Error": bad}
		log.Code = bad.Code
	} else if err != nil {
		answer = map[string]any{"Error": refuse("InternalError", "%v", err)}
		log.Code = "InternalError"
	}
	s.faults.record(log)
	s.write(w, r, answer, fault)
}

// write sends an answer, gzipped for who takes that.
func (s *Server) write(w http.ResponseWriter, r *http.Request, answer map[string]any, fault fault) {
	s.mu.Lock()
	s.serial++
	answer["RequestId"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.serial)
	s.mu.Unlock()
	text, err := json.Marshal(map[string]any{"Response": answer})
	if err == nil && len(text) > maxAnswer {
		text, err = json.Marshal(map[string]any{"Response": map[string]any{"Error": refuse("LimitExceeded.SearchResultTooLarge", "the answer has %d bytes", len(text))}})
	}
	if err != nil {
		panic(err) // text, numbers and NULL always encode
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case fault.encoding != "":
		w.Header().Set("Content-Encoding", fault.encoding)
	case strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(text)
		_ = z.Close() // a buffer takes everything
		text = b.Bytes()
		w.Header().Set("Content-Encoding", "gzip")
	}
	if fault.cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text) // who hangs up does not want it
}

// answer checks a request and answers it.
func (s *Server) answer(ctx context.Context, r *http.Request, body []byte, log *Call, fault fault) (map[string]any, error) {
	if err := s.admit(r, body); err != nil {
		return nil, err
	}
	if fault.code != "" {
		return nil, refuse(fault.code, "fault on request")
	}
	p, err := read(body)
	if err != nil {
		return nil, err
	}
	log.Topic, log.Query, log.From, log.To = *p.TopicID, *p.QueryString, *p.From, *p.To
	leave, err := s.enter(*p.TopicID)
	if err != nil {
		return nil, err
	}
	defer leave()
	return s.search(ctx, p, fault)
}

// admit checks everything but the parameters.
func (s *Server) admit(r *http.Request, body []byte) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "":
		return refuse("InvalidRequest", "want POST /")
	case kind != "application/json":
		return refuse("InvalidRequest", "Content-Type %q: want application/json", kind)
	case len(body) > maxBody:
		return refuse("RequestSizeLimitExceeded", "the request is too large")
	}
	scope, err := signtest.TC3(r, body, func(id string) (secret, token string, ok bool) {
		return s.config.SecretKey, s.config.Token, id == s.config.SecretID
	}, s.config.Now())
	var bad *signtest.Error
	if errors.As(err, &bad) {
		return refuse(bad.Code, "%s", bad.Message)
	}
	switch {
	case err != nil:
		return err
	case scope.Service != "cls":
		return refuse("AuthFailure.SignatureFailure", "the scope is that of service %q", scope.Service)
	case r.Header.Get("X-TC-Action") != "SearchLog":
		return refuse("InvalidAction", "this stand-in knows SearchLog only")
	case r.Header.Get("X-TC-Version") != "2020-10-16":
		return refuse("NoSuchVersion", "want 2020-10-16")
	case r.Header.Get("X-TC-Region") != s.config.Region:
		return refuse("UnsupportedRegion", "the topics are in %s", s.config.Region)
	}
	return nil
}

var (
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
	topicForm    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

// read reads the parameters.
func read(body []byte) (parameters, error) {
	var p parameters
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
			return p, refuse("UnknownParameter", "The parameter `%s` is not recognized.", m[1])
		}
		return p, refuse("InvalidParameter", "%v", err)
	}
	switch {
	case p.From == nil || p.To == nil:
		return p, refuse("MissingParameter", "From and To are required")
	case *p.From >= *p.To || *p.From < 0:
		return p, refuse("InvalidParameter", "From must be before To")
	case *p.From%1000 != 0 || *p.To%1000 != 0:
		return p, refuse("UnsupportedOperation", "this stand-in knows whole seconds only")
	case p.TopicID != nil && p.Topics != nil:
		return p, refuse("InvalidParameter", "TopicId and Topics exclude each other")
	case p.TopicID == nil:
		return p, refuse("MissingParameter", "TopicId is required")
	case !topicForm.MatchString(*p.TopicID):
		return p, refuse("InvalidParameter", "TopicId is not an id")
	case p.Query != nil || p.SyntaxRule != nil:
		return p, refuse("UnsupportedOperation", "Query and SyntaxRule are deprecated; this stand-in knows QueryString and QuerySyntax only")
	case p.QueryString == nil || len(*p.QueryString) > maxQuery:
		return p, refuse("InvalidParameter", "QueryString: want at most %d bytes", maxQuery)
	case p.QuerySyntax != nil && *p.QuerySyntax != 1:
		return p, refuse("UnsupportedOperation", "this stand-in knows CQL only")
	case p.UseNewAnalysis == nil || !*p.UseNewAnalysis:
		return p, refuse("UnsupportedOperation", "this stand-in knows UseNewAnalysis only")
	case p.SamplingRate != nil && (*p.SamplingRate < 0 || *p.SamplingRate > 1):
		return p, refuse("InvalidParameter", "SamplingRate: want 0 to 1")
	case p.Limit != nil || p.Offset != nil || p.Context != nil || p.Sort != nil:
		return p, refuse("InvalidParameter", "Limit, Offset, Context and Sort are for searches without SQL")
	}
	return p, nil
}

// enter counts a query of a topic; leave ends it.
func (s *Server) enter(topic string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.fields[topic]; !ok {
		return nil, refuse("ResourceNotFound.TopicNotExist", "topic %s does not exist", topic)
	}
	if s.running[topic] >= maxConcurrent {
		return nil, refuse("LimitExceeded.LogSearch", "more than %d queries at once", maxConcurrent)
	}
	s.running[topic]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running[topic]--
	}, nil
}
