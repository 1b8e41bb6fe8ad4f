package enforce

import (
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
)

// anyPrefix draws ranges of both families, close to each other and far apart.
func anyPrefix(t *rapid.T) netip.Prefix {
	var raw [16]byte
	is4 := rapid.Bool().Draw(t, "is4")
	n := 16
	if is4 {
		n = 4
	}
	for i := range n {
		raw[i] = rapid.SampledFrom([]byte{0, 1, 2, 127, 128, 254, 255}).Draw(t, "byte")
	}
	addr := netip.AddrFrom16(raw)
	if is4 {
		addr = netip.AddrFrom4([4]byte(raw[:4]))
	} else if addr.Is4In6() {
		raw[0] = 0x20
		addr = netip.AddrFrom16(raw)
	}
	return netip.PrefixFrom(addr, rapid.IntRange(0, addr.BitLen()).Draw(t, "bits")).Masked()
}

func TestAPackedListComesBackWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(anyPrefix), 0, 60).Draw(t, "list")
		packed, cut := packPrefixes(slices.Clone(list), maxPacked)
		got := slices.Collect(packed.All)
		slices.SortFunc(got, comparePrefix)
		slices.SortFunc(list, comparePrefix)
		list = slices.Compact(list)
		if diff := cmp.Diff(list, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" && len(list) > 0 || cut != 0 {
			t.Fatalf("cut %d, list (-want +got):\n%s", cut, diff)
		}
		p := anyPrefix(t)
		var around netip.Prefix
		within := false
		for _, q := range list {
			if q.Overlaps(p) && q.Bits() <= p.Bits() && (!around.IsValid() || q.Bits() > around.Bits()) {
				around = q
			}
			within = within || q.Overlaps(p) && q.Bits() > p.Bits()
		}
		if a, w := packed.find(p); a != around || w != within {
			t.Fatalf("find %s = %s %v, want %s %v", p, a, w, around, within)
		}
	})
}

func TestAPackedListIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(anyPrefix), 0, 60).Draw(t, "list")
		limit := rapid.IntRange(-1, 300).Draw(t, "limit")
		packed, cut := packPrefixes(slices.Clone(list), limit)
		slices.SortFunc(list, comparePrefix)
		list = slices.Compact(list)
		got := slices.Collect(packed.All)
		if len(packed) > max(limit, 0) || len(got)+cut != len(list) {
			t.Fatalf("%d of %d in %d bytes of %d, %d cut", len(got), len(list), len(packed), limit, cut)
		}
		for _, p := range got {
			if !slices.Contains(list, p) {
				t.Fatalf("%s was never in the list", p)
			}
		}
	})
}

func FuzzPackedReadsAnything(f *testing.F) {
	packed, _ := packPrefixes([]netip.Prefix{netip.MustParsePrefix("20.1.1.1/32"), netip.MustParsePrefix("2001:db8::7/128")}, maxPacked)
	f.Add([]byte(packed))
	f.Add([]byte{4, 33, 1, 1})
	f.Add([]byte{6, 128, 255, 255, 255, 255, 255, 255, 255, 255, 127, 1})
	f.Fuzz(func(t *testing.T, garbled []byte) {
		n := 0
		for p := range Packed(garbled).All {
			if n++; !p.IsValid() {
				t.Fatalf("%v hands over an invalid range", garbled)
			}
		}
		if n > len(garbled) {
			t.Fatalf("%d ranges out of %d bytes", n, len(garbled))
		}
	})
}

