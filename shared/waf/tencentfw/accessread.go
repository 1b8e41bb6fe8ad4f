package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// rulePage is how many rules are asked for at a time; no bound is documented.
	rulePage    = 100
	defaultPage = 20
	// glancePage is how many of the rules written last a Look that only makes sure sees.
	glancePage = 10
	// maxRulePages bounds a reading: 20,000 rules of one address each, and as many of others.
	maxRulePages = 500
	// newestFirst is the only spelling of Sort in the documentation. A rule that is written while the list is
	// being read moves to its beginning, and pushes what was read already onto the next page instead of past it.
	newestFirst = "ts_version:-1"

	validInForce = 1 // ValidStatus: only what is in force
	validAll     = 0
)

// accessPage is the answer of DescribeIpAccessControl.
type accessPage struct {
	Data struct {
		Res        []wireRule
		TotalCount int
	}
	UsedTotal int
}

// page asks for one page of rules. Domain, Count and ActionType are what the documentation's example sends;
// OffSet is spelt so there.
func (a *access) page(ctx context.Context, domain string, action, valid, offset, limit int) (accessPage, error) {
	var out accessPage
	err := a.call(ctx, "waf", "DescribeIpAccessControl", map[string]any{
		"Domain": domain, "Count": 1, "ActionType": action, "ValidStatus": valid,
		"OffSet": offset, "Limit": limit, "Sort": newestFirst,
	}, &out)
	if errors.Is(err, waf.ErrConflict) { // ResourceNotFound: no change of ours is under way that a new look could help
		err = fmt.Errorf(`%w: there is no domain %q in the WAF of %s: correct "domain" or "region": %s`, waf.ErrInvalid, domain, a.target.Region, err.Error())
	}
	return out, err
}

// readBook reads the whole blocklist of the target's domain.
func (a *access) readBook(ctx context.Context) (*accessBook, error) {
	rules, used, err := a.rulesOf(ctx, a.target.Domain, actionBlock)
	if err != nil {
		return nil, err
	}
	book := &accessBook{used: used}
	for _, r := range rules {
		if r.ours {
			book.rules = append(book.rules, r)
		} else {
			book.other = append(book.other, r)
		}
	}
	return book, nil
}

// rulesOf reads all rules of one kind of a domain, those that have ended too. If the number of rules changes on the way, or in
// the end there are fewer than the service counts, somebody wrote meanwhile, and everything is read once more.
func (a *access) rulesOf(ctx context.Context, domain string, action int) (rules []*accessRule, used int, err error) {
	const rounds = 4
	for range rounds {
		p := &paging{limit: rulePage, known: map[string]bool{}}
		if err := a.readPages(ctx, domain, action, p); err != nil {
			return nil, 0, err
		}
		if len(p.rules) >= p.total && !p.moved {
			return p.rules, p.used, nil
		}
	}
	return nil, 0, fmt.Errorf("read the ip rules of %s: %w: their number changes while they are read, or fewer are listed than counted", domain, waf.ErrUnavailable)
}

// paging is one reading of all rules.
type paging struct {
	limit  int
	byPage bool // OffSet counts pages
	rules  []*accessRule
	known  map[string]bool
	used   int
	total  int
	moved  bool // the total changed on the way
}

// readPages pages through the rules. OffSet is a number of rules, "a multiple of Limit"; but its maximum, the
// documentation says, is Total/Limit, as if it were a number of pages. Where the first reading
// finds nothing new, the second is tried. A service that refuses so long a page is asked for the default's length.
func (a *access) readPages(ctx context.Context, domain string, action int, p *paging) error {
	for n := 0; n < maxRulePages; n++ {
		offset := n * p.limit
		if p.byPage {
			offset = n
		}
		page, err := a.page(ctx, domain, action, validAll, offset, p.limit)
		if n == 0 && p.limit > defaultPage && errors.Is(err, waf.ErrInvalid) {
			p.limit, n = defaultPage, -1
			continue
		}
		if err != nil {
			return err
		}
		p.moved = p.moved || n > 0 && page.Data.TotalCount != p.total
		p.used, p.total = page.UsedTotal, page.Data.TotalCount
		come, got := a.take(p, page.Data.Res, action), len(page.Data.Res)
		switch {
		case len(p.rules) >= p.total:
			return nil
		case n == 0 && got > 0 && got < p.limit:
			p.limit = got
		case come == 0 && n == 1 && !p.byPage:
			p.byPage, n = true, 0
		case got == 0:
			return nil
		}
	}
	return nil
}

// take adds the rules of a page, and returns how many were not known yet.
func (a *access) take(p *paging, page []wireRule, action int) (come int) {
	for _, w := range page {
		if w.ActionType != 0 && w.ActionType != uint64(action) {
			continue // a service that does not know the filter
		}
		if r := a.note.parseRule(w); !p.known[r.key] {
			p.known[r.key] = true
			p.rules = append(p.rules, r)
			come++
		}
	}
	return come
}

// glance tells, with one call, whether the blocklist is as it is remembered.
func (a *access) glance(ctx context.Context) (fits bool, err error) {
	page, err := a.page(ctx, a.target.Domain, actionBlock, validInForce, 0, glancePage)
	if err != nil {
		return false, err
	}
	rules := make([]*accessRule, len(page.Data.Res))
	for i, w := range page.Data.Res {
		rules[i] = a.note.parseRule(w)
	}
	return a.left.fits(page.Data.TotalCount, rules, a.cfg.Now()), nil
}

func formatID(id uint64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(id, 10)
}
