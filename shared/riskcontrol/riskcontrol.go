// Package riskcontrol tells the user's own risk-control service which accounts are
// blocked, so that it can refuse their logins and orders: a firewall knows addresses, and
// an attack from ten thousand addresses is often one account.
//
// # What the receiver gets
//
// An HTTPS POST whose body is one JSON object (schema.json has all fields):
//
//	{"version":1,"source":"tracewall","events":[
//	  {"id":"5f0c…","kind":"account","type":"account.blocked","account":{
//	    "id":"nbNg…==","action":"block","since":"2026-11-20T10:00:00Z","until":"2026-11-23T10:00:00Z",
//	    "severity":"high","rules":["sms-flood-account"],"reason":"9,412 addresses share this account","addresses":9412}}]}
//
// At most 500 events and 1 MB. Three headers stand beside it:
//
//	Tracewall-Signature: t=1795168800,v1=HEX[,v1=HEX]
//	Tracewall-Delivery:  a UUID made of the body; a retry has the same
//	Content-Type:        application/json
//
// # What the receiver does
//
//  1. Read the body, as bytes, before anything parses it.
//  2. Split Tracewall-Signature at commas. t is Unix seconds; each v1 is the lower-case hex
//     of HMAC-SHA256(secret, t + "." + body). Compute it and compare in constant time with
//     every v1 (hash_equals in PHP, hmac.compare_digest in Python, crypto.timingSafeEqual in
//     Node, MessageDigest.isEqual in Java). One that fits is enough. While a secret is being
//     changed there are two: the receiver may know either.
//  3. Refuse a t that is more than five minutes from its own clock (Window).
//  4. Remember Tracewall-Delivery for ten minutes, and answer 200 to one that it has
//     seen without applying it. Together with the window no recorded request can be replayed.
//  5. Apply each event. blocked and extended mean the same: action holds until until.
//     released means: treat the account as before. Each sets a state, so to apply one
//     twice does no harm. Let a block end at until by itself: released then only comes
//     early, and a tracewall that has gone silent locks nobody out for good. An account
//     that is not known is no error.
//  6. Answer 2xx only when all of it is stored. Anything else is told again.
//
// Verify does steps 2 and 3 in Go; see its example.
//
// # What the sender promises
//
// The receiver is kept equal to the list, as a firewall is. What it was told is
// remembered; each Sync tells the difference. A run that is killed between telling and
// remembering tells again, with the same ids and, while nothing else has changed, the same
// delivery. A memory that is lost tells everything again, with new ones; who left the list
// in that very time stays blocked at the receiver until his end. A list that cannot be
// read tells nothing: nobody is released because a store was flushed. And a list that
// could be read but has suddenly lost most of its accounts is not believed at once; see
// HoldRelease.
//
// Account names are personal data. They stand in the signed body and nowhere else: no
// error and no result of this package holds one, nor the URL, a secret, or any part of an
// answer, since a receiver may repeat them.
package riskcontrol

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/secret"
)

// Each sentinel means one decision.
var (
	// ErrRefused: the receiver will not take it as it is; somebody must change a setting. The next run tries again.
	ErrRefused = errors.New("risk-control service refused the delivery")
	// ErrUnavailable: the receiver did not take it, though asked several times. The next run tries again.
	ErrUnavailable = errors.New("risk-control service is not available")
	// ErrHeld: most accounts vanished from the list at once. Look at the list; see HoldRelease.
	ErrHeld = errors.New("release of most accounts is held")
	// ErrFull: more accounts are blocked than the memory can hold. The rest are not told.
	ErrFull = errors.New("too many blocked accounts to remember")
)

// Accounts is the list, as far as this package reads it. Its answer is whole or an error.
type Accounts interface {
	Accounts(ctx context.Context, now time.Time) ([]blocklist.Entry, error)
}

// Memory keeps what was told. ok is false for what was never saved or is lost.
type Memory interface {
	State(ctx context.Context, name string) (data []byte, ok bool, err error)
	SaveState(ctx context.Context, name string, data []byte) error
}

// Config is what a Notifier needs; all but the last four fields are required.
type Config struct {
	URL     secret.Secret   // where to POST; see CheckURL
	Secrets []secret.Secret // one, or while it is being changed two; see ParseSecrets
	List    Accounts
	Memory  Memory
	// Allowlist is read at each Sync: who is allowlisted while blocked is released, as from
	// a firewall. allowlist.Sources and the store have it.
	Allowlist func(context.Context) (allowlist.List, error)
	Clock     func() time.Time // the wall clock, for signatures

	Source    string                                     // who tells, if several do: "tracewall" if empty
	Transport http.RoundTripper                          // nil means the package endpoint's
	Timeout   time.Duration                              // of one attempt; 0 means 10 s
	Wait      func(context.Context, time.Duration) error // between attempts; nil means endpoint.Wait
}

// Notifier tells a risk-control service. It is safe for concurrent use; of Sync see what it says about leases.
type Notifier struct {
	url       string
	host      string // for errors
	secrets   []secret.Secret
	list      Accounts
	memory    Memory
	allowlist func(context.Context) (allowlist.List, error)
	clock     func() time.Time
	source    string
	client    *http.Client
	timeout   time.Duration
	wait      func(context.Context, time.Duration) error
}

// New makes a Notifier. It makes no call. Its error never shows the URL or a secret.
func New(c Config) (*Notifier, error) {
	u, err := parseURL(c.URL.Reveal())
	if err != nil {
		return nil, err
	}
	if err := checkSecrets(c.Secrets); err != nil {
		return nil, err
	}
	if c.List == nil || c.Memory == nil || c.Allowlist == nil || c.Clock == nil {
		return nil, errors.New("risk control: want a list, a memory, an allowlist and a clock")
	}
	n := &Notifier{
		url: u.String(), host: u.Host, secrets: c.Secrets, list: c.List, memory: c.Memory, allowlist: c.Allowlist, clock: c.Clock,
		source: c.Source, timeout: c.Timeout, wait: c.Wait,
	}
	if n.source == "" {
		n.source = "tracewall"
	}
	if n.timeout <= 0 {
		n.timeout = 10 * time.Second
	}
	if n.wait == nil {
		n.wait = endpoint.Wait
	}
	if c.Transport == nil {
		c.Transport = endpoint.Transport(1, time.Minute)
	}
	n.client = endpoint.Client(c.Transport)
	return n, nil
}
