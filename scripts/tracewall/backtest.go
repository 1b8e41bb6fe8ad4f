//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/backtest"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/replay"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

const backtestText = `Says what rules would have done to a log: who would have been blocked, challenged or only watched, with the
reason, the parts of the score and the windows; who among them is probably somebody's customer; and whether a
rule is ready for more than it asks for. It changes nothing, anywhere.

Give the rules (--rule, or --all) and the log: files (--logs, of any size, plain or gzip, several parts of one log or
logs of several servers; "-" is standard input), or what Log Service has (--sls --from --to, with the settings of the
function detect: SLS_ENDPOINT, SLS_PROJECT, SLS_LOGSTORE, SLS_REGION, FORMAT, FIELDS, FIELD_…, and a key).

A rule on trial that is named with --rule is judged as it would be after its trial. Verdicts rest on the log and the
allowlist (--allowlist, else that of REDIS_URL): without intelligence, earlier strikes and DNS, each of which changes
them by one step at most.

Collateral are those whom rules ask to block or challenge and who are on the allowlist, in a published range of a
crawler (--ranges), have logins or orders that worked, or share an address with many accounts that behave; also, but
not counted, who only says to be a crawler. With REDIS_URL it also says who is on the list today.

The result goes to standard output as a table, or with --json as one object; --html writes a page as well. The same
log gives the same bytes. Accounts are whole in the JSON and shortened elsewhere. Exit code 3 means that there is
collateral, so that a pipeline can stop there; --gate harmed counts only those who would be blocked or challenged all
the same, --gate none nobody.

--json: {"source":{"kind","names":[],"format","from","to","lines","left_out","late"}, "rules":[{"id","version","title","class",
"action","judged_as","rows","block","challenge","observe","spared","campaigns","collateral","promotion":{"possible","to","reason"}}],
"left_out":[{"id","reason"}], "totals":{"block","challenge","observe","spared","collateral","harmed","claims","campaigns","rejected",
"already_listed","new","by_rule":[{"name","block","challenge","observe"}],"by_class":[],"by_country":[],"by_time":[{"from",…}],"bucket"},
"verdicts":[{"indicator","kind","verdict":"block|challenge|spared|observe","asked","score","parts":[{"name","points","text"}],"severity",
"tags":[],"reason","spared","first_seen","last_seen","countries":[],"accounts":[],"addresses","rules":[{"id","action","count","windows",
"threshold","first_seen","last_seen","reason","samples":[]}],"facts":{"ordinary","users","successes"},"collateral":[{"kind","text"}],
"listed":"block|challenge|no"}], "collateral":[{"indicator","kind","verdict","harmed","proven","why":[]}], "campaigns":[{"kind","value",
"rule","action","clients","count","windows","first_seen","last_seen","reason"}], "rejected":[{"rule","value","reason","count"}], "notes":[]}.
Lists are sorted and never null, times are RFC 3339 in UTC. What is not printable in a log is escaped.`

// backtestFlags are the flags of backtest.
type backtestFlags struct {
	rules     []string
	all       bool
	folder    string
	logs      []string
	format    string
	fields    map[string]string
	allowlist string
	ranges    string
	sls       bool
	from, to  time.Time
	now       time.Time
	late      time.Duration
	as        string
	gate      string
	json      bool
	html      string
	memory    int
}

// What --gate takes.
const (
	gateAny    = "any"
	gateHarmed = "harmed"
	gateNone   = "none"
)

