package networks_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/enrich"
	"github.com/tracewall/tracewall/shared/enrich/networks"
)

var _ enrich.Networks = (*networks.Table)(nil)

func parse(tb testing.TB, data string) *networks.Table {
	tb.Helper()
	table, err := networks.Parse([]byte(data))
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

// ask is a look-up as one text.
func ask(t *networks.Table, addr string) string {
	asn, name, network := t.Network(netip.MustParseAddr(addr))
	if asn == 0 && name == "" && network == (netip.Prefix{}) {
		return "nobody"
	}
	return fmt.Sprintf("AS%d %s %s", asn, name, network)
}

func geolite(version uint16) *mmdb { return newMMDB("GeoLite2-ASN", version) }

func geoliteRecord(asn uint32, name string) []pair {
	return []pair{{"autonomous_system_number", asn}, {"autonomous_system_organization", name}}
}

func TestEveryLayoutIsRead(t *testing.T) {
	maxmind := geolite(6)
	maxmind.add(t, "203.0.113.0/24", geoliteRecord(64500, "Example Net"))
	maxmind.point(t, "198.51.100.128/25", 0)
	maxmind.add(t, "2001:db8:7::/48", geoliteRecord(64501, "Example Six"))
	four := geolite(4)
	four.add(t, "203.0.113.0/24", geoliteRecord(64500, "Example Net"))
	ipinfo := newMMDB("ipinfo generic_asn_free.mmdb", 6)
	ipinfo.add(t, "203.0.113.0/24", []pair{{"asn", "AS64500"}, {"domain", "example.net"}, {"name", "Example Net"}})
	lite := newMMDB("ipinfo bundle_location_lite.mmdb", 6)
	lite.add(t, "203.0.113.0/24", []pair{{"as_domain", "example.net"}, {"as_name", "Example Net"}, {"asn", "AS64500"}, {"country_code", "US"}})
	lite.add(t, "198.51.100.0/24", []pair{{"country_code", "US"}}) // announced by nobody
	iplocate := newMMDB("ip-to-asn", 6)
	iplocate.add(t, "203.0.113.0/24", []pair{{"asn", uint32(64500)}, {"org", "Example Net"}})

	const net, nobody = "AS64500 Example Net 203.0.113.0/24", "nobody"
	for _, c := range []struct {
		name, data string
		want       map[string]string
	}{
		{"GeoLite2-ASN", string(maxmind.bytes()), map[string]string{
			"203.0.113.0": net, "203.0.113.255": net, "203.0.114.0": nobody, "203.0.112.255": nobody, "::ffff:203.0.113.9": net,
			"198.51.100.200": "AS64500 Example Net 198.51.100.128/25", "198.51.100.1": nobody,
			"2001:db8:7::1": "AS64501 Example Six 2001:db8:7::/48", "2001:db8:7:ffff:ffff:ffff:ffff:ffff": "AS64501 Example Six 2001:db8:7::/48", "2001:db8:8::": nobody,
			"::203.0.113.9": nobody, // no IPv4 address, though the tree keeps IPv4 there
		}},
		{"GeoLite2-ASN for IPv4 only", string(four.bytes()), map[string]string{"203.0.113.7": net, "2001:db8::1": nobody}},
		{"ipinfo's ASN file", string(ipinfo.bytes()), map[string]string{"203.0.113.7": net}},
		{"ipinfo's Lite file", string(lite.bytes()), map[string]string{"203.0.113.7": net, "198.51.100.7": nobody}},
		{"an ASN as a number", string(iplocate.bytes()), map[string]string{"203.0.113.7": net}},
		{"CSV of ranges", "203.0.113.0,203.0.113.255,64500,Example Net\n2001:db8:7::,2001:db8:7:ffff:ffff:ffff:ffff:ffff,64501,\"Six, Inc.\"\n", map[string]string{
			"203.0.113.7": net, "2001:db8:7::1": "AS64501 Six, Inc. 2001:db8:7::/48",
		}},
		{"CSV with a header, a byte order mark, comments and returns", "\ufeffip_range_start,ip_range_end,autonomous_system_number,autonomous_system_organization\r\n# made today\r\n203.0.113.0, 203.0.113.255, 64500, Example Net\r\n", map[string]string{"203.0.113.7": net}},
		{"CSV of prefixes", "prefix,asn,name\n203.0.113.0/24,AS64500,Example Net\n::ffff:198.51.100.0/120,64502,Mapped\n", map[string]string{
			"203.0.113.7": net, "198.51.100.7": "AS64502 Mapped 198.51.100.0/24",
		}},
		{"a range that is no prefix gives the widest prefix in it", "203.0.113.1,203.0.113.6,64500,x\n", map[string]string{
			"203.0.113.1": "AS64500 x 203.0.113.1/32", "203.0.113.2": "AS64500 x 203.0.113.2/31", "203.0.113.5": "AS64500 x 203.0.113.4/31", "203.0.113.7": nobody,
		}},
		{"the narrower of two counts", "203.0.0.0/16,1,wide\n203.0.113.0/24,2,narrow\n", map[string]string{
			"203.0.113.9": "AS2 narrow 203.0.113.0/24", "203.0.114.9": "AS1 wide 203.0.114.0/23", "203.0.1.1": "AS1 wide 203.0.0.0/18",
		}},
		{"of two equal ones the first", "203.0.113.0/24,1,a\n203.0.113.0/24,2,b\n", map[string]string{"203.0.113.9": "AS1 a 203.0.113.0/24"}},
		{"the edges of the address space", "0.0.0.0,0.255.255.255,1,low\n255.0.0.0,255.255.255.255,2,high\nffff::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,3,six\n", map[string]string{
			"0.0.0.0": "AS1 low 0.0.0.0/8", "1.0.0.0": nobody, "255.255.255.255": "AS2 high 255.0.0.0/8", "254.255.255.255": nobody, "ffff::1": "AS3 six ffff::/16", "::": nobody,
		}},
		{"AS 0 announces nothing", "198.51.100.0,198.51.100.255,0,Not routed\n203.0.113.0,203.0.113.255,64500,Example Net\n", map[string]string{"198.51.100.7": nobody, "203.0.113.7": net}},
		{"names are printable and bounded", "203.0.113.0,203.0.113.255,64500,\"\x1b[31m<b>" + strings.Repeat("é", 200) + "\"\n", map[string]string{
			"203.0.113.7": "AS64500 [31m<b>" + strings.Repeat("é", 46) + " 203.0.113.0/24",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := parse(t, c.data)
			for addr, want := range c.want {
				if got := ask(table, addr); got != want {
					t.Errorf("%s is %q, want %q", addr, got, want)
				}
			}
		})
	}
	if asn, _, _ := (&networks.Table{}).Network(netip.MustParseAddr("203.0.113.7")); asn != 0 {
		t.Error("the zero Table knows somebody")
	}
	if asn, _, _ := parse(t, "203.0.113.0/24,1,x\n").Network(netip.Addr{}); asn != 0 {
		t.Error("the zero Addr is known")
	}
}

func TestABrokenFileIsAnErrorThatSaysWhatToDo(t *testing.T) {
	good := geolite(6)
	good.add(t, "203.0.113.0/24", geoliteRecord(64500, "Example Net"))
	whole := string(good.bytes())
	country := newMMDB("GeoLite2-Country", 6)
	country.add(t, "203.0.113.0/24", []pair{{"country", []pair{{"iso_code", "US"}}}})
	wrongType := geolite(6)
	wrongType.add(t, "203.0.113.0/24", []pair{{"autonomous_system_number", "many"}})
	notNumber := newMMDB("ipinfo", 6)
	notNumber.add(t, "203.0.113.0/24", []pair{{"asn", "ASx"}})
	loop := geolite(6)
	loop.add(t, "203.0.113.0/24", geoliteRecord(64500, "x"))
	loop.nodes[1] = [2]int{1, 1}
	bush := geolite(6) // 2⁹⁶ empty networks in 97 nodes
	bush.add(t, "8000::/1", geoliteRecord(64500, "x"))
	for i := range 96 {
		if i > 0 {
			bush.nodes = append(bush.nodes, [2]int{})
		}
		bush.nodes[i] = [2]int{i + 1, i + 1}
	}
	bush.nodes = append(bush.nodes, [2]int{nothing, nothing})
	middle := []byte(whole)
	copy(middle[len(whole)/4:], strings.Repeat("\xff", 60))

	for _, c := range []struct{ name, data, want string }{
		{"nothing", "", "empty"},
		{"gzip", "\x1f\x8b\x08\x00abc", "compressed"},
		{"zip", "PK\x03\x04abc", "compressed"},
		{"HTML", "<!DOCTYPE html><html><body>Sign in to download</body></html>\n", "no line begins with an address"},
		{"HTML of several lines", "<html>\n<body>, 1.2.3.4,\n</html>\n", "line 2 is neither"},
		{"binary", "\x00\x01\x02\xff\xfe", "neither a MaxMind DB nor text"},
		{"an MMDB without its end", whole[:len(whole)/2], "neither a MaxMind DB nor text"},
		{"an MMDB without its beginning", whole[len(whole)/2:], "MaxMind DB"},
		{"an MMDB with a hole", string(middle), "MaxMind DB"},
		{"an MMDB whose tree goes round", string(loop.bytes()), "goes round"},
		{"an MMDB whose tree is a bush", string(bush.bytes()), "leaves"},
		{"an MMDB of countries", string(country.bytes()), "GeoLite2-Country"},
		{"an MMDB with words for numbers", string(wrongType.bytes()), "MaxMind DB"},
		{"an MMDB with bad numbers", string(notNumber.bytes()), "not a number"},
		{"an empty MMDB", string(geolite(6).bytes()), "no autonomous systems"},
		{"a header only", "start,end,asn,name\n", "no line begins with an address"},
		{"a bad address", "203.0.113.0,203.0.113.255,1,a\n203.0.113.300,203.0.113.255,1,a\n", "line 2"},
		{"ends the wrong way round", "203.0.113.255,203.0.113.0,1,a\n", "line 1"},
		{"ends of two families", "203.0.113.0,2001:db8::,1,a\n", "line 1"},
		{"a zone", "fe80::%eth0,fe80::1%eth0,1,a\n", "line 1"},
		{"a bad number", "203.0.113.0,203.0.113.255,many,a\n", "line 1"},
		{"a number that is too large", "203.0.113.0,203.0.113.255,4294967296,a\n", "line 1"},
		{"too few columns", "203.0.113.0,203.0.113.255,1,a\n203.0.113.0,203.0.113.255\n", "line 2"},
		{"two layouts in one", "203.0.113.0/24,1,a\n203.0.113.0,203.0.113.255,1,a\n", "line 2"},
		{"a bad prefix", "203.0.113.0/24,1,a\n203.0.113.0/33,1,a\n", "line 2"},
		{"a mapped range wider than IPv4", "203.0.113.0/24,1,a\n::ffff:0:0/90,1,a\n", "line 2"},
		{"ranges that cross", "203.0.113.0,203.0.113.127,1,a\n203.0.113.64,203.0.113.255,2,b\n", "overlaps"},
		{"a file cut off in a line", "203.0.113.0,203.0.113.255,1,a\n203.0.114.0,203.0.114.255,1", "line 2"},
		{"a quote that is not closed", "203.0.113.0,203.0.113.255,1,\"a\n" + strings.Repeat("203.0.114.0,203.0.114.255,1,b\n", 300), "not closed"},
		{"a line without an end", "203.0.113.0,203.0.113.255,1," + strings.Repeat("x", 10_000) + "\n", "line of more than"},
		{"AS 0 only", "203.0.113.0,203.0.113.255,0,a\n", "names no network"},
		{"addresses only", "203.0.113.0\n203.0.113.1\n", "line 2 is neither"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, err := networks.Parse([]byte(c.data))
			if table != nil || !errors.Is(err, networks.ErrBadFile) {
				t.Fatalf("table %v, err = %v, want ErrBadFile", table, err)
			}
			text := err.Error()
			if !strings.Contains(text, c.want) || !strings.Contains(text, "leave the setting out") {
				t.Errorf("the error does not say %q and what to do: %s", c.want, text)
			}
			if len(text) > 600 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b") {
				t.Errorf("the error is not fit to be shown: %q", text)
			}
		})
	}
}

