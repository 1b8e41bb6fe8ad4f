package detect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Load reads every .yaml file at the top of a folder. All problems of all files
// come back at once, each with its file and field; then nothing is loaded. Two
// rules with one id are refused, and so is a folder without rules. The rules are
// ordered by id.
func Load(folder fs.FS) ([]Rule, error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("load rules: %w", err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("load rules: %w: no .yaml file in the folder", ErrRule)
	}
	var (
		rules    []Rule
		problems []error
		home     = map[string]string{} // rule id → file
	)
	for _, name := range names {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			problems = append(problems, fmt.Errorf("load rule %s: %w", name, err))
			continue
		}
		r, err := Parse(text)
		if err != nil {
			problems = append(problems, fmt.Errorf("load rule %s: %w", name, err))
			continue
		}
		if want := strings.TrimSuffix(path.Base(name), ".yaml"); r.ID != want {
			problems = append(problems, fmt.Errorf("load rule %s: %w: id: %q: want %q, as the file is called", name, ErrRule, r.ID, want))
		}
		if other, ok := home[r.ID]; ok {
			problems = append(problems, fmt.Errorf("load rule %s: %w: id: %q is taken by %s", name, ErrRule, r.ID, other))
		}
		home[r.ID] = name
		rules = append(rules, r)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	sortRules(rules)
	return rules, nil
}

// Parse reads one rule file. Its error lists every problem, one a line: the
// field, the value found and what is allowed. A rule without a test that fires
// and one that does not is refused.
func Parse(text []byte) (Rule, error) {
	r, problems, _ := parse(text)
	if len(problems) == 0 {
		return r, nil
	}
	return Rule{}, fmt.Errorf("%w:\n\t%s", ErrRule, strings.Join(problems, "\n\t"))
}

var (
	ruleID     = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	columnName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)
	logstore   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
)

const (
	wantColumn   = "a column name in lower-case letters, digits and underscores"
	wantLogstore = "up to 63 letters, digits, hyphens and underscores"
)

// parse returns the rule, what is wrong with it, and which keys it looked for.
func parse(text []byte) (Rule, []string, map[string]map[string]bool) {
	shape := map[string]map[string]bool{}
	if len(text) > maxRuleFile {
		return Rule{}, []string{fmt.Sprintf("file has %d bytes: want at most %d", len(text), maxRuleFile)}, shape
	}
	values, err := mapping(text)
	if err != nil {
		return Rule{}, []string{err.Error()}, shape
	}
	var problems []string
	f := newFields(values, &problems, shape)
	r := Rule{
		ID:          f.name("id", true, ruleID, "lower-case words joined by hyphens"),
		Version:     int(f.integer("version", true, 1, 1_000_000)),
		Title:       f.text("title", true, 120),
		Description: f.text("description", false, 4000),
		Class:       f.oneOf("class", Classes()),
		Formats:     f.texts("format", true, len(Formats())),
		Logstore:    f.name("logstore", false, logstore, wantLogstore),
		Counted:     f.text("counted", true, 60),
		Window:      f.duration("window", true, minWindow, maxWindow),
		Lag:         f.duration("lag", false, 0, maxLag),
		Margin:      f.duration("margin", false, 0, maxMargin),
		Threshold:   f.integer("threshold", true, 0, maxThreshold),
		Term:        f.duration("term", false, blocklist.MinTerm, blocklist.MaxTerm),
		Query:       f.text("query", true, maxQuery),
	}
	if _, given := values["lag"]; !given {
		r.Lag = DefaultLag
	}
	if r.Term == 0 {
		r.Term = blocklist.DefaultTerm
	}
	for i, format := range r.Formats {
		if !slices.Contains(Formats(), format) || slices.Contains(r.Formats[:i], format) {
			f.problem(fmt.Sprintf("format[%d]", i), "%s: want each at most once of %s", show(format), oneOf(Formats()))
		}
	}
	if s := f.oneOf("severity", []string{"low", "medium", "high", "critical"}); s != "" {
		_ = r.Severity.UnmarshalText([]byte(s)) // one of its own four words
	}
	if s := f.oneOf("action", []string{"observe", "challenge", "block"}); s != "" {
		_ = r.Action.UnmarshalText([]byte(s)) // one of its own three words
	}
	r.Subject = parseSubject(f.object("subject", true))
	r.Columns = parseColumns(f.object("columns", true), r.Subject.Kind)
	r.Parameters = parseParameters(f)
	r.Fields = parseFields(f)
	r.Dialects = parseDialects(f.object("dialects", false))
	r.Tests = parseTests(f, r.Subject.Kind)
	f.done()
	problems = append(problems, lint(r)...)
	return r, problems, shape
}

