package waftest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// FirewallManager is what Firewall Manager did to a web ACL.
type FirewallManager struct {
	Retrofitted bool // it took a web ACL of the user's under its policy; else the web ACL is its own
	// First and Last are the rule groups that it runs before and after the user's
	// rules: names of rule groups of the account, or else of managed rule groups of AWS.
	First, Last []string
}

// Manage puts a web ACL under Firewall Manager, which changes its lock token as any edit does.
func (v *View) Manage(region, scope, acl string, by FirewallManager) error {
	a := v.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	c, found, err := v.webACL(region, scope, acl)
	if err != nil {
		return err
	}
	found.managed = map[string]any{"ManagedByFirewallManager": !by.Retrofitted, "RetrofittedByFirewallManager": by.Retrofitted}
	if found.first, err = c.managedRules("PreProcessFirewallManagerRuleGroups", "PREFMManaged-", by.First, found); err != nil {
		return err
	}
	if found.last, err = c.managedRules("PostProcessFirewallManagerRuleGroups", "POSTFMManaged-", by.Last, found); err != nil {
		return err
	}
	found.token = a.uuid()
	found.capacity = a.cost(space{v.account, region, scope}, slices.Concat(found.all()...))
	a.record(space{v.account, region, scope})
	return nil
}

// managedRules writes Firewall Manager's groups into the web ACL and returns them as rules.
func (c *content) managedRules(field, prefix string, names []string, acl *webACL) (rules []rule, err error) {
	shown := []json.RawMessage{}
	for i, name := range names {
		statement := fmt.Sprintf(`{"ManagedRuleGroupStatement":{"VendorName":"AWS","Name":%q}}`, name)
		if g := c.groups[name]; g != nil {
			statement = fmt.Sprintf(`{"RuleGroupReferenceStatement":{"ARN":%q}}`, g.arn)
		}
		raw := fmt.Sprintf(`{"Name":%q,"Priority":%d,"Statement":%s,"OverrideAction":{"None":{}},"VisibilityConfig":%s}`, prefix+name, i, statement, seedVisibility)
		one, refused := readRule([]byte(raw), nil)
		if refused != nil {
			return nil, fmt.Errorf("rule group %s of firewall manager: %w", name, refused)
		}
		rules = append(rules, one)
		shown = append(shown, []byte(strings.Replace(raw, `"Statement"`, `"FirewallManagerStatement"`, 1)))
	}
	acl.managed[field] = shown
	return rules, nil
}

// Shield adds the rule that Shield Advanced keeps in a web ACL whose automatic
// mitigation is on: a rule group of Shield's own account at priority 10,000,000, of 150 WCU. Dropping
// it ends the mitigation. It returns the rule's name.
func (v *View) Shield(region, scope, acl string) (string, error) {
	a := v.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	_, found, err := v.webACL(region, scope, acl)
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("ShieldMitigationRuleGroup_%s_%s_%s", v.account, found.id, a.uuid())
	ref := arn(space{shieldAccount, region, scope}, "rulegroup", name, a.uuid())
	a.lent[ref] = 150
	raw := fmt.Sprintf(`{"Name":%q,"Priority":10000000,"Statement":{"RuleGroupReferenceStatement":{"ARN":%q}},"OverrideAction":{"None":{}},"VisibilityConfig":%s}`, name, ref, seedVisibility)
	one, refused := readRule([]byte(raw), nil)
	if refused != nil {
		return "", fmt.Errorf("rule of shield: %w", refused)
	}
	found.rules = append(found.rules[:len(found.rules):len(found.rules)], one)
	found.capacity += a.lent[ref]
	found.token = a.uuid()
	a.record(space{v.account, region, scope})
	return name, nil
}

// shieldAccount is the account that Shield's rule groups are in.
const shieldAccount = "153427709519"
