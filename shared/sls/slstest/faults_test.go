//go:build cgo

package slstest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sls "github.com/aliyun/aliyun-log-go-sdk"
)

func TestFaults(t *testing.T) {
	s := newServer(t)
	if err := s.CreateLogstore("app", nil); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s, sls.AuthV1, "not-a-secret")
	now := time.Now()
	query := func(q string) (*sls.GetLogsV3Response, error) {
		return c.GetLogsV3("acme", "app", &sls.GetLogRequest{From: now.Unix() - 60, To: now.Unix() + 600, Query: q})
	}
	var lines []string
	for i := range 150 {
		lines = append(lines, fmt.Sprintf("line %d %s", i, strings.Repeat("x", 100)))
	}
	if err := c.PutLogs("acme", "app", logGroup(now, lines...)); err != nil {
		t.Fatal(err)
	}
	f := s.Faults()

	t.Run("incomplete twice, then complete", func(t *testing.T) {
		f.Incomplete(2)
		for i, want := range []struct {
			complete bool
			rows     int
		}{{false, 50}, {false, 50}, {true, 100}} {
			r, err := query("* | select msg")
			if err != nil || r.IsComplete() != want.complete || len(r.Logs) != want.rows || *r.Meta.IsAccurate != want.complete {
				t.Errorf("call %d: %d rows, %v, %v", i, len(r.Logs), r.Meta, err)
			}
		}
	})
	t.Run("100 rows by default, or another number", func(t *testing.T) {
		f.DefaultRows(7)
		defer f.Clear()
		if r, err := query("* | select msg"); err != nil || len(r.Logs) != 7 {
			t.Errorf("%d rows, %v", len(r.Logs), err)
		}
		if r, err := query("* | select msg limit 150"); err != nil || len(r.Logs) != 150 {
			t.Errorf("with LIMIT: %d rows, %v", len(r.Logs), err)
		}
	})
	t.Run("values cut earlier", func(t *testing.T) {
		f.FieldCut(64)
		defer f.Clear()
		if r, err := query("* | select max(length(msg)) as n"); err != nil || r.Logs[0]["n"] != "64" {
			t.Errorf("%v, %v", r, err)
		}
	})
	t.Run("throttled, with the code of the operation", func(t *testing.T) {
		f.Throttle(OpQuery, 1)
		f.Throttle(OpPut, 1)
		_, err := query("*")
		wantCode(t, err, "ReadQuotaExceed")
		err = c.PutLogs("acme", "app", logGroup(now, "x"))
		wantCode(t, err, "WriteQuotaExceed")
		var e *sls.Error
		if errors.As(err, &e) && e.HTTPCode != 403 {
			t.Errorf("status = %d, want 403", e.HTTPCode)
		}
		if _, err := query("*"); err != nil {
			t.Errorf("after the fault: %v", err)
		}
	})
	t.Run("429 and 500", func(t *testing.T) {
		f.Busy(OpQuery, 1)
		_, err := query("*")
		wantCode(t, err, "TooManyRequests")
		f.ServerError(OpAny, 1)
		before := f.Count(OpQuery)
		_, _ = query("*") // the SDK tries a 500 again by itself, if its time allows
		if first := f.Calls(OpQuery)[before]; first.Status != 500 || first.Code != "InternalServerError" {
			t.Errorf("call = %+v", first)
		}
	})
	t.Run("a cut connection", func(t *testing.T) {
		before, _ := s.Rows("app")
		f.Cut(OpPut, 1)
		if err := c.PutLogs("acme", "app", logGroup(now, "x")); err == nil {
			t.Error("no error")
		}
		if n, _ := s.Rows("app"); n != before {
			t.Errorf("%d logs, want %d: cut before the work", n, before)
		}
		f.CutAfter(OpPut, 1)
		if err := c.PutLogs("acme", "app", logGroup(now, "x")); err == nil {
			t.Error("no error")
		}
		if n, _ := s.Rows("app"); n != before+1 {
			t.Errorf("%d logs, want %d: cut after the work", n, before+1)
		}
	})
	t.Run("slow", func(t *testing.T) {
		f.Slow(OpQuery, 30*time.Millisecond)
		defer f.Clear()
		start := time.Now()
		if _, err := query("*"); err != nil || time.Since(start) < 30*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
	t.Run("calls are logged", func(t *testing.T) {
		puts := f.Calls(OpPut)
		if len(puts) != f.Count(OpPut) || puts[0].Logstore != "app" || puts[0].Status != 200 {
			t.Errorf("puts = %+v", puts)
		}
		if last := puts[len(puts)-1]; last.Status != 0 {
			t.Errorf("the cut call has status %d, want 0", last.Status)
		}
		q := f.Calls(OpQuery)[0]
		if q.Query != "* | select msg" || q.Progress != "Incomplete" || q.From != now.Unix()-60 {
			t.Errorf("query = %+v", q)
		}
		if f.Count(OpAny) < f.Count(OpPut)+f.Count(OpQuery) {
			t.Error("count of all")
		}
	})
}
