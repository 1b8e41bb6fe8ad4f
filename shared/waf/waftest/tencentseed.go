package waftest

import (
	"fmt"
	"slices"
	"time"
)

// SeedSecurityGroup makes a security group as a user might have it, and returns its id: HTTP and HTTPS are
// open to everyone, SSH to the office, one guest is kept out, everything may leave.
func (t *Tencent) SeedSecurityGroup(region, name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.opts.Now()
	g := &tcGroup{id: t.id("sg"), region: region, name: name, version: 3, created: now, updated: now}
	for _, p := range []TencentPolicy{
		{Protocol: "TCP", Port: "22", CidrBlock: "198.51.100.0/24", Action: "ACCEPT", PolicyDescription: "office ssh"},
		{Protocol: "ALL", Port: "ALL", CidrBlock: "203.0.113.66", Action: "DROP", PolicyDescription: "the guest of last May"},
		{Protocol: "TCP", Port: "80,443", CidrBlock: "0.0.0.0/0", Action: "ACCEPT", PolicyDescription: "web"},
		{Protocol: "TCP", Port: "80,443", Ipv6CidrBlock: "::/0", Action: "ACCEPT", PolicyDescription: "web"},
	} {
		p.ModifyTime = tcTime(now)
		g.ingress = append(g.ingress, p)
	}
	g.egress = []TencentPolicy{{Protocol: "ALL", Port: "ALL", CidrBlock: "0.0.0.0/0", Action: "ACCEPT", ModifyTime: tcTime(now)}}
	t.groups[g.id] = g
	return g.id
}

// SeedPolicies puts policies into a security group, one after the other at the place that each one's PolicyIndex names or at the
// end, as somebody else would. It takes no call and raises the version once.
func (t *Tencent) SeedPolicies(group string, ingress ...TencentPolicy) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[group]
	if g == nil {
		return fmt.Errorf("seed policies of %q: %w", group, errNoObject)
	}
	next := slices.Clone(g.ingress)
	for _, p := range ingress {
		at := len(next)
		if p.PolicyIndex != nil {
			at = min(at, int(*p.PolicyIndex))
		}
		p.PolicyIndex, p.ModifyTime = nil, ""
		next = slices.Insert(next, at, p)
	}
	if _, refused := t.write(g, &g.ingress, next); refused != nil {
		return fmt.Errorf("seed policies of %q: %w", group, refused)
	}
	return nil
}

// SetPolicies gives a security group these policies and no others, as somebody with the console would. It takes no call.
func (t *Tencent) SetPolicies(group string, ingress ...TencentPolicy) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[group]
	if g == nil {
		return fmt.Errorf("set policies of %q: %w", group, errNoObject)
	}
	if _, refused := t.write(g, &g.ingress, slices.Clone(ingress)); refused != nil {
		return fmt.Errorf("set policies of %q: %w", group, refused)
	}
	return nil
}

// SeedLoadBalancer makes a load balancer that is bound to security groups, and returns its id.
func (t *Tencent) SeedLoadBalancer(region, name string, groups ...string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &tcBalancer{id: t.id("lb"), region: region, name: name, groups: slices.Clone(groups), created: t.opts.Now()}
	t.balancers[b.id] = b
	return b.id
}

// SeedTemplate makes an address template and returns its id.
func (t *Tencent) SeedTemplate(region, name string, addresses ...string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	members, refused := t.list(addresses, nil)
	if refused != nil {
		return "", fmt.Errorf("seed address template %q: %w", name, refused)
	}
	one := &tcTemplate{t.keep("ipm", region, name), members}
	t.templates[one.id] = one
	return one.id, nil
}

// SeedTemplateGroup makes a group of address templates and returns its id.
func (t *Tencent) SeedTemplateGroup(region, name string, templates ...string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if refused := t.judgeGroup(region, templates); refused != nil {
		return "", fmt.Errorf("seed address template group %q: %w", name, refused)
	}
	set := &tcTemplateGroup{t.keep("ipmg", region, name), slices.Clone(templates)}
	t.sets[set.id] = set
	return set.id, nil
}

// SeedInstance makes a WAF instance in place of the one that NewTencent makes, or beside others that were seeded.
// level is 2 (Premium), 3 (Enterprise), 4 (Ultimate) or 6 (dedicated); edition sparta-waf or clb-waf.
func (t *Tencent) SeedInstance(id, edition string, level int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.instances = slices.DeleteFunc(t.instances, func(one *tcInstance) bool { return one.id == "waf_2kxtlbky" || one.id == id })
	if id != "" {
		t.instances = append(t.instances, &tcInstance{id: id, name: id, edition: edition, level: level})
	}
}

// SeedDomain makes a domain of an instance; "" is the first one.
func (t *Tencent) SeedDomain(name, instance string, protected bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if instance == "" && len(t.instances) > 0 {
		instance = t.instances[0].id
	}
	t.domains[name] = &tcDomain{name: name, instance: instance, on: protected}
}

// SeedAccess makes an entry of the access control list of a domain ("global": of all), as the console would, and returns its rule
// id. action is TencentAllow or TencentBlock; the zero time is for ever.
func (t *Tencent) SeedAccess(domain string, action int64, note string, until time.Time, addresses ...string) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &tcEntry{domain: domain, action: action, ips: slices.Clone(addresses), note: note, source: "custom"}
	if until.IsZero() {
		e.until, e.jobType, e.job = tcForever, "TimedJob", &tcJob{Timed: []tcTimed{{}}, TimeTZone: "UTC+8"}
	} else {
		e.until = until.Unix()
	}
	if refused := t.judgeAddresses(e, nil); refused != nil {
		return 0, fmt.Errorf("seed access control of %q: %w", domain, refused)
	}
	t.enter(e)
	return e.rule, nil
}
