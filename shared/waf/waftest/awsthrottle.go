package waftest

import (
	"strings"
	"time"
)

// meter is how much of one action's rate is used.
type meter struct {
	last   time.Time // of the last call that was let through
	others time.Time // when the second client calls next
}

// interval is the least time between two calls of an action.
func interval(op string) time.Duration {
	switch {
	case op == "AssociateWebACL" || op == "DisassociateWebACL":
		return 2 * time.Second
	case strings.HasPrefix(op, "Get") || strings.HasPrefix(op, "List"):
		return 200 * time.Millisecond
	}
	return time.Second // CheckCapacity and Delete* are not in AWS's list: the stricter rate
}

// throttle lets the second client's calls happen that were due, and then judges this one. A
// call that is refused takes nothing from the rate.
func (a *AWS) throttle(r request) *apiError {
	if !a.opts.RateLimits || r.service != serviceWAF {
		return nil
	}
	now, every := a.opts.Now(), interval(r.op)
	m := a.meter(r, now)
	if now.Sub(m.last) < every {
		return refuse("ThrottlingException", "Rate exceeded")
	}
	m.last = now
	return nil
}

// meter returns the action's meter as it stands now.
func (a *AWS) meter(r request, now time.Time) *meter {
	key := r.account + " " + r.region + " " + r.op
	m := a.meters[key]
	each := a.opts.OthersUse[r.op]
	if m == nil {
		m = &meter{last: now.Add(-time.Hour), others: now.Add(each)}
		a.meters[key] = m
	}
	for ; each > 0 && !m.others.After(now); m.others = m.others.Add(each) {
		if m.others.Sub(m.last) >= interval(r.op) {
			m.last = m.others
		}
	}
	return m
}

// Use takes one call of an action out of the account's rate, as another client of the account would.
func (v *View) Use(region, action string) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	now := v.aws.opts.Now()
	v.aws.meter(request{account: v.account, region: region, op: action}, now).last = now
}

// Throttled returns how many of Calls were answered with ThrottlingException.
func (a *AWS) Throttled() (n int) {
	for _, call := range a.Calls() {
		if call.Code == "ThrottlingException" {
			n++
		}
	}
	return n
}
