package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

const blockText = `Blocks for a term. Arguments, or the lines of LIST ("-" is standard input), are addresses
(192.0.2.7, 2001:db8::7), ranges (192.0.2.0/24) or accounts (account:NAME). In a list, what
follows # or ; is a comment, and further columns are passed over. Lists of a million lines are fine.

Nothing is written when a line cannot be read or a range is wider than an IPv4 /16 or an
IPv6 /32: all such lines are told (the first 20 by name), unless --skip-bad leaves them out.
Who is on the allowlist is never blocked: they are told, the others are blocked, and the exit
code is 3. Without any stored allowlist nobody is blocked (see tracewall allow).

Blocking somebody again makes their term end later, never earlier; who was only to be challenged is blocked for
this term. It ends the cool-off of an unblock. A long list is written in
batches of 5,000; when Redis fails in between, the message says how many were written, and
running the same command again does the rest.`

// batchSize is how many entries one atomic write holds: Redis does nothing else meanwhile,
// so it is a fraction of a second's work.
const batchSize = 5_000

func runBlock(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("block (--file LIST | ADDRESS…) [--term 72h] [--reason TEXT]", blockText)
	file := fs.String("file", "", "read the addresses from `LIST`")
	term := fs.Duration("term", blocklist.DefaultTerm, "block for this `long`, 1m to 720h")
	reason := fs.String("reason", "", "`text` for people, at most 200 bytes")
	skipBad := fs.Bool("skip-bad", false, "leave out lines that cannot be read and ranges that are too wide, instead of refusing them all")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := checkTerm(*term); err != nil {
		return err
	}
	if len(*reason) > blocklist.MaxReason {
		return usagef("--reason of %d bytes: want at most %d", len(*reason), blocklist.MaxReason)
	}
	s, err := a.readSubjects(*file, rest)
	if err != nil {
		return err
	}
	if err := a.refuseBad(&s, *skipBad); err != nil {
		return err
	}
	return a.block(ctx, s, *term, *reason)
}

// refuseBad tells what is wrong with the input, and refuses it as a whole unless told otherwise.
func (a *app) refuseBad(s *subjects, skip bool) error {
	s.bad.lines(a.stderr)
	s.tooWide.lines(a.stderr)
	switch {
	case skip:
		return nil
	case s.bad.n > 0:
		return usagef("nothing was done: %s cannot be read (--skip-bad leaves them out)", counted(s.bad.n+s.tooWide.n, "line"))
	case s.tooWide.n > 0:
		return guardError{fmt.Errorf("nothing was done: %s too wide (--skip-bad leaves them out)", counted(s.tooWide.n, "range"))}
	}
	return nil
}

func (a *app) block(ctx context.Context, s subjects, term time.Duration, reason string) error {
	store, err := a.openList(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	allow, err := store.Allowlist(ctx)
	if err != nil {
		return fmt.Errorf("read allowlist: %w", explain(err))
	}
	now := a.now().UTC().Truncate(time.Second)
	wanted, spared := spare(s.list, allow, now)

	line := progress.New(a.stderr)
	defer line.Done()
	var sum blocklist.Changes
	for done := 0; done < len(wanted); {
		part := wanted[done:min(done+batchSize, len(wanted))]
		changes, err := store.Put(ctx, blocklist.Batch{
			Run: "operator-block-" + now.Format("20060102T150405Z"), Now: now, Offences: offences(part, now, term, reason),
		})
		if err != nil {
			return fmt.Errorf("%d of %d written: %w", done, len(wanted), explain(err))
		}
		sum.Added, sum.Extended, sum.Unchanged = sum.Added+changes.Added, sum.Extended+changes.Extended, sum.Unchanged+changes.Unchanged
		sum.Upgraded += changes.Upgraded
		done += len(part)
		line.Update("blocking", int64(done), int64(len(wanted)), "entries")
	}
	line.Done()
	fmt.Fprintf(a.stdout, "%d blocked until %s: %d new, %d extended, %d already so\n",
		len(wanted), now.Add(term).Format(time.RFC3339), sum.Added, sum.Extended, sum.Unchanged)
	if sum.Upgraded > 0 {
		fmt.Fprintf(a.stdout, "%d were only to be challenged so far\n", sum.Upgraded)
	}
	if s.twice > 0 {
		fmt.Fprintf(a.stdout, "%d were named more than once\n", s.twice)
	}
	spared.lines(a.stderr)
	switch {
	case spared.n > 0:
		return guardError{fmt.Errorf("%s on the allowlist and not blocked", counted(spared.n, "was"))}
	case s.tooWide.n > 0:
		return guardError{fmt.Errorf("%s too wide and not blocked", counted(s.tooWide.n, "was"))}
	}
	return nil
}

// spare takes out whom the allowlist covers. An ended entry of it covers nobody.
func spare(list []threat.Indicator, allow allowlist.List, now time.Time) (wanted []threat.Indicator, spared told) {
	for _, ind := range list {
		if why, ok := allow.Covers(ind, now); ok {
			spared.add("%s is not blocked: %s", ind.Masked(), why)
			continue
		}
		wanted = append(wanted, ind)
	}
	return wanted, spared
}

func offences(list []threat.Indicator, now time.Time, term time.Duration, reason string) []blocklist.Offence {
	out := make([]blocklist.Offence, len(list))
	for i, ind := range list {
		out[i] = blocklist.Offence{
			Entry: blocklist.Entry{
				Indicator: ind, Source: blocklist.SourceOperator, Severity: threat.High, Reason: reason, FirstSeen: now, LastSeen: now,
			},
			At: now, Term: term,
		}
	}
	return out
}

// counted spells a number with its word: "1 line", "2 lines", "1 was", "2 were".
func counted(n int, word string) string {
	switch {
	case n == 1:
		return "1 " + word
	case word == "was":
		return fmt.Sprintf("%d were", n)
	default:
		return fmt.Sprintf("%d %ss", n, word)
	}
}
