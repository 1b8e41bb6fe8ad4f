//go:build cgo

package cls_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/cls/clstest"
)

func truncated(err error) bool {
	var t interface{ Truncated() bool }
	return errors.As(err, &t) && t.Truncated()
}

func TestRowsAreTextAsOnEveryLogService(t *testing.T) {
	s := service(t, 3)
	query := `* | select min(__TIMESTAMP__) as t, count(1) as n, avg(cost) as c, array_agg(distinct status) as list, min(ip) as ip,
	  max(case when status = 7 then ip end) as nobody, bool_or(status = 200) as yes limit 10`
	want := []map[string]string{{"t": "1746852840000", "n": "3", "c": "0.5", "list": "[200]", "ip": "198.20.0.0", "nobody": "null", "yes": "true"}}
	for _, omitted := range []bool{false, true} {
		s.Faults().OmitNull(omitted)
		got, err := client(t, s).Query(t.Context(), topic, query, from, to, 0)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("NULL left out %t: %v\n%s", omitted, err, diff)
		}
	}
	calls := s.Faults().Calls()
	if c := calls[0]; c.From != from.UnixMilli() || c.To != to.UnixMilli() || c.Token != token || c.Topic != topic {
		t.Errorf("call = %+v", c)
	}
}

func TestTheTimeRangeEndsBeforeItsEnd(t *testing.T) {
	s := service(t, 100)
	for span, want := range map[time.Duration]int{time.Second: 1, 50 * time.Second: 50, time.Hour: 100} {
		rows, err := client(t, s).Query(t.Context(), topic, counted, from, from.Add(span), 0)
		if err != nil || len(rows) != want {
			t.Errorf("%s: %d rows, %v, want %d", span, len(rows), err, want)
		}
	}
}

func TestRowsBeyondAPageComePageByPage(t *testing.T) {
	s := service(t, 25_123)
	rows, err := client(t, s).Query(t.Context(), topic, counted, from, to, 0)
	if err != nil || len(rows) != 25_123 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r["ip"]] = true
	}
	if len(seen) != 25_123 {
		t.Errorf("%d different rows of %d", len(seen), len(rows))
	}
	if n := len(s.Faults().Calls()); n != 4 { // a page, the number of all, two pages
		t.Errorf("%d calls, want 4", n)
	}
}

