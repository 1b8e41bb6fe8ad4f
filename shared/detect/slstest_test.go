//go:build cgo

package detect_test

import (
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// laptop is a Log Service for a test.
func laptop(t *testing.T) *slstest.Server {
	t.Helper()
	s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: "id", AccessKeySecret: "secret", Threads: 2, TempDir: t.TempDir(), Unsafe: detecttest.Unsafe})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// load fills a logstore, whose columns are those that its format promises and those that the lines have.
func load(ctx context.Context, s *slstest.Server, logstore string, lines []detecttest.Line) error {
	columns := map[string]bool{"msg": true, "trace_id": true, "remote_addr": true}
	for _, l := range lines {
		for name := range l.Fields {
			columns[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(columns))
	index := map[string]slstest.FieldType{}
	for _, name := range names {
		index[name] = slstest.Text
	}
	if err := s.CreateLogstore(logstore, index); err != nil {
		return err
	}
	rows := make([]slstest.Row, len(lines))
	for i, l := range lines {
		rows[i].Time = l.Time.Unix()
		for _, name := range names {
			rows[i].Values = append(rows[i].Values, l.Fields[name])
		}
	}
	_, err := s.Load(ctx, logstore, names, func() ([]slstest.Row, error) { return rows, io.EOF })
	return err
}

// service makes of a laptop's Log Service what rule tests ask.
func service(s *slstest.Server) detecttest.Service {
	var n atomic.Int64
	return func(ctx context.Context, lines []detecttest.Line, query string, from, to time.Time) ([]map[string]string, error) {
		logstore := fmt.Sprint("rule-test-", n.Add(1))
		if err := load(ctx, s, logstore, lines); err != nil {
			return nil, err
		}
		result, err := s.Query(ctx, logstore, query, from, to)
		if err != nil {
			return nil, err
		}
		return result.Rows, s.DeleteLogstore(logstore)
	}
}

// once is a service that loads the same lines only once: a rule's mutants share their
// tests, and one log is for many rules.
func once(s *slstest.Server) detecttest.Service {
	type loaded struct {
		once     sync.Once
		logstore string
		err      error
	}
	var (
		mu   sync.Mutex
		all  = map[uint64]*loaded{}
		seed = maphash.MakeSeed()
	)
	return func(ctx context.Context, lines []detecttest.Line, query string, from, to time.Time) ([]map[string]string, error) {
		var key uint64
		for _, l := range lines {
			var fields uint64 // a sum, since maps have no order
			for name, value := range l.Fields {
				fields += maphash.Comparable(seed, [2]string{name, value})
			}
			key = maphash.Comparable(seed, [3]uint64{key, uint64(l.Time.Unix()), fields}) //nolint:gosec // any number will do
		}
		mu.Lock()
		l := all[key]
		if l == nil {
			l = &loaded{logstore: fmt.Sprint("once-", len(all))}
			all[key] = l
		}
		mu.Unlock()
		l.once.Do(func() { l.err = load(ctx, s, l.logstore, lines) })
		if l.err != nil {
			return nil, l.err
		}
		result, err := s.Query(ctx, l.logstore, query, from, to)
		if err != nil {
			return nil, err
		}
		return result.Rows, nil
	}
}

func TestShippedRules(t *testing.T) {
	t.Parallel()
	ask := service(laptop(t))
	for _, rule := range shippedRules(t) {
		t.Run(rule.ID, func(t *testing.T) {
			t.Parallel()
			for _, result := range detecttest.Run(t.Context(), rule, ask, time.Now) {
				t.Run(result.Test, func(t *testing.T) {
					for _, p := range result.Problems {
						t.Error(p)
					}
				})
			}
		})
	}
}
