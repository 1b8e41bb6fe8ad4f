package aliwaf

import "github.com/tracewall/tracewall/shared/waf/targets"

// targetKeys is every key of a target that ParseTargets knows.
var targetKeys = []string{
	"name", "region", "instance_id", "mode", "action", "objects", "batch", "entries", "set_size", "templates", "books", "manage", "order",
	"sync", "drift", "max_release", "max_add",
}

const (
	wantRegion  = "cn-hangzhou (an instance in the Chinese mainland) or ap-southeast-1 (one outside of it)"
	wantObjects = "an array of 1 to 100 names of protected objects, such as shop.example.com-waf"
	wantObject  = "the name of a protected object, such as shop.example.com-waf: 1 to 255 letters, digits and . _ : * @ -"
)

// readTarget makes a Target of the object. What is wrong is noted and then as if it were not there.
func readTarget(f targets.Fields) Target {
	t := Target{
		Name:       f.Name(maxTargetName),
		Region:     f.Required("region", wantRegion, targets.OneOf(RegionMainland, RegionInternational)),
		InstanceID: f.Optional("instance_id", "1 to 64 of A-Z a-z 0-9 _ -", instancePattern.MatchString),
		Mode:       f.Optional("mode", "auto, address-book, ip-blacklist or cloud-firewall", targets.OneOf(ModeAuto, ModeAddressBook, ModeIPBlacklist, ModeCloudFirewall)),
		Action:     f.Optional("action", "block or monitor", targets.OneOf(ActionBlock, ActionMonitor)),
		Batch:      f.Number("batch", 1, MaxBatch),
		Entries:    f.Number("entries", 1, maxEntries),
		SetSize:    f.Number("set_size", 1, MaxSetSize),
		Templates:  f.Number("templates", 1, MaxTemplates),
		Books:      f.Number("books", 1, MaxBooks),
		Manage:     f.Flag("manage"),
		Order:      f.Number("order", 1, maxOrder),
	}
	t.setRuns(f.Runs())
	t.Objects = f.List("objects", targets.List{
		Want: wantObjects + " (leave it out to protect all)", Most: maxObjects,
		Each: wantObject, Is: func(s string) bool { return len(s) <= maxObjectName && objectPattern.MatchString(s) }, Noun: "object",
	})
	refuseOthers(f, t.Mode)
	return t.withDefaults()
}

// refuseOthers notes what the mode has no use for. If the mode itself is wrong nothing is refused.
func refuseOthers(f targets.Fields, mode string) {
	if !f.Has("mode") {
		mode = ModeAuto
	}
	if mode == ModeAddressBook || mode == ModeCloudFirewall {
		f.Refuse("only modes ip-blacklist and auto make rules of sets", "set_size", "templates")
	}
	if mode == ModeIPBlacklist {
		f.Refuse("in mode ip-blacklist a rule is written whole", "batch")
	}
	if mode == ModeIPBlacklist || mode == ModeCloudFirewall {
		f.Refuse("only modes address-book and auto have one book whose size depends on the edition", "entries")
	}
	if mode == ModeAuto || mode == ModeAddressBook || mode == ModeIPBlacklist {
		f.Refuse("only mode cloud-firewall has several books, and policies", "books", "manage", "order")
	}
	if mode == ModeCloudFirewall {
		f.Refuse("Cloud Firewall is no instance of WAF and has no protected objects", "instance_id", "objects")
	}
}
