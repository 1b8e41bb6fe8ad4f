package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/enforce"
)

const syncText = `Makes the firewalls of a cloud equal to the blocklist now, as its function does on its schedule: the same
reconcile, the same lease (so that the two never work at once), the same receipts. The clouds:

  aws-waf      as sync-aws-waf; targets from WAF_TARGETS; credentials, endpoints and profile as for every AWS tool
  alibaba-waf  as sync-alibaba-waf; targets from ALIBABA_TARGETS; ALIBABA_CLOUD_ACCESS_KEY_ID,
               ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for a role, ALIBABA_CLOUD_SECURITY_TOKEN
  tencent      as sync-tencent; targets from TENCENT_TARGETS; TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY and,
               for a temporary key, TENCENTCLOUD_TOKEN
  all          each of them that has targets

Targets are a JSON array as the function's; --target takes some of them.

Unlike the functions it writes without being asked twice (SYNC_MODE is not read); --dry-run says what
it would do and writes nothing: the plan that it prints is the plan that the real run carries out.
A target that says "sync":"observe" is only planned for.

--verify reads everything instead of believing what an earlier run left, and asks the cloud whether the rule
is in force, and where: as the functions' hourly run does.

When a guard holds the run, nothing is changed and the exit code is 3:
  more would be released or added than a run may by itself   --yes-really does it all the same, or
                                                             tracewall approve lets the next scheduled run
  somebody else has changed what is ours, and the target     --repair-drift makes it as it should be
  says "drift":"report"
  a wall that was made from another list (Redis was          --adopt-epoch takes the list that is in Redis for
  flushed or restored)                                       the truth from now on: everybody who is on the
                                                             wall and not in it is released
  what would go wrong is seen before the first write         the message says what to do

--detach removes all that is ours from the named targets and nothing else: our rule, or what it stands in, then
our sets or books. Nobody is blocked there by tracewall any more, so it wants each target named with --target. Set
SYNC_MODE=observe before, or take the target out of its variable: the next scheduled run would make everything anew.
With --mode it removes what a target left behind in the mode that it had before, and only if what it has now is proven
to be in force. --dry-run says what it would do.

--json prints one object: {"as_of","mode":"sync|plan","generation","targets":[{"kind","name","desired","enforced",
"overflow","spared","writes","calls","skipped","error","plan":[],"remaining":[],"sets":[{"name","count","referenced"}],
"rejected":[{"value","reason","by_firewall"}],"notes":[],"pending","effective","held":{"add","release","unexplained","holds","reason"},
"drift":[],"findings":[{"text","fatal"}],"proof":{"as_of","effective","reasons":[],"web_acls":[]}}]}; held and proof are null
when there is none. With --detach: {"dry_run","targets":[{"kind","name","mode","done":[],"error"}]}.`

// syncTimeout bounds one run: a first fill of 100 IP sets takes two minutes at AWS WAF's pace, and one of 50,000
// addresses one minute at Alibaba Cloud's.
const syncTimeout = 10 * time.Minute

// syncFlags are the flags of sync.
type syncFlags struct {
	json, dryRun, verify, yesReally, repairDrift, adopt, detach bool

	mode    string
	targets names
}

func (f syncFlags) check(of []cloud) error {
	var modes []string
	for _, c := range of {
		modes = append(modes, c.modes...)
	}
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
	case len(of) > 1:
		return usagef("--detach: want one cloud, %s", strings.Join(kinds(), " or "))
	}
	return nil
}

func runSync(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("sync CLOUD… [--target NAME]… [--dry-run] [--verify | --detach [--mode MODE]] [--json]", syncText)
	var f syncFlags
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.BoolVar(&f.dryRun, "dry-run", false, "say what would be done and write nothing")
	fs.Var(&f.targets, "target", "only the target of this `name`; may be given several times")
	fs.BoolVar(&f.verify, "verify", false, "read everything, and prove that the rule is in force")
	fs.BoolVar(&f.yesReally, "yes-really", false, "release and add however much it is")
	fs.BoolVar(&f.repairDrift, "repair-drift", false, "repair what somebody else has changed, also where only reporting is configured")
	fs.BoolVar(&f.adopt, "adopt-epoch", false, "take a list that was founded anew for the truth")
	fs.BoolVar(&f.detach, "detach", false, "remove all that is ours from the targets named with --target")
	fs.StringVar(&f.mode, "mode", "", "with --detach: what was made in this `mode`, after the target got another one")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	of, err := a.chosenClouds(rest)
	if err != nil {
		return err
	}
	if err := f.check(of); err != nil {
		return err
	}
	chosen, err := a.chosen(of, f.targets)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if f.detach {
		return a.detach(ctx, chosen[0], f)
	}
	return a.sync(ctx, chosen, f)
}

// sync makes the walls of all chosen clouds equal to the list, side by side.
func (a *app) sync(ctx context.Context, chosen []cloudTargets, f syncFlags) error {
	walls := make([][]enforce.Wall, len(chosen))
	for i, c := range chosen {
		var err error
		if walls[i], err = c.walls(ctx, a, c.some); err != nil {
			return err
		}
	}
	store, err := a.openList(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	now := a.now().UTC().Truncate(time.Second)
	res := syncResult{AsOf: now, Mode: "sync", Targets: []syncTarget{}}
	if f.dryRun {
		res.Mode = "plan"
	}
	done, errs := make([][]enforce.Result, len(chosen)), make([]error, len(chosen))
	var group sync.WaitGroup
	for i, c := range chosen {
		// The names of leases and consumer groups come from the kind, which is the function's.
		pass := enforce.Pass{
			List: store, Kind: c.kind, Now: now, DryRun: f.dryRun, NoTrace: f.dryRun, AdoptEpoch: f.adopt,
			Verify: f.verify, Prove: f.verify, Approve: f.yesReally, RepairDrift: f.repairDrift,
		}
		group.Go(func() { done[i], errs[i] = pass.Run(ctx, walls[i]) })
	}
	group.Wait()
	for i, c := range chosen {
		for _, one := range done[i] {
			res.Generation = max(res.Generation, one.Generation)
			res.Targets = append(res.Targets, syncTargetOf(c.kind, one))
		}
		errs[i] = explain(errs[i])
	}
	if f.json {
		errs = append(errs, report.EncodeJSON(a.stdout, res))
	} else {
		res.print(a.stdout)
	}
	return errors.Join(errs...)
}
