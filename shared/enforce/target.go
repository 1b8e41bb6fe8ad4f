package enforce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// leaseSlack is how much longer than the run's own deadline a lease lives: a
	// run that its platform kills leaves its lease behind, and the next run waits for it.
	leaseSlack = 5 * time.Second
	// defaultLease is for callers without a deadline; the longest timeout of any function here.
	defaultLease = 15 * time.Minute
	// maxLease is the longest that a store grants; no function runs that long.
	maxLease = time.Hour
	// lastWords bounds what is still written to Redis after the work has stopped.
	lastWords = 5 * time.Second
	// maxReceives bounds how often one run asks for handoff messages. They only ring
	// the bell: what is left over, the next run receives.
	maxReceives = 20
	// anything is an allowance of as much as any list holds.
	anything = math.MaxInt32
)

// run is a Pass under way. Its methods are safe for concurrent use.
type run struct {
	Pass
	work    context.Context // ends early enough to record what was done
	outer   context.Context // the caller's own
	lease   time.Duration   // how long a lease is to live
	desired func() (*desired, error)
}

func newRun(p Pass, outer, work context.Context) *run {
	r := &run{Pass: p, outer: outer, work: work}
	if deadline, ok := outer.Deadline(); ok {
		r.lease = time.Until(deadline) + leaseSlack
	}
	r.lease = max(time.Second, min(cmp.Or(r.lease, defaultLease), maxLease))
	r.desired = sync.OnceValues(func() (*desired, error) { return readDesired(r.work, p.List, p.Now) })
	return r
}

// target brings one wall up to date. The order matters: the lease keeps two runs
// apart, the notices are taken before the list is read, and they are
// acknowledged only when the wall is proven to be equal to a list at least as new.
func (r *run) target(w Wall) (res Result, err error) {
	if w.Observe && !r.DryRun {
		plan := *r
		plan.DryRun = true
		res, err = plan.target(w)
		res.Observed = true
		return res, err
	}
	res.Name = w.Name
	defer func() {
		if err != nil {
			res.Error = err.Error()
		}
	}()
	if r.DryRun {
		err = r.reconcile(w, &res, nil, nil)
		return res, err
	}
	lease, err := r.List.Acquire(r.work, "sync:"+r.group(w), r.lease)
	if errors.Is(err, blocklist.ErrLeaseHeld) {
		res.Skipped = "another run holds the lease"
		return res, nil
	}
	if err != nil {
		return res, fmt.Errorf("take lease: %w", err)
	}
	defer func() {
		ctx, cancel := r.last()
		defer cancel()
		_ = lease.Release(ctx) // it ends by itself, and a lost lease does not undo the work
	}()
	notices, err := r.receive(r.group(w))
	if err != nil {
		return res, err
	}
	err = r.reconcile(w, &res, lease, notices)
	return res, err
}

// group is a wall's name among those of all clouds.
func (r *run) group(w Wall) string { return Key(r.Kind, w.Name) }

// Key is the name of a target among those of all kinds of firewalls: of its consumer group on the
// handoff stream, of its Status and of its approval.
func Key(kind, target string) string { return kind + ":" + target }

// receive takes the handoff messages that wait for this target. Holding the
// lease, it may at once take over those that an earlier run received and did not
// acknowledge; after that, only new ones. The consumer's name is always the same,
// since Redis keeps every name that it has ever been told.
func (r *run) receive(group string) ([]blocklist.Notice, error) {
	var all []blocklist.Notice
	claimAfter := time.Duration(0)
	for range maxReceives {
		notices, err := r.List.Receive(r.work, group, "sync-"+r.Kind, claimAfter)
		if err != nil {
			return nil, fmt.Errorf("receive handoff: %w", err)
		}
		if len(notices) == 0 {
			break
		}
		all = append(all, notices...)
		claimAfter = r.lease
	}
	return all, nil
}

// reconcile makes the wall equal to the list, then records and acknowledges it.
// lease is nil in a dry run.
func (r *run) reconcile(w Wall, res *Result, lease *blocklist.Lease, notices []blocklist.Notice) error {
	before, unreadable := r.recall(r.group(w))
	approved, unasked := r.approved(r.group(w))
	var guard *writer
	if lease != nil {
		guard = &writer{run: r, target: r.group(w), before: before, unreadable: unreadable, lease: lease}
	}
	want, report, err := r.make(&w, res, before, approved, guard)

	ctx, cancel := r.last()
	defer cancel()
	errs := []error{err, unreadable, unasked}
	if err == nil && !r.DryRun {
		errs = append(errs, r.acknowledge(ctx, r.group(w), notices, want.Generation))
	}
	if r.DryRun && !r.NoTrace && unreadable == nil {
		// A plan holds no lease: a real run may have left something newer meanwhile.
		before, unreadable = r.recall(r.group(w))
		errs = append(errs, unreadable)
	}
	after := r.status(before, w, res, report, want, err)
	after.Book = guard.bookAfter(before, report)
	if !r.NoTrace && unreadable == nil { // or it would overwrite what could not be read
		errs = append(errs, r.record(ctx, r.group(w), after, lease))
	}
	return errors.Join(errs...)
}

