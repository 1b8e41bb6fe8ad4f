package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/waf"
)

const doctorText = `Tries out what tracewall relies on, against the real endpoints and with your own credentials: whether Redis answers
and has an allowlist; where SLS_LOGSTORE or CLS_TOPIC are set as for detect, whether the logs can be asked and have the field
FIELD_ADDRESS; and for each target of WAF_TARGETS, ALIBABA_TARGETS and TENCENT_TARGETS whether the credentials
are valid, what they may read, which edition and quotas the account has, what would stand in the way of a run,
how the cloud spells addresses, and whether the clocks agree. It makes only calls that read and changes nothing.

Name clouds to look at those only: tracewall doctor tencent.

  ok       as it should be
  warn     it works, and not as well as it should; the text says what to do
  fail     a run would fail
  unknown  it could not be found out, with the reason

The exit code is 1 if anything fails. --json prints one object: {"as_of","checks":[{"kind","target","name","state","text"}]}.`

// doctorTimeout bounds the whole examination: a dozen calls for each target.
const doctorTimeout = 2 * time.Minute

// checked is one check and what it is about.
type checked struct {
	Kind   string `json:"kind,omitempty"`
	Target string `json:"target,omitempty"`
	waf.Check
}

func runDoctor(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("doctor [CLOUD]… [--json]", doctorText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	var of []cloud
	whole := len(rest) == 0
	if !whole || slices.ContainsFunc(clouds(), func(c cloud) bool { return c.isSet(a) }) {
		if whole {
			rest = []string{"all"}
		}
		if of, err = a.chosenClouds(rest); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	checks := a.examineStore(ctx)
	if whole {
		checks = append(checks, a.examineLogs(ctx)...)
	}
	for _, c := range of {
		checks = append(checks, a.examineCloud(ctx, c)...)
	}
	if *asJSON {
		err = report.EncodeJSON(a.stdout, struct {
			AsOf   time.Time `json:"as_of"`
			Checks []checked `json:"checks"`
		}{a.now().UTC().Truncate(time.Second), checks})
	} else {
		printChecks(a.stdout, checks)
	}
	failed := 0
	for _, c := range checks {
		if c.State == waf.CheckFail {
			failed++
		}
	}
	if failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d checks failed", failed, len(checks)))
	}
	return err
}

// examineStore looks at the blocklist's store.
func (a *app) examineStore(ctx context.Context) []checked {
	one := func(state waf.CheckState, format string, args ...any) []checked {
		return []checked{{Check: waf.Check{Name: "redis", State: state, Text: fmt.Sprintf(format, args...)}}}
	}
	if url, _ := a.lookup("REDIS_URL"); url == "" {
		return one(waf.CheckUnknown, "REDIS_URL is not set, so the blocklist was not looked at")
	}
	store, err := a.openList(ctx)
	if err != nil {
		return one(waf.CheckFail, "%v", err)
	}
	defer store.Close()
	if _, err := store.Groups(ctx); err != nil {
		return one(waf.CheckFail, "%v", err)
	}
	allow, err := store.Allowlist(ctx)
	if err != nil {
		return one(waf.CheckFail, "no wall is changed without an allowlist: %v", explain(err))
	}
	return one(waf.CheckOK, "it answers; the allowlist has %d entries", len(allow.Entries()))
}

// examineCloud looks at all targets of a cloud, side by side.
func (a *app) examineCloud(ctx context.Context, c cloud) []checked {
	fail := func(target string, err error) (all []checked) {
		for line := range strings.Lines(err.Error()) { // one problem each
			all = append(all, checked{c.kind, target, waf.Check{Name: "settings", State: waf.CheckFail, Text: strings.TrimRight(line, "\n")}})
		}
		return all
	}
	targets, err := c.targets(a)
	if err != nil {
		return fail("", err)
	}
	open, err := c.connect(ctx, a)
	if err != nil {
		return fail("", err)
	}
	found := make([][]checked, len(targets))
	var group sync.WaitGroup
	for i, t := range targets {
		firewall, err := open(t)
		if err != nil {
			found[i] = fail(t.name, err)
			continue
		}
		group.Go(func() {
			for _, check := range examine(ctx, firewall) {
				found[i] = append(found[i], checked{c.kind, t.name, check})
			}
		})
	}
	group.Wait()
	return slices.Concat(found...)
}

// examine asks a firewall that can be examined, and looks at any other.
func examine(ctx context.Context, firewall waf.Firewall) []waf.Check {
	if e, ok := firewall.(waf.Examiner); ok {
		return e.Examine(ctx)
	}
	if chooser, ok := firewall.(waf.Chooser); ok {
		chosen, err := chooser.Choose(ctx)
		if err != nil {
			return []waf.Check{{Name: "kind", State: waf.CheckFail, Text: err.Error()}}
		}
		return examine(ctx, chosen)
	}
	return examineByLooking(ctx, firewall)
}

// examineByLooking does what a dry run does first: it looks, asks what would stand in the way, and
// whether the wall is in force.
func examineByLooking(ctx context.Context, firewall waf.Firewall) []waf.Check {
	state, err := firewall.Look(ctx)
	if err != nil {
		return []waf.Check{{Name: "look", State: waf.CheckFail, Text: err.Error()}}
	}
	there := "it is not there yet and the first run makes it"
	if state.Exists {
		there = fmt.Sprintf("it is there, with %d sets of ours and room for %d", len(state.Sets), state.RoomSets)
	}
	checks := []waf.Check{{Name: "look", State: waf.CheckOK, Text: state.Wall + ": " + there}}
	for _, note := range state.Notes {
		checks = append(checks, waf.Check{Name: "note", State: waf.CheckWarn, Text: note})
	}
	if asker, ok := firewall.(waf.Preflighter); ok {
		findings, err := asker.Preflight(ctx, waf.Need{Creates: 1, References: 1, Rule: true, DryRun: true})
		if err != nil {
			checks = append(checks, waf.Check{Name: "preflight", State: waf.CheckFail, Text: err.Error()})
		}
		for _, f := range findings {
			state := waf.CheckWarn
			if f.Fatal {
				state = waf.CheckFail
			}
			checks = append(checks, waf.Check{Name: "preflight", State: state, Text: f.Text})
		}
		if err == nil && len(findings) == 0 {
			checks = append(checks, waf.Check{Name: "preflight", State: waf.CheckOK, Text: "nothing is in the way of a run"})
		}
	}
	if prover, ok := firewall.(waf.Prover); ok && state.Exists {
		checks = append(checks, examineProof(prover.Prove(ctx)))
	}
	return checks
}

func examineProof(proof waf.Proof, err error) waf.Check {
	switch {
	case err != nil:
		return waf.Check{Name: "in force", State: waf.CheckUnknown, Text: err.Error()}
	case proof.Effective:
		return waf.Check{Name: "in force", State: waf.CheckOK, Text: "what the wall holds is in force"}
	default:
		return waf.Check{Name: "in force", State: waf.CheckWarn, Text: strings.Join(proof.Reasons, "; ")}
	}
}

func printChecks(w io.Writer, checks []checked) {
	about := "\x00"
	for _, c := range checks {
		if now := c.Kind + " " + c.Target; now != about {
			about = now
			if c.Kind != "" {
				fmt.Fprintf(w, "%s %s\n", c.Kind, report.Safe(c.Target))
			}
		}
		fmt.Fprintf(w, "  %-8s %-20s %s\n", report.Safe(string(c.State)), report.Safe(c.Name), report.Safe(c.Text))
	}
}
