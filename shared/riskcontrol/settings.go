package riskcontrol

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/tracewall/tracewall/shared/secret"
)

// CheckURL tells what is wrong with an address for Config.URL, if anything: it must be
// https, or http to a loopback address or localhost; without a user, which would travel
// in a header that proxies log, and without a fragment. A path and a query are fine.
// The error never shows the text.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("risk-control address: want a URL such as https://risk.example.com/tracewall")
	case u.User != nil:
		return nil, errors.New("risk-control address: want no user or password in it; the signature proves who calls")
	case u.Fragment != "":
		return nil, errors.New("risk-control address: want no fragment (#…)")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	loopback := err == nil && addr.Unmap().IsLoopback() || u.Hostname() == "localhost"
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return nil, errors.New("risk-control address: want https://, since full account names travel to it (http:// only to this machine)")
	}
	return u, nil
}

// minSecret is the least length of a secret, in bytes: as long as a key of 128 bits in hexadecimal.
const minSecret = 32

// ParseSecrets reads the secret of a setting, or two with a comma between them while one
// is being changed: first add the new one here, then give it to the receiver, then take
// the old one away. Each is at least 32 bytes of printable ASCII; `openssl rand -hex 32`
// makes one. The error never shows any of it.
func ParseSecrets(text string) ([]secret.Secret, error) {
	var all []secret.Secret
	for part := range strings.SplitSeq(text, ",") {
		all = append(all, secret.Secret(strings.TrimSpace(part)))
	}
	return all, checkSecrets(all)
}

func checkSecrets(all []secret.Secret) error {
	if len(all) < 1 || len(all) > 2 {
		return fmt.Errorf("risk-control secrets: %d: want one, or two while it is being changed", len(all))
	}
	for _, s := range all {
		text := s.Reveal()
		if len(text) < minSecret || len(text) > 256 || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("risk-control secret: want %d to 256 bytes of printable ASCII without blanks (openssl rand -hex 32 makes one)", minSecret)
		}
	}
	if len(all) == 2 && all[0] == all[1] {
		return errors.New("risk-control secrets: want two that differ, or one")
	}
	return nil
}
