package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist/crawler"
)

// zone is a DNS that knows a few names, and a machine whose name server is silent.
type zone struct {
	names map[string]string
	addrs map[string]string
}

var errSilent = &net.DNSError{Err: "i/o timeout", IsTimeout: true}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	switch name, ok := z.names[addr]; {
	case name == "silent":
		return nil, errSilent
	case ok:
		return []string{name}, nil
	}
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func (z zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if addr, ok := z.addrs[host]; ok {
		return []netip.Addr{netip.MustParseAddr(addr)}, nil
	}
	return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
}

func TestThatAnAddressIsNoCrawlerIsAnAnswerAndThatDNSIsSilentIsNot(t *testing.T) {
	z := zone{
		names: map[string]string{
			"66.249.66.1": "crawl-66-249-66-1.googlebot.com.", "193.32.162.50": "crawl-66-249-66-1.googlebot.com.",
			"45.155.205.10": "static.example.net.", "185.234.216.30": "silent",
		},
		addrs: map[string]string{"crawl-66-249-66-1.googlebot.com.": "66.249.66.1", "crawl-66-249-66-1.googlebot.com": "66.249.66.1"},
	}
	v, err := crawler.New(crawler.Config{Resolver: z, Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, addr, want string
		err              error
	}{
		{"a crawler whose name points back to it", "66.249.66.1", "Googlebot", nil},
		{"somebody who has given himself a crawler's name", "193.32.162.50", "", nil},
		{"a machine of another name", "45.155.205.10", "", nil},
		{"a machine without a name", "91.240.118.20", "", nil},
		{"a name server that does not answer", "185.234.216.30", "", crawler.ErrUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name, err := crawlers{v}.Verify(t.Context(), netip.MustParseAddr(tt.addr))
			if name != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %q, %v; want %q, %v", name, err, tt.want, tt.err)
			}
		})
	}
}
