package threatintel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// entries is a table of n addresses.
func entries(n int) *threatintel.Table {
	list := make([]threatintel.Item, n)
	for i := range list {
		list[i] = threatintel.Item{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{45, byte(i >> 16), byte(i >> 8), byte(i)}), 32), Confidence: 50}
	}
	return threatintel.NewTable(list)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	signal := threatintel.Feed{Name: "scanners", Format: threatintel.Plain, Purpose: threatintel.Signal, MaxAge: 7 * 24 * time.Hour, MaxCoverage: 5, MinEntries: 1}
	allow := signal
	allow.Purpose = threatintel.Allow
	few := signal
	few.MinEntries = 100
	had := func(n int) threatintel.Record {
		return threatintel.Record{Reading: signal.Reading(), Digest: "d", Entries: n, Published: noon.Add(-time.Hour)}
	}
	hadAllow := func(n int) threatintel.Record {
		return threatintel.Record{Reading: allow.Reading(), Digest: "d", Entries: n}
	}
	for _, tc := range []struct {
		name   string
		feed   threatintel.Feed
		last   threatintel.Record
		got    threatintel.Arrival
		accept bool
		want   error
	}{
		{"a first list", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(5)}, false, nil},
		{"no entries", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(0)}, false, threatintel.ErrEmpty},
		{"fewer than the operator expects", few, threatintel.Record{}, threatintel.Arrival{Table: entries(99)}, false, threatintel.ErrEmpty},
		{"as many as the operator expects", few, threatintel.Record{}, threatintel.Arrival{Table: entries(100)}, false, nil},
		{"nobody may accept nothing", signal, had(100), threatintel.Arrival{Table: entries(0)}, true, threatintel.ErrEmpty},

		{"a tenth of bad lines", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(90), Bad: 10}, false, nil},
		{"more than a tenth", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(89), Bad: 10}, false, threatintel.ErrBadLines},
		{"two bad lines of a short list", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(3), Bad: 2}, false, nil},
		{"as many bad lines as good ones", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(2), Bad: 2}, false, threatintel.ErrBadLines},
		{"only bad lines", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(0), Bad: 1}, false, threatintel.ErrBadLines},
		{"one bad line of whom to spare", allow, threatintel.Record{}, threatintel.Arrival{Table: entries(1000), Bad: 1}, false, threatintel.ErrBadLines},

		{"half of before", signal, had(100), threatintel.Arrival{Table: entries(50)}, false, nil},
		{"less than half", signal, had(100), threatintel.Arrival{Table: entries(49)}, false, threatintel.ErrShrunk},
		{"less than half, and somebody has looked", signal, had(100), threatintel.Arrival{Table: entries(49)}, true, nil},
		{"less than half of a handful", signal, had(9), threatintel.Arrival{Table: entries(2)}, false, nil},
		{"less than half after its table was lost", signal, threatintel.Record{Reading: signal.Reading(), Entries: 100}, threatintel.Arrival{Table: entries(49)}, false, threatintel.ErrShrunk},
		{"less than half of what another URL had", signal, threatintel.Record{Reading: "other", Digest: "d", Entries: 100}, threatintel.Arrival{Table: entries(1)}, false, nil},
		{"ten times", signal, had(200), threatintel.Arrival{Table: entries(2000)}, false, nil},
		{"more than ten times", signal, had(200), threatintel.Arrival{Table: entries(2001)}, false, threatintel.ErrGrown},
		{"more than ten times, and somebody has looked", signal, had(200), threatintel.Arrival{Table: entries(2001)}, true, nil},
		{"a short list grows", signal, had(5), threatintel.Arrival{Table: entries(1000)}, false, nil},
		{"three times as many to spare", allow, hadAllow(100), threatintel.Arrival{Table: entries(300)}, false, nil},
		{"more than three times as many to spare", allow, hadAllow(100), threatintel.Arrival{Table: entries(301)}, false, threatintel.ErrGrown},

		{"five percent of IPv4", signal, threatintel.Record{}, threatintel.Arrival{Table: wide(12)}, false, nil},
		{"more", signal, threatintel.Record{}, threatintel.Arrival{Table: wide(13)}, false, threatintel.ErrTooWide},
		{"more, and somebody has looked", signal, threatintel.Record{}, threatintel.Arrival{Table: wide(13)}, true, threatintel.ErrTooWide},
		{"more of IPv6", signal, threatintel.Record{}, threatintel.Arrival{Table: wide6(500)}, false, threatintel.ErrTooWide},

		{"one public resolver", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(5), Protected: 1}, false, nil},
		{"two of them", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(5), Protected: 2}, true, threatintel.ErrProtected},

		{"a list of today", signal, had(5), threatintel.Arrival{Table: entries(5), Published: noon}, false, nil},
		{"a list that is as old as it may be", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(5), Published: noon.Add(-7 * 24 * time.Hour)}, false, nil},
		{"a list that is older", signal, threatintel.Record{}, threatintel.Arrival{Table: entries(5), Published: noon.Add(-7*24*time.Hour - 1)}, true, threatintel.ErrStale},
		{"old ranges to spare", allow, threatintel.Record{}, threatintel.Arrival{Table: entries(5), Published: noon.AddDate(-3, 0, 0)}, false, nil},
		{"older ranges to spare than the last ones", allow, threatintel.Record{Reading: allow.Reading(), Published: noon}, threatintel.Arrival{Table: entries(5), Published: noon.Add(-1)}, false, threatintel.ErrStale},
		{"an older list than the last one", signal, had(5), threatintel.Arrival{Table: entries(5), Published: noon.Add(-time.Hour - 1)}, false, threatintel.ErrStale},
		{"a list after one from the future", signal, threatintel.Record{Reading: signal.Reading(), Digest: "d", Entries: 5, Published: noon.Add(1000 * time.Hour)}, threatintel.Arrival{Table: entries(5), Published: noon}, false, nil},
	} {
		if err := threatintel.Judge(tc.feed, noon, tc.last, tc.got, tc.accept); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func wide(n int) *threatintel.Table {
	list := make([]threatintel.Item, n)
	for i := range list {
		list[i] = item(fmt.Sprintf("%d.0.0.0/8", 20+i), 1)
	}
	return threatintel.NewTable(list)
}

func wide6(n int) *threatintel.Table {
	list := make([]threatintel.Item, n)
	for i := range list {
		list[i] = item(fmt.Sprintf("2%03x::/16", i), 1)
	}
	return threatintel.NewTable(list)
}

func TestAGuardSaysHowToAcceptWhatIsMeant(t *testing.T) {
	t.Parallel()
	f := threatintel.Feed{Name: "scanners", Purpose: threatintel.Signal, MaxCoverage: 5}
	err := threatintel.Judge(f, noon, threatintel.Record{Reading: f.Reading(), Entries: 100}, threatintel.Arrival{Table: entries(3)}, false)
	if err == nil || !strings.Contains(err.Error(), `{"accept":["scanners"]}`) || !strings.Contains(err.Error(), "3 entries, 100 before") {
		t.Errorf("err = %v", err)
	}
}

func TestProblemsHaveWords(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]string{
		nil: "", errors.New("x"): "other", threatintel.ErrShrunk: "shrunk",
		fmt.Errorf("a: %w", fmt.Errorf("%w: b", threatintel.ErrTruncated)): "truncated",
	} {
		if got := threatintel.Problem(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestResolversAreProtectedByTheRangesAroundThemToo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"8.8.8.8/32": true, "8.8.8.0/24": true, "8.0.0.0/9": true, "8.8.8.9/32": false, "2001:4860:4860::/64": true, "2606:4700::/32": true, "198.51.100.0/24": false,
	} {
		if got := threatintel.Protected(netip.MustParsePrefix(text)) != 0; got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}
