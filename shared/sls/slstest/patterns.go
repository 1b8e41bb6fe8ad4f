//go:build cgo

package slstest

import (
	"fmt"
	"regexp/syntax"
	"strings"
)

// regexpExtract writes regexp_extract so that it is NULL where nothing matches;
// DuckDB's answers ”. Where the group cannot match the empty text, which a
// literal pattern tells, ” is that NULL; else the pattern is asked once more.
func regexpExtract(_ *translator, args []argument) (string, error) {
	group := "0"
	if len(args) == 3 {
		group = args[2].sql
	}
	if err := checkPattern(args[1]); err != nil {
		return "", err
	}
	extract := fmt.Sprintf("regexp_extract(%s, %s, %s)", args[0].sql, args[1].sql, group)
	number := 0
	if len(args) == 3 {
		number = args[2].number
	}
	if args[1].literal != nil && number >= 0 {
		re, err := syntax.Parse(*args[1].literal, syntax.Perl)
		if err == nil {
			g := captureGroup(re, number)
			if g == nil {
				return "", invalid("Pattern has %d groups. Cannot access group %d", re.MaxCap(), number)
			}
			if minLength(g) > 0 {
				return "nullif(" + extract + ", '')", nil
			}
		}
	}
	return fmt.Sprintf("coalesce(nullif(%s, ''), CASE WHEN regexp_matches(%s, %s) THEN '' END)", extract, args[0].sql, args[1].sql), nil
}

// checkPattern refuses what RE2 would: it says so in the service's words and before anything runs.
func checkPattern(a argument) error {
	if a.literal == nil {
		return nil
	}
	if _, err := syntax.Parse(*a.literal, syntax.Perl); err != nil {
		return invalid("regular expression %s: %v", shorten(*a.literal), err)
	}
	return nil
}

// captureGroup finds group n of a pattern; 0 is the pattern itself.
func captureGroup(re *syntax.Regexp, n int) *syntax.Regexp {
	if n == 0 || re.Op == syntax.OpCapture && re.Cap == n {
		return re
	}
	for _, sub := range re.Sub {
		if found := captureGroup(sub, n); found != nil {
			return found
		}
	}
	return nil
}

// minLength is a lower bound of how many characters a pattern matches, 0 or 1 being all that is asked.
func minLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return min(1, len(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return minLength(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return minLength(re.Sub[0])
		}
		return 0
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if minLength(sub) > 0 {
				return 1
			}
		}
		return 0
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if minLength(sub) == 0 {
				return 0
			}
		}
		return 1
	default:
		return 0
	}
}

// regexpReplace replaces every match, as Presto does; $1 in the replacement is \1 in RE2.
func regexpReplace(_ *translator, args []argument) (string, error) {
	if err := checkPattern(args[1]); err != nil {
		return "", err
	}
	with := "''"
	if len(args) == 3 {
		if args[2].literal == nil {
			return "", invalid("regexp_replace: the replacement must be a text literal")
		}
		with = quoteText(re2Replacement(*args[2].literal))
	}
	return fmt.Sprintf("regexp_replace(%s, %s, %s, 'g')", args[0].sql, args[1].sql, with), nil
}

func re2Replacement(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			b.WriteByte('\\')
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '$':
			i++
			b.WriteByte('$')
		case s[i] == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// mysqlFormat turns a format of date_format and date_parse into one of strftime.
func mysqlFormat(name string, a argument) (string, error) {
	if a.literal == nil {
		return "", invalid("%s: the format must be a text literal", name)
	}
	known := map[byte]string{
		'Y': "%Y", 'y': "%y", 'm': "%m", 'c': "%-m", 'd': "%d", 'e': "%-d", 'H': "%H", 'k': "%-H", 'h': "%I", 'I': "%I",
		'l': "%-I", 'i': "%M", 's': "%S", 'S': "%S", 'p': "%p", 'f': "%f", 'M': "%B", 'b': "%b", 'W': "%A", 'a': "%a",
		'j': "%j", 'T': "%H:%M:%S", 'r': "%I:%M:%S %p", 'v': "%V", 'x': "%G", '%': "%%",
	}
	var b strings.Builder
	f := *a.literal
	for i := 0; i < len(f); i++ {
		if f[i] != '%' || i+1 == len(f) {
			b.WriteByte(f[i])
			continue
		}
		i++
		s, ok := known[f[i]]
		if !ok {
			return "", invalid("%s: %%%c is not supported", name, f[i])
		}
		b.WriteString(s)
	}
	return quoteText(b.String()), nil
}
