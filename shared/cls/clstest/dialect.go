//go:build cgo

package clstest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// statement is a CLS statement written in the Log Service's dialect.
type statement struct {
	sql           string // without OFFSET and LIMIT
	offset, limit int    // limit 0: none was given
}

// sls is the whole statement. The Log Service writes LIMIT offset, count.
func (s statement) sls() string {
	switch {
	case s.limit == 0:
		return s.sql
	case s.offset == 0:
		return fmt.Sprintf("%s limit %d", s.sql, s.limit)
	default:
		return fmt.Sprintf("%s limit %d, %d", s.sql, s.offset, s.limit)
	}
}

// token is a lexical part of a statement.
type token struct {
	kind     byte   // 'w' word, 'q' "name", 's' 'text', 'n' number, or the character itself; 0: end
	text     string // as it stands there; words in lower case
	from, to int
}

func (t token) is(words ...string) bool { return t.kind == 'w' && slices.Contains(words, t.text) }

// lexical cuts SQL. Each alternative is one kind of token; blanks are passed over.
var lexical = regexp.MustCompile(`^(?:(\s+)|([A-Za-z_][A-Za-z0-9_]*)|("(?:[^"]|"")*")|('(?:[^']|'')*')|(\d+(?:\.\d+)?)|([<>!]=|<>|\|\||->|[()\[\],.+*/%=<>-]))`)

func lex(sql string) ([]token, error) {
	var all []token
	for at := 0; at < len(sql); {
		rest := sql[at:]
		if strings.HasPrefix(rest, "--") || strings.HasPrefix(rest, "/*") {
			return nil, refuse("FailedOperation.SyntaxError", "a comment: CLS documents none")
		}
		m := lexical.FindStringSubmatchIndex(rest)
		if m == nil {
			return nil, refuse("FailedOperation.SyntaxError", "mismatched input %.10q", rest)
		}
		t := token{text: rest[:m[1]], from: at, to: at + m[1]}
		at = t.to
		for group, kind := range []byte{' ', 'w', 'q', 's', 'n', 'o'} {
			if m[2*group+2] >= 0 {
				t.kind = kind
			}
		}
		switch t.kind {
		case ' ':
			continue
		case 'w':
			t.text = strings.ToLower(t.text)
		case 'o':
			t.kind = t.text[0]
		}
		all = append(all, t)
	}
	return append(all, token{from: len(sql), to: len(sql)}), nil
}

// level is one pair of parentheses.
type level struct {
	query bool // it holds a SELECT …
	from  bool // … which has named what it selects from
}

// translateSQL checks a statement against what CLS documents and writes it for the
// Log Service: a SELECT without FROM, in CLS that of the topic at every depth, gets one.
func translateSQL(sql string) (statement, error) {
	tokens, err := lex(sql)
	if err != nil {
		return statement{}, err
	}
	s, tokens, err := cutLimit(tokens)
	if err != nil {
		return s, err
	}
	if !tokens[0].is("select") {
		return s, refuse("FailedOperation.SyntaxError", "mismatched input %q: want SELECT", tokens[0].text)
	}
	var (
		b      strings.Builder
		copied int
		levels = []level{{}}
	)
	addFrom := func(before token) {
		if top := &levels[len(levels)-1]; top.query && !top.from {
			b.WriteString(sql[copied:before.from] + " from log ")
			copied, top.from = before.from, true
		}
	}
	for i, t := range tokens {
		var previous token
		if i > 0 {
			previous = tokens[i-1]
		}
		next := tokens[min(i+1, len(tokens)-1)]
		if err := checkToken(t, previous, next); err != nil {
			return s, err
		}
		switch {
		case t.kind == '(':
			levels = append(levels, level{})
		case t.kind == ')':
			addFrom(t)
			if levels = levels[:len(levels)-1]; len(levels) == 0 {
				return s, refuse("FailedOperation.SyntaxError", "mismatched input ')'")
			}
		case t.is("select"):
			levels[len(levels)-1] = level{query: true}
		case t.is("from") && levels[len(levels)-1].query && !previous.is("distinct"):
			levels[len(levels)-1].from = true
		case t.is("where", "group", "having", "order", "limit", "union", "intersect", "except"):
			addFrom(t)
		case t.kind == 0:
			if len(levels) > 1 {
				return s, refuse("FailedOperation.SyntaxError", "mismatched input '<EOF>'")
			}
			addFrom(t)
		}
	}
	end := tokens[len(tokens)-1].from
	s.sql = b.String() + sql[copied:end]
	return s, nil
}

