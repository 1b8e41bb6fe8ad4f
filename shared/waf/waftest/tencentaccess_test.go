package waftest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// entry is CreateIpAccessControl's parameters.
func entry(now *clock, more fields, ips ...string) fields {
	return with(fields{"Domain": "global", "ActionType": 42, "IpList": ips, "ValidTS": now.at.Add(time.Hour).Unix(), "Note": "n"}, more)
}

// list returns the rule ids of a page, and the counts.
func (c *tcloud) list(more fields) (rules []float64, total, used float64) {
	c.t.Helper()
	out := c.must("waf", "DescribeIpAccessControl", with(fields{"Domain": "global", "Count": 1}, more))
	for i := range get[[]any](c.t, out, "Data", "Res") {
		rules = append(rules, get[float64](c.t, out, "Data", "Res", i, "RuleId"))
	}
	return rules, get[float64](c.t, out, "Data", "TotalCount"), get[float64](c.t, out, "UsedTotal")
}

func (c *tcloud) enter(in fields) float64 {
	c.t.Helper()
	return get[float64](c.t, c.must("waf", "CreateIpAccessControl", in), "RuleId")
}

func TestOneCallMakesOneEntryOfManyAddresses(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now})
	rule := c.enter(entry(now, nil, addresses(2, 100)...))
	rules, total, used := c.list(nil)
	if len(rules) != 1 || rules[0] != rule || total != 1 || used != 100 {
		t.Errorf("%v of %v, %v addresses", rules, total, used)
	}
	out := c.must("waf", "DescribeIpAccessControl", fields{"Domain": "global", "Count": 1, "RuleId": rule})
	if got := get[float64](t, out, "Data", "Res", 0, "ValidTs"); int64(got) != now.at.Add(time.Hour).Unix() {
		t.Errorf("ends at %v", got)
	}
	if got := get[[]any](t, out, "Data", "Res", 0, "IpList"); len(got) != 100 {
		t.Errorf("shows %d addresses", len(got))
	}
}

