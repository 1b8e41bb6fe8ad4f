package targets

import (
	"cmp"
	"fmt"
	"regexp"

	"github.com/tracewall/tracewall/shared/waf"
)

// The words of the keys sync and drift.
const (
	SyncEnforce = "enforce"
	SyncObserve = "observe"

	DriftRepair = "repair"
	DriftReport = "report"
)

const (
	maxReleasePercent = 100       // of the wall: it cannot lose more
	maxAddPercent     = 1_000_000 // ours
)

// Runs is what a target on any cloud says about its runs, under the keys sync, drift, max_release and max_add.
type Runs struct {
	Sync       string // SyncObserve: every run is a plan, whatever the function's SYNC_MODE; SyncEnforce or "": as that says
	Drift      string // DriftRepair or DriftReport
	MaxRelease int    // percent, 1 to 100; waf.Guard
	MaxAdd     int    // percent; waf.Guard
}

// Runs reads the keys that every target may have.
func (f Fields) Runs() Runs {
	return Runs{
		Sync:       f.Optional("sync", "enforce or observe", OneOf(SyncEnforce, SyncObserve)),
		Drift:      f.Optional("drift", "repair or report", OneOf(DriftRepair, DriftReport)),
		MaxRelease: f.Number("max_release", 1, maxReleasePercent),
		MaxAdd:     f.Number("max_add", 1, maxAddPercent),
	}
}

// WithDefaults fills in what is left out.
func (r Runs) WithDefaults() Runs {
	r.Drift = cmp.Or(r.Drift, DriftRepair)
	r.MaxRelease = cmp.Or(r.MaxRelease, waf.DefaultMaxRelease)
	r.MaxAdd = cmp.Or(r.MaxAdd, waf.DefaultMaxAdd)
	return r
}

// Policy returns it as package waf has it.
func (r Runs) Policy() waf.Policy {
	return waf.Policy{MaxRelease: r.MaxRelease, MaxAdd: r.MaxAdd, ReportDrift: r.Drift == DriftReport, Observe: r.Sync == SyncObserve}
}

var namePattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)

// Name reads the target's name, of at most so many characters: what is made on the wall is named after it,
// and how long such a name may be is the cloud's to say.
func (f Fields) Name(most int) string {
	return f.Required("name", fmt.Sprintf("1 to %d of a-z 0-9 and - (not at either end)", most), func(s string) bool {
		return len(s) <= most && namePattern.MatchString(s)
	})
}
