package riskcontrol

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Bounds of a delivery and of trying.
const (
	MaxBatch    = 500     // events in one delivery
	MaxBody     = 1 << 20 // bytes of one delivery; a batch that would be larger is split
	maxAnswer   = 64 << 10
	maxAttempts = 5
	firstWait   = time.Second
	longestWait = 30 * time.Second
)

// maxProblems bounds how many refused deliveries an error names.
const maxProblems = 5

// errContent is what ErrRefused wraps when it is about this delivery and no other.
var errContent = errors.New("not understood")

// delivery is the body. It holds no time of its own: told again, it is the same bytes.
type delivery struct {
	Version int     `json:"version"`
	Source  string  `json:"source"`
	Events  []Event `json:"events"`
}

// Send tells events in order, in as many deliveries as it takes, and returns how many
// were acknowledged. Each delivery is tried up to five times within ctx when the receiver
// does not answer, is busy (429) or broken (5xx): ErrUnavailable, and the rest is not
// tried. Any other answer than 2xx is ErrRefused at once; after 400 and 422, which speak
// of this delivery only, the others are still told.
func (n *Notifier) Send(ctx context.Context, events []Event) (acknowledged int, err error) {
	nothing := func([]Event) error { return nil }
	return n.send(ctx, events, nothing, nothing)
}

// send is Send, and says before each delivery what it will tell and afterwards, if it
// was acknowledged, what it has told. An error of either ends it.
func (n *Notifier) send(ctx context.Context, events []Event, before, after func([]Event) error) (acknowledged int, err error) {
	var problems []error
	for len(events) > 0 {
		body, took, err := n.pack(events)
		if err != nil {
			return acknowledged, errors.Join(append(problems, err)...)
		}
		now := events[:took]
		events = events[took:]
		if err := before(now); err != nil {
			return acknowledged, errors.Join(append(problems, err)...)
		}
		switch err := n.deliver(ctx, body); {
		case err == nil:
			acknowledged += took
			if err := after(now); err != nil {
				return acknowledged, errors.Join(append(problems, err)...)
			}
		default:
			if len(problems) < maxProblems {
				problems = append(problems, fmt.Errorf("tell %s %d events: %w", n.host, took, err))
			}
			if !errors.Is(err, errContent) {
				return acknowledged, errors.Join(problems...)
			}
		}
	}
	return acknowledged, errors.Join(problems...)
}

// pack encodes as many of the first events as one delivery takes.
func (n *Notifier) pack(events []Event) (body []byte, took int, err error) {
	for took = min(len(events), MaxBatch); ; took /= 2 {
		if body, err = json.Marshal(delivery{1, n.source, events[:took]}); err != nil {
			return nil, 0, fmt.Errorf("encode events: %w", err)
		}
		if len(body) <= MaxBody || took == 1 {
			return body, took, nil
		}
	}
}

// deliver tries one delivery until it is acknowledged, refused, or there is no time left.
func (n *Notifier) deliver(ctx context.Context, body []byte) error {
	pause := firstWait
	for attempt := 1; ; attempt++ {
		after, err := n.post(ctx, body)
		if err == nil || errors.Is(err, ErrRefused) {
			return err
		}
		if attempt == maxAttempts || ctx.Err() != nil {
			return err
		}
		wait := min(max(pause, after), longestWait)
		if !endpoint.Outlasts(ctx, wait) || n.wait(ctx, wait) != nil {
			return err
		}
		pause *= 2
	}
}

// post makes one attempt. after is how long the receiver asks to be left alone.
func (n *Notifier) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("make request: the address is not usable")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "tracewall")
	req.Header.Set(SignatureHeader, sign(n.secrets, n.clock(), body))
	req.Header.Set(DeliveryHeader, DeliveryOf(body))
	answer, err := n.client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnavailable, n.unreached(err))
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // lets the connection be used again; what it says is not shown
	return retryAfter(answer.Header.Get("Retry-After")), judge(answer.StatusCode)
}

// unreached says why there was no answer. The error itself is not shown: it may repeat
// what the other side has sent.
func (n *Notifier) unreached(err error) error {
	var (
		dns  *net.DNSError
		cert *tls.CertificateVerificationError
		slow interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &slow) && slow.Timeout(): // context.DeadlineExceeded too
		return fmt.Errorf("no answer within %s", n.timeout)
	case errors.As(err, &dns):
		return errors.New("its name does not resolve")
	case errors.As(err, &cert):
		return errors.New("its certificate is not valid for it")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nobody listens there")
	default:
		return errors.New("connection failed")
	}
}

// judge says what an answer means, and what to do about it.
func judge(status int) error {
	refused := func(what string) error { return fmt.Errorf("%w: HTTP %d: %s", ErrRefused, status, what) }
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return refused("it redirects, which is not followed; set RISK_WEBHOOK_URL to where it leads")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return refused("it does not accept the signature; is RISK_WEBHOOK_SECRET the same on both sides, and are its clock and ours right?")
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone:
		return refused("nobody takes a POST there; is the path in RISK_WEBHOOK_URL right?")
	case status == http.StatusRequestEntityTooLarge:
		return refused(fmt.Sprintf("let it accept bodies of %d bytes", MaxBody))
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests, status >= 500:
		return fmt.Errorf("%w: HTTP %d", ErrUnavailable, status)
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return fmt.Errorf("%w: HTTP %d: %w; compare what it expects with shared/riskcontrol/schema.json (an account that it does not know is no error)", ErrRefused, status, errContent)
	default:
		return refused("look at its own log; compare what it expects with shared/riskcontrol/schema.json")
	}
}

// retryAfter reads the header in its seconds form; 0 for anything else. A date would need trust in the receiver's clock.
func retryAfter(text string) time.Duration {
	seconds, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, longestWait)
}
