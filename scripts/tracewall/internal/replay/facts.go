//go:build cgo

package replay

import (
	"math"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// remembered is what is known of addresses that may be named later. Of everybody it is kept
// for a day or two, of those who were named for good.
type remembered[T any] struct {
	join   func(a, b T) T
	named  map[threat.Indicator]T
	recent map[threat.Indicator]T
	before map[threat.Indicator]T
	since  time.Time // when recent began
}

const (
	// rememberedFor is how long somebody is remembered before being named, at least, unless there are too many.
	rememberedFor = 24 * time.Hour
	// maxRemembered bounds recent and before, each, between two batches: about 60 MB.
	maxRemembered = 400_000
)

func newRemembered[T any](join func(a, b T) T) remembered[T] {
	return remembered[T]{join: join, named: map[threat.Indicator]T{}, recent: map[threat.Indicator]T{}}
}

// rotate forgets the oldest. When there are too many, those go first who are worth little.
func (m *remembered[T]) rotate(end time.Time, worthless func(T) bool) {
	if m.since.IsZero() {
		m.since = end
	}
	if len(m.recent) >= maxRemembered {
		for ind, known := range m.recent {
			if worthless(known) {
				delete(m.recent, ind)
			}
		}
	}
	if end.Sub(m.since) >= rememberedFor || len(m.recent) >= maxRemembered*3/4 {
		m.before, m.recent, m.since = m.recent, map[threat.Indicator]T{}, end
	}
}

// add joins what was seen to what is known. rotate has been called before.
func (m *remembered[T]) add(ind threat.Indicator, seen T) {
	into := m.recent
	if _, ok := m.named[ind]; ok {
		into = m.named
	}
	into[ind] = m.join(into[ind], seen)
}

// name keeps for good what is known of somebody.
func (m *remembered[T]) name(ind threat.Indicator) {
	if _, ok := m.named[ind]; ok {
		return
	}
	m.named[ind] = m.join(m.before[ind], m.recent[ind])
	delete(m.recent, ind)
}

// facts collects what speaks for addresses (rules of class context).
type facts struct {
	remembered[detect.Facts]
	asked    bool // there is a rule that tells
	ordinary int64
}

func newFacts(rules []detect.Rule) *facts {
	f := &facts{remembered: newRemembered(joinedFacts)}
	for _, r := range rules {
		f.asked = f.asked || r.Class == detect.ClassContext
	}
	return f
}

// oneRequest speaks for nobody, and floods are made of it.
func oneRequest(f detect.Facts) bool { return f.Ordinary < 2 && f.Successes == 0 }

// add takes in what one rule says about one span, which ends at a time.
func (f *facts) add(ds []threat.Detection, end time.Time) {
	f.rotate(end, oneRequest)
	var total int64
	for _, d := range ds {
		total = max(total, d.Total)
		f.remembered.add(d.Indicator, detect.Facts{Ordinary: d.Count, Users: d.Users, Successes: d.Successes})
	}
	f.ordinary = added(f.ordinary, total)
}

// fill writes the facts of those who were named.
func (f *facts) fill(g *detect.Gathered) {
	if f.asked {
		g.Facts, g.Ordinary = f.named, f.ordinary
	}
}

func joinedFacts(a, b detect.Facts) detect.Facts {
	return detect.Facts{Ordinary: added(a.Ordinary, b.Ordinary), Users: max(a.Users, b.Users), Successes: added(a.Successes, b.Successes)}
}

// joinedSamples keeps the first few in order of the alphabet, as detections do.
func joinedSamples(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), threat.MaxSamples)]
}

func added(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
