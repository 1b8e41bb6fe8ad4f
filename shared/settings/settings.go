// Package settings reads a function's environment, variable by variable, and
// remembers everything that is wrong with it, so that whoever deploys it hears of
// all problems at once and not of one for each attempt.
//
// An empty value counts as absent: deploy files cannot leave a variable out. What
// is absent may take a default; what is wrong never does. No problem repeats a
// value that may hold a secret.
package settings

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/secret"
)

// maxShown bounds how much of a wrong value a problem repeats, in bytes.
const maxShown = 80

// Reader reads variables through Lookup, which is os.LookupEnv in a function and a
// map in its tests. It is for one goroutine.
type Reader struct {
	Lookup   func(key string) (value string, ok bool)
	problems []error
}

// Get returns the trimmed value; "" for absent.
func (r *Reader) Get(key string) string {
	value, _ := r.Lookup(key)
	return strings.TrimSpace(value)
}

// Problem records one problem. It should name the variable, the value and what is allowed.
func (r *Reader) Problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

// Check records err, if there is one, under the variable's name. Joined errors become one problem each.
func (r *Reader) Check(key string, err error) {
	for _, one := range each(err) {
		r.Problem("%s: %w", key, one)
	}
}

// OK tells whether nothing was wrong so far.
func (r *Reader) OK() bool { return len(r.problems) == 0 }

// Err returns all problems, joined; nil for none.
func (r *Reader) Err() error { return errors.Join(r.problems...) }

// Required returns the value, whose absence is a problem. want says what it should be.
func (r *Reader) Required(key, want string) string {
	value := r.Get(key)
	if value == "" {
		r.Problem("%s is not set: want %s", key, want)
	}
	return value
}

// Wrong records that a value is not what it should be. A value with an @ is
// withheld: it may be an address with a password in it.
func (r *Reader) Wrong(key, value, want string) {
	switch {
	case strings.Contains(value, "@"):
		value = "(withheld, it may hold a password)"
	case len(value) > maxShown:
		value = value[:maxShown] + "…"
	}
	r.Problem("%s %q: want %s", key, value, want)
}

// Matching returns the value, which ok must accept unless it is absent.
func (r *Reader) Matching(key string, ok func(string) bool, want string) string {
	value := r.Get(key)
	if value != "" && !ok(value) {
		r.Wrong(key, value, want)
	}
	return value
}

// RequiredMatching is Matching for a value that must be there.
func (r *Reader) RequiredMatching(key string, ok func(string) bool, want string) string {
	if r.Required(key, want) == "" {
		return ""
	}
	return r.Matching(key, ok, want)
}

// Choice returns one of the allowed words.
func (r *Reader) Choice(key, byDefault string, allowed ...string) string {
	value := r.Get(key)
	if value == "" {
		return byDefault
	}
	if !slices.Contains(allowed, value) {
		r.Wrong(key, value, "one of "+strings.Join(allowed, ", "))
	}
	return value
}

// Words returns the words of a comma-separated list, sorted and without
// duplicates; nil for absent. Empty words, words of more than size bytes and more
// than most words are problems.
func (r *Reader) Words(key string, most, size int) []string {
	text := r.Get(key)
	if text == "" {
		return nil
	}
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word == "" || len(word) > size {
			r.Wrong(key, text, "ids with commas between them")
			return nil
		}
		words = append(words, word)
	}
	if len(words) > most {
		r.Problem("%s has %d ids: want at most %d", key, len(words), most)
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// Duration returns a duration within bounds.
func (r *Reader) Duration(key string, byDefault, least, most time.Duration) time.Duration {
	text := r.Get(key)
	if text == "" {
		return byDefault
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		r.Wrong(key, text, fmt.Sprintf("a duration such as 72h, %s to %s", least, most))
	}
	return d
}

// Number returns a whole number within bounds.
func (r *Reader) Number(key string, byDefault, least, most int) int {
	text := r.Get(key)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		r.Wrong(key, text, fmt.Sprintf("a whole number, %d to %d", least, most))
	}
	return n
}

// Address returns the address of a server that may hold a password. check, whose
// errors must not repeat it, tells what is wrong with it; its absence is a problem.
func (r *Reader) Address(key, want string, check func(string) error) secret.Secret {
	value := r.Required(key, want)
	if value != "" {
		if err := check(value); err != nil {
			r.Problem("%s (value withheld, it may hold a password): %w", key, err)
		}
	}
	return secret.Secret(value)
}

// Explain logs why a function cannot start, one line for each problem: a line that
// holds them all might be cut.
func Explain(log *slog.Logger, err error) {
	for _, problem := range each(err) {
		log.Error("start", "err", problem)
	}
}

// each returns the errors that errors.Join has put together; none for nil.
func each(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
