package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Bounds of what a terminal gets to see; --json has all of it.
const (
	maxShownSample   = 200 // characters of a line from the logs
	maxShownAccounts = 5
)

// printCase says how the Indicator was last judged, and on what grounds.
func (x explained) printCase(w io.Writer, accounts bool) {
	line := x.liner(w)
	switch {
	case x.CaseNote != "":
		line("judged", "%s", x.CaseNote)
		return
	case x.Case == nil:
		line("judged", "no case of it is kept: no rule named it lately, or an operator put it on the list")
		return
	}
	c := x.Case
	line("judged", "%s: %s, score %d of 100%s", stamp(c.At), c.verdict(), c.Score, modeTold(c.Mode))
	for _, p := range c.Parts {
		line("", "%+4d  %-12s %s", p.Points, p.Name, p.Text)
	}
	if c.Reason != "" {
		line("reason", "%s", c.Reason)
	}
	if c.Spared != "" {
		line("spared", "%s", c.Spared)
	}
	if len(c.Tags) > 0 {
		line("tags", "%s", strings.Join(c.Tags, ", "))
	}
	if where := strings.TrimPrefix(c.Country+", "+c.Network, ", "); c.Country+c.Network != "" {
		line("from", "%s", strings.TrimSuffix(where, ", "))
	}
	if f := c.Facts; f != nil {
		line("in favour", "%s, %s, %s", many(f.Ordinary, "ordinary request", "ordinary requests"),
			many(int64(f.Users), "account that behaves", "accounts that behave"), many(f.Successes, "login or order that worked", "logins or orders that worked"))
	}
	for _, h := range c.Intelligence {
		line("named by", "%s", hitTold(h.Source, h.Category, h.Confidence))
	}
	if c.Strikes > 0 {
		line("before", "%s counted", many(int64(c.Strikes), "earlier block", "earlier blocks"))
	}
	if c.Verdict == threat.Block.String() || c.Verdict == threat.Challenge.String() {
		line("term", "until %s for a first time; strikes and jitter make it longer", stamp(c.ExpiresAt))
	}
	hide := c.hider(accounts)
	for _, r := range c.Rules {
		r.print(line, hide, accounts)
	}
}

// hider returns what shortens, in lines of the logs, the accounts that are known to stand there.
func (c toldCase) hider(accounts bool) func(string) string {
	if accounts {
		return func(text string) string { return text }
	}
	var names []string
	if c.Kind == threat.KindAccount.String() {
		names = append(names, c.Indicator)
	}
	for _, r := range c.Rules {
		names = append(names, r.Accounts...)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	var pairs []string
	for _, name := range slices.Compact(names) {
		if name != "" {
			pairs = append(pairs, name, threat.Mask(name))
		}
	}
	return strings.NewReplacer(pairs...).Replace
}

func hitTold(source, category string, confidence int) string {
	if category != "" {
		source += " (" + category + ")"
	}
	return fmt.Sprintf("%s, confidence %d of 100", source, confidence)
}

func (c toldCase) verdict() string {
	switch c.Verdict {
	case threat.Observe.String():
		return "only watched"
	case detect.VerdictHeld:
		return "held by the brake, nobody was blocked in that run"
	case detect.VerdictSpared:
		return "spared"
	default:
		return c.Verdict
	}
}

func modeTold(mode string) string {
	switch mode {
	case detect.ModeObserve:
		return "; that run only observed (MODE=observe) and put nobody on the list"
	case detect.ModeDryRun:
		return "; that run was dry and put nobody on the list"
	default:
		return ""
	}
}

// print says what one rule found, and where to find it again.
func (r toldRule) print(line func(string, string, ...any), hide func(string) string, accounts bool) {
	line("rule", "%s version %d, asks to %s: %s", r.ID, r.Version, r.Action, r.Title)
	line("", "%s", r.Reason)
	line("", "%s in %s against a threshold of %s, %s to %s", report.Number(r.Count), many(int64(r.Windows), "window", "windows"), report.Number(r.Threshold), stamp(r.FirstSeen), stamp(r.LastSeen))
	if r.Addresses > 0 {
		line("", "from %s addresses", report.Number(r.Addresses))
	}
	if len(r.Accounts) > 0 {
		line("", "accounts %s", accountsTold(r.Accounts, accounts))
	}
	for _, s := range r.Samples {
		line("", "> %s", shorten(hide(s), maxShownSample))
	}
	line("", "all lines: logstore %s, %s to %s, search %s", r.Logstore, stamp(r.From), stamp(r.To), hide(r.Search))
	switch {
	case r.Note != "":
		line("", "query %.12s…: %s", r.Query, r.Note)
	default:
		line("", "query %.12s…:", r.Query)
		for _, text := range strings.Split(r.Text, "\n") {
			line("", "    %s", text)
		}
	}
}

func accountsTold(all []string, whole bool) string {
	shown := make([]string, 0, maxShownAccounts)
	for _, name := range all[:min(len(all), maxShownAccounts)] {
		if !whole {
			name = threat.Mask(name)
		}
		shown = append(shown, name)
	}
	text := strings.Join(shown, ", ")
	if more := len(all) - len(shown); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// many spells how many there are of something.
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return report.Number(n) + " " + more
}

// shorten cuts text to so many characters.
func shorten(text string, most int) string {
	n := 0
	for i := range text {
		if n++; n > most {
			return text[:i] + "…"
		}
	}
	return text
}
