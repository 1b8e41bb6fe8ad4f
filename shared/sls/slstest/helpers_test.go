//go:build cgo

package slstest

import (
	"context"
	"io"
	"testing"
	"time"
)

// testStart is when the logs of most tests begin: a whole two-minute window, and midnight nowhere near.
const testStart = 1_746_856_440 // 2025-05-10 05:54:00 UTC, 13:54:00 in the service's zone

// newServer returns a service with one empty project.
func newServer(t testing.TB, change ...func(*Config)) *Server {
	t.Helper()
	c := Config{Project: "acme", AccessKeyID: "AKIDEXAMPLE", AccessKeySecret: "not-a-secret", TempDir: t.TempDir()}
	for _, f := range change {
		f(&c)
	}
	s, err := New(c)
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

// load stores one log per row, a second apart from testStart on.
func load(t testing.TB, s *Server, logstore string, fields []string, rows ...[]string) {
	t.Helper()
	list := make([]Row, len(rows))
	for i, values := range rows {
		list[i] = Row{Time: testStart + int64(i), Values: values}
	}
	n, err := s.Load(context.Background(), logstore, fields, func() ([]Row, error) { return list, io.EOF })
	if err != nil || n != int64(len(rows)) {
		t.Fatalf("load: %d rows, %v", n, err)
	}
}

// ask queries the hour around testStart.
func ask(s *Server, logstore, query string) (Result, error) {
	return s.Query(context.Background(), logstore, query, time.Unix(testStart-1800, 0), time.Unix(testStart+1800, 0))
}

func mustAsk(t testing.TB, s *Server, logstore, query string) Result {
	t.Helper()
	r, err := ask(s, logstore, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return r
}
