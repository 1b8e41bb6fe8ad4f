package webattack

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

const (
	// maxWhole is how much of a field is looked at in one piece. Longer than the request
	// line or header that nginx, Apache, IIS and Tomcat take by default (8 to 16 KB).
	maxWhole = 16 << 10
	// chunk is the piece in which a longer field is looked through, and overlap what
	// two neighbours share, so that nothing is cut in two.
	chunk   = 8 << 10
	overlap = 512
	// maxChunks is how many of them are looked at in depth beside the first and the last.
	maxChunks = 2
	// maxMatch is how much of the text a finding shows.
	maxMatch = 120
	// maxWork is how many bytes the expressions may read of one field, an expression
	// that is twice as long counting twice. It bounds the time of a hostile line.
	maxWork = 48 << 10
	// maxPlaces is how many places of one pattern are looked at in one long text: the
	// first ones and the last.
	maxPlaces = 6
	// before and after are how far around a phrase an expression looks in a long text.
	before, after = 128, 256
	// maxShort is up to where a text counts as short: expressions read it whole.
	maxShort = 1 << 10
)

// Inspect returns what it recognises in r: at most one finding of a class, the worst
// class first, nothing if the request looks ordinary. Path goes before Agent and Agent
// before Referer.
//
// A field longer than 16 KB is looked through whole for phrases that are enough by
// themselves, and in depth at its beginning, at its end and in two places between
// where phrases stand. No server takes such a line by default.
//
// Its work grows linearly with the size of r, and what is costly is bounded. It is
// safe for concurrent use.
func Inspect(r Request) []Finding {
	var s scan
	s.field(inPath, r.Path)
	s.field(inAgent, r.Agent)
	s.field(inReferer, r.Referer)
	if s.found == nil {
		return nil
	}
	slices.SortStableFunc(s.found, func(a, b Finding) int { return cmp.Compare(rank(a.Class), rank(b.Class)) })
	return s.found
}

// rank is the place of a class in Classes.
func rank(c Class) int { return slices.Index(Classes(), c) }

// A scan is one request being looked at.
type scan struct {
	book  *book
	found []Finding
	work  int // what expressions have read of this field, weighed
	read  int // what libinjection has read of this field
	total int // what automata have read of this field
}

// field looks at one field.
func (s *scan) field(f field, raw string) {
	if raw == "" || raw == "-" {
		return
	}
	if s.book == nil {
		s.book = patterns()
	}
	s.work, s.read, s.total = 0, 0, 0
	if len(raw) <= maxWhole {
		var space [512]byte
		s.piece(f, raw, false, space[:0], true)
		return
	}
	// The end first: decoys in front of it then use up nothing that it needs.
	space := make([]byte, 0, chunk+2)
	at := len(raw) - chunk
	question := strings.IndexByte(raw, '?')
	behind := func(from int) bool { return question >= 0 && question < from }
	s.piece(f, raw[at:], behind(at), space, true)
	deep := maxChunks + 1
	for from := 0; from < at+overlap; from += chunk - overlap {
		if s.piece(f, raw[from:min(from+chunk, len(raw))], behind(from), space, deep > 0) {
			deep--
		}
	}
}

// index returns the phrases that mean something in a field.
func (s *scan) index(f field) *index {
	if f == inAgent {
		return &s.book.agent
	}
	return &s.book.address
}

// piece looks at a piece of a field, which may begin behind the question mark, in depth if there is reason to and deep allows
// it, and tells whether it did. It writes its first view to space.
func (s *scan) piece(f field, raw string, query bool, space []byte, deep bool) bool {
	var text []byte
	var seen uint8
	if f == inAgent {
		text, seen = decodeText(space, raw)
	} else {
		text, seen = decodeURL(space, raw, query)
	}
	// What follows keeps what it is given, so it gets a copy: the ordinary request
	// stays on the stack.
	if !deep {
		s.total += len(text)
		if s.book.enough.first(text) > 0 {
			s.look(f, &s.book.enough, bytes.Clone(text), nil)
		}
		return false
	}
	const odd = telling | again | needless | dots | zero
	if seen&odd == 0 && s.index(f).first(text) < 0 {
		return false
	}
	s.depth(f, bytes.Clone(text), seen)
	return true
}

