package detect

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// TrialState is what is remembered of a rule in trial. Its JSON form is stable; the store keeps all
// of them under TrialsState, by rule id.
type TrialState struct {
	Version    int       `json:"version"` // of the rule: another version is another trial
	Since      time.Time `json:"since"`   // the trial has been clean since
	Runs       int64     `json:"runs"`
	Would      int64     `json:"would"`      // indicators that it named, over all runs
	Collateral int64     `json:"collateral"` // of these: spared, shared, or with successes beside
	Last       string    `json:"last,omitempty"`
}

// The names under which a store keeps what a run must remember of those before.
const (
	TrialsState = "detect.trials"
	askedState  = "detect.asked"
)

// Over tells whether a rule's trial is over at now, so that it may ask for more.
func (t TrialState) Over(rule Rule, now time.Time) bool {
	return rule.Trial != nil && t.Version == rule.Version && t.Runs > 0 && !now.Before(t.Since.Add(rule.Trial.For))
}

// memory is what scheduled runs remember of each other, beside checkpoints.
type memory struct {
	trials map[string]TrialState
	asked  map[string]time.Time // rules with Every, by where they read: the start of the slot in which they were asked last

	where string // which logs this Runner reads
}

func (r *Runner) recall(ctx context.Context) (m memory, err error) {
	m = memory{trials: map[string]TrialState{}, asked: map[string]time.Time{}, where: r.Source + "/" + r.Logstore + "/"}
	for name, into := range map[string]any{TrialsState: &m.trials, askedState: &m.asked} {
		text, ok, err := r.List.State(ctx, name)
		if err != nil {
			return m, fmt.Errorf("state %s: %w", name, err)
		}
		if !ok {
			continue
		}
		if err := json.Unmarshal(text, into); err != nil {
			return m, fmt.Errorf("state %s: not as it was saved: remove it to begin the trials anew: %w", name, err)
		}
	}
	if m.trials == nil {
		m.trials = map[string]TrialState{}
	}
	if m.asked == nil {
		m.asked = map[string]time.Time{}
	}
	return m, nil
}

// due returns the rules that a scheduled run at now has to ask.
func (m memory) due(rules []Rule, now time.Time) []Rule {
	var some []Rule
	for _, rule := range rules {
		if rule.Every > 0 {
			slot := AlignDown(now, rule.Every)
			if last, ok := m.asked[m.where+rule.ID]; ok && !slot.After(last) {
				continue
			}
		}
		some = append(some, rule)
	}
	return some
}

// promoted returns the rules with those out of their trial asking for what comes then.
func (m memory) promoted(rules []Rule, now time.Time) []Rule {
	all := make([]Rule, len(rules))
	for i, rule := range rules {
		if m.trials[rule.ID].Over(rule, now) {
			rule.Action = rule.Trial.Then
		}
		all[i] = rule
	}
	return all
}

// watch notes how the trials went in a run, and what was asked.
func (m memory) watch(outcomes []outcome, all []Judgement, now time.Time) {
	for _, o := range outcomes {
		rule := o.rule
		if o.err != nil {
			continue
		}
		if rule.Every > 0 {
			m.asked[m.where+rule.ID] = AlignDown(now, rule.Every)
		}
		if rule.Trial == nil {
			delete(m.trials, rule.ID)
			continue
		}
		t := m.trials[rule.ID]
		if t.Version != rule.Version {
			t = TrialState{Version: rule.Version, Since: now}
		}
		t.Runs++
		for _, j := range all {
			if !j.names(rule.ID) {
				continue
			}
			t.Would++
			if why := j.collateral(); why != "" {
				t.Collateral++
				t.Last = j.Indicator.Masked() + ": " + why
				if now.After(t.Since) { // begins anew
					t.Since = now
				}
			}
		}
		m.trials[rule.ID] = t
	}
}

// remind notes a run in what is remembered now, not in what was when the run began:
// deployments that read other logs, or other rules of these, note theirs at the same time of the minute.
func (r *Runner) remind(ctx context.Context, outcomes []outcome, all []Judgement, now time.Time) error {
	m, err := r.recall(ctx)
	if err != nil {
		return err
	}
	m.watch(outcomes, all, now)
	for name, what := range map[string]any{TrialsState: m.trials, askedState: m.asked} {
		text, err := json.Marshal(what)
		if err != nil {
			return fmt.Errorf("state %s: %w", name, err)
		}
		if err := r.List.SaveState(ctx, name, text); err != nil {
			return fmt.Errorf("state %s: %w", name, err)
		}
	}
	return nil
}

func (j Judgement) names(rule string) bool {
	for _, d := range j.Detections {
		if d.Rule == rule {
			return true
		}
	}
	return false
}

// collateral says why it would have been wrong to block somebody, or "".
func (j Judgement) collateral() string {
	if j.Spared != "" {
		return j.Spared
	}
	for _, p := range j.Parts {
		if p.Name == partSuccesses || p.Name == partShared {
			return p.Text
		}
	}
	return ""
}

// InTrial tells whether a detection's rule only watches for now.
func (r Rule) InTrial() bool { return r.Trial != nil && r.Action == threat.Observe }
