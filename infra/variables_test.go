package infra_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Where each function's variables are declared.
var declared = map[string]func(t *testing.T) tree{
	"sync-aws-waf": func(t *testing.T) tree {
		return at(t, resource(t, "SyncAwsWafFunction", "AWS::Serverless::Function"), "Environment", "Variables").(tree)
	},
	"detect": func(t *testing.T) tree {
		return at(t, fcFunction(t, "detect"), "environmentVariables").(tree)
	},
	"webhook": func(t *testing.T) tree {
		return at(t, fcFunction(t, "webhook"), "environmentVariables").(tree)
	},
	"sync-alibaba-waf": func(t *testing.T) tree {
		return at(t, fcFunction(t, "sync-alibaba-waf"), "environmentVariables").(tree)
	},
	"refresh-intel": func(t *testing.T) tree {
		return at(t, fcFunction(t, "refresh-intel"), "environmentVariables").(tree)
	},
	"sync-tencent": func(t *testing.T) tree {
		return at(t, fcFunction(t, "sync-tencent"), "environmentVariables").(tree)
	},
}

// The platforms set these by themselves, and Function Compute refuses to deploy a
// function that declares one of the FC_ names.
var reserved = regexp.MustCompile(`^(FC_|ALIBABA_CLOUD_|AWS_|LAMBDA_)|^(accessKeyID|accessKeySecret|securityToken|topic)$`)

// A variable that a deploy file forgets leaves a setting that nobody can make; one
// that no function reads is a setting that does nothing. So both must name the same.
func TestDeployFilesDeclareWhatFunctionsRead(t *testing.T) {
	folders, err := filepath.Glob("../functions/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(folders) < len(declared) {
		t.Fatalf("functions = %v, want %d of them", folders, len(declared))
	}
	for _, folder := range folders {
		function := filepath.Base(folder)
		t.Run(function, func(t *testing.T) {
			if declared[function] == nil {
				t.Fatal("no deploy file is known for this function")
			}
			have := slices.Sorted(maps.Keys(declared[function](t)))
			want := read(t, filepath.Join(folder, "config.go"))
			for _, name := range want {
				if !slices.Contains(have, name) {
					t.Errorf("%s is read and not declared", name)
				}
			}
			for _, name := range have {
				if reserved.MatchString(name) {
					t.Errorf("%s is declared: the platform keeps that name to itself", name)
				}
				if !slices.Contains(want, name) {
					t.Errorf("%s is declared and not read", name)
				}
			}
		})
	}
}

// The README's table of settings is what a person reads first.
func TestREADMEsNameEverySetting(t *testing.T) {
	for _, file := range []string{"../README.md", "../README.zh-CN.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for function := range declared {
			for _, name := range read(t, filepath.Join("../functions", function, "config.go")) {
				if !strings.Contains(string(text), "`"+name+"`") {
					t.Errorf("%s does not name %s of %s", file, name, function)
				}
			}
		}
	}
}

var variableName = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$`)

// read returns the variables that a function reads: those of its config.go, and those that all
// sync functions read if it is one.
func read(t *testing.T, config string) []string {
	t.Helper()
	names := variablesOf(t, config)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "syncrun.ReadSettings(") {
		names = append(names, variablesOf(t, "../shared/syncrun/settings.go")...)
	}
	slices.Sort(names)
	return names
}

// What all sync functions read must be seen for each of them, or the comparison proves nothing.
func TestVariablesOfAllSyncFunctionsAreFound(t *testing.T) {
	for function, own := range map[string]string{"sync-aws-waf": "WAF_TARGETS", "sync-alibaba-waf": "ALIBABA_TARGETS", "sync-tencent": "TENCENT_TARGETS"} {
		got := read(t, filepath.Join("../functions", function, "config.go"))
		for _, want := range []string{"REDIS_URL", "SYNC_MODE", "WAIT", own} {
			if !slices.Contains(got, want) {
				t.Errorf("%s reads %v, want %s among them", function, got, want)
			}
		}
	}
}

// variablesOf finds the variables that a config.go reads: it hands each name, written
// out, to something that looks it up: as the first argument, or behind a pointer to the
// reader. Those that the platform sets are left out.
func variablesOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		first := call.Args[0]
		if pointer, ok := first.(*ast.UnaryExpr); ok && pointer.Op == token.AND && len(call.Args) > 1 {
			first = call.Args[1] // choose(&reader, "RULES", …)
		}
		if literal, ok := first.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if name, err := strconv.Unquote(literal.Value); err == nil && variableName.MatchString(name) && !reserved.MatchString(name) {
				found[name] = true
			}
		}
		return true
	})
	if len(found) == 0 {
		t.Fatalf("%s reads no variable: this test does not understand it", file)
	}
	return slices.Sorted(maps.Keys(found))
}

// The scanner itself must see what functions do, or the comparison proves nothing.
func TestVariablesAreFound(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.go")
	text := `package main
func load(lookup func(string) (string, bool)) {
	url, _ := lookup("REDIS_URL")
	r.choice("MODE", "observe", []string{"enforce"})
	check(get("SLS_REGION"), "NOT_FIRST")
	lookup("FC_REGION")
	choose(&r, "RULES", "NOT_SECOND")
	say("want A or B", "lower_case")
}`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(variablesOf(t, file), " "), "MODE REDIS_URL RULES SLS_REGION"; got != want {
		t.Errorf("variables = %q, want %q", got, want)
	}
}
