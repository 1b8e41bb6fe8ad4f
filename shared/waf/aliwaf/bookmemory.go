package aliwaf

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

const (
	bookMemoryVersion = 1
	maxMemory         = 1 << 20
)

// bookMemory is what this mode knows of the state that it left, for the next process. It spares calls,
// and tells what others have changed since; losing it costs one thorough Look.
type bookMemory struct {
	Version  int        `json:"v"`
	Where    string     `json:"where"`
	Instance string     `json:"instance,omitempty"`
	Book     int64      `json:"book"`
	Template int64      `json:"template"`
	Rule     int64      `json:"rule"`
	Count    int        `json:"count"`             // entries that we left in the book; negative: not known
	Surplus  int        `json:"surplus,omitempty"` // of them: those that stand for nothing, because they are there twice in two spellings or are no addresses
	Odd      int        `json:"odd,omitempty"`     // of those: no addresses
	Long     bool       `json:"long,omitempty"`    // the book shows single addresses with a length
	Stamp    *waf.Stamp `json:"stamp,omitempty"`   // a lower bound: what others stamp since is seen by the next thorough Look
	Left     bool       `json:"left,omitempty"`    // the rule and what it stands in was as configured
	Action   string     `json:"action,omitempty"`  // as configured then
	Bound    []string   `json:"bound,omitempty"`   // objects that we have bound
	At       int64      `json:"at"`                // of the last thorough Look, in milliseconds
}

// where tells apart the places in which ids and names mean something.
func (b *addressBook) where() string {
	return strings.Join([]string{b.target.Name, b.region, b.target.InstanceID, b.target.templateType()}, " ")
}

// Memory implements waf.Rememberer.
func (b *addressBook) Memory() []byte {
	if b.mem.Book == 0 && b.mem.Template == 0 {
		return nil
	}
	m := b.mem
	m.Version, m.Where, m.Instance = bookMemoryVersion, b.where(), b.known
	raw, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return raw
}

// Recall implements waf.Rememberer. What this process has seen itself later than the memory
// was made stays: a store that was set back must not take it back.
func (b *addressBook) Recall(raw []byte) {
	var m bookMemory
	if len(raw) > maxMemory || json.Unmarshal(raw, &m) != nil || m.Version != bookMemoryVersion || m.Where != b.where() || m.At < b.mem.At {
		return
	}
	b.mem = m
	if b.known == "" && instancePattern.MatchString(m.Instance) {
		b.known = m.Instance
	}
}

// forget leaves nothing behind that the next Look might go by.
func (b *addressBook) forget() { b.mem = bookMemory{Count: -1} }

// left notes that everything is as configured.
func (b *addressBook) left() {
	b.mem.Left, b.mem.Action = true, b.target.Action
	if b.target.templateType() == templateCustom {
		for _, name := range b.target.Objects {
			if !slices.Contains(b.mem.Bound, name) {
				b.mem.Bound = append(b.mem.Bound, name)
			}
		}
	}
}

// fresh tells whether the last thorough Look is recent enough, by a clock that may have been set back.
func (b *addressBook) fresh() bool {
	age := b.cfg.Now().Sub(time.UnixMilli(b.mem.At))
	return age >= 0 && age < LookEvery
}
