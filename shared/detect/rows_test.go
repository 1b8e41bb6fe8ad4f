package detect_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

func addressRule() detect.Rule {
	return detect.Rule{
		ID: "addresses", Version: 2, Class: "flood", Severity: threat.High, Action: threat.Block, Term: 72 * time.Hour,
		Subject: detect.Subject{Kind: threat.KindAddress, Column: "ip"},
		Columns: detect.Columns{Count: "cnt", Window: "w", FirstSeen: "first", LastSeen: "last", Countries: "country"},
		Counted: "requests over the rate limit", Window: 2 * time.Minute, Threshold: 20,
		Query: "* | select {{window}} limit 1000000",
	}
}

func accountRule() detect.Rule {
	r := addressRule()
	r.ID, r.Severity = "accounts", threat.Critical
	r.Subject = detect.Subject{Kind: threat.KindAccount, Column: "account"}
	r.Columns.Addresses = "ips"
	return r
}

func row(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

var whole = detect.Span{From: at(1200), To: at(2400)}

type brief struct {
	Subject           string
	Count             int64
	Windows           int
	Until, First, End int64
	Countries         string
}

func briefs(ds []threat.Detection) []brief {
	var all []brief
	for _, d := range ds {
		all = append(all, brief{d.Indicator.String(), d.Count, d.Windows, d.Until.Unix(), d.FirstSeen.Unix(), d.LastSeen.Unix(), strings.Join(d.Countries, " ")})
	}
	return all
}

func TestRowsBecomeDetections(t *testing.T) {
	for name, c := range map[string]struct {
		rows []map[string]string
		want []brief
	}{
		"above the threshold": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1200", "first", "1203", "last", "1290", "country", "CN")},
			[]brief{{"192.0.2.7", 21, 1, 1320, 1203, 1290, "CN"}},
		},
		"at the threshold": {[]map[string]string{row("ip", "192.0.2.7", "cnt", "20", "w", "1200")}, nil},
		"two windows of twenty are none of forty": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "20", "w", "1200"), row("ip", "192.0.2.7", "cnt", "20", "w", "1320")}, nil,
		},
		"windows add up and the last one sets the term": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "30", "w", "1560"), row("ip", "192.0.2.7", "cnt", "25", "w", "1200"), row("ip", "192.0.2.7", "cnt", "3", "w", "1800")},
			[]brief{{"192.0.2.7", 55, 2, 1680, 1200, 1679, ""}},
		},
		"spellings of one address": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "7", "w", "1200"), row("ip", "::ffff:192.0.2.7", "cnt", "7", "w", "1200"), row("ip", "192.0.2.7:4431", "cnt", "7", "w", "1200"), row("ip", "[::ffff:192.0.2.7]:80", "cnt", "1", "w", "1200")},
			[]brief{{"192.0.2.7", 22, 1, 1320, 1200, 1319, ""}},
		},
		"addresses of one /64": {
			[]map[string]string{row("ip", "2001:db8::1", "cnt", "11", "w", "1200"), row("ip", "2001:DB8:0::2", "cnt", "11", "w", "1200"), row("ip", "2001:db8:0:1::1", "cnt", "11", "w", "1200")},
			[]brief{{"2001:db8::/64", 22, 1, 1320, 1200, 1319, ""}},
		},
		"other runs' windows": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "50", "w", "1080"), row("ip", "192.0.2.7", "cnt", "50", "w", "2400")}, nil,
		},
		"times outside their window are the window's": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1200", "first", "5", "last", "99999999999")},
			[]brief{{"192.0.2.7", 21, 1, 1320, 1200, 1319, ""}},
		},
		"countries as an array, NULL and rubbish left out": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1200", "country", `["US",null,"CN","\u0007"]`), row("ip", "192.0.2.7:1", "cnt", "1", "w", "1200", "country", "null")},
			[]brief{{"192.0.2.7", 22, 1, 1320, 1200, 1319, "CN US"}},
		},
		"counts too large to add": {
			[]map[string]string{row("ip", "192.0.2.7", "cnt", "9223372036854775807", "w", "1200"), row("ip", "192.0.2.7", "cnt", "9", "w", "1320"), row("ip", "192.0.2.7:1", "cnt", "30", "w", "1200")},
			[]brief{{"192.0.2.7", math.MaxInt64, 1, 1320, 1200, 1319, ""}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, rejected := addressRule().Detections(c.rows, whole)
			if diff := cmp.Diff(c.want, briefs(got)); diff != "" {
				t.Error(diff)
			}
			if len(rejected) > 0 {
				t.Errorf("rejected %+v", rejected)
			}
		})
	}
}

func TestADetectionCarriesItsRule(t *testing.T) {
	got, _ := addressRule().Detections([]map[string]string{row("ip", "192.0.2.7", "cnt", "21", "w", "1200")}, whole)
	d := got[0]
	if d.Rule != "addresses" || d.Version != 2 || d.Class != "flood" || d.Severity != threat.High || d.Action != threat.Block || d.Term != 72*time.Hour {
		t.Errorf("detection = %+v", d)
	}
}

