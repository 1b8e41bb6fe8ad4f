package proposal_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf/proposal"
)

var (
	first = time.Date(2025, 5, 10, 4, 55, 0, 0, time.UTC)
	last  = first.Add(7 * time.Minute)
)

func flood(kind, value string) proposal.Campaign {
	return proposal.Campaign{Kind: kind, Value: value, Count: 10_372, FirstSeen: first, LastSeen: last}
}

func texts(c proposal.Campaign) map[string]string {
	all := map[string]string{}
	for _, p := range proposal.For(c) {
		all[p.For] = p.Text + p.Refused
	}
	return all
}

func TestAPathIsChallengedOnAWSAndAlibabaAndLimitedOnNginx(t *testing.T) {
	want := map[string]string{
		proposal.AWS: `{
  "Action": {
    "Challenge": {}
  },
  "Name": "campaign-path-bc1783d7",
  "Priority": 0,
  "Statement": {
    "RateBasedStatement": {
      "AggregateKeyType": "CONSTANT",
      "EvaluationWindowSec": 60,
      "Limit": 370,
      "ScopeDownStatement": {
        "RegexMatchStatement": {
          "FieldToMatch": {
            "UriPath": {}
          },
          "RegexString": "^/api/sms\\.php$",
          "TextTransformations": [
            {
              "Priority": 0,
              "Type": "NONE"
            }
          ]
        }
      }
    }
  },
  "VisibilityConfig": {
    "CloudWatchMetricsEnabled": true,
    "MetricName": "campaign-path-bc1783d7",
    "SampledRequestsEnabled": true
  }
}`,
		proposal.Alibaba: `[
  {
    "action": "js",
    "ccStatus": 0,
    "conditions": [
      {
        "key": "URLPath",
        "opValue": "eq",
        "values": "/api/sms.php"
      }
    ],
    "name": "campaign-path-bc1783d7",
    "origin": "custom",
    "status": 1
  }
]`,
		proposal.Nginx: `map $request_uri $campaign_path_bc1783d7 {
    default "";
    "~^/api/sms\\x2ephp(\\?|$)" all;
}
limit_req_zone $campaign_path_bc1783d7 zone=campaign_path_bc1783d7:1m rate=370r/m;

limit_req zone=campaign_path_bc1783d7 burst=37 nodelay;
limit_req_status 429;
`,
	}
	if diff := cmp.Diff(want, texts(flood("path", "/api/sms.php?uid=7"))); diff != "" {
		t.Error(diff)
	}
}

func TestEachKindIsSaidInTheProductsOwnWordsOrRefused(t *testing.T) {
	for _, tt := range []struct{ kind, value, product, want string }{
		{"agent", `Mozilla/5.0 "x"`, proposal.AWS, `"RegexString": "^Mozilla/5\\.0 \"x\"$"`},
		{"agent", `Mozilla/5.0 "x"`, proposal.AWS, `"Name": "user-agent"`},
		{"agent", `Mozilla/5.0 "x"`, proposal.Alibaba, `"values": "Mozilla/5.0 \"x\""`},
		{"agent", `Mozilla/5.0 "x"`, proposal.Nginx, `"~^Mozilla/5\\x2e0\\x20\\x22x\\x22$" all;`},
		{"network", "203.0.113.0/24", proposal.AWS, `"IPSetReferenceStatement"`},
		{"network", "203.0.113.0/24", proposal.Alibaba, `"opValue": "contain",`},
		{"network", "203.0.113.0/24", proposal.Nginx, "    203.0.113.0/24 all;\n"},
		{"network", "AS64500 Example Ltd", proposal.AWS, `"AsnList": [`},
		{"network", "AS64500", proposal.Nginx, "no AS numbers"},
		{"network", "AS64500", proposal.Alibaba, "no AS numbers"},
		{"network", "somewhere", proposal.AWS, "neither an address range nor an AS number"},
		{"fingerprint", "t13d1516h2_8daaf6152771_b186095e22b6", proposal.AWS, base64.StdEncoding.EncodeToString([]byte("t13d1516h2_8daaf6152771_b186095e22b6"))},
		{"fingerprint", "t13d1516h2_8daaf6152771_b186095e22b6", proposal.AWS, `"JA4Fingerprint"`},
		{"fingerprint", strings.Repeat("0a", 16), proposal.AWS, `"JA3Fingerprint"`},
		{"fingerprint", "x", proposal.AWS, "neither a JA3 nor a JA4"},
		{"fingerprint", strings.Repeat("0a", 16), proposal.Nginx, "no fingerprint"},
		{"path", "", proposal.AWS, "is empty"},
		{"path", "?x=1", proposal.Nginx, "is empty"},
		{"path", "http://a/b", proposal.AWS, "does not begin with a slash"},
		{"path", "/a\nb", proposal.Nginx, "unprintable"},
		{"path", "/\u202egpj", proposal.Alibaba, "unprintable"},
		{"path", "/\xff", proposal.AWS, "not UTF-8"},
		{"path", "/" + strings.Repeat("a", 400), proposal.Nginx, "401 bytes"},
		{"path", "/" + strings.Repeat("a.", 80), proposal.AWS, "a pattern for the path would have 243 characters"},
		{"account", "mallory", proposal.AWS, "cannot be told"},
	} {
		if got := texts(flood(tt.kind, tt.value))[tt.product]; !strings.Contains(got, tt.want) {
			t.Errorf("%s %q for %s = %s, want %s", tt.kind, tt.value, tt.product, got, tt.want)
		}
	}
}

