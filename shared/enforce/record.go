package enforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/waf"
)

// proveAgain is how long runs wait before they ask again for a proof that they did not get.
const proveAgain = 10 * time.Minute

// recall returns what the last run left about a wall; nothing if there is nothing,
// or it is in a form that we do not know. The error says that it could not be read.
func (r *run) recall(target string) (Status, error) {
	text, err := r.List.Status(r.work, target)
	if errors.Is(err, blocklist.ErrNoReport) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, fmt.Errorf("read status: %w", err)
	}
	var s Status
	if json.Unmarshal(text, &s) != nil {
		return Status{}, nil
	}
	return s, nil
}

// unproven tells whether nobody knows if the wall is in force, and the last try is a while ago.
func (s Status) unproven(now time.Time) bool {
	return (s.Proof == nil || s.Proof.AsOf.IsZero()) && !now.Before(s.ProofAsked.Add(proveAgain))
}

// status makes the wall's new Status from its last one and what this run did, and
// completes res with what is known from before. failure is the run's error.
func (r *run) status(before Status, w Wall, res *Result, report waf.Report, want goal, failure error) Status {
	s := Status{
		AsOf: r.Now, Mode: "sync", Challenges: w.Challenges, Epoch: want.Epoch, Generation: want.Generation, Report: report,
		Held: report.Held, Drift: report.Drift, Findings: report.Findings,
		Proof: report.Proof, ProofAsked: before.ProofAsked, Memory: before.Memory, Entries: before.Entries,
	}
	if r.DryRun {
		s.Mode = "plan"
	} else if memory, ok := w.Firewall.(waf.Rememberer); ok && want.Epoch != "" {
		s.Memory = memory.Memory()
	}
	if _, ok := w.Firewall.(waf.Prover); ok && (r.Prove || r.Verify || !r.DryRun && before.unproven(r.Now)) {
		s.ProofAsked = r.Now
	}
	if s.Proof == nil {
		s.Proof = before.Proof
	}
	if want.Epoch == "" { // there was no list to read: the wall is as it was
		s.Epoch, s.Generation = before.Epoch, before.Generation
	}
	if want.Epoch == "" || report.Desired == 0 { // what the firewall refuses, it still does
		s.Report.Rejected, s.Report.NoExceptions = before.Report.Rejected, before.Report.NoExceptions
	}
	if want.Epoch != "" && (failure == nil || report.Desired > 0) { // it got as far as a plan
		s.Entries = entriesOf(want, report, s.Proof)
	}
	if s.Proof != nil {
		effective := s.Proof.Effective
		res.Effective = &effective
	}
	s.Result = *res
	if failure != nil {
		s.Result.Error = failure.Error()
	}
	return s
}

// record keeps a wall's Status, unless the lease has passed to another run: then that run's is newer.
func (r *run) record(ctx context.Context, target string, s Status, lease *blocklist.Lease) error {
	if lease != nil {
		s.Fence = lease.Token()
		if err := lease.Renew(ctx); errors.Is(err, blocklist.ErrLeaseLost) {
			return nil
		}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	if err := r.List.SaveStatus(ctx, target, text); err != nil {
		return fmt.Errorf("save status: %w", err)
	}
	return nil
}
