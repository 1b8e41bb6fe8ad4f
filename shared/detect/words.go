package detect

import (
	"fmt"
	"strings"
)

// words are what the log services say differently. A rule whose query uses these
// placeholders, and none of their own names, is one query for all of them.
type words struct {
	time        string // the line's time in Unix seconds
	windowStart string // format: window in seconds, twice
	log, limit  string
	text        func(column string) string // a field, as text
	country     func(column string) string
}

var wordsIn = map[string]words{
	SLS: {
		time: "__time__", windowStart: "__time__ - __time__ %% %[1]d", log: "from log", limit: "limit 1000000",
		// An index may have numbers, which the service compares with no text.
		text:    func(column string) string { return "cast(" + column + " as varchar)" },
		country: func(column string) string { return "try(ip_to_country_code(" + column + "))" },
	},
	CLS: {
		time: "cast((__TIMESTAMP__ - __TIMESTAMP__ % 1000) / 1000 as bigint)", windowStart: "cast((__TIMESTAMP__ - __TIMESTAMP__ %% (%[1]d * 1000)) / 1000 as bigint)", log: "", limit: "limit 10000",
		// Fields of JSON lines have types; and what is unknown is a name in Chinese there.
		text: func(column string) string { return "cast(" + column + " as varchar)" },
		country: func(column string) string {
			return "try(if(regexp_like(ip_to_country_code(" + column + "), '^[A-Z][A-Z]$'), ip_to_country_code(" + column + "), null))"
		},
	},
}

func (r Rule) wordsOf() words {
	if r.dialect == "" {
		return wordsIn[SLS]
	}
	return wordsIn[r.dialect]
}

// fixed returns what stands in place of a placeholder that has no parts.
func (w words) fixed(name string, window int64) (string, bool) {
	switch name {
	case "time":
		return w.time, true
	case "window_start":
		return fmt.Sprintf(w.windowStart, window), true
	case "log":
		return w.log, true
	case "limit":
		return w.limit, true
	default:
		return "", false
	}
}

// field writes a field of the logs as text. Logs that keep path and query string
// apart have both in one name: path?query.
func (w words) field(name string) string {
	if name == NoField {
		return "cast(null as varchar)"
	}
	path, query, both := strings.Cut(name, "?")
	if !both {
		return w.text(`"` + name + `"`)
	}
	path, query = w.text(`"`+path+`"`), w.text(`"`+query+`"`)
	return "concat(coalesce(" + path + ", ''), if(coalesce(" + query + ", '') in ('', '-'), '', concat('?', " + query + ")))"
}

// unusual is true for what the program must see however rare it is: forged and
// private addresses, which are reported, and IPv6, of which only the program can
// add up a /64.
func unusual(column string) string {
	return "(not regexp_like(" + column + `, '^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)$')` +
		" or regexp_like(" + column + `, '^(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])|198\.1[89]|22[4-9]|2[3-5]\d)\.'))`
}
