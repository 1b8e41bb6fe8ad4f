package detect

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

const goodRule = `id: some-rule
version: 3
title: A rule
severity: high
class: flood
format: [story, jsonl]
subject: {kind: ip, column: ip}
columns: {count: cnt, window: w}
counted: requests
window: 2m
threshold: 20
action: block
parameters: {most: 7}
query: "* | select ip, __time__ - __time__ % {{window}} as w, count(1) as cnt from log where n < {{most}} group by ip, w having cnt > {{threshold}} limit 1000000"
fields: {address: ip}
dialects:
  cls:
    query: "* | select ip, cast((__TIMESTAMP__ - __TIMESTAMP__ % ({{window}} * 1000)) / 1000 as bigint) as w, count(1) as cnt where n < {{most}} group by {{field.address}}, w having cnt > {{threshold}} order by w, ip limit 10000"
tests:
  - name: fires
    lines: [{time: 2025-05-10T12:55:31+08:00, repeat: 21, every: 1s, fields: {ip: 192.0.2.7}}]
    want: [{subject: 192.0.2.7, count: 21}]
  - name: does not
    lines: [{time: 2025-05-10T12:55:31+08:00, fields: {ip: 192.0.2.7}}]
  - name: fires on another
    lines: [{time: 2025-05-10T12:55:31+08:00, repeat: 22, fields: {ip: 192.0.2.8}}]
    want: [{subject: 192.0.2.8, count: 22}]
  - name: does not at the threshold
    lines: [{time: 2025-05-10T12:55:31+08:00, repeat: 20, fields: {ip: 192.0.2.8}}]
    want: []
`

// badRule is the good rule with one thing replaced, and the problem that must be named.
type badRule struct {
	old, new     string
	want         string
	beyondSchema bool // only the loader can know
}

func (b badRule) text() string { return strings.Replace(goodRule, b.old, b.new, 1) }

