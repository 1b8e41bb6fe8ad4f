package webattack

import (
	"bytes"
	"regexp"
)

// stacked are the beginnings of statements behind the end of another.
func stacked(words ...string) []string {
	var all []string
	for _, w := range words {
		all = append(all, ";"+w, "; "+w)
	}
	return all
}

// sqlPatterns are what libinjection's grammar lets pass: it wants a whole injection,
// while the words of one are often spread over parameters or path elements, and it
// knows little of PostgreSQL's JSON and of MongoDB.
func sqlPatterns() []pattern {
	return []pattern{
		{name: "union select", phrases: []string{"union"}, re: `union[\s(+]*(?:all|distinct)?[\s(+]*select(?:[\s(+]+(?:all|distinct)[\s+])?[\s(+]*(?:[\d'"(@*+-]|null\b|[a-z_.]+\s*[,(]|[a-z_.]*\s*from\b)|union[\s+]+all[\s+]+select\b`},
		{name: "select from", phrases: []string{"select"}, re: word + `select\s+(?:(?:distinct|top\s+\d+)\s+)?(?:\*|[\w.` + "`" + `]+\s*(?:,\s*[\w.'` + "`" + `]+\s*)+|count\s*\(\s*[*\w]+\s*\)|(?:min|max|concat|group_concat|ascii|substr|substring|hex|cast|char)\s*\([^)]*\)|@@\w+|null)\s*from\s+[\w.` + "`(" + `]`, quoted: true},
		{name: "subselect", phrases: []string{"select"}, re: `\(\s*select\s+[^)]*(?:\sfrom\s|sleep\s*\(|@@)|\bin\s*\(\s*select\s|select\s*(?:\(\s*)?(?:sleep|pg_sleep|benchmark|if)\s*\(|select\s+pg_sleep|except\s+select[\s.]|select\s*\(.*sleep\s*\(`},
		{name: "select with condition", phrases: []string{"having ", "having`"}, re: `(?:` + start + `\s*|\s)having\s+(?:count|sum|min|max|avg)\s*\(|group\s+by\s+\S+\s+having\s|having\s+\d+\s*=\s*\d|having\s+` + "`", quoted: true},
		{name: "time delay", phrases: []string{"sleep", "benchmark", "waitfor", "dbms_pipe", "dbms_lock"}, re: word + `(?:pg_)?sleep\s*\(\s*[-+'"(\d]|benchmark\s*\(\s*\d+\s*,|waitfor\s+(?:delay|time)\s|dbms_(?:pipe|lock)\s*\.|sleep\s*\(\s*\d+\s*\)|` + word + `sleep\s*\(\s*(?:mod|if|select)\b`},
		{name: "stacked statement", phrases: stacked("insert", "drop", "delete", "update", "truncate", "replace", "create", "alter", "shutdown", "declare", "exec", "call"), re: `;\s*(?:insert\s+into\s+\w|drop\s+(?:table|database|view|user|procedure)\s|delete\s+from\s+\w|update\s+\w+\s+set\s|truncate(?:\s+table\s|\s*\[)|replace\s+\w+\s*\(|create\s+(?:table|user|function|or)\s|alter\s+(?:table|user)\s|shutdown\s*(?:;|--|[\x01])|declare\s+@|exec(?:ute)?\s*\(|call\s+\w+\s*\()`},
		{name: "statement and comment", phrases: []string{"-- ", "--\x01", "--+", ";#", "#\x01"}, re: word + `(?:delete\s+from|drop(?:\s+table)?|insert\s+into|update)\s+\w+[^\x01]*;?\s*(?:--|#)`},
		{name: "routine", phrases: []string{"execute immediate", "xp_cmdshell", "sp_executesql", "xp_dirtree", "xp_regread", "sp_oacreate", "openrowset", "msdasql", "utl_http", "utl_inaddr", "dbms_java", "dbms_ldap"}},
		{name: "routine definition", phrases: []string{"create function", "create procedure", "create or replace"}, re: `create\s+(?:or\s+replace\s+)?(?:function|procedure)\s+\w+\s*\(`},
		{name: "system table", phrases: []string{"information_schema", "pg_catalog", "sysobjects", "syscolumns", "sysdatabases", "sqlite_master", "mysql.user", "msysaces", "all_tables", "user_tables", "pg_shadow", "pg_user", "sys.user_"}, quoted: true},
		{name: "server file", phrases: []string{"load_file", "outfile", "dumpfile", "lo_import", "lo_get", "lo_export", "pg_read_file", "load data"}, re: `load_file\s*\(|into\s+(?:outfile|dumpfile)\b|lo_(?:import|get|export)\s*\(|pg_read_file\s*\(|load\s+data\s+(?:local\s+)?infile`},
		{name: "error channel", phrases: []string{"extractvalue(", "updatexml(", "concat(", "char(", "chr(", "exp(~", "geometrycollection", "json_search", "json_extract", "json_keys", "json_build", "jsonb_", "make_set", "row_count", "starts_with", "unistr", "placing ", "floor(rand"}, re: `(?:extractvalue|updatexml|json_search|json_extract|json_keys|make_set)\s*\(\s*[\d'"({\w]|(?:group_)?concat\s*\(\s*(?:0x|char|select|\(|version|user|database|@@)|(?:\bcha?r\s*\(\s*\d+\s*\)[\s|+,]*){2}|char\s*\(\s*\d+\s*,\s*\d+|exp\(~|geometrycollection\s*\(|row_count\s*\(|(?:json_build_\w+|jsonb_\w+|starts_with|unistr)\s*\(.*::\w|` + word + `(?:starts_with|unistr)\s*\(\s*\w+\s*[,)]|overlay\s*\(\s*\w+\s+placing\b|floor\(rand`},
		{name: "cast", phrases: []string{"::"}, re: `(?:[)'"\w]\s*)::\s*(?:int(?:eger|\d)?|bigint|smallint|text|varchar|bool(?:ean)?|jsonb?|numeric|double\s+precision|float\d?|bytea|regclass|name)\b`},
		{name: "json operator", phrases: []string{"@>", "<@", "->", "#>", "#-", "?|", "?&", "? '", "@?", "@@", "> '", "< '", "@ '"}, re: `['"\]}]\s*(?:@>|<@|->>?|#>>?|#-|\?[|&]?|@[?@]|[<>@])\s*['"$\d]\S{0,3}|['"\]}]\s*(?:@>|<@|->>?|#>>?|#-|\?[|&]?|@[?@]|[<>])\s*(?:'|array\s*\[)`, check: jsonOperator},
		{name: "tautology", phrases: []string{" or ", " and ", " or(", " and(", " or'", " and'", " or\"", " and\"", "'or", "'and", "\"or", "\"and", ")or", ")and", "||", "&&", " xor ", "\x02or ", "\x02and ", "/or ", " having ", " where ", "0or", "1or", "1and", " or/", " and/"}, re: `(?:['")\d\s]|` + start + `)(?:x?or|and|\|\||&&|having|where)[\s(+]*(?:['"(]*[\w.]*['")]*\s*(?:=|<=>|<>|!=|<|>|\slike\s|\srlike\s|\sglob\s)\s*['"(]*[\w.]+|(?:not\s+)?(?:true|false|null)\b)`, check: tautology},
		{name: "comparison of numbers", phrases: []string{"0=", "1=", "2=", "3=", "4=", "5=", "6=", "7=", "8=", "9=", "!=", "<>", "<=>", " is not "}, re: `[\x02,]\s*\d+\s*(?:=|!=|<>|<=>|\sis\s+not\s)\s*\d+\s*[\x01]`, check: comparison},
		{name: "quote and operator", phrases: []string{"'or", "' or", "\"or", "\" or", "'and", "' and", "\"and", "\" and", "'||", "' ||", "' like", "'glob", "' glob", "'='", "\"=\"", "' in (", "' and ", "') or", "')or", "') and", "')waitfor", "'xor", "' sleep", "\" sleep", "'+sleep", "' '", "';"}, re: `['"]\)*\s*(?:x?or|and)[\s(]*(?:not\s+)?(?:exists|[\w'"]+\s*(?:=|<|>|like\b|in\s*\(|is\s|between\s|glob\s|regexp\s)|\(|true\b|1\b)|'\s*\|\|\s*(?:\(|'|\w+\s*[('])|['"]\s*=\s*['"]\s*[\x01]|'\s*(?:glob|like)\s+['\w]|['"][\s+]*sleep\s*\(|'\)\s*waitfor\s|` + start + `\d*'\s*'\s*\d+[\x01]|` + start + `'(?:or)?;(?:\s*(?:--|#|print\b)[^\x01]*)?['#\s]*[\x01]|` + start + `'or\s*\(`},
		{name: "comment ends statement", phrases: []string{"'--", "' --", "\"--", "\" --", "')--", "') --", "'#", "'/*", ";--", ";#"}, re: `(?:['"]\)*\s*(?:--|#)\s*(?:-|\+)?\s*` + end + `|'/\*[^*]*` + end + `|['\w\d)]\s*;\s*--\s*-?\s*` + end + `)`},
		{name: "comment for the server", phrases: []string{"/*!", "/*+", "/* +", "/* !"}, re: `/\*\s*!\s*\d{0,6}\s*(?:select|union|and|or|where|from|order|concat|group|sleep|if)\b|\bor\s*/\*\s*\+|/\*!\d{5}`},
		{name: "order by", phrases: []string{"order by", "order  by", "group by"}, re: `(?:['")\d]\s*|` + start + `\s*)(?:order|group)\s+by\s+(?:\d+\s*(?:--|#|[\x01])|if\s*\(|\(\s*select|case\s+when|sleep\s*\()`, quoted: true},
		{name: "condition", phrases: []string{"case when", "if(", "if (", "ifnull("}, re: `case\s+when\s+\S+.*\sthen\s|` + word + `i?if\s*\(\s*(?:\d+\s*=|now\s*\(|\(?\s*select\s|length\s*\(|ascii\s*\(|substr)|ifnull\s*\(\s*(?:cast|\()`, quoted: true},
		{name: "like", phrases: []string{")like", ") like", "\x02like ", "like '", "like \""}, re: `\)\s*like\s*\(|` + start + `\s*like\s+(?:null\b|'|"|binary\b)|\slike\s+['"]%|\slike\s+'\s*` + end, quoted: true},
		{name: "except", phrases: []string{"except values", "intersect select", "except select"}, re: `(?:except|intersect)\s+(?:values\s*\(|select[\s.(]+[\d*'])`},
		{name: "arithmetic function", phrases: []string{"div(", "div (", "mod(", "+current_user", "(current_user", "|current_user", "@@version", "@@datadir", "@@hostname", "@@global"}, re: `(?:` + start + `|[\s(,])(?:div|mod)\s*\(\s*-?[\d.]+\s*,\s*-?[\d.]+\s*\)|@@(?:version|datadir|hostname|global)\b|[+\s(|]current_user(?:\(\)|::)`},
		{name: "mongodb operator", phrases: []string{"[$", "{\"$", "{'$", "\"$", "$where", "|this.", "| this.", "'||this", "return this."}, re: `[\["'{]\s*\$(?:ne|eq|gte?|lte?|n?in|regex|where|exists|nor|or|and|not|type|mod|all|size|elemmatch|expr|jsonschema)\b|\$where\s*[=:]|\|\|\s*this\.\w+|'\s*\|\|\s*this\b|;\s*return\s+this\.`, check: mongo},
		{name: "backquoted statement", phrases: []string{"from `", "where `", "table_name", "table_schema"}, re: `(?:from|where)\s+` + "`" + `\w+` + "`" + `\s|table_(?:name|schema)\s*(?:=|like|from|\))`, quoted: true},
		{name: "hexadecimal string", phrases: []string{"=0x", "(0x", ",0x", " 0x"}, re: `(?:select|concat|values|unhex|and|or|where)\b[^\x01]*[=(,\s]0x[0-9a-f]{6,}`},
	}
}