// mapping decodes the file into plain values. Anchors and aliases are refused:
// rules do not need them, and a few lines of them can stand for gigabytes.
func mapping(text []byte) (values map[string]any, err error) {
	defer func() {
		// The YAML library must not take a function down over a broken file.
		if p := recover(); p != nil {
			values, err = nil, errors.New("not YAML")
		}
	}()
	if at, ok := usesAlias(text); ok {
		return nil, fmt.Errorf("line %d: anchors and aliases are not allowed in rules", at)
	}
	if err := yaml.UnmarshalWithOptions(text, &values, yaml.Strict()); err != nil {
		return nil, errors.New("not a YAML mapping: " + clip(strings.TrimSpace(yaml.FormatError(err, false, false)), 300))
	}
	return values, nil
}

func parseSubject(f *fields) Subject {
	s := Subject{Column: f.name("column", true, columnName, wantColumn)}
	switch f.oneOf("kind", []string{threat.KindAddress.String(), threat.KindAccount.String()}) {
	case threat.KindAddress.String():
		s.Kind = threat.KindAddress
	case threat.KindAccount.String():
		s.Kind = threat.KindAccount
	}
	f.done()
	return s
}

func parseColumns(f *fields, kind threat.Kind) Columns {
	column := func(key string, required bool) string { return f.name(key, required, columnName, wantColumn) }
	c := Columns{
		Count: column("count", true), Window: column("window", true),
		FirstSeen: column("first_seen", false), LastSeen: column("last_seen", false),
		Countries: column("countries", false), Addresses: column("addresses", false),
	}
	if c.Addresses != "" && kind == threat.KindAddress {
		f.problem("addresses", "%s: want it only where subject.kind is account", show(c.Addresses))
	}
	f.done()
	return c
}

func parseParameters(f *fields) map[string]int64 {
	v, ok := f.get("parameters", false)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.problem("parameters", "%s: want a mapping of names to whole numbers", show(v))
		return nil
	}
	all := make(map[string]int64, len(m))
	for name, v := range m {
		n, ok := whole(v)
		switch {
		case !columnName.MatchString(name) || name == "window" || name == "threshold":
			f.problem("parameters."+clip(name, 64), "want a name in lower-case letters, digits and underscores, other than window and threshold")
		case !ok:
			f.problem("parameters."+name, "%s: want a whole number", show(v))
		default:
			all[name] = n
		}
	}
	slices.Sort(*f.problems) // map order must not show
	return all
}

func parseFields(f *fields) map[string]string {
	v, ok := f.get("fields", false)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.problem("fields", "%s: want a mapping of names to fields of the logs", show(v))
		return nil
	}
	all := make(map[string]string, len(m))
	for name, v := range m {
		column, ok := v.(string)
		switch {
		case !columnName.MatchString(name):
			f.problem("fields."+clip(name, 64), "want a name in lower-case letters, digits and underscores")
		case !ok || !ValidField(column):
			f.problem("fields."+name, "%s: want %s", show(v), WantField)
		default:
			all[name] = column
		}
	}
	slices.Sort(*f.problems) // map order must not show
	return all
}

