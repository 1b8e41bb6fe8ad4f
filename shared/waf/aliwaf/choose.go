package aliwaf

import (
	"context"
	"errors"

	"github.com/tracewall/tracewall/shared/waf"
)

// chooser is mode auto. It is asked before each run, and is itself no wall.
type chooser struct {
	*wall
	book    *addressBook
	rules   waf.Firewall
	decided waf.Firewall // by an answer of this process; nil: not yet
}

func newChooser(w *wall) *chooser {
	c := &chooser{wall: w}
	book := &wall{client: w.client, target: w.target, name: w.name}
	c.book = newAddressBook(book)
	c.rules = w.asMode(ModeIPBlacklist)
	return c
}

// Choose implements waf.Chooser. Whoever has addresses of ours keeps them: the book if there is one, else
// the rules of the IP blacklist if there are any; two modes would block the same addresses, and only one would
// release them. Where there is neither, the book if the instance has address books. That it has none is only
// taken from a plain refusal of the scene address_book; how the service words it is UNVERIFIED, so any refusal of
// the request itself counts that is not about permissions, pace or a moment's trouble. An error that may pass is returned.
func (c *chooser) Choose(ctx context.Context) (waf.Firewall, error) {
	if c.decided != nil {
		return c.decided, nil
	}
	books, err := c.book.listRules(ctx, typeGlobal, "", ruleQuery{Scene: sceneBook})
	switch {
	case refusesBooks(err):
		c.decided = c.rules
		return c.rules, nil
	case err != nil:
		return nil, err
	}
	for _, b := range books {
		if _, ours := c.readMark(descriptionOf(&b)); ours || b.Name == c.name {
			c.decided = c.book
			return c.book, nil
		}
	}
	templates, err := c.listTemplates(ctx, sceneBlacklist, "")
	if err != nil {
		return nil, err
	}
	c.decided = c.book
	for _, t := range templates {
		if _, ours := c.readMark(t.Description); ours {
			c.decided = c.rules
		}
	}
	return c.decided, nil
}

// refusesBooks tells that the instance has no address books.
func refusesBooks(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.status >= 400 && e.status < 500 && e.code != "" && (e.decision == nil || errors.Is(e.decision, waf.ErrInvalid))
}

// Look implements waf.Firewall with the mode that Choose returns.
func (c *chooser) Look(ctx context.Context) (waf.State, error) {
	f, err := c.Choose(ctx)
	if err != nil {
		return waf.State{}, err
	}
	return f.Look(ctx)
}

// Prove implements waf.Prover with the mode that Choose returns.
func (c *chooser) Prove(ctx context.Context) (waf.Proof, error) {
	f, err := c.Choose(ctx)
	if err != nil {
		return waf.Proof{}, err
	}
	if p, ok := f.(waf.Prover); ok {
		return p.Prove(ctx)
	}
	return waf.Proof{}, errors.ErrUnsupported
}

// Detach implements waf.Detacher: both modes leave, whichever is in use.
func (c *chooser) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	for _, f := range []waf.Firewall{c.rules, c.book} {
		d, ok := f.(waf.Detacher)
		if !ok {
			continue
		}
		said, err := d.Detach(ctx, dryRun)
		done = append(done, said...)
		if refusesBooks(err) {
			continue // no books, so none of ours
		}
		if err != nil {
			return done, err
		}
	}
	c.decided = nil
	return done, nil
}

// DetachMode implements waf.Detacher: the mode that is in use counts as the configured one.
func (c *chooser) DetachMode(ctx context.Context, mode string, dryRun bool) ([]string, error) {
	if mode == "" || mode == ModeAuto {
		return c.Detach(ctx, dryRun)
	}
	f, err := c.Choose(ctx)
	if err != nil {
		return nil, err
	}
	d, ok := f.(waf.Detacher)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return d.DetachMode(ctx, mode, dryRun)
}
