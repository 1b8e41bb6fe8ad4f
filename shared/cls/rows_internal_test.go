package cls

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestARecordBecomesText(t *testing.T) {
	got, err := readRecord(`{"n":9007199254740993,"d":1.50,"s":"a\u0000\"b","no":null,"list":[ "x", null ],"yes":true,"":"e"}`)
	want := map[string]string{"n": "9007199254740993", "d": "1.50", "s": "a\x00\"b", "no": "null", "list": `["x",null]`, "yes": "true", "": "e"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, bad := range []string{"", "null", "[]", "7", "{", `{"a":}`} {
		if _, err := readRecord(bad); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: err = %v", bad, err)
		}
	}
}

// Records hold what clients wrote into logs.
func FuzzRecord(f *testing.F) {
	f.Add(`{"ip":"203.0.113.7","cnt":21}`)
	f.Add(`{"a":{"b":[1,2,{"c":null}]},"a":1e400}`)
	f.Fuzz(func(t *testing.T, record string) {
		row, err := readRecord(record)
		if err != nil {
			return
		}
		var values map[string]any
		if json.Unmarshal([]byte(record), &values) == nil && len(values) != len(row) {
			t.Errorf("%d columns of %d", len(row), len(values))
		}
	})
}
