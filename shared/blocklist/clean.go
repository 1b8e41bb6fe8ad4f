package blocklist

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tracewall/tracewall/shared/threat"
)

// Bounds of an entry's texts and lists. They keep an entry small whatever an
// attacker writes into a log line.
const (
	MaxReason    = 200 // bytes
	MaxAccounts  = 20
	MaxCountries = 250 // as many as there are
	MaxRules     = 50
	MaxTags      = 20
	MaxScore     = 100
	maxWord      = 256     // bytes of one rule, country, account or tag
	maxCount     = 1 << 53 // Redis' Lua counts in doubles: above this, sums are no longer exact
)

// maxAhead is how far an offence may lie ahead of its batch's clock. The last
// window of a run may still be open; nothing that we know of is a day long.
const maxAhead = 24 * time.Hour

// Check tells what makes an Offence unfit to be stored in a batch of now. It
// names the field and what is allowed, never the Indicator in full.
func (o Offence) Check(now time.Time) error {
	switch {
	case o.Indicator.Kind() == 0:
		return fmt.Errorf("indicator: names nobody")
	case o.Source != SourceDetect && o.Source != SourceOperator:
		return fmt.Errorf("%s: source %.20q: want %s or %s", o.Indicator.Masked(), o.Source, SourceDetect, SourceOperator)
	case o.Severity > threat.Critical:
		return fmt.Errorf("%s: %s: want low, medium, high or critical", o.Indicator.Masked(), o.Severity)
	case o.Term < MinTerm || o.Term > MaxTerm:
		return fmt.Errorf("%s: term %s: want %s to %s", o.Indicator.Masked(), o.Term, MinTerm, MaxTerm)
	case o.At.Unix() <= 0 || o.At.Year() > 9999: // no text form says it, and stores count on twelve digits
		return fmt.Errorf("%s: at: no time", o.Indicator.Masked())
	case o.At.After(now.Add(maxAhead)):
		return fmt.Errorf("%s: at %s: want at most %s after the batch's clock", o.Indicator.Masked(), o.At.UTC().Format(time.RFC3339), maxAhead)
	case o.Count < 0 || o.Addresses < 0:
		return fmt.Errorf("%s: count and addresses: want 0 or more", o.Indicator.Masked())
	case o.Score < 0 || o.Score > MaxScore:
		return fmt.Errorf("%s: score %d: want 0 to %d", o.Indicator.Masked(), o.Score, MaxScore)
	}
	return nil
}

// Clean returns the Offence as it is stored: times in UTC, times and terms in whole seconds, lists
// sorted, without duplicates and bounded, texts printable and bounded. Texts come
// from logs, so they are cut to size rather than refused: one odd account name
// must not cost a batch.
func (o Offence) Clean() Offence {
	o.At = second(o.At)
	o.Term = o.Term.Truncate(time.Second)
	o.FirstSeen, o.LastSeen = second(o.FirstSeen), second(o.LastSeen)
	o.Since, o.ExpiresAt, o.Strikes = time.Time{}, time.Time{}, 0
	o.Count = min(o.Count, maxCount)
	o.Reason = word(o.Reason, MaxReason)
	o.Rules = words(o.Rules, MaxRules)
	o.Countries = words(o.Countries, MaxCountries)
	o.Accounts = words(o.Accounts, MaxAccounts)
	o.Tags = words(o.Tags, MaxTags)
	return o
}

func second(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{} // before 1970 nobody saw anything: not known
	}
	return t.UTC().Truncate(time.Second)
}

// words returns in sorted, cleaned, without duplicates, at most limit of them; nil for none.
func words(in []string, limit int) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, 0, len(in))
	for _, s := range in {
		if s = word(s, maxWord); s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) == 0 {
		return nil
	}
	return slices.Clip(out[:min(len(out), limit)])
}

// word makes s printable, valid UTF-8 and at most limit bytes long, cut between runes.
func word(s string, limit int) string {
	plain := len(s) <= limit
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < utf8.RuneSelf-1
	}
	if plain {
		return s
	}
	s = s[:min(len(s), 4*limit)] // no need to look at what is cut off anyway
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
