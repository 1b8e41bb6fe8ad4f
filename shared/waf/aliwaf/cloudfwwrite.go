package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// Add implements waf.BookFirewall. What stands in one of our books already is not sent again. A call goes
// to one book, so listings of both families, or across the end of a book, take several; when one of them
// is refused the ones before it stay.
func (c *cloudFirewall) Add(ctx context.Context, listings []waf.Listing, stamp waf.Stamp) error {
	var fresh [waf.IPv6 + 1][]netip.Prefix
	for _, l := range listings {
		if f := waf.FamilyOf(l.Prefix); !c.holding(f, l.Prefix) {
			fresh[f] = append(fresh[f], l.Prefix)
		}
	}
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		if room := c.room(f); len(fresh[f]) > room {
			return fmt.Errorf("add %d to address books %s: %w: %d books of %d for %s have room for %d: raise books of the target",
				len(fresh[f]), c.name, waf.ErrQuota, c.target.Books, cloudBookSize, f, room)
		}
	}
	entered := false
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		for rest := fresh[f]; len(rest) > 0; {
			n, err := c.enter(ctx, f, rest, stamp)
			if err != nil {
				if entered && (errors.Is(err, waf.ErrThrottled) || errors.Is(err, waf.ErrDenied)) {
					// Either would say that nothing was entered.
					err = fmt.Errorf("%w: a part is in: %s", waf.ErrUnavailable, err.Error())
				}
				return err
			}
			rest, entered = rest[n:], true
		}
	}
	return nil
}

// holding tells whether one of our books has the prefix.
func (c *cloudFirewall) holding(f waf.Family, p netip.Prefix) bool {
	return slices.ContainsFunc(c.books, func(b *cloudBook) bool { return b.family == f && b.has(p) })
}

func (b *cloudBook) has(p netip.Prefix) bool { _, has := b.holds[p]; return has }

// left is how many more a book takes.
func (b *cloudBook) left() int { return max(0, cloudBookSize-len(b.holds)-b.odd) }

// room is how many more our books of a family take, those included that can still be made.
func (c *cloudFirewall) room(f waf.Family) int {
	ours := c.booksOf(f)
	n := max(0, c.target.Books-len(ours)) * cloudBookSize
	for _, b := range ours {
		n += b.left()
	}
	return n
}

// enter puts as many of the list into a book as have room in it, and returns how many.
func (c *cloudFirewall) enter(ctx context.Context, f waf.Family, list []netip.Prefix, stamp waf.Stamp) (int, error) {
	for _, b := range c.booksOf(f) {
		if n := min(len(list), b.left()); n > 0 {
			return n, c.modify(ctx, b, modeAppend, list[:n], stamp)
		}
	}
	n := min(len(list), cloudBookSize)
	b, err := c.create(ctx, f, list[:n], stamp)
	if err != nil || !c.target.Manage {
		return n, err
	}
	return n, c.keepPolicy(ctx, b)
}

// create makes the next book of a family.
func (c *cloudFirewall) create(ctx context.Context, f waf.Family, list []netip.Prefix, stamp waf.Stamp) (*cloudBook, error) {
	b := &cloudBook{family: f, number: 1, description: c.stamped(stamp), stamp: &stamp, holds: spellings(list)}
	for ; ; b.number++ {
		b.name = waf.SetName(c.name, f, b.number)
		if !c.taken[b.name] && !slices.ContainsFunc(c.books, func(other *cloudBook) bool { return other.name == b.name }) {
			break
		}
	}
	var out struct {
		UUID string `json:"GroupUuid"`
	}
	err := c.cloud(ctx, "AddAddressBook", params{
		"GroupName": b.name, "GroupType": groupType(f), "Description": b.description, "AddressList": joined(b.holds, list),
	}, &out)
	b.uuid = out.UUID
	if err == nil && b.uuid == "" || unsure(err) {
		made, rerr := c.reread(ctx, f, func(one *cloudBook) bool { return one.name == b.name })
		if rerr != nil || made == nil || !made.hasAll(list) {
			return nil, fmt.Errorf("create address book %s: %w", b.name, errors.Join(orUnavailable(err), rerr))
		}
		b, err = made, nil
	}
	if err != nil {
		return nil, fmt.Errorf("create address book %s: %w", b.name, err)
	}
	c.books = append(c.books, b)
	slices.SortStableFunc(c.books, func(x, y *cloudBook) int { return int(x.family) - int(y.family) })
	return b, nil
}

// reread reads the books of a family again and returns one of them, nil if it is not there.
func (c *cloudFirewall) reread(ctx context.Context, f waf.Family, which func(*cloudBook) bool) (*cloudBook, error) {
	ours, err := c.findBooks(ctx, f, false)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(ours, which); i >= 0 {
		return ours[i], nil
	}
	return nil, nil
}

func (b *cloudBook) hasAll(list []netip.Prefix) bool {
	return !slices.ContainsFunc(list, func(p netip.Prefix) bool { return !b.has(p) })
}

func (b *cloudBook) hasNone(list []netip.Prefix) bool { return !slices.ContainsFunc(list, b.has) }

// Modes of ModifyAddressBook. The third one, Cover, replaces everything and is what a call without a mode means.
const (
	modeAppend = "Append"
	modeDelete = "Delete"
	modeCover  = "Cover"
)

