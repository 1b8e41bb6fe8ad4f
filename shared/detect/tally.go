package detect

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/webattack"
)

// subject is whom or what a row is about: an indicator, or what a campaign shares.
type subject struct {
	indicator threat.Indicator
	shared    string
}

func (s subject) compare(t subject) int {
	return cmp.Or(s.indicator.Compare(t.indicator), cmp.Compare(s.shared, t.shared))
}

// place is one subject in one window.
type place struct {
	subject subject
	window  int64
}

// hit is what all rows about one place say, all spellings of an address together.
type hit struct {
	count       int64
	first, last int64
	also, users int64
	successes   int64
	total       int64
	clients     int64
	tags        []string
	samples     []string
	countries   []string
	addresses   []string // JSON arrays as they came, as are accounts; read only if the window fires
	accounts    []string
}

// tally is the rows of one answer, added up.
type tally struct {
	rule     Rule
	width    int64 // of a window, in seconds
	hits     map[place]*hit
	rejected rejects
}

// tally adds up the rows of the span, and of the windows before it that add up with
// one inside.
func (r Rule) tally(rows []map[string]string, in Span) *tally {
	t := &tally{
		rule: r, width: int64(r.Window / time.Second), hits: make(map[place]*hit, min(len(rows), 1<<16)),
		rejected: rejects{rule: r.ID, account: r.Subject.Kind == threat.KindAccount, counts: map[reject]int64{}},
	}
	from, to := in.From.Add(-r.before()).Unix(), in.To.Unix()
	for _, row := range rows {
		tags, ok := r.attack(row)
		if !ok {
			continue
		}
		subject, count, window, err := r.read(row, t.width)
		if err != nil {
			t.rejected.add(row[r.Subject.Column], err, count)
			continue
		}
		if window < from || window >= to {
			continue
		}
		h := t.hits[place{subject, window}]
		if h == nil {
			h = &hit{first: math.MaxInt64, last: math.MinInt64}
			t.hits[place{subject, window}] = h
		}
		h.add(r.Columns, row, count, window, t.width)
		h.addTags(tags)
	}
	return t
}

// total is what the rows say of everybody, over the span's windows: each row of a window says the same.
func (t *tally) total(in Span) (sum int64) {
	windows := map[int64]int64{}
	for p, h := range t.hits {
		if p.window >= in.From.Unix() {
			windows[p.window] = max(windows[p.window], h.total)
		}
	}
	for _, n := range windows {
		sum = saturate(sum, n)
	}
	return sum
}

// before is how long before a window others add up with it.
func (r Rule) before() time.Duration { return max(0, r.Over-r.Window) }

// Reach is how far before a span the query must look: lines that it joins, and
// windows that add up with the span's first.
func (r Rule) Reach() time.Duration { return r.Margin + r.before() }

// attack tells whether a row counts, and which attacks its text shows.
func (r Rule) attack(row map[string]string) (tags []string, ok bool) {
	if r.Content == nil {
		return nil, true
	}
	text := func(i int) string {
		if i >= len(r.Content.Columns) || isNull(row[r.Content.Columns[i]]) {
			return ""
		}
		return row[r.Content.Columns[i]]
	}
	for _, f := range webattack.Inspect(webattack.Request{Path: text(0), Agent: text(1), Referer: text(2)}) {
		if slices.Contains(r.Content.Classes, f.Class) {
			tags = append(tags, string(f.Class))
			if f.Class == webattack.Exploit && f.Name != "" {
				tags = append(tags, f.Name)
			}
		}
	}
	return tags, len(tags) > 0
}

func (h *hit) add(c Columns, row map[string]string, count, window, width int64) {
	h.count = saturate(h.count, count)
	h.first = min(h.first, within(row[c.FirstSeen], window, window+width-1, window))
	h.last = max(h.last, within(row[c.LastSeen], window, window+width-1, window+width-1))
	h.successes = saturate(h.successes, natural(row[c.Successes]))
	// A /64 is several rows: what may be the same in each of them is not added up.
	h.also, h.users = max(h.also, natural(row[c.Also])), max(h.users, natural(row[c.Users]))
	h.total, h.clients = max(h.total, natural(row[c.Total])), max(h.clients, natural(row[c.Clients]))
	for _, of := range []struct {
		column string
		into   *[]string
	}{{c.Countries, &h.countries}, {c.Addresses, &h.addresses}, {c.Accounts, &h.accounts}} {
		if s := row[of.column]; of.column != "" && !isNull(s) {
			*of.into = append(*of.into, s)
		}
	}
	if s := row[c.Sample]; c.Sample != "" && !isNull(s) {
		h.samples = addSamples(h.samples, s)
	}
}

func (h *hit) addTags(tags []string) {
	h.tags = union(h.tags, tags, strings.Compare)
	h.tags = h.tags[:min(len(h.tags), maxTags)]
}

// maxTags bounds the tags of a detection.
const maxTags = 20

// addSamples keeps the first few in order of the alphabet, so that the order in
// which rows come does not matter, cut to size.
func addSamples(samples []string, more ...string) []string {
	cut := make([]string, len(more))
	for i, s := range more {
		cut[i] = clip(strings.ToValidUTF8(s, "\uFFFD"), threat.MaxSample-len("…"))
	}
	samples = union(samples, cut, strings.Compare)
	return samples[:min(len(samples), threat.MaxSamples)]
}

// natural reads a number that need not be there.
func natural(text string) int64 {
	if text == "" { // which most rules' rows leave most columns
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// fired yields each subject that is above the threshold with the windows that are
// to blame, both in order.
func (t *tally) fired(in Span) iter.Seq2[subject, []place] {
	all := make([]place, 0, min(len(t.hits), 1<<12))
	for p, h := range t.hits {
		if t.rule.Over > 0 || h.count > t.rule.Threshold {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(a.subject.compare(b.subject), cmp.Compare(a.window, b.window))
	})
	return func(yield func(subject, []place) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].subject == all[0].subject {
				n++
			}
			windows := all[:n]
			if t.rule.Over > 0 {
				windows = t.together(windows, in.From.Unix())
			}
			if len(windows) > 0 && !yield(all[0].subject, windows) {
				return
			}
			all = all[n:]
		}
	}
}

// together returns those of a subject's windows that, with others less than Over
// before the last of them, come to more than the threshold. The last one must lie in
// the span, which begins at from.
func (t *tally) together(windows []place, from int64) []place {
	over := int64(t.rule.Over / time.Second)
	var (
		guilty []place
		sum    int64
		first  int // of the windows that add up
	)
	for i, w := range windows {
		sum = saturate(sum, t.hits[w].count)
		for windows[first].window <= w.window-over {
			sum -= t.hits[windows[first]].count
			first++
		}
		if w.window < from || sum <= t.rule.Threshold {
			continue
		}
		next := first
		if n := len(guilty); n > 0 {
			for next <= i && windows[next].window <= guilty[n-1].window {
				next++
			}
		}
		guilty = append(guilty, windows[next:i+1]...)
	}
	return guilty
}