func TestFilesCountAsOne(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	four := write("asn-ipv4.csv", "203.0.113.0,203.0.113.255,64500,a\n")
	six := write("asn-ipv6.csv", "2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,64501,b\n")
	table, err := networks.Open(four, six)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(table, "203.0.113.7") + "; " + ask(table, "2001:db8::7"); got != "AS64500 a 203.0.113.0/24; AS64501 b 2001:db8::/48" {
		t.Error(got)
	}
	if table.Len() != 2 || table.Operators() != 2 {
		t.Errorf("%d networks of %d operators, want 2 of 2", table.Len(), table.Operators())
	}
	if _, err := networks.Open(four, filepath.Join(dir, "none.mmdb")); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "none.mmdb") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := networks.Open(four, write("bad.csv", "x,y\n")); !errors.Is(err, networks.ErrBadFile) || !strings.Contains(err.Error(), "bad.csv") {
		t.Errorf("a bad file: %v", err)
	}
	large := filepath.Join(dir, "large")
	f, err := os.Create(large)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(networks.MaxBytes + 1); err != nil { // a hole: it takes no room
		t.Fatal(err)
	}
	f.Close()
	if _, err := networks.Open(large); !errors.Is(err, networks.ErrBadFile) || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestATableMayBeAskedByManyAtOnce(t *testing.T) {
	table := parse(t, "203.0.113.0/24,64500,a\n2001:db8::/48,64501,b\n")
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				if ask(table, "203.0.113.7") == "nobody" || ask(table, "2001:db8::7") == "nobody" {
					t.Error("nobody")
				}
			}
		})
	}
	wait.Wait()
}