func TestBadRowsAreCountedAndTheRestGoesOn(t *testing.T) {
	good := row("ip", "192.0.2.7", "cnt", "21", "w", "1200")
	for name, c := range map[string]struct {
		row  map[string]string
		want detect.Rejected
	}{
		"not an address":    {row("ip", "999.1.1.1", "cnt", "3", "w", "1200"), detect.Rejected{Value: "999.1.1.1", Reason: "not an address", Count: 3}},
		"unspecified":       {row("ip", "0.0.0.0", "cnt", "3", "w", "1200"), detect.Rejected{Value: "0.0.0.0", Reason: "unspecified address", Count: 3}},
		"private":           {row("ip", "10.1.2.3", "cnt", "3", "w", "1200"), detect.Rejected{Value: "10.1.2.3", Reason: "private address", Count: 3}},
		"a range":           {row("ip", "192.0.2.0/24", "cnt", "3", "w", "1200"), detect.Rejected{Value: "192.0.2.0/24", Reason: "not an address", Count: 3}},
		"a zone":            {row("ip", "fe80::1%eth0", "cnt", "3", "w", "1200"), detect.Rejected{Value: "fe80::1%eth0", Reason: "address has a zone", Count: 3}},
		"NULL":              {row("ip", "null", "cnt", "3", "w", "1200"), detect.Rejected{Reason: "no value where the rule looks for one", Count: 3}},
		"no such column":    {row("cnt", "3", "w", "1200"), detect.Rejected{Reason: "no value where the rule looks for one", Count: 3}},
		"terminal controls": {row("ip", "\x1b[2J\xff", "cnt", "3", "w", "1200"), detect.Rejected{Value: `\x1b[2J\xff`, Reason: "not an address", Count: 3}},
		"count as text":     {row("ip", "192.0.2.8", "cnt", "many", "w", "1200"), detect.Rejected{Value: "192.0.2.8", Reason: "count is not a positive whole number", Count: 1}},
		"negative count":    {row("ip", "192.0.2.8", "cnt", "-3", "w", "1200"), detect.Rejected{Value: "192.0.2.8", Reason: "count is not a positive whole number", Count: 1}},
		"phase as window":   {row("ip", "192.0.2.8", "cnt", "30", "w", "50"), detect.Rejected{Value: "192.0.2.8", Reason: "window is not the start of a window", Count: 30}},
		"window overflows":  {row("ip", "192.0.2.8", "cnt", "30", "w", "9223372036854775800"), detect.Rejected{Value: "192.0.2.8", Reason: "window is not the start of a window", Count: 30}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Rule = "addresses"
			got, rejected := addressRule().Detections([]map[string]string{c.row, good, c.row}, whole)
			c.want.Count *= 2
			if diff := cmp.Diff([]detect.Rejected{c.want}, rejected); diff != "" {
				t.Error(diff)
			}
			if len(got) != 1 || got[0].Count != 21 {
				t.Errorf("detections = %+v, want the good row's", got)
			}
		})
	}
}

func TestNobodysAccountIsRejectedAndShownMasked(t *testing.T) {
	_, rejected := accountRule().Detections([]map[string]string{
		row("account", "null", "cnt", "500", "w", "1200"),
		row("account", " jane.doe@example.com", "cnt", "30", "w", "1200"),
		row("account", strings.Repeat("x", 300), "cnt", "30", "w", "1200"),
	}, whole)
	want := []detect.Rejected{
		{Rule: "accounts", Reason: "no value where the rule looks for one", Count: 500},
		{Rule: "accounts", Value: " ja…(21)", Reason: "account has blanks around it", Count: 30},
		{Rule: "accounts", Value: "xxx…(300)", Reason: "account longer than 256 bytes", Count: 30},
	}
	if diff := cmp.Diff(want, rejected); diff != "" {
		t.Error(diff)
	}
}

func TestAnAccountsAddressesAreItsEvidence(t *testing.T) {
	got, rejected := accountRule().Detections([]map[string]string{
		row("account", "abc", "cnt", "101", "w", "1200", "ips", `["192.0.2.7","999.1.1.1",null,"2001:db8::1","192.0.2.7:80"]`),
		row("account", "abc", "cnt", "101", "w", "1320", "ips", `["192.0.2.8","2001:db8::2"]`),
		row("account", "abc", "cnt", "5", "w", "1440", "ips", `["192.0.2.200"]`), // this window does not fire
		row("account", "def", "cnt", "101", "w", "1320", "ips", `[192.0.2.8]`),
	}, whole)
	if len(got) != 2 || got[0].Addresses != 3 || fmt.Sprint(got[0].Evidence) != "[192.0.2.7 192.0.2.8 2001:db8::/64]" || got[1].Addresses != 0 || got[1].Count != 101 {
		t.Errorf("detections = %+v", got)
	}
	want := []detect.Rejected{
		{Rule: "accounts", Value: "999.1.1.1", Reason: "not an address", Count: 1},
		{Rule: "accounts", Value: "[192.0.2.8]", Reason: "addresses are not a JSON array of text", Count: 1},
	}
	if diff := cmp.Diff(want, rejected); diff != "" {
		t.Error(diff)
	}
}

