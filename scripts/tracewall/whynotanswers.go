package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
)

// idleAfter is how old the last run may be before it is an answer by itself: schedules are of minutes.
const idleAfter = time.Hour

// answer returns everything that keeps the Indicator from being blocked, the most certain first.
func (u unblocked) answer(trials trialStates) []answer {
	var all []answer
	add := func(reason, do, format string, args ...any) {
		all = append(all, answer{reason, fmt.Sprintf(format, args...), do})
	}
	if u.Allowlisted != "" {
		add("allowlisted", "tracewall allow shows and replaces the allowlist; ask the owner who is named there first", "%s", u.Allowlisted)
	}
	if at, until := u.Past.UnblockedAt, u.Past.CoolOff; at != nil && !u.Listed {
		what := "what it did before is not held against it"
		if until != nil && until.After(u.AsOf) {
			what = fmt.Sprintf("until %s what it does is not held against it", stamp(*until))
		}
		add("unblocked", "tracewall block puts it back by hand", "an operator let it go at %s; %s", stamp(*at), what)
	}
	if u.Listed {
		u.onTheList(add)
	} else {
		u.offTheList(add, trials)
	}
	switch r := u.Run; {
	case r == nil:
		add("idle", "look at detect's trigger and its log", "no run of detect is known: none in seven days, or it writes to another Redis")
	case u.AsOf.Sub(r.AsOf) > idleAfter:
		add("idle", "look at detect's trigger and its log", "the last run of detect was %s ago, at %s", left(u.AsOf.Sub(r.AsOf)), stamp(r.AsOf))
	case r.Error != "" && r.HeldFor == "":
		add("idle", "mend what it says; the run is repeated over the same time", "the last run of detect, at %s, failed at least in part: %s", stamp(r.AsOf), r.Error)
	}
	return all
}

// onTheList tells what is still missing to a block in force.
func (u unblocked) onTheList(add func(reason, do, format string, args ...any)) {
	if e := u.deciding(); e != nil && e.Challenge {
		text := "it is on the list to be challenged: a browser passes, a program does not"
		if e.Score > 0 {
			text += fmt.Sprintf("; its score is %d, %d short of a block", e.Score, max(0, detect.BlockAt-e.Score))
		}
		add("challenged", "tracewall block makes it a block", "%s", text)
	}
	if u.ind.Kind() == threat.KindAccount {
		add("pending", "set up the risk-control webhook, or let your service look the account up", "it is on the list, and no firewall knows accounts: your own service has to refuse it")
		return
	}
	if len(u.Targets) == 0 {
		add("pending", "set one of "+targetSettings()+", or run a sync", "it is on the list, and no firewall target is known")
	}
	var enforced []string
	for _, t := range u.Targets {
		switch t.State {
		case enforce.StateEnforced:
			enforced = append(enforced, t.Kind+" "+t.Name)
		case stateSpared:
		default:
			add("pending", "tracewall explain tells what that target's last run knew; tracewall sync "+t.Kind+" --verify asks anew", "%s %s: %s%s", t.Kind, t.Name, t.State, because(t.Reason))
		}
	}
	if enforced != nil {
		add("enforced", "", "it is blocked, on %s", strings.Join(enforced, ", "))
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", " + reason
}

// deciding is the entry that acts on the Indicator: its own, else the narrowest range around it.
func (u unblocked) deciding() *listed {
	switch {
	case u.Entry != nil:
		return u.Entry
	case len(u.Around) > 0:
		return &u.Around[0]
	default:
		return nil
	}
}

// offTheList tells why no run has put it there, or not for long enough.
func (u unblocked) offTheList(add func(reason, do, format string, args ...any), trials trialStates) {
	if u.Past.EndedAt != nil {
		add("ended", "", "its last block ended at %s", stamp(*u.Past.EndedAt))
	}
	c := u.Case
	switch {
	case u.CaseNote != "":
		add("unnamed", "", "%s", u.CaseNote)
	case c == nil:
		u.unnamed(add)
	case c.Verdict == detect.VerdictSpared:
		add("spared", "", "the run of %s spared it: %s", stamp(c.At), c.Spared)
	case c.Verdict == detect.VerdictHeld:
		add("held", "tracewall approve "+detect.ApprovalTarget+" shows what is held, and lets the next run go on", "the brake held the run of %s that would have put it on the list", stamp(c.At))
	case c.Mode != detect.ModeEnforce:
		add("observing", "MODE=enforce makes detect act on its verdicts", "the run of %s came to %q with a score of %d and only observed", stamp(c.At), c.Verdict, c.Score)
	}
	if c != nil && c.Verdict == threat.Observe.String() {
		u.watched(add, trials)
	}
}

// watched tells what is missing to more than being watched.
func (u unblocked) watched(add func(reason, do, format string, args ...any), trials trialStates) {
	c := u.Case
	text := fmt.Sprintf("its score was %d at %s, %d short of a challenge and %d short of a block", c.Score, stamp(c.At), max(0, detect.ChallengeAt-c.Score), max(0, detect.BlockAt-c.Score))
	for _, p := range c.Parts {
		if p.Points < 0 {
			text += fmt.Sprintf("; %d for %s", p.Points, p.Text)
		}
	}
	do := "tracewall block puts it on the list by hand"
	if !slices.ContainsFunc(c.Rules, func(r toldRule) bool { return r.Action != threat.Observe.String() }) {
		text += "; every rule that named it only asks to observe"
		do = "a rule's action is in its file; " + do
	}
	add("watched", do, "%s", text)
	for _, named := range c.Rules {
		r, ok, err := u.rule(named.ID)
		if err != nil || !ok {
			continue
		}
		if t := trials.of(r, u.AsOf); t != nil && t.State != trialOver {
			add("trial", "tracewall rules trial "+r.ID+" --end ends it now", "rule %s is in trial: %s", r.ID, t.long())
		}
	}
}

// unnamed tells what the last run knows of somebody without a case.
func (u unblocked) unnamed(add func(reason, do, format string, args ...any)) {
	if u.Run != nil {
		who := u.ind.String()
		for _, r := range u.Run.RejectedList {
			if r.Value == who {
				add("rejected", "", "in the last run its %d lines named nobody who could be blocked: %s", r.Count, r.Reason)
			}
		}
		for _, verdict := range []struct {
			word string
			list []briefFinding
		}{{"spared", u.Run.SparedList}, {"held", u.Run.HeldList}, {"watched", u.Run.ObservedList}} {
			for _, f := range verdict.list {
				if f.Indicator == who && f.Kind == u.ind.Kind().String() {
					add(verdict.word, "", "the last run, at %s, has it among those who were %s: %s", stamp(u.Run.AsOf), verdict.word, f.Reason)
					return
				}
			}
		}
	}
	add("unnamed", "look at its lines and at what rules count: tracewall rules list, rules explain; tracewall block puts it on the list by hand",
		"no rule has named it, as far as cases are kept: a week for those who were only watched, a thousand of them in each run")
}
