// Package syncrun is what every sync function has in common: one call in, walls made
// equal to the list, one result out. What differs between the functions, and stays with
// them, is the envelope in which their cloud delivers a schedule's tick, the settings of their
// cloud, and its clients. Main, Settings and Open are what they start with.
//
// An event, or an operator, may ask for a mode, some targets, a clock and a time to stay (Inputs).
// A Function then runs one pass over the targets (package enforce does the work) and, until its time
// to stay is over, one more for each announcement on the handoff stream. It tells what it did
// three times: as a Result to the caller, as one summary line to people, and as metrics to alarms.
package syncrun

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// List is what a Function needs of the blocklist's store; *redisstore.Store.
type List interface {
	enforce.List
	enforce.Bell
}

// Function makes every target equal to the list, at each event and, while it stays, at each
// announcement. It keeps nothing between events but clients, and is for one event at a
// time, as the walls are. Every field is required but Call, Enforce and Wait.
type Function struct {
	Name   string // in log lines and metrics: "sync-aws-waf"
	Kind   string // of firewall, in the names of leases, consumer groups and states: "aws-waf"
	Cloud  string // in metrics: "aws"
	Inputs Inputs
	// Decode reads one payload; it has the function's own envelope, and Inputs for all else.
	Decode func(payload []byte, wallClock time.Time) (Event, error)
	// Call, if set, puts into each call's context what the platform handed over with it, as fccall.WithKeys does.
	Call func(context.Context) context.Context

	List    List
	Walls   []enforce.Wall // in order of name
	Enforce bool           // false: SYNC_MODE is observe, and every run is a plan
	Wait    time.Duration  // how long after its start a schedule's tick stays
	Log     *slog.Logger
	Metrics *telemetry.Metrics
	Now     func() time.Time
}

// Result is what a run returns. Its JSON form is stable. Platforms keep what functions return, so
// it holds counts and what walls said, and nobody's entry of the list.
type Result struct {
	AsOf       time.Time        `json:"as_of"`
	Mode       string           `json:"mode"` // "sync", "verify", or "plan" when nothing was to be written
	Generation uint64           `json:"generation"`
	Passes     int              `json:"passes"`  // over all targets: one each, and one more for each announcement
	Writes     int              `json:"writes"`  // of all passes
	Calls      int              `json:"calls"`   // of all passes
	Targets    []enforce.Result `json:"targets"` // what each target's last pass did, in order of name

	asked bool // somebody asked for a plan: no run that the dead-man alarm may count
}

// Handle runs one pass over the targets, and after it, until its time to stay is over, one
// more for each announcement. A returned error lists everything that went wrong in the
// targets' last passes, and makes the platform try again or park the event; the targets that could be
// done are done all the same, and running again does no harm.
func (f *Function) Handle(ctx context.Context, payload json.RawMessage) (Result, error) {
	start := f.Now()
	if f.Call != nil {
		ctx = f.Call(ctx)
	}
	res, err := f.run(ctx, payload, start)
	f.tell(ctx, start, res, err)
	return res, err
}

func (f *Function) run(ctx context.Context, payload []byte, start time.Time) (Result, error) {
	ev, err := f.Decode(payload, start)
	if err != nil {
		return Result{}, err
	}
	walls, err := f.choose(ev.Targets)
	if err != nil {
		return Result{}, err
	}
	p := enforce.Pass{
		List: f.List, Kind: f.Kind, Now: ev.Clock(start), DryRun: !f.Enforce || ev.Mode == ModePlan,
		NoTrace: ev.Mode == ModePlan, AdoptEpoch: ev.AdoptEpoch,
		Verify: ev.Mode == ModeVerify, Prove: ev.Mode == ModeVerify,
	}
	res := Result{AsOf: p.Now, Mode: ev.Mode, asked: p.NoTrace}
	stay := ev.Stay(f.Wait)
	if p.DryRun {
		res.Mode, stay = ModePlan, 0 // who only looks has nothing to be quick with
	}
	watch := enforce.Watch{Pass: p, Bell: f.List, Wait: stay, Clock: f.Now, Each: func(t enforce.Result, err error) {
		if t.Skipped == "" {
			res.Passes++
		}
		res.Writes, res.Calls = res.Writes+t.Writes, res.Calls+t.Calls
		f.count(t, res.asked)
		if stay > 0 {
			f.tellPass(ctx, t, err)
		}
	}}
	res.Targets, err = watch.Run(ctx, walls)
	for _, t := range res.Targets {
		res.Generation = max(res.Generation, t.Generation)
	}
	return res, err
}

// choose returns the named walls, or all of them.
func (f *Function) choose(names []string) ([]enforce.Wall, error) {
	if names == nil {
		return f.Walls, nil
	}
	var chosen []enforce.Wall
	for _, name := range names {
		i := slices.IndexFunc(f.Walls, func(w enforce.Wall) bool { return w.Name == name })
		if i < 0 {
			known := make([]string, len(f.Walls))
			for i, w := range f.Walls {
				known[i] = w.Name
			}
			return nil, BadEvent("targets", name, "names from "+f.Inputs.Setting+": "+strings.Join(known, ", "))
		}
		chosen = append(chosen, f.Walls[i])
	}
	return chosen, nil
}
