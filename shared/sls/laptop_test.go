//go:build cgo

package sls_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// laptop is a Log Service that checks signatures and can be told to misbehave, and
// a client of it.
func laptop(t *testing.T, region string) (*slstest.Server, *sls.Client) {
	t.Helper()
	s, err := slstest.New(slstest.Config{Project: "story", AccessKeyID: keyID, AccessKeySecret: secret, SecurityToken: token, Region: region, Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.CreateLogstore("access", nil), s.Start()); err != nil {
		t.Fatal(err)
	}
	c, err := sls.New(sls.Config{Endpoint: s.Endpoint, Project: "story", Region: region, Credentials: fixed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, c
}

const countByTrace = "rate | select trace_id, count(1) as cnt from log group by trace_id order by trace_id limit 1000000"

func TestPutAndQueryAgainstALogServiceThatChecksSignatures(t *testing.T) {
	for _, region := range []string{"", "cn-hangzhou"} {
		_, c := laptop(t, region)
		now := time.Now().Truncate(time.Second)
		var logs []sls.Log
		for i := range 10_000 {
			logs = append(logs, sls.Log{Time: now, Fields: []sls.Field{{Key: "msg", Value: "rate limit, 限流 \x00"}, {Key: "trace_id", Value: fmt.Sprintf("t%04d", i)}}})
		}
		if err := c.Put(t.Context(), "access", logs); err != nil {
			t.Fatal(err)
		}
		rows, err := c.Query(t.Context(), "access", countByTrace, now, now.Add(time.Second), 0)
		if err != nil || len(rows) != 10_000 || rows[9_999]["trace_id"] != "t9999" || rows[0]["cnt"] != "1" {
			t.Fatalf("region %q: %d rows, err = %v", region, len(rows), err)
		}
		rows, err = c.Query(t.Context(), "access", countByTrace, now.Add(time.Second), now.Add(2*time.Second), 0)
		if err != nil || len(rows) != 0 {
			t.Errorf("after the range's end: %d rows, err = %v", len(rows), err)
		}
	}
}

func TestFaultsOfTheServiceAreWeatheredOrTold(t *testing.T) {
	s, c := laptop(t, "cn-hangzhou")
	now := time.Now().Truncate(time.Second)
	var logs []sls.Log
	for i := range 200 {
		logs = append(logs, sls.Log{Time: now, Fields: []sls.Field{{Key: "msg", Value: "rate"}, {Key: "trace_id", Value: fmt.Sprint("t", i)}}})
	}
	s.Faults().Throttle(slstest.OpPut, 1)
	if err := c.Put(t.Context(), "access", logs); err != nil {
		t.Fatal(err)
	}
	ask := func(ctx context.Context, query string) (int, error) {
		rows, err := c.Query(ctx, "access", query, now, now.Add(time.Second), 0)
		return len(rows), err
	}
	f := s.Faults()
	for name, fault := range map[string]func(){
		"incomplete":   func() { f.Incomplete(2) },
		"throttled":    func() { f.Throttle(slstest.OpQuery, 2) },
		"busy":         func() { f.Busy(slstest.OpQuery, 1) },
		"500":          func() { f.ServerError(slstest.OpQuery, 2) },
		"cut":          func() { f.Cut(slstest.OpQuery, 1) },
		"done and cut": func() { f.CutAfter(slstest.OpQuery, 1) },
	} {
		fault()
		if n, err := ask(t.Context(), countByTrace); err != nil || n != 200 {
			t.Errorf("%s: %d rows, err = %v", name, n, err)
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	f.Incomplete(1000)
	if n, err := ask(short, countByTrace); !errors.Is(err, sls.ErrIncomplete) || n != 0 {
		t.Errorf("incomplete for ever: %d rows, err = %v", n, err)
	}
	f.Clear()
	if _, err := ask(t.Context(), "rate | select nothing from log limit 5"); !errors.Is(err, sls.ErrInvalid) {
		t.Errorf("unknown column: err = %v", err)
	}
	if _, err := c.Query(t.Context(), "nowhere", countByTrace, now, now.Add(time.Second), 0); !errors.Is(err, sls.ErrNotFound) {
		t.Errorf("unknown logstore: err = %v", err)
	}
	if n, err := ask(t.Context(), "rate | select trace_id from log limit 200"); !errors.Is(err, sls.ErrIncomplete) || n != 0 {
		t.Errorf("as many rows as the LIMIT: %d rows, err = %v", n, err)
	}
}

func TestAWrongKeyIsDenied(t *testing.T) {
	s, _ := laptop(t, "")
	c, err := sls.New(sls.Config{Endpoint: s.Endpoint, Project: "story", Credentials: func(context.Context) (sls.Credentials, error) {
		return sls.Credentials{AccessKeyID: keyID, AccessKeySecret: "wrong", SecurityToken: token}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Query(t.Context(), "access", countByTrace, from, to, 0); !errors.Is(err, sls.ErrDenied) {
		t.Errorf("err = %v", err)
	}
}
