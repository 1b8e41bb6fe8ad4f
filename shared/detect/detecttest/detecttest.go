// Package detecttest runs the tests that live in rule files: log lines in, exact
// detections and rejected values out. It asks a Log Service that the caller
// brings, since the one that runs on a laptop needs cgo and this package does not.
package detecttest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Line is one log line.
type Line struct {
	Time   time.Time
	Fields map[string]string
}

// Service answers a query over a logstore that holds exactly the given lines; each
// call is about a logstore of its own. Rows are as the Log Service gives them.
type Service func(ctx context.Context, lines []Line, query string, from, to time.Time) ([]map[string]string, error)

// Result is what became of one test. It passed when there are no problems.
type Result struct {
	Rule     string
	Test     string
	Lines    int
	Took     time.Duration
	Problems []string
}

// Run runs all tests of a rule, in order. clock measures how long each takes.
func Run(ctx context.Context, rule detect.Rule, service Service, clock func() time.Time) []Result {
	results := make([]Result, 0, len(rule.Tests))
	for _, test := range rule.Tests {
		started := clock()
		lines := Lines(test)
		result := Result{Rule: rule.ID, Test: test.Name, Lines: len(lines)}
		detections, rejected, err := ask(ctx, rule, lines, service)
		if err != nil {
			result.Problems = []string{err.Error()}
		} else {
			result.Problems = append(compareDetections(test.Want, detections, rule.Subject.Kind), compareRejected(test.Rejected, rejected)...)
		}
		result.Took = clock().Sub(started)
		results = append(results, result)
	}
	return results
}

// Lines writes out a test's lines: repeats become lines, {{n}} their number.
func Lines(test detect.Test) []Line {
	var all []Line
	for _, l := range test.Lines {
		for n := range l.Repeat {
			fields := make(map[string]string, len(l.Fields))
			for name, value := range l.Fields {
				fields[name] = strings.ReplaceAll(value, "{{n}}", strconv.Itoa(n+1))
			}
			all = append(all, Line{Time: l.Time.Add(time.Duration(n) * l.Every), Fields: fields})
		}
	}
	return all
}

// ask asks about every window that a line stands in, as a run over that time would.
func ask(ctx context.Context, rule detect.Rule, lines []Line, service Service) ([]threat.Detection, []detect.Rejected, error) {
	first, last := lines[0].Time, lines[0].Time
	for _, l := range lines {
		if l.Time.Before(first) {
			first = l.Time
		}
		if l.Time.After(last) {
			last = l.Time
		}
	}
	span := detect.Outward(first, last.Add(time.Second), rule.Window)
	rows, err := service(ctx, lines, rule.SQL(), span.From.Add(-rule.Margin), span.To)
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", err)
	}
	detections, rejected := rule.Detections(rows, span)
	return detections, rejected, nil
}

func compareDetections(want []detect.TestWant, got []threat.Detection, kind threat.Kind) []string {
	var problems []string
	bySubject := make(map[string]threat.Detection, len(got))
	for _, d := range got {
		bySubject[d.Indicator.String()] = d
	}
	for _, w := range want {
		subject := spelling(w.Subject, kind)
		d, ok := bySubject[subject]
		delete(bySubject, subject)
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("%s: no detection, want count %d", w.Subject, w.Count))
			continue
		case d.Count != w.Count || d.Windows != w.Windows:
			problems = append(problems, fmt.Sprintf("%s: count %d in %d windows, want %d in %d", w.Subject, d.Count, d.Windows, w.Count, w.Windows))
		}
		if w.Addresses == nil {
			continue
		}
		wanted := make([]string, len(w.Addresses))
		for i, a := range w.Addresses {
			wanted[i] = spelling(a, threat.KindAddress)
		}
		var found []string
		for _, a := range d.Evidence {
			found = append(found, a.String())
		}
		slices.Sort(wanted)
		slices.Sort(found)
		if !slices.Equal(wanted, found) {
			problems = append(problems, fmt.Sprintf("%s: addresses %q, want %q", w.Subject, found, wanted))
		}
	}
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		problems = append(problems, fmt.Sprintf("%s: count %d, want no detection", subject, bySubject[subject].Count))
	}
	return problems
}

// spelling is how an indicator writes what a test names.
func spelling(subject string, kind threat.Kind) string {
	if kind == threat.KindAccount {
		return subject
	}
	ind, err := threat.ParseAddress(subject)
	if err != nil {
		return subject
	}
	return ind.Unit().String()
}

func compareRejected(want []string, got []detect.Rejected) []string {
	wanted := slices.Clone(want)
	found := make([]string, len(got))
	for i, r := range got {
		found[i] = r.Value
	}
	slices.Sort(wanted)
	slices.Sort(found)
	if slices.Equal(wanted, found) {
		return nil
	}
	return []string{fmt.Sprintf("rejected %q, want %q", found, wanted)}
}
