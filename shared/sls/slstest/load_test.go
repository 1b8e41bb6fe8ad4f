//go:build cgo

package slstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parseNumbered reads "time text" lines; "-" is a line without a time, "!" one to skip.
func parseNumbered(line []byte, out *Line) bool {
	if line[0] == '!' {
		return false
	}
	head, rest, _ := bytes.Cut(line, []byte(" "))
	if head[0] != '-' {
		_, _ = fmt.Sscan(string(head), &out.Time)
	}
	out.Values[0] = rest
	return true
}

func TestLoadLines(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		want       []string // time and text of each log
		stats      LoadStats
	}{
		{"lines in order", "1000 a\n1001 b\n", []string{"1000 a", "1001 b"}, LoadStats{Lines: 2, Bytes: 14, First: 1000, Last: 1001}},
		{"a last line without an end", "1000 a\n1001 b", []string{"1000 a", "1001 b"}, LoadStats{Lines: 2, Bytes: 13, First: 1000, Last: 1001}},
		{"Windows line ends", "1000 a\r\n1001 b\r\n", []string{"1000 a", "1001 b"}, LoadStats{Lines: 2, Bytes: 16, First: 1000, Last: 1001}},
		{"no time: that of the line before", "1000 a\n- b\n", []string{"1000 a", "1000 b"}, LoadStats{Lines: 2, Bytes: 11, First: 1000, Last: 1000}},
		{"skipped and empty lines", "1000 a\n!x\n\n1001 b\n", []string{"1000 a", "1001 b"}, LoadStats{Lines: 2, Skipped: 2, Bytes: 18, First: 1000, Last: 1001}},
		{"bytes that are no UTF-8", "1000 a\xffb\n", []string{"1000 a\uFFFDb"}, LoadStats{Lines: 1, Bytes: 9, First: 1000, Last: 1000}},
		{"a NUL byte", "1000 a\x00b\n", []string{"1000 a\x00b"}, LoadStats{Lines: 1, Bytes: 9, First: 1000, Last: 1000}},
		{"nothing", "", nil, LoadStats{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(c *Config) { c.AutoCreate = true })
			stats, err := s.LoadLines(context.Background(), "app", []string{"text"}, iotest.OneByteReader(strings.NewReader(tt.file)), parseNumbered)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.stats, stats); d != "" {
				t.Error(d)
			}
			r, err := s.Query(context.Background(), "app", "*", time.Unix(0, 0), time.Unix(5000, 0))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, row := range r.Rows {
				got = append(got, row["__time__"]+" "+row["text"])
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestLoadLinesAcrossBlocks loads more than one block on several goroutines: order, times that carry over, long lines.
func TestLoadLinesAcrossBlocks(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate, c.Threads = true, 3 })
	var b bytes.Buffer
	const n = 40_000
	filler := strings.Repeat("é", 400) // two bytes each: blocks end inside characters
	for i := range n {
		at := "-"
		if i == 0 {
			at = fmt.Sprint(1000)
		}
		fmt.Fprintf(&b, "%s %d %s\n", at, i, filler)
		if i == n/2 {
			b.WriteString(strings.Repeat("x", 2*loadBlock+maxLine) + "\n")
		}
	}
	stats, err := s.LoadLines(context.Background(), "app", []string{"text"}, &b, parseNumbered)
	if err != nil || stats.Lines != n || stats.Skipped != 1 || stats.First != 1000 || stats.Last != 1000 {
		t.Fatalf("%+v, %v", stats, err)
	}
	r, err := s.Query(context.Background(), "app",
		`* | select count(1) as n, count_if(cast(split_part(text, ' ', 1) as bigint) = i) as inorder from (select text, row_number() over () - 1 as i from log) t`,
		time.Unix(1000, 0), time.Unix(1001, 0))
	if err != nil || r.Rows[0]["n"] != fmt.Sprint(n) || r.Rows[0]["inorder"] != fmt.Sprint(n) {
		t.Errorf("%v, %v", r.Rows, err)
	}
}

func TestLoadLinesStopsOnErrors(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	broken := errors.New("disk on fire")
	if _, err := s.LoadLines(context.Background(), "app", []string{"text"}, io.MultiReader(strings.NewReader("1000 a\n"), iotest.ErrReader(broken)), parseNumbered); !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.LoadLines(ctx, "app", []string{"text"}, strings.NewReader("1000 a\n"), parseNumbered); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
	if _, err := s.LoadLines(context.Background(), "app", []string{"__time__"}, strings.NewReader("1000 a\n"), parseNumbered); err == nil {
		t.Error("a reserved field was taken")
	}
	if _, err := newServer(t).LoadLines(context.Background(), "app", nil, strings.NewReader(""), parseNumbered); !errors.Is(err, ErrLogstoreNotExist) {
		t.Errorf("error = %v", err)
	}
}

