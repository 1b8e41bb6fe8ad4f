package waftest

import (
	"slices"
	"strings"
	"time"
)

// tcBalancer is a load balancer.
type tcBalancer struct {
	id, region, name string
	groups           []string // security groups, the first one's policies first
	called           []string // those of groups that an API call bound, not the console
	created          time.Time
}

func (t *Tencent) balancer(region, id string) (*tcBalancer, *tcError) {
	b := t.balancers[id]
	if b == nil || b.region != region {
		return nil, tcRefuse("InvalidParameter.LBIdNotFound", "The load balancer %q does not exist.", id)
	}
	return b, nil
}

func (t *Tencent) describeBalancers(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		LoadBalancerIds, LoadBalancerVips, BackendPublicIps, BackendPrivateIps, AdditionalFields         []string
		LoadBalancerType, LoadBalancerName, Domain, OrderBy, SearchKey, VpcId, SecurityGroup, MasterZone string //nolint:staticcheck // named as on the wire
		Forward, Offset, Limit, OrderType, ProjectId, WithRs                                             *int64 //nolint:staticcheck // named as on the wire
		Filters                                                                                          []tcFilter
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if len(q.LoadBalancerIds) > 20 {
		return nil, tcRefuse("InvalidParameterValue.Length", "At most 20 LoadBalancerIds.")
	}
	from, size := int64(0), int64(20)
	if q.Offset != nil {
		from = *q.Offset
	}
	if q.Limit != nil {
		size = *q.Limit
	}
	if from < 0 || size < 1 || size > 100 {
		return nil, tcRefuse("InvalidParameterValue.Range", "Offset is at least 0, Limit from 1 to 100.")
	}
	set := []map[string]any{}
	for _, id := range sortedKeys(t.balancers) {
		b := t.balancers[id]
		if b.region != r.region || len(q.LoadBalancerIds) > 0 && !slices.Contains(q.LoadBalancerIds, id) ||
			q.SecurityGroup != "" && !slices.Contains(b.groups, q.SecurityGroup) || !strings.Contains(b.name, q.LoadBalancerName) {
			continue
		}
		set = append(set, map[string]any{
			"LoadBalancerId": b.id, "LoadBalancerName": b.name, "LoadBalancerType": "OPEN", "Forward": 1, "Domain": "", "Status": 1,
			"LoadBalancerVips": []string{"203.0.113.80"}, "AddressIPVersion": "ipv4", "CreateTime": tcTime(b.created), "StatusTime": tcTime(b.created),
			"ProjectId": 0, "VpcId": "vpc-waftest1", "SecureGroups": append([]string{}, b.groups...), "Log": nil, "Tags": []any{},
			"LoadBalancerPassToTarget": true, "Isolation": 0, "Snat": false,
		})
	}
	total := int64(len(set))
	return map[string]any{"TotalCount": total, "LoadBalancerSet": set[min(from, total):min(from+size, total)]}, nil
}

// bindGroup binds one security group to load balancers, after those that are bound already, or takes it off them.
func (t *Tencent) bindGroup(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		SecurityGroup, OperationType string
		LoadBalancerIds              []string
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if q.SecurityGroup == "" || len(q.LoadBalancerIds) == 0 {
		return nil, tcRefuse("MissingParameter", "The request needs SecurityGroup and LoadBalancerIds.")
	}
	if q.OperationType != "ADD" && q.OperationType != "DEL" {
		return nil, tcRefuse("InvalidParameterValue", "The OperationType %q is neither ADD nor DEL.", q.OperationType)
	}
	if len(q.LoadBalancerIds) > 20 {
		return nil, tcRefuse("InvalidParameterValue.Length", "At most 20 LoadBalancerIds.")
	}
	next := map[*tcBalancer][]string{}
	for _, id := range q.LoadBalancerIds {
		b, refused := t.balancer(r.region, id)
		if refused != nil {
			return nil, refused
		}
		next[b] = slices.DeleteFunc(slices.Clone(b.groups), func(id string) bool { return q.OperationType == "DEL" && id == q.SecurityGroup })
		if q.OperationType == "ADD" && !slices.Contains(b.groups, q.SecurityGroup) {
			next[b] = append(next[b], q.SecurityGroup)
		}
	}
	return nil, t.bind(r.region, next)
}

// setBalancerGroups binds a load balancer to these security groups and to no others.
func (t *Tencent) setBalancerGroups(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		LoadBalancerId string //nolint:staticcheck // named as on the wire
		SecurityGroups []string
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	b, refused := t.balancer(r.region, q.LoadBalancerId)
	if refused != nil {
		return nil, refused
	}
	return nil, t.bind(r.region, map[*tcBalancer][]string{b: q.SecurityGroups})
}

// bind gives load balancers other security groups: all of them or none.
func (t *Tencent) bind(region string, next map[*tcBalancer][]string) *tcError {
	for _, groups := range next {
		if len(groups) > t.opts.BalancerGroups {
			return tcRefuse("LimitExceeded", "A load balancer is bound to at most %d security groups.", t.opts.BalancerGroups)
		}
		for _, id := range groups {
			g, refused := t.group(region, id)
			if refused != nil {
				return tcRefuse("InvalidParameterValue", "The security group %q does not exist.", id)
			}
			if t.expanded(g.ingress)+t.expanded(g.egress) > t.opts.BalancerExpanded {
				return tcRefuse("FailedOperation", "The security group %s has more than %d policies after its templates are written out.", id, t.opts.BalancerExpanded)
			}
		}
	}
	for b, groups := range next {
		called := slices.DeleteFunc(slices.Clone(groups), func(id string) bool { return slices.Contains(b.groups, id) && !slices.Contains(b.called, id) })
		b.groups, b.called = groups, called
	}
	return nil
}
