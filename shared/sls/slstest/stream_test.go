//go:build cgo

package slstest

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// tsvLine reads "time<TAB>a<TAB>b": an empty time is none, "-" is NULL.
func tsvLine(line []byte, out *Line) bool {
	cells := bytes.Split(line, []byte("\t"))
	if len(cells) != 3 {
		return false
	}
	if len(cells[0]) > 0 {
		n, err := strconv.ParseInt(string(cells[0]), 10, 64)
		if err != nil {
			return false
		}
		out.Time = n
	}
	for i, c := range cells[1:] {
		if string(c) != "-" {
			out.Values[i] = c
		}
	}
	return true
}

func newStream(t testing.TB, s *Server, c StreamConfig) *Stream {
	t.Helper()
	if c.Fields == nil {
		c.Fields = []string{"a", "b"}
	}
	if c.Logstore == "" {
		c.Logstore = "stream"
	}
	st, err := s.NewStream(c)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func seconds(n int64) time.Time { return time.Unix(n, 0) }

func feed(t testing.TB, st *Stream, text string, previous int64) int64 {
	t.Helper()
	for _, p := range st.NewPartMaker().Make([]byte(text), tsvLine) {
		if err := st.Add(p, previous); err != nil {
			t.Fatal(err)
		}
		previous = p.End()
	}
	return previous
}

// What a table says, a stream says: whatever is asked, in memory and from the disk.
func TestAStreamAnswersAsATableDoes(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Threads = 2 })
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		value := rapid.SampledFrom([]string{"-", "", "x", "198.51.100.7", "a longer text than fits a cell", "ü€", "tail\xff\xfe of bytes that are no text, and long"})
		var text strings.Builder
		for range rapid.IntRange(0, 60).Draw(rt, "lines") {
			at := ""
			if rapid.IntRange(0, 4).Draw(rt, "timed") > 0 {
				at = strconv.Itoa(rapid.IntRange(1000, 1050).Draw(rt, "time"))
			}
			fmt.Fprintf(&text, "%s\t%s\t%s\n", at, value.Draw(rt, "a"), value.Draw(rt, "b"))
		}
		whole := "1000\tfirst\t-\n" + text.String()
		table := fmt.Sprint("table-", n)
		if err := s.CreateLogstore(table, map[string]FieldType{"a": Text, "b": Text}); err != nil {
			rt.Fatal(err)
		}
		if _, err := s.LoadLines(t.Context(), table, []string{"a", "b"}, strings.NewReader(whole), tsvLine); err != nil {
			rt.Fatal(err)
		}
		c := StreamConfig{Logstore: fmt.Sprint("stream-", n)}
		if rapid.Bool().Draw(rt, "disk") {
			c.Memory = 1
		}
		st := newStream(t, s, c)
		lines := strings.SplitAfter(whole, "\n")
		var previous int64
		for len(lines) > 0 {
			k := rapid.IntRange(1, len(lines)).Draw(rt, "block")
			previous = feed(t, st, strings.Join(lines[:k], ""), previous)
			lines = lines[k:]
		}
		from, to := int64(rapid.IntRange(990, 1060).Draw(rt, "from")), int64(1061)
		for _, query := range []string{
			`* | select __time__ as t, a, b, count(1) as n from log group by 1, 2, 3 order by 1, 2, 3 limit 1000`,
			`* | select count(1) as n from log where regexp_like(a, '[0-9]{3}') or regexp_like(cast(b as varchar), '(?i)LONG') limit 10`,
			`* | select w, count(1) as n, count(distinct x) as d from (select __time__ - __time__ % 10 as w, regexp_extract(a, '(\\w+) (\\w+)', 2) as x, b from log where not regexp_like(b, '^x$')) group by w order by 1 limit 1000`,
			`* | select regexp_extract(a, '[a-z ]+') as x, count(1) as n from log group by regexp_extract(a, '[a-z ]+') order by 1 limit 1000`,
			`* | select a, count(1) as n from log group by a having regexp_like(a, 'x') order by 1 limit 1000`,
			`* | select regexp_like(a, 'l'), regexp_extract(b, '\\d+') from log where regexp_like(a, 'o') order by 1, 2 limit 1000`,
			`* | select count(1) as n from (select b as a from log) where regexp_like(a, 'x') limit 10`,
			`* | select count(1) as n from log l where regexp_like(l.a, 'x') and exists (select 1 from log where regexp_like(a, 'long')) limit 10`,
			`* | select b as a from log where regexp_like(a, 'x') order by 1 limit 1000`,
			`* | select * from log where regexp_like(a, 'longer') order by __time__, a, b limit 1000`,
			`* | select count(1) as n from log where strpos(b, 'long') > 2 or strpos(cast(a as varchar), '.') = 4 limit 10`,
			`* | select p, s, count(1) as n from (select split_part(a, ' ', 2) as p, strpos(b, 'x') as s from log) group by p, s order by 1, 2 limit 1000`,
			`a: x or longer | select count(1) as n, min(length(b)) as l from log limit 10`,
			`* | select l.a as a, count(1) as n from log l join (select distinct b from log) r on l.a = r.b group by l.a order by 1 limit 1000`,
		} {
			want, err := s.Query(t.Context(), table, query, seconds(from), seconds(to))
			if err != nil {
				rt.Fatal(err)
			}
			got, err := s.Query(t.Context(), c.Logstore, query, seconds(from), seconds(to))
			if err != nil {
				rt.Fatal(err)
			}
			for _, row := range want.Rows { // fields that a stream's lines do not have
				delete(row, fieldSource)
				delete(row, fieldTopic)
			}
			if diff := cmp.Diff(want.Rows, got.Rows); diff != "" {
				rt.Errorf("%s:\n%s", query, diff)
			}
		}
		if err := st.Close(); err != nil {
			rt.Fatal(err)
		}
		if err := s.DeleteLogstore(table); err != nil {
			rt.Fatal(err)
		}
	})
}

