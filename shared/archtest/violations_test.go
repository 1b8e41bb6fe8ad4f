package archtest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// Each rule is shown something that it must object to. A table of rules that
// nothing can break guards nothing.
func TestRulesObject(t *testing.T) {
	tests := []struct {
		name string
		file string
		text string
		want string // part of the one objection; "" for none
	}{
		{"threat takes no library", "shared/threat/x.go", `package threat; import _ "go4.org/netipx"`, "imports of shared/threat"},
		{"threat takes no other package of ours", "shared/threat/x.go", `package threat; import _ "github.com/tracewall/tracewall/shared/blocklist"`, "imports of shared/threat"},
		{"a domain package takes no SDK", "shared/waf/x.go", `package waf; import _ "github.com/aws/aws-sdk-go-v2/aws"`, "imports of shared/waf"},
		{"a domain package takes no adapter", "shared/detect/x.go", `package detect; import _ "github.com/tracewall/tracewall/shared/sls"`, "imports of shared/detect"},
		{"not even in a domain package's folder with a longer name", "shared/waf/awswaf/x.go", `package awswaf; import _ "github.com/redis/go-redis/v9"`, "imports of shared/waf/awswaf"},
		{"an adapter does not reach into another's domain", "shared/blocklist/redisstore/x.go", `package redisstore; import _ "github.com/tracewall/tracewall/shared/waf"`, "imports of shared/blocklist/redisstore"},
		{"support knows no domain", "shared/telemetry/x.go", `package telemetry; import _ "github.com/tracewall/tracewall/shared/threat"`, "imports of shared/telemetry"},
		{"a function takes no other function", "functions/detect/x.go", `package main; import _ "github.com/tracewall/tracewall/functions/webhook"`, "no function imports another"},
		{"a function takes no stand-in", "functions/detect/x.go", `package main; import _ "github.com/tracewall/tracewall/shared/waf/waftest"`, "stand-ins stay out"},
		{"a test of it may", "functions/detect/x_test.go", `package main; import _ "github.com/tracewall/tracewall/shared/waf/waftest"`, ""},
		{"an adapter takes no stand-in", "shared/sls/x.go", `package sls; import _ "github.com/tracewall/tracewall/shared/functiontest"`, "stand-ins stay out"},
		{"shared takes no function", "shared/functiontest/x.go", `package functiontest; import _ "github.com/tracewall/tracewall/functions/detect"`, "no function imports another"},
		{"shared takes nothing of the operator's command", "shared/sls/slstest/x.go", `package slstest; import _ "github.com/tracewall/tracewall/scripts/tracewall/internal/story"`, "nothing imports functions or scripts"},
		{"a function takes no DuckDB", "functions/detect/x.go", `package main; import _ "github.com/duckdb/duckdb-go/v2"`, "cgo stays"},
		{"nor C", "functions/detect/x.go", `package main; import "C"`, "cgo stays"},
		{"the command takes the local Log Service only where cgo is", "scripts/tracewall/x.go", `package main; import _ "github.com/tracewall/tracewall/shared/sls/slstest"`, "cgo stays"},
		{"where it says so", "scripts/tracewall/x.go", "//go:build cgo\n\npackage main; import _ \"github.com/tracewall/tracewall/shared/sls/slstest\"", ""},
		{"or cgo and more", "scripts/tracewall/x.go", "//go:build linux && cgo\n\npackage main; import _ \"github.com/tracewall/tracewall/shared/sls/slstest\"", ""},
		{"a constraint that cgo can do without is not enough", "scripts/tracewall/x.go", "//go:build cgo || linux\n\npackage main; import _ \"github.com/tracewall/tracewall/shared/sls/slstest\"", "cgo stays"},
		{"the environment is not read in shared", "shared/sls/x.go", `package sls; import "os"; var _ = os.Getenv("X")`, "read the environment"},
		{"nor as a value", "shared/sls/x.go", `package sls; import "os"; var _ = os.LookupEnv`, "read the environment"},
		{"nor under another name", "shared/sls/x.go", `package sls; import env "os"; var _ = env.LookupEnv`, "read the environment"},
		{"a function reads it", "functions/detect/x.go", `package main; import "os"; var _ = os.LookupEnv`, ""},
		{"the domain has no clock", "shared/waf/x.go", `package waf; import "time"; var _ = time.Now`, "touch no world"},
		{"an adapter has", "shared/sls/x.go", `package sls; import "time"; var _ = time.Now`, ""},
		{"the domain has no network", "shared/detect/x.go", `package detect; import _ "net/http"`, "touch no world"},
		{"no package is called util", "shared/util/x.go", `package util`, "named for what they hold"},
		{"nor a folder common", "shared/sls/common/x.go", `package slscommon`, "named for what they hold"},
		{"a new package needs a layer", "shared/newthing/x.go", `package newthing`, "in 0 layers"},
		{"other modules are not ours", "scripts/tools/x.go", `package util; import "C"`, ""},
		{"nor is test data", "shared/sls/testdata/x.go", `package util; import "C"`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			house := wellKept()
			house[test.file] = &fstest.MapFile{Data: []byte(test.text)}
			files, err := sources(house)
			if err != nil {
				t.Fatal(err)
			}
			objections := strings.Join(check(files), "\n")
			if test.want == "" && objections != "" || !strings.Contains(objections, test.want) {
				t.Errorf("objections = %q, want %q", objections, test.want)
			}
		})
	}
}

func TestRuleWithoutFilesIsReported(t *testing.T) {
	house := wellKept()
	maps.DeleteFunc(house, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, "shared/telemetry/") })
	files, err := sources(house)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(check(files), "\n"); !strings.Contains(got, `"imports of shared/telemetry" matches no file`) {
		t.Errorf("objections = %q, want one about shared/telemetry", got)
	}
}

// wellKept is a house with one harmless file in each layer.
func wellKept() fstest.MapFS {
	house := fstest.MapFS{"scripts/tools/go.mod": {Data: []byte("module tools\n")}}
	for _, l := range layers {
		dir := strings.ReplaceAll(l.Dir, "*", "some")
		house[dir+"/some.go"] = &fstest.MapFile{Data: []byte("package some\n")}
	}
	return house
}

// Every layer turns away a library that nobody has thought about.
func TestEveryLayerObjects(t *testing.T) {
	for _, l := range layers {
		if slices.Contains(l.May, "...") {
			continue
		}
		t.Run(l.Dir, func(t *testing.T) {
			house := wellKept()
			file := strings.ReplaceAll(l.Dir, "*", "some") + "/x.go"
			house[file] = &fstest.MapFile{Data: []byte(`package some; import _ "example.org/never/heard/of"`)}
			files, err := sources(house)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(check(files), "\n"); !strings.Contains(got, file+": example.org/never/heard/of") {
				t.Errorf("objections = %q, want one to %s", got, file)
			}
		})
	}
}
