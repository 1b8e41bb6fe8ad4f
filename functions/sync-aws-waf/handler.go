package main

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

// function is this function's name in log lines, metrics and keys.
const function = "sync-aws-waf"

// kind names the kind of firewall in leases and consumer groups.
const kind = "aws-waf"

// handler makes every target equal to the list, at each event and, while it stays,
// at each announcement. It keeps nothing between events but clients.
type handler struct {
	list    list
	walls   []enforce.Wall
	enforce bool          // false: SYNC_MODE is observe, and every run is a plan
	wait    time.Duration // how long after its start a schedule's tick stays
	log     *slog.Logger
	metrics *telemetry.Metrics
	now     func() time.Time
}

// list is what the handler needs of the blocklist's store.
type list interface {
	enforce.List
	enforce.Bell
}

// result is what a run returns. Its JSON form is stable.
type result struct {
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
// targets' last passes, and makes Lambda try again or park the event; the targets that could be
// done are done all the same, and running again does no harm.
func (h *handler) Handle(ctx context.Context, payload json.RawMessage) (result, error) {
	start := h.now()
	res, err := h.run(ctx, payload, start)
	h.tell(ctx, start, res, err)
	return res, err
}

func (h *handler) run(ctx context.Context, payload []byte, start time.Time) (result, error) {
	ev, err := decodeEvent(payload, start)
	if err != nil {
		return result{}, err
	}
	walls, err := h.choose(ev.targets)
	if err != nil {
		return result{}, err
	}
	p := enforce.Pass{
		List: h.list, Kind: kind, Now: ev.clock(start), DryRun: !h.enforce || ev.mode == modePlan,
		NoTrace: ev.mode == modePlan, AdoptEpoch: ev.adoptEpoch,
		Verify: ev.mode == modeVerify, Prove: ev.mode == modeVerify,
	}
	res := result{AsOf: p.Now, Mode: ev.mode, asked: p.NoTrace}
	stay := ev.stay(h.wait)
	if p.DryRun {
		res.Mode, stay = modePlan, 0 // who only looks has nothing to be quick with
	}
	watch := enforce.Watch{Pass: p, Bell: h.list, Wait: stay, Clock: h.now, Each: func(t enforce.Result, err error) {
		if t.Skipped == "" {
			res.Passes++
		}
		res.Writes, res.Calls = res.Writes+t.Writes, res.Calls+t.Calls
		h.count(t, res.asked)
		if stay > 0 {
			h.tellPass(ctx, t, err)
		}
	}}
	res.Targets, err = watch.Run(ctx, walls)
	for _, t := range res.Targets {
		res.Generation = max(res.Generation, t.Generation)
	}
	return res, err
}

// choose returns the named walls, or all of them.
func (h *handler) choose(names []string) ([]enforce.Wall, error) {
	if names == nil {
		return h.walls, nil
	}
	var chosen []enforce.Wall
	for _, name := range names {
		i := slices.IndexFunc(h.walls, func(w enforce.Wall) bool { return w.Name == name })
		if i < 0 {
			known := make([]string, len(h.walls))
			for i, w := range h.walls {
				known[i] = w.Name
			}
			return nil, badEvent("targets", name, "names from WAF_TARGETS: "+strings.Join(known, ", "))
		}
		chosen = append(chosen, h.walls[i])
	}
	return chosen, nil
}
