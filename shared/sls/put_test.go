package sls_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/sls"
)

func line(n int, text string) sls.Log {
	return sls.Log{Time: from.Add(time.Duration(n) * time.Second), Fields: []sls.Field{{Key: "msg", Value: text}, {Key: "trace_id", Value: fmt.Sprint("t", n)}}}
}

func TestPutKeepsOrderAndStaysBelowTheLimits(t *testing.T) {
	var logs []sls.Log
	for i := range 9000 {
		logs = append(logs, line(i, "short"))
	}
	for i := range 10 {
		logs = append(logs, line(9000+i, strings.Repeat("x", 1<<20)))
	}
	s := &service{answers: []answer{{status: 200, text: "{}"}}}
	if err := client(t, s).Put(t.Context(), "access", logs); err != nil {
		t.Fatal(err)
	}
	next := 0
	for _, r := range s.seen {
		group := readGroup(t, r)
		size := 0
		for _, l := range group.Logs {
			want := logs[next]
			if int64(l.GetTime()) != want.Time.Unix() || l.Contents[0].GetValue() != want.Fields[0].Value || l.Contents[1].GetValue() != want.Fields[1].Value || l.Contents[1].GetKey() != "trace_id" {
				t.Fatalf("line %d is not what was put", next)
			}
			size += len(want.Fields[0].Value)
			next++
		}
		if len(group.Logs) > 4096 || size > 5<<20 {
			t.Errorf("request with %d lines of %d bytes", len(group.Logs), size)
		}
	}
	if next != len(logs) {
		t.Errorf("%d lines arrived, want %d", next, len(logs))
	}
}

func TestPutTriesAgainWhenThrottledAndSaysHowFarItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{answers: []answer{{status: 403, code: "WriteQuotaExceed"}, {cut: true}, {status: 200, text: "{}"}}}
		if err := client(t, s).Put(t.Context(), "access", []sls.Log{line(1, "a")}); err != nil || s.calls() != 3 {
			t.Errorf("err = %v after %d calls", err, s.calls())
		}
		s = &service{answers: []answer{{status: 200, text: "{}"}, {status: 404, code: "LogStoreNotExist"}}}
		err := client(t, s).Put(t.Context(), "access", make2(5000))
		if !errors.Is(err, sls.ErrNotFound) || !strings.Contains(err.Error(), "4096 of 5000 lines written") {
			t.Errorf("err = %v", err)
		}
	})
}

func make2(n int) []sls.Log {
	logs := make([]sls.Log, n)
	for i := range logs {
		logs[i] = line(i, "a")
	}
	return logs
}

func TestPutRefusesWhatTheServiceWouldAndSendsNothing(t *testing.T) {
	s := &service{answers: []answer{{status: 200, text: "{}"}}}
	for name, l := range map[string]sls.Log{
		"no time":        {Fields: []sls.Field{{Key: "a", Value: "b"}}},
		"no fields":      {Time: from},
		"no key":         {Time: from, Fields: []sls.Field{{Value: "b"}}},
		"value too long": {Time: from, Fields: []sls.Field{{Key: "a", Value: strings.Repeat("x", 1<<20+1)}}},
	} {
		if err := client(t, s).Put(t.Context(), "access", []sls.Log{line(1, "fine"), l}); !errors.Is(err, sls.ErrInvalid) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	if s.calls() != 0 {
		t.Errorf("%d calls were made", s.calls())
	}
}
