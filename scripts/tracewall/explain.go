package main

import (
	"context"
	"flag"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

const explainText = `Says why an address or an account is blocked, or why it is not. ACCOUNT is a bare name, or account:NAME for one that looks like an
address. From the list: its entry, the ranges around it, its past, who has allowlisted it. From the last time that a run of detect
judged it: the score and what it is made of, each rule with its version, its count against its threshold, its query and some of the
lines that it rests on, what speaks for the address, and where to find all the lines. And for each firewall target what the last
run knows of it:

  enforced  on the wall, and the wall was proven to act on it
  pending   wanted, but not (known to be) in force yet; the reason says what is missing
  overflow  wanted, but there is no room; everything that is in force is more urgent
  rejected  wanted, but the firewall or a guard refuses it; the reason says why
  spared    on the blocklist, but the allowlist lets it through
  unchallenged  on the blocklist only to be challenged, and this target blocks
  unwanted  not on the blocklist
  leaving   not on the blocklist any more, and still on the wall until its next run

An IPv6 address is explained by its /64, by which tracewall judges. A range also lists what is on the list
inside of it. It asks Redis only and changes nothing; what it says of a firewall is what the target's last run
proved, and as old as that run, whose time it tells. tracewall sync CLOUD --verify proves anew.

A case is kept for two weeks after the block that it led to, or for a week when it led to none; a thousand of the latter each run.
tracewall why-not asks the same and answers what keeps it from being blocked.

--json prints one object: {"indicator","asked","as_of","listed","entry":{as in list},"around":[entries],"inside":[],
"inside_total","allowlisted","past":{"ended_at","unblocked_at","cool_off","strikes"},"case":{"run","at","verdict":"observe|challenge|block|
spared|held","score","parts":[{"name","points","text"}],"severity","tags":[],"reason","spared","mode","rules":[{"id","version","title",
"action","reason","count","windows","threshold","first_seen","last_seen","logstore","from","to","search","query": its sha256,"query_text",
"query_note","samples":[],"accounts":[],"addresses"}],"facts":{"ordinary","users","successes"},"intelligence":[{"source","category",
"confidence","seen"}],"strikes","expires_at","country","network"},"case_note","targets":[{"kind","name","state","reason","by","as_of",
"generation","behind","proof":{"as_of","effective","reasons":[],"web_acls":[{"name","rule","priority","action","behind":[],
"ahead":[],"resources":[],"resource_count"}]},"held","drift":[],"error"}]}. What is not known is absent or null.`

// explainStore is what explaining needs of the blocklist's store.
type explainStore interface {
	About(ctx context.Context, now time.Time, ind threat.Indicator) (redisstore.About, error)
	Allowlist(ctx context.Context) (allowlist.List, error)
	Groups(ctx context.Context) ([]string, error)
	Status(ctx context.Context, target string) ([]byte, error)
	Case(ctx context.Context, ind threat.Indicator) (blocklist.Case, bool, error)
}

// explained is all that can be said of one Indicator.
type explained struct {
	Asked       string            `json:"asked"`
	Indicator   string            `json:"indicator"`
	AsOf        time.Time         `json:"as_of"`
	Listed      bool              `json:"listed"`
	Entry       *listed           `json:"entry"`
	Around      []listed          `json:"around"`
	Inside      []string          `json:"inside"`
	InsideTotal int               `json:"inside_total"`
	Allowlisted string            `json:"allowlisted"` // by whom, in words; "" if not
	Past        past              `json:"past"`
	Case        *toldCase         `json:"case"`
	CaseNote    string            `json:"case_note,omitempty"` // why there is no case that can be read
	Targets     []explainedTarget `json:"targets"`

	ind  threat.Indicator
	list []blocklist.Entry // Entry and Around as the store has them
}

type past struct {
	EndedAt     *time.Time `json:"ended_at,omitempty"`
	UnblockedAt *time.Time `json:"unblocked_at,omitempty"`
	CoolOff     *time.Time `json:"cool_off,omitempty"` // up to when that unblock holds
	Strikes     int        `json:"strikes"`
}

func runExplain(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("explain ADDRESS|ACCOUNT [--json]", explainText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	accounts := fs.Bool("accounts", false, "show accounts whole")
	ind, err := a.parseOne(fs, args)
	if err != nil {
		return err
	}
	store, err := a.openList(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	x, err := a.explain(ctx, store, ind)
	if err != nil {
		return explain(err)
	}
	if p := x.ind.Prefix(); p.IsValid() && !x.single() {
		inside, total, err := store.Inside(ctx, x.AsOf, p, maxTold)
		if err != nil {
			return explain(err)
		}
		x.InsideTotal = total
		for _, i := range inside {
			x.Inside = append(x.Inside, i.String())
		}
	}
	if *asJSON {
		return report.EncodeJSON(a.stdout, x)
	}
	x.print(a.stdout, *accounts)
	return nil
}

// parseOne reads the one address or account that explain and why-not are about.
func (a *app) parseOne(fs *flag.FlagSet, args []string) (threat.Indicator, error) {
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return threat.Indicator{}, err
	case len(rest) == 0:
		return threat.Indicator{}, usagef("nobody is named: want an address or an account")
	case len(rest) > 1:
		return threat.Indicator{}, usagef("argument %q: want one address or account", rest[1])
	}
	ind, err := parseSubject(rest[0])
	if err != nil && !likeAddress(rest[0]) {
		if account, accountErr := threat.Account(rest[0]); accountErr == nil {
			return account, nil
		}
	}
	if err != nil {
		return threat.Indicator{}, usagef("%.80q: %w: want an address, a range, an account or account:NAME", rest[0], err)
	}
	return ind, nil
}

// likeAddress tells whether text was meant as an address, so that a slip of the finger in
// one is no account.
func likeAddress(text string) bool {
	return strings.ContainsAny(text, ".:") && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF.:/[]%", r)
	}) || strings.HasPrefix(text, "ip:") || strings.HasPrefix(text, "account:")
}

