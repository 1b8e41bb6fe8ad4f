//go:build cgo

package slstest

import (
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSearch(t *testing.T) {
	s := newServer(t)
	if err := s.CreateLogstore("web", map[string]FieldType{"id": Text, "msg": Text, "status": Long, "cost": Double, "path": Text, "lone": Text}); err != nil {
		t.Fatal(err)
	}
	load(t, s, "web", []string{"id", "msg", "status", "cost", "path", "lone", "plain"},
		[]string{"1", `"rate limit for true-client-ip": 139.135.241.87`, "200", "0.5", "/a/index.html", "here", "apple"},
		[]string{"2", `limit the RATE, for true-client-ip`, "404", "1.5", "/b/index.htm"},
		[]string{"3", `rate-limit`, "503", "x", "/c?q=1"},
		[]string{"4", `pirate limits`, "x", "2.5", "/中文/路径"},
	)
	for _, tt := range []struct{ name, search, want string }{
		{"everything", `*`, "1 2 3 4"},
		{"nothing asked is everything", ``, "1 2 3 4"},
		{"a token", `limit`, "1 2"},
		{"whole tokens only", `limi`, ""},
		{"a hyphen is part of a token", `rate-limit`, "3"},
		{"case does not matter", `Rate`, "1 2"},
		{"quoted text is its tokens in any order", `"rate limit for true-client-ip:"`, "1 2"},
		{"words side by side mean and", `rate for`, "1 2"},
		{"a phrase is the text itself", `#"rate limit for"`, "1"},
		{"a phrase in a field", `msg: #"the rate"`, "2"},
		{"and", `rate and 139.135.241.87`, "1"},
		{"or", `139.135.241.87 or pirate`, "1 4"},
		{"not", `not rate`, "3 4"},
		{"and binds stronger than or", `pirate or rate and 139.135.241.87`, "1 4"},
		{"parentheses", `(pirate or rate) and 139.135.241.87`, "1"},
		{"a word named as an operator, quoted", `"and" or pirate`, "4"},
		{"tokens of different fields", `rate apple`, "1"},
		{"a field", `msg: limit`, "1 2"},
		{"in a field only", `path: limit`, ""},
		{"a field's text in quotes", `msg: "limit rate"`, "1 2"},
		{"a path is tokens", `path: index.html`, "1"},
		{"a field that is there", `lone: *`, "1"},
		{"a field that is not there", `not lone: *`, "2 3 4"},
		{"a star in a word", `path: index*`, "1 2"},
		{"a question mark in a word", `path: index.ht?l`, "1"},
		{"stars are plain in quotes", `path: "index*"`, ""},
		{"Chinese text between delimiters", `path: 路径`, "4"},
		{"a number", `status: 404`, "2"},
		{"a range", `status > 400`, "2 3"},
		{"a range with its end", `status >= 404 and status <= 404`, "2"},
		{"equality", `status = 503`, "3"},
		{"what is no number is in no range", `not status >= 0`, "4"},
		{"an interval", `status in [200 404]`, "1 2"},
		{"an interval without its ends", `status in (200 503)`, "2"},
		{"a double", `cost > 0.75`, "2 4"},
		{"the source", `__source__: x`, ""},
		{"delimiters alone ask for nothing", `"::"`, "1 2 3 4"},
		{"a bar in quotes is no SQL", `"rate|x"`, ""},
		{"an escaped quotation mark", `"\"rate"`, "1 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := mustAsk(t, s, "web", tt.search)
			var got []string
			for _, row := range r.Rows {
				got = append(got, row["id"])
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s finds %q, want %q", tt.search, s, tt.want)
			}
		})
	}
	for _, bad := range []string{`(`, `)`, `a and`, `or a`, `not`, `msg:`, `"a`, `*a`, `status > x`, `status: x`, `status in [1`, `status in [1 2`, `a : b : c`, `nope: 1`, strings.Repeat("(", 200)} {
		if _, err := ask(s, "web", bad); err == nil || !strings.Contains(err.Error(), "ParameterInvalid") {
			t.Errorf("%.30s: %v, want ParameterInvalid", bad, err)
		}
	}
}

// TestMatcherFindsTokens compares the matcher with the plain definition: split, fold, look up.
func TestMatcherFindsTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		letters := rapid.SampledFrom([]rune("aAbB-1 :,é"))
		text := rapid.StringOfN(letters, 0, 30, -1).Draw(t, "text")
		query := rapid.StringOfN(letters, 0, 6, -1).Draw(t, "query")
		tok := newTokenizer(defaultDelimiters, rapid.Bool().Draw(t, "case"))
		fold := strings.ToLower
		if tok.caseSensitive {
			fold = func(s string) string { return s }
		}
		have := map[string]bool{}
		for _, token := range tok.tokens(text) {
			have[fold(token)] = true
		}
		want := true
		for _, token := range tok.tokens(query) {
			want = want && have[fold(token)]
		}
		m := newMatcher(searchText{text: query, quoted: true}, tok)
		if got := m.matches([][]byte{nil, []byte(text)}); got != want {
			t.Fatalf("%q in %q = %t, want %t", query, text, got, want)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		glob, text string
		want       bool
	}{
		{"a*", "abc", true},
		{"a*c", "abc", true},
		{"a*c", "abd", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a*b*c", "aXbYbZc", true},
		{"a**", "A", true},
		{"a" + strings.Repeat("*a", 50), strings.Repeat("a", 30) + "b", false},
	} {
		if got := globMatch([]byte(tt.glob), []byte(tt.text), false); got != tt.want {
			t.Errorf("globMatch(%q, %q) = %t", tt.glob, tt.text, got)
		}
	}
}

func TestRawLogs(t *testing.T) {
	s := newServer(t)
	if err := s.CreateLogstore("web", nil); err != nil {
		t.Fatal(err)
	}
	load(t, s, "web", []string{"id", "Id"}, []string{"1", "x"}, []string{"2"}, []string{"3"})
	r := mustAsk(t, s, "web", `*`)
	want := []map[string]string{
		{"id": "1", "Id": "x", "__time__": "1746856440", "__source__": "", "__topic__": ""},
		{"id": "2", "__time__": "1746856441", "__source__": "", "__topic__": ""},
		{"id": "3", "__time__": "1746856442", "__source__": "", "__topic__": ""},
	}
	if d := cmp.Diff(want, r.Rows); d != "" {
		t.Error(d)
	}
	sort.Strings(r.Keys)
	if d := cmp.Diff([]string{"Id", "__source__", "__time__", "__topic__", "id"}, r.Keys); d != "" {
		t.Error(d)
	}
	if r.HasSQL || r.Processed != 3 {
		t.Errorf("result = %+v", r)
	}
}
