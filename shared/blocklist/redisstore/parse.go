package redisstore

import "strings"

// interned keeps one copy of words that occur in most entries (sources, rule ids,
// countries), so that a million entries do not hold a million copies.
type interned struct{ words map[string]string }

// maxInterned bounds the table: words come from logs.
const maxInterned = 10_000

func (t *interned) word(s string) string {
	if w, ok := t.words[s]; ok {
		return w
	}
	s = strings.Clone(s) // or it would keep the whole value alive
	if t.words == nil {
		t.words = map[string]string{}
	}
	if len(t.words) < maxInterned {
		t.words[s] = s
	}
	return s
}

// parse reads the flat JSON that we write ourselves, four times as fast as
// encoding/json. It gives up (false) on anything that it does not expect: escapes,
// blanks, unknown fields, fractions. It makes one pass and keeps no part of text.
func parse(text string, v *value, known *interned) bool {
	p := parser{text: text, known: known}
	if !p.byte('{') {
		return false
	}
	for {
		field, ok := p.raw()
		if !ok || !p.byte(':') {
			return false
		}
		switch field {
		case "v":
			v.V, ok = p.int()
		case "source":
			v.Source, ok = p.word()
		case "severity":
			v.Severity, ok = p.word()
		case "challenge":
			v.Challenge, ok = true, p.literal("true")
		case "score":
			v.Score, ok = p.int()
		case "tags":
			v.Tags, ok = p.words()
		case "rules":
			v.Rules, ok = p.words()
		case "reason":
			v.Reason, ok = p.word()
		case "count":
			v.Count, ok = p.number()
		case "first_seen":
			v.FirstSeen, ok = p.number()
		case "last_seen":
			v.LastSeen, ok = p.number()
		case "countries":
			v.Countries, ok = p.words()
		case "accounts":
			v.Accounts, ok = p.words()
		case "addresses":
			v.Addresses, ok = p.int()
		case "since":
			v.Since, ok = p.number()
		case "expires_at":
			v.ExpiresAt, ok = p.number()
		case "strikes":
			v.Strikes, ok = p.int()
		default:
			return false
		}
		switch {
		case !ok:
			return false
		case p.byte(','):
		case p.byte('}'):
			return p.at == len(p.text)
		default:
			return false
		}
	}
}

type parser struct {
	text  string
	at    int
	known *interned
}

func (p *parser) byte(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

// literal reads a word that is no string. Of challenge we never write another than true.
func (p *parser) literal(word string) bool {
	if strings.HasPrefix(p.text[p.at:], word) {
		p.at += len(word)
		return true
	}
	return false
}

// raw reads a string without escapes, as a part of text.
func (p *parser) raw() (string, bool) {
	if !p.byte('"') {
		return "", false
	}
	from := p.at
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			p.at++
			return p.text[from : p.at-1], true
		case c == '\\' || c < ' ' || c >= 0x7f:
			return "", false
		}
	}
	return "", false
}

func (p *parser) word() (string, bool) {
	s, ok := p.raw()
	if !ok {
		return "", false
	}
	return p.known.word(s), true
}

func (p *parser) words() ([]string, bool) {
	if !p.byte('[') || p.byte(']') {
		return nil, false // we never write an empty list
	}
	list := make([]string, 0, 1)
	for {
		s, ok := p.word()
		if !ok {
			return nil, false
		}
		list = append(list, s)
		if p.byte(']') {
			return list, true
		}
		if !p.byte(',') {
			return nil, false
		}
	}
}

// number reads a whole number from 0 to below 10^16: more than a double holds exactly.
func (p *parser) number() (n int64, ok bool) {
	from := p.at
	for ; p.at < len(p.text) && p.text[p.at]-'0' <= 9; p.at++ {
		n = n*10 + int64(p.text[p.at]-'0')
		if p.at-from > 16 {
			return 0, false
		}
	}
	leadingZero := p.at > from+1 && p.text[from] == '0'
	return n, p.at > from && !leadingZero
}

func (p *parser) int() (int, bool) {
	n, ok := p.number()
	return int(n), ok
}
