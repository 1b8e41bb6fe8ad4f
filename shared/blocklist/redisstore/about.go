package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// About is all that the store knows of one Indicator, for a person who asks why
// somebody is blocked, or why not.
type About struct {
	Epoch      string
	Generation uint64
	// Entry is the Indicator's own; nil if it has none that is active.
	Entry *blocklist.Entry
	// Around are active entries for wider ranges that hold it, the narrowest first.
	Around []blocklist.Entry
	// Past is what is remembered of blocks that are over. Until is zero if none ended
	// in the last 122 days, Released if no operator ended one.
	Past blocklist.Past
}

// About looks an Indicator up with one round trip, whatever the size of the list.
// An answer from a list that is not there is blocklist.ErrNoEpoch.
func (s *Store) About(ctx context.Context, now time.Time, ind threat.Indicator) (About, error) {
	operation := "look up " + ind.Masked()
	asked := append([]threat.Indicator{ind}, wider(ind)...)
	keys := []string{keyEpoch, keyGeneration, pastPrefix + ind.Key()}
	for _, i := range asked {
		keys = append(keys, entryKey(i))
	}
	pipe := s.db.Pipeline()
	values, place := pipe.MGet(ctx, keys...), pipe.ZScore(ctx, keyExpiry, ind.Key())
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return About{}, wrap(operation, err)
	}
	got := values.Val()
	if got[0] == nil {
		return About{}, fmt.Errorf("%s: %w", operation, blocklist.ErrNoEpoch)
	}
	text := func(i int) string { t, _ := got[i].(string); return t }
	a := About{Epoch: text(0)}
	a.Generation, _ = strconv.ParseUint(text(1), 10, 64)
	for i, ind := range asked {
		if got[3+i] == nil {
			continue
		}
		e, err := decode(ind, text(3+i), &interned{})
		if err != nil {
			return About{}, fmt.Errorf("%s: %w", operation, err)
		}
		switch {
		case !e.ExpiresAt.After(now):
		case i == 0:
			a.Entry = &e
		default:
			a.Around = append(a.Around, e)
		}
	}
	a.Past = remembered(text(2), place)
	if a.Past.Until.After(now) {
		a.Past.Until = time.Time{} // the entry's own end
	}
	return a, nil
}

// pastOf reads "strikes until released", and "cool-off" after it where there was one.
func pastOf(text string) blocklist.Past {
	var n [4]int64
	for i, word := range strings.Fields(text) {
		if i == len(n) {
			break
		}
		n[i], _ = strconv.ParseInt(word, 10, 64)
	}
	return blocklist.Past{Strikes: int(n[0]), Until: moment(n[1]), Released: moment(n[2]), CoolOff: moment(n[3])}
}

// wider returns the ranges around an Indicator that could be on a list, the narrowest first.
func wider(ind threat.Indicator) (list []threat.Indicator) {
	p := ind.Prefix()
	if !p.IsValid() {
		return nil
	}
	for bits := p.Bits() - 1; bits > 0; bits-- {
		around, err := threat.Range(netip.PrefixFrom(p.Addr(), bits))
		if err != nil {
			break // too wide, or it reaches into space that nobody can be blocked in
		}
		list = append(list, around)
	}
	return list
}

// Inside returns the Indicators on the list that lie inside a range, itself left out, in order, at most
// most of them, and how many there are. It reads the list's index and no entries.
func (s *Store) Inside(ctx context.Context, now time.Time, p netip.Prefix, most int) (inside []threat.Indicator, total int, err error) {
	idx, err := s.index(ctx, now)
	if err != nil {
		return nil, 0, wrap("read blocklist", err)
	}
	for _, member := range idx.members {
		if !strings.HasPrefix(member, "ip:") {
			continue
		}
		ind, err := threat.ParseKey(member)
		if err != nil {
			continue // whoever reads the entries meets it again, as damage
		}
		if q := ind.Prefix(); q.Bits() > p.Bits() && p.Contains(q.Addr()) {
			inside = append(inside, ind)
		}
	}
	slices.SortFunc(inside, threat.Indicator.Compare)
	total = len(inside)
	return inside[:min(total, most)], total, nil
}

// Groups returns the consumer groups of the handoff stream, sorted: one for each
// firewall target that has ever been written, "aws-waf:edge".
func (s *Store) Groups(ctx context.Context) ([]string, error) {
	groups, err := s.db.XInfoGroups(ctx, keyHandoff).Result()
	if err != nil && strings.Contains(err.Error(), "no such key") {
		return nil, nil // nothing has been announced yet
	}
	if err != nil {
		return nil, wrap("list firewall targets", err)
	}
	var names []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names, nil
}
