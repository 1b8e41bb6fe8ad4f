package waftest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// policyList of a call; both directions for "".
func listOf(r aliRequest) (policyList, *aliError) {
	list := policyList{r.str("Direction"), 4}
	if list.direction != "in" && list.direction != "out" {
		return list, bad("ErrorParametersDirection", "The direction is invalid.")
	}
	switch r.str("IpVersion") {
	case "", "4":
	case "6":
		list.version = 6
	default:
		return list, bad("ErrorParameterIpVersion", "The IP version is invalid.")
	}
	return list, nil
}

// readPolicy puts what a call gives over a policy.
func readPolicy(r aliRequest, p cloudPolicy) cloudPolicy {
	for field, to := range map[string]*string{
		"AclAction": &p.action, "Description": &p.description, "Source": &p.source, "SourceType": &p.sourceType,
		"Destination": &p.destination, "DestinationType": &p.destinationType, "Proto": &p.proto, "DestPort": &p.destPort, "DestPortType": &p.destPortType,
	} {
		if r.str(field) != "" {
			*to = r.str(field)
		}
	}
	if apps, _ := r.list("ApplicationNameList"); len(apps) > 0 {
		p.apps = apps
	} else if r.str("ApplicationName") != "" {
		p.apps = []string{r.str("ApplicationName")}
	}
	if r.str("Release") != "" {
		p.released = r.str("Release") == "true"
	}
	return p
}

// judgePolicy checks a policy as a whole.
func (a *Alibaba) judgePolicy(r aliRequest, p cloudPolicy, version int) *aliError {
	switch {
	case !slices.Contains([]string{"accept", "drop", "log"}, p.action):
		return bad("ErrorParametersAction", "The action is invalid.")
	case !slices.Contains([]string{"ANY", "TCP", "UDP", "ICMP"}, p.proto):
		return bad("ErrorParametersProto", "The protocol is invalid.")
	case p.description == "" || utf8.RuneCountInString(p.description) > 256:
		return wrong("Description", "want 1 to 256 characters")
	case len(p.apps) == 0 || p.proto != "TCP" && !slices.Equal(p.apps, []string{"ANY"}):
		return bad("ErrorParametersApplicationName", "Specified parameter ApplicationName is not valid.")
	case r.str("Release") != "" && r.str("Release") != "true" && r.str("Release") != "false":
		return wrong("Release", "want true or false")
	case r.str("RepeatType") != "" && r.str("RepeatType") != "Permanent":
		return wrong("RepeatType", "the stand-in has permanent policies only")
	case p.destPortType != "port" || p.proto == "ANY" && p.destPort != "0/0":
		return bad("ErrorParametersDestPort", "The dst_port is invalid.")
	}
	if e := a.judgeEnd("Source", p.sourceType, p.source, version); e != nil {
		return e
	}
	return a.judgeEnd("Destination", p.destinationType, p.destination, version)
}

// judgeEnd checks one end of a policy: a prefix, all addresses or a book, of the policy's family.
func (a *Alibaba) judgeEnd(end, kind, text string, version int) *aliError {
	invalid := bad("ErrorParameters"+end, "The %s is invalid.", strings.ToLower(end))
	switch kind {
	case "net":
		p, err := netip.ParsePrefix(text)
		if err != nil || p != p.Masked() || p.Addr().Is4() != (version == 4) {
			return invalid
		}
	case "group":
		b := a.state.bookNamed(text)
		if b == nil {
			return bad("ErrorAddressGroupNotExist", "The address group does not exist.")
		}
		if (b.kind == "ip") != (version == 4) {
			return invalid
		}
	default:
		return invalid
	}
	return nil
}

// spread is how many entries of the account's quota a policy takes.
func (s *aliState) spread(p *cloudPolicy) int {
	size := func(kind, text string) int {
		if b := s.bookNamed(text); kind == "group" && b != nil {
			return len(b.list.at)
		}
		return 1
	}
	return size(p.sourceType, p.source) * size(p.destinationType, p.destination) * len(p.apps)
}

func (s *aliState) spreadAll() (n int) {
	for _, policies := range s.policies {
		for _, p := range policies {
			n += s.spread(p)
		}
	}
	return n
}

// spreadOf returns how many entries one address more in a book takes.
func (s *aliState) spreadOf(name string) (n int) {
	b := s.bookNamed(name)
	for _, policies := range s.policies {
		for _, p := range policies {
			if b != nil && p.sourceType == "group" && p.source == name {
				n += s.spread(&cloudPolicy{destination: p.destination, destinationType: p.destinationType, apps: p.apps})
			}
			if b != nil && p.destinationType == "group" && p.destination == name {
				n += s.spread(&cloudPolicy{source: p.source, sourceType: p.sourceType, apps: p.apps})
			}
		}
	}
	return n
}

// addPolicy puts a policy at NewOrder, 1 being on top and -1 the end; those from there on move down.
func (a *Alibaba) addPolicy(r aliRequest) (map[string]any, *aliError) {
	list, e := listOf(r)
	if e != nil {
		return nil, e
	}
	p := readPolicy(r, cloudPolicy{destPort: "0/0", destPortType: "port", released: true})
	if e := a.judgePolicy(r, p, list.version); e != nil {
		return nil, e
	}
	if a.state.spreadAll()+a.state.spread(&p) > a.opts.Quotas.CloudSpread {
		return nil, tooSpread()
	}
	here := a.state.policies[list]
	at, e := r.between("NewOrder", 1, -1, int64(len(here)+1))
	if e != nil || at == 0 {
		return nil, wrong("NewOrder", "want 1 to %d, or -1", len(here)+1)
	}
	if at == -1 {
		at = len(here) + 1
	}
	p.uuid, p.created, p.modified = a.uuid(), a.opts.Now(), a.opts.Now()
	a.state.policies[list] = slices.Insert(here, at-1, &p)
	r.call.Object = p.uuid
	return map[string]any{"AclUuid": p.uuid}, nil
}

