package aliwaf

import (
	"context"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// addressBook is mode address-book: waf.BookFirewall on an address book of WAF 3.0, a custom rule that refers
// to it, and the template that the rule stands in. The three of them have these names:
//
//	book      tracewall-<target>          described "tracewall:<target> epoch=… generation=…"
//	template  tracewall-<target>          of the default kind, for all protected objects, or
//	          tracewall-<target>.objects  bound to those that the target names; described "tracewall:<target>"
//	rule      tracewall-<target>          in that template: IP in-list <book>
//
// A template cannot change its kind, hence two names: when a target begins or ceases to name
// objects, the new template is in force before the old one goes. Not for concurrent use.
type addressBook struct {
	*wall
	mem   bookMemory
	seen  seen
	spelt map[string]string // by what we would write: what the book shows, where that differs and Listings has seen it
	// uncertain: whether a write of ours was made is not known.
	uncertain bool
}

// seen is what the last Look saw, kept up to date by our own writes.
type seen struct {
	book     *rule // nil: none
	count    int   // of entries in it, whatever they are; negative: not known
	template *template
	other    *template // of ours too, of the kind that the target does not need
	rule     *rule
	strays   []string // rules in our template that are not ours
	bound    []string // objects that our template is bound to; only looked up if the target names objects
	inScene  int      // custom rule templates in all
}

// LookEvery is how often a Look is a thorough one although nothing points to a change. In between three calls
// tell whether the book has another number of entries than we left in it, and whether rule and template are as
// we left them; what they do not tell is whether somebody renamed the book, stamped it from another list, or unbound an object.
const LookEvery = 10 * time.Minute

func newAddressBook(w *wall) *addressBook {
	return &addressBook{wall: w, mem: bookMemory{Count: -1}, spelt: map[string]string{}}
}

// Look implements waf.Firewall. It costs three calls if the ids of what is ours are remembered: the
// book's count, the rule, the template. Otherwise, every LookEvery, and when one of the three shows another state than the one
// that we left, everything is looked up by name: four calls, one more for a target that names objects, and
// one more for a process that does not know the instance yet.
func (b *addressBook) Look(ctx context.Context) (waf.State, error) {
	short, err := b.lookAgain(ctx)
	if err != nil {
		return waf.State{}, err
	}
	if !short {
		if err := b.lookWhole(ctx); err != nil {
			return waf.State{}, err
		}
	}
	return b.state(), nil
}

// state turns what was seen into what the Reconciler needs.
func (b *addressBook) state() waf.State {
	s := b.seen
	wrong := b.wrong()
	state := waf.State{
		Wall: b.title("address book"), Base: b.name, Stamp: b.mem.Stamp,
		Exists: s.book != nil && s.template != nil && s.rule != nil,
		RuleOK: len(wrong) == 0,
		Book:   &waf.Book{Name: b.name, Room: b.target.Entries, Batch: b.target.Batch, Count: s.count},
	}
	if s.count >= 0 {
		state.Book.Count = max(0, s.count-b.mem.Surplus)
	}
	if s.book == nil && s.template == nil {
		state.RuleOK = true // nothing is there because nothing has been wanted yet
	}
	if b.mem.Left && b.mem.Action == b.target.Action {
		for _, f := range wrong {
			state.Drift = append(state.Drift, f.text)
		}
	}
	state.Notes = b.notes()
	if state.RuleOK && state.Exists {
		b.left()
	}
	return state
}

// notes says what is odd and not ours to change.
func (b *addressBook) notes() (notes []string) {
	if n := len(b.seen.strays); n > 0 {
		notes = append(notes, fmt.Sprintf("template %s holds %d rules that are not ours, the first: %s: move them to a template of your own", b.templateName(), n, printable(b.seen.strays[0], maxName)))
	}
	if extra := b.extraObjects(); len(extra) > 0 {
		notes = append(notes, fmt.Sprintf("template %s protects %d objects that the target does not name and we have not bound, the first: %s: name them in objects, or unbind them", b.templateName(), len(extra), printable(extra[0], maxName)))
	}
	if b.mem.Odd > 0 {
		notes = append(notes, fmt.Sprintf("address book %s holds %d entries that are no addresses: take them out in the console", b.name, b.mem.Odd))
	}
	if b.target.Action == ActionMonitor {
		notes = append(notes, "the target's action is monitor: requests are counted and logged, nobody is blocked")
	}
	return notes
}

// templateName is the name of the template that the target needs.
func (b *addressBook) templateName() string { return b.templateNamed(b.target.templateType()) }

func (b *addressBook) templateNamed(kind string) string {
	if kind == templateCustom {
		return b.name + ".objects" // no target's name has a dot
	}
	return b.name
}
