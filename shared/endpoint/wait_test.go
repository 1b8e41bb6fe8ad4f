package endpoint_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
)

func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if err := endpoint.Wait(t.Context(), time.Second); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began = time.Now()
		if err := endpoint.Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestAPauseIsNotBegunWithoutTimeAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		canceled, end := context.WithCancel(t.Context())
		end()
		for _, tc := range []struct { // in this order: time passes
			name string
			ctx  context.Context
			d    time.Duration
			want bool
			took time.Duration
		}{
			{"a deadline before its end", short, time.Hour, false, 0},
			{"a deadline after its end", short, time.Second, true, time.Second},
			{"a context that has ended", canceled, time.Second, false, 0},
			{"no deadline", t.Context(), time.Hour, true, time.Hour},
		} {
			began := time.Now()
			if got := endpoint.Pause(tc.ctx, tc.d); got != tc.want || time.Since(began) != tc.took {
				t.Errorf("%s: %t after %s, want %t after %s", tc.name, got, time.Since(began), tc.want, tc.took)
			}
		}
	})
}

func TestAContextThatEndsWithAWaitDoesNotOutlastIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for d, want := range map[time.Duration]bool{time.Minute - 1: true, time.Minute: false, time.Minute + 1: false} {
			if got := endpoint.Outlasts(ctx, d); got != want {
				t.Errorf("%s: %t", d, got)
			}
		}
	})
}