// A million wanted addresses of which half have no room, and a million IPv6 ranges.
func TestTheStatusOfAMillionEntriesIsAFewMegabytes(t *testing.T) {
	const n = 1_000_000
	random := rand.New(rand.NewPCG(1, 2))
	v4 := func(i uint64) netip.Prefix { // spread over all of IPv4, in order
		at := 1<<24 + i*3700 + random.Uint64N(3700)
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(at >> 24), byte(at >> 16), byte(at >> 8), byte(at)}), 32)
	}
	v6 := func(i uint64) netip.Prefix { // and over all of 2000::/4
		const step = 1 << 60 / n
		var raw [16]byte
		binary.BigEndian.PutUint64(raw[:8], 2<<60+i*step+random.Uint64N(step))
		return netip.PrefixFrom(netip.AddrFrom16(raw), 64)
	}
	for name, tt := range map[string]struct {
		one   func(uint64) netip.Prefix
		limit int
	}{"IPv4": {v4, 3_200_000}, "IPv6": {v6, 10_000_000}} {
		var want goal
		var over []netip.Prefix
		for i := range n {
			p := tt.one(uint64(i))
			want.Wants = append(want.Wants, waf.Want{Prefix: p, Count: int64(i % 2)})
			if i%2 == 0 {
				over = append(over, p)
			}
		}
		begin := time.Now()
		report := waf.Report{Desired: n, Enforced: n / 2, Overflow: n / 2, Overflowed: over}
		s := Status{Entries: entriesOf(want, report, &waf.Proof{Effective: true})}
		made := time.Since(begin)
		text, err := json.Marshal(s)
		if err != nil || len(text) > tt.limit || s.Entries.Cut != 0 {
			t.Errorf("%s: %d bytes, %d cut, err = %v, want at most %d bytes", name, len(text), s.Entries.Cut, err, tt.limit)
		}
		begin = time.Now()
		for _, w := range want.Wants[:4] {
			wantState := map[bool]State{true: StateOverflow, false: StateEnforced}[w.Count == 0]
			if state, why := s.StateOf(w.Prefix); state != wantState {
				t.Errorf("%s: %s, %s, want %s", w.Prefix, state, why, wantState)
			}
		}
		t.Logf("%s: %d bytes, made in %s, asked in %s", name, len(text), made, time.Since(begin)/4)
	}
}

func TestAnEntryThatDidNotFitInIsPending(t *testing.T) {
	p := netip.MustParsePrefix("20.1.1.1/32")
	s := Status{Entries: Entries{Default: StateEnforced, Cut: 1}}
	if state, why := s.StateOf(p); state != StatePending || why != "the status has no room for all entries, and this one is not in it" {
		t.Errorf("state = %s, %q", state, why)
	}
}

// A run that does not say which entries lack must not call the others enforced.
func TestARunThatDoesNotKnowSaysPending(t *testing.T) {
	p := netip.MustParsePrefix("20.1.1.1/32")
	want := goal{Desired: waf.Desired{Wants: []waf.Want{{Prefix: p}}}}
	s := Status{Entries: entriesOf(want, waf.Report{Desired: 1}, &waf.Proof{Effective: true})}
	if state, _ := s.StateOf(p); state != StatePending {
		t.Errorf("state = %s, want pending", state)
	}
}

// More ranges may be refused for their width than a report lists.
func TestARangeThatIsTooWideIsNeverCalledEnforced(t *testing.T) {
	wide, ok := netip.MustParsePrefix("20.0.0.0/9"), netip.MustParsePrefix("20.1.1.1/32")
	want := goal{Desired: waf.Desired{Wants: []waf.Want{{Prefix: wide}, {Prefix: ok}}}}
	s := Status{Entries: entriesOf(want, waf.Report{Desired: 1, Enforced: 1}, &waf.Proof{Effective: true})}
	if state, _ := s.StateOf(wide); state != StateRejected {
		t.Errorf("state = %s, want rejected", state)
	}
	if state, _ := s.StateOf(ok); state != StateEnforced {
		t.Errorf("an address in it: %s, want enforced", state)
	}
}

// explained is held against asking about every single address.
func TestWhatIsExplainedIsWantedOrSparedAddressByAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := netip.AddrFrom4([4]byte{20, 0, 0, byte(rapid.IntRange(0, 31).Draw(t, "host"))})
			return netip.PrefixFrom(a, rapid.IntRange(27, 32).Draw(t, "bits")).Masked()
		})
		var g goal
		for _, p := range rapid.SliceOfN(small, 0, 6).Draw(t, "wants") {
			g.Wants = append(g.Wants, waf.Want{Prefix: p})
		}
		g.Wants = inOrder(g.Wants)
		g.spare = rapid.SliceOfN(small, 0, 3).Draw(t, "spare")
		slices.SortFunc(g.spare, comparePrefix)
		given := g.ranges()
		p := small.Draw(t, "released")
		all := true
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			in := slices.ContainsFunc(g.Wants, func(w waf.Want) bool { return w.Prefix.Contains(a) }) ||
				slices.ContainsFunc(g.spare, func(q netip.Prefix) bool { return q.Contains(a) })
			all = all && in
		}
		if got := holds(given, p); got != all {
			t.Fatalf("%s: %v, want %v; ranges %v", p, got, all, given)
		}
	})
}

// A poisoned /9 on the list explains no release of what is in it.
func TestARefusedRangeExplainsNoRelease(t *testing.T) {
	g := goal{Desired: waf.Desired{Wants: []waf.Want{{Prefix: netip.MustParsePrefix("20.0.0.0/9")}}}}
	if holds(g.ranges(), netip.MustParsePrefix("20.1.1.1/32")) {
		t.Error("a range that is refused counts as wanted")
	}
}
