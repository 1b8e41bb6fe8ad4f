package detect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// maxReason bounds the reason of an entry, in bytes (blocklist.Entry).
const maxReason = 200

// offences are what the blocklist stores of a judgement that blocks or challenges: one
// for each rule that asked for it, or for all when only together they led to it. Terms
// count from the end of the last window that fired, not from now, so that reading
// the same lines again changes nothing.
func (j Judgement) offences() []blocklist.Offence {
	asked := slices.DeleteFunc(slices.Clone(j.Detections), func(d threat.Detection) bool { return d.Action == threat.Observe })
	if len(asked) == 0 {
		asked = j.Detections
	}
	all := make([]blocklist.Offence, len(asked))
	for i, d := range asked {
		all[i] = blocklist.Offence{
			Entry: blocklist.Entry{
				Indicator: j.Indicator,
				Source:    blocklist.SourceDetect,
				Severity:  j.Severity,
				Challenge: j.Action == threat.Challenge,
				Score:     j.Score,
				Tags:      j.Tags,
				Rules:     []string{d.Rule},
				Reason:    d.Reason,
				Count:     d.Count,
				FirstSeen: d.FirstSeen,
				LastSeen:  d.LastSeen,
				Countries: d.Countries,
				Accounts:  d.Accounts,
				Addresses: d.Addresses,
			},
			At:   d.Until,
			Term: d.Term,
		}
	}
	return all
}

// Reason says in a sentence why someone is blocked, for people: "412 requests over
// the rate limit in 2 windows of 2m, last 13:58 UTC; account nbN…(24)". Accounts are masked.
func (r Rule) Reason(d threat.Detection) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", d.Count, r.Counted)
	if d.Also > 0 {
		fmt.Fprintf(&b, ", %d %s", d.Also, r.Also)
	}
	fmt.Fprintf(&b, " in %s of %s, last %s UTC", plural(d.Windows, "window"), span(r.Window), d.LastSeen.UTC().Format("15:04"))
	if d.Addresses > 0 {
		fmt.Fprintf(&b, "; from %s", plural(d.Addresses, "address"))
	}
	switch n := len(d.Accounts); {
	case n == 1:
		b.WriteString("; account " + threat.Mask(d.Accounts[0]))
	case n > 1:
		fmt.Fprintf(&b, "; accounts %s and %d more", threat.Mask(d.Accounts[0]), n-1)
	}
	if b.Len() > maxReason {
		return clip(b.String(), maxReason-len("…"))
	}
	return b.String()
}

func plural(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "s"):
		return fmt.Sprintf("%d %ses", n, noun)
	default:
		return fmt.Sprintf("%d %ss", n, noun)
	}
}