// policy finds a policy by its UUID.
func (a *Alibaba) policy(r aliRequest) (policyList, int, *aliError) {
	for list, policies := range a.state.policies {
		for i, p := range policies {
			if p.uuid == r.str("AclUuid") && (r.str("Direction") == "" || r.str("Direction") == list.direction) {
				return list, i, nil
			}
		}
	}
	return policyList{}, 0, bad("ErrorAclNotExist", "The access control policy does not exist.") // UNVERIFIED code
}

func (a *Alibaba) modifyPolicy(r aliRequest) (map[string]any, *aliError) {
	list, i, e := a.policy(r)
	if e != nil {
		return nil, e
	}
	old := a.state.policies[list][i]
	next := readPolicy(r, *old)
	if e := a.judgePolicy(r, next, list.version); e != nil {
		return nil, e
	}
	if a.state.spreadAll()-a.state.spread(old)+a.state.spread(&next) > a.opts.Quotas.CloudSpread {
		return nil, tooSpread()
	}
	next.modified = a.opts.Now()
	*old = next
	return nil, nil
}

func (a *Alibaba) deletePolicy(r aliRequest) (map[string]any, *aliError) {
	list, i, e := a.policy(r)
	if e != nil {
		return nil, e
	}
	a.state.policies[list] = slices.Delete(a.state.policies[list], i, i+1)
	return nil, nil
}

// movePolicy gives a policy another place in its list.
func (a *Alibaba) movePolicy(r aliRequest) (map[string]any, *aliError) {
	list, i, e := a.policy(r)
	if e != nil {
		return nil, e
	}
	here := a.state.policies[list]
	to, e := r.between("Order", 0, 1, int64(len(here)))
	if e != nil {
		return nil, e
	}
	p := here[i]
	a.state.policies[list] = slices.Insert(slices.Delete(here, i, i+1), to-1, p)
	return nil, nil
}

// priorities tells the places that are taken: from 1 on without gaps, -1 to -1 if there are none (UNVERIFIED).
func (a *Alibaba) priorities(r aliRequest) (map[string]any, *aliError) {
	list, e := listOf(r)
	if e != nil {
		return nil, e
	}
	if n := len(a.state.policies[list]); n > 0 {
		return map[string]any{"Start": 1, "End": n}, nil
	}
	return map[string]any{"Start": -1, "End": -1}, nil
}

// describePolicies lists in order of priority. IpVersion is 4 if it is left out (DOC): IPv6 has a list of its own.
func (a *Alibaba) describePolicies(r aliRequest) (map[string]any, *aliError) {
	number, size, e := cloudPages(r)
	if e != nil {
		return nil, e
	}
	version := 4
	if r.str("IpVersion") == "6" {
		version = 6
	}
	views := []map[string]any{}
	for _, direction := range []string{"in", "out"} {
		if r.str("Direction") != "" && r.str("Direction") != direction {
			continue
		}
		for i, p := range a.state.policies[policyList{direction, version}] {
			if p.fits(r) {
				views = append(views, a.policyView(p, direction, version, i+1))
			}
		}
	}
	return map[string]any{
		"Policys": pageOf(views, number, size), "PageNo": strconv.Itoa(number), "PageSize": strconv.Itoa(size), "TotalCount": strconv.Itoa(len(views)),
	}, nil
}

// fits holds a policy to the filters of a call.
func (p *cloudPolicy) fits(r aliRequest) bool {
	return strings.Contains(p.description, r.str("Description")) && strings.Contains(p.source, r.str("Source")) &&
		strings.Contains(p.destination, r.str("Destination")) && (r.str("AclAction") == "" || r.str("AclAction") == p.action) &&
		(r.str("Proto") == "" || r.str("Proto") == p.proto) && (r.str("AclUuid") == "" || r.str("AclUuid") == p.uuid) &&
		(r.str("Release") == "" || r.str("Release") == strconv.FormatBool(p.released))
}

func (a *Alibaba) policyView(p *cloudPolicy, direction string, version, order int) map[string]any {
	view := map[string]any{
		"AclUuid": p.uuid, "AclAction": p.action, "Description": p.description, "Direction": direction, "IpVersion": version, "Order": order,
		"Source": p.source, "SourceType": p.sourceType, "Destination": p.destination, "DestinationType": p.destinationType, "Proto": p.proto,
		"DestPort": p.destPort, "DestPortType": p.destPortType, "ApplicationName": p.apps[0], "ApplicationNameList": p.apps,
		"Release": strconv.FormatBool(p.released), "RepeatType": "Permanent", "SpreadCnt": a.state.spread(p), "HitTimes": 0,
		"CreateTime": p.created.Unix(), "ModifyTime": p.modified.Unix(), "SourceGroupCidrs": []string{},
	}
	if b := a.state.bookNamed(p.source); p.sourceType == "group" && b != nil {
		view["SourceGroupType"], view["SourceGroupCidrs"] = b.kind, b.list.texts()
	}
	return view
}
