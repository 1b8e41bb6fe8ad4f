package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// startBefore is how long before now a rule of ours begins to hold. It is not 0, "always since", because the
// documentation shows that only together with an end of 0; and not now, because the cloud's clock may be behind ours.
const startBefore = 10 * time.Minute

func (a *access) begin() int64 { return max(0, a.cfg.Now().Add(-startBefore).Unix()) }

// when spells a rule's end in both ways that there are: JobDateTime is the documented one, ValidTS is deprecated,
// and was required until 2024. TimeTZone says how the console shows the two.
func when(start, end int64) map[string]any {
	valid := end
	if end == 0 {
		start, valid = 0, forever
	}
	return map[string]any{
		"ValidTS": valid,
		"JobType": timedJob,
		"JobDateTime": map[string]any{
			"Timed":     []map[string]any{{"StartDateTime": start, "EndDateTime": end}},
			"TimeTZone": "UTC+8",
		},
	}
}

// params are what every write of a rule has.
func (a *access) params(texts []string, start, end int64, stamp waf.Stamp) map[string]any {
	p := map[string]any{
		"Domain": a.target.Domain, "IpList": texts, "ActionType": actionBlock,
		"Note": noteOf(a.label, stamp),
	}
	maps.Copy(p, when(start, end))
	if a.target.Edition != "" {
		p["Edition"] = a.target.Edition
	}
	if a.target.InstanceID != "" {
		p["InstanceId"] = a.target.InstanceID
	}
	return p
}

// create makes a rule. After an answer that does not say so it is looked for.
func (a *access) create(ctx context.Context, list []netip.Prefix, end int64, stamp waf.Stamp) error {
	r := &accessRule{ours: true, stamp: shortStamp(stamp), start: a.begin(), end: end}
	r.set((&accessRule{}).with(list))
	params := a.params(r.texts, r.start, r.end, stamp)
	params["SourceType"] = "custom"
	var out struct {
		RuleID uint64 `json:"RuleId"`
	}
	err := a.call(ctx, "waf", "CreateIpAccessControl", params, &out)
	switch {
	case err == nil && out.RuleID != 0:
		r.id, r.key = out.RuleID, formatID(out.RuleID)
		a.book.rules = append(a.book.rules, r)
		a.book.used += len(r.texts)
		a.wrote(r)
		return nil
	case err == nil:
		err = fmt.Errorf("create ip rule: answer without its id: %w", waf.ErrUnavailable)
	case !unsure(err):
		return err
	}
	before := map[uint64]bool{}
	for _, known := range a.book.rules {
		before[known.id] = true
	}
	return a.readBack(ctx, err, func() (bool, error) {
		i := slices.IndexFunc(a.book.rules, func(found *accessRule) bool {
			return !before[found.id] && found.end == r.end && samePrefixes(found.list, r.list)
		})
		if i >= 0 {
			a.wrote(a.book.rules[i])
		}
		return i >= 0, nil
	})
}

// modify writes a rule anew, whole.
func (a *access) modify(ctx context.Context, r *accessRule, texts []string, end int64, stamp waf.Stamp) error {
	start := r.start
	if r.broken || start == 0 || start > a.cfg.Now().Unix() {
		start = a.begin()
	}
	if err := a.fresh(ctx, r); err != nil {
		return err
	}
	params := a.params(texts, start, end, stamp)
	params["RuleId"] = r.id
	err := a.call(ctx, "waf", "ModifyIpAccessControl", params, nil)
	switch {
	case err == nil:
		a.book.used += len(texts) - len(r.texts)
		r.set(texts)
		r.start, r.end, r.stamp, r.broken, r.ended = start, end, shortStamp(stamp), false, false
		a.wrote(r)
		return nil
	case !unsure(err):
		return err
	}
	want := &accessRule{}
	want.set(texts)
	id := r.id // r is of the book as it was
	return a.readBack(ctx, err, func() (bool, error) {
		found := a.book.find(id)
		switch {
		case found == nil:
			return false, fmt.Errorf("ip rule %d is gone: %w", id, waf.ErrConflict)
		case found.end != end || !samePrefixes(found.list, want.list):
			return false, nil
		}
		a.wrote(found)
		return true, nil
	})
}

