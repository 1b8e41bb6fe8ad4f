package awswaf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// answerWith is a GetWebACL's answer with rules of these priorities: "5 allow", "ours 7", "8".
func answerWith(rules ...string) string {
	var list []string
	for i, r := range rules {
		name, action := fmt.Sprintf("theirs-%d", i+1), `"Action":{"Block":{}}`
		if rest, ours := strings.CutPrefix(r, "ours "); ours {
			name, r = "tracewall-edge", rest
		}
		if rest, allow := strings.CutSuffix(r, " allow"); allow {
			action, r = `"Action":{"Allow":{}}`, rest
		}
		list = append(list, fmt.Sprintf(`{"Name":%q,"Priority":%s,%s,"Statement":{"GeoMatchStatement":{"CountryCodes":["DE"]}}}`, name, r, action))
	}
	return `{"WebACL":{"Rules":[` + strings.Join(list, ",") + `]}}`
}

func TestWhereOurRuleStands(t *testing.T) {
	for name, c := range map[string]struct {
		wish  string
		rules []string
		want  int64
		notes []string
	}{
		"a number that is free":                     {"101", []string{"5", "200"}, 101, nil},
		"a number that is ours already":             {"101", []string{"ours 101", "102"}, 101, nil},
		"a number that is taken":                    {"101", []string{"101", "102", "104"}, 103, []string{"priority 101 is taken, our rule has 103"}},
		"a number that has become free again":       {"101", []string{"100", "ours 102"}, 101, nil},
		"Allow rules before a number":               {"101", []string{"5 allow", "200 allow"}, 101, []string{"rule theirs-1 (priority 5) allows requests before our rule sees them"}},
		"first of none":                             {"first", nil, 101, nil},
		"first of none, and there already":          {"first", []string{"ours 7"}, 7, nil},
		"first":                                     {"first", []string{"50", "10", "90"}, 9, nil},
		"first, and so already":                     {"first", []string{"50", "ours 3"}, 3, nil},
		"first, and no longer so":                   {"first", []string{"ours 50", "10"}, 9, nil},
		"first but for one that was put before":     {"first", []string{"1", "ours 2"}, 0, nil},
		"first, where the user has 0":               {"first", []string{"0", "1 allow", "3"}, 2, []string{"priority is first, but no number is free before theirs-1 (0), theirs-2 (1), so our rule has 2: give them higher numbers", "rule theirs-2 (priority 1) allows requests before our rule sees them"}},
		"first, where the user has 0, done already": {"first", []string{"0", "ours 1", "3"}, 1, []string{"priority is first, but no number is free before theirs-1 (0), so our rule has 1: give them higher numbers"}},
		"last of none":                              {"last", nil, 101, nil},
		"last":                                      {"last", []string{"50 allow", "10"}, 51, []string{"rule theirs-1 (priority 50) allows requests before our rule sees them"}},
		"last, and so already":                      {"last", []string{"50", "ours 900"}, 900, nil},
		"last, and no longer so":                    {"last", []string{"50", "ours 20"}, 51, nil},
		"last, where no number is left":             {"last", []string{"2147483647", "2147483646"}, 2147483645, []string{"priority is last, but no number is free after theirs-1 (2147483647), theirs-2 (2147483646), so our rule has 2147483645: give them lower numbers"}},
	} {
		t.Run(name, func(t *testing.T) {
			target := awswaf.Target{Action: awswaf.ActionBlock, Position: c.wish}
			if c.wish == "101" {
				target.Position, target.Priority = "", 101
			}
			got, notes, err := awswaf.ACLNotes(target, "tracewall-edge", []byte(answerWith(c.rules...)))
			if err != nil || got != c.want {
				t.Errorf("priority %d, %v; want %d", got, err, c.want)
			}
			if diff := cmp.Diff(c.notes, notes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestManyRulesBeforeOursAreNotAllNamed(t *testing.T) {
	var rules []string
	for i := range 8 {
		rules = append(rules, fmt.Sprint(i))
	}
	_, notes, err := awswaf.ACLNotes(awswaf.Target{Position: "first"}, "tracewall-edge", []byte(answerWith(rules...)))
	if err != nil || len(notes) != 1 || !strings.Contains(notes[0], "theirs-5 (4) and 3 more") {
		t.Errorf("%q, %v", notes, err)
	}
}
