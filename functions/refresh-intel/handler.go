package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/telemetry"
)

const (
	atOnce      = 4               // feeds at the same time: each may hold a million entries
	fetchWithin = 4 * time.Minute // for all feeds: what has come by then must still be written before the function's time is over
	maxRace     = 4               // times that another run may have switched the catalog before ours
)

// fetcher is feeds.Client.
type fetcher interface {
	Fetch(ctx context.Context, f threatintel.Feed, known feeds.Known) (feeds.Fetched, error)
}

// handler refreshes feeds. It keeps nothing between events but clients.
type handler struct {
	feeds   []threatintel.Feed
	enforce bool
	fetcher fetcher
	store   *intelstore.Store
	now     func() time.Time
	log     *slog.Logger
	metrics *telemetry.Metrics
}

// What became of a feed.
const (
	loaded    = "loaded"    // another list than before
	unchanged = "unchanged" // asked for, and still the same
	fresh     = "fresh"     // not asked for: its every has not passed yet
	kept      = "kept"      // something is wrong with it: the last good one stays
	missing   = "missing"   // something is wrong with it, and there is no last good one
)

// result is what a run returns. Its JSON form is stable. It holds counts and no addresses, since platforms keep
// what functions return.
type result struct {
	AsOf    time.Time    `json:"as_of"`
	Mode    string       `json:"mode"` // "refresh", or "plan" when nothing was to be written
	Version string       `json:"version"`
	Entries int          `json:"entries"` // of all signal feeds
	Spared  int          `json:"spared"`  // ranges of all allow feeds
	Failed  int          `json:"failed"`
	Feeds   []feedResult `json:"feeds"`
}

type feedResult struct {
	Name    string              `json:"name"`
	Purpose threatintel.Purpose `json:"purpose"`
	Outcome string              `json:"outcome"`
	Entries int                 `json:"entries"`
	Bad     int                 `json:"bad,omitempty"`     // lines that were left out this time
	Loaded  time.Time           `json:"loaded,omitzero"`   // when its source last said that this is its list
	Problem string              `json:"problem,omitempty"` // a word
	Reason  string              `json:"reason,omitempty"`  // for people
}

// Handle refreshes the feeds that are due, or those that the event names. A returned error lists every feed that could
// not be refreshed; the others are refreshed all the same, and running again does no harm.
func (h *handler) Handle(ctx context.Context, payload json.RawMessage) (result, error) {
	start := h.now()
	res, err := h.run(ctx, payload, start)
	h.tell(ctx, start, res, err)
	return res, err
}

func (h *handler) run(ctx context.Context, payload []byte, now time.Time) (result, error) {
	ev, err := readEvent(payload, func(name string) bool { return h.find(name) >= 0 })
	if err != nil {
		return result{}, err
	}
	res := result{AsOf: now.UTC().Truncate(time.Second), Mode: "refresh"}
	if ev.Plan || !h.enforce {
		res.Mode = "plan"
	}
	before, base, err := h.store.Catalog(ctx)
	var lost error
	switch {
	case errors.Is(err, intelstore.ErrLost), errors.Is(err, threatintel.ErrUnreadable):
		lost = err // told, and mended by what is fetched now
	case err != nil:
		return res, err
	}
	visits, err := h.visitAll(ctx, ev, before, now)
	if err != nil {
		return res, err
	}
	fit(visits)
	if res.Mode == "refresh" {
		if err := h.write(ctx, base, before, visits, now); err != nil {
			return res, errors.Join(lost, err)
		}
	}
	return res, errors.Join(lost, report(&res, visits))
}

func (h *handler) find(name string) int {
	return slices.IndexFunc(h.feeds, func(f threatintel.Feed) bool { return f.Name == name })
}

// visitAll visits every feed, several at a time. A feed that fails stops no other; the error is the store's.
func (h *handler) visitAll(ctx context.Context, ev event, before threatintel.Catalog, now time.Time) ([]visit, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	visits := make([]visit, len(h.feeds))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, f := range h.feeds {
		group.Go(func() (err error) {
			visits[i], err = h.visit(ctx, ev, f, before, now)
			return err
		})
	}
	return visits, group.Wait()
}

// write saves the tables that are new and switches the catalog. When another run has switched it meanwhile, what that run
// loaded later than we did stays.
func (h *handler) write(ctx context.Context, base intelstore.Base, before threatintel.Catalog, visits []visit, now time.Time) error {
	for i := range visits {
		v := &visits[i]
		if v.outcome != loaded {
			continue
		}
		saved, err := h.store.Save(ctx, v.record, v.table)
		if err != nil {
			return err
		}
		v.record, v.table = saved, nil // a million entries are not needed any more
	}
	for try := 0; ; try++ { // of two runs at once one begins anew
		next := threatintel.Catalog{Sequence: before.Sequence + 1, Written: now.UTC().Truncate(time.Second)}
		for _, v := range visits {
			r := v.record
			if theirs, ok := before.Find(r.Name); ok && theirs.Purpose == r.Purpose && theirs.Loaded.After(r.Loaded) {
				r = theirs
			}
			next.Feeds = append(next.Feeds, r)
		}
		if slices.Equal(next.Feeds, before.Feeds) {
			return nil // nothing was asked for
		}
		err := h.store.Publish(ctx, base, next)
		if !errors.Is(err, intelstore.ErrConflict) || try == maxRace {
			return err
		}
		if before, base, err = h.store.Catalog(ctx); err != nil {
			return err
		}
	}
}

// report fills in what became of each feed and joins what went wrong.
func report(res *result, visits []visit) error {
	var errs []error
	catalog := threatintel.Catalog{}
	for i := range visits {
		v := &visits[i]
		r := v.record
		one := feedResult{Name: r.Name, Purpose: r.Purpose, Outcome: v.outcome, Entries: v.entries(), Bad: v.bad, Loaded: r.Loaded, Problem: r.Problem}
		if v.err != nil {
			one.Reason = v.err.Error()
			errs = append(errs, fmt.Errorf("feed %s: %w", r.Name, v.err))
		}
		if r.Purpose == threatintel.Allow {
			res.Spared += v.entries()
		} else {
			res.Entries += v.entries()
		}
		res.Feeds = append(res.Feeds, one)
		catalog.Feeds = append(catalog.Feeds, r)
	}
	res.Failed, res.Version = len(errs), catalog.Version()
	return errors.Join(errs...)
}

// tell writes a line about each feed that is not as it was, the metrics, and the one summary line.
func (h *handler) tell(ctx context.Context, start time.Time, res result, err error) {
	for _, f := range res.Feeds {
		failed := 0.0
		switch f.Outcome {
		case kept, missing:
			failed = 1
			h.log.Error("feed not refreshed", "feed", f.Name, "outcome", f.Outcome, "problem", f.Problem, "reason", f.Reason, "entries", f.Entries)
		case loaded:
			h.log.Info("feed loaded", "feed", f.Name, "entries", f.Entries, "bad", f.Bad)
		case fresh:
			continue
		}
		h.metrics.Emit(telemetry.Labels{Target: f.Name, Outcome: f.Outcome}, telemetry.Values{telemetry.FeedFailed: failed})
	}
	if err == nil {
		h.metrics.Success(telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: float64(h.now().Sub(start).Milliseconds())})
	}
	telemetry.Done(ctx, h.log, function, start, err,
		slog.String("mode", res.Mode), slog.String("version", res.Version), slog.Int("feeds", len(res.Feeds)), slog.Int("failed", res.Failed),
		slog.Int("entries", res.Entries), slog.Int("spared", res.Spared))
}
