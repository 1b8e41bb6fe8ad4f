//go:build cgo

package slstest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newDialectStore has one logstore with one of everything that the tables below ask for.
func newDialectStore(t testing.TB) *Server {
	s := newServer(t)
	if err := s.CreateLogstore("web", map[string]FieldType{
		"msg": Text, "ip": Text, "status": Long, "cost": Double, "user": Text, "url": Text, "body": Text, "empty": Text,
	}); err != nil {
		t.Fatal(err)
	}
	load(t, s, "web", []string{"msg", "ip", "status", "cost", "user", "url", "body", "note"},
		[]string{`GET /index "uid":abc== done`, "1.2.4.8", "200", "0.25", "ann", "https://h.example:8443/p/a?x=1&name=a%20b#top", `{"a":{"b":"c"},"n":[1,2]}`, "unindexed"},
		[]string{`POST /login "uid":"" 50%_off`, "8.8.8.8", "403", "1e7", "bob", "/plain", `not json`, "unindexed"},
		[]string{`GET /index`, "10.0.0.1", "abc", "x", "ann", "", `{"a":1}`, "unindexed"},
	)
	return s
}

func TestTranslations(t *testing.T) {
	s := newDialectStore(t)
	for _, tt := range []struct{ name, query, want string }{
		{"has is a substring", `* | select count(1) as x from log where msg has '"uid":abc'`, "1"},
		{"has takes % and _ as they are", `* | select count(1) as x from log where msg has '50%_off'`, "1"},
		{"has takes % as no wildcard", `* | select count(1) as x from log where msg has 'G%T'`, "0"},
		{"not has", `* | select count(1) as x from log where not msg has 'GET'`, "1"},
		{"not has, infix", `* | select count(1) as x from log where ip like '1%' and not msg has 'nope'`, "2"},
		{"date_trunc of seconds is a timestamp", `* | select date_trunc('minute', min(__time__)) as x`, "2025-05-10 13:54:00.000"},
		{"date_trunc of a timestamp", `* | select date_trunc('hour', from_unixtime(min(__time__))) as x`, "2025-05-10 13:00:00.000"},
		{"date_trunc of a day is the zone's", `* | select date_trunc('day', min(__time__)) as x`, "2025-05-10 00:00:00.000"},
		{"regexp_extract without a match is NULL", `* | select regexp_extract('abc', 'x(\d+)', 1) as x limit 1`, "null"},
		{"regexp_extract that matches the empty text is ''", `* | select regexp_extract('"uid":""', '"uid":"([^"]*)"', 1) as x limit 1`, ""},
		{"regexp_extract that could match the empty text and does not match is NULL", `* | select regexp_extract('abc', '"uid":"([^"]*)"', 1) as x limit 1`, "null"},
		{"regexp_extract without a group is the match", `* | select regexp_extract('a42b', '\d+') as x limit 1`, "42"},
		{"regexp_extract of NULL is NULL", `* | select regexp_extract(empty, '(\d*)', 1) as x limit 1`, "null"},
		{"regexp_like", `* | select count(1) as x where regexp_like(msg, '^GET\s')`, "2"},
		{"regexp_replace replaces all, with $1", `* | select regexp_replace('a1b2', '(\d)', '<$1>') as x limit 1`, "a<1>b<2>"},
		{"regexp_extract_all", `* | select regexp_extract_all('a1b22', '\d+') as x limit 1`, `["1","22"]`},
		{"approx_distinct", `* | select approx_distinct(user) as x`, "2"},
		{"approx_percentile", `* | select approx_percentile(status, 0.5) as x`, "301.5"},
		{"from_unixtime is in the service's zone", `* | select from_unixtime(0) as x limit 1`, "1970-01-01 08:00:00.000"},
		{"from_unixtime with a zone", `* | select from_unixtime(0, 'America/New_York') as x limit 1`, "1969-12-31 19:00:00.000"},
		{"to_unixtime undoes from_unixtime", `* | select to_unixtime(from_unixtime(1592374067)) as x limit 1`, "1.592374067E9"},
		{"date_format", `* | select date_format(1592374067, '%Y-%m-%d %H:%i:%s') as x limit 1`, "2020-06-17 14:07:47"},
		{"date_parse", `* | select date_parse('2020-06-17 14:07', '%Y-%m-%d %H:%i') as x limit 1`, "2020-06-17 14:07:00.000"},
		{"date_diff counts whole units", `* | select date_diff('hour', from_unixtime(3599), from_unixtime(7198)) as x limit 1`, "0"},
		{"date_add", `* | select date_add('minute', 2, from_unixtime(0)) as x limit 1`, "1970-01-01 08:02:00.000"},
		{"hour of seconds", `* | select hour(0) as x limit 1`, "8"},
		{"extract", `* | select extract(minute from from_unixtime(60)) as x limit 1`, "1"},
		{"interval", `* | select from_unixtime(0) + interval '1' day as x limit 1`, "1970-01-02 08:00:00.000"},
		{"json_extract_scalar", `* | select json_extract_scalar(body, '$.a.b') as x limit 1`, "c"},
		{"json_extract_scalar of an object is NULL", `* | select json_extract_scalar('{"a":{}}', '$.a') as x limit 1`, "null"},
		{"json functions of no JSON are NULL", `* | select json_extract_scalar('not json', '$.a') as x limit 1`, "null"},
		{"json_extract", `* | select json_extract(body, '$.n') as x limit 1`, "[1,2]"},
		{"json_array_length", `* | select json_array_length('[1,2,3]') as x limit 1`, "3"},
		{"url_extract_host", `* | select url_extract_host(url) as x limit 1`, "h.example"},
		{"url_extract_port", `* | select url_extract_port(url) as x limit 1`, "8443"},
		{"url_extract_path", `* | select url_extract_path(url) as x limit 1`, "/p/a"},
		{"url_extract_query", `* | select url_extract_query(url) as x limit 1`, "x=1&name=a%20b"},
		{"url_extract_protocol", `* | select url_extract_protocol(url) as x limit 1`, "https"},
		{"url_extract_fragment", `* | select url_extract_fragment(url) as x limit 1`, "top"},
		{"url_extract_parameter", `* | select url_extract_parameter(url, 'name') as x limit 1`, "a b"},
		{"url_extract_parameter that is absent is NULL", `* | select url_extract_parameter(url, 'nope') as x limit 1`, "null"},
		{"map_agg", `* | select map_agg(user, ip) as x from (select user, min(ip) as ip from log group by user order by user) t`, `{"ann":"1.2.4.8","bob":"8.8.8.8"}`},
		{"map_agg keeps one value of a key", `* | select cardinality(map_keys(map_agg(user, ip))) as x`, "2"},
		{"map element", `* | select map_agg(user, status)['bob'] as x where user = 'bob'`, "403"},
		{"histogram", `* | select histogram(user) as x where user = 'ann'`, `{"ann":2}`},
		{"cardinality of an array", `* | select cardinality(array_agg(distinct user)) as x`, "2"},
		{"element_at", `* | select element_at(array['a','b'], 2) as x limit 1`, "b"},
		{"array subscript", `* | select split('a,b', ',')[2] as x limit 1`, "b"},
		{"array_join", `* | select array_join(array['a','b'], '-') as x limit 1`, "a-b"},
		{"transform with a lambda", `* | select transform(array[1,2], n -> n + 1) as x limit 1`, "[2,3]"},
		{"sequence", `* | select sequence(1, 3) as x limit 1`, "[1,2,3]"},
		{"strpos", `* | select strpos('abc', 'c') as x limit 1`, "3"},
		{"position", `* | select position('c' in 'abc') as x limit 1`, "3"},
		{"split_part", `* | select split_part('a.b', '.', 2) as x limit 1`, "b"},
		{"concat with NULL is NULL", `* | select concat('a', empty) as x limit 1`, "null"},
		{"md5 is bytes", `* | select to_hex(md5(to_utf8('a'))) as x limit 1`, "0CC175B9C0F1B6A831C399E269772661"},
		{"if without else", `* | select if(1 = 2, 'a') as x limit 1`, "null"},
		{"try", `* | select try(cast('x' as bigint)) as x limit 1`, "null"},
		{"try_cast", `* | select try_cast('x' as bigint) as x limit 1`, "null"},
		{"case", `* | select case when status = 403 then 'no' else 'yes' end as x where user = 'bob'`, "no"},
		{"count_if", `* | select count_if(status >= 400) as x`, "1"},
		{"max_by", `* | select max_by(user, status) as x`, "bob"},
		{"arbitrary", `* | select arbitrary(user) as x where user = 'bob'`, "bob"},
		{"a window function", `* | select row_number() over (partition by user order by __time__ desc) as x where user = 'bob'`, "1"},
		{"a running sum", `* | select sum(1) over (order by __time__ rows between unbounded preceding and current row) as x limit 1`, "1"},
		{"filter", `* | select count(*) filter (where user = 'ann') as x`, "2"},
		{"exists", `* | select count(1) as x from log where exists (select 1 from log where user = 'bob')`, "3"},
		{"in a subquery", `* | select count(1) as x from log where user in (select user from log where status = 403)`, "1"},
		{"with", `* | with a as (select user from log), b(u) as (select distinct user from a) select count(*) as x from b`, "2"},
		{"unnest", `* | select count(*) as x from (select array['p','q'] as l from log) t cross join unnest(l) as u(e)`, "6"},
		{"values", `* | select sum(n) as x from (values (1), (2)) as v(n)`, "3"},
		{"union", `* | select sum(n) as x from (select 1 as n from log union all select 2 as n from log) t`, "9"},
		{"set session is taken off", `* | set session parallel_sql=true; select count(1) as x`, "3"},
		{"double-quoted names", `* | select count("user") as "x" from "log"`, "3"},
		{"a column named as a keyword of DuckDB", `* | select max(user) as x from log`, "bob"},
		{"search('…')", `* | select count(1) as x from log where search('msg: get and not status: 200') and user = 'ann'`, "1"},
		{"comments", "* | select /* a */ count(1) as x -- b\n from log", "3"},
		{"ip_to_country is Chinese", `* | select ip_to_country('8.8.8.8') as x limit 1`, "美国"},
		{"ip_to_country in English is a code", `* | select ip_to_country('8.8.8.8', 'en') as x limit 1`, "US"},
		{"ip_to_country_code", `* | select ip_to_country_code('8.8.8.8') as x limit 1`, "US"},
		{"ip functions of no address are empty", `* | select ip_to_country('999.1.1.1') as x limit 1`, ""},
		{"ip functions of NULL are NULL", `* | select ip_to_country(empty) as x limit 1`, "null"},
		{"ip_to_domain", `* | select array_agg(ip_to_domain(ip)) as x from (select ip from log order by __time__) t`, `["internet","internet","intranet"]`},
		{"security_check_ip", `* | select security_check_ip('8.8.8.8') as x limit 1`, "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustAsk(t, s, "web", tt.query)
			if len(r.Rows) != 1 || r.Rows[0]["x"] != tt.want {
				t.Errorf("%s\n = %v, want one row with x = %q", tt.query, r.Rows, tt.want)
			}
		})
	}
}

