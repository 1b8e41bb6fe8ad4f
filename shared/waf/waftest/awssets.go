package waftest

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

type ipSet struct {
	name, id, arn, token, description string
	version                           string // IPV4 or IPV6
	addresses                         []netip.Prefix
	notReady                          int
}

// maxAddresses is AWS's fixed number of addresses per IP set.
const maxAddresses = 10_000

// addresses reads and judges the Addresses of a request. One bad entry fails the whole call.
func (a *AWS) addresses(r request, version string) ([]netip.Prefix, *apiError) {
	var texts []string
	if raw, ok := r.fields["Addresses"]; !ok || json.Unmarshal(raw, &texts) != nil || texts == nil {
		return nil, refuse("ValidationException", "Value null at 'addresses' failed to satisfy constraint: Member must not be null")
	}
	if len(texts) > maxAddresses {
		return nil, refuse("WAFLimitsExceededException", "too many addresses: %d", len(texts))
	}
	list := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || p.Bits() == 0 || p != p.Masked() || p.Addr().Is4() != (version == "IPV4") || slices.Contains(a.opts.Refuse, p) {
			return nil, invalid("IP_ADDRESS", text, "The parameter contains formatting that is not valid.")
		}
		list = append(list, p)
	}
	return sorted(list), nil
}

func (a *AWS) createIPSet(r request) (any, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	if err := checkDescription(r); err != nil {
		return nil, err
	}
	version := r.str("IPAddressVersion")
	if version != "IPV4" && version != "IPV6" {
		return nil, refuse("ValidationException", "Value at 'iPAddressVersion' failed to satisfy constraint")
	}
	list, refused := a.addresses(r, version)
	if refused != nil {
		return nil, refused
	}
	tags, refused := readTags(r)
	if refused != nil {
		return nil, refused
	}
	c := a.in(r.space())
	if c.sets[r.str("Name")] != nil {
		return nil, refuse("WAFDuplicateItemException", "an ip set named %s exists", r.str("Name"))
	}
	if len(c.sets) >= a.opts.MaxSets {
		return nil, refuse("WAFLimitsExceededException", "the account has %d ip sets already", len(c.sets))
	}
	s := &ipSet{
		name: r.str("Name"), id: a.uuid(), token: a.uuid(), version: version,
		description: r.str("Description"), addresses: list, notReady: a.opts.NotReady,
	}
	s.arn = arn(r.space(), "ipset", s.name, s.id)
	c.sets[s.name] = s
	a.tags[s.arn] = tags
	return map[string]any{"Summary": s.summary()}, nil
}

func (s *ipSet) summary() map[string]string {
	return map[string]string{"Name": s.name, "Id": s.id, "ARN": s.arn, "LockToken": s.token, "Description": s.description}
}

func (a *AWS) findSet(r request) (*ipSet, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	s := a.in(r.space()).sets[r.str("Name")]
	if refused := checkUUID(r, "Id"); refused != nil {
		return nil, refused
	}
	if s == nil || s.id != r.str("Id") {
		return nil, errNonexistent()
	}
	return s, nil
}

func (a *AWS) getIPSet(r request) (any, *apiError) {
	s, refused := a.findSet(r)
	if refused != nil {
		return nil, refused
	}
	texts := make([]string, len(s.addresses))
	for i, p := range s.addresses {
		texts[i] = p.Addr().StringExpanded() + p.String()[strings.IndexByte(p.String(), '/'):]
	}
	a.shuffle.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	return map[string]any{
		"IPSet": map[string]any{
			"Name": s.name, "Id": s.id, "ARN": s.arn, "Description": s.description,
			"IPAddressVersion": s.version, "Addresses": texts,
		},
		"LockToken": s.token,
	}, nil
}

func (a *AWS) updateIPSet(r request) (any, *apiError) {
	s, refused := a.findSet(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkDescription(r); refused != nil {
		return nil, refused
	}
	list, refused := a.addresses(r, s.version)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, s.token); refused != nil {
		return nil, refused
	}
	s.addresses, s.description, s.token = list, r.str("Description"), a.uuid()
	return map[string]any{"NextLockToken": s.token}, nil
}

func (a *AWS) deleteIPSet(r request) (any, *apiError) {
	s, refused := a.findSet(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, s.token); refused != nil {
		return nil, refused
	}
	if a.in(r.space()).refersTo(s.arn) {
		return nil, errAssociated()
	}
	delete(a.in(r.space()).sets, s.name)
	delete(a.tags, s.arn)
	return map[string]any{}, nil
}

func (a *AWS) listIPSets(r request) (any, *apiError) {
	c := a.in(r.space())
	var names []string
	for name := range c.sets {
		names = append(names, name)
	}
	page, marker, refused := a.page(r, names)
	if refused != nil {
		return nil, refused
	}
	list := make([]map[string]string, len(page))
	for i, name := range page {
		list[i] = c.sets[name].summary()
	}
	return withMarker(map[string]any{"IPSets": list}, marker), nil
}
