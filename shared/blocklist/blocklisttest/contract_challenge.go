package blocklisttest

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// challenge returns an offence of 72 h that asks for a challenge and differs from offence in all that it can.
func challenge(ind threat.Indicator, at time.Time) blocklist.Offence {
	return blocklist.Offence{
		Entry: blocklist.Entry{
			Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.Critical, Rules: []string{"crawl"}, Reason: "a crawler, maybe",
			Challenge: true, Score: 60, Tags: []string{"bot"}, Count: 900, FirstSeen: at.Add(-time.Hour), LastSeen: at.Add(time.Minute),
			Countries: []string{"BR"}, Accounts: []string{"jane"}, Addresses: 4,
		},
		At: at, Term: 72 * time.Hour,
	}
}

// testChallenge: whichever came first, the block is as if there were no challenge, but for what was seen.
func testChallenge(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	block := offence(ind, noon.Add(time.Hour))
	block.Term, block.Score, block.Tags = time.Hour, 90, []string{"flood"}
	early := challenge(ind, noon)
	want := block.Entry
	want.Rules, want.Countries, want.Accounts, want.Tags = []string{"crawl", "rate-limit-address"}, []string{"BR"}, []string{"jane"}, []string{"bot", "flood"}
	want.Count, want.Addresses, want.FirstSeen, want.LastSeen = 900, 4, early.FirstSeen, block.LastSeen
	want.Since, want.ExpiresAt, want.Strikes = block.At, h.end(block, 1), 1
	now := noon.Add(time.Hour)

	same(t, put(t, h.Store, noon, early), blocklist.Changes{Added: 1})
	alone := early.Entry
	alone.Since, alone.ExpiresAt, alone.Strikes = noon, h.end(early, 1), 1
	sameEntries(t, snapshot(t, h.Store, now), map[string]blocklist.Entry{ind.Key(): alone})
	// A challenge is merged with a challenge as a block with a block.
	same(t, put(t, h.Store, noon, early), blocklist.Changes{Unchanged: 1})
	before, err := h.Store.Snapshot(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}

	// The walls must hear of it, though nothing is new and it ends earlier.
	receive(t, h.Store, "aws", "one", 0)
	changes := put(t, h.Other, now, block)
	same(t, changes, blocklist.Changes{Upgraded: 1})
	if n := receive(t, h.Store, "aws", "one", time.Hour); len(n) != 1 || changes.Generation <= before.Generation {
		t.Errorf("%d notices, generation %d after %d: want the walls told", len(n), changes.Generation, before.Generation)
	}
	upgraded := snapshot(t, h.Store, now)
	sameEntries(t, upgraded, map[string]blocklist.Entry{ind.Key(): want})
	// Seen again, neither of them changes anything.
	same(t, put(t, h.Store, now, early, block), blocklist.Changes{Unchanged: 2})
	sameEntries(t, snapshot(t, h.Store, now), upgraded)

	h.Flush(t)
	same(t, put(t, h.Store, now, block, early), blocklist.Changes{Added: 1, Unchanged: 1})
	sameEntries(t, snapshot(t, h.Store, now), upgraded)
	// In one batch in the other order.
	h.Flush(t)
	same(t, put(t, h.Store, now, early, block), blocklist.Changes{Added: 1, Upgraded: 1})
	sameEntries(t, snapshot(t, h.Store, now), upgraded)
}

// testChallengeStrikes: a time on the list is a strike, blocked or challenged.
func testChallengeStrikes(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	clock := noon
	put(t, h.Store, noon, challenge(ind, noon))
	end := h.end(challenge(ind, noon), 1)
	if e := again(t, h, &clock, ind, end); e.Strikes != 2 || e.Challenge || !e.ExpiresAt.Equal(h.end(offence(ind, end), 2)) {
		t.Errorf("blocked after a challenge has ended: %+v, want a second strike", e)
	}
	// Once blocked, what happens after the block counts from the block's end, not from where the
	// challenge would have ended. A first strike is remembered in another place than a second.
	ind = address(t, "192.0.2.8")
	for strike := 1; strike < 4; strike++ {
		at := clock
		block := offence(ind, at.Add(time.Minute))
		block.Term = time.Hour
		put(t, h.Store, at.Add(time.Minute), challenge(ind, at), block)
		end := h.end(block, strike)
		if e := snapshot(t, h.Store, at.Add(time.Minute))[ind.Key()]; e.Strikes != strike || !e.ExpiresAt.Equal(end) {
			t.Fatalf("challenged and then blocked: %+v, want strike %d until %s", e, strike, end)
		}
		if h.Advance != nil {
			h.Advance(end.Sub(clock))
		}
		clock = end
	}
}
