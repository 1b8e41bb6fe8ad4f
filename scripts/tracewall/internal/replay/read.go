//go:build cgo

package replay

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// ReadConfig says what Read reads.
type ReadConfig struct {
	Inputs  []Input
	Fields  []string      // of the stream
	Late    time.Duration // as in Config
	Batch   int64         // lines that are read before they are judged; 0 means DefaultReadBatch
	Reach   time.Duration // how far before a time whoever judges it looks
	Threads int           // 0: all CPUs

	block int
}

// DefaultReadBatch is how many lines are judged at once by somebody else's runs: a run of
// the functions costs more than a question.
const DefaultReadBatch = 2_000_000

// Lines is what has been read.
type Lines struct {
	Count   int64
	Skipped int64
	Late    int64 // that came after their time had been judged
	Bytes   int64
	First   time.Time
	Last    time.Time
}

// Judge is told that the lines of [from, to) are complete in the stream. Each call begins
// where the one before ended; the last one ends behind the last line.
type Judge func(ctx context.Context, from, to time.Time, read Lines, last bool) error

// Read reads a log of any length into a stream for somebody else to judge, a batch at a time,
// and forgets what no batch to come will look at. A log of less than a batch is judged at once.
func Read(ctx context.Context, stream *slstest.Stream, c ReadConfig, judge Judge) (Lines, error) {
	if c.Late <= 0 {
		c.Late = DefaultLate
	}
	if c.Batch <= 0 {
		c.Batch = DefaultReadBatch
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	in := newFeeds(ctx, Config{Inputs: c.Inputs, Threads: c.Threads, block: c.block}, stream, c.Fields)
	defer func() {
		cancel()
		in.wait()
	}()
	var (
		read    Lines
		pending int64
		next    time.Time // what is before has been judged
	)
	for {
		part, previous, ok, err := in.next(ctx)
		if err != nil {
			return read, err
		}
		if !ok {
			break
		}
		read.add(part, next)
		if err := stream.Add(part, previous); err != nil {
			return read, err
		}
		if pending += int64(part.Lines()); pending < c.Batch {
			continue
		}
		from := next
		if from.IsZero() {
			from = read.First
		}
		to, ok := whole(from, time.Unix(in.complete(), 0).Add(-c.Late))
		if !ok {
			continue
		}
		if err := judge(ctx, from, to, read, false); err != nil {
			return read, err
		}
		pending, next = 0, to
		stream.Forget(to.Add(-c.Reach).Unix())
	}
	read.Skipped += in.tooLong()
	if read.Count == 0 {
		return read, nil
	}
	if next.IsZero() {
		next = read.First
	}
	if end := read.Last.Add(time.Second); next.Before(end) {
		if err := judge(ctx, next, end, read, true); err != nil {
			return read, fmt.Errorf("judge %s to %s: %w", next.Format(time.RFC3339), end.Format(time.RFC3339), err)
		}
	}
	return read, nil
}

// whole returns the end of the last time up to complete that is whole windows of most
// rules, if it is after from. Windows that it cuts all the same are looked at again.
func whole(from, complete time.Time) (time.Time, bool) {
	for _, step := range []time.Duration{time.Hour, 10 * time.Minute, 2 * time.Minute, time.Minute} {
		if to := detect.AlignDown(complete, step); to.After(from) {
			return to, true
		}
	}
	return time.Time{}, false
}

// add counts a part; judged is the time before which its lines come too late.
func (l *Lines) add(p *slstest.Part, judged time.Time) {
	l.Count += int64(p.Lines())
	l.Skipped += p.Skipped()
	l.Bytes += p.Bytes()
	first, last := p.Bounds()
	if first == 0 {
		return
	}
	if t := time.Unix(first, 0).UTC(); l.First.IsZero() || t.Before(l.First) {
		l.First = t
	}
	if t := time.Unix(last, 0).UTC(); t.After(l.Last) {
		l.Last = t
	}
	if judged.IsZero() || first >= judged.Unix() {
		return
	}
	p.Times(func(unix int64) {
		if unix != 0 && unix < judged.Unix() {
			l.Late++
		}
	})
}
