//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Stream is a logstore for a log that is longer than memory: it is read once, from
// front to back, asked about the time that is complete, and forgets what nobody will ask
// about any more.
//
// Lines are kept outside DuckDB, in parts of some ten thousand. In a part each
// field is a list of its different values and two bytes a line, since logs repeat
// themselves: a line takes about a sixth of its text. DuckDB reads the parts in place, as
// a table function that hands over whole vectors (streamscan.go), so that a line is copied
// once, when it is read, and never inserted anywhere.
//
// Only queries with SQL can be asked. A Stream is safe for concurrent use; what is added
// while a query runs, that query does not see.
type Stream struct {
	server *Server
	store  *logstore
	fields []string
	keep   []int // of fields, those that are stored, as indices
	disk   *overflow

	mu    sync.RWMutex
	parts []*Part
	bytes int64
}

// errStream means that lines were written to a Stream in another way than its own.
var errStream = errors.New("the logstore is a stream, which only Add writes to")

// StreamConfig says what NewStream makes.
type StreamConfig struct {
	Logstore string
	Fields   []string // what the parser fills in, in its order; all are text
	// Keep are the fields that are stored; the others are NULL to every query. Nil keeps
	// all. Reads tells what queries need.
	Keep []string
	// Memory bounds the bytes that lines may take in memory; older parts beyond it wait in
	// a file without a name in the server's spill directory. 0 means no bound.
	Memory int64
}

// NewStream makes a logstore that is a Stream. A taken name is ErrLogstoreExists. Close it
// before the Server.
func (s *Server) NewStream(c StreamConfig) (*Stream, error) {
	fail := func(err error) (*Stream, error) { return nil, fmt.Errorf("make stream %s: %w", c.Logstore, err) }
	if err := s.registerStreams(); err != nil {
		return fail(err)
	}
	fields := make(map[string]FieldType, len(c.Fields))
	for _, f := range c.Fields {
		fields[f] = Text
	}
	x, err := newIndex(fields, s.config.MaxTextLen)
	if err != nil {
		return fail(err)
	}
	st := &Stream{server: s, fields: slices.Clone(c.Fields)}
	for i, f := range c.Fields {
		if c.Keep == nil || slices.Contains(c.Keep, f) {
			st.keep = append(st.keep, i)
		}
	}
	if st.store, err = s.createLogstore(storeKey{s.config.Project, c.Logstore}, x); err != nil {
		return fail(err)
	}
	st.store.describe(st)
	st.disk = newOverflow(s.engine.temp, c.Memory)
	return st, nil
}

// describe makes the logstore a stream's: its fields are the stream's columns.
func (ls *logstore) describe(st *Stream) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.stream, ls.fields, ls.byKey = st, nil, map[string]int{}
	for i, at := range st.keep {
		ls.fields = append(ls.fields, field{key: st.fields[at], column: fmt.Sprint("c", i)})
		ls.byKey[st.fields[at]] = i
	}
}

// Close forgets everything. No query may be running.
func (st *Stream) Close() error {
	err := st.server.DeleteLogstore(st.store.name)
	st.mu.Lock()
	st.parts, st.bytes = nil, 0
	st.mu.Unlock()
	return errors.Join(err, st.disk.close())
}

// Add makes a part visible to queries. previous is the time of the line before its first
// one, which lines without a time take over.
func (st *Stream) Add(p *Part, previous int64) error {
	p.takeOver(previous)
	if p.rows == 0 {
		return nil
	}
	st.mu.Lock()
	st.parts = append(st.parts, p)
	st.bytes += p.size()
	oldest := st.overflowing()
	st.mu.Unlock()
	for _, old := range oldest {
		if err := st.disk.write(old); err != nil {
			return fmt.Errorf("add to stream %s: %w", st.store.name, err)
		}
	}
	return nil
}

// overflowing picks the oldest parts beyond what may stay in memory. The caller holds mu.
func (st *Stream) overflowing() []*Part {
	if st.disk.limit == 0 {
		return nil
	}
	var old []*Part
	for _, p := range st.parts {
		if st.bytes <= st.disk.limit {
			break
		}
		if n := p.size(); n > 0 && p.leave() {
			st.bytes -= n
			old = append(old, p)
		}
	}
	return old
}

// Forget drops the parts whose lines are all before a time, in Unix seconds, and of the others
// what was asked about their values: it is called between two rounds of queries, and the next
// asks most of it of later parts. Queries that run keep what they are reading.
func (st *Stream) Forget(before int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	kept := make([]*Part, 0, len(st.parts))
	for _, p := range st.parts {
		if p.last >= before {
			p.forgetAnswers()
			kept = append(kept, p)
			continue
		}
		st.bytes -= p.size()
		st.disk.drop(p)
	}
	st.parts = kept
}

