package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Number spells a whole number with commas.
func Number[T ~int | ~int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Took spells a duration for people.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// who shortens accounts, which are personal data.
func who(kind, indicator string) string {
	if kind == threat.KindAccount.String() {
		return "account " + Safe(threat.Mask(indicator))
	}
	return Safe(indicator)
}

// mostListed bounds each list on a terminal.
const mostListed = 8

// PrintRules prints what the rules found.
func (r *Report) PrintRules(w io.Writer) {
	r.sort()
	fmt.Fprintf(w, "   %-24s %10s %12s\n", "rule", "rows", "detections")
	for _, rule := range r.Rules {
		fmt.Fprintf(w, "   %-24s %10s %12s\n", Safe(rule.ID), Number(rule.Rows), Number(rule.Detections))
	}
}

// PrintAccounts prints each account and how many addresses stand behind it. seen is how
// many addresses were over the limit in all, 0 if not known.
func (r *Report) PrintAccounts(w io.Writer, seen int) {
	for _, f := range r.Blocked {
		if f.Kind != threat.KindAccount.String() {
			continue
		}
		share := ""
		if seen > 0 {
			share = fmt.Sprintf(", %.0f %% of the %s addresses over the limit", 100*min(1, float64(f.Addresses)/float64(seen)), Number(seen))
		}
		fmt.Fprintf(w, "   %s addresses → 1 account (%s)%s\n", Number(f.Addresses), Safe(threat.Mask(f.Indicator)), share)
	}
}

// PrintCountries prints where the blocked addresses are.
func (r *Report) PrintCountries(w io.Writer) {
	counts, total := map[string]int{}, 0
	for _, f := range r.Blocked {
		if f.Kind == threat.KindAddress.String() {
			total++
			for _, c := range f.Countries {
				counts[c]++
			}
		}
	}
	if len(counts) == 0 {
		return
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	parts := make([]string, 0, mostListed)
	for _, c := range names[:min(len(names), mostListed)] {
		parts = append(parts, fmt.Sprintf("%s %.0f %%", Safe(c), 100*float64(counts[c])/float64(total)))
	}
	more := ""
	if n := len(names) - mostListed; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	fmt.Fprintf(w, "   from %s%s\n", strings.Join(parts, ", "), more)
}

// PrintBlocked prints how many are blocked, the loudest by name, and until when.
func (r *Report) PrintBlocked(w io.Writer) {
	if len(r.Blocked) == 0 {
		fmt.Fprintln(w, "   nobody is blocked")
		return
	}
	kinds := map[string]int{}
	first, last := r.Blocked[0].ExpiresAt, r.Blocked[0].ExpiresAt
	for _, f := range r.Blocked {
		kinds[f.Kind]++
		if f.ExpiresAt.Before(first) {
			first = f.ExpiresAt
		}
		if f.ExpiresAt.After(last) {
			last = f.ExpiresAt
		}
	}
	fmt.Fprintf(w, "   blocked: %s, %s; released from %s to %s\n", plural(kinds["ip"], "address", "addresses"), plural(kinds["account"], "account", "accounts"), clock(first), clock(last))
	printFindings(w, r.Blocked)
}

// PrintChallenged prints who is to be challenged, where a wall can.
func (r *Report) PrintChallenged(w io.Writer) {
	if len(r.Challenged) == 0 {
		return
	}
	fmt.Fprintf(w, "   to be challenged, not blocked: %d\n", len(r.Challenged))
	printFindings(w, r.Challenged)
}

// PrintObserved prints whom rules only watch, and what speaks for them.
func (r *Report) PrintObserved(w io.Writer) {
	if len(r.Observed) == 0 {
		return
	}
	fmt.Fprintf(w, "   observed, not blocked: %d\n", len(r.Observed))
	printFindings(w, r.Observed)
}

// PrintCampaigns prints what many quiet addresses have in common.
func (r *Report) PrintCampaigns(w io.Writer) {
	if len(r.Campaigns) == 0 {
		return
	}
	fmt.Fprintln(w, "   many quiet addresses with something in common; none of them is blocked for it:")
	large := slices.Clone(r.Campaigns)
	slices.SortStableFunc(large, func(a, b Campaign) int { return cmp.Compare(b.Clients, a.Clients) })
	for _, c := range large[:min(len(large), mostListed)] {
		fmt.Fprintf(w, "     %-11s %-40.60s %8s addresses  %s (%s)\n", Safe(c.Kind), Safe(c.Value), Number(c.Clients), Safe(c.Rule), Safe(c.Action))
	}
	if n := len(large) - mostListed; n > 0 {
		fmt.Fprintf(w, "     … and %s more\n", Number(n))
	}
}

// PrintNotes prints what could not be asked.
func (r *Report) PrintNotes(w io.Writer) {
	for _, note := range r.Notes {
		fmt.Fprintf(w, "   note: %s\n", Safe(note))
	}
}

// printFindings prints the loudest, each with the reason that a person would write. One
// for which something speaks comes first: it is the one that somebody will ask about.
func printFindings(w io.Writer, all []Finding) {
	loud := slices.Clone(all)
	slices.SortStableFunc(loud, func(a, b Finding) int {
		switch {
		case a.Mitigating != "" && b.Mitigating == "":
			return -1
		case a.Mitigating == "" && b.Mitigating != "":
			return 1
		default:
			return cmp.Compare(b.Count, a.Count)
		}
	})
	for _, f := range loud[:min(len(loud), 4)] {
		fmt.Fprintf(w, "     %-28s %3d  %s: %s\n", who(f.Kind, f.Indicator), f.Score, Safe(strings.Join(f.Rules, ", ")), Safe(f.Reason))
		if f.Mitigating != "" {
			fmt.Fprintf(w, "     %-28s      but %s\n", "", Safe(f.Mitigating))
		}
	}
	if n := len(loud) - 4; n > 0 {
		fmt.Fprintf(w, "     … and %s more\n", Number(n))
	}
}

// PrintSpared prints who was let off, and why.
func (r *Report) PrintSpared(w io.Writer) {
	if len(r.Spared) == 0 {
		return
	}
	fmt.Fprintln(w, "   spared:")
	loud := slices.Clone(r.Spared)
	slices.SortStableFunc(loud, func(a, b Spared) int { return cmp.Compare(b.Count, a.Count) })
	for _, s := range loud[:min(len(loud), mostListed)] {
		fmt.Fprintf(w, "     %-28s %8s  %s\n", who(s.Kind, s.Indicator), Number(s.Count), Safe(s.Reason))
	}
	if n := len(loud) - mostListed; n > 0 {
		fmt.Fprintf(w, "     … and %s more\n", Number(n))
	}
}

// PrintRejected prints the values that name nobody.
func (r *Report) PrintRejected(w io.Writer) {
	if len(r.Rejected) == 0 {
		return
	}
	fmt.Fprintln(w, "   rejected, since nobody can be meant:")
	often := slices.Clone(r.Rejected)
	slices.SortStableFunc(often, func(a, b Rejected) int { return cmp.Compare(b.Count, a.Count) })
	for _, j := range often[:min(len(often), mostListed)] {
		value := Safe(j.Value)
		if value == "" {
			value = "(none)"
		}
		fmt.Fprintf(w, "     %-28.60s %8s  %s\n", value, Number(j.Count), Safe(j.Reason))
	}
	if n := len(r.Rejected) - mostListed; n > 0 {
		fmt.Fprintf(w, "     … and %s more\n", Number(n))
	}
}

// PrintTargets prints what each firewall enforces.
func (r *Report) PrintTargets(w io.Writer) {
	for _, t := range r.Targets {
		fmt.Fprintf(w, "   %-32s %7s of %s wanted are enforced, %s without room; %d calls, %d of them writes\n",
			Safe(t.Title), Number(t.Enforced), Number(t.Desired), Number(t.Overflow), t.Calls, t.Writes)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// clock spells a time in UTC, to the second.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
