package syncrun

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// fakeList is a list in memory that can be told to fail, and remembers what it was asked.
type fakeList struct {
	mu       sync.Mutex
	snapshot blocklist.Snapshot
	allow    string
	notices  map[string][]blocklist.Notice // by group; each Receive hands out all that is left
	held     map[string]bool               // leases that another run holds
	fail     map[string]error              // by method

	calls  []string
	acked  map[string][]string
	status map[string]enforce.Status
	ttl    time.Duration
	claims []time.Duration // what Receive was asked with
	rings  chan string     // what Await hears
}

func (f *fakeList) Ended(_ context.Context, _ time.Time, prefixes []netip.Prefix) (int, error) {
	return len(prefixes), f.called("Ended", "")
}

func (f *fakeList) Status(_ context.Context, target string) ([]byte, error) {
	if err := f.called("Status", target); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.status[target]
	if !ok {
		return nil, blocklist.ErrNoReport
	}
	return json.Marshal(s)
}

func (f *fakeList) Approval(_ context.Context, target string) (blocklist.Approval, bool, error) {
	return blocklist.Approval{}, false, f.called("Approval", target)
}

func (f *fakeList) UseApproval(_ context.Context, target string) (blocklist.Approval, bool, error) {
	return blocklist.Approval{}, false, f.called("UseApproval", target)
}

func (f *fakeList) Await(ctx context.Context, after string, timeout time.Duration) (string, error) {
	if timeout <= 0 {
		return after, f.called("Await", "")
	}
	end := time.NewTimer(timeout)
	defer end.Stop()
	select {
	case id := <-f.rings:
		return id, nil
	case <-end.C:
		return after, nil
	case <-ctx.Done():
		return after, ctx.Err()
	}
}

func (f *fakeList) called(method, detail string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, strings.TrimSpace(method+" "+detail))
	return f.fail[method]
}

