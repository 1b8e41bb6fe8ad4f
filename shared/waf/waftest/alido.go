package waftest

import (
	"net/http"
	"slices"
	"time"
)

type aliOperation func(aliRequest) (map[string]any, *aliError)

// operations says who carries out what.
func (a *Alibaba) operations(product string) map[string]aliOperation {
	if product == productCloud {
		return map[string]aliOperation{
			"AddAddressBook": a.addCloudBook, "ModifyAddressBook": a.modifyCloudBook, "DeleteAddressBook": a.deleteCloudBook, "DescribeAddressBook": a.describeCloudBooks,
			"AddControlPolicy": a.addPolicy, "ModifyControlPolicy": a.modifyPolicy, "DeleteControlPolicy": a.deletePolicy, "DescribeControlPolicy": a.describePolicies,
			"ModifyControlPolicyPriority": a.movePolicy, "DescribePolicyPriorUsed": a.priorities,
		}
	}
	return map[string]aliOperation{
		"DescribeInstance":      a.describeInstance,
		"CreateDefenseTemplate": a.createTemplate, "DescribeDefenseTemplate": a.describeTemplate, "DescribeDefenseTemplates": a.describeTemplates,
		"ModifyDefenseTemplate": a.modifyTemplate, "ModifyDefenseTemplateStatus": a.modifyTemplateStatus, "DeleteDefenseTemplate": a.deleteTemplate,
		"ModifyTemplateResources": a.modifyTemplateResources, "DescribeTemplateResources": a.describeTemplateResources,
		"DescribeDefenseResources": a.describeResources, "DescribeDefenseResourceTemplates": a.describeResourceTemplates,
		"CreateDefenseRule": a.createRules, "ModifyDefenseRule": a.modifyRules, "ModifyDefenseRuleStatus": a.modifyRuleStatus,
		"DeleteDefenseRule": a.deleteRules, "DescribeDefenseRule": a.describeRule, "DescribeDefenseRules": a.describeRules,
		"AddAddress": a.addAddresses, "DeleteAddress": a.deleteAddresses, "ClearAddress": a.clearAddresses, "DescribeAddresses": a.describeAddresses,
	}
}

// do carries one call out.
func (a *Alibaba) do(r aliRequest) (map[string]any, *aliError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f := a.operations(r.product)[r.action]
	if f == nil {
		return nil, &aliError{http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method."}
	}
	if slices.ContainsFunc(a.denied, func(d string) bool { return d == "*" || d == r.action || d == r.product+":"+r.action }) {
		return nil, &aliError{http.StatusForbidden, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM."}
	}
	if refused := a.throttle(r); refused != nil {
		return nil, refused
	}
	if refused := checkParameters(r); refused != nil {
		return nil, refused
	}
	if r.product == productCloud && a.opts.NoCloudFirewall {
		return nil, &aliError{http.StatusForbidden, "InvalidApi.NotPurchase", "Cloud Firewall has not been purchased."}
	}
	if r.product == productWAF && r.action != "DescribeInstance" {
		if refused := a.instance(r); refused != nil {
			return nil, refused
		}
	}
	result, refused := f(r)
	if result == nil && refused == nil {
		result = map[string]any{}
	}
	r.call.Changed = refused == nil && !isRead(r.action)
	return result, refused
}

// aliPaces is how much of the rates is used.
type aliPaces struct {
	waf   time.Time   // the last call that was let through
	cloud []time.Time // those of the last second
}

// throttle judges a call by the rates of AlibabaOptions.Rates.
func (a *Alibaba) throttle(r aliRequest) *aliError {
	if !a.opts.Rates {
		return nil
	}
	now := a.opts.Now()
	throttled := bad("Throttling.User", "Request was denied due to user flow control.")
	if r.product == productCloud {
		a.paces.cloud = slices.DeleteFunc(a.paces.cloud, func(at time.Time) bool { return now.Sub(at) >= time.Second })
		if len(a.paces.cloud) >= cloudRate {
			return throttled
		}
		a.paces.cloud = append(a.paces.cloud, now)
		return nil
	}
	if !a.paces.waf.IsZero() && now.Sub(a.paces.waf) < a.opts.Every {
		return throttled
	}
	a.paces.waf = now
	return nil
}

const cloudRate = 10 // calls a second and user (DOC: ModifyAddressBook)

// Throttled returns how many calls were refused for their pace.
func (a *Alibaba) Throttled() (n int) {
	for _, c := range a.Calls() {
		if c.Code == "Throttling.User" {
			n++
		}
	}
	return n
}
