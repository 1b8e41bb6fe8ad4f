package waftest_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func second(t *testing.T, seed uint64) (*client, *waftest.SecondWriter) {
	t.Helper()
	c := newClient(t, waftest.AWSOptions{})
	if err := c.aws.SeedWebACL(region, "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	w, err := c.aws.SecondWriter(seed, region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	return c, w
}

// put adds a rule that is not the second writer's, as tracewall does.
func (c *client) put(name string, priority int) string {
	c.t.Helper()
	raw, err := c.aws.Snapshot(region, "REGIONAL", "shop")
	if err != nil {
		c.t.Fatal(err)
	}
	var rules []json.RawMessage
	if err := json.Unmarshal(raw["Rules"], &rules); err != nil {
		c.t.Fatal(err)
	}
	one, err := json.Marshal(rule(name, priority, geo))
	if err != nil {
		c.t.Fatal(err)
	}
	return c.again("shop", fields{"Rules": append(rules, one)})
}

func TestASecondWriterDoesAllKindsOfEdits(t *testing.T) {
	kinds := map[string]bool{}
	for seed := range uint64(20) {
		_, w := second(t, seed)
		for range 60 {
			did, err := w.Edit()
			if err != nil {
				t.Fatalf("seed %d after %v: %v", seed, w.Did(), err)
			}
			words := strings.Fields(did)
			kinds[words[0]+" "+words[1]] = true
			if lost := w.Lost(); lost != nil {
				t.Fatalf("seed %d after %v: lost %v", seed, w.Did(), lost)
			}
		}
		if len(w.Did()) != 60 {
			t.Errorf("did %d", len(w.Did()))
		}
		_, again := second(t, seed)
		if did, err := again.Edit(); err != nil || did != w.Did()[0] {
			t.Errorf("seed %d: %q, %v; at first it was %q", seed, did, err, w.Did()[0])
		}
	}
	for _, want := range []string{"add rule", "remove rule", "rename rule", "move rule", "set Description", "set CaptchaConfig", "set FutureConfig", "drop ChallengeConfig"} {
		if !kinds[want] {
			t.Errorf("never did %q in %v", want, kinds)
		}
	}
}

func TestASecondWriterSeesWhatIsLost(t *testing.T) {
	for name, x := range map[string]struct {
		harm func(c *client)
		want string
	}{
		"a rule dropped":    {func(c *client) { c.again("shop", fields{"Rules": []fields{}}) }, "rule office-allow is gone"},
		"a rule edited":     {func(c *client) { c.again("shop", fields{"Rules": []fields{rule("office-allow", 0, geo)}}) }, "rule office-allow is "},
		"a setting dropped": {func(c *client) { c.again("shop", fields{"TokenDomains": nil}) }, "setting TokenDomains is gone"},
		"a setting edited":  {func(c *client) { c.again("shop", fields{"TokenDomains": []string{"a.example"}}) }, `setting TokenDomains is ["a.example"]`},
		"a rule from yesterday": {func(c *client) {
			if code := c.put("yesterdays", 600); code != "" {
				c.t.Error(code)
			}
		}, "rule yesterdays is back"},
		"its set edited": {func(c *client) {
			for _, s := range c.must("ListIPSets", fields{"Scope": "REGIONAL"})["IPSets"].([]any) {
				if s := s.(map[string]any); s["Name"] == "shop-second-writer" {
					c.must("UpdateIPSet", fields{"Name": s["Name"], "Id": s["Id"], "LockToken": s["LockToken"], "Scope": "REGIONAL", "Addresses": []string{"192.0.2.1/32"}})
				}
			}
		}, "ip set shop-second-writer has [192.0.2.1/32]"},
		"its set's words": {func(c *client) {
			for _, s := range c.must("ListIPSets", fields{"Scope": "REGIONAL"})["IPSets"].([]any) {
				if s := s.(map[string]any); s["Name"] == "shop-second-writer" {
					c.must("UpdateIPSet", fields{"Name": s["Name"], "Id": s["Id"], "LockToken": s["LockToken"], "Scope": "REGIONAL", "Addresses": []string{"198.51.100.1/32"}, "Description": "no more"})
				}
			}
		}, `ip set shop-second-writer: description "no more"`},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := second(t, 1)
			if lost := w.Lost(); lost != nil {
				t.Fatalf("at first: %v", lost)
			}
			x.harm(c)
			if lost := w.Lost(); !slices.ContainsFunc(lost, func(s string) bool { return strings.HasPrefix(s, x.want) }) {
				t.Errorf("lost %v, want %q among them", lost, x.want)
			}
		})
	}
}

func TestASecondWriterLeavesOursAlone(t *testing.T) {
	c, w := second(t, 3)
	if code := c.put("tracewall-edge", 777); code != "" {
		t.Fatal(code)
	}
	before, err := c.aws.Rules(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	bodies := fields{
		"slow":           fields{"ContentType": "TEXT_HTML", "Content": "<p>Too fast & furious</p>"},
		"tracewall-edge": fields{"ContentType": "TEXT_PLAIN", "Content": "no"},
	}
	if code := c.again("shop", fields{"CustomResponseBodies": bodies}); code != "" {
		t.Fatal(code)
	}
	if slices.ContainsFunc(w.Lost(), func(s string) bool { return strings.Contains(s, "tracewall") }) {
		t.Errorf("our body is not the writer's business: %v", w.Lost())
	}
	for range 100 {
		if _, err := w.Edit(); err != nil {
			t.Fatal(err)
		}
	}
	if raw, err := c.aws.Snapshot(region, "REGIONAL", "shop"); err != nil || !strings.Contains(string(raw["CustomResponseBodies"]), "tracewall-edge") {
		t.Errorf("bodies %s, %v: ours is gone", raw["CustomResponseBodies"], err)
	}
	after, err := c.aws.Rules(region, "REGIONAL", "shop")
	if err != nil || after["tracewall-edge"] != before["tracewall-edge"] || after["tracewall-edge"] == "" {
		t.Errorf("our rule was %s and is %s, %v", before["tracewall-edge"], after["tracewall-edge"], err)
	}
	if err := w.Apply(); err != nil {
		t.Fatal(err)
	}
	if raw, err := c.aws.Snapshot(region, "REGIONAL", "shop"); err != nil || strings.Contains(string(raw["CustomResponseBodies"]), "tracewall-edge") {
		t.Errorf("bodies %s, %v after terraform apply", raw["CustomResponseBodies"], err)
	}
	if after, err = c.aws.Rules(region, "REGIONAL", "shop"); err != nil || after["tracewall-edge"] != "" || w.Lost() != nil {
		t.Errorf("after terraform apply ours is %q and %v is lost, %v", after["tracewall-edge"], w.Lost(), err)
	}
	if _, err := c.aws.SecondWriter(1, region, "REGIONAL", "none"); err == nil {
		t.Error("a writer of what is not there")
	}
}
