// Package formats reads what feeds publish: plain lists, tables, Spamhaus DROP, STIX, and the prefixes of search
// engines. It turns bytes from a stranger into a threatintel.Arrival and believes none of them.
//
// A line or an object that names nobody, or somebody whom no feed may list, is counted and left out; whether there
// are too many of those is for threatintel.Judge. What makes the whole worthless is an error at once: a page where a list
// should be, an end that is missing, a bound that is passed. Every reader takes time and memory in proportion to
// its input, keeps no text of it, and repeats none in an error.
package formats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net/netip"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// Bounds of what is read. A feed that passes one is refused whole: a part of a list would look like a list.
const (
	maxLine  = 64 << 10  // bytes: a Spamhaus line has 100, a row of a table a few hundred
	maxLines = 2_000_000 // comments and bad lines included
)

// Read reads body, which must be all that came, as the feed's format says. Formats of many requests are not for it: TAXII
// is read page by page with a Bundle.
func Read(f threatintel.Feed, now time.Time, body io.Reader) (threatintel.Arrival, error) {
	in := bufio.NewReaderSize(body, maxLine)
	if err := sniff(f.Format, in); err != nil {
		return threatintel.Arrival{}, err
	}
	c := &collector{feed: f, now: now}
	var err error
	switch f.Format {
	case threatintel.Plain:
		err = c.lines(in, c.plainLine)
	case threatintel.IPsum:
		err = c.lines(in, c.ipsumLine)
	case threatintel.CSV:
		err = c.table(in)
	case threatintel.Spamhaus:
		err = c.spamhaus(in)
	case threatintel.Prefixes:
		err = c.prefixes(in)
	case threatintel.STIX:
		err = c.bundle(in)
	default:
		err = fmt.Errorf("%w: format %.40q cannot be read from one body", threatintel.ErrNotAFeed, f.Format)
	}
	if err != nil {
		return threatintel.Arrival{}, err
	}
	return c.arrival(), nil
}

// sniff looks at the first bytes for what is no list at all.
func sniff(format string, in *bufio.Reader) error {
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return ended(err)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
		head = head[3:]
	}
	no := func(what string) error { return fmt.Errorf("%w: it begins as %s", threatintel.ErrNotAFeed, what) }
	switch text := bytes.TrimLeft(head, " \t\r\n"); {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return no("UTF-16 text, want UTF-8")
	case bytes.IndexByte(head, 0) >= 0:
		return no("binary data")
	case bytes.HasPrefix(text, []byte("<")):
		return no("an HTML or XML page, such as a login or an error page")
	case len(text) == 0 && len(head) < 512-3:
		return fmt.Errorf("%w: nothing came", threatintel.ErrEmpty)
	case len(text) > 0 && (text[0] == '{' || text[0] == '[') && (format == threatintel.Plain || format == threatintel.IPsum || format == threatintel.CSV):
		return no("JSON, such as an error message")
	}
	return nil
}

// ended says what an error of reading means. It is no end of file: a reader below us has promised more than came.
func ended(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the connection or the file ends in the middle", threatintel.ErrTruncated)
	case threatintel.Problem(err) != "other":
		return err
	}
	return fmt.Errorf("%w: %w", threatintel.ErrUnreachable, err)
}

// collector gathers what a reader finds.
type collector struct {
	feed      threatintel.Feed
	now       time.Time
	items     []threatintel.Item
	bad       int
	protected uint32 // a set of bits, see threatintel.Protected
	published time.Time
}

func (c *collector) arrival() threatintel.Arrival {
	return threatintel.Arrival{Table: threatintel.NewTable(c.items), Bad: c.bad, Protected: bits.OnesCount32(c.protected), Published: c.published}
}

// add takes one prefix. confidence 0 stands for the feed's own. What no feed may list is counted as bad.
func (c *collector) add(p netip.Prefix, confidence int, seen, until time.Time) error {
	p, err := threatintel.Admit(p, c.feed.Purpose)
	if err != nil {
		c.bad++
		return nil //nolint:nilerr // counted
	}
	if c.feed.Purpose == threatintel.Signal {
		if named := threatintel.Protected(p); named != 0 {
			c.protected |= named
			return nil
		}
	}
	if len(c.items) == threatintel.MaxEntries {
		return fmt.Errorf("%w: more than %d entries", threatintel.ErrTooLarge, threatintel.MaxEntries)
	}
	if confidence == 0 {
		confidence = c.feed.Confidence
	}
	c.items = append(c.items, threatintel.Item{Prefix: p, Confidence: uint8(min(confidence, 100)), Seen: threatintel.Seconds(seen), Until: threatintel.Seconds(until)})
	return nil
}

// addText takes an address, a range a/n, or a range a-b, as lists spell them. ok is false if it is none of these, which the
// caller counts; a range a-b is split into prefixes.
func (c *collector) addText(text string, confidence int) (ok bool, err error) {
	ok = true
	switch p, r := parse(text); {
	case p.IsValid():
		err = c.add(p, confidence, time.Time{}, time.Time{})
	case r.IsValid():
		parts := r.Prefixes()
		for _, p := range parts { // all of it or nothing: a part of such a range is not what its author meant
			if _, err := threatintel.Admit(p, c.feed.Purpose); err != nil {
				return false, nil //nolint:nilerr // counted
			}
		}
		for _, p := range parts {
			if err = c.add(p, confidence, time.Time{}, time.Time{}); err != nil {
				break
			}
		}
	default:
		ok = false
	}
	return ok, err
}

// parse reads one of the spellings of addText; both results are invalid for anything else.
func parse(text string) (p netip.Prefix, r netipx.IPRange) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return netip.PrefixFrom(addr, addr.BitLen()), r
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, r
	}
	if r, err := netipx.ParseIPRange(text); err == nil && r.From().Zone() == "" && r.To().Zone() == "" {
		return p, r
	}
	return p, r
}
