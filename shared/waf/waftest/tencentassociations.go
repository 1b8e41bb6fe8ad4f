package waftest

import "slices"

// SeedProtected says how many instances, beside load balancers, a security group protects.
func (t *Tencent) SeedProtected(group string, instances int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.groups[group]; g != nil {
		g.instances = instances
	}
}

// describeAssociations counts what security groups protect.
func (t *Tencent) describeAssociations(r tcRequest) (map[string]any, *tcError) {
	var q struct{ SecurityGroupIds []string }
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if len(q.SecurityGroupIds) == 0 || len(q.SecurityGroupIds) > 100 {
		return nil, tcRefuse("InvalidParameterValue.LimitExceeded", "1 to 100 SecurityGroupIds.")
	}
	set := []map[string]any{}
	for _, id := range q.SecurityGroupIds {
		g, refused := t.group(r.region, id)
		if refused != nil {
			return nil, refused
		}
		balancers := 0
		for _, b := range t.balancers {
			if slices.Contains(b.groups, id) {
				balancers++
			}
		}
		set = append(set, map[string]any{
			"SecurityGroupId": id, "CVM": g.instances, "CDB": 0, "ENI": 0, "SG": 0, "CLB": balancers, "TotalCount": g.instances + balancers,
			"InstanceStatistics": []map[string]any{{"InstanceType": "CVM", "InstanceCount": g.instances}, {"InstanceType": "CLB", "InstanceCount": balancers}},
		})
	}
	return map[string]any{"SecurityGroupAssociationStatisticsSet": set}, nil
}
