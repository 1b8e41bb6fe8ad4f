package story

import (
	"math/rand/v2"
	"net/netip"
)

// Cast is the truth behind a story.
type Cast struct {
	Attackers []netip.Addr // one address for each attacker of Account, IPv4 or IPv6; an IPv6 one stands for its /64
	Scrapers  []netip.Addr // attackers without any account
	Spared    []netip.Addr // loud and allowlisted
	Forged    []Forgery    // values in the address's place that need thought
	Innocent  []netip.Addr // ordinary clients, some of them exactly at the Threshold

	actors   []actor
	accounts []string
}

// Forgery is a value that stands where the client's address should stand.
type Forgery struct {
	Text string     // as it is logged; a port may follow
	Addr netip.Addr // who is meant; the zero Addr if nobody can be
	Why  string     // for people
}

// actor is somebody who makes requests. Text wins over addr; siblings are further
// addresses of the same IPv6 /64, used in turn.
type actor struct {
	addr     netip.Addr
	siblings []netip.Addr
	text     string
	ports    bool // a port, different each time, follows the address
	brackets bool // [v6]:port
}

// AllowlistText is the story's allowlist in the form that package allowlist reads.
const AllowlistText = `# Who must never be blocked: address, range or account, who asked for it, and why.
203.0.113.0/28 owner=it-ops head office, all staff behind one NAT
2001:db8:a::/48 owner=it-ops head office, IPv6
198.51.100.0/24 owner=partnerships payment partner's callbacks
account:qaLoadTest01== owner=quality weekly load test
`

// loudFriend lists who is allowlisted and how loud: lines in each window.
type loudFriend struct {
	addr    netip.Addr
	windows int
	lines   int
	account bool // uses LoadTestAccount
}

func loudFriends() []loudFriend {
	return []loudFriend{
		{netip.MustParseAddr("203.0.113.10"), 4, 300, true},
		{netip.MustParseAddr("198.51.100.77"), 3, 150, false},
		{netip.MustParseAddr("2001:db8:a:1::25"), 1, 40, false},
	}
}

// block is routable space with the country that most sources agree on.
type block struct {
	prefix string
	weight int
}

// blocks4 lie outside every published crawler and cloud range. 139.135.0.0/16 is the one in
// the founding story's sample line.
var blocks4 = []block{
	{"139.135.0.0/16", 60},
	{"119.111.0.0/16", 40},
	{"36.90.0.0/16", 80},
	{"120.187.0.0/16", 40},
	{"39.214.0.0/16", 30},
	{"14.97.0.0/16", 25},
	{"117.253.0.0/16", 30},
	{"59.176.0.0/16", 20},
	{"177.146.0.0/16", 40},
	{"189.42.0.0/16", 25},
	{"186.153.0.0/16", 20},
	{"190.28.0.0/16", 12},
	{"187.218.0.0/16", 20},
	{"181.42.0.0/16", 10},
	{"190.76.0.0/16", 10},
	{"41.35.0.0/16", 20},
	{"105.103.0.0/16", 12},
	{"41.247.0.0/16", 15},
	{"154.225.0.0/16", 6},
	{"154.108.0.0/16", 6},
	{"151.235.0.0/16", 12},
	{"176.240.0.0/16", 15},
	{"5.163.0.0/16", 8},
	{"188.70.0.0/16", 6},
	{"95.37.0.0/16", 25},
	{"5.251.0.0/16", 10},
	{"86.34.0.0/16", 10},
	{"87.126.0.0/16", 6},
	{"79.129.0.0/16", 6},
	{"212.160.0.0/16", 8},
	{"78.222.0.0/16", 8},
	{"83.58.0.0/16", 8},
	{"90.57.0.0/16", 8},
	{"79.215.0.0/16", 8},
	{"81.140.0.0/16", 6},
	{"223.207.0.0/16", 15},
	{"111.254.0.0/16", 8},
	{"118.48.0.0/16", 8},
	{"126.122.0.0/16", 5},
	{"101.183.0.0/16", 4},
}

var blocks6 = []block{
	{"2405:200::/32", 10},
	{"2402:800::/32", 10},
	{"2804:14c::/32", 8},
	{"2a02:2f00::/32", 4},
	{"2001:e68::/32", 6},
	{"2400:1a00::/32", 3},
	{"2a00:1fa0::/32", 5},
	{"2c0f:f698::/32", 3},
}

// pool draws addresses from weighted blocks.
type pool struct {
	prefixes []netip.Prefix // as often as their weight
}

func newPool(blocks []block) pool {
	var p pool
	for _, b := range blocks {
		prefix := netip.MustParsePrefix(b.prefix)
		for range b.weight {
			p.prefixes = append(p.prefixes, prefix)
		}
	}
	return p
}

func (p pool) draw(r *rand.Rand) netip.Addr {
	prefix := p.prefixes[r.IntN(len(p.prefixes))]
	if prefix.Addr().Is4() {
		a := prefix.Addr().As4()
		a[2], a[3] = byte(r.IntN(256)), byte(1+r.IntN(254))
		return netip.AddrFrom4(a)
	}
	a := prefix.Addr().As16()
	for i := 4; i < 8; i++ {
		a[i] = byte(r.IntN(256))
	}
	for i := 8; i < 16; i++ {
		a[i] = byte(1 + r.IntN(255))
	}
	return netip.AddrFrom16(a)
}
