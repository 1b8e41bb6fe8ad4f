package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
)

// States of an Indicator at a target beside those of package enforce.
const (
	stateSpared enforce.State = "spared"
	// stateUnchallenged: only to be challenged, and the target blocks.
	stateUnchallenged enforce.State = "unchallenged"
	stateUnwanted     enforce.State = "unwanted"
	stateLeaving      enforce.State = "leaving"
	stateUnknown      enforce.State = "unknown"
)

// explainedTarget is what one target's last run knows of the Indicator.
type explainedTarget struct {
	Kind       string        `json:"kind"`
	Name       string        `json:"name"`
	Wall       string        `json:"wall,omitempty"` // for people
	State      enforce.State `json:"state"`
	Reason     string        `json:"reason,omitempty"`
	By         string        `json:"by,omitempty"` // the entry on the list that decides
	AsOf       time.Time     `json:"as_of,omitzero"`
	Mode       string        `json:"mode,omitempty"`
	Generation uint64        `json:"generation"`
	Behind     bool          `json:"behind"` // the list has changed since that run
	Proof      *waf.Proof    `json:"proof"`
	Held       *waf.Held     `json:"held,omitempty"`
	Drift      []string      `json:"drift,omitempty"`
	Error      string        `json:"error,omitempty"`
}

// knownTargets are those that have ever been written, and those that are configured, by their keys.
func (a *app) knownTargets(ctx context.Context, store explainStore) ([]string, error) {
	groups, err := store.Groups(ctx)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, g := range groups {
		if kind, _ := splitKey(g); slices.Contains(kinds(), kind) {
			all = append(all, g)
		}
	}
	for _, c := range clouds() {
		if !c.isSet(a) {
			continue
		}
		targets, err := c.targets(a)
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			all = append(all, enforce.Key(t.kind, t.name))
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// splitKey is the inverse of enforce.Key.
func splitKey(key string) (kind, name string) {
	kind, name, _ = strings.Cut(key, ":")
	return kind, name
}

// target reads what a target's last run knew. generation is the list's own.
func (x explained) target(ctx context.Context, store explainStore, key string, generation uint64) (explainedTarget, error) {
	t := explainedTarget{State: stateUnknown, Reason: "no run of this target is known"}
	t.Kind, t.Name = splitKey(key)
	text, err := store.Status(ctx, key)
	if errors.Is(err, blocklist.ErrNoReport) {
		return x.judged(t, nil), nil
	}
	if err != nil {
		return t, err
	}
	var s enforce.Status
	if err := json.Unmarshal(text, &s); err != nil {
		t.Error = fmt.Sprintf("its status cannot be read: %v", err)
		t.Reason = t.Error
		return x.judged(t, nil), nil
	}
	t.AsOf, t.Mode, t.Generation, t.Behind = s.AsOf, s.Mode, s.Generation, s.Mode != modeDetached && s.Generation < generation
	t.Wall, t.Error, t.Drift, t.Proof, t.Held = s.Report.Wall, s.Result.Error, s.Drift, s.Proof, s.Held
	return x.judged(t, &s), nil
}

// judged says what holds for the Indicator at the target. Of the entries that hold it,
// the one that is furthest decides: an enforced range enforces every address in it.
func (x explained) judged(t explainedTarget, s *enforce.Status) explainedTarget {
	switch {
	case !x.Listed:
		t.State, t.Reason = stateUnwanted, ""
		if s != nil {
			if state, _ := s.StateOf(x.ind.Prefix()); state == enforce.StateEnforced {
				t.State = stateLeaving
			}
		}
		return t
	case x.Allowlisted != "" && x.single():
		t.State, t.Reason = stateSpared, x.Allowlisted
		return t
	case s == nil:
		return t
	case s.Mode == modeDetached:
		t.State, t.Reason = enforce.StatePending, "tracewall was detached from this target; a sync makes everything anew"
		return t
	}
	rank := []enforce.State{enforce.StateEnforced, enforce.StatePending, enforce.StateRejected, enforce.StateOverflow}
	best := len(rank)
	if !slices.ContainsFunc(x.list, func(e blocklist.Entry) bool { return s.Challenges || !e.Challenge }) {
		t.State, t.By = stateUnchallenged, x.list[0].Indicator.String()
		t.Reason = "it is only to be challenged, and this target blocks (or its action is not known here)"
		return t
	}
	for _, e := range x.list {
		if e.Challenge && !s.Challenges {
			continue
		}
		state, reason := s.StateOf(e.Indicator.Prefix())
		if at := slices.Index(rank, state); at >= 0 && at < best {
			best, t.State, t.Reason, t.By = at, state, reason, e.Indicator.String()
		}
	}
	return t
}

// unchallenged tells whether nobody does what the list asks for, since no target challenges.
func (x explained) unchallenged() bool {
	for _, e := range x.list {
		if !e.Challenge {
			return false
		}
	}
	return x.Listed && len(x.Targets) > 0 && !slices.ContainsFunc(x.Targets, func(t explainedTarget) bool { return t.State != stateUnchallenged })
}

// single tells whether the Indicator is one address, or an IPv6 /64, which the
// allowlist spares as a whole; of a wider range it may spare a part.
func (x explained) single() bool {
	p := x.ind.Prefix()
	return p.IsSingleIP() || p.Addr().Is6() && p.Bits() >= 64
}
