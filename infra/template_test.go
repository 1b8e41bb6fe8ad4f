// Package infra_test holds the deploy files to what was promised of them and to
// what the code reads and calls. cfn-lint says whether template.yaml is well formed;
// this says whether it is the right one, without cfn-lint.
package infra_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const templateFile = "../template.yaml"

func resource(t *testing.T, name, kind string) any {
	t.Helper()
	r := at(t, readYAML(t, templateFile), "Resources", name)
	if got := at(t, r, "Type"); got != kind {
		t.Fatalf("%s is a %v, want %s", name, got, kind)
	}
	return at(t, r, "Properties")
}

// listActions cannot be limited to a resource: AWS WAF knows none for them.
var listActions = []string{"wafv2:ListIPSets", "wafv2:ListWebACLs"}

// statements returns every statement of every inline policy of every role in the template.
func statements(t *testing.T) []any {
	t.Helper()
	var all []any
	for name, r := range at(t, readYAML(t, templateFile), "Resources").(tree) {
		if at(t, r, "Type") != "AWS::IAM::Role" {
			continue
		}
		for _, policy := range list(at(t, r, "Properties", "Policies")) {
			all = append(all, list(at(t, policy, "PolicyDocument", "Statement"))...)
		}
		if len(all) == 0 {
			t.Errorf("role %s allows nothing", name)
		}
	}
	return all
}

func TestRoleGrantsNoMoreThanItNames(t *testing.T) {
	for _, s := range statements(t) {
		actions := texts(at(t, s, "Action"))
		for _, action := range actions {
			if strings.Contains(action, "*") {
				t.Errorf("action %q: a wildcard grants what nobody has thought of", action)
			}
		}
		for _, r := range list(at(t, s, "Resource")) {
			if r != "*" {
				continue
			}
			for _, action := range actions {
				if !slices.Contains(listActions, action) {
					t.Errorf("action %s has Resource \"*\": name the resource", action)
				}
			}
		}
	}
}

func TestRoleMayChangeOnlyOurSetsAndOneWebACL(t *testing.T) {
	for _, s := range statements(t) {
		for _, action := range texts(at(t, s, "Action")) {
			for _, r := range list(at(t, s, "Resource")) {
				arn := strings.Join(texts(r), " ")
				switch {
				case strings.HasSuffix(action, "IPSet") && !strings.Contains(arn, "/ipset/tracewall-*/*"):
					t.Errorf("%s on %s: want sets called tracewall-… only", action, arn)
				case strings.HasSuffix(action, "DeleteWebACL"):
					t.Errorf("%s: a Web ACL is never deleted", action)
				case strings.HasSuffix(action, "WebACL") && strings.Contains(arn, "/webacl/") && !strings.Contains(arn, "/webacl/${WebAclName}/*"):
					t.Errorf("%s on %s: want the one that the function is told to keep", action, arn)
				}
			}
		}
	}
}

