package infra_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/syncrun"
)

const fcFile = "../s.yaml"

// fcFunctions are what s.yaml deploys, and fcSyncs those of them that keep walls.
var (
	fcFunctions = []string{"detect", "webhook", "sync-alibaba-waf", "sync-tencent", "refresh-intel"}
	fcSyncs     = []string{"sync-alibaba-waf", "sync-tencent"}
)

func fcFunction(t *testing.T, name string) any {
	t.Helper()
	f := at(t, readYAML(t, fcFile), "resources", name)
	if got := at(t, f, "component"); got != "fc3" {
		t.Fatalf("%s is a %v, want fc3", name, got)
	}
	return at(t, f, "props")
}

// triggers returns a function's triggers by type.
func triggers(t *testing.T, function string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, trigger := range list(at(t, fcFunction(t, function), "triggers")) {
		all[at(t, trigger, "triggerType").(string)] = trigger
	}
	return all
}

func TestFCFunctionsRunAsPromised(t *testing.T) {
	for _, function := range fcFunctions {
		f, folder := fcFunction(t, function), "build/"+function
		for want, got := range map[string]any{
			"go1":         at(t, f, "runtime"), // the SDK works with no other
			"main":        at(t, f, "handler"),
			"./" + folder: at(t, f, "code"),
		} {
			if got != want {
				t.Errorf("%s: %v, want %s", function, got, want)
			}
		}
		step := at(t, list(at(t, readYAML(t, fcFile), "resources", function, "actions", "pre-deploy"))[0], "run")
		if want := "bash scripts/build.sh " + function + " " + folder + "/main"; step != want {
			t.Errorf("%s is built by %q, want %q", function, step, want)
		}
		at(t, f, "role")
		at(t, f, "logConfig")
	}
	if name := at(t, fcFunction(t, "detect"), "functionName").(string); !strings.HasPrefix(name, "sls-ops-") {
		t.Errorf("detect is called %s: an SLS alert may call only sls-ops-… directly", name)
	}
	if got, want := at(t, fcFunction(t, "webhook"), "environmentVariables", "DETECT_FUNCTION"), at(t, fcFunction(t, "detect"), "functionName"); got != want {
		t.Errorf("the webhook calls %v, want %v", got, want)
	}
}

func TestFCTriggers(t *testing.T) {
	detect := triggers(t, "detect")
	if len(detect) != 2 || detect["timer"] == nil || detect["log"] == nil {
		t.Errorf("detect's triggers = %v, want a timer and a log trigger", detect)
	}
	webhook := triggers(t, "webhook")
	if len(webhook) != 1 || webhook["http"] == nil {
		t.Fatalf("webhook's triggers = %v, want http only", webhook)
	}
	config := at(t, webhook["http"], "triggerConfig")
	if got := at(t, config, "authType"); got != "anonymous" {
		t.Errorf("authType %v: Log Service cannot sign, so FC must let it in", got)
	}
	if got := texts(at(t, config, "methods")); !slices.Equal(got, []string{"POST"}) {
		t.Errorf("methods %v, want POST only", got)
	}
	if got := at(t, config, "disableURLInternet"); got != "false" {
		t.Errorf("disableURLInternet %v: Log Service calls from the internet", got)
	}
}

// timers returns the payloads of a function's timers by name.
func timers(t *testing.T, function string) map[string]string {
	t.Helper()
	payloads := map[string]string{}
	for _, trigger := range list(at(t, fcFunction(t, function), "triggers")) {
		if kind := at(t, trigger, "triggerType"); kind != "timer" {
			t.Errorf("%s has a %v trigger: a sync function takes a timer's events only", function, kind)
			continue
		}
		config := at(t, trigger, "triggerConfig")
		if at(t, config, "enable") != "true" {
			t.Errorf("%s: timer %v is off", function, at(t, trigger, "triggerName"))
		}
		payloads[at(t, trigger, "triggerName").(string)] = at(t, config, "payload").(string)
	}
	return payloads
}

// What the timers send is what the functions take, and what events/ has samples of.
func TestFCSyncsTickAndVerify(t *testing.T) {
	for _, function := range fcSyncs {
		for name, payload := range timers(t, function) {
			var sample struct {
				TriggerTime string `json:"triggerTime"`
				TriggerName string `json:"triggerName"`
				Payload     string `json:"payload"`
			}
			file := "../events/" + function + "." + map[string]string{"every-minute": "timer", "every-hour": "hourly"}[name] + ".json"
			readJSON(t, file, &sample)
			if sample.TriggerName != name || sample.Payload != payload {
				t.Errorf("%s: timer %s sends %s; %s has %+v", function, name, payload, file, sample)
			}
			text, err := json.Marshal(sample)
			if err != nil {
				t.Fatal(err)
			}
			event, err := syncrun.Inputs{Setting: "TARGETS", Trigger: "a timer"}.Timer(text, time.Now())
			wantMode, wantStay := syncrun.ModeSync, 50*time.Second
			if name == "every-hour" {
				wantMode, wantStay = syncrun.ModeVerify, 10*time.Second // it must wait for its turn, and not stay
			}
			if err != nil || event.Mode != wantMode || event.Stay(50*time.Second) != wantStay {
				t.Errorf("%s: timer %s asks for %+v (%v)", function, name, event, err)
			}
		}
		if n := len(timers(t, function)); n != 2 {
			t.Errorf("%s has %d timers, want 2", function, n)
		}
	}
}

