package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
)

type syncResult struct {
	AsOf       time.Time    `json:"as_of"`
	Mode       string       `json:"mode"`
	Generation uint64       `json:"generation"`
	Targets    []syncTarget `json:"targets"`
}

type syncTarget struct {
	Kind string `json:"kind"`
	enforce.Result
	Plan      []string        `json:"plan"`
	Remaining []string        `json:"remaining"`
	Sets      []waf.SetReport `json:"sets"`
	Rejected  []waf.Rejection `json:"rejected"`
	Notes     []string        `json:"notes"`
	Held      *waf.Held       `json:"held"`
	Drift     []string        `json:"drift"`
	Findings  []waf.Finding   `json:"findings"`
	Proof     *waf.Proof      `json:"proof"`
}

// syncTargetOf adds to what the function returns what its report has to say.
func syncTargetOf(kind string, one enforce.Result) syncTarget {
	r := one.Report
	return syncTarget{
		Kind: kind, Result: one, Plan: some(r.Plan), Remaining: some(r.Remaining), Sets: some(r.Sets), Rejected: some(r.Rejected), Notes: some(r.Notes),
		Held: r.Held, Drift: some(r.Drift), Findings: some(r.Findings), Proof: r.Proof,
	}
}

// maxPlanLines bounds the plan on a terminal; --json has all of it.
const maxPlanLines = 40

func (r syncResult) print(w io.Writer) {
	several := slices.ContainsFunc(r.Targets, func(t syncTarget) bool { return t.Kind != r.Targets[0].Kind })
	for _, t := range r.Targets {
		if several {
			t.Name = t.Kind + " " + t.Name
		}
		t.print(w, r.Mode)
	}
}

func (t syncTarget) print(w io.Writer, mode string) {
	if t.Skipped != "" {
		fmt.Fprintf(w, "%s: nothing done: %s\n", t.Name, report.Safe(t.Skipped))
		return
	}
	if t.Observed {
		mode = "plan"
	}
	verb := "enforced"
	if mode == "plan" {
		verb = "enforced now"
	}
	fmt.Fprintf(w, "%s: %d wanted, %d %s, %d without room; %d calls, %d of them writes\n", t.Name, t.Desired, t.Enforced, verb, t.Overflow, t.Calls, t.Writes)
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "  %s\n", report.Safe(fmt.Sprintf(format, args...)))
	}
	if t.Observed {
		line("only planned: the target says \"sync\":\"observe\"")
	}
	if t.Spared > 0 {
		line("%d on the blocklist are on the allowlist too and let go", t.Spared)
	}
	if t.Unchallenged > 0 {
		line("%d on the blocklist are only to be challenged and left out: this target blocks, or its action is not known here", t.Unchallenged)
	}
	if t.Pending > 0 && mode != "plan" {
		line("%d have room and are not there yet; the next run goes on", t.Pending)
	}
	if mode == "plan" && len(t.Plan) == 0 && t.Error == "" {
		line("nothing to do")
	}
	for i, step := range t.Plan {
		if i == maxPlanLines {
			line("… and %d more", len(t.Plan)-i)
			break
		}
		line("%s", step)
	}
	if h := t.Held; h != nil {
		line("held: %s", h.Reason)
		line("  it holds %d; %d would be released, %d of them without their term having ended, and %d added", h.Holds, h.Release, h.Unexplained, h.Add)
	}
	for _, d := range t.Drift {
		line("changed by somebody else: %s", d)
	}
	for _, f := range t.Findings {
		what := "beware"
		if f.Fatal {
			what = "in the way"
		}
		line("%s: %s", what, f.Text)
	}
	for _, n := range t.Notes {
		line("note: %s", n)
	}
	for _, j := range t.Rejected {
		line("refused by the firewall: %s: %s", j.Value, j.Reason)
	}
	if t.Proof != nil {
		printProof(line, *t.Proof)
	}
}
