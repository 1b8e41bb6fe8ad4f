package aliwaf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// A description of ours says whose it is and, where it is kept, what the wall was made from:
//
//	tracewall:shop epoch=0d5f1c generation=17
//
// An operator may add words after it. Every part of it fits [A-Za-z0-9 ._:=-], which no field of a cloud refuses.
var markPattern = regexp.MustCompile(`^tracewall:([a-z0-9-]{1,64})(?: epoch=([A-Za-z0-9._-]{1,64}) generation=([0-9]{1,20}))?(?: |$)`)

// mark returns the beginning of the description of everything that is the target's.
func (w *wall) mark() string { return "tracewall:" + w.target.Name }

// stamped returns the description that notes a stamp.
func (w *wall) stamped(s waf.Stamp) string {
	if s.Epoch == "" {
		return w.mark()
	}
	return fmt.Sprintf("%s epoch=%s generation=%d", w.mark(), s.Epoch, s.Generation)
}

// readMark tells whether a description is the target's, and which stamp it notes; nil: none.
func (w *wall) readMark(description string) (stamp *waf.Stamp, ours bool) {
	m := markPattern.FindStringSubmatch(description)
	if m == nil || m[1] != w.target.Name {
		return nil, false
	}
	generation, err := strconv.ParseUint(m[3], 10, 64)
	if err != nil {
		return nil, true
	}
	return &waf.Stamp{Epoch: m[2], Generation: generation}, true
}

// remark returns what an operator wrote after our mark, with the blank before it, bounded.
func (w *wall) remark(description string) string {
	m := markPattern.FindStringIndex(description)
	if m == nil {
		return ""
	}
	rest := strings.TrimSpace(description[m[1]:])
	if rest == "" || len(rest) > maxRemark {
		return ""
	}
	return " " + rest
}

// maxRemark keeps a description short; how long it may be is not documented.
const maxRemark = 100