var badRules = map[string]badRule{
	"unknown field":            {"title:", "titel:", `titel: unknown field: want one of`, false},
	"unknown field, nested":    {"column: ip}", "column: ip, colour: red}", `subject.colour: unknown field: want one of column, kind`, false},
	"missing field":            {"counted: requests\n", "", `counted: is missing`, false},
	"empty title":              {"A rule", `""`, `title: is empty`, false},
	"id with blanks":           {"some-rule", "Some Rule", `id: "Some Rule": want lower-case words joined by hyphens`, false},
	"version as text":          {"version: 3", "version: three", `version: "three": want a whole number`, false},
	"version zero":             {"version: 3", "version: 0", `version: 0: want a whole number from 1 to`, false},
	"unknown severity":         {"severity: high", "severity: awful", `severity: "awful": want low, medium, high, critical`, false},
	"unknown class":            {"class: flood", "class: rain", `class: "rain": want flood, brute force`, false},
	"unknown format":           {"jsonl]", "xml]", `format[1]: "xml": want each at most once of story`, false},
	"format twice":             {"jsonl]", "story]", `format[1]: "story": want each at most once`, false},
	"no format":                {"[story, jsonl]", "[]", `format: is empty`, false},
	"unknown kind":             {"kind: ip", "kind: host", `subject.kind: "host": want ip, account`, false},
	"column with a quote":      {"count: cnt", `count: "c'nt"`, `columns.count: "c'nt": want a column name`, false},
	"addresses of an address":  {"window: w}", "window: w, addresses: a}", `columns.addresses: "a": want it only where`, true},
	"window without a unit":    {"window: 2m", "window: 120", `window: 120: want a time span`, false},
	"window of a day":          {"window: 2m", "window: 24h", `window: "24h": want a time span in whole seconds from 1s to 1h`, true},
	"window of half a second":  {"window: 2m", "window: 1500ms", `window: "1500ms": want a time span in whole seconds`, false},
	"negative threshold":       {"threshold: 20", "threshold: -1", `threshold: -1: want a whole number from 0`, false},
	"fractional threshold":     {"threshold: 20", "threshold: 2.5", `threshold: 2.5: want a whole number`, false},
	"unknown action":           {"action: block", "action: nuke", `action: "nuke": want observe, challenge, block`, false},
	"term beyond thirty days":  {"action: block", "action: block\nterm: 721h", `term: "721h": want a time span in whole seconds from 1m to 720h`, true},
	"parameter as text":        {"{most: 7}", `{most: "7 or 1=1"}`, `parameters.most: "7 or 1=1": want a whole number`, false},
	"parameter named window":   {"{most: 7}", "{most: 7, window: 3}", `parameters.window: want a name`, false},
	"parameter not used":       {"{most: 7}", "{most: 7, least: 3}", `parameters.least: the query does not use it`, true},
	"unknown placeholder":      {"{{most}}", "{{user}}", `unknown placeholder {{user}}: want one of window, threshold, window_start, time, log, limit, country:COLUMN, unusual:COLUMN, most`, true},
	"broken placeholder":       {"{{most}}", "{{most}", `query: {{ without }}`, true},
	"no limit":                 {" limit 1000000", "", `query: does not end in a LIMIT`, true},
	"limit all":                {"limit 1000000", "limit all", `query: does not end in a LIMIT`, true},
	"limit in a string":        {"limit 1000000", "order by 'limit 1000000'", `query: does not end in a LIMIT`, true},
	"small limit":              {"limit 1000000", "limit 100", `query: limit 100: want limit 1000000`, true},
	"two statements":           {" limit 1000000", "; drop table log limit 1000000", `query: contains a ;`, true},
	"SQL comment":              {" limit 1000000", " -- x\n limit 1000000", `query: contains a comment`, true},
	"filter on __time__":       {"where n < ", "where __time__ > 5 and n < ", `query: filters on __time__`, true},
	"has":                      {"where n < ", "where msg has 'x' and n < ", `query: uses has`, true},
	"offset":                   {" limit 1000000", " offset 5 limit 1000000", `query: uses OFFSET`, true},
	"window not used":          {"{{window}}", "120", `query: does not use {{window}}`, true},
	"no search":                {`"* |`, `" |`, `query: nothing before the |`, true},
	"no SQL":                   {"* | select", "select", `query: no |`, true},
	"no select":                {"* | select", "* | delete", `query: want a select after the |`, true},
	"field not used":           {"{address: ip}", "{address: ip, status: s}", `fields.status: the query does not use it: want {{field.status}}`, true},
	"field that ends quotes":   {"{address: ip}", `{address: 'ip" or "1'}`, `fields.address: "ip\" or \"1": want a field's name`, false},
	"field as a number":        {"{address: ip}", `{address: 7}`, `fields.address: 7: want a field's name`, false},
	"field that is not there":  {"{{field.address}}", "{{field.host}}", `dialects.cls.query: unknown placeholder {{field.host}}: want one of window, threshold, window_start, time, log, limit, country:COLUMN, unusual:COLUMN, most, field.address`, true},
	"field in the search":      {`"* | select ip, cast`, `"{{field.address}}:x | select ip, cast`, `dialects.cls.query: a field before the |`, true},
	"unknown dialect":          {"  cls:\n", "  odps:\n", `dialects.odps: unknown field: want one of cls`, false},
	"dialect without a query":  {"    query: \"* | select ip, cast", "    sql: \"* | select ip, cast", `dialects.cls.query: is missing`, false},
	"dialect of another":       {"cast((__TIMESTAMP__ - __TIMESTAMP__ % ({{window}} * 1000)) / 1000 as bigint)", "__time__ - __time__ % {{window}}", `dialects.cls.query: uses __time__, which is SLS's`, true},
	"CLS: SLS's limit":         {"limit 10000\"\ntests", "limit 1000000\"\ntests", `dialects.cls.query: limit 1000000: want limit 10000`, true},
	"CLS: no limit":            {" limit 10000\"\ntests", "\"\ntests", `dialects.cls.query: does not end in a LIMIT: CLS would cut at 100 rows`, true},
	"CLS: no order":            {" order by w, ip", "", `dialects.cls.query: no ORDER BY before the LIMIT`, true},
	"CLS: order further in":    {"order by w, ip", "and (select 1 order by 1) = 1", `dialects.cls.query: no ORDER BY before the LIMIT`, true},
	"CLS: a table":             {"as cnt where", "as cnt from log where", `dialects.cls.query: names the table log`, true},
	"CLS: filter on time":      {"as cnt where", "as cnt where __TIMESTAMP__ > 5 and", `dialects.cls.query: filters on __TIMESTAMP__`, true},
	"CLS: a page":              {"order by w, ip", "order by w, ip offset 5", `dialects.cls.query: uses OFFSET`, true},
	"CLS: too long":            {"as cnt where", "as cnt, '" + strings.Repeat("x", 12<<10) + "' as x where", `dialects.cls.query: 12492 bytes: CLS takes at most 12288`, true},
	"SLS: CLS's time":          {"__time__ - __time__ % {{window}}", "__TIMESTAMP__ % {{window}}", `query: uses __TIMESTAMP__, which is CLS's`, true},
	"no tests":                 {goodRule[strings.Index(goodRule, "tests:"):], "tests: []\n", `tests: is empty`, false},
	"one test that fires":      {"    want: [{subject: 192.0.2.7, count: 21}]\n", "", `tests: 1 that want a detection: want at least 2`, false},
	"one that does not fire":   {"    want: []\n", "    want: [{subject: 192.0.2.8, count: 20}]\n", `tests: 1 that want no detection: want at least 2`, false},
	"one test of each":         {goodRule[strings.Index(goodRule, "  - name: fires on another"):], "", `tests: 1 that want no detection: want at least 2`, false},
	"test without lines":       {"lines: [{time: 2025-05-10T12:55:31+08:00, fields: {ip: 192.0.2.7}}]", "lines: []", `tests[1].lines: is empty`, false},
	"test with a local time":   {"time: 2025-05-10T12:55:31+08:00, fields", "time: 2025-05-10 12:55:31, fields", `tests[1].lines[0].time:`, false},
	"test with too many lines": {"repeat: 21", "repeat: 10001", `tests[0].lines[0].repeat: 10001: want a whole number from 1 to 10000`, false},
	"test with a number":       {"fields: {ip: 192.0.2.7}}]\n    want", "fields: {ip: 7}}]\n    want", `tests[0].lines[0].fields.ip: 7: want text`, false},
	"test wants a private one": {"subject: 192.0.2.7", "subject: 10.0.0.1", `tests[0].want[0].subject: "10.0.0.1": rejected: private address`, true},
	"anchor":                   {"title: A rule", "title: &a A rule", `line 3: anchors and aliases are not allowed`, true},
	"duplicate key":            {"version: 3", "version: 3\nversion: 4", `not a YAML mapping`, true},
	"a list":                   {goodRule, "- a\n- b\n", `not a YAML mapping`, false},
	"nothing":                  {goodRule, "", `id: is missing`, false},
}