// cutLimit takes [OFFSET n] LIMIT n off the end.
func cutLimit(tokens []token) (statement, []token, error) {
	var s statement
	take := func(word string) (n int, ok bool, err error) {
		end := len(tokens) - 1
		if end < 2 || tokens[end-1].kind != 'n' || !tokens[end-2].is(word) {
			return 0, false, nil
		}
		n, err = strconv.Atoi(tokens[end-1].text)
		if err != nil {
			return 0, false, refuse("FailedOperation.SyntaxError", "%s %s", word, tokens[end-1].text)
		}
		last := tokens[end-2]
		tokens = append(tokens[:end-2:end-2], token{from: last.from, to: last.from})
		return n, true, nil
	}
	n, limited, err := take("limit")
	if err != nil || !limited {
		return s, tokens, err
	}
	if n < 1 || n > maxRows {
		return s, nil, refuse("FailedOperation.SyntaxError", "limit %d: want 1 to %d", n, maxRows)
	}
	s.limit = n
	s.offset, _, err = take("offset")
	return s, tokens, err
}

// checkToken refuses what CLS does not know or does not document.
func checkToken(t, previous, next token) error {
	bad := func(format string, args ...any) error {
		return refuse("FailedOperation.SyntaxError", format, args...)
	}
	switch {
	case t.is("has") && next.kind == 's', t.is("with") && previous.kind == '(':
		return bad("mismatched input '%s'", t.text)
	case t.is("from") && next.is("log"), t.is("join") && next.kind != '(':
		return bad("%s %s: CLS documents no name for the topic: leave FROM out", t.text, next.text)
	case t.is("offset") && next.kind == 'n':
		return bad("mismatched input 'offset': want offset before limit, at the end")
	case slices.Contains([]string{"__time__", "__time_ns_part__", "__topic__"}, strings.Trim(t.text, `"`)):
		return refuse("FailedOperation.QueryError", "Column '%s' cannot be resolved", strings.Trim(t.text, `"`))
	case t.is("timestamp") && previous.is("as"):
		return refuse("UnsupportedOperation", "this stand-in casts nothing to timestamp")
	case t.kind == 'w' && next.kind == '(' && !keywords[t.text] && !functions[t.text]:
		return bad("Function '%s' not registered", t.text)
	}
	return nil
}

func set(words string) map[string]bool {
	all := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		all[w] = true
	}
	return all
}

// keywords may stand before a parenthesis without being a function.
var keywords = set(`select distinct all from where by having and or not in exists as on join using between like when then else case is
	union intersect except over filter values`)

// functions are those of CLS's list (its SQL function overview) that the engine
// has, too. ip_to_country_code is CLS's; histogram is its time grouping, not Presto's.
var functions = set(`
	arbitrary avg bitwise_and_agg bitwise_or_agg bool_and bool_or count count_if every max max_by min min_by sum approx_distinct approx_percentile
	array_agg corr covar_pop covar_samp regr_slope regr_intercept stddev stddev_pop stddev_samp variance var_pop var_samp skewness kurtosis map_agg
	row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
	chr codepoint concat length lower upper trim ltrim rtrim lpad rpad replace reverse split split_part strpos substr position levenshtein_distance
	regexp_extract regexp_extract_all regexp_like regexp_replace regexp_split
	cast try_cast coalesce if nullif try greatest least
	abs cbrt ceil ceiling exp floor ln log log2 log10 mod pow power round sign sqrt truncate rand random pi
	date_trunc date_add date_diff date_format date_parse from_unixtime to_unixtime now extract
	array_distinct array_join array_max array_min array_sort array_union array_intersect arrays_overlap cardinality contains element_at filter flatten slice transform sequence
	json_extract json_extract_scalar json_format json_parse json_array_length
	url_decode url_encode url_extract_host url_extract_path url_extract_query url_extract_protocol url_extract_port url_extract_fragment url_extract_parameter
	md5 sha1 sha256 to_hex from_hex to_utf8 from_utf8 to_base64 from_base64
	ip_to_domain ip_to_country ip_to_country_code`)
