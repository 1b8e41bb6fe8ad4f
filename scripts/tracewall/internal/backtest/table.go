package backtest

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/threat"
)

// mostRows bounds each list on a terminal; the JSON and the page have more.
const mostRows = 25

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) linef(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// WriteTable writes the Result for a person at a terminal. Accounts are shortened.
func (r Result) WriteTable(w io.Writer) error {
	p := &printer{w: w}
	r.printSource(p)
	r.printRules(p)
	r.printVerdicts(p)
	r.printCollateral(p)
	r.printCampaigns(p)
	r.printTotals(p)
	r.printPromotion(p)
	for _, n := range r.Notes {
		p.linef("note: %s", report.Safe(n))
	}
	if p.err != nil {
		return fmt.Errorf("write backtest: %w", p.err)
	}
	return nil
}

func (r Result) printSource(p *printer) {
	s := r.Source
	p.linef("%s, format %s, %s to %s", report.Safe(strings.Join(s.Names, ", ")), s.Format, stamp(s.From), stamp(s.To))
	if s.Lines > 0 {
		p.linef("%s lines, %s left out", report.Number(s.Lines), report.Number(s.Skipped))
	}
	if s.Late > 0 {
		p.linef("%s lines came too late for windows that were judged already. If these are logs of several servers in one file, give them as several files.", report.Number(s.Late))
	}
	for _, l := range r.LeftOut {
		p.linef("left out: %s: %s", l.ID, report.Safe(l.Reason))
	}
}

func (r Result) printRules(p *printer) {
	p.linef("\n%-32s %-10s %8s %8s %9s %8s %7s %10s", "rule", "judged as", "rows", "block", "challenge", "observe", "spared", "collateral")
	for _, rule := range r.Rules {
		p.linef("%-32s %-10s %8s %8s %9s %8s %7s %10s", report.Safe(rule.ID), rule.JudgedAs, report.Number(rule.Rows), report.Number(rule.Block),
			report.Number(rule.Challenge), report.Number(rule.Observe), report.Number(rule.Spared), report.Number(rule.Collateral))
	}
}

func (r Result) printVerdicts(p *printer) {
	for _, part := range []struct{ verdict, title string }{
		{Block, "would have been blocked"}, {Challenge, "would have been challenged"}, {Spared, "spared"}, {Observe, "only observed"},
	} {
		var all []Verdict
		for _, v := range r.Verdicts {
			if v.Verdict == part.verdict {
				all = append(all, v)
			}
		}
		if len(all) == 0 {
			continue
		}
		p.linef("\n%s: %s", part.title, report.Number(len(all)))
		for _, v := range all[:min(len(all), mostRows)] {
			p.linef("  %-28s %3d  %s%s%s", who(v.Kind, v.Indicator), v.Score, report.Safe(v.Reason), flags(v), listed(v))
			if part.verdict == Block || part.verdict == Challenge {
				p.linef("  %-28s      %s; %s to %s", "", parts(v), stamp(v.FirstSeen), stamp(v.LastSeen))
			}
		}
		if n := len(all) - mostRows; n > 0 {
			p.linef("  … and %s more", report.Number(n))
		}
	}
	if len(r.Verdicts) == 0 {
		p.linef("\nnobody would have been blocked, challenged or observed")
	}
}

// who shortens accounts, which are personal data.
func who(kind, indicator string) string {
	if kind == threat.KindAccount.String() {
		return "account " + report.Safe(threat.Mask(indicator))
	}
	return report.Safe(indicator)
}

func flags(v Verdict) string {
	text := ""
	if len(v.Countries) > 0 {
		text = "  " + report.Safe(strings.Join(v.Countries[:min(len(v.Countries), 3)], ","))
	}
	for _, w := range v.Collateral {
		text += "  !" + w.Kind
	}
	return text
}

func listed(v Verdict) string {
	switch v.Listed {
	case "":
		return ""
	case "no":
		return "  new"
	default:
		return "  on the list (" + v.Listed + ")"
	}
}

// parts writes what a score is made of: rule +80, loud +5, successes -50.
func parts(v Verdict) string {
	var all []string
	for _, q := range v.Parts {
		all = append(all, fmt.Sprintf("%s %+d", q.Name, q.Points))
	}
	windows := 0
	for _, h := range v.Rules {
		windows += h.Windows
	}
	return strings.Join(all, ", ") + "; " + plural(windows, "window", "windows")
}

func (r Result) printCollateral(p *printer) {
	if len(r.Collateral) == 0 {
		p.linef("\ncollateral: none")
		return
	}
	p.linef("\ncollateral: %d whom rules ask to block or challenge and who are probably not, or not only, attackers; %d blocked or challenged all the same%s",
		r.Totals.Collateral, r.Totals.Harmed, claimed(r.Totals.Claims))
	for _, c := range r.Collateral[:min(len(r.Collateral), mostRows)] {
		var why []string
		for _, w := range c.Why {
			why = append(why, report.Safe(w.Text))
		}
		p.linef("  %-28s %-9s  %s", who(c.Kind, c.Indicator), c.Verdict, strings.Join(why, "; "))
	}
	if n := len(r.Collateral) - mostRows; n > 0 {
		p.linef("  … and %s more", report.Number(n))
	}
}

func claimed(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more only say that they are crawlers, which proves nothing", n)
}

func (r Result) printCampaigns(p *printer) {
	if len(r.Campaigns) == 0 {
		return
	}
	p.linef("\ncampaigns of many quiet addresses: %s", report.Number(len(r.Campaigns)))
	for _, c := range r.Campaigns[:min(len(r.Campaigns), mostRows)] {
		p.linef("  %s addresses, one %s: %.100s", report.Number(c.Clients), c.Kind, report.Safe(c.Value))
		p.linef("    %s", report.Safe(c.Reason))
	}
	if n := len(r.Campaigns) - mostRows; n > 0 {
		p.linef("  … and %s more", report.Number(n))
	}
}

func (r Result) printTotals(p *printer) {
	t := r.Totals
	p.linef("\nin all: %s block, %s challenge, %s observe, %s spared", report.Number(t.Block), report.Number(t.Challenge), report.Number(t.Observe), report.Number(t.Spared))
	if t.Already != nil {
		p.linef("against today's list: %s are on it, %s would be new", report.Number(*t.Already), report.Number(*t.New))
	}
	for _, part := range []struct {
		title  string
		counts []Count
	}{{"class", t.ByClass}, {"country", t.ByCountry}} {
		if len(part.counts) == 0 {
			continue
		}
		p.linef("\n%-32s %8s %9s %8s", "by "+part.title, "block", "challenge", "observe")
		for _, c := range part.counts[:min(len(part.counts), 10)] {
			p.linef("%-32s %8s %9s %8s", report.Safe(c.Name), report.Number(c.Block), report.Number(c.Challenge), report.Number(c.Observe))
		}
	}
	if len(t.ByTime) > 1 {
		p.linef("\nfirst seen, by %s", t.BucketSize)
		most := 1
		for _, b := range t.ByTime {
			most = max(most, b.Sum())
		}
		for _, b := range t.ByTime {
			if b.Sum() > 0 {
				p.linef("  %s  %-40s %s", b.Name, strings.Repeat("#", max(1, 40*b.Sum()/most)), report.Number(b.Sum()))
			}
		}
	}
}

func (r Result) printPromotion(p *printer) {
	p.linef("\npromotion")
	for _, rule := range r.Rules {
		to := ""
		if rule.Promotion.To != "" {
			to = " to " + rule.Promotion.To
		}
		yes := "no"
		if rule.Promotion.Possible {
			yes = "yes"
		}
		p.linef("  %-32s %-4s%s: %s", report.Safe(rule.ID), yes, to, report.Safe(rule.Promotion.Reason))
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return report.Number(int64(n)) + " " + many
}
