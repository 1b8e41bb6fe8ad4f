package tencentfw_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

func TestParseTargets(t *testing.T) {
	got, err := tencentfw.ParseTargets(`[
		{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n","sg-12345678"],"load_balancers":["lb-6vqcnxmx"]},
		{"name":"all","region":"ap-shanghai-fsi","mode":"security-group","security_groups":["sg-abcdefgh"],"set_size":50,"aggregate":128,"sync":"observe","drift":"report","max_release":1,"max_add":1000},
		{"name":"none","region":"eu-frankfurt","mode":"security-group","security_groups":["sg-00000000"],"aggregate":0},
		{"name":"site","region":"ap-guangzhou","mode":"waf","edition":"clb-waf"},
		{"name":"shop","region":"ap-singapore","mode":"waf","edition":"sparta-waf","domain":"*.shop.example.com","instance_id":"waf_2kxtlbky11b2v4fe","entries":5000,"sync":"enforce"}]`)
	if err != nil {
		t.Fatal(err)
	}
	guarded := func(t tencentfw.Target) tencentfw.Target {
		t.Drift, t.MaxRelease, t.MaxAdd = tencentfw.DriftRepair, waf.DefaultMaxRelease, waf.DefaultMaxAdd
		return t
	}
	want := []tencentfw.Target{
		guarded(tencentfw.Target{Name: "edge", Region: "ap-guangzhou", Mode: "security-group", SecurityGroups: []string{"sg-33ocnj9n", "sg-12345678"}, LoadBalancers: []string{"lb-6vqcnxmx"}, SetSize: 20}),
		{Name: "all", Region: "ap-shanghai-fsi", Mode: "security-group", SecurityGroups: []string{"sg-abcdefgh"}, SetSize: 50, Aggregate: 128, Sync: "observe", Drift: "report", MaxRelease: 1, MaxAdd: 1000},
		guarded(tencentfw.Target{Name: "none", Region: "eu-frankfurt", Mode: "security-group", SecurityGroups: []string{"sg-00000000"}, SetSize: 20}),
		guarded(tencentfw.Target{Name: "site", Region: "ap-guangzhou", Mode: "waf", Edition: "clb-waf", Domain: "global"}),
		guarded(tencentfw.Target{Name: "shop", Region: "ap-singapore", Mode: "waf", Edition: "sparta-waf", Domain: "*.shop.example.com", InstanceID: "waf_2kxtlbky11b2v4fe", Entries: 5000, Sync: "enforce"}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, target := range got { // a Target made in code is judged alike
		if _, err := tencentfw.New(configOf(nil), target); err != nil {
			t.Errorf("%s: %v", target.Name, err)
		}
	}
	if p := got[1].Policy(); !p.Observe || !p.ReportDrift || p.MaxRelease != 1 || p.MaxAdd != 1000 || p.Challenges {
		t.Errorf("policy %+v", p)
	}
	if l := got[1].Limits(); l.SetSize != 50 || l.Dense != 128 || l.Base != "tracewall-all" {
		t.Errorf("limits %+v", l)
	}
}

func TestParseTargetsNamesEveryProblemAtOnce(t *testing.T) {
	_, err := tencentfw.ParseTargets(`[
		{"name":"Edge","region":"Guangzhou","mode":"firewall"},
		{"region":"ap-guangzhou"},
		{"name":"a","region":"ap-guangzhou","mode":"security-group","domain":"global","edition":"x","entries":1,"instance_id":"x"},
		{"name":"a","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n","sg-33ocnj9n","SG-1",7],"load_balancers":"lb-6vqcnxmx","set_size":0,"aggregate":63},
		{"name":"b","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"],"aggregate":257,"max_release":101,"max_add":-1,"sync":"on","drift":1,"set_size":2.5},
		{"name":"c","region":"ap-guangzhou","mode":"waf","security_groups":[],"load_balancers":[],"set_size":20,"aggregate":64,"domain":"not a domain"},
		{"name":"d","region":"ap-guangzhou","mode":"waf","edition":"clb-waf","entries":0,"colour":"red","name":"e"},
		{"name":"f","region":"ap-guangzhou","mode":"waf","edition":"clb-waf"},
		{"name":"g","region":"ap-guangzhou","mode":"waf","edition":"clb-waf","domain":"global"},
		{"name":"` + strings.Repeat("x", 24) + `","region":"ap-guangzhou","mode":"security-group","security_groups":[]},
		7]`)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`target 1: name "Edge"`, `target 1: region "Guangzhou"`, `target 1: mode "firewall"`,
		`target 2: name is missing`, `target 2: mode is missing`,
		`target 3: domain`, `target 3: edition`, `target 3: entries`, `target 3: instance_id`, `target 3: security_groups is missing`,
		`target 4: name "a": want a name that target 3 does not have`, `target 4: security_groups[1] "sg-33ocnj9n": want each id only once`, `target 4: security_groups[2] "SG-1"`, `target 4: security_groups[3] "7"`,
		`target 4: load_balancers`, `target 4: set_size "0"`, `target 4: aggregate "63"`,
		`target 5: security_groups[0] "sg-33ocnj9n": want a security group that target 4 does not have`, `target 5: aggregate "257"`, `target 5: max_release "101"`, `target 5: max_add "-1"`, `target 5: sync "on"`, `target 5: drift "1"`, `target 5: set_size "2.5"`,
		`target 6: security_groups`, `target 6: load_balancers`, `target 6: set_size`, `target 6: aggregate`, `target 6: domain "not a domain"`, `target 6: edition is missing`,
		`target 7: entries "0"`, `target 7: key "colour"`, `target 7: key "name": want it only once`,
		`target 9: domain "global": want a domain that target 7 does not have`,
		`target 10: name`, `target 10: security_groups "[]"`,
		`target 11: object "7"`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in:\n%v", want, err)
		}
	}
}

// A field that is not written out would be judged as if it were not there.
func TestEveryFieldOfATargetIsJudged(t *testing.T) {
	base := map[string]tencentfw.Target{
		"security-group": {Name: "a", Region: guangzhou, Mode: tencentfw.ModeSecurityGroup, SecurityGroups: []string{"sg-33ocnj9n"}},
		"waf":            {Name: "a", Region: guangzhou, Mode: tencentfw.ModeWAF, Edition: tencentfw.EditionCLB},
	}
	for mode, target := range base {
		v := reflect.ValueOf(&target).Elem()
		for i := range v.NumField() {
			changed := target
			f := reflect.ValueOf(&changed).Elem().Field(i)
			switch f.Kind() {
			case reflect.String:
				f.SetString("!?")
			case reflect.Int:
				f.SetInt(-7)
			case reflect.Slice:
				f.Set(reflect.ValueOf([]string{"!?"}))
			default:
				t.Fatalf("field %s is of a kind that this test does not know", v.Type().Field(i).Name)
			}
			if _, err := tencentfw.New(configOf(nil), changed); err == nil {
				t.Errorf("mode %s: %s is not judged", mode, v.Type().Field(i).Name)
			}
		}
	}
}

func FuzzParseTargets(f *testing.F) {
	f.Add(`[{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"]}]`)
	f.Add(`[{"name":"site","region":"ap-guangzhou","mode":"waf","edition":"clb-waf","domain":"global"}]`)
	f.Fuzz(func(t *testing.T, text string) {
		targets, err := tencentfw.ParseTargets(text)
		if err != nil {
			return
		}
		for _, target := range targets {
			if _, err := tencentfw.New(configOf(nil), target); err != nil {
				out, _ := json.Marshal(target)
				t.Errorf("%s: accepted as text and refused in code: %v", out, err)
			}
		}
	})
}
