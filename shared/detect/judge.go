package detect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// Crawlers tells search engines' crawlers by what cannot be forged; a user agent can.
type Crawlers interface {
	// Verify returns the crawler that an address belongs to, or "". An error means that
	// it could not be found out.
	Verify(ctx context.Context, addr netip.Addr) (name string, err error)
}

// maxVerified bounds how many addresses a run asks Crawlers about, and minVisits is
// how many ordinary requests an address must have for that: crawlers read.
const (
	maxVerified = 100
	minVisits   = 20
	verifying   = 8                // at once
	verifyFor   = 15 * time.Second // all of them: a minute's run must not wait for somebody's slow DNS
)

// Judge weighs what the logs have answered: the allowlist, what speaks for an address,
// what others say of it, what it did before, and last the brake. Nothing may be
// written when the error is not nil: ErrAllowlist and ErrHeld (the verdicts
// then say who is held), or a store that cannot be read.
func (r *Runner) Judge(ctx context.Context, g Gathered, now time.Time) (Verdicts, error) {
	return r.judge(ctx, g, now, false)
}

// judge is Judge. Only a run that will write what it decides may use up an operator's approval.
func (r *Runner) judge(ctx context.Context, g Gathered, now time.Time, acts bool) (Verdicts, error) {
	v := Verdicts{Campaigns: r.campaigns(g.Campaigns)}
	// held is all of them, when it cannot be told whom one may act upon.
	held := func(all []evidence) {
		v.Held = make([]Judgement, len(all))
		for i, e := range all {
			v.Held[i] = r.judged(e)
		}
	}
	list, err := r.Allowlist(ctx)
	if err != nil {
		// Without the allowlist nobody can be told from a partner.
		all := merits(g, nil)
		_, rememberErr := r.remember(ctx, all, now)
		v.strangers = rememberErr != nil
		held(all)
		return v, fmt.Errorf("%w, %d detections not acted upon: %w", ErrAllowlist, len(g.Detections), err)
	}
	var notes []string
	hits, err := r.intelligence(ctx)
	if err != nil {
		// It only ever raises a verdict, so that going on without it errs towards sparing.
		notes = append(notes, "intelligence could not be read, nobody was judged by it: "+err.Error())
	}
	all := merits(g, hits)
	size, err := r.remember(ctx, all, now)
	if err != nil {
		v.strangers = true
		held(all)
		return v, err
	}
	judged := make([]Judgement, len(all))
	for i, e := range all {
		judged[i] = r.judged(e)
		if reason, ok := list.Covers(judged[i].Indicator, now); ok {
			judged[i].Spared = reason
		}
	}
	notes = append(notes, r.verify(ctx, judged)...)
	v, err = r.Policy.sort(judged, size, g.Ordinary, func(n int) (bool, error) {
		if !acts {
			return false, nil
		}
		return r.approved(ctx, n)
	})
	v.Campaigns, v.Notes = r.campaigns(g.Campaigns), append(notes, v.Notes...)
	return v, errors.Join(v.Err(), err)
}

// reason is the sentence of the rule that a detection is of.
func (r *Runner) reason(d threat.Detection) string {
	if at := slices.IndexFunc(r.Rules, func(rule Rule) bool { return rule.ID == d.Rule }); at >= 0 {
		return r.Rules[at].Reason(d)
	}
	return ""
}

func (r *Runner) campaigns(all []Campaign) []Campaign {
	all = slices.Clone(all)
	for i, c := range all {
		d := c.Detection
		d.Addresses = c.Clients
		all[i].Reason = r.reason(d)
	}
	return all
}

// judged scores one Indicator. The rules' sentences are made now that the accounts are joined.
func (r *Runner) judged(e evidence) Judgement {
	for i, d := range e.detections {
		e.detections[i].Reason = r.reason(d)
	}
	j := score(e)
	j.Indicator = e.indicator()
	return j
}

// intelligence returns what looks an Indicator up; nil where there is none.
func (r *Runner) intelligence(ctx context.Context) (func(threat.Indicator) []threatintel.Hit, error) {
	if r.Intelligence == nil {
		return nil, nil
	}
	set, err := r.Intelligence(ctx)
	if err != nil || set == nil {
		return nil, err
	}
	return func(ind threat.Indicator) []threatintel.Hit {
		if ind.Kind() != threat.KindAddress {
			return nil
		}
		return set.Lookup(ind.Prefix())
	}, nil
}

// remember fills in what the list knows of everybody, and returns how long it is.
func (r *Runner) remember(ctx context.Context, all []evidence, now time.Time) (size int, err error) {
	inds := make([]threat.Indicator, len(all))
	for i, e := range all {
		inds[i] = e.indicator()
	}
	known, err := r.List.Histories(ctx, now, inds)
	if errors.Is(err, blocklist.ErrNoEpoch) {
		return 0, nil // the first run of all, which founds the list, or one after a flush: nothing is remembered
	}
	if err != nil {
		return 0, fmt.Errorf("histories of %d indicators: %w", len(inds), err)
	}
	for i, ind := range inds {
		all[i].history = known[ind]
	}
	if size, err = r.List.Size(ctx, now); err != nil {
		return 0, fmt.Errorf("size of the list: %w", err)
	}
	return size, nil
}

// verify spares proven crawlers among those who would be blocked or challenged, most
// ordinary requests first. Whoever DNS does not tell about is not blocked, only challenged.
func (r *Runner) verify(ctx context.Context, all []Judgement) (notes []string) {
	if r.Crawlers == nil {
		return nil
	}
	var at []int
	for i, j := range all {
		single := j.Indicator.Kind() == threat.KindAddress && j.Indicator.Prefix().IsSingleIP()
		if single && j.Spared == "" && j.Action >= threat.Challenge && j.Facts != nil && j.Facts.Ordinary >= minVisits {
			at = append(at, i)
		}
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(all[b].Facts.Ordinary, all[a].Facts.Ordinary) })
	if len(at) > maxVerified {
		notes = append(notes, fmt.Sprintf("%d addresses with ordinary requests were not asked about by DNS: more than %d in one run", len(at)-maxVerified, maxVerified))
		at = at[:maxVerified]
	}
	ctx, cancel := context.WithTimeout(ctx, verifyFor)
	defer cancel()
	var (
		wg      sync.WaitGroup
		slots   = make(chan struct{}, verifying)
		unknown atomic.Int64
	)
	for _, i := range at {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			name, err := r.Crawlers.Verify(ctx, all[i].Indicator.Prefix().Addr())
			switch {
			case err != nil:
				unknown.Add(1)
				all[i].soften(threat.Challenge, "DNS did not tell whether it is a crawler")
			case name != "":
				all[i].Spared = name + ", as forward-confirmed reverse DNS says"
			}
		})
	}
	wg.Wait()
	if n := unknown.Load(); n > 0 {
		notes = append(notes, fmt.Sprintf("DNS did not tell whether %d addresses are crawlers: they are not blocked", n))
	}
	return notes
}

// approved tells whether an operator has approved of so many new ones, and uses the approval up.
func (r *Runner) approved(ctx context.Context, n int) (bool, error) {
	a, ok, err := r.List.UseApproval(ctx, ApprovalTarget)
	if err != nil {
		return false, fmt.Errorf("approval: %w", err)
	}
	return ok && n <= a.Add, nil
}

// ApprovalTarget is the name under which an operator approves of what detect's brake holds.
const ApprovalTarget = "detect"
