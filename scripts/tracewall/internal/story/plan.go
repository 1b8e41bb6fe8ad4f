package story

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"
)

// kind is a kind of line.
type kind uint8

const (
	kindLimit    kind = iota // over the limit; actor indexes actors
	kindSMS                  // an SMS code is sent; actor indexes accounts
	kindOrdinary             // everything else; actor picks the subject
)

// planner draws up the events of a story. All its randomness comes from r, in a
// fixed order, so that a seed tells one story.
type planner struct {
	r       *rand.Rand
	base    int64
	windows []int64 // starts of the windows that lie whole within the story and end a minute before it does
	last    int64
	taken   map[netip.Prefix]bool
	v4, v6  pool
	traces  uint32
	events  []event
}

// closedBefore is how long before the end the last attack window must be over: more
// than the lag that rules allow for late lines.
const closedBefore = 60

func newPlanner(r *rand.Rand, base, end int64) *planner {
	p := &planner{r: r, base: base, last: end, taken: map[netip.Prefix]bool{}, v4: newPool(blocks4), v6: newPool(blocks6)}
	width := int64(Window / time.Second)
	for start := (base + width - 1) / width * width; start+width <= end-closedBefore; start += width {
		p.windows = append(p.windows, start)
	}
	return p
}

// address draws one whose unit nobody else has.
func (p *planner) address(v6 bool) netip.Addr {
	for {
		a := p.v4
		if v6 {
			a = p.v6
		}
		addr := a.draw(p.r)
		if u := unit(addr); !p.taken[u] {
			p.taken[u] = true
			return addr
		}
	}
}

func (p *planner) newActor(c *Cast, addr netip.Addr) uint32 {
	a := actor{addr: addr}
	if addr.Is6() && p.r.IntN(2) == 0 {
		// Half of the IPv6 attackers hop within their /64, with too few lines on each address to be noticed by address.
		for range 3 + p.r.IntN(3) {
			b := addr.As16()
			for i := 8; i < 16; i++ {
				b[i] = byte(1 + p.r.IntN(255))
			}
			a.siblings = append(a.siblings, netip.AddrFrom16(b))
		}
	}
	c.actors = append(c.actors, a)
	return uint32(len(c.actors) - 1)
}

// cast draws the attackers.
func (p *planner) cast(attackers int) Cast {
	c := Cast{accounts: []string{Account, LoadTestAccount}}
	for i := range attackers {
		at := p.newActor(&c, p.address(i%25 == 24))
		c.Attackers = append(c.Attackers, c.actors[at].addr)
	}
	for range max(attackers/80, 3) {
		at := p.newActor(&c, p.address(false))
		c.Scrapers = append(c.Scrapers, c.actors[at].addr)
	}
	return c
}

// window picks one with the flood's shape: rising to a peak two thirds into the story.
func (p *planner) window() int {
	n := len(p.windows)
	return min((p.r.IntN(n)+p.r.IntN(n)+p.r.IntN(n)+n)/4+p.r.IntN(2), n-1)
}

// attack lets each attacker be active in one window or two, above the threshold each time, or
// in as many neighbouring windows as there are visits.
func (p *planner) attack(c *Cast, visits int) {
	for i := range len(c.Attackers) + len(c.Scrapers) {
		withAccount := i < len(c.Attackers)
		w := p.window()
		n := max(visits, 1)
		if p.r.IntN(12) == 0 {
			n++
		}
		for v := range n {
			if w+v < len(p.windows) {
				p.burstOf(uint32(i), p.windows[w+v], Threshold+1+p.r.IntN(6), withAccount)
			}
		}
	}
}

// burstOf writes n requests over the limit into one window. With an account the first
// of them, and three in ten of the others, also ask for an SMS code.
func (p *planner) burstOf(who uint32, window int64, n int, withAccount bool) {
	for i := range n {
		at := window + p.r.Int64N(int64(Window/time.Second))
		if at > p.last {
			at = window + p.r.Int64N(p.last-window+1)
		}
		trace := p.request(at, who)
		if withAccount && (i == 0 || p.r.IntN(10) < 3) {
			p.add(at, kindSMS, 0, trace)
		}
	}
}

