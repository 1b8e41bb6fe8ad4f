// Package infra_test holds the deploy files to what was promised of them and to
// what the code reads and calls. cfn-lint says whether template.yaml is well formed;
// this says whether it is the right one, without cfn-lint.
package infra_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/telemetry"
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
	parked := []any{at(t, f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Destination")}
	for event, every := range map[string]string{"EveryMinute": "rate(1 minute)", "Verify": "rate(1 hour)"} {
		schedule := at(t, f, "Events", event, "Properties")
		for want, got := range map[string]any{
			"ScheduleV2": at(t, f, "Events", event, "Type"),
			"true":       at(t, schedule, "OmitName"), // or a second stack collides with the first
			every:        at(t, schedule, "ScheduleExpression"),
			"0":          at(t, schedule, "RetryPolicy", "MaximumRetryAttempts"),
			"60":         at(t, schedule, "RetryPolicy", "MaximumEventAgeInSeconds"),
		} {
			if got != want {
				t.Errorf("%s: %v, want %s", event, got, want)
			}
		}
		parked = append(parked, at(t, schedule, "DeadLetterConfig", "Arn"))
	}
	for want, got := range map[string]any{
		"60":  at(t, f, "EventInvokeConfig", "MaximumEventAgeInSeconds"),
		"SQS": at(t, f, "EventInvokeConfig", "DestinationConfig", "OnFailure", "Type"),
	} {
		if got != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if got := at(t, f, "EventInvokeConfig", "MaximumRetryAttempts"); got != "0" {
		t.Errorf("Lambda repeats a run %v times, want 0: the next minute does", got)
	}
	for _, target := range parked {
		if !slices.Contains(texts(target), "SyncAwsWafDeadLetters.Arn") {
			t.Errorf("failed events go to %v, want the dead-letter queue", target)
		}
	}
	if got := at(t, resource(t, "SyncAwsWafDeadLetters", "AWS::SQS::Queue"), "MessageRetentionPeriod"); got != "1209600" {
		t.Errorf("dead letters are kept for %v s, want 14 days", got)
	}
}

// The hourly run must be let in beside the one that stays for most of its minute, and
// must not give up because that one holds the lease for a second.
func TestVerifyRunsBesideTheRunThatStays(t *testing.T) {
	f := resource(t, "SyncAwsWafFunction", "AWS::Serverless::Function")
	verify := at(t, f, "Events", "Verify", "Properties")
	// The function's own tests decode that event.
	var input, sample struct{ Mode, Wait string }
	if err := json.Unmarshal([]byte(at(t, verify, "Input").(string)), &input); err != nil {
		t.Fatal(err)
	}
	readJSON(t, "../events/sync-aws-waf.hourly.json", &sample)
	if wait, err := time.ParseDuration(input.Wait); err != nil || input != sample || input.Mode != "verify" || wait <= 0 || wait > time.Minute {
		t.Errorf("input %+v (%v), want the event %+v: to verify, and to wait a little for the lease", input, err, sample)
	}
	if got := at(t, verify, "FlexibleTimeWindow", "Mode"); got != "FLEXIBLE" {
		t.Errorf("time window %v: two schedules that begin together meet at every hour", got)
	}
	if at(t, f, "Events", "EveryMinute", "Properties").(tree)["Input"] != nil {
		t.Error("the minute's schedule has an input: then the function does not stay")
	}
	if allowed := at(t, readYAML(t, templateFile), "Parameters", "ReservedConcurrency", "AllowedValues").([]any); slices.Contains(allowed, any("1")) {
		t.Errorf("reserved concurrency may be %v: with 1 the verification is refused", allowed)
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
		"SyncHeldAlarm":        {telemetry.Namespace, string(telemetry.Held), "notBreaching"},
		"SyncDriftAlarm":       {telemetry.Namespace, string(telemetry.DriftTotal), "notBreaching"},
		"SyncPendingAlarm":     {telemetry.Namespace, string(telemetry.PendingTotal), "notBreaching"},
		"SyncNotInForceAlarm":  {telemetry.Namespace, string(telemetry.EntriesDesired) + " " + string(telemetry.Effective), "notBreaching"},
	}
	for name, r := range at(t, readYAML(t, templateFile), "Resources").(tree) {
		if at(t, r, "Type") != "AWS::CloudWatch::Alarm" {
			continue
		}
		p := at(t, r, "Properties")
		watched := metrics(t, p)
		got := alarm{at(t, watched[0], "Namespace").(string), "", at(t, p, "TreatMissingData").(string)}
		for _, m := range watched {
			got.metric = strings.TrimSpace(got.metric + " " + at(t, m, "MetricName").(string))
			if got.namespace == telemetry.Namespace && !slices.Contains(texts(at(t, m, "Dimensions")), "TargetName") {
				t.Errorf("%s watches every stack's walls, want this one's", name)
			}
		}
		if got != want[name] {
			t.Errorf("%s = %v, want %v", name, got, want[name])
		}
		delete(want, name)
		for _, key := range []string{"AlarmDescription", "AlarmActions", "OKActions"} {
			at(t, p, key)
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

// metrics returns what an alarm watches: one metric, or those that its expression names.
func metrics(t *testing.T, alarm any) []any {
	t.Helper()
	all, ok := alarm.(tree)["Metrics"].([]any)
	if !ok {
		return []any{alarm}
	}
	var watched []any
	var expression string
	for _, m := range all {
		if e, ok := m.(tree)["Expression"].(string); ok {
			expression = e
			continue
		}
		if id := at(t, m, "Id").(string); !strings.Contains(expression, id) {
			t.Errorf("%q does not use %s", expression, id)
		}
		watched = append(watched, at(t, m, "MetricStat", "Metric"))
	}
	return watched
}

// Some alarms would ring for ever where what they watch cannot be.
func TestAlarmsRingOnlyWhereTheyCanBeSilent(t *testing.T) {
	doc := readYAML(t, templateFile)
	stands := func(s stack, alarm string) bool {
		return s.condition(at(t, doc, "Resources", alarm, "Condition").(string))
	}
	for _, test := range []struct {
		given            map[string]string
		pending, inForce bool
	}{
		{map[string]string{"WebAclName": "edge"}, false, false}, // observes: everything is pending
		{map[string]string{"WebAclName": "edge", "SyncMode": "enforce"}, true, true},
		{map[string]string{"WebAclName": "edge", "SyncMode": "enforce", "WafAction": "count"}, true, false},
		{map[string]string{"WafMode": "rule-group", "SyncMode": "enforce", "WafAction": "captcha"}, true, true},
		{map[string]string{"WafMode": "ip-set", "SyncMode": "enforce", "IpSetArns": exampleSetV4}, true, false}, // cannot be seen
	} {
		s := deployed(t, doc, test.given)
		if stands(s, "SyncPendingAlarm") != test.pending || stands(s, "SyncNotInForceAlarm") != test.inForce {
			t.Errorf("%v: pending %v, in force %v", test.given, stands(s, "SyncPendingAlarm"), stands(s, "SyncNotInForceAlarm"))
		}
	}
}

func TestSecretsAreNotParametersInTheOpen(t *testing.T) {
	doc := readYAML(t, templateFile)
	for _, name := range []string{"RedisUrl", "ExternalId"} {
		if got := at(t, doc, "Parameters", name, "NoEcho"); got != "true" {
			t.Errorf("%s has NoEcho %v, want true: it is a secret", name, got)
		}
	}
	at(t, doc, "Rules", "RedisUrlOnce")
	if got := at(t, doc, "Parameters", "SyncMode", "Default"); got != "observe" {
		t.Errorf("a new stack starts in mode %v, want observe", got)
	}
}
