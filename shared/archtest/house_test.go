package archtest

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
)

// check applies every rule to every file and says what is wrong, in order.
func check(files []source) []string {
	var wrong []string
	for _, r := range rules() {
		matched := false
		for _, s := range files {
			if !r.On(s) {
				continue
			}
			matched = true
			for _, found := range r.Find(s) {
				wrong = append(wrong, fmt.Sprintf("%s: %s\n\trule: %s\n\tbecause %s", s.Path, found, r.Name, r.Reason))
			}
		}
		if !matched {
			wrong = append(wrong, fmt.Sprintf("rule %q matches no file: it guards nothing", r.Name))
		}
	}
	return append(wrong, strays(files)...)
}

// strays finds packages that are in no layer, or in two.
func strays(files []source) []string {
	var wrong, seen []string
	for _, s := range files {
		if slices.Contains(seen, s.Dir()) {
			continue
		}
		seen = append(seen, s.Dir())
		var in []string
		for _, l := range layers {
			if within(l.Dir, s.Dir()) {
				in = append(in, l.Dir)
			}
		}
		if len(in) != 1 {
			wrong = append(wrong, fmt.Sprintf("package %s is in %d layers %q: want one; add it to the table in rules_test.go", s.Dir(), len(in), in))
		}
	}
	return wrong
}

func TestHouseIsInOrder(t *testing.T) {
	files, err := sources(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("found %d Go files: is this the whole module?", len(files))
	}
	for _, w := range check(files) {
		t.Error(w)
	}
}

// topLevel is what was asked for, and the housekeeping that may join it.
var topLevel = map[string]string{
	"functions": "asked for", "shared": "asked for", "infra": "asked for", "events": "asked for", "scripts": "asked for",
	"go.mod": "asked for", "go.sum": "asked for", "template.yaml": "asked for", "s.yaml": "asked for",

	"README.md": "housekeeping", "README.zh-CN.md": "housekeeping", "LICENSE": "housekeeping", "NOTICE": "housekeeping",
	"CONTRIBUTING.md": "housekeeping", "Makefile": "housekeeping", ".golangci.yml": "housekeeping", ".ci": "housekeeping",
	".gitignore": "housekeeping", ".gitattributes": "housekeeping", ".github": "housekeeping",

	// Never committed: what tools leave here (.gitignore).
	".git": "a tool's", "build": "a tool's", ".aws-sam": "a tool's", ".s": "a tool's", ".env": "a tool's",
	".idea": "a tool's", ".vscode": "a tool's", "node_modules": "a tool's", ".DS_Store": "a tool's",
	"go.work": "a tool's", "go.work.sum": "a tool's", "samconfig.toml": "a tool's",
}

func TestTopLevelHoldsOnlyWhatBelongsThere(t *testing.T) {
	entries, err := fs.ReadDir(os.DirFS("../.."), ".")
	if err != nil {
		t.Fatal(err)
	}
	var there []string
	for _, entry := range entries {
		there = append(there, entry.Name())
		if topLevel[entry.Name()] == "" && !strings.HasSuffix(entry.Name(), ".prof") && !strings.HasSuffix(entry.Name(), ".test") {
			t.Errorf("%s lies at the top level: the tree was asked for as it is (infra/adr/0001); put it into one of its folders", entry.Name())
		}
	}
	for name, why := range topLevel {
		if why == "asked for" && !slices.Contains(there, name) {
			t.Errorf("%s is missing from the top level", name)
		}
	}
}
