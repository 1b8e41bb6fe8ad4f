//go:build cgo

package main

import (
	"path/filepath"
	"testing"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/detect"
)

// The binary does all that it does with no more rights than it is deployed with.
func TestTheRedisUserOfDetectMayDoAllOfTheMixedDay(t *testing.T) {
	t.Parallel()
	w := newDay(t, blocklisttest.StartRedisFor(t, filepath.Join("..", "..", "infra", "redis", "users.acl"), redisPassword))
	service := w.withRiskService(t)
	f := w.start(t, nil)
	for _, event := range [][]byte{tickAt(clock), wholeDay()} { // the second one reads what the first has left
		if got, err := w.invoke(t, f, event); err != nil || got.Mode != detect.ModeEnforce || got.Blocked != 6 {
			t.Fatalf("result = %+v, %v\n%s", got, err, w.out)
		}
	}
	checkDay(t, w)
	if len(service.problems) > 0 {
		t.Errorf("the risk-control service refused: %q", service.problems)
	}
	namesNobody(t, w)
}
