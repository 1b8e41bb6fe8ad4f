package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEvents(t *testing.T) {
	t.Parallel()
	known := func(name string) bool { return name == "ipsum" || name == "drop" }
	for payload, want := range map[string]event{
		`{}`:                                    {},
		`{"mode":"plan"}`:                       {Plan: true},
		`{"feeds":["drop"],"mode":"refresh"}`:   {Feeds: []string{"drop"}},
		`{"accept":["ipsum"]}`:                  {Feeds: []string{"ipsum"}, Accept: []string{"ipsum"}},
		`{"feeds":["drop"],"accept":["ipsum"]}`: {Feeds: []string{"drop"}, Accept: []string{"ipsum"}},
		`{"triggerName":"x","triggerTime":"y"}`: {},
		`{"triggerName":"x","payload":" {\"feeds\":[\"drop\"]} ","z":1}`: {Feeds: []string{"drop"}},
		sample(t, "timer"):  {},
		sample(t, "direct"): {Plan: true},
		sample(t, "accept"): {Feeds: []string{"ipsum"}, Accept: []string{"ipsum"}},
	} {
		got, err := readEvent([]byte(payload), known)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", payload, err, diff)
		}
	}
	for payload, want := range map[string]string{
		``:                                "no JSON object",
		`null`:                            "no JSON object",
		`[]`:                              "no JSON object",
		`{"feed":["drop"]}`:               `field "feed"`,
		`{"mode":"verify"}`:               `mode "verify": want "refresh" or "plan"`,
		`{"mode":1}`:                      "want mode as a word",
		`{"feeds":"drop"}`:                "feeds and accept as lists",
		`{"feeds":[]}`:                    "feeds []",
		`{"feeds":["other"]}`:             `feed "other": want names from FEEDS`,
		`{"accept":["other"]}`:            `feed "other"`,
		`{"requestContext":{}}`:           `field "requestContext"`,
		`{"triggerName":"x","payload":5}`: "payload: want a text",
		`{"triggerName":"x","payload":"{\"accept\":[\"ipsum\"]}"}`:    "would hold for every tick",
		`{"triggerName":"x","payload":"{\"triggerName\":\"x\"}"}`:     "payload: want an input",
		`{"triggerName":"x","payload":"x"}`:                           "no JSON object",
		sample(t, "malformed"):                                        `field "feed"`,
		`{"mode":"plan","x":"` + strings.Repeat("y", maxEvent) + `"}`: "want at most 262144",
	} {
		if got, err := readEvent([]byte(payload), known); !errors.Is(err, errBadEvent) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %+v, %v, want %q", payload, got, err, want)
		}
	}
}

func sample(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../events/refresh-intel." + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
