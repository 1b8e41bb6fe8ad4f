package allowlist_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/threat"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func parse(tb testing.TB, text string) allowlist.List {
	tb.Helper()
	l, err := allowlist.Parse(strings.NewReader(text))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func indicator(tb testing.TB, key string) threat.Indicator {
	tb.Helper()
	ind, err := threat.ParseKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return ind
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		name, list, wanted string
		want               bool
	}{
		{"an address covers itself", "192.0.2.7", "ip:192.0.2.7", true},
		{"an address does not cover its neighbour", "192.0.2.7", "ip:192.0.2.8", false},
		{"a range covers its addresses", "192.0.2.0/24", "ip:192.0.2.255", true},
		{"a range ends", "192.0.2.0/24", "ip:192.0.3.0", false},
		{"an address covers the range around it", "192.0.2.7", "ip:192.0.2.0/24", true},
		{"an address does not cover the range beside it", "192.0.3.7", "ip:192.0.2.0/24", false},
		{"an IPv6 address covers the /64 around it", "2001:db8:1:2::7", "ip:2001:db8:1:2::/64", true},
		{"an IPv6 address does not cover the /64 beside it", "2001:db8:1:3::7", "ip:2001:db8:1:2::/64", false},
		{"a mapped address is the IPv4 address", "::ffff:192.0.2.7", "ip:192.0.2.7", true},
		{"a mapped range is the IPv4 range", "::ffff:192.0.2.0/120", "ip:192.0.2.9", true},
		{"a wanted mapped address is the IPv4 address", "192.0.2.0/24", "ip:::ffff:192.0.2.9", true},
		{"host bits do not matter", "192.0.2.99/24", "ip:192.0.2.1", true},
		{"the last day still counts", "192.0.2.7 until=2026-11-20", "ip:192.0.2.7", true},
		{"the day after does not", "192.0.2.7 until=2026-11-19", "ip:192.0.2.7", false},
		{"an ended range does not hide a lasting one around it", "192.0.0.0/16\n192.0.2.0/24 until=2020-01-01", "ip:192.0.2.7", true},
		{"an ended range does not hide a lasting one within it", "192.0.0.0/16 until=2020-01-01\n192.0.2.7", "ip:192.0.2.0/24", true},
		{"an ended range does not hide a narrower lasting one", "192.0.0.0/16 until=2020-01-01\n192.0.2.0/24", "ip:192.0.2.7", true},
		{"of two lines about one range the longer counts", "192.0.2.0/24\n192.0.2.0/24 until=2020-01-01", "ip:192.0.2.7", true},
		{"in either order", "192.0.2.0/24 until=2020-01-01\n192.0.2.0/24", "ip:192.0.2.7", true},
		{"of two lines about one account the longer counts", "account:a until=2020-01-01\naccount:a", "account:a", true},
		{"an account covers itself", "account:abc owner=qa", "account:abc", true},
		{"an account is spelt exactly", "account:abc", "account:ABC", false},
		{"an account with blanks", "account:\"jane doe\" # in quotes", "account:jane doe", true},
		{"an ended account", "account:abc until=2026-01-01", "account:abc", false},
		{"a name is no address", "account:192.0.2.7", "ip:192.0.2.7", false},
		{"a private range may stand in the list", "10.0.0.0/8\n192.0.2.7", "ip:192.0.2.7", true},
		{"the last IPv4 and the first IPv6 addresses do not touch", "224.0.0.0/3", "ip:2001:db8::/64", false},
		{"an empty list covers nobody", "", "ip:192.0.2.7", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			reason, ok := parse(t, c.list).Covers(indicator(t, c.wanted), now)
			if ok != c.want || ok != (reason != "") {
				t.Errorf("covers = %v (%q), want %v", ok, reason, c.want)
			}
		})
	}
	if _, ok := parse(t, "192.0.2.7").Covers(threat.Indicator{}, now); ok {
		t.Error("the zero Indicator is covered")
	}
	if _, ok := (allowlist.List{}).Covers(indicator(t, "ip:192.0.2.7"), now); ok {
		t.Error("the zero List covers someone")
	}
}

