package redisstore_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

const tail = `,"since":1790001840,"expires_at":1790261040,"strikes":1}`

func TestWhatGoWritesIsReadQuickly(t *testing.T) {
	e := blocklist.Entry{
		Source: blocklist.SourceOperator, Severity: threat.Critical, Rules: []string{"a", "b"}, Reason: "why not/really", Count: 1 << 53,
		FirstSeen: noon, LastSeen: noon.Add(time.Hour), Countries: []string{"BR"}, Accounts: []string{"x", "y"}, Addresses: 7,
		Challenge: true, Score: 100, Tags: []string{"bot", "scan"},
	}
	text := redisstore.Head(e) + tail
	if !redisstore.ParsesQuickly(text) {
		t.Errorf("the quick way gives up on %s", text)
	}
	got, err := redisstore.Decode(threat.Indicator{}, text)
	if err != nil {
		t.Fatal(err)
	}
	e.Since, e.ExpiresAt, e.Strikes = time.Unix(1790001840, 0).UTC(), time.Unix(1790261040, 0).UTC(), 1
	same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
	if diff := cmp.Diff(e, got, same); diff != "" {
		t.Errorf("entry (-want +got):\n%s", diff)
	}
}

func TestUnreadableValuesAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                         "",
		"cut off":                       `{"v":1,"source":"detect"`,
		"another format":                "blocked",
		"a newer format":                `{"v":2,"source":"detect","severity":"low"` + tail,
		"a challenge of the first form": `{"v":1,"source":"detect","severity":"low","challenge":true` + tail,
		"a newer form without one":      `{"v":2,"source":"detect","severity":"low"` + tail,
		"no severity":                   `{"v":1,"source":"detect"` + tail,
		"no end":                        `{"v":1,"source":"detect","severity":"low","since":1,"strikes":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := redisstore.Decode(threat.Indicator{}, text); err == nil {
				t.Errorf("entry = %+v, want an error", e)
			}
		})
	}
}

// FuzzDecode: the quick way reads nothing differently from encoding/json.
func FuzzDecode(f *testing.F) {
	f.Add(`{"v":1,"source":"detect","severity":"high","rules":["a"],"count":12` + tail)
	f.Add(`{"v":1,"source":"detect","severity":"high","reason":"a \"b\" é","rules":["b","a"]` + tail)
	f.Add(`{"v":2,"source":"detect","severity":"high","challenge":true,"score":60,"tags":["bot"]` + tail)
	f.Add(`{"v":1,"challenge":false}`)
	f.Add(`{"v":01,"count":99999999999999999999}`)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = redisstore.Decode(threat.Indicator{}, text)
		if redisstore.ParsesQuickly(text) && !json.Valid([]byte(text)) {
			t.Errorf("the quick way takes %q, which is not JSON", text)
		}
	})
}