// request adds one line over the limit and returns its trace.
func (p *planner) request(at int64, who uint32) uint32 {
	p.traces++
	p.add(at, kindLimit, who, p.traces)
	return p.traces
}

func (p *planner) add(at int64, k kind, who, trace uint32) {
	p.events = append(p.events, event{at: uint32(at - p.base), kind: k, actor: who, trace: trace, salt: p.r.Uint32()})
}

// loudFriends are louder than any attacker and must be let off.
func (p *planner) loudFriends(c *Cast) {
	for _, f := range loudFriends() {
		c.actors = append(c.actors, actor{addr: f.addr})
		who := uint32(len(c.actors) - 1)
		c.Spared = append(c.Spared, f.addr)
		for w := range min(f.windows, len(p.windows)) {
			window := p.windows[(w*3+1)%len(p.windows)]
			for range f.lines {
				at := window + p.r.Int64N(int64(Window/time.Second))
				if trace := p.request(at, who); f.account {
					p.add(at, kindSMS, 1, trace)
				}
			}
		}
	}
}

// forgeries stand in the address's place, each above the threshold in one window.
func (p *planner) forgeries(c *Cast) {
	mapped, ported, bracketed := p.address(false), p.address(false), p.address(true)
	list := []struct {
		f Forgery
		a actor
	}{
		{Forgery{Text: "999.1.1.1", Why: "no address"}, actor{text: "999.1.1.1"}},
		{Forgery{Text: "0.0.0.0", Why: "the unspecified address"}, actor{text: "0.0.0.0"}},
		{Forgery{Text: "10.23.0.8", Why: "a private address"}, actor{text: "10.23.0.8"}},
		{Forgery{Text: fmt.Sprintf("::ffff:%s", mapped), Addr: mapped, Why: "IPv4 in IPv6's clothes"}, actor{addr: mapped, text: "::ffff:" + mapped.String()}},
		{Forgery{Text: ported.String(), Addr: ported, Why: "an address with a port"}, actor{addr: ported, ports: true}},
		{Forgery{Text: bracketed.String(), Addr: bracketed, Why: "an IPv6 address with a port"}, actor{addr: bracketed, ports: true, brackets: true}},
	}
	for i, f := range list {
		c.actors = append(c.actors, f.a)
		c.Forged = append(c.Forged, f.f)
		window := p.windows[(i*2+2)%len(p.windows)]
		for range Threshold + 5 {
			p.request(window+p.r.Int64N(int64(Window/time.Second)), uint32(len(c.actors)-1))
		}
	}
}

// neighbours are real people: they meet the limit now and then, and ask for SMS codes.
// Every eighth of them has exactly as many lines in one window as is allowed.
func (p *planner) neighbours(c *Cast) {
	for i := range max(len(c.Attackers)/20, 16) {
		at := p.newActor(c, p.address(false))
		c.Innocent = append(c.Innocent, c.actors[at].addr)
		account := uint32(len(c.accounts))
		if i < 12 {
			c.accounts = append(c.accounts, fmt.Sprintf("u%07dXk2v%02dQ==", p.r.IntN(10_000_000), i))
		}
		n := 1 + p.r.IntN(6)
		if i%8 == 0 {
			n = Threshold
		}
		window := p.windows[p.window()]
		for range n {
			second := window + p.r.Int64N(int64(Window/time.Second))
			trace := p.request(second, at)
			if i < 12 {
				p.add(second, kindSMS, account, trace)
			}
		}
	}
}

// ordinary fills the story up with everything else that a service logs.
func (p *planner) ordinary(n int) {
	span := p.last - p.base + 1
	for range n {
		var trace uint32
		if p.r.IntN(3) == 0 {
			p.traces++
			trace = p.traces
		}
		p.add(p.base+p.r.Int64N(span), kindOrdinary, uint32(p.r.IntN(len(ordinaryLines))), trace)
	}
}
