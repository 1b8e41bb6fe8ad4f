package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const syncText = `Makes AWS WAF equal to the blocklist now, as the function sync-aws-waf does on its schedule: the same
reconcile, the same lease (so that the two never work at once), the same receipts. Targets are those of
WAF_TARGETS, a JSON array as the function's; --target takes some of them.
AWS_ENDPOINT_URL_WAFV2, AWS_ENDPOINT_URL_STS and the AWS_… credentials count as they do for every AWS tool.

Unlike the function it writes without being asked twice (SYNC_MODE is not read); --dry-run says what
it would do and writes nothing: the plan that it prints is the plan that the real run carries out.
A target that says "sync":"observe" is only planned for.

--verify reads every IP set instead of believing what it says about itself, and asks AWS whether the rule
is in force, and where: as the function's hourly run does.

When a guard holds the run, nothing is changed and the exit code is 3:
  more would be released or added than a run may by itself   --yes-really does it all the same, or
                                                             tracewall approve lets the next scheduled run
  somebody else has changed what is ours, and the target     --repair-drift makes it as it should be
  says "drift":"report"
  a wall that was made from another list (Redis was          --adopt-epoch takes the list that is in Redis for
  flushed or restored)                                       the truth from now on: everybody who is on the
                                                             wall and not in it is released
  what would go wrong is seen before the first write         the message says what to do

--detach removes all that is ours from the named targets and nothing else: our rule or rule groups, then
our IP sets. Nobody is blocked there by tracewall any more, so it wants each target named with --target. Set
SYNC_MODE=observe before, or take the target out of WAF_TARGETS: the next scheduled run would make everything anew.
With --mode it removes what a target left behind in the mode that it had before, web-acl, rule-group
or ip-set, and only if what it has now is proven to be in force. --dry-run says what it would do.

--json prints one object: {"as_of","mode":"sync|plan","generation","targets":[{"name","desired","enforced",
"overflow","spared","writes","calls","skipped","error","plan":[],"remaining":[],"sets":[{"name","count","referenced"}],
"rejected":[{"value","reason"}],"notes":[],"pending","effective","held":{"add","release","unexplained","holds","reason"},"drift":[],
"findings":[{"text","fatal"}],"proof":{"as_of","effective","reasons":[],"web_acls":[]}}]}; held and proof are null when
there is none. With --detach: {"dry_run","targets":[{"name","mode","done":[],"error"}]}.`

// syncTimeout bounds one run: a first fill of 100 IP sets takes two minutes at AWS WAF's pace.
const syncTimeout = 10 * time.Minute

// syncFlags are the flags of sync.
type syncFlags struct {
	json, dryRun, verify, yesReally, repairDrift, adopt, detach bool

	mode    string
	targets names
}

func (f syncFlags) check() error {
	modes := []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup, awswaf.ModeIPSet}
	switch {
	case !f.detach && f.mode != "":
		return usagef("--mode: want --detach with it; a sync has each target's own mode")
	case !f.detach:
		return nil
	case f.verify || f.repairDrift || f.adopt || f.yesReally:
		return usagef("--detach: want no --verify, --yes-really, --repair-drift or --adopt-epoch with it")
	case f.mode != "" && !slices.Contains(modes, f.mode):
		return usagef("--mode %q: want %s", f.mode, strings.Join(modes, ", "))
	case len(f.targets) == 0:
		return usagef("--detach: want the name of each target to take everything off, with --target NAME")
	}
	return nil
}

func runSync(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("sync aws-waf [--target NAME]… [--dry-run] [--verify | --detach [--mode MODE]] [--json]", syncText)
	var f syncFlags
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would be done and write nothing")
	fs.Var(&f.targets, "target", "only the target of this `name`; may be given several times")
	fs.BoolVar(&f.verify, "verify", false, "read every set, and prove that the rule is in force")
	fs.BoolVar(&f.yesReally, "yes-really", false, "release and add however much it is")
	fs.BoolVar(&f.repairDrift, "repair-drift", false, "repair what somebody else has changed, also where only reporting is configured")
	fs.BoolVar(&f.adopt, "adopt-epoch", false, "take a list that was founded anew for the truth")
	fs.BoolVar(&f.detach, "detach", false, "remove all that is ours from the targets named with --target")
	fs.StringVar(&f.mode, "mode", "", "with --detach: what was made in this `mode`, after the target got another one")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usagef("no firewall is named: want aws-waf")
	case rest[0] != wallKind || len(rest) > 1:
		return usagef("argument %q: want aws-waf", strings.Join(rest, " "))
	}
	if err := f.check(); err != nil {
		return err
	}
	targets, err := a.targets()
	if err != nil {
		return err
	}
	if targets, err = chosen(targets, f.targets); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if f.detach {
		return a.detach(ctx, targets, f)
	}
	return a.sync(ctx, targets, f)
}

func (a *app) sync(ctx context.Context, targets []awswaf.Target, f syncFlags) error {
	sdk, err := awsSettings(ctx)
	if err != nil {
		return err
	}
	walls, err := makeWalls(sdk, targets)
	if err != nil {
		return err
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	now := a.now().UTC().Truncate(time.Second)
	res := syncResult{AsOf: now, Mode: "sync", Targets: []syncTarget{}}
	if f.dryRun {
		res.Mode = "plan"
	}
	// The names of leases and consumer groups come from the kind, which is the function's.
	pass := enforce.Pass{
		List: store, Kind: wallKind, Now: now, DryRun: f.dryRun, NoTrace: f.dryRun, AdoptEpoch: f.adopt,
		Verify: f.verify, Prove: f.verify, Approve: f.yesReally, RepairDrift: f.repairDrift,
	}
	done, err := pass.Run(ctx, walls)
	for _, one := range done {
		res.Generation = max(res.Generation, one.Generation)
		res.Targets = append(res.Targets, syncTargetOf(one))
	}
	errs := []error{explain(err)}
	if f.json {
		errs = append(errs, json.NewEncoder(a.stdout).Encode(res))
	} else {
		res.print(a.stdout)
	}
	return errors.Join(errs...)
}
