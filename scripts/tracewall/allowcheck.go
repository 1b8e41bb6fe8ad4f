package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/allowlist"
)

// maxDays is how far --check looks ahead: ten years.
const maxDays = 3650

// errDecayed is what --check ends with when there is something to look at.
var errDecayed = errors.New("the allowlist wants a look")

// checkAllowlist says what a list covers and what in it somebody should look at.
func (a *app) checkAllowlist(list allowlist.List, days int, asJSON bool) error {
	found := list.Review(a.now().UTC(), time.Duration(days)*24*time.Hour)
	coverage := list.Coverage()
	tooWide := coverage.Check(allowlist.MaxShare)
	if asJSON {
		if err := a.checkJSON(coverage, found); err != nil {
			return err
		}
	} else {
		if list.Len() == 1 {
			fmt.Fprintf(a.stdout, "1 entry covers %s\n", coverage)
		} else {
			fmt.Fprintf(a.stdout, "%d entries cover %s\n", list.Len(), coverage)
		}
		if tooWide != nil {
			fmt.Fprintln(a.stdout, tooWide)
		}
		for _, f := range found {
			fmt.Fprintln(a.stdout, report.Safe(f.Subject()+": "+strings.Join(f.Problems, "; ")))
		}
	}
	switch {
	case len(found) == 1:
		return fmt.Errorf("%w: 1 entry", errDecayed)
	case len(found) > 0:
		return fmt.Errorf("%w: %d entries", errDecayed, len(found))
	case tooWide != nil:
		return fmt.Errorf("%w: it covers too much", errDecayed)
	}
	return nil
}

func (a *app) checkJSON(c allowlist.Coverage, found []allowlist.Finding) error {
	type finding struct {
		Subject  string   `json:"subject"`
		Problems []string `json:"problems"`
	}
	out := struct {
		Coverage struct {
			IPv4      uint64  `json:"ipv4_addresses"`
			IPv4Share float64 `json:"ipv4_share"`
			IPv6      uint64  `json:"ipv6_networks"`
			IPv6Share float64 `json:"ipv6_share"`
			Accounts  int     `json:"accounts"`
		} `json:"coverage"`
		Findings []finding `json:"findings"`
	}{Findings: []finding{}}
	out.Coverage.IPv4, out.Coverage.IPv4Share = c.IPv4, c.Share4()
	out.Coverage.IPv6, out.Coverage.IPv6Share = c.IPv6, c.Share6()
	out.Coverage.Accounts = c.Accounts
	for _, f := range found {
		out.Findings = append(out.Findings, finding{f.Subject(), f.Problems})
	}
	return json.NewEncoder(a.stdout).Encode(out)
}
