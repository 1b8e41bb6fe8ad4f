package main

import (
	"context"
	"fmt"
	"time"
)

// markTTL is how long an alert is remembered. It only has to be longer than an alert
// is accepted for (maxAge and maxAhead).
const markTTL = time.Hour

// maxAttempts bounds how many marks one alert can have, and how many of them are
// walked along in one request. An alert that was sent this often is simply started again.
const maxAttempts = 32

// firster is the store: First is true once for each key, and false for ttl after that.
type firster interface {
	First(ctx context.Context, key string, ttl time.Duration) (bool, error)
}

// marks tells alerts that have been handled from those that have not.
//
// One mark an alert would not do. Set before detect is started, it swallows the very
// repetition that Log Service makes when the start then fails; set after, it cannot be
// looked for without setting it. And looking is all the more impossible as this function's
// Redis user may only set: it faces the Internet, and shall be able to read nothing.
//
// So each attempt at an alert has two marks, begun and done. Whoever finds attempt n
// begun begins attempt n+1, and then asks whether n was done. Asking sets that mark too,
// but only the one who began n+1 ever asks, so it is asked once. Not done means that
// the attempt failed, died or is still under way, and the alert is started (again). Every fault on the way
// thus leads to one detect run too many and never to one too few, and detect run twice does no harm.
type marks struct{ store firster }

// begin returns the number of this attempt, or done if an earlier one succeeded.
func (m marks) begin(ctx context.Context, alert string) (attempt int, done bool, err error) {
	for ; attempt < maxAttempts; attempt++ {
		first, err := m.store.First(ctx, markKey(alert, attempt, "begun"), markTTL)
		if err != nil {
			return 0, false, fmt.Errorf("mark alert: %w", err)
		}
		if first {
			break
		}
	}
	if attempt == 0 || attempt == maxAttempts { // nobody before us, or too many: the question is asked once only
		return attempt, false, nil
	}
	undone, err := m.store.First(ctx, markKey(alert, attempt-1, "done"), markTTL)
	if err != nil {
		return 0, false, fmt.Errorf("mark alert: %w", err)
	}
	if undone {
		return attempt, false, nil
	}
	return attempt, true, m.finish(ctx, alert, attempt) // so that the next to ask is told the same
}

// finish records that an attempt succeeded.
func (m marks) finish(ctx context.Context, alert string, attempt int) error {
	if _, err := m.store.First(ctx, markKey(alert, attempt, "done"), markTTL); err != nil {
		return fmt.Errorf("mark alert: %w", err)
	}
	return nil
}

func markKey(alert string, attempt int, what string) string {
	return fmt.Sprintf("webhook %s %d %s", what, attempt, alert)
}
