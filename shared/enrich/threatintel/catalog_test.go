package threatintel_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

func catalog() threatintel.Catalog {
	return threatintel.Catalog{Sequence: 7, Written: noon, Feeds: []threatintel.Record{
		{Name: "ipsum", Purpose: threatintel.Signal, Category: "listed", Licence: "Unlicense", MaxAge: 168 * time.Hour, Reading: "r", Digest: "d1", Bytes: 10, Entries: 3, Loaded: noon, ETag: `"x"`, Checked: noon},
		{Name: "drop", Purpose: threatintel.Signal, Category: "hijacked", Problem: "truncated", Failures: 2},
		{Name: "bots", Purpose: threatintel.Allow, Category: "crawler", Digest: "d2", Bytes: 10, Entries: 9, Loaded: noon},
	}}
}

func TestACatalogComesBackAsItWas(t *testing.T) {
	t.Parallel()
	text, err := catalog().Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := threatintel.DecodeCatalog(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalog(), got); diff != "" {
		t.Error(diff)
	}
	if r, ok := got.Find("bots"); !ok || r.Entries != 9 {
		t.Errorf("bots = %+v, %t", r, ok)
	}
	if _, ok := got.Find("other"); ok {
		t.Error("a feed was found that is not there")
	}
	if n := len(got.Of(threatintel.Signal)); n != 2 {
		t.Errorf("%d signal feeds, want 2", n)
	}
}

func TestADamagedCatalogIsNotRead(t *testing.T) {
	t.Parallel()
	text, err := catalog().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if _, err := threatintel.DecodeCatalog(bad); !errors.Is(err, threatintel.ErrUnreadable) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := threatintel.DecodeCatalog(text[:i]); !errors.Is(err, threatintel.ErrUnreadable) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	huge := catalog()
	huge.Feeds[0].Bytes = threatintel.MaxTableBytes + 1
	if text, err = huge.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := threatintel.DecodeCatalog(text); !errors.Is(err, threatintel.ErrUnreadable) {
		t.Errorf("a table of more bytes than there may be: %v", err)
	}
	many := threatintel.Catalog{Feeds: make([]threatintel.Record, 65)}
	if _, err := many.Encode(); !errors.Is(err, threatintel.ErrTooMany) {
		t.Errorf("65 feeds: %v", err)
	}
}

func TestTheVersionIsThatOfTheEntries(t *testing.T) {
	t.Parallel()
	version := catalog().Version()
	for name, tc := range map[string]struct {
		change func(*threatintel.Catalog)
		same   bool
	}{
		"found unchanged later": {func(c *threatintel.Catalog) {
			c.Sequence, c.Feeds[0].Loaded, c.Feeds[0].Checked = 8, noon.Add(1), noon.Add(1)
		}, true},
		"a feed that fails": {func(c *threatintel.Catalog) { c.Feeds[1].Failures++ }, true},
		"ranges to spare":   {func(c *threatintel.Catalog) { c.Feeds[2].Digest = "d3" }, true},
		"another list":      {func(c *threatintel.Catalog) { c.Feeds[0].Digest = "d9" }, false},
		"one more list":     {func(c *threatintel.Catalog) { c.Feeds[1].Digest = "d9" }, false},
	} {
		c := catalog()
		if tc.change(&c); (c.Version() == version) != tc.same {
			t.Errorf("%s: version %s, was %s", name, c.Version(), version)
		}
	}
	if v := (threatintel.Catalog{}).Version(); v != "" {
		t.Errorf("version of nothing = %q", v)
	}
}
