package webattack

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// hostile are shapes that make naive matchers slow, filled to n bytes.
func hostile(n int) map[string]string {
	fill := func(s string) string { return strings.Repeat(s, n/len(s)+1)[:n] }
	return map[string]string{
		"quotes":              "/?q=" + fill("'"),
		"nested quotes":       "/?q=" + fill(`'"`+"`"),
		"comments":            "/?q=" + fill("/*"),
		"closed comments":     "/?q=" + fill("/**/"),
		"server comments":     "/?q=" + fill("/*!"),
		"comment, never shut": "/?q=/*" + fill("a*b") + "*/",
		"dashes":              "/?q=" + fill("--"),
		"0xff":                "/?q=" + fill("\xff"),
		"overlong":            "/?q=" + fill("%c0%ae"),
		"percent":             "/?q=" + fill("%"),
		"percent of percent":  "/?q=" + fill("%25"),
		"many layers":         "/?q=" + fill("%252525252527"),
		"brackets":            "/?q=" + fill("("),
		"square brackets":     "/?q=" + fill("[]("),
		"angles":              "/?q=" + fill("<"),
		"tags":                "/?q=" + fill("<a "),
		"comment tags":        "/?q=" + fill("<!--"),
		"percent tags":        "/?q=" + fill("<%25a"),
		"attributes":          "/?q=<a " + fill("a=b "),
		"entities":            "/?q=" + fill("%26%23000000"),
		"unions":              "/?q=" + fill("union "),
		"union selects":       "/?id=" + fill("union select "),
		"ors":                 "/?id=" + fill(" or "),
		"or words":            "/?id=" + fill("1 or a "),
		"steps up":            "/?q=" + fill("..;"),
		"dots":                "/?q=" + fill("."),
		"jndi":                "/?q=" + fill("${jnd"),
		"nested lookups":      "/?q=" + fill("${lower:"),
		"parameters":          "/?" + fill("a='&"),
		"path elements":       "/" + fill("'/"),
		"semicolons":          "/?q=" + fill(";cat "),
		"commands":            "/?x=" + fill(";time "),
		"blanks":              "/?q=" + fill(" "),
		"if":                  "/?x=if " + fill(" equ "),
		"for":                 "/?x=" + fill("for /f in ( "),
		"select without from": "/?id=" + fill("select a,b,"),
		"casts":               "/?id=" + fill("a::in"),
		"dollars":             "/?q=" + fill("$a("),
		"braces":              "/?q=" + fill("{{"),
		"php calls":           "/?x=" + fill("exec ("),
		"on":                  "/?x=" + fill(" onload ="),
		"script":              "/?x=" + fill("<s c r i "),
		"nul":                 "/?q=" + fill("%00"),
		"words":               "/?q=" + fill("lorem ipsum dolor sit amet "),
		"backslashes":         "/?q=" + fill(`\`),
		"escapes":             "/?q=" + fill(`\u0025`),
		"a name":              "/" + fill("a"),
	}
}

// What a hostile line costs is bounded: expressions and libinjection, the dear part,
// read no more of a long line than of a short one, and the rest grows with the line.
func TestTheWorkOnAHostileLineIsBounded(t *testing.T) {
	read := func(f field, text string) scan {
		s := scan{}
		s.field(f, text)
		return s
	}
	long := hostile(1 << 19)
	for name, text := range hostile(1 << 18) {
		for _, f := range []field{inPath, inAgent} {
			one, two := read(f, text), read(f, long[name])
			if one.work > maxWork || two.work > maxWork {
				t.Errorf("%s as %s: expressions read %d and %d bytes, want at most %d", name, f, one.work, two.work, maxWork)
			}
			// A field ends with its last value, which is read to the end.
			if most := maxRead + 2*3*maxValue; one.read > most || two.read > most {
				t.Errorf("%s as %s: libinjection reads %d and %d bytes, want at most %d", name, f, one.read, two.read, most)
			}
			const views = (2 + maxChunks) * 6 * (chunk + 2)
			if most := len(text)*chunk/(chunk-overlap) + views; one.total > most {
				t.Errorf("%s as %s: automata read %d bytes of %d, want at most %d", name, f, one.total, len(text), most)
			}
			if most := len(long[name])*chunk/(chunk-overlap) + views; two.total > most {
				t.Errorf("%s as %s: automata read %d bytes of %d, want at most %d", name, f, two.total, len(long[name]), most)
			}
		}
	}
}

func TestAttacksInALongLineAreFoundAtBothEnds(t *testing.T) {
	attack := "a=1%27%20union%20select%201,2--%20-"
	padding := strings.Repeat("b=c&", 100_000)
	for name, path := range map[string]string{
		"at its beginning":             "/?" + attack + "&" + padding,
		"at its end":                   "/?" + padding + attack,
		"between":                      "/?" + padding + attack + "&" + padding,
		"between, with plus signs":     "/?" + padding + "a=x;drop+table+users&" + padding,
		"across two pieces":            "/?" + strings.Repeat("x", chunk-20) + "=1&" + attack + "&" + padding,
		"behind decoys":                "/?" + strings.Repeat("q=or+1&", 40_000) + attack,
		"before decoys":                "/?" + attack + strings.Repeat("&q=or+1", 40_000),
		"behind decoys of all its own": "/?" + strings.Repeat("q=union+jack&", 40_000) + attack,
	} {
		found := Inspect(Request{Path: path})
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Class == SQLInjection }) {
			t.Errorf("%s: %q", name, found)
		}
	}
	decoys := strings.Repeat("q=or+1&", 40_000)
	if found := Inspect(Request{Path: "/?" + decoys + "x=xp_cmdshell&" + decoys}); len(found) == 0 || found[0].Class != SQLInjection {
		t.Errorf("a phrase that is enough, between decoys: %q", found)
	}
	// Each word wakes another pattern.
	woken := "a=" + strings.Repeat("sleep+well+union+jack+select+one+case+when+having+fun+where+to+", 200)
	if found := Inspect(Request{Path: "/?" + woken + "&b=setInterval(code,1)"}); !slices.ContainsFunc(found, func(f Finding) bool { return f.Class == XSS }) {
		t.Errorf("behind %d bytes that wake many patterns: %q", len(woken), found)
	}
}

// An ordinary request is looked at without touching the heap.
func TestAnOrdinaryRequestAllocatesNothing(t *testing.T) {
	r := Request{
		Path:    "/products/42/reviews?page=2&sort=newest&lang=en",
		Agent:   "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
		Referer: "https://shop.example.com/search?q=red+shoes",
	}
	Inspect(r)
	if n := testing.AllocsPerRun(100, func() { Inspect(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheAutomatonFindsWhatStringsFinds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x01")), 1, 5, -1)
		phrases := rapid.SliceOfNDistinct(word, 1, 12, rapid.ID[string]).Draw(t, "phrases")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("abc\x01")), 0, 60, -1).Draw(t, "text")
		a := newAutomaton(phrases)
		got := map[[2]int]bool{}
		a.each([]byte(text), func(n, end int) { got[[2]int{n, end}] = true })
		want := map[[2]int]bool{}
		first := -1
		for n, p := range phrases {
			for i := range text {
				if strings.HasPrefix(text[i:], p) {
					want[[2]int{n, i + len(p)}] = true
					if first < 0 || i+len(p) < first {
						first = i + len(p)
					}
				}
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%q in %q: %v, want %v", phrases, text, got, want)
		}
		for w := range want {
			if !got[w] {
				t.Fatalf("%q in %q: no %v", phrases, text, w)
			}
		}
		if f := a.first([]byte(text)); f != first {
			t.Fatalf("%q in %q: first ends at %d, want %d", phrases, text, f, first)
		}
	})
}

// Texts are in lower case and phrases stand in them as decoded: a phrase that does not
// would never be found.
func TestPhrasesCanStandInATextAsItIsLookedThrough(t *testing.T) {
	for _, p := range patterns().patterns {
		if len(p.phrases) == 0 || p.class == "" || p.name == "" {
			t.Errorf("%+v", p)
		}
		for _, phrase := range p.phrases {
			if len(phrase) < 2 && !slices.Contains([]string{"`", "$", "\n", ";", "\x00"}, phrase) || len(phrase) > 200 {
				t.Errorf("%s: phrase %q is too short to narrow anything, or too long", p.name, phrase)
			}
			for i := range len(phrase) {
				if b := phrase[i]; b != edge && b != equals && lower[b] != b {
					t.Errorf("%s: phrase %q never stands in a text: %q", p.name, phrase, b)
				}
			}
		}
	}
}

// Views are never longer than what they are made from by more than the two edges.
func TestViewsDoNotGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(`%25u0cae2f&#x;lt\{}"'/*! .`)))).Draw(t, "raw")
		text, _ := decodeURL(nil, raw, false)
		whole := unwrap(slices.Clone(text))
		tight, bare := squeeze(slices.Clone(whole)), unquote(slices.Clone(whole))
		if len(text) != len(raw)+2 && len(text) > len(raw)+2 || len(whole) > len(text)+len(text)/2 || len(tight) > len(whole) || len(bare) > len(whole) {
			t.Fatalf("%q: %d, %d, %d, %d", raw, len(text), len(whole), len(tight), len(bare))
		}
	})
}
