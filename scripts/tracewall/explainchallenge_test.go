package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
)

// What is only to be challenged waits at no target that blocks, and if none challenges that is said.
func TestAChallengeIsExplainedAtEachTarget(t *testing.T) {
	now := time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)
	parse := func(key string) threat.Indicator {
		ind, err := threat.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return ind
	}
	challenged := blocklist.Entry{Indicator: parse("ip:203.0.113.7"), Source: blocklist.SourceDetect, Challenge: true, ExpiresAt: now.Add(time.Hour)}
	blocked := blocklist.Entry{Indicator: parse("ip:203.0.113.0/24"), Source: blocklist.SourceDetect, ExpiresAt: now.Add(time.Hour)}
	const status = `{"as_of":"2026-05-28T20:24:00Z","mode":"sync","generation":8,CHALLENGES"result":{},"report":{"plan":[],"sets":[]},"entries":{"default":"pending"}}`
	blocks, challenges := strings.Replace(status, "CHALLENGES", "", 1), strings.Replace(status, "CHALLENGES", `"challenges":true,`, 1)
	a := &app{lookup: func(string) (string, bool) { return "", false }, now: func() time.Time { return now }}
	for name, tt := range map[string]struct {
		entry  *blocklist.Entry
		around []blocklist.Entry
		status map[string]string
		want   map[string]enforce.State
		nobody bool
	}{
		"no target challenges": {
			&challenged, nil,
			map[string]string{"aws-waf:a": blocks, "aws-waf:b": blocks},
			map[string]enforce.State{"aws-waf:a": stateUnchallenged, "aws-waf:b": stateUnchallenged},
			true,
		},
		"one of two challenges": {
			&challenged, nil,
			map[string]string{"aws-waf:a": blocks, "aws-waf:b": challenges},
			map[string]enforce.State{"aws-waf:a": stateUnchallenged, "aws-waf:b": enforce.StatePending},
			false,
		},
		"a range around it is blocked": {
			&challenged,
			[]blocklist.Entry{blocked},
			map[string]string{"aws-waf:a": blocks},
			map[string]enforce.State{"aws-waf:a": enforce.StatePending},
			false,
		},
		"of one target nothing is known": {
			&challenged, nil,
			map[string]string{"aws-waf:a": blocks, "aws-waf:b": `{"as_of":`},
			map[string]enforce.State{"aws-waf:a": stateUnchallenged, "aws-waf:b": stateUnknown},
			false,
		},
		"it is blocked": {
			&blocked, nil,
			map[string]string{"aws-waf:a": blocks},
			map[string]enforce.State{"aws-waf:a": enforce.StatePending},
			false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := fakeExplained{about: redisstore.About{Generation: 8, Entry: tt.entry, Around: tt.around}, status: tt.status}
			for group := range tt.status {
				store.groups = append(store.groups, group)
			}
			x, err := a.explain(t.Context(), store, tt.entry.Indicator)
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range x.Targets {
				key := enforce.Key(target.Kind, target.Name)
				if target.State != tt.want[key] || target.Reason == "" {
					t.Errorf("%s = %+v, want %s and why", key, target, tt.want[key])
				}
			}
			var out bytes.Buffer
			x.print(&out, false)
			if got := strings.Contains(out.String(), "no target challenges"); got != tt.nobody || len(x.Targets) != len(tt.want) {
				t.Errorf("said that no target challenges: %v, want %v\n%s", got, tt.nobody, out.String())
			}
		})
	}
}
