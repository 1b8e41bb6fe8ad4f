//go:build cgo

package clstest

import (
	"errors"
	"strings"
	"testing"
)

func TestStatementsAreWrittenForTheLogService(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"select count(1) as n limit 10", "select count(1) as n from log  limit 10"},
		{"select ip where ip <> '' group by ip order by ip limit 10000", "select ip  from log where ip <> '' group by ip order by ip  limit 10000"},
		{"select ip order by ip offset 9999 limit 10000", "select ip  from log order by ip  limit 9999, 10000"},
		{"select n from (select count(*) as n) limit 1", "select n from (select count(*) as n from log )  limit 1"},
		{"select a.x from (select x) a join (select x where y > 1) b on a.x = b.x limit 5", "select a.x from (select x from log ) a join (select x  from log where y > 1) b on a.x = b.x  limit 5"},
		{"select ip where ip in (select ip where code is distinct from 4) limit 5", "select ip  from log where ip in (select ip  from log where code is distinct from 4)  limit 5"},
		{"select extract(hour from from_unixtime(1)) as h limit 1", "select extract(hour from from_unixtime(1)) as h from log  limit 1"},
		{`select "from" as "a (b", 'x from log where (' as y limit 1`, `select "from" as "a (b", 'x from log where (' as y from log  limit 1`},
		{"select x union select y limit 1", "select x  from log union select y from log  limit 1"},
		{"select x", "select x from log "},
	} {
		got, err := translateSQL(c.in)
		one := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		if err != nil || one(got.sls()) != one(c.want) {
			t.Errorf("%s\n got %q, %v\nwant %q", c.in, got.sls(), err, c.want)
		}
	}
}

func TestWhatCLSDoesNotDocumentIsRefused(t *testing.T) {
	for sql, want := range map[string]string{
		"select x from log limit 1":                     "leave FROM out",
		"select x from (select y from log) limit 1":     "leave FROM out",
		"select x from (select x) a join log on 1 = 1":  "leave FROM out",
		"with a as (select x) select x from a limit 1":  "want SELECT",
		"select x from (with a as (select x) select x)": "'with'",
		"delete limit 1":                                     "want SELECT",
		"set session mode = scan":                            "want SELECT",
		"select x limit 10001":                               "want 1 to 10000",
		"select x limit 0":                                   "want 1 to 10000",
		"select x limit 5 offset 5":                          "offset",
		"select x; select y":                                 "mismatched input",
		"select x -- y\n limit 1":                            "comment",
		"select x /* y */ limit 1":                           "comment",
		"select __time__ as t limit 1":                       "Column '__time__'",
		`select "__time__" as t limit 1`:                     "Column '__time__'",
		"select x where msg has 'y' limit 1":                 "'has'",
		"select security_check_ip(ip) as x limit 1":          "'security_check_ip' not registered",
		"select histogram(__TIMESTAMP__, interval 5 minute)": "'histogram' not registered",
		"select read_csv('/etc/passwd') as x limit 1":        "'read_csv' not registered",
		"select cast(__TIMESTAMP__ as timestamp) as t":       "casts nothing to timestamp",
		"select (x limit 1":                                  "<EOF>",
		"select x) limit 1":                                  "')'",
		"select `x` limit 1":                                 "mismatched input",
	} {
		_, err := translateSQL(sql)
		var bad *apiError
		if !errors.As(err, &bad) || !strings.Contains(bad.Message, want) {
			t.Errorf("%s: err = %v, want %q", sql, err, want)
		}
	}
}

func TestSearchesAreWrittenForTheLogService(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "*",
		" * ":                    " * ",
		`"rate limit" OR 'a "b'`: `#"rate limit" OR #"a \"b"`,
		`level:"ERROR"`:          `level:#"ERROR"`,
		`status:>=400 AND a:b`:   `status>=400 AND a:b`,
	} {
		if got, err := translateSearch(in); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`#"x"`, `"x`, `a:[1, 2]`, `a\:b`, `"x*"`} {
		if got, err := translateSearch(in); err == nil {
			t.Errorf("%s: %q, want an error", in, got)
		}
	}
}

func TestAQueryIsCutAtTheFirstBarOutsideQuotes(t *testing.T) {
	for in, want := range map[string][2]string{
		`"a|b" and 'c|d' | select '|'`: {`"a|b" and 'c|d' `, ` select '|'`},
		`a\|b | x`:                     {`a\|b `, ` x`},
	} {
		search, sql, ok := splitQuery(in)
		if !ok || search != want[0] || sql != want[1] {
			t.Errorf("%s: %q, %q", in, search, sql)
		}
	}
	if _, _, ok := splitQuery(`"a | b"`); ok {
		t.Error("a bar inside quotes began SQL")
	}
}
