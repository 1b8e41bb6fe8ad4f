package detect

import (
	"cmp"
	"slices"
	"time"

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
	Run        string        `json:"run"`
	Mode       string        `json:"mode"`
	Trigger    string        `json:"trigger,omitempty"`
	AsOf       time.Time     `json:"as_of"`
	Rules      []RuleSummary `json:"rules"`
	Blocked    int           `json:"blocked"`    // indicators that this run blocks, or would, known ones included
	Challenged int           `json:"challenged"` // likewise, to be challenged
	Added      int           `json:"added"`      // new on the list
	Extended   int           `json:"extended"`   // on the list for longer now
	Unchanged  int           `json:"unchanged"`  // on the list already
	Observed   int           `json:"observed"`
	Spared     int           `json:"spared"`
	Rejected   int           `json:"rejected"` // different values
	Held       int           `json:"held"`
	Campaigns  int           `json:"campaigns"`
	Notes      []string      `json:"notes,omitempty"` // what could not be asked or kept and made no difference to safety, for people
	Error      string        `json:"error,omitempty"` // what went wrong, in part or in whole
}

// RuleSummary is one rule's part of a run.
type RuleSummary struct {
	ID         string    `json:"id"`
	Rows       int       `json:"rows"`
	Detections int       `json:"detections"`
	Campaigns  int       `json:"campaigns,omitempty"`
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
	Score     int             `json:"score"`
	Parts     []Part          `json:"parts"`
	Tags      []string        `json:"tags"`
	Count     int64           `json:"count"` // the largest of any one rule
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Countries []string        `json:"countries"`
	Accounts  []string        `json:"accounts"`
	Addresses int             `json:"addresses"`
	ExpiresAt time.Time       `json:"expires_at"` // for a first block, before jitter
	Facts     *Facts          `json:"facts,omitempty"`
	Reason    string          `json:"reason,omitempty"` // for the spared: why they are
}

// CampaignFinding is one campaign in a report. Its value is as the log has it: escape it before showing.
type CampaignFinding struct {
	Kind      string          `json:"kind"` // one of CampaignKinds
	Value     string          `json:"value"`
	Rule      string          `json:"rule"`
	Severity  threat.Severity `json:"severity"`
	Action    string          `json:"action"` // what the rule proposes
	Clients   int             `json:"clients"`
	Count     int64           `json:"count"`
	Windows   int             `json:"windows"`
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Until     time.Time       `json:"until"`
	Countries []string        `json:"countries"`
	Addresses []string        `json:"addresses"` // some of them
	Accounts  []string        `json:"accounts"`  // whole names
	Samples   []string        `json:"samples"`
	Reason    string          `json:"reason"`
}

// Report is the whole story of a run. Its lists are cut at MaxListed; the
// Summary's numbers count everything.
type Report struct {
	Summary
	BlockedList    []Finding         `json:"blocked_list"`
	ChallengedList []Finding         `json:"challenged_list"`
	ObservedList   []Finding         `json:"observed_list"`
	SparedList     []Finding         `json:"spared_list"` // Reason says why
	HeldList       []Finding         `json:"held_list"`
	RejectedList   []Rejected        `json:"rejected_list"`
	CampaignList   []CampaignFinding `json:"campaign_list"`      // most addresses first
	HeldFor        string            `json:"held_for,omitempty"` // what the brake says
}

// MaxListed bounds each list of a stored report.
const MaxListed = 10_000

// fill writes the verdicts into the report.
func (r *Report) fill(v Verdicts, rejected []Rejected) {
	r.Blocked, r.BlockedList = list(v.Block)
	r.Challenged, r.ChallengedList = list(v.Challenge)
	r.Observed, r.ObservedList = list(v.Observe)
	r.Spared, r.SparedList = list(v.Spared)
	r.Held, r.HeldList = list(v.Held)
	r.HeldFor, r.Notes = v.HeldFor, v.Notes
	r.Campaigns, r.CampaignList = listCampaigns(v.Campaigns)
	sortRejected(rejected)
	r.Rejected = len(rejected)
	r.RejectedList = append([]Rejected{}, rejected[:min(len(rejected), MaxListed)]...)
}