func TestExactlyOnePageIsWhole(t *testing.T) {
	s := service(t, cls.MaxPage)
	rows, err := client(t, s).Query(t.Context(), topic, counted, from, to, 0)
	if err != nil || len(rows) != cls.MaxPage {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// late is an address that stands behind the first page, in the order of text.
func late(n int) string { return address(9<<8 + n) }

// A line that arrives between two pages moves the rows behind it. Without the
// seam, one address would be read twice, or not at all.
func TestLinesThatArriveBetweenPagesAreNoticed(t *testing.T) {
	s := service(t, 12_000)
	s.Faults().Before(func(n int) {
		if n == 3 { // the second page of the first try: its last address overtakes all others
			if err := s.Load(context.Background(), topic, []clstest.Log{{Time: from, Fields: map[string]string{"ip": late(0)}}}); err != nil {
				t.Error(err)
			}
		}
	})
	rows, err := client(t, s).Query(within(t, 30*time.Second), topic, counted, from, to, 0)
	if err != nil || len(rows) != 12_000 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if rows[0]["ip"] != late(0) || rows[0]["n"] != "2" {
		t.Errorf("first row = %v, want the address that came twice", rows[0])
	}
	seen := map[string]bool{}
	for _, r := range rows {
		seen[r["ip"]] = true
	}
	if len(seen) != 12_000 {
		t.Errorf("%d different addresses of 12000", len(seen))
	}
}

func TestPagesThatNeverFitAreAskedForInHalves(t *testing.T) {
	s := service(t, 12_000)
	s.Faults().Before(func(n int) {
		if n%3 == 0 {
			if err := s.Load(context.Background(), topic, []clstest.Log{{Time: from, Fields: map[string]string{"ip": late(n)}}}); err != nil {
				t.Error(err)
			}
		}
	})
	_, err := client(t, s).Query(within(t, 30*time.Second), topic, counted, from, to, 0)
	if !errors.Is(err, cls.ErrIncomplete) || !truncated(err) {
		t.Errorf("err = %v, want ErrIncomplete that a shorter range may help", err)
	}
	if n := len(s.Faults().Calls()); n != 9 {
		t.Errorf("%d calls, want three tries of three", n)
	}
}

func TestAnAnswerThatIsNotWholeComesWithoutRows(t *testing.T) {
	for name, c := range map[string]struct {
		lines   int
		query   string
		most    int
		fault   func(*clstest.Faults)
		shorter bool
	}{
		"rows reach a smaller LIMIT":                {50, "* | select ip order by ip limit 50", 0, nil, true},
		"more rows than the caller takes":           {50, counted, 49, nil, true},
		"a full page without an order":              {10_000, "* | select ip limit 10000", 0, nil, true},
		"a full page with an order further in":      {10_000, "* | select ip from (select ip order by ip) limit 10000", 0, nil, true},
		"more pages than the caller takes":          {35_000, counted, 30_000, nil, true},
		"a sample":                                  {5, counted, 0, func(f *clstest.Faults) { f.Sample(1, 0.1) }, true},
		"rows behind the first 10,000 are withheld": {12_000, counted, 0, func(f *clstest.Faults) { f.CapRows(true) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := service(t, c.lines)
			if c.fault != nil {
				c.fault(s.Faults())
			}
			rows, err := client(t, s).Query(within(t, 20*time.Second), topic, c.query, from, to, c.most)
			if !errors.Is(err, cls.ErrIncomplete) || rows != nil || truncated(err) != c.shorter {
				t.Errorf("%d rows, err = %v, want none and ErrIncomplete", len(rows), err)
			}
			if n := len(s.Faults().Calls()); n > 3 {
				t.Errorf("%d calls: what cannot fit is not fetched", n)
			}
		})
	}
}

func TestEachErrorMeansOneDecision(t *testing.T) {
	s := service(t, 1)
	c := client(t, s)
	for code, want := range map[string]struct {
		kind    error
		shorter bool
		text    string
	}{
		"AuthFailure.SignatureFailure":                   {cls.ErrDenied, false, ""},
		"AuthFailure.UnauthorizedOperation":              {cls.ErrDenied, false, ""},
		"UnauthorizedOperation":                          {cls.ErrDenied, false, "cls:SearchLog"},
		"OperationDenied.ACLFailed":                      {cls.ErrDenied, false, "cls:SearchLog"},
		"OperationDenied.AccountIsolate":                 {cls.ErrDenied, false, "arrears"},
		"OperationDenied.AnalysisSwitchClose":            {cls.ErrInvalid, false, "statistics"},
		"OperationDenied.NewSyntaxNotSupported":          {cls.ErrInvalid, false, "CQL"},
		"OperationDenied.OperationNotSupportInSearchLow": {cls.ErrInvalid, false, "standard storage"},
		"ResourceNotFound.TopicNotExist":                 {cls.ErrNotFound, false, ""},
		"FailedOperation.TopicIsolated":                  {cls.ErrNotFound, false, "bill"},
		"FailedOperation.SyntaxError":                    {cls.ErrInvalid, false, ""},
		"FailedOperation.QueryError":                     {cls.ErrInvalid, false, "index"},
		"InvalidParameterValue":                          {cls.ErrInvalid, false, ""},
		"UnknownParameter":                               {cls.ErrInvalid, false, ""},
		"Surprise.Of.A.New.Kind":                         {cls.ErrInvalid, false, ""},
		"LimitExceeded.SearchResultTooLarge":             {cls.ErrIncomplete, true, ""},
		"LimitExceeded.SearchResources":                  {cls.ErrIncomplete, true, ""},
		"FailedOperation.SearchTimeout":                  {cls.ErrIncomplete, true, ""},
		"FailedOperation.Timeout":                        {cls.ErrIncomplete, true, ""},
	} {
		before := len(s.Faults().Calls())
		s.Faults().Fail(1, code)
		_, err := c.Query(within(t, 10*time.Second), topic, counted, from, to, 0)
		if !errors.Is(err, want.kind) || truncated(err) != want.shorter || !strings.Contains(fmt.Sprint(err), want.text) || !strings.Contains(fmt.Sprint(err), code) {
			t.Errorf("%s: err = %v, shorter %t; want %v, %t, %q", code, err, truncated(err), want.kind, want.shorter, want.text)
		}
		if n := len(s.Faults().Calls()) - before; n != 1 {
			t.Errorf("%s: %d calls, want one: a second cannot help", code, n)
		}
	}
}

func TestWhatMaySucceedLaterIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		kind  error
		fault func(*clstest.Faults, int)
	}{
		"a topic's fifteen queries":    {cls.ErrThrottled, func(f *clstest.Faults, n int) { f.Fail(n, "LimitExceeded.LogSearch") }},
		"the account's rate":           {cls.ErrThrottled, func(f *clstest.Faults, n int) { f.Fail(n, "RequestLimitExceeded") }},
		"the rate, by its long name":   {cls.ErrThrottled, func(f *clstest.Faults, n int) { f.Fail(n, "RequestLimitExceeded.UinLimitExceeded") }},
		"a busy server":                {cls.ErrThrottled, func(f *clstest.Faults, n int) { f.Fail(n, "InternalError.ServerBusy") }},
		"an internal error":            {cls.ErrUnavailable, func(f *clstest.Faults, n int) { f.Fail(n, "InternalError.SearchError") }},
		"a proxy's 502":                {cls.ErrUnavailable, func(f *clstest.Faults, n int) { f.Status(n, http.StatusBadGateway) }},
		"a proxy's 429":                {cls.ErrThrottled, func(f *clstest.Faults, n int) { f.Status(n, http.StatusTooManyRequests) }},
		"a connection that breaks":     {cls.ErrUnavailable, func(f *clstest.Faults, n int) { f.Cut(n) }},
		"a row that is no JSON":        {cls.ErrUnavailable, func(f *clstest.Faults, n int) { f.Garbage(n) }},
		"an encoding nobody asked for": {cls.ErrUnavailable, func(f *clstest.Faults, n int) { f.Encoding(n, "deflate") }},
	} {
		t.Run(name, func(t *testing.T) {
			s := service(t, 3)
			c.fault(s.Faults(), 2)
			rows, err := client(t, s).Query(within(t, 20*time.Second), topic, counted, from, to, 0)
			if err != nil || len(rows) != 3 || len(s.Faults().Calls()) < 3 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			c.fault(s.Faults(), 1000)
			started := time.Now()
			_, err = client(t, s).Query(within(t, 700*time.Millisecond), topic, counted, from, to, 0)
			if !errors.Is(err, c.kind) || time.Since(started) > 5*time.Second {
				t.Errorf("without end: err = %v after %s, want %v within the deadline", err, time.Since(started), c.kind)
			}
		})
	}
}