func TestKeysThatAreForeign(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	odd := []string{`a"b`, `a'; drop table x; --`, "__TIME__", "select", "Host", "host", "ключ", "new\nline", "c0", "nul\x00", "bad\xff", strings.Repeat("k", 128)}
	values := make([]string, len(odd))
	for i := range odd {
		values[i] = fmt.Sprint("value ", i)
	}
	load(t, s, "app", odd, values)
	r := mustAsk(t, s, "app", "*")
	for i, key := range odd {
		key = strings.ToValidUTF8(key, "\uFFFD")
		if r.Rows[0][key] != values[i] {
			t.Errorf("%q = %q, want %q", key, r.Rows[0][key], values[i])
		}
	}
	if r := mustAsk(t, s, "app", `* | select "a""b" as x, "select" as y, host as z`); fmt.Sprint(r.Rows[0]) != "map[x:value 0 y:value 3 z:value 4]" {
		t.Errorf("rows = %v", r.Rows)
	}

	t.Run("more keys than columns, and long ones, are kept but not analysed", func(t *testing.T) {
		keys, values := []string{strings.Repeat("k", 129), "__time__"}, []string{"long", "fake"}
		for i := range maxColumns + 50 {
			keys, values = append(keys, fmt.Sprint("key", i)), append(values, fmt.Sprint("v", i))
		}
		load(t, s, "wide", keys, values)
		r := mustAsk(t, s, "wide", "v540")
		if len(r.Rows) != 1 || r.Rows[0]["key540"] != "v540" || r.Rows[0][keys[0]] != "long" || r.Rows[0]["__time__"] != fmt.Sprint(testStart) {
			t.Errorf("%d rows", len(r.Rows))
		}
		if _, err := ask(s, "wide", "* | select key540"); err == nil {
			t.Error("a key beyond the columns is no column")
		}
		mustAsk(t, s, "wide", "* | select key400")
	})
}

func TestLongValuesAreCutForAnalysis(t *testing.T) {
	s := newServer(t)
	if err := s.CreateLogstore("app", map[string]FieldType{"msg": Text}); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 2047) + "éend"
	load(t, s, "app", []string{"msg"}, []string{text}, []string{"short"})
	r := mustAsk(t, s, "app", `* | select length(msg) as n, strpos(msg, 'end') as tail from log order by n desc`)
	if fmt.Sprint(r.Rows) != "[map[n:2047 tail:0] map[n:5 tail:0]]" {
		t.Errorf("rows = %v, want 2047 whole characters and no tail", r.Rows)
	}
	if r := mustAsk(t, s, "app", `*`); r.Rows[0]["msg"] != text {
		t.Error("raw logs are cut")
	}
	long := newServer(t, func(c *Config) { c.MaxTextLen = 16_384 })
	if err := long.CreateLogstore("app", map[string]FieldType{"msg": Text}); err != nil {
		t.Fatal(err)
	}
	load(t, long, "app", []string{"msg"}, []string{text})
	if r := mustAsk(t, long, "app", `* | select strpos(msg, 'end') as tail`); r.Rows[0]["tail"] != "2049" {
		t.Errorf("rows = %v", r.Rows)
	}
}

func TestRowsWithoutLimit(t *testing.T) {
	s := newServer(t)
	if err := s.CreateLogstore("app", map[string]FieldType{"msg": Text}); err != nil {
		t.Fatal(err)
	}
	rows := make([][]string, 250)
	for i := range rows {
		rows[i] = []string{fmt.Sprint(i)}
	}
	load(t, s, "app", []string{"msg"}, rows...)
	for query, want := range map[string]int{
		"*": 100, "* | select msg": 100, "* | select msg limit 200": 200, "* | select msg limit all": 250, "* | select msg limit 240, 100": 10,
		"* | select msg limit 0": 0, "* | select msg from (select msg from log limit 7) t": 7, "* | select msg union all select msg from log limit 400": 400,
	} {
		if r := mustAsk(t, s, "app", query); len(r.Rows) != want {
			t.Errorf("%s: %d rows, want %d", query, len(r.Rows), want)
		}
	}
	if r := mustAsk(t, s, "app", "* | select msg order by __time__ limit 240, 2"); fmt.Sprint(r.Rows) != "[map[msg:240] map[msg:241]]" {
		t.Errorf("rows = %v", r.Rows)
	}
	strict := newServer(t, func(c *Config) { c.RefuseLimitAll, c.AutoCreate = true, true })
	load(t, strict, "app", []string{"msg"}, []string{"x"})
	if _, err := ask(strict, "app", "* | select msg limit all"); err == nil {
		t.Error("LIMIT ALL ran")
	}
}

