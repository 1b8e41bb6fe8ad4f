//go:build cgo

package slstest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// The founding story's queries, exactly as they were published.
const (
	storyAddresses = `"rate limit for true-client-ip:" | select regexp_extract(msg, 'true-client-ip: (\d+.\d+.\d+.\d+)', 1) as ip, count(1) as pv, __time__-time % 120 as t from log group by ip, t order by pv desc limit all`
	storyAccounts  = `* | select date_trunc('minute', __time__) t, uuid, count(1) cnt, array_agg(distinct ip) ip FROM ( select __time__, regexp_extract(msg, '"true-client-ip": (\d+.\d+.\d+.\d+)', 1) as ip, trace_id FROM log where msg has '"rate limit for true-client-ip": ' ) t1 left join ( select trace_id, regexp_extract(msg, '"uid":"([^"]*)"', 1) uuid FROM log where msg has 'player.getSMScode' and msg has 'Received' ) t2 on t1.trace_id = t2.trace_id group by t, t2.uuid having cnt > 100 order by cnt desc`
	storyCountries = `* | select date_trunc('minute', __time__) t, uuid, count(1) cnt, array_agg(distinct ip_to_country(ip)) ip FROM ( select __time__, regexp_extract(msg, '"true-client-ip": (\d+.\d+.\d+.\d+)', 1) as ip, trace_id FROM log where msg has '"rate limit for true-client-ip": ' ) t1 left join ( select trace_id, regexp_extract(msg, '"uid":"([^"]*)"', 1) uuid FROM log where msg has 'player.getSMScode' and msg has 'Received' ) t2 on t1.trace_id = t2.trace_id group by t, t2.uuid having cnt > 100 order by cnt desc`
)

// The same, corrected: tolerant patterns, true windows, no NULL account, one SMS line per trace, a LIMIT.
const (
	goodAddresses = `"rate limit for true-client-ip" | select ip, t, count(1) as pv from (select regexp_extract(msg, 'true-client-ip"?\s*:\s*"?(\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)', 1) as ip, __time__ - __time__ % 120 as t from log) where ip is not null group by ip, t having count(1) > 100 or strpos(ip, ':') > 0 order by pv desc limit 1000000`
	goodAccounts  = `* | select r.t as t, s.uid as account, count(1) as cnt, array_agg(distinct r.ip) as ips from (select __time__ - __time__ % 60 as t, regexp_extract(msg, 'true-client-ip"?\s*:\s*"?(\d{1,3}(?:\.\d{1,3}){3})', 1) as ip, trace_id from log where search('"rate limit for true-client-ip"')) r join (select trace_id, max(regexp_extract(msg, '"uid"\s*:\s*"?([^"\s,}]+)', 1)) as uid from log where search('player.getSMScode and Received') group by trace_id) s on r.trace_id = s.trace_id where s.uid is not null group by r.t, s.uid having count(1) > 100 order by cnt desc limit 1000000`
)

const (
	storyLimit = `[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (...)" "rate limit for true-client-ip": %s "trace_id": %s`
	storySMS   = `[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":%s "trace_id":%s`
)