func TestTheReasonMasksAccounts(t *testing.T) {
	reason, _ := parse(t, "account:loadtest-12345 owner=qa nightly test").Covers(indicator(t, "account:loadtest-12345"), now)
	if want := "allowlisted as account:loa…(14), owner qa: nightly test"; reason != want {
		t.Errorf("reason = %q, want %q", reason, want)
	}
}

// TestCoversIsOverlap holds the search against looking at every entry.
func TestCoversIsOverlap(t *testing.T) {
	prefix := func(t *rapid.T, label string) netip.Prefix {
		if rapid.Bool().Draw(t, label+" is IPv6") {
			a := netip.MustParseAddr("2001:db8::").As16()
			a[4], a[7], a[15] = rapid.Byte().Draw(t, "a"), rapid.Byte().Draw(t, "b")&3, rapid.Byte().Draw(t, "c")&3
			return netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(32, 128).Draw(t, "bits")).Masked()
		}
		a := [4]byte{20, rapid.Byte().Draw(t, "a") & 3, rapid.Byte().Draw(t, "b") & 3, rapid.Byte().Draw(t, "c")}
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
	}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		type entry struct {
			prefix netip.Prefix
			ended  bool
		}
		var entries []entry
		for range rapid.IntRange(0, 30).Draw(t, "entries") {
			e := entry{prefix(t, "entry"), rapid.Bool().Draw(t, "ended")}
			entries = append(entries, e)
			fmt.Fprint(&text, e.prefix)
			if e.ended {
				text.WriteString(" until=2026-11-01")
			}
			text.WriteString("\n")
		}
		l, err := allowlist.Parse(strings.NewReader(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		wanted := prefix(t, "wanted")
		ind, err := threat.Range(wanted)
		if err != nil {
			t.Skip("no indicator")
		}
		want := false
		for _, e := range entries {
			want = want || !e.ended && e.prefix.Overlaps(wanted)
		}
		if _, got := l.Covers(ind, now); got != want {
			t.Fatalf("covers %s = %v, want %v, list:\n%s", wanted, got, want, text.String())
		}
	})
}

func TestABadLineSpoilsTheListAndEveryOneIsNamed(t *testing.T) {
	text := "192.0.2.7 owner=office\n" + // 1, fine
		"192.0.2.300\n" + // 2
		"# a comment\n\n" + // 3, 4
		"192.0.2.0/33\n" + // 5
		"fe80::1%eth0\n" + // 6
		"0.0.0.0/0 everybody\n" + // 7
		"::ffff:0.0.0.0/90\n" + // 8
		"account:\n" + // 9
		"192.0.2.8 until=tomorrow\n" + // 10
		"192.0.2.8 until=2026-01-01 until=2026-01-02\n" + // 11
		"192.0.2.8 onwer=me\n" + // 12
		"192.0.2.8 owner=\n" + // 13
		"192.0.2.8 a\x1b[31mb\n" + // 14
		"192.0.2.8 \xff\n" + // 15
		strings.Repeat("x", 5000) + "\n" + // 16
		"account:secret-name\x01\n" // 17
	l, err := allowlist.Parse(strings.NewReader(text))
	if !errors.Is(err, allowlist.ErrBadList) || l.Len() != 0 {
		t.Fatalf("%d entries, err = %v, want ErrBadList and none", l.Len(), err)
	}
	got := err.Error()
	for _, n := range []int{2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17} {
		if !strings.Contains(got, fmt.Sprintf("\nline %d: ", n)) {
			t.Errorf("line %d is not named in:\n%s", n, got)
		}
	}
	for _, n := range []int{1, 3, 4} {
		if strings.Contains(got, fmt.Sprintf("line %d:", n)) {
			t.Errorf("line %d is named although it is fine", n)
		}
	}
	if strings.ContainsAny(got, "\x1b\x01") || !utf8.ValidString(got) || strings.Contains(got, "secret-name") || len(got) > 3000 {
		t.Errorf("the error shows raw bytes, a full account, or too much: %d bytes\n%s", len(got), got)
	}
	if !strings.Contains(got, "want owner= or until=") {
		t.Errorf("the error does not tell what is allowed:\n%s", got)
	}
}

