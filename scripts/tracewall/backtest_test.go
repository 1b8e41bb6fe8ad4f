//go:build cgo

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/backtest"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// backtested runs the command in this process.
func backtested(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, said bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &said, now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }, lookup: func(name string) (string, bool) {
		v, ok := env[name]
		return v, ok
	}}
	code = a.main(t.Context(), append([]string{"backtest"}, args...))
	return out.String(), said.String(), code
}

// accessLine is a line of an access log.
func accessLine(at time.Time, address, user, request string, status int, agent string) string {
	return fmt.Sprintf("%s - %s [%s] \"%s HTTP/1.1\" %d 123 \"-\" \"%s\"\n", address, user, at.Format("02/Jan/2006:15:04:05 -0700"), request, status, agent)
}

func writeLog(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "access.log")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

var logBegins = time.Date(2025, 5, 17, 10, 0, 0, 0, time.UTC)

// An attacker, an office that has an attacker in it, a partner, and somebody in a crawler's range.
func mixedLog() string {
	var b strings.Builder
	probe := func(address string) {
		for i, path := range []string{"/.env", "/.git/config", "/wp-login.php", "/phpmyadmin/index.php", "/server-status", "/.aws/credentials"} {
			b.WriteString(accessLine(logBegins.Add(time.Duration(i)*time.Second), address, "-", "GET "+path, 404, "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"))
		}
	}
	for _, address := range []string{"203.0.113.66", "198.51.100.20", "198.51.100.30", "66.249.66.7"} {
		probe(address)
	}
	for i := range 60 {
		at := logBegins.Add(time.Duration(10+i*5) * time.Second)
		b.WriteString(accessLine(at, "198.51.100.20", fmt.Sprint("clerk", i%12), "POST /checkout", 200, "Mozilla/5.0"))
		b.WriteString(accessLine(at, "192.0.2.200", "-", "GET /", 200, "Mozilla/5.0"))
	}
	return b.String()
}

