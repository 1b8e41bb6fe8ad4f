package waftest

import (
	"bytes"
	_ "embed" // the rules of SeedEverything
	"encoding/json"
	"fmt"
	"strings"
)

// everythingRules has one rule for every kind of statement, field to match, key of a
// rate and configuration of a managed rule group that the API's model had in 2026-05, every action, and members that
// came after it. A line is a rule.
//
//go:embed seeds/everything.json
var everythingRules string

// SeedEverything makes a web ACL that has everything there is: what SeedWebACL
// gives it, a rule for every kind of statement there is, a rule group of the user's, and kinds and members that no SDK of today knows.
func (v *View) SeedEverything(region, scope, name string) error {
	a := v.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	where := space{v.account, region, scope}
	office, err := a.seedSet(where, name+"-office", "198.51.100.0/24")
	if err != nil {
		return err
	}
	group, refused := a.createGroup(where.request().with("Name", name+"-group").with("Capacity", 100).
		with("VisibilityConfig", json.RawMessage(seedVisibility)).with("Rules", []json.RawMessage{[]byte(
		`{"Name":"deny","Priority":1,"Action":{"Block":{}},"Statement":{"IPSetReferenceStatement":{"ARN":"` + office + `"}},"VisibilityConfig":` + seedVisibility + `}`,
	)}))
	if refused != nil {
		return fmt.Errorf("seed rule group %s: %w", name, refused)
	}
	a.in(where).groups[name+"-group"].notReady = 0
	rules := strings.NewReplacer(
		"OFFICE", office, "GROUP", group.(map[string]any)["Summary"].(map[string]string)["ARN"],
		"PATTERNS", arn(where, "regexpatternset", name+"-patterns", a.uuid()),
	).Replace(everythingRules)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(rules)); err != nil {
		return fmt.Errorf("seed web acl %s: %w", name, err)
	}
	return a.seedACL(where, name, compact.Bytes())
}

const seedVisibility = `{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":false,"MetricName":"seed"}`
