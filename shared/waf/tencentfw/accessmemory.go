package tencentfw

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

var _ waf.Rememberer = (*access)(nil)

// accessMemory is what a run leaves to the next: how many rules and addresses there are by end, so that what has
// ended since is not taken for somebody's doing. It holds no addresses: some 5 kB for 20,000.
type accessMemory struct {
	Version int    `json:"v"`
	At      string `json:"at"` // where; another place's rules say nothing

	Ends    [][3]int64     `json:"ends"`             // of ours that hold: end, rules, addresses that end no later elsewhere
	Foreign [][2]int64     `json:"foreign,omitzero"` // of all other rules: end, rules
	Newest  uint64         `json:"newest,omitzero"`  // time of the last change that was read, in milliseconds
	Fresh   map[uint64]int `json:"fresh,omitzero"`   // rules that we wrote since, and how many addresses they hold
	Others  int            `json:"others,omitzero"`  // addresses that others have in the quota
	Broken  int            `json:"broken,omitzero"`  // rules of ours that do not hold all the time

	Epoch      string `json:"epoch,omitzero"` // short
	Generation uint64 `json:"generation,omitzero"`

	Quota     int   `json:"quota,omitzero"` // what the instance's edition allows, asked at QuotaAt
	QuotaAt   int64 `json:"quota_at,omitzero"`
	NoRepeats bool  `json:"no_repeats,omitzero"` // the cloud refuses an address that it has already
	Domain    int64 `json:"domain_at,omitzero"`  // when the domain was seen to be protected
}

const (
	accessMemoryVersion = 1
	// maxAccessMemory is far more than any number of ends needs: Redis is trusted, but not to hand us a gigabyte.
	maxAccessMemory = 1 << 20
	// clockDoubt is how far the cloud's clock and ours may differ without a rule that has just ended, or is about to,
	// counting as somebody's doing.
	clockDoubt = time.Minute
	maxFresh   = 100 // rules written last; a glance shows ten
)

// Memory implements waf.Rememberer. It is nil when nothing is known for certain.
func (a *access) Memory() []byte {
	a.settle()
	if a.left == nil {
		return nil
	}
	raw, err := json.Marshal(a.left)
	if err != nil {
		panic(err) // numbers and strings always marshal
	}
	return raw
}

// Recall implements waf.Rememberer. A memory that cannot be read, or is another place's, counts as none.
func (a *access) Recall(raw []byte) {
	var m accessMemory
	a.book, a.left, a.seen = nil, nil, nil
	if len(raw) > maxAccessMemory || json.Unmarshal(raw, &m) != nil || m.Version != accessMemoryVersion || m.At != a.where() {
		return
	}
	a.left = &m
}

// where tells places apart.
func (a *access) where() string {
	return strings.Join([]string{a.target.Region, a.target.Domain, a.target.InstanceID, a.label}, " ")
}

// forget is for when an outcome is not known: the next Look reads everything.
func (a *access) forget() { a.book, a.left, a.seen = nil, nil, nil }

// settle brings the memory up to date with what was written.
func (a *access) settle() {
	if a.book == nil {
		return
	}
	old := a.left
	a.left = a.summary()
	if old != nil {
		a.left.keep(old)
	}
}

// keep takes over what the rules do not say.
func (m *accessMemory) keep(old *accessMemory) {
	m.Quota, m.QuotaAt, m.NoRepeats, m.Domain = old.Quota, old.QuotaAt, old.NoRepeats, old.Domain
	if m.Epoch == "" || m.Epoch == old.Epoch { // a rule that said more may be gone
		m.noteStamp(waf.Stamp{Epoch: old.Epoch, Generation: max(m.Generation, old.Generation)})
	}
}

func (m *accessMemory) noteStamp(s waf.Stamp) { m.Epoch, m.Generation = s.Epoch, s.Generation }

