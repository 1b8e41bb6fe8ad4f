package waf

import (
	"net/netip"
	"slices"
	"strings"
)

// wants splits the list into what may be tried and what the firewall itself has refused.
func (r *run) wants() (wanted []Want, refused []Rejection) {
	if len(r.banned) == 0 {
		return r.want.Wants, nil
	}
	seen := map[string]bool{}
	wanted = slices.DeleteFunc(slices.Clone(r.want.Wants), func(w Want) bool {
		p, err := r.limits.admit(w.Prefix)
		if err != nil {
			return false
		}
		value := p.String()
		reason, banned := r.banned[value]
		if banned && !seen[value] {
			seen[value] = true
			refused = append(refused, Rejection{Value: value, Reason: reason, ByFirewall: true})
		}
		return banned
	})
	slices.SortFunc(refused, func(a, b Rejection) int { return strings.Compare(a.Value, b.Value) })
	return wanted, refused
}

// recallRefused bans what the firewall itself refused in earlier runs: each of them would cost a failing
// write and another plan in every run, and more than a run may meet would keep a set from
// ever being written.
func (r *run) recallRefused() {
	if r.Verify {
		return // hourly they are tried again
	}
	for _, j := range r.Refused {
		p, err := netip.ParsePrefix(j.Value)
		if err != nil || !j.ByFirewall {
			continue
		}
		if p, err = r.limits.admit(p); err == nil {
			r.banned[p.String()] = j.Reason
		}
	}
}
