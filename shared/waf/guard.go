package waf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// Policy is what the configuration of a target says about its runs, on every cloud alike.
type Policy struct {
	// MaxRelease and MaxAdd are how many percent of what the wall holds a run may
	// release or add without asking; see Guard. 0 means its default.
	MaxRelease, MaxAdd int
	ReportDrift        bool // leave what others changed as it is and say so
	Observe            bool // every run is a dry run here, whatever else is said
	// Challenges: what the wall does to whom it holds is less than a block (a challenge, a
	// captcha, a count), so that it also gets those who are only to be challenged.
	Challenges bool
}

// Guard bounds what one run may change by itself. Its zero value guards with the defaults.
type Guard struct {
	// MaxRelease is how many percent of what the wall holds a run may release
	// although no term ended; 0: DefaultMaxRelease.
	MaxRelease int
	// MaxAdd is how many percent of what the wall holds a run may add once that is
	// more than MinAdd addresses; 0: DefaultMaxAdd. An empty wall may be filled.
	MaxAdd int
	// Ended counts those of the prefixes that the list let go in good order: their
	// term ended, or an operator unblocked them. Nil: none did.
	Ended func(ctx context.Context, prefixes []netip.Prefix) (int, error)
	// Allow is an operator's approval of more.
	Allow Allowance
}

// The defaults of Guard, and what is too little to ask anybody about.
const (
	DefaultMaxRelease = 10
	DefaultMaxAdd     = 100
	MinRelease        = 10
	// MinAdd is detect's own brake on one run (MAX_NEW): what that lets pass in a
	// night of attack must not stop here.
	MinAdd = 50_000
)

// Allowance is how much an operator has approved beyond what a run may do by itself.
type Allowance struct {
	Add     int `json:"add"`
	Release int `json:"release"`
}

// Held says why a run did nothing and asks. Its JSON form is stable.
type Held struct {
	Add         int    `json:"add"`         // addresses and ranges that the run would add
	Release     int    `json:"release"`     // those that it would release
	Unexplained int    `json:"unexplained"` // those of them whose term did not end
	Holds       int    `json:"holds"`       // what the wall holds
	Reason      string `json:"reason"`
}

// judge decides before the first write whether the run may go on: nobody else has
// changed the wall (or it may be repaired), the firewall can take the plan, and no more
// changes than a run may change by itself.
func (r *run) judge(ctx context.Context, plan Plan) error {
	if r.ReportDrift && len(r.report.Drift) > 0 {
		if r.book != nil {
			r.book.drifting = true
		}
		return fmt.Errorf("%d changes by somebody else, the first: %s: %w", len(r.report.Drift), r.report.Drift[0], ErrDrift)
	}
	held, err := r.hold(ctx, plan)
	if err != nil {
		return err
	}
	if held != nil {
		r.report.Held = held
		return fmt.Errorf("%s: %w", held.Reason, ErrHeld)
	}
	return r.preflight(ctx, plan)
}

// hold returns why the plan needs somebody's word, nil if it does not.
func (r *run) hold(ctx context.Context, plan Plan) (*Held, error) {
	h := Held{Add: plan.added, Release: len(plan.released), Holds: plan.holds}
	percent := func(n, of int) float64 { return 100 * float64(n) / float64(max(of, 1)) }
	maxAdd, maxRelease := r.Guard.MaxAdd, r.Guard.MaxRelease
	if maxAdd == 0 {
		maxAdd = DefaultMaxAdd
	}
	if maxRelease == 0 {
		maxRelease = DefaultMaxRelease
	}
	if h.Holds > 0 && h.Add > MinAdd && percent(h.Add, h.Holds) > float64(maxAdd) && h.Add > r.Guard.Allow.Add {
		h.Reason = fmt.Sprintf("the run would add %d to the %d that the wall holds, more than %d %% and more than %d", h.Add, h.Holds, maxAdd, MinAdd)
		return &h, nil
	}
	// An operator who takes a list founded anew for the truth has said so already.
	if h.Release == 0 || r.AdoptEpoch {
		return nil, nil
	}
	emptied := plan.Desired == 0
	if !emptied && (h.Release <= MinRelease || percent(h.Release, h.Holds) <= float64(maxRelease)) {
		return nil, nil // too few, whatever the reason
	}
	h.Unexplained = h.Release
	if r.Guard.Ended != nil {
		ended, err := r.Guard.Ended(ctx, plan.released)
		if err != nil {
			return nil, fmt.Errorf("ask whose term ended: %w", err)
		}
		h.Unexplained = max(0, h.Release-ended)
	}
	switch {
	case h.Unexplained == 0, h.Unexplained <= r.Guard.Allow.Release:
		return nil, nil
	case emptied:
		h.Reason = fmt.Sprintf("the list is empty, and %d of the %d that the wall holds did not come to their end", h.Unexplained, h.Holds)
	case h.Unexplained <= MinRelease || percent(h.Unexplained, h.Holds) <= float64(maxRelease):
		return nil, nil
	default:
		h.Reason = fmt.Sprintf("the run would release %d of the %d that the wall holds although their term did not end, more than %d %%", h.Unexplained, h.Holds, maxRelease)
	}
	return &h, nil
}

// preflight asks the firewall, before the first write, what would go wrong.
func (r *run) preflight(ctx context.Context, plan Plan) error {
	asker, ok := r.Firewall.(Preflighter)
	need := Need{DryRun: r.DryRun}
	for _, s := range plan.Steps {
		switch s.Kind {
		case Create:
			need.Creates++
		case Reference:
			need.References, need.Rule = need.References+len(s.Sets), true
		}
	}
	if !ok || need.Creates == 0 && !need.Rule {
		return nil
	}
	findings, err := asker.Preflight(ctx, need)
	r.report.Findings = findings
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(findings, func(f Finding) bool { return f.Fatal }); i >= 0 {
		return fmt.Errorf("%w: %s", ErrPreflight, findings[i].Text)
	}
	return nil
}

// prove asks how far what the sets hold is in force. That it cannot be said is no
// failure of the run, but nothing counts as proven then.
func (r *run) prove(ctx context.Context) {
	prover, ok := r.Firewall.(Prover)
	if !ok {
		return
	}
	ctx, cancel := until(ctx, r.stopBy)
	defer cancel()
	proof, err := prover.Prove(ctx)
	if err != nil {
		proof = Proof{Reasons: []string{"not proven: " + err.Error()}}
	}
	r.report.Proof = &proof
}
