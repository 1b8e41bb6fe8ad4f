package targets_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/targets"
)

// wall is a target on a cloud of the test's, with a key of every type.
type wall struct {
	Name, Colour, Code string
	Size               int
	On                 bool
	Gates              []string
	Labels             map[string]string
	Runs               targets.Runs
}

var keys = []string{"name", "colour", "size", "on", "gates", "answer", "labels", "sync", "drift", "max_release", "max_add"}

func letters(s string) bool { return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == "" }

func readWall(f targets.Fields) wall {
	w := wall{
		Name:   f.Name(8),
		Colour: f.Optional("colour", "red or blue", targets.OneOf("red", "blue")),
		Size:   f.Number("size", 2, 9),
		On:     f.Flag("on"),
		Gates: f.List("gates", targets.List{
			Want: "an array of gates", Most: 4, TooMany: "at most 4 gates", Each: "a gate of a-z", Is: letters, Noun: "gate",
			Else: func(s string) string {
				if s == "shut" {
					return "a gate that is open"
				}
				return ""
			},
		}),
		Runs: f.Runs(),
	}
	if in, ok := f.Object("answer", "code", "text"); ok {
		w.Code = in.Required("code", "a code of a-z", letters)
		if !in.Has("code") {
			in.Refuse("it goes with code, which is not there", "text")
		}
	}
	if in, ok := f.Members("labels", "an object of 1 or 2 labels", 2); ok {
		w.Labels = map[string]string{}
		for _, key := range in.Keys() {
			if !letters(key) {
				in.BadKey(key, "a label of a-z")
			}
			w.Labels[key] = in.Optional(key, "a label's text of a-z", letters)
		}
	}
	f.ClaimName(w.Name)
	for _, gate := range w.Gates {
		f.Claim("gates", gate, "a gate that target %d does not have in the same colour", w.Colour)
	}
	return w
}

func parse(text string) ([]wall, error) { return targets.Parse(text, keys, readWall) }

