//go:build cgo

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/cls/clstest"
)

// What Tencent Cloud's side of the test knows and nobody may see.
const (
	clsTopic = "682d0718-07bb-4ec0-9fda-f1e9a2767e0b"
	clsKey   = "t3ncent-k3y"
	clsToken = "t3ncent-t0ken"
)

// tick is a timer's event for every rule.
const tick = `{"triggerTime":"2026-05-28T20:26:40Z","triggerName":"every-minute","payload":""}`

// newTopic makes a CLS whose topic holds JSON access logs, as {"client_ip": …,
// "status": …}, shortly before clock: a flood, a scanner that is refused, a quiet
// reader, the office, a /64 whose addresses are small one by one, and a forgery.
func newTopic(t *testing.T) *clstest.Server {
	t.Helper()
	s, err := clstest.New(clstest.Config{Region: "ap-guangzhou", SecretID: "tencent-id", SecretKey: clsKey, Token: clsToken, Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTopic(clsTopic, map[string]clstest.FieldType{"client_ip": clstest.Text, "status": clstest.Long, "msg": clstest.Text, "trace_id": clstest.Text}); err != nil {
		t.Fatal(err)
	}
	var logs []clstest.Log
	at := clock.Add(-6*time.Minute - 40*time.Second) // the start of a window of two minutes
	add := func(address, status string, n int) {
		for range n {
			logs = append(logs, clstest.Log{Time: at.Add(time.Duration(len(logs)%110) * time.Second), Fields: map[string]string{"client_ip": address, "status": status}})
		}
	}
	add("203.0.113.7", "200", 301)
	add("192.0.2.44", "404", 150)
	add("203.0.113.200", "200", 300)
	add("198.51.100.4", "200", 900)
	add("999.1.1.1", "200", 1)
	for i := range 8 {
		add(fmt.Sprintf("2001:db8:1:2::%d", i+1), "200", 40)
	}
	if err := s.Load(t.Context(), clsTopic, logs); err != nil {
		t.Fatal(err)
	}
	return s
}

// onTopic is the world with CLS in the Log Service's place, and none of its settings left.
func onTopic(w *world, s *clstest.Server) {
	for _, key := range []string{"SLS_ENDPOINT", "SLS_PROJECT", "SLS_LOGSTORE", "SLS_REGION"} {
		delete(w.env, key)
	}
	for key, value := range map[string]string{
		"LOG_SOURCE": "cls", "CLS_REGION": "ap-guangzhou", "CLS_TOPIC": clsTopic, "CLS_ENDPOINT": s.Endpoint,
		"TENCENTCLOUD_SECRET_ID": "tencent-id", "TENCENTCLOUD_SECRET_KEY": clsKey, "TENCENTCLOUD_TOKEN": clsToken,
		"FORMAT": "access", "FIELD_ADDRESS": "client_ip",
	} {
		w.env[key] = value
	}
}

func keepsTencent(t *testing.T, w *world) {
	t.Helper()
	w.keeps(t)
	for _, secret := range []string{clsKey, clsToken} {
		if strings.Contains(w.out.String(), secret) {
			t.Errorf("output shows %s:\n%s", secret, w.out)
		}
	}
}

func TestBinaryFindsAttackersInATopicOfCLS(t *testing.T) {
	w, topic := newWorld(t), newTopic(t)
	onTopic(w, topic)
	f := w.start(t, nil)
	got, err := w.invoke(t, f, []byte(tick))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.out)
	}
	if got.Added != 2 || got.Observed != 1 || got.Spared != 1 || got.Rejected != 1 || len(got.Rules) != 4 || !got.AsOf.Equal(clock) {
		t.Errorf("result = %+v", got)
	}
	list, err := w.snapshot(t)
	if err != nil {
		t.Fatal(err)
	}
	var blocked []string
	for _, e := range list.Entries {
		blocked = append(blocked, e.Indicator.Key())
	}
	if diff := cmp.Diff([]string{"ip:203.0.113.7", "ip:2001:db8:1:2::/64"}, blocked); diff != "" {
		t.Errorf("blocked (-want +got):\n%s", diff)
	}
	// How far a rule has read is kept for each log service apart.
	if _, ok, err := w.store.Checkpoint(t.Context(), "cls:requests-address"); !ok || err != nil {
		t.Errorf("no checkpoint: %v", err)
	}
	if _, ok, err := w.store.Checkpoint(t.Context(), "requests-address"); ok || err != nil {
		t.Errorf("the Log Service's checkpoint moved: %v", err)
	}
	// The policy of the key allows exactly what was called: the stand-in knows nothing but SearchLog.
	var policy struct {
		Statement []struct {
			Effect           string
			Action, Resource []string
		}
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "infra", "tencent", "detect-policy.json"))
	if err == nil {
		err = json.Unmarshal(text, &policy)
	}
	if err != nil || len(policy.Statement) != 1 || policy.Statement[0].Effect != "allow" ||
		!slices.Equal(policy.Statement[0].Action, []string{"cls:SearchLog"}) || len(policy.Statement[0].Resource) != 1 || !strings.HasSuffix(policy.Statement[0].Resource[0], ":topic/"+clsTopic) {
		t.Errorf("policy = %+v, %v; want cls:SearchLog on one topic", policy, err)
	}
	for _, c := range topic.Faults().Calls() {
		if c.Token != clsToken || c.Topic != clsTopic {
			t.Errorf("call = %+v", c)
		}
	}
	keepsTencent(t, w)
}

func TestBinaryBlocksNobodyWhenCLSDoesNotAnswerWhole(t *testing.T) {
	tests := []struct {
		name  string
		fault func(*clstest.Faults)
		env   map[string]string
		want  string
	}{
		{"when the key is wrong", nil, map[string]string{"TENCENTCLOUD_SECRET_KEY": "other"}, "AuthFailure.SignatureFailure"},
		{"when a field is not in the index", nil, map[string]string{"FIELD_ADDRESS": "no_such_field"}, "no_such_field"},
		{"when there is no such topic", nil, map[string]string{"CLS_TOPIC": "other"}, "ResourceNotFound.TopicNotExist"},
		{"when it took a sample", func(f *clstest.Faults) { f.Sample(100, 0.5) }, nil, "incomplete"},
		{"when statistics are off", func(f *clstest.Faults) { f.NoAnalysis(100) }, nil, "switch on statistics"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, topic := newWorld(t), newTopic(t)
			onTopic(w, topic)
			if tt.fault != nil {
				tt.fault(topic.Faults())
			}
			_, err := w.invoke(t, w.start(t, tt.env), []byte(tick))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if s, err := w.snapshot(t); len(s.Entries) != 0 {
				t.Errorf("%d entries on the list (%v)", len(s.Entries), err)
			}
			keepsTencent(t, w)
		})
	}
}

func TestBinaryRidesOutAThrottledCLS(t *testing.T) {
	w, topic := newWorld(t), newTopic(t)
	onTopic(w, topic)
	topic.Faults().Fail(3, "LimitExceeded.LogSearch")
	topic.Faults().Cut(1)
	got, err := w.invoke(t, w.start(t, nil), []byte(tick))
	if err != nil || got.Added != 2 {
		t.Errorf("result = %+v, %v", got, err)
	}
}
