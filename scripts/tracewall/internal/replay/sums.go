//go:build cgo

package replay

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// sums keeps the rows of a rule whose counts add up over many windows (Rule.Over): a day's
// rows of one hour each are little, a day's lines are not. The rule's query must
// not hold its threshold against one window, which the rule format says.
//
// It is for one goroutine at a time.
type sums struct {
	rule   detect.Rule
	over   int64 // seconds, as is window
	window int64
	keys   []string             // the columns, in the order of kept.values
	rows   map[string][]keptRow // by subject
	texts  map[string]string    // values that repeat, each once
}

// keptRow is one row without the names of its columns.
type keptRow struct {
	window int64
	count  int64
	values []string
}

func newSums(r detect.Rule) *sums {
	return &sums{rule: r, over: int64(r.Over / time.Second), window: int64(r.Window / time.Second), rows: map[string][]keptRow{}, texts: map[string]string{}}
}

// add keeps the rows of a span's windows, which follow those of the last one, and returns
// what Detections needs to judge the span: those rows of each subject that together come to more
// than the threshold, and whatever is to be rejected.
func (s *sums) add(rows []map[string]string, in detect.Span) []map[string]string {
	var judged []map[string]string
	touched := map[string]bool{}
	from, to := in.From.Unix(), in.To.Unix()
	for _, row := range rows {
		key, window, count, ok := s.read(row)
		if !ok {
			judged = append(judged, row) // rejected once, now
			continue
		}
		if window < from || window >= to {
			continue // a margin's: it was asked about before
		}
		touched[key] = true
		s.rows[key] = append(s.rows[key], keptRow{window: window, count: count, values: s.pack(row)})
	}
	for key := range touched {
		var sum int64
		for _, r := range s.rows[key] {
			if sum += r.count; sum < 0 {
				sum = math.MaxInt64
			}
		}
		if sum <= s.rule.Threshold {
			continue
		}
		for _, r := range s.rows[key] {
			judged = append(judged, s.unpack(r))
		}
	}
	s.forget(to)
	return judged
}

// read finds whom a row is about. Spellings of one address must come together, as
// Detections will add them up; a longer text that a campaign shares may come with others.
func (s *sums) read(row map[string]string) (key string, window, count int64, ok bool) {
	text := row[s.rule.Subject.Column]
	switch {
	case s.rule.Subject.Campaign != "":
		key = text[:min(len(text), maxCampaignKey)]
	case s.rule.Subject.Kind == threat.KindAddress:
		ind, err := threat.ParseLogAddress(text)
		if err != nil {
			return "", 0, 0, false
		}
		key = ind.Unit().String()
	default:
		ind, err := threat.Account(text)
		if err != nil {
			return "", 0, 0, false
		}
		key = ind.Account()
	}
	window, err := strconv.ParseInt(strings.TrimSpace(row[s.rule.Columns.Window]), 10, 64)
	if err != nil {
		return "", 0, 0, false
	}
	count, err = strconv.ParseInt(strings.TrimSpace(row[s.rule.Columns.Count]), 10, 64)
	return strings.Clone(key), window, count, err == nil && count > 0
}

// maxCampaignKey bounds a key; Detections cuts such texts, too.
const maxCampaignKey = 256

func (s *sums) pack(row map[string]string) []string {
	if s.keys == nil {
		for k := range row {
			s.keys = append(s.keys, k)
		}
	}
	values := make([]string, len(s.keys))
	for i, k := range s.keys {
		values[i] = s.once(row[k])
	}
	return values
}

// once returns a text that is stored once for all rows that have it.
func (s *sums) once(text string) string {
	if known, ok := s.texts[text]; ok {
		return known
	}
	if len(text) <= 64 {
		s.texts[text] = text
	}
	return text
}

func (s *sums) unpack(r keptRow) map[string]string {
	row := make(map[string]string, len(s.keys))
	for i, k := range s.keys {
		row[k] = r.values[i]
	}
	return row
}

// forget drops the rows that no window from next on adds up with.
func (s *sums) forget(next int64) {
	oldest := next - s.over + s.window
	if len(s.texts) > 1<<16 {
		clear(s.texts)
	}
	for key, rows := range s.rows {
		kept := rows[:0]
		for _, r := range rows {
			if r.window >= oldest {
				kept = append(kept, r)
			}
		}
		if len(kept) == 0 {
			delete(s.rows, key)
			continue
		}
		s.rows[key] = kept
	}
}
