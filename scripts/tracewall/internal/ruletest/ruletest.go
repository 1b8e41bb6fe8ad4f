//go:build cgo

// Package ruletest is the local Log Services as the tests in rule files ask them: the
// rule's lines go into a logstore of their own, the rule's query comes back with rows.
//
// A logstore is loaded once for the same lines, however often a rule and its mutants ask it.
package ruletest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/cls/clstest"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// Bench is one local Log Service. Its methods may be called by many goroutines at once.
type Bench struct {
	store store
	mu    sync.Mutex
	lines map[[sha256.Size]byte]*loaded
	made  int
}

// store is what the Log Services have in common.
type store interface {
	load(ctx context.Context, name string, lines []detecttest.Line) error
	query(ctx context.Context, name, query string, from, to time.Time) ([]map[string]string, error)
	forget(name string) error
	close() error
}

type loaded struct {
	once sync.Once
	name string
	err  error
}

// Open starts the local Log Service of a dialect. Close it to free its memory.
func Open(dialect string) (*Bench, error) {
	var (
		s   store
		err error
	)
	switch dialect {
	case detect.SLS:
		s, err = openSLS()
	case detect.CLS:
		s, err = openCLS()
	default:
		err = fmt.Errorf("no local Log Service speaks %q", dialect)
	}
	if err != nil {
		return nil, fmt.Errorf("local Log Service: %w", err)
	}
	return &Bench{store: s, lines: map[[sha256.Size]byte]*loaded{}}, nil
}

// Ask is a detecttest.Service.
func (b *Bench) Ask(ctx context.Context, lines []detecttest.Line, query string, from, to time.Time) ([]map[string]string, error) {
	l := b.named(lines)
	l.once.Do(func() { l.err = b.store.load(ctx, l.name, lines) })
	if l.err != nil {
		return nil, l.err
	}
	return b.store.query(ctx, l.name, query, from, to)
}

func (b *Bench) named(lines []detecttest.Line) *loaded {
	hash := sha256.New()
	for _, l := range lines {
		fmt.Fprintf(hash, "%d %q\n", l.Time.Unix(), l.Fields) // fmt writes maps in order
	}
	key := [sha256.Size]byte(hash.Sum(nil))
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lines[key]
	if l == nil {
		b.made++
		l = &loaded{name: fmt.Sprint("rule-test-", b.made)}
		b.lines[key] = l
	}
	return l
}

// Forget frees what was loaded so far: one rule's lines are of no use to the next.
// Nobody may be asking meanwhile.
func (b *Bench) Forget() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []error
	for _, l := range b.lines {
		if l.err == nil {
			all = append(all, b.store.forget(l.name))
		}
	}
	clear(b.lines)
	return errors.Join(all...)
}

// Close ends the Log Service.
func (b *Bench) Close() error { return b.store.close() }

// columns returns every column that some line has, and those of the text formats, which a
// query may name although no line of a test has them.
func columns(lines []detecttest.Line) []string {
	all := map[string]bool{"msg": true, "trace_id": true, "remote_addr": true}
	for _, l := range lines {
		for name := range l.Fields {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

type onSLS struct{ server *slstest.Server }

func openSLS() (store, error) {
	s, err := slstest.New(slstest.Config{Project: "rules", AccessKeyID: "id", AccessKeySecret: "secret", Unsafe: detecttest.Unsafe})
	return onSLS{s}, err
}

func (s onSLS) load(ctx context.Context, name string, lines []detecttest.Line) error {
	names, index := columns(lines), map[string]slstest.FieldType{}
	for _, column := range names {
		index[column] = slstest.Text
	}
	if err := s.server.CreateLogstore(name, index); err != nil {
		return err
	}
	rows := make([]slstest.Row, len(lines))
	for i, l := range lines {
		rows[i].Time = l.Time.Unix()
		for _, column := range names {
			rows[i].Values = append(rows[i].Values, l.Fields[column])
		}
	}
	_, err := s.server.Load(ctx, name, names, func() ([]slstest.Row, error) { return rows, io.EOF })
	return err
}

func (s onSLS) query(ctx context.Context, name, query string, from, to time.Time) ([]map[string]string, error) {
	result, err := s.server.Query(ctx, name, query, from, to)
	if err != nil {
		return nil, err
	}
	return result.Rows, nil
}

func (s onSLS) forget(name string) error { return s.server.DeleteLogstore(name) }
func (s onSLS) close() error             { return s.server.Close() }

// onCLS speaks CLS's protocol to the stand-in, through the client that the functions use.
type onCLS struct {
	server *clstest.Server
	client *cls.Client
}

func openCLS() (store, error) {
	s, err := clstest.New(clstest.Config{Region: "ap-guangzhou", SecretID: "id", SecretKey: "secret"})
	if err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	client, err := cls.New(cls.Config{Region: "ap-guangzhou", Endpoint: s.Endpoint, Credentials: func(context.Context) (cls.Credentials, error) {
		return cls.Credentials{SecretID: "id", SecretKey: secret.Secret("secret")}, nil
	}})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return onCLS{s, client}, nil
}

func (s onCLS) load(ctx context.Context, name string, lines []detecttest.Line) error {
	index := map[string]clstest.FieldType{}
	for _, column := range columns(lines) {
		index[column] = clstest.Text
	}
	if err := s.server.CreateTopic(name, index); err != nil {
		return err
	}
	logs := make([]clstest.Log, len(lines))
	for i, l := range lines {
		logs[i] = clstest.Log{Time: l.Time, Fields: l.Fields}
	}
	return s.server.Load(ctx, name, logs)
}

func (s onCLS) query(ctx context.Context, name, query string, from, to time.Time) ([]map[string]string, error) {
	return s.client.Query(ctx, name, query, from, to, detect.MaxRows)
}

func (s onCLS) forget(name string) error { return s.server.DeleteTopic(name) }

func (s onCLS) close() error {
	s.client.Close()
	return s.server.Close()
}
