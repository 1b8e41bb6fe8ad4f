package waftest_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestEdges: at an edge, old and new versions of objects meet.
func TestEdges(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	a, b := c.made("CreateIPSet", set("a", "192.0.2.1/32")), c.made("CreateIPSet", set("b", "192.0.2.2/32"))
	c.must("CreateWebACL", wall("w", rule("r", 0, or(ref(a["ARN"]), ref(b["ARN"])))))
	seen := func(from, to waftest.Moment) (views []string) {
		for seed := range uint64(200) {
			view := strings.Join(texts(c.aws.Edge(rand.New(rand.NewPCG(seed, 1)), region, "REGIONAL", "w", from, to)), " ")
			if !slices.Contains(views, view) {
				views = append(views, view)
			}
		}
		slices.Sort(views)
		return views
	}
	first := c.aws.Mark()
	if diff := cmp.Diff([]string{"192.0.2.1/32 192.0.2.2/32"}, seen(first, first)); diff != "" {
		t.Errorf("nothing changed:\n%s", diff)
	}
	// An address moves from b to a: somewhere it is in both, somewhere in neither.
	for _, s := range []fields{with(a, fields{"Addresses": []string{"192.0.2.1/32", "192.0.2.2/32"}}), with(b, fields{"Addresses": []string{}})} {
		c.must("UpdateIPSet", with(s, fields{"Scope": "REGIONAL", "Description": nil}))
	}
	moved := c.aws.Mark()
	if diff := cmp.Diff([]string{"192.0.2.1/32", "192.0.2.1/32 192.0.2.2/32"}, seen(first, moved)); diff != "" {
		t.Errorf("while it moves:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"192.0.2.1/32 192.0.2.2/32"}, seen(moved, moved)); diff != "" {
		t.Errorf("after it moved:\n%s", diff)
	}
	// b is dropped and replaced by c; the rule may arrive before c does.
	if code := c.again("w", fields{"Rules": []fields{rule("r", 0, ref(a["ARN"]))}}); code != "" {
		t.Fatal(code)
	}
	dropped := c.aws.Mark()
	s := c.must("ListIPSets", fields{"Scope": "REGIONAL"})["IPSets"].([]any)[1].(map[string]any)
	c.must("DeleteIPSet", fields{"Name": "b", "Scope": "REGIONAL", "Id": s["Id"], "LockToken": s["LockToken"]})
	third := c.set("c", "192.0.2.3/32")
	if code := c.again("w", fields{"Rules": []fields{rule("r", 0, or(ref(a["ARN"]), ref(third)))}}); code != "" {
		t.Fatal(code)
	}
	last := c.aws.Mark()
	if diff := cmp.Diff([]string{"192.0.2.1/32 192.0.2.2/32", "192.0.2.1/32 192.0.2.2/32 192.0.2.3/32"}, seen(dropped, last)); diff != "" {
		t.Errorf("while c is made:\n%s", diff)
	}
	c = newClient(t, waftest.AWSOptions{})
	begin := c.aws.Mark()
	x, y := c.set("x", "192.0.2.1/32"), c.set("y", "192.0.2.2/32")
	c.must("CreateWebACL", wall("w", rule("r", 0, or(ref(x), ref(y)))))
	if diff := cmp.Diff([]string{"", "192.0.2.1/32", "192.0.2.1/32 192.0.2.2/32", "192.0.2.2/32"}, seen(begin, c.aws.Mark())); diff != "" {
		t.Errorf("while everything is made:\n%s", diff)
	}
	// y gives way to z, and is deleted before everyone knows.
	z := c.set("z", "192.0.2.3/32")
	before := c.aws.Mark()
	if code := c.again("w", fields{"Rules": []fields{rule("r", 0, or(ref(x), ref(z)))}}); code != "" {
		t.Fatal(code)
	}
	s = c.must("ListIPSets", fields{"Scope": "REGIONAL"})["IPSets"].([]any)[1].(map[string]any)
	c.must("DeleteIPSet", fields{"Name": "y", "Scope": "REGIONAL", "Id": s["Id"], "LockToken": s["LockToken"]})
	if diff := cmp.Diff([]string{"192.0.2.1/32", "192.0.2.1/32 192.0.2.2/32", "192.0.2.1/32 192.0.2.3/32"}, seen(before, c.aws.Mark())); diff != "" {
		t.Errorf("while y gives way:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"192.0.2.1/32 192.0.2.2/32"}, seen(before, before)); diff != "" {
		t.Errorf("what came later is seen earlier:\n%s", diff)
	}
}
