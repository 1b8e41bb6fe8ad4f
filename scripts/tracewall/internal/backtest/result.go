// Package backtest says what rules would have done to a log: who would have been blocked,
// challenged or watched and why, who among them is probably somebody's customer, and
// whether a rule is ready to block.
//
// A Result is a value made of values: the same judgements make the same Result, and the
// same Result the same bytes as a table (table.go), as JSON, and as a page (page.go). No
// clock is in it but the log's.
//
// Much of a Result was written by attackers. Whatever comes from a log has gone through
// report.Safe before it gets in, so that terminal escapes, bytes that are no UTF-8 and
// NULs reach neither a terminal nor a file; JSON and HTML escape the rest.
package backtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Verdict names what would have become of somebody.
const (
	Block     = "block"
	Challenge = "challenge"
	Observe   = "observe"
	Spared    = "spared"
)

// Result is everything that a backtest found. Its JSON form is stable: fields may be
// added, none changes. Lists are sorted and never null.
type Result struct {
	Source     Source            `json:"source"`
	Rules      []Rule            `json:"rules"`
	LeftOut    []LeftOut         `json:"left_out"`
	Totals     Totals            `json:"totals"`
	Verdicts   []Verdict         `json:"verdicts"`
	Collateral []Collateral      `json:"collateral"`
	Campaigns  []Campaign        `json:"campaigns"`
	Rejected   []detect.Rejected `json:"rejected"`
	Notes      []string          `json:"notes"`
}

// Source is the log.
type Source struct {
	Kind    string    `json:"kind"` // file or sls
	Names   []string  `json:"names"`
	Format  string    `json:"format"`
	From    time.Time `json:"from"` // first line, or what was asked for
	To      time.Time `json:"to"`
	Lines   int64     `json:"lines"` // 0: not counted
	Skipped int64     `json:"left_out"`
	Late    int64     `json:"late"` // too late for windows that were judged already
}

// Rule is one rule's part.
type Rule struct {
	ID         string    `json:"id"`
	Version    int       `json:"version"`
	Title      string    `json:"title"`
	Class      string    `json:"class"`
	Action     string    `json:"action"`    // what its file asks for
	JudgedAs   string    `json:"judged_as"` // what it was taken to ask for here
	Rows       int       `json:"rows"`
	Block      int       `json:"block"` // indicators that it names, by what became of them
	Challenge  int       `json:"challenge"`
	Observe    int       `json:"observe"`
	Spared     int       `json:"spared"`
	Campaigns  int       `json:"campaigns"`
	Collateral int       `json:"collateral"`
	Promotion  Promotion `json:"promotion"`
}

// LeftOut is a rule that these logs cannot answer.
type LeftOut struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Verdict is what would have become of one address or account.
type Verdict struct {
	Indicator  string        `json:"indicator"` // the whole name of an account
	Kind       string        `json:"kind"`      // ip or account
	Verdict    string        `json:"verdict"`   // block, challenge, observe, spared
	Asked      string        `json:"asked"`     // what the strongest of its rules asks for
	Score      int           `json:"score"`
	Parts      []detect.Part `json:"parts"`
	Severity   string        `json:"severity"`
	Tags       []string      `json:"tags"`
	Reason     string        `json:"reason"`
	Spared     string        `json:"spared,omitempty"`
	FirstSeen  time.Time     `json:"first_seen"`
	LastSeen   time.Time     `json:"last_seen"`
	Countries  []string      `json:"countries"`
	Accounts   []string      `json:"accounts"`
	Addresses  int           `json:"addresses"`
	Rules      []Hit         `json:"rules"`
	Facts      *detect.Facts `json:"facts,omitempty"`
	Collateral []Why         `json:"collateral"`
	Listed     string        `json:"listed,omitempty"` // today: block, challenge or no; "" if nobody was asked
}

// Hit is one rule's part of a Verdict.
type Hit struct {
	ID        string    `json:"id"`
	Action    string    `json:"action"`
	Count     int64     `json:"count"`
	Windows   int       `json:"windows"`
	Threshold int64     `json:"threshold"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Reason    string    `json:"reason"`
	Samples   []string  `json:"samples"`
}

// Campaign is what many quiet addresses have in common.
type Campaign struct {
	Kind      string    `json:"kind"`
	Value     string    `json:"value"`
	Rule      string    `json:"rule"`
	Action    string    `json:"action"`
	Clients   int       `json:"clients"`
	Count     int64     `json:"count"`
	Windows   int       `json:"windows"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Reason    string    `json:"reason"`
}

// In is what a Result is made of.
type In struct {
	Source   Source
	Rules    []detect.Rule        // as they were judged
	Files    []detect.Rule        // the same rules as their files have them
	Asked    []detect.RuleSummary // what came of asking them
	LeftOut  []LeftOut
	Verdicts detect.Verdicts
	Rejected []detect.Rejected
	Ranges   Ranges                        // published ranges of crawlers
	Claims   map[threat.Indicator][]string // user agents that claim to be a crawler's
	Listed   map[threat.Indicator]string   // who of them is on today's list; nil: nobody was asked
	Notes    []string
}

// maxRejected bounds the rejected values that are told.
const maxRejected = 1000

