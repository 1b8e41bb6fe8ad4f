package webattack_test

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/tracewall/tracewall/shared/webattack"
	"github.com/tracewall/tracewall/shared/webattack/webattacktest"
)

func TestOrdinaryRequestsThatLookLikeAttacks(t *testing.T) {
	all := webattacktest.Ordinary()
	if len(all) < 400 {
		t.Fatalf("%d requests: the list is not whole", len(all))
	}
	for _, r := range all {
		if found := webattack.Inspect(r); len(found) > 0 {
			t.Errorf("%q: %q", r, found)
		}
	}
}

var combined = regexp.MustCompile(`"(?:[A-Z]+) (.*?) HTTP/[\d.]+" \d+ \S+ "(.*?)" "(.*)"`)

// realRequests reads a real access log that lies beside the repository on the
// developers' machines; the test skips where it does not.
func realRequests(t testing.TB) []webattack.Request {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "apache_access.log"))
	if err != nil {
		t.Skip("the real log apache_access.log is not on this machine")
	}
	defer f.Close()
	var all []webattack.Request
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if m := combined.FindStringSubmatch(scanner.Text()); m != nil {
			all = append(all, webattack.Request{Path: m[1], Agent: m[3], Referer: m[2]})
		}
	}
	if err := scanner.Err(); err != nil || len(all) < 9_000 {
		t.Fatal(len(all), err)
	}
	return all
}

// The 10,000 lines were read by a person: crawlers, readers, comment spam with Cyrillic
// in its path, broken templates, requests for wp-login.php. No attack is among them.
func TestARealLogHasNoAttack(t *testing.T) {
	for _, r := range realRequests(t) {
		for _, f := range webattack.Inspect(r) {
			t.Errorf("%q: %q", f, r)
		}
	}
}