func TestGoodRuleLoads(t *testing.T) {
	r, err := Parse([]byte(goodRule))
	if err != nil {
		t.Fatal(err)
	}
	if r.ID != "some-rule" || r.Severity != threat.High || r.Action != threat.Block || r.Subject.Kind != threat.KindAddress ||
		r.Window != 2*time.Minute || r.Lag != DefaultLag || r.Term != 72*time.Hour || len(r.Tests) != 4 || r.Tests[0].Lines[0].Every != time.Second {
		t.Errorf("rule = %+v", r)
	}
	want := "* | select ip, __time__ - __time__ % 120 as w, count(1) as cnt from log where n < 7 group by ip, w having cnt > 20 limit 1000000"
	if got := r.SQL(); got != want {
		t.Errorf("SQL = %s", got)
	}
	in, ok := r.In(CLS)
	if !ok {
		t.Fatal("no query for CLS")
	}
	if in, err = in.WithFields(map[string]string{"address": "__TAG__.client-ip", "status": "not declared"}); err != nil {
		t.Fatal(err)
	}
	want = `* | select ip, cast((__TIMESTAMP__ - __TIMESTAMP__ % (120 * 1000)) / 1000 as bigint) as w, count(1) as cnt where n < 7 group by cast("__TAG__.client-ip" as varchar), w having cnt > 20 order by w, ip limit 10000`
	if got := in.SQL(); got != want {
		t.Errorf("SQL on CLS = %s", got)
	}
	if r.Fields["address"] != "ip" {
		t.Error("the rule itself was changed")
	}
	if _, ok := r.In("odps"); ok {
		t.Error("a query for a log service that the rule does not name")
	}
	if _, err := r.WithFields(map[string]string{"address": `a"b`}); !errors.Is(err, ErrRequest) {
		t.Errorf("a field that ends its quotes: err = %v", err)
	}
}

