//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// question is what a query asks of every line about one of its fields: does the user agent
// fit this pattern? A Stream knows which lines share a value, so the engine is asked once for
// each different value of a part, and the query gets a column of answers. Logs repeat their agents
// and paths, and patterns are what rules spend their time on.
type question struct {
	field int          // of the stream's stored ones
	sql   string       // with answerValue in the value's place
	kind  mapping.Type // of the answer: a boolean, a whole number or a text
}

// answerValue stands for the value in an answer's SQL.
const answerValue = "v"

// answerColumn names the hidden column that holds the answers to one question.
func answerColumn(i int) string { return "__answer_" + strconv.Itoa(i) + "__" }

// asksValues are the functions whose calls may become answers: dear, and the same for the same value.
var asksValues = map[string]mapping.Type{
	"regexp_like": mapping.TypeBoolean, "regexp_extract": mapping.TypeVarchar, "strpos": mapping.TypeBigInt,
}

// answered writes a call as a column of answers where it may: on a field of a line of log
// and otherwise literals, in a SELECT that looks at each line by itself.
func (t *translator) answered(name string, f prestoFunction, args []argument) (column string, ok bool, err error) {
	kind, asks := asksValues[name]
	if !t.rowwise || !asks || args[0].name == "" {
		return "", false, nil
	}
	for _, a := range args[1:] {
		if a.literal == nil && a.number < 0 {
			return "", false, nil
		}
	}
	field, ok := t.values(args[0].name)
	if !ok {
		return "", false, nil
	}
	asked := append([]argument{{sql: answerValue, number: -1}}, args[1:]...)
	sql := f.name + "(" + joinArguments(asked) + ")"
	if f.write != nil {
		if sql, err = f.write(t, asked); err != nil {
			return "", false, err
		}
	}
	this := question{field: field, sql: sql, kind: kind}
	for i, known := range t.out.questions {
		if known == this {
			return " " + quoteIdent(answerColumn(i)), true, nil
		}
	}
	t.out.questions = append(t.out.questions, this)
	return " " + quoteIdent(answerColumn(len(t.out.questions)-1)), true, nil
}

// nameIn returns the name that tokens are, by itself or as CAST(name AS VARCHAR), which of a
// text is the text; "" if they are anything else.
func nameIn(tokens []sqlToken) string {
	if len(tokens) == 6 && (tokens[0].keyword("cast") || tokens[0].keyword("try_cast")) && tokens[1].is("(") &&
		tokens[3].keyword("as") && tokens[4].keyword("varchar") && tokens[5].is(")") {
		tokens = tokens[2:3]
	}
	switch {
	case len(tokens) != 1:
		return ""
	case tokens[0].kind == sqlQuoted, tokens[0].kind == sqlWord && !keywords[tokens[0].lower]:
		return tokens[0].text
	default:
		return ""
	}
}

// looksAtLines tells whether the SELECT that begins here reads log and nothing else, and
// neither groups nor names parameters of its own. Then a field's name is a field of the line,
// up to whatever follows WHERE.
func (t *translator) looksAtLines(top bool) bool {
	depth, from := 0, false
	for i := t.pos + 1; i < len(t.tokens); i++ {
		tok := t.tokens[i]
		switch {
		case tok.is("("):
			depth++
		case tok.is(")"):
			if depth--; depth < 0 {
				return from
			}
		case tok.kind == sqlEnd:
			return from || top
		case tok.is("-") && t.tokens[min(i+1, len(t.tokens)-1)].is(">"), tok.is("->"):
			return false
		case depth > 0 || tok.kind != sqlWord || t.tokens[i-1].is("."):
		case tok.lower == "group" || tok.lower == "having":
			return false
		case tok.lower == "union" || tok.lower == "intersect" || tok.lower == "except":
			return from || top
		case tok.lower == "from" && !t.tokens[i-1].keyword("distinct"):
			next := t.tokens[min(i+1, len(t.tokens)-1)]
			if next.kind != sqlWord && next.kind != sqlQuoted || !strings.EqualFold(next.text, "log") {
				return false
			}
			after := t.tokens[min(i+2, len(t.tokens)-1)]
			if after.kind != sqlEnd && !after.is(")") && !(after.kind == sqlWord && clauseWords[after.lower]) {
				return false // an alias, a join
			}
			from = true
		}
	}
	return false
}

// values finds the stored fields of a Stream by their names in SQL; nil where there are none to be found.
func (s snapshot) values() func(name string) (int, bool) {
	if s.stream == nil {
		return nil
	}
	return func(name string) (int, bool) {
		found := -1
		for i, f := range s.fields {
			if strings.EqualFold(f.key, name) {
				if found >= 0 { // two that differ by case: which one is meant is for the engine to say
					return 0, false
				}
				found = i
			}
		}
		return found, found >= 0
	}
}

