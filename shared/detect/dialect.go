package detect

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
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
// false when the rule has no query for it.
func (r Rule) In(dialect string) (in Rule, ok bool) {
	if dialect == SLS {
		return r, true
	}
	query, ok := r.Dialects[dialect]
	if !ok {
		return Rule{}, false
	}
	r.Query = query
	return r, true
}

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
const WantField = "a field's name: a letter or _, then up to 127 letters, digits and _ . @ : -"

// ValidField tells whether a name may stand for a field of the logs. Names come
// from configuration only, never from a log line or a request, and are written
// between double quotes; nothing that passes can end them.
func ValidField(name string) bool { return fieldName.MatchString(name) }

// WithFields returns the rule with other names for the fields that it declares,
// such as client_ip for address. Fields that the rule does not declare are passed
// over, since one setting serves all rules. A name that is no identifier is ErrRequest.
func (r Rule) WithFields(names map[string]string) (Rule, error) {
	fields := maps.Clone(r.Fields)
	var problems []error
	for _, field := range slices.Sorted(maps.Keys(names)) {
		if _, ok := fields[field]; !ok {
			continue
		}
		if !ValidField(names[field]) {
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
