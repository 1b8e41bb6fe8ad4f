package enforce

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
)

// Status is what is kept in Redis about a wall's last run, for the operator.
type Status struct {
	AsOf       time.Time  `json:"as_of"`
	Mode       string     `json:"mode"`
	Epoch      string     `json:"epoch"`
	Generation uint64     `json:"generation"`
	Result     Result     `json:"result"`
	Report     waf.Report `json:"report"`
}

// run is a Pass under way. Its methods are safe for concurrent use.
type run struct {
	Pass
	work    context.Context // ends early enough to record what was done
	outer   context.Context // the caller's own
	lease   time.Duration   // 0: defaultLease
	desired func() (desired, error)
}

// target brings one wall up to date. The order matters: the lease keeps two runs
// apart, the notices are taken before the list is read, and they are
// acknowledged only when the wall is proven to be equal to a list at least as new.
func (r *run) target(w Wall) (res Result, err error) {
	res.Name = w.Name
	defer func() {
		if err != nil {
			res.Error = err.Error()
		}
	}()
	if r.DryRun {
		err = r.reconcile(w, &res, nil)
		return res, err
	}
	ttl := min(cmp.Or(r.lease, defaultLease), maxLease)
	lease, err := r.List.Acquire(r.work, "sync:"+r.group(w), ttl)
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
	notices, err := r.receive(r.group(w), ttl)
	if err != nil {
		return res, err
	}
	err = r.reconcile(w, &res, notices)
	return res, err
}

// group is a wall's consumer group on the handoff stream.
func (r *run) group(w Wall) string { return r.Kind + ":" + w.Name }

// receive takes the handoff messages that wait for this target. Holding the
// lease, it may at once take over those that an earlier run received and did not
// acknowledge; after that, only new ones. The consumer's name is always the same,
// since Redis keeps every name that it has ever been told.
func (r *run) receive(group string, ttl time.Duration) ([]blocklist.Notice, error) {
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
		claimAfter = ttl
	}
	return all, nil
}

// reconcile makes the wall equal to the list, then records and acknowledges it.
func (r *run) reconcile(w Wall, res *Result, notices []blocklist.Notice) error {
	want, err := r.desired()
	if err != nil {
		res.Guarded = errors.Is(err, blocklist.ErrNoEpoch) || errors.Is(err, blocklist.ErrDamaged)
		return err
	}
	res.Generation, res.Spared = want.Generation, want.spared
	report, err := w.Reconcile(r.work, want.Desired, How{DryRun: r.DryRun, AdoptEpoch: r.AdoptEpoch})
	res.Desired, res.Enforced, res.Overflow = report.Desired, report.Enforced, report.Overflow
	res.Writes, res.Calls, res.Report = report.Writes, report.Calls, report
	res.Guarded = errors.Is(err, waf.ErrEpoch)

	ctx, cancel := r.last()
	defer cancel()
	errs := []error{err}
	if err == nil && !r.DryRun {
		errs = append(errs, r.acknowledge(ctx, r.group(w), notices, want.Generation))
	}
	if !r.NoTrace {
		errs = append(errs, r.record(ctx, *res, report, want, err))
	}
	return errors.Join(errs...)
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

// record keeps what the run did, and what went wrong, for the operator.
func (r *run) record(ctx context.Context, res Result, report waf.Report, want desired, failure error) error {
	if failure != nil {
		res.Error = failure.Error()
	}
	s := Status{AsOf: r.Now, Mode: "sync", Epoch: want.Epoch, Generation: want.Generation, Result: res, Report: report}
	if r.DryRun {
		s.Mode = "plan"
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	if err := r.List.SaveStatus(ctx, res.Name, text); err != nil {
		return fmt.Errorf("save status: %w", err)
	}
	return nil
}

// last returns a context for the few writes after the work: they are made even
// when the work was stopped, by its deadline or by whoever called.
func (r *run) last() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.outer), lastWords)
}