// summary is the memory of the book that was read, and of what was written since.
func (a *access) summary() *accessMemory {
	now := a.cfg.Now()
	m := &accessMemory{Version: accessMemoryVersion, At: a.where()}
	ends, foreign := map[int64][2]int64{}, map[int64]int64{}
	mine, theirs := 0, 0
	for _, r := range a.book.rules {
		m.Newest = max(m.Newest, r.ts)
		mine += len(r.texts)
		switch {
		case r.holds(now):
			ends[r.end] = add(ends[r.end], 1, 0)
		case r.over(now):
			foreign[1]++ // long ago, whatever its end says
		default:
			m.Broken++
			foreign[r.end]++
		}
	}
	for _, end := range a.book.ends(now) {
		ends[end] = add(ends[end], 0, 1)
	}
	for _, r := range a.book.other {
		m.Newest = max(m.Newest, r.ts)
		theirs += len(r.texts)
		if r.over(now) {
			foreign[1]++
		} else {
			foreign[r.end]++
		}
	}
	m.Others = max(theirs, a.book.used-mine)
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		m.Ends = append(m.Ends, [3]int64{end, ends[end][0], ends[end][1]})
	}
	for _, end := range slices.Sorted(maps.Keys(foreign)) {
		m.Foreign = append(m.Foreign, [2]int64{end, foreign[end]})
	}
	if last := a.last(); last != nil {
		m.noteStamp(last.stamp) // of the rule, not the highest of all: an operator may have gone back to an older state
	}
	m.Fresh = a.lately()
	return m
}

func add(n [2]int64, rules, addresses int64) [2]int64 {
	return [2]int64{n[0] + rules, n[1] + addresses}
}

// written tells the order of our own writes since the reading; 0: not written since.
func (a *access) written(r *accessRule) int {
	if w, ok := a.seen[r.id]; ok {
		return w.order
	}
	return 0
}

// last returns the rule of ours that was written last, by us or by the cloud's clock; nil if there is none.
func (a *access) last() (last *accessRule) {
	for _, r := range a.book.rules {
		if last == nil || cmp.Or(cmp.Compare(a.written(r), a.written(last)), cmp.Compare(r.ts, last.ts), cmp.Compare(r.id, last.id)) > 0 {
			last = r
		}
	}
	return last
}

func (a *access) lately() map[uint64]int {
	written := slices.SortedFunc(maps.Keys(a.seen), func(x, y uint64) int { return cmp.Compare(a.seen[y].order, a.seen[x].order) })
	fresh := map[uint64]int{}
	for _, id := range written[:min(len(written), maxFresh)] {
		fresh[id] = a.seen[id].size
	}
	return fresh
}

// stamp is what State.Stamp says.
func (m *accessMemory) stamp() *waf.Stamp {
	if m.Epoch == "" {
		return nil
	}
	return &waf.Stamp{Epoch: m.Epoch, Generation: m.Generation}
}

// rules counts the rules of ours that held.
func (m *accessMemory) rules() (n int64) {
	for _, e := range m.Ends {
		n += e[1]
	}
	return n
}

// inForce counts the addresses of ours that hold at a moment.
func (m *accessMemory) inForce(now time.Time) (n int) {
	for _, e := range m.Ends {
		if e[0] == 0 || e[0] > now.Unix() {
			n += int(e[2])
		}
	}
	return n
}

// count returns how many rules there are that end after a moment.
func (m *accessMemory) count(now int64) (n int64) {
	for _, e := range m.Ends {
		if e[0] == 0 || e[0] > now {
			n += e[1]
		}
	}
	for _, e := range m.Foreign {
		if e[0] == 0 || e[0] > now {
			n += e[1]
		}
	}
	return n
}

// fits tells whether the number of rules in force and those written last are as they were left. Where the service
// does not know the filter by ValidStatus it counts all.
func (m *accessMemory) fits(total int, last []*accessRule, now time.Time) bool {
	least, most, all := m.count(now.Add(clockDoubt).Unix()), m.count(now.Add(-clockDoubt).Unix()), m.count(-1)
	if n := int64(total); (n < least || n > most) && n != all || n > 0 && len(last) == 0 {
		return false
	}
	for _, r := range last {
		if size, wrote := m.Fresh[r.id]; wrote {
			if !r.ours || len(r.texts) != size {
				return false
			}
		} else if r.ts > m.Newest {
			return false
		}
	}
	return true
}
