package aliwaf

import (
	"context"
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// Detach implements waf.Detacher: first the rule, so that nobody is blocked any more, then the template it stood in,
// then the book. A template in which somebody else has put rules stays, without ours.
func (b *addressBook) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	defer b.forget() // what is left is not as we left it
	if err := b.lookWhole(ctx); err != nil {
		return nil, err
	}
	for _, t := range []*template{b.seen.template, b.seen.other} {
		if t == nil {
			continue
		}
		if dryRun {
			said, err := b.wouldRemove(ctx, t)
			if done = append(done, said...); err != nil {
				return done, err
			}
			continue
		}
		said, err := b.removeTemplate(ctx, t)
		if done = append(done, said...); err != nil {
			return done, err
		}
	}
	if b.seen.book == nil {
		return done, nil
	}
	what := fmt.Sprintf("address book %s with %d entries", b.name, max(0, b.seen.count))
	if dryRun {
		return append(done, "would delete "+what), nil
	}
	id := b.seen.book.ID
	err = again(ctx, b.wall, func() error { return b.deleteRules(ctx, 0, id) })
	if err != nil {
		return done, fmt.Errorf("%s: %w (if a rule of yours refers to it, take it out of that rule first)", what, err)
	}
	return append(done, "deleted "+what), nil
}

// wouldRemove says what removeTemplate would do.
func (b *addressBook) wouldRemove(ctx context.Context, t *template) (said []string, err error) {
	ours, strays, err := b.findRule(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	if ours != nil {
		said = append(said, fmt.Sprintf("would delete rule %s in template %s", b.name, t.Name))
	}
	if len(strays) > 0 {
		return append(said, staying(t, strays)), nil
	}
	return append(said, "would delete template "+t.Name), nil
}

// removeTemplate removes our rule from a template of ours, and the template if nothing else is in it.
func (b *addressBook) removeTemplate(ctx context.Context, t *template) (done []string, err error) {
	ours, strays, err := b.findRule(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	if ours != nil {
		if err := again(ctx, b.wall, func() error { return b.deleteRules(ctx, t.ID, ours.ID) }); err != nil {
			return done, err
		}
		done = append(done, fmt.Sprintf("deleted rule %s in template %s", b.name, t.Name))
	}
	if len(strays) > 0 {
		return append(done, staying(t, strays)), nil
	}
	if err := again(ctx, b.wall, func() error { return b.deleteTemplate(ctx, t.ID) }); err != nil {
		return done, err
	}
	return append(done, "deleted template "+t.Name), nil
}

func staying(t *template, strays []string) string {
	return fmt.Sprintf("template %s stays: it holds rules that are not ours: %s", t.Name, names(strays))
}

// again makes a write that may be made twice, as deleting by id may, until it is certain.
func again(ctx context.Context, w *wall, write func() error) error {
	for try := 1; ; try++ {
		err := write()
		if !unsure(err) || try == writeTries {
			return err
		}
		if serr := w.cfg.Sleep(ctx, backoff(try)); serr != nil {
			return errors.Join(err, serr)
		}
	}
}

// DetachMode implements waf.Detacher.
func (b *addressBook) DetachMode(ctx context.Context, mode string, dryRun bool) ([]string, error) {
	return b.detachMode(ctx, b, ModeAddressBook, mode, dryRun)
}

// provable is a mode that can be left.
type provable interface {
	waf.Firewall
	waf.Prover
	waf.Detacher
}

// detachMode leaves the place of another mode of the same target, once self, the mode that is configured, is proven to be in force.
func (w *wall) detachMode(ctx context.Context, self provable, own, mode string, dryRun bool) ([]string, error) {
	if mode == "" || mode == own {
		return self.Detach(ctx, dryRun)
	}
	other, ok := w.asMode(mode).(waf.Detacher)
	if !ok {
		return nil, fmt.Errorf("leave mode %q: %w: want one of %s, %s, %s", mode, waf.ErrInvalid, ModeAddressBook, ModeIPBlacklist, ModeCloudFirewall)
	}
	if _, err := self.Look(ctx); err != nil {
		return nil, err
	}
	proof, err := self.Prove(ctx)
	if err != nil {
		return nil, err
	}
	if !proof.Effective {
		return nil, fmt.Errorf("leave mode %s: %w: mode %s is not in force yet: %s", mode, waf.ErrUnavailable, own, names(proof.Reasons))
	}
	return other.Detach(ctx, dryRun)
}

// asMode returns the same target's firewall in another mode, on the same client; nil: there is no such mode.
func (w *wall) asMode(mode string) waf.Firewall {
	t := w.target
	t.Mode = mode
	other := &wall{client: w.client, target: t.withDefaults(), name: w.name, found: w.found, known: w.known}
	switch mode {
	case ModeAddressBook:
		return newAddressBook(other)
	case ModeIPBlacklist:
		return newRules(other)
	case ModeCloudFirewall:
		return newCloudFirewall(other)
	default:
		return nil
	}
}
