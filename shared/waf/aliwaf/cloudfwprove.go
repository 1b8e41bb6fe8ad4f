package aliwaf

import (
	"context"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// Prove implements waf.Prover: some enabled policy drops inbound traffic from a book of ours that holds
// something. Whose policy it is does not matter. It looks again. What it does not ask is whether the Internet
// firewall is switched on for each public address of the account.
func (c *cloudFirewall) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: c.cfg.Now().UTC()}
	if _, err := c.Look(ctx); err != nil {
		return proof, err
	}
	for _, b := range c.books {
		uses, reasons := c.proveBook(b)
		for _, use := range uses {
			proof.Effective = proof.Effective || use.Action == "Block" && len(b.holds) > 0
		}
		proof.WebACLs = append(proof.WebACLs, uses...)
		proof.Reasons = append(proof.Reasons, reasons...)
	}
	switch {
	case len(c.books) == 0:
		proof.Reasons = append(proof.Reasons, "there is no address book of ours: the list is empty, or no sync has run yet")
	case c.target.Action == ActionMonitor && c.target.Manage:
		proof.Reasons = append(proof.Reasons, "the target's action is monitor, which blocks nobody: set action to block when you have seen enough")
	}
	return proof, nil
}

// proveBook returns the enabled policies that mean the book, and why it is not in force, or not for everybody.
func (c *cloudFirewall) proveBook(b *cloudBook) (uses []waf.ACLUse, reasons []string) {
	var ahead []string // enabled policies that accept
	drops := false
	for _, p := range c.policies[ipVersion(b.family)] {
		if !p.enabled() {
			continue
		}
		if p.Action == "accept" {
			ahead = append(ahead, notice("%s (%s %s)", p.Description, p.SourceType, p.Source))
			continue
		}
		if !p.from(b) {
			continue
		}
		use := waf.ACLUse{
			Name: fmt.Sprintf("Internet border, inbound, IPv%d", ipVersion(b.family)), Rule: notice("%s: from %s", p.Description, b.name),
			Priority: int64(p.Order), Action: "Count", DefaultAction: "Allow", Behind: ahead,
			Resources: []string{printable(p.Destination, maxName)}, ResourceCount: 1, Partial: true,
		}
		if p.Action == "drop" {
			use.Action, drops = "Block", true
			if !p.everything(b.family) {
				reasons = append(reasons, notice("the policy %s drops what comes from book %s on its way to %s, protocol %s only", p.Description, b.name, p.Destination, p.Proto))
			}
			if len(ahead) > 0 {
				reasons = append(reasons, fmt.Sprintf("%d policies that accept stand before the one that drops what comes from book %s: %s: move them behind it unless they are meant to spare somebody", len(ahead), b.name, names(ahead)))
			}
		}
		uses = append(uses, use)
	}
	switch {
	case drops:
	case c.target.Manage && c.target.Action == ActionBlock:
		reasons = append(reasons, fmt.Sprintf("no enabled policy drops what comes from book %s: the next sync makes one", b.name))
	case !c.target.Manage:
		reasons = append(reasons, fmt.Sprintf("no enabled policy drops what comes from book %s: make one for inbound traffic on the Internet border with the book as its source, or set manage", b.name))
	}
	return uses, reasons
}