// key tells a question from all others of a Stream. Values are cut before they are asked about.
func (q question) key(cut int) string { return fmt.Sprint(q.field, " ", cut, " ", q.sql) }

// answers are the answers to one question for all values of a part's field.
type answers struct {
	numbers []int16 // of a boolean 0 or 1; unknownNumber is NULL; nil if the answers are texts
	texts   cells   // they point into text
	text    []byte
}

const unknownNumber = math.MinInt16

// answerParts asks a question about the values of those parts for which it has not been asked,
// and returns the answers for each part.
func (s *Server) answerParts(ctx context.Context, st *Stream, parts []*Part, a question, cut int) ([]*answers, error) {
	key := a.key(cut)
	var lacking []*Part
	longest := 0
	known := make([]*answers, len(parts))
	var at []int // of those that lack it, in parts
	for i, p := range parts {
		if known[i] = p.answersTo(key); known[i] == nil {
			lacking, at = append(lacking, p), append(at, i)
			longest = max(longest, p.columns[a.field].longest)
		}
	}
	if len(lacking) == 0 {
		return known, nil
	}
	id, done := s.streams.open(&lineScan{parts: lacking, disk: st.disk, valuesOf: &a.field, columns: 1, threads: 1})
	defer done()
	value := analysed(field{column: "c0", longest: longest}, Text, cut)
	c := answerCollector{kind: a.kind}
	sql := fmt.Sprintf("SELECT %s FROM (SELECT %s AS %s FROM sls_lines(%d))", a.sql, value, answerValue, id)
	next := 0
	finish := func() { // also parts that have no value at all
		for next < len(lacking) && c.rows == lacking[next].columns[a.field].values {
			got := c.take()
			lacking[next].remember(key, got)
			known[at[next]] = got
			next++
		}
	}
	finish()
	err := s.engine.query(ctx, sql, func([]column) error { return nil }, func(k chunk) error {
		r := k.reader(0)
		for row := range k.rows() {
			if next == len(lacking) {
				return errors.New("more answers than values")
			}
			c.add(&r, row)
			finish()
		}
		return nil
	})
	if err == nil && next < len(lacking) {
		err = errors.New("fewer answers than values")
	}
	return known, err
}

// answerCollector collects the answers for one part.
type answerCollector struct {
	kind    mapping.Type
	rows    int
	numbers []int16
	ends    []int // of the texts in text; the same as before and null: NULL
	null    []bool
	text    []byte
}

func (c *answerCollector) add(r *reader, row int) {
	c.rows++
	null := r.null(row)
	if c.kind != mapping.TypeVarchar {
		n := int16(unknownNumber)
		switch {
		case null:
		case c.kind == mapping.TypeBigInt:
			n = int16(min(cell[int64](r, row), math.MaxInt16)) // a place in a value, of which 16,384 bytes are analysed at most
		case cell[bool](r, row):
			n = 1
		default:
			n = 0
		}
		c.numbers = append(c.numbers, n)
		return
	}
	if !null {
		c.text = append(c.text, r.bytes(row)...)
	}
	c.null, c.ends = append(c.null, null), append(c.ends, len(c.text))
}

// take returns what was collected, in memory of its own, and begins anew.
func (c *answerCollector) take() *answers {
	a := &answers{}
	if c.kind != mapping.TypeVarchar {
		a.numbers = append([]int16{}, c.numbers...)
	} else {
		a.text, a.texts = append([]byte{}, c.text...), newCells(c.rows)
		start := 0
		for i, end := range c.ends {
			if !c.null[i] {
				a.texts.set(i, a.text[start:end:end])
			}
			start = end
		}
	}
	*c = answerCollector{kind: c.kind, numbers: c.numbers[:0], ends: c.ends[:0], null: c.null[:0], text: c.text[:0]}
	return a
}

// answersTo returns the answers to a question, nil if it has not been asked.
func (p *Part) answersTo(key string) *answers {
	p.asking.Lock()
	defer p.asking.Unlock()
	return p.answers[key]
}

// forgetAnswers frees what was asked so far. Queries that run keep what they have.
func (p *Part) forgetAnswers() {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.answers = nil
}

func (p *Part) remember(key string, a *answers) {
	p.asking.Lock()
	defer p.asking.Unlock()
	if p.answers == nil {
		p.answers = map[string]*answers{}
	}
	p.answers[key] = a
}