func TestTimeRange(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	load(t, s, "app", []string{"id"}, []string{"0"}, []string{"1"}, []string{"2"})
	for _, tt := range []struct {
		name     string
		from, to int64
		want     string
	}{
		{"from is in it, to is not", 0, 2, "[map[n:2]]"},
		{"one second", 1, 2, "[map[n:1]]"},
		{"before", -10, 0, "[map[n:0]]"},
	} {
		r, err := s.Query(context.Background(), "app", "* | select count(1) as n", time.Unix(testStart+tt.from, 0), time.Unix(testStart+tt.to, 0))
		if err != nil || fmt.Sprint(r.Rows) != tt.want {
			t.Errorf("%s: %v, %v", tt.name, r.Rows, err)
		}
	}
	for _, to := range []int64{testStart, testStart - 1} {
		_, err := s.Query(context.Background(), "app", "*", time.Unix(testStart, 0), time.Unix(to, 0))
		if err == nil || !strings.Contains(err.Error(), "InvalidTimeRange") {
			t.Errorf("error = %v", err)
		}
	}
}

// TestPutAndQueryAtOnce has writers with ever new keys, readers and a bulk load side by side.
func TestPutAndQueryAtOnce(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	load(t, s, "app", []string{"id"}, []string{"first"})
	var wait sync.WaitGroup
	const writers, rounds = 4, 25
	for w := range writers {
		wait.Add(2)
		go func() {
			defer wait.Done()
			for i := range rounds {
				_, err := s.Load(context.Background(), "app", []string{"id", fmt.Sprint("key_", w, "_", i)},
					once([]Row{{Time: testStart, Values: []string{"x", "y"}}, {Time: testStart, Values: []string{"x"}}}))
				if err != nil {
					t.Error(err)
				}
			}
		}()
		go func() {
			defer wait.Done()
			for range rounds {
				for _, q := range []string{"* | select count(1) as n, count(id) as m", "y", "id: first"} {
					if _, err := ask(s, "app", q); err != nil {
						t.Errorf("%s: %v", q, err)
					}
				}
			}
		}()
	}
	wait.Wait()
	r := mustAsk(t, s, "app", "* | select count(1) as n")
	if want := fmt.Sprint(1 + 2*writers*rounds); r.Rows[0]["n"] != want {
		t.Errorf("%v logs, want %s", r.Rows, want)
	}
	if n, err := s.Rows("app"); err != nil || n != 1+2*writers*rounds {
		t.Errorf("rows = %d, %v", n, err)
	}
}

func TestQueryTimeout(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate, c.QueryTimeout = true, 200*time.Millisecond })
	load(t, s, "app", []string{"id"}, []string{"x"})
	_, err := ask(s, "app", "* | select count(1) from unnest(sequence(1, 5000)) a(x), unnest(sequence(1, 5000)) b(x), unnest(sequence(1, 5000)) c(x)")
	if err == nil || !strings.Contains(err.Error(), "Query exceeded maximum time limit") {
		t.Errorf("error = %v", err)
	}
}

func TestCloseInterruptsAndEnds(t *testing.T) {
	s := newServer(t, func(c *Config) { c.AutoCreate = true })
	load(t, s, "app", []string{"id"}, []string{"x"})
	ended := make(chan error)
	go func() {
		_, err := ask(s, "app", "* | select count(1) from unnest(sequence(1, 5000)) a(x), unnest(sequence(1, 5000)) b(x), unnest(sequence(1, 5000)) c(x)")
		ended <- err
	}()
	for busy := 0; busy < 20; { // well past parsing: the statement itself is running
		time.Sleep(5 * time.Millisecond)
		s.engine.mu.Lock()
		if s.engine.open > len(s.engine.idle) {
			busy++
		} else {
			busy = 0
		}
		s.engine.mu.Unlock()
	}
	start := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("closing took %s: the query was not interrupted", took)
	}
	if err := <-ended; err == nil {
		t.Error("the query ended well")
	}
	if _, err := ask(s, "app", "*"); err == nil {
		t.Error("a closed service answers")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func TestConfigProblemsAreReportedAtOnce(t *testing.T) {
	zone := 20 * time.Hour
	_, err := New(Config{Project: "A", Threads: -1, MemoryLimit: 1, MaxTextLen: 1, QueryTimeout: -1, Zone: &zone})
	for _, want := range []string{"project", "access key", "threads", "memory limit", "max text length", "query timeout", "zone"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want it to name the %s", err, want)
		}
	}
}

func TestFormatDouble(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0", 1: "1.0", -2.5: "-2.5", 1e7: "1.0E7", 12345678: "1.2345678E7", 0.001: "0.001", 0.0001: "1.0E-4", 9999999: "9999999.0"} {
		if got := formatDouble(f); got != want {
			t.Errorf("formatDouble(%g) = %s, want %s", f, got, want)
		}
	}
}
