package awswaf

import (
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// share is one group's part of the sets.
type share struct {
	blocks []string // ARNs of the sets that it refers to, exceptions sets left out
	room   int      // how many of them it may have; below len(blocks): it gets no more
}

// spread divides the sets over the groups: one that a group refers to stays there,
// in every such group; a new one goes to the first group with room.
func spread(shares []share, blocks []string) ([][]string, error) {
	wanted := make(map[string]bool, len(blocks))
	for _, arn := range blocks {
		wanted[arn] = true
	}
	placed := make(map[string]bool, len(blocks))
	out := make([][]string, len(shares))
	for i, s := range shares {
		for _, arn := range s.blocks {
			if wanted[arn] {
				out[i] = append(out[i], arn)
				placed[arn] = true
			}
		}
	}
	at, left := 0, 0
	for _, arn := range blocks {
		if placed[arn] {
			continue
		}
		for at < len(shares) && len(out[at]) >= shares[at].room {
			at++
		}
		if at == len(shares) {
			left++
			continue
		}
		out[at] = append(out[at], arn)
	}
	if left > 0 {
		return nil, fmt.Errorf("%w: %d ip sets have no room in %d rule groups: raise groups of the target and refer to the new ones", waf.ErrQuota, left, len(shares))
	}
	for i := range out {
		slices.Sort(out[i])
		out[i] = slices.Compact(out[i])
	}
	return out, nil
}
