//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a Log Service. Its methods may be called by many goroutines at once.
type Server struct {
	// Endpoint is the base URL of the listener, such as http://127.0.0.1:34567.
	// It is set by Start.
	Endpoint string

	config    Config
	engine    *engine
	functions *functions
	faults    *Faults

	ctx  context.Context // ends at Close: it interrupts running queries
	stop context.CancelFunc

	mu       sync.RWMutex
	projects map[string]bool
	stores   map[storeKey]*logstore
	tables   int // how many tables were ever made, for their names

	queries atomic.Uint64 // how many were ever run
	streams *lineScans    // nil until there is a Stream; guarded by mu

	http      *http.Server
	served    chan struct{}
	closeOnce sync.Once
	closeErr  error
}

type storeKey struct{ project, logstore string }

// New makes a Log Service with one empty project. Close it to free its memory
// and its spill directory.
func New(c Config) (*Server, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	e, err := openEngine(engineOptions{threads: c.Threads, memoryLimit: c.MemoryLimit, tempParent: c.TempDir})
	if err != nil {
		return nil, fmt.Errorf("log service: %w", err)
	}
	s := &Server{
		config:   c,
		engine:   e,
		faults:   newFaults(),
		projects: map[string]bool{c.Project: true},
		stores:   map[storeKey]*logstore{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.functions, err = registerFunctions(e, c); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("log service: %w", err)
	}
	if err := e.prepareDialect(c); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("log service: %w", err)
	}
	return s, nil
}

// Start listens on a free port of the loopback interface and sets Endpoint. A
// client must send the Host <project>.<anything>, which is also what tells the projects apart.
func (s *Server) Start() error {
	return s.StartOn("127.0.0.1:0")
}

// StartOn is Start with an address of the caller's choice.
func (s *Server) StartOn(address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return errors.New("start log service: started already")
	}
	listener, err := new(net.ListenConfig).Listen(s.ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("start log service: %w", err)
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	s.served = make(chan struct{})
	s.Endpoint = "http://" + listener.Addr().String()
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always an error, the one of Close
	}()
	return nil
}

// Close stops the listener, interrupts running queries and frees the data.
// A second call does nothing.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.stop()
		s.mu.RLock()
		server, served := s.http, s.served
		s.mu.RUnlock()
		var closeHTTP error
		if server != nil {
			closeHTTP = server.Close()
			<-served
		}
		s.closeErr = errors.Join(closeHTTP, s.engine.close())
		if s.functions != nil {
			s.functions.release()
		}
		if s.streams != nil {
			s.streams.release()
		}
	})
	return s.closeErr
}

// Faults returns the switches that make the service misbehave, and its call log.
func (s *Server) Faults() *Faults { return s.faults }
