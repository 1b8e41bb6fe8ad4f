package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
)

// visit is what came of one feed.
type visit struct {
	outcome string
	last    threatintel.Record // its last good state before, under its settings of now
	whole   bool               // last's table is in the store
	record  threatintel.Record // its state now
	table   *threatintel.Table // for outcome loaded
	bad     int
	err     error // what is wrong with the feed; for outcomes kept and missing
}

// visit asks for one feed, if it is due, and judges what comes. The error is the store's and means that nothing can be said.
func (h *handler) visit(ctx context.Context, ev event, f threatintel.Feed, before threatintel.Catalog, now time.Time) (visit, error) {
	now = now.UTC().Truncate(time.Second)
	v := visit{last: lastOf(f, before)}
	var err error
	if v.whole, err = h.store.Whole(ctx, v.last); err != nil {
		return visit{}, err
	}
	v.record = v.last
	same := v.whole && v.last.Reading == f.Reading()
	if !due(ev, f, v.last, v.whole, now) {
		v.outcome = fresh
		return v, nil
	}
	v.last.Checked, v.record.Checked = now, now
	var known feeds.Known
	if same {
		known = feeds.Known{ETag: v.last.ETag, LastModified: v.last.LastModified}
	}
	fetched, err := h.fetcher.Fetch(ctx, f, known)
	if err == nil && !fetched.Unchanged {
		err = threatintel.Judge(f, now, v.last, fetched.Arrival, slices.Contains(ev.Accept, f.Name))
	}
	if err != nil {
		v.fail(err)
		return v, nil
	}
	v.record.Loaded, v.record.Failures, v.record.Problem = now, 0, ""
	if fetched.Unchanged {
		v.outcome = unchanged
		return v, nil
	}
	v.load(f, fetched)
	return v, nil
}

// lastOf returns a feed's last good state under its settings of now. A feed of another purpose under the same name is another
// feed: who was suspected must not be spared.
func lastOf(f threatintel.Feed, before threatintel.Catalog) threatintel.Record {
	last, _ := before.Find(f.Name)
	if last.Purpose != f.Purpose {
		last = threatintel.Record{}
	}
	last.Name, last.Purpose, last.Category, last.Licence, last.MaxAge = f.Name, f.Purpose, f.Category, f.Licence, f.MaxAge
	return last
}

// due tells whether a feed is asked for: when the event names it, when its every has passed, after a failure, and
// when its table has been lost.
func due(ev event, f threatintel.Feed, last threatintel.Record, whole bool, now time.Time) bool {
	lost := last.Digest != "" && !whole
	if ev.Feeds != nil {
		return lost || slices.Contains(ev.Feeds, f.Name)
	}
	return !whole || last.Reading != f.Reading() || last.Problem != "" || now.Sub(last.Checked) >= f.Every
}

// load takes what came as the feed's state.
func (v *visit) load(f threatintel.Feed, fetched feeds.Fetched) {
	v.outcome, v.table, v.bad = loaded, fetched.Arrival.Table, fetched.Arrival.Bad
	v.record.Reading, v.record.Published = f.Reading(), fetched.Arrival.Published
	v.record.ETag, v.record.LastModified = fetched.Known.ETag, fetched.Known.LastModified
	encoded := v.table.Encode()
	v.record.Digest, v.record.Bytes, v.record.Entries = threatintel.Digest(encoded), len(encoded), v.table.Len()
	if v.whole && v.record.Digest == v.last.Digest { // sent again although nothing has changed
		v.outcome, v.table = unchanged, nil
	}
}

// fail keeps the last good state. Without its table it is only a measure for what comes next.
func (v *visit) fail(err error) {
	v.err, v.outcome, v.table, v.bad = err, kept, nil, 0
	v.record = v.last
	v.record.Failures, v.record.Problem = v.last.Failures+1, threatintel.Problem(err)
	if !v.whole {
		v.outcome, v.record.Digest, v.record.Bytes = missing, "", 0
	}
}

// entries returns how many entries of the feed count.
func (v *visit) entries() int {
	if v.record.Digest == "" {
		return 0
	}
	return v.record.Entries
}

// fit holds all signal feeds together to what a Set takes: one that would pass it keeps its last good state.
func fit(visits []visit) {
	total := 0
	for i := range visits {
		v := &visits[i]
		if v.record.Purpose != threatintel.Signal {
			continue
		}
		if v.outcome == loaded && total+v.entries() > threatintel.MaxSetEntries {
			v.fail(fmt.Errorf("%w: with it there would be more than %d entries in all: take a feed out", threatintel.ErrTooLarge, threatintel.MaxSetEntries))
		}
		total += v.entries()
	}
}
