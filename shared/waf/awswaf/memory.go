package awswaf

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// What a run leaves to the next one, which may be another process, is what an
// outside edit can be told by. It holds lock tokens and fingerprints, no
// addresses and no secrets: some 110 bytes for each IP set.
//
// A lock token that is still the one that we left proves that nobody has touched
// the set since. One that differs proves nothing: the set is read, and only its
// content, compared with its mark, tells an outsider's edit from a write of our own whose run was
// killed before it could save its memory. So the memory may be old, or lack what an unlucky run
// did, and is never wrong about what it says.
type memory struct {
	Version int    `json:"v"`
	Where   string `json:"at"`             // account, scope and Region: another one's sets say nothing
	Place   string `json:"place,omitzero"` // where our rule stands; after a switch of modes the rest of Place's knowledge is void

	Sets map[string]leftSet `json:"sets"` // by name
	Rule json.RawMessage    `json:"rule,omitzero"`
	// Taken are the sets of somebody else that have names of ours, with their ids.
	Taken map[string]string `json:"taken,omitzero"`
	// Busy says, by action and in Unix milliseconds, until when the pace lets no call
	// begin: a process that starts right after another one does not run into its last calls.
	Busy map[string]int64 `json:"busy,omitzero"`
}

// leftSet is one set as we left it.
type leftSet struct {
	ID string `json:"id"`
	// Token is the lock token under which the set holds what its mark says; "": it was
	// found not to, and not written since.
	Token      string `json:"token,omitzero"`
	Referenced bool   `json:"in,omitzero"`
	Retired    bool   `json:"out,omitzero"` // emptied by us, on purpose: that it is gone is nobody's doing

	// In mode ip-set, where a set has no mark to compare its content with.
	Sum   string `json:"sum,omitzero"`
	Count int    `json:"n,omitzero"`
}

const (
	memoryVersion = 1
	// maxMemory is far more than the 50 or, over many rule groups, 1,000 sets of a
	// target need. Redis is trusted, but not to hand us a gigabyte.
	maxMemory = 1 << 20
)

// Memory implements waf.Rememberer. It is nil before the first Look.
func (f *Firewall) Memory() []byte {
	if f.left == nil {
		return nil
	}
	m := memory{
		Version: memoryVersion, Where: f.where(), Place: f.target.placeKey(),
		Sets: f.left, Rule: f.place.handOver(), Taken: f.taken,
	}
	for action, until := range f.pace.busy(f.target.account(), f.target.Region) {
		if m.Busy == nil {
			m.Busy = map[string]int64{}
		}
		m.Busy[action] = until.UnixMilli() + 1
	}
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings, numbers and what is JSON already always marshal
	}
	return raw
}

// Recall implements waf.Rememberer. It may come before any Look, and should come
// before each one that begins a run if other processes work on the same target. A memory that
// cannot be read, or is another target's, changes nothing of what this process knows itself.
func (f *Firewall) Recall(raw []byte) {
	var m memory
	if len(raw) > maxMemory || json.Unmarshal(raw, &m) != nil || m.Version != memoryVersion || m.Where != f.where() {
		return
	}
	for action, until := range m.Busy {
		if l := f.pace.lane(f.target.account(), f.target.Region, action); l != nil {
			l.hold(time.UnixMilli(until))
		}
	}
	f.left, f.taken = m.Sets, m.Taken
	if f.left == nil {
		f.left = map[string]leftSet{}
	}
	if m.Place == f.target.placeKey() {
		f.place.takeOver(m.Rule)
		return
	}
	for name, l := range f.left {
		l.Referenced = false // by the rule of another mode or of another web ACL
		f.left[name] = l
	}
}

// forget leaves no memory behind.
func (f *Firewall) forget() {
	f.left, f.taken = nil, nil
	f.place.takeOver(nil)
}

// where tells the spaces apart in which names and tokens mean something.
func (f *Firewall) where() string {
	return fmt.Sprintf("%s %s %s", f.target.account(), f.target.Scope, f.target.Region)
}

// placeKey tells the places apart in which our rule may stand.
func (t Target) placeKey() string {
	if t.Mode == ModeWebACL {
		return t.Mode + " " + t.WebACL
	}
	return t.Mode
}

// keep notes that a set holds what its mark says under this token.
func (f *Firewall) keep(s *ipSet, token string, mark waf.Mark) {
	if f.left == nil {
		f.left = map[string]leftSet{}
	}
	l := f.left[s.name]
	f.left[s.name] = leftSet{ID: s.id, Token: token, Referenced: l.Referenced && l.ID == s.id, Retired: mark.Retired}
}

// learn takes over what reading a set has shown. A set that does not hold what its mark
// says must be read again until it is written, also by the next process.
func (f *Firewall) learn(s *ipSet, token, description string, list []netip.Prefix) {
	mark, _, marked := parseDescription(description)
	switch {
	case marked && mark.Count == len(list) && mark.Sum == waf.SumOf(mark.Epoch, list):
		f.keep(s, token, mark)
	case isExcept(s.name):
		// Its mark leaves out what no other set holds any more, so this read says nothing either way.
	case f.left != nil:
		l := f.left[s.name]
		l.ID, l.Token = s.id, ""
		f.left[s.name] = l
	}
}

// referred notes which sets our rule refers to now.
func (f *Firewall) referred() {
	in := map[string]bool{}
	for _, arn := range f.place.refs() {
		in[arn] = true
	}
	for name, s := range f.sets {
		if l, ok := f.left[name]; ok && l.ID == s.id {
			l.Referenced = in[s.arn]
			f.left[name] = l
		}
	}
	f.settle()
}

// settle forgets the sets that are gone. It follows a write of ours: the run has seen
// that they are gone and was allowed to go on.
func (f *Firewall) settle() {
	for name := range f.left {
		if f.sets[name] == nil {
			delete(f.left, name)
		}
	}
}
