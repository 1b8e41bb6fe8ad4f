package infra_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The names of the example account, in the policies of the two clouds.
const (
	exampleGroup    = "qcs::cvm:ap-guangzhou:uin/100000000001:sg/sg-33ocnj9n"
	exampleBalancer = "qcs::clb:ap-guangzhou:uin/100000000001:clb/lb-6vqcnxmx"
	fcLogs          = "acs:log:*:*:project/tracewall-ops/logstore/fc-logs"
)

// recordedBy are the actions that an adapter makes in each mode, as its own test records them from the
// calls: "MODE" is what the function takes, "MODE detach" what leaving it takes, and a
// third kind what examining takes.
func recordedBy(t *testing.T, adapter string) map[string][]string {
	t.Helper()
	var all map[string][]string
	readJSON(t, "../shared/waf/"+adapter+"/testdata/actions.json", &all)
	return all
}

// actionsOf returns what is recorded under these names and begins with one of the services, each once.
func actionsOf(recorded map[string][]string, names []string, services ...string) (actions []string) {
	for _, name := range names {
		for _, action := range recorded[name] {
			if service, _, _ := strings.Cut(action, ":"); slices.Contains(services, service) {
				actions = append(actions, action)
			}
		}
	}
	slices.Sort(actions)
	return slices.Compact(actions)
}

// modesOf returns the names of an adapter's modes, each followed by kind: "" or " detach".
func modesOf(recorded map[string][]string, kind string) (names []string) {
	for name := range recorded {
		if mode, rest, _ := strings.Cut(name, " "); rest == strings.TrimSpace(kind) {
			names = append(names, mode+kind)
		}
	}
	slices.Sort(names)
	return names
}

// onAlibaba are a policy's statements for modes. RAM knows WAF 3.0 as yundun-waf and Cloud Firewall as
// yundun-cloudfirewall; neither has resources for these actions.
func onAlibaba(recorded map[string][]string, kind string) (statements []statement) {
	for _, service := range []string{"waf", "cloudfw"} {
		actions := actionsOf(recorded, modesOf(recorded, kind), service)
		for i, action := range actions {
			_, operation, _ := strings.Cut(action, ":")
			actions[i] = map[string]string{"waf": "yundun-waf:", "cloudfw": "yundun-cloudfirewall:"}[service] + operation
		}
		statements = append(statements, statement{Effect: "Allow", Action: actions, Resource: []string{"*"}})
	}
	return statements
}

// onTencent are a policy's statements for modes. What changes a security group is allowed on the
// groups of the targets alone, and binding also on their load balancers; no source knows resources for the rest.
func onTencent(recorded map[string][]string, kind string) (statements []statement) {
	add := func(resource []string, of func(service, operation string) bool) {
		actions := slices.DeleteFunc(actionsOf(recorded, modesOf(recorded, kind), "vpc", "clb", "waf"), func(action string) bool {
			service, operation, _ := strings.Cut(action, ":")
			return !of(service, operation)
		})
		if len(actions) > 0 {
			statements = append(statements, statement{Effect: "allow", Action: actions, Resource: resource})
		}
	}
	policies := func(service, operation string) bool {
		return service == "vpc" && strings.HasSuffix(operation, "SecurityGroupPolicies") && !strings.HasPrefix(operation, "Describe")
	}
	binding := func(service, operation string) bool { return service == "clb" && strings.HasPrefix(operation, "Set") }
	add([]string{exampleGroup}, policies)
	add([]string{exampleBalancer, exampleGroup}, binding)
	for _, name := range []string{"vpc", "clb", "waf"} {
		add([]string{"*"}, func(service, operation string) bool {
			return service == name && !policies(service, operation) && !binding(service, operation)
		})
	}
	return statements
}

