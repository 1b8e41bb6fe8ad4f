//go:build cgo

package detect_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// asked answers a Runner from a laptop's Log Service.
type asked struct{ server *slstest.Server }

func (a asked) Query(ctx context.Context, logstore, query string, from, to time.Time, _ int) ([]map[string]string, error) {
	r, err := a.server.Query(ctx, logstore, query, from, to)
	return r.Rows, err
}

// arriving are lines that reach the Log Service some time after they were written.
type arriving struct {
	at, arrives time.Time
	ip, account string
}

// propertyRules all ask for one action: a block lasts as long as what was blocked for, and
// a challenge that comes later does not make it longer, so that with both the end
// depends on what one run saw together.
func propertyRules(action threat.Action) []detect.Rule {
	columns := detect.Columns{Count: "cnt", Window: "w", FirstSeen: "first", LastSeen: "last"}
	query := func(by, having string) string {
		return fmt.Sprintf(`* | select %[1]s, {{window_start}} as w, count(1) as cnt, min({{time}}) as first, max({{time}}) as last {{log}} where %[1]s <> '' group by %[1]s, {{window_start}} %[2]s order by 1, 2 {{limit}}`, by, having)
	}
	rule := func(id string, window, over time.Duration, threshold int64, kind threat.Kind, by string) detect.Rule {
		r := detect.Rule{
			ID: id, Version: 1, Class: "flood", Counted: "requests", Severity: threat.High, Action: action, Term: 72 * time.Hour, Window: window, Over: over,
			Lag: detect.DefaultLag, Threshold: threshold, Subject: detect.Subject{Kind: kind, Column: by}, Columns: columns, Query: query(by, "having count(1) > {{threshold}}"),
		}
		if over > 0 {
			r.Query = query(by, "")
		}
		return r
	}
	return []detect.Rule{
		rule("burst", 2*time.Minute, 0, 3, threat.KindAddress, "ip"),
		rule("minute", time.Minute, 0, 2, threat.KindAddress, "ip"),
		rule("slow", 2*time.Minute, 20*time.Minute, 9, threat.KindAddress, "ip"),
		rule("account", 2*time.Minute, 0, 4, threat.KindAccount, "account"),
	}
}

