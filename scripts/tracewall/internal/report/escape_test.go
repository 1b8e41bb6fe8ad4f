package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

func TestSafeEscapesWhateverATerminalWouldObeyOrHide(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"colours":                     {"\x1b[31mred\x1b[0m", `\x1b[31mred\x1b[0m`},
		"a title":                     {"\x1b]0;root@host\x07", `\x1b]0;root@host\x07`},
		"a hyperlink":                 {"\x1b]8;;http://a.example\x1b\\text\x1b]8;;\x1b\\", `\x1b]8;;http://a.example\x1b\text\x1b]8;;\x1b\`},
		"C1 as UTF-8":                 {"\u009b31m\u009d0;x\u009c\u0085", `\u009b31m\u009d0;x\u009c\u0085`},
		"C1 as a byte":                {"\x9b31m", `\x9b31m`},
		"overriding the direction":    {"\u202egpj.exe\u202c", `\u202egpj.exe\u202c`},
		"isolating the direction":     {"\u2066a\u2067b\u2068c\u2069", `\u2066a\u2067b\u2068c\u2069`},
		"marks of direction":          {"a\u200eb\u200fc\u061cd", `a\u200eb\u200fc\u061cd`},
		"nothing to see":              {"a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg", `a\u200bb\u200cc\u200dd\u2060e\ufefff\u00adg`},
		"nothing to see, as a letter": {"a\u3164b\u115fc\uffa0d\u2800e\u034ff", `a\u3164b\u115fc\uffa0d\u2800e\u034ff`},
		"variation selectors":         {"a\ufe0fb\U000e0100c", `a\ufe0fb\U000e0100c`},
		"tags":                        {"a\U000e0041b", `a\U000e0041b`},
		"line ends":                   {"a\nb\rc\u2028d\u2029e\vf", `a\nb\rc\u2028d\u2029e\x0bf`},
		"a NUL":                       {"a\x00b\x7f", `a\x00b\x7f`},
		"odd spaces":                  {"a\u00a0b\u3000c", `a\u00a0b\u3000c`},
		"bytes that are no UTF-8":     {"a\xffb\xc0\xaf\xed\xa0\x80", `a\xffb\xc0\xaf\xed\xa0\x80`},
		"half a character":            {"a\xe4\xbd", `a\xe4\xbd`},
		"people's languages":          {"活动 é ñ Ж ع 😀", "活动 é ñ Ж ع 😀"},
		"quotes and markup":           {`<b>"x" & 'y'</b> \ =cmd|'/c calc'!A1`, `<b>"x" & 'y'</b> \ =cmd|'/c calc'!A1`},
		"the replacement character":   {"a\ufffdb", "a\ufffdb"},
	} {
		if got := report.Safe(tt.text); got != tt.want {
			t.Errorf("%s: Safe(%q) = %q, want %q", name, tt.text, got, tt.want)
		}
	}
}

func harmless(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.Bidi_Control, r) })
}

func TestWhateverComesInIsHarmlessAndJSONKeepsItsValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		if got := report.Safe(text); !harmless(got) || report.Safe(got) != got {
			t.Fatalf("Safe(%q) = %q", text, got)
		}
		var out bytes.Buffer
		if err := report.EncodeJSON(&out, map[string]string{text: text}); err != nil {
			t.Fatal(err)
		}
		if line := strings.TrimSuffix(out.String(), "\n"); !harmless(line) {
			t.Fatalf("JSON = %q", line)
		}
		plain, err := json.Marshal(map[string]string{text: text})
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]string
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, &want); err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || len(want) != 1 {
			t.Fatalf("%q became %q", text, got)
		}
		for key, value := range want {
			if got[key] != value {
				t.Fatalf("%q became %q", text, got)
			}
		}
	})
}
