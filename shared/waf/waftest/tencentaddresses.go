package waftest

import (
	"net/netip"
	"slices"
	"time"
	"unicode/utf8"

	"go4.org/netipx"
)

type tcAddressInfo struct{ Address, Description, UpdatedTime string }

// tcName judges the name of a template or a group.
func tcName(name string) *tcError {
	if name == "" {
		return tcRefuse("InvalidParameterValue.Empty", "The name is empty.")
	}
	if utf8.RuneCountInString(name) > 60 {
		return tcRefuse("InvalidParameterValue.TooLong", "The name is longer than 60 characters.")
	}
	return nil
}

// member judges one address of a template.
func (t *Tencent) member(text, description string) (tcMember, *tcError) {
	m := tcMember{text: text, description: description, updated: t.opts.Now()}
	if p, ok := tcPrefix(text); ok {
		m.area = []netip.Prefix{p}
	} else if r, err := netipx.ParseIPRange(text); err == nil && r.IsValid() {
		m.area = r.Prefixes()
	} else {
		return m, tcRefuse("InvalidParameterValue.Malformed", "%q is neither an address, a block without host bits nor a range.", text)
	}
	if utf8.RuneCountInString(description) > 100 {
		return m, tcRefuse("InvalidParameterValue.TooLong", "The description of %q is longer than 100 characters.", text)
	}
	for _, p := range m.area {
		if slices.ContainsFunc(t.opts.Refuse, p.Overlaps) {
			return m, tcRefuse("InvalidParameterValue", "The address %q is not allowed.", text)
		}
	}
	return m, nil
}

// list judges what a request says that a template holds.
func (t *Tencent) list(plain []string, extra []tcAddressInfo) ([]tcMember, *tcError) {
	if plain != nil && extra != nil {
		return nil, tcRefuse("InvalidParameter.Coexist", "Addresses and AddressesExtra exclude each other.")
	}
	for _, text := range plain {
		extra = append(extra, tcAddressInfo{Address: text})
	}
	return t.grown(nil, extra)
}

// grown returns the members and those that are added.
func (t *Tencent) grown(members []tcMember, more []tcAddressInfo) ([]tcMember, *tcError) {
	members = slices.Clone(members)
	for _, info := range more {
		m, refused := t.member(info.Address, info.Description)
		if refused != nil {
			return nil, refused
		}
		if slices.ContainsFunc(members, m.same) {
			return nil, tcRefuse("InvalidParameterValue.Duplicate", "The address %q is there twice.", info.Address)
		}
		members = append(members, m)
	}
	if len(members) > t.opts.TemplateMembers {
		return nil, tcRefuse("LimitExceeded", "An address template holds at most %d addresses.", t.opts.TemplateMembers)
	}
	return members, nil
}

func (m tcMember) same(o tcMember) bool { return slices.Equal(m.area, o.area) }

// tcTask is what keeps changes of a template waiting after one.
type tcTask struct {
	calls int
	until time.Time
}

// busy tells whether a task runs; asking counts.
func (t *Tencent) busy(task *tcTask, id string) *tcError {
	if task.calls > 0 {
		task.calls--
	} else if !t.opts.Now().Before(task.until) {
		return nil
	}
	return tcRefuse("UnsupportedOperation.MutexOperationTaskRunning", "A task of %s is still running. Try again later.", id)
}

// begin starts the task of a template, or of a group, and of every group that the template is in.
func (t *Tencent) begin(id string) {
	task := tcTask{t.opts.TaskCalls, t.opts.Now().Add(t.opts.TaskTime)}
	if one := t.templates[id]; one != nil {
		one.task = task
	}
	for _, set := range t.sets {
		if set.id == id || slices.Contains(set.templates, id) {
			set.task = task
		}
	}
}
