package localcloud_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
)

func write(t *testing.T, root, name, text string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFunctionIsBuiltAgainOnlyWhenItsSourcesChange(t *testing.T) {
	root := t.TempDir()
	write(t, root, "go.mod", "module example.com/m\n\ngo 1.26\n")
	write(t, root, "go.sum", "")
	write(t, root, "shared/thing/thing.go", "package thing\n\nconst X = 1\n")
	write(t, root, "shared/thingtest/fake.go", "package thingtest\n")
	write(t, root, "functions/f/main.go", "package main\n\nimport \"example.com/m/shared/thing\"\n\nfunc main() { print(thing.X) }\n")
	build := func(want bool) string {
		t.Helper()
		binary, built, err := localcloud.Build(t.Context(), root, filepath.Join(root, "build"), localcloud.Program{Folder: "f"})
		if err != nil {
			t.Fatal(err)
		}
		if built != want {
			t.Errorf("built = %v, want %v", built, want)
		}
		return binary
	}
	binary := build(true)
	build(false)
	write(t, root, "shared/thingtest/fake.go", "package thingtest\n\nconst Y = 1\n")
	write(t, root, "shared/thing/thing_test.go", "package thing\n")
	build(false) // neither is in the binary
	write(t, root, "shared/thing/thing.go", "package thing\n\nconst X = 2\n")
	build(true)
	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	build(true)

	write(t, root, "functions/f/main.go", "package main\n\nfunc main() { undefined() }\n")
	if _, _, err := localcloud.Build(t.Context(), root, filepath.Join(root, "build"), localcloud.Program{Folder: "f"}); err == nil || !strings.Contains(err.Error(), "undefined: undefined") {
		t.Errorf("error = %v, want what the compiler said", err)
	}
	write(t, root, "functions/f/main.go", "package main\n\nfunc main() {}\n")
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, _, err := localcloud.Build(ctx, root, filepath.Join(root, "build"), localcloud.Program{Folder: "f"}); err == nil {
		t.Error("an interrupted build succeeded")
	}
	build(true)
	files, err := os.ReadDir(filepath.Join(root, "build"))
	if err != nil || len(files) != 2 {
		t.Errorf("build has %v, %v: want the binary and what it was made of", files, err)
	}
}