func TestAListHasBounds(t *testing.T) {
	for name, text := range map[string]string{
		"too many lines":    strings.Repeat("\n", allowlist.MaxLines+1),
		"too many bytes":    "# " + strings.Repeat("x", allowlist.MaxBytes),
		"too long a reason": "192.0.2.7 " + strings.Repeat("x", 501),
	} {
		if _, err := allowlist.Parse(strings.NewReader(text)); !errors.Is(err, allowlist.ErrBadList) {
			t.Errorf("%s: err = %v, want ErrBadList", name, err)
		}
	}
	many := strings.Repeat("nobody\n", 90_000)
	if _, err := allowlist.Parse(strings.NewReader(many)); err == nil || len(err.Error()) > 20_000 || !strings.Contains(err.Error(), "more bad lines") {
		t.Errorf("90,000 bad lines: err has %d bytes", len(err.Error()))
	}
	broken := errors.New("disk on fire")
	if _, err := allowlist.Parse(failing{broken}); !errors.Is(err, broken) {
		t.Errorf("err = %v, want the reader's", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAListIsReadAsWritten(t *testing.T) {
	l := parse(t, "\ufeff# header\r\n192.0.2.0/24\towner=office until=2026-12-31  the  second floor # not this\r\naccount:a#b see ticket=7\n\n2001:DB8::7 reason first owner=late")
	same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
	want := []allowlist.Entry{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Owner: "office", Reason: "the second floor", Until: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)},
		{Account: "a#b", Reason: "see ticket=7"},
		{Prefix: netip.MustParsePrefix("2001:db8::7/128"), Owner: "late", Reason: "reason first"},
	}
	if diff := cmp.Diff(want, l.Entries(), same); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	l.Entries()[0].Owner = "changed by the caller"
	if l.Entries()[0].Owner != "office" {
		t.Error("the list shares memory with its caller")
	}
}

// FuzzParse: no text makes it panic, and what it takes survives being written and read.
func FuzzParse(f *testing.F) {
	f.Add("192.0.2.0/24 owner=office until=2026-12-31 second floor # x\naccount:\"a b\" r\n")
	f.Add("::ffff:192.0.2.0/120\naccount:\"\\x41\\\"\" a=b\naccount:a\"b\n")
	f.Add("account:\"# x\" y #z\n10.0.0.0/8 until=9999-12-31")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := allowlist.Parse(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := allowlist.Parse(strings.NewReader(string(l.Text())))
		if err != nil {
			t.Fatalf("its own text is refused: %v\n%q", err, l.Text())
		}
		same := cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
		if diff := cmp.Diff(l.Entries(), again.Entries(), same, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("entries after a round trip (-want +got):\n%s", diff)
		}
	})
}

func Example() {
	list, err := allowlist.Parse(strings.NewReader(`
# never block these
203.0.113.0/24    owner=office Beijing, second floor
2001:db8:7::1     owner=partner-x until=2026-12-31
account:loadtest  owner=qa
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"203.0.113.9", "203.0.112.0/22", "2001:db8:7::/64", "198.51.100.7"} {
		wanted, _ := threat.ParseAddress(text)
		reason, spared := list.Covers(wanted, now)
		fmt.Printf("%s %v %q\n", text, spared, reason)
	}
	_, err = allowlist.Parse(strings.NewReader("203.0.113.0/24\n203.0.113.0/240\n"))
	fmt.Println(err)
	// Output:
	// 203.0.113.9 true "allowlisted as 203.0.113.0/24, owner office: Beijing, second floor"
	// 203.0.112.0/22 true "allowlisted as 203.0.113.0/24, owner office: Beijing, second floor"
	// 2001:db8:7::/64 true "allowlisted as 2001:db8:7::1, owner partner-x"
	// 198.51.100.7 false ""
	// allowlist is not valid:
	// line 2: range "203.0.113.0/240": want an address range such as 192.0.2.0/24 or 2001:db8::/48
}

// BenchmarkCovers asks a list of 50,000 entries.
func BenchmarkCovers(b *testing.B) {
	var text strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&text, "20.%d.%d.%d\n", i>>16, i>>8&255, i&255)
	}
	l := parse(b, text.String())
	ind := indicator(b, "ip:20.1.2.3")
	for b.Loop() {
		l.Covers(ind, now)
	}
}
