package waftest

import "slices"

// tcInstance is a WAF instance.
type tcInstance struct {
	id, name, edition string
	level             int64 // 101 small, 102 ultra-light, 2 Premium, 3 Enterprise, 4 Ultimate, 6 dedicated
}

// tcDomain is a domain that an instance protects.
type tcDomain struct {
	name, instance string
	on             bool
	off            map[string]bool // what SwitchDomain has turned off
}

// SwitchDomain turns something of a domain on or off: "Mode" (off: the rule engine only observes), "FlowMode" (off: traffic is
// mirrored, not filtered) or "AccessControl" (off: the access control list does nothing). All are on at first.
func (t *Tencent) SwitchDomain(name, what string, on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.domains[name]; d != nil {
		if d.off == nil {
			d.off = map[string]bool{}
		}
		d.off[what] = !on
	}
}

// state is 1 for what is on.
func (d *tcDomain) state(what string) int {
	if d.off[what] {
		return 0
	}
	return 1
}

// describeModules tells which of a domain's modules are on.
func (t *Tencent) describeModules(r tcRequest) (map[string]any, *tcError) {
	var q struct{ Domain string }
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	d := t.domains[q.Domain]
	if d == nil {
		return nil, tcRefuse("ResourceNotFound", "There is no domain %q.", q.Domain)
	}
	return map[string]any{
		"WebSecurity": 1, "AccessControl": d.state("AccessControl"), "CcProtection": 1, "AntiTamper": 1, "AntiLeakage": 1, "ApiProtection": 0, "RateLimit": 0, "GzipAnalysis": 0,
	}, nil
}

// quota returns how many addresses a domain's entries hold in all. What the small editions have no source says.
func (t *Tencent) quota(level int64) int {
	if t.opts.AccessEntries > 0 {
		return t.opts.AccessEntries
	}
	switch level {
	case 4, 6:
		return 20_000
	case 3:
		return 5_000
	}
	return 1_000
}

// instance finds the instance whose list a request is about, and returns its quota.
func (t *Tencent) instance(q tcAccessRequest) (int, *tcError) {
	id := q.InstanceId
	if q.Domain != "global" {
		d := t.domains[q.Domain]
		if d == nil {
			return 0, tcRefuse("UnsupportedOperation", "There is no domain %q.", q.Domain)
		}
		if id == "" {
			id = d.instance
		}
		if id != d.instance {
			return 0, tcRefuse("UnsupportedOperation", "The domain %q does not belong to the instance %q.", q.Domain, id)
		}
	}
	quota := 0
	for _, one := range t.instances {
		if (id == "" || id == one.id) && (q.Edition == "" || q.Edition == one.edition) {
			quota = max(quota, t.quota(one.level))
		}
	}
	if quota == 0 {
		return 0, tcRefuse("UnsupportedOperation", "There is no instance %q of edition %q.", id, q.Edition)
	}
	return quota, nil
}

type tcFilterNew struct {
	Name       string
	Values     []string
	ExactMatch bool
}

type tcListRequest struct {
	Offset, Limit *int64
	Filters       []tcFilterNew
	FreeDelayFlag *int64
}

// list reads a request for instances or domains and returns its page's bounds.
func (q *tcListRequest) read(r tcRequest, names ...string) (from, size int, refused *tcError) {
	if refused := tcDecode(r.body, q); refused != nil {
		return 0, 0, refused
	}
	size = 20
	if q.Offset != nil {
		from = int(*q.Offset)
	}
	if q.Limit != nil {
		size = int(*q.Limit)
	}
	if from < 0 || size < 1 || size > 100 {
		return 0, 0, tcRefuse("InvalidParameterValue", "Offset is at least 0, Limit from 1 to 100.")
	}
	for _, f := range q.Filters {
		if !slices.Contains(names, f.Name) {
			return 0, 0, tcRefuse("InvalidParameter", "There is no filter %q.", f.Name)
		}
	}
	return from, size, nil
}

func (q *tcListRequest) meets(has map[string]string) bool {
	for _, f := range q.Filters {
		if !slices.Contains(f.Values, has[f.Name]) {
			return false
		}
	}
	return true
}

func (t *Tencent) describeInstances(r tcRequest) (map[string]any, *tcError) {
	var q tcListRequest
	from, size, refused := q.read(r, "InstanceId", "InstanceName", "Edition")
	if refused != nil {
		return nil, refused
	}
	set := []map[string]any{}
	for _, one := range t.instances {
		if !q.meets(map[string]string{"InstanceId": one.id, "InstanceName": one.name, "Edition": one.edition}) {
			continue
		}
		domains := 0
		for _, d := range t.domains {
			if d.instance == one.id {
				domains++
			}
		}
		set = append(set, map[string]any{
			"InstanceId": one.id, "InstanceName": one.name, "ResourceIds": "", "Region": "gz", "PayMode": 1, "RenewFlag": 1, "Mode": 0,
			"Level": one.level, "ValidTime": "2099-12-31 23:59:59", "BeginTime": "2026-01-01 00:00:00", "DomainCount": domains, "SubDomainLimit": 100,
			"MainDomainCount": domains, "MainDomainLimit": 10, "Edition": one.edition, "Status": 1, "QPS": nil, "DomainPkg": nil,
		})
	}
	return map[string]any{"Total": len(set), "Instances": set[min(from, len(set)):min(from+size, len(set))]}, nil
}

func (t *Tencent) describeDomains(r tcRequest) (map[string]any, *tcError) {
	var q tcListRequest
	from, size, refused := q.read(r, "Edition", "AlbType", "Domain", "DomainId", "InstanceName", "InstanceId", "FlowMode")
	if refused != nil {
		return nil, refused
	}
	set := []map[string]any{}
	for _, name := range sortedKeys(t.domains) {
		d := t.domains[name]
		at := slices.IndexFunc(t.instances, func(one *tcInstance) bool { return one.id == d.instance })
		if at < 0 {
			continue
		}
		one := t.instances[at]
		if !q.meets(map[string]string{"Domain": d.name, "DomainId": "id-" + d.name, "InstanceId": one.id, "InstanceName": one.name, "Edition": one.edition}) {
			continue
		}
		status := 0
		if d.on {
			status = 1
		}
		set = append(set, map[string]any{
			"Domain": d.name, "DomainId": "id-" + d.name, "InstanceId": one.id, "InstanceName": one.name, "Edition": one.edition, "Region": "gz",
			"Level": one.level, "Status": status, "Mode": d.state("Mode"), "Engine": 21, "FlowMode": d.state("FlowMode"), "ClsStatus": 0, "Cname": "", "State": 0, "Ipv6Status": 1,
			"CreateTime": "2026-01-01 00:00:00", "ModifyTime": "2026-01-01 00:00:00", "Note": "",
		})
	}
	return map[string]any{"Total": len(set), "Domains": set[min(from, len(set)):min(from+size, len(set))]}, nil
}