func TestWhatIsThereIsRead(t *testing.T) {
	got, err := parse(` [{"name":"a"},
		{"name":"b-2","colour":"red","size":9,"on":true,"gates":["north","south"],"answer":{"code":"no","text":7},"labels":{"x":"y"},
		 "sync":"observe","drift":"report","max_release":100,"max_add":1000000}] `)
	if err != nil {
		t.Fatal(err)
	}
	want := []wall{{Name: "a"}, {
		Name: "b-2", Colour: "red", Size: 9, On: true, Gates: []string{"north", "south"}, Code: "no", Labels: map[string]string{"x": "y"},
		Runs: targets.Runs{Sync: "observe", Drift: "report", MaxRelease: 100, MaxAdd: 1_000_000},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneArrayOfObjectsIsWantedAndNothingElse(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "targets: want a JSON array of objects: EOF",
		"[":                            "targets: want a JSON array of objects: unexpected EOF",
		"{}":                           "targets: want a JSON array of objects: json: cannot unmarshal object into Go value of type []json.RawMessage",
		"null":                         "targets: want at least one target, got an empty array",
		"[]":                           "targets: want at least one target, got an empty array",
		`[{"name":"a"}] x`:             "targets: want one JSON array and nothing after it",
		`[{"name":"a"}][]`:             "targets: want one JSON array and nothing after it",
		`[{"name":"a"},]`:              "targets: want a JSON array of objects: invalid character ']' looking for beginning of value",
		`[1,{"name":"a"},"edge",null]`: "targets: target 1: object \"1\": want an object\ntargets: target 3: object \"\\\"edge\\\"\": want an object\ntargets: target 4: object \"null\": want an object",
		`[[{"name":"a"}]]`:             `targets: target 1: object "[{\"name\":\"a\"}]": want an object`,
	} {
		if got, err := parse(text); err == nil || err.Error() != want || got != nil {
			t.Errorf("%q: %v, error\n got %v\nwant %s", text, got, err, want)
		}
	}
}

func TestEveryProblemIsNamedAtOnce(t *testing.T) {
	long := strings.Repeat("ü", 41)
	for name, tt := range map[string]struct {
		members string   // beside name a
		want    []string // after "targets: target 1: ", one each, in this order
	}{
		"keys that are not known, sorted, each once": {
			`"size":1,"zoo":1,"Name":"b","":0,"zoo":2`,
			[]string{
				`key "": want one of name, colour, size, on, gates, answer, labels, sync, drift, max_release, max_add`,
				`key "Name": want one of ` + strings.Join(keys, ", "), `key "zoo": want one of ` + strings.Join(keys, ", "),
				`key "zoo": want it only once`, `size "1": want a whole number from 2 to 9`,
			},
		},
		"a key three times, spelt in two ways":   {`"size":2,"size":3,"\u0073ize":4`, []string{`key "size": want it only once`}},
		"a string that is null":                  {`"colour":null`, []string{`colour "null": want a string: red or blue`}},
		"a string that is a number":              {`"colour":7`, []string{`colour "7": want a string: red or blue`}},
		"a string that is empty":                 {`"colour":""`, []string{`colour "": want red or blue`}},
		"a string with a line of its own":        {`"colour":"red\ntargets: all is well"`, []string{`colour "red\ntargets: all is well": want red or blue`}},
		"a string that turns the screen over":    {`"colour":"\u001b[2J\u202ered"`, []string{`colour "\x1b[2J\u202ered": want red or blue`}},
		"a long string, cut between characters":  {`"colour":"x` + long + `"`, []string{`colour "x` + strings.Repeat("ü", 39) + `…": want red or blue`}},
		"a long value of another type":           {`"size":"` + strings.Repeat("9", 100) + `"`, []string{`size "\"` + strings.Repeat("9", 79) + `…": want a whole number from 2 to 9`}},
		"a long key":                             {`"` + strings.Repeat("k", 81) + `":0`, []string{`key "` + strings.Repeat("k", 80) + `…": want one of ` + strings.Join(keys, ", ")}},
		"a number in quotes":                     {`"size":"5"`, []string{`size "\"5\"": want a whole number from 2 to 9`}},
		"a number with a fraction":               {`"size":5.0`, []string{`size "5.0": want a whole number from 2 to 9`}},
		"a number with an exponent":              {`"size":5e0`, []string{`size "5e0": want a whole number from 2 to 9`}},
		"a number that is too small":             {`"size":1`, []string{`size "1": want a whole number from 2 to 9`}},
		"a number that is 0, as if not there":    {`"size":0`, []string{`size "0": want a whole number from 2 to 9`}},
		"a number that is too large":             {`"size":10`, []string{`size "10": want a whole number from 2 to 9`}},
		"a number beyond 64 bits":                {`"size":18446744073709551621`, []string{`size "18446744073709551621": want a whole number from 2 to 9`}},
		"a number that is null":                  {`"size":null`, []string{`size "null": want a whole number from 2 to 9`}},
		"a flag in quotes":                       {`"on":"true"`, []string{`on "\"true\"": want true or false`}},
		"a flag that is null":                    {`"on":null`, []string{`on "null": want true or false`}},
		"a list that is none":                    {`"gates":"north"`, []string{`gates "\"north\"": want an array of gates`}},
		"a list that is null":                    {`"gates":null`, []string{`gates "null": want an array of gates`}},
		"an empty list":                          {`"gates":[]`, []string{`gates "[]": want an array of gates`}},
		"a list that is too long":                {`"gates":["a","b","c","d","e"]`, []string{`gates "[\"a\",\"b\",\"c\",\"d\",\"e\"]": want at most 4 gates`}},
		"all that is wrong in a list":            {`"gates":["a","a","shut",7]`, []string{`gates[1] "a": want each gate only once`, `gates[2] "shut": want a gate that is open`, `gates[3] "7": want a string: a gate of a-z`}},
		"a null in a list":                       {`"gates":["a",null,""]`, []string{`gates[1] "null": want a string: a gate of a-z`, `gates[2] "": want a gate of a-z`}},
		"an object that is none":                 {`"answer":["code"]`, []string{`answer "[\"code\"]": want an object`}},
		"an object that is null":                 {`"answer":null`, []string{`answer "null": want an object`}},
		"an empty object":                        {`"answer":{}`, []string{`answer.code is missing: want a code of a-z`}},
		"what an object has no use for":          {`"answer":{"text":"x"}`, []string{`answer.code is missing: want a code of a-z`, `answer.text "\"x\"": want nothing: it goes with code, which is not there`}},
		"keys of an object":                      {`"answer":{"code":"x","code":"!","size":1}`, []string{`key "answer.size": want one of code, text`, `key "answer.code": want it only once`, `answer.code "!": want a code of a-z`}},
		"members that are none":                  {`"labels":[]`, []string{`labels "[]": want an object of 1 or 2 labels`}},
		"no members":                             {`"labels":{}`, []string{`labels "{}": want an object of 1 or 2 labels`}},
		"too many members":                       {`"labels":{"a":"x","b":"x","c":"x"}`, []string{`labels "{\"a\":\"x\",\"b\":\"x\",\"c\":\"x\"}": want an object of 1 or 2 labels`}},
		"members twice, of a wrong name, a null": {`"labels":{"a":"x","a":null,"b 1":"y"}`, []string{`key "labels.a": want it only once`, `labels.a "null": want a string: a label's text of a-z`, `key "labels.b 1": want a label of a-z`}},
		"what is said about the runs":            {`"max_add":1000001,"max_release":101,"drift":"ignore","sync":"off"`, []string{`sync "off": want enforce or observe`, `drift "ignore": want repair or report`, `max_release "101": want a whole number from 1 to 100`, `max_add "1000001": want a whole number from 1 to 1000000`}},
		"a guard of nothing":                     {`"max_add":0,"max_release":0`, []string{`max_release "0": want a whole number from 1 to 100`, `max_add "0": want a whole number from 1 to 1000000`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(`[{"name":"a",` + tt.members + `}]`)
			if err == nil || got != nil {
				t.Fatalf("it is taken: %+v", got)
			}
			var lines []string
			for line := range strings.SplitSeq(err.Error(), "\n") {
				lines = append(lines, strings.TrimPrefix(line, "targets: target 1: "))
			}
			if diff := cmp.Diff(tt.want, lines); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProblemsOfAllTargetsAreNamedWithTheirNumbers(t *testing.T) {
	_, err := parse(`[{"size":1},{"name":"b"},7,{"name":"B"}]`)
	want := []string{
		`targets: target 1: name is missing: want 1 to 8 of a-z 0-9 and - (not at either end)`,
		`targets: target 1: size "1": want a whole number from 2 to 9`,
		`targets: target 3: object "7": want an object`,
		`targets: target 4: name "B": want 1 to 8 of a-z 0-9 and - (not at either end)`,
	}
	if diff := cmp.Diff(strings.Join(want, "\n"), errorText(err)); diff != "" {
		t.Error(diff)
	}
}

func TestWhichNamesATargetMayHave(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "7": true, "a-b--c": true, "12345678": true,
		"": false, "-a": false, "a-": false, "-": false, "A": false, "a_b": false, "a b": false, "ä": false, "123456789": false, `a\n`: false,
	} {
		if _, err := parse(`[{"name":"` + name + `"}]`); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestWhatTwoTargetsMayNotBothHave(t *testing.T) {
	for text, want := range map[string]string{
		`[{"name":"a"},{"name":"b"},{"name":"a"},{"name":"a"}]`: "targets: target 3: name \"a\": want a name that target 1 does not have\n" +
			`targets: target 4: name "a": want a name that target 1 does not have`,
		`[{"name":"a","gates":["x"]},{"name":"b","gates":["y","x"]}]`:                              `targets: target 2: gates "x": want a gate that target 1 does not have in the same colour`,
		`[{"name":"a","gates":["x"]},{"name":"b","gates":["x"],"colour":"red"}]`:                   "", // another scope
		`[{"name":"a","gates":["b"]},{"name":"b"}]`:                                                "", // another claim
		`[{"name":"Bad"},{"name":"Bad"}]`:                                                          "targets: target 1: name \"Bad\": want 1 to 8 of a-z 0-9 and - (not at either end)\ntargets: target 2: name \"Bad\": want 1 to 8 of a-z 0-9 and - (not at either end)",
		`[{"name":"a","gates":["x"],"colour":"red"},{"name":"b","gates":["x"],"colour":"red"},{}]`: "targets: target 2: gates \"x\": want a gate that target 1 does not have in the same colour\ntargets: target 3: name is missing: want 1 to 8 of a-z 0-9 and - (not at either end)",
	} {
		if _, err := parse(text); errorText(err) != want {
			t.Errorf("%s:\n got %v\nwant %s", text, err, want)
		}
	}
}

// A scope is several values: two that only look alike when they are joined are two.
func TestAScopeIsComparedValueByValue(t *testing.T) {
	scopes := [][]string{{"a b", "c"}, {"a", "b c"}}
	n := 0
	_, err := targets.Parse("[{},{}]", nil, func(f targets.Fields) int {
		f.Claim("wall", "x", "a wall that target %d does not have", scopes[n]...)
		n++
		return n
	})
	if err != nil {
		t.Error(err)
	}
}

func TestRunsBecomeAPolicy(t *testing.T) {
	for name, tt := range map[string]struct {
		runs targets.Runs
		want waf.Policy
	}{
		"nothing is said": {targets.Runs{}, waf.Policy{MaxRelease: waf.DefaultMaxRelease, MaxAdd: waf.DefaultMaxAdd}},
		"all is said":     {targets.Runs{Sync: "observe", Drift: "report", MaxRelease: 5, MaxAdd: 7}, waf.Policy{MaxRelease: 5, MaxAdd: 7, ReportDrift: true, Observe: true}},
		"the other words": {targets.Runs{Sync: "enforce", Drift: "repair", MaxRelease: 1, MaxAdd: 1}, waf.Policy{MaxRelease: 1, MaxAdd: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tt.runs.WithDefaults().Policy(); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
	if d := (targets.Runs{}).WithDefaults(); d.Drift != targets.DriftRepair || d.Sync != "" {
		t.Errorf("defaults %+v", d)
	}
}

func TestATargetMadeInCodeIsJudgedByTheSameParser(t *testing.T) {
	w := targets.Written{}
	targets.Put(w, map[string]string{"name": "a", "colour": ""})
	targets.Put(w, map[string]int{"size": -1})
	targets.Runs{Sync: "x", MaxAdd: -1}.Put(w)
	if diff := cmp.Diff(targets.Written{"name": "a", "size": -1, "sync": "x", "max_add": -1}, w); diff != "" {
		t.Error(diff)
	}
	err := targets.Check(w, parse)
	want := "targets: target 1: size \"-1\": want a whole number from 2 to 9\n" +
		"targets: target 1: sync \"x\": want enforce or observe\n" +
		`targets: target 1: max_add "-1": want a whole number from 1 to 1000000`
	if diff := cmp.Diff(want, errorText(err)); diff != "" {
		t.Error(diff)
	}
	if err := targets.Check(targets.Written{"name": "a"}, parse); err != nil {
		t.Error(err)
	}
	if err := targets.Check(targets.Written{"name": func() {}}, parse); err == nil {
		t.Error("what is no JSON is taken")
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzParse: no text makes it panic; every problem is one line that says where it is and is short whatever the
// text holds; and what is taken has kept to what was wanted.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`[{"name":"a"}]`, `[{"name":"a","name":null,"answer":{"code":{}}},1,null]`, "[", `[{}`, `[{"":`, `[{"labels":{"":{}}}]`,
		`[{"name":"a","gates":["x","x"],"labels":{"x":"y"}},{"name":"a","colour":"\n","size":1e9}]`, "[{\"\xff\":\"\xff\"}]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parse(text)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "targets: ") || !utf8.ValidString(line) || len(line) > 1000 {
					t.Errorf("%q: problem %q", text, line)
				}
			}
			return
		}
		names := map[string]bool{}
		for _, w := range got {
			if w.Name == "" || names[w.Name] || w.Size == 1 || w.Size > 9 || len(w.Gates) > 4 {
				t.Errorf("%q: taken: %+v", text, w)
			}
			names[w.Name] = true
		}
	})
}
