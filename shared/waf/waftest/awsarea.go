package waftest

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// area is a set of addresses: those of list, or all but those.
type area struct {
	list   []netip.Prefix
	allBut bool
}

var everything = area{allBut: true}

// area returns the addresses from which a request satisfies the statement whatever
// else it has (sure), or with whatever it may have (not sure). Conditions
// on anything but the address may go either way.
//
// Prefixes keep the spelling of their IP sets as long as nothing is cut out of them.
func (s statement) area(w world, sure bool) area {
	switch s.kind {
	case kindIPSet:
		if set := w.sets[s.arn]; set != nil {
			return area{list: set.addresses}
		}
		return area{}
	case kindNot:
		a := s.parts[0].area(w, !sure)
		return area{a.list, !a.allBut}
	case kindOr:
		parts := make([]area, len(s.parts))
		for i, p := range s.parts {
			parts[i] = p.area(w, sure)
		}
		return union(parts)
	case kindAnd:
		parts := make([]area, len(s.parts))
		for i, p := range s.parts {
			parts[i] = p.area(w, sure)
		}
		return intersection(parts)
	}
	if sure {
		return area{}
	}
	return everything
}

func union(parts []area) area {
	if len(parts) == 1 {
		return parts[0]
	}
	var outs []area
	n := 0
	for _, p := range parts {
		n += len(p.list)
	}
	in := make([]netip.Prefix, 0, n)
	for _, p := range parts {
		if p.allBut {
			outs = append(outs, area{list: p.list})
		} else {
			in = append(in, p.list...)
		}
	}
	if outs == nil {
		return area{list: in}
	}
	return area{areaWithout(intersection(outs).list, in), true}
}

func intersection(parts []area) area {
	var out []netip.Prefix
	var ins [][]netip.Prefix
	for _, p := range parts {
		if p.allBut {
			out = append(out, p.list...)
		} else {
			ins = append(ins, p.list)
		}
	}
	if ins == nil {
		return area{out, true}
	}
	in := ins[0]
	for _, more := range ins[1:] {
		in = within(in, more)
	}
	return area{list: areaWithout(in, out)}
}

// prefixes returns the area as a list in order.
func (a area) prefixes() []netip.Prefix {
	list := a.list
	if a.allBut {
		list = areaWithout([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, list)
	}
	return sorted(list)
}

// areaWithout returns list with the addresses of out cut out of it.
func areaWithout(list, out []netip.Prefix) []netip.Prefix {
	if len(out) == 0 {
		return list
	}
	cut := setOf(out)
	ranges := cut.Ranges()
	rest := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		some, all := share(ranges, p)
		switch {
		case !some:
			rest = append(rest, p)
		case !all:
			var b netipx.IPSetBuilder
			b.AddPrefix(p)
			b.RemoveSet(cut)
			rest = append(rest, prefixesOf(&b)...)
		}
	}
	return rest
}

// within returns the parts of list that other has too.
func within(list, other []netip.Prefix) []netip.Prefix {
	keep := setOf(other)
	ranges := keep.Ranges()
	var rest []netip.Prefix
	for _, p := range list {
		some, all := share(ranges, p)
		switch {
		case all:
			rest = append(rest, p)
		case some:
			var b netipx.IPSetBuilder
			b.AddPrefix(p)
			b.Intersect(keep)
			rest = append(rest, prefixesOf(&b)...)
		}
	}
	return rest
}

// share tells whether the ranges, which are in order and apart, have some or all of
// p's addresses. The methods of netipx.IPSet look at every range: with 100,000 addresses that takes minutes.
func share(ranges []netipx.IPRange, p netip.Prefix) (some, all bool) {
	r := netipx.RangeOfPrefix(p)
	i, _ := slices.BinarySearchFunc(ranges, r.From(), func(a netipx.IPRange, from netip.Addr) int { return a.To().Compare(from) })
	if i == len(ranges) || r.To().Less(ranges[i].From()) {
		return false, false
	}
	return true, !r.From().Less(ranges[i].From()) && !ranges[i].To().Less(r.To())
}

func setOf(list []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range list {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		panic(err) // only an invalid prefix, and none is ever stored
	}
	return set
}

func prefixesOf(b *netipx.IPSetBuilder) []netip.Prefix {
	set, err := b.IPSet()
	if err != nil {
		panic(err)
	}
	return set.Prefixes()
}

// sorted returns a new list in order, without repetitions.
func sorted(list []netip.Prefix) []netip.Prefix {
	list = slices.Clone(list)
	if !slices.IsSortedFunc(list, compare) {
		slices.SortFunc(list, compare)
	}
	return slices.Compact(list)
}

func compare(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
