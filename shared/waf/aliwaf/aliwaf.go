// Package aliwaf is waf.Firewall on Alibaba Cloud, in four modes:
//
//   - address-book: one address book of WAF 3.0, tracewall-<target>, and one custom rule that
//     blocks whom it lists. Addresses come and go in batches, so one change is one call.
//   - ip-blacklist: rules of WAF 3.0's IP blacklist, which are written whole, for
//     instances that have no address books.
//   - cloud-firewall: address books of Cloud Firewall, layers 3 and 4.
//   - auto: address-book where the instance has address books, else ip-blacklist.
//
// What it promises beyond waf.Firewall:
//
//   - Ours is only what carries both our name and our mark in its description, with the target's
//     name in both. What has one of the two, or is there twice, is left alone and said to be so.
//   - Nothing here has a version or a lock that a write could be made to depend on (no operation of
//     WAF 3.0 has one). So every write names only what it changes: addresses by AddAddress and DeleteAddress,
//     protected objects by name, our own rule and template by their ids.
//   - An answer that got lost after the change was made is not a failure: what stands is
//     read back before anything is said to have failed.
//   - Calls are spaced (Config.Pace), throttled ones are made again, and each has its own end.
//
// Nobody has run this against the real service yet. What no source says is taken in the most careful
// way and marked UNVERIFIED where it matters; Examine tells what can be seen of it.
package aliwaf

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

// Credentials sign calls. SecurityToken is empty for those of a user, and there for those of a role.
type Credentials struct {
	AccessKeyID     string
	AccessKeySecret secret.Secret
	SecurityToken   secret.Secret
}

// Config is what all targets of an account have in common.
type Config struct {
	// Credentials is asked before each call: Function Compute hands fresh ones with each
	// invocation, and those of the process's start end after 36 hours.
	Credentials func(context.Context) (Credentials, error)
	// Endpoint is "https://host" in place of the public endpoints of all services; plain http
	// only on this machine, since the security token travels with each call. "": the public ones.
	Endpoint string
	// Transport carries the calls; nil is a plain one without a proxy.
	Transport http.RoundTripper
	// Pace spaces the calls; share one between the targets of an account. Nil: one of its own.
	Pace *Pace
	// Sleep waits before a call is made again; nil waits.
	Sleep func(ctx context.Context, d time.Duration) error
	// Now dates requests, proofs and memories; nil is time.Now.
	Now func() time.Time
}

// Pace spaces the calls of an account: those to WAF and those to Cloud Firewall, whose rates have nothing
// to do with each other.
type Pace struct{ WAF, CloudFirewall *rate.Limiter }

// The distances between calls. Alibaba Cloud's own scripts keep at least 200 ms to WAF, whose real limits are not
// published (UNVERIFIED); Cloud Firewall takes 10 calls a second of a user. A tenth more, since a call may be
// held up on its way and the one after it not.
const (
	WAFEvery           = 220 * time.Millisecond
	CloudFirewallEvery = 110 * time.Millisecond
)

// NewPace returns what the targets of one account share.
func NewPace() *Pace {
	return &Pace{WAF: rate.NewLimiter(rate.Every(WAFEvery), 1), CloudFirewall: rate.NewLimiter(rate.Every(CloudFirewallEvery), 1)}
}

// New returns the Firewall of a target. It makes no call. In mode auto it is a waf.Chooser.
func New(cfg Config, t Target) (waf.Firewall, error) {
	t = t.withDefaults()
	if err := t.check(); err != nil {
		return nil, err
	}
	c, err := newClient(cfg, t.Region)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", t.Name, err)
	}
	w := &wall{client: c, target: t, name: "tracewall-" + t.Name}
	switch t.Mode {
	case ModeIPBlacklist:
		return newRules(w), nil
	case ModeCloudFirewall:
		return newCloudFirewall(w), nil
	case ModeAddressBook:
		return newAddressBook(w), nil
	default:
		return newChooser(w), nil
	}
}

// wall is what the modes of a target have in common.
type wall struct {
	*client
	target Target
	name   string // of our book, rule and template

	found *instance // from DescribeInstance, asked once
	known string    // the instance's id, from there or from a memory
}

// Target returns the target with its defaults filled in.
func (w *wall) Target() Target { return w.target }

// title is for people: "alibaba waf waf-cn-x (cn-hangzhou)".
func (w *wall) title(kind string) string {
	id := w.target.InstanceID
	if id == "" {
		id = w.known
	}
	if id != "" {
		id = " " + id
	}
	return fmt.Sprintf("%s %s of alibaba cloud waf%s (%s)", kind, w.name, printable(id, maxName), w.target.Region)
}

var errNoCredentials = errors.New("no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
