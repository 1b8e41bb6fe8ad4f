package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
)

const rulesTrialText = `Shows how the trial of a rule goes. A rule with a trial only observes at first; when it has watched for as long as its file says and
nobody whom it named was spared, shared or successful beside it, it asks for more by itself. Whoever is collateral begins the
trial anew.

  --restart   begins it anew now, for instance after a change of the allowlist
  --end       ends it now: from the next run on the rule asks for what its file says comes then. Look first: tracewall backtest

It works on the Redis of REDIS_URL, and takes part in no run: a run that is under way may write the trial as it was before.

--json prints one object: {"rule","trial":{as in rules list}}.`

// trialTold is how a rule's trial goes.
type trialTold struct {
	For        string     `json:"for"`
	Then       string     `json:"then"`
	State      string     `json:"state"` // unknown, not begun, running, over
	Since      *time.Time `json:"since,omitempty"`
	Ends       *time.Time `json:"ends,omitempty"`
	Runs       int64      `json:"runs"`
	Would      int64      `json:"would"`
	Collateral int64      `json:"collateral"`
	Last       string     `json:"last,omitempty"` // who was collateral, and why

	left time.Duration
}

// States of a trial.
const (
	trialUnknown = "unknown" // REDIS_URL is not set
	trialNot     = "not begun"
	trialRunning = "running"
	trialOver    = "over"
)

// trialStates are the trials as the runs remember them; nil when nobody was asked.
type trialStates map[string]detect.TrialState

// trials reads them, if REDIS_URL says where.
func (a *app) trials(ctx context.Context) (trialStates, error) {
	if url, _ := a.lookup("REDIS_URL"); url == "" {
		return nil, nil //nolint:nilnil // nobody was asked, which is no mistake
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return readTrials(ctx, store)
}

// stateStore is where runs keep what they remember.
type stateStore interface {
	State(ctx context.Context, name string) (data []byte, ok bool, err error)
	SaveState(ctx context.Context, name string, data []byte) error
}

func readTrials(ctx context.Context, store stateStore) (trialStates, error) {
	states := trialStates{}
	text, ok, err := store.State(ctx, detect.TrialsState)
	if err != nil || !ok {
		return states, err
	}
	if err := json.Unmarshal(text, &states); err != nil {
		return nil, fmt.Errorf("state %s: not as runs write it: %w", detect.TrialsState, err)
	}
	return states, nil
}

// of tells how the trial of a rule goes; nil if it has none.
func (s trialStates) of(r detect.Rule, now time.Time) *trialTold {
	if r.Trial == nil {
		return nil
	}
	t := trialTold{For: period(r.Trial.For), Then: r.Trial.Then.String(), State: trialUnknown}
	if s == nil {
		return &t
	}
	state, ok := s[r.ID]
	if !ok || state.Version != r.Version || state.Runs == 0 {
		t.State = trialNot
		return &t
	}
	since, ends := state.Since.UTC(), state.Since.UTC().Add(r.Trial.For)
	t.State, t.Since, t.Ends, t.left = trialRunning, &since, &ends, ends.Sub(now)
	t.Runs, t.Would, t.Collateral, t.Last = state.Runs, state.Would, state.Collateral, state.Last
	if state.Over(r, now) {
		t.State = trialOver
	}
	return &t
}

// short is for a table.
func (t trialTold) short() string {
	switch t.State {
	case trialUnknown:
		return fmt.Sprintf("%s, then %s", t.For, t.Then)
	case trialRunning:
		return fmt.Sprintf("%s left, then %s", left(t.left), t.Then)
	case trialOver:
		return "over, asks for " + t.Then
	default:
		return "not begun"
	}
}

// long is for a person who asks about this one.
func (t trialTold) long() string {
	head := fmt.Sprintf("observes until it was clean for %s, then asks for %s", t.For, t.Then)
	switch t.State {
	case trialUnknown:
		return head + "; REDIS_URL is not set, so how far it is stands nowhere"
	case trialNot:
		return head + "; it has not begun, no run has asked this version of the rule"
	}
	text := fmt.Sprintf("%s; clean since %s, in %d runs it named %d and %d of them would have been wrong", head, stamp(*t.Since), t.Runs, t.Would, t.Collateral)
	if t.Last != "" {
		text += " (the last: " + t.Last + ")"
	}
	if t.State == trialOver {
		return fmt.Sprintf("over since %s: it asks for %s; %s", stamp(*t.Ends), t.Then, text)
	}
	return fmt.Sprintf("%s; it ends at %s, in %s", text, stamp(*t.Ends), left(t.left))
}

func runRulesTrial(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("rules trial ID [--restart | --end] [--dir FOLDER] [--json]", rulesTrialText)
	dir := fs.String("dir", "", "your own rule files, in this `FOLDER`")
	restart := fs.Bool("restart", false, "begin the trial anew now")
	end := fs.Bool("end", false, "end the trial now")
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) != 1:
		return usagef("want one rule's id; tracewall rules list shows them")
	case *restart && *end:
		return usagef("--restart and --end: want one or none")
	}
	rules, err := chooseRules(*dir, rest)
	if err != nil {
		return err
	}
	rule := rules[0]
	if rule.Trial == nil {
		return usagef("rule %s has no trial: it asks for %s at once", rule.ID, rule.Action)
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	states, err := readTrials(ctx, store)
	if err != nil {
		return err
	}
	now := a.now().UTC().Truncate(time.Second)
	if *restart || *end {
		states.set(rule, now, *end, a.user())
		text, err := json.Marshal(states)
		if err != nil {
			return err
		}
		if err := store.SaveState(ctx, detect.TrialsState, text); err != nil {
			return err
		}
	}
	told := states.of(rule, now)
	if *asJSON {
		return report.EncodeJSON(a.stdout, map[string]any{"rule": rule.ID, "trial": told})
	}
	fmt.Fprintln(a.stdout, report.Safe(rule.ID+": "+told.long()))
	return nil
}

// set begins a rule's trial anew, or puts its beginning so far back that it is over.
func (s trialStates) set(rule detect.Rule, now time.Time, end bool, by string) {
	state := detect.TrialState{Version: rule.Version, Since: now, Runs: 1}
	if old := s[rule.ID]; old.Version == rule.Version {
		state = old
		state.Since, state.Runs = now, max(old.Runs, 1)
	}
	if end {
		state.Since = now.Add(-rule.Trial.For)
		state.Last = "ended by hand at " + stamp(now)
		if by != "" {
			state.Last += " by " + by
		}
	} else {
		state.Collateral, state.Would, state.Last = 0, 0, ""
	}
	s[rule.ID] = state
}