func newStory(t testing.TB, index map[string]FieldType) *Server {
	s := newServer(t)
	if err := s.CreateLogstore("app", index); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStoryQueriesRunAsWritten(t *testing.T) {
	t.Run("the first needs a number field time", func(t *testing.T) {
		s := newStory(t, map[string]FieldType{"msg": Text, "trace_id": Text})
		load(t, s, "app", []string{"msg"}, []string{"x"})
		if _, err := ask(s, "app", storyAddresses); err == nil || !strings.Contains(err.Error(), "Column 'time' cannot be resolved") {
			t.Errorf("error = %v, want Column 'time' cannot be resolved", err)
		}
	})
	t.Run("the first, with one, shows its traps", func(t *testing.T) {
		s := newStory(t, map[string]FieldType{"msg": Text, "trace_id": Text, "time": Long})
		load(t, s, "app", []string{"msg", "time"},
			[]string{fmt.Sprintf(storyLimit, "139.135.241.87", "a"), "240"},
			[]string{"... rate limit for true-client-ip: 139.135.241.88 trace_id: b", "240"},
			[]string{"... rate limits for true-client-ip: 1.1.1.1", "240"}, // another word: no token of the search
		)
		r := mustAsk(t, s, "app", storyAddresses)
		if len(r.Rows) != 2 {
			t.Fatalf("rows = %v, want two", r.Rows)
		}
		ips := r.Rows[0]["ip"] + " " + r.Rows[1]["ip"]
		if !strings.Contains(ips, "null") || !strings.Contains(ips, "139.135.241.88") {
			t.Errorf("addresses = %q: the quoted form gives null, the other its address", ips)
		}
	})
	t.Run("the second and third", func(t *testing.T) {
		s := newStory(t, map[string]FieldType{"msg": Text, "trace_id": Text})
		var rows [][]string
		for i := range 101 {
			trace := fmt.Sprint("trace-", i%50)
			rows = append(rows, []string{fmt.Sprintf(storyLimit, fmt.Sprintf("8.8.8.%d", i), trace), trace})
		}
		for i := range 50 {
			trace := fmt.Sprint("trace-", i)
			rows = append(rows, []string{fmt.Sprintf(storySMS, "nbNgQ01wRWiOSVcI2Y/hUw==", trace), trace})
		}
		at := make([]Row, len(rows))
		for i, r := range rows {
			at[i] = Row{Time: testStart, Values: r}
		}
		if _, err := s.Load(context.Background(), "app", []string{"msg", "trace_id"}, once(at)); err != nil {
			t.Fatal(err)
		}
		r := mustAsk(t, s, "app", storyAccounts)
		want := map[string]string{"t": "2025-05-10 13:54:00.000", "uuid": "null", "cnt": "101", "ip": "[null]"}
		if len(r.Rows) != 1 || fmt.Sprint(r.Rows[0]) != fmt.Sprint(want) {
			t.Errorf("rows = %v, want %v: neither pattern fits the sample lines", r.Rows, want)
		}
		if r := mustAsk(t, s, "app", storyCountries); len(r.Rows) != 1 || r.Rows[0]["ip"] != "[null]" {
			t.Errorf("rows = %v", r.Rows)
		}
		r = mustAsk(t, s, "app", goodAccounts)
		if len(r.Rows) != 1 || r.Rows[0]["account"] != "nbNgQ01wRWiOSVcI2Y/hUw==" || strings.Count(r.Rows[0]["ips"], "8.8.8.") != 101 {
			t.Errorf("rows = %v", r.Rows)
		}
	})
}

// storyFile writes n lines of an hour: 26 % rate limit, 13 % SMS, the rest other traffic.
func storyFile(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.Grow(n * 240)
	agent := "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0"
	for i := range n {
		stamp := time.Unix(testStart-1800+int64(i)*3600/int64(n), 0).In(time.FixedZone("", 8*3600)).Format("02/Jan/2006:15:04:05 -0700")
		trace := fmt.Sprintf("%08x-418a-4b4e-9c52-%012x", rng.IntN(n/8+1), 7)
		switch p := rng.IntN(100); {
		case p < 26:
			fmt.Fprintf(&b, "[%s] \"GET /index.html?page=%d HTTP/1.1\" 200 432 \"-\" \"%s\" \"rate limit for true-client-ip\": %d.%d.%d.%d \"trace_id\": %s\n",
				stamp, i, agent, 5+rng.IntN(4), 6, 7, rng.IntN(5)+rng.IntN(2)*rng.IntN(245), trace)
		case p < 39:
			fmt.Fprintf(&b, "[%s] player.getSMScode Received \"uid\":nbNgQ01wRWiOSVcI2Y/hUw== \"trace_id\":%s\n", stamp, trace)
		default:
			fmt.Fprintf(&b, "[%s] \"GET /catalog/item/%d?session=%x HTTP/1.1\" 200 %d \"https://shop.example/\" \"%s\" served by node-%d in %d ms \"trace_id\": %s\n",
				stamp, i, rng.Uint64(), rng.IntN(9999), agent, rng.IntN(8), rng.IntN(900), trace)
		}
	}
	return b.Bytes()
}

func BenchmarkStory(b *testing.B) {
	const n = 1_000_000
	file := storyFile(n)
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			s := newStory(b, map[string]FieldType{"msg": Text, "trace_id": Text})
			b.StartTimer()
			stats, err := s.LoadLines(context.Background(), "app", StoryFields(), bytes.NewReader(file), ParseStory)
			if err != nil || stats.Lines != n {
				b.Fatal(stats, err)
			}
			b.StopTimer()
			_ = s.Close()
			b.StartTimer()
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	})
	s := newStory(b, map[string]FieldType{"msg": Text, "trace_id": Text})
	if _, err := s.LoadLines(context.Background(), "app", StoryFields(), bytes.NewReader(file), ParseStory); err != nil {
		b.Fatal(err)
	}
	for _, q := range []struct{ name, query string }{
		{"search", `"rate limit for true-client-ip" | select count(1) as n`},
		{"has", `* | select count(1) as n where msg has '"rate limit for true-client-ip": '`},
		{"addresses", goodAddresses},
		{"accounts", goodAccounts},
		{"accounts as written", storyAccounts},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				r := mustAsk(b, s, "app", q.query)
				if len(r.Rows) == 0 {
					b.Fatal("no rows")
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}

// once gives rows to Load in one call.
func once(rows []Row) func() ([]Row, error) {
	return func() ([]Row, error) { return rows, io.EOF }
}
