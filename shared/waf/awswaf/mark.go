package awswaf

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// tagKey marks what is ours; its value is the target's name. AWS allows letters,
// digits and _.:/=+-@ in keys and values.
const tagKey = "tracewall:target"

// An IP set's Description is the only text that ListIPSets returns beside the name
// and the lock token, so it says there what the set was made from and what it holds:
//
//	tracewall epoch:3f2a gen:17 n:5000 acl:0b5e… hash:9c1f…
//
// AWS takes 3 to 256 of A-Z a-z 0-9 _ + = : # @ / - , . and blanks; the longest is 232. acl is
// the id of the web ACL, which saves a run without memory the search for it.
func describe(m waf.Mark, acl string) string {
	var b strings.Builder
	b.WriteString("tracewall ")
	if m.Retired {
		b.WriteString("retired ")
	}
	fmt.Fprintf(&b, "epoch:%s gen:%d n:%d ", m.Epoch, m.Generation, m.Count)
	if acl != "" {
		fmt.Fprintf(&b, "acl:%s ", acl)
	}
	fmt.Fprintf(&b, "hash:%s", m.Sum)
	return b.String()
}

var descriptionPattern = regexp.MustCompile(
	`^tracewall (retired )?epoch:([A-Za-z0-9._-]{1,64}) gen:([0-9]{1,20}) n:([0-9]{1,5}) (?:acl:([0-9a-f-]{1,36}) )?hash:([0-9a-f]{64})$`)

// parseDescription reads what describe wrote. Anything else is not ours.
func parseDescription(text string) (m waf.Mark, acl string, ok bool) {
	f := descriptionPattern.FindStringSubmatch(text)
	if f == nil {
		return m, "", false
	}
	gen, err := strconv.ParseUint(f[3], 10, 64)
	if err != nil {
		return m, "", false
	}
	count, _ := strconv.Atoi(f[4])
	sum, err := waf.ParseSum(f[6])
	if err != nil {
		return m, "", false
	}
	return waf.Mark{Epoch: f[2], Generation: gen, Count: count, Sum: sum, Retired: f[1] != ""}, f[5], true
}

// setNames matches the names of a target's sets. No target's sets match another's:
// what stands between the base and the number is exactly -v4- or -v6-, or -v4-except- or -v6-except-.
func setNames(base string) *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `-(v4|v6)-(except-)?[0-9]{3,6}$`)
}

var exceptName = regexp.MustCompile(`-(?:v4|v6)-except-[0-9]{3,6}$`)

// isExcept tells an exceptions set by its name.
func isExcept(name string) bool { return exceptName.MatchString(name) }
