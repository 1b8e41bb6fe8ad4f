package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
)

const allowText = `With --file, replaces the allowlist that is stored in Redis: who must never be blocked. Without,
shows it. It is read whole or not at all: one bad line, and the stored list stays as it was.

  # one address, range or account in a line; the rest is optional
  203.0.113.0/24       owner=office Beijing, second floor
  2001:db8:7::/48      owner=partner-x until=2026-12-31
  account:loadtest-1   owner=qa the nightly load test

It is checked when verdicts are made and again when firewalls are written: somebody who is
allowlisted while blocked leaves the firewalls at their next sync.

A list that covers more than half a percent of all public addresses is not saved: attackers rent
there too, and a range that lost a digit looks just like it. --wide saves it all the same.

--check says how much the list covers and names the entries that have ended, end within --days, have
no owner or no reason, or are wide. With --file it checks that file and saves nothing. The exit code is
1 if there is something to look at.`

// maxAllowBytes is more than allowlist.Parse takes, so that its own message about size is the one that is seen.
const maxAllowBytes = 2 << 20

func runAllow(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("allow [--file FILE [--wide]] [--check [--days N]] [--json]", allowText)
	file := fs.String("file", "", "replace the stored allowlist by `FILE` (\"-\" is standard input)")
	asJSON := fs.Bool("json", false, "print one JSON object: {\"entries\":[{\"subject\",\"kind\",\"owner\",\"reason\",\"until\"}]};\nwith --check: {\"coverage\":{…},\"findings\":[{\"subject\",\"problems\"}]}")
	check := fs.Bool("check", false, "look for what has decayed; change nothing")
	days := fs.Int("days", 30, "with --check: name entries that end within `N` days")
	wide := fs.Bool("wide", false, "with --file: save a list that covers much of the Internet")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	if *days < 0 || *days > maxDays {
		return usagef("--days %d: want 0 to %d", *days, maxDays)
	}
	var list allowlist.List
	if *file != "" {
		if list, err = a.readAllowlist(*file); err != nil {
			return err
		}
		if *check {
			return a.checkAllowlist(list, *days, *asJSON)
		}
		if err := list.Coverage().Check(allowlist.MaxShare); err != nil && !*wide {
			return guardError{fmt.Errorf("nothing was saved: %w (--wide saves it all the same)", err)}
		}
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	if *file != "" {
		if err := store.SaveAllowlist(ctx, list); err != nil {
			return fmt.Errorf("save allowlist: %w", err)
		}
	} else if list, err = store.Allowlist(ctx); err != nil {
		return fmt.Errorf("read allowlist: %w", explain(err))
	}
	switch {
	case *check:
		return a.checkAllowlist(list, *days, *asJSON)
	case *asJSON:
		return a.allowJSON(list)
	case *file != "":
		fmt.Fprintf(a.stdout, "allowlist saved: %d entries\nthey cover %s\n", list.Len(), list.Coverage())
		if list.Len() == 0 {
			fmt.Fprintln(a.stdout, "it is empty: nobody will be spared")
		}
		a.warnBlocked(ctx, store, list)
		return nil
	default:
		if list.Len() == 0 {
			fmt.Fprintln(a.stderr, "the allowlist is empty: nobody is spared")
		}
		_, err := a.stdout.Write(list.Text())
		return err
	}
}

// warnBlocked tells who is on both lists. It is a courtesy: its failures are of no importance.
func (a *app) warnBlocked(ctx context.Context, store interface {
	Each(context.Context, time.Time, func([]blocklist.Entry) error) (blocklist.Version, error)
}, list allowlist.List,
) {
	now := a.now().UTC().Truncate(time.Second)
	var both told
	_, _ = store.Each(ctx, now, func(page []blocklist.Entry) error {
		for _, e := range page {
			if why, ok := list.Covers(e.Indicator, now); ok {
				both.add("%s is blocked and now %s", e.Indicator.Masked(), why)
			}
		}
		return nil
	})
	if both.n > 0 {
		both.lines(a.stdout)
		fmt.Fprintln(a.stdout, "the firewalls let them go at their next sync (tracewall sync aws-waf makes it now)")
	}
}

// readAllowlist reads a file, or standard input for "-".
func (a *app) readAllowlist(file string) (allowlist.List, error) {
	in, err := a.openFile(file)
	if err != nil {
		return allowlist.List{}, err
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxAllowBytes))
	if err != nil {
		return allowlist.List{}, fmt.Errorf("read allowlist %s: %w", file, err)
	}
	list, err := allowlist.Parse(bytes.NewReader(text))
	if err != nil {
		return allowlist.List{}, usageError{fmt.Errorf("allowlist %s: %w", file, err)}
	}
	return list, nil
}

func (a *app) allowJSON(list allowlist.List) error {
	type entry struct {
		Subject string     `json:"subject"`
		Kind    string     `json:"kind"`
		Owner   string     `json:"owner"`
		Reason  string     `json:"reason"`
		Until   *time.Time `json:"until"`
	}
	out := struct {
		Entries []entry `json:"entries"`
	}{Entries: []entry{}}
	for _, e := range list.Entries() {
		j := entry{Subject: e.Account, Kind: "account", Owner: e.Owner, Reason: e.Reason}
		if e.Account == "" {
			j.Subject, j.Kind = e.Prefix.String(), "ip"
		}
		if !e.Until.IsZero() {
			j.Until = &e.Until
		}
		out.Entries = append(out.Entries, j)
	}
	return errors.Join(report.EncodeJSON(a.stdout, out))
}
