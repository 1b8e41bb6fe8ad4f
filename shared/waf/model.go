package waf

import (
	"maps"
	"net/netip"
	"slices"
)

// model follows what the wall holds, as far as the run knows for certain, so that
// the report can say what is enforced without reading everything again. A write whose
// outcome is unknown counts as not done: what it would take away is not wanted and not counted anyway.
type model struct {
	state    map[string]*modelSet
	picks    []pick
	book     string // the name of the book, if there is one
	inherent bool   // a set is in force once it is made
	whole    int    // weight enforced when the sets' marks proved it; -1 otherwise
}

type modelSet struct {
	count      int
	referenced bool
	except     bool
	content    []netip.Prefix
}

func newModel(state State, plan Plan) *model {
	m := &model{state: map[string]*modelSet{}, picks: plan.picks, inherent: state.Inherent, whole: -1}
	read := len(state.Sets) == 0
	for _, s := range state.Sets {
		count := len(s.Prefixes)
		if s.Prefixes == nil && s.Marked {
			count = s.Mark.Count
		}
		read = read || s.Prefixes != nil
		m.state[s.Name] = &modelSet{count: count, referenced: s.Referenced, except: s.Except, content: s.Prefixes}
	}
	if !read {
		m.whole = weightOf(plan.picks)
	}
	return m
}

func (m *model) apply(step Step) {
	switch step.Kind {
	case Fill, Trim, Create, Retire, Except:
		s := m.state[step.Set]
		if s == nil {
			s = &modelSet{except: step.Except, referenced: m.inherent}
			m.state[step.Set] = s
		}
		s.content, s.count = step.Content, len(step.Content)
	case Reference, Unreference:
		if m.book != "" {
			m.state[m.book].referenced = true
		}
		for _, name := range step.Sets {
			if s := m.state[name]; s != nil {
				s.referenced = step.Kind == Reference
			}
		}
	case Delete:
		delete(m.state, step.Set)
	}
}

// bookModel follows a book.
func bookModel(state State, plan Plan) *model {
	return &model{
		state: map[string]*modelSet{state.Book.Name: {referenced: state.Exists && state.RuleOK}},
		book:  state.Book.Name, picks: plan.picks, whole: -1,
	}
}

// close takes what the book holds in the end.
func (m *model) close(held holding) {
	s := m.state[m.book]
	s.content = held.sorted()
	s.count = len(s.content)
}

// enforced returns how many wants are in force and which picks are not.
func (m *model) enforced() (n int, pending []netip.Prefix) {
	if m.whole >= 0 {
		return m.whole, nil
	}
	var held []netip.Prefix
	spared := &exceptions{}
	for name, s := range m.state {
		switch {
		case !s.referenced:
		case s.except:
			spared.take(Set{Name: name, Prefixes: s.content, Referenced: true})
		default:
			held = append(held, s.content...)
		}
	}
	spared.normalize(nil)
	slices.SortFunc(held, comparePrefix)
	held = slices.Compact(held)
	i := 0
	for _, p := range m.picks {
		for i < len(held) && comparePrefix(held[i], p.Prefix) < 0 {
			i++
		}
		if i < len(held) && held[i] == p.Prefix && !spared.touches(p.Prefix) {
			n += p.weight
		} else {
			pending = append(pending, p.Prefix)
		}
	}
	return n, pending
}

func (m *model) sets() []SetReport {
	list := make([]SetReport, 0, len(m.state))
	for _, name := range slices.Sorted(maps.Keys(m.state)) {
		s := m.state[name]
		list = append(list, SetReport{Name: name, Count: s.count, Referenced: s.referenced, Except: s.except})
	}
	return list
}
