//go:build cgo

package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
)

// The schedule of a laptop: in the clouds it is a minute each, here somebody is watching.
const (
	detectEvery = 20 * time.Second
	syncEvery   = 10 * time.Second
	waveEvery   = time.Minute
)

// waveAttackers is how many new attackers each later wave has.
const waveAttackers = 15

// keepRunning goes on until somebody ends it. Without a story there is nothing new to find, and
// only terms end.
func (s *session) keepRunning(ctx context.Context, tale *story.Story) error {
	if tale == nil {
		s.sayf("\nKeeps running on the file's clock: the walls are synced every %s, terms end. Ctrl-C ends it.", syncEvery)
	} else {
		s.sayf("\nKeeps running: detect every %s, the sync functions every %s, a wave of new addresses every %s. Ctrl-C ends it.", detectEvery, syncEvery, waveEvery)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	start := time.Now()
	detectAt, syncAt, waveAt := start.Add(detectEvery), start.Add(syncEvery), start.Add(waveEvery/2)
	before := s.cloud.Enforced()
	for {
		select {
		case <-ctx.Done():
			s.sayf("ended")
			return nil
		case <-tick.C:
		}
		now := time.Now()
		if tale != nil && now.After(waveAt) {
			waveAt = now.Add(waveEvery)
			s.step(ctx, "write", func() error { return s.wave(ctx, tale) })
		}
		if tale != nil && now.After(detectAt) {
			detectAt = now.Add(detectEvery)
			s.step(ctx, "detect", func() error { return s.detectAgain(ctx) })
		}
		if now.After(syncAt) {
			syncAt = now.Add(syncEvery)
			s.step(ctx, "sync", func() error { return s.sync(ctx, s.clock().UTC().Truncate(time.Second)) })
			after := s.cloud.Enforced()
			s.sayChange(before, after)
			before = after
		}
	}
}

// step reports a failure and lets the loop go on, as the clouds' schedules do.
func (s *session) step(ctx context.Context, name string, do func() error) {
	if err := do(); err != nil && !interrupted(ctx, err) {
		s.sayf("   %s  %s failed: %s", s.stamp(), name, report.Safe(err.Error()))
	}
}

func (s *session) stamp() string { return s.clock().UTC().Format(time.TimeOnly) }

// wave writes a few new attackers.
func (s *session) wave(ctx context.Context, tale *story.Story) error {
	now := s.clock().UTC().Truncate(time.Second)
	burst, err := tale.Burst(now, waveAttackers)
	if err != nil {
		return err
	}
	if _, _, _, err := s.write(ctx, burst); err != nil {
		return err
	}
	s.sayf("   %s  %d new addresses attack", s.stamp(), waveAttackers)
	return nil
}

func (s *session) detectAgain(ctx context.Context) error {
	run, err := s.cloud.DetectByTimer(ctx, s.clock().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	if run.Added > 0 || run.Extended > 0 {
		s.sayf("   %s  detect: %s new on the list, %s stay longer", s.stamp(), report.Number(run.Added), report.Number(run.Extended))
	}
	return nil
}

// sayChange tells who was put on the wall and who was released.
func (s *session) sayChange(before, after []netip.Prefix) {
	was := make(map[netip.Prefix]bool, len(before))
	for _, p := range before {
		was[p] = true
	}
	added := 0
	for _, p := range after {
		if was[p] {
			delete(was, p)
		} else {
			added++
		}
	}
	switch released := len(was); {
	case added == 0 && released == 0:
	case released == 0:
		s.sayf("   %s  AWS WAF: %s more blocked, %s in all", s.stamp(), report.Number(added), report.Number(len(after)))
	default:
		s.sayf("   %s  AWS WAF: %s released, their term is over; %s more blocked, %s in all", s.stamp(), report.Number(released), report.Number(added), report.Number(len(after)))
	}
}
