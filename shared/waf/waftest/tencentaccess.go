package waftest

import (
	"slices"
	"strings"
)

// forget drops the entries that have come to their end, where they do not stay.
func (t *Tencent) forget() {
	if now := t.opts.Now(); t.opts.AccessEndedGo {
		t.entries = slices.DeleteFunc(t.entries, func(e *tcEntry) bool { return e.ended(now) })
	}
}

func (t *Tencent) createAccess(r tcRequest) (map[string]any, *tcError) {
	var q tcAccessRequest
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if q.RuleId != nil {
		return nil, tcRefuse("UnknownParameter", "The parameter `RuleId` is not recognized.")
	}
	t.forget()
	e, refused := t.judgeAccess(q, nil)
	if refused != nil {
		return nil, refused
	}
	t.enter(e)
	return map[string]any{"RuleId": e.rule}, nil
}

// enter puts a new entry into the list.
func (t *Tencent) enter(e *tcEntry) {
	e.id = strings.ReplaceAll(t.id("64")+t.id("f")+t.id("0"), "-", "")[:24]
	e.rule = 1_100_000_000 + t.serial
	e.created = t.opts.Now()
	e.modified = e.created
	t.entries = append(t.entries, e)
}

// modifyAccess gives an entry other addresses, another note and another end, all at once; it keeps its rule id.
func (t *Tencent) modifyAccess(r tcRequest) (map[string]any, *tcError) {
	var q tcAccessRequest
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if q.RuleId == nil {
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `RuleId`.")
	}
	t.forget()
	at := slices.IndexFunc(t.entries, func(e *tcEntry) bool { return e.rule == *q.RuleId && e.domain == q.Domain })
	if at < 0 {
		return nil, tcRefuse("ResourceNotFound", "%s has no entry %d.", q.Domain, *q.RuleId)
	}
	self := t.entries[at]
	e, refused := t.judgeAccess(q, self)
	if refused != nil {
		return nil, refused
	}
	if q.SourceType == "" {
		e.source = self.source
	}
	e.id, e.rule, e.created, e.modified = self.id, self.rule, self.created, t.opts.Now()
	t.entries[at] = e
	return nil, nil
}

// deleteAccess deletes entries by their rule ids, or all of a domain and kind.
func (t *Tencent) deleteAccess(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		Domain     string
		RuleIds    []uint64
		DeleteAll  bool
		SourceType string
		ActionType *uint64
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	switch {
	case q.Domain == "":
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `Domain`.")
	case q.DeleteAll && q.ActionType == nil:
		return nil, tcRefuse("InvalidParameter", "DeleteAll needs an ActionType.")
	case !q.DeleteAll && len(q.RuleIds) == 0:
		return nil, tcRefuse("InvalidParameter", "RuleIds are needed without DeleteAll.")
	case len(q.RuleIds) > t.opts.AccessDeletes:
		return nil, tcRefuse("FailedOperation.TheNumberOfOneTimeDeletionsReachedTheUpperLimit", "One call deletes at most %d entries.", t.opts.AccessDeletes)
	}
	if q.SourceType == "" {
		q.SourceType = "custom"
	}
	t.forget()
	before := len(t.entries)
	t.entries = slices.DeleteFunc(t.entries, func(e *tcEntry) bool {
		return e.domain == q.Domain && e.source == q.SourceType && (q.ActionType == nil || uint64(e.action) == *q.ActionType) &&
			(q.DeleteAll || slices.Contains(q.RuleIds, e.rule))
	})
	gone := before - len(t.entries)
	if gone == 0 && !q.DeleteAll {
		return nil, tcRefuse("ResourceNotFound", "%s has none of the entries.", q.Domain)
	}
	return map[string]any{"FailedCount": max(0, len(q.RuleIds)-gone)}, nil
}
