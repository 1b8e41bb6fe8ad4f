package redisstore

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// value is an entry as it stands in Redis; see the package comment. It is the slow
// and certain way to read one; parse is the quick one.
type value struct {
	V         int      `json:"v"`
	Source    string   `json:"source"`
	Severity  string   `json:"severity"`
	Challenge bool     `json:"challenge"`
	Score     int      `json:"score"`
	Tags      []string `json:"tags"`
	Rules     []string `json:"rules"`
	Reason    string   `json:"reason"`
	Count     int64    `json:"count"`
	FirstSeen int64    `json:"first_seen"`
	LastSeen  int64    `json:"last_seen"`
	Countries []string `json:"countries"`
	Accounts  []string `json:"accounts"`
	Addresses int      `json:"addresses"`
	Since     int64    `json:"since"`
	ExpiresAt int64    `json:"expires_at"`
	Strikes   int      `json:"strikes"`
}

// appendHead writes a cleaned entry up to the fields that the strike decides about,
// without the closing brace. put.lua writes fields in the same order.
func appendHead(b []byte, e blocklist.Entry) []byte {
	if e.Challenge {
		b = append(b, `{"v":2,"source":`...)
	} else {
		b = append(b, `{"v":1,"source":`...)
	}
	b = appendText(b, e.Source)
	b = append(b, `,"severity":`...)
	b = appendText(b, e.Severity.String())
	if e.Challenge {
		b = append(b, `,"challenge":true`...)
	}
	b = appendNumber(b, "score", int64(e.Score))
	b = appendTexts(b, "tags", e.Tags)
	b = appendTexts(b, "rules", e.Rules)
	if e.Reason != "" {
		b = appendText(append(b, `,"reason":`...), e.Reason)
	}
	b = appendNumber(b, "count", e.Count)
	b = appendNumber(b, "first_seen", unix(e.FirstSeen))
	b = appendNumber(b, "last_seen", unix(e.LastSeen))
	b = appendTexts(b, "countries", e.Countries)
	b = appendTexts(b, "accounts", e.Accounts)
	return appendNumber(b, "addresses", int64(e.Addresses))
}

// appendValue writes a cleaned entry.
func appendValue(b []byte, e blocklist.Entry) []byte {
	b = appendHead(b, e)
	b = appendNumber(b, "since", unix(e.Since))
	b = appendNumber(b, "expires_at", unix(e.ExpiresAt))
	return append(appendNumber(b, "strikes", int64(e.Strikes)), '}')
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func appendNumber(b []byte, field string, n int64) []byte {
	if n == 0 {
		return b
	}
	b = append(append(append(b, `,"`...), field...), `":`...)
	return strconv.AppendInt(b, n, 10)
}

func appendTexts(b []byte, field string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(append(append(b, `,"`...), field...), `":[`...)
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

// appendText writes a JSON string. Most are plain and need no look-up of escapes.
func appendText(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			text, err := json.Marshal(s)
			if err != nil {
				panic("redisstore: a string without JSON: " + err.Error()) // strings always have one
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// decode reads an entry's value. text must not change afterwards.
func decode(ind threat.Indicator, text string, known *interned) (blocklist.Entry, error) {
	var v value
	if !parse(text, &v, known) {
		v = value{}
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		if err := d.Decode(&v); err != nil {
			return blocklist.Entry{}, fmt.Errorf("%w: value is not JSON", blocklist.ErrDamaged)
		}
	}
	if v.V != 1 && v.V != 2 || v.Challenge != (v.V == 2) {
		return blocklist.Entry{}, fmt.Errorf("%w: value of version %d: want 1, or 2 of a challenge", blocklist.ErrDamaged, v.V)
	}
	e := blocklist.Entry{
		Indicator: ind, Source: v.Source, Challenge: v.Challenge, Score: v.Score, Tags: v.Tags, Rules: v.Rules, Reason: v.Reason, Count: v.Count,
		FirstSeen: moment(v.FirstSeen), LastSeen: moment(v.LastSeen),
		Countries: v.Countries, Accounts: v.Accounts, Addresses: v.Addresses,
		Since: moment(v.Since), ExpiresAt: moment(v.ExpiresAt), Strikes: v.Strikes,
	}
	if err := e.Severity.UnmarshalText([]byte(v.Severity)); err != nil || v.ExpiresAt <= 0 || v.Since <= 0 || v.Strikes < 1 {
		return blocklist.Entry{}, fmt.Errorf("%w: value lacks severity, since, expires_at or strikes", blocklist.ErrDamaged)
	}
	// Lua sorts by the server's locale.
	for _, list := range [][]string{e.Rules, e.Countries, e.Accounts, e.Tags} {
		if len(list) > 1 {
			slices.Sort(list)
		}
	}
	return e, nil
}

func moment(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}
