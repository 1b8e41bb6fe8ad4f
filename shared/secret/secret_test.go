package secret_test

import (
	"bytes"
	"encoding"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/secret"
)

const text = "hunter2-hunter2"

type document struct {
	Token secret.Secret
}

func TestNoWayOfPrintingShowsTheSecret(t *testing.T) {
	t.Parallel()
	s := secret.Secret(text)
	nested := struct {
		Token   secret.Secret
		Pointer *secret.Secret
		List    []secret.Secret
		ByName  map[string]secret.Secret
	}{s, &s, []secret.Secret{s}, map[string]secret.Secret{"a": s}}

	var out []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10s", "%!"} {
		out = append(out, fmt.Sprintf(verb, s), fmt.Sprintf(verb, nested))
	}
	out = append(out, fmt.Sprint(s), s.String(), s.GoString(), fmt.Errorf("token %s: %w", s, errors.New("refused")).Error())
	for _, v := range []any{s, nested, &s} {
		js, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("marshal: %v", err)
		}
		out = append(out, string(js))
	}
	x, err := xml.Marshal(document{s})
	if err != nil {
		t.Fatalf("marshal xml: %v", err)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("m", "a", s, "b", nested, "c", &s)
	slog.New(slog.NewTextHandler(&logged, nil)).Info("m", "a", s, "b", nested, "c", &s)
	out = append(out, string(x), logged.String())

	for _, got := range out {
		for _, leak := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte(text))} {
			if strings.Contains(got, leak) {
				t.Errorf("secret shown in %q", got)
			}
		}
	}
	if got := fmt.Sprintf("%v %s", s, nested); strings.Count(got, "[redacted]") < 4 {
		t.Errorf("printed %q, want [redacted] in place of each secret", got)
	}
	if s.Reveal() != text {
		t.Errorf("Reveal = %q, want the text", s.Reveal())
	}
}

// One of these alone would do for most printers, until somebody writes one that looks for another.
var (
	_ fmt.Formatter          = secret.Secret("")
	_ fmt.Stringer           = secret.Secret("")
	_ fmt.GoStringer         = secret.Secret("")
	_ json.Marshaler         = secret.Secret("")
	_ encoding.TextMarshaler = secret.Secret("")
	_ slog.LogValuer         = secret.Secret("")
)

// That the comparison takes the same time whatever is compared cannot be measured
// reliably, so the source is asked.
func TestMatchesComparesInConstantTime(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "secret.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var calls []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name != "Matches" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				calls = append(calls, fmt.Sprint(s.X, ".", s.Sel))
			}
			return true
		})
	}
	for _, want := range []string{"subtle.ConstantTimeCompare", "sha256.Sum256"} {
		if !slices.Contains(calls, want) {
			t.Errorf("Matches calls %v, want %s", calls, want)
		}
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		secret secret.Secret
		text   string
		want   bool
	}{
		{"the same text matches", text, text, true},
		{"another text of the same length does not", text, "hunter2-hunter3", false},
		{"a beginning does not", text, text[:5], false},
		{"a longer text does not", text, text + "x", false},
		{"nothing does not", text, "", false},
		{"an unset secret matches nothing, not even nothing", "", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.secret.Matches(tc.text); got != tc.want {
				t.Errorf("Matches = %v, want %v", got, tc.want)
			}
		})
	}
}
