package crawler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// outcome is what one check came to: a name or an error.
type outcome struct {
	name string
	err  error
}

// ask does the two steps.
func (v *Verifier) ask(ctx context.Context, addr netip.Addr) outcome {
	names, err := v.resolver.LookupAddr(ctx, addr.String())
	if len(names) == 0 {
		if err == nil || absent(err) {
			return outcome{err: fmt.Errorf("%w: the address has no name", ErrNot)}
		}
		return outcome{err: unknown(err)}
	}
	// An error beside names says that others were malformed. Who has a proper name is
	// judged by it; who has not had the chance.
	if len(names) > maxNames {
		return outcome{err: fmt.Errorf("%w: the address has %d names, a crawler has one", ErrNot, len(names))}
	}
	candidates := candidates(names)
	if len(candidates) == 0 {
		return outcome{err: fmt.Errorf("%w: its name is in no crawler's domain", ErrNot)}
	}
	var doubt error
	for _, c := range candidates[:min(len(candidates), maxForward)] {
		found, err := v.pointsBack(ctx, c.host, addr)
		switch {
		case err != nil:
			doubt = err
		case found:
			return outcome{name: c.crawler}
		}
	}
	if doubt != nil {
		return outcome{err: unknown(doubt)}
	}
	return outcome{err: fmt.Errorf("%w: it is named like %s, but that name does not point to it", ErrNot, candidates[0].crawler)}
}

// pointsBack tells whether host resolves to addr. The name is asked for as an absolute
// one: with a search list, an attacker's "x.googlebot.com" might be completed to
// something that exists.
func (v *Verifier) pointsBack(ctx context.Context, host string, addr netip.Addr) (bool, error) {
	network := "ip6"
	if addr.Is4() {
		network = "ip4"
	}
	found, err := v.resolver.LookupNetIP(ctx, network, host+".")
	if slices.ContainsFunc(found, func(a netip.Addr) bool { return a.Unmap() == addr }) {
		return true, nil
	}
	if err != nil && !absent(err) {
		return false, err
	}
	return false, nil
}

// absent tells whether DNS has answered that there is nothing, which is an answer.
func absent(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns) && dns.IsNotFound && !dns.IsTimeout && !dns.IsTemporary
}

// unknown wraps what DNS said. The resolver's own text may hold a name from the
// attacker's zone: only what kind of failure it was is kept.
func unknown(err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnknown, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &dns) && dns.IsTimeout:
		return fmt.Errorf("%w: timeout", ErrUnknown)
	case errors.As(err, &dns):
		return fmt.Errorf("%w: server failure", ErrUnknown)
	default:
		return fmt.Errorf("%w: resolver failure", ErrUnknown)
	}
}

// candidate is a name in a crawler's domain.
type candidate struct{ host, crawler string }

// candidates returns those of the names that lie in a crawler's domain, in order and without duplicates.
func candidates(names []string) []candidate {
	var found []candidate
	for _, name := range names {
		host, ok := hostName(name)
		if !ok {
			continue
		}
		if crawler, ok := ownerOf(host); ok {
			found = append(found, candidate{host, crawler})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return strings.Compare(a.host, b.host) })
	return slices.Compact(found)
}

// hostName returns a PTR name in lower case and without its final dot; ok is false for
// what is no host name: too long, or with other bytes than letters, digits, hyphens,
// underscores and dots. Internationalised names have ASCII letters in DNS (xn--…).
func hostName(name string) (host string, ok bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > maxName {
		return "", false
	}
	b := []byte(name)
	label := 0
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && label > 0:
			label = -1
		default:
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	return string(b), label > 0
}
