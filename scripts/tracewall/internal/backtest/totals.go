package backtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Totals count indicators.
type Totals struct {
	Block      int      `json:"block"`
	Challenge  int      `json:"challenge"`
	Observe    int      `json:"observe"`
	Spared     int      `json:"spared"`
	Collateral int      `json:"collateral"` // proven ones
	Harmed     int      `json:"harmed"`     // of these, blocked or challenged
	Claims     int      `json:"claims"`     // collateral that only claims to be a crawler
	Campaigns  int      `json:"campaigns"`
	Rejected   int      `json:"rejected"`                 // different values
	Already    *int     `json:"already_listed,omitempty"` // of those blocked and challenged; null: nobody was asked
	New        *int     `json:"new,omitempty"`
	ByRule     []Count  `json:"by_rule"`
	ByClass    []Count  `json:"by_class"`
	ByCountry  []Count  `json:"by_country"`
	ByTime     []Bucket `json:"by_time"` // when they were first seen
	BucketSize string   `json:"bucket"`
}

// Count is a part of the total: who acts like this, comes from there, and what becomes of them.
type Count struct {
	Name      string `json:"name"`
	Block     int    `json:"block"`
	Challenge int    `json:"challenge"`
	Observe   int    `json:"observe"` // spared ones too
}

// Sum is all of it.
func (c Count) Sum() int { return c.Block + c.Challenge + c.Observe }

// Bucket is a time.
type Bucket struct {
	From time.Time `json:"from"`
	Count
}

// maxBuckets bounds the times that are told apart; beyond it they are wider.
const maxBuckets = 200

// unknownCountry stands for those whose country nobody told.
const unknownCountry = "unknown"

func (r Result) totals(in In) Totals {
	t := Totals{Campaigns: len(r.Campaigns), Rejected: len(in.Rejected)}
	classes := map[string]string{}
	for _, rule := range in.Rules {
		classes[rule.ID] = rule.Class
	}
	rules, class, countries := map[string]*Count{}, map[string]*Count{}, map[string]*Count{}
	already := 0
	for _, v := range r.Verdicts {
		switch v.Verdict {
		case Block:
			t.Block++
		case Challenge:
			t.Challenge++
		case Spared:
			t.Spared++
		default:
			t.Observe++
		}
		if (v.Verdict == Block || v.Verdict == Challenge) && v.Listed != "" && v.Listed != "no" {
			already++
		}
		var ids, of []string
		for _, h := range v.Rules {
			ids, of = append(ids, h.ID), append(of, classes[h.ID])
		}
		tallyUp(rules, distinct(ids), v.Verdict)
		tallyUp(class, distinct(of), v.Verdict)
		from := v.Countries
		if len(from) == 0 {
			from = []string{unknownCountry}
		}
		if v.Kind == threat.KindAddress.String() {
			tallyUp(countries, from, v.Verdict)
		}
	}
	for _, c := range r.Collateral {
		switch {
		case !c.Proven:
			t.Claims++
		case c.Harmed:
			t.Collateral++
			t.Harmed++
		default:
			t.Collateral++
		}
	}
	if in.Listed != nil {
		fresh := t.Block + t.Challenge - already
		t.Already, t.New = &already, &fresh
	}
	t.ByRule, t.ByClass, t.ByCountry = ordered(rules), ordered(class), ordered(countries)
	t.ByTime, t.BucketSize = r.buckets()
	return t
}

func tallyUp(into map[string]*Count, names []string, verdict string) {
	for _, name := range names {
		if into[name] == nil {
			into[name] = &Count{Name: name}
		}
		into[name].note(verdict)
	}
}

func (c *Count) note(verdict string) {
	switch verdict {
	case Block:
		c.Block++
	case Challenge:
		c.Challenge++
	default:
		c.Observe++
	}
}

