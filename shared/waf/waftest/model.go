package waftest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// Model is the official description of WAFv2's API: which members a request must
// have and may have, of which type, length and pattern. It comes from botocore, so it knows nothing of what we
// believe: a second opinion on what our adapter sends and on what AWS answers here.
//
// Members and kinds whose names begin with "Future" stand in the seeds for what comes after any model, and pass.
type Model struct {
	Operations map[string]struct {
		Input, Output *struct{ Shape string }
	}
	Shapes map[string]shape

	patterns map[string]*regexp.Regexp
}

type shape struct {
	Type     string
	Required []string
	Members  map[string]struct{ Shape string }
	Member   struct{ Shape string }
	Value    struct{ Shape string }
	Enum     []string
	Min, Max *float64
	Pattern  string
}

// whereBotocore prints the directory of botocore's models.
const whereBotocore = `import botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), "data"))`

// ReadModel reads WAFv2's model from the botocore of this machine's python3, and skips
// the test if there is none.
func ReadModel(t testing.TB) *Model {
	t.Helper()
	dir, err := exec.CommandContext(t.Context(), "python3", "-c", whereBotocore).Output()
	if err != nil {
		t.Skipf("python3 with botocore is not here: %v", err)
	}
	m := &Model{patterns: map[string]*regexp.Regexp{}}
	raw, err := readGzip(strings.TrimSpace(string(dir)) + "/wafv2/2019-07-29/service-2.json.gz")
	if err != nil {
		t.Skipf("botocore has no model of wafv2: %v", err)
	}
	if err := json.Unmarshal(raw, m); err != nil {
		t.Fatal(err)
	}
	for name, s := range m.Shapes {
		if s.Pattern == "" {
			continue
		}
		if m.patterns[name], err = regexp.Compile(s.Pattern); err != nil {
			t.Fatalf("the pattern of %s: %v", name, err)
		}
	}
	return m
}

// Requests returns what is wrong with the request of an operation, for AWSOptions.Judge. Empty means nothing.
func (m *Model) Requests(op string, body []byte) []string {
	o, ok := m.Operations[op]
	if !ok || o.Input == nil {
		return []string{"there is no operation " + op}
	}
	return m.judge(o.Input.Shape, body)
}

// Answers returns what is wrong with the answer to an operation.
func (m *Model) Answers(op string, body []byte) []string {
	o, ok := m.Operations[op]
	if !ok || o.Output == nil {
		return []string{"there is no operation " + op}
	}
	return m.judge(o.Output.Shape, body)
}

func (m *Model) judge(shape string, body []byte) []string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return []string{err.Error()}
	}
	if dec.More() {
		return []string{"there is something after the object"}
	}
	j := judgement{model: m}
	j.value("", shape, v)
	return j.wrong
}

// judgement is one value's way through the model.
type judgement struct {
	model *Model
	wrong []string
}

func (j *judgement) say(path, format string, args ...any) {
	j.wrong = append(j.wrong, strings.TrimPrefix(path, ".")+": "+fmt.Sprintf(format, args...))
}

func (j *judgement) value(path, name string, v any) {
	s := j.model.Shapes[name]
	size := -1.0 // of what min and max speak
	ok := true
	switch s.Type {
	case "structure":
		ok = j.structure(path, s, v)
	case "list":
		var list []any
		if list, ok = v.([]any); ok {
			size = float64(len(list))
			for i, one := range list {
				j.value(fmt.Sprintf("%s[%d]", path, i), s.Member.Shape, one)
			}
		}
	case "map":
		var members map[string]any
		if members, ok = v.(map[string]any); ok {
			size = float64(len(members))
			for key, one := range members {
				j.value(path+"."+key, s.Value.Shape, one)
			}
		}
	case "string":
		var text string
		if text, ok = v.(string); ok {
			size = float64(utf8.RuneCountInString(text))
			j.text(path, name, s, text)
		}
	case "blob":
		var text string
		if text, ok = v.(string); ok {
			if _, err := base64.StdEncoding.DecodeString(text); err != nil {
				j.say(path, "%v", err)
			}
		}
	case "boolean":
		_, ok = v.(bool)
	case "integer", "long":
		var n json.Number
		if n, ok = v.(json.Number); ok {
			i, err := n.Int64()
			size, ok = float64(i), err == nil
		}
	case "double", "float", "timestamp":
		_, ok = v.(json.Number)
	default:
		j.say(path, "the model has no shape %s", name)
	}
	if !ok {
		j.say(path, "%v is no %s", v, s.Type)
		return
	}
	if s.Type != "structure" && s.Type != "blob" && s.Type != "boolean" {
		if s.Min != nil && size < *s.Min {
			j.say(path, "%v is less than %v", size, *s.Min)
		}
		if s.Max != nil && size > *s.Max {
			j.say(path, "%v is more than %v", size, *s.Max)
		}
	}
}

func (j *judgement) structure(path string, s shape, v any) bool {
	members, ok := v.(map[string]any)
	if !ok {
		return false
	}
	for _, must := range s.Required {
		if members[must] == nil {
			j.say(path, "%s is missing", must)
		}
	}
	for key, one := range members {
		member, known := s.Members[key]
		switch {
		case known:
			j.value(path+"."+key, member.Shape, one)
		case !strings.HasPrefix(key, "Future"):
			j.say(path, "%s is unknown", key)
		}
	}
	return true
}

func (j *judgement) text(path, name string, s shape, text string) {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
		j.say(path, "%q is none of %v", text, s.Enum)
	}
	if p := j.model.patterns[name]; p != nil && !p.MatchString(text) {
		j.say(path, "%q is not like %s", text, s.Pattern)
	}
}

func readGzip(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}