// make makes the wall equal to the list, and completes w with the kind that it turns out to be.
func (r *run) make(w *Wall, res *Result, before Status, approved waf.Allowance, guard *writer) (want goal, report waf.Report, err error) {
	report.Name = w.Name
	if err := r.choose(w); err != nil {
		return want, report, err
	}
	if _, ok := w.Firewall.(waf.BookFirewall); ok && guard != nil {
		guard.book = true
	}
	rec := r.reconciler(*w, before, approved, guard)
	through := rec.LookAhead(r.work) // while the list is read
	defer through()
	all, err := r.desired()
	if err != nil {
		res.Guarded = errors.Is(err, blocklist.ErrNoEpoch) || errors.Is(err, blocklist.ErrDamaged)
		return want, report, err
	}
	want, report, err = r.equal(rec, *w, all.goal(*w), approved)
	res.tell(report, err)
	res.Generation, res.Spared, res.Unchallenged = want.Generation, want.spared, len(want.milder)
	return want, report, err
}

// choose asks a firewall that can be of several kinds which it is.
func (r *run) choose(w *Wall) error {
	chooser, ok := w.Firewall.(waf.Chooser)
	if !ok {
		return nil
	}
	chosen, err := chooser.Choose(r.work)
	if err != nil {
		return fmt.Errorf("choose the kind of wall: %w", err)
	}
	w.Firewall = chosen
	return nil
}

// reconciler makes the Reconciler of a wall, which remembers what the last run left.
func (r *run) reconciler(w Wall, before Status, approved waf.Allowance, guard *writer) *waf.Reconciler {
	if memory, ok := w.Firewall.(waf.Rememberer); ok {
		memory.Recall(before.Memory)
	}
	rec := &waf.Reconciler{
		Firewall: w.Firewall, Name: w.Name, Limits: w.Limits,
		DryRun: r.DryRun, Verify: r.Verify, AdoptEpoch: r.AdoptEpoch,
		ReportDrift: w.ReportDrift && !r.RepairDrift, RuleFirst: w.Challenges,
		Prove: r.Prove || r.Verify || !r.DryRun && before.unproven(r.Now),
		Guard: waf.Guard{MaxRelease: w.MaxRelease, MaxAdd: w.MaxAdd, Allow: approved},
		Now:   r.Now, Book: before.Book.memory(),
		Refused: before.Report.Rejected, NoExceptions: before.Report.NoExceptions,
	}
	if guard != nil {
		rec.BeforeWrite = guard.beforeWrite
	}
	return rec
}

// equal runs the Reconciler. It returns the state of the list that the wall was
// made from, which may be a newer one than asked: while this run read the list and
// waited for its lease, another may have made the wall from a newer state.
func (r *run) equal(rec *waf.Reconciler, w Wall, want goal, approved waf.Allowance) (goal, waf.Report, error) {
	reconcile := func() (waf.Report, error) {
		rec.Limits.Spare = want.allowed
		rec.Guard.Ended = func(ctx context.Context, prefixes []netip.Prefix) (int, error) {
			return want.explained(ctx, r.List, r.Now, prefixes)
		}
		return rec.Reconcile(r.work, want.Desired)
	}
	report, err := reconcile()
	if errors.Is(err, waf.ErrStale) {
		if fresh, again := readDesired(r.work, r.List, r.Now); again == nil && fresh.epoch == want.Epoch && fresh.generation > want.Generation {
			calls, writes := report.Calls, report.Writes
			want, rec.Book = fresh.goal(w), report.Book
			report, err = reconcile()
			report.Calls, report.Writes = report.Calls+calls, report.Writes+writes
		}
	}
	if approved != (waf.Allowance{}) && !r.Approve && !r.DryRun && (err == nil || errors.Is(err, waf.ErrHeld)) {
		err = errors.Join(err, r.useApproval(r.group(w)))
	}
	return want, report, err
}

// approved returns what the operator allows this run beyond what it may by itself.
// With an error that is nothing, and the run goes on: it can only be held.
func (r *run) approved(target string) (waf.Allowance, error) {
	if r.Approve {
		return waf.Allowance{Add: anything, Release: anything}, nil
	}
	a, ok, err := r.List.Approval(r.work, target)
	if errors.Is(err, blocklist.ErrDamaged) {
		return waf.Allowance{}, nil // approves of nothing, and goes within the hour
	}
	if err != nil {
		return waf.Allowance{}, err
	}
	if !ok {
		return waf.Allowance{}, nil
	}
	return waf.Allowance{Add: a.Add, Release: a.Release}, nil
}

// useApproval takes the approval away once the run is through, or was held in spite
// of it. A run that stopped half way leaves it to the next, which goes on.
func (r *run) useApproval(target string) error {
	ctx, cancel := r.last()
	defer cancel()
	_, _, err := r.List.UseApproval(ctx, target)
	return err
}

// tell fills in what the Reconciler reports.
func (res *Result) tell(report waf.Report, err error) {
	res.Desired, res.Enforced, res.Overflow = report.Desired, report.Enforced, report.Overflow
	res.Pending = max(0, report.Desired-report.Enforced-report.Overflow)
	res.Writes, res.Calls, res.Report = report.Writes, report.Calls, report
	res.Held, res.Drift, res.Findings = report.Held, report.Drift, report.Findings
	for _, guard := range []error{waf.ErrHeld, waf.ErrEpoch, waf.ErrStale, waf.ErrDrift} {
		res.Guarded = res.Guarded || errors.Is(err, guard)
	}
}

// acknowledge gives the receipt for every notice that the list just enforced was
// made after. Later ones stay: the next run enforces them.
func (r *run) acknowledge(ctx context.Context, group string, notices []blocklist.Notice, generation uint64) error {
	var ids []string
	for _, n := range notices {
		if n.Generation <= generation {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := r.List.Ack(ctx, group, ids...); err != nil {
		return fmt.Errorf("acknowledge handoff: %w", err)
	}
	return nil
}

// last returns a context for the few writes after the work: they are made even
// when the work was stopped, by its deadline or by whoever called.
func (r *run) last() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.outer), lastWords)
}