func ordered(counts map[string]*Count) []Count {
	all := []Count{}
	for _, c := range counts {
		all = append(all, *c)
	}
	slices.SortFunc(all, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Block, a.Block), cmp.Compare(b.Challenge, a.Challenge), cmp.Compare(b.Observe, a.Observe), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// buckets counts who was first seen when, hour by hour if that is not too many hours.
func (r Result) buckets() ([]Bucket, string) {
	size := time.Hour
	for _, wider := range []time.Duration{6 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 365 * 24 * time.Hour} {
		if r.Source.To.Sub(r.Source.From) <= size*maxBuckets {
			break
		}
		size = wider
	}
	counts := map[int64]*Count{}
	for _, v := range r.Verdicts {
		at := detect.AlignDown(v.FirstSeen, size).Unix()
		if counts[at] == nil {
			counts[at] = &Count{}
		}
		counts[at].note(v.Verdict)
	}
	all := []Bucket{}
	times := slices.Sorted(maps.Keys(counts))
	if len(times) > 0 {
		step := int64(size / time.Second)
		for at := times[0]; at <= times[len(times)-1] && len(all) <= 2*maxBuckets; at += step {
			b := Bucket{From: time.Unix(at, 0).UTC()}
			if c := counts[at]; c != nil {
				b.Count = *c
			}
			b.Name = b.From.Format("2006-01-02 15:04")
			all = append(all, b)
		}
	}
	return all, spell(size)
}

func spell(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}

// rules writes down each rule's part.
func (in In) rules(r Result) []Rule {
	all := []Rule{}
	for i, rule := range in.Rules {
		if rule.Class == detect.ClassContext {
			continue
		}
		told := Rule{ID: rule.ID, Version: rule.Version, Title: report.Safe(rule.Title), Class: rule.Class, Action: in.Files[i].Action.String(), JudgedAs: rule.Action.String()}
		for _, s := range in.Asked {
			if s.ID == rule.ID {
				told.Rows, told.Campaigns = told.Rows+s.Rows, told.Campaigns+s.Campaigns
			}
		}
		for _, v := range r.Verdicts {
			if !slices.ContainsFunc(v.Rules, func(h Hit) bool { return h.ID == rule.ID }) {
				continue
			}
			switch v.Verdict {
			case Block:
				told.Block++
			case Challenge:
				told.Challenge++
			case Spared:
				told.Spared++
			default:
				told.Observe++
			}
			if slices.ContainsFunc(v.Collateral, func(w Why) bool { return Proven(w.Kind) }) {
				told.Collateral++
			}
		}
		told.Promotion = in.promotion(in.Files[i], rule, told)
		all = append(all, told)
	}
	slices.SortFunc(all, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Promotion says whether a rule may ask for more than it does.
type Promotion struct {
	Possible bool   `json:"possible"`
	To       string `json:"to,omitempty"` // what it would ask for then
	Reason   string `json:"reason"`
}

// promotion holds a rule against its trial: a log as long as the trial, in which nobody
// whom it names is somebody else's customer.
func (in In) promotion(file, judged detect.Rule, told Rule) Promotion {
	p := Promotion{To: judged.Action.String()}
	if file.Trial != nil {
		p.To = file.Trial.Then.String()
	}
	covered := in.Source.To.Sub(in.Source.From)
	switch {
	case file.Action == threat.Block:
		return Promotion{Reason: "it blocks already"}
	case file.Trial == nil && judged.Action <= file.Action:
		return Promotion{Reason: "its file knows no trial; --as block judges it as if it blocked"}
	case judged.Action <= file.Action:
		return Promotion{To: p.To, Reason: "it was judged as it stands; --rule " + file.ID + " judges it as after its trial"}
	case told.Collateral > 0:
		p.Reason = fmt.Sprintf("no: %d of those whom it names are collateral", told.Collateral)
	case in.Source.Late > 0:
		p.Reason = fmt.Sprintf("no: %d lines came too late to be counted", in.Source.Late)
	case file.Trial != nil && covered < file.Trial.For:
		p.Reason = fmt.Sprintf("not yet: clean, but over %s of the %s that its trial takes", hours(covered), hours(file.Trial.For))
	case told.Block+told.Challenge == 0:
		p.Possible = true
		p.Reason = fmt.Sprintf("clean over %s, in which it would have acted on nobody", hours(covered))
	default:
		p.Possible = true
		p.Reason = fmt.Sprintf("clean over %s, in which it would have acted on %d", hours(covered), told.Block+told.Challenge)
	}
	return p
}

// hours spells a time for people.
func hours(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.1f hours", d.Hours())
	default:
		return d.Truncate(time.Second).String()
	}
}
