package feeds

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

func TestWhereAConnectionMayGo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		addr              string
		loopback, private bool
		want              bool
	}{
		{"198.51.100.7", false, false, true},
		{"2001:db8::7", false, false, true},
		{"127.0.0.1", false, false, false},
		{"127.0.0.1", true, false, true},
		{"::1", true, false, true},
		{"::ffff:127.0.0.1", false, true, false},
		{"10.0.0.1", false, false, false},
		{"10.0.0.1", false, true, true},
		{"10.0.0.1", true, false, false},
		{"fd00::1", false, true, true},
		{"169.254.169.254", false, false, false}, // metadata of AWS and others
		{"169.254.169.254", true, true, false},
		{"::ffff:169.254.169.254", true, true, false},
		{"100.100.100.200", false, true, false}, // metadata of Alibaba Cloud
		{"fe80::1", true, true, false},
		{"0.0.0.0", true, true, false},
		{"224.0.0.1", true, true, false},
	} {
		err := mayReach(netip.MustParseAddr(tc.addr), tc.loopback, tc.private)
		if (err == nil) != tc.want || err != nil && !errors.Is(err, threatintel.ErrRedirected) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

func TestWhereARedirectMayLead(t *testing.T) {
	t.Parallel()
	const own = "https://lists.example/a"
	for _, tc := range []struct {
		name, from, to, auth string
		before               int
		want                 string // part of the refusal; "" for none
	}{
		{"within the host", own, "https://lists.example/b", "bearer", 1, ""},
		{"to another host", own, "https://cdn.example/b", "", 1, ""},
		{"to another host with a secret", own, "https://cdn.example/b", "bearer", 1, "another host"},
		{"to another port with a secret", own, "https://lists.example:8443/b", "header X-Key", 1, "another host"},
		{"out of https", own, "http://lists.example/a", "", 1, "leaves https"},
		{"to http on this machine", own, "http://127.0.0.1/a", "", 1, "leaves https"},
		{"to this machine", own, "https://localhost/a", "", 1, "to this machine"},
		{"to a file", own, "file:///etc/passwd", "", 1, "leaves https"},
		{"with a password", own, "https://u:p@lists.example/a", "", 1, "leaves https"},
		{"for the third time", own, "https://lists.example/b", "", 3, ""},
		{"for the fourth time", own, "https://lists.example/b", "", 4, "more than 3"},
		{"on this machine to another port", "http://127.0.0.1:8080/a", "http://127.0.0.1:6379/b", "", 1, "to this machine"},
		{"on this machine within the port", "http://127.0.0.1:8080/a", "http://127.0.0.1:8080/b", "", 1, ""},
		{"from this machine elsewhere", "http://127.0.0.1:8080/a", "http://169.254.169.254/latest", "", 1, "leaves https"},
	} {
		to, err := url.Parse(tc.to)
		if err != nil {
			t.Fatal(err)
		}
		from, err := url.Parse(tc.from)
		if err != nil {
			t.Fatal(err)
		}
		via := make([]*http.Request, tc.before)
		for i := range via {
			via[i] = &http.Request{URL: from}
		}
		err = mayFollow(threatintel.Feed{URL: tc.from, Auth: tc.auth}, to, via)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !errors.Is(err, threatintel.ErrRedirected)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}
