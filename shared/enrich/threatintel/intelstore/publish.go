package intelstore

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

var (
	//go:embed lua/publish.lua
	publishLua string
	//go:embed lua/save.lua
	saveLua string
)

// Base is the catalog that a writer has read, and from which alone it may switch to the next one.
type Base struct {
	text    string
	catalog threatintel.Catalog
}

// Save writes a feed's table, where no reader looks for it yet: it ends by itself after an hour unless Publish makes it
// stay. A part that the catalog refers to already is written again as it is, which mends it, and stays. It fills in
// Digest, Bytes and Entries of r.
func (s *Store) Save(ctx context.Context, r threatintel.Record, t *threatintel.Table) (threatintel.Record, error) {
	encoded := t.Encode()
	if len(encoded) > threatintel.MaxTableBytes {
		return r, fmt.Errorf("save table of feed %s: %w: %d bytes", r.Name, threatintel.ErrTooLarge, len(encoded))
	}
	r.Digest, r.Bytes, r.Entries = threatintel.Digest(encoded), len(encoded), t.Len()
	for i, key := range chunks(r) {
		part := encoded[i*chunkSize : min((i+1)*chunkSize, len(encoded))]
		if err := s.db.Eval(ctx, saveLua, []string{key}, part, stay.Milliseconds()).Err(); err != nil {
			return r, fmt.Errorf("save table of feed %s: %w", r.Name, err)
		}
	}
	return r, nil
}

// Publish switches from base to next, or changes nothing. ErrConflict: base is no longer the catalog that counts. ErrLost: a
// table that next names is not there, so it must be saved again.
func (s *Store) Publish(ctx context.Context, base Base, next threatintel.Catalog) error {
	text, err := next.Encode()
	if err != nil {
		return fmt.Errorf("publish threat intelligence: %w", err)
	}
	founded := string(threatintel.Signal)
	if len(next.Of(threatintel.Allow)) > 0 {
		founded = string(threatintel.Allow)
	}
	needed := map[string]bool{}
	keys := []string{keyCatalog, keyFounded}
	for _, r := range next.Feeds {
		for _, key := range chunks(r) {
			if !needed[key] {
				needed[key] = true
				keys = append(keys, key)
			}
		}
	}
	n := len(needed)
	for _, r := range base.catalog.Feeds {
		for _, key := range chunks(r) {
			if !needed[key] {
				needed[key] = true
				keys = append(keys, key)
			}
		}
	}
	return wrap("publish threat intelligence", s.db.Eval(ctx, publishLua, keys, base.text, text, n, stay.Milliseconds(), founded).Err())
}
