package networks

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// builder collects what files say.
type builder struct {
	v4     []claim[narrow]
	v6     []claim[wide]
	names  []operator
	byName map[operator]uint32
}

func newBuilder() *builder {
	return &builder{names: []operator{{}}, byName: map[operator]uint32{}}
}

// operator returns the index of an operator.
func (b *builder) operator(asn uint32, name string) uint32 {
	o := operator{asn, name}
	i, ok := b.byName[o]
	if !ok {
		o.name = strings.Clone(name) // it may be part of a whole line
		i = uint32(len(b.names))
		b.names = append(b.names, o)
		b.byName[o] = i
	}
	return i
}

var errMany = fmt.Errorf("more than %d networks", MaxNetworks)

// claim notes that from…to, both included and of one family, are an operator's.
func (b *builder) claim(from, to netip.Addr, who uint32) error {
	if len(b.v4)+len(b.v6) >= MaxNetworks {
		return errMany
	}
	if from.Is4() {
		b.v4 = append(b.v4, claim[narrow]{key4(from), key4(to), who})
	} else {
		b.v6 = append(b.v6, claim[wide]{key6(from), key6(to), who})
	}
	return nil
}

func (b *builder) table() (*Table, error) {
	if len(b.v4)+len(b.v6) == 0 {
		return nil, fmt.Errorf("%w: it names no network; %s", ErrBadFile, advice)
	}
	v4, err := flatten(b.v4)
	if err == nil {
		var v6 rows[wide]
		if v6, err = flatten(b.v6); err == nil {
			return &Table{v4, v6, b.names}, nil
		}
	}
	return nil, fmt.Errorf("%w: a range %w; %s", ErrBadFile, err, advice)
}

// bounds returns the first and last address of a range that a file writes as a prefix,
// unmapped. IPv4-mapped ranges that are wider than IPv4 are refused.
func bounds(p netip.Prefix) (from, to netip.Addr, err error) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if !p.IsValid() || p.Addr().Zone() != "" || p.Addr().Is4In6() {
		return from, to, errors.New("not an address range")
	}
	p = p.Masked()
	return p.Addr(), lastOf(p), nil
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	if p.Addr().Is4() {
		return (key4(p.Addr()) | narrow(uint64(1)<<(32-p.Bits())-1)).addr()
	}
	k := key6(p.Addr())
	if p.Bits() <= 64 {
		k.low = ^uint64(0)
		if p.Bits() < 64 {
			k.high |= 1<<(64-p.Bits()) - 1
		}
	} else {
		k.low |= 1<<(128-p.Bits()) - 1
	}
	return k.addr()
}
