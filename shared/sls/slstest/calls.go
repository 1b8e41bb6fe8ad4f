//go:build cgo

package slstest

import (
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
)

// argument is one translated argument of a call.
type argument struct {
	sql     string
	literal *string // the text, when the argument is a text literal and nothing else
	number  int     // its value when the argument is a whole number and nothing else, else -1
}

// call writes a function call; the name and the opening parenthesis are read already.
func (t *translator) call(name sqlToken) (string, error) {
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > maxSQLDepth {
		return "", invalid("query is nested too deeply: want at most %d levels", maxSQLDepth)
	}
	switch name.lower {
	case "cast", "try_cast":
		return t.cast(name.lower)
	case "extract":
		return t.extract()
	case "position":
		return t.position()
	case "search":
		return t.searchCall()
	}
	args, err := t.arguments()
	if err != nil {
		return "", err
	}
	f, ok := prestoFunctions[name.lower]
	if !ok {
		if why := unavailable[name.lower]; why != "" {
			return "", invalid("function %s is not available in the local Log Service: %s", name.lower, why)
		}
		return "", invalid("line 1:%d: Function '%s' not registered", name.at+1, shorten(name.lower))
	}
	if len(args) < f.min || len(args) > f.max {
		return "", invalid("line 1:%d: Unexpected parameters for function %s: got %d", name.at+1, name.lower, len(args))
	}
	if f.write == nil {
		return " " + f.name + "(" + joinArguments(args) + ")", nil
	}
	s, err := f.write(t, args)
	if err != nil {
		return "", err
	}
	return " " + s, nil
}

func joinArguments(args []argument) string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = a.sql
	}
	return strings.Join(list, ", ")
}

// arguments reads the arguments of a call and its closing parenthesis.
func (t *translator) arguments() ([]argument, error) {
	var args []argument
	if t.peek().is(")") {
		t.take()
		return nil, nil
	}
	for {
		start := t.pos
		sql, err := t.argument()
		if err != nil {
			return nil, err
		}
		a := argument{sql: strings.TrimPrefix(sql, " "), number: -1}
		if t.pos == start {
			return nil, t.mismatch(t.peek())
		}
		if t.pos == start+1 {
			switch tok := t.tokens[start]; tok.kind {
			case sqlString:
				a.literal = &tok.text
			case sqlNumber:
				if n, err := strconv.Atoi(tok.text); err == nil {
					a.number = n
				}
			}
		}
		args = append(args, a)
		switch sep := t.take(); {
		case sep.is(","):
		case sep.is(")"):
			return args, nil
		default:
			return nil, t.mismatch(sep)
		}
	}
}

func (t *translator) argument() (string, error) {
	if tok := t.peek(); tok.keyword("select") || tok.keyword("with") {
		return "", t.mismatch(tok)
	}
	return t.until(",)")
}

