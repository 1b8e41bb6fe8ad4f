package waftest

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cloudEntry is one element of Cloud Firewall's AddressList: an address and, after a blank, a note.
type cloudEntry struct {
	prefix     netip.Prefix
	text, note string
}

// cloudEntries reads the parameter AddressList of a book of one family.
func (a *Alibaba) cloudEntries(r aliRequest, kind string) ([]cloudEntry, *aliError) {
	if r.str("AddressList") == "" {
		return nil, missing("AddressList")
	}
	var list []cloudEntry
	for element := range strings.SplitSeq(r.str("AddressList"), ",") {
		text, note, _ := strings.Cut(strings.TrimSpace(element), " ")
		p, why := a.takes(text)
		if why == "" && p.Addr().Is4() != (kind == "ip") {
			why = "want a book of one family: ip for IPv4, ipv6 for IPv6"
		}
		if why == "" && a.opts.Pedantic && slices.ContainsFunc(list, func(e cloudEntry) bool { return e.prefix == p }) {
			why = "it is there twice"
		}
		if why != "" {
			return nil, bad("ErrorParametersAddressList", "The address %.60q is invalid: %s.", text, why) // UNVERIFIED code
		}
		list = append(list, cloudEntry{p, text, strings.TrimSpace(note)})
	}
	if len(list) > a.opts.Quotas.CloudBatch {
		return nil, tooManyAddresses()
	}
	return list, nil
}

func tooManyAddresses() *aliError {
	return bad("ErrorAddressCountExceed", "The maximum number of addresses is exceeded.")
}

// bookText checks a book's name and description, both of which every write must give.
func (a *Alibaba) bookText(r aliRequest, uuid string) *aliError {
	name := r.str("GroupName")
	switch {
	case !aliName.MatchString(name) || utf8.RuneCountInString(name) > 128:
		return wrong("GroupName", "want up to 128 letters, digits, _ . -")
	case utf8.RuneCountInString(r.str("Description")) > 256:
		return wrong("Description", "want at most 256 characters")
	}
	if other := a.state.bookNamed(name); other != nil && other.uuid != uuid {
		return bad("ErrorAddressGroupExist", "The address group already exists.")
	}
	return nil
}

func (a *Alibaba) addCloudBook(r aliRequest) (map[string]any, *aliError) {
	kind := r.str("GroupType")
	if kind != "ip" && kind != "ipv6" {
		return nil, wrong("GroupType", "the stand-in has books of type ip and ipv6")
	}
	if e := a.bookText(r, ""); e != nil {
		return nil, e
	}
	list, e := a.cloudEntries(r, kind)
	if e != nil {
		return nil, e
	}
	if len(a.state.cloud) >= a.opts.Quotas.CloudBooks {
		return nil, bad("ErrorAddressGroupCountExceed", "The maximum number of address groups is exceeded.") // UNVERIFIED code
	}
	made := &cloudBook{uuid: a.uuid(), name: r.str("GroupName"), description: r.str("Description"), kind: kind, list: newAddressList()}
	if e := a.fill(made, list); e != nil {
		return nil, e
	}
	a.state.cloud[made.uuid] = made
	r.call.Object = made.uuid
	return map[string]any{"GroupUuid": made.uuid}, nil
}

// fill enters addresses unless a quota speaks against it.
func (a *Alibaba) fill(b *cloudBook, list []cloudEntry) *aliError {
	added := map[netip.Prefix]bool{}
	for _, one := range list {
		if _, there := b.list.at[one.prefix]; !there {
			added[one.prefix] = true
		} else if a.opts.Pedantic {
			return bad("ErrorParametersAddressList", "The address %s is in the address group already.", one.prefix)
		}
	}
	if len(b.list.at)+len(added) > a.opts.Quotas.CloudAddresses {
		return tooManyAddresses()
	}
	if a.state.spreadAll()+len(added)*a.state.spreadOf(b.name) > a.opts.Quotas.CloudSpread {
		return tooSpread()
	}
	for _, one := range list {
		b.list.add(one.prefix, one.text, one.note, a.opts.Now())
	}
	return nil
}

func tooSpread() *aliError {
	return bad("ErrorAclExtendedCountExceed", "ACL or extended ACL rules are not matched.")
}

func (a *Alibaba) cloudBook(r aliRequest) (*cloudBook, *aliError) {
	b := a.state.cloud[r.str("GroupUuid")]
	if b == nil {
		return nil, bad("ErrorAddressGroupNotExist", "The address group does not exist.")
	}
	return b, nil
}

