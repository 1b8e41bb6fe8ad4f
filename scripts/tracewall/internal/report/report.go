// Package report is what tracewall local tells at the end: one value with a stable JSON
// form for programs, and text for people.
//
// Values in it may come from log lines, which attackers write. JSON escapes them by itself;
// everything that is printed goes through Safe.
package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Report is everything that one pass found and did. The first seven fields are the
// documented JSON form and do not change; fields may be added after them.
type Report struct {
	Rules    []Rule           `json:"rules"`
	Blocked  []Finding        `json:"blocked"`
	Observed []Finding        `json:"observed"`
	Spared   []Spared         `json:"spared"`
	Rejected []Rejected       `json:"rejected"`
	Targets  []Target         `json:"targets"`
	Timings  map[string]int64 `json:"timings_ms"`

	AsOf  time.Time `json:"as_of"`
	Input Input     `json:"input"`
	Error string    `json:"error,omitempty"` // what went wrong in part

	Challenged []Finding  `json:"challenged"` // on the list, for walls that can challenge
	Campaigns  []Campaign `json:"campaigns"`
	Notes      []string   `json:"notes,omitempty"` // what could not be asked

	mu sync.Mutex // of Timings
}

// Rule is one rule's part of the runs.
type Rule struct {
	ID         string `json:"id"`
	Rows       int    `json:"rows"`
	Detections int    `json:"detections"`
}

// Finding is one address, range or account with what the rules say about it.
type Finding struct {
	Indicator string    `json:"indicator"`
	Kind      string    `json:"kind"`
	Rules     []string  `json:"rules"`
	Count     int64     `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Countries []string  `json:"countries"`
	Accounts  []string  `json:"accounts"`
	Addresses int       `json:"addresses"`
	ExpiresAt time.Time `json:"expires_at"`
	Reason    string    `json:"reason,omitempty"`
	Score     int       `json:"score"`
	Tags      []string  `json:"tags"`
	// Mitigating is what speaks for it and took the verdict down; "" for nothing.
	Mitigating string `json:"mitigating,omitempty"`
}

// Campaign is what many quiet addresses have in common.
type Campaign struct {
	Kind      string    `json:"kind"`
	Value     string    `json:"value"`
	Rule      string    `json:"rule"`
	Action    string    `json:"action"` // proposed
	Clients   int       `json:"clients"`
	Count     int64     `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Reason    string    `json:"reason"`
}

// Spared is somebody loud whom the allowlist let off.
type Spared struct {
	Indicator string `json:"indicator"`
	Reason    string `json:"reason"`
	Kind      string `json:"kind"`
	Count     int64  `json:"count"`
}