func (a *app) backtestFlags(args []string) (f backtestFlags, err error) {
	fs := a.newFlags("backtest --rule ID[,ID…]|--all --logs FILE… | --sls --from TIME --to TIME [--json] [--html FILE]", backtestText)
	words := func(list *[]string) func(string) error {
		return func(text string) error {
			*list = append(*list, strings.Split(text, ",")...)
			return nil
		}
	}
	moment := func(at *time.Time) func(string) error {
		return func(text string) (err error) {
			*at, err = time.Parse(time.RFC3339, text)
			return err
		}
	}
	fs.Func("rule", "judge by these `rules`, ids with commas between them", words(&f.rules))
	fs.BoolVar(&f.all, "all", false, "judge by every rule for the format")
	fs.StringVar(&f.folder, "rules", "", "take the rules from the files in this `folder` instead of those that are shipped")
	fs.Func("logs", "read this `FILE`; may be given several times, and more files may follow", func(name string) error {
		f.logs = append(f.logs, name)
		return nil
	})
	fs.StringVar(&f.format, "format", string(logfile.Auto), "the `format` of the logs, as tracewall local knows them")
	f.fields = map[string]string{}
	fs.Func("field", "what a field is called in these logs, `NAME=FIELD`, such as address=client_ip; may be given several times", func(text string) error {
		name, field, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("want NAME=FIELD, such as address=client_ip")
		}
		f.fields[name] = field
		return nil
	})
	fs.StringVar(&f.allowlist, "allowlist", "", "who must not be blocked, a `FILE` as tracewall allow takes it")
	fs.StringVar(&f.ranges, "ranges", "", "published ranges of crawlers, a `FILE` with a range and a name in each line")
	fs.BoolVar(&f.sls, "sls", false, "ask Log Service instead of reading files")
	fs.Func("from", "with --sls: begin at this `time`, such as 2026-11-21T00:00:00Z", moment(&f.from))
	fs.Func("to", "with --sls: end at this `time`", moment(&f.to))
	fs.Func("now", "read files as if now were this `time`: it tells the year of lines that have none (default: the clock)", moment(&f.now))
	fs.DurationVar(&f.late, "late", 0, "how `late` a line of a file may come and still count, at least 5m")
	fs.StringVar(&f.as, "as", "", "judge the rules as if they asked for this `action`: observe, challenge or block")
	fs.StringVar(&f.gate, "gate", gateAny, "which collateral makes exit code 3: any, harmed or none")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.StringVar(&f.html, "html", "", "write a page to this `FILE`, too")
	fs.IntVar(&f.memory, "memory", replay.DefaultMemory>>20, "how many `megabytes` of lines to keep in memory; what is more waits on disk")
	rest, err := a.parse(fs, args)
	if err != nil {
		return f, err
	}
	f.logs = append(f.logs, rest...)
	return f, f.check()
}

func (f *backtestFlags) check() error {
	switch {
	case f.all == (len(f.rules) > 0):
		return usagef("--rule and --all: want one of them")
	case f.sls == (len(f.logs) > 0):
		return usagef("--logs and --sls: want one of them")
	case f.sls && (f.from.IsZero() || !f.from.Before(f.to)):
		return usagef("--sls: want --from and --to, the earlier one first, such as --from 2026-11-21T00:00:00Z --to 2026-11-22T00:00:00Z")
	case !f.sls && (!f.from.IsZero() || !f.to.IsZero()):
		return usagef("--from and --to: want them only with --sls; a file is read whole")
	case f.sls && f.to.Sub(f.from) > 31*24*time.Hour:
		return usagef("--from and --to: want at most 31 days")
	case f.as != "" && !slices.Contains([]string{"observe", "challenge", "block"}, f.as):
		return usagef("--as %q: want observe, challenge or block", f.as)
	case !slices.Contains([]string{gateAny, gateHarmed, gateNone}, f.gate):
		return usagef("--gate %q: want any, harmed or none", f.gate)
	case f.late < 0 || f.late > 24*time.Hour:
		return usagef("--late %s: want at most 24h", f.late)
	case f.memory < 16 || f.memory > 1<<20:
		return usagef("--memory %d: want 16 to 1048576", f.memory)
	case slices.Index(f.logs, "-") != len(f.logs)-1-slices.Index(reversed(f.logs), "-") && slices.Contains(f.logs, "-"):
		return usagef("--logs -: standard input can be read once")
	}
	return nil
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}

