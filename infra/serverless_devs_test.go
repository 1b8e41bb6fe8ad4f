package infra_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const fcFile = "../s.yaml"

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
	for function, folder := range map[string]string{"detect": "build/detect", "webhook": "build/webhook"} {
		f := fcFunction(t, function)
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

// A deployment that starts by blocking is one that nobody has looked at.
func TestFCStartsInObserve(t *testing.T) {
	if got := at(t, fcFunction(t, "detect"), "environmentVariables", "MODE"); got != "${env('MODE', 'observe')}" {
		t.Errorf("MODE %v, want observe by default", got)
	}
}

func TestFCSecretsComeFromTheEnvironment(t *testing.T) {
	fromEnv := regexp.MustCompile(`^\$\{env\('[A-Z_]+'\)\}$`) // without a default: s stops when it is missing
	for function, secrets := range map[string][]string{"detect": {"REDIS_URL"}, "webhook": {"REDIS_URL", "WEBHOOK_TOKEN"}} {
		for _, name := range secrets {
			if got := at(t, fcFunction(t, function), "environmentVariables", name).(string); !fromEnv.MatchString(got) {
				t.Errorf("%s of %s is %q, want ${env('…')}", name, function, got)
			}
		}
	}
}
