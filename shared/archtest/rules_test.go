package archtest

import (
	"path"
	"slices"
	"strings"
)

// A layer says what the packages in Dir may import beside the standard library.
// Names are import paths; those of this module are written from its root, and a
// trailing /... takes everything below too. Every package must be in exactly one.
type layer struct {
	Dir    string // may hold * as in path.Match
	May    []string
	Reason string
}

// What several layers share.
var (
	redisSDK   = []string{"github.com/redis/go-redis/v9/..."}
	awsSDK     = []string{"github.com/aws/aws-sdk-go-v2/...", "github.com/aws/smithy-go/..."}
	awsRuntime = []string{"github.com/aws/aws-lambda-go/..."}
	slsSDK     = []string{"github.com/aliyun/aliyun-log-go-sdk/..."}
	fcRuntime  = []string{"github.com/aliyun/fc-runtime-go-sdk/..."}
	fcSDK      = []string{"github.com/alibabacloud-go/darabonba-openapi/v2/...", "github.com/alibabacloud-go/tea/..."}
	tencentSDK = []string{"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/..."}
	pacing     = []string{"golang.org/x/time/rate"}
	duckDB     = []string{"github.com/duckdb/duckdb-go/...", "github.com/duckdb/duckdb-go-bindings/..."}

	// Pure computation: values in, values out, no network and no files.
	pureLibs = []string{"go4.org/netipx", "github.com/goccy/go-yaml/...", "github.com/santhosh-tekuri/jsonschema/v6"}

	// What any _test.go file may use on top of its layer.
	testLibs = []string{
		"github.com/google/go-cmp/...", "pgregory.net/rapid", "go.uber.org/goleak",
		"github.com/alicebob/miniredis/v2", "github.com/rogpeppe/go-internal/testscript",
		"github.com/goccy/go-yaml/...", "github.com/santhosh-tekuri/jsonschema/v6",
		"github.com/redis/go-redis/v9", "github.com/pierrec/lz4/v4", "github.com/gogo/protobuf/proto",
	}
)

