package crawler_test

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist/crawler"
)

// Types and codes of DNS (RFC 1035, 3596).
const (
	typeA, typeCNAME, typePTR, typeAAAA = 1, 5, 12, 28
	noError, serverFailure, nameError   = 0, 2, 3
)

type resource struct {
	name string
	kind uint16
	data []byte
}

type reply struct {
	code    byte
	answers []resource
	silent  bool
}

// serveDNS answers over UDP as answer says, which gets names like "x.example." and
// their type. It returns a resolver that asks it.
func serveDNS(t *testing.T, answer func(name string, kind uint16) reply) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no loopback here:", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := respond(buf[:n], answer); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	var mu sync.Mutex
	var dialled []net.Conn
	t.Cleanup(func() {
		conn.Close()
		<-done
		mu.Lock()
		defer mu.Unlock()
		for _, c := range dialled { // the resolver goes on for a while after its context has ended
			c.Close()
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		if err == nil {
			mu.Lock()
			dialled = append(dialled, c)
			mu.Unlock()
		}
		return c, err
	}}
}

func respond(query []byte, answer func(string, uint16) reply) []byte {
	name, rest := "", query[12:]
	for rest[0] != 0 {
		name += string(rest[1:1+rest[0]]) + "."
		rest = rest[1+rest[0]:]
	}
	kind := binary.BigEndian.Uint16(rest[1:])
	r := answer(strings.ToLower(name), kind)
	if r.silent {
		return nil
	}
	out := append([]byte{}, query[:2]...)
	out = append(out, 0x84, 0x80|r.code, 0, 1, 0, byte(len(r.answers)), 0, 0, 0, 0)
	out = append(out, query[12:len(query)-len(rest)+5]...)
	for _, a := range r.answers {
		out = append(out, packName(a.name)...)
		out = binary.BigEndian.AppendUint16(out, a.kind)
		out = append(out, 0, 1, 0, 0, 0, 60)
		out = binary.BigEndian.AppendUint16(out, uint16(len(a.data)))
		out = append(out, a.data...)
	}
	return out
}

func packName(name string) []byte {
	var b []byte
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0)
}

// TestTheStandardLibrarysResolver holds what this package thinks of *net.Resolver's
// answers against that resolver.
func TestTheStandardLibrarysResolver(t *testing.T) {
	const (
		reverse = "1.66.249.66.in-addr.arpa."
		crawl   = "crawl-66-249-66-1.googlebot.com."
	)
	ptr := func(names ...string) reply {
		var r reply
		for _, name := range names {
			r.answers = append(r.answers, resource{reverse, typePTR, packName(name)})
		}
		return r
	}
	a := func(addr string) reply {
		return reply{answers: []resource{{crawl, typeA, netip.MustParseAddr(addr).AsSlice()}}}
	}
	for _, c := range []struct {
		name             string
		reverse, forward reply
		want             error
	}{
		{"verified", ptr(crawl), a("66.249.66.1"), nil},
		{"the forward zone says otherwise", ptr(crawl), a("66.249.66.2"), crawler.ErrNot},
		{"through an alias in the reverse zone (RFC 2317)", reply{answers: []resource{
			{reverse, typeCNAME, packName("1.0-25." + reverse[2:])}, {"1.0-25." + reverse[2:], typePTR, packName(crawl)},
		}}, a("66.249.66.1"), nil},
		{"no such reverse name", reply{code: nameError}, reply{}, crawler.ErrNot},
		{"a reverse name without a PTR", reply{}, reply{}, crawler.ErrNot},
		{"no such forward name", ptr(crawl), reply{code: nameError}, crawler.ErrNot},
		{"a malformed name beside a good one", ptr("\x1b[31m.evil.example.", crawl), a("66.249.66.1"), nil},
		{"nothing but malformed names", ptr("\x1b[31m.evil.example."), reply{}, crawler.ErrUnknown},
		{"the reverse server fails", reply{code: serverFailure}, reply{}, crawler.ErrUnknown},
		{"the forward server fails", ptr(crawl), reply{code: serverFailure}, crawler.ErrUnknown},
		{"the reverse server is silent", reply{silent: true}, reply{}, crawler.ErrUnknown},
		{"the forward server is silent", ptr(crawl), reply{silent: true}, crawler.ErrUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			wait := 5 * time.Second
			if c.reverse.silent || c.forward.silent {
				wait = 200 * time.Millisecond
			}
			resolver := serveDNS(t, func(name string, kind uint16) reply {
				switch {
				case name == crawl && kind == typeA:
					return c.forward
				case strings.HasSuffix(name, ".in-addr.arpa.") && kind == typePTR:
					return c.reverse
				case kind == typeAAAA:
					t.Errorf("asked for IPv6 addresses of %s", name)
				}
				return reply{code: nameError}
			})
			v := newVerifier(t, crawler.Config{Resolver: resolver, Timeout: wait})
			name, err := verify(t, v, "66.249.66.1")
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (name == "Googlebot") != (err == nil) {
				t.Errorf("verify = %q, %v, want %v", name, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "\x1b") {
				t.Errorf("the error shows what an attacker wrote: %q", err)
			}
		})
	}
}
