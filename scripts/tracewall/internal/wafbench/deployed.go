package wafbench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Deployed is what the function takes of memory and time, as it is deployed, started
// through Lambda's runtime API.
type Deployed struct {
	Addresses int    `json:"addresses"`
	Redis     string `json:"redis"`
	// Peak is the most memory that was resident at once, in MB of 1,000,000 bytes: a cold
	// sync, and one warm with 1 % churn.
	Peak float64 `json:"peak_mb"`
	// Program is what is resident before the first event.
	Program float64 `json:"program_mb"`
	// Empty is the time from the start of an empty function until it has answered, and First from
	// the start of sync-aws-waf until it makes its first call to AWS WAF; medians, in milliseconds, with
	// so many addresses on the list, and with FirstOfFew of ten. OneCall is the same of a
	// function that makes one call with the SDK and does nothing else.
	Starts     int     `json:"starts"`
	Empty      float64 `json:"empty_ms"`
	OneCall    float64 `json:"one_call_ms"`
	Ready      float64 `json:"ready_ms"` // until it asks for its first event
	First      float64 `json:"first_call_ms"`
	FirstOfFew float64 `json:"first_call_of_ten_addresses_ms"`

	Failed []string `json:"failed,omitempty"`
}

// What is promised of the deployed function.
const (
	peakPromise  = 64e6
	startPromise = 1.5
)

// function is sync-aws-waf as it is deployed, with everything around it.
type function struct {
	*stage
	binary, empty, onecall string

	store  *store
	env    map[string]string
	remove func()

	mu    sync.Mutex
	first time.Time // of the calls since forget
}

func (f *function) close() {
	f.stage.close()
	f.store.stop()
	f.remove()
}

// deploy builds the function and an empty one, and starts what they need.
func deploy(ctx context.Context, root string, target map[string]any, opts waftest.AWSOptions) (f *function, err error) {
	dir, err := os.MkdirTemp("", "tracewall-bench-")
	if err != nil {
		return nil, err
	}
	f = &function{remove: func() { _ = os.RemoveAll(dir) }}
	defer func() {
		if err != nil {
			f.remove()
		}
	}()
	if f.binary, _, err = localcloud.Build(ctx, root, filepath.Join(root, "build", "local"), localcloud.Program{Folder: "sync-aws-waf", Tags: []string{"lambda.norpc"}}); err != nil {
		return nil, err
	}
	f.empty, f.onecall = filepath.Join(dir, "empty"), filepath.Join(dir, "onecall")
	for _, binary := range []string{f.empty, f.onecall} {
		if err := functiontest.Build(ctx, root, "./scripts/tracewall/internal/wafbench/testdata/"+filepath.Base(binary), binary, "lambda.norpc"); err != nil {
			return nil, err
		}
	}
	if f.store, err = openStore(ctx); err != nil {
		return nil, err
	}
	if f.stage, err = newStage(opts); err != nil {
		f.store.stop()
		return nil, err
	}
	f.unwatched = true
	f.aws.Before(func(call waftest.Call) *waftest.Fault {
		f.mu.Lock()
		if f.first.IsZero() {
			f.first = time.Now()
		}
		f.mu.Unlock()
		return f.before(call)
	})
	targets, err := json.Marshal([]any{target})
	if err != nil {
		return nil, err
	}
	f.env = map[string]string{
		"REDIS_URL": f.store.url, "SYNC_MODE": "enforce", "WAF_TARGETS": string(targets), "WAIT": "0s",
		"AWS_ENDPOINT_URL_WAFV2": *f.cfg.BaseEndpoint,
	}
	return f, nil
}

func (f *function) start(ctx context.Context, binary string) (*functiontest.Function, error) {
	return functiontest.StartLambda(ctx, functiontest.Config{
		Name: "SyncAwsWafFunction", Binary: binary, Env: f.env, Timeout: 15 * time.Minute, Region: region,
		Credentials: functiontest.Credentials{AccessKeyID: "AKIDEXAMPLE", AccessKeySecret: "secret"},
	})
}

// syncEvent asks for an ordinary run.
var syncEvent = []byte(`{"mode":"sync"}`)

