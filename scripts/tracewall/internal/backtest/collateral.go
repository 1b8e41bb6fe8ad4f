package backtest

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Why somebody is collateral: probably not, or not only, the attacker whom a rule is after.
type Why struct {
	Kind string `json:"kind"` // successes, shared, allowlisted, crawler, claims
	Text string `json:"text"`
}

// Kinds of Why, the surest first.
const (
	Allowlisted = "allowlisted" // the allowlist names it
	Crawler     = "crawler"     // in a range that its operator publishes, or proven by DNS
	Successes   = "successes"   // logins or orders that worked
	Shared      = "shared"      // many accounts behave behind it
	Claims      = "claims"      // its user agent says that it is a crawler's, which anybody can say
)

// Proven tells whether a kind is more than a claim.
func Proven(kind string) bool { return kind != Claims }

// Collateral is somebody whom rules ask to block or challenge, and who should not be.
type Collateral struct {
	Indicator string `json:"indicator"`
	Kind      string `json:"kind"`
	Verdict   string `json:"verdict"`
	Harmed    bool   `json:"harmed"` // blocked or challenged all the same
	Proven    bool   `json:"proven"` // some reason is more than a claim
	Why       []Why  `json:"why"`
}

// manyAccounts is how many accounts that behave make an address a shared one, as it is for verdicts.
const manyAccounts = 5

// why lists what speaks against acting on somebody.
func (in In) why(j detect.Judgement) []Why {
	all := []Why{}
	add := func(kind, format string, args ...any) {
		if !slices.ContainsFunc(all, func(w Why) bool { return w.Kind == kind }) {
			all = append(all, Why{Kind: kind, Text: report.Safe(fmt.Sprintf(format, args...))})
		}
	}
	if j.Spared != "" {
		add(Allowlisted, "%s", j.Spared)
	}
	if name, ok := in.Ranges.Find(j.Indicator); ok {
		add(Crawler, "in a published range of %s", name)
	}
	var successes int64
	users := 0
	if j.Facts != nil {
		successes, users = j.Facts.Successes, j.Facts.Users
	}
	for _, d := range j.Detections {
		successes, users = max(successes, d.Successes), max(users, d.Users)
	}
	if successes > 0 {
		add(Successes, "%d logins or orders that worked", successes)
	}
	if users >= manyAccounts {
		add(Shared, "%d accounts that behave", users)
	}
	for _, p := range j.Parts { // what verdicts have found by their own measure
		if p.Name == Successes || p.Name == Shared {
			add(p.Name, "%s", p.Text)
		}
	}
	if agents := in.Claims[j.Indicator]; len(agents) > 0 {
		add(Claims, "its user agent says %s", report.Safe(agents[0]))
	}
	slices.SortStableFunc(all, func(a, b Why) int { return cmp.Compare(kindRank(a.Kind), kindRank(b.Kind)) })
	return all
}

func kindRank(kind string) int {
	return slices.Index([]string{Allowlisted, Crawler, Successes, Shared, Claims}, kind)
}

func collateralOf(verdicts []Verdict) []Collateral {
	all := []Collateral{}
	for _, v := range verdicts {
		if len(v.Collateral) == 0 {
			continue
		}
		all = append(all, Collateral{
			Indicator: v.Indicator, Kind: v.Kind, Verdict: v.Verdict, Harmed: v.Verdict == Block || v.Verdict == Challenge,
			Proven: slices.ContainsFunc(v.Collateral, func(w Why) bool { return Proven(w.Kind) }), Why: v.Collateral,
		})
	}
	slices.SortStableFunc(all, func(a, b Collateral) int {
		return cmp.Or(compareTrue(a.Harmed, b.Harmed), compareTrue(a.Proven, b.Proven), cmp.Compare(kindRank(a.Why[0].Kind), kindRank(b.Why[0].Kind)))
	})
	return all
}

// compareTrue puts true first.
func compareTrue(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// Ranges are address ranges that somebody publishes as theirs, with names. The zero value holds none.
type Ranges struct {
	names map[netip.Prefix]string
}

// Bounds of a file of ranges.
const (
	maxRanges    = 1_000_000
	maxRangeLine = 4 << 10
)

// ReadRanges reads a file of ranges: one in a line, then blanks and its owner's name; # begins
// a comment. Every bad line is told, and then there are no ranges.
func ReadRanges(r io.Reader) (Ranges, error) {
	all := Ranges{names: map[netip.Prefix]string{}}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxRangeLine)
	for n := 1; in.Scan(); n++ {
		line, _, _ := strings.Cut(in.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		p, err := netip.ParsePrefix(words[0])
		if addr, single := netip.ParseAddr(words[0]); err != nil && single == nil {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil || p.Bits() == 0 {
			return Ranges{}, fmt.Errorf("line %d: %s: want an address range such as 66.249.64.0/19 and a name", n, detect.Escape(words[0]))
		}
		name := report.Safe(strings.Join(words[1:], " "))
		all.names[netip.PrefixFrom(p.Addr().Unmap(), p.Bits()).Masked()] = cmp.Or(name, "somebody")
		if len(all.names) > maxRanges {
			return Ranges{}, fmt.Errorf("more than %d ranges", maxRanges)
		}
	}
	if err := in.Err(); err != nil {
		return Ranges{}, fmt.Errorf("read ranges: %w", err)
	}
	return all, nil
}

// Len is how many ranges there are.
func (r Ranges) Len() int { return len(r.names) }

// Find returns the owner of a range that overlaps an address or range, whichever is within the other.
func (r Ranges) Find(ind threat.Indicator) (name string, ok bool) {
	p := ind.Prefix()
	if ind.Kind() != threat.KindAddress || len(r.names) == 0 {
		return "", false
	}
	for bits := p.Bits(); bits > 0; bits-- {
		wider, err := p.Addr().Prefix(bits)
		if err != nil {
			break
		}
		if name, ok := r.names[wider]; ok {
			return name, true
		}
	}
	if p.IsSingleIP() {
		return "", false
	}
	var inside []string
	for within, name := range r.names {
		if p.Overlaps(within) {
			inside = append(inside, name)
		}
	}
	if len(inside) == 0 {
		return "", false
	}
	return slices.Min(inside), true
}