// modifyCloudBook changes name, description and addresses at once, or nothing. ModifyMode is Cover if it is
// left out: what is in the book is replaced. A policy goes by the book's name and follows a new one.
func (a *Alibaba) modifyCloudBook(r aliRequest) (map[string]any, *aliError) {
	b, e := a.cloudBook(r)
	if e != nil {
		return nil, e
	}
	if e := a.bookText(r, b.uuid); e != nil {
		return nil, e
	}
	list, e := a.cloudEntries(r, b.kind)
	if e != nil {
		return nil, e
	}
	next := &cloudBook{uuid: b.uuid, name: b.name, kind: b.kind, list: newAddressList()}
	switch mode := r.str("ModifyMode"); mode {
	case "", "Cover":
		old := b.list // what the policies mean shrinks before it grows
		b.list = newAddressList()
		if e = a.fill(next, list); e != nil {
			b.list = old
			return nil, e
		}
		b.list = next.list
	case "Append":
		if e = a.fill(b, list); e != nil {
			return nil, e
		}
	case "Delete":
		if e = a.strike(b, list); e != nil {
			return nil, e
		}
	default:
		return nil, wrong("ModifyMode", "want Cover, Append or Delete")
	}
	for _, policies := range a.state.policies {
		for _, p := range policies {
			if p.sourceType == "group" && p.source == b.name {
				p.source = r.str("GroupName")
			}
			if p.destinationType == "group" && p.destination == b.name {
				p.destination = r.str("GroupName")
			}
		}
	}
	b.name, b.description = r.str("GroupName"), r.str("Description")
	return nil, nil
}

// strike takes addresses out. Those that are not there are no error unless AlibabaOptions.Pedantic.
func (a *Alibaba) strike(b *cloudBook, list []cloudEntry) *aliError {
	left := len(b.list.at)
	seen := map[netip.Prefix]bool{}
	for _, one := range list {
		_, there := b.list.at[one.prefix]
		if !there && a.opts.Pedantic {
			return bad("ErrorParametersAddressList", "The address %s is not in the address group.", one.prefix)
		}
		if there && !seen[one.prefix] {
			left--
		}
		seen[one.prefix] = true
	}
	if left == 0 && a.opts.NoEmptyBooks {
		return bad("ErrorParametersAddressList", "The address group must not be empty.")
	}
	for p := range seen {
		b.list.remove(p)
	}
	return nil
}

func (a *Alibaba) deleteCloudBook(r aliRequest) (map[string]any, *aliError) {
	b, e := a.cloudBook(r)
	if e != nil {
		return nil, e
	}
	if a.state.references(b.name) > 0 {
		return nil, bad("ErrorAddressGroupReference", "The address group is in use and cannot be deleted.")
	}
	delete(a.state.cloud, b.uuid)
	return nil, nil
}

// references counts how often policies name a book.
func (s *aliState) references(name string) (n int) {
	for _, policies := range s.policies {
		for _, p := range policies {
			if p.sourceType == "group" && p.source == name || p.destinationType == "group" && p.destination == name {
				n++
			}
		}
	}
	return n
}

// cloudPages reads CurrentPage and PageSize.
func cloudPages(r aliRequest) (number, size int, e *aliError) {
	if number, e = r.between("CurrentPage", 1, 1, 1<<20); e == nil {
		size, e = r.between("PageSize", 10, 1, 50)
	}
	return number, size, e
}

// describeCloudBooks lists books whole, all addresses in each. Without GroupType there are no IPv6 books in it (DOC).
func (a *Alibaba) describeCloudBooks(r aliRequest) (map[string]any, *aliError) {
	number, size, e := cloudPages(r)
	if e != nil {
		return nil, e
	}
	kind, query := r.str("GroupType"), r.str("Query")
	if kind == "" {
		kind = "ip"
	}
	var found []*cloudBook
	for _, b := range a.state.cloudBooks() {
		has := strings.Contains(b.name, query) || strings.Contains(b.description, query) ||
			slices.ContainsFunc(b.list.texts(), func(text string) bool { return strings.Contains(text, query) })
		if b.kind == kind && has && (r.str("GroupUuid") == "" || r.str("GroupUuid") == b.uuid) {
			found = append(found, b)
		}
	}
	views := []map[string]any{}
	for _, b := range pageOf(found, number, size) {
		texts, notes := []string{}, []map[string]any{}
		all, _ := b.list.after(0, len(b.list.at), func(*address) bool { return true })
		for _, one := range all {
			text := a.opts.Form.spell(one.text)
			texts = append(texts, text)
			notes = append(notes, map[string]any{"Address": text, "Note": one.note})
		}
		views = append(views, map[string]any{
			"GroupUuid": b.uuid, "GroupName": b.name, "GroupType": b.kind, "Description": b.description, "AddressList": texts, "Addresses": notes,
			"AddressListCount": len(texts), "ReferenceCount": a.state.references(b.name), "AutoAddTagEcs": 0, "TagRelation": "", "TagList": []string{},
		})
	}
	return map[string]any{
		"Acls": views, "PageNo": strconv.Itoa(number), "PageSize": strconv.Itoa(size), "TotalCount": strconv.Itoa(len(found)),
	}, nil
}