// list returns how many there are, and the first of them: worst first.
func list(js []Judgement) (int, []Finding) {
	type place struct {
		at    int
		count int64
	}
	order := make([]place, len(js))
	for i, j := range js {
		order[i].at = i
		for _, d := range j.Detections {
			order[i].count = max(order[i].count, d.Count)
		}
	}
	slices.SortFunc(order, func(a, b place) int {
		x, y := &js[a.at], &js[b.at]
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), cmp.Compare(b.count, a.count), x.Indicator.Compare(y.Indicator))
	})
	order = order[:min(len(order), MaxListed)]
	all := make([]Finding, len(order))
	for i, p := range order {
		all[i] = finding(js[p.at])
	}
	return len(js), all
}

// cut leaves at most so many in each list.
func (r *Report) cut(most int) {
	for _, l := range []*[]Finding{&r.BlockedList, &r.ChallengedList, &r.ObservedList, &r.SparedList, &r.HeldList} {
		*l = (*l)[:min(len(*l), most)]
	}
	r.RejectedList = r.RejectedList[:min(len(r.RejectedList), most)]
	r.CampaignList = r.CampaignList[:min(len(r.CampaignList), most)]
}

func finding(j Judgement) Finding {
	f := Finding{
		Indicator: j.Indicator.String(), Kind: j.Indicator.Kind().String(), Severity: j.Severity, Score: j.Score, Parts: j.Parts, Tags: some(j.Tags),
		FirstSeen: j.Detections[0].FirstSeen, Countries: some(countriesOf(j.Detections)), Accounts: []string{}, Rules: []string{}, Facts: j.Facts,
		ExpiresAt: j.expires(), Reason: j.Reason,
	}
	for _, d := range j.Detections {
		f.Rules = merge(f.Rules, []string{d.Rule})
		f.Accounts = some(merge(f.Accounts, d.Accounts))
		f.Count = max(f.Count, d.Count)
		f.Addresses = max(f.Addresses, d.Addresses)
		if d.FirstSeen.Before(f.FirstSeen) {
			f.FirstSeen = d.FirstSeen
		}
		if d.LastSeen.After(f.LastSeen) {
			f.LastSeen = d.LastSeen
		}
	}
	if j.Spared != "" {
		f.Reason = j.Spared
	}
	return f
}

// maxCampaigns bounds the campaigns of a stored report, and maxShown the addresses of each.
const (
	maxCampaigns = 100
	maxShown     = 20
)

func listCampaigns(cs []Campaign) (int, []CampaignFinding) {
	all := make([]CampaignFinding, 0, len(cs))
	for _, c := range cs {
		f := CampaignFinding{
			Kind: c.Kind, Value: c.Value, Rule: c.Rule, Severity: c.Severity, Action: c.Action.String(), Clients: c.Clients,
			Count: c.Count, Windows: c.Windows, FirstSeen: c.FirstSeen, LastSeen: c.LastSeen, Until: c.Until, Reason: c.Reason,
			Countries: some(c.Countries), Addresses: []string{}, Accounts: some(c.Accounts[:min(len(c.Accounts), maxShown)]), Samples: some(c.Samples),
		}
		for _, a := range c.Evidence[:min(len(c.Evidence), maxShown)] {
			f.Addresses = append(f.Addresses, a.String())
		}
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b CampaignFinding) int {
		return cmp.Or(cmp.Compare(b.Clients, a.Clients), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Rule, b.Rule))
	})
	return len(all), all[:min(len(all), maxCampaigns)]
}

// some is the list, never null in JSON.
func some(list []string) []string { return append([]string{}, list...) }
