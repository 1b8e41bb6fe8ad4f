package aliwaf_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
)

func TestTargetsAreReadWithTheirDefaults(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want aliwaf.Target
	}{
		"the least that is needed": {
			`[{"name":"shop","region":"cn-hangzhou"}]`,
			aliwaf.Target{Name: "shop", Region: "cn-hangzhou", Mode: "auto", Action: "block", Batch: 200, SetSize: 200, Templates: 1, Drift: "repair", MaxRelease: 10, MaxAdd: 100},
		},
		"a book": {
			`[{"name":"shop","region":"ap-southeast-1","instance_id":"waf_v3-x","mode":"address-book","action":"monitor","objects":["shop.example.com-waf","店铺-waf"],
			   "batch":500,"entries":20000,"sync":"observe","drift":"report","max_release":5,"max_add":50}]`,
			aliwaf.Target{
				Name: "shop", Region: "ap-southeast-1", InstanceID: "waf_v3-x", Mode: "address-book", Action: "monitor", Objects: []string{"shop.example.com-waf", "店铺-waf"},
				Batch: 500, Entries: 20000, Sync: "observe", Drift: "report", MaxRelease: 5, MaxAdd: 50,
			},
		},
		"a blacklist": {
			`[{"name":"shop","region":"cn-hangzhou","mode":"ip-blacklist","set_size":100,"templates":20}]`,
			aliwaf.Target{Name: "shop", Region: "cn-hangzhou", Mode: "ip-blacklist", Action: "block", SetSize: 100, Templates: 20, Drift: "repair", MaxRelease: 10, MaxAdd: 100},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := aliwaf.ParseTargets(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]aliwaf.Target{tt.want}, got); diff != "" {
				t.Error(diff)
			}
			if _, err := aliwaf.New((&cloud{url: "http://127.0.0.1:1"}).config(), got[0]); err != nil {
				t.Errorf("New refuses what ParseTargets gives: %v", err)
			}
		})
	}
}

func TestEveryProblemOfEveryTargetIsNamedAtOnce(t *testing.T) {
	for text, want := range map[string][]string{
		`[]`:   {"at least one target"},
		`[{}]`: {"name is missing", "region is missing"},
		`[{"name":"shop","region":"cn-hangzhou","colour":"red","name":"shop"}]`: {`key "colour"`, `key "name": want it only once`},
		`[{"name":"Shop","region":"eu-west-1","mode":"fast","action":"drop","batch":501,"drift":1,"sync":"never","max_release":0,"max_add":1.5,"instance_id":"a b"}]`: {
			`name "Shop"`, `region "eu-west-1"`, `mode "fast"`, `action "drop"`, `batch "501"`, `drift "1"`, `sync "never"`, `max_release "0"`, `max_add "1.5"`, `instance_id "a b"`,
		},
		`[{"name":"a","region":"cn-hangzhou"},{"name":"a","region":"cn-hangzhou"}]`:                                        {"a name that target 1 does not have"},
		`[{"name":"a","region":"cn-hangzhou","objects":[]}]`:                                                               {"leave it out to protect all"},
		`[{"name":"a","region":"cn-hangzhou","objects":["x","x",7,"a b",""]}]`:                                             {"objects[1]", "objects[2]", "objects[3]", "objects[4]"},
		`[{"name":"a","region":"cn-hangzhou","mode":"address-book","set_size":9,"templates":2,"books":3}]`:                 {"set_size", "templates", "books"},
		`[{"name":"a","region":"cn-hangzhou","mode":"ip-blacklist","batch":9,"entries":7}]`:                                {"batch", "entries"},
		`[{"name":"a","region":"cn-hangzhou","mode":"cloud-firewall","objects":["x"],"instance_id":"waf-1","entries":10}]`: {"objects", "instance_id", "entries"},
		`[{"name":"a","region":"cn-hangzhou","batch":null}]`:                                                               {`batch "null"`},
	} {
		got, err := aliwaf.ParseTargets(text)
		if err == nil || got != nil {
			t.Errorf("%s is taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error does not say %s:\n%v", text, w, err)
			}
		}
		if lines := strings.Count(err.Error(), "\n") + 1; strings.HasPrefix(text, `[{"name"`) && lines != len(want) {
			t.Errorf("%s: %d problems, want %d:\n%v", text, lines, len(want), err)
		}
	}
}

