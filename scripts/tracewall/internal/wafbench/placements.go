package wafbench

import (
	"hash/fnv"
	"net/netip"
	"slices"
)

// overlay never moves an address out of a base set: newcomers go into one additions
// set, what leaves is named in one exceptions set, and a full one is folded into the base sets.
type overlay struct {
	size      int
	bases     []int                // how many addresses each holds, excepted ones too
	where     map[netip.Prefix]int // base set, or inAdditions
	additions int
	excepted  map[netip.Prefix]bool
}

const inAdditions = -1

func (o *overlay) sets() (n, excepted int) { return len(o.bases) + 2, len(o.excepted) }

func (o *overlay) sync(h *History) (l load, err error) {
	if o.where == nil {
		o.where, o.excepted = map[netip.Prefix]int{}, map[netip.Prefix]bool{}
		for i, w := range h.live {
			if i%o.size == 0 {
				o.bases = append(o.bases, 0)
			}
			o.where[w.Prefix] = len(o.bases) - 1
			o.bases[len(o.bases)-1]++
		}
		return load{len(o.bases) + 3, len(h.live)}, nil
	}
	dirtyA, dirtyE := false, false
	for _, p := range h.last.Removed {
		if o.where[p] == inAdditions {
			delete(o.where, p)
			o.additions, dirtyA = o.additions-1, true
		} else {
			o.excepted[p], dirtyE = true, true
		}
	}
	for _, p := range h.last.Added {
		if o.excepted[p] {
			delete(o.excepted, p)
			dirtyE = true
			continue
		}
		o.where[p] = inAdditions
		o.additions, dirtyA = o.additions+1, true
	}
	if len(o.excepted) > o.size {
		l = o.fold()
		dirtyA, dirtyE = true, true
	}
	for o.additions > o.size { // it becomes a base set, another one takes its place
		o.bases = append(o.bases, 0)
		for p, at := range o.where {
			if at == inAdditions && o.bases[len(o.bases)-1] < o.size {
				o.where[p] = len(o.bases) - 1
				o.bases[len(o.bases)-1]++
				o.additions--
			}
		}
		l.writes += 2 // it, and the rule
		l.addresses += o.size
		dirtyA = true
	}
	if dirtyA {
		l.writes++
		l.addresses += o.additions
	}
	if dirtyE {
		l.writes++
		l.addresses += len(o.excepted)
	}
	return l, nil
}

// fold takes what is excepted out of the base sets and fills the places with additions.
func (o *overlay) fold() (l load) {
	dirty := make([]bool, len(o.bases))
	for p := range o.excepted {
		dirty[o.where[p]] = true
		o.bases[o.where[p]]--
		delete(o.where, p)
	}
	clear(o.excepted)
	i := 0
	for p, at := range o.where {
		if at != inAdditions {
			continue
		}
		for i < len(o.bases) && (!dirty[i] || o.bases[i] == o.size) {
			i++
		}
		if i == len(o.bases) {
			break
		}
		o.where[p] = i
		o.bases[i]++
		o.additions--
	}
	for i, d := range dirty {
		if d {
			l.writes++
			l.addresses += o.bases[i]
		}
	}
	return l
}

// positional cuts the sorted list into sets, as the simplest programs do.
type positional struct {
	size int
	last [][]netip.Prefix
}

func (p *positional) sets() (n, excepted int) { return len(p.last), 0 }

func (p *positional) sync(h *History) (l load, err error) {
	var now [][]netip.Prefix
	for chunk := range slices.Chunk(prefixesOf(h.Desired().Wants), p.size) {
		if n := len(now); n >= len(p.last) || !slices.Equal(p.last[n], chunk) {
			l.writes++
			l.addresses += len(chunk)
		}
		now = append(now, chunk)
	}
	if len(now) != len(p.last) {
		l.writes++ // the rule
	}
	p.last = now
	return l, nil
}

// hashed gives each address a set by its hash. The number of sets has a tenth of
// head-room at first; when one is full after all, all are made anew.
type hashed struct {
	size   int
	counts []int
}

func (p *hashed) sets() (n, excepted int) { return len(p.counts), 0 }

func (p *hashed) at(prefix netip.Prefix) int {
	h := fnv.New64a()
	b, _ := prefix.MarshalBinary()
	_, _ = h.Write(b)
	return int(h.Sum64() >> 32 % uint64(len(p.counts)))
}

func (p *hashed) sync(h *History) (l load, err error) {
	if p.counts == nil {
		return p.anew(h), nil
	}
	dirty := make([]bool, len(p.counts))
	for _, r := range h.last.Removed {
		i := p.at(r)
		p.counts[i], dirty[i] = p.counts[i]-1, true
	}
	for _, a := range h.last.Added {
		i := p.at(a)
		p.counts[i], dirty[i] = p.counts[i]+1, true
	}
	for i, d := range dirty {
		if p.counts[i] > p.size {
			return p.anew(h), nil
		}
		if d {
			l.writes++
			l.addresses += p.counts[i]
		}
	}
	return l, nil
}

func (p *hashed) anew(h *History) load {
	n := len(h.live)*11/(10*p.size) + 1
	for {
		p.counts = make([]int, n)
		for _, w := range h.live {
			p.counts[p.at(w.Prefix)]++
		}
		if slices.Max(p.counts) <= p.size {
			return load{n + 1, len(h.live)}
		}
		n++
	}
}

// groups is the founding story's: all groups and the rules are written in every run.
type groups struct{ size, n int }

func (g *groups) sets() (n, excepted int) { return g.n, 0 }

func (g *groups) sync(h *History) (load, error) {
	g.n = (len(h.live) + g.size - 1) / g.size
	return load{g.n + 1, len(h.live)}, nil
}
