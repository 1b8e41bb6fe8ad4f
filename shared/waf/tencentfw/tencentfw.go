// Package tencentfw is waf.Firewall on Tencent Cloud, in one of two places:
//
//   - mode security-group: one DROP rule on top of the user's own security groups, for all
//     protocols and ports. It refers to one address template group, which holds address
//     templates of at most 20 addresses: 400 in all. It works below HTTP, for whatever the
//     groups protect, and costs nothing; 400 is little, so rank decides who is on it.
//   - mode waf: the blocklist of Tencent Cloud WAF, thousands of addresses by edition, each
//     with an end of its own, at which it is let go even when nothing of ours runs any more.
//
// What it promises beyond waf.Firewall:
//
//   - Only what is ours is touched: names begin with tracewall-<target>, and a second mark in a
//     place that people do not type into by accident says so too. What has one without the other is left alone.
//   - A security group is never written whole. A rule is inserted or taken out, under
//     the Version that it was read with, so that rules of others stay byte for byte.
//   - An answer that got lost after the change was made is not a failure: what
//     stands is read back before anything is said to have failed.
//
// Errors of Tencent Cloud come with HTTP 200. errors.go maps them, in one place.
package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
)

// Credentials sign the calls. Token is only there with temporary ones.
type Credentials struct {
	SecretID  string
	SecretKey secret.Secret
	Token     secret.Secret
}

// Config is what all targets of one account have in common.
type Config struct {
	// Credentials is asked before each call, since temporary ones change.
	Credentials func(context.Context) (Credentials, error)
	// Endpoint is "https://host" in place of all public endpoints; plain http only on this machine. "": the public ones.
	Endpoint string
	// Transport carries the calls; nil: one of its own, without a proxy.
	Transport http.RoundTripper
	// Pace is shared by all targets of an account; nil: 20 calls a second for this one.
	Pace *rate.Limiter
	// Sleep waits before a further try; nil: a timer. It returns ctx's error if that ends first.
	Sleep func(ctx context.Context, d time.Duration) error
	// Now is the clock that signs calls and dates proofs; nil: time.Now.
	Now func() time.Time
}

// DefaultPace is how many calls a second are made if Config.Pace says nothing. Tencent Cloud WAF's
// documentation allows 20 a second for each action; VPC and CLB allow more for most.
const DefaultPace = 20

// NewPace returns a limiter of DefaultPace, to be shared by the targets of one account.
func NewPace() *rate.Limiter { return rate.NewLimiter(DefaultPace, 1) }

// New returns the Firewall of a target; it makes no call. In mode security-group it is a
// waf.SetFirewall, in mode waf a waf.BookFirewall. It is not for concurrent use.
func New(cfg Config, target Target) (waf.Firewall, error) {
	target = target.withDefaults()
	if err := target.check(); err != nil {
		return nil, err
	}
	c, err := newClient(cfg, target.Region)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", target.Name, err)
	}
	switch target.Mode {
	case ModeSecurityGroup:
		return newGroup(c, target), nil
	case ModeWAF:
		return newAccess(c, target), nil
	default:
		return nil, errors.New("target " + target.Name + ": no such mode") // check has refused it
	}
}
