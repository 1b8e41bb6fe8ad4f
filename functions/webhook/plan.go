package main

import (
	"cmp"
	"slices"
	"time"
)

const (
	maxAge     = 15 * time.Minute // an older alert says nothing about now; the timer has seen its logs since
	maxAhead   = 5 * time.Minute  // how far the alert's clock may run ahead of ours
	maxRange   = 24 * time.Hour   // what an SLS alert's query may span, and what detect accepts
	aroundTime = 10 * time.Minute // looked at before alert_time when the alert does not say what it looked at
)

// invocation is one call of detect. This is all that detect is told.
type invocation struct {
	Rules []string  `json:"rules"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
}

// job is an alert that has a rule and a time.
type job struct {
	index    int // of the alert in the body
	key      string
	attempt  int
	rule     string
	from, to time.Time
}

// staleness returns why an alert's time speaks against it, or "".
func staleness(at, now time.Time) string {
	switch age := now.Sub(at); {
	case age > maxAge:
		return "alert_time: older than 15 minutes"
	case age < -maxAhead:
		return "alert_time: more than 5 minutes ahead"
	}
	return ""
}

// window returns the time that detect is to look at: what the alert's own queries
// covered, but never outside the day before the alert and never after now.
func window(a alert, now time.Time) (from, to time.Time) {
	end := a.At
	if now = now.UTC().Truncate(time.Second); end.After(now) {
		end = now
	}
	from, to = a.From, a.To
	if from.IsZero() || from.Before(end.Add(-maxRange)) {
		from = end.Add(-maxRange)
	}
	if to.After(end) {
		to = end
	}
	if a.From.IsZero() || !from.Before(to) {
		return end.Add(-aroundTime), end
	}
	return from, to
}

// group is an invocation and the jobs that it does.
type group struct {
	invocation
	jobs []job
}

// plan turns jobs into as few invocations as do the same: ranges of one rule that
// touch become one unless that would be longer than detect accepts, and rules with the same range go together.
func plan(jobs []job) []group {
	jobs = slices.Clone(jobs)
	slices.SortStableFunc(jobs, func(a, b job) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), a.from.Compare(b.from), a.to.Compare(b.to))
	})
	var merged []group // one rule each
	for _, j := range jobs {
		if n := len(merged) - 1; n >= 0 && merged[n].Rules[0] == j.rule && !j.from.After(merged[n].To) {
			to := j.to
			if merged[n].To.After(to) {
				to = merged[n].To
			}
			if to.Sub(merged[n].From) <= maxRange {
				merged[n].To = to
				merged[n].jobs = append(merged[n].jobs, j)
				continue
			}
		}
		merged = append(merged, group{invocation{[]string{j.rule}, j.from, j.to}, []job{j}})
	}
	slices.SortStableFunc(merged, func(a, b group) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	var out []group
	for _, g := range merged {
		if n := len(out) - 1; n >= 0 && out[n].From.Equal(g.From) && out[n].To.Equal(g.To) {
			out[n].Rules = append(out[n].Rules, g.Rules...)
			out[n].jobs = append(out[n].jobs, g.jobs...)
			continue
		}
		out = append(out, g)
	}
	return out
}
