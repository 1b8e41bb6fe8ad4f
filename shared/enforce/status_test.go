package enforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// proven is a firewall that can tell whether it is in force, and remembers.
type proven struct {
	waf.SetFirewall
	proof    func() (waf.Proof, error)
	asked    int
	memory   string
	recalled []string
	drift    []string
}

func (f *proven) Prove(context.Context) (waf.Proof, error) { f.asked++; return f.proof() }
func (f *proven) Memory() []byte                           { return []byte(f.memory) }
func (f *proven) Recall(memory []byte)                     { f.recalled = append(f.recalled, string(memory)) }

func (f *proven) Look(ctx context.Context) (waf.State, error) {
	s, err := f.SetFirewall.Look(ctx)
	s.Drift = f.drift
	return s, err
}

func effective(at time.Time, reasons ...string) func() (waf.Proof, error) {
	return func() (waf.Proof, error) {
		return waf.Proof{AsOf: at, Effective: len(reasons) == 0, Reasons: reasons}, nil
	}
}

func stateOf(t *testing.T, s enforce.Status, text string) (enforce.State, string) {
	t.Helper()
	return s.StateOf(netip.MustParsePrefix(text))
}

func TestTheStatusTellsTheStateOfEachEntry(t *testing.T) {
	list := listOf(t, "20.7.0.9\n", "ip:20.1.1.1", "ip:20.2.0.0/24", "ip:20.2.0.7", "ip:20.7.0.0/24", "ip:2001:db8:1:2::/64", "ip:20.0.0.0/9")
	w := &waftest.Wall{}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now)}
	walls := []enforce.Wall{{Name: "w", Firewall: fw}}
	got, err := passOf(list, now).Run(t.Context(), walls)
	if err != nil || got[0].Effective == nil || !*got[0].Effective {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	block(t, list, now, "ip:20.3.3.3") // after the run
	s := statusOf(t, list, "w")
	for text, want := range map[string]struct {
		state enforce.State
		why   string
	}{
		"20.1.1.1/32":       {enforce.StateEnforced, "proven in force on 2076-05-28"},
		"20.2.0.0/24":       {enforce.StateEnforced, "proven"},
		"20.2.0.7/32":       {enforce.StateEnforced, "proven"}, // in the range around it
		"2001:db8:1:2::/64": {enforce.StateEnforced, "proven"},
		"20.7.0.0/24":       {enforce.StateEnforced, "split around allowlisted"},
		"20.7.0.9/32":       {enforce.StatePending, "allowlist"},
		"20.0.0.0/9":        {enforce.StateRejected, "wider than"},
		"20.3.3.3/32":       {enforce.StatePending, "not part of the last run"},
	} {
		if state, why := stateOf(t, s, text); state != want.state || !strings.Contains(why, want.why) {
			t.Errorf("%s: %s, %q, want %s, %q", text, state, why, want.state, want.why)
		}
	}
}

func TestOnlyWhatIsProvenInForceIsEnforced(t *testing.T) {
	for name, tt := range map[string]struct {
		proof func() (waf.Proof, error)
		state enforce.State
		why   string
	}{
		"proven":         {effective(now), enforce.StateEnforced, "proven in force"},
		"disproved":      {effective(now, "no resource is behind it", "an Allow rule comes first"), enforce.StatePending, "no resource is behind it; an Allow rule comes first"},
		"nobody can say": {func() (waf.Proof, error) { return waf.Proof{}, waf.ErrDenied }, enforce.StatePending, "not proven"},
		"never asked":    {nil, enforce.StatePending, "nobody has asked"},
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", "ip:20.1.1.1")
			fw := waf.SetFirewall((&waftest.Wall{}).Open())
			if tt.proof != nil {
				fw = &proven{SetFirewall: fw, proof: tt.proof}
			}
			got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{{Name: "w", Firewall: fw}})
			if err != nil || got[0].Enforced != 1 || (got[0].Effective == nil) != (tt.proof == nil) {
				t.Fatalf("results = %+v, err = %v", got, err)
			}
			if state, why := stateOf(t, statusOf(t, list, "w"), "20.1.1.1/32"); state != tt.state || !strings.Contains(why, tt.why) {
				t.Errorf("state = %s, %q, want %s, %q", state, why, tt.state, tt.why)
			}
		})
	}
}

