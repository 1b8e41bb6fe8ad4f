package blocklist_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

func TestAStrikeIsForgottenForEachFullThirtyDays(t *testing.T) {
	const month = blocklist.StrikeDecay
	for _, c := range []struct {
		strikes int
		after   time.Duration // since the last block ended
		want    int
	}{
		{0, 0, 0},
		{3, -time.Hour, 3},
		{3, 0, 3},
		{3, month - time.Second, 3},
		{3, month, 2},
		{3, 2*month - 1, 2},
		{3, 2 * month, 1},
		{3, 3 * month, 0},
		{3, 100 * month, 0},
		{1, math.MaxInt64, 0},
		{math.MaxInt, math.MaxInt64, math.MaxInt - 3558},
	} {
		past := blocklist.Past{Strikes: c.strikes, Until: noon}
		if got := past.StrikesAt(noon.Add(c.after)); got != c.want {
			t.Errorf("%d strikes, %s after the end: %d, want %d", c.strikes, c.after, got, c.want)
		}
	}
	if got := (blocklist.Past{Strikes: 5}).StrikesAt(noon); got != 0 {
		t.Errorf("five strikes that ended nobody knows when: %d, want 0", got)
	}
}

// Whatever the term and the strikes: never before the term, less than a tenth after it,
// never beyond the longest; the same each time.
func TestJitterIsLessThanATenthOfTheTerm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := blocklist.Offence{
			Entry: blocklist.Entry{Indicator: someone(t), Source: blocklist.SourceDetect}, At: noon,
			Term: time.Duration(rapid.Int64Range(60, 30*24*3600).Draw(t, "term")) * time.Second,
		}
		strikes := rapid.IntRange(-1, 1000).Draw(t, "strikes")
		j := blocklist.NewJitter(rapid.String().Draw(t, "secret"), rapid.String().Draw(t, "key"))
		term := blocklist.TermFor(o.Term, strikes)
		got := o.End(strikes, j).Sub(noon)
		if got < term || got > blocklist.MaxTerm || got-term >= term/10 || got != got.Truncate(time.Second) {
			t.Fatalf("a term of %s at strike %d becomes %s", o.Term, strikes, got)
		}
		if exact := term + j.Of(term, strikes); got != min(exact, blocklist.MaxTerm) || j.Of(term, strikes) != j.Of(term, strikes+8) && strikes > 0 {
			t.Fatalf("a term of %s at strike %d becomes %s, want %s", o.Term, strikes, got, exact)
		}
		if o.End(strikes, blocklist.Jitter{}).Sub(noon) != term {
			t.Fatal("no jitter moves the end")
		}
		if o.Source = blocklist.SourceOperator; o.End(strikes, j).Sub(noon) != o.Term {
			t.Fatal("an operator's term is moved")
		}
	})
}

func TestJitterDependsOnTheSecretTheIndicatorAndTheStrike(t *testing.T) {
	seen := map[time.Duration]string{}
	for name, j := range map[string]blocklist.Jitter{
		"one": blocklist.NewJitter("a", "ip:192.0.2.1"), "another indicator": blocklist.NewJitter("a", "ip:192.0.2.2"),
		"another secret": blocklist.NewJitter("b", "ip:192.0.2.1"), "the border elsewhere": blocklist.NewJitter("aip:", "192.0.2.1"),
	} {
		for strikes := 1; strikes <= 8; strikes++ {
			late := j.Of(blocklist.DefaultTerm, strikes)
			if other, ok := seen[late]; ok {
				t.Errorf("%s and %s both end %s late", name, other, late)
			}
			seen[late] = name
		}
	}
}

