package detect

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// fields reads one YAML mapping key by key and notes every problem instead of
// stopping at the first: whoever writes a rule sees all of them at once. Keys that
// nobody asked for are problems too. It also notes which keys were asked for,
// from which a test proves that the JSON Schema knows exactly those.
type fields struct {
	path     string // "" at the top, else "subject." or "tests[2]."
	values   map[string]any
	asked    map[string]bool // key → required
	problems *[]string
	shape    map[string]map[string]bool // path without numbers → asked; shared by all levels
}

func newFields(values map[string]any, problems *[]string, shape map[string]map[string]bool) *fields {
	return (&fields{problems: problems, shape: shape}).child("", values)
}

var indexInPath = regexp.MustCompile(`\[\d+\]`)

func (f *fields) child(path string, values map[string]any) *fields {
	c := &fields{path: path, values: values, asked: map[string]bool{}, problems: f.problems, shape: f.shape}
	place := indexInPath.ReplaceAllString(path, "[]")
	if f.shape[place] == nil {
		f.shape[place] = c.asked
	} else {
		c.asked = f.shape[place]
	}
	return c
}

func (f *fields) problem(key, format string, args ...any) {
	*f.problems = append(*f.problems, f.path+key+": "+fmt.Sprintf(format, args...))
}

// get returns the value of a key, and notes a missing one that is required.
func (f *fields) get(key string, required bool) (any, bool) {
	f.asked[key] = required
	v, ok := f.values[key]
	if ok && v != nil {
		return v, true
	}
	if required {
		f.problem(key, "is missing")
	}
	return nil, false
}

// done notes the keys that nobody asked for.
func (f *fields) done() {
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		if _, ok := f.asked[key]; !ok {
			f.problem(clip(key, 64), "unknown field: want one of %s", strings.Join(slices.Sorted(maps.Keys(f.asked)), ", "))
		}
	}
}

// text reads a string of at most limit bytes.
func (f *fields) text(key string, required bool, limit int) string {
	v, ok := f.get(key, required)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		f.problem(key, "%s: want text", show(v))
	case required && strings.TrimSpace(s) == "":
		f.problem(key, "is empty")
	case len(s) > limit:
		f.problem(key, "%d bytes: want at most %d", len(s), limit)
	case !utf8.ValidString(s):
		f.problem(key, "is not UTF-8")
	default:
		return s
	}
	return ""
}

// name reads text that must fit a pattern.
func (f *fields) name(key string, required bool, pattern *regexp.Regexp, want string) string {
	s := f.text(key, required, 256)
	if s != "" && !pattern.MatchString(s) {
		f.problem(key, "%s: want %s", show(s), want)
		return ""
	}
	return s
}

// oneOf reads text that must be one of a few words.
func (f *fields) oneOf(key string, allowed []string) string {
	s := f.text(key, true, 64)
	if s != "" && !slices.Contains(allowed, s) {
		f.problem(key, "%s: want %s", show(s), oneOf(allowed))
		return ""
	}
	return s
}

// integer reads a whole number from low to high.
func (f *fields) integer(key string, required bool, low, high int64) int64 {
	v, ok := f.get(key, required)
	if !ok {
		return 0
	}
	n, ok := whole(v)
	if !ok || n < low || n > high {
		f.problem(key, "%s: want a whole number from %d to %d", show(v), low, high)
		return 0
	}
	return n
}

// duration reads a time span such as 45s, 2m or 72h, in whole seconds.
func (f *fields) duration(key string, required bool, low, high time.Duration) time.Duration {
	v, ok := f.get(key, required)
	if !ok {
		return 0
	}
	s, ok := v.(string)
	d, err := time.ParseDuration(s)
	if !ok || err != nil || d < low || d > high || d%time.Second != 0 {
		f.problem(key, "%s: want a time span in whole seconds from %s to %s, such as 45s, 2m or 72h", show(v), span(low), span(high))
		return 0
	}
	return d
}

// list reads a sequence.
func (f *fields) list(key string, required bool, limit int) []any {
	v, ok := f.get(key, required)
	if !ok {
		return nil
	}
	items, ok := v.([]any)
	switch {
	case !ok:
		f.problem(key, "%s: want a list", show(v))
		return nil
	case required && len(items) == 0:
		f.problem(key, "is empty")
	case len(items) > limit:
		f.problem(key, "%d items: want at most %d", len(items), limit)
		return nil
	}
	return items
}

// texts reads a sequence of strings.
func (f *fields) texts(key string, required bool, limit int) []string {
	var all []string
	for i, v := range f.list(key, required, limit) {
		s, ok := v.(string)
		if !ok {
			f.problem(fmt.Sprintf("%s[%d]", key, i), "%s: want text (in quotes, if it looks like a number)", show(v))
			continue
		}
		all = append(all, s)
	}
	return all
}

// object reads a mapping; what is asked of it is noted even when it is absent.
func (f *fields) object(key string, required bool) *fields {
	v, _ := f.get(key, required)
	return f.asObject(key, v)
}

// objects reads a sequence of mappings.
func (f *fields) objects(key string, required bool, limit int) []*fields {
	var all []*fields
	for i, v := range f.list(key, required, limit) {
		all = append(all, f.asObject(fmt.Sprintf("%s[%d]", key, i), v))
	}
	return all
}

func (f *fields) asObject(key string, v any) *fields {
	m, ok := v.(map[string]any)
	if !ok && v != nil {
		f.problem(key, "%s: want a mapping", show(v))
	}
	return f.child(f.path+key+".", m)
}

// whole returns the integer that a YAML value is.
func whole(v any) (int64, bool) {
	switch n := v.(type) {
	case uint64:
		return int64(n), n <= math.MaxInt64
	case int64:
		return n, true
	case int:
		return int64(n), true
	default:
		return 0, false
	}
}

// span writes a time span as people do: 1m, not 1m0s.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// show writes a foreign value short and on one line.
func show(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.QuoteToGraphic(clip(v, 60))
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	default:
		return clip(fmt.Sprint(v), 60)
	}
}

func oneOf(words []string) string { return strings.Join(words, ", ") }

// clip cuts text to at most n bytes, on a character's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