// wallPolicies are the policies of the two clouds, by file, as what was recorded wants them.
func wallPolicies(t *testing.T) map[string][]statement {
	t.Helper()
	alibaba, tencent := recordedBy(t, "aliwaf"), recordedBy(t, "tencentfw")
	logs := statement{Effect: "Allow", Action: []string{"log:PostLogStoreLogs"}, Resource: []string{fcLogs}}
	return map[string][]statement{
		"alibaba/sync-alibaba-waf-policy.json": append(onAlibaba(alibaba, ""), logs),
		"alibaba/sync-tencent-policy.json":     {logs},
		"alibaba/operator-detach-policy.json":  onAlibaba(alibaba, " detach"),
		"tencent/sync-tencent-policy.json":     onTencent(tencent, ""),
		"tencent/operator-detach-policy.json":  onTencent(tencent, " detach"),
	}
}

// Each policy lists the calls that were seen, and no other. -update writes them.
func TestWallPoliciesGrantExactlyTheCalls(t *testing.T) {
	for file, want := range wallPolicies(t) {
		if *update {
			writePolicy(t, file, want)
		}
		var p policy
		readJSON(t, file, &p)
		version := map[bool]string{true: "2.0", false: "1"}[strings.HasPrefix(file, "tencent/")]
		if diff := cmp.Diff(want, p.statements()); diff != "" || p.Version != version {
			t.Errorf("%s, version %s: wanted (-) and granted (+); rewrite it with -update:\n%s", file, p.Version, diff)
		}
		for _, s := range p.statements() {
			for _, action := range s.Action {
				if strings.Contains(action, "*") {
					t.Errorf("%s: action %s", file, action)
				}
			}
		}
	}
}

// writePolicy writes a document as its cloud spells it: RAM's keys begin with capitals, CAM's do not.
func writePolicy(t *testing.T, file string, statements []statement) {
	t.Helper()
	type entry struct {
		Effect           string
		Action, Resource []string
	}
	document := struct {
		Version   string
		Statement []entry
	}{Version: "1"}
	for _, s := range statements {
		document.Statement = append(document.Statement, entry{s.Effect, s.Action, s.Resource})
	}
	if strings.HasPrefix(file, "tencent/") {
		document.Version = "2.0"
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(file, "tencent/") {
		for _, key := range []string{"Version", "Statement", "Effect", "Action", "Resource"} {
			text = bytes.ReplaceAll(text, []byte(`"`+key+`":`), []byte(`"`+strings.ToLower(key)+`":`))
		}
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil { //nolint:gosec // a document for copy and paste
		t.Fatal(err)
	}
}

// Every mode that the function takes is recorded, with what leaving and what examining takes; who may run the function may examine.
func TestEveryModeIsRecordedAndExaminingReadsOnly(t *testing.T) {
	for adapter, modes := range map[string][]string{
		"aliwaf": {"address-book", "auto", "cloud-firewall", "ip-blacklist"}, "tencentfw": {"security-group", "waf"},
	} {
		recorded := recordedBy(t, adapter)
		if diff := cmp.Diff(modes, modesOf(recorded, "")); diff != "" {
			t.Errorf("%s: modes wanted (-) and recorded (+):\n%s", adapter, diff)
		}
		for _, name := range slices.Sorted(maps.Keys(recorded)) {
			mode, kind, _ := strings.Cut(name, " ")
			if kind == "" || kind == "detach" {
				continue
			}
			for _, action := range recorded[name] {
				if !strings.Contains(action, ":Describe") || !slices.Contains(recorded[mode], action) {
					t.Errorf("%s, %s: %s is no reading that the function makes", adapter, name, action)
				}
			}
		}
		for _, mode := range modes {
			if len(recorded[mode]) == 0 || len(recorded[mode+" detach"]) == 0 {
				t.Errorf("%s: mode %s is not recorded, or not how to leave it", adapter, mode)
			}
		}
	}
}

// A role or a key that lists nothing but what it needs still must not change what others made: no
// policy may reset security groups, load balancers' bindings or books as a whole.
func TestNoWallPolicyResetsAnything(t *testing.T) {
	for file, statements := range wallPolicies(t) {
		for _, s := range statements {
			for _, action := range s.Action {
				_, operation, _ := strings.Cut(action, ":")
				if slices.Contains([]string{"ModifySecurityGroupPolicies", "SetLoadBalancerSecurityGroups", "ClearAddress", "DeleteSecurityGroup"}, operation) {
					t.Errorf("%s allows %s", file, action)
				}
			}
		}
	}
}