func TestAStreamForgetsPartsThatAreWhollyInThePast(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Threads = 1 })
	for _, memory := range []int64{0, 1} {
		st := newStream(t, s, StreamConfig{Memory: memory})
		previous := feed(t, st, "100\ta long value of the first part\t-\n160\ta\t-\n", 0)
		previous = feed(t, st, "\ttakes over the time before\t-\n170\tb\t-\n", previous)
		feed(t, st, "300\tc\t-\n", previous)
		if lines, inMemory, onDisk := st.Held(); lines != 5 || (memory > 0) != (onDisk > 0) || (memory == 0) != (inMemory > 0) {
			t.Errorf("limit %d: %d lines, %d bytes in memory, %d on disk", memory, lines, inMemory, onDisk)
		}
		st.Forget(165)
		if lines, _, _ := st.Held(); lines != 3 {
			t.Errorf("limit %d: %d lines are held after the first part's time, want the 3 of the others", memory, lines)
		}
		r, err := s.Query(t.Context(), "stream", "* | select __time__ as t, a from log order by 1, 2", seconds(0), seconds(1000))
		if err != nil {
			t.Fatal(err)
		}
		want := []map[string]string{{"t": "160", "a": "takes over the time before"}, {"t": "170", "a": "b"}, {"t": "300", "a": "c"}}
		if diff := cmp.Diff(want, r.Rows); diff != "" {
			t.Error(diff)
		}
		st.Forget(1000)
		if lines, inMemory, onDisk := st.Held(); lines+inMemory != 0 || memory == 0 && onDisk != 0 {
			t.Errorf("limit %d: %d lines, %d and %d bytes after everything was forgotten", memory, lines, inMemory, onDisk)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAStreamCountsWhatItCannotTake(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Threads = 1 })
	st := newStream(t, s, StreamConfig{})
	parts := st.NewPartMaker().Make([]byte("\ta\tb\nnot a line\n\n-5\ta\tb\n99999999999\ta\tb\n7\ta\tb\r\n"), tsvLine)
	if len(parts) != 1 || parts[0].Lines() != 2 || parts[0].Skipped() != 4 {
		t.Fatalf("%d parts, %d lines, %d skipped, want 1, 2 (one without a time) and 4", len(parts), parts[0].Lines(), parts[0].Skipped())
	}
	if err := st.Add(parts[0], 0); err != nil {
		t.Fatal(err)
	}
	if lines, _, _ := st.Held(); lines != 1 || parts[0].Skipped() != 5 {
		t.Errorf("%d lines, %d skipped: a line without a time and none before it has no place", lines, parts[0].Skipped())
	}
	many := st.NewPartMaker().Make(bytes.Repeat([]byte("7\ta\t-\n"), 70_000), tsvLine)
	if len(many) != 2 || many[0].Lines()+many[1].Lines() != 70_000 {
		t.Errorf("%d parts: codes of two bytes are too short for more than 65,535 lines in one", len(many))
	}
}

