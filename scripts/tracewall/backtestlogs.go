//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/backtest"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/replay"
	"github.com/tracewall/tracewall/shared/allowlist/crawler"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// backtesting is one run of backtest: what was asked of which logs, and what came of it.
type backtesting struct {
	app     *app
	flags   backtestFlags
	against against

	rules, files []detect.Rule // as judged, and as their files have them
	left         []backtest.LeftOut
	source       backtest.Source
	asked        []detect.RuleSummary
	gathered     detect.Gathered
	agents       map[threat.Indicator][]string // that look like crawlers'
}

// logFiles opens the files, which must have one format.
func (a *app) logFiles(names []string, format logfile.Format, now time.Time) (inputs []replay.Input, mapping map[string]string, chosen logfile.Format, sources []*logfile.Source, err error) {
	defer func() {
		if err != nil {
			closeAll(sources)
		}
	}()
	chosen = format
	for _, name := range names {
		src, err := logfile.Open(name, a.stdin)
		if err != nil {
			return nil, nil, "", sources, usageError{err}
		}
		sources = append(sources, src)
		its := format
		if format == logfile.Auto {
			if its, err = src.Sniff(); err != nil {
				return nil, nil, "", sources, usageError{err}
			}
		}
		if len(inputs) > 0 && its != chosen {
			return nil, nil, "", sources, usagef("%s is %s, and %s is %s: want logs of one format", names[0], chosen, name, its)
		}
		chosen = its
		lines, err := logfile.NewLines(src, its, now)
		if err != nil {
			return nil, nil, "", sources, usageError{err}
		}
		inputs = append(inputs, replay.Input{Name: src.Name, Fields: lines.Fields(), Start: lines.Start(), Text: lines.Text(), Parse: lines.Parse})
		if mapping == nil {
			mapping = lines.Mapping()
		}
	}
	return inputs, mapping, chosen, sources, nil
}

func closeAll(sources []*logfile.Source) {
	for _, s := range sources {
		_ = s.Close()
	}
}

// readFiles replays the files.
func (b *backtesting) readFiles(ctx context.Context) error {
	f := b.flags
	format, err := logfile.ParseFormat(f.format)
	if err != nil {
		return usagef("--%w", err)
	}
	inputs, mapping, format, sources, err := b.app.logFiles(f.logs, format, f.now)
	if err != nil {
		return err
	}
	defer closeAll(sources)
	own, err := detect.MappingOf("", f.fields)
	if err != nil {
		return usageError{fmt.Errorf("--field: %w", err)}
	}
	for name, field := range own {
		mapping[name] = field
	}
	if err := b.chooseRules(string(format), mapping); err != nil {
		return err
	}
	line := progress.New(b.app.stderr)
	defer line.Done()
	result, err := replay.Run(ctx, replay.Config{
		Rules: b.rules, Witness: witnesses(mapping), Inputs: inputs, Late: f.late, Memory: int64(f.memory) << 20,
		Progress: func(p replay.Progress) {
			var done, size int64
			for _, s := range sources {
				n, all := s.Progress()
				done, size = done+n, size+all
			}
			line.Update("judged up to "+p.At.Format(time.DateTime), done, size, "bytes")
		},
	})
	if errors.Is(err, slstest.ErrMemory) {
		return fmt.Errorf("%w: --memory gives it more than %d", err, f.memory)
	}
	if err != nil {
		return err
	}
	for _, l := range result.Left {
		b.leaveOut(l.ID, l.Reason)
	}
	if !f.all && len(result.Left) > 0 {
		for _, l := range result.Left {
			for _, id := range f.rules {
				if id == l.ID {
					return usagef("--rule %s: %s", l.ID, l.Reason)
				}
			}
		}
	}
	if result.Read.Count == 0 {
		return usageError{fmt.Errorf("%s: %w", strings.Join(f.logs, ", "), logfile.ErrNoLines)}
	}
	b.source = backtest.Source{Kind: "file", Format: string(format), From: result.Read.First, To: result.Read.Last, Lines: result.Read.Count, Skipped: result.Read.Skipped, Late: result.Read.Late}
	for _, in := range inputs {
		b.source.Names = append(b.source.Names, in.Name)
	}
	b.gathered, b.asked, b.agents = result.Gathered, result.Rules, result.Samples
	return nil
}

// witnesses are asked which addresses say that they are crawlers'. They accuse nobody.
func witnesses(mapping detect.Mapping) []detect.Rule {
	address, agent := mapping["address"], mapping["agent"]
	if address == "" || agent == "" || address == detect.NoField || agent == detect.NoField {
		return nil
	}
	return []detect.Rule{{
		ID: "crawler-agents", Version: 1, Class: detect.ClassContext, Action: threat.Observe, Window: 10 * time.Minute, Subject: detect.Subject{Kind: threat.KindAddress, Column: "ip"},
		Columns: detect.Columns{Count: "cnt", Window: "window_start", Sample: "agent"},
		Fields:  map[string]string{"address": address, "agent": agent},
		Query: `* |
select ip, window_start, count(1) as cnt, min(agent) as agent
from (
  select {{field.address}} as ip, {{window_start}} as window_start, {{field.agent}} as agent {{log}}
  where regexp_like({{field.agent}}, '(?i)bot|spider|slurp|mediapartners|apis-google|facebookexternalhit|meta-externalagent')
)
where ip <> '' and ip <> '-'
group by ip, window_start
order by ip, window_start
{{limit}}`,
	}}
}

