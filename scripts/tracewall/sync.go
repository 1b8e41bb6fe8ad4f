package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const syncText = `Makes AWS WAF equal to the blocklist now, as the function sync-aws-waf does on its schedule: the same
reconcile, the same lease (so that the two never work at once), the same receipts. Targets are those of
WAF_TARGETS, a JSON array of {name, region, scope, mode, web_acl, action, priority, set_size}.
AWS_ENDPOINT_URL_WAFV2 and the AWS_… credentials count as they do for every AWS tool.

Unlike the function it writes without being asked twice (SYNC_MODE is not read); --dry-run says what
it would do and writes nothing: the plan that it prints is the plan that the real run carries out.

A wall that was made from another list (Redis was flushed or restored) is left as it is, exit code 3.
--adopt-epoch takes the list that is in Redis for the truth from now on: everybody who is on the
wall and not in it is released.

--json prints one object: {"as_of","mode":"sync|plan","generation","targets":[{"name","desired","enforced",
"overflow","spared","writes","calls","skipped","error","plan":[],"remaining":[],"sets":[{"name","count","referenced"}],
"rejected":[{"value","reason"}],"notes":[]}]}.`

// syncTimeout bounds one run: a first fill of 100 IP sets takes two minutes at AWS WAF's pace.
const syncTimeout = 10 * time.Minute

func runSync(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("sync aws-waf [--dry-run] [--json]", syncText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	dryRun := fs.Bool("dry-run", false, "say what would be done and write nothing")
	adopt := fs.Bool("adopt-epoch", false, "take a list that was founded anew for the truth")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usagef("no firewall is named: want aws-waf")
	case rest[0] != "aws-waf" || len(rest) > 1:
		return usagef("argument %q: want aws-waf", strings.Join(rest, " "))
	}
	targets, err := a.targets()
	if err != nil {
		return err
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return usageError{fmt.Errorf("load aws configuration: %w", err)}
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()

	now := a.now().UTC().Truncate(time.Second)
	res := syncResult{AsOf: now, Mode: "sync", Targets: []syncTarget{}}
	if *dryRun {
		res.Mode = "plan"
	}
	pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery) // AWS WAF's rates hold for the account, not for the target
	var walls []enforce.Wall
	for _, t := range targets {
		firewall, err := awswaf.New(sdk, t, awswaf.WithPace(pace))
		if err != nil {
			return usageError{fmt.Errorf("target %s: %w", t.Name, err)}
		}
		walls = append(walls, enforce.Wall{Name: t.Name, Reconcile: func(ctx context.Context, want waf.Desired, how enforce.How) (waf.Report, error) {
			r := waf.Reconciler{
				Firewall: firewall, Name: t.Name, DryRun: how.DryRun, AdoptEpoch: how.AdoptEpoch,
				Limits: waf.Limits{SetSize: firewall.Target().SetSize},
			}
			return r.Reconcile(ctx, want)
		}})
	}
	// The names of leases and consumer groups come from the kind, which is the function's.
	pass := enforce.Pass{List: store, Kind: "aws-waf", Now: now, DryRun: *dryRun, NoTrace: *dryRun, AdoptEpoch: *adopt}
	done, err := pass.Run(ctx, walls)
	for _, one := range done {
		res.Generation = max(res.Generation, one.Generation)
		res.Targets = append(res.Targets, syncTargetOf(one))
	}
	errs := []error{explain(err)}
	if *asJSON {
		errs = append(errs, json.NewEncoder(a.stdout).Encode(res))
	} else {
		res.print(a.stdout)
	}
	return errors.Join(errs...)
}

// targets reads WAF_TARGETS, with all that is wrong with it at once.
func (a *app) targets() ([]awswaf.Target, error) {
	text, _ := a.lookup("WAF_TARGETS")
	if strings.TrimSpace(text) == "" {
		return nil, usagef(`WAF_TARGETS is not set: want a JSON array of targets, e.g. [{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":101}]`)
	}
	targets, err := awswaf.ParseTargets(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("WAF_TARGETS: %w", err)}
	}
	slices.SortFunc(targets, func(a, b awswaf.Target) int { return strings.Compare(a.Name, b.Name) })
	return targets, nil
}

type syncResult struct {
	AsOf       time.Time    `json:"as_of"`
	Mode       string       `json:"mode"`
	Generation uint64       `json:"generation"`
	Targets    []syncTarget `json:"targets"`
}

type syncTarget struct {
	enforce.Result
	Plan      []string        `json:"plan"`
	Remaining []string        `json:"remaining"`
	Sets      []waf.SetReport `json:"sets"`
	Rejected  []waf.Rejection `json:"rejected"`
	Notes     []string        `json:"notes"`
}

// syncTargetOf adds to what the function returns what its report has to say.
func syncTargetOf(one enforce.Result) syncTarget {
	r := one.Report
	return syncTarget{
		Result: one, Plan: some(r.Plan), Remaining: some(r.Remaining), Sets: some(r.Sets), Rejected: some(r.Rejected), Notes: some(r.Notes),
	}
}

// maxPlanLines bounds the plan on a terminal; --json has all of it.
const maxPlanLines = 40

func (r syncResult) print(w io.Writer) {
	for _, t := range r.Targets {
		if t.Skipped != "" {
			fmt.Fprintf(w, "%s: nothing done: %s\n", t.Name, t.Skipped)
			continue
		}
		verb := "enforced"
		if r.Mode == "plan" {
			verb = "enforced now"
		}
		fmt.Fprintf(w, "%s: %d wanted, %d %s, %d without room; %d calls, %d of them writes\n", t.Name, t.Desired, t.Enforced, verb, t.Overflow, t.Calls, t.Writes)
		if t.Spared > 0 {
			fmt.Fprintf(w, "  %d on the blocklist are on the allowlist too and let go\n", t.Spared)
		}
		if r.Mode == "plan" && len(t.Plan) == 0 && t.Error == "" {
			fmt.Fprintln(w, "  nothing to do")
		}
		for i, step := range t.Plan {
			if i == maxPlanLines {
				fmt.Fprintf(w, "  … and %d more\n", len(t.Plan)-i)
				break
			}
			fmt.Fprintf(w, "  %s\n", report.Safe(step))
		}
		for _, n := range t.Notes {
			fmt.Fprintf(w, "  note: %s\n", report.Safe(n))
		}
		for _, j := range t.Rejected {
			fmt.Fprintf(w, "  refused by the firewall: %s: %s\n", report.Safe(j.Value), report.Safe(j.Reason))
		}
	}
}
