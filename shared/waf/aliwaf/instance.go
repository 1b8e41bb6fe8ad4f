package aliwaf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// instance is what DescribeInstance says about the account's WAF 3.0 in a region.
type instance struct {
	ID      string `json:"InstanceId"`
	Edition string
	PayType string // POSTPAY or PREPAY
	Status  int    // 1: normal, 2: expired, 3: released
	InDebt  loose  // "1": overdue
	EndTime int64  // milliseconds
	Details details

	said map[string]json.RawMessage // Details as they came: what is absent there is not known
}

// has tells whether the instance says something about a detail at all.
func (i *instance) has(detail string) bool { return i.said[detail] != nil }

// findings tells what speaks against writing to the instance.
func (i *instance) findings() (findings []waf.Finding) {
	switch i.Status {
	case 2, 3:
		findings = append(findings, waf.Finding{Text: fmt.Sprintf("the waf instance %s has expired or was released: renew it", printable(i.ID, maxName)), Fatal: true})
	}
	if i.InDebt == "1" {
		findings = append(findings, waf.Finding{Text: "the waf instance is overdue: pay, or it ends"})
	}
	return findings
}

// details are the quotas and features of an instance. 0 and false are also what an instance that does not say them has.
type details struct {
	CustomRule                      bool
	CustomRuleTemplateMaxCount      int
	CustomRuleInTemplateMaxCount    int
	DefenseObjectInTemplateMaxCount int

	IPBlacklist                       bool `json:"IpBlacklist"`
	IPBlacklistIPInRuleMaxCount       int  `json:"IpBlacklistIpInRuleMaxCount"`
	IPBlacklistRuleInTemplateMaxCount int  `json:"IpBlacklistRuleInTemplateMaxCount"`
	IPBlacklistTemplateMaxCount       int  `json:"IpBlacklistTemplateMaxCount"`

	IPv6 bool `json:"Ipv6"`
}

// instance asks which instance the account has in the region, and what it may do. Once is enough: quotas
// change with an edition, and a new process asks again.
func (w *wall) instance(ctx context.Context) (*instance, error) {
	if w.found != nil {
		return w.found, nil
	}
	var raw json.RawMessage
	if err := w.call(ctx, wafService, "DescribeInstance", params{}, &raw); err != nil {
		return nil, fmt.Errorf("find the waf instance: %w", err)
	}
	found := &instance{}
	var said struct{ Details map[string]json.RawMessage }
	if err := errors.Join(json.Unmarshal(raw, found), json.Unmarshal(raw, &said)); err != nil {
		return nil, fmt.Errorf("find the waf instance: %w: the answer is not as documented: %w", waf.ErrUnavailable, err)
	}
	found.said = said.Details
	switch {
	case found.ID == "":
		return nil, fmt.Errorf("find the waf instance: %w: the account has no WAF 3.0 instance in %s: buy one, or correct the target's region", waf.ErrDenied, w.region)
	case w.target.InstanceID != "" && found.ID != w.target.InstanceID:
		return nil, fmt.Errorf("find the waf instance: %w: the account's instance in %s is %s, the target names %s: correct instance_id, or leave it out",
			waf.ErrDenied, w.region, printable(found.ID, maxName), w.target.InstanceID)
	}
	w.found = found
	return found, nil
}

// instanceID returns the instance's id, without a call if the target or a memory says it.
func (w *wall) instanceID(ctx context.Context) (string, error) {
	switch {
	case w.target.InstanceID != "":
		return w.target.InstanceID, nil
	case w.known != "":
		return w.known, nil
	}
	found, err := w.instance(ctx)
	if err != nil {
		return "", err
	}
	w.known = found.ID
	return found.ID, nil
}

// waf calls an operation of WAF 3.0 on the target's instance.
func (w *wall) waf(ctx context.Context, action string, p params, out any) error {
	id, err := w.instanceID(ctx)
	if err != nil {
		return err
	}
	p["InstanceId"] = id
	err = w.call(ctx, wafService, action, p, out)
	if code(err) != "Waf.Instance.ValidFaild" || w.found != nil || id == w.target.InstanceID {
		return err
	}
	// A memory said it, and the account may have another instance by now.
	w.known = ""
	if p["InstanceId"], err = w.instanceID(ctx); err != nil {
		return err
	}
	return w.call(ctx, wafService, action, p, out)
}
