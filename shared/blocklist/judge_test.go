package blocklist_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func someone(tb interface {
	Helper()
	Fatal(args ...any)
},
) threat.Indicator {
	tb.Helper()
	ind, err := threat.Account("abcdefgh")
	if err != nil {
		tb.Fatal(err)
	}
	return ind
}

func TestTermForDoublesUpToItsLimit(t *testing.T) {
	for strikes, want := range map[int]time.Duration{-1: 72, 0: 72, 1: 72, 2: 144, 3: 288, 4: 576, 5: 720, 6: 720, 1 << 30: 720} {
		if got := blocklist.TermFor(72*time.Hour, strikes); got != want*time.Hour {
			t.Errorf("strike %d: %s, want %s", strikes, got, want*time.Hour)
		}
	}
	if got := blocklist.TermFor(time.Minute, 100); got != 16*time.Minute {
		t.Errorf("one minute at strike 100: %s, want 16m", got)
	}
}

func TestCheckNamesTheFieldAndNeverTheAccount(t *testing.T) {
	good := blocklist.Offence{Entry: blocklist.Entry{Indicator: someone(t), Source: blocklist.SourceDetect}, At: noon, Term: time.Hour}
	if err := good.Check(noon); err != nil {
		t.Fatal(err)
	}
	for field, spoil := range map[string]func(o *blocklist.Offence){
		"indicator": func(o *blocklist.Offence) { o.Indicator = threat.Indicator{} },
		"source":    func(o *blocklist.Offence) { o.Source = "rumour" },
		"severity":  func(o *blocklist.Offence) { o.Severity = 9 },
		"term 1s":   func(o *blocklist.Offence) { o.Term = time.Second },
		"term 721h": func(o *blocklist.Offence) { o.Term = 721 * time.Hour },
		"at: no":    func(o *blocklist.Offence) { o.At = time.Time{} },
		"at: no ti": func(o *blocklist.Offence) { o.At = time.Unix(1e12, 0) },
		"at 2026":   func(o *blocklist.Offence) { o.At = noon.Add(25 * time.Hour) },
		"count":     func(o *blocklist.Offence) { o.Count = -1 },
		"addresses": func(o *blocklist.Offence) { o.Addresses = -1 },
		"score -1":  func(o *blocklist.Offence) { o.Score = -1 },
		"score 101": func(o *blocklist.Offence) { o.Score = 101 },
	} {
		o := good
		spoil(&o)
		err := o.Check(noon)
		if err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "abcdefgh") {
			t.Errorf("%s: err = %v, want one that names the field and no account", field, err)
		}
	}
}

func TestCleanBoundsWhatComesFromLogs(t *testing.T) {
	var many []string
	for i := range 300 {
		name := strconv.Itoa(i) + strings.Repeat("é", i)
		many = append(many, name, name)
	}
	o := blocklist.Offence{
		Entry: blocklist.Entry{
			Reason: "tab\tand \xff and \u202e" + strings.Repeat("é", 200), Rules: many, Countries: many, Accounts: append(many, "\n", ""), Tags: many,
			FirstSeen: noon.Add(1500 * time.Millisecond).In(time.FixedZone("CST", 8*3600)), LastSeen: time.Unix(-5, 0), Count: 1 << 60, Strikes: 7, Since: noon,
		},
		At: noon.Add(999 * time.Millisecond), Term: time.Hour + 999*time.Millisecond,
	}
	before := many[5]
	got := o.Clean()
	if len(got.Rules) != blocklist.MaxRules || len(got.Countries) != blocklist.MaxCountries || len(got.Accounts) != blocklist.MaxAccounts || len(got.Tags) != blocklist.MaxTags {
		t.Errorf("lists of %d, %d, %d, %d", len(got.Rules), len(got.Countries), len(got.Accounts), len(got.Tags))
	}
	if !utf8.ValidString(got.Reason) || len(got.Reason) > blocklist.MaxReason || strings.ContainsAny(got.Reason, "\t\u202e") {
		t.Errorf("reason = %q", got.Reason)
	}
	if !got.At.Equal(noon) || got.FirstSeen != noon.Add(time.Second) || !got.LastSeen.IsZero() || got.Term != time.Hour || got.Strikes != 0 || !got.Since.IsZero() {
		t.Errorf("times = %+v", got)
	}
	if got.Count != 1<<53 || many[5] != before {
		t.Errorf("count = %d, or the caller's list was changed", got.Count)
	}
	if diff := cmp.Diff(got.Accounts, got.Clean().Accounts); diff != "" {
		t.Errorf("cleaning twice differs: %s", diff)
	}
}

// TestApplyNeverShortens: whatever the offences and their order, an active entry's
// end never moves back, and the same offences again change nothing.
func TestApplyNeverShortens(t *testing.T) {
	ind := someone(t)
	rapid.Check(t, func(t *rapid.T) {
		var offences []blocklist.Offence
		for range rapid.IntRange(1, 10).Draw(t, "n") {
			offences = append(offences, blocklist.Offence{
				Entry: blocklist.Entry{Indicator: ind, Source: rapid.SampledFrom([]string{blocklist.SourceDetect, blocklist.SourceOperator}).Draw(t, "source")},
				At:    noon.Add(-time.Duration(rapid.IntRange(0, 200).Draw(t, "ago")) * time.Hour),
				Term:  time.Duration(rapid.IntRange(1, 720).Draw(t, "term")) * time.Hour,
			}.Clean())
		}
		past := blocklist.Past{Strikes: rapid.IntRange(0, 6).Draw(t, "strikes"), Until: noon.Add(-300 * time.Hour)}
		jitter := blocklist.NewJitter("secret", ind.Key())
		var old *blocklist.Entry
		apply := func() {
			for _, o := range offences {
				e, p, outcome := blocklist.Apply(old, past, jitter, o, noon)
				if outcome == blocklist.OutcomeExpired {
					continue
				}
				if old != nil && e.ExpiresAt.Before(old.ExpiresAt) {
					t.Fatalf("the end moved from %s back to %s", old.ExpiresAt, e.ExpiresAt)
				}
				old, past = &e, p
			}
		}
		apply()
		if old == nil {
			return
		}
		want, wantPast := *old, past
		apply()
		same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
		if diff := cmp.Diff(want, *old, same); diff != "" || past != wantPast {
			t.Fatalf("a replay changed the entry: %s", diff)
		}
	})
}