func TestAProofIsKeptUntilTheNext(t *testing.T) {
	list := listOf(t, "", some(3)...)
	fw := &proven{SetFirewall: (&waftest.Wall{}).Open(), proof: effective(now)}
	walls := []enforce.Wall{{Name: "w", Firewall: fw}}
	run := func(at time.Time, change func(*enforce.Pass)) enforce.Status {
		t.Helper()
		p := passOf(list, at)
		if change != nil {
			change(&p)
		}
		if got, err := p.Run(t.Context(), walls); err != nil || got[0].Effective == nil || *got[0].Effective != statusOf(t, list, "w").Proof.Effective {
			t.Fatalf("results = %+v, err = %v", got, err)
		}
		return statusOf(t, list, "w")
	}
	run(now, nil)
	fw.proof = effective(now.Add(time.Minute), "the web acl lost its resources")
	if s := run(now.Add(time.Minute), nil); !s.Proof.AsOf.Equal(now) || s.Report.Proof != nil || fw.asked != 1 {
		t.Errorf("proof as of %s after %d questions, want the first one", s.Proof.AsOf, fw.asked)
	}
	if s := run(now.Add(time.Minute), func(p *enforce.Pass) { p.Verify = true }); s.Proof.Effective || fw.asked != 2 {
		t.Errorf("verified: proof %+v after %d questions, want the second one", s.Proof, fw.asked)
	}
	// One that was not to be had is asked for again, but not in every run.
	fw.proof = func() (waf.Proof, error) { return waf.Proof{}, waf.ErrThrottled }
	run(now.Add(2*time.Minute), func(p *enforce.Pass) { p.Prove = true })
	run(now.Add(3*time.Minute), nil)
	if fw.asked != 3 {
		t.Errorf("asked %d times, want 3: the last try is a minute ago", fw.asked)
	}
	fw.proof = effective(now)
	if s := run(now.Add(13*time.Minute), nil); !s.Proof.Effective || fw.asked != 4 {
		t.Errorf("later: proof %+v after %d questions, want it asked again", s.Proof, fw.asked)
	}
}

func TestTheAdaptersMemoryOutlivesTheProcess(t *testing.T) {
	list := listOf(t, "", some(3)...)
	w := &waftest.Wall{}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now), memory: "one"}
	walls := []enforce.Wall{{Name: "w", Firewall: fw}}
	step := func(memory string, fault error, dry bool, want string) {
		t.Helper()
		fw.memory, fw.recalled = memory, nil
		w.OnWrite = func(string, string) (bool, error) { return fault == nil, fault }
		p := passOf(list, now)
		p.DryRun = dry
		if _, err := p.Run(t.Context(), walls); !errors.Is(err, fault) {
			t.Fatalf("err = %v, want %v", err, fault)
		}
		if diff := cmp.Diff([]string{want}, fw.recalled); diff != "" {
			t.Errorf("recalled (-want +got):\n%s", diff)
		}
	}
	step("one", nil, false, "")
	block(t, list, now, "ip:20.9.9.9")
	step("two", waf.ErrThrottled, false, "one") // kept after a failure, too
	step("plan", nil, true, "two")              // a plan recalls, and leaves nothing
	step("three", nil, false, "two")
	if s := statusOf(t, list, "w"); string(s.Memory) != "three" {
		t.Errorf("memory = %q", s.Memory)
	}
	// A list that cannot be read changes nothing of what is known of the wall.
	list.Lose("allowlist")
	before := statusOf(t, list, "w")
	if _, err := passOf(list, now.Add(time.Minute)).Run(t.Context(), walls); !errors.Is(err, enforce.ErrAllowlist) {
		t.Fatalf("err = %v", err)
	}
	after := statusOf(t, list, "w")
	if diff := cmp.Diff(before.Entries, after.Entries); diff != "" || string(after.Memory) != "three" || after.Generation != before.Generation || after.Result.Error == "" {
		t.Errorf("status after an unreadable list: %+v; entries (-before +after):\n%s", after.Result, diff)
	}
}

