//go:build cgo

// Package replay runs the whole rule set over logs of any length, on one machine and in
// bounded memory, as if the functions had watched while they were written.
//
//	files → blocks → lines (slstest.Stream) → for each rule, its complete windows → rows → Gathered
//
// Lines are read once. A window is asked about once, when every file has gone past its
// end by more than Late, and lines are forgotten when no window that is still to come can
// reach them (Rule.Margin). Rules whose counts add up over hours keep their rows for
// that long, not their lines. What is asked does not depend on the order of lines that are less than Late
// late; later ones are counted and told.
//
// While the engine works on one batch of rules' questions, the next lines are read.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// Input is one log to be read: a file, or standard input.
type Input struct {
	Name   string
	Fields []string // what Parse fills in, in its order
	Start  int64    // the time of its first line, Unix seconds
	Text   io.Reader
	// Parse takes one line apart. Several goroutines call it at once. unix is 0 for a line
	// without a time of its own; false refuses the line.
	Parse func(line []byte, values [][]byte) (unix int64, ok bool)
}

// Config says what to replay.
type Config struct {
	Rules []detect.Rule // as they are asked on SLS, with the fields' names filled in
	// Witness are rules that accuse nobody: their samples (Columns.Sample) are kept for the
	// addresses that the others name.
	Witness []detect.Rule
	Inputs  []Input // parts of one log, or logs of one time: they are read side by side
	// Late is how late a line may come and still count; 0 means DefaultLate. It is never less
	// than the longest lag of a rule.
	Late time.Duration
	// Batch is how many lines are read before the rules are asked; 0 means DefaultBatch.
	Batch int64
	// Memory bounds the lines in memory, in bytes; what the engine needs for its answers may
	// take half as much again. Beyond it both use the disk. 0 means DefaultMemory.
	Memory  int64
	Threads int                   // 0: all CPUs
	TempDir string                // "": the system's
	Unsafe  func(netip.Addr) bool // answers security_check_ip; nil: nobody is
	// Progress is told now and then how far it has come. It must return at once.
	Progress func(Progress)

	block int // bytes that are read at once; 0: as slstest does
}

// Defaults of a Config.
const (
	// DefaultLate is how late a line may come: busy servers write lines when an answer is
	// done, under the time when its request began.
	DefaultLate = 5 * time.Minute
	// DefaultBatch is large enough that asking is dear only by the line.
	DefaultBatch = 500_000
	// DefaultMemory keeps a process below 1 GB.
	DefaultMemory = 192 << 20
)

// linesAtOnce is how many lines the questions of one moment may be about, all together: the
// engine's limit on memory does not count what it collects into lists, some 200 bytes a line at worst.
const linesAtOnce = 1_000_000

// Progress is how far a replay has come.
type Progress struct {
	Lines int64
	At    time.Time // up to here the log has been judged
}

// Result is what the rules found.
type Result struct {
	Gathered detect.Gathered
	Rules    []detect.RuleSummary // in the order of their ids
	Left     []LeftOut
	Samples  map[threat.Indicator][]string // what Config.Witness saw of those who were named
	Read     Lines
}

// LeftOut is a rule that cannot be asked about these logs.
type LeftOut struct{ ID, Reason string }

// ErrNoRules means that not one of the rules can be asked about these logs.
var ErrNoRules = errors.New("none of the rules can be asked about these logs")

// logstore is what the lines are called within.
const logstore = "replay"

// Run replays the inputs. The result is the same for the same inputs, however long it
// takes and on however many CPUs. An error means that there is none: what could not be
// read or asked whole judges nobody.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Late <= 0 {
		c.Late = DefaultLate
	}
	for _, rule := range c.Rules {
		c.Late = max(c.Late, rule.Lag)
	}
	if c.Batch <= 0 {
		c.Batch = DefaultBatch
	}
	if c.Memory <= 0 {
		c.Memory = DefaultMemory
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	result, err := run(ctx, c)
	if err != nil {
		return Result{}, fmt.Errorf("replay: %w", err)
	}
	return result, nil
}

