package infra_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// The index decides what SQL can see: a column without doc_value is not there, and
// what lies behind the first 2 KB of a text is cut off unless max_text_len says otherwise.
func TestIndexServesTheRules(t *testing.T) {
	for file, columns := range map[string][]string{
		"sls/index-gateway.json": {"msg", "trace_id"},
		"sls/index-fc-logs.json": {"message", "functionName"},
	} {
		var index sdk.Index
		readJSON(t, file, &index)
		for _, column := range columns {
			if key, ok := index.Keys[column]; !ok || !key.DocValue || key.Type != "text" {
				t.Errorf("%s: %s = %+v, want a text with doc_value", file, column, key)
			}
		}
		if index.MaxTextLen != 16384 {
			t.Errorf("%s: max_text_len = %d, want 16384, the most that Log Service takes", file, index.MaxTextLen)
		}
		if index.Line == nil {
			t.Errorf("%s: no full-text index: a search for a phrase finds nothing", file)
		}
	}
}

func alerts(t *testing.T) map[string]sdk.Alert {
	t.Helper()
	files, err := filepath.Glob("sls/al*m-*.json")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "sls/alert-rate-limit-address.json")
	all := map[string]sdk.Alert{}
	for _, file := range files {
		var alert sdk.Alert
		readJSON(t, file, &alert)
		all[filepath.Base(file)] = alert
	}
	return all
}

func TestAlertsAreWellFormed(t *testing.T) {
	all := alerts(t)
	if len(all) != 9 {
		t.Errorf("%d alerts, want 9", len(all))
	}
	for file, alert := range all {
		c := alert.Configuration
		if c == nil || c.Version != "2.0" || len(c.QueryList) != 1 || len(c.SeverityConfigurations) != 1 {
			t.Errorf("%s: want one query and one severity in version 2.0", file)
			continue
		}
		q := c.QueryList[0]
		if !strings.Contains(q.Query, "|") || !strings.Contains(q.Query, "limit") || q.StoreType != "log" || q.Start == "" || q.End == "" {
			t.Errorf("%s: query %+v, want search | SQL with a limit and a range", file, q)
		}
		// An alarm's condition compares a column of its query.
		column, _, _ := strings.Cut(c.SeverityConfigurations[0].EvalCondition.Condition, " ")
		if !strings.Contains(q.Query, " as "+column+" ") {
			t.Errorf("%s: condition on %q, which the query does not return", file, column)
		}
	}
}

func TestAlarmsReadMetricsThatExist(t *testing.T) {
	all := alerts(t)
	for function, files := range map[string][2]string{
		"detect":           {"alarm-detect-silent.json", "alarm-guard-tripped.json"},
		"sync-alibaba-waf": {"alarm-sync-alibaba-waf-silent.json", "alarm-sync-alibaba-waf-guard-tripped.json"},
		"sync-tencent":     {"alarm-sync-tencent-silent.json", "alarm-sync-tencent-guard-tripped.json"},
		"refresh-intel":    {"alarm-refresh-intel-silent.json", "alarm-refresh-intel-feed-failed.json"},
	} {
		trips := []telemetry.Metric{telemetry.GuardTripped, telemetry.AllowlistUnreadable}
		if function == "refresh-intel" {
			trips = []telemetry.Metric{telemetry.FeedFailed}
		}
		name := at(t, fcFunction(t, function), "functionName").(string)
		for file, metrics := range map[string][]telemetry.Metric{
			files[0]: {telemetry.LastSuccessTimestamp}, files[1]: trips,
		} {
			alert, ok := all[file]
			if !ok {
				t.Errorf("%s is missing", file)
				continue
			}
			query := alert.Configuration.QueryList[0].Query
			if !strings.HasPrefix(query, "functionName: "+name+" |") {
				t.Errorf("%s does not look at %s", file, name)
			}
			for _, metric := range metrics {
				if !strings.Contains(query, `"`+string(metric)+`"`) {
					t.Errorf("%s does not look for %s", file, metric)
				}
			}
			if silent := file == files[0]; alert.Configuration.NoDataFire != silent {
				t.Errorf("%s fires without data: %t, want %t: only a dead man is silent", file, alert.Configuration.NoDataFire, silent)
			}
		}
	}
}

// The webhook starts rules that exist, and only for alerts that exist.
func TestAlertsNameShippedRules(t *testing.T) {
	text, err := os.ReadFile("sls/alert-rules.json")
	if err != nil {
		t.Fatal(err)
	}
	var byAlert map[string]string
	if err := json.Unmarshal(text, &byAlert); err != nil {
		t.Fatal(err)
	}
	rules, err := detect.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	shipped := map[string]detect.Rule{}
	for _, r := range rules {
		shipped[r.ID] = r
	}
	for alert, rule := range byAlert {
		if shipped[rule].ID == "" {
			t.Errorf("alert %s starts rule %q, which is not shipped", alert, rule)
		}
	}
	alert := alerts(t)["alert-rate-limit-address.json"]
	rule, ok := shipped[byAlert[alert.Name]]
	if !ok {
		t.Fatalf("alert %s starts nothing: it is not in alert-rules.json", alert.Name)
	}
	if q := alert.Configuration.QueryList[0].Query; !strings.Contains(q, fmt.Sprintf("having count(1) > %d ", rule.Threshold)) {
		t.Errorf("alert %s asks %q, want the threshold of rule %s, %d", alert.Name, q, rule.ID, rule.Threshold)
	}
	if got := at(t, fcFunction(t, "webhook"), "environmentVariables", "ALERT_RULES"); got != "${file('./infra/sls/alert-rules.json')}" {
		t.Errorf("ALERT_RULES is %v, want this folder's alert-rules.json", got)
	}
}

func TestWebhookIsReferredTo(t *testing.T) {
	var hook sdk.WebhookIntegration
	readJSON(t, "sls/action-webhook.json", &hook)
	var action sdk.ResourceActionPolicy
	readJSON(t, "sls/action-policy.json", &action)
	if !strings.Contains(action.PrimaryPolicyScript, `webhook_id="`+hook.Id+`"`) {
		t.Errorf("action policy %q does not send to webhook %s", action.PrimaryPolicyScript, hook.Id)
	}
	if got := alerts(t)["alert-rate-limit-address.json"].Configuration.PolicyConfiguration.ActionPolicyId; got != action.ActionPolicyId {
		t.Errorf("the alert uses action policy %q, want %q", got, action.ActionPolicyId)
	}
	if hook.Type != "custom" || hook.Method != "POST" || !strings.HasPrefix(hook.Url, "https://") {
		t.Errorf("webhook = %+v, want POST over https", hook)
	}
	for _, header := range hook.Headers {
		if header.Key == "Authorization" && header.Value != "Bearer ${WEBHOOK_TOKEN}" {
			t.Error("the token is written down: want ${WEBHOOK_TOKEN}")
		}
	}
}