func runBacktest(ctx context.Context, a *app, args []string) error {
	f, err := a.backtestFlags(args)
	if err != nil {
		return err
	}
	// Most of what is held is lines, which cost the collector nothing to pass over: looking
	// twice as often as usual keeps a long log's memory near what is in use.
	defer debug.SetGCPercent(debug.SetGCPercent(50))
	if f.now.IsZero() {
		f.now = a.now()
	}
	in, err := a.backtestInput(f)
	if err != nil {
		return err
	}
	// What is wrong with the rest is cheaper to learn before than after reading the logs.
	against, done, err := a.backtestAgainst(ctx, f)
	if err != nil {
		return err
	}
	defer done()
	b := &backtesting{app: a, flags: f, against: against}
	if f.sls {
		err = b.askService(ctx)
	} else {
		err = b.readFiles(ctx)
	}
	if err != nil {
		return err
	}
	in.Source, in.LeftOut, in.Asked, in.Rejected = b.source, b.left, b.asked, b.gathered.Rejected
	in.Rules, in.Files, in.Claims = b.rules, b.files, b.claims()
	in.Notes = append(in.Notes, against.notes...)
	if in.Verdicts, err = b.judge(ctx); err != nil {
		return err
	}
	if in.Listed, err = against.listed(ctx, a.now(), in.Verdicts); err != nil {
		return err
	}
	return a.tellBacktest(f, backtest.New(in))
}

// backtestInput reads what a Result needs beside the log.
func (a *app) backtestInput(f backtestFlags) (in backtest.In, err error) {
	if f.ranges == "" {
		return in, nil
	}
	file, err := a.openFile(f.ranges)
	if err != nil {
		return in, err
	}
	defer file.Close()
	if in.Ranges, err = backtest.ReadRanges(file); err != nil {
		return in, usageError{fmt.Errorf("--ranges %s: %w", f.ranges, err)}
	}
	return in, nil
}

// tellBacktest prints the result. Collateral is an error, so that a pipeline stops.
func (a *app) tellBacktest(f backtestFlags, r backtest.Result) error {
	write := r.WriteTable
	if f.json {
		write = r.WriteJSON
	}
	if err := write(a.stdout); err != nil {
		return err
	}
	if f.html != "" {
		if err := backtest.WriteFile(f.html, r.WritePage); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "page written to %s\n", report.Safe(f.html))
	}
	n := map[string]int{gateAny: r.Totals.Collateral, gateHarmed: r.Totals.Harmed}[f.gate]
	if n > 0 {
		return guardError{fmt.Errorf("collateral: %d whom the rules ask to block or challenge are probably not, or not only, attackers; see the list", n)}
	}
	return nil
}

// backtestRules chooses the rules for a format, with the names that fields have in the logs. Of all
// rules those that need what the logs lack are left out; a rule that was named must run.
func (b *backtesting) chooseRules(format string, mapping detect.Mapping) error {
	all, err := b.app.backtestRuleFiles(b.flags)
	if err != nil {
		return err
	}
	fitting := detect.ForFormat(all, format)
	chosen := fitting
	if !b.flags.all {
		if chosen, err = detect.Select(all, b.flags.rules); err != nil {
			return usageError{err}
		}
		for _, r := range chosen {
			if !slices.ContainsFunc(fitting, func(o detect.Rule) bool { return o.ID == r.ID }) {
				return usagef("--rule %s: it reads %s, and these logs are %s", r.ID, strings.Join(r.Formats, ", "), format)
			}
		}
		for _, r := range fitting { // what speaks for addresses is asked whatever accuses them
			if r.Class == detect.ClassContext && !slices.ContainsFunc(chosen, func(o detect.Rule) bool { return o.ID == r.ID }) {
				chosen = append(chosen, r)
			}
		}
	}
	for _, r := range chosen {
		named := slices.Contains(b.flags.rules, r.ID)
		in, ok := r.In(detect.SLS)
		lacks := mapping.Lacks(in)
		switch {
		case !ok:
			b.leaveOut(r.ID, "has no query for Log Service")
		case lacks != nil:
			b.leaveOut(r.ID, "these logs have no field for "+strings.Join(lacks, ", ")+"; --field says what it is called")
		default:
			if in, err = in.WithFields(mapping); err != nil {
				return usageError{err}
			}
			b.files, b.rules = append(b.files, in), append(b.rules, b.flags.judgedAs(in, named))
			continue
		}
		if named {
			return usagef("--rule %s: %s", r.ID, b.left[len(b.left)-1].Reason)
		}
	}
	if !slices.ContainsFunc(b.rules, func(r detect.Rule) bool { return r.Class != detect.ClassContext }) {
		return usagef("there is no rule for format %s that these logs can answer", format)
	}
	return nil
}

