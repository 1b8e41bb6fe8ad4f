package tencentfw

import (
	"context"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// access is a Target of mode waf: a waf.BookFirewall on the IP blocklist of Tencent Cloud WAF.
//
// The cloud keeps rules, each with up to 100 addresses, one note and one end. Ours are those whose note is
// "tracewall:<target> <epoch> <generation>"; a rule without that, also one that we made and whose
// note somebody has edited, is not ours and stays as it is. Addresses that end at the same time share a rule, so
// that 20,000 of them are some 500 rules and not 20,000.
//
//   - Entering tops up a rule of ours that has the same end and a free place, or makes a new one.
//   - Taking one out is one write: its rule without it, or none of the rule if it was the last.
//   - Renewing enters with the new end first and takes out of the old rule afterwards. Where the cloud refuses
//     an address that it has already, the old rule as a whole gets the new end: its other addresses
//     are taken out at their own ends by us, and would be late only with nothing of ours running.
//   - A rule is in force from when it is made; there is no other rule to be written.
//
// What ends by itself does so at most a Grid and the Reconciler's margin, 15 minutes together, after its term.
type access struct {
	*client
	target Target
	label  string // of the target, in notes
	note   *notePattern

	left *accessMemory       // what we know to stand, from our own reading and writing or from a memory; nil: nothing
	book *accessBook         // all rules, read since the last Look and kept up to date by our own writes; nil: not read
	seen map[uint64]ownWrite // rules of ours written since then, by id

	readAt   time.Time // when book was
	ruleSize int       // what a rule takes, as far as this run knows
}

// ownWrite is one rule as we wrote it last.
type ownWrite struct{ order, size int }

var (
	_ waf.BookFirewall = (*access)(nil)
	_ waf.Metered      = (*access)(nil)
	_ waf.Stamper      = (*access)(nil)
)

const (
	actionBlock = 42 // ActionType of the blocklist
	actionAllow = 40 // of the allowlist

	// accessGrid is what ends are rounded up to. Three days have 432 of them: so many rules for 20,000
	// addresses, with 46 each, and with the half-full ones some 500. An hour would make 280 of it, and let go an hour late.
	accessGrid = 10 * time.Minute
	// accessBatch is what one Add or Remove takes: everything. The Reconciler orders by severity before it orders by end, so that
	// smaller batches would write a rule's share of each severity on its own: three times the calls for all, and no earlier
	// end for the most urgent. At 20 calls a second 20,000 addresses of three days take half a minute; an Add that
	// is cut off is gone on with by the next.
	accessBatch = 20_000
	// ruleSize is how many addresses a rule takes (DOC, product/627/47524: 100 at a time, 20 before 2024). That the API
	// has the same bound is UNVERIFIED.
	ruleSize = 100
	// deleteSize is how many rules one DeleteIpAccessControlV2 takes. There is a limit
	// (FailedOperation.TheNumberOfOneTimeDeletionsReachedTheUpperLimit), no source says which: a refused call is made again in halves.
	deleteSize = 100
)

func newAccess(c *client, t Target) *access {
	label := noteLabel(t.Name)
	return &access{client: c, target: t, label: label, note: newNotePattern(label), ruleSize: ruleSize}
}

// title names the wall for people.
func (a *access) title() string {
	where := "domain " + a.target.Domain
	if a.target.Domain == Global {
		where = "all domains"
	}
	return fmt.Sprintf("tencent cloud waf blocklist of %s (%s)", where, a.target.Region)
}

// bookName names the list in plans and reports.
func (a *access) bookName() string { return "blocklist of " + a.target.Domain }

// Look implements waf.Firewall. If a memory is there, one call tells whether it still fits: the number of
// rules in force, and the ten that were written last. Otherwise everything is read, at 100 rules a call.
//
// What that one call cannot see is an edit of somebody else's that leaves the number of
// rules as it is and lies under ten later ones; Verify reads everything.
func (a *access) Look(ctx context.Context) (waf.State, error) {
	a.settle()
	a.book, a.ruleSize = nil, ruleSize
	quota, said, err := a.look(ctx)
	if err != nil {
		return waf.State{}, fmt.Errorf("look at the %s: %w", a.title(), err)
	}
	m := a.left
	state := waf.State{
		Wall: a.title(), Base: a.target.base(), Exists: m.rules() > 0, RuleOK: true, Stamp: m.stamp(),
		Book: &waf.Book{
			Name: a.bookName(), Room: max(1, quota-m.Others), Count: m.inForce(a.cfg.Now()),
			Batch: accessBatch, Ends: true, Grid: accessGrid,
		},
		Notes: said,
	}
	if m.Others >= quota {
		state.Notes = append(state.Notes, fmt.Sprintf("entries of others fill the quota of %d of the %s: take some out, or buy a larger edition", quota, a.title()))
	}
	if m.Broken > 0 {
		state.Notes = append(state.Notes, fmt.Sprintf("%d rules of ours do not hold all the time: somebody else has changed when they do; what they hold is entered anew", m.Broken))
	}
	return state, nil
}

// look makes sure of what is remembered, or reads.
func (a *access) look(ctx context.Context) (quota int, said []string, err error) {
	fits := false
	if a.left != nil {
		if fits, err = a.glance(ctx); err != nil {
			return 0, nil, err
		}
	}
	if !fits {
		if err := a.read(ctx); err != nil {
			return 0, nil, err
		}
	}
	return a.quota(ctx)
}

// Listings implements waf.BookFirewall. A prefix that several rules hold has the latest of their ends.
func (a *access) Listings(ctx context.Context) ([]waf.Listing, error) {
	if err := a.whole(ctx); err != nil {
		return nil, fmt.Errorf("read the %s: %w", a.title(), err)
	}
	return a.book.listings(a.cfg.Now()), nil
}

// Refer implements waf.BookFirewall. A rule of the blocklist is in force by itself.
func (a *access) Refer(context.Context) error { return nil }

// whole makes sure that all rules were read since the last Look.
func (a *access) whole(ctx context.Context) error {
	if a.book != nil {
		return nil
	}
	return a.read(ctx)
}

// read reads all rules and starts the memory anew from them.
func (a *access) read(ctx context.Context) error {
	book, err := a.readBook(ctx)
	if err != nil {
		return err
	}
	old := a.left
	a.book, a.readAt, a.seen = book, a.cfg.Now(), map[uint64]ownWrite{}
	a.left = a.summary()
	if old != nil {
		a.left.keep(old)
	}
	return nil
}
