package syncrun_test

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
)

// A function without any envelope of its own.
func TestInputs(t *testing.T) {
	inputs := syncrun.Inputs{Setting: "WAF_TARGETS", Trigger: "a scheduled event"}
	syncruntest.TestInputs(t, inputs, func(payload []byte, wallClock time.Time) (syncrun.Event, error) {
		keys, err := inputs.Object(payload)
		if err != nil {
			return syncrun.Event{}, err
		}
		return inputs.Read(keys, wallClock)
	}, nil, nil)
}

func TestInputsOfATimer(t *testing.T) {
	inputs := syncrun.Inputs{Setting: "ALIBABA_TARGETS", Trigger: "a timer trigger's event"}
	syncruntest.TestInputs(t, inputs, inputs.Timer, nil, nil)
}