// modify appends to a book or deletes from it, and stamps it. Whether an address that is there already can be
// appended, or one that is not be deleted, is said nowhere (UNVERIFIED): what is refused is tried once more
// without those, in case somebody else was quicker.
func (c *cloudFirewall) modify(ctx context.Context, b *cloudBook, mode string, list []netip.Prefix, stamp waf.Stamp) error {
	err := c.send(ctx, b, mode, list, stamp)
	if !errors.Is(err, waf.ErrInvalid) {
		return err
	}
	now, rerr := c.reread(ctx, b.family, func(one *cloudBook) bool { return one.uuid == b.uuid })
	if rerr != nil || now == nil {
		return errors.Join(err, rerr)
	}
	b.holds = now.holds
	rest := slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return b.has(p) == (mode == modeAppend) })
	switch len(rest) {
	case 0:
		return nil
	case len(list):
		return err
	}
	return c.send(ctx, b, mode, rest, stamp)
}

// send makes the call. Addresses are deleted as they are spelled there.
func (c *cloudFirewall) send(ctx context.Context, b *cloudBook, mode string, list []netip.Prefix, stamp waf.Stamp) error {
	texts := b.holds
	if mode == modeAppend {
		texts = spellings(list)
	}
	description := c.restamped(b.description, stamp)
	err := c.cloud(ctx, "ModifyAddressBook", params{
		"GroupUuid": b.uuid, "GroupName": b.name, "Description": description, "ModifyMode": mode, "AddressList": joined(texts, list),
	}, nil)
	if unsure(err) {
		now, rerr := c.reread(ctx, b.family, func(one *cloudBook) bool { return one.uuid == b.uuid })
		if rerr != nil || now == nil || mode != modeDelete && !now.hasAll(list) || mode == modeDelete && !now.hasNone(list) || now.description != description {
			return fmt.Errorf("%s %d in address book %s: %w", strings.ToLower(mode), len(list), b.name, errors.Join(err, rerr))
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s %d in address book %s: %w", strings.ToLower(mode), len(list), b.name, err)
	}
	b.description, b.stamp = description, &stamp
	for _, p := range list {
		switch mode {
		case modeAppend:
			b.holds[p] = texts[p]
		case modeDelete:
			delete(b.holds, p)
		}
	}
	return nil
}

// Remove implements waf.BookFirewall.
func (c *cloudFirewall) Remove(ctx context.Context, prefixes []netip.Prefix, stamp waf.Stamp) error {
	for _, b := range c.books {
		gone := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return !b.has(p) })
		if len(gone) == 0 {
			continue
		}
		last := len(gone) == len(b.holds)
		err := c.modify(ctx, b, modeDelete, gone, stamp)
		if last && errors.Is(err, waf.ErrInvalid) {
			// Whether a book may be empty is said nowhere (UNVERIFIED).
			keep := placeholder(b.family)
			if perr := c.modify(ctx, b, modeAppend, []netip.Prefix{keep}, stamp); perr != nil {
				return errors.Join(err, perr)
			}
			delete(b.holds, keep)
			err = c.modify(ctx, b, modeDelete, gone, stamp)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Stamp implements waf.Stamper, for books that no Add or Remove of this list has stamped. The service takes a
// description only with a list of addresses: one is appended that the book has. If that is refused, the book is
// written whole, right after it was read: what somebody else adds to it in between is lost, and
// what they take out comes back. No other call of ours does that.
func (c *cloudFirewall) Stamp(ctx context.Context, stamp waf.Stamp) error {
	for _, b := range c.books {
		if len(b.holds) == 0 || b.stamp != nil && *b.stamp == stamp {
			continue
		}
		held := inOrder(slices.Collect(maps.Keys(b.holds)))[:1]
		spelled := b.holds[held[0]]
		err := c.send(ctx, b, modeAppend, held, stamp)
		b.holds[held[0]] = spelled
		if errors.Is(err, waf.ErrInvalid) {
			err = c.cover(ctx, b, stamp)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cover writes a book as it is, with another note.
func (c *cloudFirewall) cover(ctx context.Context, b *cloudBook, stamp waf.Stamp) error {
	now, err := c.reread(ctx, b.family, func(one *cloudBook) bool { return one.uuid == b.uuid })
	if err != nil {
		return err
	}
	if now == nil || now.odd > 0 || len(now.holds) == 0 {
		return fmt.Errorf("note on address book %s: %w", b.name, waf.ErrConflict) // it is not ours alone any more
	}
	b.holds = now.holds
	return c.send(ctx, b, modeCover, inOrder(slices.Collect(maps.Keys(b.holds))), stamp)
}

// spellings is how addresses are written into a book: with a length, as in all of the service's examples.
func spellings(list []netip.Prefix) map[netip.Prefix]string {
	texts := make(map[netip.Prefix]string, len(list))
	for _, p := range list {
		texts[p] = p.String()
	}
	return texts
}

func joined(texts map[netip.Prefix]string, list []netip.Prefix) string {
	parts := make([]string, len(list))
	for i, p := range list {
		parts[i] = texts[p]
	}
	return strings.Join(parts, ",")
}
