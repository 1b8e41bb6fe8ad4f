//go:build cgo

package clstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// Config is what New needs. Region and the key must be given.
type Config struct {
	Region    string // requests for another are refused
	SecretID  string
	SecretKey string
	Token     string // when set, each request must carry it (temporary credentials)

	Threads int              // of the engine; 0 means all CPUs
	TempDir string           // for its spill directory; empty means the system's
	Now     func() time.Time // for the signatures' dates; nil means time.Now
}

// FieldType is how an indexed field takes part in SQL: text, long or double.
type FieldType = slstest.FieldType

// The field types.
const (
	Text   = slstest.Text
	Long   = slstest.Long
	Double = slstest.Double
)

// Log is one line. Its time counts in whole seconds.
type Log struct {
	Time   time.Time
	Fields map[string]string
}

// project is where the engine keeps all topics.
const project = "cls"

// timestamp is the column that every topic has: the line's time in milliseconds.
const timestamp = "__TIMESTAMP__"

// Server is a CLS of one region. Its methods may be called by many goroutines at once.
type Server struct {
	// Endpoint is the base URL of the listener. It is set by Start.
	Endpoint string

	config Config
	engine *slstest.Server
	faults *Faults

	mu      sync.Mutex
	fields  map[string][]string // topic → its fields, sorted
	running map[string]int      // topic → queries at this moment
	serial  int

	http      *http.Server
	served    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// New makes a CLS without topics. Close it to free its memory.
func New(c Config) (*Server, error) {
	if c.Region == "" || c.SecretID == "" || c.SecretKey == "" {
		return nil, errors.New("cls: want a region and a key")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	engine, err := slstest.New(slstest.Config{
		Project: project, AccessKeyID: "engine", AccessKeySecret: "engine", Threads: c.Threads, TempDir: c.TempDir,
		MaxTextLen: 16_384, RefuseLimitAll: true, AnalysePhrases: true, Now: c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("cls: %w", err)
	}
	return &Server{config: c, engine: engine, faults: &Faults{}, fields: map[string][]string{}, running: map[string]int{}}, nil
}

// Start listens on a free port of the loopback interface and sets Endpoint.
func (s *Server) Start() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start cls: %w", err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	s.served = make(chan struct{})
	s.Endpoint = "http://" + listener.Addr().String()
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always an error, the one of Close
	}()
	return nil
}

// Close stops the listener and frees the data. A second call does nothing.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		var closeHTTP error
		if s.http != nil {
			closeHTTP = s.http.Close()
			<-s.served
		}
		s.closeErr = errors.Join(closeHTTP, s.engine.Close())
	})
	return s.closeErr
}

// Faults returns the switches that make the service misbehave, and its call log.
func (s *Server) Faults() *Faults { return s.faults }

// CreateTopic makes an empty topic whose index has these fields, all with
// statistics, and full-text search.
func (s *Server) CreateTopic(topic string, index map[string]FieldType) error {
	all := maps.Clone(index)
	if all == nil {
		all = map[string]FieldType{}
	}
	all[timestamp] = Long
	if err := s.engine.CreateLogstore(topic, all); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fields[topic] = slices.Sorted(maps.Keys(index))
	return nil
}

// DeleteTopic removes a topic and its lines.
func (s *Server) DeleteTopic(topic string) error {
	s.mu.Lock()
	delete(s.fields, topic)
	s.mu.Unlock()
	return s.engine.DeleteLogstore(topic)
}

// Load stores lines. Fields that the topic's index does not have are left out, as SQL
// would not see them; an indexed field that a line lacks is the empty text.
func (s *Server) Load(ctx context.Context, topic string, logs []Log) error {
	s.mu.Lock()
	fields, ok := s.fields[topic]
	s.mu.Unlock()
	if !ok {
		return fmt.Errorf("load %s: %w", topic, slstest.ErrLogstoreNotExist)
	}
	rows := make([]slstest.Row, len(logs))
	for i, l := range logs {
		rows[i] = slstest.Row{Time: l.Time.Unix(), Values: []string{strconv.FormatInt(l.Time.Unix()*1000, 10)}}
		for _, f := range fields {
			rows[i].Values = append(rows[i].Values, l.Fields[f])
		}
	}
	_, err := s.engine.Load(ctx, topic, append([]string{timestamp}, fields...), func() ([]slstest.Row, error) { return rows, io.EOF })
	return err
}
