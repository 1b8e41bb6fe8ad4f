package awswaf_test

import (
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// TestNotesOnAddresses goes through what the log may have, what AWS WAF may
// compare, and where: a wall that compares something else than the list holds looks right and blocks nobody.
func TestNotesOnAddresses(t *testing.T) {
	const (
		spoof      = "whatever the client itself wrote"
		edge       = "the same only in CloudFront's own log"
		never      = "nothing in the list can ever match. Set forwarded"
		balancer   = "the same only if the load balancer"
		viewerSent = "AWS WAF looks before CloudFront adds anything"
		proxysLog  = "the same only if the log is that of the proxy"
		two        = "the same only if one proxy sets both"
		port       = "has a port behind the address"
	)
	for _, c := range []struct {
		scope, logged, header, position string
		want                            []string
	}{
		{awswaf.Regional, "", "", "", nil},
		{awswaf.CloudFront, "", "", "", nil},
		{awswaf.Regional, "", "X-Forwarded-For", "LAST", nil},
		{awswaf.Regional, "", "X-Forwarded-For", "ANY", nil},
		{awswaf.CloudFront, "", "X-Forwarded-For", "LAST", nil},
		{awswaf.Regional, "", "X-Forwarded-For", "FIRST", []string{spoof}},
		{awswaf.CloudFront, "", "X-Forwarded-For", "FIRST", []string{spoof}},

		{awswaf.Regional, "connection", "", "", nil},
		{awswaf.CloudFront, "Connection", "", "", []string{edge}},
		{awswaf.Regional, "X-Forwarded-For", "", "", []string{balancer}},
		{awswaf.Regional, "x-real-ip", "", "", []string{balancer}},
		{awswaf.CloudFront, "X-Forwarded-For", "", "", nil},
		{awswaf.CloudFront, "CloudFront-Viewer-Address", "", "", nil},
		{awswaf.Regional, "cf-connecting-ip", "", "", []string{never + " to cf-connecting-ip"}},
		{awswaf.Regional, "CloudFront-Viewer-Address", "", "", []string{never + " to X-Forwarded-For with position LAST"}},
		{awswaf.CloudFront, "True-Client-IP", "", "", []string{never + " to True-Client-IP"}},

		{awswaf.Regional, "connection", "X-Forwarded-For", "LAST", []string{proxysLog}},
		{awswaf.CloudFront, "connection", "X-Forwarded-For", "LAST", []string{viewerSent, proxysLog}},
		{awswaf.CloudFront, "connection", "X-Forwarded-For", "FIRST", []string{spoof, viewerSent, proxysLog}},
		{awswaf.Regional, "x-forwarded-for", "X-Forwarded-For", "LAST", nil},
		{awswaf.Regional, "x-forwarded-for", "X-Forwarded-For", "ANY", nil},
		{awswaf.Regional, "X-Forwarded-For", "X-Forwarded-For", "FIRST", []string{spoof}},
		{awswaf.CloudFront, "CF-Connecting-IP", "CF-Connecting-IP", "LAST", []string{viewerSent}},
		{awswaf.Regional, "X-Real-IP", "X-Forwarded-For", "LAST", []string{two}},
		{awswaf.CloudFront, "X-Real-IP", "X-Forwarded-For", "FIRST", []string{spoof, viewerSent, two}},
		{awswaf.Regional, "CloudFront-Viewer-Address", "CloudFront-Viewer-Address", "LAST", []string{port}},
	} {
		target := awswaf.Target{Scope: c.scope, Action: awswaf.ActionBlock, LoggedFrom: c.logged}
		if c.header != "" {
			target.Forwarded = &awswaf.Forwarded{Header: c.header, Position: c.position, Fallback: "NO_MATCH"}
		}
		got := target.Notes()
		if len(got) != len(c.want) {
			t.Errorf("%+v: %d notes, want %d: %q", c, len(got), len(c.want), got)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("%+v:\n got %s\nwant %s", c, got[i], want)
			}
		}
		target.Mode = awswaf.ModeIPSet
		if got := target.Notes(); len(got) != 0 {
			t.Errorf("mode ip-set speaks of a rule that is the user's: %q", got)
		}
	}
	if got := (awswaf.Target{Action: awswaf.ActionCount}).Notes(); len(got) != 1 || got[0] != "action is count: nothing is blocked" {
		t.Errorf("%q", got)
	}
}
