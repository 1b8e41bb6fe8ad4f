package enforce_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// challenge puts entries on the list that are only to be challenged, for an hour after at.
func challenge(t *testing.T, list *blocklisttest.Fake, at time.Time, keys ...string) {
	t.Helper()
	batch := blocklist.Batch{Run: "test", Now: at}
	for _, ind := range indicators(t, keys...) {
		batch.Offences = append(batch.Offences, blocklist.Offence{
			Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect, Challenge: true}, At: at, Term: time.Hour,
		})
	}
	if _, err := list.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// bothWalls are one that blocks and one that challenges.
func bothWalls() (blocks, challenges *waftest.Wall, walls []enforce.Wall) {
	blocks, challenges = &waftest.Wall{Base: "blocks"}, &waftest.Wall{Base: "challenges"}
	walls = []enforce.Wall{wallOf("blocks", blocks), wallOf("challenges", challenges)}
	walls[1].Challenges = true
	return blocks, challenges, walls
}

func texts(prefixes []netip.Prefix) string {
	var all []string
	for _, p := range prefixes {
		all = append(all, strings.TrimSuffix(p.String(), "/32"))
	}
	return strings.Join(all, " ")
}

func TestOnlyAWallThatDoesLessThanBlockGetsWhatIsToBeChallenged(t *testing.T) {
	list := listOf(t, "203.0.113.9 owner=office\n20.1.0.7\n20.2.0.7\n2001:db8:1:2::/64\n", "ip:203.0.113.7", "ip:20.2.0.6/31")
	challenge(t, list, now, "ip:203.0.113.8", "ip:203.0.113.9", "ip:20.1.0.6/31", "ip:2001:db8:1:2::/64", "ip:2001:db8:1:3::/64", "account:jane")
	blocks, challenges, walls := bothWalls()
	got, err := passOf(list, now).Run(t.Context(), walls)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(blocks.Enforced()); got != "20.2.0.6 203.0.113.7" {
		t.Errorf("the wall that blocks holds %s: want the blocked alone", got)
	}
	if got := texts(challenges.Enforced()); got != "20.1.0.6 20.2.0.6 203.0.113.7 203.0.113.8 2001:db8:1:3::/64" {
		t.Errorf("the wall that challenges holds %s: want both kinds", got)
	}
	if r := got[0]; r.Desired != 2 || r.Spared != 0 || r.Unchallenged != 3 || r.Pending != 0 {
		t.Errorf("the wall that blocks: %+v, want two desired, none spared, three unchallenged", r)
	}
	if r := got[1]; r.Desired != 5 || r.Spared != 2 || r.Unchallenged != 0 || r.Pending != 0 {
		t.Errorf("the wall that challenges: %+v, want five desired, two spared", r)
	}
	for i, wall := range walls {
		s := statusOf(t, list, wall.Name)
		if s.Challenges != (i == 1) {
			t.Errorf("status of %s: challenges %v", wall.Name, s.Challenges)
		}
		if _, why := s.StateOf(netip.MustParsePrefix("203.0.113.8/32")); strings.Contains(why, "not part of the last run") != (i == 0) {
			t.Errorf("status of %s: of the challenged one %s", wall.Name, why)
		}
	}
}

// Both walls follow when a challenged one is blocked, and when it is only challenged again after that.
func TestTheWallsFollowFromChallengeToBlockAndBack(t *testing.T) {
	keys := some(40)
	list := listOf(t, "")
	challenge(t, list, now, keys...)
	blocks, challenges, walls := bothWalls()
	run := func(at time.Time, onBlocks, onChallenges int) {
		t.Helper()
		got, err := passOf(list, at).Run(t.Context(), walls)
		if err != nil || len(blocks.Enforced()) != onBlocks || len(challenges.Enforced()) != onChallenges {
			t.Fatalf("%s: err = %v, %d on the wall that blocks and %d on the other, want %d and %d; %+v",
				at.Sub(now), err, len(blocks.Enforced()), len(challenges.Enforced()), onBlocks, onChallenges, got)
		}
	}
	run(now, 0, 40)
	at := now.Add(10 * time.Minute)
	block(t, list, at, keys...)
	if waiting(t, list, "blocks") != 1 {
		t.Error("the bell did not ring for the block")
	}
	run(at, 40, 40)
	// The block has ended, and before any run came they were found again, for a challenge. Nobody has to approve of the release.
	at = at.Add(2 * time.Hour)
	challenge(t, list, at, keys...)
	run(at, 0, 40)
	run(at.Add(2*time.Hour), 0, 0)
}

// One that vanished is not released because others are to be challenged.
func TestAChallengeExplainsNoOtherRelease(t *testing.T) {
	keys := some(40)
	list := listOf(t, "", keys...)
	blocks, _, walls := bothWalls()
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil {
		t.Fatal(err)
	}
	for _, ind := range indicators(t, keys...) {
		list.Erase(ind)
	}
	challenge(t, list, now, "ip:20.9.0.1", "ip:20.0.0.0/24")
	if got, err := passOf(list, now).Run(t.Context(), walls); err == nil || len(blocks.Enforced()) != 40 || got[0].Held == nil {
		t.Errorf("err = %v, %d enforced, want the run held", err, len(blocks.Enforced()))
	}
}

// stillBlocking is a wall whose rule is not as its target says.
type stillBlocking struct{ *waftest.Firewall }

func (f stillBlocking) Look(ctx context.Context) (waf.State, error) {
	state, err := f.Firewall.Look(ctx)
	state.RuleOK = false
	return state, err
}

// A wall that blocks until this run, and is to challenge from now on, is not filled before it does.
func TestAWallChallengesBeforeItGetsWhatIsToBeChallenged(t *testing.T) {
	list := listOf(t, "", some(4)...)
	w := &waftest.Wall{}
	if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("w", w)}); err != nil {
		t.Fatal(err)
	}
	challenge(t, list, now, "ip:20.9.0.1")
	w.OnWrite = func(op, _ string) (bool, error) {
		if op == "reference" {
			return false, waf.ErrDenied
		}
		return true, nil
	}
	walls := []enforce.Wall{{Name: "w", Firewall: stillBlocking{w.Open()}, Policy: waf.Policy{Challenges: true}}}
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, waf.ErrDenied) || len(w.Enforced()) != 4 {
		t.Errorf("err = %v, %d enforced, want the four that are blocked alone", err, len(w.Enforced()))
	}
	w.OnWrite = nil
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 5 {
		t.Errorf("err = %v, %d enforced, want the challenged one too", err, len(w.Enforced()))
	}
}
