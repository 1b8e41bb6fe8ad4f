package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// mostResources bounds the protected resources on a terminal; --json has up to a hundred.
const mostResources = 5

// print says it for people. Everything that came from a log, a list or a cloud is escaped.
func (x explained) print(w io.Writer, accounts bool) {
	line := x.liner(w)
	fmt.Fprintln(w, report.Safe(x.title(accounts)))
	switch {
	case x.Entry != nil:
		x.printEntry(line, *x.Entry, accounts)
	case len(x.Around) > 0:
		line("blocklist", "itself no, but a range around it is")
	default:
		line("blocklist", "no: %s", x.whyNot())
	}
	for _, e := range x.Around {
		line("within", "%s: %s, ends %s", e.Indicator, why(e), stamp(e.ExpiresAt))
	}
	for i, ind := range x.Inside {
		what := ""
		if i == 0 {
			what = "holds"
		}
		line(what, "%s", ind)
	}
	if more := x.InsideTotal - len(x.Inside); more > 0 {
		line("", "… and %d more on the list", more)
	}
	if x.Allowlisted != "" {
		line("allowlist", "yes: %s", x.Allowlisted)
	} else {
		line("allowlist", "no")
	}
	if x.Past.CoolOff != nil && x.Past.CoolOff.After(x.AsOf) {
		line("cool-off", "until %s: offences before then do not bring it back", stamp(*x.Past.CoolOff))
	}
	x.printCase(w, accounts)
	for _, t := range x.Targets {
		t.print(w, x.AsOf)
	}
	if x.unchallenged() {
		line("unchallenged", "no target challenges: it is on the list and nothing happens to it. An AWS target with action challenge or captcha would")
	}
	if len(x.Targets) == 0 && x.ind.Kind() == threat.KindAddress {
		line("firewalls", "no target is known: nothing was synced yet, and none of %s is set", targetSettings())
	}
}

// liner returns what prints a line under the title, escaped.
func (explained) liner(w io.Writer) func(what, format string, args ...any) {
	return func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", what, report.Safe(fmt.Sprintf(format, args...)))
	}
}

func (x explained) title(accounts bool) string {
	who := x.ind.Masked()
	switch {
	case x.ind.Kind() == threat.KindAccount && accounts:
		return "account:" + x.ind.Account()
	case x.ind.Kind() == threat.KindAccount:
		return "account:" + who
	case x.Asked != x.Indicator:
		return x.Asked + ", judged as " + who
	default:
		return who
	}
}

func (x explained) printEntry(line func(string, string, ...any), e listed, accounts bool) {
	on := "yes"
	if e.Challenge {
		on = "yes, to be challenged and not blocked"
	}
	line("blocklist", "%s: %s", on, why(e))
	line("", "%s, severity %s, count %d, strike %d%s", e.Source, e.Severity, e.Count, e.Strikes, scoreTold(e.Score))
	line("since", "%s, ends %s, in %s", stamp(e.Since), stamp(e.ExpiresAt), left(e.ExpiresAt.Sub(x.AsOf)))
	if !e.FirstSeen.IsZero() {
		line("seen", "%s to %s", stamp(e.FirstSeen), stamp(e.LastSeen))
	}
	if len(e.Countries) > 0 {
		line("countries", "%s", strings.Join(e.Countries, ", "))
	}
	if len(e.Accounts) > 0 {
		var all []string
		for _, account := range e.Accounts {
			if !accounts {
				account = threat.Mask(account)
			}
			all = append(all, account)
		}
		line("accounts", "%s", strings.Join(all, ", "))
	}
	if e.Addresses > 0 {
		line("addresses", "%d", e.Addresses)
	}
}

func scoreTold(score int) string {
	if score == 0 {
		return ""
	}
	return fmt.Sprintf(", score %d", score)
}

// whyNot says why nobody blocks it now.
func (x explained) whyNot() string {
	switch p := x.Past; {
	case p.EndedAt != nil:
		return fmt.Sprintf("its last block ended at %s", stamp(*p.EndedAt))
	case p.UnblockedAt != nil:
		return fmt.Sprintf("an operator unblocked it at %s", stamp(*p.UnblockedAt))
	default:
		return "it has not been blocked in the last 122 days"
	}
}

// why says in a few words who put an entry on the list.
func why(e listed) string {
	text := strings.Join(e.Rules, ", ")
	if e.Reason != "" {
		text = strings.TrimPrefix(text+"; "+e.Reason, "; ")
	}
	if text == "" {
		text = e.Source
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// print says what one target knows.
func (t explainedTarget) print(w io.Writer, now time.Time) {
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "    %s\n", report.Safe(fmt.Sprintf(format, args...)))
	}
	head := fmt.Sprintf("  %-24s %s", report.Safe(t.Kind+" "+t.Name), report.Safe(string(t.State)))
	switch {
	case t.Proof != nil && t.Reason != "" && t.Reason == strings.Join(t.Proof.Reasons, "; "):
		head += ": what the sets hold is not in force, see below"
	case t.Reason != "":
		head += ": " + report.Safe(t.Reason)
	}
	fmt.Fprintln(w, head)
	if t.AsOf.IsZero() {
		return
	}
	if t.By != "" {
		line("by the entry %s", t.By)
	}
	where := t.Wall
	if where != "" {
		where += "; "
	}
	line("%slast run %s, %s ago (%s)", where, stamp(t.AsOf), left(now.Sub(t.AsOf)), t.Mode)
	if t.Behind {
		line("the list has changed since that run; the wall follows with the next one")
	}
	if t.Error != "" {
		line("that run failed: %s", t.Error)
	}
	if t.Held != nil {
		line("it is held: %s; tracewall approve %s lets it go on", t.Held.Reason, enforce.Key(t.Kind, t.Name))
	}
	for _, d := range t.Drift {
		line("changed by somebody else: %s", d)
	}
	switch {
	case t.Proof != nil:
		printProof(line, *t.Proof)
	case t.Mode != modeDetached:
		line("never proven to be in force; tracewall sync %s --verify asks", t.Kind)
	}
}

// printProof says where the rule stands, and what it protects.
func printProof(line func(string, ...any), p waf.Proof) {
	switch {
	case p.Effective:
		line("proven in force on %s", stamp(p.AsOf))
	case p.AsOf.IsZero():
		line("not known to be in force")
	default:
		line("NOT in force, as seen on %s", stamp(p.AsOf))
	}
	for _, r := range p.Reasons {
		line("  %s", r)
	}
	for _, u := range p.WebACLs {
		line("it stands in %s: rule %s, priority %d, %s", u.Name, u.Rule, u.Priority, u.Action)
		if len(u.Behind) > 0 {
			line("  behind the Allow rules %s: what they let through never gets here", strings.Join(u.Behind, ", "))
		}
		if len(u.Ahead) > 0 {
			line("  ahead of the Allow rules %s", strings.Join(u.Ahead, ", "))
		}
		if u.DefaultAction == "Block" {
			line("  its default action is Block: whom no rule decides on is blocked as well")
		}
		if u.ResourceCount == 0 {
			continue // the reasons say so
		}
		shown := u.Resources[:min(len(u.Resources), mostResources)]
		more := ""
		if n := u.ResourceCount - len(shown); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		if u.Partial {
			more += ", and there may be more"
		}
		line("  protects %s%s", strings.Join(shown, ", "), more)
	}
}
