package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

const approveText = `Lets the next run of a firewall target do what the last one held back: release or add more addresses than a run
may by itself. Shows what was held, and why, and stores the approval with those numbers as its bounds: the next run
may do as much and no more. It is used once and ends after an hour. Nothing changes until that run; tracewall sync
aws-waf --yes-really does it at once, without bounds.

Look first: tracewall sync aws-waf --dry-run --target TARGET shows the plan. A list that is suddenly
much smaller is more often a broken list than a peaceful night.

tracewall approve detect does the same for detect's own brake: when a run would have put too many on the list at once (in all,
of one country, of one network, of those who make the ordinary requests), it puts nobody there and fails. What was held is shown,
the worst first; the approval is for so many new ones and no more, and is used by the next run that the brake would hold. Detect reads
the same time again, so that nothing is lost by waiting.

Nothing is stored when nothing is held: the exit code is then 2.

--json prints one object: {"target","held":{"add","release","unexplained","holds","reason"},"held_at","approved_until"}, and for detect
"run" and "list":[{as in reports: "indicator","kind","rules":[],"score","reason",…}], at most 10,000.`

// approveStore is what approving needs of the blocklist's store.
type approveStore interface {
	Status(ctx context.Context, target string) ([]byte, error)
	SaveApproval(ctx context.Context, target string, a blocklist.Approval) error
	Run(ctx context.Context, id string) ([]byte, error)
	Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error)
}

// approved is what was approved.
type approved struct {
	Target        string    `json:"target"`
	Held          waf.Held  `json:"held"`
	HeldAt        time.Time `json:"held_at"`
	ApprovedUntil time.Time `json:"approved_until"`
}

func runApprove(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("approve TARGET|detect [--json]", approveText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	accounts := fs.Bool("accounts", false, "show accounts whole")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usagef("no target is named: want a name from one of %s, or detect", targetSettings())
	case len(rest) > 1:
		return usagef("argument %q: want one target", rest[1])
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if rest[0] == detect.ApprovalTarget {
		return a.approveDetect(ctx, store, *asJSON, *accounts)
	}
	done, err := a.approve(ctx, store, rest[0])
	if err != nil {
		return err
	}
	if *asJSON {
		return report.EncodeJSON(a.stdout, done)
	}
	h := done.Held
	fmt.Fprintf(a.stdout, "%s was held at %s: %s\n", report.Safe(done.Target), stamp(done.HeldAt), report.Safe(h.Reason))
	fmt.Fprintf(a.stdout, "  it holds %s addresses and ranges; %s would be released, %s of them without their term having ended, and %s added\n",
		report.Number(h.Holds), report.Number(h.Release), report.Number(h.Unexplained), report.Number(h.Add))
	fmt.Fprintf(a.stdout, "approved: its next run may do as much; the approval ends at %s, or when it is used\n", stamp(done.ApprovedUntil))
	return nil
}

func (a *app) approve(ctx context.Context, store approveStore, target string) (approved, error) {
	target, text, err := findStatus(ctx, store, target)
	if err != nil {
		return approved{}, err
	}
	var s enforce.Status
	if err := json.Unmarshal(text, &s); err != nil {
		return approved{}, fmt.Errorf("status of %s: %w", target, err)
	}
	if s.Held == nil {
		return approved{}, usagef("nothing is held: the last run of %s, at %s, held nothing back", target, stamp(s.AsOf))
	}
	now := a.now().UTC().Truncate(time.Second)
	err = store.SaveApproval(ctx, target, blocklist.Approval{Add: s.Held.Add, Release: s.Held.Unexplained, By: a.user(), At: now})
	if err != nil {
		return approved{}, err
	}
	return approved{Target: target, Held: *s.Held, HeldAt: s.AsOf, ApprovedUntil: now.Add(blocklist.ApprovalTTL)}, nil
}

// findStatus returns the key of a target that is named with its cloud or, if only one cloud has such
// a target, without, and the status of its last run.
func findStatus(ctx context.Context, store approveStore, name string) (key string, status []byte, err error) {
	keys := []string{name}
	if !strings.Contains(name, ":") {
		keys = nil
		for _, kind := range kinds() {
			keys = append(keys, enforce.Key(kind, name))
		}
	}
	var found []string
	for _, k := range keys {
		text, err := store.Status(ctx, k)
		if errors.Is(err, blocklist.ErrNoReport) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		found, key, status = append(found, k), k, text
	}
	switch len(found) {
	case 0:
		return "", nil, usagef("nothing is held: no run of target %q is known", name)
	case 1:
		return key, status, nil
	default:
		return "", nil, usagef("target %q: want one of %s", name, strings.Join(found, ", "))
	}
}

// user is who is typing, and where, as far as the environment tells; it is for people who read it later.
func (a *app) user() string {
	name, _ := a.lookup("USER")
	host, err := os.Hostname()
	if err == nil && host != "" && name != "" {
		name += "@" + host
	}
	if len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		return ""
	}
	return name
}
