package detect

import (
	"cmp"
	"slices"

	"github.com/tracewall/tracewall/shared/threat"
)

// Campaign is what many addresses have in common that are too quiet to be judged
// alone: ten thousand of them that ask for one path once each. Its Indicator is
// zero, since it is nobody in particular, and its addresses are not blocked: most of
// them may be anybody's.
type Campaign struct {
	Kind    string // one of CampaignKinds
	Value   string // the path, the network, …, as the log has it: escape it before showing
	Clients int    // how many addresses, the most of any one window
	threat.Detection
}

// Campaigns reads the rows of a rule about campaigns, as Detections does those of
// others. They are in order of their values.
func (r Rule) Campaigns(rows []map[string]string, in Span) ([]Campaign, []Rejected) {
	if r.Subject.Campaign == "" {
		return nil, nil
	}
	t := r.tally(rows, in)
	return r.campaigns(t, in), t.rejected.list()
}

func (r Rule) campaigns(t *tally, in Span) (all []Campaign) {
	if r.Subject.Campaign == "" {
		return nil
	}
	for subject, windows := range t.fired(in) {
		c := Campaign{Kind: r.Subject.Campaign, Value: subject.shared, Detection: r.detection(windows, t)}
		for _, w := range windows {
			c.Clients = max(c.Clients, int(min(t.hits[w].clients, maxThreshold)))
		}
		c.Clients = max(c.Clients, len(c.Evidence))
		all = append(all, c)
	}
	return all
}

// combineCampaigns joins the campaigns that one rule found in neighbouring spans.
func combineCampaigns(all []Campaign) []Campaign {
	slices.SortStableFunc(all, func(a, b Campaign) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value)) })
	joined := all[:0]
	for _, c := range all {
		if n := len(joined); n > 0 && joined[n-1].Kind == c.Kind && joined[n-1].Value == c.Value {
			last := &joined[n-1]
			last.Clients = max(last.Clients, c.Clients)
			last.Detection = join(last.Detection, c.Detection)
			continue
		}
		joined = append(joined, c)
	}
	return joined
}