var (
	sides     = regexp.MustCompile(`(?:['"(]*)([\w.]*)['")]*\s*(=|<=>|<>|!=|<|>|\slike\s|\srlike\s|\sglob\s)\s*['"(]*([\w.]+)$`)
	operands  = regexp.MustCompile(`(\d+)\s*(=|!=|<>|<=>|is\s+not)\s*(\d+)`)
	numeric   = regexp.MustCompile(`^\d+(?:\.\d+)?$`)
	hasJSON   = regexp.MustCompile(`^['"\]}]\s*(?:[<>@]|->>?|\?)\s*['"$\d]`)
	mongoJSON = regexp.MustCompile(`^["'{]\s*\$`)
)

// tautology tells whether "or" and what follows is a comparison that asks about
// nothing: two literals, or the same word twice. "and price < 20" asks something.
func tautology(match []byte) bool {
	m := sides.FindSubmatch(match)
	if m == nil {
		return bytes.ContainsAny(match, "'\"|(") // or true
	}
	left, right := m[1], m[3]
	switch {
	case len(left) == 0:
		return false
	case bytes.Equal(left, right):
		return true
	}
	if bytes.ContainsAny(match, "'\"") {
		return numeric.Match(left)
	}
	return m[2][0] != '<' && m[2][0] != '>' && numeric.Match(left) && numeric.Match(right)
}

// comparison tells whether two numbers are compared in a way that always comes out
// true: 1=1 and 11!=1, while 11=1 is a formula of somebody.
func comparison(match []byte) bool {
	m := operands.FindSubmatch(match)
	if m == nil {
		return false
	}
	same := bytes.Equal(m[1], m[3])
	if op := m[2][0]; op == '=' || bytes.Equal(m[2], []byte("<=>")) {
		return same
	}
	return !same
}

// jsonOperator leaves out what an arrow or a question mark behind a quote also is in
// prose and in JSON.
func jsonOperator(match []byte) bool {
	return bytes.HasPrefix(match, []byte("'")) || !hasJSON.Match(match)
}

// mongo leaves out JSON schemas and locale files, whose keys begin with $ too, unless
// the operator stands in brackets or is one that no schema has.
func mongo(match []byte) bool {
	return !mongoJSON.Match(match) || !bytes.HasSuffix(match, []byte("type")) && !bytes.HasSuffix(match, []byte("size"))
}