func TestBadRulesAreRefusedWithFieldValueAndWhatIsAllowed(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(badRules)) {
		c := badRules[name]
		_, err := Parse([]byte(c.text()))
		if !errors.Is(err, ErrRule) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: err = %v\nwant %q in it", name, err, c.want)
		}
	}
}

func TestAllProblemsOfAFileComeAtOnce(t *testing.T) {
	text := goodRule
	for _, edit := range [][2]string{{"severity: high", "severity: awful"}, {"window: 2m", "window: soon"}, {"threshold: 20", "threshold: lots"}, {"{{most}}", "{{who}}"}, {"title:", "titel:"}} {
		text = strings.Replace(text, edit[0], edit[1], 1)
	}
	_, err := Parse([]byte(text))
	for _, want := range []string{"severity:", "window:", "threshold:", "{{who}}", "titel:", "title: is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v\nwant %s in it", err, want)
		}
	}
}

func TestAFolderLoadsWholeOrNotAtAll(t *testing.T) {
	good := &fstest.MapFile{Data: []byte(goodRule)}
	other := &fstest.MapFile{Data: []byte(strings.Replace(goodRule, "some-rule", "another-rule", 1))}
	rules, err := Load(fstest.MapFS{"some-rule.yaml": good, "another-rule.yaml": other, "schema.json": {Data: []byte("{}")}})
	if err != nil || len(rules) != 2 || rules[0].ID != "another-rule" {
		t.Fatalf("rules = %v, err = %v", rules, err)
	}
	for name, c := range map[string]struct {
		folder fstest.MapFS
		want   []string
	}{
		"empty":            {fstest.MapFS{}, []string{"no .yaml file"}},
		"one id twice":     {fstest.MapFS{"some-rule.yaml": good, "z.yaml": good}, []string{`"some-rule" is taken by some-rule.yaml`, `load rule z.yaml`}},
		"another name":     {fstest.MapFS{"x.yaml": good}, []string{`want "x", as the file is called`}},
		"two broken files": {fstest.MapFS{"a.yaml": {Data: []byte("id: 7")}, "b.yaml": {Data: []byte("{")}, "some-rule.yaml": good}, []string{"load rule a.yaml", "load rule b.yaml"}},
		"a huge file":      {fstest.MapFS{"a.yaml": {Data: make([]byte, maxRuleFile+1)}}, []string{"want at most"}},
	} {
		rules, err := Load(c.folder)
		if !errors.Is(err, ErrRule) || rules != nil {
			t.Errorf("%s: rules = %v, err = %v", name, rules, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: err = %v, want %q in it", name, err, want)
			}
		}
	}
}

func TestSelectNamesEveryUnknownRule(t *testing.T) {
	rules := []Rule{{ID: "a"}, {ID: "b"}}
	if got, err := Select(rules, []string{"b", "b"}); err != nil || len(got) != 1 || got[0].ID != "b" {
		t.Errorf("rules = %v, err = %v", got, err)
	}
	_, err := Select(rules, []string{"x", "a", "y"})
	if !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), `no rule "x", "y": want some of a, b`) {
		t.Errorf("err = %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(goodRule))
	for _, c := range badRules {
		f.Add([]byte(c.text()))
	}
	f.Add([]byte("a: &a [*a, *a]\nb: !!binary x\n? {}\n: -"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrRule) {
				t.Errorf("err = %v, want ErrRule", err)
			}
			return
		}
		for _, in := range ForDialect([]Rule{r}, CLS) {
			if strings.Contains(in.SQL(), "{{") {
				t.Errorf("a rule that cannot run on CLS was loaded: %s", in.SQL())
			}
		}
		if strings.Contains(r.SQL(), "{{") || r.Window < time.Second || len(r.Tests) < 2*minTests || r.Subject.Kind == 0 {
			t.Errorf("a rule that cannot run was loaded: %+v", r)
		}
	})
}
