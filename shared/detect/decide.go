package detect

import (
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// Verdicts is what shall happen. Each Indicator is in exactly one list; the lists are
// in order of indicators.
type Verdicts struct {
	Block     []Judgement
	Challenge []Judgement
	Observe   []Judgement
	Spared    []Judgement // allowlisted or a proven crawler, whatever they did: Spared says why
	Held      []Judgement // would be blocked or challenged but for the brake; then nobody is
	HeldFor   string      // what the brake says; "" when it does not hold
	Campaigns []Campaign
	Notes     []string // what could not be asked and made no difference to safety, for people

	strangers bool // what the list knows of them could not be read
}

// Err is ErrHeld when the brake was needed.
func (v Verdicts) Err() error {
	if v.HeldFor == "" {
		return nil
	}
	return fmt.Errorf("%w: %s; nobody was blocked: look at the report, then tracewall approve detect", ErrHeld, v.HeldFor)
}

// Act returns those who are to be put on the list: blocked and challenged.
func (v Verdicts) Act() []Judgement { return slices.Concat(v.Block, v.Challenge) }

// all returns everybody who was judged.
func (v Verdicts) all() []Judgement {
	return slices.Concat(v.Block, v.Challenge, v.Observe, v.Spared, v.Held)
}

// maxJoined bounds the accounts that an address is joined to.
const maxJoined = 20

// Policy is how a deployment wants verdicts to be reached.
type Policy struct {
	Brake Brake
	// AccountsFirst watches the addresses of a flood instead of blocking them when all
	// that they did was done by accounts that are blocked.
	AccountsFirst bool
}

// merits gathers what is known of each Indicator that a detection names, in order.
func merits(g Gathered, hits func(threat.Indicator) []threatintel.Hit) []evidence {
	accounts := accountsByAddress(g.Detections)
	at := map[threat.Indicator]int{}
	var all []evidence
	for _, d := range g.Detections {
		i, ok := at[d.Indicator]
		if !ok {
			i = len(all)
			at[d.Indicator] = i
			facts, known := g.Facts[d.Indicator]
			all = append(all, evidence{facts: facts, known: known})
			if hits != nil {
				all[i].hits = hits(d.Indicator)
			}
		}
		if d.Indicator.Kind() == threat.KindAddress {
			d.Accounts = merge(d.Accounts, accounts[d.Indicator])
		}
		all[i].detections = append(all[i].detections, d)
	}
	slices.SortFunc(all, func(a, b evidence) int { return a.indicator().Compare(b.indicator()) })
	return all
}

func (e evidence) indicator() threat.Indicator { return e.detections[0].Indicator }

// sort puts judgements into Verdicts. It never adds anybody and never makes a
// range wider: an indicator in a verdict is one that a rule has named.
func (p Policy) sort(all []Judgement, size int, ordinary int64, approved func(n int) (bool, error)) (Verdicts, error) {
	var v Verdicts
	blocked := map[string]bool{}
	for _, j := range all {
		if j.Indicator.Kind() == threat.KindAccount && j.Action == threat.Block && j.Spared == "" {
			blocked[j.Indicator.Account()] = true
		}
	}
	part := func(j Judgement) *[]Judgement {
		switch {
		case j.Spared != "":
			return &v.Spared
		case j.Action == threat.Block:
			return &v.Block
		case j.Action == threat.Challenge:
			return &v.Challenge
		default:
			return &v.Observe
		}
	}
	// A million of them must fit: each list gets the room that it needs and no more.
	room := map[*[]Judgement]int{}
	for i, j := range all {
		if p.AccountsFirst && j.byBlockedAccounts(blocked) {
			all[i].soften(threat.Observe, "what it did was done by accounts that are blocked themselves")
		}
		room[part(all[i])]++
	}
	for list, n := range room {
		*list = make([]Judgement, 0, n)
	}
	for _, j := range all {
		list := part(j)
		*list = append(*list, j)
	}
	l := load{size: size, ordinary: ordinary}
	for _, j := range v.Act() {
		if !j.History.Listed || j.upgrades() {
			l.fresh = append(l.fresh, j)
		}
	}
	why := p.Brake.holds(l)
	if why == "" {
		return v, nil
	}
	ok, err := approved(len(l.fresh))
	if ok && err == nil {
		v.Notes = append(v.Notes, "an operator approved of what the brake would hold: "+why)
		return v, nil
	}
	v.HeldFor = why
	v.Held, v.Block, v.Challenge = v.Act(), nil, nil
	return v, err
}

// soften lowers a verdict to at most the limit.
func (j *Judgement) soften(limit threat.Action, why string) {
	s := scale{sum: j.Score, parts: slices.Clone(j.Parts)}
	s.cap(limit, why)
	j.Score, j.Parts, j.Action = s.sum, s.parts, actionFor(s.sum)
}

// byBlockedAccounts tells whether all that is held against an address are floods, and
// all accounts known to be behind it are blocked.
func (j Judgement) byBlockedAccounts(blocked map[string]bool) bool {
	if j.Indicator.Kind() != threat.KindAddress {
		return false
	}
	for _, d := range j.Detections {
		if d.Class != "flood" || len(d.Accounts) == 0 || slices.ContainsFunc(d.Accounts, func(a string) bool { return !blocked[a] }) {
			return false
		}
	}
	return true
}

// accountsByAddress turns the accounts' evidence around. Being listed as an account's
// address blocks nobody; it only tells who may be behind one that was named anyway.
func accountsByAddress(detections []threat.Detection) map[threat.Indicator][]string {
	seen := map[threat.Indicator]bool{}
	for _, d := range detections {
		if d.Indicator.Kind() == threat.KindAddress {
			seen[d.Indicator] = true
		}
	}
	accounts := make(map[threat.Indicator][]string)
	for _, d := range detections {
		if d.Indicator.Kind() != threat.KindAccount {
			continue
		}
		for _, address := range d.Evidence {
			if seen[address] {
				accounts[address] = append(accounts[address], d.Indicator.Account())
			}
		}
	}
	return accounts
}

// merge returns both lists as one, sorted, each once, at most maxJoined.
func merge(a, b []string) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxJoined)]
}
