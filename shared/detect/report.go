package detect

import (
	"cmp"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Modes of a run, as reports spell them.
const (
	ModeEnforce = "enforce"
	ModeObserve = "observe"
	ModeDryRun  = "dry_run"
)

// Summary is what the detect function returns: numbers only. The log trigger
// stores return values in a logstore, where neither addresses nor accounts belong.
type Summary struct {
	Run       string        `json:"run"`
	Mode      string        `json:"mode"`
	Trigger   string        `json:"trigger,omitempty"`
	AsOf      time.Time     `json:"as_of"`
	Rules     []RuleSummary `json:"rules"`
	Blocked   int           `json:"blocked"`   // indicators that this run blocks, or would, known ones included
	Added     int           `json:"added"`     // new on the list
	Extended  int           `json:"extended"`  // on the list for longer now
	Unchanged int           `json:"unchanged"` // on the list already
	Observed  int           `json:"observed"`
	Spared    int           `json:"spared"`
	Rejected  int           `json:"rejected"` // different values
	Held      int           `json:"held"`
	Error     string        `json:"error,omitempty"` // what went wrong, in part or in whole
}

// RuleSummary is one rule's part of a run.
type RuleSummary struct {
	ID         string    `json:"id"`
	Rows       int       `json:"rows"`
	Detections int       `json:"detections"`
	Rejected   int       `json:"rejected"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Queries    int       `json:"queries"`
	Millis     int64     `json:"ms"`
	Error      string    `json:"error,omitempty"`
}

// Finding is one indicator in a report, with what all rules say about it.
type Finding struct {
	Indicator string          `json:"indicator"` // the whole name of an account: reports go where the list goes
	Kind      string          `json:"kind"`      // "ip" or "account"
	Rules     []string        `json:"rules"`
	Severity  threat.Severity `json:"severity"`
	Count     int64           `json:"count"` // the largest of any one rule
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Countries []string        `json:"countries"`
	Accounts  []string        `json:"accounts"`
	Addresses int             `json:"addresses"`
	ExpiresAt time.Time       `json:"expires_at"` // for a first block
	Reason    string          `json:"reason,omitempty"`
}

// Report is the whole story of a run. Its lists are cut at MaxListed; the
// Summary's numbers count everything.
type Report struct {
	Summary
	BlockedList  []Finding  `json:"blocked_list"`
	ObservedList []Finding  `json:"observed_list"`
	SparedList   []Finding  `json:"spared_list"` // Reason says why
	HeldList     []Finding  `json:"held_list"`
	RejectedList []Rejected `json:"rejected_list"`
}

// MaxListed bounds each list of a stored report.
const MaxListed = 10_000

// fill writes the verdicts into the report.
func (r *Report) fill(v Verdicts, rejected []Rejected, rules map[string]Rule) {
	spared := make([]threat.Detection, len(v.Spared))
	why := make(map[threat.Indicator]string, len(v.Spared))
	for i, s := range v.Spared {
		spared[i] = s.Detection
		why[s.Detection.Indicator] = s.Reason
	}
	r.Blocked, r.BlockedList = list(v.Block, rules, nil)
	r.Observed, r.ObservedList = list(v.Observe, rules, nil)
	r.Spared, r.SparedList = list(spared, rules, why)
	r.Held, r.HeldList = list(v.Held, rules, nil)
	sortRejected(rejected)
	r.Rejected = len(rejected)
	r.RejectedList = append([]Rejected{}, rejected[:min(len(rejected), MaxListed)]...)
}

// list merges detections by indicator and returns how many there are, and the
// first of them: loudest first.
func list(ds []threat.Detection, rules map[string]Rule, why map[threat.Indicator]string) (int, []Finding) {
	at := make(map[threat.Indicator]int, len(ds))
	all := make([]Finding, 0, len(ds))
	for _, d := range ds {
		f := finding(d, rules[d.Rule], why)
		i, ok := at[d.Indicator]
		if !ok {
			at[d.Indicator] = len(all)
			all = append(all, f)
			continue
		}
		all[i].join(f)
	}
	slices.SortFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Indicator, b.Indicator))
	})
	return len(all), all[:min(len(all), MaxListed)]
}

func finding(d threat.Detection, r Rule, why map[threat.Indicator]string) Finding {
	f := Finding{
		Indicator: d.Indicator.String(), Kind: d.Indicator.Kind().String(), Rules: []string{d.Rule},
		Severity: d.Severity, Count: d.Count, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
		Countries: append([]string{}, d.Countries...), Accounts: append([]string{}, d.Accounts...),
		Addresses: d.Addresses, ExpiresAt: d.Until.Add(blocklist.TermFor(d.Term, 1)), Reason: r.Reason(d),
	}
	if reason, ok := why[d.Indicator]; ok {
		f.Reason = reason
	}
	return f
}

func (f *Finding) join(g Finding) {
	f.Rules = merge(f.Rules, g.Rules)
	f.Countries = append(f.Countries, g.Countries...)
	slices.Sort(f.Countries)
	f.Countries = slices.Compact(f.Countries)
	f.Accounts = append([]string{}, merge(f.Accounts, g.Accounts)...)
	f.Severity = max(f.Severity, g.Severity)
	f.Count = max(f.Count, g.Count)
	f.Addresses = max(f.Addresses, g.Addresses)
	if g.FirstSeen.Before(f.FirstSeen) {
		f.FirstSeen = g.FirstSeen
	}
	if g.LastSeen.After(f.LastSeen) {
		f.LastSeen, f.Reason = g.LastSeen, g.Reason
	}
	if g.ExpiresAt.After(f.ExpiresAt) {
		f.ExpiresAt = g.ExpiresAt
	}
}