// Runs at any times, each reading some windows again, events delivered again, two runners at
// once, lines that come as late as a rule's lag and the windows read again allow: the list
// is that of one clean pass over everything.
func TestHoweverItIsRunTheListIsThatOfOnePass(t *testing.T) {
	t.Parallel()
	server := laptop(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		logstore := fmt.Sprint("property-", n)
		if err := server.CreateLogstore(logstore, map[string]slstest.FieldType{"ip": slstest.Text, "account": slstest.Text}); err != nil {
			rt.Fatal(err)
		}
		defer server.DeleteLogstore(logstore)
		rules := propertyRules(rapid.SampledFrom([]threat.Action{threat.Block, threat.Challenge}).Draw(rt, "action"))
		// The shortest window is the one whose overlap ends first.
		latest := int(detect.DefaultLag/time.Second) + detect.DefaultOverlap*60
		start := storyStart
		var lines []arriving
		at := start
		for range rapid.IntRange(1, 50).Draw(rt, "lines") {
			at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 10, 40, 70}).Draw(rt, "gap")) * time.Second)
			lines = append(lines, arriving{
				at: at, arrives: at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 20, latest - 30, latest}).Draw(rt, "delay")) * time.Second),
				ip: rapid.SampledFrom([]string{"198.51.100.1", "198.51.100.1", "2001:db8:1:2::3", "2001:db8:1:2::4"}).Draw(rt, "ip"), account: rapid.SampledFrom([]string{"", "alice", "bob"}).Draw(rt, "account"),
			})
		}
		end := at.Add(time.Duration(latest)*time.Second + 5*time.Minute) // everything has come, every window has ended
		slices.SortStableFunc(lines, func(a, b arriving) int { return a.arrives.Compare(b.arrives) })

		now := start
		list := &blocklisttest.Fake{}
		runner := func(list detect.Store) *detect.Runner {
			return &detect.Runner{
				Logs: asked{server}, List: list, Rules: rules, Logstore: logstore, Lookback: time.Hour,
				Allowlist: func(context.Context) (detect.Checker, error) { return nobodyIsSpared{}, nil },
				Clock:     func() time.Time { return now },
			}
		}
		arrive := func() {
			var rows []slstest.Row
			for len(lines) > 0 && !lines[0].arrives.After(now) {
				rows = append(rows, slstest.Row{Time: lines[0].at.Unix(), Values: []string{lines[0].ip, lines[0].account}})
				lines = lines[1:]
			}
			if _, err := server.Load(t.Context(), logstore, []string{"ip", "account"}, func() ([]slstest.Row, error) { return rows, io.EOF }); err != nil {
				rt.Fatal(err)
			}
		}
		run := func(q detect.Request) {
			if _, err := runner(list).Run(t.Context(), q); err != nil {
				rt.Fatal(err)
			}
		}
		var before []time.Time // of earlier events
		for now.Before(end) {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{20, 45, 60, 60, 100, 400}).Draw(rt, "pause")) * time.Second)
			if now.After(end) {
				now = end
			}
			arrive()
			switch rapid.SampledFrom([]string{"timer", "timer", "timer", "timer", "timer", "twice", "again", "direct", "crash"}).Draw(rt, "run") {
			case "twice": // two instances at once
				var both sync.WaitGroup
				problems := make([]error, 2)
				for i := range problems {
					both.Go(func() { _, problems[i] = runner(list).Run(t.Context(), detect.Request{Now: now}) })
				}
				both.Wait()
				if err := errors.Join(problems...); err != nil {
					rt.Fatal(err)
				}
			case "again": // an old event is delivered once more
				if len(before) > 0 {
					run(detect.Request{Now: rapid.SampledFrom(before).Draw(rt, "event")})
				}
				run(detect.Request{Now: now})
			case "direct":
				run(detect.Request{Now: now, From: now.Add(-time.Duration(rapid.IntRange(60, 1800).Draw(rt, "back")) * time.Second), To: now})
				run(detect.Request{Now: now})
			case "crash": // the run dies before it has written: its event comes again
				list.OnPut = func(blocklist.Batch) (bool, error) { return rapid.Bool().Draw(rt, "applied"), errGone }
				if _, err := runner(list).Run(t.Context(), detect.Request{Now: now}); !errors.Is(err, errGone) {
					rt.Fatal(err)
				}
				list.OnPut = nil
				run(detect.Request{Now: now})
			default:
				run(detect.Request{Now: now})
			}
			before = append(before, now)
		}
		clean := &blocklisttest.Fake{}
		if _, err := runner(clean).Run(t.Context(), detect.Request{Now: now, From: start, To: end}); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(listedBy(rt, clean, now), listedBy(rt, list, now)); diff != "" {
			rt.Errorf("another list than one clean pass leaves (-clean +runs):\n%s", diff)
		}
	})
}

var errGone = errors.New("the instance is gone")

type nobodyIsSpared struct{}

func (nobodyIsSpared) Covers(threat.Indicator, time.Time) (string, bool) { return "", false }

// listedBy is what of a list must not depend on how it was reached. Counts are of the
// windows that one run saw together, so they are left out.
func listedBy(t *rapid.T, list *blocklisttest.Fake, now time.Time) []string {
	snapshot, err := list.Snapshot(context.Background(), now)
	if err != nil && !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range snapshot.Entries {
		all = append(all, fmt.Sprintf("%s challenge=%v until %s strikes %d rules %v seen %s to %s", e.Indicator.Key(), e.Challenge, e.ExpiresAt.UTC().Format(time.RFC3339), e.Strikes, e.Rules, e.FirstSeen.UTC().Format(time.TimeOnly), e.LastSeen.UTC().Format(time.TimeOnly)))
	}
	slices.Sort(all)
	return all
}
