package tencentfw_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestTheBookIsWhatWasEnteredAndNothingElse compares the blocklist, after any sequence of entering, renewing, taking out,
// faults, new processes and time that passes, with a plain map; and makes sure after every call that nobody who
// is wanted before and after an operation is out of force.
func TestTheBookIsWhatWasEnteredAndNothingElse(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		repeats := rapid.Bool().Draw(rt, "repeats")
		c := newCloudWAF(t, waftest.TencentOptions{
			AccessRepeats: repeats, AccessEndedGo: rapid.Bool().Draw(rt, "ended go"),
			AccessBatch: rapid.SampledFrom([]int{3, 100}).Draw(rt, "batch"), AccessDeletes: rapid.SampledFrom([]int{1, 100}).Draw(rt, "deletes"),
		})
		foreign := c.Foreign()
		model := map[netip.Prefix]time.Time{}
		pool := hosts(0, 12)
		var memory []byte
		some := func(label string) []netip.Prefix {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 8, rapid.ID[netip.Prefix]).Draw(rt, label)
		}
		open := func() waf.BookFirewall {
			f := c.open(t)
			if rapid.Bool().Draw(rt, "remembers") {
				f.(waf.Rememberer).Recall(memory)
			}
			if _, err := f.Look(t.Context()); err != nil {
				rt.Fatal(err)
			}
			return f
		}
		f := open()
		do := func(what string, keep map[netip.Prefix]time.Time, change func() error) {
			c.After(func(waftest.TencentCall) {
				in := c.enforced()
				for p, end := range keep {
					if end.After(c.now) && !slices.Contains(in, p) {
						rt.Errorf("%s: %s is out of force", what, p)
					}
				}
			})
			defer c.After(nil)
			if n := rapid.IntRange(-4, 6).Draw(rt, "fault"); n >= 0 {
				c.FailWrite(n, 1, waftest.Fault{Code: "InternalError", AfterChange: rapid.Bool().Draw(rt, "after")})
			}
			err := change()
			c.Heal()
			if err != nil { // and the next run, which may be another process
				f = open()
				err = change()
			}
			if err != nil {
				rt.Fatalf("%s: %v", what, err)
			}
		}
		check := func() {
			got, err := f.Listings(t.Context())
			if err != nil {
				rt.Fatal(err)
			}
			want := map[netip.Prefix]time.Time{}
			for p, end := range model {
				if end.After(c.now) {
					want[p] = end
				}
			}
			in := c.enforced()
			for _, l := range got {
				end, wanted := want[l.Prefix]
				switch {
				case !slices.Contains(in, l.Prefix):
					rt.Fatalf("%s is listed and not in force", l.Prefix)
				case wanted && (l.Until.Before(end) || repeats && !l.Until.Equal(end)):
					rt.Fatalf("%s ends at %s, want %s", l.Prefix, l.Until, end)
				case !wanted && repeats:
					rt.Fatalf("%s is listed, and was not entered or has ended", l.Prefix)
				}
				if !wanted { // stays with others of its rule until it is taken out
					model[l.Prefix] = l.Until
				}
				delete(want, l.Prefix)
			}
			if len(want) > 0 {
				rt.Fatalf("lost: %v", slices.Collect(maps.Keys(want)))
			}
			if c.Foreign() != foreign {
				rt.Fatal("what is not ours changed")
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"enter": func(*rapid.T) {
				var listings []waf.Listing
				for _, p := range some("prefixes") {
					end := c.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(rt, "grids")) * 10 * time.Minute)
					if old := model[p]; old.After(end) {
						end = old // terms only grow
					}
					listings = append(listings, waf.Listing{Prefix: p, Until: end})
				}
				do("enter", maps.Clone(model), func() error { return f.Add(t.Context(), listings, first) })
				for _, l := range listings {
					model[l.Prefix] = l.Until
				}
			},
			"take out": func(*rapid.T) {
				out := some("prefixes")
				keep := maps.Clone(model)
				for _, p := range out {
					delete(keep, p)
				}
				do("take out", keep, func() error { return f.Remove(t.Context(), out, first) })
				for _, p := range out {
					delete(model, p)
				}
			},
			"time passes": func(*rapid.T) {
				c.now = c.now.Add(time.Duration(rapid.IntRange(1, 25).Draw(rt, "minutes")) * time.Minute)
				f = open()
			},
			"another process": func(*rapid.T) {
				memory = f.(waf.Rememberer).Memory()
				c.now = c.now.Add(time.Second)
				f = open()
				state := look(t, f)
				if list, err := f.Listings(t.Context()); err != nil || len(list) != state.Book.Count {
					rt.Fatalf("count %d, %d listings, %v", state.Book.Count, len(list), err)
				}
			},
			"": func(*rapid.T) { check() },
		})
	})
}
