package formats_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/TcM1911/stix2"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/formats"
)

// indicator is one as JSON; fields replace or add to the usual ones.
func indicatorText(id int, pattern, fields string) string {
	quoted, err := json.Marshal(pattern)
	if err != nil {
		panic(err)
	}
	if !strings.Contains(fields, `"modified"`) {
		fields += `,"modified":"2026-11-20T00:00:00.000Z"`
	}
	return fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-%012d","created":"2026-11-01T00:00:00.000Z","valid_from":"2026-11-01T00:00:00Z","pattern_type":"stix","pattern":%s%s}`, id, quoted, fields)
}

func bundleOf(objects ...string) string {
	return `{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[` + strings.Join(objects, ",") + `]}`
}

var bundleText = bundleOf(indicatorText(1, "[ipv4-addr:value = '198.51.100.7']", ""))

func TestBundles(t *testing.T) {
	t.Parallel()
	const one = "[ipv4-addr:value = '198.51.100.7']"
	for _, tc := range []struct {
		name    string
		objects []string
		want    string
	}{
		{"nothing", nil, "bad 0"},
		{"an address", []string{indicatorText(1, one, "")}, "198.51.100.7/32=50 bad 0"},
		{"its own confidence", []string{indicatorText(1, one, `,"confidence":85`)}, "198.51.100.7/32=85 bad 0"},
		{"a confidence that there is not", []string{indicatorText(1, one, `,"confidence":850`)}, "198.51.100.7/32=100 bad 0"},
		{"revoked", []string{indicatorText(1, one, `,"revoked":true`)}, "bad 0"},
		{"no longer valid", []string{indicatorText(1, one, `,"valid_until":"2026-11-21T12:00:00Z"`)}, "bad 0"},
		{"still valid", []string{indicatorText(1, one, `,"valid_until":"2026-11-21T12:00:01Z"`)}, "198.51.100.7/32=50 bad 0"},
		{"not yet valid", []string{strings.Replace(indicatorText(1, one, ""), `"valid_from":"2026-11-01`, `"valid_from":"2026-12-01`, 1)}, "bad 0"},
		{"benign", []string{indicatorText(1, one, `,"indicator_types":["benign"]`)}, "bad 0"},
		{"malicious", []string{indicatorText(1, one, `,"indicator_types":["malicious-activity"]`)}, "198.51.100.7/32=50 bad 0"},
		{"a pattern of another language", []string{strings.Replace(indicatorText(1, one, ""), `"pattern_type":"stix"`, `"pattern_type":"yara"`, 1)}, "bad 0"},
		{"objects of other kinds", []string{`{"type":"identity","id":"identity--1"}`, `{"type":"ipv4-addr","value":"198.51.100.9"}`, indicatorText(1, one, "")}, "198.51.100.7/32=50 bad 0"},
		{"the latest version counts, whichever comes first", []string{
			indicatorText(1, "[ipv4-addr:value = '198.51.100.8']", `,"modified":"2026-11-20T00:00:01.000Z"`), indicatorText(1, one, ""),
			indicatorText(2, "[ipv4-addr:value = '203.0.113.1']", ""), indicatorText(2, "[ipv4-addr:value = '203.0.113.2']", `,"revoked":true,"modified":"2026-11-20T00:00:01.000Z"`),
		}, "198.51.100.8/32=50 bad 0"},
		{"an address that is none", []string{indicatorText(1, "[ipv4-addr:value = '999.1.1.1' OR ipv4-addr:value = '198.51.100.7']", "")}, "198.51.100.7/32=50 bad 1"},
		{"a private one", []string{indicatorText(1, "[ipv4-addr:value = '10.0.0.1']", "")}, "bad 1"},
		{"a time that is a number", []string{strings.Replace(indicatorText(1, one, ""), `"modified":"2026-11-20T00:00:00.000Z"`, `"modified":5`, 1), indicatorText(2, one, "")}, "198.51.100.7/32=50 bad 1"},
		{"a time that is nothing", []string{strings.Replace(indicatorText(1, one, ""), `"2026-11-20T00:00:00.000Z"`, `""`, 1)}, "bad 1"},
		{"no time at all", []string{strings.Replace(indicatorText(1, one, ""), `,"modified":"2026-11-20T00:00:00.000Z"`, ``, 1)}, "bad 1"},
		{"no id", []string{strings.Replace(indicatorText(1, one, ""), `"id":"indicator`, `"di":"indicator`, 1)}, "bad 1"},
		{"no object", []string{`5`, `"x"`, `null`, indicatorText(1, one, "")}, "198.51.100.7/32=50 bad 2"},
		{"an object that is deep", []string{`{"type":"indicator","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`}, "bad 1"},
		{"an indicator with something deep in it", []string{indicatorText(1, one, `,"x_deep":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)), indicatorText(2, one, `,"x_deep":[[]]`)}, "198.51.100.7/32=50 bad 1"},
		{"brackets within a text are not depth", []string{indicatorText(1, one, `,"name":"`+strings.Repeat(`[\"`, 60)+`"`)}, "198.51.100.7/32=50 bad 0"},
		{"an object that is huge", []string{indicatorText(1, one, `,"name":"`+strings.Repeat("x", 300<<10)+`"`), indicatorText(2, one, "")}, "198.51.100.7/32=50 bad 1"},
	} {
		got, err := formats.Read(feed("stix"), noon, strings.NewReader(bundleOf(tc.objects...)))
		if err != nil || show(got) != tc.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", tc.name, show2(got), err, tc.want)
		}
	}
}

func TestABundleSaysWhenAndUntilWhen(t *testing.T) {
	t.Parallel()
	got, err := formats.Read(feed("stix"), noon, strings.NewReader(bundleOf(indicatorText(1, "[ipv4-addr:value = '198.51.100.7']", `,"valid_until":"2026-12-01T00:00:00Z"`))))
	if err != nil {
		t.Fatal(err)
	}
	for item := range got.Table.All() {
		if item.Seen != 1795132800 || item.Until != 1796083200 {
			t.Errorf("seen %d, until %d", item.Seen, item.Until)
		}
	}
}

// What the library writes is what we read.
func TestABundleOfTheLibrary(t *testing.T) {
	t.Parallel()
	from := stix2.Timestamp{Time: noon.AddDate(0, 0, -1)}
	in, err := stix2.NewIndicator("[ipv4-addr:value ISSUBSET '203.0.113.0/24']", "stix", &from, stix2.OptionConfidence(70))
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := stix2.NewBundle(in)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := formats.Read(feed("stix"), noon, strings.NewReader(string(text))); err != nil || show(got) != "203.0.113.0/24=70 bad 0" {
		t.Errorf("%s, %v", show2(got), err)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"[ipv4-addr:value = '198.51.100.7']":                                                   "198.51.100.7/32",
		"[ipv4-addr:value='198.51.100.7']":                                                     "198.51.100.7/32",
		"[ipv4-addr:value ISSUBSET '198.51.100.0/24']":                                         "198.51.100.0/24",
		"[ipv6-addr:value = '2001:db8::7']":                                                    "2001:db8::/64",
		"[ipv4-addr:value = '198.51.100.0/24']":                                                "198.51.100.0/24",
		"[network-traffic:src_ref.value = '198.51.100.7']":                                     "198.51.100.7/32",
		"[ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value = '198.51.100.8']":               "198.51.100.7/32 198.51.100.8/32",
		"[ipv4-addr:value = '198.51.100.7'] OR [ipv6-addr:value = '2001:db8::7']":              "198.51.100.7/32 2001:db8::/64",
		"([ipv4-addr:value = '198.51.100.7'] OR [ipv4-addr:value = '198.51.100.8'])":           "198.51.100.7/32 198.51.100.8/32",
		"[(ipv4-addr:value = '198.51.100.7' OR ipv4-addr:value = '198.51.100.8')]":             "198.51.100.7/32 198.51.100.8/32",
		"[ipv4-addr:value IN ('198.51.100.7', '198.51.100.8')]":                                "198.51.100.7/32 198.51.100.8/32",
		"[domain-name:value = 'x.example' OR ipv4-addr:value = '198.51.100.7']":                "198.51.100.7/32",
		"[file:hashes.'SHA-256' = 'ab'] OR [ipv4-addr:value = '198.51.100.7']":                 "198.51.100.7/32",
		"[network-traffic:protocols[0] = 'tcp' OR ipv4-addr:value = '198.51.100.7']":           "198.51.100.7/32",
		"[network-traffic:dst_port > 1024 OR ipv4-addr:value = '198.51.100.7']":                "198.51.100.7/32",
		`[domain-name:value = 'it\'s ] OR [' OR ipv4-addr:value = '198.51.100.7']`:             "198.51.100.7/32",
		"[x:y = t'2026-01-01T00:00:00Z' OR ipv4-addr:value = '198.51.100.7']":                  "198.51.100.7/32",
		"[ipv4-addr:value = '198.51.100.7' AND network-traffic:dst_port = 22]":                 "",
		"[network-traffic:dst_port = 22 AND ipv4-addr:value = '198.51.100.7']":                 "",
		"[ipv4-addr:value = '198.51.100.7'] AND [ipv4-addr:value = '198.51.100.8']":            "",
		"[ipv4-addr:value = '198.51.100.7'] FOLLOWEDBY [domain-name:value = 'x']":              "",
		"[ipv4-addr:value = '198.51.100.7'] WITHIN 5 SECONDS":                                  "",
		"[ipv4-addr:value = '198.51.100.7'] REPEATS 5 TIMES":                                   "",
		"[ipv4-addr:value NOT = '198.51.100.7']":                                               "",
		"[NOT ipv4-addr:value = '198.51.100.7']":                                               "",
		"[ipv4-addr:value != '198.51.100.7']":                                                  "",
		"[ipv4-addr:value ISSUPERSET '198.51.100.7/32']":                                       "",
		"[ipv4-addr:value LIKE '198.51.100.%']":                                                "",
		"[ipv4-addr:value > '198.51.100.7']":                                                   "",
		"[network-traffic:dst_ref.value = '198.51.100.7']":                                     "",
		"[domain-name:value = 'x.example']":                                                    "",
		"[ipv4-addr:value = '198.51.100.7'":                                                    "",
		"[ipv4-addr:value = '198.51.100.7]":                                                    "",
		"ipv4-addr:value = '198.51.100.7'":                                                     "",
		"[ipv4-addr:value = '198.51.100.7'] trailing":                                          "",
		"[ipv4-addr:value = '198.51.100.7'] OR":                                                "",
		"[ipv4-addr:value IN ('198.51.100.7'":                                                  "",
		"[ipv4-addr:value IN ()]":                                                              "",
		"[ipv4-addr:value '198.51.100.7']":                                                     "",
		"[ipv4-addr:value = ]":                                                                 "",
		"[]":                                                                                   "",
		"":                                                                                     "",
		"[x:y[9999999999999999 = '1']":                                                         "",
		strings.Repeat("(", 100) + "[ipv4-addr:value = '198.51.100.7']":                        "",
		strings.Repeat("(", 9) + "[ipv4-addr:value = '198.51.100.7']" + strings.Repeat(")", 9): "",
		strings.Repeat(" ", 70000) + "[ipv4-addr:value = '198.51.100.7']":                      "",
	} {
		got, err := formats.Read(feed("stix"), noon, strings.NewReader(bundleOf(indicatorText(1, pattern, ""))))
		if err != nil {
			t.Errorf("%.100s: %v", pattern, err)
			continue
		}
		var list []string
		for item := range got.Table.All() {
			list = append(list, item.Prefix.String())
		}
		if s := strings.Join(list, " "); s != want || got.Bad != 0 {
			t.Errorf("%.100s: %q, bad %d, want %q", pattern, s, got.Bad, want)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	b := formats.NewBundle(feed("taxii"), noon)
	for i, tc := range []struct {
		text string
		more bool
		next string
		want error
	}{
		{`{"more":true,"next":"2","objects":[` + indicatorText(1, "[ipv4-addr:value = '198.51.100.7']", "") + `]}`, true, "2", nil},
		{`{"objects":[` + indicatorText(2, "[ipv4-addr:value = '198.51.100.8']", "") + `],"x_vendor":{}}`, false, "", nil},
		{`{}`, false, "", nil},
		{`{"title":"Forbidden","http_status":"403"}`, false, "", threatintel.ErrNotAFeed},
		{`{"more":true,"objects":[`, true, "", threatintel.ErrTruncated},
		{`{"more":"x"}`, false, "", threatintel.ErrNotAFeed},
	} {
		more, next, err := b.Page(strings.NewReader(tc.text))
		if more != tc.more || next != tc.next || !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("page %d: %t, %q, %v", i, more, next, err)
		}
	}
	got, err := b.Arrival()
	if err != nil || show(got) != "198.51.100.7/32=50 198.51.100.8/32=50 bad 0" {
		t.Errorf("%s, %v", show2(got), err)
	}
}

// A hostile pattern must cost time in proportion to its length.
func TestPatternsCostLinearTime(t *testing.T) {
	t.Parallel()
	took := func(n int) time.Duration {
		text := bundleOf(indicatorText(1, "["+strings.Repeat("ipv4-addr:value = '198.51.100.7' OR ", n)+"x]", ""))
		least := time.Hour
		for range 20 {
			began := time.Now()
			if _, err := formats.Read(feed("stix"), noon, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	if few, many := took(150), took(1500); many > 40*few {
		t.Errorf("%s for a pattern, %s for one of ten times the length", few, many)
	}
}
