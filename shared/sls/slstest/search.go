//go:build cgo

package slstest

import (
	"math"
	"strconv"
	"strings"
)

// maxConditions bounds the conditions of one search (SLS).
const maxConditions = 30

// maxSearchDepth bounds parentheses and NOTs inside each other: the parser recurses.
const maxSearchDepth = 100

// A searchNode is a part of a parsed search.
type searchNode interface{ isSearch() }

type (
	searchAll struct{}
	searchAnd struct{ left, right searchNode }
	searchOr  struct{ left, right searchNode }
	searchNot struct{ inner searchNode }
	// searchText asks for all tokens of text, in one field or (key "") anywhere.
	searchText struct {
		key    string
		text   string
		phrase bool // #"…": the text itself, as one piece
		quoted bool // no wildcards
	}
	// searchExists asks whether a field is there: `key: *`.
	searchExists struct{ key string }
	// searchRange compares a number field.
	searchRange struct {
		key           string
		low, high     float64
		lowIn, highIn bool
	}
)

func (searchAll) isSearch()    {}
func (searchAnd) isSearch()    {}
func (searchOr) isSearch()     {}
func (searchNot) isSearch()    {}
func (searchText) isSearch()   {}
func (searchExists) isSearch() {}
func (searchRange) isSearch()  {}

// parseSearch parses the search part of a query. withSQL tells whether SQL follows.
func parseSearch(s string, withSQL bool) (searchNode, error) {
	tokens, err := lexSearch(s)
	if err != nil {
		return nil, err
	}
	p := &searchParser{tokens: tokens, withSQL: withSQL}
	if p.peek().kind == 0 {
		return searchAll{}, nil
	}
	node, err := p.or()
	if err != nil {
		return nil, err
	}
	if t := p.peek(); t.kind != 0 {
		return nil, p.unexpected(t)
	}
	return node, nil
}

type searchParser struct {
	tokens     []searchToken
	pos        int
	depth      int
	negations  int
	conditions int
	withSQL    bool
}

func (p *searchParser) peek() searchToken { return p.tokens[p.pos] }

func (p *searchParser) take() searchToken {
	t := p.tokens[p.pos]
	if t.kind != 0 {
		p.pos++
	}
	return t
}

func (t searchToken) word(w string) bool { return t.kind == 'w' && strings.EqualFold(t.text, w) }

func (p *searchParser) unexpected(t searchToken) error {
	what := "end of search"
	switch t.kind {
	case 0:
	case 'w', 'q', 'p':
		what = strconv.Quote(shorten(t.text))
	case 'l':
		what = "<="
	case 'g':
		what = ">="
	default:
		what = string(rune(t.kind))
	}
	return invalid("syntax error: unexpected %s", what)
}

// or, and, unary: from the weakest operator to the strongest. Words side by side mean AND.
func (p *searchParser) or() (searchNode, error) {
	left, err := p.and()
	for err == nil && p.peek().word("or") {
		p.take()
		var right searchNode
		if right, err = p.and(); err == nil {
			left = searchOr{left, right}
		}
	}
	return left, err
}

func (p *searchParser) and() (searchNode, error) {
	left, err := p.unary()
	for err == nil {
		t := p.peek()
		if t.kind == 0 || t.kind == ')' || t.word("or") {
			break
		}
		if t.word("and") {
			p.take()
		}
		var right searchNode
		if right, err = p.unary(); err == nil {
			left = searchAnd{left, right}
		}
	}
	return left, err
}

func (p *searchParser) unary() (searchNode, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxSearchDepth {
		return nil, invalid("search is nested too deeply: want at most %d levels", maxSearchDepth)
	}
	switch t := p.peek(); {
	case t.word("not"):
		p.take()
		p.negations++
		inner, err := p.unary()
		p.negations--
		if err != nil {
			return nil, err
		}
		return searchNot{inner}, nil
	case t.kind == '(':
		p.take()
		inner, err := p.or()
		if err != nil {
			return nil, err
		}
		if t := p.take(); t.kind != ')' {
			return nil, p.unexpected(t)
		}
		return inner, nil
	default:
		return p.condition()
	}
}

