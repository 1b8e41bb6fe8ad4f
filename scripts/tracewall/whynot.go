package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
)

const whyNotText = `Says what keeps an address or an account from being blocked, and what a person can do about it. ACCOUNT is a bare name, or
account:NAME for one that looks like an address. The answers, the most certain first:

  enforced     it is blocked after all, on these targets
  pending      it is on the list, and a wall does not have it (yet); the target's reason
  challenged   it is on the list, to be challenged; so many points are missing to a block
  allowlisted  the allowlist spares it, and names the owner
  unblocked    an operator let it go, which holds until the end of the cool-off
  spared       a run found that nobody may block it: a verified crawler, a partner
  held         the brake held the run that would have put it on the list
  observing    the run only observed (MODE=observe), or was dry
  trial        the rule that named it is in trial
  watched      its score was too low; what took points off, and how many are missing
  ended        its last block is over
  unnamed      no rule named it, as far as that is kept
  rejected     the logs name it in a form that nobody can be blocked by
  idle         detect has not run lately, or its last run failed

It asks Redis only and changes nothing.

--json prints the object of explain with "answers":[{"reason","text","do"}] and "run":{"run","as_of","mode","error","held_for"} of the
last run of detect (null if none is known).`

// answer is one thing that keeps the Indicator from being blocked.
type answer struct {
	Reason string `json:"reason"` // one of the words above
	Text   string `json:"text"`
	Do     string `json:"do"` // "" when there is nothing to do
}

// unblocked is explained with the answers to why it is not blocked.
type unblocked struct {
	explained
	Answers []answer `json:"answers"`
	Run     *lastRun `json:"run"`

	rule func(id string) (detect.Rule, bool, error) // finds a rule that named it
}

// lastRun is what matters of the report of detect's last run. The whole report is megabytes; of
// its findings only whom they are about is read.
type lastRun struct {
	Run     string    `json:"run"`
	AsOf    time.Time `json:"as_of"`
	Mode    string    `json:"mode"`
	Error   string    `json:"error,omitempty"`
	HeldFor string    `json:"held_for,omitempty"`

	ObservedList []briefFinding    `json:"observed_list,omitempty"`
	SparedList   []briefFinding    `json:"spared_list,omitempty"`
	HeldList     []briefFinding    `json:"held_list,omitempty"`
	RejectedList []detect.Rejected `json:"rejected_list,omitempty"`
}

// briefFinding is whom a finding is about, and why.
type briefFinding struct {
	Indicator string `json:"indicator"`
	Kind      string `json:"kind"`
	Reason    string `json:"reason"`
}

// forget drops what was only needed to find the answers: it is about everybody else.
func (u *unblocked) forget() {
	if u.Run != nil {
		u.Run.ObservedList, u.Run.SparedList, u.Run.HeldList, u.Run.RejectedList = nil, nil, nil, nil
	}
}

// runStore is where the reports of detect's runs are kept.
type runStore interface {
	Run(ctx context.Context, id string) ([]byte, error)
}

func runWhyNot(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("why-not ADDRESS|ACCOUNT [--json]", whyNotText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	accounts := fs.Bool("accounts", false, "show accounts whole")
	ind, err := a.parseOne(fs, args)
	if err != nil {
		return err
	}
	store, err := a.openList(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	x, err := a.explain(ctx, store, ind)
	if err != nil {
		return explain(err)
	}
	var run lastRun
	known, err := readLastRun(ctx, store, &run)
	if err != nil {
		return err
	}
	trials, err := readTrials(ctx, store)
	if err != nil {
		return err
	}
	u := unblocked{explained: x, rule: detect.ShippedRule}
	if known {
		u.Run = &run
	}
	u.Answers = u.answer(trials)
	u.forget()
	if *asJSON {
		return report.EncodeJSON(a.stdout, u)
	}
	u.print(a.stdout, *accounts)
	return nil
}

// readLastRun reads detect's last report into r, as far as r has fields for it; ok is false if none is kept.
func readLastRun(ctx context.Context, store runStore, r any) (ok bool, err error) {
	text, err := store.Run(ctx, "last")
	if errors.Is(err, blocklist.ErrNoReport) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(text, r); err != nil {
		return false, fmt.Errorf("report of the last run: %w", err)
	}
	return true, nil
}
