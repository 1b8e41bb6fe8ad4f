package tencentfw

import (
	"cmp"
	"regexp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/targets"
)

// Modes and other words of a Target.
const (
	// ModeSecurityGroup: one DROP rule on top of security groups, 400 addresses.
	ModeSecurityGroup = "security-group"
	// ModeWAF: the blocklist of Tencent Cloud WAF, with its native ends.
	ModeWAF = "waf"

	// Global is the Domain that stands for all.
	Global = "global"

	// EditionSaaS and EditionCLB are the two kinds of Tencent Cloud WAF: by DNS, and on a load balancer.
	EditionSaaS = "sparta-waf"
	EditionCLB  = "clb-waf"

	SyncEnforce = targets.SyncEnforce
	SyncObserve = targets.SyncObserve

	DriftRepair = targets.DriftRepair
	DriftReport = targets.DriftReport
)

// The defaults and limits of a Target.
const (
	// MaxSetSize is Tencent Cloud's quota of addresses in an address template. DescribeTemplateLimits tells
	// a raised one, and is believed where it is lower; a target may say more, up to this bound of ours.
	DefaultSetSize = 20
	maxSetSize     = 200
	// DefaultSets is Tencent Cloud's quota of address templates in an address template group.
	DefaultSets = 20

	maxTargetName = 23  // so that the group's name, which holds the Stamp too, fits in 60 characters
	maxGroups     = 50  // ours: security groups of one target
	maxBalancers  = 200 // ours: load balancers of one target, asked for in pages of 20
	minAggregate  = 64
	maxAggregate  = 256
	maxEntries    = 1_000_000 // ours: beyond any edition's quota
	maxDomain     = 253       // DNS
	defaultDomain = Global
)

// Target is one wall on Tencent Cloud that shall be equal to the blocklist.
type Target struct {
	Name   string // of the target; all that is ours is named after it
	Region string // ap-guangzhou and so on
	Mode   string // ModeSecurityGroup or ModeWAF

	SecurityGroups []string // mode security-group: ids, sg-…; our rule stands on top of each
	LoadBalancers  []string // mode security-group: ids, lb-…; each is bound to all of SecurityGroups. Empty: the user binds
	SetSize        int      // mode security-group: addresses per address template; 20 unless the quota is another
	Aggregate      int      // mode security-group: how many wanted addresses of a /24 (or /64s of a /48) make it the whole range; 0: never

	Domain     string // mode waf: a domain that the WAF protects, or Global
	Edition    string // mode waf: EditionSaaS or EditionCLB
	InstanceID string // mode waf: of the WAF instance; "": the account's only one
	Entries    int    // mode waf: how many entries the edition allows; 0: not said

	Sync       string // SyncObserve: every run is a plan, whatever the function's SYNC_MODE; SyncEnforce or "": as that says
	Drift      string // DriftRepair or DriftReport
	MaxRelease int    // percent, 1 to 100; waf.Guard
	MaxAdd     int    // percent; waf.Guard
}

var (
	regionPattern   = regexp.MustCompile(`^[a-z]{2,4}-[a-z]{2,20}(?:-[a-z0-9]{1,10}){0,2}$`)
	groupPattern    = regexp.MustCompile(`^sg-[a-z0-9]{8,24}$`)
	balancerPattern = regexp.MustCompile(`^lb-[a-z0-9]{8,24}$`)
	domainPattern   = regexp.MustCompile(`^(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}$`)
	instancePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{4,64}$`)
)

// Policy returns what the target says about its runs. Both modes block: no target here challenges.
func (t Target) Policy() waf.Policy { return t.runs().Policy() }

func (t Target) runs() targets.Runs {
	return targets.Runs{Sync: t.Sync, Drift: t.Drift, MaxRelease: t.MaxRelease, MaxAdd: t.MaxAdd}
}

func (t *Target) setRuns(r targets.Runs) {
	t.Sync, t.Drift, t.MaxRelease, t.MaxAdd = r.Sync, r.Drift, r.MaxRelease, r.MaxAdd
}

// Limits returns what the target says about a plan's bounds; the Firewall finds out the rest.
func (t Target) Limits() waf.Limits {
	t = t.withDefaults()
	if t.Mode == ModeWAF {
		return waf.Limits{Base: t.base()}
	}
	return waf.Limits{Base: t.base(), SetSize: t.SetSize, Dense: t.Aggregate}
}

// base begins the name of everything that is the target's.
func (t Target) base() string { return "tracewall-" + t.Name }

// withDefaults fills in what is left out.
func (t Target) withDefaults() Target {
	switch t.Mode {
	case ModeSecurityGroup:
		t.SetSize = cmp.Or(t.SetSize, DefaultSetSize)
	case ModeWAF:
		t.Domain = cmp.Or(t.Domain, defaultDomain)
	}
	t.setRuns(t.runs().WithDefaults())
	return t
}

// check is ParseTargets's judgement for a Target that was made in code.
func (t Target) check() error { return targets.Check(t.fields(), ParseTargets) }

// fields is the JSON object from which ParseTargets would make this Target. All that is not zero is in it,
// also where it does not belong, so that it is refused.
func (t Target) fields() targets.Written {
	all := targets.Written{}
	t.runs().Put(all)
	targets.Put(all, map[string]string{
		"name": t.Name, "region": t.Region, "mode": t.Mode, "domain": t.Domain, "edition": t.Edition,
		"instance_id": t.InstanceID,
	})
	targets.Put(all, map[string]int{"set_size": t.SetSize, "aggregate": t.Aggregate, "entries": t.Entries})
	for key, value := range map[string][]string{"security_groups": t.SecurityGroups, "load_balancers": t.LoadBalancers} {
		if len(value) > 0 {
			all[key] = value
		}
	}
	return all
}
