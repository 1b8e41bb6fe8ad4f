//go:build cgo

package slstest

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBracketTimeIsThatOfThePackageTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0)
		zone := time.FixedZone("", rapid.IntRange(-14*60, 14*60).Draw(t, "zone")*60)
		text := at.In(zone).Format("02/Jan/2006:15:04:05 -0700")
		if got, ok := BracketTime([]byte(text)); !ok || got != at.Unix() {
			t.Fatalf("BracketTime(%s) = %d, %t, want %d", text, got, ok, at.Unix())
		}
	})
	for _, bad := range []string{
		"", "10/May/2025:13:55:36 0800", "10/Foo/2025:13:55:36 +0800", "10/anF/2025:13:55:36 +0800", "1x/May/2025:13:55:36 +0800",
		"10/May/2025:25:55:36 +0800", "00/May/2025:13:55:36 +0800", "10/May/2025:13:55:36 ?0800", "10-May-2025:13:55:36 +0800",
	} {
		if got, ok := BracketTime([]byte(bad)); ok {
			t.Errorf("BracketTime(%q) = %d", bad, got)
		}
	}
}

func TestParseStory(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		time       int64
		trace      string
	}{
		{"a rate limit line", `[10/May/2025:13:55:36 +0800] "GET / HTTP/1.1" 200 "rate limit for true-client-ip": 139.135.241.87 "trace_id": 7b3d-1`, 1_746_856_536, "7b3d-1"},
		{"an SMS line", `[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":x== "trace_id":7b3d-2`, 1_746_852_931, "7b3d-2"},
		{"without quotes or time", `...rate limit for true-client-ip: 139.135.241.87 trace_id: 7b3d-3 more`, 0, "7b3d-3"},
		{"in JSON", `{"trace_id":"7b3d-4","a":1}`, 0, "7b3d-4"},
		{"without a trace", `[10/Foo/2025:12:55:31 +0800] x trace_id`, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := Line{Values: make([][]byte, 2)}
			if !ParseStory([]byte(tt.line), &out) || out.Time != tt.time || string(out.Values[0]) != tt.line || string(out.Values[1]) != tt.trace {
				t.Errorf("%d %q", out.Time, out.Values)
			}
		})
	}
}