// depth looks at all views of a text.
func (s *scan) depth(f field, text []byte, seen uint8) {
	s.look(f, s.index(f), text, nil)
	s.shell(f, text)
	if seen&needless != 0 {
		s.encodedDots(f, text)
	}
	whole := text
	if seen&(again|zero) != 0 {
		if whole = unwrap(text); &whole[0] != &text[0] {
			s.look(f, s.index(f), whole, nil)
			s.shell(f, whole)
			s.wrappedDots(f, text, whole)
		}
	}
	if tight := squeeze(whole); &tight[0] != &whole[0] {
		s.look(f, s.index(f), tight, nil)
	}
	if bare := unquote(whole); &bare[0] != &whole[0] {
		s.look(f, s.index(f), bare, func(p *pattern) bool { return p.shell })
		s.shell(f, bare)
	}
	s.libinjection(f, whole)
}

// shell looks for commands where a shell would run them.
func (s *scan) shell(f field, view []byte) {
	if s.has(CommandInjection) {
		return
	}
	if from, to := s.book.shellCommand(f, view); to > 0 {
		s.add(CommandInjection, f, "command", view, from+1, to)
	}
}

// A place is where a phrase of a pattern stands.
type place struct{ pattern, from, to int }

// look looks for patterns, all or those that are wanted, in one view of a field.
func (s *scan) look(f field, x *index, view []byte, want func(*pattern) bool) {
	s.total += len(view)
	var places []place
	var times [maxPatterns]uint8
	long := len(view) > maxShort
	x.each(view, func(phrase, to int) {
		n := x.owner[phrase]
		if n == nobody {
			return
		}
		p := &s.book.patterns[n]
		if times[n] == 0 && (p.only&f == 0 || s.has(p.class) || want != nil && !want(p)) {
			times[n] = maxPlaces + 1
			return
		}
		here := place{int(n), to - int(x.length[phrase]), to}
		switch {
		case times[n] == 0 || long && times[n] < maxPlaces:
			times[n]++
			places = append(places, here)
		case long && times[n] == maxPlaces:
			// The last place counts instead of the last but one.
			for i := len(places) - 1; i >= 0; i-- {
				if places[i].pattern == here.pattern {
					places[i] = here
					break
				}
			}
		}
	})
	slices.SortStableFunc(places, func(a, b place) int { return cmp.Compare(a.pattern, b.pattern) })
	for _, at := range places {
		p := &s.book.patterns[at.pattern]
		if s.has(p.class) {
			continue
		}
		if from, to, ok := s.confirm(p, view, at); ok {
			s.add(p.class, f, p.name, view, from, to)
		}
	}
}

// confirm asks a pattern's expression about the text around a phrase of it.
func (s *scan) confirm(p *pattern, view []byte, at place) (from, to int, ok bool) {
	if p.compiled == nil {
		from, to = at.from, at.to
	} else {
		low, high := 0, len(view)
		if len(view) > maxShort {
			low, high = max(0, at.from-before), min(len(view), at.to+after)
		}
		cost := (high - low) * p.weight
		if s.work+cost > maxWork {
			return 0, 0, false
		}
		s.work += cost
		loc := p.compiled.FindIndex(view[low:high])
		if loc == nil {
			return 0, 0, false
		}
		from, to = low+loc[0], low+loc[1]
	}
	if p.quoted && searching(view, from) || p.check != nil && !p.check(view[from:to]) {
		return 0, 0, false
	}
	return from, to, true
}

// searching tells whether view[at] stands in a parameter that is there to search by.
func searching(view []byte, at int) bool {
	low := max(0, at-maxShort)
	begin := low + 1 + max(bytes.LastIndexByte(view[low:at+1], edge), 0)
	name, _, ok := bytes.Cut(view[begin:min(len(view), begin+24)], []byte{equals})
	if !ok {
		return false
	}
	switch string(name) {
	case "q", "query", "search", "s", "k", "keyword", "keywords", "term", "terms", "text", "title", "wd", "word", "kw", "search_query", "searchterm", "as_q", "phrase", "jql", "cql":
		return true
	}
	return false
}

// has tells whether a class has been found.
func (s *scan) has(c Class) bool {
	return slices.ContainsFunc(s.found, func(f Finding) bool { return f.Class == c })
}

// add notes a finding and shows the part of the request around it, at most maxMatch
// bytes of it.
func (s *scan) add(c Class, f field, name string, view []byte, from, to int) {
	if s.has(c) {
		return
	}
	for from > 0 && to-from < maxMatch/2 && view[from-1] != edge && view[from-1] != equals {
		from--
	}
	for to < len(view) && to-from < maxMatch && view[to] != edge && view[to] != equals {
		to++
	}
	shown := bytes.Clone(view[from:min(to, from+maxMatch)])
	for i, b := range shown {
		switch b {
		case edge:
			shown[i] = '&'
		case equals:
			shown[i] = '='
		}
	}
	s.found = append(s.found, Finding{Class: c, Field: f.String(), Name: name, Match: string(bytes.Trim(shown, "&"))})
}