// TestDialectTraps has what a rule's author may get wrong without the service saying so, or be told.
func TestDialectTraps(t *testing.T) {
	s := newDialectStore(t)
	for _, tt := range []struct {
		name, query string
		want        string // of the only row's x
		fails       string // part of the error
	}{
		{name: "integers divide to integers", query: `* | select 7 / 2 as x limit 1`, want: "3"},
		{name: "also sums and counts", query: `* | select sum(status) / count(1) as x where status is not null and user <> 'x'`, want: "301"},
		{name: "a decimal point makes a double", query: `* | select 7 / 2.0 as x limit 1`, want: "3.5"},
		{name: "doubles print as Java's", query: `* | select sum(cost) as x where user = 'bob'`, want: "1.0E7"},
		{name: "whole doubles keep a point", query: `* | select avg(status) as x where user = 'bob'`, want: "403.0"},
		{name: "booleans are words", query: `* | select status > 400 as x where user = 'bob'`, want: "true"},
		{name: "NULL is a word", query: `* | select status as x where ip = '10.0.0.1'`, want: "null"},
		{name: "arrays are JSON", query: `* | select array_agg(distinct ip_to_domain(ip)) as x where user = 'bob'`, want: `["internet"]`},
		{name: "an array of NULL is [null]", query: `* | select array_agg(distinct regexp_extract(msg, 'nope(.)', 1)) as x`, want: `[null]`},
		{name: "FROM may be left out", query: `* | select count(1) as x`, want: "3"},
		{name: "also before WHERE and GROUP BY", query: `* | select user as x where status = 403 group by user`, want: "bob"},
		{name: "GROUP BY and HAVING know an alias", query: `* | select user as x, count(1) as n group by x having n > 1`, want: "ann"},
		{name: "the search part comes first", query: `user: bob | select count(1) as x`, want: "1"},
		{name: "LIMIT ALL is taken as the story writes it", query: `* | select count(1) as x limit all`, want: "3"},
		{name: "an unknown column is named", query: `* | select nope from log`, fails: "Column 'nope' cannot be resolved"},
		{name: "a key without an index is no column", query: `* | select note from log`, fails: "Column 'note' cannot be resolved"},
		{name: "but is one in scan mode", query: `* | set session mode = scan; select max(note) as x`, want: "unindexed"},
		{name: "an unknown column of an alias is named", query: `* | select t1.nope from (select ip from log) t1`, fails: "Column 't1.nope' cannot be resolved"},
		{name: "an unknown function is named", query: `* | select list_aggregate(ip, 'sum')`, fails: "Function 'list_aggregate' not registered"},
		{name: "what is not available says so", query: `* | select ip_to_city(ip)`, fails: "not available in the local Log Service"},
		{name: "a semicolon is refused", query: `* | select 1;`, fails: "semicolon"},
		{name: "OFFSET is refused", query: `* | select 1 limit 1 offset 1`, fails: "offset"},
		{name: "more than a million rows are refused", query: `* | select 1 limit 1000001`, fails: "exceeds the maximum"},
		{name: "pages end at a million", query: `* | select 1 limit 999999,2`, fails: "exceeds the maximum"},
		{name: "pages have 10,000 rows at most", query: `* | select 1 limit 0,10001`, fails: "at most 10000"},
		{name: "pages are for the outermost query", query: `* | select * from (select ip from log limit 1,1) t`, fails: "not supported in a subquery"},
		{name: "an exact phrase does not go with SQL", query: `#"GET /index" | select 1`, fails: "phrase search"},
		{name: "an exact phrase does not go with not", query: `not #"GET /index"`, fails: "phrase search"},
		{name: "a key in the search must have an index", query: `note: unindexed`, fails: "is not config as key value config"},
		{name: "a range wants a number field", query: `user > 3`, fails: "is of type text"},
		{name: "31 conditions are too many", query: strings.Repeat("a ", 31), fails: "at most 30"},
		{name: "a bad pattern is an error", query: `* | select regexp_extract(msg, '(', 1)`, fails: "regular expression"},
		{name: "a group that is not there is an error", query: `* | select regexp_extract(msg, 'a', 1)`, fails: "Cannot access group 1"},
		{name: "other tables are not there", query: `* | select * from other`, fails: "Table 'other' does not exist"},
		{name: "one colon more is an error", query: `msg: a: b`, fails: "unexpected :"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ask(s, "web", tt.query)
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), "ParameterInvalid") || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("%s\n error = %v, want ParameterInvalid with %q", tt.query, err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Rows) != 1 || r.Rows[0]["x"] != tt.want {
				t.Errorf("%s\n = %v, want one row with x = %q", tt.query, r.Rows, tt.want)
			}
		})
	}
}

func TestResultNamesAndTypes(t *testing.T) {
	s := newDialectStore(t)
	r := mustAsk(t, s, "web", `* | select user, count(1), avg(cost) as c, array_agg(ip), min(status) from log group by user`)
	if d := cmp.Diff([]string{"user", "_col1", "c", "_col3", "_col4"}, r.Keys); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"varchar", "bigint", "double", "array(varchar)", "bigint"}, r.Types); d != "" {
		t.Error(d)
	}
	r = mustAsk(t, s, "web", `* | select 1 + 1, * from log limit 1`)
	if r.Keys[0] != "_col0" || len(r.Keys) != 12 {
		t.Errorf("keys = %q", r.Keys)
	}
}
