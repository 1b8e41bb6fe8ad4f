package waf

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
)

// Sum is an order-free fingerprint of a list of prefixes that can be added: the
// sum of two disjoint lists' Sums is the Sum of both together. So the marks of all
// sets, added up, prove that the sets together hold exactly the desired list,
// however the list is spread over them, and no address need be read.
//
// It is the sum, modulo 2^256, of one SHA-256 per prefix. The hash is keyed with the
// list's epoch, which attackers do not see: with a known key, whoever controls
// many addresses could look for two lists with the same Sum (Wagner's generalised birthday attack).
type Sum [4]uint64

// Add returns the Sum of both lists.
func (s Sum) Add(t Sum) Sum {
	var carry uint64
	for i := range s {
		s[i], carry = bits.Add64(s[i], t[i], carry)
	}
	return s
}

// Sub returns the Sum of what is left of a list when those of the other list are taken out of it.
func (s Sum) Sub(t Sum) Sum {
	var borrow uint64
	for i := range s {
		s[i], borrow = bits.Sub64(s[i], t[i], borrow)
	}
	return s
}

// String returns 64 hexadecimal digits.
func (s Sum) String() string {
	var b [32]byte
	for i, w := range s {
		binary.BigEndian.PutUint64(b[8*i:], w)
	}
	return hex.EncodeToString(b[:])
}

// ParseSum reads what String wrote.
func ParseSum(text string) (Sum, error) {
	var s Sum
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 32 {
		return s, fmt.Errorf("sum %q: %w: want 64 hexadecimal digits", text, ErrInvalid)
	}
	for i := range s {
		s[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return s, nil
}

// SumOf returns the Sum of a list without duplicates under an epoch.
func SumOf(epoch string, prefixes []netip.Prefix) Sum {
	return sumOf(epoch, len(prefixes), func(i int) netip.Prefix { return prefixes[i] })
}

func sumOfPicks(epoch string, picks []pick) Sum {
	return sumOf(epoch, len(picks), func(i int) netip.Prefix { return picks[i].Prefix })
}

func sumOf(epoch string, n int, at func(i int) netip.Prefix) Sum {
	var msg [32 + 16 + 2]byte // one SHA-256 block: cheap enough for a million
	key := sha256.Sum256([]byte("tracewall set sum v1 " + epoch))
	copy(msg[:], key[:])
	var total Sum
	for i := range n {
		p := at(i)
		addr := p.Addr().As16()
		copy(msg[32:], addr[:])
		msg[48], msg[49] = byte(FamilyOf(p)), byte(p.Bits())
		h := sha256.Sum256(msg[:])
		var s Sum
		for j := range s {
			s[j] = binary.BigEndian.Uint64(h[8*j:])
		}
		total = total.Add(s)
	}
	return total
}
