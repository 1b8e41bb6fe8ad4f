package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// hostile is what clients write into logs, hoping that somebody looks at them.
var hostile = map[string]string{
	"colours":            "\x1b[31mred\x1b[0m",
	"a window's title":   "\x1b]0;root@host\x07",
	"a hyperlink":        "\x1b]8;;http://evil.example/\x1b\\click\x1b]8;;\x1b\\",
	"a clipboard":        "\x1b]52;c;cm0gLXJmIC8=\x07",
	"C1 controls":        "\u009b31mred\u009d0;title\u009c",
	"C1 as bytes":        "\x9b31mred\x9d0;title\x9c",
	"bidi overrides":     "\u202egpj.exe\u202c \u2066a\u2069 \u200f",
	"zero width":         "ad\u200bmin\u200d\u2060\ufeff\u00ad",
	"invisible letters":  "ad\u3164min\u115f\uffa0\u2800",
	"HTML":               `<img src=x onerror=alert(1)>"><script>alert(1)</script>`,
	"a CSV formula":      `=cmd|'/c calc'!A1`,
	"another formula":    `@SUM(1+9)*cmd|' /C calc'!A0`,
	"line ends":          "x\r\n203.0.113.1 - - [forged] \"GET / HTTP/1.1\"\n\v\f\u0085\u2028",
	"NULs":               "a\x00b\x7f",
	"not UTF-8":          "\xff\xfe\xc0\xaf\xed\xa0\x80",
	"backspaces":         "good\b\b\b\bevil\r",
	"64 KB":              strings.Repeat("A\x1b[31m", 64<<10/6),
	"64 KB of nothing":   strings.Repeat("\u200b", 64<<10/3),
	"a quote and a nl":   "\"\n}, \"x\": \"",
	"combining":          "Z\u034f\u0310a\u0489lgo",
	"a rule's own words": "{{threshold}} %s %!d(MISSING) ${HOME} `id` $(id)",
}

// assertPrintable fails for every character that a terminal could take for a command, that turns text around or that
// nobody sees; only our own line ends and tabs are none of these.
func assertPrintable(t *testing.T, where, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: is not UTF-8: %.200q", where, text)
	}
	for i, line := range strings.Split(text, "\n") {
		for _, r := range line {
			if r != '\t' && !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
				t.Errorf("%s: line %d has %U raw: %.200q", where, i+1, r, line)
				break
			}
		}
	}
}

// hostileRules are rules whose rows the test makes up.
func hostileRules() []detect.Rule {
	common := detect.Columns{Count: "cnt", Window: "window_start", Sample: "sample", Countries: "country", Also: "also"}
	address, account, path, agent := common, common, common, common
	address.Accounts = "accounts"
	account.Addresses = "addresses"
	for _, c := range []*detect.Columns{&path, &agent} {
		c.Clients, c.Addresses, c.Accounts = "clients", "addresses", "accounts"
	}
	rule := func(id string, s detect.Subject, c detect.Columns, action threat.Action) detect.Rule {
		return detect.Rule{
			ID: id, Version: 1, Title: id, Class: "flood", Severity: threat.High, Subject: s, Columns: c, Counted: "requests", Also: "paths", Window: 2 * time.Minute,
			Threshold: 20, Action: action, Term: time.Hour, Query: id + " | select {{window}} limit 1000000", Tags: []string{"flood"},
		}
	}
	return []detect.Rule{
		rule("by-account", detect.Subject{Kind: threat.KindAccount, Column: "account"}, account, threat.Block),
		rule("by-address", detect.Subject{Kind: threat.KindAddress, Column: "ip"}, address, threat.Block),
		rule("by-agent", detect.Subject{Campaign: "agent", Column: "agent"}, agent, threat.Observe),
		rule("by-path", detect.Subject{Campaign: "path", Column: "path"}, path, threat.Challenge),
	}
}

// hostileLogs answers each rule with rows that are full of one value.
type hostileLogs struct{ value string }

func (l hostileLogs) Query(_ context.Context, _, query string, _, _ time.Time, _ int) ([]map[string]string, error) {
	list, err := json.Marshal([]string{l.value, "mallory-the-great"})
	if err != nil {
		return nil, err
	}
	row := func(more map[string]string) map[string]string {
		all := map[string]string{
			"cnt": "100", "window_start": strconv.FormatInt(asOf.Unix()-asOf.Unix()%120, 10), "sample": l.value, "country": l.value, "also": l.value,
			"accounts": string(list), "clients": "300", "addresses": `["203.0.113.7"]`,
		}
		for k, v := range more {
			all[k] = v
		}
		return all
	}
	switch id, _, _ := strings.Cut(query, " "); id {
	case "by-account":
		return []map[string]string{row(map[string]string{"account": l.value}), row(map[string]string{"account": "mallory-the-great"})}, nil
	case "by-address":
		return []map[string]string{row(map[string]string{"ip": l.value}), row(map[string]string{"ip": "203.0.113.7"}), row(map[string]string{"ip": "203.0.113.8", "country": string(list)})}, nil
	case "by-agent":
		return []map[string]string{row(map[string]string{"agent": l.value})}, nil
	default:
		return []map[string]string{row(map[string]string{"path": "/" + l.value})}, nil
	}
}

