package tencentfw

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf"
)

// Each rule's Note says whose it is and from which state of the list it was written:
//
//	tracewall:edge 9f3a0c1d2e4b 1742
//
// The console takes 50 characters (DOC, product/627/47524); whether the API does is UNVERIFIED. There are 13
// left for the target's name, with the generation's 13: a longer name stands there as its beginning and a digest.

const maxNoteName = 13

// noteLabel is what stands for a target in a note. No two targets share one by accident.
func noteLabel(name string) string {
	if len(name) <= maxNoteName {
		return name
	}
	sum := sha256.Sum256([]byte("tracewall note v1 " + name))
	return name[:6] + "_" + hex.EncodeToString(sum[:3]) // no target's name has an underscore
}

func noteOf(label string, s waf.Stamp) string {
	return fmt.Sprintf("tracewall:%s %s %d", label, waf.ShortEpoch(s.Epoch), s.Generation)
}

// notePattern reads the notes of one target.
type notePattern struct{ re *regexp.Regexp }

func newNotePattern(label string) *notePattern {
	return &notePattern{regexp.MustCompile(`^tracewall:` + regexp.QuoteMeta(label) + ` ([0-9a-f]{12}) ([0-9]{1,20})$`)}
}

// parse returns the stamp of a note of ours. Anything else is not ours.
func (n *notePattern) parse(note string) (waf.Stamp, bool) {
	f := n.re.FindStringSubmatch(note)
	if f == nil {
		return waf.Stamp{}, false
	}
	generation, err := strconv.ParseUint(f[2], 10, 64)
	if err != nil {
		return waf.Stamp{}, false
	}
	return waf.Stamp{Epoch: f[1], Generation: generation}, true
}
