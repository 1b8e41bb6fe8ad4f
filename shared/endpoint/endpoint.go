// Package endpoint holds what every client of a cloud's API must get right in the
// same way, whatever it calls and however it signs: where it may speak to, through
// what, how it waits, and how much of what comes back it takes.
//
//   - Where (endpoint.go): credentials travel with each call, or a signature that is good for
//     minutes does. So an endpoint is a host that proves itself by TLS, or this machine.
//   - Through what (transport.go): no proxy that the environment names, no redirect.
//   - Waiting (wait.go): never past the end of a context.
//   - What comes back (answer.go): bounded, and fit for a log before it is shown.
//
// It knows no cloud and no sentinel: what an answer means, which of them are worth
// another try and how long to wait before it is for each client to say.
package endpoint

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Parse reads an endpoint that stands in place of a service's public ones:
// "https://host", or "http://host" for a loopback address or localhost. It returns the scheme, and the host
// with the port if there is one. The error shows the text: it is for settings that hold no secret.
func Parse(text string) (scheme, host string, err error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/" {
		return "", "", fmt.Errorf("endpoint %.100q: want https://host", text)
	}
	switch addr, err := netip.ParseAddr(u.Hostname()); {
	case u.Scheme == "https":
	case u.Scheme == "http" && (err == nil && addr.IsLoopback() || u.Hostname() == "localhost"):
	default:
		return "", "", fmt.Errorf("endpoint %.100q: want https://host, or http:// and a loopback address", text)
	}
	return u.Scheme, u.Host, nil
}

// Check tells what is wrong with an endpoint for Parse, if anything.
func Check(text string) error {
	_, _, err := Parse(text)
	return err
}

// Host is the place of one service, as ParseHost reads it.
type Host struct {
	Scheme string     // "https" or "http"
	Host   string     // with the port, if there is one; always with one if IP is valid
	IP     netip.Addr // of a Host that is an address; then Scheme is "http"
}

// ParseHost reads a service's own host, where a scheme may stand in front: without one it means https.
// An address is for http only, since its certificate cannot be checked; its port is 80 unless it is said.
// To whom plain http may be spoken is for the caller to decide. The error is why the text is refused
// and never the text, since a URL may hold a password.
func ParseHost(text string) (Host, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return Host{}, errors.New("not a URL")
	case u.Scheme != "https" && u.Scheme != "http":
		return Host{}, errors.New("scheme is neither http nor https")
	case u.Hostname() == "":
		return Host{}, errors.New("no host")
	case u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return Host{}, errors.New("more than a scheme and a host")
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return Host{Scheme: u.Scheme, Host: u.Host}, nil
	}
	if u.Scheme == "https" {
		return Host{}, errors.New("https needs a host name, whose certificate can be checked")
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return Host{Scheme: u.Scheme, Host: net.JoinHostPort(u.Hostname(), port), IP: ip}, nil
}
