package syncruntest

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/syncrun"
)

// Configuration is how a sync function reads its environment.
type Configuration struct {
	// Load reads and checks it: the function's own configuration, and in it what all of them read.
	Load func(lookup syncrun.Environment) (config any, own syncrun.Settings, err error)
	// Good is an environment in which nothing is wrong and nothing is left out. It enforces and stays
	// 20 s, and every secret in it has "p4ss" in it.
	Good map[string]string
	// Required are the variables, beside REDIS_URL, that must be there.
	Required []string
	// Refused are wrong values of the function's own variables.
	Refused []Refusal
}

// Refusal is a value that a variable must not have; "" is an absent one. Want is what the error mentions.
type Refusal struct {
	Key, Value string
	Want       []string
}

// refused are wrong values of what every sync function reads.
var refused = []Refusal{
	{"REDIS_URL", "", []string{"REDIS_URL is not set", "rediss://"}},
	{"REDIS_URL", "redis.example.com:6379", []string{"REDIS_URL (value withheld"}},
	{"REDIS_URL", "redis://:p4ss%zz@h", []string{"REDIS_URL (value withheld"}},
	{"REDIS_URL", "rediss://", []string{"REDIS_URL (value withheld"}},
	{"WAIT", "121", []string{`WAIT "121"`, "0 to 120s"}},
	{"WAIT", "3m", []string{`WAIT "3m"`, "0 to 120s"}},
	{"WAIT", "-1", []string{`WAIT "-1"`}},
	{"WAIT", "a while", []string{`WAIT "a while"`, "50s"}},
	{"SYNC_MODE", "Enforce", []string{`SYNC_MODE "Enforce"`, "enforce, observe"}},
}

// Env is Good with changes; an empty change takes a variable away.
func (c Configuration) Env(changes map[string]string) syncrun.Environment {
	all := maps.Clone(c.Good)
	maps.Copy(all, changes)
	return func(key string) (string, bool) { v, ok := all[key]; return v, ok && v != "" }
}

// Test checks what holds for every sync function.
func (c Configuration) Test(t *testing.T) {
	t.Run("reads what all read, and shows no secret", c.testReads)
	t.Run("observes unless told", c.testObserves)
	t.Run("reads the wait in either spelling", c.testWaits)
	t.Run("refuses what is wrong", func(t *testing.T) {
		for _, r := range append(refused[:len(refused):len(refused)], c.Refused...) {
			t.Run(r.Key+"="+r.Value, func(t *testing.T) { c.testRefuses(t, r) })
		}
	})
	t.Run("reports every problem at once", c.testReports)
}

func (c Configuration) testReads(t *testing.T) {
	config, got, err := c.Load(c.Env(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.RedisURL.Reveal() != c.Good["REDIS_URL"] || !got.Enforce || got.Wait != 20*time.Second {
		t.Errorf("config = %+v", config)
	}
	if text := fmt.Sprintf("%v %+v %#v", config, config, config); strings.Contains(text, "p4ss") {
		t.Errorf("a printed config shows a secret: %s", text)
	}
}

func (c Configuration) testObserves(t *testing.T) {
	for _, mode := range []string{"", "observe"} {
		if _, got, err := c.Load(c.Env(map[string]string{"SYNC_MODE": mode})); err != nil || got.Enforce {
			t.Errorf("SYNC_MODE=%q: enforce %t, error %v", mode, got.Enforce, err)
		}
	}
}

func (c Configuration) testWaits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 50 * time.Second, "0": 0, "0s": 0, "45": 45 * time.Second, "1m30s": 90 * time.Second, "120": 2 * time.Minute, "2m": 2 * time.Minute,
	} {
		if _, got, err := c.Load(c.Env(map[string]string{"WAIT": text})); err != nil || got.Wait != want {
			t.Errorf("WAIT=%q: %s, error %v; want %s", text, got.Wait, err, want)
		}
	}
}

func (c Configuration) testRefuses(t *testing.T, r Refusal) {
	_, _, err := c.Load(c.Env(map[string]string{r.Key: r.Value}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range r.Want {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not mention %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "p4ss") {
		t.Errorf("error %q shows a secret", err)
	}
}

func (c Configuration) testReports(t *testing.T) {
	changes := map[string]string{"REDIS_URL": "", "SYNC_MODE": "x", "WAIT": "x"}
	for _, key := range c.Required {
		changes[key] = ""
	}
	_, _, err := c.Load(c.Env(changes))
	if err == nil || strings.Count(err.Error(), "\n") != len(changes)-1 {
		t.Errorf("error = %v, want %d lines", err, len(changes))
	}
}

// TestTimerSamples reads the samples in events/ of a function that is called by FC's timers.
func TestTimerSamples(t *testing.T, function string, inputs syncrun.Inputs) {
	ten := 10 * time.Second
	for name, want := range map[string]syncrun.Event{
		function + ".timer.json":  {Mode: syncrun.ModeSync, Now: SampleTime(), Scheduled: true},
		function + ".hourly.json": {Mode: syncrun.ModeVerify, Now: SampleTime().Add(30 * time.Second), Wait: &ten},
		function + ".direct.json": {Mode: syncrun.ModePlan},
	} {
		got, err := inputs.Timer(Sample(t, name), SampleTime().Add(time.Minute))
		wanted, _ := json.Marshal(want)
		read, _ := json.Marshal(got)
		if err != nil || string(wanted) != string(read) {
			t.Errorf("%s = %s (%v), want %s", name, read, err, wanted)
		}
	}
}
