package tencentfw

import (
	"fmt"

	"github.com/tracewall/tracewall/shared/waf/targets"
)

// targetKeys is every key of a target that ParseTargets knows.
var targetKeys = []string{
	"name", "region", "mode", "security_groups", "load_balancers", "set_size", "aggregate", "domain", "edition", "instance_id", "entries",
	"sync", "drift", "max_release", "max_add",
}

// readTarget makes a Target of the object. What is wrong is noted and then as if it were not there.
func readTarget(f targets.Fields) Target {
	t := Target{
		Name:   f.Name(maxTargetName),
		Region: f.Required("region", "a Tencent Cloud region such as ap-guangzhou", regionPattern.MatchString),
		Mode:   f.Required("mode", "security-group or waf", targets.OneOf(ModeSecurityGroup, ModeWAF)),
	}
	t.setRuns(f.Runs())
	switch t.Mode {
	case ModeSecurityGroup:
		f.Refuse("only mode waf has these", "domain", "edition", "instance_id", "entries")
		if !f.Has("security_groups") {
			f.Missing("security_groups", wantGroups)
		}
		t.SecurityGroups = readIDs(f, "security_groups", wantGroups, maxGroups, groupPattern.MatchString)
		t.LoadBalancers = readIDs(f, "load_balancers", wantBalancers, maxBalancers, balancerPattern.MatchString)
		t.SetSize = f.Number("set_size", 1, maxSetSize)
		if f.Raw("aggregate") != "0" {
			t.Aggregate = f.Number("aggregate", minAggregate, maxAggregate)
		}
	case ModeWAF:
		f.Refuse("only mode security-group has these", "security_groups", "load_balancers", "set_size", "aggregate")
		t.Domain = f.Optional("domain", `"global" or a domain that the WAF protects`, func(s string) bool {
			return s == Global || len(s) <= maxDomain && domainPattern.MatchString(s)
		})
		t.Edition = f.Required("edition", "sparta-waf (by DNS) or clb-waf (on a load balancer)", targets.OneOf(EditionSaaS, EditionCLB))
		t.InstanceID = f.Optional("instance_id", "the id of a WAF instance", instancePattern.MatchString)
		t.Entries = f.Number("entries", 1, maxEntries)
	}
	return t.withDefaults()
}

const (
	wantGroups    = "an array of security group ids such as sg-33ocnj9n"
	wantBalancers = "an array of load balancer ids such as lb-6vqcnxmx"
)

// readIDs reads an array of ids, each once.
func readIDs(f targets.Fields, key, want string, most int, is func(string) bool) []string {
	return f.List(key, targets.List{
		Want: want, Most: most, TooMany: fmt.Sprintf("at most %d ids", most), Each: want, Is: is, Noun: "id",
	})
}
