package detect

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The log services that a rule may run on. Their languages are nearly the same,
// SQL behind a search; where they differ, a rule says it in the other's words.
const (
	// SLS is Alibaba Cloud's Log Service, whose query every rule has.
	SLS = "sls"
	// CLS is Tencent Cloud's, for which a rule may have a query of its own, under dialects.
	CLS = "cls"
)

// Dialects returns the names of the log services.
func Dialects() []string { return []string{SLS, CLS} }

// In returns the rule as it is asked on the log service that dialect names. ok is
// false when the rule has no words for it.
func (r Rule) In(dialect string) (in Rule, ok bool) {
	if len(r.Only) > 0 && !slices.Contains(r.Only, dialect) {
		return Rule{}, false
	}
	if query, ok := r.Dialects[dialect]; ok {
		r.Query = query
	} else if dialect != SLS && !r.neutral() {
		return Rule{}, false
	}
	r.dialect = dialect
	return r, true
}

// ofSLS finds what only SLS has a name for.
var ofSLS = regexp.MustCompile(`(?i)\b__time__\b|\bfrom\s+log\b|\bjoin\s+log\b`)

// neutral tells whether the query leaves to its placeholders what log services say differently.
func (r Rule) neutral() bool { return !ofSLS.MatchString(r.Query) }

// ForDialect returns the rules that can be asked in a dialect, as they are asked in it.
func ForDialect(rules []Rule, dialect string) []Rule {
	var some []Rule
	for _, r := range rules {
		if in, ok := r.In(dialect); ok {
			some = append(some, in)
		}
	}
	return some
}

// fieldName is what the name of a log's field may be: whatever can stand between
// double quotes without ending them, and no more than log services allow.
var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.@:-]{0,127}$`)

// WantField says what ValidField accepts, for whoever must choose another name.
const WantField = "a field's name: a letter or _, then up to 127 letters, digits and _ . @ : -; or - where there is none"

// ValidField tells whether a name may stand for a field of the logs, or two names
// with a ? between them for a path and its query string. Names come from
// configuration only, never from a log line or a request, and are written
// between double quotes; nothing that passes can end them.
func ValidField(name string) bool {
	path, query, both := strings.Cut(name, "?")
	return fieldName.MatchString(path) && (!both || fieldName.MatchString(query))
}

// WithFields returns the rule with other names for the fields that it declares,
// such as client_ip for address. Fields that the rule does not declare are passed
// over, since one setting serves all rules. A name that is no identifier is
// ErrRequest, and so is NoField for a field that the rule cannot do without (Lacks
// tells beforehand).
func (r Rule) WithFields(names map[string]string) (Rule, error) {
	fields := maps.Clone(r.Fields)
	var problems []error
	for _, field := range slices.Sorted(maps.Keys(names)) {
		if _, ok := fields[field]; !ok {
			continue
		}
		if names[field] == NoField && !slices.Contains(r.Optional, field) {
			problems = append(problems, fmt.Errorf("%w: field %s: the rule needs it and the logs have none", ErrRequest, field))
			continue
		}
		if names[field] != NoField && !ValidField(names[field]) {
			problems = append(problems, fmt.Errorf("%w: field %s: %s: want %s", ErrRequest, field, show(names[field]), WantField))
			continue
		}
		fields[field] = names[field]
	}
	if err := errors.Join(problems...); err != nil {
		return Rule{}, fmt.Errorf("rule %s: %w", r.ID, err)
	}
	r.Fields = fields
	return r, nil
}

// LogColumns returns the columns of the logs that the rule's fields stand for, in order.
func (r Rule) LogColumns() []string {
	var all []string
	for _, name := range r.Fields {
		if name != NoField {
			all = append(all, strings.Split(name, "?")...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