// parseDialects reads the queries for other log services.
func parseDialects(f *fields) map[string]string {
	var all map[string]string
	for _, dialect := range Dialects()[1:] {
		_, given := f.values[dialect]
		d := f.object(dialect, false)
		if !given {
			d.problems = new([]string) // asked only so that the shape is whole
		}
		if query := d.text("query", true, maxQuery); query != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[dialect] = query
		}
		d.done()
	}
	f.done()
	return all
}

func parseTests(f *fields, kind threat.Kind) []Test {
	var (
		tests         []Test
		fires, silent bool
	)
	for _, t := range f.objects("tests", true, 200) {
		test := Test{Name: t.text("name", true, 200), Rejected: t.texts("rejected", false, 1000)}
		total := 0
		for _, l := range t.objects("lines", true, 1000) {
			line := parseTestLine(l)
			total += line.Repeat
			test.Lines = append(test.Lines, line)
		}
		if total > maxTestLines {
			t.problem("lines", "%d with repeats: want at most %d", total, maxTestLines)
		}
		for _, w := range t.objects("want", false, 1000) {
			test.Want = append(test.Want, parseTestWant(w, kind))
		}
		t.done()
		fires = fires || len(test.Want) > 0
		silent = silent || len(test.Want) == 0
		tests = append(tests, test)
	}
	if len(tests) > 0 && !fires {
		f.problem("tests", "none wants a detection: want at least one test that fires")
	}
	if len(tests) > 0 && !silent {
		f.problem("tests", "each wants a detection: want at least one test that does not fire")
	}
	if len(tests) == 0 {
		// So that the shape is whole even without tests.
		probe := f.child("tests[].", nil)
		probe.problems = new([]string)
		_ = probe.text("name", true, 1)
		_ = probe.texts("rejected", false, 1)
		_ = probe.list("lines", true, 1)
		_ = probe.list("want", false, 1)
		parseTestLine(probe.child("tests[].lines[].", nil))
		parseTestWant(probe.child("tests[].want[].", nil), kind)
	}
	return tests
}

func parseTestLine(f *fields) TestLine {
	line := TestLine{
		Repeat: int(f.integer("repeat", false, 1, maxTestRepeat)),
		Every:  f.duration("every", false, 0, time.Hour),
	}
	line.Repeat = max(line.Repeat, 1)
	if s := f.text("time", true, 40); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil || t.Unix() < 0 || t.Nanosecond() != 0 {
			f.problem("time", "%s: want RFC 3339 in whole seconds, such as 2025-05-10T12:55:31+08:00", show(s))
		}
		line.Time = t
	}
	if v, ok := f.get("fields", true); ok {
		m, isMap := v.(map[string]any)
		if !isMap || len(m) == 0 {
			f.problem("fields", "%s: want a mapping of columns to text", show(v))
		}
		line.Fields = make(map[string]string, len(m))
		for name, v := range m {
			s, ok := v.(string)
			if !ok {
				f.problem("fields."+clip(name, 64), "%s: want text (in quotes, if it looks like a number)", show(v))
			}
			line.Fields[name] = s
		}
	}
	f.done()
	return line
}

func parseTestWant(f *fields, kind threat.Kind) TestWant {
	w := TestWant{
		Subject:   f.text("subject", true, 256),
		Count:     f.integer("count", true, 1, maxThreshold),
		Windows:   int(f.integer("windows", false, 1, 100_000)),
		Addresses: f.texts("addresses", false, maxTestRepeat),
	}
	w.Windows = max(w.Windows, 1)
	if w.Subject != "" {
		var err error
		if kind == threat.KindAccount {
			_, err = threat.Account(w.Subject)
		} else {
			_, err = threat.ParseAddress(w.Subject)
		}
		if err != nil {
			f.problem("subject", "%s: %v", show(w.Subject), err)
		}
	}
	f.done()
	return w
}
