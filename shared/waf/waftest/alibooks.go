package waftest

import (
	"net/netip"
	"strconv"
	"strings"
)

// book returns the address book that a call names.
func (a *Alibaba) book(r aliRequest) (*aliRule, *aliError) {
	if a.opts.NoAddressBooks {
		return nil, a.unsupported()
	}
	id, e := r.number("RuleId", 0)
	if e != nil {
		return nil, e
	}
	one := a.state.rules[id]
	if one == nil || one.book == nil {
		return nil, bad("Defense.Control.DefenseRuleNotExist", "The address book does not exist.")
	}
	r.call.Scene = sceneBook
	return one, nil
}

// oversize answers both to a call with too many addresses and to a book that would hold too many: the
// documents have one code, and do not say for which.
func oversize() *aliError {
	return bad("Defense.Control.DefenseAddressOversize", "The number of addresses in the address book exceeds the limit.")
}

// addresses reads the parameter AddressList for a book: all of them are good, or the call is refused.
func (a *Alibaba) addresses(r aliRequest) (texts []string, list []netip.Prefix, e *aliError) {
	if texts, e = r.list("AddressList"); e != nil {
		return nil, nil, e
	}
	if len(texts) == 0 {
		return nil, nil, missing("AddressList")
	}
	if len(texts) > a.opts.Quotas.Batch {
		return nil, nil, oversize()
	}
	for _, text := range texts {
		p, wrong := a.takes(text)
		if wrong != "" {
			return nil, nil, bad("Defense.Control.DefenseAddressInvalid", "The address in the address book is illegal: %.60q: %s.", text, wrong)
		}
		list = append(list, p)
	}
	return texts, list, nil
}

// hurried refuses a change of a book that comes too soon after the last one.
func (a *Alibaba) hurried(one *aliRule) *aliError {
	if a.opts.BookPause > 0 && !one.book.changed.IsZero() && a.opts.Now().Sub(one.book.changed) < a.opts.BookPause {
		return bad("Defense.Control.DefenseAddressOperationTooFrequent", "Address book operations are too frequent. Please try again later.")
	}
	return nil
}

// addAddresses enters all addresses of a call or none. One that is there already counts as entered.
func (a *Alibaba) addAddresses(r aliRequest) (map[string]any, *aliError) {
	one, e := a.book(r)
	if e != nil {
		return nil, e
	}
	texts, list, e := a.addresses(r)
	if e != nil {
		return nil, e
	}
	if e := a.hurried(one); e != nil {
		return nil, e
	}
	added := map[netip.Prefix]bool{}
	for _, p := range list {
		if _, there := one.book.at[p]; there || added[p] {
			if a.opts.Pedantic {
				return nil, bad("Defense.Control.DefenseAddressInvalid", "The address %s is in the address book already.", p)
			}
			continue
		}
		added[p] = true
	}
	if a.state.bookAddresses()+len(added) > a.opts.Quotas.BookAddresses {
		return nil, oversize()
	}
	now := a.opts.Now()
	for i, p := range list {
		one.book.add(p, texts[i], "", now)
	}
	one.book.changed = now
	return nil, nil
}

// bookAddresses counts what all address books hold together.
func (s *aliState) bookAddresses() (n int) {
	for _, one := range s.rules {
		if one.book != nil {
			n += len(one.book.at)
		}
	}
	return n
}

// deleteAddresses strikes all addresses of a call out. One that is not there is no error.
func (a *Alibaba) deleteAddresses(r aliRequest) (map[string]any, *aliError) {
	one, e := a.book(r)
	if e != nil {
		return nil, e
	}
	_, list, e := a.addresses(r)
	if e != nil {
		return nil, e
	}
	if e := a.hurried(one); e != nil {
		return nil, e
	}
	if a.opts.Pedantic {
		for _, p := range list {
			if _, there := one.book.at[p]; !there {
				return nil, bad("Defense.Control.DefenseAddressInvalid", "The address %s is not in the address book.", p)
			}
		}
	}
	for _, p := range list {
		one.book.remove(p)
	}
	one.book.changed = a.opts.Now()
	return nil, nil
}

func (a *Alibaba) clearAddresses(r aliRequest) (map[string]any, *aliError) {
	one, e := a.book(r)
	if e != nil {
		return nil, e
	}
	if e := a.hurried(one); e != nil {
		return nil, e
	}
	one.book.clear()
	one.book.changed = a.opts.Now()
	return nil, nil
}

// describeAddresses lists in the order of entry. RuleId need not be there in the documents; what
// is listed then is not said, so the stand-in wants it.
func (a *Alibaba) describeAddresses(r aliRequest) (map[string]any, *aliError) {
	if r.str("RuleId") == "" {
		return nil, missing("RuleId")
	}
	one, e := a.book(r)
	if e != nil {
		return nil, e
	}
	most, e := r.between("MaxResults", 20, 1, 500)
	if e != nil {
		return nil, e
	}
	like := r.str("AddressLike")
	listing := "addresses " + strconv.FormatInt(one.id, 10) + " " + like
	from, e := readToken(r, listing)
	if e != nil {
		return nil, e
	}
	want := func(one *address) bool { return like == "" || strings.Contains(a.opts.Form.spell(one.text), like) }
	page, more := one.book.after(from, most, want)
	total := len(one.book.at)
	if like != "" {
		all, _ := one.book.after(0, total, want)
		total = len(all)
	}
	views := []map[string]any{}
	for _, entry := range page {
		views = append(views, map[string]any{"Address": a.opts.Form.spell(entry.text), "RuleId": one.id, "GmtModified": a.time(entry.modified)})
	}
	answer := map[string]any{"AddressList": views, "TotalCount": total, "MaxResults": most}
	if more {
		answer["NextToken"] = token(listing, page[len(page)-1].seq)
	}
	return answer, nil
}
