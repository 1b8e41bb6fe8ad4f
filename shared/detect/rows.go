package detect

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tracewall/tracewall/shared/threat"
)

// Rejected is a value from the logs that names nobody who could be blocked: a
// forged address, a private one, a broken row. Count says how many lines it stood in.
type Rejected struct {
	Rule   string `json:"rule"`
	Value  string `json:"value"` // escaped, at most 64 bytes; accounts are masked
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Bounds on what rows can make us hold.
const (
	maxRejected  = 10_000 // different rejected values that are kept apart
	maxValue     = 64     // bytes of a rejected value
	maxCountries = 250
)

// hit is one subject in one window, all spellings together.
type hit struct {
	count       int64
	first, last int64
	countries   []string
	addresses   []string // JSON arrays as they came; read only if the window fires
}

type place struct {
	subject threat.Indicator
	window  int64
}

// Detections reads the rows that the rule's query gave for a span. Rows about one
// subject in one window are summed (an address has several spellings, an IPv6
// address counts for its /64), then each sum above the threshold is a hit, and all
// hits of a subject are one Detection. Windows that start outside the span belong to
// other runs and are passed over. Both results are ordered; neither depends on
// the order of the rows.
func (r Rule) Detections(rows []map[string]string, in Span) ([]threat.Detection, []Rejected) {
	var (
		hits     = make(map[place]*hit, min(len(rows), 1<<16))
		rejected = rejects{rule: r.ID, account: r.Subject.Kind == threat.KindAccount, counts: map[reject]int64{}}
		width    = int64(r.Window / time.Second)
		from, to = in.From.Unix(), in.To.Unix()
	)
	for _, row := range rows {
		subject, count, window, err := r.read(row, width)
		if err != nil {
			rejected.add(row[r.Subject.Column], err, count)
			continue
		}
		if window < from || window >= to {
			continue
		}
		h := hits[place{subject, window}]
		if h == nil {
			h = &hit{first: math.MaxInt64, last: math.MinInt64}
			hits[place{subject, window}] = h
		}
		h.add(r.Columns, row, count, window, width)
	}
	return r.detections(hits, width, &rejected), rejected.list()
}

// read takes from a row what decides. Its count is good even when err is not nil,
// or 1.
func (r Rule) read(row map[string]string, width int64) (subject threat.Indicator, count, window int64, err error) {
	count, err = strconv.ParseInt(strings.TrimSpace(row[r.Columns.Count]), 10, 64)
	if err != nil || count < 1 {
		return subject, 1, 0, errBadCount
	}
	window, err = strconv.ParseInt(strings.TrimSpace(row[r.Columns.Window]), 10, 64)
	if err != nil || window < 0 || window%width != 0 || window > math.MaxInt64-width {
		return subject, count, 0, errBadWindow
	}
	text := row[r.Subject.Column]
	if isNull(text) {
		return subject, count, 0, errNoSubject
	}
	if r.Subject.Kind == threat.KindAccount {
		subject, err = threat.Account(text)
	} else {
		subject, err = threat.ParseLogAddress(text)
	}
	return subject.Unit(), count, window, err
}

var (
	errBadCount  = errors.New("count is not a positive whole number")
	errBadWindow = errors.New("window is not the start of a window")
	errNoSubject = errors.New("no value where the rule looks for one")
	errBadArray  = errors.New("addresses are not a JSON array of text")
	errTooMany   = errors.New("more rejected values than are kept apart")
)

// isNull tells whether a value is SQL's NULL, which comes as the text "null".
func isNull(s string) bool { return s == "" || s == "null" }

func (h *hit) add(c Columns, row map[string]string, count, window, width int64) {
	h.count = saturate(h.count, count)
	h.first = min(h.first, within(row[c.FirstSeen], window, window+width-1, window))
	h.last = max(h.last, within(row[c.LastSeen], window, window+width-1, window+width-1))
	if s := row[c.Countries]; c.Countries != "" && !isNull(s) {
		h.countries = append(h.countries, s)
	}
	if s := row[c.Addresses]; c.Addresses != "" && !isNull(s) {
		h.addresses = append(h.addresses, s)
	}
}

// within reads a time in Unix seconds that must lie in its window; otherwise, and
// where there is none, it is the window's edge.
func within(text string, low, high, otherwise int64) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < low || n > high {
		return otherwise
	}
	return n
}

