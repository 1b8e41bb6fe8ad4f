package infra_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// policy is a RAM or IAM policy document.
type policy struct {
	Version   string
	Statement []struct {
		Sid       string
		Effect    string
		Action    words
		Resource  words
		Principal map[string][]string
		Condition map[string]map[string]string
	}
}

// statements returns what the policy says of actions and resources.
func (p policy) statements() (all []statement) {
	for _, s := range p.Statement {
		all = append(all, statement{Sid: s.Sid, Effect: s.Effect, Action: s.Action, Resource: s.Resource})
	}
	return all
}

// words is one string or several.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(w))
}

// readJSON decodes a file strictly: a key that the target does not know is a typing error.
func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestRAMPoliciesGrantExactly(t *testing.T) {
	const (
		gateway  = "acs:log:*:*:project/tracewall-logs/logstore/gateway"
		ownLogs  = "acs:log:*:*:project/tracewall-ops/logstore/fc-logs"
		dispatch = "acs:log:*:*:project/tracewall-ops/logstore/fc-dispatch-logs"
		detect   = "acs:fc:*:*:functions/sls-ops-tracewall-detect"
	)
	want := map[string]map[string]string{
		"detect-policy.json":        {"log:GetLogStoreLogs": gateway, "log:PostLogStoreLogs": ownLogs},
		"refresh-intel-policy.json": {"log:PostLogStoreLogs": ownLogs},
		"webhook-policy.json":       {"fc:InvokeFunction": detect, "log:PostLogStoreLogs": ownLogs},
		"log-trigger-policy.json":   {"fc:InvokeFunction": detect, "log:ListShards": gateway, "log:GetCursorOrData": gateway, "log:PostLogStoreLogs": dispatch},
	}
	for file, statements := range wallPolicies(t) {
		name, ours := strings.CutPrefix(file, "alibaba/")
		if !ours {
			continue
		}
		want[name] = map[string]string{}
		for _, s := range statements {
			for _, action := range s.Action {
				want[name][action] = s.Resource[0]
			}
		}
	}
	files, err := filepath.Glob("alibaba/*-policy.json")
	if err != nil || len(files) != len(want) {
		t.Fatalf("policies = %v (%v), want %d", files, err, len(want))
	}
	for _, file := range files {
		allowed := want[filepath.Base(file)]
		var p policy
		readJSON(t, file, &p)
		if p.Version != "1" {
			t.Errorf("%s: version %q, want 1", file, p.Version)
		}
		for _, s := range p.Statement {
			for _, action := range s.Action {
				for _, r := range s.Resource {
					if s.Effect != "Allow" || allowed[action] == "" || strings.TrimSuffix(r, "/*") != allowed[action] {
						t.Errorf("%s: %s %s on %s, want %q", file, s.Effect, action, r, allowed[action])
					}
				}
				defer delete(allowed, action)
			}
		}
		var granted int
		for _, s := range p.Statement {
			granted += len(s.Action)
		}
		if granted != len(allowed) {
			t.Errorf("%s grants %d actions, want %d", file, granted, len(allowed))
		}
	}
}

func TestRolesAreTrustedToOneService(t *testing.T) {
	for _, service := range []string{"fc", "log"} {
		var p policy
		readJSON(t, "alibaba/trust-"+service+".json", &p)
		if len(p.Statement) != 1 || !slices.Equal(p.Statement[0].Principal["Service"], []string{service + ".aliyuncs.com"}) {
			t.Errorf("trust-%s.json = %+v, want %s.aliyuncs.com alone", service, p, service)
		}
	}
}