// claims are the addresses whose user agent is that of a crawler.
func (b *backtesting) claims() map[threat.Indicator][]string {
	all := map[threat.Indicator][]string{}
	for ind, agents := range b.agents {
		for _, agent := range agents {
			if name, ok := crawler.Claimed(agent); ok {
				all[ind] = append(all[ind], name)
			}
		}
	}
	return all
}

// sliceOf is how much of a long time Log Service is asked about at once, so that progress can be told.
const sliceOf = 6 * time.Hour

// askService asks Log Service, with the settings of the function detect. It only queries.
func (b *backtesting) askService(ctx context.Context) error {
	get := func(name string) string { text, _ := b.app.lookup(name); return text }
	logstore := get("SLS_LOGSTORE")
	if logstore == "" {
		return usagef("SLS_LOGSTORE is not set: --sls wants SLS_ENDPOINT, SLS_PROJECT and SLS_LOGSTORE as the function detect has them, and ALIBABA_CLOUD_ACCESS_KEY_ID and _SECRET")
	}
	format := b.flags.format
	if format == string(logfile.Auto) {
		if format = get("FORMAT"); format == "" {
			format = string(logfile.Story) // the function's default
		}
	}
	mapping, err := mappingOfSettings(get, b.flags.fields)
	if err != nil {
		return usageError{err}
	}
	if err := b.chooseRules(format, mapping); err != nil {
		return err
	}
	keys := sls.Credentials{AccessKeyID: get("ALIBABA_CLOUD_ACCESS_KEY_ID"), AccessKeySecret: get("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), SecurityToken: get("ALIBABA_CLOUD_SECURITY_TOKEN")}
	client, err := sls.New(sls.Config{
		Endpoint: get("SLS_ENDPOINT"), Project: get("SLS_PROJECT"), Region: get("SLS_REGION"),
		Credentials: func(context.Context) (sls.Credentials, error) { return keys, nil },
	})
	if err != nil {
		return usageError{err}
	}
	defer client.Close()
	runner := b.runner()
	runner.Logs, runner.Logstore = client, logstore
	from, to := detect.AlignDown(b.flags.from, time.Hour), detect.AlignUp(b.flags.to, time.Hour)
	line := progress.New(b.app.stderr)
	defer line.Done()
	summaries := map[string]int{}
	for at := from; at.Before(to); {
		next := at.Add(sliceOf)
		if next.After(to) {
			next = to
		}
		line.Update("Log Service up to "+at.UTC().Format(time.DateTime), int64(at.Sub(from)/time.Minute), int64(to.Sub(from)/time.Minute), "minutes")
		g, asked, err := runner.Gather(ctx, b.rules, at, next, next)
		if err != nil {
			return fmt.Errorf("ask log service: %w", err)
		}
		b.gathered.Join(g, b.rules)
		for _, s := range asked {
			i, ok := summaries[s.ID]
			if !ok {
				i = len(b.asked)
				summaries[s.ID] = i
				b.asked = append(b.asked, detect.RuleSummary{ID: s.ID})
			}
			b.asked[i].Rows += s.Rows
			b.asked[i].Campaigns += s.Campaigns
		}
		at = next
	}
	b.source = backtest.Source{Kind: "sls", Names: []string{logstore}, Format: format, From: from, To: to}
	return nil
}

// mappingOfSettings reads FIELDS and FIELD_… as the function detect does, and what the flags say over it.
func mappingOfSettings(get func(string) string, own map[string]string) (detect.Mapping, error) {
	all := map[string]string{}
	for _, name := range detect.FieldNames() {
		if field := get("FIELD_" + strings.ToUpper(name)); field != "" {
			all[name] = field
		}
	}
	for name, field := range own {
		all[name] = field
	}
	preset := get("FIELDS")
	if preset == "own" {
		preset = ""
	}
	return detect.MappingOf(preset, all)
}

// runner judges as the function detect does, but remembers nobody and asks nobody.
func (b *backtesting) runner() *detect.Runner {
	return &detect.Runner{
		List: forgetful{}, Rules: b.rules, Clock: b.app.now,
		Allowlist: func(context.Context) (detect.Checker, error) { return b.against.allowlist, nil },
	}
}

// judge reaches the verdicts, as of the log's end.
func (b *backtesting) judge(ctx context.Context) (detect.Verdicts, error) {
	v, err := b.runner().Judge(ctx, b.gathered, b.source.To)
	if err != nil && !errors.Is(err, detect.ErrHeld) {
		return v, fmt.Errorf("judge: %w", err)
	}
	return v, nil
}

// forgetful is a list that nobody was ever on, and that nothing is written to.
type forgetful struct{ detect.Store }

func (forgetful) Histories(context.Context, time.Time, []threat.Indicator) (map[threat.Indicator]blocklist.History, error) {
	return nil, nil //nolint:nilnil // nobody is remembered
}

func (forgetful) Size(context.Context, time.Time) (int, error) { return 0, nil }