// TestTheNarrowestRangeCounts holds the table against looking at every line.
func TestTheNarrowestRangeCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		var all []netip.Prefix
		for i := range rapid.IntRange(1, 25).Draw(t, "lines") {
			var p netip.Prefix
			if rapid.Bool().Draw(t, "six") {
				a := netip.MustParseAddr("2001:db8::").As16()
				a[6], a[7], a[15] = rapid.Byte().Draw(t, "a")&3, rapid.Byte().Draw(t, "b")&3, rapid.Byte().Draw(t, "c")&3
				p = netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(40, 128).Draw(t, "bits"))
			} else {
				a := [4]byte{byte(rapid.SampledFrom([]int{0, 20, 255}).Draw(t, "a")), rapid.Byte().Draw(t, "b") | 0xfc, rapid.Byte().Draw(t, "c") & 3, rapid.Byte().Draw(t, "d") & 3}
				p = netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(1, 32).Draw(t, "bits"))
			}
			all = append(all, p.Masked())
			fmt.Fprintf(&text, "%s,%d,n%d\n", p.Masked(), i+1, i+1)
		}
		table, err := networks.Parse([]byte(text.String()))
		if err != nil {
			t.Fatal(err)
		}
		for _, around := range all {
			for _, addr := range []netip.Addr{around.Addr(), around.Addr().Prev(), around.Addr().Next()} {
				if !addr.IsValid() {
					continue
				}
				want, widest := 0, -1
				for i, p := range all {
					if p.Contains(addr) && p.Bits() > widest {
						want, widest = i+1, p.Bits()
					}
				}
				asn, _, network := table.Network(addr)
				if int(asn) != want {
					t.Fatalf("%s is AS%d, want AS%d in:\n%s", addr, asn, want, text.String())
				}
				if asn != 0 && (!network.Contains(addr) || network.Bits() < widest || network != network.Masked()) {
					t.Fatalf("%s is in %s, which must hold it and lie in %s", addr, network, all[want-1])
				}
			}
		}
	})
}

