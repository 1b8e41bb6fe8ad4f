package wafbench

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
)

// Attackers makes addresses that lie as those of real attackers do, and the same
// ones for the same seed. On published lists a third of the networks of 65,536
// holds two thirds of the addresses, some networks of 256 are taken almost whole,
// and every fifth to third address has a neighbour on the list. A placement by
// address fares better or worse for it than it would with addresses drawn at random.
type Attackers struct {
	rng  *rand.Rand
	used map[uint32]bool
	made []uint32
	nets []uint32 // networks of 65,536, the busiest first
}

// How the next address is found.
const (
	nextToOne = 0.14 // right beside one that is there
	inItsNet  = 0.30 // in the network of 256 of one that is there
	busyNets  = 6000 // networks of 65,536 that hold the rest
)

// NewAttackers returns the attackers of a seed.
func NewAttackers(seed uint64) *Attackers {
	a := &Attackers{rng: rand.New(rand.NewPCG(seed, 0x7ac3)), used: map[uint32]bool{}}
	seen := map[uint32]bool{}
	for len(a.nets) < busyNets {
		n := a.rng.Uint32N(1 << 16)
		if public(n<<16) && !seen[n] {
			seen[n] = true
			a.nets = append(a.nets, n)
		}
	}
	return a
}

// Next returns an address that was not there before, as a range of one.
func (a *Attackers) Next() netip.Prefix {
	for {
		v := a.candidate()
		if public(v) && !a.used[v] {
			a.used[v] = true
			a.made = append(a.made, v)
			return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), 32)
		}
	}
}

func (a *Attackers) candidate() uint32 {
	how := a.rng.Float64()
	if len(a.made) > 0 && how < nextToOne+inItsNet {
		v := a.made[a.rng.IntN(len(a.made))]
		if how < nextToOne {
			return v + 1 - 2*a.rng.Uint32N(2)
		}
		return v&^0xff | a.rng.Uint32N(1<<8)
	}
	// The square makes the first networks the busiest.
	f := a.rng.Float64()
	return a.nets[int(f*f*float64(len(a.nets)))]<<16 | a.rng.Uint32N(1<<16)
}

// public leaves out what nobody attacks from over the Internet.
func public(v uint32) bool {
	for _, r := range [...]struct{ net, bits uint32 }{
		{0, 8},
		{10 << 24, 8},
		{100<<24 | 64<<16, 10},
		{127 << 24, 8},
		{169<<24 | 254<<16, 16},
		{172<<24 | 16<<16, 12},
		{192 << 24, 24},
		{192<<24 | 168<<16, 16},
		{198<<24 | 18<<16, 15},
		{224 << 24, 3},
	} {
		if v>>(32-r.bits) == r.net>>(32-r.bits) {
			return false
		}
	}
	return true
}

// ReadList reads one address or range a line; what follows it after a blank, and
// lines that begin with # or are empty, are left out, as in published lists.
func ReadList(file string) ([]netip.Prefix, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	defer in.Close()
	var list []netip.Prefix
	seen := map[netip.Prefix]bool{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		p, err := netip.ParsePrefix(fields[0])
		if err != nil {
			addr, aerr := netip.ParseAddr(fields[0])
			if aerr != nil {
				return nil, fmt.Errorf("read list %s: line %d: want an address or a range: %w", file, n, aerr)
			}
			addr = addr.Unmap().WithZone("")
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if p = p.Masked(); !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read list %s: %w", file, err)
	}
	return list, nil
}
