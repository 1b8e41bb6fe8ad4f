package wafbench

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Million is a cold sync of 1,000,000 addresses in mode rule-group, by the function as
// it is deployed, with the quotas in force.
type Million struct {
	Addresses int     `json:"addresses"`
	Groups    int     `json:"groups"`
	Writes    int     `json:"writes"`
	Calls     int     `json:"calls"`
	Bytes     int64   `json:"bytes"`
	Throttled int     `json:"throttled"`
	Seconds   float64 `json:"seconds"`        // from the event to the answer
	Quotas    float64 `json:"quotas_seconds"` // what the pace and 50 ms a call alone take
	Peak      float64 `json:"peak_mb"`
	Warm      float64 `json:"warm_seconds"` // a run that changes nothing, after it
	WarmCalls int     `json:"warm_calls"`

	Failed []string `json:"failed,omitempty"`
}

const (
	millionPeak  = 512e6
	millionSlack = 1.1
	millionCalls = 3 // ListRuleGroups, and two pages of ListIPSets: one shows at most 100 sets
)

func (o Options) million(ctx context.Context) (*Million, error) {
	n, groups := 1_000_000, 3
	f, err := deploy(ctx, o.Root, map[string]any{
		"name": "edge", "region": region, "mode": awswaf.ModeRuleGroup, "groups": groups, "set_size": awswaf.MaxSetSize, "ip_set_quota": 200,
	}, waftest.AWSOptions{RateLimits: true, Latency: latency, MaxSets: 200})
	if err != nil {
		return nil, err
	}
	defer f.close()
	o.say("a million addresses: writing the list to %s", f.store.kind)
	if err := f.store.put(ctx, NewHistory(1, n), true); err != nil {
		return nil, err
	}
	fn, err := f.start(ctx, f.binary)
	if err != nil {
		return nil, err
	}
	defer fn.Close()
	pid, err := childOf(f.binary)
	if err != nil {
		return nil, err
	}
	o.say("a million addresses: the cold sync, about two minutes")
	f.aws.Forget()
	began := time.Now()
	if _, err := fn.Invoke(ctx, syncEvent); err != nil {
		return nil, err
	}
	m := &Million{Addresses: n, Groups: groups, Seconds: time.Since(began).Seconds()}
	c := costOf(f.aws.Calls())
	m.Writes, m.Calls, m.Bytes, m.Throttled, m.Quotas = c.writes, c.calls, c.bytes, c.throttled, c.seconds
	if m.Peak, err = resident(pid, "VmHWM"); err != nil {
		return nil, err
	}
	held := 0
	for _, size := range f.aws.Sets(region, awswaf.Regional) {
		held += size
	}
	if held < n {
		m.Failed = append(m.Failed, fmt.Sprintf("the sets hold %d addresses, want %d", held, n))
	}
	if err := pause(ctx, 2*awswaf.WriteEvery); err != nil {
		return nil, err
	}
	f.aws.Forget()
	began = time.Now()
	if _, err := fn.Invoke(ctx, syncEvent); err != nil {
		return nil, fmt.Errorf("a run that changes nothing: %w", err)
	}
	m.Warm, m.WarmCalls = time.Since(began).Seconds(), len(f.aws.Calls())
	if m.Seconds > millionSlack*m.Quotas {
		m.Failed = append(m.Failed, fmt.Sprintf("%.0f s, want at most the quotas' own %.0f s and a tenth", m.Seconds, m.Quotas))
	}
	if m.Peak*1e6 > millionPeak {
		m.Failed = append(m.Failed, fmt.Sprintf("%.0f MB resident at most, want less than %.0f", m.Peak, millionPeak/1e6))
	}
	if m.Throttled > 0 {
		m.Failed = append(m.Failed, fmt.Sprintf("%d calls were throttled, want 0", m.Throttled))
	}
	if m.WarmCalls > millionCalls {
		m.Failed = append(m.Failed, fmt.Sprintf("%d calls when nothing changed, want at most %d", m.WarmCalls, millionCalls))
	}
	return m, nil
}

func (m *Million) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s addresses in %d rule groups, cold, by the function as deployed, with the quotas in force:\n"+
		"  %d writes, %d calls, %s sent, %d throttled; %.1f s (≤ the quotas' own %.1f s + 10 %%); %.0f MB resident at most (< 512)\n"+
		"  and again, nothing changed: %d calls (≤ %d), %.1f s\n",
		thousands(m.Addresses), m.Groups, m.Writes, m.Calls, size(float64(m.Bytes)), m.Throttled, m.Seconds, m.Quotas, m.Peak, m.WarmCalls, millionCalls, m.Warm)
	verdict(w, m.Failed)
}