// Held returns how many lines there are, and the bytes that they take in memory and on disk.
func (st *Stream) Held() (lines, memory, disk int64) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	for _, p := range st.parts {
		lines += int64(p.rows)
	}
	return lines, st.bytes, st.disk.used()
}

// Count returns about how many lines lie in [from, to), Unix seconds: parts that wait on disk
// are counted whole.
func (st *Stream) Count(from, to int64) int64 {
	if from >= to {
		return 0
	}
	parts, _ := st.within(from, to)
	return st.count(parts, from, to)
}

// within returns the parts that have lines in [from, to), and the longest value of each column.
func (st *Stream) within(from, to int64) (parts []*Part, longest []int) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	longest = make([]int, len(st.keep))
	for _, p := range st.parts {
		if p.last < from || p.first >= to {
			continue
		}
		parts = append(parts, p)
		for i := range longest {
			longest[i] = max(longest[i], p.columns[i].longest)
		}
	}
	return parts, longest
}

// count tells how many lines lie in [from, to).
func (st *Stream) count(parts []*Part, from, to int64) int64 {
	var n int64
	for _, p := range parts {
		if p.first >= from && p.last < to {
			n += int64(p.rows)
			continue
		}
		n += p.within(from, to)
	}
	return n
}

// Reads tells which of a logstore's fields a query may look at. A search without a key, or
// a * in the SQL, looks at all of them. It errs on the side of too many.
func Reads(query string, fields []string) ([]string, error) {
	search, sql, hasSQL := splitQuery(query)
	node, err := parseSearch(search, hasSQL)
	if err != nil {
		return nil, fmt.Errorf("fields of a query: %w", err)
	}
	keys := map[string]bool{}
	all := !hasSQL || !searchKeys(node, keys)
	if hasSQL {
		tokens, err := lexSQL(sql)
		if err != nil {
			return nil, fmt.Errorf("fields of a query: %w", err)
		}
		all = all || sqlNames(tokens, keys)
	}
	var some []string
	for _, f := range fields {
		if all || keys[lowerText(f)] {
			some = append(some, f)
		}
	}
	return some, nil
}

// searchKeys collects the fields of a search; false: it looks everywhere.
func searchKeys(n searchNode, keys map[string]bool) bool {
	switch n := n.(type) {
	case searchAll:
		return true
	case searchAnd:
		return searchKeys(n.left, keys) && searchKeys(n.right, keys)
	case searchOr:
		return searchKeys(n.left, keys) && searchKeys(n.right, keys)
	case searchNot:
		return searchKeys(n.inner, keys)
	case searchText:
		keys[lowerText(n.key)] = true
		return n.key != ""
	case searchExists:
		keys[lowerText(n.key)] = true
		return true
	case searchRange:
		keys[lowerText(n.key)] = true
		return true
	default:
		return false
	}
}

// sqlNames collects whatever may name a field; true: the SQL asks for all, with a * that
// does not multiply, or with a search of its own.
func sqlNames(tokens []sqlToken, keys map[string]bool) bool {
	for i, t := range tokens {
		switch {
		case t.kind == sqlWord && t.lower == "search" && i+1 < len(tokens) && tokens[i+1].is("("):
			return true
		case t.kind == sqlWord || t.kind == sqlQuoted:
			keys[lowerText(t.text)] = true
		case t.is("*") && i > 0 && slices.ContainsFunc([]string{"select", "distinct", "all"}, tokens[i-1].keyword), t.is("*") && i > 0 && (tokens[i-1].is(",") || tokens[i-1].is(".")):
			return true
		}
	}
	return false
}

func lowerText(s string) string { return string(lowerASCII([]byte(s))) }

// streamQuery prepares a stream's lines for one query; done must be called when it is over.
func (s *Server) streamQuery(ctx context.Context, q queryRequest, store *snapshot, t *translation) (lines int64, done func(), err error) {
	parts, longest := store.stream.within(q.from, q.to)
	for i := range store.fields {
		store.fields[i].longest = longest[i]
	}
	cut := store.index.maxText
	if q.cut > 0 {
		cut = q.cut
	}
	known := make([][]*answers, len(t.questions))
	for i, a := range t.questions {
		if known[i], err = s.answerParts(ctx, store.stream, parts, a, cut); err != nil {
			return 0, nil, err
		}
	}
	id, done := s.streams.open(&lineScan{parts: parts, disk: store.stream.disk, columns: len(store.fields), questions: t.questions, known: known, threads: s.config.Threads})
	store.from = fmt.Sprintf("sls_lines(%d)", id)
	return store.stream.count(parts, q.from, q.to), done, nil
}