// FuzzParse: no file makes it panic, and what it takes can be asked.
func FuzzParse(f *testing.F) {
	m := geolite(6)
	m.add(f, "203.0.113.0/24", geoliteRecord(64500, "Example Net"))
	f.Add(m.bytes())
	f.Add([]byte("203.0.113.0,203.0.113.255,64500,Example Net\n"))
	f.Add([]byte("prefix,asn,name\n::/1,1,x\n8000::/1,2,y\n"))
	f.Add([]byte("0.0.0.0,255.255.255.255,1,x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := networks.Parse(data)
		if err != nil {
			if !errors.Is(err, networks.ErrBadFile) {
				t.Fatalf("%v is not ErrBadFile", err)
			}
			return
		}
		for _, addr := range []string{"0.0.0.0", "203.0.113.7", "255.255.255.255", "::", "2001:db8::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"} {
			a := netip.MustParseAddr(addr)
			if asn, name, network := table.Network(a); asn != 0 && (!network.Contains(a) || !utf8.ValidString(name) || len(name) > 100) {
				t.Fatalf("%s: %d %q %s", addr, asn, name, network)
			}
		}
	})
}

// BenchmarkNetwork asks a table of the size of the public Internet.
func BenchmarkNetwork(b *testing.B) {
	var text strings.Builder
	for i := range 400_000 {
		a := netip.AddrFrom4([4]byte{byte(1 + i>>11), byte(i >> 3), byte(i << 5), 0})
		fmt.Fprintf(&text, "%s,%d,Operator %d\n", netip.PrefixFrom(a, 19), i%70_000+1, i%70_000)
	}
	table := parse(b, text.String())
	addrs := make([]netip.Addr, 1024)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{byte(1 + i%190), byte(i * 7), byte(i * 13), 9})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Network(addrs[i&1023])
		i++
	}
}

// BenchmarkParse reads a CSV of 400,000 networks.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 400_000 {
		a := netip.AddrFrom4([4]byte{byte(1 + i>>11), byte(i >> 3), byte(i << 5), 0})
		fmt.Fprintf(&text, "%s,%d,Operator %d\n", netip.PrefixFrom(a, 19), i%70_000+1, i%70_000)
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := networks.Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