// explain gathers what the list, the allowlist and the targets' last runs say of an Indicator.
func (a *app) explain(ctx context.Context, store explainStore, ind threat.Indicator) (explained, error) {
	now := a.now().UTC().Truncate(time.Second)
	x := explained{
		Asked: ind.String(), AsOf: now, ind: ind.Unit(), Indicator: ind.Unit().String(),
		Around: []listed{}, Inside: []string{}, Targets: []explainedTarget{},
	}
	about, err := store.About(ctx, now, x.ind)
	if err != nil {
		return x, err
	}
	x.Past = pastOf(about.Past)
	if ind != x.ind { // an operator may have blocked the one address
		exact, err := store.About(ctx, now, ind)
		if err != nil {
			return x, err
		}
		if exact.Entry != nil {
			x.ind, x.Indicator, about.Entry, about.Around = ind, ind.String(), exact.Entry, exact.Around
		}
	}
	if e := about.Entry; e != nil {
		l := listedOf(*e)
		x.Listed, x.Entry, x.list = true, &l, append(x.list, *e)
	}
	for _, e := range about.Around {
		x.Listed = true
		x.Around, x.list = append(x.Around, listedOf(e)), append(x.list, e)
	}
	allow, err := store.Allowlist(ctx)
	if err != nil {
		return x, err
	}
	x.Allowlisted, _ = allow.Covers(x.ind, now)
	if err := a.readCase(ctx, store, &x); err != nil {
		return x, err
	}
	if x.ind.Kind() != threat.KindAddress {
		return x, nil // no firewall knows accounts
	}
	names, err := a.knownTargets(ctx, store)
	if err != nil {
		return x, err
	}
	for _, name := range names {
		t, err := x.target(ctx, store, name, about.Generation)
		if err != nil {
			return x, err
		}
		x.Targets = append(x.Targets, t)
	}
	return x, nil
}

func pastOf(p blocklist.Past) past {
	out := past{Strikes: p.Strikes}
	moment := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		at = at.UTC()
		return &at
	}
	out.CoolOff = moment(p.CoolOff)
	if out.UnblockedAt = moment(p.Released); p.Until.After(p.Released) || out.UnblockedAt == nil {
		out.EndedAt = moment(p.Until)
	}
	return out
}

// listedOf is an entry as list and explain show it.
func listedOf(e blocklist.Entry) listed {
	return listed{
		Indicator: e.Indicator.String(), Kind: e.Indicator.Kind().String(), Source: e.Source, Severity: e.Severity,
		Rules: some(e.Rules), Reason: e.Reason, Count: e.Count, FirstSeen: e.FirstSeen.UTC(), LastSeen: e.LastSeen.UTC(),
		Countries: some(e.Countries), Accounts: some(e.Accounts), Addresses: e.Addresses,
		Since: e.Since.UTC(), ExpiresAt: e.ExpiresAt.UTC(), Strikes: e.Strikes, Challenge: e.Challenge, Score: e.Score, Tags: some(e.Tags),
	}
}