var layers = []layer{
	{
		"shared/threat", nil,
		"everything speaks this vocabulary, so it depends on nothing",
	},

	{"shared/secret", nil, "support knows no domain"},
	{"shared/telemetry", nil, "support knows no domain"},
	{"shared/endpoint", nil, "support knows no domain and no cloud: what an answer means is for the clients to say"},
	{"shared/settings", own("secret"), "support knows no domain: what is allowed is for its callers to say"},

	{
		"shared/allowlist", join(own("threat"), pureLibs),
		"who is never blocked is decided by values, whatever store they come from",
	},
	{
		"shared/enrich", own("threat"),
		"what is known of an address is the same for everybody; sources are handed in",
	},
	{
		"shared/blocklist", own("threat"),
		"the list's meaning must not depend on where it is kept",
	},
	{
		"shared/detect", join(own("threat", "allowlist", "blocklist", "webattack", "enrich/threatintel", "enrich"), pureLibs),
		"the thinking of the detect function: it runs on any log engine and any store that its small interfaces describe",
	},
	{
		"shared/enrich/threatintel", join(own("threat"), pureLibs),
		"what feeds say is read and looked up alike, wherever it comes from",
	},
	{
		"shared/enrich/threatintel/formats", join(own("enrich/threatintel"), []string{"go4.org/netipx", "github.com/TcM1911/stix2"}),
		"bytes in, entries out; apart from the rest, since STIX's library is megabytes that only the function that reads it shall carry",
	},
	{
		"shared/enrich/threatintel/feeds", own("endpoint", "secret", "threat", "enrich/threatintel", "enrich/threatintel/formats"),
		"one adapter over HTTP; what it fetched is read and judged by others",
	},
	{
		"shared/enrich/threatintel/intelstore", join(own("allowlist", "blocklist/redisstore", "enrich/threatintel"), redisSDK),
		"one adapter, its domain and one SDK; redisstore makes the client, since it is the same Redis",
	},
	{
		"shared/webattack",
		[]string{"github.com/corazawaf/libinjection-go"},
		"what a text looks like is said by the text alone: it knows neither rules nor logs nor whom to block",
	},
	{
		"shared/waf", join(own("threat"), pureLibs),
		"a plan is the same for every cloud's firewall",
	},
	{
		"shared/waf/proposal", nil,
		"what a person may paste is made of text alone: it calls no cloud and knows no campaign but the values it is given",
	},
	{
		"shared/enforce", join(own("threat", "allowlist", "blocklist", "waf"), []string{"go4.org/netipx"}),
		"from the list to any wall, for the functions and the operator alike; clouds and stores are handed in",
	},
	{
		"shared/syncrun", own("blocklist/redisstore", "enforce", "enrich/threatintel/intelstore", "secret", "settings", "telemetry"),
		"what the sync functions have in common, the store that they open included; clouds and their envelopes are handed in",
	},

	{
		"shared/blocklist/redisstore", join(own("threat", "allowlist", "blocklist"), redisSDK, []string{"golang.org/x/sync/errgroup"}),
		"one adapter, its domain and one SDK",
	},
	{
		"shared/allowlist/crawler", nil,
		"a question to DNS, whose resolver is handed in",
	},
	{
		"shared/enrich/geoip",
		[]string{"github.com/phuslu/iploc"},
		"one source, and megabytes of tables: only what wires it carries them",
	},
	{
		"shared/enrich/networks",
		[]string{"github.com/oschwald/maxminddb-golang/v2"},
		"one source and one file format",
	},
	{
		"shared/riskcontrol", own("threat", "allowlist", "blocklist", "endpoint", "secret"),
		"one receiver, spoken to over HTTPS; the list and the memory are handed in",
	},
	{
		"shared/waf/targets", own("waf"),
		"what an operator says about walls is read alike for every cloud, and by no SDK",
	},
	{
		"shared/waf/awswaf", join(own("threat", "waf", "waf/targets"), awsSDK),
		"one adapter, its domain and one SDK",
	},
	{
		"shared/waf/tencentfw", join(own("endpoint", "threat", "secret", "waf", "waf/targets"), tencentSDK, pacing),
		"one adapter, its domain and one SDK",
	},
	{
		"shared/waf/aliwaf", join(own("endpoint", "threat", "secret", "waf", "waf/targets"), fcSDK, pacing),
		"one adapter, its domain and one SDK",
	},
	{
		"shared/sls", join(own("endpoint", "threat", "secret"), slsSDK),
		"one adapter and one SDK",
	},
	{
		"shared/cls", join(own("endpoint", "secret"), tencentSDK),
		"one adapter and one SDK",
	},
	{
		"shared/fcinvoke", join(own("endpoint", "secret"), fcSDK),
		"one adapter and one SDK",
	},

	{
		"shared/fccall", join(own("secret", "settings"), fcRuntime),
		"what one platform hands over with each call, for its functions; no client of any cloud",
	},

	{
		"shared/webattack/webattacktest", join(own("webattack"), testLibs, []string{"github.com/corazawaf/coraza-coreruleset/v4"}),
		"requests of which it is known what they are, for the tests of whoever reads requests",
	},
	{
		"shared/blocklist/blocklisttest", join(own("threat", "allowlist", "blocklist"), testLibs),
		"a fake and the contract of its own domain",
	},
	{
		"shared/detect/detecttest", join(own("threat", "detect", "webattack"), testLibs),
		"runs the tests inside rule files on whatever Log Service it is given",
	},
	{
		"shared/waf/waftest", join(own("threat", "waf", "signtest"), fcSDK, tencentSDK, testLibs, []string{"go4.org/netipx"}),
		"stand-ins of the firewalls and nothing of the rest; their tests speak to them with the real clients",
	},
	{
		"shared/sls/slstest", join(own("threat"), duckDB, slsSDK, testLibs, []string{"github.com/pierrec/lz4/v4", "google.golang.org/protobuf/encoding/protowire", "github.com/klauspost/compress/zstd", "github.com/phuslu/iploc", "golang.org/x/text/..."}),
		"the only place that needs DuckDB, and so cgo; its tests speak to it with the real SDK",
	},
	{
		"shared/cls/clstest", join(own("signtest", "sls/slstest"), tencentSDK, testLibs),
		"another wire and another dialect in front of the same engine; its tests speak to it with the real SDK",
	},
	{
		"shared/functiontest", join(own("signtest"), testLibs),
		"the runtimes' protocols; it starts any function and knows none",
	},
	{"shared/signtest", nil, "the clouds' request signatures, from the reading side: it shares no code with the clients that sign"},

	{
		"shared/syncrun/syncruntest", join(own("threat", "allowlist", "blocklist", "blocklist/redisstore", "enforce", "functiontest", "syncrun"), testLibs),
		"what surrounds any sync function in its end-to-end tests but its cloud",
	},

	{
		"functions/*", join([]string{"shared/..."}, awsRuntime, fcRuntime, awsSDK, []string{"golang.org/x/sync/errgroup"}),
		"a function wires what shared offers; it never reaches into another function",
	},

	{
		"scripts/tracewall",
		[]string{"..."},
		"the operator's command wires everything, stand-ins included",
	},
	{
		"scripts/tracewall/internal/*",
		[]string{"..."},
		"parts of the operator's command",
	},

	{
		"infra", join([]string{"shared/..."}, slsSDK, testLibs),
		"tests that hold the deploy files to what the code needs",
	},
	{"shared/archtest", nil, "it reads source and nothing else"},
}

