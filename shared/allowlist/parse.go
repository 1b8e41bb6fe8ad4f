package allowlist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tracewall/tracewall/shared/threat"
)

// Bounds of a list. They keep Parse and Covers fast; nobody has 100,000 friends.
const (
	MaxBytes = 1 << 20
	MaxLines = 100_000
	// maxShown bounds how many bad lines an error lists one by one.
	maxShown = 100
	maxOwner = 100 // bytes
	maxWhy   = 500 // bytes of a reason
)

// ErrBadList means that a text is no allowlist. Nothing of it may be used.
var ErrBadList = errors.New("allowlist is not valid")

// Parse reads a whole list or none of it. Its error wraps ErrBadList and lists
// every bad line with its number, its value (escaped and shortened; accounts
// masked) and what is allowed. An empty text is a valid list of nobody. The same
// subject may stand on several lines; each counts.
//
// A line is a subject (an address, a range, account:NAME or account:"NAME"), then any of
// owner=WORD and until=YYYY-MM-DD, then a reason in free words. "#" begins a
// comment at the start of a line or after a blank. The day in until is the last
// one on which the entry holds, in UTC. Host bits in a range are cleared, and
// IPv4-mapped forms are unmapped, as net/netip matches neither against the other.
func Parse(r io.Reader) (List, error) {
	var (
		entries []Entry
		bad     []error
		more    int
		seen    int64
	)
	lines := bufio.NewScanner(io.LimitReader(r, MaxBytes+1))
	lines.Buffer(make([]byte, 0, 64<<10), MaxBytes+2)
	lines.Split(func(data []byte, eof bool) (int, []byte, error) {
		n, token, err := bufio.ScanLines(data, eof)
		seen += int64(n)
		return n, token, err
	})
	n := 0
	for lines.Scan() {
		if n++; n > MaxLines {
			return List{}, fmt.Errorf("%w: more than %d lines", ErrBadList, MaxLines)
		}
		text := lines.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff") // editors on Windows begin files with it
		}
		e, ok, err := parseLine(text)
		switch {
		case err != nil && len(bad) < maxShown:
			bad = append(bad, fmt.Errorf("line %d: %w", n, err))
		case err != nil:
			more++
		case ok:
			entries = append(entries, e)
		}
	}
	if err := lines.Err(); err != nil {
		return List{}, fmt.Errorf("%w: read: %w", ErrBadList, err)
	}
	if seen > MaxBytes {
		return List{}, fmt.Errorf("%w: larger than %d bytes", ErrBadList, MaxBytes)
	}
	if more > 0 {
		bad = append(bad, fmt.Errorf("and %d more bad lines", more))
	}
	if len(bad) > 0 {
		return List{}, fmt.Errorf("%w:\n%w", ErrBadList, errors.Join(bad...))
	}
	return newList(entries), nil
}

// parseLine reads one line. ok is false for a line that says nothing.
func parseLine(line string) (e Entry, ok bool, err error) {
	if !utf8.ValidString(line) {
		return Entry{}, false, errors.New("not UTF-8")
	}
	line = strings.Trim(line, blanks)
	subject, rest, quoted := cutQuoted(line)
	if !quoted {
		subject, rest = cutWord(uncomment(line))
	}
	if subject == "" {
		return Entry{}, false, nil
	}
	if err := e.setSubject(subject); err != nil {
		return Entry{}, false, err
	}
	var reason []string
	for word := ""; rest != ""; {
		word, rest = cutWord(rest)
		key, value, isField := strings.Cut(word, "=")
		// Fields stand before the reason: in "see a=b" the a=b is prose.
		if !isField || len(reason) > 0 && key != "owner" && key != "until" {
			reason = append(reason, word)
			continue
		}
		if err := e.setField(key, value); err != nil {
			return Entry{}, false, err
		}
	}
	e.Reason = strings.Join(reason, " ")
	switch {
	case len(e.Reason) > maxWhy:
		return Entry{}, false, fmt.Errorf("reason of %d bytes: want at most %d", len(e.Reason), maxWhy)
	case strings.ContainsFunc(e.Reason, unprintable):
		return Entry{}, false, fmt.Errorf("reason %s: want printable text", quote(e.Reason))
	}
	return e, true, nil
}

