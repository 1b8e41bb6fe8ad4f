// Package awswaf is waf.Firewall on AWS WAF (WAFv2): IP sets named
// tracewall-<target>-v4-001 and one generated rule, tracewall-<target>, inside
// the user's own web ACL.
//
// What it promises beyond waf.Firewall:
//
//   - The web ACL is carried over losslessly. UpdateWebACL replaces the whole ACL,
//     so everything that is not our rule is sent back as the very bytes that
//     GetWebACL returned, also fields that this SDK does not know.
//   - The user's rules are never moved; ours takes the next free priority.
//   - Only what is ours is touched: an IP set by its description or its tag, the rule by its name
//     and by referring to nothing but our sets. A name that is taken is an error or the next number.
//   - An answer that got lost after the change was made is not a failure: what
//     stands is read back before anything is said to have failed.
//   - Calls are spaced per action (Pace), and a run stops before its deadline.
//
// One rule holds all of a target's sets in an OrStatement. The founding story had
// one rule per set; AWS charges per rule, and both use one reference per set.
package awswaf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/tracewall/tracewall/shared/waf"
)

// Firewall is one Target on AWS. It remembers, between runs of the same process,
// what the sets hold under which lock token: a warm run reads only what others have
// changed, and sees that they have. Not for concurrent use.
type Firewall struct {
	client *wafv2.Client
	target Target
	role   *aws.CredentialsCache // nil: the configuration's own credentials
	base   string                // names of the rule and, with a suffix, of the sets
	names  *regexp.Regexp
	pace   *Pace
	delay  func(attempt int) time.Duration
	// timeout is for one attempt: a hanging connection must not eat the whole run.
	timeout    time.Duration
	now        func() time.Time
	cloudFront *cloudFront

	calls, writes atomic.Int64

	memory map[string]remembered // by set id
	// What we left, by our own writes or by a memory: see memory.
	left  map[string]leftSet // by set name; nil: nothing is known yet
	taken map[string]string  // id by name: sets with our names that are not ours
	// thorough makes Look follow every marker to an empty page: a set was there
	// that a list ending with a page that was not full did not have on it.
	thorough bool

	// From the last Look, kept up to date by our own writes.
	sets      map[string]*ipSet // by name; ours only
	place     place
	inAccount int          // all IP sets of the account, here
	wrote     bool         // something was written since
	probed    bool         // nothing was denied to the probes
	proved    provedBefore // what makes the next proof cheaper
}

type remembered struct {
	token    string
	prefixes []netip.Prefix
}

type ipSet struct {
	name, id, arn, token string
}

// Option changes how a Firewall works.
type Option func(*Firewall)

// WithPace shares a Pace between targets; without it each Firewall has its own.
func WithPace(p *Pace) Option { return func(f *Firewall) { f.pace = p } }

// WithDelay sets how long to wait before the attempt-th retry (from 1). The default grows from
// about a second to about fifteen, at random.
func WithDelay(delay func(attempt int) time.Duration) Option {
	return func(f *Firewall) { f.delay = delay }
}

// WithClock sets the clock that signs requests to CloudFront and dates proofs; the default is time.Now.
func WithClock(now func() time.Time) Option { return func(f *Firewall) { f.now = now } }

const (
	sdkAttempts   = 5                // per call, for throttling, 5xx and broken connections
	callTimeout   = 30 * time.Second // per attempt; 10,000 addresses are 0.2 MB, 0.5 MB of IPv6
	readyAttempts = 9                // for a new set to become referable: about a minute and a half in all
	goneAttempts  = 3                // for an object that may not have spread yet, or be gone
	mergeAttempts = 6                // for other writers of the web ACL
	maxPages      = 200              // of a List action, 100 items each
)

