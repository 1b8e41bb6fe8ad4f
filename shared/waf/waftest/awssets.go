package waftest

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"regexp"
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

var (
	namePattern        = regexp.MustCompile(`^[\w\-]{1,128}$`)
	descriptionPattern = regexp.MustCompile(`^[\w+=:#@/\-,\.][\w+=:#@/\-,\.\s]+[\w+=:#@/\-,\.]$`)
	metricPattern      = regexp.MustCompile(`^[\w#:\.\-/]{1,255}$`)
	tagPattern         = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)
)

// marshal is json.Marshal without escaping <, > and &: raw parts come back as they were sent.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}

func checkName(r request) *apiError {
	if !namePattern.MatchString(r.str("Name")) {
		return refuse("ValidationException", `Value at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[\w\-]+$`)
	}
	return nil
}

func checkDescription(r request) *apiError {
	raw, ok := r.fields["Description"]
	if !ok {
		return nil
	}
	if d := r.str("Description"); len(d) > 256 || !descriptionPattern.MatchString(d) {
		return refuse("ValidationException", "Value %s at 'description' failed to satisfy constraint", raw)
	}
	return nil
}

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
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(list), nil
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
	if s == nil || s.id != r.str("Id") {
		return nil, refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist.")
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

func checkToken(r request, token string) *apiError {
	switch r.str("LockToken") {
	case "":
		return refuse("ValidationException", "Value null at 'lockToken' failed to satisfy constraint: Member must not be null")
	case token:
		return nil
	}
	return refuse("WAFOptimisticLockException", "AWS WAF couldn't save your changes because someone changed the resource after you started to edit it.")
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
	for _, acl := range a.in(r.space()).acls {
		if slices.Contains(acl.references(), s.arn) {
			return nil, refuse("WAFAssociatedItemException", "AWS WAF couldn't perform the operation because your resource is being used by another resource.")
		}
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

// page returns the names after the request's marker, and the next marker.
func (a *AWS) page(r request, names []string) (page []string, marker string, refused *apiError) {
	limit := 0
	if raw, ok := r.fields["Limit"]; ok {
		if json.Unmarshal(raw, &limit) != nil || limit < 1 || limit > 100 {
			return nil, "", refuse("ValidationException", "Value %s at 'limit' failed to satisfy constraint: 1 to 100", raw)
		}
	}
	if limit == 0 || limit > a.opts.Page {
		limit = a.opts.Page
	}
	slices.Sort(names)
	after := r.str("NextMarker")
	i, found := slices.BinarySearch(names, after)
	if found {
		i++
	}
	page = names[i:min(i+limit, len(names))]
	switch {
	case i+limit < len(names):
		marker = page[len(page)-1]
	case a.opts.AlwaysMarker && len(page) > 0:
		marker = page[len(page)-1]
	case a.opts.AlwaysMarker:
		marker = after
	}
	return page, marker, nil
}

func withMarker(result map[string]any, marker string) map[string]any {
	if marker != "" {
		result["NextMarker"] = marker
	}
	return result
}

type tag struct{ Key, Value string }

func readTags(r request) (map[string]string, *apiError) {
	tags := map[string]string{}
	raw, ok := r.fields["Tags"]
	if !ok {
		return tags, nil
	}
	var list []tag
	if json.Unmarshal(raw, &list) != nil || len(list) > 50 {
		return nil, refuse("ValidationException", "Value at 'tags' failed to satisfy constraint")
	}
	for _, t := range list {
		if len(t.Key) < 1 || len(t.Key) > 128 || len(t.Value) > 256 || !tagPattern.MatchString(t.Key) || !tagPattern.MatchString(t.Value) {
			return nil, refuse("ValidationException", "Value at 'tags' failed to satisfy constraint: %s=%s", t.Key, t.Value)
		}
		tags[t.Key] = t.Value
	}
	return tags, nil
}

func (a *AWS) tagsOf(r request) (map[string]string, *apiError) {
	tags, ok := a.tags[r.str("ResourceARN")]
	if !ok {
		return nil, refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist.")
	}
	return tags, nil
}

func (a *AWS) tagResource(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	more, refused := readTags(r)
	if refused != nil {
		return nil, refused
	}
	for key, value := range more {
		tags[key] = value
	}
	return map[string]any{}, nil
}

func (a *AWS) untagResource(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	var keys []string
	if json.Unmarshal(r.fields["TagKeys"], &keys) != nil {
		return nil, refuse("ValidationException", "Value at 'tagKeys' failed to satisfy constraint")
	}
	for _, key := range keys {
		delete(tags, key)
	}
	return map[string]any{}, nil
}

func (a *AWS) listTags(r request) (any, *apiError) {
	tags, refused := a.tagsOf(r)
	if refused != nil {
		return nil, refused
	}
	list := make([]tag, 0, len(tags))
	for key, value := range tags {
		list = append(list, tag{key, value})
	}
	slices.SortFunc(list, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	return map[string]any{"TagInfoForResource": map[string]any{"ResourceARN": r.str("ResourceARN"), "TagList": list}}, nil
}
