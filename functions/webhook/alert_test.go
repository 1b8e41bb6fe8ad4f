package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(unix int64) time.Time { return time.Unix(unix, 0).UTC() }

func TestParseAlerts(t *testing.T) {
	t.Parallel()
	const object = `{"alert_id":"a","alert_instance_id":"i","alert_time":1780000000,"status":"firing"}`
	plain := alert{ID: "a", Instance: "i", Status: "firing", Firing: true, At: at(1780000000)}
	quoted, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(change func(*alert)) []alert {
		a := plain
		change(&a)
		return []alert{a}
	}
	for _, tc := range []struct {
		name string
		body string
		want []alert
	}{
		{"one object", object, []alert{plain}},
		{"an array", "[" + object + "," + object + "]", []alert{plain, plain}},
		{"an array of texts", "[" + string(quoted) + "]", []alert{plain}},
		{"blanks and a byte order mark around it", "\xef\xbb\xbf\n " + object + "\n", []alert{plain}},
		{"times as text", `{"alert_id":"a","alert_instance_id":"i","alert_time":"1780000000","status":"firing"}`, []alert{plain}},
		{"fire_time where alert_time is missing", `{"alert_id":"a","alert_instance_id":"i","fire_time":1780000000,"status":"firing"}`, []alert{plain}},
		{"fire_time where alert_time is empty", `{"alert_id":"a","alert_instance_id":"i","alert_time":"","fire_time":1780000000,"status":"firing"}`, []alert{plain}},
		{"alert_time before fire_time", `{"alert_id":"a","alert_instance_id":"i","alert_time":1780000000,"fire_time":1770000000,"status":"FIRING"}`, []alert{plain}},
		{
			"an empty status is firing", `{"alert_id":"a","alert_instance_id":"i","alert_time":1780000000,"status":""}`,
			changed(func(a *alert) { a.Status = "" }),
		},
		{
			"resolved", `{"alert_id":"a","alert_instance_id":"i","alert_time":1780000000,"status":"resolved"}`,
			changed(func(a *alert) { a.Status, a.Firing = "resolved", false }),
		},
		{
			"without an instance it goes by the rule", `{"alert_id":"a","alert_time":1780000000,"status":"firing"}`,
			changed(func(a *alert) { a.Instance = "a" }),
		},
		{
			"results together", strings.Replace(object, "}", `,"results":[{"start_time":1779999880,"end_time":1780000000},{"start_time":"1779999000","end_time":"1779999900"}]}`, 1),
			changed(func(a *alert) { a.From, a.To = at(1779999000), at(1780000000) }),
		},
		{
			"results that say nothing do not count", strings.Replace(object, "}", `,"results":[{},{"start_time":"2026-05-28","end_time":1},{"start_time":1780000000,"end_time":1779999999},{"start_time":1779999990,"end_time":1780000000}]}`, 1),
			changed(func(a *alert) { a.From, a.To = at(1779999990), at(1780000000) }),
		},
		{"results of another type", strings.Replace(object, "}", `,"results":"none"}`, 1), []alert{plain}},
		{"fields nobody asked for", strings.Replace(object, "}", `,"query":"* | select 1","labels":{"a":[1]},"alert_name":null}`, 1), []alert{plain}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, problems, err := parseAlerts([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("alerts (-want +got):\n%s", diff)
			}
			if p := strings.Join(problems, ""); p != "" {
				t.Errorf("problems %q", problems)
			}
		})
	}
}

