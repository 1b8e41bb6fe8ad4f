package formats

import "strings"

// Bounds of a STIX pattern.
const (
	maxPattern = 64 << 10 // bytes
	maxNesting = 8        // parentheses within parentheses
)

// addressesOf returns the addresses and ranges of which a STIX pattern says that any one of them, seen alone, is enough:
//
//	[ipv4-addr:value = '198.51.100.1']
//	[ipv4-addr:value ISSUBSET '198.51.100.0/24' OR ipv6-addr:value IN ('2001:db8::1', '2001:db8::2')] OR [domain-name:value = 'x.example']
//
// Conditions on something else are alternatives that we cannot see, and are left out. Where it takes more than an address,
// as with AND, NOT, FOLLOWEDBY or WITHIN, the pattern as a whole says nothing about an address alone, and nothing is returned.
// The texts are as they stand in the pattern. The time is linear in its length.
func addressesOf(pattern string) []string {
	if len(pattern) > maxPattern {
		return nil
	}
	p := patternReader{rest: pattern}
	p.next()
	if !p.observations(0) || p.kind != tokenEnd {
		return nil
	}
	return p.found
}

// The kinds of tokens.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenBad
	tokenSign   // [ ] ( ) , = != < <= > >=
	tokenWord   // ipv4-addr:value, OR, ISSUBSET, 443, true
	tokenString // '…', unescaped; also t'…', h'…' and b'…', which are of no use here
)

// patternReader reads a pattern token by token; kind and text are the one it stands at.
type patternReader struct {
	rest  string
	kind  tokenKind
	text  string
	found []string
}

// observations reads observation (OR observation)*, where an observation stands in brackets, or several in parentheses.
func (p *patternReader) observations(depth int) bool {
	for {
		switch {
		case p.sign("["):
			if !p.comparisons(0) || !p.sign("]") {
				return false
			}
		case p.sign("("):
			if depth == maxNesting || !p.observations(depth+1) || !p.sign(")") {
				return false
			}
		default:
			return false
		}
		if !p.word("OR") {
			return true // the end, or something that we do not know: whoever called us looks
		}
	}
}

// comparisons reads comparison (OR comparison)*.
func (p *patternReader) comparisons(depth int) bool {
	for {
		if p.sign("(") {
			if depth == maxNesting || !p.comparisons(depth+1) || !p.sign(")") {
				return false
			}
		} else if !p.comparison() {
			return false
		}
		if !p.word("OR") {
			return true
		}
	}
}

// comparison reads path operator value.
func (p *patternReader) comparison() bool {
	if p.kind != tokenWord || !strings.Contains(p.text, ":") {
		return false
	}
	address := p.text == "ipv4-addr:value" || p.text == "ipv6-addr:value" || p.text == "network-traffic:src_ref.value"
	p.next()
	operator := p.text
	switch {
	case p.kind == tokenSign && strings.ContainsAny(operator, "=<>"):
	case p.kind == tokenWord && (operator == "IN" || operator == "ISSUBSET" || operator == "ISSUPERSET" || operator == "LIKE" || operator == "MATCHES"):
	default:
		return false // NOT among others
	}
	p.next()
	values, ok := p.values(operator == "IN")
	if address && (operator == "=" || operator == "IN" || operator == "ISSUBSET") {
		p.found = append(p.found, values...)
	}
	return ok
}

// values reads one literal, or several in parentheses.
func (p *patternReader) values(several bool) (values []string, ok bool) {
	if !several {
		return p.value(nil)
	}
	if !p.sign("(") {
		return nil, false
	}
	for {
		if values, ok = p.value(values); !ok {
			return nil, false
		}
		if p.sign(")") {
			return values, true
		}
		if !p.sign(",") {
			return nil, false
		}
	}
}

// value reads one literal; only a string is a value for us.
func (p *patternReader) value(values []string) ([]string, bool) {
	switch p.kind {
	case tokenString:
		values = append(values, p.text)
	case tokenWord:
	default:
		return values, false
	}
	p.next()
	return values, true
}

// sign steps over a sign, if it is there.
func (p *patternReader) sign(s string) bool {
	if p.kind != tokenSign || p.text != s {
		return false
	}
	p.next()
	return true
}

// word steps over a word, if it is there.
func (p *patternReader) word(w string) bool {
	if p.kind != tokenWord || p.text != w {
		return false
	}
	p.next()
	return true
}

// next steps to the next token.
func (p *patternReader) next() {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	switch {
	case p.rest == "":
		p.kind, p.text = tokenEnd, ""
	case p.rest[0] == '\'':
		p.quoted()
	case strings.IndexByte("[](),", p.rest[0]) >= 0:
		p.take(tokenSign, 1)
	case strings.IndexByte("=!<>", p.rest[0]) >= 0:
		n := 1
		if len(p.rest) > 1 && p.rest[1] == '=' {
			n = 2
		}
		p.take(tokenSign, n)
	default:
		p.take(tokenWord, wordLength(p.rest))
	}
}

func (p *patternReader) take(kind tokenKind, n int) {
	if n == 0 {
		kind, n = tokenBad, len(p.rest)
	}
	p.kind, p.text, p.rest = kind, p.rest[:n], p.rest[n:]
}

// wordLength tells how long a word or a path is: file:hashes.'SHA-256' and x:y[0].z hold quotes and brackets within.
func wordLength(s string) int {
	i := 0
	for i < len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-:.*", c) >= 0:
			i++
		case c == '[' && i > 0:
			end := strings.IndexByte(s[i:min(len(s), i+12)], ']') // an index is a number or *
			if end < 0 {
				return 0
			}
			i += end + 1
		case c == '\'' && i > 0:
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return 0
			}
			i += end + 2
		default:
			return i
		}
	}
	return i
}

// quoted reads '…', in which \' and \\ stand for ' and \.
func (p *patternReader) quoted() {
	var text strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\\' && i+1 < len(p.rest):
			i++
			text.WriteByte(p.rest[i])
		case c == '\'':
			p.kind, p.text, p.rest = tokenString, text.String(), p.rest[i+1:]
			return
		default:
			text.WriteByte(c)
		}
	}
	p.kind, p.rest = tokenBad, ""
}
