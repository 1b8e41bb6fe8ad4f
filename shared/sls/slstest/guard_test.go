//go:build cgo

package slstest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHostileSQL has what somebody who can reach the port may try. All of it
// must end as an error of the query, whichever layer refuses it.
func TestHostileSQL(t *testing.T) {
	s := newDialectStore(t)
	if err := s.CreateLogstore("secret", nil); err != nil {
		t.Fatal(err)
	}
	load(t, s, "secret", []string{"msg"}, []string{"hidden"})
	target := filepath.Join(t.TempDir(), "out.csv")
	for _, sql := range []string{
		`copy (select 1) to '` + target + `'`,
		`select 1; copy (select 1) to '` + target + `'`,
		`select * from read_csv('/etc/passwd')`,
		`select * from read_text('/etc/passwd')`,
		`select * from '/etc/passwd'`,
		`select * from "/etc/passwd"`,
		`select * from glob('/*')`,
		`select content from read_blob('/etc/passwd')`,
		`attach '/tmp/x.db'`,
		`pragma database_list`,
		`set enable_external_access = true`,
		`set session a=1; set threads = 1; select 1`,
		`install httpfs`, `load httpfs`, `call pragma_version()`, `export database '/tmp/x'`,
		`insert into log values (1)`, `delete from log`, `drop table log`, `create table x as select 1`,
		`explain select 1`, `explain analyze select 1`, `describe log`, `show tables`, `summarize log`,
		`from log`, `values (1)`, `table log`,
		`select * from ls2`, `select * from logs.ls2`, `select * from memory.logs.ls2`, `select * from "logs"."ls2"`,
		`select * from (with ls2 as (select 1) select * from ls2) a, ls2`,
		`with ls2 as (select * from ls2) select * from ls2`,
		`with log as (select 1) select * from log`,
		`with recursive a as (select 1 union all select 1 from a) select * from a`,
		`select * from duckdb_settings()`, `select * from duckdb_tables`, `select * from sqlite_master`,
		`select * from information_schema.tables`, `select * from pg_catalog.pg_class`, `select * from pg_class`,
		`select current_setting('threads')`, `select getenv('HOME')`, `select sls_match('q1.0', msg)`,
		`select query('select 1')`, `select * from query('select 1')`, `select * from query_table('logs.ls2')`,
		`select * from range(10)`, `select * from generate_series(1, 10)`, `select * from unnest(generate_series(1,2))`,
		`select nextval('x')`, `select columns('.*')`, `select * exclude (msg) from log`, `pivot log on ip`,
		`select $$a$$`, `select e'\x00'`, `select ?`, `select $1`, `select 'a'::varchar`, `select {'a': 1}`, `select #1`,
		`select msg from log qualify row_number() over () = 1`, `select 1 into x`, `select * from log tablesample 1`,
		`select * from log at (version => 1)`, `select 1 union select content from read_text('/etc/passwd')`,
		`select (select max(content) from read_text('/etc/passwd'))`, `select 'unclosed`, `select "unclosed`, "select '\x00'",
		`select * from json_execute_serialized_sql('x')`, `select write_log('x')`, `select log.*, ls2.* from log, ls2`,
		`select cast(1 as "evil"))`, `select cast('x' as unknown)`, `select ` + strings.Repeat("(", 5000) + `1` + strings.Repeat(")", 5000),
		`select ` + strings.Repeat("abs(", 5000) + `1` + strings.Repeat(")", 5000), `select ` + strings.Repeat("[", 5000),
		`select 1 ` + strings.Repeat("+ 1", 30_000), ``, ` `, `;`, `select`, `with`, `select (`, `select 1)`, `select \`,
	} {
		_, err := ask(s, "web", "* | "+sql)
		var api *apiError
		if !errors.As(err, &api) || api.status != 400 {
			t.Errorf("%.80s\n error = %v, want one that blames the query", sql, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "root:")) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := os.Stat(target); err == nil {
		t.Error("a file was written")
	}
	if r := mustAsk(t, s, "web", `* | select count(1) as n`); r.Rows[0]["n"] != "3" {
		t.Errorf("afterwards: %v", r.Rows)
	}
}

// TestGuard checks the layers below the translator, which would not write such SQL.
func TestGuard(t *testing.T) {
	s := newDialectStore(t)
	ctx := context.Background()
	for _, sql := range []string{
		`SELECT 1 FROM "log"`,
		`WITH "a" AS (SELECT 1 FROM "log") SELECT * FROM "a"`,
		`SELECT * FROM "log" CROSS JOIN unnest([1]) AS u(x)`,
	} {
		if _, err := s.engine.guard(ctx, sql); err != nil {
			t.Errorf("guard refused %s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		`SELECT 1; SELECT 2`,
		`COPY (SELECT 1) TO 'x'`,
		`DROP TABLE x`,
		`SELECT * FROM logs.ls1`,
		`SELECT * FROM ls1`,
		`SELECT * FROM read_csv('x')`,
		`SELECT (SELECT 1 FROM pg_class)`,
		`SELECT 1 FROM "log" WHERE 1 IN (SELECT 1 FROM pg_class)`,
		`SELECT * FROM (WITH ls1 AS (SELECT 1) SELECT * FROM ls1), ls1`,
		`WITH ls1 AS (SELECT * FROM ls1) SELECT * FROM ls1`,
		`SELECT * FROM (DESCRIBE SELECT 1)`,
		`FROM (PIVOT "log" ON ip)`,
	} {
		if _, err := s.engine.guard(ctx, sql); err == nil {
			t.Errorf("guard let %s through", sql)
		}
	}
	for _, sql := range []string{
		`COPY (SELECT 1) TO '/tmp/tracewall-guard'`, `SET threads = 1`, `ATTACH '/tmp/tracewall-guard.db'`, `SELECT * FROM read_text('/etc/passwd')`,
		`SELECT 1; SELECT 2`, `PRAGMA threads = 1`, `CREATE TABLE x(a INT)`, `SET GLOBAL enable_external_access = true`,
	} {
		none := func([]column) error { return nil }
		if err := s.engine.query(ctx, sql, none, func(chunk) error { return nil }); err == nil {
			t.Errorf("the engine ran %s", sql)
		}
	}
}

// TestQuerySize checks the bounds that keep a small query from costing much.
func TestQuerySize(t *testing.T) {
	s := newDialectStore(t)
	for query, want := range map[string]string{
		"* | select 1 " + strings.Repeat("+1", maxSQLTokens):                                                "too many tokens",
		"* | select " + strings.Repeat("(", 150) + "1" + strings.Repeat(")", 150):                           "nested too deeply",
		"* | select " + strings.Repeat("abs(", 150) + "1" + strings.Repeat(")", 150):                        "nested too deeply",
		"* | select " + strings.Repeat("array[", 150) + "1" + strings.Repeat("]", 150):                      "nested too deeply",
		"* | select cast(1 as " + strings.Repeat("array(", 150) + "bigint" + strings.Repeat(")", 150) + ")": "mismatched input",
		strings.Repeat("(", 150) + "a" + strings.Repeat(")", 150):                                           "nested too deeply",
		strings.Repeat("not ", 150) + "a":                                                                   "nested too deeply",
		strings.Repeat("x", maxQuery+1):                                                                     "longer than",
	} {
		if _, err := ask(s, "web", query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30s: %v, want %q", query, err, want)
		}
	}
}

func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		storyAddresses, storyAccounts, goodAccounts, `a and (b or not c:"d e") and x in [1 2) | select 1`, `#"x"`, `a | with b as (select 1) select * from b`,
		`* | select cast(x as map(varchar, array(bigint))), "q""q", 'it''s' from log limit 1,2`, `* | select /* x */ date '2020-01-01', interval '1' day -- y`,
		`k: * | select extract(day from x), position('a' in 'b'), regexp_replace(x, '(a)', '$1\$') has 'x'`, "a\"\\\"b|c\" | select 1",
	} {
		f.Add(q)
	}
	s := newDialectStore(f)
	f.Fuzz(func(t *testing.T, q string) {
		search, sql, hasSQL := splitQuery(q)
		node, err := parseSearch(search, hasSQL)
		if err == nil {
			compiler := &searchCompiler{store: s.stores[storeKey{"acme", "web"}].snapshot(), functions: s.functions, prefix: "f"}
			_, _ = compiler.condition(node)
			compiler.release()
		}
		out, err := translate(sql, s.config.Now(), false, nil)
		if !hasSQL || err != nil {
			return
		}
		text := out.sql
		if out.withs != "" {
			text = "WITH " + out.withs + " " + out.sql
		}
		if !strings.HasPrefix(text, "WITH ") && !strings.HasPrefix(text, " SELECT") {
			t.Errorf("%q became %q", q, text)
		}
		if _, err := ask(s, "web", q); err != nil {
			var api *apiError
			if !errors.As(err, &api) {
				t.Errorf("%q: %v, want an error of the service", q, err)
			}
			for _, marker := range []string{"logs.", "ls1", "Permission Error", "INTERNAL"} {
				if strings.Contains(err.Error(), marker) && !strings.Contains(q, marker) {
					t.Errorf("%q became %q: %v", q, text, err)
				}
			}
		}
	})
}
