package tencentfw

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// wireRule is a rule as DescribeIpAccessControl returns it. Numbers are pointers where absent and 0 differ.
type wireRule struct {
	RuleID      uint64   `json:"RuleId"`
	ID          string   `json:"Id"`
	ActionType  uint64   `json:"ActionType"`
	IP          string   `json:"Ip"`     // of rules from before 2023, which hold one address
	IPList      []string `json:"IpList"` // of all later ones
	Note        string   `json:"Note"`
	TSVersion   uint64   `json:"TsVersion"` // of the last change, in milliseconds
	ValidTS     int64    `json:"ValidTs"`   // the end; deprecated in favour of JobDateTime, and still answered
	ValidStatus *int64   `json:"ValidStatus"`
	JobType     string   `json:"JobType"`
	JobDateTime *wireJob `json:"JobDateTime"`
}

// wireJob says when a rule holds.
type wireJob struct {
	Timed []wireTimed
	Cron  []any
}

type wireTimed struct{ StartDateTime, EndDateTime int64 }

const (
	timedJob = "TimedJob" // from a start to an end
	cronJob  = "CronJob"  // on days of the week or of the month
	// statusEnded is the ValidStatus of what has ended, as the filter of the same name has it. Of a rule's own field no
	// source says which values it takes: only this one is believed.
	statusEnded = 2
	// forever is from when on an end is none: the console writes 2033-12-31 for it.
	forever = 2019571199
)

// accessRule is one rule of the blocklist.
type accessRule struct {
	id     uint64
	key    string // id, or what stands for it in old rules
	ours   bool
	stamp  waf.Stamp
	texts  []string // the addresses as the cloud spells them, in its order
	list   []netip.Prefix
	start  int64 // Unix seconds; 0: always since
	end    int64 // Unix seconds; 0: never
	broken bool  // does not hold all the time until its end
	ended  bool  // the cloud says so
	ts     uint64
}

// parseRule reads a rule. What of its addresses cannot be read stays among its texts, and so in the rule.
func (n *notePattern) parseRule(w wireRule) *accessRule {
	r := &accessRule{id: w.RuleID, ts: w.TSVersion, texts: w.IPList, ended: w.ValidStatus != nil && *w.ValidStatus == statusEnded}
	r.key = cmp.Or(formatID(w.RuleID), "id "+w.ID)
	if w.RuleID == 0 {
		r.key = "id " + w.ID + " " + w.IP
	}
	if len(r.texts) == 0 && w.IP != "" {
		r.texts = []string{w.IP}
	}
	r.list = make([]netip.Prefix, len(r.texts))
	for i, text := range r.texts {
		r.list[i], _ = parseAddress(text)
	}
	r.stamp, r.ours = n.parse(w.Note)
	r.ours = r.ours && w.RuleID != 0 && w.ActionType == actionBlock
	r.start, r.end = 0, w.ValidTS
	if j := w.JobDateTime; j != nil && len(j.Timed) > 0 {
		r.start, r.end = j.Timed[0].StartDateTime, j.Timed[0].EndDateTime
		r.broken = len(j.Timed) > 1
	}
	if r.end >= forever || r.end < 0 {
		r.end = 0
	}
	r.broken = r.broken || w.JobType == cronJob || w.JobDateTime != nil && len(w.JobDateTime.Cron) > 0
	return r
}

// parseAddress reads an address or a range, however the cloud spells it: with or without /32, in capitals,
// expanded, with bits set after the range's.
func parseAddress(text string) (netip.Prefix, bool) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// spell writes an address as a person would: a range of one address without its length.
func spell(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// holds tells whether a rule is in force at a moment and stays so until its end.
func (r *accessRule) holds(now time.Time) bool {
	return !r.broken && !r.ended && r.start <= now.Unix() && !r.over(now)
}

// over tells whether a rule's end has come.
func (r *accessRule) over(now time.Time) bool {
	return r.ended || r.end != 0 && r.end <= now.Unix()
}

// untilOf is an end as waf.Listing has it.
func untilOf(end int64) time.Time {
	if end == 0 {
		return time.Time{}
	}
	return time.Unix(end, 0).UTC()
}

func endOf(until time.Time) int64 {
	if until.IsZero() {
		return 0
	}
	return until.Unix()
}

// later tells whether an end comes after another; 0 is never.
func later(a, b int64) bool { return b != 0 && (a == 0 || a > b) }

// with returns the texts of a rule and of more addresses.
func (r *accessRule) with(more []netip.Prefix) []string {
	texts := slices.Clone(r.texts)
	for _, p := range more {
		texts = append(texts, spell(p))
	}
	return texts
}

// without returns the texts of a rule but for some addresses.
func (r *accessRule) without(out map[netip.Prefix]bool) []string {
	texts := make([]string, 0, len(r.texts))
	for i, text := range r.texts {
		if !r.list[i].IsValid() || !out[r.list[i]] {
			texts = append(texts, text)
		}
	}
	return texts
}

// set gives a rule other texts.
func (r *accessRule) set(texts []string) {
	r.texts = texts
	r.list = make([]netip.Prefix, len(texts))
	for i, text := range texts {
		r.list[i], _ = parseAddress(text)
	}
}

// accessBook is all rules of the blocklist at one moment.
type accessBook struct {
	rules []*accessRule // ours, in the order in which the cloud listed them
	other []*accessRule
	used  int // addresses of all rules, black and white, as the cloud counts them; 0: it does not say
}

// listings returns what is in force of ours, in order, each prefix once with the latest end.
func (b *accessBook) listings(now time.Time) []waf.Listing {
	ends := b.ends(now)
	list := make([]waf.Listing, 0, len(ends))
	for p, end := range ends {
		list = append(list, waf.Listing{Prefix: p, Until: untilOf(end)})
	}
	slices.SortFunc(list, func(a, b waf.Listing) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return list
}

func (b *accessBook) ends(now time.Time) map[netip.Prefix]int64 {
	ends := map[netip.Prefix]int64{}
	for _, r := range b.rules {
		if !r.holds(now) {
			continue
		}
		for _, p := range r.list {
			if !p.IsValid() {
				continue
			}
			if end, has := ends[p]; !has || later(r.end, end) {
				ends[p] = r.end
			}
		}
	}
	return ends
}

// holding returns the rules of ours that hold a prefix, whether they are in force or not.
func (b *accessBook) holding() map[netip.Prefix][]*accessRule {
	rules := map[netip.Prefix][]*accessRule{}
	for _, r := range b.rules {
		for _, p := range r.list {
			if p.IsValid() && !slices.Contains(rules[p], r) {
				rules[p] = append(rules[p], r)
			}
		}
	}
	return rules
}

// find returns one of our rules, nil if it is not there.
func (b *accessBook) find(id uint64) *accessRule {
	for _, r := range b.rules {
		if r.id == id {
			return r
		}
	}
	return nil
}

// over returns those of our rules that ended before a moment, and how many addresses they hold.
func (b *accessBook) over(before time.Time) (ids []uint64, addresses int) {
	for _, r := range b.rules {
		if r.over(before) {
			ids = append(ids, r.id)
			addresses += len(r.texts)
		}
	}
	return ids, addresses
}

// drop forgets rules that are gone.
func (b *accessBook) drop(ids map[uint64]bool) {
	b.rules = slices.DeleteFunc(b.rules, func(r *accessRule) bool { return ids[r.id] })
}
