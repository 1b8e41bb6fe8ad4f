package main

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

func TestATrialIsOfOneVersionOfItsRule(t *testing.T) {
	rule := detect.Rule{ID: "r", Version: 2, Action: threat.Observe, Trial: &detect.Trial{For: time.Hour, Then: threat.Block}}
	begun := asOf.Add(-30 * time.Minute)
	for name, tt := range map[string]struct {
		states trialStates
		want   string
	}{
		"nobody was asked":           {nil, trialUnknown},
		"no run yet":                 {trialStates{}, trialNot},
		"of the version before":      {trialStates{"r": {Version: 1, Since: begun, Runs: 9}}, trialNot},
		"of this version":            {trialStates{"r": {Version: 2, Since: begun, Runs: 9}}, trialRunning},
		"of this version, and clean": {trialStates{"r": {Version: 2, Since: asOf.Add(-time.Hour), Runs: 9}}, trialOver},
	} {
		if got := tt.states.of(rule, asOf); got.State != tt.want {
			t.Errorf("%s: %s, want %s", name, got.State, tt.want)
		}
	}
	if got := (trialStates{}).of(detect.Rule{ID: "r"}, asOf); got != nil {
		t.Errorf("a rule without a trial has %+v", got)
	}

	// By hand: what was counted under another version is no part of it; what was counted under
	// this one is forgotten when it begins anew and kept when it ends.
	for name, tt := range map[string]struct {
		state detect.TrialState
		end   bool
		would int64
		over  bool
	}{
		"another version, ended":   {detect.TrialState{Version: 1, Runs: 9, Would: 7}, true, 0, true},
		"this version, ended":      {detect.TrialState{Version: 2, Runs: 9, Would: 7}, true, 7, true},
		"this version, begun anew": {detect.TrialState{Version: 2, Runs: 9, Would: 7}, false, 0, false},
	} {
		s := trialStates{"r": tt.state, "other": {Version: 5, Runs: 1}}
		s.set(rule, asOf, tt.end, "ada@desk")
		if got := s["r"]; got.Version != 2 || got.Would != tt.would || got.Over(rule, asOf) != tt.over || s["other"].Version != 5 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
