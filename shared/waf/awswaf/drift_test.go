package awswaf_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// after returns a Firewall as a new process would make it that was given the memory of f.
func (c *cloud) after(t *testing.T, f *awswaf.Firewall) *awswaf.Firewall {
	t.Helper()
	next := c.open(t)
	memory := f.Memory()
	if memory == nil {
		t.Fatal("no memory")
	}
	next.Recall(memory)
	return next
}

// summary returns what ListIPSets says of a set.
func (c *cloud) summary(t *testing.T, name string) types.IPSetSummary {
	t.Helper()
	list, err := c.sdk().ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list.IPSets, func(s types.IPSetSummary) bool { return *s.Name == name })
	if i < 0 {
		t.Fatalf("no ip set %s", name)
	}
	return list.IPSets[i]
}

// edit gives a set other addresses and, unless it is nil, another description.
func (c *cloud) edit(t *testing.T, name string, description *string, addresses ...string) {
	t.Helper()
	s := c.summary(t, name)
	if description == nil {
		description = s.Description
	}
	in := &wafv2.UpdateIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken, Addresses: addresses, Description: description}
	if *description == "" {
		in.Description = nil
	}
	if _, err := c.sdk().UpdateIPSet(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) deleteSet(t *testing.T, name string) {
	t.Helper()
	s := c.summary(t, name)
	if _, err := c.sdk().DeleteIPSet(t.Context(), &wafv2.DeleteIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken}); err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) makeSet(t *testing.T, name, description string, tagged bool, addresses ...string) string {
	t.Helper()
	in := &wafv2.CreateIPSetInput{Name: &name, Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: addresses}
	if description != "" {
		in.Description = &description
	}
	if tagged {
		in.Tags = []types.Tag{{Key: aws.String("tracewall:target"), Value: aws.String("edge")}}
	}
	out, err := c.sdk().CreateIPSet(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.Summary.ARN
}

// dropRule takes our rule out of the web ACL, as `terraform apply` does where the rule is not in its files.
func (c *cloud) dropRule(t *testing.T) {
	t.Helper()
	c.setRule(t, func(r map[string]json.RawMessage) { delete(r, "Name") })
}

// TestDriftIsSeenByAFreshProcess: each kind of change by somebody else is named by a
// process that knows of the wall only what the last one left, and repaired in one run.
func TestDriftIsSeenByAFreshProcess(t *testing.T) {
	field := func(name, value string) func(*testing.T, *cloud) {
		return func(t *testing.T, c *cloud) {
			c.setRule(t, func(r map[string]json.RawMessage) { r[name] = json.RawMessage(value) })
		}
	}
	for name, x := range map[string]struct {
		change func(t *testing.T, c *cloud)
		want   []string // of State.Drift
		writes int
	}{
		"the rule was deleted (terraform apply)": {
			func(t *testing.T, c *cloud) { c.dropRule(t) },
			[]string{"web acl shop: our rule tracewall-edge is gone"},
			1,
		},
		"the action was changed":   {field("Action", `{"Count":{}}`), []string{"web acl shop: our rule tracewall-edge: its action was changed from Block to Count"}, 1},
		"the priority was changed": {field("Priority", `900`), []string{"web acl shop: our rule tracewall-edge: its priority was changed from 102 to 900"}, 1},
		"the metrics were changed": {
			field("VisibilityConfig", `{"SampledRequestsEnabled":false,"CloudWatchMetricsEnabled":true,"MetricName":"x"}`),
			[]string{"web acl shop: our rule tracewall-edge: its VisibilityConfig was changed"},
			1,
		},
		"the rule looks for something else now": {
			field("Statement", `{"GeoMatchStatement":{"CountryCodes":["DE"]}}`),
			[]string{"web acl shop: our rule tracewall-edge: its Statement was changed"},
			1,
		},
		"a set of somebody's was put into the rule": {
			func(t *testing.T, c *cloud) {
				office := c.summary(t, "shop-office")
				c.setRule(t, func(r map[string]json.RawMessage) {
					r["Statement"] = json.RawMessage(strings.Replace(string(r["Statement"]), `{"IPSetReferenceStatement"`,
						`{"IPSetReferenceStatement":{"ARN":"`+*office.ARN+`"}},{"IPSetReferenceStatement"`, 1))
				})
			},
			[]string{"web acl shop: our rule tracewall-edge: it refers to shop-office, an ip set that is not ours"},
			1,
		},
		"a set was taken out of the rule": {
			func(t *testing.T, c *cloud) {
				one := c.summary(t, "tracewall-edge-v4-001")
				c.setRule(t, func(r map[string]json.RawMessage) {
					r["Statement"] = json.RawMessage(`{"IPSetReferenceStatement":{"ARN":"` + *one.ARN + `"}}`)
				})
			},
			[]string{"web acl shop: our rule no longer refers to ip set tracewall-edge-v4-002"},
			1,
		},
		"a set was deleted": {
			func(t *testing.T, c *cloud) {
				one := c.summary(t, "tracewall-edge-v4-001")
				c.setRule(t, func(r map[string]json.RawMessage) {
					r["Statement"] = json.RawMessage(`{"IPSetReferenceStatement":{"ARN":"` + *one.ARN + `"}}`)
				})
				c.deleteSet(t, "tracewall-edge-v4-002")
			},
			[]string{"ip set tracewall-edge-v4-002 is gone"},
			2,
		},
		"the rule and a set were deleted, and somebody has made another of its name": {
			func(t *testing.T, c *cloud) {
				c.dropRule(t)
				c.deleteSet(t, "tracewall-edge-v4-002")
				c.makeSet(t, "tracewall-edge-v4-002", "", false, "192.0.2.0/24")
			},
			[]string{
				"ip set tracewall-edge-v4-002 is gone, and another that is not ours has its name",
				"web acl shop: our rule tracewall-edge is gone",
			},
			2,
		},
		"a set was deleted and made anew with our tag": {
			func(t *testing.T, c *cloud) {
				c.dropRule(t)
				c.deleteSet(t, "tracewall-edge-v4-002")
				c.makeSet(t, "tracewall-edge-v4-002", "", true, "192.0.2.0/24")
			},
			[]string{
				"ip set tracewall-edge-v4-002 was deleted and made anew by somebody else",
				"web acl shop: our rule tracewall-edge is gone",
			},
			2,
		},
		"a description was dropped": {
			func(t *testing.T, c *cloud) {
				c.edit(t, "tracewall-edge-v4-002", aws.String(""), "203.0.0.10/32", "203.0.0.11/32", "203.0.0.12/32", "203.0.0.13/32", "203.0.0.14/32")
			},
			[]string{"ip set tracewall-edge-v4-002: its description was changed"},
			1,
		},
		"a description and its tag were dropped": {
			func(t *testing.T, c *cloud) {
				s := c.summary(t, "tracewall-edge-v4-002")
				if _, err := c.sdk().UntagResource(t.Context(), &wafv2.UntagResourceInput{ResourceARN: s.ARN, TagKeys: []string{"tracewall:target"}}); err != nil {
					t.Fatal(err)
				}
				c.edit(t, "tracewall-edge-v4-002", aws.String("mine"), "192.0.2.99/32")
			},
			[]string{"ip set tracewall-edge-v4-002: its description was changed"},
			1,
		},
		// What only reading tells is the Reconciler's to say; it reads what is suspect.
		"a set was edited": {
			func(t *testing.T, c *cloud) { c.edit(t, "tracewall-edge-v4-002", nil, "192.0.2.99/32") },
			nil, 1,
		},
		"a set with our tag and a description of ours was made by somebody else": {
			func(t *testing.T, c *cloud) {
				c.makeSet(t, "tracewall-edge-v4-007", *c.summary(t, "tracewall-edge-v4-001").Description, true, "192.0.2.99/32")
			},
			nil, 1,
		},
		"the web acl was deleted": {
			func(t *testing.T, c *cloud) {
				c.Disassociate(balancer)
				client := c.sdk()
				list, err := client.ListWebACLs(t.Context(), &wafv2.ListWebACLsInput{Scope: types.ScopeRegional})
				if err != nil {
					t.Fatal(err)
				}
				in := &wafv2.DeleteWebACLInput{Name: list.WebACLs[0].Name, Id: list.WebACLs[0].Id, LockToken: list.WebACLs[0].LockToken, Scope: types.ScopeRegional}
				if _, err := client.DeleteWebACL(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"web acl shop is gone"},
			1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, waftest.AWSOptions{})
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 15))
			f = c.after(t, f)
			c.mustRun(t, f, 1, hosts(0, 15)) // and nothing is drift before
			x.change(t, c)
			gone := slices.Contains(x.want, "web acl shop is gone")
			foreign := ""
			if !gone {
				foreign = c.foreign(t)
			}

			looker := c.after(t, f)
			state, err := looker.Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(state.Drift)
			if diff := cmp.Diff(x.want, state.Drift); diff != "" {
				t.Errorf("drift (-want +got):\n%s", diff)
			}
			if x.want == nil && !slices.ContainsFunc(state.Sets, func(s waf.Set) bool { return s.Suspect }) {
				t.Error("no set is suspect")
			}
			repairer := c.after(t, f)
			if report := c.mustRun(t, repairer, 1, hosts(0, 15)); report.Writes != x.writes {
				t.Errorf("%d writes (%q), want %d", report.Writes, report.Plan, x.writes)
			}
			if !gone {
				if now := c.foreign(t); now != foreign {
					t.Errorf("what is not ours changed:\n%s", cmp.Diff(foreign, now))
				}
			}
			if slices.ContainsFunc(c.enforced(), func(p netip.Prefix) bool { return strings.HasPrefix(p.String(), "192.0.2.") }) {
				t.Error("the outsider's address is blocked")
			}
			c.quiet(t, c.after(t, repairer), 1, hosts(0, 15))
		})
	}
}

