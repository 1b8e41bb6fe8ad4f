package detect

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/tracewall/tracewall/shared/threat"
)

// Brake stops a run that would act on too many at once: a broken rule, a log format
// that changed, a test that went live, somebody who wants others blocked. 0 means
// that a limit is not set. It counts indicators that are not on the list yet.
type Brake struct {
	MaxNew     int // in one run
	MaxGrowth  int // percent of the list, once the list has growthFrom entries
	MaxShare   int // percent of the ordinary requests of everybody, once there are shareFrom
	MaxCountry int // of one country
	MaxNetwork int // of one network: an IPv4 /16, an IPv6 /32
}

// DefaultBrake is the brake of a deployment that sets none: well above the thousands of
// addresses of the founding story, which came from all over the world.
func DefaultBrake() Brake {
	return Brake{MaxNew: 50_000, MaxGrowth: 1000, MaxShare: 5, MaxCountry: 10_000, MaxNetwork: 2_000}
}

// A percentage of little means nothing.
const (
	growthFrom = 1000 // entries on the list
	shareFrom  = 1000 // ordinary requests
)

// load is what a run is about to do, as far as the brake weighs it.
type load struct {
	fresh    []Judgement // to be blocked or challenged, not on the list yet
	size     int         // of the list
	ordinary int64       // requests of everybody that went well; 0: not known
}

// holds says why the brake must hold, or "".
func (b Brake) holds(l load) string {
	n := len(l.fresh)
	switch growth, country, network := percentOf(int64(n), int64(l.size)), l.country(), l.network(); {
	case b.MaxNew > 0 && n > b.MaxNew:
		return fmt.Sprintf("%d indicators would be new on the list in one run, and %d are allowed", n, b.MaxNew)
	case b.MaxGrowth > 0 && l.size >= growthFrom && growth > int64(b.MaxGrowth):
		return fmt.Sprintf("the list of %d would grow by %d %%, and %d %% is allowed", l.size, growth, b.MaxGrowth)
	case b.MaxCountry > 0 && country.n > b.MaxCountry:
		return fmt.Sprintf("%d new indicators are of one country, %s, and %d are allowed", country.n, Escape(country.name), b.MaxCountry)
	case b.MaxNetwork > 0 && network.n > b.MaxNetwork:
		return fmt.Sprintf("%d new indicators are of one network, %s, and %d are allowed", network.n, network.name, b.MaxNetwork)
	}
	good, everybody := l.good()
	share := percentOf(good, everybody)
	if b.MaxShare > 0 && everybody >= shareFrom && share > int64(b.MaxShare) {
		return fmt.Sprintf("%d %% of the ordinary requests come from those who would be blocked, and %d %% is allowed", share, b.MaxShare)
	}
	return ""
}

func percentOf(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part) / float64(whole) * 100)
}

// good is how many ordinary requests come from those who would be acted on, and how many from everybody. A
// flood's own requests went well, too, and are most of what a small site gets: what is held against somebody
// is not counted. Whose gateway or crawler it would be has asked before, and goes on to count.
func (l load) good() (theirs, everybody int64) {
	everybody = l.ordinary
	for _, j := range l.fresh {
		if j.Facts == nil {
			continue
		}
		var against int64
		for _, d := range j.Detections {
			against = max(against, d.Count)
		}
		against = min(against, j.Facts.Ordinary)
		theirs, everybody = saturate(theirs, j.Facts.Ordinary-against), everybody-against
	}
	return theirs, max(everybody, theirs)
}

// crowd is how many share a name.
type crowd struct {
	name string
	n    int
}

func largest(counts map[string]int) crowd {
	var most crowd
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] > most.n {
			most = crowd{name, counts[name]}
		}
	}
	return most
}

// country returns the country with the most addresses. Accounts have none: their
// addresses are all over the world.
func (l load) country() crowd {
	counts := map[string]int{}
	for _, j := range l.fresh {
		if j.Indicator.Kind() != threat.KindAddress {
			continue
		}
		if codes := countriesOf(j.Detections); len(codes) == 1 {
			counts[codes[0]]++
		}
	}
	return largest(counts)
}

func countriesOf(ds []threat.Detection) []string {
	var all []string
	for _, d := range ds {
		all = union(all, d.Countries, cmp.Compare[string])
	}
	return all
}

func (l load) network() crowd {
	counts := map[string]int{}
	for _, j := range l.fresh {
		p := j.Indicator.Prefix()
		if !p.IsValid() {
			continue
		}
		bits := 32
		if p.Addr().Is4() {
			bits = 16
		}
		counts[netip.PrefixFrom(p.Addr(), min(bits, p.Bits())).Masked().String()]++
	}
	return largest(counts)
}