// A rule looks at one file at a time.
type rule struct {
	Name   string
	Reason string
	On     func(source) bool     // which files it speaks of
	Find   func(source) []string // what in them is wrong
}

// rules are the layers as rules, and those that cut across them.
func rules() []rule {
	var all []rule
	for _, l := range layers {
		all = append(all, rule{
			Name:   "imports of " + l.Dir,
			Reason: l.Reason,
			On:     func(s source) bool { return within(l.Dir, s.Dir()) },
			Find: func(s source) []string {
				may := slices.Concat(l.May, []string{s.Dir()})
				if s.Test {
					may = slices.Concat(may, testLibs, []string{"shared/..."})
				}
				return imports(s, func(imported string) bool {
					return !standard(imported) && imported != "C" && !slices.ContainsFunc(may, func(p string) bool { return covers(p, imported) })
				})
			},
		})
	}
	return append(all,
		rule{
			Name:   "stand-ins stay out of what is deployed",
			Reason: "a stand-in in a deployed binary is a switch waiting to be thrown",
			On:     func(s source) bool { return !s.Test && !standIn(s.Dir()) && !within("scripts/...", s.Dir()) },
			Find:   func(s source) []string { return imports(s, standIn) },
		},
		rule{
			Name:   "no function imports another, nothing imports functions or scripts",
			Reason: "imports run one way: functions → adapters → domain → threat",
			On:     func(source) bool { return true },
			Find: func(s source) []string {
				return imports(s, func(imported string) bool {
					return imported != s.Dir() && (covers("functions/...", imported) || covers("scripts/...", imported) && !within("scripts/tracewall/...", s.Dir()))
				})
			},
		},
		rule{
			Name: "domain packages touch no world",
			// time.Until is left out: it is how much is left of a context's deadline, which
			// is the machine's time and decides only how far a run gets.
			Reason: "a decision must be the same when it is repeated: values in, values out; the clock is handed in",
			On: func(s source) bool {
				return !s.Test && slices.Contains([]string{
					"shared/threat", "shared/allowlist", "shared/blocklist", "shared/detect", "shared/enrich", "shared/enrich/threatintel", "shared/enrich/threatintel/formats", "shared/waf", "shared/waf/targets", "shared/webattack",
				}, s.Dir())
			},
			Find: func(s source) []string {
				found := imports(s, func(imported string) bool {
					return slices.Contains([]string{"os", "os/exec", "net", "net/http", "syscall", "database/sql"}, imported)
				})
				return append(found, uses(s, "time.Now", "time.Since", "time.Sleep")...)
			},
		},
		rule{
			Name:   "only functions and the operator's command read the environment",
			Reason: "settings are read in one place, all at once; what shared needs is handed to it",
			On: func(s source) bool { // stand-ins start programs, which need their PATH
				return !s.Test && !standIn(s.Dir()) && !within("functions/*", s.Dir()) && !within("scripts/tracewall/...", s.Dir())
			},
			Find: func(s source) []string {
				return uses(s, "os.Getenv", "os.LookupEnv", "os.ExpandEnv", "syscall.Getenv", "os.Setenv")
			},
		},
		rule{
			Name:   "cgo stays in the laptop's Log Service",
			Reason: "functions are static binaries: a single cgo import would need a C library on the cloud's machine",
			On: func(s source) bool {
				return !within("shared/sls/slstest", s.Dir()) && !within("shared/cls/clstest", s.Dir()) && (!within("scripts/tracewall/...", s.Dir()) || !s.Cgo)
			},
			Find: func(s source) []string {
				return imports(s, func(imported string) bool {
					if s.Test && (covers("shared/sls/slstest", imported) || covers("shared/cls/clstest", imported)) {
						return !s.Cgo && within("functions/*", s.Dir()) // a function is also tested with CGO_ENABLED=0
					}
					return imported == "C" || covers("github.com/duckdb/...", imported) || covers("shared/sls/slstest", imported) || covers("shared/cls/clstest", imported)
				})
			},
		},
		rule{
			Name:   "packages are named for what they hold",
			Reason: "a util package is where nobody finds anything; a function without a home belongs beside its caller",
			On:     func(source) bool { return true },
			Find: func(s source) []string {
				bad := []string{"util", "utils", "common", "helper", "helpers", "types", "models", "model", "manager", "managers", "core", "base", "misc", "service", "services"}
				var found []string
				for _, name := range append(strings.Split(s.Dir(), "/"), s.Package) {
					if slices.Contains(bad, name) {
						found = append(found, name)
					}
				}
				return slices.Compact(found)
			},
		},
	)
}