// condition parses a text, or a field with what is asked of it.
func (p *searchParser) condition() (searchNode, error) {
	p.conditions++
	if p.conditions > maxConditions {
		return nil, invalid("search has too many conditions: want at most %d", maxConditions)
	}
	t := p.take()
	if t.kind != 'w' && t.kind != 'q' && t.kind != 'p' || t.word("and") || t.word("or") {
		return nil, p.unexpected(t)
	}
	if t.kind != 'p' {
		switch next := p.peek().kind; next {
		case ':':
			p.take()
			return p.value(p.tagKey(t.text))
		case '=', '<', '>', 'l', 'g':
			p.take()
			return p.compare(t.text, next)
		}
		if p.peek().word("in") && (p.tokens[p.pos+1].kind == '(' || p.tokens[p.pos+1].kind == '[') {
			p.take()
			return p.interval(t.text)
		}
	}
	if t.kind == 'w' && t.text == "*" {
		return searchAll{}, nil
	}
	return p.text("", t)
}

// tagKey reads the rest of a key such as __tag__:host, whose name has a colon in it.
func (p *searchParser) tagKey(key string) string {
	if key+":" != tagPrefix {
		return key
	}
	if t := p.peek(); (t.kind == 'w' || t.kind == 'q') && p.tokens[p.pos+1].kind == ':' {
		p.pos += 2
		return tagPrefix + t.text
	}
	return key
}

func (p *searchParser) value(key string) (searchNode, error) {
	t := p.take()
	if t.kind != 'w' && t.kind != 'q' && t.kind != 'p' {
		return nil, p.unexpected(t)
	}
	if t.kind == 'w' && t.text == "*" {
		return searchExists{key}, nil
	}
	return p.text(key, t)
}

func (p *searchParser) text(key string, t searchToken) (searchNode, error) {
	if t.kind == 'p' {
		if p.withSQL {
			return nil, invalid("phrase search #\"…\" cannot be used together with an analytic statement")
		}
		if p.negations > 0 {
			return nil, invalid("phrase search #\"…\" cannot be used together with not")
		}
	}
	if t.kind == 'w' && (t.text[0] == '*' || t.text[0] == '?') {
		return nil, invalid("fuzzy search %s: a word must not begin with * or ?", shorten(t.text))
	}
	return searchText{key: key, text: t.text, phrase: t.kind == 'p', quoted: t.kind != 'w'}, nil
}

func (p *searchParser) number() (float64, error) {
	t := p.take()
	if t.kind != 'w' && t.kind != 'q' {
		return 0, p.unexpected(t)
	}
	f, err := strconv.ParseFloat(t.text, 64)
	if err != nil || math.IsNaN(f) {
		return 0, invalid("range search: %s is not a number", shorten(t.text))
	}
	return f, nil
}

func (p *searchParser) compare(key string, op byte) (searchNode, error) {
	f, err := p.number()
	r := searchRange{key: key, low: math.Inf(-1), high: math.Inf(1), lowIn: true, highIn: true}
	switch op {
	case '=':
		r.low, r.high = f, f
	case '<':
		r.high, r.highIn = f, false
	case '>':
		r.low, r.lowIn = f, false
	case 'l':
		r.high = f
	case 'g':
		r.low = f
	}
	return r, err
}

// interval parses `in [low high]`; a round bracket leaves its end out. A comma may stand between.
func (p *searchParser) interval(key string) (searchNode, error) {
	r := searchRange{key: key, lowIn: p.take().kind == '['}
	var err error
	if r.low, err = p.number(); err != nil {
		return nil, err
	}
	if p.peek().kind == ',' {
		p.take()
	}
	if r.high, err = p.number(); err != nil {
		return nil, err
	}
	t := p.take()
	if t.kind != ')' && t.kind != ']' {
		return nil, p.unexpected(t)
	}
	r.highIn = t.kind == ']'
	return r, nil
}
