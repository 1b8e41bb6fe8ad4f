// Package detecttest runs the tests that live in rule files: log lines in, exact
// detections and rejected values out. It asks a Log Service that the caller
// brings, since the one that runs on a laptop needs cgo and this package does not.
package detecttest

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
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
		result := Result{Rule: rule.ID, Test: test.Name, Lines: count(test)}
		problems, err := one(ctx, rule, test, service)
		if result.Problems = problems; err != nil {
			result.Problems = []string{err.Error()}
		}
		result.Took = clock().Sub(started)
		results = append(results, result)
	}
	return results
}

// one runs one test and says what came out otherwise than wanted. An error means that
// the log service gave no answer.
func one(ctx context.Context, rule detect.Rule, test detect.Test, service Service) ([]string, error) {
	found, rejected, err := ask(ctx, rule, Lines(test), service)
	if err != nil {
		return nil, err
	}
	return append(compareFound(test.Want, found, rule), compareRejected(test.Rejected, rejected)...), nil
}

func count(test detect.Test) (lines int) {
	for _, l := range test.Lines {
		lines += l.Repeat
	}
	return lines
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

// found is what a rule made of the rows: detections by subject, campaigns by what is shared.
type found map[string]detect.Campaign

// ask asks about every window that a line stands in, as a run over that time would.
func ask(ctx context.Context, rule detect.Rule, lines []Line, service Service) (found, []detect.Rejected, error) {
	first, last := lines[0].Time, lines[0].Time
	for _, l := range lines {
		if l.Time.Before(first) {
			first = l.Time
		}
		if l.Time.After(last) {
			last = l.Time
		}
		// What the rule asks for is a column of the logstore, whether or not a line has it.
		for _, column := range rule.LogColumns() {
			if _, ok := l.Fields[column]; !ok {
				l.Fields[column] = ""
			}
		}
	}
	span := detect.Outward(first, last.Add(time.Second), rule.Window)
	rows, err := service(ctx, lines, rule.SQL(), span.From.Add(-rule.Reach()), span.To)
	if err != nil {
		return nil, nil, fmt.Errorf("query: %w", err)
	}
	all := found{}
	detections, rejected := rule.Detections(rows, span)
	for _, d := range detections {
		all[d.Indicator.String()] = detect.Campaign{Detection: d}
	}
	campaigns, alsoRejected := rule.Campaigns(rows, span)
	for _, c := range campaigns {
		all[c.Value] = c
	}
	return all, append(rejected, alsoRejected...), nil
}

func compareFound(want []detect.TestWant, got found, rule detect.Rule) []string {
	var problems []string
	for _, w := range want {
		subject := spelling(w.Subject, rule.Subject)
		d, ok := got[subject]
		delete(got, subject)
		if !ok {
			problems = append(problems, fmt.Sprintf("%s: no detection, want count %d", w.Subject, w.Count))
			continue
		}
		problems = append(problems, compareOne(w, d, rule)...)
	}
	for _, subject := range slices.Sorted(maps.Keys(got)) {
		problems = append(problems, fmt.Sprintf("%s: count %d, want no detection", subject, got[subject].Count))
	}
	return problems
}

func compareOne(w detect.TestWant, d detect.Campaign, rule detect.Rule) []string {
	var problems []string
	differs := func(format string, args ...any) {
		problems = append(problems, w.Subject+": "+fmt.Sprintf(format, args...))
	}
	if d.Count != w.Count || d.Windows != w.Windows {
		differs("count %d in %d windows, want %d in %d", d.Count, d.Windows, w.Count, w.Windows)
	}
	for what, n := range map[string][2]int64{
		"also": {d.Also, w.Also}, "users": {int64(d.Users), int64(w.Users)}, "successes": {d.Successes, w.Successes}, "clients": {int64(d.Clients), int64(w.Clients)},
	} {
		if n[1] != 0 && n[0] != n[1] {
			differs("%s %d, want %d", what, n[0], n[1])
		}
	}
	addresses := make([]string, len(d.Evidence))
	for i, a := range d.Evidence {
		addresses[i] = a.String()
	}
	wantAddresses := make([]string, len(w.Addresses))
	for i, a := range w.Addresses {
		wantAddresses[i] = spelling(a, detect.Subject{Kind: threat.KindAddress})
	}
	tags := slices.DeleteFunc(slices.Clone(d.Tags), func(tag string) bool { return slices.Contains(rule.Tags, tag) })
	for _, list := range []struct {
		what      string
		got, want []string
		given     bool
	}{{"addresses", addresses, wantAddresses, w.Addresses != nil}, {"accounts", d.Accounts, w.Accounts, w.Accounts != nil}, {"tags", tags, w.Tags, w.Tags != nil}} {
		got, want := slices.Sorted(slices.Values(list.got)), slices.Sorted(slices.Values(list.want))
		if list.given && !slices.Equal(got, want) {
			differs("%s %q, want %q", list.what, got, want)
		}
	}
	slices.Sort(problems)
	return problems
}

// spelling is how an indicator writes what a test names.
func spelling(subject string, kind detect.Subject) string {
	if kind.Kind != threat.KindAddress {
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

// The addresses that rule tests take for known to be malicious.
var (
	unsafe4 = netip.MustParsePrefix("203.0.113.64/26")
	unsafe6 = netip.MustParsePrefix("2001:db8:bad::/48")
)

// Unsafe is what security_check_ip answers in rule tests: the addresses
// 203.0.113.64 to 203.0.113.127 and those of 2001:db8:bad::/48 are unsafe, and nobody else is.
func Unsafe(addr netip.Addr) bool { return unsafe4.Contains(addr.Unmap()) || unsafe6.Contains(addr) }
