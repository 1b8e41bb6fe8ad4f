package awswaf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// place is where our rule stands: the user's web ACL, or rule groups of our own.
// All but find and write speak of what find saw, or write wrote, last.
type place interface {
	// find reads the place as it stands. listed are the IP sets with our names, whose
	// descriptions may say which one it is; nil: it is known already.
	find(ctx context.Context, listed []types.IPSetSummary) error
	// write makes our rule refer to exactly these sets, with one attempt, and makes
	// the rule as configured, and the place itself if it is not there. If all is so already it makes no call.
	write(ctx context.Context, arns []string) error

	title() string  // for people: "web acl shop"
	exists() bool   // it is there
	id() string     // for the sets' descriptions; "" if it is not there
	refs() []string // ARNs of the IP sets that our rule refers to; nil if there is no rule
	room() int      // how many IP sets our rule may refer to in all
	ok() bool       // our rule is as configured, or there is none
	uses(arn string) bool
	// check refuses a rule that has our name and is not ours. ours are the ARNs of our
	// sets, cameMeanwhile tells those that are probably ours but were not listed.
	check(ours map[string]bool, cameMeanwhile func(arn string) bool) error
	notes() []string // what weakens the wall and is not ours to change

	// handOver returns what is worth knowing of our rule as we left it; nil: nothing. The
	// next process gets it in takeOver, where nil stands for an unknown past.
	handOver() json.RawMessage
	takeOver(json.RawMessage)
	// drift says in words what somebody else has done to our rule, or to the place, since we left it.
	drift() []string
}

// Reference implements waf.Firewall. When another writer has changed the web ACL
// meanwhile, the change is merged into the fresh copy; when our own rule has
// changed, the plan no longer stands and it is waf.ErrConflict.
func (f *Firewall) Reference(ctx context.Context, add, drop []string) error {
	if err := f.reference(ctx, add, drop); err != nil {
		return fmt.Errorf("update %s: %w", f.place.title(), err)
	}
	f.referred()
	return nil
}

func (f *Firewall) reference(ctx context.Context, add, drop []string) error {
	before := f.place.refs()
	arns := slices.Clone(before)
	for _, name := range add {
		s := f.sets[name]
		if s == nil {
			return fmt.Errorf("ip set %s: %w: not seen by the last look", name, waf.ErrConflict)
		}
		arns = append(arns, s.arn)
	}
	for _, name := range drop {
		if s := f.sets[name]; s != nil {
			arns = slices.DeleteFunc(arns, func(arn string) bool { return arn == s.arn })
		}
	}
	slices.Sort(arns)
	arns = slices.Compact(arns)

	merges, waits := 0, 0
	written := refsKey(before)
	for {
		err := f.place.write(ctx, arns)
		if now := refsKey(f.place.refs()); now != written {
			// Some of several rule groups are written: the next one has its own sets to wait for.
			written, waits = now, 0
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, waf.ErrOutOfTime), ctx.Err() != nil:
			return err
		case waits < patience(err):
			// A new set, or the web ACL itself, has not spread through AWS yet.
			waits++
			if serr := f.sleep(ctx, waits); serr != nil {
				return fmt.Errorf("%w: %w", serr, err)
			}
			continue
		case !unsure(err):
			return err
		}
		// Another writer, or a lost answer to our own write: what stands decides.
		if merges++; merges == mergeAttempts {
			return err
		}
		if merges > 1 {
			if serr := f.sleep(ctx, merges-1); serr != nil {
				return fmt.Errorf("%w: %w", serr, err)
			}
		}
		if ferr := f.place.find(ctx, nil); ferr != nil {
			return errors.Join(err, ferr)
		}
		if !f.place.exists() {
			continue // made by nobody yet, or deleted meanwhile: make it
		}
		stands := f.place.refs()
		written = refsKey(stands)
		switch {
		case refsKey(stands) == refsKey(arns) && f.place.ok():
			return nil
		case !between(before, stands, arns):
			return fmt.Errorf("rule %s: %w", f.base, waf.ErrConflict)
		case !errors.Is(err, waf.ErrConflict):
			// Not a conflict but no answer, after the SDK's own retries: the next run tries again.
			return err
		}
	}
}

// between tells whether stands is what a write from before to after can have left, in
// part too where it takes several calls: it has all that is in both and nothing that is in neither.
func between(before, stands, after []string) bool {
	for _, arn := range stands {
		if !slices.Contains(before, arn) && !slices.Contains(after, arn) {
			return false
		}
	}
	for _, arn := range before {
		if slices.Contains(after, arn) && !slices.Contains(stands, arn) {
			return false
		}
	}
	return true
}

// patience returns how often to wait for an error that passes by itself.
func patience(err error) int {
	switch code(err) {
	case "WAFUnavailableEntityException":
		return readyAttempts
	case "WAFNonexistentItemException":
		return goneAttempts // not there yet, or not there any more: then plan again
	}
	return 0
}