func run(ctx context.Context, c Config) (_ Result, err error) {
	// Each question runs on a thread of its own; that is also how they share the CPUs best.
	server, err := slstest.New(slstest.Config{
		Project: "tracewall-replay", AccessKeyID: "none", AccessKeySecret: "none", // nobody can call it: it does not listen
		Threads: 1, MemoryLimit: engineMemory(c.Memory), TempDir: c.TempDir, Unsafe: c.Unsafe,
		QueryTimeout: time.Hour, // a laptop is no cloud; ctx ends it
	})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	fields := fieldsOf(c.Inputs)
	rules, left, err := usable(ctx, server, c.Rules, fields)
	if err == nil && len(rules) == 0 {
		err = fmt.Errorf("%w: %s", ErrNoRules, reasons(left))
	}
	if err != nil {
		return Result{}, err
	}
	witness, _, err := usable(ctx, server, c.Witness, fields)
	if err != nil {
		return Result{}, err
	}
	stream, err := server.NewStream(slstest.StreamConfig{Logstore: logstore, Fields: fields, Keep: readBy(slices.Concat(rules, witness), fields), Memory: c.Memory})
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	r := &replay{room: semaphore.NewWeighted(linesAtOnce), config: c, server: server, stream: stream, asked: newAsked(rules, witness), facts: newFacts(rules), samples: newRemembered(joinedSamples)}
	r.result.Left = left
	if err := r.read(ctx, fields); err != nil {
		return Result{}, err
	}
	return r.finish(), nil
}

// engineMemory is what the engine may use for its answers, beside so much for lines.
func engineMemory(lines int64) int64 { return max(lines+lines/2, 64<<20) }

// fieldsOf are all fields of all inputs.
func fieldsOf(inputs []Input) []string {
	var all []string
	for _, in := range inputs {
		for _, f := range in.Fields {
			if !slices.Contains(all, f) {
				all = append(all, f)
			}
		}
	}
	return all
}

// usable asks each rule about no lines at all: one that names what these logs do not have
// is left out, and said.
func usable(ctx context.Context, server *slstest.Server, rules []detect.Rule, fields []string) (some []detect.Rule, left []LeftOut, err error) {
	const empty = "fields"
	index := make(map[string]slstest.FieldType, len(fields))
	for _, f := range fields {
		index[f] = slstest.Text
	}
	if err := server.CreateLogstore(empty, index); err != nil {
		return nil, nil, err
	}
	for _, r := range rules {
		if _, err := server.Query(ctx, empty, r.SQL(), time.Unix(0, 0), time.Unix(1, 0)); err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			left = append(left, LeftOut{ID: r.ID, Reason: unusable(r, fields, err)})
			continue
		}
		some = append(some, r)
	}
	return some, left, server.DeleteLogstore(empty)
}

// unusable says why a rule is left out.
func unusable(r detect.Rule, fields []string, err error) string {
	var lacks []string
	for _, column := range r.LogColumns() {
		if !slices.ContainsFunc(fields, func(f string) bool { return strings.EqualFold(f, column) }) {
			lacks = append(lacks, column)
		}
	}
	if len(lacks) > 0 {
		return "these logs have no field " + strings.Join(lacks, ", ")
	}
	return err.Error()
}

func reasons(left []LeftOut) string {
	text := ""
	for i, l := range left {
		if i == 3 {
			return text + fmt.Sprintf("; and %d more", len(left)-i)
		}
		if i > 0 {
			text += "; "
		}
		text += l.ID + ": " + l.Reason
	}
	return text
}

// readBy are the fields that some rule looks at. The others are not even kept: the line as
// a whole is half of a log.
func readBy(rules []detect.Rule, fields []string) []string {
	wanted := map[string]bool{}
	for _, r := range rules {
		some, err := slstest.Reads(r.SQL(), fields)
		if err != nil {
			return nil // the engine has read it, so this cannot be; then all are kept
		}
		for _, f := range some {
			wanted[f] = true
		}
	}
	keep := []string{}
	for _, f := range fields {
		if wanted[f] {
			keep = append(keep, f)
		}
	}
	return keep
}

// replay is one Run.
type replay struct {
	config  Config
	server  *slstest.Server
	stream  *slstest.Stream
	asked   []*asked
	facts   *facts
	samples remembered[[]string]
	result  Result

	// waiting are parts that came while a batch is being asked: were they added at once, it
	// would depend on the machine's speed which of a late line's windows counts it.
	waiting []waitingPart
	room    *semaphore.Weighted // lines that may be asked about at once
	pending int64               // lines since the rules were last asked
	running chan answered       // of the batch that is being asked; nil: none
}

type waitingPart struct {
	part     *slstest.Part
	previous int64
}

