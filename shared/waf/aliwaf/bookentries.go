package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// bookPage is how many entries a page of DescribeAddresses holds at most.
const bookPage = 500

// addressPage is one answer of DescribeAddresses.
type addressPage struct {
	AddressList []struct{ Address string }
	NextToken   string
	TotalCount  int
}

func (b *addressBook) page(ctx context.Context, book int64, like, token string, size int) (page addressPage, err error) {
	p := params{"RuleId": number(book), "MaxResults": strconv.Itoa(size)}
	if like != "" {
		p["AddressLike"] = like
	}
	if token != "" {
		p["NextToken"] = token
	}
	if err := b.waf(ctx, "DescribeAddresses", p, &page); err != nil {
		return page, fmt.Errorf("read address book %s: %w", b.name, err)
	}
	return page, nil
}

// count returns how many entries the book has, with a page of one; negative if the service does not say. Whether
// TotalCount counts the book or the page is said in words that fit both (UNVERIFIED); one that a next page
// contradicts counts for nothing.
func (b *addressBook) count(ctx context.Context, book int64) (int, error) {
	page, err := b.page(ctx, book, "", "", 1)
	switch n := len(page.AddressList); {
	case err != nil:
		return -1, err
	case page.NextToken != "" && page.TotalCount <= n, page.TotalCount < n:
		return -1, nil
	}
	return page.TotalCount, nil
}

// entries returns all that the book shows.
func (b *addressBook) entries(ctx context.Context, book int64) (all []string, err error) {
	token := ""
	for range maxBookPages {
		page, err := b.page(ctx, book, "", token, bookPage)
		if err != nil {
			return nil, err
		}
		for _, a := range page.AddressList {
			all = append(all, a.Address)
		}
		if page.NextToken == "" {
			if page.TotalCount > len(all) {
				return nil, fmt.Errorf("read address book %s: %w: it says %d entries and shows %d", b.name, waf.ErrUnavailable, page.TotalCount, len(all))
			}
			return all, nil
		}
		if page.NextToken == token {
			break
		}
		token = page.NextToken
	}
	return nil, fmt.Errorf("read address book %s: %w: no end after %d entries", b.name, waf.ErrUnavailable, len(all))
}

// maxBookPages bounds reading: a million entries.
const maxBookPages = 1_000_000 / bookPage

// Listings implements waf.BookFirewall. It costs a call for each 500 entries.
func (b *addressBook) Listings(ctx context.Context) ([]waf.Listing, error) {
	if b.seen.book == nil {
		return nil, nil
	}
	all, err := b.entries(ctx, b.seen.book.ID)
	if gone(err) {
		return nil, fmt.Errorf("%w: %w", waf.ErrConflict, err)
	} else if err != nil {
		return nil, err
	}
	list := make([]waf.Listing, 0, len(all))
	there := make(map[netip.Prefix]bool, len(all))
	b.spelt = map[string]string{}
	odd, long, short := 0, 0, 0
	for _, text := range all {
		p, err := readAddress(text)
		if err != nil {
			odd++
			continue
		}
		if p.IsSingleIP() {
			if strings.Contains(text, "/") {
				long++
			} else {
				short++
			}
		}
		if ours := spell(p); text != ours {
			b.spelt[ours] = text
		}
		if !there[p] {
			there[p] = true
			list = append(list, waf.Listing{Prefix: p})
		}
	}
	b.mem.Odd, b.mem.Surplus, b.mem.Long = odd, len(all)-len(list), long > short
	b.mem.Count, b.seen.count = len(all), len(all)
	return list, nil
}

// written returns a prefix as the book is to be asked about it.
func (b *addressBook) written(p netip.Prefix) string {
	text := spell(p)
	if shown, known := b.spelt[text]; known {
		return shown
	}
	if b.mem.Long && p.IsSingleIP() {
		return p.String()
	}
	return text
}

// Add implements waf.BookFirewall. Whether the service enters all of a call's addresses or none is UNVERIFIED, and
// so is what it says of one that is there already. So whatever is not a plain success or a plain refusal is read back.
func (b *addressBook) Add(ctx context.Context, listings []waf.Listing, stamp waf.Stamp) error {
	if err := b.needBook(ctx, stamp); err != nil {
		return err
	}
	list := make([]netip.Prefix, len(listings))
	for i, l := range listings {
		list[i] = l.Prefix
	}
	return b.change(ctx, "AddAddress", list, true)
}

