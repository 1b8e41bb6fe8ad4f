//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

const benchCloudsText = `Measures what it costs to keep the walls of three clouds equal to one list: AWS WAF, Alibaba Cloud WAF (address
book, and ip_blacklist rules), Alibaba Cloud Firewall, a Tencent security group and Tencent Cloud WAF. The deployed
functions run against strict stand-ins on this machine that throttle as the clouds document, with 50 ms for each call.

It holds every wall against the list after each step, and the steps against what is promised: a second run
writes nothing, and one address gone costs one write. What has no room must be exactly what the wall's limit
leaves over. The exit code is 1 when a promise is not kept.`

// cloudCase is one step of the measurement.
type cloudCase struct {
	Name  string      `json:"name"`
	Walls []cloudCost `json:"walls"`
}

// cloudCost is what a step cost on one wall.
type cloudCost struct {
	Kind     string   `json:"kind"`
	Name     string   `json:"name"`
	Title    string   `json:"title"`
	Desired  int      `json:"desired"`
	Enforced int      `json:"enforced"`
	Overflow int      `json:"overflow"`
	Writes   int      `json:"writes"`
	Calls    int      `json:"calls"`
	Broken   []string `json:"broken"`
}

// cloudBench is a measurement under way.
type cloudBench struct {
	session *session
	out     io.Writer
	list    []netip.Prefix
	Cases   []cloudCase `json:"cases"`
	Seconds []float64   `json:"seconds"` // of each case, all walls side by side
	// Throttled counts calls that a cloud refused for coming too often.
	Throttled int `json:"throttled"`
	Broken    int `json:"broken"`
}

func runBenchClouds(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("bench-clouds [--quick] [--json]", benchCloudsText)
	asJSON := fs.Bool("json", false, "print one JSON object")
	quick := fs.Bool("quick", false, "2,000 addresses in place of 50,000")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	b := &cloudBench{session: a.newSession(localFlags{json: true}), out: a.stdout}
	if *asJSON {
		b.out = io.Discard
	}
	defer b.session.line.Done()
	n := 50_000
	if *quick {
		n = 2_000
	}
	if err := b.run(ctx, root, n); err != nil {
		return err
	}
	b.session.line.Done()
	if *asJSON {
		if err := json.NewEncoder(a.stdout).Encode(b); err != nil {
			return err
		}
	}
	if b.Broken > 0 {
		return fmt.Errorf("%d promises are not kept", b.Broken)
	}
	return nil
}

func (b *cloudBench) run(ctx context.Context, root string, n int) (err error) {
	s := b.session
	s.line.Say("starting the local clouds")
	s.cloud, err = localcloud.New(ctx, localcloud.Config{
		Root: root, Clock: s.clock, Logstore: storyLogstore, Fields: []string{"msg"}, Format: "story", Latency: 50 * time.Millisecond, Rates: true, Both: true,
	})
	if err != nil {
		return err
	}
	defer s.cloud.Close()
	if _, err := s.cloud.StartFunctions(ctx); err != nil {
		return err
	}
	if err := s.saveAllowlist(ctx, "# nobody\n"); err != nil {
		return err
	}
	for i := range n { // no two of them make a range
		b.list = append(b.list, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32))
	}
	if err := b.block(ctx, 72*time.Hour, b.list...); err != nil {
		return err
	}
	first, last := b.list[0], b.list[n-1]
	added := netip.MustParsePrefix("30.0.0.1/32")
	short := netip.MustParsePrefix("30.0.0.3/32")
	var ends time.Time // of the short term
	nothing := func() error { return nil }
	for _, step := range []struct {
		name   string
		do     func() error
		writes int // at most, on every wall; negative: any number
	}{
		{"cold", nothing, -1},
		{"nothing changed", nothing, 0},
		{"one out", func() error { return b.unblock(ctx, first) }, 1},
		{"one in", func() error { return b.block(ctx, 72*time.Hour, added) }, 1},
		{"a term that grew", func() error { return b.renew(ctx, last) }, -1},
		{"one out, one in for a minute", func() error {
			ends = time.Now().Add(time.Minute + time.Second)
			return errors.Join(b.unblock(ctx, b.list[1]), b.block(ctx, time.Minute, short))
		}, -1},
		{"its term has ended", func() error {
			b.forget(short)
			s.line.Say("waiting for the minute to end")
			return pause(ctx, time.Until(ends))
		}, -1},
		{"nothing changed, cold processes", func() error { return s.cloud.RestartFunctions(ctx) }, 0},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		if err := b.step(ctx, step.name, step.writes); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	b.Throttled = s.cloud.Throttled()
	s.line.Done()
	fmt.Fprintf(b.out, "%d calls were throttled\n", b.Throttled)
	return nil
}

