package awswaf

import (
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/tracewall/tracewall/shared/waf"
)

// compare says whether somebody else has changed what a set holds since we left it, and
// takes over what it holds. A set of the user's has no mark, so a run of ours that was
// killed before its memory was saved looks like somebody else.
func (p *namedPlace) compare(s *ipSet, list []netip.Prefix) (drift []string) {
	now := leftNamed(s, list)
	left, known := p.Firewall.left[s.name]
	if known && left.ID == s.id && left.Token != now.Token && left.Sum != now.Sum {
		drift = append(drift, fmt.Sprintf("ip set %s: somebody else changed its addresses, of which there were %d and are %d", s.name, left.Count, now.Count))
		if p.target.Drift == DriftReport {
			return drift // to be said again, until somebody lets a run repair it
		}
	}
	p.Firewall.left[s.name] = now
	return drift
}

// leftNamed is what a later process needs to know of a set of the user's.
func leftNamed(s *ipSet, list []netip.Prefix) leftSet {
	return leftSet{ID: s.id, Token: s.token, Sum: waf.SumOf("", list).String()[:16], Count: len(list), Referenced: true}
}

func (p *namedPlace) handOver() json.RawMessage { return nil }
func (p *namedPlace) takeOver(json.RawMessage)  {}
func (p *namedPlace) drift() []string           { return nil }
