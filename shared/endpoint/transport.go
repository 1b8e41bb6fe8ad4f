package endpoint

import (
	"net/http"
	"time"
)

// Transport returns a plain transport that keeps up to perHost idle connections to a host, each for at
// most idle. Proxy variables are ignored: a function has none, and a person's must not see the token.
func Transport(perHost int, idle time.Duration) *http.Transport {
	return &http.Transport{MaxIdleConnsPerHost: perHost, IdleConnTimeout: idle, ForceAttemptHTTP2: true}
}

// Client returns a client over t that takes a redirection for an answer: a signed request, and the token in it, is for one host only.
func Client(t http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