func TestABacktestTellsWhoWouldBeBlockedAndWhoShouldNot(t *testing.T) {
	file := writeLog(t, mixedLog())
	allow := filepath.Join(t.TempDir(), "allow")
	ranges := filepath.Join(t.TempDir(), "ranges")
	if err := os.WriteFile(allow, []byte("198.51.100.30 owner=partner the partner's scanner\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ranges, []byte("# published\n66.249.64.0/19\tgooglebot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, said, code := backtested(t, nil, "--all", "--logs", file, "--allowlist", allow, "--ranges", ranges, "--json")
	if code != exitGuard || !strings.Contains(said, "collateral: 3 ") {
		t.Errorf("exit code %d, %q, want %d and the three of them", code, said, exitGuard)
	}
	var r backtest.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range r.Collateral {
		kinds := make([]string, len(c.Why))
		for i, w := range c.Why {
			kinds[i] = w.Kind
		}
		got[c.Indicator] = fmt.Sprintf("%s harmed=%v proven=%v %v", c.Verdict, c.Harmed, c.Proven, kinds)
	}
	want := map[string]string{
		"198.51.100.20": "observe harmed=false proven=true [successes shared claims]",
		"198.51.100.30": "spared harmed=false proven=true [allowlisted claims]",
		"66.249.66.7":   "block harmed=true proven=true [crawler claims]",
		"203.0.113.66":  "block harmed=true proven=false [claims]", // says so, and is none
	}
	for who, what := range want {
		if got[who] != what {
			t.Errorf("%s: %q, want %q", who, got[who], what)
		}
	}
	if len(got) != len(want) || r.Totals.Claims != 1 || r.Totals.Collateral != 3 || r.Source.Lines != 144 {
		t.Errorf("%d collateral of %v, totals %+v", len(got), got, r.Totals)
	}
	for gate, want := range map[string]int{"any": exitGuard, "harmed": exitGuard, "none": exitOK} {
		if _, _, code := backtested(t, nil, "--all", "--logs", file, "--allowlist", allow, "--ranges", ranges, "--json", "--gate", gate); code != want {
			t.Errorf("--gate %s: exit code %d, want %d", gate, code, want)
		}
	}
	// Who is only spared was not harmed.
	partner := writeLog(t, strings.Join(slices.DeleteFunc(strings.SplitAfter(mixedLog(), "\n"), func(l string) bool { return !strings.HasPrefix(l, "198.51.100.30") }), ""))
	if _, _, code := backtested(t, nil, "--all", "--logs", partner, "--allowlist", allow, "--gate", "harmed"); code != exitOK {
		t.Errorf("--gate harmed, nobody harmed: exit code %d", code)
	}
}

// The same log gives the same bytes: no clock, no order of maps, no CPU shows.
func TestABacktestIsTheSameEachTime(t *testing.T) {
	text := mixedLog()
	file := writeLog(t, text)
	zipped := filepath.Join(filepath.Dir(file), "access.log.gz")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(zipped, z.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(name, form string) string {
		page := filepath.Join(t.TempDir(), "page.html")
		out, said, code := backtested(t, nil, "--all", "--logs", name, form, "--html", page, "--gate", "none")
		if code != exitOK {
			t.Fatalf("exit code %d: %s", code, said)
		}
		made, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(page)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("page: mode %v, %v, want 0600: it names people's addresses", info.Mode(), err)
		}
		return strings.ReplaceAll(out+string(made), name, "LOG")
	}
	for _, form := range []string{"--json", "--json=false"} {
		first := run(file, form)
		for range 3 {
			if again := run(file, form); again != first {
				t.Fatalf("%s: another run, other bytes", form)
			}
		}
		if unzipped := run(zipped, form); unzipped != first {
			t.Errorf("%s: the same log in gzip gives other bytes", form)
		}
	}
}

// Whatever clients write, it reaches neither terminal, page nor file raw.
func TestHostileLinesAreToldEscaped(t *testing.T) {
	judged := 0
	for name, value := range hostile {
		// A line ends at its end, a quoted field at its quote: what a server would escape.
		clean := strings.NewReplacer("\n", `\n`, `"`, `\"`).Replace(value)
		var b strings.Builder
		// NULs in the first lines would make the file a binary one.
		b.WriteString(strings.Repeat(accessLine(logBegins, "192.0.2.10", "-", "GET /a-page-that-everybody-asks-for", 200, "Mozilla/5.0"), 100))
		for i := range 12 {
			at := logBegins.Add(time.Duration(i) * time.Second)
			b.WriteString(accessLine(at, "203.0.113.66", clean, "GET /x", 200, "sqlmap/1.7 "+clean))
			b.WriteString(accessLine(at, "203.0.113.67", "-", fmt.Sprintf("GET /%s?n=%d&x=%s", []string{".env", ".git/config", "wp-login.php", ".aws/credentials", "server-status"}[i%5], i, clean), 404, clean))
			b.WriteString(accessLine(at, clean, "-", "GET /", 200, "sqlmap/1.7"))
		}
		for range 700 {
			b.WriteString(accessLine(logBegins, "203.0.113.68", clean[:min(len(clean), 100)], "GET /y", 200, clean[:min(len(clean), 100)]))
		}
		file := writeLog(t, b.String())
		page := filepath.Join(t.TempDir(), "page.html")
		for _, form := range []string{"--json", "--json=false"} {
			out, said, code := backtested(t, nil, "--all", "--format", "combined", "--logs", file, form, "--html", page, "--gate", "none")
			if code != exitOK {
				t.Fatalf("%s: exit code %d: %s", name, code, said)
			}
			assertPrintable(t, "backtest "+form+": "+name, out)
			assertPrintable(t, "backtest, standard error: "+name, said)
			if form == "--json" {
				var r backtest.Result
				if err := json.Unmarshal([]byte(out), &r); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				judged += len(r.Verdicts)
			}
		}
		made, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		assertPrintable(t, "backtest --html: "+name, string(made))
		assertHarmless(t, name, made)
	}
	if judged < 2*len(hostile) {
		t.Errorf("%d verdicts over %d hostile logs: the test looks at nothing", judged, len(hostile))
	}
}

// tags finds what a browser takes for tags: text that came from a log has no < left.
var tags = regexp.MustCompile(`<[/!?]?([A-Za-z0-9]*)([^>]*)>`)

// ours are the tags of the page itself; none of them runs or loads anything.
var ours = strings.Fields("doctype html head meta title style body h1 h2 p small nav a div b span i table tr th td br details summary code svg g rect line text")

// assertHarmless finds what could run or load in a page.
func assertHarmless(t *testing.T, name string, page []byte) {
	t.Helper()
	for _, m := range tags.FindAllSubmatch(page, -1) {
		tag, attributes := strings.ToLower(string(m[1])), " "+strings.ToLower(string(m[2]))
		if !slices.Contains(ours, tag) {
			t.Errorf("%s: the page has a <%s>", name, tag)
		}
		for _, word := range []string{" on", " src="} {
			if strings.Contains(attributes, word) {
				t.Errorf("%s: the page has <%s%s>", name, tag, attributes)
			}
		}
		if at := strings.Index(attributes, "href="); at >= 0 && !strings.HasPrefix(attributes[at:], `href="#`) {
			t.Errorf("%s: the page has <%s%s>", name, tag, attributes)
		}
	}
	if n := bytes.Count(page, []byte("<")); n != len(tags.FindAllIndex(page, -1)) {
		t.Errorf("%s: %d < are not of tags", name, n-len(tags.FindAllIndex(page, -1)))
	}
}

// The same lines, asked of Log Service, and held against today's list.
func TestABacktestAsksLogServiceAndToday(t *testing.T) {
	file := writeLog(t, mixedLog())
	src, err := logfile.Open(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	lines, err := logfile.NewLines(src, logfile.Combined, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	server, client, err := localcloud.StartLogs("gateway", lines.Fields())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	defer client.Close()
	if _, err := server.LoadLines(t.Context(), "gateway", lines.Fields(), lines.Text(), func(line []byte, out *slstest.Line) (ok bool) {
		out.Time, ok = lines.Parse(line, out.Values)
		return ok
	}); err != nil {
		t.Fatal(err)
	}
	redis := miniredis.RunT(t)
	store, err := redisstore.Open(t.Context(), "redis://"+redis.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	redis.SetTime(now)
	listed, _ := threat.Address(netip.MustParseAddr("203.0.113.66"))
	if _, err := store.Put(context.Background(), blocklist.Batch{Run: "r", Now: now, Offences: []blocklist.Offence{{
		Entry: blocklist.Entry{Indicator: listed, Source: blocklist.SourceOperator, Reason: "by hand", FirstSeen: now, LastSeen: now, Count: 1}, At: now, Term: time.Hour,
	}}}); err != nil {
		t.Fatal(err)
	}
	before := redis.Dump()
	env := map[string]string{
		"SLS_ENDPOINT": server.Endpoint, "SLS_PROJECT": localcloud.Project, "SLS_LOGSTORE": "gateway", "FORMAT": "combined",
		"ALIBABA_CLOUD_ACCESS_KEY_ID": localcloud.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": localcloud.AccessSecret, "REDIS_URL": "redis://" + redis.Addr(),
	}
	out, said, code := backtested(t, env, "--all", "--sls", "--from", "2025-05-17T09:30:00Z", "--to", "2025-05-17T11:10:00Z", "--json", "--gate", "none")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, said)
	}
	var asked, read backtest.Result
	if err := json.Unmarshal([]byte(out), &asked); err != nil {
		t.Fatal(err)
	}
	if out, _, _ = backtested(t, env, "--all", "--logs", file, "--json", "--gate", "none"); json.Unmarshal([]byte(out), &read) != nil {
		t.Fatal(out)
	}
	verdicts := func(r backtest.Result) (all []string) {
		for _, v := range r.Verdicts {
			all = append(all, fmt.Sprint(v.Verdict, v.Indicator, v.Score, v.Listed))
		}
		slices.Sort(all)
		return all
	}
	if a, b := verdicts(asked), verdicts(read); !slices.Equal(a, b) || len(a) < 4 {
		t.Errorf("from Log Service %v, from the file %v", a, b)
	}
	if asked.Totals.Already == nil || *asked.Totals.Already != 1 || *asked.Totals.New == 0 {
		t.Errorf("totals %+v, want one who is on the list and others who are new", asked.Totals)
	}
	if redis.Dump() != before {
		t.Error("a backtest wrote to Redis")
	}
}

func TestLogsOfTwoServersAreOneLog(t *testing.T) {
	var one, two strings.Builder
	for i := range 400 { // 200 each in two minutes are below the rule's threshold, together they are above
		line := accessLine(logBegins.Add(time.Duration(i/4)*time.Second), "203.0.113.66", "-", "GET /", 200, "Mozilla/5.0")
		if i%2 == 0 {
			one.WriteString(line)
		} else {
			two.WriteString(line)
		}
	}
	a, b := writeLog(t, one.String()), writeLog(t, two.String())
	for _, args := range [][]string{{"--logs", a, b}, {"--logs", b, "--logs", a}} {
		out, said, code := backtested(t, nil, append([]string{"--rule", "requests-address", "--json"}, args...)...)
		var r backtest.Result
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitOK || len(r.Verdicts) != 1 || r.Verdicts[0].Rules[0].Count != 400 {
			t.Errorf("%v: exit code %d, %v, %s: %+v", args, code, err, said, r.Verdicts)
		}
	}
}

func TestABacktestRefusesWhatItCannotDo(t *testing.T) {
	combined, broken := writeLog(t, mixedLog()), writeLog(t, "no log at all\n")
	sshd := writeLog(t, "Mar 27 13:06:56 host sshd[1]: Failed password for root from 203.0.113.9 port 1 ssh2\n")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--logs", combined}, "--rule and --all"},
		{[]string{"--all", "--rule", "x", "--logs", combined}, "--rule and --all"},
		{[]string{"--all"}, "--logs and --sls"},
		{[]string{"--all", "--sls"}, "--from and --to"},
		{[]string{"--all", "--sls", "--from", "yesterday"}, "invalid value"},
		{[]string{"--all", "--sls", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"}, "the earlier one first"},
		{[]string{"--all", "--sls", "--from", "2026-01-01T00:00:00Z", "--to", "2026-01-02T00:00:00Z"}, "SLS_LOGSTORE"},
		{[]string{"--all", "--logs", combined, "--from", "2026-01-01T00:00:00Z"}, "only with --sls"},
		{[]string{"--rule", "no-such-rule", "--logs", combined}, "no-such-rule"},
		{[]string{"--rule", "ssh-failures-address", "--logs", combined}, "these logs are combined"},
		{[]string{"--all", "--logs", combined, sshd}, "one format"},
		{[]string{"--all", "--logs", broken}, "--format"},
		{[]string{"--all", "--logs", combined, "--as", "hang"}, "--as"},
		{[]string{"--all", "--logs", combined, "--gate", "some"}, "--gate"},
		{[]string{"--all", "--logs", combined, "--field", "address"}, "NAME=FIELD"},
		{[]string{"--all", "--logs", combined, "--field", `address=a"b`}, "address"},
		{[]string{"--rule", "requests-address", "--logs", combined, "--field", "address=-"}, "no field"},
		{[]string{"--all", "--logs", "-", "-"}, "read once"},
		{[]string{"--all", "--logs", combined, "--ranges", broken}, "line 1"},
		{[]string{"--all", "--logs", combined, "--allowlist", broken}, "allowlist"},
	} {
		out, said, code := backtested(t, nil, c.args...)
		if code != exitUsage || !strings.Contains(said, c.want) || out != "" {
			t.Errorf("%v: exit code %d, %q, want %d and %q", c.args, code, said, exitUsage, c.want)
		}
	}
}
