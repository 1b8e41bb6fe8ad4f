// Package crawler tells a search engine's crawler from whoever borrows its name.
//
// A user agent proves nothing: anybody can write "Googlebot" into a header. A PTR record
// proves nothing either: whoever holds an address also holds its reverse zone and can
// write "crawl-66-249-66-1.googlebot.com" into it. What only the search engine can do is
// to make that name point back at the address. So, as the search engines themselves
// document, a crawler is verified in two steps: the address's name must lie in a domain
// of the crawler's, and that name must resolve to the very address (forward-confirmed
// reverse DNS).
//
// There are three answers. A name: it is that crawler. ErrNot: it is none that can be
// proven this way. ErrUnknown: DNS did not tell. Note who decides between the last two:
// an attacker's reverse zone is the attacker's, and can answer nothing at all for as
// long as he likes. ErrUnknown is therefore no reason to let somebody off for good; it
// is a reason not to act on a first doubt. Published ranges, which are looked up without
// DNS, are the firmer ground (package allowlist joins them in); this check is for the
// crawlers that publish none and for ranges that are newer than our copy.
//
// Ask about an address that was seen, never about the first address of a range: verdicts
// on IPv6 are about a /64, but a name belongs to one address in it. A verified address
// speaks for its whole /64, since one customer holds it, and the crawler's operator is
// that customer. Verify answers ErrUnknown for an address whose last 64 bits are zero: it
// is the subnet's own (RFC 4291, 2.6.1), and a sign that a /64 was passed in.
package crawler

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Each sentinel means one decision.
var (
	// ErrNot: the address is no crawler that forward-confirmed reverse DNS can prove.
	ErrNot = errors.New("not a verified crawler")
	// ErrUnknown: DNS did not answer, or not in time. Ask again later; decide nothing by it.
	ErrUnknown = errors.New("crawler check got no answer from DNS")
)

// Resolver is as much of DNS as a check needs; *net.Resolver is one. Errors are told
// apart by *net.DNSError.
type Resolver interface {
	LookupAddr(ctx context.Context, addr string) (names []string, err error)
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Bounds of a check, and how long its outcome is remembered. No source names figures:
// UNVERIFIED. Crawlers have one name an address; their addresses change owners in months.
const (
	maxNames   = 10             // an address with more names than this is no crawler's
	maxForward = 3              // names of one address that are resolved
	maxName    = 253            // bytes of a name, RFC 1035 2.3.4
	keepYes    = 12 * time.Hour // a crawler stays one
	keepNot    = time.Hour
	keepDoubt  = time.Minute // ErrUnknown: not asked again within one run
)

// Config is what a Verifier needs. Resolver and Clock are required.
type Config struct {
	Resolver   Resolver
	Clock      func() time.Time
	Timeout    time.Duration // of one check, all its questions together; 0 means 3 s
	Concurrent int           // checks at once; 0 means 8. The others wait
	Remember   int           // addresses whose outcome is remembered; 0 means 10,000 (1 MB)
}

// Verifier verifies crawlers and remembers outcomes. It is safe for concurrent use.
type Verifier struct {
	resolver Resolver
	timeout  time.Duration
	places   chan struct{}
	memory   *memory
}

// New makes a Verifier. Negative settings, or a missing resolver or clock, are errors.
func New(c Config) (*Verifier, error) {
	if c.Resolver == nil || c.Clock == nil {
		return nil, errors.New("crawler check: want a resolver and a clock")
	}
	if c.Timeout < 0 || c.Concurrent < 0 || c.Remember < 0 {
		return nil, errors.New("crawler check: want a timeout, a concurrency and a memory that are not negative")
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Concurrent == 0 {
		c.Concurrent = 8
	}
	if c.Remember == 0 {
		c.Remember = 10_000
	}
	return &Verifier{resolver: c.Resolver, timeout: c.Timeout, places: make(chan struct{}, c.Concurrent), memory: newMemory(c.Remember, c.Clock)}, nil
}

// Verify returns which crawler addr is, such as "Googlebot"; ErrNot if none, ErrUnknown
// (with the reason) if DNS did not tell or ctx ended. It asks at most one question about
// names and three about addresses, within the Verifier's timeout, and answers from
// memory where it can. addr must be one that was seen, not a range's first.
func (v *Verifier) Verify(ctx context.Context, addr netip.Addr) (name string, err error) {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid() || addr.Zone() != "":
		return "", fmt.Errorf("%w: not an address", ErrNot)
	case addr.Is6() && [8]byte(addr.AsSlice()[8:]) == [8]byte{}:
		return "", fmt.Errorf("%w: %s is a subnet's own address; ask about one that was seen", ErrUnknown, addr)
	}
	if o, ok := v.memory.recall(addr); ok {
		return o.name, o.err
	}
	select {
	case v.places <- struct{}{}:
		defer func() { <-v.places }()
	case <-ctx.Done():
		return "", fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
	}
	if o, ok := v.memory.recall(addr); ok { // another check of it may just have ended
		return o.name, o.err
	}
	within, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	o := v.ask(within, addr)
	if ctx.Err() == nil { // what the caller cut short says nothing about DNS
		v.memory.keep(addr, o)
	}
	return o.name, o.err
}