// TestReportedDriftOfAGroupIsReportedAgain: the same in mode rule-group, where the group's own memory has to hold.
func TestReportedDriftOfAGroupIsReportedAgain(t *testing.T) {
	c := referred(t, waftest.AWSOptions{}, 1)
	c.target.Drift = awswaf.DriftReport
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 15))
	c.editGroup(t, "tracewall-edge-001", nil, func([]json.RawMessage) []json.RawMessage { return nil })
	for range 3 {
		f = c.after(t, f)
		if state, err := f.Look(t.Context()); err != nil || len(state.Drift) != 1 {
			t.Fatalf("%v, drift %q", err, state.Drift)
		}
	}
	c.mustRun(t, f, 1, hosts(0, 15))
	c.quiet(t, c.after(t, f), 1, hosts(0, 15))
}

// TestAGroupThatAnotherProcessWroteIsReadOnce: by a process with an older memory, whose own is newer then.
func TestAGroupThatAnotherProcessWroteIsReadOnce(t *testing.T) {
	c := referred(t, waftest.AWSOptions{}, 1)
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 5))
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.quiet(t, c.after(t, f), 1, hosts(0, 15))
}

// TestDriftOfRuleGroups: the same in mode rule-group.
func TestDriftOfRuleGroups(t *testing.T) {
	const group = "tracewall-edge-001"
	said := aws.String("tracewall target:edge blocklist. Refer to it from a web ACL, change nothing in it")
	for name, x := range map[string]struct {
		change func(t *testing.T, c *cloud)
		want   []string
	}{
		"the rule was deleted": {
			func(t *testing.T, c *cloud) {
				c.editGroup(t, group, said, func([]json.RawMessage) []json.RawMessage { return nil })
			},
			[]string{"rule group tracewall-edge-001: our rule tracewall-edge is gone"},
		},
		"the action was changed": {
			func(t *testing.T, c *cloud) {
				c.editGroup(t, group, said, func(rules []json.RawMessage) []json.RawMessage {
					return []json.RawMessage{json.RawMessage(strings.Replace(string(rules[0]), `"Block"`, `"Count"`, 1))}
				})
			},
			[]string{"rule group tracewall-edge-001: our rule tracewall-edge was changed"},
		},
		"the description was changed": {
			func(t *testing.T, c *cloud) {
				c.editGroup(t, group, aws.String("mine now"), func(rules []json.RawMessage) []json.RawMessage { return rules })
			},
			[]string{"rule group tracewall-edge-001: its description was changed"},
		},
		"a set was taken out of the rule": {
			func(t *testing.T, c *cloud) {
				one := c.summary(t, "tracewall-edge-v4-001")
				c.editGroup(t, group, said, func(rules []json.RawMessage) []json.RawMessage {
					var fields map[string]json.RawMessage
					if err := json.Unmarshal(rules[0], &fields); err != nil {
						t.Fatal(err)
					}
					fields["Statement"] = json.RawMessage(`{"IPSetReferenceStatement":{"ARN":"` + *one.ARN + `"}}`)
					return []json.RawMessage{verbatim(t, fields)}
				})
			},
			[]string{"rule group tracewall-edge-001: our rule no longer refers to ip set tracewall-edge-v4-002"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := referred(t, waftest.AWSOptions{}, 1)
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 15))
			c.quiet(t, c.after(t, f), 1, hosts(0, 15))
			foreign := c.foreign(t)
			x.change(t, c)
			state, err := c.after(t, f).Look(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(x.want, state.Drift); diff != "" {
				t.Errorf("drift (-want +got):\n%s", diff)
			}
			f = c.after(t, f)
			if report := c.mustRun(t, f, 1, hosts(0, 15)); report.Writes != 1 {
				t.Errorf("%d writes: %q", report.Writes, report.Plan)
			}
			if now := c.foreign(t); now != foreign {
				t.Errorf("what is not ours changed:\n%s", cmp.Diff(foreign, now))
			}
			c.quiet(t, c.after(t, f), 1, hosts(0, 15))
		})
	}
}