// block puts addresses on the list.
func (b *cloudBench) block(ctx context.Context, term time.Duration, prefixes ...netip.Prefix) error {
	now := b.session.clock().UTC().Truncate(time.Second)
	for part := range slices.Chunk(prefixes, 10_000) {
		batch := blocklist.Batch{Run: "bench", Now: now}
		for _, p := range part {
			ind, err := threat.ParseKey("ip:" + p.Addr().String())
			if err != nil {
				return err
			}
			batch.Offences = append(batch.Offences, blocklist.Offence{
				Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.High}, At: now, Term: term,
			})
		}
		if _, err := b.session.cloud.Store().Put(ctx, batch); err != nil {
			return err
		}
	}
	for _, p := range prefixes {
		if !slices.Contains(b.list, p) {
			b.list = append(b.list, p)
		}
	}
	return nil
}

func (b *cloudBench) unblock(ctx context.Context, p netip.Prefix) error {
	ind, err := threat.ParseKey("ip:" + p.Addr().String())
	if err != nil {
		return err
	}
	b.forget(p)
	_, err = b.session.cloud.Store().Remove(ctx, b.session.clock().UTC().Truncate(time.Second), "bench", []threat.Indicator{ind})
	return err
}

// renew makes an address' term end later.
func (b *cloudBench) renew(ctx context.Context, p netip.Prefix) error {
	return b.block(ctx, 96*time.Hour, p)
}

func (b *cloudBench) forget(p netip.Prefix) {
	b.list = slices.DeleteFunc(b.list, func(q netip.Prefix) bool { return q == p })
}

// step runs all sync functions as their schedules do, and holds each wall against the list.
func (b *cloudBench) step(ctx context.Context, name string, writes int) error {
	s := b.session
	s.line.Say(name)
	began := time.Now()
	targets, err := s.cloud.Sync(ctx, s.clock().UTC().Truncate(time.Second))
	took := time.Since(began)
	s.line.Done()
	if err != nil {
		return err
	}
	c := cloudCase{Name: name}
	fmt.Fprintf(b.out, "%s   %s\n", name, report.Took(took))
	for _, wall := range s.cloud.Walls() {
		i := slices.IndexFunc(targets, func(t localcloud.Target) bool { return t.Kind == wall.Kind && t.Name == wall.Name })
		if i < 0 {
			return fmt.Errorf("%s: no function kept it", wall.Title)
		}
		cost, err := b.cost(wall, targets[i], writes)
		if err != nil {
			return err
		}
		c.Walls = append(c.Walls, cost)
		b.Broken += len(cost.Broken)
		fmt.Fprintf(b.out, "  %-32s %7s of %s, %s without room; %4d writes, %4d calls\n", cost.Title,
			report.Number(cost.Enforced), report.Number(cost.Desired), report.Number(cost.Overflow), cost.Writes, cost.Calls)
		for _, broken := range cost.Broken {
			fmt.Fprintf(b.out, "    FAIL: %s\n", broken)
		}
	}
	b.Cases, b.Seconds = append(b.Cases, c), append(b.Seconds, took.Seconds())
	return nil
}

// roomOf is how many addresses each wall takes here.
func roomOf(w localcloud.Wall) int {
	switch w.Name {
	case "shop-group":
		return 400 // 20 templates of 20
	case "shop-border":
		return 20_000 // 10 books of 2,000
	case "shop-waf":
		return 20_000 // the Ultimate edition
	case "shop-rules":
		return 40_000 // 2 templates of 100 rules of 200
	}
	return 50_000
}

func (b *cloudBench) cost(w localcloud.Wall, t localcloud.Target, writes int) (cloudCost, error) {
	c := cloudCost{
		Kind: w.Kind, Name: w.Name, Title: w.Title, Desired: t.Desired, Enforced: len(w.Enforced()), Overflow: t.Overflow,
		Writes: t.Writes, Calls: t.Calls, Broken: []string{},
	}
	broken := func(format string, args ...any) { c.Broken = append(c.Broken, fmt.Sprintf(format, args...)) }
	var wanted netipx.IPSetBuilder
	for _, p := range b.list {
		wanted.AddPrefix(p)
	}
	set, err := wanted.IPSet()
	if err != nil {
		return c, err
	}
	for _, p := range w.Enforced() {
		if !set.ContainsPrefix(p) {
			broken("%s is blocked and not on the list", p)
		}
	}
	room := min(roomOf(w), len(b.list))
	if c.Enforced != room || c.Overflow != len(b.list)-room {
		broken("%d enforced and %d without room, want %d and %d", c.Enforced, c.Overflow, room, len(b.list)-room)
	}
	if t.Overflow > 0 && writes > 0 {
		writes++ // whoever waits takes the place that came free
	}
	if writes >= 0 && c.Writes > writes {
		broken("%d writes, want at most %d", c.Writes, writes)
	}
	if !w.Untouched() {
		broken("something of somebody else has changed")
	}
	if t.Error != "" {
		broken("%s", t.Error)
	}
	return c, nil
}
