package crawler

import (
	"container/list"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// memory remembers outcomes by address: the most recently used of them, each for a time.
type memory struct {
	clock func() time.Time
	most  int

	mu     sync.Mutex
	byAddr map[netip.Addr]*list.Element
	order  *list.List // of remembered; the most recently used first
}

type remembered struct {
	addr  netip.Addr
	until time.Time
	outcome
}

func newMemory(most int, clock func() time.Time) *memory {
	return &memory{clock: clock, most: most, byAddr: map[netip.Addr]*list.Element{}, order: list.New()}
}

func (m *memory) recall(addr netip.Addr) (outcome, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.byAddr[addr]
	if !ok {
		return outcome{}, false
	}
	r := e.Value.(remembered)
	if !m.clock().Before(r.until) {
		m.order.Remove(e)
		delete(m.byAddr, addr)
		return outcome{}, false
	}
	m.order.MoveToFront(e)
	return r.outcome, true
}

func (m *memory) keep(addr netip.Addr, o outcome) {
	keep := keepYes
	switch {
	case errors.Is(o.err, ErrNot):
		keep = keepNot
	case o.err != nil:
		keep = keepDoubt
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := remembered{addr, m.clock().Add(keep), o}
	if e, ok := m.byAddr[addr]; ok {
		e.Value = r
		m.order.MoveToFront(e)
		return
	}
	m.byAddr[addr] = m.order.PushFront(r)
	for m.order.Len() > m.most {
		last := m.order.Back()
		m.order.Remove(last)
		delete(m.byAddr, last.Value.(remembered).addr)
	}
}
