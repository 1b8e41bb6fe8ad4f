package detect

import (
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/threat"
)

// combine joins the detections that one rule made of neighbouring spans, so that
// each indicator has one. join is of Rule.joiner.
func combine(ds []threat.Detection, join func(a, b threat.Detection) threat.Detection) []threat.Detection {
	slices.SortStableFunc(ds, func(a, b threat.Detection) int { return a.Indicator.Compare(b.Indicator) })
	all := ds[:0]
	for _, d := range ds {
		if n := len(all); n > 0 && all[n-1].Indicator == d.Indicator {
			all[n-1] = join(all[n-1], d)
			continue
		}
		all = append(all, d)
	}
	return all
}

// joiner returns how two detections of neighbouring spans become one. The spans share
// no window, unless windows add up: then both may have counted the same ones, and
// the larger number is a lower bound.
func (r Rule) joiner() func(a, b threat.Detection) threat.Detection {
	if r.Over == 0 {
		return join
	}
	return func(a, b threat.Detection) threat.Detection {
		count, windows, successes := max(a.Count, b.Count), max(a.Windows, b.Windows), max(a.Successes, b.Successes)
		a = join(a, b)
		a.Count, a.Windows, a.Successes = count, windows, successes
		return a
	}
}

func join(a, b threat.Detection) threat.Detection {
	a.Count = saturate(a.Count, b.Count)
	a.Windows += b.Windows
	a.Successes, a.Total = saturate(a.Successes, b.Successes), saturate(a.Total, b.Total)
	a.Also, a.Users = max(a.Also, b.Also), max(a.Users, b.Users)
	a.Tags = union(a.Tags, b.Tags, strings.Compare)
	a.Tags = a.Tags[:min(len(a.Tags), maxTags)]
	a.Accounts = union(a.Accounts, b.Accounts, strings.Compare)
	a.Accounts = a.Accounts[:min(len(a.Accounts), maxAccounts)]
	a.Samples = addSamples(a.Samples, b.Samples...)
	if b.Until.After(a.Until) {
		a.Until = b.Until
	}
	if b.FirstSeen.Before(a.FirstSeen) {
		a.FirstSeen = b.FirstSeen
	}
	if b.LastSeen.After(a.LastSeen) {
		a.LastSeen = b.LastSeen
	}
	a.Countries = union(a.Countries, b.Countries, strings.Compare)
	// Beyond MaxEvidence the two spans' addresses cannot be told apart any more; the
	// larger number is then a lower bound.
	whole := len(a.Evidence) == a.Addresses && len(b.Evidence) == b.Addresses
	a.Evidence = union(a.Evidence, b.Evidence, threat.Indicator.Compare)
	if whole {
		a.Addresses = len(a.Evidence)
	} else {
		a.Addresses = max(a.Addresses, b.Addresses, len(a.Evidence))
	}
	a.Evidence = a.Evidence[:min(len(a.Evidence), threat.MaxEvidence)]
	return a
}

func union[T comparable](a, b []T, compare func(x, y T) int) []T {
	if len(b) == 0 {
		return a // which is in order already
	}
	all := slices.Concat(a, b)
	slices.SortFunc(all, compare)
	return slices.Compact(all)
}

// addRejected sums what two spans rejected.
func addRejected(a, b []Rejected) []Rejected {
	if len(a) == 0 {
		return b
	}
	type key struct{ value, reason string }
	at := make(map[key]int, len(a))
	for i, r := range a {
		at[key{r.Value, r.Reason}] = i
	}
	for _, r := range b {
		if i, ok := at[key{r.Value, r.Reason}]; ok {
			a[i].Count = saturate(a[i].Count, r.Count)
		} else if len(a) <= maxRejected {
			a = append(a, r)
		}
	}
	sortRejected(a)
	return a
}
