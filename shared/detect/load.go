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
// field, the value found and what is allowed. A rule without two tests that fire
// and two that do not is refused.
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
		Every:       f.duration("every", false, time.Minute, maxOver),
		Over:        f.duration("over", false, minWindow, maxOver),
		Also:        f.text("also", false, 60),
		Tags:        f.texts("tags", false, 10),
		Only:        f.texts("only", false, len(Dialects())),
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
	r.Columns = parseColumns(f.object("columns", true), r.Subject)
	r.Content = parseContent(f)
	r.Trial = parseTrial(f)
	r.Parameters = parseParameters(f)
	r.Fields, r.Optional = parseFields(f)
	r.Dialects = parseDialects(f.object("dialects", false))
	r.Tests = parseTests(f, r.Subject)
	f.done()
	checkTogether(f, r)
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