// quiet runs twice in new processes: nothing is drift, nothing is written, and the second one has nothing left to read.
func (c *cloud) quiet(t *testing.T, f *awswaf.Firewall, generation uint64, wants []waf.Want) {
	t.Helper()
	for i := range 2 {
		c.Forget()
		state, err := f.Look(t.Context())
		if err != nil || len(state.Drift) > 0 {
			t.Fatalf("then: %v, drift %q", err, state.Drift)
		}
		if n := len(c.Calls()); i == 1 && n > 2 {
			t.Fatalf("then it looks with %d calls", n)
		}
		c.Forget()
		if report := c.mustRun(t, f, generation, wants); report.Writes != 0 {
			t.Fatalf("then it writes: %q", report.Plan)
		}
		if n := len(c.Calls()); i == 1 && n > 2 {
			t.Fatalf("then it makes %d calls", n)
		}
		f = c.after(t, f)
	}
}

// TestWhatIsNoDrift: what we did ourselves, or were told to, is not held against anybody.
func TestWhatIsNoDrift(t *testing.T) {
	drift := func(t *testing.T, f *awswaf.Firewall) []string {
		t.Helper()
		state, err := f.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return state.Drift
	}
	t.Run("a first run, on a wall that an older version made", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		c.mustRun(t, c.open(t), 1, hosts(0, 15))
		if got := drift(t, c.open(t)); got != nil {
			t.Error(got)
		}
	})
	for name, change := range map[string]func(*awswaf.Target){
		"another action":   func(t *awswaf.Target) { t.Action = awswaf.ActionCaptcha },
		"another priority": func(t *awswaf.Target) { t.Priority = 7 },
		"another web acl":  func(t *awswaf.Target) { t.WebACL = "other" },
		"another mode":     func(t *awswaf.Target) { t.Mode, t.WebACL = awswaf.ModeRuleGroup, "" },
		"a custom response": func(t *awswaf.Target) {
			t.Response = &awswaf.Response{Code: 429, Body: "later", ContentType: "TEXT_PLAIN"}
		},
		"a forwarded header": func(t *awswaf.Target) {
			t.Forwarded = &awswaf.Forwarded{Header: "X-Real-IP", Position: "FIRST", Fallback: "NO_MATCH"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 15))
			before := c.target
			change(&c.target)
			f = c.after(t, f)
			if got := drift(t, f); got != nil {
				t.Error(got)
			}
			if _, err := c.run(t, f, 2, hosts(0, 35)); err != nil { // with sets that the place before does not know
				t.Fatal(err)
			}
			if got := drift(t, c.after(t, f)); got != nil {
				t.Errorf("after the run: %q", got)
			}
			c.target = before
			if got := drift(t, c.after(t, f)); got != nil {
				t.Errorf("and back: %q", got)
			}
		})
	}
	t.Run("a set that was on its way out", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.mustRun(t, f, 1, hosts(0, 35))
		old := f.Memory()
		for range 3 {
			f = c.after(t, f)
			c.mustRun(t, f, 2, hosts(0, 1))
			if got := drift(t, c.after(t, f)); got != nil {
				t.Error(got)
			}
		}
		// And to a process with a memory from before all that, which knows by the newer marks that it is old.
		f = c.open(t)
		f.Recall(old)
		if got := drift(t, f); got != nil {
			t.Error(got)
		}
	})
	t.Run("a set that was on its way out when the memory was saved, and went after that", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.mustRun(t, f, 1, hosts(0, 35))
		c.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op == "UpdateWebACL" {
				return &waftest.Fault{Code: "AccessDeniedException"}
			}
			return nil
		})
		if _, err := c.run(t, f, 2, hosts(0, 10)); err == nil {
			t.Fatal("the sets were not taken out of the rule, and no error")
		}
		c.Before(nil)
		for range 3 {
			c.mustRun(t, c.open(t), 2, hosts(0, 10))
		}
		if n := len(c.Sets(region, awswaf.Regional)); n != 3 {
			t.Fatalf("%d sets are left", n)
		}
		if got := drift(t, c.after(t, f)); got != nil {
			t.Error(got)
		}
	})
	t.Run("a set that was in force nowhere", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op == "UpdateWebACL" && len(c.Sets(region, awswaf.Regional)) > 1 { // not the preflight's
				return &waftest.Fault{Code: "AccessDeniedException"}
			}
			return nil
		})
		if _, err := c.run(t, f, 1, hosts(0, 15)); err == nil {
			t.Fatal("no error")
		}
		c.Before(nil)
		c.deleteSet(t, "tracewall-edge-v4-002")
		if got := drift(t, c.after(t, f)); got != nil {
			t.Error(got)
		}
	})
	t.Run("a rule that a killed run has written, when the settings change after that", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.mustRun(t, f, 1, hosts(0, 5))
		c.mustRun(t, c.open(t), 1, hosts(0, 15))
		f = c.after(t, f)
		c.mustRun(t, f, 1, hosts(0, 15))
		c.target.Action = awswaf.ActionChallenge
		if got := drift(t, c.after(t, f)); got != nil {
			t.Error(got)
		}
	})
	t.Run("our rule, which another process of ours took away with the last set", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.mustRun(t, f, 1, hosts(0, 1))
		state, err := f.Look(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		last := state.Sets[0]
		last.Prefixes, last.Mark = nil, waf.Mark{Epoch: "epoch-1", Retired: true}
		if err := f.Put(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		other := c.after(t, f)
		if _, err := other.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Reference(t.Context(), nil, []string{last.Name}); err != nil {
			t.Fatal(err)
		}
		if got := drift(t, c.after(t, f)); got != nil {
			t.Error(got)
		}
	})
	t.Run("our rule, which goes with the last set", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		f := c.open(t)
		c.mustRun(t, f, 1, hosts(0, 1))
		if _, err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.Reference(t.Context(), nil, []string{"tracewall-edge-v4-001"}); err != nil {
			t.Fatal(err)
		}
		if got := drift(t, c.after(t, f)); got != nil {
			t.Error(got)
		}
	})
}

// TestReportedDriftIsReportedAgain: while a target only reports, every process says the same until somebody repairs it.
func TestReportedDriftIsReportedAgain(t *testing.T) {
	for _, mode := range []string{awswaf.DriftReport, awswaf.DriftRepair} {
		t.Run(mode, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			c.target.Drift = mode
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 15))
			c.dropRule(t)
			c.deleteSet(t, "tracewall-edge-v4-002")
			var said []string
			for range 3 {
				f = c.after(t, f)
				state, err := f.Look(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				said = append(said, fmt.Sprint(len(state.Drift)))
			}
			want := map[string]string{awswaf.DriftReport: "2 2 2", awswaf.DriftRepair: "2 1 1"}[mode]
			if got := strings.Join(said, " "); got != want {
				t.Errorf("drift of three looks: %s, want %s", got, want)
			}
			c.mustRun(t, f, 1, hosts(0, 15))
			c.quiet(t, c.after(t, f), 1, hosts(0, 15))
		})
	}
}
