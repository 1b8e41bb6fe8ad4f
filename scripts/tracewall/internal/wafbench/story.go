package wafbench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// story is the founding story's scheme, written as the story tells it and with the SDK
// as it comes: SCAN the keys in Redis, write each as 192.168.1.100/32, cut them into
// groups of 5,000, create or update an IP set for each group, read the Web ACL,
// keep its rules, put one generated rule for each set in the place of the generated ones.
// The first error ends the run, as it does there, and the next run begins anew.
//
// Its faults are its own and are kept: groups shift when a key comes or goes,
// updates come before the Web ACL knows of a new set, sets that are not needed any
// more stay, an empty Redis takes all rules away, a range or an IPv6 address
// makes the service refuse its group, and nothing keeps the calls under the quotas.
//
// It is favoured in three things. It sends the custom response bodies, which the
// user's own rules need, back; the story does not speak of them, and every update would be refused. Its
// rules begin at priority 1001, since one of the user's has the story's 101. And
// the reading of Redis, which is not what is compared, takes no time.
type story struct {
	client *wafv2.Client
	group  int // addresses in each
}

const (
	storySets     = "blacklist_ip_sets_"
	storyPriority = 1001
)

// newStory makes the story's program. With a clock, the SDK's waits between its
// attempts pass on that clock and not in reality. The story's groups are of 5,000: half a set.
func newStory(s *stage, clock *clock, group int) *story {
	return &story{group: group, client: wafv2.NewFromConfig(s.cfg, func(o *wafv2.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				if clock != nil {
					clock.backOff(attempt)
				}
				return 0, nil
			})
		})
	})}
}

func (*story) restart() error { return nil }

// scan returns the addresses in the order of Redis' SCAN: by the bits of each key's
// hash, from the lowest. A newcomer lands anywhere between the others.
func scan(want waf.Desired) []string {
	type key struct {
		at   uint64
		addr string
	}
	keys := make([]key, len(want.Wants))
	for i, w := range want.Wants {
		text := w.Prefix.String()
		if w.Prefix.IsSingleIP() {
			text = w.Prefix.Addr().String()
		}
		keys[i] = key{hash(text + "/32"), text + "/32"}
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.addr, b.addr)) })
	addrs := make([]string, len(keys))
	for i, k := range keys {
		addrs[i] = k.addr
	}
	return addrs
}

// hash is where SCAN meets an address: it counts through the buckets from the highest bit down.
func hash(addr string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("blacklist:ip:" + strings.TrimSuffix(addr, "/32")))
	return bits.Reverse64(h.Sum64())
}

func (s *story) sync(ctx context.Context, want waf.Desired) error {
	listed, err := s.client.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: types.ScopeRegional, Limit: aws.Int32(100)})
	if err != nil {
		return fmt.Errorf("list ip sets: %w", err)
	}
	known := map[string]types.IPSetSummary{}
	for _, set := range listed.IPSets {
		known[aws.ToString(set.Name)] = set
	}
	var arns []string
	for group := range slices.Chunk(scan(want), s.group) {
		name := fmt.Sprintf("%s%d", storySets, len(arns)+1)
		arn, err := s.put(ctx, known, name, group)
		if err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
		arns = append(arns, arn)
	}
	return s.rewrite(ctx, arns)
}

func (s *story) put(ctx context.Context, known map[string]types.IPSetSummary, name string, group []string) (arn string, err error) {
	set, there := known[name]
	if !there {
		out, err := s.client.CreateIPSet(ctx, &wafv2.CreateIPSetInput{
			Name: &name, Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: group,
		})
		if err != nil {
			return "", err
		}
		return aws.ToString(out.Summary.ARN), nil
	}
	got, err := s.client.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &name, Scope: types.ScopeRegional, Id: set.Id})
	if err != nil {
		return "", err
	}
	_, err = s.client.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{
		Name: &name, Scope: types.ScopeRegional, Id: set.Id, LockToken: got.LockToken, Addresses: group,
	})
	return aws.ToString(set.ARN), err
}

var errNoWebACL = errors.New("no such web acl")

// rewrite puts the generated rules into the Web ACL.
func (s *story) rewrite(ctx context.Context, arns []string) error {
	listed, err := s.client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: types.ScopeRegional})
	if err != nil {
		return fmt.Errorf("list web acls: %w", err)
	}
	i := slices.IndexFunc(listed.WebACLs, func(a types.WebACLSummary) bool { return aws.ToString(a.Name) == webACL })
	if i < 0 {
		return errNoWebACL
	}
	got, err := s.client.GetWebACL(ctx, &wafv2.GetWebACLInput{Name: aws.String(webACL), Scope: types.ScopeRegional, Id: listed.WebACLs[i].Id})
	if err != nil {
		return fmt.Errorf("get web acl: %w", err)
	}
	acl := got.WebACL
	rules := slices.DeleteFunc(acl.Rules, func(r types.Rule) bool { return strings.HasPrefix(aws.ToString(r.Name), storySets) })
	for i, arn := range arns {
		name := fmt.Sprintf("%s%d", storySets, i+1)
		rules = append(rules, types.Rule{
			Name: &name, Priority: storyPriority + int32(i), Action: &types.RuleAction{Block: &types.BlockAction{}},
			VisibilityConfig: &types.VisibilityConfig{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String(name + "_Metric")},
			Statement:        &types.Statement{IPSetReferenceStatement: &types.IPSetReferenceStatement{ARN: &arn}},
		})
	}
	_, err = s.client.UpdateWebACL(ctx, &wafv2.UpdateWebACLInput{
		Name: acl.Name, Id: acl.Id, Scope: types.ScopeRegional, LockToken: got.LockToken, DefaultAction: acl.DefaultAction,
		Description: acl.Description, Rules: rules, VisibilityConfig: acl.VisibilityConfig, CustomResponseBodies: acl.CustomResponseBodies,
	})
	if err != nil {
		return fmt.Errorf("update web acl: %w", err)
	}
	return nil
}

// clock is a time that passes only when somebody waits. Safe for concurrent use.
type clock struct {
	mu  sync.Mutex
	now time.Time
	rng *rand.Rand
}

func newClock(seed uint64) *clock {
	return &clock{now: beginning, rng: rand.New(rand.NewPCG(seed, 2))}
}

// Now returns the time.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.mu.Unlock()
}

// backOff waits as the SDK does by default before its attempt-th retry: up to
// 2^attempt seconds at random, at most 20.
func (c *clock) backOff(attempt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := min(time.Second<<min(attempt, 5), 20*time.Second)
	c.now = c.now.Add(time.Duration(c.rng.Float64() * float64(most)))
}
