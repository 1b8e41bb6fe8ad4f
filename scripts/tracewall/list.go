package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

const listText = `Shows who is blocked or to be challenged, the last to be released first. On a terminal accounts are shortened, since they
are personal data; --accounts shows them whole.

--json prints one object: {"as_of", "entries": [{"indicator", "kind": "ip|account", "source": "detect|operator",
"severity", "rules": [], "reason", "count", "first_seen", "last_seen", "countries": [], "accounts": [],
"addresses", "since", "expires_at", "strikes", "challenge": to be challenged and not blocked, "score", "tags": []}], "total"}. Accounts are whole there.`

// listed is an entry as --json shows it.
type listed struct {
	Indicator string          `json:"indicator"`
	Kind      string          `json:"kind"`
	Source    string          `json:"source"`
	Severity  threat.Severity `json:"severity"`
	Rules     []string        `json:"rules"`
	Reason    string          `json:"reason"`
	Count     int64           `json:"count"`
	FirstSeen time.Time       `json:"first_seen"`
	LastSeen  time.Time       `json:"last_seen"`
	Countries []string        `json:"countries"`
	Accounts  []string        `json:"accounts"`
	Addresses int             `json:"addresses"`
	Since     time.Time       `json:"since"`
	ExpiresAt time.Time       `json:"expires_at"`
	Strikes   int             `json:"strikes"`
	Challenge bool            `json:"challenge"`
	Score     int             `json:"score"` // 0: not known
	Tags      []string        `json:"tags"`
}

func runList(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("list [--json]", listText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	accounts := fs.Bool("accounts", false, "show accounts whole")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	out := bufio.NewWriterSize(a.stdout, 64<<10)
	now := a.now().UTC().Truncate(time.Second)
	l := lister{out: out, accounts: *accounts, now: now}
	page := l.text
	if *asJSON {
		page = l.json
	}
	if _, err := store.Each(ctx, now, page); err != nil {
		_ = out.Flush() // what has been listed so far is true all the same
		return explain(err)
	}
	if *asJSON {
		l.jsonEnd()
	} else {
		l.textEnd()
	}
	return out.Flush()
}

// lister writes pages of entries as they come: a million of them need no memory.
type lister struct {
	out      *bufio.Writer
	accounts bool
	now      time.Time
	n        int
}

func (l *lister) text(page []blocklist.Entry) error {
	for _, e := range page {
		if l.n++; l.n == 1 {
			fmt.Fprintf(l.out, "%-42s %-9s %-11s %-8s %s\n", "WHO", "SOURCE", "LEFT", "COUNT", "WHY")
		}
		who := e.Indicator.Masked()
		if e.Indicator.Kind() == threat.KindAccount {
			if who = "account:" + who; l.accounts {
				who = "account:" + e.Indicator.Account()
			}
		}
		why := strings.Join(e.Rules, ", ")
		if e.Reason != "" {
			why = strings.TrimPrefix(why+"; "+e.Reason, "; ")
		}
		if e.Challenge {
			why = strings.TrimSuffix("to be challenged: "+why, ": ")
		}
		fmt.Fprintf(l.out, "%-42s %-9s %-11s %-8d %s\n", report.Safe(who), e.Source, left(e.ExpiresAt.Sub(l.now)), e.Count, report.Safe(why))
	}
	return l.flush()
}

func (l *lister) textEnd() {
	if l.n == 0 {
		fmt.Fprintln(l.out, "nobody is blocked")
		return
	}
	fmt.Fprintf(l.out, "%d blocked\n", l.n)
}

func (l *lister) json(page []blocklist.Entry) error {
	for _, e := range page {
		sep := ",\n"
		if l.n++; l.n == 1 {
			sep = l.jsonStart()
		}
		text, err := json.Marshal(listedOf(e))
		if err != nil {
			return fmt.Errorf("encode entry: %w", err)
		}
		fmt.Fprintf(l.out, "%s%s", sep, report.SafeJSON(text))
	}
	return l.flush()
}

func (l *lister) jsonStart() string {
	return fmt.Sprintf("{\"as_of\":%q,\"entries\":[\n", l.now.Format(time.RFC3339))
}

func (l *lister) jsonEnd() {
	if l.n == 0 {
		fmt.Fprint(l.out, l.jsonStart())
	}
	fmt.Fprintf(l.out, "\n],\"total\":%d}\n", l.n)
}

// flush reports a reader that has gone away, so that the rest is not read in vain.
func (l *lister) flush() error {
	if err := l.out.Flush(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}

// some makes an absent list an empty one: JSON readers need not tell null from [].
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// left spells a duration in two units, as people say it.
func left(d time.Duration) string {
	d = d.Round(time.Second)
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd %dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	default:
		return fmt.Sprintf("%ds", d/time.Second)
	}
}
