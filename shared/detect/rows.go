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
	maxShared    = 512    // bytes of what a campaign shares
	maxAccounts  = 10_000 // different accounts on an address that are kept apart
)

// Detections reads the rows that the rule's query gave for a span. Rows about one
// subject in one window are summed (an address has several spellings, an IPv6
// address counts for its /64), then each sum above the threshold is a hit, and all
// hits of a subject are one Detection. Windows that start outside the span belong to
// other runs: they are passed over, but for those that add up with one inside (Over).
// Both results are ordered; neither depends on the order of the rows.
//
// A rule about a campaign has no Detections; see Campaigns.
func (r Rule) Detections(rows []map[string]string, in Span) ([]threat.Detection, []Rejected) {
	if r.Subject.Campaign != "" {
		return nil, nil
	}
	t := r.tally(rows, in)
	return r.detections(t, in), t.rejected.list()
}

func (r Rule) detections(t *tally, in Span) (all []threat.Detection) {
	if r.Subject.Campaign != "" {
		return nil
	}
	for subject, windows := range t.fired(in) {
		d := r.detection(windows, t)
		d.Indicator = subject.indicator
		all = append(all, d)
	}
	return all
}

// read takes from a row what decides. Its count is good even when err is not nil,
// or 1.
func (r Rule) read(row map[string]string, width int64) (subject subject, count, window int64, err error) {
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
	subject, err = r.subject(text)
	return subject, count, window, err
}

// subject reads whom or what a row is about.
func (r Rule) subject(text string) (s subject, err error) {
	switch {
	case r.Subject.Campaign != "":
		s.shared = clip(text, maxShared)
	case r.Subject.Kind == threat.KindAccount:
		s.indicator, err = threat.Account(text)
	default:
		s.indicator, err = threat.ParseLogAddress(text)
		s.indicator = s.indicator.Unit()
	}
	return s, err
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

// detection makes one Detection of one subject's windows, which are in order. Its
// Indicator is for the caller to fill in.
func (r Rule) detection(windows []place, t *tally) threat.Detection {
	d := threat.Detection{
		Rule: r.ID, Version: r.Version, Class: r.Class, Tags: slices.Clone(r.Tags),
		Severity: r.Severity, Action: r.Action, Term: r.Term, Threshold: r.Threshold, Windows: len(windows),
		Until: time.Unix(windows[len(windows)-1].window+t.width, 0).UTC(),
	}
	var (
		first, last = int64(math.MaxInt64), int64(math.MinInt64)
		countries   = map[string]bool{}
		addresses   = map[threat.Indicator]bool{}
		accounts    = map[string]bool{}
	)
	for _, w := range windows {
		h := t.hits[w]
		d.Count = saturate(d.Count, h.count)
		d.Successes, d.Total = saturate(d.Successes, h.successes), saturate(d.Total, h.total)
		d.Also, d.Users = max(d.Also, h.also), max(d.Users, int(min(h.users, math.MaxInt32)))
		first, last = min(first, h.first), max(last, h.last)
		d.Tags = append(d.Tags, h.tags...)
		d.Samples = addSamples(d.Samples, h.samples...)
		for _, text := range h.countries {
			readCountries(text, countries)
		}
		for _, text := range h.addresses {
			readAddresses(text, addresses, &t.rejected)
		}
		for _, text := range h.accounts {
			readAccounts(text, accounts)
		}
	}
	d.FirstSeen, d.LastSeen = time.Unix(first, 0).UTC(), time.Unix(last, 0).UTC()
	d.Countries = sorted(countries, strings.Compare)
	d.Accounts = sorted(accounts, strings.Compare)
	slices.Sort(d.Tags)
	d.Tags = slices.Compact(d.Tags)
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

// readAccounts takes a JSON array of accounts; what is none is passed over, since
// accounts on an address are only told.
func readAccounts(text string, into map[string]bool) {
	list, _ := texts(text)
	for _, s := range list {
		if isNull(s) || len(into) >= maxAccounts {
			continue
		}
		if ind, err := threat.Account(s); err == nil {
			into[ind.Account()] = true
		}
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