// read takes the parts of all inputs, in an order that does not depend on how fast they
// come, and asks the rules whenever enough have come.
func (r *replay) read(ctx context.Context, fields []string) error {
	ctx, cancel := context.WithCancel(ctx)
	in := newFeeds(ctx, r.config, r.stream, fields)
	defer func() {
		cancel()
		in.wait()
		if r.running != nil {
			<-r.running
		}
	}()
	for {
		part, previous, ok, err := in.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		r.waiting = append(r.waiting, waitingPart{part, previous})
		if r.pending += int64(part.Lines()); r.pending < r.config.Batch {
			continue
		}
		if err := r.ask(ctx, in.complete()-int64(r.config.Late/time.Second), false); err != nil {
			return err
		}
	}
	r.result.Read.Skipped += in.tooLong()
	if err := r.ask(ctx, 0, true); err != nil {
		return err
	}
	return r.collect()
}

// judged is the time before which a line comes too late for some rule.
func (r *replay) judged() int64 {
	var latest int64
	for _, a := range r.asked {
		latest = max(latest, a.next)
	}
	return latest
}

// judgedAt is judged as a time; zero when nothing has been.
func (r *replay) judgedAt() time.Time {
	if at := r.judged(); at > 0 {
		return time.Unix(at, 0)
	}
	return time.Time{}
}

// ask starts a batch over what is complete, when the one before is done.
func (r *replay) ask(ctx context.Context, complete int64, last bool) error {
	if err := r.collect(); err != nil {
		return err
	}
	r.pending = 0
	for _, w := range r.waiting {
		r.result.Read.add(w.part, r.judgedAt())
		if err := r.stream.Add(w.part, w.previous); err != nil {
			return err
		}
	}
	r.waiting = r.waiting[:0]
	if r.result.Read.First.IsZero() {
		return nil
	}
	var due []question
	for i, a := range r.asked {
		if q, ok := a.due(r, i, complete, last); ok {
			due = append(due, q)
		}
	}
	if len(due) == 0 {
		return nil
	}
	// The dearest first, so that no CPU waits for one that began last.
	slices.SortStableFunc(due, func(a, b question) int { return int(r.asked[b.rule].cost - r.asked[a.rule].cost) })
	r.running = make(chan answered, 1)
	go func() { r.running <- r.answer(ctx, due) }()
	return nil
}

// collect waits for the batch that is being asked, and takes in what it found.
func (r *replay) collect() error {
	if r.running == nil {
		return nil
	}
	done := <-r.running
	r.running = nil
	if done.err != nil {
		return done.err
	}
	r.take(done)
	oldest := int64(-1)
	for _, a := range r.asked {
		if needs := a.needs(); oldest < 0 || needs < oldest {
			oldest = needs
		}
	}
	r.stream.Forget(oldest)
	if r.config.Progress != nil {
		r.config.Progress(Progress{Lines: r.result.Read.Count, At: time.Unix(r.judged(), 0).UTC()})
	}
	return nil
}

// take joins the answers of a batch to what was found before, in the order of the rules.
func (r *replay) take(done answered) {
	var batch detect.Gathered
	rules := make([]detect.Rule, 0, len(r.asked))
	for _, a := range r.asked {
		rules = append(rules, a.rule)
	}
	for _, ans := range done.answers {
		a := r.asked[ans.rule]
		a.note(ans)
		if a.witness {
			r.samples.rotate(ans.span.To, func(s []string) bool { return len(s) == 0 })
			for _, d := range ans.detections {
				r.samples.add(d.Indicator, d.Samples)
			}
			continue
		}
		if a.rule.Class == detect.ClassContext {
			r.facts.add(ans.detections, ans.span.To)
			continue
		}
		batch.Detections = append(batch.Detections, ans.detections...)
		batch.Campaigns = append(batch.Campaigns, ans.campaigns...)
		batch.Rejected = append(batch.Rejected, ans.rejected...)
	}
	r.result.Gathered.Join(batch, rules)
	for _, d := range batch.Detections {
		if d.Indicator.Kind() == threat.KindAddress {
			r.facts.name(d.Indicator)
			r.samples.name(d.Indicator)
		}
	}
}

// finish is the result of a log that was read to its end.
func (r *replay) finish() Result {
	r.facts.fill(&r.result.Gathered)
	r.result.Samples = r.samples.named
	for _, a := range r.asked {
		if !a.witness {
			r.result.Rules = append(r.result.Rules, a.summary)
		}
	}
	slices.SortFunc(r.result.Left, func(a, b LeftOut) int { return compareText(a.ID, b.ID) })
	return r.result
}
