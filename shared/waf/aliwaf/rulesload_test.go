package aliwaf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestBlacklistTakesFiftyThousand counts what a list of 50,000 costs: 250 rules in three templates, each bound
// to every object.
func TestBlacklistTakesFiftyThousand(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	c.target.Templates = 3
	r := &runner{c: c}
	list := hosts(0, 100_000)
	for i := range 50_000 { // no two of them make a range
		list[i] = list[2*i]
	}
	list = list[:50_000]

	cold := r.ok(t, 1, list)
	same := (&runner{c: c}).ok(t, 2, list)
	gone := (&runner{c: c}).ok(t, 3, append(list[:777:777], list[778:]...))
	t.Logf("cold: %d calls, %d writes; no change: %d and %d; one gone: %d and %d",
		cold.Calls, cold.Writes, same.Calls, same.Writes, gone.Calls, gone.Writes)
	// 250 rules, three templates, three bindings, one note.
	if cold.Writes != 257 || len(cold.Sets) != 250 {
		t.Errorf("cold: %d writes for %d sets, want 257 for 250", cold.Writes, len(cold.Sets))
	}
	if same.Writes != 0 || same.Calls > 15 {
		t.Errorf("no change: %d calls, %d writes, want at most 15 and none", same.Calls, same.Writes)
	}
	if gone.Writes != 1 || gone.Calls > 17 {
		t.Errorf("one gone: %d calls, %d writes, want at most 17 and 1", gone.Calls, gone.Writes)
	}
}
