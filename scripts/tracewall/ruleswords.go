package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// period spells a duration as people write it: 2m, 72h, 3d.
func period(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	default:
		return d.String()
	}
}

// finds says in a sentence whom a rule finds.
func finds(r detect.Rule) string {
	if r.Class == detect.ClassContext {
		return fmt.Sprintf("what speaks for an address: its %s in windows of %s; it accuses nobody", r.Counted, period(r.Window))
	}
	who := map[string]string{
		threat.KindAddress.String(): "addresses", threat.KindAccount.String(): "accounts", "path": "paths that many addresses ask for", "network": "networks of many addresses",
		"agent": "user agents that many addresses share", "fingerprint": "fingerprints that many addresses share",
	}[r.Subject.String()]
	text := fmt.Sprintf("%s with more than %d %s in a window of %s", who, r.Threshold, r.Counted, period(r.Window))
	if r.Over > 0 {
		text = fmt.Sprintf("%s with more than %d %s within %s, counted in windows of %s that add up", who, r.Threshold, r.Counted, period(r.Over), period(r.Window))
	}
	if r.Content != nil {
		var classes []string
		for _, c := range r.Content.Classes {
			classes = append(classes, string(c))
		}
		text += "; a line counts only if its text shows " + strings.Join(classes, ", ")
	}
	return text
}

// asksFor says what becomes of whom a rule finds, as far as the rule has a say.
func asksFor(r detect.Rule) string {
	switch {
	case r.Class == detect.ClassContext:
		return "nothing: its numbers are weighed when others accuse"
	case r.Subject.Campaign != "" && r.Action == threat.Challenge:
		return "a challenge or a limit on what they share, which a person puts up (tracewall campaigns); none of the addresses is blocked for it"
	case r.Subject.Campaign != "":
		return "a person's attention; none of the addresses is blocked for it"
	case r.Action == threat.Observe:
		return "nothing but to be watched"
	default:
		return fmt.Sprintf("%s for %s, twice as long at each further strike", r.Action, period(r.Term))
	}
}

// asked says how often and how late a rule is asked.
func asked(r detect.Rule) string {
	often := "at each run"
	if r.Every > 0 {
		often = "every " + period(r.Every)
	}
	text := fmt.Sprintf("%s, over whole windows, %s after they end so that late lines are there", often, period(r.Lag))
	if r.Margin > 0 {
		text += fmt.Sprintf("; it reads %s more before them for lines that belong together", period(r.Margin))
	}
	return text
}

// spares names who is let off whatever a rule says.
func spares(r detect.Rule) []string {
	if r.Class == detect.ClassContext || r.Subject.Campaign != "" {
		return nil
	}
	all := []string{"who is on the allowlist, verified crawlers included"}
	if r.Subject.Kind == threat.KindAddress {
		return append(all, "an address with successful logins or orders, or with many accounts that behave: points are taken off, so that one bad guest does not cost the others")
	}
	return all
}

// wrap breaks text into lines of at most width characters; an empty line stays one.
func wrap(text string, width int) []string {
	var lines []string
	for _, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if lines != nil {
			lines = append(lines, "")
		}
		line := ""
		for _, word := range strings.Fields(paragraph) {
			if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
				lines, line = append(lines, line), ""
			}
			line = strings.TrimPrefix(line+" "+word, " ")
		}
		lines = append(lines, line)
	}
	return lines
}