// setSubject reads the first word of a line.
func (e *Entry) setSubject(word string) error {
	if name, isAccount := strings.CutPrefix(word, "account:"); isAccount {
		ind, err := threat.Account(name)
		if err != nil {
			return fmt.Errorf("account %s: %w", quote(threat.Mask(name)), err)
		}
		e.Account = ind.Account()
		return nil
	}
	var p netip.Prefix
	if strings.Contains(word, "/") {
		var err error
		if p, err = netip.ParsePrefix(word); err != nil {
			return fmt.Errorf("range %s: want an address range such as 192.0.2.0/24 or 2001:db8::/48", quote(word))
		}
	} else {
		addr, err := netip.ParseAddr(word)
		if err != nil {
			return fmt.Errorf("subject %s: want an address, a range or account:NAME", quote(word))
		}
		if addr.Zone() != "" {
			return fmt.Errorf("address %s: want an address without a zone", quote(word))
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	p, why := spell(p)
	if why != "" {
		return fmt.Errorf("range %s: %s", quote(word), why)
	}
	e.Prefix = p
	return nil
}

// spell gives a prefix its one spelling, or says what is wanted instead of it.
func spell(p netip.Prefix) (one netip.Prefix, want string) {
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, "want an IPv4-mapped range of /96 or narrower"
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, "want a range narrower than everybody"
	}
	return p.Masked(), ""
}

// setField reads owner=… or until=…
func (e *Entry) setField(key, value string) error {
	switch key {
	case "owner":
		if value == "" || len(value) > maxOwner || strings.ContainsFunc(value, unprintable) {
			return fmt.Errorf("owner=%s: want one printable word of at most %d bytes", quote(value), maxOwner)
		}
		if e.Owner != "" {
			return errors.New("owner= twice: want it once")
		}
		e.Owner = value
	case "until":
		day, err := time.Parse(time.DateOnly, value)
		if err != nil || day.Year() < 1970 {
			return fmt.Errorf("until=%s: want a day such as 2026-12-31", quote(value))
		}
		if !e.Until.IsZero() {
			return errors.New("until= twice: want it once")
		}
		e.Until = day.AddDate(0, 0, 1)
	default:
		return fmt.Errorf("field %s: want owner= or until= (write other details after them, as a reason)", quote(key+"="))
	}
	return nil
}

// uncomment cuts a comment off: from a "#" that begins the line or follows a blank.
func uncomment(line string) string {
	for i := 0; i < len(line); i++ {
		if line[i] == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t') {
			return line[:i]
		}
	}
	return line
}

const blanks = " \t\r"

// cutWord returns the first word and what follows it, blanks trimmed.
func cutWord(s string) (word, rest string) {
	s = strings.Trim(s, blanks)
	i := strings.IndexAny(s, blanks)
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.Trim(s[i:], blanks)
}

// cutQuoted returns the subject of a line that begins with account:"NAME", as
// account:NAME, and what follows it, without its comment. ok is false for any other line.
func cutQuoted(line string) (subject, rest string, ok bool) {
	rest, ok = strings.CutPrefix(line, "account:")
	if !ok || !strings.HasPrefix(rest, `"`) {
		return "", "", false
	}
	name, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return "", "", false
	}
	rest = rest[len(name):]
	if rest != "" && !strings.ContainsRune(blanks, rune(rest[0])) {
		return "", "", false
	}
	if name, err = strconv.Unquote(name); err != nil {
		return "", "", false
	}
	return "account:" + name, strings.Trim(uncomment(rest), blanks), true
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// quote makes a value from a file fit for an error text: escaped, at most 60 bytes of it.
func quote(s string) string {
	const keep = 60
	if len(s) > keep {
		return fmt.Sprintf("%+q…", s[:keep])
	}
	return fmt.Sprintf("%+q", s)
}
