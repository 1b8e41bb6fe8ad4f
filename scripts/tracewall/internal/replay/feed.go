//go:build cgo

package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tracewall/tracewall/shared/sls/slstest"
)

// feeds reads all inputs side by side: always on with the one that is furthest behind, so
// that rotated files come one after the other and files of several servers together.
type feeds struct {
	config   Config
	stream   *slstest.Stream
	fields   []string
	all      []*feed
	blocks   chan block // to be taken apart
	buffers  chan []byte
	tooLongs atomic.Int64
	working  sync.WaitGroup
	once     sync.Once
}

// feed is one input.
type feed struct {
	input    Input
	parse    slstest.LineParser
	parts    chan chan blockParts // in the input's order; closed at its end
	queue    []*slstest.Part      // of the block that was received last
	reached  int64                // nearly all of its lines so far are before this
	previous int64                // time of its last line
	started  bool
	done     bool
	err      error // of reading; set before parts is closed
}

type block struct {
	text  []byte
	parse slstest.LineParser
	out   chan blockParts
}

type blockParts struct{ parts []*slstest.Part }

// ahead is how many blocks of an input may wait.
const ahead = 2

func newFeeds(ctx context.Context, c Config, stream *slstest.Stream, fields []string) *feeds {
	f := &feeds{config: c, stream: stream, fields: fields, blocks: make(chan block), buffers: make(chan []byte, c.Threads+ahead+1)}
	for _, in := range c.Inputs {
		f.all = append(f.all, &feed{input: in, parse: f.parser(in), reached: in.Start, parts: make(chan chan blockParts, ahead)})
	}
	slices.SortStableFunc(f.all, func(a, b *feed) int {
		return cmp.Or(cmp.Compare(a.input.Start, b.input.Start), cmp.Compare(a.input.Name, b.input.Name))
	})
	for range c.Threads {
		f.working.Go(func() { f.work(ctx) })
	}
	return f
}

// parser puts the values of an input's lines where the stream has their fields.
func (f *feeds) parser(in Input) slstest.LineParser {
	if slices.Equal(in.Fields, f.fields) {
		return func(line []byte, out *slstest.Line) (ok bool) {
			out.Time, ok = in.Parse(line, out.Values)
			return ok
		}
	}
	at := make([]int, len(in.Fields))
	for i, name := range in.Fields {
		at[i] = slices.Index(f.fields, name)
	}
	rooms := sync.Pool{New: func() any { room := make([][]byte, len(at)); return &room }}
	return func(line []byte, out *slstest.Line) (ok bool) {
		room := rooms.Get().(*[][]byte)
		defer rooms.Put(room)
		clear(*room)
		out.Time, ok = in.Parse(line, *room)
		for i, v := range *room {
			out.Values[at[i]] = v
		}
		return ok
	}
}

// work takes blocks apart.
func (f *feeds) work(ctx context.Context) {
	maker := f.stream.NewPartMaker()
	for {
		select {
		case b, ok := <-f.blocks:
			if !ok {
				return
			}
			b.out <- blockParts{maker.Make(b.text, b.parse)}
			select {
			case f.buffers <- b.text:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

// start begins to read an input.
func (f *feeds) start(ctx context.Context, in *feed) {
	in.started = true
	go func() {
		defer close(in.parts)
		blocks := slstest.NewBlocks(in.input.Text, f.config.block)
		defer func() { f.tooLongs.Add(blocks.TooLong()) }()
		for {
			var buffer []byte
			select {
			case buffer = <-f.buffers:
			default:
			}
			text, err := blocks.Next(buffer)
			if err != nil && !errors.Is(err, io.EOF) {
				in.err = fmt.Errorf("read log file %s: %w", in.input.Name, err)
				return
			}
			out := make(chan blockParts, 1)
			select {
			case in.parts <- out:
			case <-ctx.Done():
				return
			}
			select {
			case f.blocks <- block{text: text, parse: in.parse, out: out}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
}

// next returns the next part of whichever input is furthest behind, and the time of that
// input's line before it; ok is false when all have ended.
func (f *feeds) next(ctx context.Context) (part *slstest.Part, previous int64, ok bool, err error) {
	for {
		in := f.behind()
		if in == nil {
			f.once.Do(func() { close(f.blocks) })
			return nil, 0, false, nil
		}
		if len(in.queue) > 0 {
			part, in.queue = in.queue[0], in.queue[1:]
			previous = in.previous
			in.advance(part)
			return part, previous, true, nil
		}
		if !in.started {
			f.start(ctx, in)
		}
		out, more := <-in.parts
		if !more {
			if in.err != nil {
				return nil, 0, false, in.err
			}
			if err := ctx.Err(); err != nil {
				return nil, 0, false, err
			}
			in.done = true
			continue
		}
		select {
		case b := <-out:
			in.queue = b.parts
		case <-ctx.Done():
			return nil, 0, false, ctx.Err()
		}
	}
}

// behind is the input that has come least far; nil when all are done.
func (f *feeds) behind() *feed {
	var least *feed
	for _, in := range f.all {
		if !in.done && (least == nil || in.reached < least.reached) {
			least = in
		}
	}
	return least
}

// complete is the time before which nearly all lines of all inputs have been read.
func (f *feeds) complete() int64 {
	if in := f.behind(); in != nil {
		return in.reached
	}
	var latest int64
	for _, in := range f.all {
		latest = max(latest, in.reached)
	}
	return latest
}

// advance notes how far the input has come. One line of a hundred may lie ahead of the
// others without making them late: a clock that was wrong for a moment.
func (in *feed) advance(p *slstest.Part) {
	if end := p.End(); end != 0 {
		in.previous = end
	}
	times := make([]int64, 0, p.Lines())
	p.Times(func(unix int64) {
		if unix != 0 {
			times = append(times, unix)
		}
	})
	if len(times) == 0 {
		return
	}
	slices.Sort(times) // they nearly are
	in.reached = max(in.reached, times[len(times)-1-len(times)/100])
}

func (f *feeds) tooLong() int64 { return f.tooLongs.Load() }

// wait returns when nothing touches the stream any more. The context has ended, or all
// inputs have. Who reads an input may still be waiting for standard input, which nothing interrupts.
func (f *feeds) wait() { f.working.Wait() }

func compareText(a, b string) int { return cmp.Compare(a, b) }
