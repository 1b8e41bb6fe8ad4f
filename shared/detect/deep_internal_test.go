package detect

import (
	"strings"
	"testing"
)

func TestDeeplyNestedFilesAreRefused(t *testing.T) {
	for _, piece := range []string{"[", "{a: ", "- ", "? "} {
		if _, err := Parse([]byte(strings.Repeat(piece, maxRuleFile/len(piece)))); err == nil {
			t.Errorf("%q, repeated, was loaded", piece)
		}
	}
}
