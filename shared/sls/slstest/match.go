//go:build cgo

package slstest

import (
	"bytes"
	"errors"
	"sort"
	"strings"
)

// matcher is the compiled form of one text condition: all of its tokens must be
// in one of the columns each, as whole tokens and in any order.
type matcher struct {
	tokenizer *tokenizer
	tokens    []pattern
	phrase    []byte // exact text instead of tokens
}

// pattern is one token to look for.
type pattern struct {
	text     []byte // lower case unless case matters
	anchor   int    // the rarest byte of text, where the search for it begins
	wildcard bool   // text has * or ?
}

func newMatcher(n searchText, t *tokenizer) *matcher {
	m := &matcher{tokenizer: t}
	fold := func(s string) []byte {
		if t.caseSensitive {
			return []byte(s)
		}
		return lowerASCII([]byte(s))
	}
	if n.phrase {
		m.phrase = fold(n.text)
		return m
	}
	wild := !n.quoted && strings.ContainsAny(n.text, "*?")
	split := t
	if wild { // ? is a delimiter by default, but here it is a wildcard
		copied := *t
		copied.delimiter['*'], copied.delimiter['?'] = false, false
		split = &copied
	}
	for _, token := range split.tokens(n.text) {
		p := pattern{text: fold(token), wildcard: wild && strings.ContainsAny(token, "*?")}
		for i, c := range p.text {
			if rarity(c) > rarity(p.text[p.anchor]) {
				p.anchor = i
			}
		}
		m.tokens = append(m.tokens, p)
	}
	// The token that is missing most often decides most rows: try it first.
	sort.SliceStable(m.tokens, func(i, j int) bool {
		a, b := m.tokens[i], m.tokens[j]
		return rarity(a.text[a.anchor])+len(a.text) > rarity(b.text[b.anchor])+len(b.text)
	})
	return m
}

// rarity ranks bytes by how seldom they are in log text; letters cost twice, having two cases.
func rarity(c byte) int {
	switch {
	case c >= 0x80:
		return 40
	case c >= 'a' && c <= 'z':
		return strings.IndexByte("etaoinsrhldcumfpgwybvkxjqz", c)
	case c >= '0' && c <= '9':
		return 12
	case c == '.' || c == '-' || c == '_':
		return 20
	default:
		return 30
	}
}

func lowerASCII(b []byte) []byte {
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return b
}

// match is the SQL function sls_match(id, column, …): whether a row's columns hold what matcher id asks for.
func (f *functions) match(args []reader, rows int, out *result) error {
	if rows == 0 {
		return nil
	}
	f.mu.RLock()
	m := f.matchers[string(args[0].bytes(0))]
	f.mu.RUnlock()
	if m == nil {
		return errors.New("unknown search")
	}
	matched := out.bools()
	values := make([][]byte, len(args)-1)
	for row := range rows {
		for i := range values {
			values[i] = args[i+1].bytes(row)
		}
		matched[row] = m.matches(values)
	}
	return nil
}

func (m *matcher) matches(values [][]byte) bool {
	if m.phrase != nil {
		for _, v := range values {
			if containsText(v, m.phrase, m.tokenizer.caseSensitive) {
				return true
			}
		}
		return false
	}
	for i := range m.tokens {
		found := false
		for _, v := range values {
			if m.tokenizer.has(v, &m.tokens[i]) {
				found = true
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// has tells whether v has p as a whole token.
func (t *tokenizer) has(v []byte, p *pattern) bool {
	if p.wildcard {
		return t.hasWildcard(v, p)
	}
	n := len(p.text)
	if n > len(v) {
		return false
	}
	c := p.text[p.anchor]
	other := c
	if !t.caseSensitive && c >= 'a' && c <= 'z' {
		other = c - 'a' + 'A'
	}
	finder := byteFinder{text: v, a: c, b: other, atA: -1, atB: -1}
	for at := finder.next(p.anchor); at >= 0; at = finder.next(at + 1) {
		start := at - p.anchor
		if start+n > len(v) {
			return false
		}
		if (start == 0 || t.delimiter[v[start-1]]) && (start+n == len(v) || t.delimiter[v[start+n]]) &&
			equalFold(v[start:start+n], p.text, t.caseSensitive) {
			return true
		}
	}
	return false
}

// byteFinder finds two bytes, such as a letter in both cases, with the speed of bytes.IndexByte.
type byteFinder struct {
	text     []byte
	a, b     byte
	atA, atB int // where they were found last; len(text): nowhere any more
}

// next returns the first place at or after from, or -1.
func (f *byteFinder) next(from int) int {
	f.atA = f.find(f.a, f.atA, from)
	at := f.atA
	if f.b != f.a {
		f.atB = f.find(f.b, f.atB, from)
		at = min(at, f.atB)
	}
	if at >= len(f.text) {
		return -1
	}
	return at
}

func (f *byteFinder) find(c byte, known, from int) int {
	if known >= from {
		return known
	}
	if from >= len(f.text) {
		return len(f.text)
	}
	if i := bytes.IndexByte(f.text[from:], c); i >= 0 {
		return from + i
	}
	return len(f.text)
}

// equalFold compares text with a lower-case pattern of the same length.
func equalFold(text, pattern []byte, caseSensitive bool) bool {
	if caseSensitive {
		return bytes.Equal(text, pattern)
	}
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != pattern[i] {
			return false
		}
	}
	return true
}

func containsText(v, phrase []byte, caseSensitive bool) bool {
	if caseSensitive {
		return bytes.Contains(v, phrase)
	}
	for i := 0; i+len(phrase) <= len(v); i++ {
		if equalFold(v[i:i+len(phrase)], phrase, false) {
			return true
		}
	}
	return false
}

func (t *tokenizer) hasWildcard(v []byte, p *pattern) bool {
	start := 0
	for i := range len(v) + 1 {
		if i < len(v) && !t.delimiter[v[i]] {
			continue
		}
		if i > start && globMatch(p.text, v[start:i], t.caseSensitive) {
			return true
		}
		start = i + 1
	}
	return false
}

// globMatch matches * (any bytes) and ? (one byte) in time proportional to the
// product of the lengths at worst: it goes back only to the last star.
func globMatch(glob, text []byte, caseSensitive bool) bool {
	star, resume := -1, 0
	g, i := 0, 0
	for i < len(text) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, resume = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || equalFold(text[i:i+1], glob[g:g+1], caseSensitive)):
			g++
			i++
		case star >= 0:
			resume++
			g, i = star+1, resume
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
