package proposal

import (
	"fmt"
	"net/netip"
	"strings"
)

// forNginx writes a limit on all requests that share the value. A map gives those one
// key and all others an empty one, which limit_req does not count; so it needs no location
// of its own. Patterns look at what the client sent, not at nginx's decoded form of it.
func forNginx(p *Proposal, s shared) {
	key := "$campaign_" + strings.ReplaceAll(s.name, "-", "_")
	var chosen string
	switch s.kind {
	case "path":
		chosen = fmt.Sprintf("map $request_uri %s {\n    default \"\";\n    %s all;\n}", key, pattern("^", s.value, `(\?|$)`))
	case "agent":
		chosen = fmt.Sprintf("map $http_user_agent %s {\n    default \"\";\n    %s all;\n}", key, pattern("^", s.value, "$"))
	case "network":
		network, err := netip.ParsePrefix(s.value)
		if err != nil {
			p.Refused = "nginx knows address ranges, and no AS numbers: look up the operator's ranges and write them into a geo block"
			return
		}
		chosen = fmt.Sprintf("geo %s {\n    default \"\";\n    %s all;\n}", key, network.Masked())
	default:
		p.Refused = "nginx sees no fingerprint without a module of its own"
		return
	}
	zone := "campaign_" + strings.ReplaceAll(s.name, "-", "_")
	p.Title = fmt.Sprintf("serve at most %d requests a minute to all clients of this %s together", s.limit, s.kind)
	p.Note = "The first part goes into http { }, the last two lines into the server { } or location { }; nginx -t tells whether it fits. " + setLimit +
		" Who is above gets 429. Behind a load balancer, geo needs the client's address (ngx_http_realip_module)."
	p.Text = fmt.Sprintf("%s\nlimit_req_zone %s zone=%s:1m rate=%dr/m;\n\nlimit_req zone=%s burst=%d nodelay;\nlimit_req_status 429;\n",
		chosen, key, zone, s.limit, zone, max(s.limit/10, 1))
}

// pattern writes a regular expression that is equal to value, in nginx's quotes. A byte
// other than a letter, a digit and a few signs is written as its number: neither the quotes
// nor PCRE have a meaning for it then, nor does a terminal.
func pattern(before, value, behind string) string {
	const plain = "/_-~=&,:@!"
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(plain, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return `"~` + quoted(before+b.String()+behind) + `"`
}

// quoted doubles backslashes, which nginx takes for itself before some characters.
func quoted(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }
