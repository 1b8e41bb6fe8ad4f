package tencentfw

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// template is an address template, ipm-…: at most 20 addresses. Its name is one mark of ours, the remark of
// each member the other; what an API may say of a member that nobody remarked has none.
//
// Names and remarks may have 60 and 100 characters: UNVERIFIED, no document says; the API knows an error for too
// long ones. That a template may hold IPv6 is UNVERIFIED too: the documentation shows only
// IPv4. A template of ours holds one family, and a refused address costs only itself.
type template struct {
	ID      string   `json:"AddressTemplateId"`
	Name    string   `json:"AddressTemplateName"`
	Members []member `json:"AddressExtraSet"`
	Plain   []string `json:"AddressSet"`
}

type member struct {
	Address     string
	Description string
}

type templateLimits struct {
	perTemplate, perGroup int
}

// limits asks for the account's quotas, once.
func (g *group) limits(ctx context.Context) error {
	if g.quota != nil {
		return nil
	}
	var answer struct {
		TemplateLimit struct {
			AddressTemplateMemberLimit      int
			AddressTemplateGroupMemberLimit int
		}
	}
	if err := g.call(ctx, "vpc", "DescribeTemplateLimits", nil, &answer); err != nil {
		return fmt.Errorf("quotas of address templates: %w", err)
	}
	quota := templateLimits{answer.TemplateLimit.AddressTemplateMemberLimit, answer.TemplateLimit.AddressTemplateGroupMemberLimit}
	if quota.perTemplate <= 0 {
		quota.perTemplate = DefaultSetSize
	}
	if quota.perGroup <= 0 {
		quota.perGroup = DefaultSets
	}
	g.quota = &quota
	return nil
}

// findTemplates sorts the tenant's address templates into ours, those that have our names, and the rest.
func (g *group) findTemplates(ctx context.Context, state *waf.State) error {
	all, err := g.pagesOfTemplates(ctx, nil)
	if err != nil {
		return err
	}
	g.inTenant = len(all)
	g.templates = map[string]*template{}
	names := setNames(g.target.base())
	for _, t := range all {
		if !names.MatchString(t.Name) {
			continue
		}
		marked, strange := t.marks(g.mark)
		switch other := g.templates[t.Name]; {
		case !marked:
			state.Taken = append(state.Taken, t.Name)
			state.Notes = append(state.Notes, fmt.Sprintf("address template %s has the name %s and no member of it is ours: left alone", printable(t.ID, 40), t.Name))
		case other != nil:
			return fmt.Errorf("address templates %s and %s are both called %s and both ours: delete the one that is in no group: %w", printable(t.ID, 40), printable(other.ID, 40), t.Name, waf.ErrForeign)
		default:
			g.templates[t.Name] = &t
			for _, m := range strange {
				state.Drift = append(state.Drift, fmt.Sprintf("somebody entered %q into %s", printable(m.Address, 60), t.Name))
			}
		}
	}
	// Names are not unique here: one of ours is told from it by the other mark.
	state.Taken = slices.DeleteFunc(state.Taken, func(name string) bool { return g.templates[name] != nil })
	slices.Sort(state.Taken)
	state.Taken = slices.Compact(state.Taken)
	return nil
}

// setNames matches the names of a target's sets. No target's sets match another's.
func setNames(base string) *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `-(v4|v6)-[0-9]{3,6}$`)
}

// marks tells whether any member has our remark, and returns those that do not.
func (t *template) marks(mark string) (marked bool, strange []member) {
	for _, m := range t.Members {
		if m.Description == mark {
			marked = true
		} else {
			strange = append(strange, m)
		}
	}
	return marked, strange
}

var familyPattern = regexp.MustCompile(`-(v4|v6)-[0-9]+$`)

// family is said by the name, since the members may have been tampered with.
func (t *template) family() waf.Family {
	if f := familyPattern.FindStringSubmatch(t.Name); f != nil && f[1] == waf.IPv6.String() {
		return waf.IPv6
	}
	return waf.IPv4
}

// prefixes returns what the template holds. What is no address at all is left out; a Put writes the whole template.
func (t *template) prefixes() (list []netip.Prefix) {
	for _, text := range t.Plain {
		list = append(list, readAddress(text)...)
	}
	for _, m := range t.Members {
		list = append(list, readAddress(m.Address)...)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list)
}

// pagesOfTemplates returns all address templates of the Region, or those that a filter lets through.
func (g *group) pagesOfTemplates(ctx context.Context, filter map[string]any) ([]template, error) {
	return pages(ctx, func(ctx context.Context, offset int) ([]template, int, error) {
		var answer struct {
			TotalCount         int
			AddressTemplateSet []template
		}
		params := page(offset, filter)
		err := g.call(ctx, "vpc", "DescribeAddressTemplates", params, &answer)
		return answer.AddressTemplateSet, answer.TotalCount, err
	}, func(t template) string { return t.ID })
}

// template reads one of ours again; nil: it is not there any more, or no longer ours.
func (g *group) template(ctx context.Context, id string) (*template, error) {
	found, err := g.pagesOfTemplates(ctx, byFilter("address-template-id", id))
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		if marked, _ := t.marks(g.mark); marked && t.ID == id {
			return &t, nil
		}
	}
	return nil, nil
}

// named finds one of ours by its name; the cloud may take it for a part of names.
func (g *group) named(ctx context.Context, name string) (*template, error) {
	found, err := g.pagesOfTemplates(ctx, byFilter("address-template-name", name))
	if err != nil {
		return nil, err
	}
	for _, t := range found {
		if marked, _ := t.marks(g.mark); marked && t.Name == name {
			return &t, nil
		}
	}
	return nil, nil
}

const pageSize = 100 // the most that VPC gives

// page is what a Describe action of VPC takes. Offset and Limit are strings there.
func page(offset int, filter map[string]any) map[string]any {
	params := map[string]any{"Offset": strconv.Itoa(offset), "Limit": strconv.Itoa(pageSize), "NeedMemberInfo": true}
	if filter != nil {
		params["Filters"] = []any{filter}
	}
	return params
}

func byFilter(name, value string) map[string]any {
	return map[string]any{"Name": name, "Values": []string{value}}
}

// pages reads page after page until all are there. If the total changes on the way, or one comes twice, somebody
// else made or deleted one and an offset points elsewhere: it begins anew.
func pages[T any](ctx context.Context, read func(ctx context.Context, offset int) ([]T, int, error), id func(T) string) ([]T, error) {
	const rounds = 4
	for range rounds {
		var all []T
		seen := map[string]bool{}
		total, shifted := -1, false
		for !shifted {
			some, count, err := read(ctx, len(all))
			if err != nil {
				return nil, err
			}
			if total < 0 {
				total = count
			}
			shifted = count != total || len(some) == 0 && len(all) < total
			for _, one := range some {
				shifted = shifted || seen[id(one)]
				seen[id(one)] = true
			}
			all = append(all, some...)
			if !shifted && len(all) >= total {
				return all, nil
			}
		}
	}
	return nil, fmt.Errorf("pages change while they are read: %w", waf.ErrUnavailable)
}

// readAddress reads what a member may be: an address, a block or a range "10.0.0.1-10.0.0.9". The
// documentation's own examples have line ends in them. Anything else is nothing.
func readAddress(text string) []netip.Prefix {
	if p, ok := parseAddress(text); ok {
		return []netip.Prefix{p}
	}
	from, to, _ := strings.Cut(text, "-")
	a, ok1 := parseAddress(from)
	b, ok2 := parseAddress(to)
	if !ok1 || !ok2 || !a.IsSingleIP() || !b.IsSingleIP() || a.Addr().BitLen() != b.Addr().BitLen() || b.Addr().Less(a.Addr()) {
		return nil
	}
	return blocks(a.Addr(), b.Addr())
}

// blocks returns the prefixes that make up a range; at most 254.
func blocks(a, b netip.Addr) (list []netip.Prefix) {
	for a.IsValid() && !b.Less(a) {
		bits := a.BitLen()
		for bits > 0 {
			wider := netip.PrefixFrom(a, bits-1).Masked()
			if wider.Addr() != a || b.Less(last(wider)) {
				break
			}
			bits--
		}
		p := netip.PrefixFrom(a, bits)
		list = append(list, p)
		a = last(p).Next()
	}
	return list
}

// last returns the last address of a masked prefix.
func last(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(raw); i++ {
		raw[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}
