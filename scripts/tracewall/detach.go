package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
)

// detached is what became of one target.
type detached struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name"`
	Mode  string   `json:"mode"`
	Done  []string `json:"done"`
	Error string   `json:"error,omitempty"`

	whole bool // nothing of ours is left
}

// detach takes all that is ours off the chosen targets, or what they left behind in the mode that f names.
func (a *app) detach(ctx context.Context, from cloudTargets, f syncFlags) error {
	open, err := from.connect(ctx, a)
	if err != nil {
		return err
	}
	var store *redisstore.Store
	if url, _ := a.lookup("REDIS_URL"); url != "" {
		if store, err = a.openStore(ctx); err != nil {
			return err
		}
		defer store.Close()
	} else {
		fmt.Fprintln(a.stderr, "REDIS_URL is not set: no lease keeps a scheduled run out meanwhile")
	}
	var all []detached
	var errs []error
	for _, t := range from.some {
		one := detached{Kind: t.kind, Name: t.name, Mode: cmp.Or(f.mode, t.mode), Done: []string{}}
		one.whole = one.Mode == t.mode
		firewall, err := open(t)
		if err != nil {
			return usageError{fmt.Errorf("target %s: %w", t.name, err)}
		}
		if err := a.detachOne(ctx, store, firewall, f.dryRun, &one); err != nil {
			err = fmt.Errorf("target %s: %w", t.name, err)
			one.Error = err.Error()
			errs = append(errs, err)
		}
		all = append(all, one)
		if !f.json {
			one.print(a.stdout, f.dryRun)
		}
	}
	if f.json {
		errs = append(errs, report.EncodeJSON(a.stdout, struct {
			DryRun  bool       `json:"dry_run"`
			Targets []detached `json:"targets"`
		}{f.dryRun, all}))
	}
	return errors.Join(errs...)
}

// detachOne takes one target's things off while it holds the lease of its scheduled runs.
func (a *app) detachOne(ctx context.Context, store *redisstore.Store, firewall waf.Firewall, dryRun bool, one *detached) error {
	d, ok := firewall.(waf.Detacher)
	if !ok {
		return fmt.Errorf("detach: this firewall cannot be left")
	}
	if store != nil && !dryRun {
		// The name of the lease is the scheduled run's: the two never work at once.
		lease, err := store.Acquire(ctx, "sync:"+enforce.Key(one.Kind, one.Name), time.Hour)
		if errors.Is(err, blocklist.ErrLeaseHeld) {
			return guardError{fmt.Errorf("nothing was done: %w; try again when it is through", err)}
		}
		if err != nil {
			return fmt.Errorf("take lease: %w", err)
		}
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = lease.Release(end)
		}()
	}
	mode := one.Mode
	if one.whole {
		mode = "" // whatever it is: "auto" is none that could be left behind
	}
	done, err := d.DetachMode(ctx, mode, dryRun)
	one.Done = append(one.Done, done...)
	if err != nil || dryRun || store == nil || !one.whole {
		return err
	}
	// What was known of the wall is no longer so, and the next run, should there be
	// one, must not take it for drift.
	text, err := json.Marshal(enforce.Status{AsOf: a.now().UTC().Truncate(time.Second), Mode: modeDetached})
	if err == nil {
		err = store.SaveStatus(ctx, enforce.Key(one.Kind, one.Name), text)
	}
	return err
}

// modeDetached is a status' Mode after --detach.
const modeDetached = "detached"

func (d detached) print(w io.Writer, dryRun bool) {
	line := func(format string, args ...any) { fmt.Fprintln(w, report.Safe(fmt.Sprintf(format, args...))) }
	switch {
	case d.Error != "" && len(d.Done) == 0:
		line("%s (%s): nothing was done", d.Name, d.Mode)
	case d.Error != "":
		line("%s (%s): not finished; the same command again goes on", d.Name, d.Mode)
	case len(d.Done) == 0:
		line("%s (%s): nothing of ours is there", d.Name, d.Mode)
		return
	case dryRun:
		line("%s (%s): this would be done", d.Name, d.Mode)
	default:
		line("%s (%s): done", d.Name, d.Mode)
	}
	for i, step := range d.Done {
		if i == maxPlanLines {
			line("  … and %d more", len(d.Done)-i)
			break
		}
		line("  %s", step)
	}
	if d.Error == "" && d.whole && !dryRun {
		line("  unless SYNC_MODE is observe or the target is gone from its variable, the next scheduled run makes what it lacks anew")
	}
}
