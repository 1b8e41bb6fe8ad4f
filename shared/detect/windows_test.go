package detect_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/detect"
)

func at(sec int64) time.Time { return time.Unix(sec, 0).UTC() }

func TestWindowsAreAlignedToTheEpochNotToTheYear(t *testing.T) {
	for _, c := range []struct {
		sec    int64
		window time.Duration
		want   int64
	}{
		{1746852931, 2 * time.Minute, 1746852931 - 1746852931%120},
		{1746852931, 7 * time.Minute, 1746852931 - 1746852931%420}, // time.Truncate gives another
		{120, 2 * time.Minute, 120},
		{119, 2 * time.Minute, 0},
		{-1, time.Minute, -60},
	} {
		if got := detect.AlignDown(at(c.sec), c.window); got.Unix() != c.want {
			t.Errorf("AlignDown(%d, %s) = %d, want %d", c.sec, c.window, got.Unix(), c.want)
		}
	}
	if got := detect.AlignUp(at(121), 2*time.Minute); got.Unix() != 240 {
		t.Errorf("AlignUp(121) = %d", got.Unix())
	}
	if got := detect.Outward(at(121), at(241), 2*time.Minute); got.From.Unix() != 120 || got.To.Unix() != 360 {
		t.Errorf("Outward = %s", got)
	}
}

func TestAFirstRunGoesBackAndTheNextOverlaps(t *testing.T) {
	s := detect.Schedule{Window: 2 * time.Minute, Lag: 45 * time.Second, Lookback: 30 * time.Minute, Overlap: 2}
	now := at(1746852931) // 12:55:31
	span, next := s.Next(now, time.Time{})
	if want := "2025-05-10T04:24:00Z to 2025-05-10T04:54:46Z"; span.String() != want {
		t.Errorf("first span = %s, want %s", span, want)
	}
	if want := "2025-05-10T04:54:00Z"; next.Format(time.RFC3339) != want {
		t.Errorf("checkpoint = %s, want %s: the first window not yet closed", next.Format(time.RFC3339), want)
	}
	span, _ = s.Next(now.Add(time.Minute), next)
	if want := "2025-05-10T04:50:00Z to 2025-05-10T04:55:46Z"; span.String() != want {
		t.Errorf("second span = %s, want %s", span, want)
	}
}

// Over any sequence of runs, on time, late, repeated or out of order: every window
// is read when closed, none is skipped, and the checkpoint never goes back.
func TestNoWindowIsEverMissed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := detect.Schedule{
			Window:   time.Duration(rapid.IntRange(1, 3600).Draw(t, "window")) * time.Second,
			Lag:      time.Duration(rapid.IntRange(0, 300).Draw(t, "lag")) * time.Second,
			Lookback: time.Duration(rapid.IntRange(1, 7200).Draw(t, "lookback")) * time.Second,
			Overlap:  rapid.IntRange(1, 4).Draw(t, "overlap"),
		}
		now := rapid.Int64Range(1_000_000, 2_000_000).Draw(t, "now")
		var checkpoint, start time.Time
		read := map[int64]bool{} // closed windows that were read whole
		w := int64(s.Window / time.Second)
		for range rapid.IntRange(1, 20).Draw(t, "runs") {
			now += rapid.Int64Range(-500, 20_000).Draw(t, "step")
			span, next := s.Next(at(now), checkpoint)
			again, nextAgain := s.Next(at(now), checkpoint)
			if span != again || next != nextAgain {
				t.Fatal("two instances of one run read differently")
			}
			if span.Empty() {
				t.Fatalf("nothing to read at %d with checkpoint %d", now, checkpoint.Unix())
			}
			if span.From.Unix()%w != 0 {
				t.Fatalf("span %s does not begin with a window", span)
			}
			if next.Before(checkpoint) {
				t.Fatalf("checkpoint went back from %s to %s", checkpoint, next)
			}
			if next.Unix()%w != 0 || next.After(at(now)) && !next.Equal(checkpoint) {
				t.Fatalf("checkpoint %s is no start of a window that has begun", next)
			}
			if checkpoint.IsZero() {
				start = span.From // nothing is known of what came before
			} else if checkpoint.Before(span.To) && span.From.After(checkpoint.Add(-time.Duration(s.Overlap)*s.Window)) {
				t.Fatalf("span %s leaves no overlap before %s", span, checkpoint)
			}
			for from := span.From.Unix(); from+w <= span.To.Unix(); from += w {
				read[from] = true
			}
			if rapid.Bool().Draw(t, "succeeds") { // a run that fails moves nothing
				checkpoint = next
			}
		}
		for from := start.Unix(); !checkpoint.IsZero() && from < checkpoint.Unix(); from += w {
			if !read[from] {
				t.Fatalf("window %d before the checkpoint %d was never read whole", from, checkpoint.Unix())
			}
		}
	})
}

func TestCatchingUpHasAnEnd(t *testing.T) {
	s := detect.Schedule{Window: time.Minute, Lookback: time.Hour, Overlap: 2, CatchUp: 72 * time.Hour}
	span, _ := s.Next(at(100*86400), at(86400))
	if got := span.To.Sub(span.From); got != 72*time.Hour {
		t.Errorf("after three months the run reads %s, want what can still be blocked", got)
	}
}
