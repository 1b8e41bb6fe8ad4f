package intelstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// Set returns what all signal feeds say, as it holds now. It costs one command while nothing has changed. Where no feed was ever
// loaded it is an empty Set and no error; what was there and cannot be read is one.
func (s *Store) Set(ctx context.Context) (*threatintel.Set, error) {
	c, _, err := s.read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read threat intelligence: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	loaded := slices.DeleteFunc(c.Of(threatintel.Signal), func(r threatintel.Record) bool { return r.Digest == "" })
	sources := make([]threatintel.Source, len(loaded))
	for i, r := range loaded {
		sources[i] = r.Source()
	}
	if s.set != nil && s.set.Version() == c.Version() && len(s.set.Sources()) == len(sources) {
		return s.set.About(s.now(), sources)
	}
	tables := make([]*threatintel.Table, len(loaded))
	for i, r := range loaded {
		if tables[i], err = s.table(ctx, r); err != nil {
			return nil, fmt.Errorf("read threat intelligence: feed %s: %w", r.Name, err)
		}
	}
	set, err := threatintel.NewSet(c.Version(), s.now(), sources, tables)
	if err != nil {
		return nil, fmt.Errorf("read threat intelligence: %w", err)
	}
	s.set = set
	s.forget(c)
	return set, nil
}

// AllowRanges returns the ranges that feeds of purpose allow publish, as entries of an allowlist whose owner is the feed's
// name. ErrNoRanges: none are configured. Any other error means that somebody who must be spared may be missing: block nobody
// new. These ranges never fade.
func (s *Store) AllowRanges(ctx context.Context) ([]allowlist.Entry, error) {
	c, founded, err := s.read(ctx)
	if err != nil {
		if founded.as == string(threatintel.Signal) { // what has gone held no ranges
			return nil, ErrNoRanges
		}
		return nil, fmt.Errorf("read ranges to spare: %w", err)
	}
	feeds := c.Of(threatintel.Allow)
	if len(feeds) == 0 {
		return nil, ErrNoRanges
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []allowlist.Entry
	for _, r := range feeds {
		if r.Digest == "" {
			return nil, fmt.Errorf("read ranges to spare: feed %s: %w (%s): mend its entry in FEEDS or take it out, and run refresh-intel", r.Name, ErrNotLoaded, r.Problem)
		}
		t, err := s.table(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("read ranges to spare: feed %s: %w", r.Name, err)
		}
		reason := "published range of " + r.Name + ", " + r.Category
		for item := range t.All() {
			entries = append(entries, allowlist.Entry{Prefix: item.Prefix, Owner: r.Name, Reason: reason})
		}
	}
	s.forget(c)
	return entries, nil
}

// Catalog returns what is known of all feeds; the zero Catalog if nothing was ever loaded. The second value is for
// Publish, also beside ErrLost and threatintel.ErrUnreadable: refresh-intel then begins from nothing.
func (s *Store) Catalog(ctx context.Context) (threatintel.Catalog, Base, error) {
	c, stored, err := s.read(ctx)
	if err != nil {
		return threatintel.Catalog{}, Base{text: stored.text}, fmt.Errorf("read catalog of feeds: %w", err)
	}
	base := Base{text: stored.text, catalog: c}
	base.catalog.Feeds = slices.Clone(c.Feeds) // the caller may make the next catalog out of this one
	return c, base, nil
}

// Whole tells whether a feed's table is there with all its parts. It does not read them.
func (s *Store) Whole(ctx context.Context, r threatintel.Record) (bool, error) {
	keys := chunks(r)
	if len(keys) == 0 {
		return false, nil
	}
	n, err := s.db.Exists(ctx, keys...).Result()
	if err != nil {
		return false, fmt.Errorf("look for table of feed %s: %w", r.Name, err)
	}
	return n == int64(len(keys)), nil
}

// stored is what stands in Redis for the catalog.
type stored struct {
	text string // "" for none
	as   string // what founded says
}

// read returns the catalog, the zero Catalog if nothing was ever loaded.
func (s *Store) read(ctx context.Context) (threatintel.Catalog, stored, error) {
	values, err := s.db.MGet(ctx, keyCatalog, keyFounded).Result()
	if err != nil {
		return threatintel.Catalog{}, stored{}, err
	}
	var is stored
	var there bool
	is.text, there = values[0].(string)
	is.as, _ = values[1].(string)
	switch {
	case !there && is.as == "":
		return threatintel.Catalog{}, is, nil
	case !there:
		return threatintel.Catalog{}, is, fmt.Errorf("%w: its catalog is missing: run refresh-intel", ErrLost)
	}
	c, err := threatintel.DecodeCatalog([]byte(is.text))
	if err != nil {
		err = fmt.Errorf("%w: run refresh-intel", err)
	}
	return c, is, err
}

// table returns a feed's table, from memory if it is there. The caller holds the lock.
func (s *Store) table(ctx context.Context, r threatintel.Record) (*threatintel.Table, error) {
	if t := s.tables[r.Digest]; t != nil {
		return t, nil
	}
	var encoded bytes.Buffer
	for i, key := range chunks(r) {
		part, err := s.db.Get(ctx, key).Bytes()
		switch {
		case errors.Is(err, redis.Nil):
			return nil, fmt.Errorf("%w: part %d of its table is missing: run refresh-intel", ErrLost, i)
		case err != nil:
			return nil, err
		case len(part) > chunkSize:
			return nil, fmt.Errorf("%w: part %d has %d bytes: run refresh-intel", threatintel.ErrUnreadable, i, len(part))
		}
		encoded.Write(part)
	}
	if encoded.Len() != r.Bytes || threatintel.Digest(encoded.Bytes()) != r.Digest {
		return nil, fmt.Errorf("%w: it is not the table that the catalog names: run refresh-intel", threatintel.ErrUnreadable)
	}
	t, err := threatintel.Decode(encoded.Bytes())
	if err != nil {
		return nil, err
	}
	s.tables[r.Digest] = t
	return t, nil
}

// forget drops tables that c does not name. The caller holds the lock. Signal tables are dropped too, as a
// Set has their rows already: only those of purpose allow are asked for again and again.
func (s *Store) forget(c threatintel.Catalog) {
	keep := map[string]bool{}
	for _, r := range c.Of(threatintel.Allow) {
		keep[r.Digest] = true
	}
	for digest := range s.tables {
		if !keep[digest] {
			delete(s.tables, digest)
		}
	}
}