func TestFunctionRunsAsPromised(t *testing.T) {
	f := resource(t, "SyncAwsWafFunction", "AWS::Serverless::Function")
	for want, got := range map[string]any{
		"provided.al2023": at(t, f, "Runtime"),
		"arm64":           at(t, f, "Architectures").([]any)[0],
		"bootstrap":       at(t, f, "Handler"),
		"JSON":            at(t, f, "LoggingConfig", "LogFormat"),
		"makefile":        at(t, readYAML(t, templateFile), "Resources", "SyncAwsWafFunction", "Metadata", "BuildMethod"),
	} {
		if got != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if own := texts(at(t, f, "Role")); !slices.Contains(own, "SyncAwsWafRole.Arn") {
		t.Errorf("role %v, want our own: SAM's would write to every log group", own)
	}
	if group := texts(at(t, f, "LoggingConfig", "LogGroup")); !slices.Contains(group, "SyncAwsWafLogGroup") {
		t.Errorf("log group %v, want our own: Lambda's never expires", group)
	}
	at(t, resource(t, "SyncAwsWafLogGroup", "AWS::Logs::LogGroup"), "RetentionInDays")
	if r := texts(at(t, f, "ReservedConcurrentExecutions")); !slices.Contains(r, "HasReservedConcurrency") {
		t.Errorf("reserved concurrency %v, want a condition: new accounts cannot reserve any", r)
	}
}

func TestScheduleAndFailedRuns(t *testing.T) {
	f := resource(t, "SyncAwsWafFunction", "AWS::Serverless::Function")
	schedule := at(t, f, "Events", "EveryMinute", "Properties")
	for want, got := range map[string]any{
		"ScheduleV2":     at(t, f, "Events", "EveryMinute", "Type"),
		"true":           at(t, schedule, "OmitName"), // or a second stack collides with the first
		"rate(1 minute)": at(t, schedule, "ScheduleExpression"),
		"0":              at(t, schedule, "RetryPolicy", "MaximumRetryAttempts"),
		"60":             at(t, f, "EventInvokeConfig", "MaximumEventAgeInSeconds"),
		"SQS":            at(t, f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Type"),
	} {
		if got != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if got := at(t, f, "EventInvokeConfig", "MaximumRetryAttempts"); got != "0" {
		t.Errorf("Lambda repeats a run %v times, want 0: the next minute does", got)
	}
	for _, target := range []any{at(t, schedule, "DeadLetterConfig", "Arn"), at(t, f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination")} {
		if !slices.Contains(texts(target), "SyncAwsWafDeadLetters.Arn") {
			t.Errorf("failed events go to %v, want the dead-letter queue", target)
		}
	}
	if got := at(t, resource(t, "SyncAwsWafDeadLetters", "AWS::SQS::Queue"), "MessageRetentionPeriod"); got != "1209600" {
		t.Errorf("dead letters are kept for %v s, want 14 days", got)
	}
}

func TestAlarms(t *testing.T) {
	type alarm struct{ namespace, metric, missing string }
	want := map[string]alarm{
		"SyncErrorsAlarm":      {"AWS/Lambda", "Errors", "notBreaching"},
		"SyncStoppedAlarm":     {"AWS/Lambda", "Invocations", "breaching"}, // the dead-man alarm
		"SyncThrottlesAlarm":   {"AWS/Lambda", "Throttles", "notBreaching"},
		"SyncSlowAlarm":        {"AWS/Lambda", "Duration", "notBreaching"},
		"SyncDeadLettersAlarm": {"AWS/SQS", "ApproximateNumberOfMessagesVisible", "notBreaching"},
		"SyncNoSuccessAlarm":   {telemetry.Namespace, string(telemetry.LastSuccessTimestamp), "breaching"},
		"SyncGuardAlarm":       {telemetry.Namespace, string(telemetry.GuardTripped), "notBreaching"},
		"SyncOverflowAlarm":    {telemetry.Namespace, string(telemetry.OverflowTotal), "notBreaching"},
	}
	for name, r := range at(t, readYAML(t, templateFile), "Resources").(tree) {
		if at(t, r, "Type") != "AWS::CloudWatch::Alarm" {
			continue
		}
		p := at(t, r, "Properties")
		got := alarm{at(t, p, "Namespace").(string), at(t, p, "MetricName").(string), at(t, p, "TreatMissingData").(string)}
		if got != want[name] {
			t.Errorf("%s = %v, want %v", name, got, want[name])
		}
		delete(want, name)
		for _, key := range []string{"AlarmDescription", "AlarmActions", "OKActions"} {
			at(t, p, key)
		}
		if got.namespace == telemetry.Namespace && !slices.Contains(texts(at(t, p, "Dimensions")), "TargetName") {
			t.Errorf("%s watches every stack's walls, want this one's", name)
		}
	}
	for name := range want {
		t.Errorf("alarm %s is missing", name)
	}
	f := resource(t, "SyncAwsWafFunction", "AWS::Serverless::Function")
	if timeout, threshold := at(t, f, "Timeout"), at(t, resource(t, "SyncSlowAlarm", "AWS::CloudWatch::Alarm"), "Threshold"); timeout != "300" || threshold != "240000" {
		t.Errorf("timeout %v s, alarm at %v ms: want 80 %%", timeout, threshold)
	}
}

// What the template composes from its parameters' defaults is what the function's own parser takes.
func TestTargetsAreUnderstood(t *testing.T) {
	doc := readYAML(t, templateFile)
	composed := at(t, doc, "Resources", "SyncAwsWafFunction", "Properties", "Environment", "Variables", "WAF_TARGETS", "Fn::Sub").([]any)[0].(string)
	replaced := []string{"${Region}", "eu-west-1", "${WebAclName}", "edge"}
	for name, p := range at(t, doc, "Parameters").(tree) {
		if byDefault, ok := p.(tree)["Default"].(string); ok {
			replaced = append(replaced, "${"+name+"}", byDefault)
		}
	}
	text := strings.NewReplacer(replaced...).Replace(composed)
	targets, err := awswaf.ParseTargets(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(targets) != 1 || targets[0].SetSize != 5000 || targets[0].WebACL != "edge" || targets[0].Action != "block" {
		t.Errorf("targets = %+v, want one as the story has it", targets)
	}
}

func TestSecretsAreNotParametersInTheOpen(t *testing.T) {
	doc := readYAML(t, templateFile)
	if got := at(t, doc, "Parameters", "RedisUrl", "NoEcho"); got != "true" {
		t.Errorf("RedisUrl has NoEcho %v, want true: it holds a password", got)
	}
	at(t, doc, "Rules", "RedisUrlOnce")
	if got := at(t, doc, "Parameters", "SyncMode", "Default"); got != "observe" {
		t.Errorf("a new stack starts in mode %v, want observe", got)
	}
}

// The adapter's own source says which calls it makes. Each is granted, and nothing
// else is.
func TestRoleGrantsWhatTheAdapterCalls(t *testing.T) {
	files, err := filepath.Glob("../shared/waf/awswaf/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("adapter's files = %v, %v", files, err)
	}
	input := regexp.MustCompile(`\bwafv2\.([A-Z][A-Za-z]+)Input\b`)
	// Creating something with tags asks for this right too, without a call of its own.
	want := map[string]bool{"wafv2:TagResource": true}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range input.FindAllStringSubmatch(string(text), -1) {
			want["wafv2:"+call[1]] = true
		}
	}
	if len(want) < 5 {
		t.Fatalf("calls = %v: this test does not understand the adapter", want)
	}
	granted := map[string]bool{}
	for _, s := range statements(t) {
		for _, action := range texts(at(t, s, "Action")) {
			if strings.HasPrefix(action, "wafv2:") {
				granted[action] = true
			}
		}
	}
	if diff := cmp.Diff(want, granted); diff != "" {
		t.Errorf("called (-) and granted (+):\n%s", diff)
	}
}