// New returns the Firewall of a target. The region is the target's, never the
// configuration's; AWS_ENDPOINT_URL_WAFV2 works as in every SDK client.
func New(cfg aws.Config, target Target, opts ...Option) (*Firewall, error) {
	target = target.withDefaults()
	if err := target.check(); err != nil {
		return nil, err
	}
	f := &Firewall{
		target: target,
		base:   "tracewall-" + target.Name,
		pace:   NewPace(WriteEvery, ReadEvery),
		delay:  defaultDelay, timeout: callTimeout, now: time.Now,
		memory: map[string]remembered{},
	}
	f.names = setNames(f.base)
	switch target.Mode {
	case ModeRuleGroup:
		f.place = newRuleGroupPlace(f)
	case ModeIPSet:
		named, err := newNamedPlace(f)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", target.Name, err)
		}
		f.place = named
	default:
		f.place = &webACLPlace{Firewall: f}
	}
	for _, opt := range opts {
		opt(f)
	}
	f.cloudFront = newCloudFront(cfg)
	if target.RoleARN != "" {
		f.role = assumeRole(cfg, target, func(attempt int) time.Duration { return f.delay(attempt) }).cached()
	}
	f.client = wafv2.NewFromConfig(cfg, func(o *wafv2.Options) {
		o.Region = target.Region
		if f.role != nil {
			o.Credentials = f.role
		}
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = sdkAttempts
			o.RateLimiter = ratelimit.None // Pace does this, per action
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, err error) (time.Duration, error) {
				if errors.Is(mapError(err), waf.ErrThrottled) {
					return 0, nil // Pace waits for this already, and knows how long
				}
				return f.delay(attempt), nil
			})
		})
		o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
			return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("tracewallPace", f.eachAttempt), "Retry", middleware.After)
		})
	})
	return f, nil
}

// Target returns the target with its defaults filled in.
func (f *Firewall) Target() Target { return f.target }

// Calls implements waf.Metered.
func (f *Firewall) Calls() (calls, writes int) { return int(f.calls.Load()), int(f.writes.Load()) }

// eachAttempt paces, counts and bounds every attempt, the SDK's own retries included.
func (f *Firewall) eachAttempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (out middleware.FinalizeOutput, md middleware.Metadata, err error) {
	op := awsmiddleware.GetOperationName(ctx)
	if f.role != nil {
		// Here, and not where the SDK asks for them: without them there is no call to pace, to count or to try again.
		if _, err := f.role.Retrieve(ctx); err != nil {
			return out, md, err
		}
	}
	done, err := f.pace.begin(ctx, f.target.account(), f.target.Region, op)
	if err != nil {
		return out, md, err
	}
	f.calls.Add(1)
	if isWrite(op) {
		f.writes.Add(1)
		f.wrote = true
	}
	callCtx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	out, md, err = next.HandleFinalize(callCtx, in)
	done(err)
	if f.role != nil && expired(err) {
		f.role.Invalidate() // revoked, or our clock is wrong: the next run gets new ones
	}
	if err != nil && ctx.Err() == nil && callCtx.Err() != nil {
		// Not the run's deadline: do not let it look like that.
		err = fmt.Errorf("%w: no answer within %s: %v", waf.ErrUnavailable, f.timeout, err) //nolint:errorlint // wrapped, it would be a deadline that was missed
	}
	return out, md, err
}

// sleep waits before a retry; it does not begin to wait for what the deadline will cut off.
func (f *Firewall) sleep(ctx context.Context, attempt int) error {
	d := f.delay(attempt)
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return waf.ErrOutOfTime
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func defaultDelay(attempt int) time.Duration {
	d := min(time.Second<<min(attempt-1, 4), 15*time.Second)
	return d/2 + rand.N(d) // jitter: two runs that collide shall not collide again
}

func (f *Firewall) scope() types.Scope { return types.Scope(f.target.Scope) }

// unsure tells errors after which the change may have been made: no answer came,
// or the answer may be to a resend of ours.
func unsure(err error) bool {
	var role *roleError
	if errors.As(err, &role) {
		return false // the call was never made
	}
	return code(err) == "" || errors.Is(err, waf.ErrUnavailable) || errors.Is(err, waf.ErrThrottled) || errors.Is(err, waf.ErrConflict)
}