// However the offences of one time on the list come in, the entry is the same.
func TestTheOrderOfBlocksAndChallengesDoesNotMatter(t *testing.T) {
	ind := someone(t)
	rapid.Check(t, func(t *rapid.T) {
		words := []string{"a", "b", "c"}
		pick := func(label string) []string { return rapid.SliceOfN(rapid.SampledFrom(words), 0, 2).Draw(t, label) }
		var offences []blocklist.Offence
		for range rapid.IntRange(1, 6).Draw(t, "n") {
			at := noon.Add(-time.Duration(rapid.IntRange(0, 7200).Draw(t, "ago")) * time.Second)
			offences = append(offences, blocklist.Offence{
				Entry: blocklist.Entry{
					Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.Severity(rapid.IntRange(0, 3).Draw(t, "severity")), Reason: "one",
					Challenge: rapid.Bool().Draw(t, "challenge"), Score: rapid.IntRange(0, 100).Draw(t, "score"),
					Count: rapid.Int64Range(0, 9).Draw(t, "count"), Rules: pick("rules"), Tags: pick("tags"), FirstSeen: at.Add(-time.Minute), LastSeen: at,
				},
				At: at, Term: time.Duration(rapid.IntRange(3, 100).Draw(t, "hours")) * time.Hour,
			}.Clean())
		}
		past := blocklist.Past{Strikes: rapid.IntRange(0, 6).Draw(t, "strikes"), Until: noon.Add(-100 * time.Hour)}
		jitter := blocklist.NewJitter("secret", ind.Key())
		put := func(list []blocklist.Offence) (blocklist.Entry, blocklist.Past) {
			var e blocklist.Entry
			var old *blocklist.Entry
			p := past
			for _, o := range list {
				e, p, _ = blocklist.Apply(old, p, jitter, o, noon)
				old = &e
			}
			return e, p
		}
		want, wantPast := put(offences)
		for name, list := range map[string][]blocklist.Offence{
			"in another order": rapid.Permutation(offences).Draw(t, "order"),
			"and again":        append(offences[:len(offences):len(offences)], offences...),
		} {
			got, gotPast := put(list)
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" || gotPast != wantPast {
				t.Fatalf("%s: past %+v, want %+v; entry: %s", name, gotPast, wantPast, diff)
			}
		}
		for _, o := range offences {
			if !o.Challenge && want.Challenge {
				t.Fatal("a block has become a challenge")
			}
		}
	})
}

func TestAnUnblockHoldsForItsCoolOff(t *testing.T) {
	o := blocklist.Offence{Entry: blocklist.Entry{Indicator: someone(t), Source: blocklist.SourceDetect}, Term: time.Hour}
	past := blocklist.Forgive(false, blocklist.Past{}, noon, 24*time.Hour)
	end := noon.Add(24 * time.Hour)
	for _, c := range []struct {
		source string
		at     time.Time
		want   blocklist.Outcome
	}{
		{blocklist.SourceDetect, noon.Add(-time.Second), blocklist.OutcomeReleased},
		{blocklist.SourceDetect, noon, blocklist.OutcomeReleased},
		{blocklist.SourceDetect, end, blocklist.OutcomeReleased},
		{blocklist.SourceDetect, end.Add(time.Second), blocklist.OutcomeAdded},
		{blocklist.SourceOperator, noon.Add(-time.Second), blocklist.OutcomeReleased},
		{blocklist.SourceOperator, noon, blocklist.OutcomeAdded},
		{blocklist.SourceOperator, end, blocklist.OutcomeAdded},
	} {
		o.Source, o.At = c.source, c.at
		_, after, got := blocklist.Apply(nil, past, blocklist.Jitter{}, o, c.at)
		if got != c.want {
			t.Errorf("%s at %s: outcome %d, want %d", c.source, c.at.Sub(noon), got, c.want)
		}
		if byOperator := c.source == blocklist.SourceOperator && got == blocklist.OutcomeAdded; byOperator && !after.CoolOff.Equal(c.at) || !byOperator && !after.CoolOff.Equal(end) {
			t.Errorf("%s at %s: the cool-off ends at %s", c.source, c.at.Sub(noon), after.CoolOff.Sub(noon))
		}
	}
	if got := blocklist.Forgive(false, blocklist.Past{}, noon, 0); !got.CoolOff.IsZero() {
		t.Errorf("without a cool-off: %+v", got)
	}
	if got := blocklist.Forgive(false, past, noon.Add(time.Minute), time.Hour); !got.CoolOff.Equal(end) || !got.Released.Equal(noon.Add(time.Minute)) {
		t.Errorf("a shorter cool-off later: %+v, want the longer kept", got)
	}
}