func TestAnEntryIsJudgedBeforeItIsMade(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessEntries: 10, Refuse: prefixes("198.18.0.0/15")})
	c.SeedDomain("shop.example.com", "", true)
	c.enter(entry(now, nil, "192.0.2.1"))
	job := func(kind string, timed ...fields) fields {
		return fields{"JobType": kind, "JobDateTime": fields{"Timed": timed, "TimeTZone": "UTC+8"}}
	}
	const full = "FailedOperation.TheNumberOfAddedBlackAndWhiteListExceedsTheUpperLimit"
	for name, try := range map[string]struct {
		want string
		in   fields
	}{
		"no domain":               {"MissingParameter", entry(now, fields{"Domain": nil}, "192.0.2.2")},
		"no addresses":            {"MissingParameter", entry(now, nil)},
		"no action":               {"MissingParameter", entry(now, fields{"ActionType": nil}, "192.0.2.2")},
		"no end":                  {"MissingParameter", entry(now, fields{"ValidTS": nil}, "192.0.2.2")},
		"a domain that is none":   {"UnsupportedOperation", entry(now, fields{"Domain": "www.example.com"}, "192.0.2.2")},
		"another instance":        {"UnsupportedOperation", entry(now, fields{"InstanceId": "waf_other"}, "192.0.2.2")},
		"another one's domain":    {"UnsupportedOperation", entry(now, fields{"Domain": "shop.example.com", "InstanceId": "waf_other"}, "192.0.2.2")},
		"the other edition":       {"UnsupportedOperation", entry(now, fields{"Edition": "clb-waf"}, "192.0.2.2")},
		"an edition that is none": {"InvalidParameterValue", entry(now, fields{"Edition": "waf"}, "192.0.2.2")},
		"an action that is none":  {"InvalidParameterValue", entry(now, fields{"ActionType": 41}, "192.0.2.2")},
		"a source that is none":   {"InvalidParameterValue", entry(now, fields{"SourceType": "tracewall"}, "192.0.2.2")},
		"a long note":             {"InvalidParameterValue", entry(now, fields{"Note": strings.Repeat("é", 51)}, "192.0.2.2")},
		"an end in the past":      {"InvalidParameterValue", entry(now, fields{"ValidTS": now.at.Unix()}, "192.0.2.2")},
		"an end at zero":          {"InvalidParameterValue", entry(now, fields{"ValidTS": 0}, "192.0.2.2")},
		"a job in the past":       {"InvalidParameterValue", entry(now, job("TimedJob", fields{"StartDateTime": 0, "EndDateTime": now.at.Unix()}), "192.0.2.2")},
		"times without a kind":    {"InvalidParameterValue", entry(now, with(job("TimedJob", fields{"StartDateTime": 0, "EndDateTime": 0}), fields{"JobType": nil}), "192.0.2.2")},
		"a kind without times":    {"InvalidParameterValue", entry(now, fields{"JobType": "TimedJob"}, "192.0.2.2")},
		"times for a CronJob":     {"InvalidParameterValue", entry(now, job("CronJob", fields{"StartDateTime": 0, "EndDateTime": 0}), "192.0.2.2")},
		"twenty-one times":        {"LimitExceeded", entry(now, job("TimedJob", make([]fields, 21)...), "192.0.2.2")},
		"a job that is none":      {"InvalidParameterValue", entry(now, job("Job", fields{"StartDateTime": 0, "EndDateTime": 0}), "192.0.2.2")},
		"a timed job, no times":   {"InvalidParameterValue", entry(now, job("TimedJob"), "192.0.2.2")},
		"a milliseconds' name":    {"UnknownParameter", entry(now, fields{"ValidTs": 1}, "192.0.2.2")},
		"a rule id":               {"UnknownParameter", entry(now, fields{"RuleId": 1}, "192.0.2.2")},
		"host bits":               {"InvalidParameterValue", entry(now, nil, "192.0.2.2/24")},
		"everybody":               {"InvalidParameterValue", entry(now, nil, "0.0.0.0/0")},
		"a range":                 {"InvalidParameterValue", entry(now, nil, "192.0.2.2-192.0.2.9")},
		"twice":                   {"InvalidParameterValue", entry(now, nil, "192.0.2.2", "192.0.2.2/32")},
		"there already":           {"UnsupportedOperation", entry(now, nil, "192.0.2.2", "192.0.2.1")},
		"what it will not take":   {"UnsupportedOperation", entry(now, nil, "192.0.2.2", "198.18.0.1")},
		"one hundred and one":     {"LimitExceeded.SpecificationErr", entry(now, nil, addresses(3, 101)...)},
		"more than there is room": {full, entry(now, nil, addresses(3, 10)...)},
		"whites count too":        {full, entry(now, fields{"ActionType": 40}, addresses(3, 10)...)},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.want(try.want, "waf", "CreateIpAccessControl", try.in)
		})
	}
	c.t = t
	if _, total, used := c.list(nil); total != 1 || used != 1 {
		t.Errorf("%v entries of %v addresses", total, used)
	}
	c.enter(entry(now, nil, addresses(3, 9)...))
	c.enter(entry(now, fields{"Domain": "shop.example.com"}, addresses(3, 9)...)) // a list of its own
}

func TestEntriesAreChangedWhole(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessEntries: 10})
	rule := c.enter(entry(now, nil, addresses(2, 10)...))
	other := func(want string, more fields, ips ...string) {
		t.Helper()
		c.want(want, "waf", "ModifyIpAccessControl", entry(now, with(fields{"RuleId": rule}, more), ips...))
	}
	other("", fields{"Note": "m", "ValidTS": now.at.Add(2 * time.Hour).Unix()}, addresses(2, 9)...) // its own do not count twice
	same(t, "changed", c.Access("global"), []waftest.TencentEntry{
		{Rule: uint64(rule), Domain: "global", Action: 42, Addresses: addresses(2, 9), Note: "m", Until: now.at.Add(2 * time.Hour).Unix()},
	})
	other("MissingParameter", nil)
	other("MissingParameter", fields{"RuleId": nil}, "192.0.2.1")
	other("ResourceNotFound", fields{"RuleId": rule + 1}, "192.0.2.1")
	other("ResourceNotFound", fields{"Domain": "shop.example.com"}, "192.0.2.1")
	other("FailedOperation.TheNumberOfAddedBlackAndWhiteListExceedsTheUpperLimit", nil, addresses(3, 11)...)
	if got := c.Access("global"); len(got) != 1 || len(got[0].Addresses) != 9 {
		t.Errorf("a refused change left %v", got)
	}
}