// Remove implements waf.BookFirewall. If the service minds that some are not there, only the others are removed.
func (b *addressBook) Remove(ctx context.Context, list []netip.Prefix, _ waf.Stamp) error {
	if b.seen.book == nil {
		return nil
	}
	err := b.change(ctx, "DeleteAddress", list, false)
	if !errors.Is(err, waf.ErrInvalid) {
		return err
	}
	shown, rerr := b.Listings(ctx)
	if rerr != nil {
		return errors.Join(err, rerr)
	}
	there := make(map[netip.Prefix]bool, len(shown))
	for _, l := range shown {
		there[l.Prefix] = true
	}
	left := slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !there[p] })
	if len(left) == len(list) {
		return err // it was not that
	}
	return b.change(ctx, "DeleteAddress", left, false)
}

// writeTries is how often a write is made whose answer did not come and that turned out not to have been made.
const writeTries = 3

// change adds or removes, until it is certain what came of it or too many tries have left it open.
func (b *addressBook) change(ctx context.Context, action string, list []netip.Prefix, in bool) error {
	if len(list) == 0 {
		return nil
	}
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = b.written(p)
	}
	book := b.seen.book.ID
	before := b.mem.Count
	b.mem.Count = -1 // until it is known again, the next Look is a thorough one
	for try := 1; ; try++ {
		err := b.waf(ctx, action, params{"RuleId": number(book)}.list("AddressList", texts), nil)
		if err == nil {
			b.counted(before, len(list), in)
			return nil
		}
		err = fmt.Errorf("%s %d addresses in book %s: %w", action, len(list), b.name, err)
		if gone(err) {
			b.forget()
			return err
		}
		// One address that is refused may be there already, which a service may mind.
		alone := in && len(list) == 1 && errors.Is(err, waf.ErrInvalid)
		if !unsure(err) && !unheardOf(err) && !alone {
			b.mem.Count = before
			return err
		}
		done, rerr := b.settled(ctx, book, list, in)
		switch {
		case rerr != nil:
			return errors.Join(err, rerr)
		case done:
			return nil
		case try == writeTries || !unsure(err):
			return err
		}
		if serr := b.cfg.Sleep(ctx, backoff(try)); serr != nil {
			return errors.Join(err, serr)
		}
	}
}

// counted keeps the book's count after a change that went well.
func (b *addressBook) counted(before, n int, in bool) {
	if before < 0 {
		return
	}
	if !in {
		n = -n
	}
	b.mem.Count = max(0, before+n)
	b.seen.count = b.mem.Count
}

// unheardOf tells a refusal whose code is not known: perhaps that an address is there already.
func unheardOf(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.decision == nil && e.code != ""
}

// fewEnough is how many addresses are asked about one by one; of more the whole book is read.
const fewEnough = 5

// settled reads back whether all of the list is in the book, or none of it.
func (b *addressBook) settled(ctx context.Context, book int64, list []netip.Prefix, in bool) (bool, error) {
	for _, p := range list {
		// AddressLike compares texts, and in an IPv6 address hardly a part is spelt the same everywhere.
		if len(list) > fewEnough || !p.Addr().Is4() {
			texts, err := b.entries(ctx, book)
			if err != nil {
				return false, err
			}
			b.mem.Count, b.seen.count = len(texts), len(texts)
			return all(list, texts, in), nil
		}
	}
	for _, p := range list {
		var texts []string
		token := ""
		for range maxPages {
			page, err := b.page(ctx, book, p.Addr().String(), token, bookPage)
			if err != nil {
				return false, err
			}
			for _, a := range page.AddressList {
				texts = append(texts, a.Address)
			}
			if token = page.NextToken; token == "" {
				break
			}
		}
		if !all([]netip.Prefix{p}, texts, in) {
			return false, nil
		}
	}
	return true, nil
}

// all tells whether every prefix is among the texts, or, unless in, none.
func all(list []netip.Prefix, texts []string, in bool) bool {
	there := make(map[netip.Prefix]bool, len(texts))
	for _, text := range texts {
		if p, err := readAddress(text); err == nil {
			there[p] = true
		}
	}
	for _, p := range list {
		if there[p] != in {
			return false
		}
	}
	return true
}
