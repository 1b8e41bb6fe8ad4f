package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// How many addresses a domain's lists take, black and white together, by the edition's Level in
// DescribeInstances (DOC, product/627/47524: Premium 1,000, Enterprise 5,000, Ultimate 20,000). What the small editions and the
// exclusive one (6) take is not documented: they count as the smallest, until "entries" says otherwise.
var quotaByLevel = map[int]int{2: 1000, 3: 5000, 4: 20000}

const (
	smallestQuota = 1000
	quotaFor      = 24 * time.Hour // an edition is believed for so long
)

// quota returns how many addresses the domain's lists take: what the target says, or the edition. It asks the cloud once a day.
func (a *access) quota(ctx context.Context) (quota int, said []string, err error) {
	if a.target.Entries > 0 {
		return a.target.Entries, nil, nil
	}
	now := a.cfg.Now()
	if a.left.Quota > 0 && now.Sub(time.Unix(a.left.QuotaAt, 0)) < quotaFor {
		return a.left.Quota, nil, nil
	}
	instance, err := a.instance(ctx)
	switch {
	case errors.Is(err, waf.ErrDenied):
		return smallestQuota, []string{fmt.Sprintf(`how many addresses the %s takes cannot be seen (waf:DescribeInstances is denied): %d are assumed; grant it, or say "entries"`, a.title(), smallestQuota)}, nil
	case err != nil:
		return 0, nil, err
	case instance == nil:
		return smallestQuota, []string{fmt.Sprintf(`how many addresses the %s takes is not known (%s): %d are assumed; correct "instance_id" or "edition", or say "entries"`, a.title(), a.noInstance(), smallestQuota)}, nil
	}
	quota, known := quotaByLevel[instance.Level]
	if !known {
		quota = smallestQuota
		said = []string{fmt.Sprintf(`how many addresses level %d of WAF takes is not documented: %d are assumed; say "entries" if it is more`, instance.Level, quota)}
	}
	a.left.Quota, a.left.QuotaAt = quota, now.Unix()
	return quota, said, nil
}

// wafInstance is an instance as DescribeInstances returns it.
type wafInstance struct {
	InstanceID string `json:"InstanceId"`
	Edition    string `json:"Edition"`
	ValidTime  string `json:"ValidTime"`
	Level      int    `json:"Level"`
}

// maxInstancePages bounds a listing of instances or of domains, at 100 a page.
const maxInstancePages = 20

// instances lists the account's WAF instances.
func (a *access) instances(ctx context.Context) ([]wafInstance, error) {
	var all []wafInstance
	for n := range maxInstancePages {
		var out struct {
			Total     int
			Instances []wafInstance
		}
		if err := a.call(ctx, "waf", "DescribeInstances", map[string]any{"Offset": n * rulePage, "Limit": rulePage}, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Instances...)
		if len(out.Instances) == 0 || len(all) >= out.Total {
			break
		}
	}
	return all, nil
}

// instance returns the target's: the one that it names, or the only one of its edition. nil: there is none, or more than one.
func (a *access) instance(ctx context.Context) (*wafInstance, error) {
	all, err := a.instances(ctx)
	if err != nil {
		return nil, err
	}
	return a.pick(all), nil
}

func (a *access) pick(all []wafInstance) (found *wafInstance) {
	for i, one := range all {
		switch {
		case a.target.InstanceID != "" && one.InstanceID != a.target.InstanceID:
			continue
		case a.target.InstanceID == "" && !sameEdition(one.Edition, a.target.Edition):
			continue
		case found != nil:
			return nil
		}
		found = &all[i]
	}
	return found
}

func (a *access) noInstance() string {
	if a.target.InstanceID != "" {
		return fmt.Sprintf("there is no WAF instance %q in this account", a.target.InstanceID)
	}
	return fmt.Sprintf("there is not exactly one WAF instance of edition %q", a.target.Edition)
}

// sameEdition compares editions: DescribeInstances documents "clb" or "saas", everything else clb-waf or sparta-waf.
func sameEdition(a, b string) bool { return b == "" || editionOf(a) == editionOf(b) }

func editionOf(word string) string {
	switch word {
	case "clb":
		return EditionCLB
	case "saas":
		return EditionSaaS
	}
	return word
}