func (b *backtesting) leaveOut(id, reason string) {
	b.left = append(b.left, backtest.LeftOut{ID: id, Reason: reason})
}

// judgedAs returns a rule as it is to be judged.
func (f backtestFlags) judgedAs(r detect.Rule, named bool) detect.Rule {
	switch {
	case r.Class == detect.ClassContext:
	case f.as != "":
		_ = r.Action.UnmarshalText([]byte(f.as)) // one of its own words
		if r.Subject.Campaign != "" {            // most of a campaign's addresses are strangers to it
			r.Action = min(r.Action, threat.Challenge)
		}
	case named && r.Trial != nil:
		r.Action = r.Trial.Then
	}
	return r
}

func (a *app) backtestRuleFiles(f backtestFlags) ([]detect.Rule, error) {
	if f.folder == "" {
		return detect.Shipped()
	}
	rules, err := detect.Load(os.DirFS(f.folder))
	if err != nil {
		return nil, usageError{fmt.Errorf("--rules %s: %w", f.folder, err)}
	}
	return rules, nil
}

// against is what verdicts are held against.
type against struct {
	allowlist detect.Checker
	list      interface {
		Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error)
	} // nil: REDIS_URL is not set
	notes []string
}

// backtestAgainst reads the allowlist: the file's, else that of REDIS_URL, else nobody's.
func (a *app) backtestAgainst(ctx context.Context, f backtestFlags) (against, func(), error) {
	var with against
	done := func() {}
	if url, _ := a.lookup("REDIS_URL"); url != "" {
		store, err := a.openList(ctx)
		if err != nil {
			return with, done, err
		}
		done, with.list = func() { _ = store.Close() }, store
		if f.allowlist == "" {
			list, err := store.Allowlist(ctx)
			switch {
			case errors.Is(err, blocklist.ErrNoAllowlist):
				with.notes = append(with.notes, "no allowlist is stored yet: nobody was spared")
			case err != nil:
				done()
				return with, func() {}, fmt.Errorf("read allowlist: %w", explain(err))
			}
			with.allowlist = list
			return with, done, nil
		}
	}
	if f.allowlist == "" {
		with.notes = append(with.notes, "no allowlist was given (--allowlist FILE): nobody was spared")
		with.allowlist = nobodySpared{}
		return with, done, nil
	}
	list, err := a.readAllowlist(f.allowlist)
	if err != nil {
		done()
		return with, func() {}, err
	}
	with.allowlist = list
	return with, done, nil
}

// nobodySpared is the allowlist of who has none.
type nobodySpared struct{}

func (nobodySpared) Covers(threat.Indicator, time.Time) (string, bool) { return "", false }

// listed says who is on today's list.
func (w against) listed(ctx context.Context, now time.Time, v detect.Verdicts) (map[threat.Indicator]string, error) {
	if w.list == nil {
		return nil, nil //nolint:nilnil // nobody was asked, which is no mistake
	}
	var inds []threat.Indicator
	for _, all := range [][]detect.Judgement{v.Block, v.Challenge, v.Spared, v.Observe, v.Held} {
		for _, j := range all {
			inds = append(inds, j.Indicator)
		}
	}
	known, err := w.list.Histories(ctx, now, inds)
	if err != nil && !errors.Is(err, blocklist.ErrNoEpoch) { // a new list holds nobody
		return nil, fmt.Errorf("read blocklist: %w", explain(err))
	}
	all := map[threat.Indicator]string{}
	for ind, h := range known {
		switch {
		case h.Listed && h.Challenge:
			all[ind] = backtest.Challenge
		case h.Listed:
			all[ind] = backtest.Block
		}
	}
	return all, nil
}
