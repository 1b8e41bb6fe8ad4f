package syncrun

import (
	"strings"
	"testing"
	"time"
)

// today is the tests' wall clock.
var today = time.Date(2026, 5, 28, 20, 25, 1, 0, time.UTC)

// inputs are those of a function whose targets stand in WAF_TARGETS.
var inputs = Inputs{Setting: "WAF_TARGETS", Trigger: "a scheduled event"}

func TestBadEventCutsWhatStoodThere(t *testing.T) {
	if err := BadEvent("mode", strings.Repeat("x", 1000), "less"); len(err.Error()) > 150 {
		t.Errorf("error of %d bytes: a payload must not fill our log", len(err.Error()))
	}
}

func TestClockIsTheEventsOwnButNeverAheadOfOurs(t *testing.T) {
	tests := []struct {
		name  string
		event time.Time
		want  time.Time
	}{
		{"an event without a clock takes ours", time.Time{}, today},
		{"a late event keeps its own", today.Add(-time.Hour), today.Add(-time.Hour)},
		{"an event from the future takes ours", today.Add(time.Hour), today},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (Event{Now: tt.event}).Clock(today); !got.Equal(tt.want) {
				t.Errorf("clock = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOnlyASchedulesOwnTickStaysByItself(t *testing.T) {
	hour := time.Hour
	for name, tt := range map[string]struct {
		ev   Event
		want time.Duration
	}{
		"a schedule's tick":          {Event{Mode: ModeSync, Scheduled: true}, 50 * time.Second},
		"an operator's input":        {Event{Mode: ModeSync}, 0},
		"a verifying input":          {Event{Mode: ModeVerify}, 0},
		"an input that asks to stay": {Event{Mode: ModeSync, Wait: &hour}, time.Hour},
	} {
		if got := tt.ev.Stay(50 * time.Second); got != tt.want {
			t.Errorf("%s stays %s, want %s", name, got, tt.want)
		}
	}
}