func TestEntriesAreDeletedByRule(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessDeletes: 3})
	var rules []float64
	for i := range 4 {
		rules = append(rules, c.enter(entry(now, nil, fmt.Sprintf("192.0.2.%d", i))))
	}
	batch := c.enter(entry(now, fields{"SourceType": "batch"}, "192.0.3.1"))
	del := func(want string, in fields) fields {
		t.Helper()
		out, code := c.call("waf", "DeleteIpAccessControlV2", with(fields{"Domain": "global"}, in))
		if code != want {
			t.Errorf("%v: %q, want %q", in, code, want)
		}
		return out
	}
	del("MissingParameter", fields{"Domain": nil, "RuleIds": rules[:1]})
	del("InvalidParameter", nil)
	del("InvalidParameter", fields{"DeleteAll": true})
	del("FailedOperation.TheNumberOfOneTimeDeletionsReachedTheUpperLimit", fields{"RuleIds": rules})
	del("ResourceNotFound", fields{"RuleIds": []int{1}})
	del("ResourceNotFound", fields{"RuleIds": []float64{batch}}) // of another source
	if out := del("", fields{"RuleIds": []float64{rules[0], 1, rules[1]}}); get[float64](t, out, "FailedCount") != 1 {
		t.Errorf("answer %v", out)
	}
	if left, _, _ := c.list(nil); len(left) != 3 {
		t.Errorf("left %v", left)
	}
	del("", fields{"DeleteAll": true, "ActionType": 42})
	if left, _, _ := c.list(nil); len(left) != 1 || left[0] != batch {
		t.Errorf("all but %v: left %v", batch, left)
	}
}

func TestEntriesEndByTheHandedInClock(t *testing.T) {
	for _, gone := range []bool{false, true} {
		now := newClock()
		c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessEndedGo: gone})
		job := fields{"JobType": "TimedJob", "JobDateTime": fields{"Timed": []fields{{"StartDateTime": now.at.Unix() - 60, "EndDateTime": now.at.Add(2 * time.Minute).Unix()}}, "TimeTZone": "UTC+8"}}
		ever := fields{"ValidTS": nil, "JobType": "TimedJob", "JobDateTime": fields{"Timed": []fields{{"StartDateTime": 0, "EndDateTime": 0}}}}
		c.enter(entry(now, fields{"ValidTS": now.at.Add(time.Minute).Unix()}, "192.0.2.1"))
		c.enter(entry(now, job, "192.0.2.2"))
		c.enter(entry(now, ever, "192.0.2.3"))
		same(t, "at first", c.EnforcedAccess("global"), prefixes("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"))
		now.advance(time.Minute)
		same(t, "after a minute", c.EnforcedAccess("global"), prefixes("192.0.2.2/32", "192.0.2.3/32"))
		now.advance(time.Minute)
		same(t, "after two", c.EnforcedAccess("global"), prefixes("192.0.2.3/32"))
		_, total, used := c.list(nil)
		inForce, _, _ := c.list(fields{"ValidStatus": 1})
		ended, _, _ := c.list(fields{"ValidStatus": 2})
		if want := map[bool]float64{false: 3, true: 1}[gone]; total != want || used != want || len(inForce) != 1 || len(ended) != int(want)-1 {
			t.Errorf("gone %t: %v entries of %v addresses, %d in force, %d ended", gone, total, used, len(inForce), len(ended))
		}
	}
}

func TestEntriesAreListedTheLastChangedFirst(t *testing.T) {
	now := newClock()
	for name, opts := range map[string]waftest.TencentOptions{"by entries": {}, "by pages": {AccessOffsetPages: true}} {
		t.Run(name, func(t *testing.T) {
			opts.Now = now.now
			opts.AccessPage = 2
			c := newTencent(t, opts)
			step := 2
			if opts.AccessOffsetPages {
				step = 1
			}
			var rules []float64
			for i := range 5 {
				rules = append(rules, c.enter(entry(now, fields{"ActionType": 40 + 2*(i%2)}, fmt.Sprintf("192.0.2.%d", i))))
				now.advance(time.Second)
			}
			c.must("waf", "ModifyIpAccessControl", entry(now, fields{"RuleId": rules[1]}, "192.0.2.1", "192.0.2.9"))
			want := []float64{rules[1], rules[4], rules[3], rules[2], rules[0]}
			var got []float64
			for page := range 4 {
				some, total, used := c.list(fields{"OffSet": page * step, "Limit": 2})
				got = append(got, some...)
				if total != 5 || used != 6 {
					t.Errorf("total %v, used %v", total, used)
				}
			}
			same(t, "in order", got, want)
			got, _, _ = c.list(fields{"Limit": 2, "Sort": "ts_version:1"})
			same(t, "the other way around", got, []float64{rules[0], rules[2]})
			got, total, used := c.list(fields{"Limit": 2, "ActionType": 42})
			same(t, "black", got, []float64{rules[1], rules[3]})
			if total != 2 || used != 6 {
				t.Errorf("black: total %v, used %v", total, used)
			}
			got, _, _ = c.list(fields{"Limit": 2, "Ip": "192.0.2.9"})
			same(t, "by address", got, []float64{rules[1]})
			c.want("InvalidParameterValue", "waf", "DescribeIpAccessControl", fields{"Domain": "global", "Count": 1, "Limit": 3})
			c.want("MissingParameter", "waf", "DescribeIpAccessControl", fields{"Domain": "global"})
			c.want("ResourceNotFound", "waf", "DescribeIpAccessControl", fields{"Domain": "www.example.com", "Count": 1})
			if !opts.AccessOffsetPages {
				c.want("InvalidParameterValue", "waf", "DescribeIpAccessControl", fields{"Domain": "global", "Count": 1, "Limit": 2, "OffSet": 1})
			}
		})
	}
}

