package waftest

import (
	"maps"
)

// describeInstance tells what the region's instance is and may hold. Without an instance it
// answers with nothing but the request's id.
func (a *Alibaba) describeInstance(r aliRequest) (map[string]any, *aliError) {
	region := r.str("RegionId")
	if region == "" {
		region = "cn-hangzhou"
	}
	if region != "cn-hangzhou" && region != "ap-southeast-1" {
		return nil, wrong("RegionId", "want cn-hangzhou or ap-southeast-1")
	}
	if a.opts.NoInstance || region != a.opts.Region {
		return map[string]any{}, nil
	}
	status := 1
	if a.opts.Expired {
		status = 2
	}
	return map[string]any{
		"InstanceId": a.opts.InstanceID, "RegionId": region, "Edition": a.opts.Edition, "Status": status,
		"PayType": "PREPAY", "InDebt": "0", "StartTime": int64(1668496310000), "EndTime": int64(4809859200000), "Details": a.details(),
	}, nil
}

// details are what the instance supports, and how much of it. Nothing in it speaks of address books.
func (a *Alibaba) details() map[string]any {
	q := a.opts.Quotas
	details := map[string]any{
		"IpBlacklist": !a.opts.NoBlacklist, "IpBlacklistIpInRuleMaxCount": q.BlacklistAddresses,
		"IpBlacklistRuleInTemplateMaxCount": q.BlacklistRules, "IpBlacklistTemplateMaxCount": q.BlacklistTemplates,
		"CustomRule": true, "CustomRuleInTemplateMaxCount": q.CustomRules, "CustomRuleTemplateMaxCount": q.CustomTemplates,
		"CustomRuleAction": "block,monitor,js,captcha,captcha_strict", "CustomRuleCondition": "URL,IP,Header", "AclRuleMaxIpCount": q.ACLAddresses,
		"DefenseObjectInTemplateMaxCount": q.ObjectsInTemplate, "DefenseObjectMaxCount": 20000, "DefenseGroupMaxCount": 100, "DefenseObjectInGroupMaxCount": 100,
		"Whitelist": true, "WhitelistRuleInTemplateMaxCount": 100, "WhitelistTemplateMaxCount": 20, "Ipv6": true,
		"MajorProtection": false, "MajorProtectionTemplateMaxCount": 0, "VastIpBlacklistMaxCount": 50000, "VastIpBlacklistInFileMaxCount": 2000, "VastIpBlacklistInOperationMaxCount": 500,
	}
	maps.Copy(details, a.opts.Details)
	maps.DeleteFunc(details, func(_ string, v any) bool { return v == nil })
	return details
}