// Rejected is a value that names nobody who could be blocked.
type Rejected struct {
	Value  string `json:"value"`
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// Target is one firewall.
type Target struct {
	Kind     string `json:"kind"` // of the function that keeps it: aws-waf, alibaba-waf, tencent
	Name     string `json:"name"`
	Title    string `json:"title"`
	Desired  int    `json:"desired"`
	Enforced int    `json:"enforced"`
	Overflow int    `json:"overflow"`
	Writes   int    `json:"writes"`
	Calls    int    `json:"calls"`
}

// Input is what was read.
type Input struct {
	Source string    `json:"source"` // the file's name, or "story"
	Format string    `json:"format"`
	Lines  int64     `json:"lines"`
	Left   int64     `json:"left_out"` // lines that did not fit the format, empty or too long ones
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// New returns an empty Report: its lists are empty and not null.
func New() *Report {
	return &Report{
		Rules: []Rule{}, Blocked: []Finding{}, Observed: []Finding{}, Spared: []Spared{}, Rejected: []Rejected{}, Targets: []Target{}, Challenged: []Finding{}, Campaigns: []Campaign{}, Timings: map[string]int64{},
	}
}

// Took notes how long a step took; steps that happen again add up. Unlike the other
// methods it is safe for concurrent use.
func (r *Report) Took(step string, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Timings[step] += d.Milliseconds()
}

// AddRun puts in what one run of detect reported. Runs over different windows add up.
func (r *Report) AddRun(run detect.Report) {
	for _, s := range run.Rules {
		i := slices.IndexFunc(r.Rules, func(k Rule) bool { return k.ID == s.ID })
		if i < 0 {
			r.Rules = append(r.Rules, Rule{ID: s.ID})
			i = len(r.Rules) - 1
		}
		r.Rules[i].Rows += s.Rows
		r.Rules[i].Detections += s.Detections
	}
	observed := make([]Finding, len(run.ObservedList))
	for i, f := range run.ObservedList {
		observed[i] = findingOf(f)
	}
	r.Observed = merge(r.Observed, observed, func(f Finding) (string, int64) { return f.Kind + f.Indicator, f.Count })
	campaigns := make([]Campaign, len(run.CampaignList))
	for i, c := range run.CampaignList {
		campaigns[i] = Campaign{Kind: c.Kind, Value: c.Value, Rule: c.Rule, Action: c.Action, Clients: c.Clients, Count: c.Count, FirstSeen: c.FirstSeen.UTC(), LastSeen: c.LastSeen.UTC(), Reason: c.Reason}
	}
	r.Campaigns = merge(r.Campaigns, campaigns, func(c Campaign) (string, int64) { return c.Rule + "\x00" + c.Value, c.Count })
	for _, note := range run.Notes {
		if !slices.Contains(r.Notes, note) {
			r.Notes = append(r.Notes, note)
		}
	}
	spared := make([]Spared, len(run.SparedList))
	for i, f := range run.SparedList {
		spared[i] = Spared{Indicator: f.Indicator, Kind: f.Kind, Reason: f.Reason, Count: f.Count}
	}
	r.Spared = merge(r.Spared, spared, func(s Spared) (string, int64) { return s.Kind + s.Indicator, s.Count })
	rejected := make([]Rejected, len(run.RejectedList))
	for i, j := range run.RejectedList {
		rejected[i] = Rejected{Value: j.Value, Reason: j.Reason, Count: j.Count}
	}
	r.Rejected = merge(r.Rejected, rejected, func(j Rejected) (string, int64) { return j.Reason + "\x00" + j.Value, j.Count })
	if run.Error != "" {
		r.Error = strings.TrimPrefix(r.Error+"; "+run.Error, "; ")
	}
}

// merge puts the new items in place of those with the same key, and appends the
// others. Of two with one key the larger count stays: two rules may name the same
// value, and runs read some windows again.
func merge[T any](list, items []T, keyOf func(T) (key string, count int64)) []T {
	at := make(map[string]int, len(list)+len(items))
	for i, item := range list {
		key, _ := keyOf(item)
		at[key] = i
	}
	for _, item := range items {
		key, count := keyOf(item)
		i, ok := at[key]
		if !ok {
			at[key] = len(list)
			list = append(list, item)
			continue
		}
		if _, old := keyOf(list[i]); count >= old {
			list[i] = item
		}
	}
	return list
}

func findingOf(f detect.Finding) Finding {
	var mitigating []string
	for _, p := range f.Parts {
		if p.Points < 0 && p.Name != "capped" {
			mitigating = append(mitigating, p.Text)
		}
	}
	return Finding{
		Indicator: f.Indicator, Kind: f.Kind, Rules: some(f.Rules), Count: f.Count, FirstSeen: f.FirstSeen.UTC(), LastSeen: f.LastSeen.UTC(),
		Countries: some(f.Countries), Accounts: some(f.Accounts), Addresses: f.Addresses, ExpiresAt: f.ExpiresAt.UTC(), Reason: f.Reason,
		Score: f.Score, Tags: some(f.Tags), Mitigating: strings.Join(mitigating, "; "),
	}
}

// SetListed puts in who is on the list, to be blocked or to be challenged.
func (r *Report) SetListed(entries []blocklist.Entry) {
	r.Blocked, r.Challenged = []Finding{}, []Finding{}
	for _, e := range entries {
		f := Finding{
			Indicator: e.Indicator.String(), Kind: e.Indicator.Kind().String(), Rules: some(e.Rules), Count: e.Count,
			FirstSeen: e.FirstSeen.UTC(), LastSeen: e.LastSeen.UTC(), Countries: some(e.Countries), Accounts: some(e.Accounts),
			Addresses: e.Addresses, ExpiresAt: e.ExpiresAt.UTC(), Reason: e.Reason, Score: e.Score, Tags: some(e.Tags),
		}
		if e.Challenge {
			r.Challenged = append(r.Challenged, f)
		} else {
			r.Blocked = append(r.Blocked, f)
		}
	}
}

// SetTarget puts in what one run of a sync function reported: the state is the last run's, the calls add up.
func (r *Report) SetTarget(t Target) {
	i := slices.IndexFunc(r.Targets, func(k Target) bool { return k.Kind == t.Kind && k.Name == t.Name })
	if i < 0 {
		r.Targets = append(r.Targets, t)
		return
	}
	t.Writes += r.Targets[i].Writes
	t.Calls += r.Targets[i].Calls
	r.Targets[i] = t
}

// sort puts every list into an order that does not depend on how it came about: addresses by value.
func (r *Report) sort() {
	slices.SortFunc(r.Rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	byWho := func(a, b Finding) int { return compareWho(a.Kind, a.Indicator, b.Kind, b.Indicator) }
	slices.SortFunc(r.Blocked, byWho)
	slices.SortFunc(r.Challenged, byWho)
	slices.SortFunc(r.Observed, byWho)
	slices.SortFunc(r.Campaigns, func(a, b Campaign) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Rule, b.Rule))
	})
	slices.SortFunc(r.Spared, func(a, b Spared) int { return compareWho(a.Kind, a.Indicator, b.Kind, b.Indicator) })
	slices.SortFunc(r.Rejected, func(a, b Rejected) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(r.Targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}

func compareWho(kindA, a, kindB, b string) int {
	i, err1 := threat.ParseKey(kindA + ":" + a)
	j, err2 := threat.ParseKey(kindB + ":" + b)
	if err1 != nil || err2 != nil {
		return cmp.Or(cmp.Compare(kindA, kindB), cmp.Compare(a, b))
	}
	return i.Compare(j)
}

// WriteJSON writes the whole report as one object.
func (r *Report) WriteJSON(w io.Writer) error {
	r.sort()
	r.AsOf = r.AsOf.UTC()
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := w.Write(append(SafeJSON(bytes.TrimRight(text.Bytes(), "\n")), '\n')); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
