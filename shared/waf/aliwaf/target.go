package aliwaf

import (
	"cmp"
	"regexp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/targets"
)

// Regions, modes and actions of a Target.
const (
	// RegionMainland and RegionInternational are the two places where WAF 3.0 and Cloud Firewall are
	// managed, whatever the region of what they protect.
	RegionMainland      = "cn-hangzhou"
	RegionInternational = "ap-southeast-1"

	// ModeAuto: ModeAddressBook where the instance has address books, else ModeIPBlacklist.
	ModeAuto = "auto"
	// ModeAddressBook: one address book and one custom rule.
	ModeAddressBook = "address-book"
	// ModeIPBlacklist: rules of the IP blacklist, in templates of our own.
	ModeIPBlacklist = "ip-blacklist"
	// ModeCloudFirewall: address books of Cloud Firewall.
	ModeCloudFirewall = "cloud-firewall"

	ActionBlock   = "block"
	ActionMonitor = "monitor"

	SyncEnforce = targets.SyncEnforce
	SyncObserve = targets.SyncObserve

	DriftRepair = targets.DriftRepair
	DriftReport = targets.DriftReport
)

// The defaults and limits of a Target.
const (
	// DefaultBatch is how many addresses one AddAddress or DeleteAddress carries. No source says how many
	// it takes (UNVERIFIED); 100 to 500 are said to work, and a batch that is refused is halved by the Reconciler.
	DefaultBatch = 200
	// MaxBatch is what a page of DescribeAddresses holds, the only number that is documented for a list of addresses.
	MaxBatch = 500
	// DefaultSetSize is how many addresses a rule of the IP blacklist holds if DescribeInstance does not say more
	// (or less): IpBlacklistIpInRuleMaxCount.
	DefaultSetSize = 200
	// MaxSetSize bounds set_size; the instance's own quota bounds it further.
	MaxSetSize = 2000
	// DefaultTemplates is how many templates of the IP blacklist we may make; with 100 rules of 200 addresses each, 20,000 addresses.
	DefaultTemplates = 1
	// MaxTemplates is IpBlacklistTemplateMaxCount in Alibaba Cloud's example.
	MaxTemplates = 20
	// DefaultBooks is how many address books of Cloud Firewall we may make, for each family, of 2,000 addresses each.
	DefaultBooks = 1
	// MaxBooks bounds books: 100,000 addresses.
	MaxBooks = 50

	maxEntries = 1_000_000 // ours: beyond any edition
	maxOrder   = 100_000   // ours
	maxObjects = 100       // DescribeInstance: DefenseObjectInTemplateMaxCount, in Alibaba Cloud's example

	maxTargetName = 64
	maxObjectName = 255
)

// Target is one wall on Alibaba Cloud that shall be equal to the blocklist.
type Target struct {
	Name       string // of the target; our book, rules and templates are named after it
	Region     string // RegionMainland or RegionInternational: where the instance is managed
	InstanceID string // of WAF 3.0; "": the one that the account has there. Not for ModeCloudFirewall
	Mode       string // ModeAuto, ModeAddressBook, ModeIPBlacklist or ModeCloudFirewall
	Action     string // ActionBlock or ActionMonitor, which only counts and logs
	// Objects are the protected objects that our template is bound to; none: the template is a default
	// one, which protects every object of the instance. Not for ModeCloudFirewall.
	Objects []string

	Batch     int // ModeAddressBook, ModeCloudFirewall: addresses in one call
	Entries   int // ModeAddressBook: how many addresses the edition lets a book hold; 0: not said, the book will refuse
	SetSize   int // ModeIPBlacklist: addresses in one rule; the instance's quota bounds it
	Templates int // ModeIPBlacklist: how many templates we may make; the instance's quota bounds it
	Books     int // ModeCloudFirewall: how many address books we may make for each family

	Manage bool // ModeCloudFirewall: we make and keep the policies that drop what our books list; else somebody else does
	Order  int  // ModeCloudFirewall with Manage: where a new policy of ours is put; 0: on top

	Sync       string // SyncObserve: every run is a plan, whatever the function's SYNC_MODE; SyncEnforce or "": as that says
	Drift      string // DriftRepair or DriftReport
	MaxRelease int    // percent, 1 to 100; waf.Guard
	MaxAdd     int    // percent; waf.Guard
}

var (
	instancePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	// Protected objects have names such as shop.example.com-waf or alb-0123456789-alb, of letters of any language.
	objectPattern = regexp.MustCompile(`^[\p{L}\p{N}._:*@-]+$`)
)

// Limits returns how the target's list is to be cut into sets.
func (t Target) Limits() waf.Limits {
	t = t.withDefaults()
	return waf.Limits{SetSize: t.SetSize, Base: "tracewall-" + t.Name}
}

// Policy returns what the target says about its runs. What somebody else's policies do to whom our
// books list, nobody here knows, so it counts as a block.
func (t Target) Policy() waf.Policy {
	p := t.runs().Policy()
	p.Challenges = t.Action == ActionMonitor && (t.Mode != ModeCloudFirewall || t.Manage)
	return p
}

func (t Target) runs() targets.Runs {
	return targets.Runs{Sync: t.Sync, Drift: t.Drift, MaxRelease: t.MaxRelease, MaxAdd: t.MaxAdd}
}

func (t *Target) setRuns(r targets.Runs) {
	t.Sync, t.Drift, t.MaxRelease, t.MaxAdd = r.Sync, r.Drift, r.MaxRelease, r.MaxAdd
}

// withDefaults fills in what is left out.
func (t Target) withDefaults() Target {
	t.Mode = cmp.Or(t.Mode, ModeAuto)
	t.Action = cmp.Or(t.Action, ActionBlock)
	if t.Mode != ModeIPBlacklist {
		t.Batch = cmp.Or(t.Batch, DefaultBatch)
	}
	switch t.Mode {
	case ModeAuto, ModeIPBlacklist:
		t.SetSize = cmp.Or(t.SetSize, DefaultSetSize)
		t.Templates = cmp.Or(t.Templates, DefaultTemplates)
	case ModeCloudFirewall:
		t.Books = cmp.Or(t.Books, DefaultBooks)
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
		"name": t.Name, "region": t.Region, "instance_id": t.InstanceID, "mode": t.Mode, "action": t.Action,
	})
	targets.Put(all, map[string]int{
		"batch": t.Batch, "entries": t.Entries, "set_size": t.SetSize, "templates": t.Templates, "books": t.Books, "order": t.Order,
	})
	if len(t.Objects) > 0 {
		all["objects"] = t.Objects
	}
	if t.Manage {
		all["manage"] = true
	}
	return all
}
