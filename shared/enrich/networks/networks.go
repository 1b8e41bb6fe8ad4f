// Package networks tells who announces an address: the autonomous system's number and
// name, from a file that the user brings.
//
// The file is a MaxMind DB (GeoLite2-ASN, DB-IP ASN, ipinfo's ASN or Lite files) or a CSV
// (the npm package @ip-location-db/asn is a free one, CC BY 4.0, as asn-ipv4.csv and
// asn-ipv6.csv). None is shipped: GeoLite2's licence forbids it, and a file of last year
// names last year's networks.
//
// The whole file is read and checked once, at start, into a compact table; a look-up then
// is a binary search that cannot fail. A file that cannot be read whole is an error that
// says what to do, never a table with holes.
package networks

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a file. The largest free ones have 60 MB and 3 million networks.
const (
	MaxBytes    = 256 << 20
	MaxNetworks = 6_000_000
	maxOperator = 100 // bytes
	maxLine     = 4096
)

// ErrBadFile means that a file is not what this package reads. Nothing of it may be used.
var ErrBadFile = errors.New("network file is not valid")

const advice = "want an MMDB file with autonomous systems (GeoLite2-ASN, ipinfo) or a CSV of start,end,asn,name or prefix,asn,name, unpacked; download it again or leave the setting out"

// Table is what a file says. It does not change once made, is safe for concurrent use,
// and its zero value knows nothing.
type Table struct {
	v4    rows[narrow]
	v6    rows[wide]
	names []operator // by the index in rows; 0 is nobody
}

type operator struct {
	asn  uint32
	name string
}

// Open reads one or more files that count as one, such as one for IPv4 and one for IPv6.
// Where they overlap the narrower network counts, then the earlier file. The kind is told
// by the content, not by the name. Errors of opening and reading are passed on; all
// others wrap ErrBadFile and name the file.
func Open(files ...string) (*Table, error) {
	b := newBuilder()
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			return nil, fmt.Errorf("read network file %s: %w", file, err)
		}
		if err := b.add(data); err != nil {
			return nil, fmt.Errorf("%w: %s: %w; %s", ErrBadFile, file, err, advice)
		}
	}
	return b.table()
}

// Parse is Open for the content of one file. The Table keeps nothing of data.
func Parse(data []byte) (*Table, error) {
	b := newBuilder()
	if err := b.add(data); err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrBadFile, err, advice)
	}
	return b.table()
}

func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxBytes+1))
	if err == nil && len(data) > MaxBytes {
		err = fmt.Errorf("%w: larger than %d bytes; %s", ErrBadFile, MaxBytes, advice)
	}
	return data, err
}

// Network returns who announces addr: the autonomous system, its name, and the widest
// range around addr for which the file says the same in one row. Zero values mean that
// the file knows nobody. About 100 ns, without an allocation.
func (t *Table) Network(addr netip.Addr) (asn uint32, name string, network netip.Prefix) {
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.Is4():
		i, from, to := t.v4.find(key4(addr))
		if i == 0 {
			return 0, "", netip.Prefix{}
		}
		return t.names[i].asn, t.names[i].name, around(addr, from.addr(), to.addr())
	case addr.Is6():
		i, from, to := t.v6.find(key6(addr))
		if i == 0 {
			return 0, "", netip.Prefix{}
		}
		return t.names[i].asn, t.names[i].name, around(addr, from.addr(), to.addr())
	default:
		return 0, "", netip.Prefix{}
	}
}

// Len returns how many ranges the table tells apart, and Operators how many operators.
func (t *Table) Len() int { return t.v4.len() + t.v6.len() }

// Operators returns how many operators the table knows.
func (t *Table) Operators() int { return max(0, len(t.names)-1) }

// around returns the widest prefix that holds addr and lies within from…to.
func around(addr, from, to netip.Addr) netip.Prefix {
	low, high := 0, addr.BitLen() // the widest is at least as narrow as low and as wide as high
	for low < high {
		bits := (low + high) / 2
		p := netip.PrefixFrom(addr, bits).Masked()
		if p.Addr().Less(from) || to.Less(lastOf(p)) {
			low = bits + 1
		} else {
			high = bits
		}
	}
	return netip.PrefixFrom(addr, low).Masked()
}

// kinds of content, by how it begins or what it holds.
func (b *builder) add(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("the file is empty")
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}), bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return errors.New("the file is compressed")
	case bytes.LastIndex(data[max(0, len(data)-128<<10):], []byte("\xab\xcd\xefMaxMind.com")) >= 0:
		return b.addMMDB(data)
	case !utf8.Valid(data[:min(len(data), utf8Sample(data))]) || bytes.IndexByte(data[:min(len(data), 4096)], 0) >= 0:
		return errors.New("the file is neither a MaxMind DB nor text; it may be cut off")
	default:
		return b.addCSV(data)
	}
}

// utf8Sample returns a length of about 4 KB that does not cut a rune.
func utf8Sample(data []byte) int {
	n := min(len(data), 4096)
	for n > 0 && n < len(data) && !utf8.RuneStart(data[n]) {
		n--
	}
	return n
}

// clean makes a name from a file fit to be kept: printable and bounded.
func clean(name string) string {
	name = strings.ToValidUTF8(name, "�")
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(name))
	if len(name) > maxOperator {
		name = strings.ToValidUTF8(name[:maxOperator], "")
	}
	return name
}
