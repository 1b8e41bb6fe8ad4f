package awswaf

import (
	"fmt"
	"strings"
)

// A wall compares addresses, and the log from which the blocklist comes may have another
// idea of what a client's address is than the WAF. Behind a proxy the connection's
// address is the proxy's; a header has the client's, if a proxy that can be trusted wrote it. If the two differ nothing
// is ever blocked and everything looks right, so what is known of both is compared here.

// foreignProxies are headers that a content network other than CloudFront sets to the address
// that connected to it: whoever logs one of these has that network in front.
var foreignProxies = []string{"CF-Connecting-IP", "CF-Connecting-IPv6", "True-Client-IP", "Fastly-Client-IP", "X-Azure-ClientIP", "Ali-CDN-Real-IP", "X-Appengine-User-IP"}

// cloudFrontHeader is what CloudFront sets to the viewer's address and port, for the origin only.
const cloudFrontHeader = "CloudFront-Viewer-Address"

// addressNotes says in words why an address from the log may never be the one that
// AWS WAF compares. Where the log has its addresses from is for the user to say (LoggedFrom);
// as long as it is not said, only what anybody can forge is spoken of.
func (t Target) addressNotes() (notes []string) {
	if t.Mode == ModeIPSet {
		return nil // what is compared is in the user's own rule
	}
	if f := t.Forwarded; f != nil && f.Position == positionFirstIP {
		notes = append(notes, fmt.Sprintf("forwarded.position FIRST: the first address in %s is whatever the client itself wrote there, unless the first proxy overwrites the header; "+
			"a blocked client that sends any other passes. Use LAST, or a header that the proxy overwrites", f.Header))
	}
	if t.LoggedFrom == "" {
		return notes
	}
	if t.Forwarded == nil {
		return append(notes, t.connectionNotes()...)
	}
	return append(notes, t.headerNotes()...)
}

// connectionNotes: AWS WAF compares the address that connects.
func (t Target) connectionNotes() []string {
	logged := t.LoggedFrom
	behind := behindForeignProxy(logged)
	switch {
	case strings.EqualFold(logged, LoggedConnection) && t.Scope == CloudFront:
		return []string{"the log has the address that connected, and AWS WAF compares the viewer's: these are the same only in CloudFront's own log. " +
			"A server behind CloudFront sees CloudFront's addresses, which never reach this web acl: let the log have " + cloudFrontHeader + " or X-Forwarded-For, and say so in logged_from"}
	case strings.EqualFold(logged, LoggedConnection):
		return nil // both see who connects
	case behind && t.Scope == CloudFront:
		return []string{fmt.Sprintf("the log has the address in %s, which a proxy in front of CloudFront sets; AWS WAF compares that proxy's own: nothing in the list can ever match. Set forwarded to %s, and let nobody reach CloudFront around the proxy", logged, logged)}
	case t.Scope == CloudFront:
		return nil // the viewer's address, as CloudFront handed it on
	case behind || strings.EqualFold(logged, cloudFrontHeader):
		return []string{fmt.Sprintf("the log has the address in %s, which a proxy in front of this web acl sets; AWS WAF compares that proxy's own: nothing in the list can ever match. Set forwarded%s", logged, insteadOf(logged))}
	}
	return []string{fmt.Sprintf("the log has the address in %s, and AWS WAF compares the one that connects: these are the same only if the load balancer that this web acl protects sets %s and clients reach it directly. "+
		"If anything is in front of it nothing in the list can ever match: set forwarded", logged, logged)}
}

// headerNotes: AWS WAF compares an address in a header.
func (t Target) headerNotes() (notes []string) {
	logged, header := t.LoggedFrom, t.Forwarded.Header
	if t.Scope == CloudFront {
		notes = append(notes, fmt.Sprintf("forwarded in scope CLOUDFRONT: AWS WAF looks before CloudFront adds anything, so %s is what the client, or a proxy in front of CloudFront, sent; "+
			"without that header the rule is not applied at all. Leave forwarded out unless such a proxy sets %s and nobody can reach CloudFront around it", header, header))
	}
	switch {
	case strings.EqualFold(logged, LoggedConnection):
		notes = append(notes, fmt.Sprintf("the log has the address that connected, and AWS WAF compares the one in %s: these are the same only if the log is that of the proxy which sets %s. "+
			"A server behind it logs the proxy's own address, which can never match: let the log have %s", header, header, header))
	case !strings.EqualFold(logged, header):
		notes = append(notes, fmt.Sprintf("the log has the address in %s, and AWS WAF compares the one in %s: these are the same only if one proxy sets both. Let both use the same header", logged, header))
	case strings.EqualFold(header, cloudFrontHeader):
		notes = append(notes, cloudFrontHeader+" has a port behind the address, which AWS WAF does not take for an address: nothing in the list can ever match. Set forwarded to X-Forwarded-For with position LAST")
	}
	return notes
}

// insteadOf says which header to look at.
func insteadOf(logged string) string {
	if strings.EqualFold(logged, cloudFrontHeader) { // has a port behind the address
		return " to X-Forwarded-For with position LAST, where CloudFront writes the same address"
	}
	return " to " + logged
}

func behindForeignProxy(header string) bool {
	for _, h := range foreignProxies {
		if strings.EqualFold(h, header) {
			return true
		}
	}
	return false
}
