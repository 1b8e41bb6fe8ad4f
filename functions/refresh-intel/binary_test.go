package main

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/functiontest"
)

// built is the function as it is deployed, built once for all tests.
var built = functiontest.Binary{Root: filepath.Join("..", ".."), Package: "./functions/refresh-intel"}

func TestMain(m *testing.M) { built.Main(m) }

// TestTheBinary runs the function as it is deployed: its own process, Function Compute's runtime API, a source of feeds and a Redis.
func TestTheBinary(t *testing.T) {
	t.Parallel()
	src, redis := newSource(t), miniredis.RunT(t)
	src.set("/ipsum", text(good("ipsum", time.Now())))
	src.set("/drop", text(good("spamhaus", time.Now())))
	src.set("/bots", text(good("prefixes", time.Now())))
	var output functiontest.Transcript
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "tracewall-refresh-intel", Binary: built.Path(t), Timeout: 20 * time.Second, Stderr: &output,
		Env: map[string]string{
			"REDIS_URL": "redis://" + redis.Addr(), "MODE": "enforce", "FEED_SECRETS": `{"mine":"p4ss-token"}`,
			"FEEDS": strings.ReplaceAll(`[{"name":"ipsum","url":"SRC/ipsum","format":"ipsum","auth":"bearer","secret":"mine"},
				{"name":"drop","url":"SRC/drop","format":"spamhaus","category":"hijacked"},
				{"name":"bots","url":"SRC/bots","format":"prefixes","purpose":"allow"}]`, "SRC", src.URL),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	answer, err := f.Invoke(t.Context(), []byte(sample(t, "timer")))
	if err != nil {
		t.Fatalf("%v; output:\n%s", err, output.String())
	}
	var res result
	if err := json.Unmarshal(answer, &res); err != nil || res.Mode != "refresh" || res.Entries != 80 || res.Spared != 40 || res.Failed != 0 || res.Version == "" {
		t.Fatalf("answer %s, %v", answer, err)
	}
	if strings.Contains(string(answer), "45.1.") || strings.Contains(output.String(), "45.1.") || strings.Contains(output.String(), "p4ss") {
		t.Errorf("addresses or secrets in the answer or the output: %s\n%s", answer, output.String())
	}
	reader, err := intelstore.Open(t.Context(), "redis://"+redis.Addr(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	set, err := reader.Set(t.Context())
	if err != nil || set.Version() != res.Version || set.Len() != 80 {
		t.Errorf("set of %d entries, version %s, %v", set.Len(), set.Version(), err)
	}
	if ranges, err := reader.AllowRanges(t.Context()); err != nil || len(ranges) != 40 || ranges[0].Owner != "bots" {
		t.Errorf("%d ranges, %v", len(ranges), err)
	}

	src.set("/drop", text("<html>"))
	var failed *functiontest.FunctionError
	if _, err := f.Invoke(t.Context(), []byte(`{"feeds":["drop"]}`)); !errors.As(err, &failed) || !strings.Contains(failed.Message, "feed drop: not a feed of this format") {
		t.Errorf("a broken feed: %v", err)
	}
	if _, err := f.Invoke(t.Context(), []byte(sample(t, "malformed"))); !errors.As(err, &failed) || !strings.Contains(failed.Message, "bad event") {
		t.Errorf("a malformed event: %v", err)
	}
	if answer, err := f.Invoke(t.Context(), []byte(sample(t, "direct"))); err != nil && !errors.As(err, &failed) {
		t.Errorf("a plan: %s, %v", answer, err)
	}
}

// The binary does what it does with no more rights than it is deployed with.
func TestTheRedisUserOfRefreshIntelMayDoAllThatTheBinaryDoes(t *testing.T) {
	t.Parallel()
	src := newSource(t)
	address := blocklisttest.StartRedisFor(t, filepath.Join("..", "..", "infra", "redis", "users.acl"), "p4ss")
	var output functiontest.Transcript
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "tracewall-refresh-intel", Binary: built.Path(t), Timeout: 20 * time.Second, Stderr: &output,
		Env: map[string]string{
			"REDIS_URL": address("refresh-intel"), "MODE": "enforce",
			"FEEDS": strings.ReplaceAll(`[{"name":"ipsum","url":"SRC/ipsum","format":"ipsum"},{"name":"bots","url":"SRC/bots","format":"prefixes","purpose":"allow"}]`, "SRC", src.URL),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	reader, err := intelstore.Open(t.Context(), address("detect"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Close() })
	for range 2 { // the first list, and one that finds it there
		src.set("/ipsum", text(good("ipsum", time.Now())))
		src.set("/bots", text(good("prefixes", time.Now())))
		if _, err := f.Invoke(t.Context(), []byte(sample(t, "timer"))); err != nil {
			t.Fatalf("%v; output:\n%s", err, output.String())
		}
		set, err := reader.Set(t.Context())
		if err != nil || set.Len() == 0 {
			t.Errorf("detect reads %d entries, %v", set.Len(), err)
		}
		if ranges, err := reader.AllowRanges(t.Context()); err != nil || len(ranges) == 0 {
			t.Errorf("detect reads %d ranges, %v", len(ranges), err)
		}
	}
	if strings.Contains(output.String(), "p4ss") {
		t.Errorf("output shows the password:\n%s", output.String())
	}
}

func TestTheBinaryRefusesAnEmptyEnvironment(t *testing.T) {
	t.Parallel()
	_, err := functiontest.StartFC(t.Context(), functiontest.Config{Name: "refresh-intel", Binary: built.Path(t)})
	var ended *functiontest.ExitError
	if !errors.As(err, &ended) || ended.State != "exit status 1" {
		t.Fatalf("err = %v, want exit status 1", err)
	}
	for _, key := range []string{"FEEDS", "REDIS_URL"} {
		if !strings.Contains(ended.Output, key+" is not set") {
			t.Errorf("output lacks %s:\n%s", key, ended.Output)
		}
	}
}
