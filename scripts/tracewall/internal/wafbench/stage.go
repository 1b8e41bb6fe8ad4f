package wafbench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Where everything happens.
const (
	region  = "eu-west-1"
	webACL  = "shop"
	latency = 50 * time.Millisecond // of one call, as the reference measurements have it
)

// stage is one stand-in AWS with the web ACL of a user in it, which has three rules,
// and a watch over what it blocks.
type stage struct {
	aws   *waftest.AWS
	cfg   aws.Config
	watch watch
	// unwatched: nobody looks at the wall; set between two runs.
	unwatched bool
	held      []netip.Prefix // what was in force at the last look; nil: look again

	underway sync.WaitGroup // calls

	mu    sync.Mutex
	fault *mishap
	clock *clock // calls take time on it, if there is one
}

// mishap is a fault that waits for its call.
type mishap struct {
	at   int // counted in calls from now
	what *waftest.Fault
	kill context.CancelFunc // ends the run there, as its platform may
}

func newStage(opts waftest.AWSOptions) (*stage, error) {
	s := &stage{aws: waftest.NewAWS(opts)}
	url, err := s.aws.Start()
	if err != nil {
		return nil, err
	}
	if err := s.aws.SeedWebACL(region, awswaf.Regional, webACL); err != nil {
		s.close()
		return nil, err
	}
	// A web ACL that protects something, as everybody's does: the proof that the rule
	// is in force then ends with the first question.
	if err := s.aws.Associate(region, webACL, balancer); err != nil {
		s.close()
		return nil, err
	}
	s.cfg = aws.Config{
		HTTPClient:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
		BaseEndpoint: aws.String(url), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
	s.aws.Before(s.before)
	s.aws.After(s.after)
	return s, nil
}

// balancer is what the web ACL protects.
const balancer = "arn:aws:elasticloadbalancing:" + region + ":123456789012:loadbalancer/app/shop/50dc6c495c0c9188"

func (s *stage) close() {
	if c, ok := s.cfg.HTTPClient.(*http.Client); ok {
		c.CloseIdleConnections()
	}
	_ = s.aws.Close()
}

func (s *stage) before(waftest.Call) *waftest.Fault {
	s.underway.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clock != nil {
		s.clock.advance(latency)
	}
	if s.fault == nil {
		return nil
	}
	if s.fault.at > 0 {
		s.fault.at--
		return nil
	}
	f := s.fault
	s.fault = nil
	if f.kill != nil {
		f.kill()
	}
	return f.what
}

func (s *stage) after(call waftest.Call) {
	defer s.underway.Done()
	if !call.Changed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = nil
	if !s.unwatched {
		s.watch.look(s.enforced())
	}
}

// enforced returns what is in force, in order. The caller holds mu.
func (s *stage) enforced() []netip.Prefix {
	if s.held == nil {
		s.held = s.aws.Enforced(region, awswaf.Regional, webACL)
	}
	return s.held
}

// run lets act bring the wall up to date while the watch is on.
func (s *stage) run(wanted []netip.Prefix, act func() error) (cost, error) {
	s.aws.Forget()
	s.mu.Lock()
	s.watch.begin(s.enforced(), wanted)
	s.mu.Unlock()
	err := act()
	s.underway.Wait() // a run that was ended does not wait for its last call
	c := costOf(s.aws.Calls())
	c.unprotected = s.watch.worst
	return c, err
}

// equal tells whether the wall blocks exactly what is wanted.
func (s *stage) equal(wanted []netip.Prefix) error {
	s.mu.Lock()
	held := spansOf(s.enforced())
	s.mu.Unlock()
	if n := uncovered(spansOf(wanted), held); n > 0 {
		return fmt.Errorf("%d wanted addresses and ranges are not blocked", n)
	}
	if n := uncovered(held, spansOf(wanted)); n > 0 {
		return fmt.Errorf("%d blocked addresses and ranges are not wanted", n)
	}
	return nil
}

// The faults that the service and the way to it are known for. The conflict stands for a
// second writer, the lost answer for a connection that breaks after the change.
var faults = []waftest.Fault{
	{Drop: true},
	{Drop: true, AfterChange: true},
	{Code: "ThrottlingException"},
	{Code: "WAFOptimisticLockException"},
	{Code: "WAFInternalErrorException"},
	{Code: "WAFInternalErrorException", AfterChange: true},
	{Code: "WAFUnavailableEntityException"},
}

// trouble plans a fault for one of the next calls; every fourth time it is the end of the run.
// The context is the run's.
func (s *stage) trouble(ctx context.Context, rng *rand.Rand, calls int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f := &mishap{at: rng.IntN(max(calls, 1))}
	if rng.IntN(4) == 0 {
		f.kill = cancel
		if rng.IntN(2) == 0 { // the change is made, and nobody is told
			f.what = &waftest.Fault{Drop: true, AfterChange: true}
		}
	} else {
		what := faults[rng.IntN(len(faults))]
		f.what = &what
	}
	s.mu.Lock()
	s.fault = f
	s.mu.Unlock()
	return ctx, cancel
}

// calm takes back a fault that did not happen.
func (s *stage) calm() {
	s.mu.Lock()
	s.fault = nil
	s.mu.Unlock()
}
