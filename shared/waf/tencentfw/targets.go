package tencentfw

import (
	"fmt"

	"github.com/tracewall/tracewall/shared/waf/targets"
)

// ParseTargets reads a JSON array of targets, as TENCENT_TARGETS holds it:
//
//	[{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"],"load_balancers":["lb-6vqcnxmx"]},
//	 {"name":"site","region":"ap-guangzhou","mode":"waf","edition":"clb-waf","domain":"global","entries":20000}]
//
// name, region and mode are required; in mode security-group also security_groups, in mode waf also
// edition. domain defaults to "global", set_size to 20, drift to repair, max_release to 10, max_add to 100. What else there is:
//
//	"aggregate":128                             with 128 wanted addresses of a /24 (or /64s of a /48), drop all of it; 0 or absent: never
//	"instance_id":"waf_2kxtlbky11b2v4fe"        mode waf, where the account has several instances
//	"sync":"observe"                            plan and report only, whatever SYNC_MODE says
//	"drift":"report","max_release":5,"max_add":50
//
// A key that is not known, or there twice, is a problem, and so is one that the mode has no use
// for. What is there and wrong is never replaced by a default; the error names every problem at once.
func ParseTargets(text string) ([]Target, error) {
	return targets.Parse(text, targetKeys, func(f targets.Fields) Target {
		t := readTarget(f)
		f.ClaimName(t.Name)
		t.claim(f)
		return t
	})
}

// claim notes what the target has in common with an earlier one and may not.
func (t Target) claim(f targets.Fields) {
	for i, id := range t.SecurityGroups {
		// Two rules that both must be on top would push each other down for ever.
		f.Claim(fmt.Sprintf("security_groups[%d]", i), id, "a security group that target %d does not have")
	}
	if t.Mode == ModeWAF {
		// Two lists for one domain would strike out each other's entries.
		f.Claim("domain", t.Domain, "a domain that target %d does not have in the same region, edition and instance",
			t.Region, t.Edition, t.InstanceID)
	}
}