func TestEvidenceIsBoundedAndCountedWhole(t *testing.T) {
	ips := make([]string, threat.MaxEvidence+500)
	for i := range ips {
		ips[i] = fmt.Sprintf("%d.%d.%d.%d", 20+i>>24, i>>16&255, i>>8&255, i&255)
	}
	text, _ := json.Marshal(ips)
	got, _ := accountRule().Detections([]map[string]string{row("account", "abc", "cnt", "200000", "w", "1200", "ips", string(text))}, whole)
	if len(got[0].Evidence) != threat.MaxEvidence || got[0].Addresses != threat.MaxEvidence+500 {
		t.Errorf("%d addresses, %d as evidence", got[0].Addresses, len(got[0].Evidence))
	}
}

func TestRejectedValuesAreBounded(t *testing.T) {
	rows := make([]map[string]string, 30_000)
	for i := range rows {
		rows[i] = row("ip", fmt.Sprint("forged-", i), "cnt", "1", "w", "1200")
	}
	_, rejected := addressRule().Detections(rows, whole)
	var lines int64
	for _, r := range rejected {
		lines += r.Count
	}
	if len(rejected) != 10_001 || lines != 30_000 || rejected[0].Reason != "more rejected values than are kept apart" {
		t.Errorf("%d values kept apart, %d lines counted, first %+v", len(rejected), lines, rejected[0])
	}
}

func TestTheOrderOfRowsDoesNotMatter(t *testing.T) {
	var rows []map[string]string
	for i := range 300 {
		rows = append(rows, row("ip", fmt.Sprintf("192.0.2.%d", i%50), "cnt", strconv.Itoa(i), "w", strconv.Itoa(1200+i%10*120), "country", "C"+strconv.Itoa(i%7)), row("ip", fmt.Sprint("bad", i%20), "cnt", "1", "w", "1200"))
	}
	want, wantRejected := addressRule().Detections(rows, whole)
	for range 20 {
		rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		got, rejected := addressRule().Detections(rows, whole)
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })) + cmp.Diff(wantRejected, rejected); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestEscape(t *testing.T) {
	for value, want := range map[string]string{
		"192.0.2.7":              "192.0.2.7",
		"a\nb\x00\x1b\u202e\xfe": `a\nb\x00\x1b\u202e\xfe`,
		"地址":                     "地址",
		strings.Repeat("a", 64):  strings.Repeat("a", 64),
		strings.Repeat("a", 65):  strings.Repeat("a", 61) + "…",
		strings.Repeat("地", 30):  strings.Repeat("地", 20) + "…",
	} {
		if got := detect.Escape(value); got != want {
			t.Errorf("Escape(%q) = %q, want %q", value, got, want)
		}
	}
}

func FuzzDetections(f *testing.F) {
	f.Add("192.0.2.7", "21", "1200", "1200", `["CN"]`, `["192.0.2.7"]`)
	f.Add("::ffff:192.0.2.7", "-1", "50", "x", "null", "null")
	f.Add("\xff\x1b", "9223372036854775807", "9223372036854775800", "", `[null]`, `[[[[`)
	f.Fuzz(func(t *testing.T, subject, count, window, seen, countries, addresses string) {
		rows := []map[string]string{
			row("ip", subject, "account", subject, "cnt", count, "w", window, "first", seen, "last", seen, "country", countries, "ips", addresses),
			row("ip", "192.0.2.7", "account", "abc", "cnt", "21", "w", "1200"),
		}
		for _, rule := range []detect.Rule{addressRule(), accountRule()} {
			got, rejected := rule.Detections(rows, whole)
			if len(got) == 0 {
				t.Errorf("the good row is gone")
			}
			for _, d := range got {
				if d.Count <= rule.Threshold || d.Windows < 1 || d.Until.Unix()%120 != 0 || d.LastSeen.Before(d.FirstSeen) || !d.LastSeen.Before(d.Until) || d.Indicator.Unit() != d.Indicator {
					t.Errorf("detection %+v", d)
				}
			}
			for _, r := range rejected {
				if len(r.Value) > 64 || !utf8.ValidString(r.Value) || strings.ContainsFunc(r.Value, func(c rune) bool { return !unicode.IsPrint(c) }) || r.Count < 1 {
					t.Errorf("rejected %+v", r)
				}
			}
		}
	})
}