func saturate(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// detections applies the threshold and gathers each subject's windows.
func (r Rule) detections(hits map[place]*hit, width int64, rejected *rejects) []threat.Detection {
	fired := make([]place, 0, min(len(hits), 1<<12))
	for p, h := range hits {
		if h.count > r.Threshold {
			fired = append(fired, p)
		}
	}
	slices.SortFunc(fired, func(a, b place) int {
		return cmp.Or(a.subject.Compare(b.subject), cmp.Compare(a.window, b.window))
	})
	var all []threat.Detection
	for len(fired) > 0 {
		n := 1
		for n < len(fired) && fired[n].subject == fired[0].subject {
			n++
		}
		all = append(all, r.detection(fired[:n], hits, width, rejected))
		fired = fired[n:]
	}
	return all
}

// detection makes one Detection of one subject's windows, which are in order.
func (r Rule) detection(windows []place, hits map[place]*hit, width int64, rejected *rejects) threat.Detection {
	d := threat.Detection{
		Rule: r.ID, Version: r.Version, Indicator: windows[0].subject, Class: r.Class,
		Severity: r.Severity, Action: r.Action, Term: r.Term, Windows: len(windows),
		Until: time.Unix(windows[len(windows)-1].window+width, 0).UTC(),
	}
	var (
		first, last = int64(math.MaxInt64), int64(math.MinInt64)
		countries   = map[string]bool{}
		addresses   = map[threat.Indicator]bool{}
	)
	for _, w := range windows {
		h := hits[w]
		d.Count = saturate(d.Count, h.count)
		first, last = min(first, h.first), max(last, h.last)
		for _, text := range h.countries {
			readCountries(text, countries)
		}
		for _, text := range h.addresses {
			readAddresses(text, addresses, rejected)
		}
	}
	d.FirstSeen, d.LastSeen = time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC()
	d.Countries = sorted(countries, strings.Compare)
	if r.Columns.Addresses != "" {
		d.Addresses = len(addresses)
		d.Evidence = sorted(addresses, threat.Indicator.Compare)
		if len(d.Evidence) > threat.MaxEvidence {
			d.Evidence = slices.Clip(d.Evidence[:threat.MaxEvidence])
		}
	}
	return d
}

func sorted[K comparable](set map[K]bool, compare func(a, b K) int) []K {
	if len(set) == 0 {
		return nil
	}
	all := make([]K, 0, len(set))
	for k := range set {
		all = append(all, k)
	}
	slices.SortFunc(all, compare)
	return all
}

// readCountries takes one country or a JSON array of them. Countries are for
// people; one that is not short and printable is left out.
func readCountries(text string, into map[string]bool) {
	list := []string{text}
	if strings.HasPrefix(text, "[") {
		if list, _ = texts(text); list == nil {
			return
		}
	}
	for _, c := range list {
		ok := !isNull(c) && len(c) <= maxValue && utf8.ValidString(c) && !strings.ContainsFunc(c, func(r rune) bool { return !unicode.IsPrint(r) })
		if ok && len(into) < maxCountries {
			into[c] = true
		}
	}
}

// readAddresses takes a JSON array of addresses; those that are none are rejected
// one by one.
func readAddresses(text string, into map[threat.Indicator]bool, rejected *rejects) {
	list, ok := texts(text)
	if !ok {
		rejected.addAddress(text, errBadArray)
		return
	}
	for _, s := range list {
		if isNull(s) {
			continue
		}
		ind, err := threat.ParseLogAddress(s)
		if err != nil {
			rejected.addAddress(s, err)
			continue
		}
		into[ind.Unit()] = true
	}
}

// texts reads a JSON array of strings; null in it becomes "".
func texts(text string) ([]string, bool) {
	var list []string
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, false
	}
	return list, true
}

// rejects counts what was rejected, for each value and reason.
type rejects struct {
	rule    string
	account bool
	counts  map[reject]int64
}

type reject struct{ value, reason string }

func (r *rejects) add(value string, err error, count int64) {
	switch {
	case isNull(value):
		value = ""
	case r.account:
		// What was meant as an account may be a person's name.
		value = threat.Mask(strings.ToValidUTF8(value, "?"))
	}
	r.note(value, err, count)
}

func (r *rejects) addAddress(value string, err error) { r.note(value, err, 1) }

func (r *rejects) note(value string, err error, count int64) {
	key := reject{Escape(value), strings.TrimPrefix(err.Error(), threat.ErrRejected.Error()+": ")}
	if _, ok := r.counts[key]; !ok && len(r.counts) >= maxRejected {
		key = reject{"", errTooMany.Error()}
	}
	r.counts[key] = saturate(r.counts[key], count)
}

// list returns what was rejected: most lines first, then by value.
func (r *rejects) list() []Rejected {
	if len(r.counts) == 0 {
		return nil
	}
	all := make([]Rejected, 0, len(r.counts))
	for k, n := range r.counts {
		all = append(all, Rejected{Rule: r.rule, Value: k.value, Reason: k.reason, Count: n})
	}
	sortRejected(all)
	return all
}

func sortRejected(all []Rejected) {
	slices.SortFunc(all, func(a, b Rejected) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Rule, b.Rule))
	})
}

// Escape makes a value from the logs fit for a report or a terminal: unprintable
// characters and bytes that are not UTF-8 are written as escapes, and the whole is at most 64 bytes.
func Escape(value string) string {
	var b strings.Builder
	fits := 0 // how much stays when the rest has to be cut
	for i := 0; i < len(value); {
		c, size := utf8.DecodeRuneInString(value[i:])
		switch {
		case c == utf8.RuneError && size == 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(value[i])|0x100, 16)[1:])
		case !unicode.IsPrint(c):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(c), "'"))
		default:
			b.WriteRune(c)
		}
		if b.Len() > maxValue {
			return b.String()[:fits] + "…"
		}
		if b.Len() <= maxValue-len("…") {
			fits = b.Len()
		}
		i += size
	}
	return b.String()
}
