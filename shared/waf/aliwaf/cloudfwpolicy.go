package aliwaf

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf"
)

// controlPolicy is a policy of the Internet border as DescribeControlPolicy shows it.
type controlPolicy struct {
	UUID                string `json:"AclUuid"`
	Action              string `json:"AclAction"` // accept, drop, log
	Description         string
	Source              string
	SourceType          string // net, group, location
	Destination         string
	DestinationType     string
	DestPort            string
	DestPortType        string
	Proto               string
	ApplicationName     string
	ApplicationNameList []string
	Release             string // "true": it is enabled
	RepeatType          string // "", Permanent: always; else at some times
	Order               int
	Direction           string
}

// listPolicies returns the inbound policies of an IP version, in order.
func (c *cloudFirewall) listPolicies(ctx context.Context, version int) ([]*controlPolicy, error) {
	var all []*controlPolicy
	seen := map[string]bool{}
	for page := 1; page <= maxPages; page++ {
		var out struct {
			Policys    []*controlPolicy // the service's own spelling
			TotalCount json.Number
		}
		p := params{"Direction": "in", "IpVersion": strconv.Itoa(version), "CurrentPage": strconv.Itoa(page), "PageSize": strconv.Itoa(cloudPolicyPage)}
		if err := c.cloud(ctx, "DescribeControlPolicy", p, &out); err != nil {
			return nil, fmt.Errorf("list control policies: %w", err)
		}
		for _, one := range out.Policys {
			if one != nil && one.UUID != "" && !seen[one.UUID] && (one.Direction == "" || one.Direction == "in") {
				seen[one.UUID] = true
				all = append(all, one)
			}
		}
		total, _ := out.TotalCount.Int64()
		if len(out.Policys) == 0 || total > 0 && int64(len(all)) >= total {
			slices.SortStableFunc(all, func(a, b *controlPolicy) int { return cmp.Compare(a.Order, b.Order) })
			return all, nil
		}
	}
	return nil, fmt.Errorf("list control policies: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}

// readPolicies reads the policies of the families that we have books of.
func (c *cloudFirewall) readPolicies(ctx context.Context) error {
	c.policies = map[int][]*controlPolicy{}
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		if len(c.booksOf(f)) == 0 {
			continue
		}
		all, err := c.listPolicies(ctx, ipVersion(f))
		if err != nil {
			return err
		}
		c.policies[ipVersion(f)] = all
		for _, p := range all {
			if _, marked := c.readMark(p.Description); marked && !slices.ContainsFunc(c.booksOf(f), p.from) {
				c.note("the control policy %s has our mark in its description but none of our books as its source: it is left alone; take the mark out, or delete it", p.Description)
			}
		}
	}
	return nil
}

// from tells whether a policy's source is the book.
func (p *controlPolicy) from(b *cloudBook) bool { return p.SourceType == "group" && p.Source == b.name }

// enabled tells whether a policy is in force at every time.
func (p *controlPolicy) enabled() bool {
	return p.Release == "true" && (p.RepeatType == "" || p.RepeatType == "Permanent")
}

// own returns our policy for a book, nil if there is none.
func (c *cloudFirewall) own(b *cloudBook) *controlPolicy {
	for _, p := range c.policies[ipVersion(b.family)] {
		if _, marked := c.readMark(p.Description); marked && p.from(b) {
			return p
		}
	}
	return nil
}

// cloudAction is what the configured action is called here.
func (c *cloudFirewall) cloudAction() string {
	if c.target.Action == ActionMonitor {
		return "log"
	}
	return "drop"
}

// asWanted tells whether our policy for a book is as it shall be.
func (c *cloudFirewall) asWanted(b *cloudBook, p *controlPolicy) bool {
	return p.enabled() && p.Action == c.cloudAction() && p.everything(b.family)
}

// everything tells whether a policy means all traffic from its source.
func (p *controlPolicy) everything(f waf.Family) bool {
	anyApp := p.ApplicationName == "ANY" || slices.Contains(p.ApplicationNameList, "ANY")
	anyPort := p.DestPortType != "group" && (p.DestPort == "" || p.DestPort == "0/0" || p.DestPort == "1/65535")
	return p.DestinationType == "net" && p.Destination == everywhere(f) && p.Proto == "ANY" && anyApp && anyPort
}

func everywhere(f waf.Family) string {
	if f == waf.IPv6 {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// policiesOK tells whether each of our books has its policy, and what somebody changed in those that there are.
func (c *cloudFirewall) policiesOK() (ok bool, drift []string) {
	ok = true
	action := 0 // of ours that have the configured action
	for _, b := range c.books {
		if p := c.own(b); p != nil && p.Action == c.cloudAction() {
			action++
		}
	}
	for _, b := range c.books {
		p := c.own(b)
		switch {
		case p == nil:
			ok = false
		case !c.asWanted(b, p):
			ok = false
			if !p.enabled() {
				drift = append(drift, notice("the control policy for %s was switched off", b.name))
			}
			if p.Action != c.cloudAction() && action > 0 { // else the configuration has changed
				drift = append(drift, notice("the control policy for %s was given the action %s", b.name, p.Action))
			}
			if !p.everything(b.family) {
				drift = append(drift, notice("the control policy for %s was narrowed to %s %s %s", b.name, p.Destination, p.Proto, p.ApplicationName))
			}
		}
	}
	return ok, drift
}

// Refer implements waf.BookFirewall: it makes a policy for each of our books and mends those that there are. Without
// "manage" the policies are the user's, and it does nothing.
func (c *cloudFirewall) Refer(ctx context.Context) error {
	if !c.target.Manage {
		return nil
	}
	var failures []error
	for _, b := range c.books {
		if err := c.keepPolicy(ctx, b); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// keepPolicy makes the policy for a book, or as configured. Where it stands among the others is said
// when it is made and never again: what an operator puts before it is meant to be there.
func (c *cloudFirewall) keepPolicy(ctx context.Context, b *cloudBook) error {
	p := c.own(b)
	if p != nil && c.asWanted(b, p) {
		return nil
	}
	version := ipVersion(b.family)
	if p == nil && c.policies[version] == nil {
		all, err := c.listPolicies(ctx, version) // the family's first book
		if err != nil {
			return err
		}
		c.policies[version] = all
	}
	fields := params{
		"AclAction": c.cloudAction(), "Description": c.mark() + " " + b.name, "Direction": "in",
		"Source": b.name, "SourceType": "group", "Destination": everywhere(b.family), "DestinationType": "net",
		"DestPort": "0/0", "DestPortType": "port", "Proto": "ANY", "ApplicationName": "ANY", "Release": "true", "RepeatType": "Permanent",
	}
	var err error
	if p != nil {
		fields["AclUuid"], fields["Description"] = p.UUID, p.Description
		err = c.cloud(ctx, "ModifyControlPolicy", fields, nil)
	} else {
		fields["IpVersion"], fields["NewOrder"] = strconv.Itoa(version), strconv.Itoa(c.order(version))
		err = c.cloud(ctx, "AddControlPolicy", fields, nil)
	}
	if err != nil && !unsure(err) {
		return fmt.Errorf("control policy for address book %s: %w", b.name, err)
	}
	all, rerr := c.listPolicies(ctx, version)
	if rerr != nil {
		return fmt.Errorf("control policy for address book %s: %w", b.name, errors.Join(err, rerr))
	}
	c.policies[version] = all
	if p = c.own(b); p == nil || !c.asWanted(b, p) {
		return fmt.Errorf("control policy for address book %s: %w", b.name, cmp.Or(err, fmt.Errorf("%w: it is not as it was written", waf.ErrUnavailable)))
	}
	return nil
}

// order is where a new policy is to stand: where the target says, or at the end of a shorter list.
func (c *cloudFirewall) order(version int) int {
	return min(max(1, c.target.Order), len(c.policies[version])+1)
}