// freshFor is how old a reading may be for a rule to be written from it. There is no optimistic lock: what somebody
// enters into a rule of ours between the reading and the writing is lost.
const freshFor = 5 * time.Second

// fresh makes sure that nobody has written a rule since it was read.
func (a *access) fresh(ctx context.Context, r *accessRule) error {
	if d := a.cfg.Now().Sub(a.readAt); d >= 0 && d < freshFor {
		return nil
	}
	var out accessPage
	err := a.call(ctx, "waf", "DescribeIpAccessControl", map[string]any{
		"Domain": a.target.Domain, "Count": 1, "ActionType": actionBlock, "RuleId": r.id, "OffSet": 0, "Limit": glancePage,
	}, &out)
	if err != nil {
		return err
	}
	for _, w := range out.Data.Res {
		if now := a.note.parseRule(w); now.id == r.id && now.ours && now.end == r.end && samePrefixes(now.list, r.list) {
			return nil
		}
	}
	return fmt.Errorf("ip rule %d is not as it was read: %w", r.id, waf.ErrConflict)
}

// remove deletes rules, as many at a time as the cloud takes.
func (a *access) remove(ctx context.Context, ids []uint64) error {
	size := deleteSize
	for len(ids) > 0 {
		part := ids[:min(size, len(ids))]
		err := a.delete(ctx, part)
		if errors.Is(err, waf.ErrQuota) && len(part) > 1 {
			size = (len(part) + 1) / 2
			continue
		}
		if err != nil {
			return err
		}
		ids = ids[len(part):]
	}
	return nil
}

func (a *access) delete(ctx context.Context, ids []uint64) error {
	gone := map[uint64]bool{}
	for _, id := range ids {
		gone[id] = true
	}
	var out struct{ FailedCount int }
	err := a.call(ctx, "waf", "DeleteIpAccessControlV2", map[string]any{
		"Domain": a.target.Domain, "RuleIds": ids, "ActionType": actionBlock,
	}, &out)
	switch {
	case err == nil && out.FailedCount <= 0:
		for _, r := range a.book.rules {
			if gone[r.id] {
				a.book.used -= len(r.texts)
				delete(a.seen, r.id)
			}
		}
		a.book.drop(gone)
		return nil
	case err == nil:
		err = fmt.Errorf("delete ip rules: %d of %d stay: %w", out.FailedCount, len(ids), waf.ErrUnavailable)
	case !unsure(err):
		return err
	}
	return a.readBack(ctx, err, func() (bool, error) {
		return !slices.ContainsFunc(a.book.rules, func(r *accessRule) bool { return gone[r.id] }), nil
	})
}

// readBack reads everything after a write whose outcome is not known, and returns nil if done finds what was asked for.
// The rules that the caller holds are then those of an earlier book.
func (a *access) readBack(ctx context.Context, err error, done func() (bool, error)) error {
	if readErr := a.read(ctx); readErr != nil {
		a.forget()
		return fmt.Errorf("%w (and then: %w)", err, readErr)
	}
	ok, why := done()
	switch {
	case ok:
		return nil
	case why != nil:
		return fmt.Errorf("%w: %w", why, err)
	case errors.Is(err, waf.ErrConflict), errors.Is(err, waf.ErrUnavailable):
		return err
	default:
		return fmt.Errorf("%w: %w", waf.ErrUnavailable, err)
	}
}

// wrote notes that a rule is as we wrote it.
func (a *access) wrote(r *accessRule) {
	a.seen[r.id] = ownWrite{order: int(a.writes.Load()), size: len(r.texts)}
}

func shortStamp(s waf.Stamp) waf.Stamp {
	return waf.Stamp{Epoch: waf.ShortEpoch(s.Epoch), Generation: s.Generation}
}

// samePrefixes compares two lists of addresses, whatever their order.
func samePrefixes(a, b []netip.Prefix) bool {
	if len(a) != len(b) {
		return false
	}
	has := map[netip.Prefix]int{}
	for _, p := range a {
		has[p]++
	}
	for _, p := range b {
		if has[p]--; has[p] < 0 {
			return false
		}
	}
	return true
}
