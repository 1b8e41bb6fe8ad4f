// Package secret keeps passwords, tokens and keys out of logs and error texts.
//
// A Secret prints as [redacted] in every way that Go prints a value: fmt with any
// verb, encoding/json, encoding.TextMarshaler and log/slog. The one way to the
// text is Reveal, so `grep Reveal` lists every place where a secret leaves the
// program. (One hole cannot be closed: encoding/json writes a map key of a string
// type as it is. Do not use a Secret as a map key.)
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is text that no log, error or report may show.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// Matches reports whether text is the secret, in a time that tells nothing about
// either: both are hashed first, since a comparison in constant time still shows
// by its duration whether two lengths are the same. An empty Secret matches nothing.
func (s Secret) Matches(text string) bool {
	want, got := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && s != ""
}

// String returns [redacted].
func (s Secret) String() string { return redacted }

// GoString returns [redacted], for %#v.
func (s Secret) GoString() string { return redacted }

// Format writes [redacted] for every verb. Without it, %x and %d would print the
// text: they look at the underlying kind before they look for a Stringer.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns [redacted]: XML and YAML go this way.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns [redacted].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
