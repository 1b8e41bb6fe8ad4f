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
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
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
	var errs []error
	want, err := desired(ctx, store, now)
	if err != nil {
		return explain(err)
	}
	res.Generation = want.Generation
	for _, t := range targets {
		firewall, err := awswaf.New(sdk, t, awswaf.WithPace(pace))
		if err != nil {
			return usageError{fmt.Errorf("target %s: %w", t.Name, err)}
		}
		s := targetSync{store: store, name: t.Name, dryRun: *dryRun, reconciler: &waf.Reconciler{
			Firewall: firewall, Name: t.Name, DryRun: *dryRun, AdoptEpoch: *adopt,
			Limits: waf.Limits{SetSize: firewall.Target().SetSize},
		}}
		one, err := s.run(ctx, want, now)
		if err != nil {
			one.Error = err.Error()
			errs = append(errs, fmt.Errorf("target %s: %w", t.Name, err))
		}
		res.Targets = append(res.Targets, one)
	}
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
	Name      string          `json:"name"`
	Desired   int             `json:"desired"`
	Enforced  int             `json:"enforced"`
	Overflow  int             `json:"overflow"`
	Spared    int             `json:"spared"` // on the blocklist, and on the allowlist since
	Writes    int             `json:"writes"`
	Calls     int             `json:"calls"`
	Skipped   string          `json:"skipped,omitempty"`
	Error     string          `json:"error,omitempty"`
	Plan      []string        `json:"plan"`
	Remaining []string        `json:"remaining"`
	Sets      []waf.SetReport `json:"sets"`
	Rejected  []waf.Rejection `json:"rejected"`
	Notes     []string        `json:"notes"`
}

// wanted is what every target should hold.
type wanted struct {
	waf.Desired
	spared int
}

// desired reads blocklist and allowlist, both whole or neither, and leaves out who was
// allowlisted while blocked. Accounts are for other walls than AWS WAF.
func desired(ctx context.Context, store *redisstore.Store, now time.Time) (wanted, error) {
	allow, err := store.Allowlist(ctx)
	if err != nil {
		return wanted{}, guardError{fmt.Errorf("read allowlist, so the walls stay as they are: %w", err)}
	}
	snapshot, err := store.Snapshot(ctx, now)
	if err != nil {
		return wanted{}, fmt.Errorf("read blocklist, so the walls stay as they are: %w", err)
	}
	w := wanted{Desired: waf.Desired{Epoch: snapshot.Epoch, Generation: snapshot.Generation}}
	for _, e := range snapshot.Entries {
		if e.Indicator.Kind() != threat.KindAddress || !e.ExpiresAt.After(now) {
			continue
		}
		if _, ok := allow.Covers(e.Indicator, now); ok {
			w.spared++
			continue
		}
		w.Wants = append(w.Wants, waf.Want{
			Prefix: e.Indicator.Prefix(), Severity: e.Severity, Count: e.Count, LastSeen: e.LastSeen, ExpiresAt: e.ExpiresAt,
		})
	}
	return w, nil
}

// targetSync is one run over one target.
type targetSync struct {
	store      *redisstore.Store
	name       string
	dryRun     bool
	reconciler *waf.Reconciler
}

func (s *targetSync) run(ctx context.Context, want wanted, now time.Time) (syncTarget, error) {
	out := syncTarget{Name: s.name, Spared: want.spared, Plan: []string{}, Remaining: []string{}, Sets: []waf.SetReport{}, Rejected: []waf.Rejection{}, Notes: []string{}}
	var notices []blocklist.Notice
	group := "aws-waf:" + s.name // as the function names its consumer group and its lease
	if !s.dryRun {
		lease, err := s.store.Acquire(ctx, "sync:"+group, syncTimeout)
		if errors.Is(err, blocklist.ErrLeaseHeld) {
			out.Skipped = "another run holds the lease"
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("take lease: %w", err)
		}
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = lease.Release(last) // it ends by itself
		}()
		if notices, err = s.store.Receive(ctx, group, fmt.Sprintf("tracewall-%d", lease.Token()), syncTimeout); err != nil {
			return out, fmt.Errorf("receive handoff: %w", err)
		}
		// The list is read again under the lease: what was read before may be older than the wall.
		if want, err = desired(ctx, s.store, now); err != nil {
			return out, err
		}
	}
	r, err := s.reconciler.Reconcile(ctx, want.Desired)
	out.Desired, out.Enforced, out.Overflow, out.Writes, out.Calls = r.Desired, r.Enforced, r.Overflow, r.Writes, r.Calls
	out.Plan, out.Remaining, out.Sets, out.Rejected, out.Notes = some(r.Plan), some(r.Remaining), some(r.Sets), some(r.Rejected), some(r.Notes)
	if err != nil || s.dryRun {
		return out, err
	}
	var ids []string
	for _, n := range notices {
		if n.Generation <= want.Generation {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) > 0 {
		if err := s.store.Ack(ctx, group, ids...); err != nil {
			return out, fmt.Errorf("acknowledge handoff: %w", err)
		}
	}
	return out, nil
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
