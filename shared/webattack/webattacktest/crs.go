// Package webattacktest holds requests of which it is known whether they are attacks:
// the OWASP Core Rule Set's own tests, as far as they are whole in a request line, and
// ordinary requests that look like attacks.
package webattacktest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/corazawaf/coraza-coreruleset/v4" // go.mod must name the module whose files are read
	"github.com/goccy/go-yaml"

	"github.com/tracewall/tracewall/shared/webattack"
)

// ruleSet is the module whose tests are the measure.
const ruleSet = "github.com/corazawaf/coraza-coreruleset/v4"

// A Sample is one test of the Core Rule Set.
type Sample struct {
	Family  string // the first three digits of its rule: "942"
	Name    string // the rule and the test's number: "942100-4"
	Request webattack.Request
	Attack  bool // the rule must fire; else it must not
}

// Families are the rules' number ranges that speak of what webattack looks for.
func Families() map[string]string {
	return map[string]string{
		"930": "local files", "931": "remote files", "932": "commands", "933": "PHP",
		"934": "Node.js, Perl, Ruby, templates, server-side requests", "941": "cross-site scripting", "942": "SQL", "944": "Java",
	}
}

// plain are the headers that a test may have and still be whole in a request line: an
// access log keeps the agent and the Referer, and what the others say decides nothing
// in the families' rules. A test that sends any other header, a cookie or a body is not.
func plain(header string) bool {
	switch strings.ToLower(header) {
	case "host", "accept", "accept-encoding", "accept-language", "content-type", "connection", "keep-alive", "proxy-connection",
		"cache-control", "content-length", "user-agent", "referer":
		return true
	}
	return false
}

// testFile is a file of the Core Rule Set's tests, as far as it is read.
type testFile struct {
	Rule  int `yaml:"rule_id"`
	Tests []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input struct {
				URI     string         `yaml:"uri"`
				Data    any            `yaml:"data"`
				Encoded string         `yaml:"encoded_request"`
				Headers map[string]any `yaml:"headers"`
			} `yaml:"input"`
			Output struct {
				Log struct {
					Expect   []int `yaml:"expect_ids"`
					NoExpect []int `yaml:"no_expect_ids"`
				} `yaml:"log"`
			} `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

// CRS reads the tests of the Core Rule Set that are whole in a request line: one
// request without a body, whose headers an access log keeps or that decide nothing.
// Where the module cannot be had the test fails: a measure that is left out proves nothing.
func CRS(t testing.TB) []Sample {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", ruleSet).Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Fatalf("the module %s is not in the module cache: `go mod download %s` brings the measure of recall (%v)", ruleSet, ruleSet, err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "tests", "REQUEST-9*", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s (%v)", dir, err)
	}
	var all []Sample
	for _, file := range files {
		family := strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "REQUEST-")[:3]
		if Families()[family] == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc testFile
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, samples(family, doc)...)
	}
	return all
}

func samples(family string, doc testFile) []Sample {
	var all []Sample
	for _, test := range doc.Tests {
		if len(test.Stages) != 1 || test.Stages[0].Input.Encoded != "" {
			continue
		}
		in, log := test.Stages[0].Input, test.Stages[0].Output.Log
		if in.Data != nil && fmt.Sprint(in.Data) != "" || len(log.Expect)+len(log.NoExpect) == 0 {
			continue
		}
		s := Sample{Family: family, Name: fmt.Sprintf("%d-%d", doc.Rule, test.ID), Attack: len(log.Expect) > 0}
		s.Request.Path = in.URI
		whole := true
		for name, value := range in.Headers {
			whole = whole && plain(name)
			switch strings.ToLower(name) {
			case "user-agent":
				s.Request.Agent = fmt.Sprint(value)
			case "referer":
				s.Request.Referer = fmt.Sprint(value)
			}
		}
		if whole {
			all = append(all, s)
		}
	}
	return all
}
