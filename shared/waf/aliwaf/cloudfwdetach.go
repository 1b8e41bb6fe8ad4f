package aliwaf

import (
	"context"
	"fmt"
	"slices"
)

// Detach implements waf.Detacher: our policies first, then our books. A book that somebody else's policy refers to
// cannot be deleted, and stays as it is.
func (c *cloudFirewall) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	if _, err := c.Look(ctx); err != nil {
		return nil, err
	}
	verb := "deleted"
	if dryRun {
		verb = "would delete"
	}
	for _, b := range slices.Clone(c.books) {
		said, err := c.leaveBook(ctx, b, verb, dryRun)
		if done = append(done, said...); err != nil {
			return done, err
		}
	}
	return done, nil
}

// leaveBook removes our policies for a book, and the book if nobody else refers to it.
func (c *cloudFirewall) leaveBook(ctx context.Context, b *cloudBook, verb string, dryRun bool) (done []string, err error) {
	ours := 0
	for p := c.own(b); p != nil; p = c.own(b) {
		if !dryRun {
			err := again(ctx, c.wall, func() error {
				err := c.cloud(ctx, "DeleteControlPolicy", params{"AclUuid": p.UUID, "Direction": "in"}, nil)
				if gone(err) {
					return nil
				}
				return err
			})
			if err != nil {
				return done, fmt.Errorf("delete the control policy for %s: %w", b.name, err)
			}
		}
		ours++
		done = append(done, fmt.Sprintf("%s the control policy for address book %s", verb, b.name))
		version := ipVersion(b.family)
		c.policies[version] = slices.DeleteFunc(c.policies[version], func(other *controlPolicy) bool { return other == p })
	}
	if others := b.referenced - ours; others > 0 {
		return append(done, fmt.Sprintf("address book %s stays: %d policies that are not ours refer to it: take it out of them and detach again", b.name, others)), nil
	}
	if !dryRun {
		err := again(ctx, c.wall, func() error {
			err := c.cloud(ctx, "DeleteAddressBook", params{"GroupUuid": b.uuid}, nil)
			if gone(err) {
				return nil
			}
			return err
		})
		if err != nil {
			return done, fmt.Errorf("delete address book %s: %w", b.name, err)
		}
		c.books = slices.DeleteFunc(c.books, func(other *cloudBook) bool { return other == b })
	}
	return append(done, fmt.Sprintf("%s address book %s with %d addresses", verb, b.name, len(b.holds))), nil
}

// DetachMode implements waf.Detacher.
func (c *cloudFirewall) DetachMode(ctx context.Context, mode string, dryRun bool) ([]string, error) {
	return c.detachMode(ctx, c, ModeCloudFirewall, mode, dryRun)
}