func (f *fakeList) Each(_ context.Context, _ time.Time, fn func([]blocklist.Entry) error) (blocklist.Version, error) {
	if err := f.called("Each", ""); err != nil {
		return blocklist.Version{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return blocklist.Version{Epoch: f.snapshot.Epoch, Generation: f.snapshot.Generation}, fn(f.snapshot.Entries)
}

// announce puts somebody on the list and rings the bell.
func (f *fakeList) announce(key string) {
	f.mu.Lock()
	f.snapshot.Entries = append(slices.Clone(f.snapshot.Entries), entry(key, time.Now().Add(time.Hour)))
	f.snapshot.Generation++
	id := fmt.Sprintf("%d-0", f.snapshot.Generation)
	f.mu.Unlock()
	f.rings <- id
}

func (f *fakeList) Allowlist(context.Context) (allowlist.List, error) {
	if err := f.called("Allowlist", ""); err != nil {
		return allowlist.List{}, err
	}
	return allowlist.Parse(strings.NewReader(f.allow))
}

func (f *fakeList) Acquire(_ context.Context, name string, ttl time.Duration) (*blocklist.Lease, error) {
	if err := f.called("Acquire", name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ttl = ttl
	if f.held[name] {
		return nil, blocklist.ErrLeaseHeld
	}
	nothing := func(context.Context) error { return nil }
	return blocklist.NewLease(7, nothing, func(context.Context) error { return f.called("Release", name) }), nil
}

func (f *fakeList) Receive(_ context.Context, group, _ string, claimAfter time.Duration) ([]blocklist.Notice, error) {
	if err := f.called("Receive", group); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claims = append(f.claims, claimAfter)
	all := f.notices[group]
	delete(f.notices, group)
	return all, nil
}

func (f *fakeList) Ack(ctx context.Context, group string, ids ...string) error {
	if err := errors.Join(f.called("Ack", group), ctx.Err()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acked == nil {
		f.acked = map[string][]string{}
	}
	f.acked[group] = append(f.acked[group], ids...)
	return nil
}

func (f *fakeList) SaveStatus(ctx context.Context, target string, text []byte) error {
	if err := errors.Join(f.called("SaveStatus", target), ctx.Err()); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.status == nil {
		f.status = map[string]enforce.Status{}
	}
	var s enforce.Status
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	f.status[target] = s
	return nil
}

// fakeWall is a wall in memory that can be told to fail or to hang.
type fakeWall struct {
	name   string
	err    error
	hang   bool // until the work is told to stop
	memory waftest.Wall

	mu    sync.Mutex
	looks int
}

func (f *fakeWall) wall() enforce.Wall {
	return enforce.Wall{Name: f.name, Firewall: &fakeFirewall{f.memory.Open(), f}}
}

func (f *fakeWall) holds() (list []string) {
	for _, p := range f.memory.Enforced() {
		list = append(list, p.String())
	}
	return list
}

func (f *fakeWall) looked() int { f.mu.Lock(); defer f.mu.Unlock(); return f.looks }

type fakeFirewall struct {
	*waftest.Firewall
	of *fakeWall
}

func (f *fakeFirewall) Look(ctx context.Context) (waf.State, error) {
	f.of.mu.Lock()
	f.of.looks++
	err := f.of.err
	f.of.mu.Unlock()
	if f.of.hang {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err != nil {
		return waf.State{}, fmt.Errorf("look: %w", err)
	}
	return f.Firewall.Look(ctx)
}

func entry(key string, expires time.Time) blocklist.Entry {
	ind, err := threat.ParseKey(key)
	if err != nil {
		panic(err)
	}
	return blocklist.Entry{Indicator: ind, Severity: threat.High, Count: 101, LastSeen: today.Add(-time.Hour), ExpiresAt: expires}
}

// newFunction returns a function over a list of three addresses and an account, one
// of the addresses being allowlisted meanwhile.
func newFunction(walls ...*fakeWall) (*Function, *fakeList, *bytes.Buffer) {
	later := today.Add(time.Hour)
	list := &fakeList{
		snapshot: blocklist.Snapshot{Epoch: "epoch-1", Generation: 42, Entries: []blocklist.Entry{
			entry("ip:203.0.113.9", later), entry("ip:192.0.2.7", later), entry("ip:198.51.100.4", later),
			entry("ip:192.0.2.99", today.Add(-2*time.Second)), entry("account:EXAMPLE+ACCOUNT", later),
		}},
		allow: "198.51.100.0/24 owner=office\n",
		rings: make(chan string),
		notices: map[string][]blocklist.Notice{
			"aws-waf:a": {{ID: "1-0", Generation: 41}, {ID: "2-0", Generation: 42}, {ID: "3-0", Generation: 43}},
			"aws-waf:b": {{ID: "1-0", Generation: 41}},
		},
	}
	var out bytes.Buffer
	f := &Function{
		Name: "sync-aws-waf", Kind: "aws-waf", Cloud: "aws", Inputs: inputs, Decode: inputs.Timer,
		List: list, Enforce: true, Now: func() time.Time { return today },
		Log: telemetry.New(&out, "sync-aws-waf"), Metrics: telemetry.NewMetrics(&out, func() time.Time { return today }, telemetry.EMF, "sync-aws-waf"),
	}
	for _, w := range walls {
		f.Walls = append(f.Walls, w.wall())
	}
	return f, list, &out
}

// lines returns the JSON lines of out that have the key.
func lines(t *testing.T, out *bytes.Buffer, key string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		if _, ok := line[key]; ok {
			found = append(found, line)
		}
	}
	return found
}

func TestHandleMakesEveryTargetEqualToTheList(t *testing.T) {
	a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
	f, list, out := newFunction(a, b)
	got, err := f.Handle(t.Context(), tick("2026-05-28T20:25:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"as_of":"2026-05-28T20:25:00Z","mode":"sync","generation":42,"passes":2,"writes":4,"calls":6,"targets":[` +
		`{"name":"a","desired":2,"enforced":2,"pending":0,"overflow":0,"spared":1,"writes":2,"calls":3},` +
		`{"name":"b","desired":2,"enforced":2,"pending":0,"overflow":0,"spared":1,"writes":2,"calls":3}]}`
	if string(text) != want {
		t.Errorf("result = %s\nwant     %s", text, want)
	}
	for _, w := range []*fakeWall{a, b} {
		if diff := cmp.Diff([]string{"192.0.2.7/32", "203.0.113.9/32"}, w.holds()); diff != "" {
			t.Errorf("wall %s (-want +got):\n%s", w.name, diff)
		}
	}
	if diff := cmp.Diff(map[string][]string{"aws-waf:a": {"1-0", "2-0"}, "aws-waf:b": {"1-0"}}, list.acked); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
	if s := list.status["aws-waf:a"]; s.Epoch != "epoch-1" || s.Generation != 42 || s.Result.Enforced != 2 || s.Mode != ModeSync {
		t.Errorf("status = %+v", s)
	}
	if n := strings.Count(strings.Join(list.calls, ","), "Each"); n != 1 {
		t.Errorf("the list was read %d times for two targets, want once", n)
	}
	if done := lines(t, out, "outcome"); len(done) != 1 || done[0]["msg"] != "sync-aws-waf done" || done[0]["enforced"] != 4.0 {
		t.Errorf("summary lines = %v, want one with enforced 4", done)
	}
	if n := len(lines(t, out, "last_success_timestamp")); n != 3 {
		t.Errorf("%d success metrics, want one for each target and one for the run", n)
	}
}

func TestOneFailingTargetStopsNoOther(t *testing.T) {
	a, b := &fakeWall{name: "a", err: waf.ErrDenied}, &fakeWall{name: "b"}
	f, list, out := newFunction(a, b)
	got, err := f.Handle(t.Context(), []byte(`{}`))
	if !errors.Is(err, waf.ErrDenied) || !strings.Contains(err.Error(), "target a: reconcile a: look: ") {
		t.Errorf("error = %v, want target a's", err)
	}
	if len(b.holds()) != 2 || len(got.Targets) != 2 || got.Targets[0].Error == "" || got.Targets[1].Error != "" {
		t.Errorf("result = %+v, want both targets, a failed and b done", got)
	}
	if diff := cmp.Diff(map[string][]string{"aws-waf:b": {"1-0"}}, list.acked); diff != "" {
		t.Errorf("acknowledged (-want +got):\n%s", diff)
	}
	if s := list.status["aws-waf:a"]; !strings.Contains(s.Result.Error, "access denied") {
		t.Errorf("status of a = %+v, want its error", s)
	}
	for _, line := range lines(t, out, "last_success_timestamp") {
		if line["target"] != "b" {
			t.Errorf("success metric %v after a failed run", line)
		}
	}
}

func TestNothingIsPlannedFromAListThatCannotBeTrusted(t *testing.T) {
	tests := []struct {
		name, method string
		err          error
		metric       string
	}{
		{"no epoch", "Each", blocklist.ErrNoEpoch, "guard_tripped"},
		{"a damaged list", "Each", blocklist.ErrDamaged, "guard_tripped"},
		{"no allowlist", "Allowlist", blocklist.ErrNoAllowlist, "allowlist_unreadable"},
		{"Redis does not answer", "Acquire", errors.New("dial tcp: connection refused"), ""},
		{"Redis stops answering", "Receive", errors.New("i/o timeout"), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
			f, list, out := newFunction(a, b)
			list.fail = map[string]error{tt.method: tt.err}
			got, err := f.Handle(t.Context(), []byte(`{"mode":"sync"}`))
			if !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want %v", err, tt.err)
			}
			if len(a.holds())+len(b.holds()) != 0 || len(list.acked) != 0 {
				t.Errorf("a wall was changed, or a notice acknowledged: %v", list.calls)
			}
			if len(got.Targets) != 2 || got.Targets[0].Error == "" {
				t.Errorf("result = %+v, want both targets with the error", got)
			}
			if n := len(lines(t, out, "last_success_timestamp")); n != 0 {
				t.Errorf("%d success metrics", n)
			}
			if tt.metric != "" {
				found := lines(t, out, tt.metric)
				if !slices.ContainsFunc(found, func(l map[string]any) bool { return l[tt.metric] == 1.0 }) {
					t.Errorf("metric %s is not raised: %v", tt.metric, found)
				}
			}
		})
	}
}

func TestNoticesOfADeadRunAreTakenOverOnce(t *testing.T) {
	f, list, _ := newFunction(&fakeWall{name: "a"})
	if _, err := f.Handle(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	// The second time, the messages just received must not come back as abandoned.
	if diff := cmp.Diff([]time.Duration{0, 15 * time.Minute}, list.claims); diff != "" {
		t.Errorf("taken over after (-want +got):\n%s", diff)
	}
}

func TestAPlanWritesNothingAnywhere(t *testing.T) {
	for _, payload := range []string{`{"mode":"plan"}`, `{"mode":"sync"}`} {
		t.Run(payload, func(t *testing.T) {
			a := &fakeWall{name: "a"}
			f, list, _ := newFunction(a)
			f.Enforce = payload == `{"mode":"plan"}` // SYNC_MODE=observe, or an operator's question to an enforcing function
			got, err := f.Handle(t.Context(), []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			if got.Mode != ModePlan || a.looked() != 1 || len(a.holds()) != 0 || got.Writes != 0 {
				t.Errorf("mode %q, wall looked at %d times, holds %v; want one dry run", got.Mode, a.looked(), a.holds())
			}
			for _, call := range list.calls {
				if strings.HasPrefix(call, "Acquire") || strings.HasPrefix(call, "Receive") || strings.HasPrefix(call, "Ack") {
					t.Errorf("a dry run called %s", call)
				}
			}
			if _, saved := list.status["aws-waf:a"]; saved == f.Enforce {
				t.Errorf("status saved: %t; want it of scheduled runs only", saved)
			}
		})
	}
}

func TestAHeldLeaseIsLeftAlone(t *testing.T) {
	a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
	f, list, out := newFunction(a, b)
	list.held = map[string]bool{"sync:aws-waf:a": true}
	got, err := f.Handle(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Targets[0].Skipped == "" || a.looked() != 0 || len(b.holds()) != 2 {
		t.Errorf("result = %+v, want a skipped and b done", got)
	}
	for _, line := range lines(t, out, "last_success_timestamp") {
		if line["target"] != "b" {
			t.Errorf("success metric %v for a run that skipped a target", line)
		}
	}
}

func TestTargetsAreChosenByName(t *testing.T) {
	a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
	f, _, _ := newFunction(a, b)
	if _, err := f.Handle(t.Context(), []byte(`{"targets":["b"]}`)); err != nil {
		t.Fatal(err)
	}
	if a.looked() != 0 || b.looked() != 1 {
		t.Errorf("looked %d times at a, %d at b; want b alone", a.looked(), b.looked())
	}
	_, err := f.Handle(t.Context(), []byte(`{"targets":["edge"]}`))
	if !errors.Is(err, ErrBadEvent) || !strings.Contains(err.Error(), `"edge": want names from WAF_TARGETS: a, b`) {
		t.Errorf("error = %v, want the known names", err)
	}
}

func TestWorkStopsBeforeTheDeadlineAndIsRecorded(t *testing.T) {
	a, b := &fakeWall{name: "a", hang: true}, &fakeWall{name: "b"}
	f, list, _ := newFunction(a, b)
	f.Now = time.Now
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := f.Handle(ctx, []byte(`{}`))
	if !errors.Is(err, waf.ErrOutOfTime) {
		t.Fatalf("error = %v, want ErrOutOfTime", err)
	}
	if ctx.Err() != nil {
		t.Error("the run used its whole time")
	}
	if s := list.status["aws-waf:a"]; s.Result.Error == "" {
		t.Errorf("status of a = %+v, want the error", s.Result)
	}
	if !slices.Contains(list.calls, "Release sync:aws-waf:a") {
		t.Errorf("lease of a was not released: %v", list.calls)
	}
	if list.ttl > 7*time.Second {
		t.Errorf("lease lives %s, want little longer than the deadline", list.ttl)
	}
}

func TestABadEventIsNeverASuccess(t *testing.T) {
	a := &fakeWall{name: "a"}
	f, list, out := newFunction(a)
	if _, err := f.Handle(t.Context(), []byte(`{"mode":"sink","targets":["edge"]}`)); !errors.Is(err, ErrBadEvent) {
		t.Errorf("error = %v, want ErrBadEvent", err)
	}
	if a.looked() != 0 || len(list.calls) != 0 {
		t.Errorf("a bad event caused %v", list.calls)
	}
	if done := lines(t, out, "outcome"); len(done) != 1 || done[0]["outcome"] != "error" || done[0]["level"] != slog.LevelError.String() {
		t.Errorf("summary = %v, want one error line", done)
	}
}

func TestEachFunctionHasItsOwnNameKindAndCloud(t *testing.T) {
	f, list, out := newFunction(&fakeWall{name: "a"})
	f.Name, f.Kind, f.Cloud, f.Inputs.Setting = "sync-elsewhere", "elsewhere", "cloudy", "ELSEWHERE_TARGETS"
	if _, err := f.Handle(t.Context(), []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{"Acquire sync:elsewhere:a", "Receive elsewhere:a"} {
		if !slices.Contains(list.calls, call) {
			t.Errorf("calls = %v, want %s", list.calls, call)
		}
	}
	if found := lines(t, out, "waf_put_total"); len(found) != 1 || found[0]["cloud"] != "cloudy" {
		t.Errorf("metrics = %v, want the cloud's name", found)
	}
	if done := lines(t, out, "outcome"); len(done) != 1 || done[0]["msg"] != "sync-elsewhere done" {
		t.Errorf("summary = %v, want the function's name", done)
	}
	if _, err := f.Handle(t.Context(), []byte(`{"targets":["z"]}`)); err == nil || !strings.Contains(err.Error(), "ELSEWHERE_TARGETS") {
		t.Errorf("error = %v, want the setting's name", err)
	}
}
