package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// approvedDetect is what detect's next run may do.
type approvedDetect struct {
	approved
	Run  string           `json:"run"`
	List []detect.Finding `json:"list"`
}

// maxShownHeld bounds whom a terminal gets to see of those who are held.
const maxShownHeld = 20

// approveDetect lets detect's next run put on the list what the brake kept the last one from.
func (a *app) approveDetect(ctx context.Context, store approveStore, asJSON, accounts bool) error {
	var run detect.Report
	known, err := readLastRun(ctx, store, &run)
	if err != nil {
		return err
	}
	switch {
	case !known:
		return usagef("nothing is held: no run of detect is known")
	case run.HeldFor == "" && run.Held > 0:
		return usagef("the last run of detect, at %s, acted on nobody, and an approval does not change that: %s", stamp(run.AsOf), run.Error)
	case run.HeldFor == "":
		return usagef("nothing is held: the last run of detect, at %s, held nothing back", stamp(run.AsOf))
	case run.Mode != detect.ModeEnforce:
		return usagef("the last run of detect, at %s, only observed: there is nothing to let through. Its brake would have held: %s", stamp(run.AsOf), run.HeldFor)
	}
	now := a.now().UTC().Truncate(time.Second)
	fresh, err := countFresh(ctx, store, now, run)
	if err != nil {
		return explain(err)
	}
	err = store.SaveApproval(ctx, detect.ApprovalTarget, blocklist.Approval{Add: fresh, By: a.user(), At: now})
	if err != nil {
		return err
	}
	done := approvedDetect{
		approved: approved{
			Target: detect.ApprovalTarget, HeldAt: run.AsOf, ApprovedUntil: now.Add(blocklist.ApprovalTTL),
			Held: waf.Held{Add: fresh, Reason: run.HeldFor},
		},
		Run: run.Run, List: some(run.HeldList),
	}
	if asJSON {
		return report.EncodeJSON(a.stdout, done)
	}
	fmt.Fprintf(a.stdout, "detect was held at %s, in run %s: %s\n", stamp(run.AsOf), report.Safe(run.Run), report.Safe(run.HeldFor))
	for _, f := range done.List[:min(len(done.List), maxShownHeld)] {
		who := f.Indicator
		if f.Kind == threat.KindAccount.String() {
			if !accounts {
				who = threat.Mask(who)
			}
			who = "account:" + who
		}
		fmt.Fprintf(a.stdout, "  %-42s score %3d  %s\n", report.Safe(who), f.Score, report.Safe(f.Reason))
	}
	if more := run.Held - min(len(done.List), maxShownHeld); more > 0 {
		fmt.Fprintf(a.stdout, "  … and %s more; --json has up to %s\n", report.Number(more), report.Number(detect.MaxListed))
	}
	fmt.Fprintf(a.stdout, "approved: the next run may put %s new ones on the list; the approval ends at %s, or when it is used\n", report.Number(fresh), stamp(done.ApprovedUntil))
	return nil
}

// countFresh returns how many of those who are held are not on the list yet: the brake counts
// no others. Those beyond what the report lists count as new.
func countFresh(ctx context.Context, store approveStore, now time.Time, r detect.Report) (int, error) {
	var inds []threat.Indicator
	for _, f := range r.HeldList {
		if ind, err := threat.ParseKey(f.Kind + ":" + f.Indicator); err == nil {
			inds = append(inds, ind)
		}
	}
	known, err := store.Histories(ctx, now, inds)
	if err != nil && !errors.Is(err, blocklist.ErrNoEpoch) { // no list yet: everybody is new
		return 0, err
	}
	fresh := r.Held
	for _, h := range known {
		if h.Listed && !h.Challenge {
			fresh--
		}
	}
	return max(fresh, 1), nil
}
