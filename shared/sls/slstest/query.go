//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// Result is the answer to a query.
type Result struct {
	Keys  []string            // names of the columns, in order; of raw logs, the keys that occur
	Types []string            // Presto's type of each column; nil for raw logs
	Rows  []map[string]string // every value is text, NULL is "null"

	HasSQL     bool
	Where, Agg string // the query's two parts
	Processed  int64  // logs in the time range
	Elapsed    time.Duration
}

// Query runs a query ("search" or "search | SQL") over the logs of [from, to) in
// a logstore of the server's project, in process and without faults. The error
// of a bad query has the service's code and words. The times' fractions of a second count not.
func (s *Server) Query(ctx context.Context, logstore, query string, from, to time.Time) (Result, error) {
	r, err := s.run(ctx, queryRequest{
		store: storeKey{s.config.Project, logstore}, query: query, from: from.Unix(), to: to.Unix(), line: defaultRows, rows: defaultRows,
	})
	if err != nil {
		return r, fmt.Errorf("query %s: %w", logstore, err)
	}
	return r, nil
}

// queryRequest is one query with everything that its answer depends on.
type queryRequest struct {
	store    storeKey
	query    string
	from, to int64
	line     int // raw logs: how many, and from where
	offset   int
	reverse  bool
	rows     int // rows of a result without LIMIT
	cut      int // analysed bytes of a value instead of the index's; 0: the index's
}

// maxLines bounds a page of raw logs (SLS: line 0 to 100).
const maxLines = 100

func (s *Server) run(ctx context.Context, q queryRequest) (Result, error) {
	start := time.Now()
	ls, err := s.lookup(q.store, false)
	if err != nil {
		return Result{}, err
	}
	if len(q.query) > maxQuery {
		return Result{}, invalid("query is longer than %d bytes", maxQuery)
	}
	if q.from >= q.to {
		return Result{}, &apiError{400, "InvalidTimeRange", fmt.Sprintf("request time range is invalid: from %d must be before to %d", q.from, q.to)}
	}
	search, sql, hasSQL := splitQuery(q.query)
	node, err := parseSearch(search, hasSQL && !s.config.AnalysePhrases)
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.QueryTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	store := ls.snapshot()
	if store.index == nil {
		return Result{}, noIndex()
	}
	compiler := &searchCompiler{store: store, functions: s.functions, prefix: "q" + strconv.FormatUint(s.queries.Add(1), 36)}
	defer compiler.release()
	var r Result
	if !hasSQL && ls.stream != nil {
		return Result{}, invalid("a stream keeps no lines as they came: want a query with SQL")
	}
	if hasSQL {
		r, err = s.analyse(ctx, q, store, compiler, node, sql)
	} else {
		r, err = s.rawLogs(ctx, q, store, compiler, node)
	}
	if err != nil {
		return Result{}, s.queryError(err)
	}
	r.HasSQL, r.Where, r.Agg = hasSQL, strings.TrimSpace(search), strings.TrimSpace(sql)
	r.Elapsed = time.Since(start)
	return r, nil
}

// timeRange is the condition of [from, to).
func (q queryRequest) timeRange() string {
	return fmt.Sprintf("t >= %d AND t < %d", q.from, q.to)
}