// TestNothingHostileReachesATerminal sends each value the whole way: rows, verdicts, list, cases and report in Redis, and
// from there through every command that shows them, as text and as JSON.
func TestNothingHostileReachesATerminal(t *testing.T) {
	for name, value := range hostile {
		t.Run(name, func(t *testing.T) {
			redis := miniredis.RunT(t)
			store, err := redisstore.Open(t.Context(), "redis://"+redis.Addr())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			if err := store.SaveAllowlist(t.Context(), allowlist.List{}); err != nil {
				t.Fatal(err)
			}
			runner := detect.Runner{
				Logs: hostileLogs{value}, List: store, Rules: hostileRules(), Logstore: "gateway", Clock: func() time.Time { return asOf.Add(2 * time.Minute) },
				Allowlist: func(ctx context.Context) (detect.Checker, error) { return store.Allowlist(ctx) },
				Network:   func(netip.Addr) string { return value },
			}
			run := func(id string) (detect.Report, error) {
				return runner.Run(t.Context(), detect.Request{From: asOf.Add(-time.Hour), To: asOf.Add(2 * time.Minute), Now: asOf.Add(2 * time.Minute), Run: id})
			}
			report, err := run("first")
			if err != nil || report.Blocked < 3 || report.Campaigns != 2 || len(report.BlockedList) < 3 {
				t.Fatalf("%d blocked, %d campaigns, error %v", report.Blocked, report.Campaigns, err)
			}
			a := &app{now: func() time.Time { return asOf.Add(3 * time.Minute) }, lookup: envOf(map[string]string{"REDIS_URL": "redis://" + redis.Addr(), "USER": value})}
			a.show(t, "list", "list")
			a.show(t, "explain an address", "explain", "203.0.113.7")
			a.show(t, "explain an account", "explain", "account:mallory-the-great", "--accounts")
			a.show(t, "why-not", "why-not", "203.0.113.8")
			a.show(t, "campaigns", "campaigns", "--propose", "--accounts")

			// Held by the brake, with the value in the held list.
			redis.FlushAll()
			if err := store.SaveAllowlist(t.Context(), allowlist.List{}); err != nil {
				t.Fatal(err)
			}
			runner.Policy.Brake.MaxNew = 1
			if held, err := run("second"); err == nil || held.HeldFor == "" {
				t.Fatalf("held for %q, error %v", held.HeldFor, err)
			}
			a.show(t, "approve detect", "approve", "detect", "--accounts")
		})
	}
}

// show runs a command as text and as JSON and looks at every character that it prints.
func (a *app) show(t *testing.T, where string, args ...string) {
	t.Helper()
	for _, asJSON := range []bool{false, true} {
		var out, errs bytes.Buffer
		a.stdout, a.stderr = &out, &errs
		if asJSON {
			where, args = where+" as JSON", append(args, "--json")
		}
		if code := a.main(t.Context(), args); code != exitOK {
			t.Errorf("%s: exit code %d: %s", where, code, errs.String())
		}
		assertPrintable(t, where, out.String()+errs.String())
		if asJSON && !json.Valid(out.Bytes()) {
			t.Errorf("%s: not JSON: %.300s", where, out.String())
		}
		for i, line := range strings.Split(out.String(), "\n") {
			if !asJSON && len(line) > 4096 {
				t.Errorf("%s: line %d has %d bytes", where, i+1, len(line))
			}
		}
	}
}

func TestWhatIsHostileInARuleFileIsToldEscaped(t *testing.T) {
	for name, value := range hostile {
		var b bytes.Buffer
		r := shippedRule(t, "rate-limit-address")
		r.ID, r.Title, r.Description, r.Counted, r.Tags = value, value, value, value, []string{value}
		r.Tests = []detect.Test{{Name: value}, {Name: value, Want: []detect.TestWant{{Subject: value}}}}
		r.Fields = map[string]string{value: value}
		explainRule(r).print(&b)
		assertPrintable(t, fmt.Sprintf("rules explain: %s", name), b.String())
	}
}
