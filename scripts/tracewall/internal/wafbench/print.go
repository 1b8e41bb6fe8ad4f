package wafbench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// printTable writes the cases for people.
func (r *Result) printTable(w io.Writer) {
	cases, o := r.Cases, r.options
	fmt.Fprintf(w, "Keeping AWS WAF equal to a list of %s addresses, set_size %s, beside three rules of the user's.\n",
		thousands(o.Addresses), thousands(o.SetSize))
	fmt.Fprint(w, "Means of all runs; in brackets what is promised. s: computed from the calls with AWS's quotas and 50 ms a call.\n"+
		"real: one run on the real clock with the quotas in force. unprotected: the most at any moment of any run.\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\twrites\tcalls\tsent\ts\treal\tthrottled\tunprotected\truns (with a fault)\t")
	for _, c := range cases {
		n, p := c.Tracewall, c.Promise
		bound := func(value string, most func(*Promise) string) string {
			if p == nil {
				return value
			}
			return value + " (≤ " + most(p) + ")"
		}
		verdict := ""
		switch {
		case len(c.Failed) > 0:
			verdict = "FAIL"
		case p != nil:
			verdict = "PASS"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%d\t%d (%d)\t%s\n", c.Name,
			bound(short(n.Writes), func(p *Promise) string { return short(p.Writes) }),
			bound(short(n.Calls), func(p *Promise) string { return short(p.Calls) }),
			bound(size(n.Bytes), func(p *Promise) string { return size(float64(p.Bytes)) }),
			bound(short(n.Seconds), func(p *Promise) string { return short(p.Seconds) }),
			optional(n.Real), n.Throttled, n.Unprotected, n.Runs+n.Faulted, n.Faulted, verdict)
	}
	_ = t.Flush()
	for _, c := range cases {
		for _, why := range c.Failed {
			fmt.Fprintf(w, "FAIL  %s: %s\n", c.Name, why)
		}
	}
	fmt.Fprint(w, "\nThe founding story's scheme on the same lists; s and throttled: simulated with the quotas and the SDK's own waits, and\n"+
		"started again at once when they end a run (ended). In brackets how many times as much as tracewall.\n\n")
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "case\twrites\tcalls\tsent\ts\tthrottled\tended\tunprotected\t")
	for _, c := range cases {
		n, ours := c.Story, c.Tracewall
		if n == nil {
			continue
		}
		times := func(text string, a, b float64) string {
			if b <= 0 {
				return text
			}
			return fmt.Sprintf("%s (%s×)", text, short(a/b))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t\n", c.Name,
			times(short(n.Writes), n.Writes, ours.Writes), times(short(n.Calls), n.Calls, ours.Calls),
			times(size(n.Bytes), n.Bytes, ours.Bytes), times(short(n.Seconds), n.Seconds, ours.Seconds), short(n.Throttled), short(n.Aborted), n.Unprotected)
	}
	_ = t.Flush()
}

func (d *Deployed) print(w io.Writer) {
	fmt.Fprintf(w, "\nThe function as deployed, %s addresses in %s (medians of %d starts):\n", thousands(d.Addresses), d.Redis, d.Starts)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  resident at most\t%.1f MB (< %.0f)\tcold sync and a warm one; %.1f MB before its first event\n", d.Peak, peakPromise/1e6, d.Program)
	fmt.Fprintf(t, "  start to first AWS WAF call\t%.1f ms (< %.1f × %.1f ms, an empty function's start and answer)\t%.1f ms with ten addresses on the list; asks for its event after %.1f ms; a function that only calls takes %.1f ms\n",
		d.First, startPromise, d.Empty, d.FirstOfFew, d.Ready, d.OneCall)
	_ = t.Flush()
	verdict(w, d.Failed)
}

func verdict(w io.Writer, failed []string) {
	if len(failed) == 0 {
		fmt.Fprintln(w, "  PASS")
	}
	for _, why := range failed {
		fmt.Fprintln(w, "  FAIL  "+why)
	}
}

// short spells a number with no more digits than it is good for.
func short(v float64) string {
	switch {
	case v >= 100:
		return thousands(int(v + 0.5))
	case v == float64(int(v)):
		return fmt.Sprintf("%.0f", v)
	case v < 10:
		return strings.TrimSuffix(fmt.Sprintf("%.2f", v), "0")
	}
	return fmt.Sprintf("%.1f", v)
}

func optional(v *float64) string {
	if v == nil {
		return "–"
	}
	return short(*v)
}

func size(bytes float64) string {
	switch {
	case bytes >= 1e6:
		return fmt.Sprintf("%.2f MB", bytes/1e6)
	case bytes >= 1e3:
		return fmt.Sprintf("%.1f KB", bytes/1e3)
	}
	return fmt.Sprintf("%.0f B", bytes)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func (r *Result) printSimulation(w io.Writer) {
	fmt.Fprintf(w, "Writes of sets and of the rule per sync, by way of placement, in memory and without faults: %s addresses, set_size %s\n"+
		"(a fifth of both is simulated: as many sets; sent and excepted are scaled up).\n", thousands(r.Addresses), thousands(r.SetSize))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	last := ""
	for _, p := range r.Simulation {
		if p.Change != last {
			fmt.Fprintf(t, "\n%s (%d syncs)\tmean\tp95\tmost\tsent\tsets\texcepted\t\n", p.Change, p.Syncs)
			last = p.Change
		}
		fmt.Fprintf(t, "  %s\t%.2f\t%d\t%d\t%s\t%d\t%s\t\n", p.Scheme, p.Mean, p.P95, p.Max, size(p.Bytes), p.Sets, thousands(p.Excepted))
	}
	_ = t.Flush()
}
