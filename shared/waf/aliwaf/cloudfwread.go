package aliwaf

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// cloudBookView is a book as DescribeAddressBook shows it.
type cloudBookView struct {
	UUID           string `json:"GroupUuid"`
	Name           string `json:"GroupName"`
	Type           string `json:"GroupType"`
	Description    string
	AddressList    []string
	Count          *int `json:"AddressListCount"`
	ReferenceCount int
}

// cloud calls an operation of Cloud Firewall.
func (c *cloudFirewall) cloud(ctx context.Context, action string, p params, out any) error {
	return c.call(ctx, cfwService, action, p, out)
}

// listBooks returns all books of a family, whoever's. Query is not used: what it searches is said nowhere (UNVERIFIED).
func (c *cloudFirewall) listBooks(ctx context.Context, f waf.Family) ([]cloudBookView, error) {
	var all []cloudBookView
	seen := map[string]bool{}
	for page := 1; page <= 10*maxPages; page++ {
		var out struct {
			Acls       []cloudBookView
			TotalCount json.Number // as text
		}
		p := params{"GroupType": groupType(f), "CurrentPage": strconv.Itoa(page), "PageSize": strconv.Itoa(cloudBookPage)}
		if err := c.cloud(ctx, "DescribeAddressBook", p, &out); err != nil {
			return nil, fmt.Errorf("list address books: %w", err)
		}
		for _, b := range out.Acls {
			if b.UUID != "" && !seen[b.UUID] {
				seen[b.UUID] = true
				all = append(all, b)
			}
		}
		total, _ := out.TotalCount.Int64()
		if len(out.Acls) == 0 || total > 0 && int64(len(all)) >= total {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list address books: %w: no end", waf.ErrUnavailable)
}

// bookNames matches the names of the target's books.
func (c *cloudFirewall) bookNames() *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(c.name) + `-(v4|v6)-([0-9]{3,6})$`)
}

// readBooks finds our books: those with our name and our mark. Each name is there once.
func (c *cloudFirewall) readBooks(ctx context.Context) error {
	c.books, c.taken = nil, map[string]bool{}
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		ours, err := c.findBooks(ctx, f, true)
		if err != nil {
			return err
		}
		c.books = append(c.books, ours...)
	}
	return nil
}

// findBooks returns our books of a family, in order of number.
func (c *cloudFirewall) findBooks(ctx context.Context, f waf.Family, notes bool) ([]*cloudBook, error) {
	all, err := c.listBooks(ctx, f)
	if err != nil {
		return nil, err
	}
	names := c.bookNames()
	var ours []*cloudBook
	for _, one := range all {
		if one.Type != "" && one.Type != groupType(f) {
			continue
		}
		stamp, marked := c.readMark(one.Description)
		m := names.FindStringSubmatch(one.Name)
		switch {
		case m != nil && marked && m[1] == f.String():
			b := &cloudBook{uuid: one.UUID, name: one.Name, description: one.Description, family: f, stamp: stamp, referenced: one.ReferenceCount}
			b.number, _ = strconv.Atoi(m[2])
			if err := b.read(one); err != nil {
				return nil, err
			}
			ours = append(ours, b)
		case m != nil:
			c.taken[one.Name] = true
			if notes {
				c.note("book %s has a name of ours but not our mark %q in its description: it is left alone; rename it, or put the mark there if it is this target's", one.Name, c.mark())
			}
		case marked && notes:
			c.note("book %s has our mark in its description but not our name: it is left alone; take the mark out", one.Name)
		}
	}
	slices.SortFunc(ours, func(a, b *cloudBook) int { return cmp.Or(cmp.Compare(a.number, b.number), cmp.Compare(a.uuid, b.uuid)) })
	return ours, nil
}

// placeholder stands in a book of which the service refuses to take the last address away: the address of
// no host at all, from which nothing comes.
func placeholder(f waf.Family) netip.Prefix {
	if f == waf.IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 128)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 32)
}

// read takes what a book holds. A book that shows fewer than it says to hold cannot be worked on.
func (b *cloudBook) read(one cloudBookView) error {
	texts, err := spread(one.AddressList)
	if err != nil || one.Count != nil && *one.Count != len(texts) {
		return fmt.Errorf("read address book %s: %w: it does not show all that it holds", one.Name, waf.ErrUnavailable)
	}
	b.holds = make(map[netip.Prefix]string, len(texts))
	for _, text := range texts {
		spelled, _, _ := strings.Cut(strings.TrimSpace(text), " ") // what follows is the entry's own note
		p, err := readAddress(spelled)
		switch {
		case err != nil:
			b.odd++
		case p != placeholder(b.family):
			b.holds[p] = spelled
		}
	}
	return nil
}

// spread returns the addresses of an AddressList. In Alibaba Cloud's example its only element is the
// text of a JSON array.
func spread(list []string) ([]string, error) {
	if len(list) != 1 || !strings.HasPrefix(strings.TrimSpace(list[0]), "[") {
		return list, nil
	}
	var inner []string
	err := json.Unmarshal([]byte(list[0]), &inner)
	return inner, err
}

// note adds a line for people; names in it are the cloud's.
func (c *cloudFirewall) note(format string, args ...any) {
	c.notes = append(c.notes, notice(format, args...))
}

// notice is a line for people in which every text is bounded and escaped.
func notice(format string, args ...any) string {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = printable(text, maxName)
		}
	}
	return fmt.Sprintf(format, args...)
}