func TestALimitIsAQuarterOfWhatTheCampaignDidWithinBounds(t *testing.T) {
	c := flood("path", "/a")
	for _, tt := range []struct {
		count int64
		last  time.Time
		want  string
	}{{1, last, "rate=100r/m"}, {7_000, last, "rate=250r/m"}, {7_000, first, "rate=1750r/m"}, {1 << 62, first, "rate=1000000r/m"}} {
		c.Count, c.LastSeen = tt.count, tt.last
		if got := texts(c)[proposal.Nginx]; !strings.Contains(got, tt.want) {
			t.Errorf("%d requests: %s, want %s", tt.count, got, tt.want)
		}
	}
}

// What an attacker writes must come out as text that is equal to it, or not at all.
func TestNoValueBreaksOutOfItsPlace(t *testing.T) {
	line := regexp.MustCompile(`^    "~(\^.*)" all;$`)
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]string{"path", "agent", "network", "fingerprint"}).Draw(t, "kind")
		value := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`/["'\\{};$#. a-z\n\x{202e}\x{e000}é%]{0,40}`),
			rapid.SampledFrom([]string{`/"; } location / { return 200`, `/\`, `/\\"`, `/${document_root}`, `/é😀`, `default`, `~`, `203.0.113.0/24; 0.0.0.0/0 all`, `AS1"`}),
		).Draw(t, "value")
		for _, p := range proposal.For(flood(kind, value)) {
			if (p.Text == "") == (p.Refused == "") {
				t.Fatalf("%s has text %q and is refused for %q: want one of both", p.For, p.Text, p.Refused)
			}
			if strings.ContainsFunc(p.Text+p.Note+p.Title, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }) {
				t.Fatalf("%s is not printable ASCII: %q", p.For, p.Text)
			}
			if p.Text == "" {
				continue
			}
			whole, _, _ := strings.Cut(value, "?")
			if kind != "path" {
				whole = value
			}
			switch {
			case p.For != proposal.Nginx:
				if !json.Valid([]byte(p.Text)) {
					t.Fatalf("%s is not JSON: %s", p.For, p.Text)
				}
				var back any
				_ = json.Unmarshal([]byte(p.Text), &back)
				if p.For == proposal.Alibaba && kind != "network" && back.([]any)[0].(map[string]any)["conditions"].([]any)[0].(map[string]any)["values"] != whole {
					t.Fatalf("another value: %s", p.Text)
				}
			case kind != "network":
				m := line.FindStringSubmatch(strings.Split(p.Text, "\n")[2])
				if m == nil || len(strings.Split(p.Text, "\n")) != 9 {
					t.Fatalf("the value is not in one pair of quotes: %s", p.Text)
				}
				if strings.Contains(m[1], `"`) || strings.Contains(strings.ReplaceAll(m[1], `\\`, ""), `\`) {
					t.Fatalf("nginx would read another text: %s", m[1])
				}
				// Bytes above 0x7f are single bytes to PCRE, and code points to Go.
				latin := make([]rune, len(whole))
				for i := range len(whole) {
					latin[i] = rune(whole[i])
				}
				if re := regexp.MustCompile(strings.ReplaceAll(m[1], `\\`, `\`)); !re.MatchString(string(latin)) || re.MatchString(string(latin)+"x") {
					t.Fatalf("%s does not mean %q", m[1], whole)
				}
			}
		}
	})
}
