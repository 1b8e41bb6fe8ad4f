//go:build cgo

package slstest

import (
	"fmt"
	"sort"
)

// FieldType is how an indexed field takes part in SQL.
type FieldType uint8

// The field types. Values that are no number are NULL in a Long or Double field.
const (
	Text FieldType = iota + 1
	Long
	Double
)

// String returns the type's name in an index configuration.
func (t FieldType) String() string {
	switch t {
	case Text:
		return "text"
	case Long:
		return "long"
	case Double:
		return "double"
	default:
		return "none"
	}
}

// maxIndexKeys bounds an index (SLS: 500 fields with an index of their own).
const maxIndexKeys = 500

// defaultDelimiters is what splits text into tokens unless an index says otherwise (SLS console default).
const defaultDelimiters = ", '\";=()[]{}?@&<>/:\n\t\r"

// tokenizer splits text into tokens. Only ASCII characters delimit.
type tokenizer struct {
	delimiter     [256]bool
	caseSensitive bool
}

func newTokenizer(delimiters string, caseSensitive bool) *tokenizer {
	t := &tokenizer{caseSensitive: caseSensitive}
	for _, c := range []byte(delimiters) {
		if c < 0x80 {
			t.delimiter[c] = true
		}
	}
	return t
}

// tokens returns the tokens of s in order.
func (t *tokenizer) tokens(s string) []string {
	var out []string
	start := 0
	for i := range len(s) + 1 {
		if i == len(s) || t.delimiter[s[i]] {
			if i > start {
				out = append(out, s[start:i])
			}
			start = i + 1
		}
	}
	return out
}

// index is a logstore's index settings. It is immutable: a change makes a new one.
type index struct {
	auto    bool // every key that comes is indexed as text
	keys    map[string]indexKey
	line    *tokenizer // full-text index; nil: none
	maxText int
}

// indexKey is the index of one field.
type indexKey struct {
	typ    FieldType
	tokens *tokenizer // Text fields
	sql    bool       // doc_value: may be used in SQL
}

// newIndex makes the index that CreateLogstore describes.
func newIndex(fields map[string]FieldType, maxText int) (*index, error) {
	plain := newTokenizer(defaultDelimiters, false)
	x := &index{auto: fields == nil, keys: map[string]indexKey{}, line: plain, maxText: maxText}
	for name, typ := range fields {
		if typ < Text || typ > Double {
			return nil, fmt.Errorf("index key %q: unknown type %d", name, typ)
		}
		if !validKey(name) {
			return nil, fmt.Errorf("index key %.20q: want 1 to %d bytes of UTF-8", name, maxKeyLength)
		}
		x.keys[name] = indexKey{typ: typ, tokens: plain, sql: true}
	}
	if len(x.keys) > maxIndexKeys {
		return nil, fmt.Errorf("index: %d keys, want at most %d", len(x.keys), maxIndexKeys)
	}
	return x, nil
}

// key returns the index of one field. The reserved fields are indexed as text without being listed.
func (x *index) key(name string) (indexKey, bool) {
	if k, ok := x.keys[name]; ok {
		return k, true
	}
	if x.auto || name == fieldSource || name == fieldTopic {
		tokens := x.line
		if tokens == nil {
			tokens = newTokenizer(defaultDelimiters, false)
		}
		return indexKey{typ: Text, tokens: tokens, sql: true}, true
	}
	return indexKey{}, false
}

// names returns the indexed keys, sorted.
func (x *index) names() []string {
	out := make([]string, 0, len(x.keys))
	for name := range x.keys {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// list returns the delimiters, one text each.
func (t *tokenizer) list() []string {
	var out []string
	for c, is := range t.delimiter {
		if is {
			out = append(out, string(rune(c)))
		}
	}
	return out
}
