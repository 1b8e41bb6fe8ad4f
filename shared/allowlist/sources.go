package allowlist

import (
	"context"
	"errors"
	"fmt"
)

// ErrTooWide means that a list spares more of the Internet than its source may. A feed
// that says so is broken or hijacked; an operator's file that says so has lost a digit.
var ErrTooWide = errors.New("allowlist covers too much of the Internet")

// MaxShare is the greatest part of the public IPv4 or IPv6 space that a list may cover
// unless somebody says that more is meant: about one IPv4 /8. Who needs more than that
// spared has more friends than enemies. UNVERIFIED: no source names a figure; all the
// published ranges of crawlers together cover less than 0.001.
const MaxShare = 0.005

// Source is one place from which allowlisted subjects come: what the operator saved,
// the ranges that search engines publish, the addresses of one's own load balancers.
type Source struct {
	Name string // for errors: "published ranges"
	// Read returns the list as it stands, whole, or an error; never part of it. A source
	// that is absent on purpose returns an empty list.
	Read func(context.Context) (List, error)
	// MaxShare bounds what the source may cover; see Coverage. 0 means the package's
	// MaxShare, 1 any: the operator's own list was checked when it was saved.
	MaxShare float64
}

// Sources are several lists that count as one. They fail closed: one that cannot be
// read, or covers too much, makes an error of all, because half an allowlist blocks the
// other half. Whoever keeps feeds therefore keeps the last good copy of each, and says
// so when it grows old.
//
// The method is the one that package enforce and the detect function ask for, so a
// store whose Allowlist is replaced by it gives both the same answer: what a feed
// begins to list is spared in the next verdict and leaves the walls at the next sync,
// and what it ceases to list may be blocked again.
type Sources []Source

// Allowlist reads all sources, one after the other, and joins them. Its error wraps the
// source's and names it; the list is then empty and must not be used. No source at all
// is an error too: nobody meant to leave them out.
func (s Sources) Allowlist(ctx context.Context) (List, error) {
	if len(s) == 0 {
		return List{}, errors.New("read allowlist: no source is set")
	}
	lists := make([]List, 0, len(s))
	for _, source := range s {
		l, err := source.read(ctx)
		if err != nil {
			return List{}, fmt.Errorf("%s: %w", source.Name, err)
		}
		lists = append(lists, l)
	}
	return Join(lists...), nil
}

func (s Source) read(ctx context.Context) (List, error) {
	l, err := s.Read(ctx)
	if err != nil {
		return List{}, err
	}
	most := s.MaxShare
	if most == 0 {
		most = MaxShare
	}
	return l, l.Coverage().Check(most)
}

// FromEntries makes what Source.Read wants of a reader of entries, such as a store of
// published ranges has. The entries are checked as New checks them.
func FromEntries(read func(context.Context) ([]Entry, error)) func(context.Context) (List, error) {
	return func(ctx context.Context) (List, error) {
		entries, err := read(ctx)
		if err != nil {
			return List{}, err
		}
		return New(entries)
	}
}
