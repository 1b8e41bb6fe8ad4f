package webattack

import (
	"regexp"
	"sync"
)

// A pattern is something to be recognised. It is looked for only where one of its
// phrases stands, which the automaton finds for all patterns in one pass; only then
// is its expression asked. All is written in lower case, as views are.
type pattern struct {
	name    string
	phrases []string
	re      string // what must match around a phrase; none: the phrase is enough
	only    field  // fields in which it means anything; 0 stands for all
	// quoted: people type this into a search box and into links to it, so in
	// parameters for searching it means nothing.
	quoted bool
	shell  bool // also looked for in the text as a shell would read it
	check  func(match []byte) bool

	class    Class
	compiled *regexp.Regexp
	weight   int // how costly a byte is for the expression
}

// A field of a request, as a bit.
type field uint8

const (
	inPath field = 1 << iota
	inAgent
	inReferer

	inURL = inPath | inReferer
)

func (f field) String() string {
	switch f {
	case inPath:
		return "path"
	case inAgent:
		return "agent"
	}
	return "referer"
}

// An index is the phrases of some patterns, ready to be found.
type index struct {
	*automaton
	owner  []uint16 // by phrase: its pattern, or nobody
	length []uint8  // by phrase
}

// nobody owns phrases that only ask for a look in depth.
const nobody = 1<<16 - 1

// A book is all that is recognised.
type book struct {
	patterns []pattern
	commands map[string]int // kinds of command by name
	address  index          // phrases for a path or Referer
	agent    index          // phrases for an agent
	enough   index          // those of both that need no expression
}

// maxPatterns is what a scan's counters hold.
const maxPatterns = 256

// patterns returns the book; it is built when first asked for and never changes.
var patterns = sync.OnceValue(func() *book {
	b := &book{commands: commandKinds()}
	for _, group := range []struct {
		class Class
		table []pattern
	}{
		{Exploit, exploitPatterns()},
		{CommandInjection, commandPatterns()},
		{CodeInjection, codePatterns()},
		{SQLInjection, sqlPatterns()},
		{PathTraversal, traversalPatterns()},
		{XSS, xssPatterns()},
	} {
		for _, p := range group.table {
			p.class = group.class
			if p.only == 0 {
				p.only = inPath | inAgent | inReferer
			}
			if p.re != "" {
				p.compiled = regexp.MustCompile("(?s)" + p.re)
				p.weight = 1 + len(p.re)/maxExpression
			}
			b.patterns = append(b.patterns, p)
		}
	}
	if len(b.patterns) > maxPatterns {
		panic("webattack: more patterns than a scan has counters for")
	}
	gates := func(begin string) (all []string) {
		for name := range b.commands {
			all = append(all, begin+name+" ")
		}
		return all
	}
	b.address = b.index(func(p *pattern) bool { return p.only&inURL != 0 }, append(gates("\x02"), gates("\x01")...))
	b.agent = b.index(func(p *pattern) bool { return p.only&inAgent != 0 }, append(gates("\x01"), "\x01;", "\x01|", "\x01&", "\x01 ;"))
	b.enough = b.index(func(p *pattern) bool { return p.compiled == nil }, nil)
	return b
})

// maxExpression is how long an expression may be before each of its bytes counts
// twice in the work it makes.
const maxExpression = 200

// index collects the phrases of the patterns that are wanted, and those of nobody.
func (b *book) index(want func(*pattern) bool, gates []string) index {
	var x index
	var phrases []string
	note := func(phrase string, owner uint16) {
		phrases = append(phrases, phrase)
		x.owner = append(x.owner, owner)
		x.length = append(x.length, uint8(len(phrase)))
	}
	for n := range b.patterns {
		if p := &b.patterns[n]; want(p) {
			for _, phrase := range p.phrases {
				note(phrase, uint16(n))
			}
		}
	}
	for _, phrase := range gates {
		note(phrase, nobody)
	}
	x.automaton = newAutomaton(phrases)
	return x
}

// Parts of expressions.
const (
	start = `[\x01\x02]`       // the beginning of a part of the request
	end   = `[\x01\x02]`       // its end
	word  = `(?:^|[^a-z0-9_])` // the beginning of a word
)
