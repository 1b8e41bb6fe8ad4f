package webattack

// An automaton finds all of many phrases in one pass over a text (Aho and Corasick,
// 1975): one table look-up a byte, whatever the text and however many the phrases.
// It is immutable once built.
type automaton struct {
	column [256]uint8 // of a byte in a row; 0 for bytes in no phrase
	next   []uint16   // rows of columns, one a state; the states in which phrases end are the last
	shift  uint8      // log2 of the length of a row
	ending uint16     // the first state in which a phrase ends
	out    [][]uint16 // from there on: the phrases that end in a state, by number
}

// maxStates is what a state's number can hold.
const maxStates = 1 << 16

// newAutomaton builds one for phrases, which are numbered as they stand. It panics if
// they have too many states, which is a fault of the table they come from.
func newAutomaton(phrases []string) *automaton {
	a := &automaton{}
	columns := 1
	for _, p := range phrases {
		for i := range len(p) {
			if a.column[p[i]] == 0 {
				a.column[p[i]] = uint8(columns)
				columns++
			}
		}
	}
	for 1<<a.shift < columns {
		a.shift++
	}
	width := 1 << a.shift
	ending := [][]uint16{nil}
	next := make([]uint16, width)
	for n, p := range phrases {
		state := 0
		for i := range len(p) {
			at := state<<a.shift | int(a.column[p[i]])
			if next[at] == 0 {
				if len(ending) == maxStates {
					panic("webattack: more phrases than an automaton can hold")
				}
				next[at] = uint16(len(ending))
				ending = append(ending, nil)
				next = append(next, make([]uint16, width)...)
			}
			state = int(next[at])
		}
		ending[state] = append(ending[state], uint16(n))
	}
	// Breadth first: a missing step goes where the longest proper suffix would go.
	fail := make([]uint16, len(ending))
	var queue []uint16
	for c := range width {
		if s := next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		ending[s] = append(ending[s], ending[fail[s]]...)
		for c := range width {
			at, otherwise := int(s)<<a.shift|c, next[int(fail[s])<<a.shift|c]
			if t := next[at]; t != 0 {
				fail[t] = otherwise
				queue = append(queue, t)
			} else {
				next[at] = otherwise
			}
		}
	}
	a.number(next, ending)
	return a
}

// number gives the states their final numbers: a comparison then tells those in which
// a phrase ends.
func (a *automaton) number(next []uint16, ending [][]uint16) {
	width := 1 << a.shift
	to := make([]uint16, len(ending))
	n := uint16(0)
	for _, ends := range []bool{false, true} {
		for s := range ending {
			if (len(ending[s]) > 0) == ends {
				to[s] = n
				n++
				if ends {
					a.out = append(a.out, ending[s])
				}
			}
		}
		if !ends {
			a.ending = n
		}
	}
	a.next = make([]uint16, len(next))
	for s := range ending {
		for c := range width {
			a.next[int(to[s])<<a.shift|c] = to[next[s<<a.shift|c]]
		}
	}
}

// first returns where the first phrase in text ends, -1 if there is none. It
// allocates nothing.
func (a *automaton) first(text []byte) int {
	// Each step waits for the one before: what the loop needs is at hand.
	next, column, shift, ending := a.next, &a.column, a.shift&15, a.ending
	state := uint16(0)
	for i, b := range text {
		if state = next[uint(state)<<shift|uint(column[b])]; state >= ending {
			return i + 1
		}
	}
	return -1
}

// each calls hit with the number of each phrase that ends in text and where it ends.
func (a *automaton) each(text []byte, hit func(phrase, end int)) {
	next, column, shift, ending := a.next, &a.column, a.shift&15, a.ending
	state := uint16(0)
	for i, b := range text {
		if state = next[uint(state)<<shift|uint(column[b])]; state >= ending {
			for _, n := range a.out[state-ending] {
				hit(int(n), i+1)
			}
		}
	}
}