// A plan takes as long as a run does and holds no lease.
func TestAPlanDoesNotPutBackWhatARunLeftMeanwhile(t *testing.T) {
	list := listOf(t, "", some(3)...)
	w := &waftest.Wall{}
	others := []enforce.Wall{{Name: "w", Firewall: &proven{SetFirewall: w.Open(), proof: effective(now), memory: "new"}}}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now), memory: "old"}
	first := true
	list.OnRead = func(what string) error {
		if what == "snapshot" && first {
			first = false
			if _, err := passOf(list, now).Run(t.Context(), others); err != nil {
				t.Errorf("the real run: %v", err)
			}
		}
		return nil
	}
	p := passOf(list, now)
	p.DryRun = true
	if _, err := p.Run(t.Context(), []enforce.Wall{{Name: "w", Firewall: fw}}); err != nil {
		t.Fatal(err)
	}
	if s := statusOf(t, list, "w"); s.Mode != "plan" || string(s.Memory) != "new" || s.Proof == nil {
		t.Errorf("status: mode %s, memory %q, proof %v; want the plan's with the run's memory", s.Mode, s.Memory, s.Proof)
	}
}

func TestAStatusThatCannotBeReadIsNotOverwritten(t *testing.T) {
	list := listOf(t, "", some(3)...)
	w := &waftest.Wall{}
	broken := errors.New("connection lost")
	list.OnRead = func(what string) error {
		if what == "status" {
			return broken
		}
		return nil
	}
	saved := false
	list.OnSave = func(what, _ string) (bool, error) { saved = saved || what == "status"; return true, nil }
	if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("w", w)}); !errors.Is(err, broken) || saved || len(w.Enforced()) != 3 {
		t.Errorf("err = %v, saved %v, %d enforced; want the wall done, the fault told and the status left alone", err, saved, len(w.Enforced()))
	}
	// One in a form that we do not know is none.
	list.OnRead, list.OnSave = nil, nil
	if err := list.SaveStatus(t.Context(), "test-waf:w", []byte(`{"as_of":7}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("w", w)}); err != nil || statusOf(t, list, "w").Generation != 1 {
		t.Errorf("err = %v", err)
	}
}

func TestWhatIsNotInForceYetIsPending(t *testing.T) {
	list := listOf(t, "", some(6)...)
	w := &waftest.Wall{}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now)}
	wall := enforce.Wall{Name: "w", Firewall: fw, Limits: waf.Limits{SetSize: 2}}
	observe := passOf(list, now)
	observe.DryRun = true
	if _, err := observe.Run(t.Context(), []enforce.Wall{wall}); err != nil {
		t.Fatal(err)
	}
	s := statusOf(t, list, "w")
	if state, why := stateOf(t, s, "20.1.0.0/32"); state != enforce.StatePending || !strings.Contains(why, "plan") || s.Mode != "plan" || s.Fence != 0 {
		t.Errorf("observed: %s, %q, mode %s", state, why, s.Mode)
	}
	if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall}); err != nil {
		t.Fatal(err)
	}
	block(t, list, now, "ip:20.9.9.9", "ip:20.9.9.11", "ip:20.9.9.13")
	w.OnWrite = func(op, _ string) (bool, error) { return op != "put", waf.ErrThrottled }
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall})
	if !errors.Is(err, waf.ErrThrottled) || got[0].Enforced != 6 || got[0].Pending != 3 {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	s = statusOf(t, list, "w")
	if state, why := stateOf(t, s, "20.9.9.9/32"); state != enforce.StatePending || !strings.Contains(why, "throttled") {
		t.Errorf("throttled: %s, %q", state, why)
	}
	if state, _ := stateOf(t, s, "20.1.0.0/32"); state != enforce.StateEnforced {
		t.Errorf("what was there before: %s", state)
	}
	for p := range s.Entries.Pending.All {
		if slices.Contains(slices.Collect(s.Entries.Rest.All), p) {
			t.Errorf("%s is in two states", p)
		}
	}
	// A run that did not even get to look leaves what is known.
	wall.Firewall = hung{}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := passOf(list, now).Run(ctx, []enforce.Wall{wall}); err == nil {
		t.Error("a wall that hangs is no error")
	}
	for text, want := range map[string]enforce.State{"20.1.0.0/32": enforce.StateEnforced, "20.9.9.9/32": enforce.StatePending} {
		if state, why := stateOf(t, statusOf(t, list, "w"), text); state != want {
			t.Errorf("%s after a run that saw nothing: %s, %q, want %s", text, state, why, want)
		}
	}
}

func TestWhatHasNoRoomIsOverflow(t *testing.T) {
	list := listOf(t, "", some(5)...)
	w := &waftest.Wall{Room: 1, NoExcept: true}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now)}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{{Name: "w", Firewall: fw, Limits: waf.Limits{SetSize: 2}}})
	if err != nil || got[0].Overflow != 3 || got[0].Pending != 0 {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	s, count := statusOf(t, list, "w"), map[enforce.State]int{}
	for _, ind := range indicators(t, some(5)...) {
		state, _ := s.StateOf(ind.Prefix())
		count[state]++
	}
	if count[enforce.StateEnforced] != 2 || count[enforce.StateOverflow] != 3 {
		t.Errorf("states = %v, want 2 enforced and 3 without room", count)
	}
}

func TestDriftIsReportedAndLeftWhereTheWallSaysSo(t *testing.T) {
	list := listOf(t, "", some(3)...)
	w := &waftest.Wall{}
	fw := &proven{SetFirewall: w.Open(), proof: effective(now), drift: []string{"the rule was moved"}}
	wall := enforce.Wall{Name: "w", Firewall: fw, Policy: waf.Policy{ReportDrift: true}}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall})
	if !errors.Is(err, waf.ErrDrift) || !got[0].Guarded || len(got[0].Drift) != 1 || len(w.Enforced()) != 0 || waiting(t, list, "w") != 1 {
		t.Errorf("results = %+v, err = %v, want it reported and nothing acknowledged", got, err)
	}
	if s := statusOf(t, list, "w"); len(s.Drift) != 1 {
		t.Errorf("status: drift %v", s.Drift)
	}
	repair := passOf(list, now)
	repair.RepairDrift = true
	if _, err := repair.Run(t.Context(), []enforce.Wall{wall}); err != nil || len(w.Enforced()) != 3 {
		t.Errorf("repair: err = %v, %d enforced, want 3", err, len(w.Enforced()))
	}
}

// The forms that others read.
func TestTheStatusHasAStableForm(t *testing.T) {
	yes := true
	s := enforce.Status{
		AsOf: now, Mode: "sync", Epoch: "e", Generation: 7, Fence: 3,
		Result: enforce.Result{
			Name: "w", Desired: 9, Enforced: 5, Pending: 1, Overflow: 3, Spared: 2, Writes: 1, Calls: 4, Effective: &yes,
			Held: &waf.Held{Add: 1, Release: 2, Unexplained: 2, Holds: 4, Reason: "r"}, Drift: []string{"d"}, Findings: []waf.Finding{{Text: "f", Fatal: true}}, Error: "e",
		},
		Report: waf.Report{Name: "w", Plan: []string{}, Sets: []waf.SetReport{}},
		Proof:  &waf.Proof{AsOf: now, Effective: true}, ProofAsked: now, Memory: []byte("m"),
		Entries: enforce.Entries{Default: enforce.StatePending, Reasons: []string{"why"}, Rest: enforce.Packed{4, 32, 1, 7}, Cut: 1},
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"as_of":"2076-05-28T20:25:00Z","mode":"sync","epoch":"e","generation":7,"fence":3,` +
		`"result":{"name":"w","desired":9,"enforced":5,"pending":1,"overflow":3,"spared":2,"writes":1,"calls":4,"effective":true,` +
		`"held":{"add":1,"release":2,"unexplained":2,"holds":4,"reason":"r"},"drift":["d"],"findings":[{"text":"f","fatal":true}],"error":"e"},` +
		`"report":{"name":"w","desired":0,"enforced":0,"overflow":0,"writes":0,"calls":0,"dry_run":false,"plan":[],"sets":[]},` +
		`"proof":{"as_of":"2076-05-28T20:25:00Z","effective":true},"proof_asked":"2076-05-28T20:25:00Z","memory":"bQ==",` +
		`"entries":{"default":"pending","reasons":["why"],"rest":"BCABBw==","cut":1}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	var back enforce.Status
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s, back); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}
