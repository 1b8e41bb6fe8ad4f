package aliwaf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// cloudBookSize is how many addresses an address book of Cloud Firewall holds (its documents: 2,000).
	cloudBookSize = 2000
	// cloudBookPage is smaller than the 50 that a page may have: each book comes with all that it
	// holds, twice over.
	cloudBookPage = 10
	// cloudPolicyPage is small for the same reason: a policy comes with what its book holds.
	cloudPolicyPage = 20
)

// cloudFirewall is mode cloud-firewall: address books of Cloud Firewall, tracewall-<target>-v4-001 and so on, which
// hold 2,000 addresses of one family each. They grow and shrink by ModifyAddressBook's Append and Delete, so nobody's
// change is written over; the description goes with each of these calls and is the only thing that is.
//
// A book blocks nobody. A policy of the Internet border that drops what comes from the book does. With
// "manage" we make one for each of our books and keep it; without, whoever owns the policies refers to the
// books, and Prove tells whether anybody does. Policies have no names: ours is the one that has our mark in its
// description and our book as its source.
//
// Each address in a book that a policy refers to counts against the account's quota of policy entries
// (sources × destinations × ports), which differs by edition and is told nowhere that could be asked (UNVERIFIED).
type cloudFirewall struct {
	*wall

	books    []*cloudBook             // ours, in order of family and number
	taken    map[string]bool          // names of our pattern that are somebody else's
	policies map[int][]*controlPolicy // inbound, in order, by IP version
	notes    []string
}

// cloudBook is one of our books, as Look saw it and our writes left it.
type cloudBook struct {
	uuid, name, description string
	family                  waf.Family
	number                  int
	stamp                   *waf.Stamp
	holds                   map[netip.Prefix]string // and how each is spelled there
	odd                     int                     // entries that are no addresses to us, or our placeholder
	referenced              int
}

// newCloudFirewall is mode cloud-firewall.
func newCloudFirewall(w *wall) *cloudFirewall { return &cloudFirewall{wall: w} }

// Look implements waf.Firewall. What the books hold comes with it: the service has no listing without.
func (c *cloudFirewall) Look(ctx context.Context) (waf.State, error) {
	c.notes = nil
	if err := c.readBooks(ctx); err != nil {
		return waf.State{}, err
	}
	if err := c.readPolicies(ctx); err != nil {
		return waf.State{}, err
	}
	return c.state(), nil
}

func (c *cloudFirewall) state() waf.State {
	s := waf.State{
		Wall:   fmt.Sprintf("address books %s of alibaba cloud firewall (%s)", c.name, c.target.Region),
		Base:   c.name,
		Exists: len(c.books) > 0, RuleOK: true,
		Stamp: c.latestStamp(), Notes: slices.Clone(c.notes),
	}
	book := waf.Book{Name: c.name, Room: c.target.Books * cloudBookSize, Room6: c.target.Books * cloudBookSize, Batch: c.target.Batch}
	for _, b := range c.books {
		book.Count += len(b.holds)
		if b.odd > 0 {
			s.Drift = append(s.Drift, fmt.Sprintf("book %s holds %d entries that are no addresses or ranges", b.name, b.odd))
		}
	}
	s.Book = &book
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		if c.room(f) == 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("our %d address books for %s are full: raise books of the target if there is overflow", c.target.Books, f))
		}
	}
	if c.target.Manage {
		ok, drift := c.policiesOK()
		s.RuleOK = ok
		s.Drift = append(s.Drift, drift...)
	}
	return s
}

// latestStamp is the newest note on our books of the list that the first of them is of. A book that holds nothing is
// asked only if all are so: its note may be older than a change of the list.
func (c *cloudFirewall) latestStamp() (latest *waf.Stamp) {
	for _, empty := range []bool{false, true} {
		for _, b := range c.books {
			if b.stamp == nil || (len(b.holds) == 0) != empty {
				continue
			}
			if latest == nil || b.stamp.Epoch == latest.Epoch && b.stamp.Generation > latest.Generation {
				latest = b.stamp
			}
		}
		if latest != nil {
			return latest
		}
	}
	return nil
}

// Listings implements waf.BookFirewall, from what Look saw.
func (c *cloudFirewall) Listings(context.Context) ([]waf.Listing, error) {
	var all []netip.Prefix
	for _, b := range c.books {
		for p := range b.holds {
			all = append(all, p)
		}
	}
	all = inOrder(all)
	list := make([]waf.Listing, len(all))
	for i, p := range all {
		list[i] = waf.Listing{Prefix: p}
	}
	return list, nil
}

// booksOf returns our books of a family.
func (c *cloudFirewall) booksOf(f waf.Family) []*cloudBook {
	return slices.DeleteFunc(slices.Clone(c.books), func(b *cloudBook) bool { return b.family != f })
}

// groupType is what the service calls a family's books, and ipVersion its policies.
func groupType(f waf.Family) string {
	if f == waf.IPv6 {
		return "ipv6"
	}
	return "ip"
}

func ipVersion(f waf.Family) int { return int(f) }
