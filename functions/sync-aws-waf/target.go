package main

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
	// leaseSlack is how much longer than the function's own deadline a lease lives: a
	// run that Lambda kills leaves its lease behind, and the next run waits for it.
	leaseSlack = 5 * time.Second
	// defaultLease is for callers without a deadline; Lambda's longest timeout.
	defaultLease = 15 * time.Minute
	// maxLease is the longest that a store grants; no Lambda runs that long.
	maxLease = time.Hour
	// lastWords bounds what is still written to Redis after the work has stopped.
	lastWords = 5 * time.Second
	// maxReceives bounds how often one run asks for handoff messages. They only ring
	// the bell: what is left over, the next run receives.
	maxReceives = 20
)

// wall is one target: its name in WAF_TARGETS and how to make it equal to a list.
type wall struct {
	name      string
	reconcile func(ctx context.Context, want waf.Desired, how how) (waf.Report, error)
}

// how says what a reconcile may do.
type how struct {
	dryRun     bool // plan and report only
	adoptEpoch bool // accept a list founded anew
}

// targetResult is what became of one target.
type targetResult struct {
	Name     string `json:"name"`
	Desired  int    `json:"desired"`  // distinct addresses and ranges that should be on the wall
	Enforced int    `json:"enforced"` // those of them that are
	Overflow int    `json:"overflow"` // those that had no room
	Spared   int    `json:"spared"`   // entries that the allowlist takes out
	Writes   int    `json:"writes"`
	Calls    int    `json:"calls"`
	Skipped  string `json:"skipped,omitempty"` // why nothing was done, without it being an error
	Error    string `json:"error,omitempty"`

	generation uint64
	guarded    bool // a guard refused the list: somebody must look
}

// status is what is kept in Redis about a target's last run, for the operator.
type status struct {
	AsOf       time.Time    `json:"as_of"`
	Mode       string       `json:"mode"`
	Epoch      string       `json:"epoch"`
	Generation uint64       `json:"generation"`
	Result     targetResult `json:"result"`
	Report     waf.Report   `json:"report"`
}

// pass is one run over all targets. Its methods are safe for concurrent use.
type pass struct {
	list       list
	now        time.Time
	dryRun     bool
	asked      bool // somebody asked for a plan: leave no trace of it
	adoptEpoch bool
	work       context.Context // ends early enough to record what was done
	outer      context.Context // Lambda's own
	lease      time.Duration   // 0: defaultLease
	desired    func() (desired, error)
}

// target brings one wall up to date. The order matters: the lease keeps two runs
// apart, the notices are taken before the list is read, and they are
// acknowledged only when the wall is proven to be equal to a list at least as new.
func (p *pass) target(w wall) (res targetResult, err error) {
	res.Name = w.name
	defer func() {
		if err != nil {
			res.Error = err.Error()
		}
	}()
	if p.dryRun {
		return res, p.reconcile(w, &res, nil)
	}
	ttl := min(cmp.Or(p.lease, defaultLease), maxLease)
	lease, err := p.list.Acquire(p.work, "sync:aws-waf:"+w.name, ttl)
	if errors.Is(err, blocklist.ErrLeaseHeld) {
		res.Skipped = "another run holds the lease"
		return res, nil
	}
	if err != nil {
		return res, fmt.Errorf("take lease: %w", err)
	}
	defer func() {
		ctx, cancel := p.last()
		defer cancel()
		_ = lease.Release(ctx) // it ends by itself, and a lost lease does not undo the work
	}()
	notices, err := p.receive(group(w), ttl)
	if err != nil {
		return res, err
	}
	return res, p.reconcile(w, &res, notices)
}

// group is a target's consumer group on the handoff stream.
func group(w wall) string { return "aws-waf:" + w.name }

// receive takes the handoff messages that wait for this target. Holding the
// lease, it may at once take over those that an earlier run received and did not
// acknowledge; after that, only new ones. The consumer's name is always the same,
// since Redis keeps every name that it has ever been told.
func (p *pass) receive(group string, ttl time.Duration) ([]blocklist.Notice, error) {
	var all []blocklist.Notice
	claimAfter := time.Duration(0)
	for range maxReceives {
		notices, err := p.list.Receive(p.work, group, function, claimAfter)
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
func (p *pass) reconcile(w wall, res *targetResult, notices []blocklist.Notice) error {
	want, err := p.desired()
	if err != nil {
		res.guarded = errors.Is(err, blocklist.ErrNoEpoch) || errors.Is(err, blocklist.ErrDamaged)
		return err
	}
	res.generation, res.Spared = want.Generation, want.spared
	report, err := w.reconcile(p.work, want.Desired, how{dryRun: p.dryRun, adoptEpoch: p.adoptEpoch})
	res.Desired, res.Enforced, res.Overflow = report.Desired, report.Enforced, report.Overflow
	res.Writes, res.Calls = report.Writes, report.Calls
	res.guarded = errors.Is(err, waf.ErrEpoch)

	ctx, cancel := p.last()
	defer cancel()
	errs := []error{err}
	if err == nil && !p.dryRun {
		errs = append(errs, p.acknowledge(ctx, group(w), notices, want.Generation))
	}
	if !p.asked {
		errs = append(errs, p.record(ctx, *res, report, want, err))
	}
	return errors.Join(errs...)
}

// acknowledge gives the receipt for every notice that the list just enforced was
// made after. Later ones stay: the next run enforces them.
func (p *pass) acknowledge(ctx context.Context, group string, notices []blocklist.Notice, generation uint64) error {
	var ids []string
	for _, n := range notices {
		if n.Generation <= generation {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if err := p.list.Ack(ctx, group, ids...); err != nil {
		return fmt.Errorf("acknowledge handoff: %w", err)
	}
	return nil
}

// record keeps what the run did, and what went wrong, for the operator.
func (p *pass) record(ctx context.Context, res targetResult, report waf.Report, want desired, failure error) error {
	if failure != nil {
		res.Error = failure.Error()
	}
	s := status{AsOf: p.now, Mode: modeSync, Epoch: want.Epoch, Generation: want.Generation, Result: res, Report: report}
	if p.dryRun {
		s.Mode = modePlan
	}
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("encode status: %w", err)
	}
	if err := p.list.SaveStatus(ctx, res.Name, text); err != nil {
		return fmt.Errorf("save status: %w", err)
	}
	return nil
}

// last returns a context for the few writes after the work: they are made even
// when the work was stopped, by its deadline or by whoever called.
func (p *pass) last() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(p.outer), lastWords)
}
