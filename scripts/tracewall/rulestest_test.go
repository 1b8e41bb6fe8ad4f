//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
)

// rules runs the command's rules in this process, so that one Log Service's start is all it costs.
func rulesCommand(t *testing.T, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	a := &app{stdout: &b, stderr: &b, lookup: envOf(nil), now: time.Now}
	err = runRules(t.Context(), a, args)
	return b.String(), err
}

// A skeleton is red until the author says what to look for, green then, and its tests
// hold every number in it in place.
func TestASkeletonIsRedUntilItIsFilledInAndThenHoldsEverything(t *testing.T) {
	dir := t.TempDir()
	for _, format := range detect.Formats() {
		if out, err := rulesCommand(t, "new", "my-"+format, "--format", format, "--dir", dir); err != nil {
			t.Fatal(err, out)
		}
	}
	out, err := rulesCommand(t, "test", "--dir", dir, "--json")
	var red tested
	if jsonErr := json.Unmarshal([]byte(out), &red); jsonErr != nil {
		t.Fatal(jsonErr, out)
	}
	n := len(detect.Formats()) * len(detect.Dialects())
	if err == nil || exitCode(t.Context(), err) != exitFailed || len(red.Cases) != 4*n || red.Red != 2*n {
		t.Errorf("%d cases, %d red, error %v; want %d and %d", len(red.Cases), red.Red, err, 4*n, 2*n)
	}
	for _, format := range detect.Formats() {
		file := filepath.Join(dir, "my-"+format+".yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// In the story's lines the address itself is what they have in common.
		if err := os.WriteFile(file, bytes.Replace(text, []byte("where 1 = 0"), []byte("where 1 = 1"), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err = rulesCommand(t, "test", "--dir", dir, "--mutate")
	if err != nil {
		t.Errorf("a filled-in skeleton: %v\n%s", err, out)
	}
	if !strings.Contains(out, "ok   sls  my-access") || !strings.Contains(out, "cases, 0 red; ") {
		t.Errorf("out = %s", out)
	}
}

func TestASurvivorIsToldAndFails(t *testing.T) {
	dir := t.TempDir()
	if _, err := rulesCommand(t, "new", "loose", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "loose.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Far above the threshold and far below it: no test says where it lies.
	loose := strings.NewReplacer("where 1 = 0", "where 1 = 1", "repeat: 21\n", "repeat: 24\n", "count: 21}", "count: 24}", "repeat: 20\n", "repeat: 2\n").Replace(string(text))
	if err := os.WriteFile(file, []byte(loose), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := rulesCommand(t, "test", "--dir", dir, "--mutate", "--dialect", "sls")
	if err == nil || !strings.Contains(err.Error(), "changes that no test notices") || !strings.Contains(out, "LIVES   sls  loose                        threshold 20 → 21") {
		t.Errorf("error %v, out = %s", err, out)
	}
}

func TestARedRuleIsNotMutatedSinceEveryMutantWouldDieOfIt(t *testing.T) {
	dir := t.TempDir()
	if _, err := rulesCommand(t, "new", "red", "--dir", dir); err != nil {
		t.Fatal(err)
	}
	out, err := rulesCommand(t, "test", "--dir", dir, "--mutate", "--dialect", "sls")
	if err == nil || !strings.Contains(out, "4 cases, 2 red; 0 changes") {
		t.Errorf("error %v, out = %s", err, out)
	}
}

func TestWhatARuleTestSaysIsEscaped(t *testing.T) {
	var b bytes.Buffer
	a := &app{stdout: &b}
	var all tested
	all.note(a, rulesTestFlags{}, ruleCase{Rule: nasty, Dialect: "sls", Test: nasty, Problems: []string{nasty}})
	all.noteMutant(a, rulesTestFlags{}, ruleMutant{Rule: nasty, Change: nasty, Broken: nasty})
	assertPrintable(t, "rules test", b.String())
}
