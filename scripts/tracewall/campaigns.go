package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/waf/proposal"
)

const campaignsText = `Shows the campaigns of detect's last run: floods of many addresses, each too quiet to be judged alone, that ask for one path, come from one
network, or share a user agent or a fingerprint. Nobody is blocked for taking part, since most of the addresses may be
anybody's; what they share can be limited or challenged instead. --propose writes how, for AWS WAF, Alibaba Cloud WAF and
nginx, ready to paste. Nothing is ever applied by tracewall: whether your login page bears a challenge is for you to say.

The values are what attackers sent, shown escaped. A value that cannot be pasted safely gets no text, and the reason why.

--json prints one object: {"run","as_of","campaigns":[{"kind":"path|network|agent|fingerprint","value","rule","severity","action",
"clients","count","windows","first_seen","last_seen","until","countries":[],"addresses":[some],"accounts":[],"samples":[],"reason",
"proposals":[{"for","title","text","note","refused"}]}],"total"}. Accounts are whole there.`

// Bounds of what a terminal gets to see.
const (
	maxShownCampaigns = 20
	maxShownAddresses = 5
)

// toldCampaign is a campaign with what could be put in front of it.
type toldCampaign struct {
	detect.CampaignFinding
	Proposals []proposal.Proposal `json:"proposals"`
}

// toldCampaigns are those of one run.
type toldCampaigns struct {
	Run       string         `json:"run"`
	AsOf      time.Time      `json:"as_of"`
	Campaigns []toldCampaign `json:"campaigns"`
	Total     int            `json:"total"`
}

func runCampaigns(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("campaigns [--propose] [--json]", campaignsText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	propose := fs.Bool("propose", false, "write what could be put in front of each")
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
	var run detect.Report
	known, err := readLastRun(ctx, store, &run)
	if err != nil {
		return err
	}
	if !known {
		return usagef("no run of detect is known: none in seven days, or it writes to another Redis")
	}
	told := campaignsOf(run)
	if *asJSON {
		return report.EncodeJSON(a.stdout, told)
	}
	told.print(a.stdout, *propose, *accounts)
	return nil
}

func campaignsOf(r detect.Report) toldCampaigns {
	told := toldCampaigns{Run: r.Run, AsOf: r.AsOf, Campaigns: []toldCampaign{}, Total: max(r.Campaigns, len(r.CampaignList))}
	for _, c := range r.CampaignList {
		told.Campaigns = append(told.Campaigns, toldCampaign{c, proposal.For(proposal.Campaign{
			Kind: c.Kind, Value: c.Value, Count: c.Count, FirstSeen: c.FirstSeen, LastSeen: c.LastSeen,
		})})
	}
	return told
}

func (t toldCampaigns) print(w io.Writer, propose, accounts bool) {
	if t.Total == 0 {
		fmt.Fprintf(w, "no campaign in the last run of detect, at %s\n", stamp(t.AsOf))
		return
	}
	for _, c := range t.Campaigns[:min(len(t.Campaigns), maxShownCampaigns)] {
		c.print(w, propose, accounts)
	}
	if more := t.Total - min(len(t.Campaigns), maxShownCampaigns); more > 0 {
		fmt.Fprintf(w, "… and %s more; --json has up to %s\n", report.Number(more), report.Number(detect.MaxListed))
	}
	fmt.Fprintf(w, "%d in the last run of detect, at %s", t.Total, stamp(t.AsOf))
	if !propose {
		fmt.Fprint(w, "; --propose writes what could be put in front of them")
	}
	fmt.Fprintln(w)
}

func (c toldCampaign) print(w io.Writer, propose, accounts bool) {
	line := func(what, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s %s\n", what, report.Safe(fmt.Sprintf(format, args...)))
	}
	fmt.Fprintln(w, report.Safe(fmt.Sprintf("%s %s", c.Kind, shorten(c.Value, maxShownSample))))
	line("flood", "%s from %s in %s, %s to %s", many(c.Count, "request", "requests"), many(int64(c.Clients), "address", "addresses"), many(int64(c.Windows), "window", "windows"), stamp(c.FirstSeen), stamp(c.LastSeen))
	line("rule", "%s, severity %s; proposes to %s", c.Rule, c.Severity, c.Action)
	if len(c.Countries) > 0 {
		line("countries", "%s", strings.Join(c.Countries, ", "))
	}
	if len(c.Addresses) > 0 {
		shown := c.Addresses[:min(len(c.Addresses), maxShownAddresses)]
		line("addresses", "%s and others", strings.Join(shown, ", "))
	}
	if len(c.Accounts) > 0 {
		line("accounts", "%s", accountsTold(c.Accounts, accounts))
	}
	if !propose {
		return
	}
	for _, p := range c.Proposals {
		if p.Refused != "" {
			line(p.For, "no proposal: %s", p.Refused)
			continue
		}
		line(p.For, "%s", p.Title)
		line("", "%s", p.Note)
		fmt.Fprintf(w, "\n%s\n\n", strings.TrimRight(p.Text, "\n"))
	}
}
