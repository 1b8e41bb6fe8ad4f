package logfile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
)

// fine are lines of each format, with a place for what a client sends.
var fine = map[logfile.Format]string{
	logfile.Story:    `[10/May/2025:13:55:36 +0800] "GET / HTTP/1.1" 200 1 "-" "%s" "trace_id": t`,
	logfile.Combined: `192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 2 "-" "%s"`,
	logfile.SSHD:     `Mar 27 13:06:56 h sshd[1]: Failed password for invalid user %s from 192.0.2.7 port 1 ssh2`,
	logfile.JSONL:    `{"ts":1780000000,"ip":"192.0.2.7","agent":"%s"}`,
	logfile.ErrorLog: `2024/01/15 03:42:17 [error] 1#1: *1 limiting requests, client: 192.0.2.7, server: _, request: "GET %s HTTP/1.1"`,
}

func TestNothingThatAClientSendsIsFatal(t *testing.T) {
	for name, sent := range map[string]string{
		"a NUL byte":             "a\x00b",
		"NUL bytes":              strings.Repeat("\x00", 100),
		"what is no UTF-8":       "\xff\xfe\xc3(\xed\xa0\x80",
		"a very long agent":      strings.Repeat("A", 64<<10),
		"terminal escapes":       "\x1b]0;x\x07\x1b[2J",
		"a carriage return":      "a\rb",
		"other ends of lines":    "a\u2028b\u0085c\vd\fe",
		"a byte order mark":      "\ufeff",
		"quotes and backslashes": `\\\"\\`,
	} {
		for format, line := range fine {
			first := fmt.Sprintf(line, "x")
			for where, text := range map[string]string{
				"first": fmt.Sprintf(line, sent) + "\n" + first + "\n",
				"last":  first + "\n" + fmt.Sprintf(line, sent),
				"CRLF":  first + "\r\n" + fmt.Sprintf(line, sent) + "\r\n" + first + "\r\n",
			} {
				rows, stats, err := read(t, text, format)
				want := strings.Count(strings.TrimRight(text, "\r\n"), "\n") + 1
				if err != nil || int64(len(rows))+stats.Refused != int64(want) || len(rows) == 0 {
					t.Errorf("%s, %s, %s: %d rows, %d refused, %v; want %d lines", name, format, where, len(rows), stats.Refused, err, want)
				}
			}
		}
	}
}

func TestAByteOrderMarkIsNoPartOfTheFirstLine(t *testing.T) {
	for format, line := range fine {
		line = fmt.Sprintf(line, "x")
		for _, f := range []logfile.Format{format, logfile.Auto} {
			rows, stats, err := read(t, "\ufeff"+line+"\r\n"+line+"\r\n", f)
			if err != nil || len(rows) != 2 || rows[0]["msg"] != line || stats.Refused > 0 {
				t.Errorf("%s as %s: %v, %v", format, f, rows, err)
			}
		}
	}
}

func TestALogWithAHoleInItIsStillAText(t *testing.T) {
	line := fmt.Sprintf(fine[logfile.Combined], "x")
	rows, stats, err := read(t, strings.Repeat("\x00", 4096)+line+"\n"+line+"\n"+line+"\n", logfile.Combined)
	if err != nil || len(rows) != 2 || stats.Refused != 1 {
		t.Errorf("%d rows, %d refused, %v", len(rows), stats.Refused, err)
	}
}

// Our own reader of JSON agrees with the standard library's on every object; it only lets raw
// control characters and bytes that are no UTF-8 pass inside of texts.
func TestJSONIsReadAsTheStandardLibraryReadsIt(t *testing.T) {
	broken := rapid.SampledFrom([]string{"", "", "", ",", "}", "]", `"`, `\`, "x", "1e", "-", "01", "nul", "{", "[", " ", `\u12`, ":"})
	text := rapid.SampledFrom([]string{"", "a", `\"`, `\\`, `\u0041`, `\ud83d\ude00`, `\ud83d`, `\ude00x`, `\n`, "é", "192.0.2.7", `\/`, `\x`, `\u00`, `\ud83dA`})
	var anything *rapid.Generator[string]
	scalars := rapid.SampledFrom([]string{"1", "-0.5e+7", "true", "false", "null", "0", "1E3", "12345678901234567890", "01", "+1", "1.", ".5", "nan"})
	anything = rapid.Custom(func(t *rapid.T) string {
		switch rapid.IntRange(0, 5).Draw(t, "kind") {
		case 0:
			return "{" + strings.Join(rapid.SliceOfN(rapid.Map(rapid.Deferred(func() *rapid.Generator[string] { return anything }), func(v string) string { return `"k":` + v }), 0, 2).Draw(t, "members"), ",") + "}"
		case 1:
			return "[" + strings.Join(rapid.SliceOfN(rapid.Deferred(func() *rapid.Generator[string] { return anything }), 0, 2).Draw(t, "elements"), " , ") + "]"
		case 2:
			return scalars.Draw(t, "scalar") + broken.Draw(t, "broken")
		default:
			return `"` + text.Draw(t, "a") + text.Draw(t, "b") + `"`
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		v := anything.Draw(t, "v")
		line := `{"ts":1780000000,"v":` + v + `,"w":"end"}`
		var want map[string]any
		valid := json.Unmarshal([]byte(line), &want) == nil
		src, err := logfile.Open("-", strings.NewReader(`{"ts":1780000000,"v":"x","w":"y"}`+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		lines, err := logfile.NewLines(src, logfile.JSONL, now)
		if err != nil {
			t.Fatal(err)
		}
		values := make([][]byte, len(lines.Fields()))
		_, ok := lines.Parse([]byte(line), values)
		if ok != valid {
			t.Fatalf("%s: read = %v, the standard library says %v", line, ok, valid)
		}
		if !ok {
			return
		}
		got := map[string]string{}
		for i, name := range lines.Fields() {
			got[name] = string(values[i])
		}
		if s, isText := want["v"].(string); isText && got["v"] != s || got["w"] != "end" {
			t.Fatalf("%s: read %q, want %q", line, got, want)
		}
	})
}

func TestDeepJSONIsRefusedAndDoesNotRecurse(t *testing.T) {
	fineLine := fmt.Sprintf(fine[logfile.JSONL], "x")
	for _, deep := range []string{strings.Repeat("[", 200_000), strings.Repeat(`{"a":`, 100_000), strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		rows, stats, err := read(t, fineLine+"\n"+`{"ts":1780000000,"ip":"192.0.2.7","a":`+deep+"}\n", logfile.JSONL)
		if err != nil || len(rows) != 1 || stats.Refused != 1 {
			t.Errorf("%.20s…: %d rows, %d refused, %v", deep, len(rows), stats.Refused, err)
		}
	}
}
