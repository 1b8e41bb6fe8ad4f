package formats

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/TcM1911/stix2"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// Bounds of STIX. The specification has none of its own.
const (
	maxObject     = 256 << 10 // bytes of one object; indicators have a few hundred
	maxDepth      = 32        // objects within objects
	maxIndicators = 500_000   // each costs some 200 bytes while others are read, since a later version replaces it
)

// bundle reads a STIX 2.1 bundle: {"type":"bundle","id":"…","objects":[…]}.
func (c *collector) bundle(in io.Reader) error {
	b := newBundle(c)
	kind, found := "", false
	err := object(in, func(d *json.Decoder, key string) error {
		switch key {
		case "type":
			return d.Decode(&kind)
		case "objects":
			if found {
				return fmt.Errorf("%w: it has objects twice", threatintel.ErrNotAFeed)
			}
			found = true
			return b.array(d)
		}
		return d.Decode(new(json.RawMessage))
	})
	switch {
	case err != nil:
		return err
	case kind != "bundle":
		return fmt.Errorf("%w: want a STIX bundle", threatintel.ErrNotAFeed)
	}
	return b.close()
}

// Bundle gathers the indicators of STIX objects, as they come on the pages of a TAXII collection. It is for one goroutine.
type Bundle struct {
	c    *collector
	byID map[stix2.Identifier]*indicator
	ids  []stix2.Identifier // in order of arrival
}

// indicator is the latest version of one: what it names, which is nothing if it no longer holds.
type indicator struct {
	modified   time.Time
	until      time.Time
	prefixes   []netip.Prefix
	confidence int
	bad        int
}

// NewBundle begins a feed whose objects come one by one.
func NewBundle(f threatintel.Feed, now time.Time) *Bundle {
	return newBundle(&collector{feed: f, now: now})
}

func newBundle(c *collector) *Bundle {
	return &Bundle{c: c, byID: map[stix2.Identifier]*indicator{}}
}

// Arrival returns what all objects say together.
func (b *Bundle) Arrival() (threatintel.Arrival, error) {
	if err := b.close(); err != nil {
		return threatintel.Arrival{}, err
	}
	return b.c.arrival(), nil
}

// Add takes one object. Only indicators with a STIX pattern over addresses count; others are left out, as a collection may
// hold whatever its owner likes. What cannot be read is counted as bad.
func (b *Bundle) Add(raw json.RawMessage) error {
	var head struct {
		Type string `json:"type"`
	}
	if len(raw) > maxObject || !shallow(raw) || json.Unmarshal(raw, &head) != nil {
		b.c.bad++
		return nil
	}
	if head.Type != string(stix2.TypeIndicator) {
		return nil
	}
	in, err := readIndicator(raw)
	if err != nil || in.ID == "" || in.Modified == nil {
		b.c.bad++
		return nil //nolint:nilerr // counted
	}
	seen, known := b.byID[in.ID]
	switch {
	case known && !in.Modified.After(seen.modified):
		return nil
	case !known && len(b.byID) == maxIndicators:
		return fmt.Errorf("%w: more than %d indicators", threatintel.ErrTooLarge, maxIndicators)
	case !known:
		b.ids = append(b.ids, in.ID)
	}
	b.byID[in.ID] = b.judge(in)
	return nil
}

// judge tells what an indicator names, which is nothing when it is revoked, has ended, has not begun, or speaks well of it.
func (b *Bundle) judge(in *stix2.Indicator) *indicator {
	out := &indicator{modified: in.Modified.Time, confidence: min(max(in.Confidence, 0), 100)}
	switch {
	case in.Revoked, slices.Contains(in.Types, "benign"), in.PatternType != "stix":
		return out
	case in.ValidFrom != nil && in.ValidFrom.After(b.c.now):
		return out
	case in.ValidUntil != nil && !in.ValidUntil.After(b.c.now):
		return out
	}
	if in.ValidUntil != nil {
		out.until = in.ValidUntil.Time
	}
	for _, text := range addressesOf(in.Pattern) {
		if p, _ := parse(text); p.IsValid() {
			out.prefixes = append(out.prefixes, p)
		} else {
			out.bad++
		}
	}
	return out
}

// close hands the latest version of each indicator to the collector.
func (b *Bundle) close() error {
	for _, id := range b.ids {
		in := b.byID[id]
		b.c.bad += in.bad
		for _, p := range in.prefixes {
			if err := b.c.add(p, in.confidence, in.modified, in.until); err != nil {
				return err
			}
		}
	}
	return nil
}

// readIndicator decodes an indicator. The library's time type panics on a time that is no string, and a stranger
// decides what stands there.
func readIndicator(raw []byte) (in *stix2.Indicator, err error) {
	defer func() {
		if recover() != nil {
			in, err = nil, errors.New("an indicator that cannot be read")
		}
	}()
	in = &stix2.Indicator{}
	return in, json.Unmarshal(raw, in)
}

// shallow tells whether valid JSON nests no deeper than maxDepth.
func shallow(raw []byte) bool {
	depth, quoted, escaped := 0, false, false
	for _, b := range raw {
		switch {
		case escaped:
			escaped = false
		case quoted && b == '\\':
			escaped = true
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return true
}

// Page takes a TAXII 2.1 envelope, {"more":true,"next":"…","objects":[…]}, and tells whether there are more. An envelope
// without anything is an empty page; one with something else only is an error message.
func (b *Bundle) Page(in io.Reader) (more bool, next string, err error) {
	ours, foreign := 0, 0
	err = object(in, func(d *json.Decoder, key string) error {
		ours++
		switch key {
		case "more":
			return d.Decode(&more)
		case "next":
			return d.Decode(&next)
		case "objects":
			return b.array(d)
		}
		ours--
		foreign++
		return d.Decode(new(json.RawMessage))
	})
	if err == nil && ours == 0 && foreign > 0 {
		err = fmt.Errorf("%w: want a TAXII 2.1 envelope", threatintel.ErrNotAFeed)
	}
	return more, next, err
}

// array takes a JSON array of objects.
func (b *Bundle) array(d *json.Decoder) error {
	return array(d, func() error {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		return b.Add(raw)
	})
}