func TestEntriesAreReadBackInOtherForms(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, Form: waftest.TencentForms["expanded"]})
	c.enter(entry(now, nil, "2001:db8::/32"))
	out := c.must("waf", "DescribeIpAccessControl", fields{"Domain": "global", "Count": 1})
	if got := get[string](t, out, "Data", "Res", 0, "IpList", 0); got != "2001:0DB8:0000:0000:0000:0000:0000:0000/32" {
		t.Errorf("reads back as %q", got)
	}
	same(t, "in force", c.EnforcedAccess("global"), prefixes("2001:db8::/32"))
}

func TestAnAddressMayBeThereTwiceWhereTheOptionSaysSo(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessRepeats: true})
	c.enter(entry(now, nil, "192.0.2.1"))
	c.enter(entry(now, nil, "192.0.2.1"))
	if _, total, used := c.list(nil); total != 2 || used != 2 {
		t.Errorf("%v entries of %v addresses", total, used)
	}
}

func TestInstancesTellEditionAndQuota(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now, AccessBatch: 6000})
	c.SeedInstance("waf_small", "clb-waf", 2)
	c.SeedInstance("waf_big", "sparta-waf", 3)
	c.SeedDomain("shop.example.com", "waf_small", true)
	c.SeedDomain("www.example.com", "waf_big", false)
	out := c.must("waf", "DescribeInstances", fields{"Filters": []fields{{"Name": "Edition", "Values": []string{"clb-waf"}, "ExactMatch": true}}})
	if get[float64](t, out, "Total") != 1 || get[string](t, out, "Instances", 0, "InstanceId") != "waf_small" || get[float64](t, out, "Instances", 0, "Level") != 2 {
		t.Errorf("instances %v", out)
	}
	out = c.must("waf", "DescribeDomains", fields{"Offset": 1, "Limit": 10})
	if get[float64](t, out, "Total") != 2 || get[string](t, out, "Domains", 0, "Domain") != "www.example.com" || get[float64](t, out, "Domains", 0, "Status") != 0 {
		t.Errorf("domains %v", out)
	}
	c.want("InvalidParameter", "waf", "DescribeDomains", fields{"Filters": []fields{{"Name": "name", "Values": []string{"a"}}}})
	many := make([]string, 5001)
	for i := range many {
		many[i] = fmt.Sprintf("198.18.%d.%d", i/256, i%256)
	}
	const full = "FailedOperation.TheNumberOfAddedBlackAndWhiteListExceedsTheUpperLimit"
	c.want(full, "waf", "CreateIpAccessControl", entry(now, fields{"Domain": "shop.example.com"}, many[:1001]...))
	c.want(full, "waf", "CreateIpAccessControl", entry(now, fields{"Domain": "www.example.com"}, many...))
	c.enter(entry(now, fields{"Domain": "shop.example.com", "InstanceId": "waf_small", "Edition": "clb-waf"}, many[:1000]...))
	c.want("UnsupportedOperation", "waf", "CreateIpAccessControl", entry(now, fields{"Domain": "shop.example.com", "InstanceId": "waf_big"}, "192.0.2.2"))
	c.enter(entry(now, fields{"Domain": "www.example.com"}, many[:5000]...))
	c.SeedInstance("", "", 0)
	c.enter(entry(now, nil, "192.0.2.1"))
}