// analyse runs the SQL part over a view of the logs that the search part finds.
func (s *Server) analyse(ctx context.Context, q queryRequest, store snapshot, compiler *searchCompiler, node searchNode, sql string) (Result, error) {
	t, err := translate(sql, s.config.Now().UTC().Add(*s.config.Zone), s.config.RefuseLimitAll, store.values())
	if err != nil {
		return Result{}, err
	}
	if t.timeout > 0 && t.timeout < s.config.QueryTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, t.timeout)
		defer cancel()
	}
	user := t.sql
	if t.withs != "" {
		user = "WITH " + t.withs + " " + t.sql
	}
	checked, err := s.engine.guard(ctx, user)
	if err != nil {
		return Result{}, err
	}
	var lines int64 = -1
	if store.stream != nil {
		var done func()
		if lines, done, err = s.streamQuery(ctx, q, &store, t); err != nil {
			return Result{}, err
		}
		defer done()
	}
	view, err := logView(q, store, compiler, node, t)
	if err != nil {
		return Result{}, err
	}
	if t.withs != "" {
		view += ", " + t.withs
	}
	limit := t.limit
	if !t.limited {
		limit = q.rows
	}
	full := fmt.Sprintf("WITH %s %s LIMIT %d", view, t.sql, limit)
	if t.offset > 0 {
		full += fmt.Sprintf(" OFFSET %d", t.offset)
	}
	r := Result{Rows: []map[string]string{}}
	hidden := map[int]bool{}
	err = s.engine.query(ctx, full, func(columns []column) error {
		checked.rename(columns)
		for i, c := range columns {
			if strings.HasPrefix(c.name, "__search_") || strings.HasPrefix(c.name, "__answer_") {
				hidden[i] = true
				continue
			}
			r.Keys = append(r.Keys, c.name)
			r.Types = append(r.Types, c.typ.name())
		}
		return nil
	}, func(c chunk) error {
		readers := make([]reader, len(c.columns))
		for i := range readers {
			readers[i] = c.reader(i)
		}
		for row := range c.rows() {
			m := make(map[string]string, len(r.Keys))
			for i := range readers {
				if !hidden[i] {
					m[c.columns[i].name] = readers[i].text(row)
				}
			}
			r.Rows = append(r.Rows, m)
		}
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	if r.Processed = lines; lines < 0 {
		r.Processed, err = s.count(ctx, q, store, "true")
	}
	return r, err
}

// logView writes the table that SQL sees: `"log" AS (…)`. It is not
// materialised, so that a query reads only the columns it names.
func logView(q queryRequest, store snapshot, compiler *searchCompiler, node searchNode, t *translation) (string, error) {
	where, err := compiler.condition(node)
	if err != nil {
		return "", err
	}
	columns := []string{`t AS "` + fieldTime + `"`}
	seen := map[string]bool{fieldTime: true}
	add := func(key, expression string) {
		if lower := strings.ToLower(key); !seen[lower] { // names differ by more than case in SQL
			seen[lower] = true
			columns = append(columns, expression+" AS "+quoteIdent(key))
		}
	}
	cut := store.index.maxText
	if q.cut > 0 {
		cut = q.cut
	}
	for _, f := range store.fields {
		k, indexed := store.index.key(f.key)
		switch {
		case t.scan:
			add(f.key, analysed(f, Text, cut))
		case indexed && k.sql:
			add(f.key, analysed(f, k.typ, cut))
		}
	}
	for _, key := range store.index.names() { // keys that no log has had yet
		if _, stored := store.byKey[key]; !stored && store.index.keys[key].sql {
			add(key, "CAST(NULL AS "+map[FieldType]string{Text: "VARCHAR", Long: "BIGINT", Double: "DOUBLE"}[store.index.keys[key].typ]+")")
		}
	}
	for i := range t.questions {
		add(answerColumn(i), "a"+strconv.Itoa(i))
	}
	for i, n := range t.searches {
		condition, err := compiler.condition(n)
		if err != nil {
			return "", err
		}
		add(searchColumn(i), condition)
	}
	return fmt.Sprintf(`"log" AS NOT MATERIALIZED (SELECT %s FROM %s WHERE %s AND %s)`,
		strings.Join(columns, ", "), store.from, q.timeRange(), where), nil
}

// analysed is a field as SQL sees it: numbers as numbers, text cut where the
// service's statistics end. Columns that hold no longer value are left alone.
func analysed(f field, typ FieldType, cut int) string {
	switch {
	case typ == Long:
		return "try_cast(" + f.column + " AS BIGINT)"
	case typ == Double:
		return "try_cast(" + f.column + " AS DOUBLE)"
	case cut > 0 && f.longest > cut:
		return fmt.Sprintf("CASE WHEN strlen(%[1]s) > %[2]d THEN sls_cut(%[1]s, %[2]d) ELSE %[1]s END", f.column, cut)
	default:
		return f.column
	}
}

// count counts the logs of the range for which a condition holds.
func (s *Server) count(ctx context.Context, q queryRequest, store snapshot, where string) (int64, error) {
	var n int64
	err := s.engine.query(ctx, fmt.Sprintf("SELECT count(*) FROM logs.%s WHERE %s AND %s", store.table, q.timeRange(), where),
		func([]column) error { return nil },
		func(c chunk) error {
			r := c.reader(0)
			n = cell[int64](&r, 0)
			return nil
		})
	return n, err
}

// rawLogs returns a page of logs as they came, by time.
func (s *Server) rawLogs(ctx context.Context, q queryRequest, store snapshot, compiler *searchCompiler, node searchNode) (Result, error) {
	where, err := compiler.condition(node)
	if err != nil {
		return Result{}, err
	}
	columns := []string{"t", "ns", extraColumn}
	for _, f := range store.fields {
		columns = append(columns, f.column)
	}
	order := "t, rowid"
	if q.reverse {
		order = "t DESC, rowid DESC"
	}
	sql := fmt.Sprintf("SELECT %s FROM logs.%s WHERE %s AND %s ORDER BY %s LIMIT %d OFFSET %d",
		strings.Join(columns, ", "), store.table, q.timeRange(), where, order, q.line, q.offset)
	r := Result{Rows: []map[string]string{}}
	seen := map[string]bool{}
	err = s.engine.query(ctx, sql, func([]column) error { return nil }, func(c chunk) error {
		readers := make([]reader, len(c.columns))
		for i := range readers {
			readers[i] = c.reader(i)
		}
		for row := range c.rows() {
			m := map[string]string{}
			if extra := readers[2].bytes(row); extra != nil {
				if err := json.Unmarshal(extra, &m); err != nil {
					return fmt.Errorf("keys beyond the columns: %w", err)
				}
			}
			m[fieldSource], m[fieldTopic] = "", ""
			for i, f := range store.fields {
				if b := readers[3+i].bytes(row); b != nil {
					m[f.key] = string(b)
				}
			}
			m[fieldTime] = readers[0].text(row)
			if !readers[1].null(row) {
				m[fieldNanos] = readers[1].text(row)
			}
			for key := range m {
				if !seen[key] {
					seen[key] = true
					r.Keys = append(r.Keys, key)
				}
			}
			r.Rows = append(r.Rows, m)
		}
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	r.Processed, err = s.count(ctx, q, store, "true")
	return r, err
}

// ErrMemory means that a query needs more than Config.MemoryLimit for what cannot wait on
// disk. A shorter time may need less.
var ErrMemory = errors.New("out of memory")

var (
	unknownColumn = regexp.MustCompile(`Referenced column "([^"]*)" (?:not found|was not found)`)
	unknownMember = regexp.MustCompile(`(?:Table|Values list|Subquery|CTE) "([^"]*)" does not have a column named "([^"]*)"`)
	unknownTable  = regexp.MustCompile(`Referenced table "([^"]*)" not found`)
)

// queryError turns what DuckDB said into the service's error.
func (s *Server) queryError(err error) error {
	var api *apiError
	var duck *engineError
	switch {
	case errors.As(err, &api), errors.Is(err, errEngineClosed):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return invalid("Query exceeded maximum time limit of %.2fs", s.config.QueryTimeout.Seconds())
	case errors.Is(err, context.Canceled) || !errors.As(err, &duck):
		return err
	}
	if m := unknownColumn.FindStringSubmatch(duck.msg); m != nil {
		return invalid("Column '%s' cannot be resolved", shorten(m[1]))
	}
	if m := unknownMember.FindStringSubmatch(duck.msg); m != nil {
		return invalid("Column '%s.%s' cannot be resolved", shorten(m[1]), shorten(m[2]))
	}
	if m := unknownTable.FindStringSubmatch(duck.msg); m != nil {
		return invalid("Column '%s' cannot be resolved", shorten(m[1]))
	}
	if duck.kind == mapping.ErrorTypeOutOfMemory {
		return errors.Join(ErrMemory, invalid("Query exceeded the memory limit"))
	}
	return invalid("%s", firstLine(duck.msg))
}