func own(names ...string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, "shared/"+name)
	}
	return paths
}

func join(lists ...[]string) []string { return slices.Concat(lists...) }

// imports returns those of s that wrong says are, this module's written from its root.
func imports(s source, wrong func(string) bool) []string {
	var found []string
	for _, imported := range s.Imports {
		if imported = strings.TrimPrefix(imported, module+"/"); wrong(imported) {
			found = append(found, imported)
		}
	}
	return found
}

func uses(s source, names ...string) []string {
	var found []string
	for _, use := range s.Uses {
		if slices.Contains(names, use) && !slices.Contains(found, use) {
			found = append(found, use)
		}
	}
	return found
}

// standard tells whether imported, written from the module's root if it is ours,
// is the standard library's: its first element has no dot and is no folder of ours.
func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".") && !slices.Contains([]string{"shared", "functions", "scripts", "infra"}, first)
}

// standIn tells whether a package of ours is a …test package, which holds stand-ins and contracts.
func standIn(imported string) bool {
	return covers("shared/...", imported) && strings.HasSuffix(path.Base(imported), "test") && imported != "shared/archtest"
}

// within matches a folder with a pattern as covers does, where * stands for one element.
func within(pattern, dir string) bool {
	if strings.HasSuffix(pattern, "...") {
		return covers(pattern, dir)
	}
	ok, _ := path.Match(pattern, dir)
	return ok
}

// covers matches an import path: "a/b" is itself, "a/b/..." that and all below, "..." everything.
func covers(pattern, imported string) bool {
	prefix, tree := strings.CutSuffix(pattern, "...")
	if !tree {
		return pattern == imported
	}
	return strings.HasPrefix(imported+"/", prefix)
}
