package threatintel_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// million is a million different IPv4 addresses and ranges, scattered over the Internet as in a large list, the same for the
// same seed.
func million(seed uint64) []threatintel.Item {
	r := rand.New(rand.NewPCG(seed, 1))
	items := make([]threatintel.Item, 0, threatintel.MaxEntries)
	for at := uint32(11 << 24); len(items) < threatintel.MaxEntries; at += 1 + r.Uint32N(6200) {
		if at >= 223<<24 {
			panic("the Internet is full")
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], at)
		bits := 32
		if r.IntN(20) == 0 {
			bits = 20 + r.IntN(12)
		}
		if p, err := threatintel.Admit(netip.PrefixFrom(netip.AddrFrom4(b), bits), threatintel.Signal); err == nil {
			items = append(items, threatintel.Item{Prefix: p, Confidence: uint8(20 + r.IntN(60))})
		}
	}
	return items
}

func TestATableHoldsEachPrefixOnce(t *testing.T) {
	t.Parallel()
	again := item("1.2.3.4", 30)
	again.Seen, again.Until = 100, 300
	got := slices.Collect(table(item("2001:db8::/40", 5), item("9.9.9.0/24", 7), threatintel.Item{Prefix: again.Prefix, Confidence: 60, Seen: 50, Until: 200}, again).All())
	want := []threatintel.Item{{Prefix: again.Prefix, Confidence: 60, Seen: 100, Until: 300}, item("9.9.9.0/24", 7), item("2001:db8::/40", 5)}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
	forGood := again
	forGood.Until = 0
	for _, order := range [][]threatintel.Item{{again, forGood}, {forGood, again}} {
		if got := slices.Collect(table(order...).All()); len(got) != 1 || got[0].Until != 0 {
			t.Errorf("an entry for good beside one with an end: %v", got)
		}
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		items  []threatintel.Item
		v4, v6 float64
	}{
		{"nothing", nil, 0, 0},
		{"a /8 is a 256th", []threatintel.Item{item("11.0.0.0/8", 1)}, 1. / 256, 0},
		{"what lies within counts once", []threatintel.Item{item("11.0.0.0/8", 1), item("11.2.0.0/16", 1), item("11.2.3.4", 1), item("12.0.0.0/8", 1)}, 2. / 256, 0},
		{"IPv6 counts against what is given out", []threatintel.Item{item("2001:db8::/32", 1), item("2001:db8:1::/48", 1), item("2a00::/19", 1)}, 0, math.Ldexp(1, -29) + math.Ldexp(1, -16)},
		{"addresses", []threatintel.Item{item("1.2.3.4", 1), item("1.2.3.5", 1)}, math.Ldexp(2, -32), 0},
	} {
		v4, v6 := table(tc.items...).Coverage()
		if v4 != tc.v4 || v6 != tc.v6 {
			t.Errorf("%s: %g, %g, want %g, %g", tc.name, v4, v6, tc.v4, tc.v6)
		}
	}
}

func TestWhatNoFeedMayList(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"10.0.0.0/8", "127.0.0.1/32", "0.0.0.0/0", "11.0.0.0/7", "2000::/15", "::1/128", "fc00::/7", "224.0.0.1/32", "::ffff:10.0.0.1/128", "192.0.0.0/4"} {
		if p, err := threatintel.Admit(netip.MustParsePrefix(text), threatintel.Signal); !errors.Is(err, threatintel.ErrNotListable) {
			t.Errorf("%s: %s, %v", text, p, err)
		}
	}
	for text, want := range map[string][2]string{
		"198.51.100.7/24":         {"198.51.100.0/24", "198.51.100.0/24"},
		"::ffff:198.51.100.7/128": {"198.51.100.7/32", "198.51.100.7/32"},
		"2001:db8::7/128":         {"2001:db8::/64", "2001:db8::7/128"}, // who is spared is spared alone
		"2001:db8::/33":           {"2001:db8::/33", "2001:db8::/33"},
	} {
		for i, purpose := range []threatintel.Purpose{threatintel.Signal, threatintel.Allow} {
			if got, err := threatintel.Admit(netip.MustParsePrefix(text), purpose); err != nil || got.String() != want[i] {
				t.Errorf("%s for %s: %s, %v, want %s", text, purpose, got, err, want[i])
			}
		}
	}
}

func items() *rapid.Generator[[]threatintel.Item] {
	return rapid.Custom(func(t *rapid.T) []threatintel.Item {
		var all []threatintel.Item
		for range rapid.IntRange(0, 60).Draw(t, "n") {
			p := prefixes(rapid.Bool().Draw(t, "v6")).Draw(t, "p")
			if p.Addr().Is6() && rapid.Bool().Draw(t, "narrow") { // as allow feeds have them
				b := p.Addr().As16()
				b[15] = rapid.Byte().Draw(t, "low")
				p = netip.PrefixFrom(netip.AddrFrom16(b), 128)
			}
			all = append(all, threatintel.Item{
				Prefix: p, Confidence: uint8(rapid.IntRange(0, 100).Draw(t, "c")),
				Seen: rapid.Uint32().Draw(t, "seen"), Until: rapid.SampledFrom([]uint32{0, 1, math.MaxUint32}).Draw(t, "until"),
			})
		}
		return all
	})
}

func TestATableComesBackAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := items().Draw(t, "items")
		one := threatintel.NewTable(slices.Clone(all))
		slices.Reverse(all)
		other := threatintel.NewTable(all)
		encoded := one.Encode()
		if d := threatintel.Digest(encoded); d != threatintel.Digest(other.Encode()) || len(d) != 32 {
			t.Fatal("the same items in another order have another form")
		}
		back, err := threatintel.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(slices.Collect(one.All()), slices.Collect(back.All()), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestADamagedTableIsNotRead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		encoded := threatintel.NewTable(items().Draw(t, "items")).Encode()
		switch at := rapid.IntRange(0, len(encoded)-1).Draw(t, "at"); rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			encoded[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			encoded = encoded[:at]
		default:
			encoded = append(encoded, rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "more")...)
		}
		if _, err := threatintel.Decode(encoded); !errors.Is(err, threatintel.ErrUnreadable) {
			t.Fatalf("err = %v", err)
		}
	})
}

// Whoever can write into Redis can also write a checksum.
func TestATableWithARightChecksumMustStillMakeSense(t *testing.T) {
	t.Parallel()
	const magic = "tracewall intel 1\n"
	sealed := func(numbers ...uint64) []byte {
		b := []byte(magic)
		for _, n := range numbers {
			b = binary.AppendUvarint(b, n)
		}
		sum := sha256.Sum256(b)
		return append(b, sum[:]...)
	}
	good := sealed(2, 0, 0x01020304, 1, 32, 2, 50, 2, 0, 2, 0, 2)
	if t1, err := threatintel.Decode(good); err != nil || t1.Len() != 2 {
		t.Fatalf("the good one: %v", err)
	}
	for name, bad := range map[string][]byte{
		"more rows than a feed may have":       sealed(2_000_000, 0),
		"more rows than a number":              sealed(1<<63, 1<<63),
		"an address beyond IPv4":               sealed(1, 0, 1<<33, 32, 1, 50, 1, 0, 1, 0, 1),
		"a row twice":                          sealed(2, 0, 0x01020304, 0, 32, 2, 50, 2, 0, 2, 0, 2),
		"a width that IPv4 does not have":      sealed(1, 0, 0x01020304, 33, 1, 50, 1, 0, 1, 0, 1),
		"a width beyond a byte":                sealed(1, 0, 0x01020304, 32+256, 1, 50, 1, 0, 1, 0, 1),
		"a width of half of the Internet":      sealed(1, 0, 0, 1, 1, 50, 1, 0, 1, 0, 1),
		"a private address":                    sealed(1, 0, 0x0a000001, 32, 1, 50, 1, 0, 1, 0, 1),
		"host bits":                            sealed(1, 0, 0x01020304, 24, 1, 50, 1, 0, 1, 0, 1),
		"a confidence of 101":                  sealed(1, 0, 0x01020304, 32, 1, 101, 1, 0, 1, 0, 1),
		"a run that is longer than the column": sealed(1, 0, 0x01020304, 32, 1<<40, 50, 1, 0, 1, 0, 1),
		"an empty run":                         sealed(1, 0, 0x01020304, 32, 0, 50, 1, 0, 1, 0, 1),
		"a column that is missing":             sealed(1, 0, 0x01020304, 32, 1, 50, 1, 0, 1),
		"something behind the last column":     sealed(1, 0, 0x01020304, 32, 1, 50, 1, 0, 1, 0, 1, 7),
		"IPv6 that turns over":                 sealed(0, 2, 1<<63+1, 1<<63, 0, 2, 64, 2, 50, 2, 0, 2, 0, 2),
		"nothing at all":                       nil,
		"another version":                      []byte("tracewall intel 2\n" + string(make([]byte, 40))),
	} {
		if _, err := threatintel.Decode(bad); !errors.Is(err, threatintel.ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(table(item("1.2.3.4", 5), item("2001:db8::/48", 6)).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		for _, try := range [][]byte{b, append(slices.Clone(b), sum[:]...)} {
			got, err := threatintel.Decode(try)
			if err != nil {
				if !errors.Is(err, threatintel.ErrUnreadable) {
					t.Fatal(err)
				}
				continue
			}
			if _, err := threatintel.Decode(got.Encode()); err != nil {
				t.Fatalf("what was read cannot be read again: %v", err)
			}
		}
	})
}