// cast writes CAST(x AS type).
func (t *translator) cast(name string) (string, error) {
	var b strings.Builder
	for !t.peek().keyword("as") {
		if tok := t.peek(); tok.kind == sqlEnd || tok.is(")") || tok.is(",") {
			return "", t.mismatch(tok)
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	t.take()
	typ, err := t.typeName()
	if err != nil {
		return "", err
	}
	return " " + strings.ToUpper(name) + "(" + strings.TrimPrefix(b.String(), " ") + " AS " + typ + ")", t.expect(")")
}

// castTypes are the types of Presto that have one in DuckDB.
var castTypes = map[string]string{
	"varchar": "VARCHAR", "char": "VARCHAR", "bigint": "BIGINT", "integer": "INTEGER", "int": "INTEGER", "smallint": "SMALLINT",
	"tinyint": "TINYINT", "double": "DOUBLE", "real": "FLOAT", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP", "date": "DATE",
	"json": "JSON", "varbinary": "BLOB",
}

func (t *translator) typeName() (string, error) {
	t.depth++
	defer func() { t.depth-- }()
	tok := t.take()
	if tok.kind != sqlWord || t.depth > maxSQLDepth {
		return "", t.mismatch(tok)
	}
	switch tok.lower {
	case "array":
		inner, err := t.typeArguments(1)
		if err != nil {
			return "", err
		}
		return inner[0] + "[]", nil
	case "map":
		inner, err := t.typeArguments(2)
		if err != nil {
			return "", err
		}
		return "MAP(" + inner[0] + ", " + inner[1] + ")", nil
	case "decimal":
		return t.decimalType()
	}
	name, ok := castTypes[tok.lower]
	if !ok {
		return "", invalid("line 1:%d: Unknown type: %s", tok.at+1, shorten(tok.text))
	}
	if (tok.lower == "varchar" || tok.lower == "char") && t.peek().is("(") { // a length, which DuckDB ignores too
		t.take()
		if n := t.take(); n.kind != sqlNumber {
			return "", t.mismatch(n)
		}
		return name, t.expect(")")
	}
	return name, nil
}

func (t *translator) typeArguments(n int) ([]string, error) {
	if err := t.expect("("); err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		var err error
		if out[i], err = t.typeName(); err != nil {
			return nil, err
		}
		if i+1 < n {
			if err := t.expect(","); err != nil {
				return nil, err
			}
		}
	}
	return out, t.expect(")")
}

func (t *translator) decimalType() (string, error) {
	if !t.peek().is("(") {
		return "DECIMAL(38,0)", nil
	}
	t.take()
	width, scale := t.take(), sqlToken{text: "0"}
	if t.peek().is(",") {
		t.take()
		scale = t.take()
	}
	w, errW := strconv.Atoi(width.text)
	s, errS := strconv.Atoi(scale.text)
	if errW != nil || errS != nil || w < 1 || w > 38 || s < 0 || s > w {
		return "", t.mismatch(width)
	}
	return fmt.Sprintf("DECIMAL(%d,%d)", w, s), t.expect(")")
}

// extract writes EXTRACT(unit FROM x).
func (t *translator) extract() (string, error) {
	unit := t.take()
	f, ok := prestoFunctions[unit.lower]
	if from := t.take(); !ok || !dateParts[unit.lower] || !from.keyword("from") {
		return "", t.mismatch(unit)
	}
	x, err := t.until(")")
	if err != nil {
		return "", err
	}
	s, err := f.write(t, []argument{{sql: strings.TrimPrefix(x, " "), number: -1}})
	if err != nil {
		return "", err
	}
	return " " + s, t.expect(")")
}

// position writes POSITION(x IN y), that is strpos(y, x).
func (t *translator) position() (string, error) {
	var needle strings.Builder
	for !t.peek().keyword("in") {
		if tok := t.peek(); tok.kind == sqlEnd || tok.is(")") {
			return "", t.mismatch(tok)
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		needle.WriteString(s)
	}
	t.take()
	text, err := t.until(")")
	if err != nil {
		return "", err
	}
	return " strpos(" + text + "," + needle.String() + ")", t.expect(")")
}

// searchCall writes search('…'): the search part's grammar as a condition in
// SQL. The logstore's view answers it in a hidden column.
func (t *translator) searchCall() (string, error) {
	args, err := t.arguments()
	if err != nil {
		return "", err
	}
	if len(args) != 1 || args[0].literal == nil {
		return "", invalid("search('…') wants one text literal")
	}
	node, err := parseSearch(*args[0].literal, true)
	if err != nil {
		return "", err
	}
	t.out.searches = append(t.out.searches, node)
	return " " + quoteIdent(searchColumn(len(t.out.searches)-1)), nil
}

// regexpExtract writes regexp_extract so that it is NULL where nothing matches;
// DuckDB's answers ”. Where the group cannot match the empty text, which a
// literal pattern tells, ” is that NULL; else the pattern is asked once more.
func regexpExtract(_ *translator, args []argument) (string, error) {
	group := "0"
	if len(args) == 3 {
		group = args[2].sql
	}
	if err := checkPattern(args[1]); err != nil {
		return "", err
	}
	extract := fmt.Sprintf("regexp_extract(%s, %s, %s)", args[0].sql, args[1].sql, group)
	number := 0
	if len(args) == 3 {
		number = args[2].number
	}
	if args[1].literal != nil && number >= 0 {
		re, err := syntax.Parse(*args[1].literal, syntax.Perl)
		if err == nil {
			g := captureGroup(re, number)
			if g == nil {
				return "", invalid("Pattern has %d groups. Cannot access group %d", re.MaxCap(), number)
			}
			if minLength(g) > 0 {
				return "nullif(" + extract + ", '')", nil
			}
		}
	}
	return fmt.Sprintf("coalesce(nullif(%s, ''), CASE WHEN regexp_matches(%s, %s) THEN '' END)", extract, args[0].sql, args[1].sql), nil
}

// checkPattern refuses what RE2 would: it says so in the service's words and before anything runs.
func checkPattern(a argument) error {
	if a.literal == nil {
		return nil
	}
	if _, err := syntax.Parse(*a.literal, syntax.Perl); err != nil {
		return invalid("regular expression %s: %v", shorten(*a.literal), err)
	}
	return nil
}

// captureGroup finds group n of a pattern; 0 is the pattern itself.
func captureGroup(re *syntax.Regexp, n int) *syntax.Regexp {
	if n == 0 || re.Op == syntax.OpCapture && re.Cap == n {
		return re
	}
	for _, sub := range re.Sub {
		if found := captureGroup(sub, n); found != nil {
			return found
		}
	}
	return nil
}

// minLength is a lower bound of how many characters a pattern matches, 0 or 1 being all that is asked.
func minLength(re *syntax.Regexp) int {
	switch re.Op {
	case syntax.OpLiteral:
		return min(1, len(re.Rune))
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1
	case syntax.OpCapture, syntax.OpPlus:
		return minLength(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return minLength(re.Sub[0])
		}
		return 0
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			if minLength(sub) > 0 {
				return 1
			}
		}
		return 0
	case syntax.OpAlternate:
		for _, sub := range re.Sub {
			if minLength(sub) == 0 {
				return 0
			}
		}
		return 1
	default:
		return 0
	}
}

// regexpReplace replaces every match, as Presto does; $1 in the replacement is \1 in RE2.
func regexpReplace(_ *translator, args []argument) (string, error) {
	if err := checkPattern(args[1]); err != nil {
		return "", err
	}
	with := "''"
	if len(args) == 3 {
		if args[2].literal == nil {
			return "", invalid("regexp_replace: the replacement must be a text literal")
		}
		with = quoteText(re2Replacement(*args[2].literal))
	}
	return fmt.Sprintf("regexp_replace(%s, %s, %s, 'g')", args[0].sql, args[1].sql, with), nil
}

func re2Replacement(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '$' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			b.WriteByte('\\')
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '$':
			i++
			b.WriteByte('$')
		case s[i] == '\\':
			b.WriteString(`\\`)
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// mysqlFormat turns a format of date_format and date_parse into one of strftime.
func mysqlFormat(name string, a argument) (string, error) {
	if a.literal == nil {
		return "", invalid("%s: the format must be a text literal", name)
	}
	known := map[byte]string{
		'Y': "%Y", 'y': "%y", 'm': "%m", 'c': "%-m", 'd': "%d", 'e': "%-d", 'H': "%H", 'k': "%-H", 'h': "%I", 'I': "%I",
		'l': "%-I", 'i': "%M", 's': "%S", 'S': "%S", 'p': "%p", 'f': "%f", 'M': "%B", 'b': "%b", 'W': "%A", 'a': "%a",
		'j': "%j", 'T': "%H:%M:%S", 'r': "%I:%M:%S %p", 'v': "%V", 'x': "%G", '%': "%%",
	}
	var b strings.Builder
	f := *a.literal
	for i := 0; i < len(f); i++ {
		if f[i] != '%' || i+1 == len(f) {
			b.WriteByte(f[i])
			continue
		}
		i++
		s, ok := known[f[i]]
		if !ok {
			return "", invalid("%s: %%%c is not supported", name, f[i])
		}
		b.WriteString(s)
	}
	return quoteText(b.String()), nil
}