// New makes the Result.
func New(in In) Result {
	r := Result{
		Source: in.Source, LeftOut: some(in.LeftOut), Verdicts: []Verdict{}, Collateral: []Collateral{}, Campaigns: []Campaign{},
		Rejected: some(in.Rejected[:min(len(in.Rejected), maxRejected)]), Notes: []string{},
	}
	r.Source.Names = safe(in.Source.Names)
	for i, j := range r.Rejected {
		r.Rejected[i].Value, r.Rejected[i].Reason = report.Safe(j.Value), report.Safe(j.Reason)
	}
	for i, l := range r.LeftOut {
		r.LeftOut[i].Reason = report.Safe(l.Reason)
	}
	for _, n := range slices.Concat(in.Notes, in.Verdicts.Notes) {
		r.Notes = append(r.Notes, report.Safe(n))
	}
	v := in.Verdicts
	for _, part := range []struct {
		verdict string
		all     []detect.Judgement
	}{{Block, v.Block}, {Challenge, v.Challenge}, {Spared, v.Spared}, {Observe, v.Observe}, {Block, v.Held}} {
		for _, j := range part.all {
			verdict := part.verdict
			if verdict == Block { // those whom a brake holds are of two kinds
				verdict = j.Action.String()
			}
			r.Verdicts = append(r.Verdicts, in.verdict(j, verdict))
		}
	}
	slices.SortStableFunc(r.Verdicts, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(rank(a.Verdict), rank(b.Verdict)), cmp.Compare(b.Score, a.Score), cmp.Compare(loudest(b), loudest(a)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Indicator, b.Indicator))
	})
	for _, c := range v.Campaigns {
		r.Campaigns = append(r.Campaigns, Campaign{
			Kind: c.Kind, Value: report.Safe(c.Value), Rule: c.Rule, Action: c.Action.String(), Clients: c.Clients, Count: c.Count, Windows: c.Windows,
			FirstSeen: c.FirstSeen.UTC(), LastSeen: c.LastSeen.UTC(), Reason: report.Safe(c.Reason),
		})
	}
	slices.SortStableFunc(r.Campaigns, func(a, b Campaign) int {
		return cmp.Or(cmp.Compare(b.Clients, a.Clients), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value), cmp.Compare(a.Rule, b.Rule))
	})
	r.Collateral = collateralOf(r.Verdicts)
	r.Rules = in.rules(r)
	r.Totals = r.totals(in)
	return r
}

func rank(verdict string) int {
	return slices.Index([]string{Block, Challenge, Spared, Observe}, verdict)
}

func loudest(v Verdict) (most int64) {
	for _, h := range v.Rules {
		most = max(most, h.Count)
	}
	return most
}

// verdict writes down one judgement.
func (in In) verdict(j detect.Judgement, verdict string) Verdict {
	v := Verdict{
		Indicator: j.Indicator.String(), Kind: j.Indicator.Kind().String(), Verdict: verdict, Score: j.Score, Parts: some(j.Parts),
		Severity: j.Severity.String(), Tags: some(j.Tags), Reason: report.Safe(j.Reason), Spared: report.Safe(j.Spared), Facts: j.Facts,
		Countries: []string{}, Accounts: []string{}, Rules: []Hit{}, Collateral: []Why{},
	}
	asked := threat.Observe
	for i, d := range j.Detections {
		asked = max(asked, d.Action)
		if i == 0 || d.FirstSeen.Before(v.FirstSeen) {
			v.FirstSeen = d.FirstSeen.UTC()
		}
		if d.LastSeen.After(v.LastSeen) {
			v.LastSeen = d.LastSeen.UTC()
		}
		v.Addresses = max(v.Addresses, d.Addresses)
		v.Countries = append(v.Countries, d.Countries...)
		v.Accounts = append(v.Accounts, d.Accounts...)
		v.Rules = append(v.Rules, Hit{
			ID: d.Rule, Action: d.Action.String(), Count: d.Count, Windows: d.Windows, Threshold: d.Threshold,
			FirstSeen: d.FirstSeen.UTC(), LastSeen: d.LastSeen.UTC(), Reason: report.Safe(d.Reason), Samples: safe(d.Samples),
		})
	}
	for i, p := range v.Parts {
		v.Parts[i].Text = report.Safe(p.Text)
	}
	v.Asked = asked.String()
	v.Countries, v.Accounts, v.Tags = distinct(safe(v.Countries)), distinct(safe(v.Accounts)), safe(v.Tags)
	if asked > threat.Observe {
		v.Collateral = in.why(j)
	}
	if in.Listed != nil {
		v.Listed = cmp.Or(in.Listed[j.Indicator], "no")
	}
	return v
}

// WriteJSON writes the Result as one object. Characters that nobody sees are written as
// escapes, which mean the same: whoever looks at the file must see what is in it.
func (r Result) WriteJSON(w io.Writer) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write backtest: %w", err)
	}
	if _, err := w.Write(visible(b.Bytes())); err != nil {
		return fmt.Errorf("write backtest: %w", err)
	}
	return nil
}

// visible writes what report.Safe would escape as JSON does. Outside of texts JSON is ASCII.
func visible(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		c, size := utf8.DecodeRune(text)
		switch {
		case c < utf8.RuneSelf && c != 0x7f, report.Safe(string(c)) == string(c):
			out = append(out, text[:size]...)
		case c > 0xffff:
			high, low := utf16.EncodeRune(c)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, c)
		}
		text = text[size:]
	}
	return out
}

// some is a copy of a list that is never null in JSON.
func some[T any](list []T) []T { return append([]T{}, list...) }

func safe(list []string) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = report.Safe(s)
	}
	return all
}

func distinct(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
