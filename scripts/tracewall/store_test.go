package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// storeCommand keeps in Redis what a run of detect would have kept there.
func storeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: store case KEY FILE, store run FILE, store state NAME FILE, store ranges PREFIX…")
	}
	ctx := context.Background()
	store, err := redisstore.Open(ctx, ts.Getenv("REDIS_URL"))
	ts.Check(err)
	defer store.Close()
	if args[0] == "ranges" {
		ts.Check(saveRanges(ctx, ts.Getenv("REDIS_URL"), args[1:]))
		return
	}
	text, err := os.ReadFile(ts.MkAbs(args[len(args)-1]))
	ts.Check(err)
	switch {
	case args[0] == "case" && len(args) == 3:
		ind, err := threat.ParseKey(args[1])
		ts.Check(err)
		ts.Check(store.SaveCases(ctx, []blocklist.Case{{Indicator: ind, At: time.Now(), Keep: time.Hour, Text: text}}))
	case args[0] == "run" && len(args) == 2:
		var r struct {
			Run string `json:"run"`
		}
		ts.Check(json.Unmarshal(text, &r))
		ts.Check(store.SaveRun(ctx, r.Run, text))
	case args[0] == "state" && len(args) == 3:
		ts.Check(store.SaveState(ctx, args[1], text))
	default:
		ts.Fatalf("usage: store case KEY FILE, store run FILE, store state NAME FILE, store ranges PREFIX…")
	}
}

// saveRanges keeps ranges to spare as refresh-intel does.
func saveRanges(ctx context.Context, url string, ranges []string) error {
	store, err := intelstore.Open(ctx, url, time.Now)
	if err != nil {
		return err
	}
	defer store.Close()
	var items []threatintel.Item
	for _, text := range ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return err
		}
		items = append(items, threatintel.Item{Prefix: p})
	}
	before, base, err := store.Catalog(ctx)
	if err != nil && !errors.Is(err, intelstore.ErrLost) {
		return err
	}
	feed, err := store.Save(ctx, threatintel.Record{Name: "googlebot", Purpose: threatintel.Allow, Category: "crawler", Loaded: time.Now(), Checked: time.Now()}, threatintel.NewTable(items))
	if err != nil {
		return err
	}
	return store.Publish(ctx, base, threatintel.Catalog{Sequence: before.Sequence + 1, Written: time.Now(), Feeds: []threatintel.Record{feed}})
}

// indicatorOf returns the i-th of many addresses.
func indicatorOf(i int) threat.Indicator {
	ind, err := threat.Address(netip.AddrFrom4([4]byte{20, byte(i >> 16), byte(i >> 8), byte(i)}))
	if err != nil {
		panic(err) // the caller's i is too large
	}
	return ind
}

// benchStore is a store on a Redis of its own.
func benchStore(b *testing.B) *redisstore.Store {
	b.Helper()
	redis := miniredis.RunT(b)
	store, err := redisstore.Open(b.Context(), "redis://"+redis.Addr())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	if err := store.SaveAllowlist(b.Context(), allowlist.List{}); err != nil {
		b.Fatal(err)
	}
	return store
}