// benchDeployed measures the deployed function.
func (o Options) benchDeployed(ctx context.Context) (*Deployed, error) {
	o.say("the function as deployed: building")
	f, err := deploy(ctx, o.Root, map[string]any{"name": "edge", "region": region, "web_acl": webACL, "set_size": o.SetSize}, waftest.AWSOptions{RateLimits: true})
	if err != nil {
		return nil, err
	}
	defer f.close()
	d := &Deployed{Addresses: o.Addresses, Redis: f.store.kind, Starts: o.Starts}
	small := NewHistory(2, 10)
	if err := f.store.put(ctx, small, true); err != nil {
		return nil, err
	}
	o.say("the function as deployed: %d starts each", o.Starts)
	var empty, one, few []float64
	for range o.Starts {
		took, err := f.emptyStart(ctx)
		if err != nil {
			return nil, err
		}
		empty = append(empty, took)
		_, first, err := f.firstCall(ctx, f.onecall)
		if err != nil {
			return nil, err
		}
		one = append(one, first)
		if _, first, err = f.firstCall(ctx, f.binary); err != nil {
			return nil, err
		}
		few = append(few, first)
	}
	d.Empty, d.OneCall, d.FirstOfFew = median(empty), median(one), median(few)

	o.say("the function as deployed: %d addresses", o.Addresses)
	h := o.history()
	if err := f.store.put(ctx, h, true); err != nil {
		return nil, err
	}
	if err := o.memory(ctx, f, h, d); err != nil {
		return nil, err
	}
	var ready, first []float64
	for range o.Starts {
		r, took, err := f.firstCall(ctx, f.binary)
		if err != nil {
			return nil, err
		}
		ready, first = append(ready, r), append(first, took)
	}
	d.Ready, d.First = median(ready), median(first)
	d.judge()
	return d, nil
}

func (d *Deployed) judge() {
	if d.Peak*1e6 > peakPromise {
		d.Failed = append(d.Failed, fmt.Sprintf("%.1f MB resident at most, want less than %.0f", d.Peak, peakPromise/1e6))
	}
	if d.First > startPromise*d.Empty {
		d.Failed = append(d.Failed, fmt.Sprintf("%.1f ms to the first call, want less than %.1f × %.1f ms", d.First, startPromise, d.Empty))
	}
}

// memory runs a cold sync and a warm one in one process and takes its peak.
func (o Options) memory(ctx context.Context, f *function, h *History, d *Deployed) error {
	fn, err := f.start(ctx, f.binary)
	if err != nil {
		return err
	}
	defer fn.Close()
	pid, err := childOf(f.binary)
	if err != nil {
		return err
	}
	if d.Program, err = resident(pid, "VmHWM"); err != nil {
		return err
	}
	if _, err := fn.Invoke(ctx, syncEvent); err != nil {
		return fmt.Errorf("cold sync: %w", err)
	}
	h.Random(max(1, o.Addresses/100), max(1, o.Addresses/100))
	if err := errors.Join(f.store.remove(ctx, h), f.store.put(ctx, h, false)); err != nil {
		return err
	}
	if err := pause(ctx, 1200*time.Millisecond); err != nil {
		return err
	}
	if _, err := fn.Invoke(ctx, syncEvent); err != nil {
		return fmt.Errorf("warm sync: %w", err)
	}
	d.Peak, err = resident(pid, "VmHWM")
	return err
}

// emptyStart is how long an empty function takes to answer, in milliseconds.
func (f *function) emptyStart(ctx context.Context) (float64, error) {
	began := time.Now()
	fn, err := f.start(ctx, f.empty)
	if err != nil {
		return 0, err
	}
	defer fn.Close()
	if _, err := fn.Invoke(ctx, syncEvent); err != nil {
		return 0, err
	}
	return milliseconds(time.Since(began)), nil
}

// firstCall is how long a function takes until it asks for its first event, and
// until its first call to AWS WAF, in milliseconds.
func (f *function) firstCall(ctx context.Context, binary string) (ready, first float64, err error) {
	f.mu.Lock()
	f.first = time.Time{}
	f.mu.Unlock()
	began := time.Now()
	fn, err := f.start(ctx, binary)
	if err != nil {
		return 0, 0, err
	}
	defer fn.Close()
	if _, err := fn.Invoke(ctx, []byte(`{"mode":"plan"}`)); err != nil {
		return 0, 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return milliseconds(fn.Timings().Init), milliseconds(f.first.Sub(began)), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// ErrNoProc means that this system does not tell what memory a process has.
var ErrNoProc = errors.New("no /proc on this system to read a process' memory from")

// childOf finds this process' child that runs a binary.
func childOf(binary string) (pid int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, ErrNoProc
	}
	parent := strconv.Itoa(os.Getpid())
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		// The name, in brackets, may hold anything.
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) < 2 || fields[1] != parent {
			continue
		}
		if exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe")); err == nil && exe == binary {
			return n, nil
		}
	}
	return 0, fmt.Errorf("no child runs %s: %w", binary, ErrNoProc)
}

// resident reads one of the memory figures of a process, in MB.
func resident(pid int, figure string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, ErrNoProc
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, figure+":"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return float64(kb) * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("process %d has no %s: %w", pid, figure, ErrNoProc)
}