// What the timer sends is what the function takes. No retries: the next tick asks again for what failed. All feeds together
// have four minutes, and what has come must still be written.
func TestFCIntelIsRefreshedEachHour(t *testing.T) {
	payloads := timers(t, "refresh-intel")
	var sample struct {
		TriggerTime string `json:"triggerTime"`
		TriggerName string `json:"triggerName"`
		Payload     string `json:"payload"`
	}
	readJSON(t, "../events/refresh-intel.timer.json", &sample)
	if len(payloads) != 1 || payloads[sample.TriggerName] != sample.Payload {
		t.Errorf("timers %v, the sample %+v", payloads, sample)
	}
	f := fcFunction(t, "refresh-intel")
	if at(t, f, "asyncInvokeConfig", "maxAsyncRetryAttempts") != "0" || at(t, f, "timeout") != "300" {
		t.Errorf("%v retries and a timeout of %v, want none and 300", at(t, f, "asyncInvokeConfig", "maxAsyncRetryAttempts"), at(t, f, "timeout"))
	}
}

// The example is one to copy.
func TestTheExampleOfFeedsIsTaken(t *testing.T) {
	text, err := os.ReadFile("intel/feeds.example.json")
	if err != nil {
		t.Fatal(err)
	}
	feeds, err := threatintel.ParseFeeds(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range feeds {
		if f.Licence == "" {
			t.Errorf("feed %s: under which licence is it used?", f.Name)
		}
	}
	if len(text) > 4096 {
		t.Errorf("%d bytes: Function Compute gives a function 4 KB of variables", len(text))
	}
}

// A tick that could not run is not run later: the next one is a minute away, and two would pile up.
func TestFCSyncsRepeatNoTick(t *testing.T) {
	for _, function := range fcSyncs {
		async := at(t, fcFunction(t, function), "asyncInvokeConfig")
		if at(t, async, "maxAsyncRetryAttempts") != "0" || at(t, async, "maxAsyncEventAgeInSeconds") != "60" {
			t.Errorf("%s: %v, want no retries and events that are old after a minute", function, async)
		}
	}
}

// A deployment that starts by blocking is one that nobody has looked at.
func TestFCStartsInObserve(t *testing.T) {
	for function, variable := range map[string]string{"detect": "MODE", "sync-alibaba-waf": "SYNC_MODE", "sync-tencent": "SYNC_MODE"} {
		if got := at(t, fcFunction(t, function), "environmentVariables", variable); got != "${env('"+variable+"', 'observe')}" {
			t.Errorf("%s of %s is %v, want observe by default", variable, function, got)
		}
	}
	// Its own variable: detect's MODE may be enforce long before, or after, a feed is trusted.
	if got := at(t, fcFunction(t, "refresh-intel"), "environmentVariables", "MODE"); got != "${env('INTEL_MODE', 'observe')}" {
		t.Errorf("MODE of refresh-intel is %v, want observe by default", got)
	}
}

func TestFCSecretsComeFromTheEnvironment(t *testing.T) {
	fromEnv := regexp.MustCompile(`^\$\{env\('[A-Z_]+'\)\}$`) // without a default: s stops when it is missing
	users := map[string]string{}
	for function, secrets := range map[string][]string{
		"detect": {"REDIS_URL"}, "webhook": {"REDIS_URL", "WEBHOOK_TOKEN"},
		"refresh-intel": {"REDIS_URL", "FEEDS"}, "sync-alibaba-waf": {"REDIS_URL"}, "sync-tencent": {"REDIS_URL", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"},
	} {
		for _, name := range secrets {
			if got := at(t, fcFunction(t, function), "environmentVariables", name).(string); !fromEnv.MatchString(got) {
				t.Errorf("%s of %s is %q, want ${env('…')}", name, function, got)
			} else if name == "REDIS_URL" {
				if users[got] != "" {
					t.Errorf("%s and %s have one Redis user: %s", function, users[got], got)
				}
				users[got] = function
			}
		}
	}
}
