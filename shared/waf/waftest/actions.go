package waftest

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Actions are the actions that something makes, as a cloud's policies name them: "vpc:CreateAddressTemplate".
type Actions map[string]bool

// CompareActions compares what a recording test saw, by what it was made for, with an adapter's testdata/actions.json,
// against which the deploy files' policies are checked. update rewrites the file first.
func CompareActions(t *testing.T, update bool, recorded map[string]Actions) {
	t.Helper()
	const file = "testdata/actions.json"
	got := map[string][]string{}
	for what, actions := range recorded {
		got[what] = slices.Sorted(maps.Keys(actions))
	}
	if update {
		text, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("run with -update and grant what is new where the function is deployed; -file +recorded:\n%s", diff)
	}
}