func TestNoStatisticsIsSaidAsSuch(t *testing.T) {
	s := service(t, 1)
	s.Faults().NoAnalysis(1)
	_, err := client(t, s).Query(t.Context(), topic, counted, from, to, 0)
	if !errors.Is(err, cls.ErrInvalid) || !strings.Contains(err.Error(), "switch on statistics") {
		t.Errorf("err = %v", err)
	}
}

func TestARequestThatCannotBeRightIsNotSent(t *testing.T) {
	s := service(t, 1)
	for name, c := range map[string]struct {
		topic, query string
		to           time.Time
	}{
		"no SQL":            {topic, "*", to},
		"no LIMIT":          {topic, "* | select ip", to},
		"LIMIT ALL":         {topic, "* | select ip limit all", to},
		"a large LIMIT":     {topic, "* | select ip limit 10001", to},
		"LIMIT 0":           {topic, "* | select ip limit 0", to},
		"a topic with a /":  {"../x", counted, to},
		"an empty range":    {topic, counted, from},
		"a range backwards": {topic, counted, from.Add(-time.Hour)},
		"a long query":      {topic, "* | select '" + strings.Repeat("x", cls.MaxQuery) + "' limit 1", to},
	} {
		if _, err := client(t, s).Query(t.Context(), c.topic, c.query, from, c.to, 0); !errors.Is(err, cls.ErrInvalid) {
			t.Errorf("%s: err = %v, want ErrInvalid", name, err)
		}
	}
	if n := len(s.Faults().Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}