// A Target that was made in code is judged like one that was read: every field that is set counts.
func TestEveryFieldOfATargetIsChecked(t *testing.T) {
	good := aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}
	cfg := (&cloud{url: "http://127.0.0.1:1"}).config()
	if _, err := aliwaf.New(cfg, good); err != nil {
		t.Fatal(err)
	}
	for i := range reflect.TypeFor[aliwaf.Target]().NumField() {
		bad := good
		field := reflect.ValueOf(&bad).Elem().Field(i)
		switch field.Kind() {
		case reflect.String:
			field.SetString("no such thing!")
		case reflect.Int:
			field.SetInt(-1)
		case reflect.Bool:
			field.SetBool(true) // what goes with another mode only
		default:
			field.Set(reflect.ValueOf([]string{"not an object"}))
		}
		if _, err := aliwaf.New(cfg, bad); err == nil {
			t.Errorf("field %s is not checked", reflect.TypeFor[aliwaf.Target]().Field(i).Name)
		}
	}
}

func TestATargetSaysItsLimitsAndPolicy(t *testing.T) {
	target := aliwaf.Target{Name: "shop", SetSize: 100, Drift: aliwaf.DriftReport, Sync: aliwaf.SyncObserve, MaxRelease: 5, MaxAdd: 7}
	if got, want := target.Policy(), (waf.Policy{MaxRelease: 5, MaxAdd: 7, ReportDrift: true, Observe: true}); got != want {
		t.Errorf("policy %+v, want %+v", got, want)
	}
	for want, targets := range map[bool][]aliwaf.Target{
		true: {
			{Action: aliwaf.ActionMonitor},
			{Action: aliwaf.ActionMonitor, Mode: aliwaf.ModeIPBlacklist},
			{Action: aliwaf.ActionMonitor, Mode: aliwaf.ModeCloudFirewall, Manage: true},
		},
		false: {{}, {Action: aliwaf.ActionBlock}, {Action: aliwaf.ActionMonitor, Mode: aliwaf.ModeCloudFirewall}},
	} {
		for _, target := range targets {
			if got := target.Policy().Challenges; got != want {
				t.Errorf("action %q, mode %q, manage %v: takes what is to be challenged: %v, want %v", target.Action, target.Mode, target.Manage, got, want)
			}
		}
	}
	if got := target.Limits(); got.SetSize != 100 || got.Base != "tracewall-shop" {
		t.Errorf("limits %+v", got)
	}
}

// What the documentation says of targets is taken by ParseTargets, key by key.
func TestTheDocumentedTargetsAreTaken(t *testing.T) {
	source, err := os.ReadFile("targets.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(source)) {
		example, ok := strings.CutPrefix(strings.TrimSpace(line), "//\t\"")
		if !ok {
			continue
		}
		example, _, _ = strings.Cut("\""+example, "  ")
		text := fmt.Sprintf(`[{"name":"shop","region":"cn-hangzhou",%s}]`, strings.TrimSpace(example))
		if _, err := aliwaf.ParseTargets(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		n++
	}
	if n < 8 {
		t.Errorf("only %d examples found", n)
	}
}

func ExampleParseTargets() {
	targets, err := aliwaf.ParseTargets(`[{"name":"shop","region":"cn-hangzhou","objects":["shop.example.com-waf"]}]`)
	fmt.Println(targets[0].Mode, targets[0].Action, targets[0].Objects, err)
	_, err = aliwaf.ParseTargets(`[{"name":"shop","region":"hangzhou","actoin":"block"}]`)
	fmt.Println(err)
	// Output:
	// auto block [shop.example.com-waf] <nil>
	// targets: target 1: key "actoin": want one of name, region, instance_id, mode, action, objects, batch, entries, set_size, templates, books, manage, order, sync, drift, max_release, max_add
	// targets: target 1: region "hangzhou": want cn-hangzhou (an instance in the Chinese mainland) or ap-southeast-1 (one outside of it)
}