func TestParseAlertsNamesTheProblem(t *testing.T) {
	t.Parallel()
	item := func(change string) string { return `{"alert_id":"a","alert_time":1780000000,` + change + `}` }
	for _, tc := range []struct {
		name, body string
		whole      bool // the body as a whole is wrong
		want       string
	}{
		{"nothing", "", true, "body: want JSON"},
		{"no JSON", "alert!", true, "body: want JSON"},
		{"half an object", `{"alert_id":"a"`, true, "body: want JSON"},
		{"a number", "42", true, "want a JSON object or array"},
		{"text", `"a"`, true, "want a JSON object or array"},
		{"nobody", "[]", true, "0 alerts: want 1 to 100"},
		{"too many", "[" + strings.Repeat("{},", 100) + "{}]", true, "101 alerts: want 1 to 100"},
		{"too deep", strings.Repeat("[", 33) + strings.Repeat("]", 33), true, "nested deeper than 32"},
		{"too deep inside a text", `["` + strings.Repeat("[", 33) + `"]`, false, "nested deeper than 32"},
		{"an array of numbers", "[1]", false, "alert: want an object"},
		{"an array in an array", "[[]]", false, "alert: want an object"},
		{"a text that holds nothing", `[""]`, false, "alert: want an object"},
		{"a text that holds no JSON", `["{"]`, false, "alert: want an object"},
		{"no id", `{"alert_time":1780000000}`, false, "alert_id: want text"},
		{"a long id", `{"alert_id":"` + strings.Repeat("x", 257) + `","alert_time":1780000000}`, false, "alert_id: want text"},
		{"an id of another type", item(`"alert_id":["a"]`), false, "alert_id: want text"},
		{"no time", `{"alert_id":"a"}`, false, "alert_time: want epoch seconds"},
		{"milliseconds", item(`"alert_time":1780000000000`), false, "alert_time: want epoch seconds"},
		{"a time that is a word", item(`"alert_time":"now"`), false, "alert_time: want epoch seconds"},
		{"a bad time is not made good by fire_time", item(`"alert_time":"now","fire_time":1780000000`), false, "alert_time: want epoch seconds"},
		{"a time that is an object", item(`"alert_time":{}`), false, "alert_time: want epoch seconds"},
		{"a fraction of a second", item(`"alert_time":1780000000.5`), false, "alert_time: want epoch seconds"},
		{"an unknown status", item(`"status":"maybe"`), false, "status: want firing or resolved"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, problems, err := parseAlerts([]byte(tc.body))
			got := strings.Join(problems, "")
			if tc.whole {
				got = fmt.Sprint(err)
			} else if err != nil {
				t.Fatalf("err = %v, want a problem with one alert", err)
			}
			if !strings.Contains(got, tc.want) {
				t.Errorf("problem %q, want %q", got, tc.want)
			}
		})
	}
}

func TestOneBadAlertCostsNoOther(t *testing.T) {
	t.Parallel()
	alerts, problems, err := parseAlerts([]byte(`[{"alert_id":"a","alert_time":1780000000},7,{"alert_id":"b","alert_time":1780000000}]`))
	if err != nil || len(alerts) != 3 || alerts[0].ID != "a" || alerts[2].ID != "b" || problems[0]+problems[2] != "" || problems[1] == "" {
		t.Errorf("alerts %+v, problems %q, %v", alerts, problems, err)
	}
}

func TestDepthIgnoresWhatStandsInText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":"` + strings.Repeat("[", 100) + `"}`:        true,
		`{"a":"\"` + strings.Repeat("{", 100) + `"}`:      true,
		`{"a":"\\"` + strings.Repeat("[", 100):            false,
		strings.Repeat("[", 32) + strings.Repeat("]", 32): true,
		strings.Repeat("[]", 1000):                        true,
	} {
		if got := checkDepth([]byte(text)) == nil; got != want {
			t.Errorf("depth of %.30s accepted: %v, want %v", text, got, want)
		}
	}
}

func FuzzParseAlerts(f *testing.F) {
	for _, name := range []string{"webhook.alert.json", "webhook.alerts-array.json", "webhook.malformed.json"} {
		if event, err := os.ReadFile("../../events/" + name); err == nil {
			var r request
			if json.Unmarshal(event, &r) == nil {
				f.Add([]byte(r.Body))
			}
		}
	}
	f.Add([]byte(`["{\"alert_id\":\"a\",\"alert_time\":\"1780000000\"}",[],null,{"alert_id":1}]`))
	f.Add([]byte(strings.Repeat(`{"results":[`, 20)))
	f.Fuzz(func(t *testing.T, body []byte) {
		alerts, problems, err := parseAlerts(body)
		if err != nil {
			if alerts != nil || problems != nil {
				t.Error("alerts beside an error")
			}
			return
		}
		if len(alerts) != len(problems) || len(alerts) == 0 || len(alerts) > maxAlerts {
			t.Fatalf("%d alerts, %d problems", len(alerts), len(problems))
		}
		if !json.Valid(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))) && !json.Valid(body) {
			t.Error("alerts from what is no JSON")
		}
		for i, a := range alerts {
			if problems[i] != "" {
				continue
			}
			if a.ID == "" || len(a.ID) > maxName || a.Instance == "" || a.At.Unix() < minEpoch || a.At.Unix() > maxEpoch {
				t.Errorf("alert %+v has no problem", a)
			}
			now := a.At.Add(time.Minute)
			from, to := window(a, now)
			if !from.Before(to) || to.Sub(from) > maxRange || to.After(now) || from.Before(a.At.Add(-maxRange)) {
				t.Errorf("window of %+v is %v to %v", a, from, to)
			}
		}
	})
}