func TestOnlyWhatIsKeptIsStored(t *testing.T) {
	s := newServer(t, func(c *Config) { c.Threads = 1 })
	st := newStream(t, s, StreamConfig{Keep: []string{"b"}})
	feed(t, st, "7\tdropped\tkept\n", 0)
	r, err := s.Query(t.Context(), "stream", "* | select a, b from log", seconds(0), seconds(10))
	if err != nil || len(r.Rows) != 1 || r.Rows[0]["a"] != "null" || r.Rows[0]["b"] != "kept" {
		t.Errorf("rows %v, %v", r.Rows, err)
	}
	if _, err := s.Query(t.Context(), "stream", "kept", seconds(0), seconds(10)); err == nil {
		t.Error("a stream gave lines as they came, which it does not keep")
	}
	if _, err := s.LoadLines(t.Context(), "stream", []string{"a"}, strings.NewReader("7\ta\tb\n"), tsvLine); err == nil {
		t.Error("LoadLines wrote into a stream, where no query would see it")
	}
	if _, err := s.Load(t.Context(), "stream", []string{"a"}, func() ([]Row, error) { return []Row{{Time: 7, Values: []string{"x"}}}, nil }); err == nil {
		t.Error("Load wrote into a stream")
	}
}

func TestReads(t *testing.T) {
	fields := []string{"path", "Status", "msg", "user_agent"}
	for query, want := range map[string][]string{
		`* | select path, count(1) as c from log group by path`:              {"path"},
		`* | select count(*) as c, 2 * 3 as n from log where status = '200'`: {"Status"},
		`* | select * from log`:                                 fields,
		`* | select distinct * from log`:                        fields,
		`* | select l.* from log l`:                             fields,
		`* | select a, * from log`:                              fields,
		`error | select count(1) from log`:                      fields,
		`msg: error and status: 500 | select count(1) from log`: {"Status", "msg"},
		`not msg: * | select count(1) from log`:                 {"msg"},
		`* | select count_if(search('msg: error')) from log`:    fields,
		`* | select "user_agent" as x, 'path' as y from log`:    {"user_agent"},
		`error`: fields,
		`* | select count(1) from (select path as p from log) where regexp_like(p, 'msg')`: {"path"},
	} {
		got, err := Reads(query, fields)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v, want %v", query, got, err, want)
		}
	}
	if _, err := Reads(`"unfinished | select 1`, fields); err == nil {
		t.Error("a query that cannot be read reads nothing?")
	}
}

// A question that may be asked of values is; where a name may mean something else, or lines
// are not looked at one by one, it is not.
func TestWhichCallsBecomeQuestionsAboutValues(t *testing.T) {
	values := func(name string) (int, bool) { return 0, name == "path" }
	for sql, want := range map[string]int{
		`select count(1) from log where regexp_like(path, 'x')`:                                                       1,
		`select count(1) where regexp_like(path, 'x') and regexp_like("path", 'x')`:                                   1,
		`select count(1) from log where regexp_like(path, 'x') or regexp_like(path, 'y')`:                             2,
		`select n from (select lower(regexp_extract(path, 'a(b)', 1)) as n from log where status = '200') order by n`: 1,
		`select 1 from (select path from log where regexp_like(path, 'x')) where regexp_like(path, 'y')`:              1,
		`select count(1) from log where regexp_like(lower(path), 'x')`:                                                0,
		`select count(1) from log where regexp_like(cast("path" as varchar), 'x')`:                                    1,
		`select count(1) from log where regexp_like(cast(path as bigint), 'x')`:                                       0,
		`select count(1) from log where regexp_like(path, agent)`:                                                     0,
		`select count(1) from log l where regexp_like(path, 'x')`:                                                     0,
		`select count(1) from log, t where regexp_like(path, 'x')`:                                                    0,
		`select count(1) from log join t on true where regexp_like(path, 'x')`:                                        0,
		`select path from log group by path having regexp_like(path, 'x')`:                                            0,
		`select regexp_like(path, 'x') from log group by path`:                                                        0,
		`select agent as path from log order by regexp_like(path, 'x')`:                                               0,
		`select filter(split(agent, ' '), path -> regexp_like(path, 'x')) from log`:                                   0,
		`select count(1) from t where regexp_like(path, 'x')`:                                                         0,
		`select regexp_like(path, 'x') from log`:                                                                      0,
		`select p from (select regexp_extract(path, 'x') as p from log group by regexp_extract(path, 'x'))`:           0,
		`select regexp_like(path, 'x') from (select 1)`:                                                               0,
	} {
		out, err := translate(sql, time.Unix(0, 0), false, values)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if len(out.questions) != want {
			t.Errorf("%s: %d questions, want %d: %s", sql, len(out.questions), want, out.sql)
		}
	}
}
