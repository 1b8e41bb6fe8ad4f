package main

import (
	"fmt"
	"io"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

// print says it for people: the answers first, then what they rest on.
func (u unblocked) print(w io.Writer, accounts bool) {
	fmt.Fprintln(w, report.Safe(u.title(accounts)))
	for _, a := range u.Answers {
		fmt.Fprintf(w, "  %-12s %s\n", a.Reason, report.Safe(a.Text))
		if a.Do != "" {
			fmt.Fprintf(w, "  %-12s → %s\n", "", report.Safe(a.Do))
		}
	}
	line := u.liner(w)
	if u.Case != nil {
		u.printCase(w, accounts)
	}
	if r := u.Run; r != nil {
		line("last run", "of detect at %s, %s", stamp(r.AsOf), r.Mode)
	}
}
