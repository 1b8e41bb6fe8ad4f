//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// Who is who on the mixed day.
const (
	scanner, injector, guesser = "45.155.205.10", "91.240.118.20", "185.234.216.30"
	manyAccounts, forgetful    = "84.17.46.5", "81.2.69.40"
	googlebot, fakeGooglebot   = "66.249.66.1", "193.32.162.50"
	wellKnown, hearsay         = "5.188.206.60", "5.188.210.70"
	crawlerOfPages, slash64    = "51.222.253.70", "2a06:98c0:1:2::/64"
	monitor                    = "52.48.10.9"

	googleAgent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

// mixedDay is a day of a shop before clock: its customers, and everybody whom a user
// was promised something about.
func mixedDay() log {
	var l log
	at := func(hours, minutes int) time.Time { // a window's start, so many hours and minutes before the last
		return clock.Truncate(10 * time.Minute).Add(-10*time.Minute - time.Duration(hours)*time.Hour - time.Duration(minutes)*time.Minute)
	}
	login := func(status int, account string) func(int, *visit) {
		return func(_ int, v *visit) { v.method, v.path, v.status, v.account = "POST", "/login", status, account }
	}
	pages := func(agent string) func(int, *visit) {
		return func(n int, v *visit) { v.path, v.agent = fmt.Sprintf("/catalogue/%d", n), agent }
	}

	// Ordinary life: visitors all day, and a probe that sees whether the shop is there.
	for i := range 400 {
		l.get(fmt.Sprintf("89.%d.%d.%d", 10+i%40, i%200, 1+i%250), at(23, 0).Add(time.Duration(i)*200*time.Second), 20*time.Minute, 60, func(n int, v *visit) {
			v.path, v.referer = fmt.Sprintf("/articles/%d", (i+n)%50), "https://shop.example.com/"
		})
	}
	l.get(monitor, at(23, 0), 23*time.Hour, 23*6*25, func(_ int, v *visit) { v.path = "/health" })

	l.get(scanner, at(20, 0), 90*time.Second, 8, func(n int, v *visit) {
		v.status, v.path = 404, []string{"/.env", "/.git/config", "/wp-login.php", "/phpmyadmin/", "/backup.sql", "/server-status", "/id_rsa", "/web.config"}[n]
	})
	for host := range 4 { // small one by one
		l.get(fmt.Sprintf("2a06:98c0:1:2::%d", host+1), at(19, 0), time.Minute, 1, func(_ int, v *visit) {
			v.status, v.path = 404, []string{"/.env", "/.git/config", "/backup.sql", "/phpmyadmin/"}[host]
		})
	}
	l.get(injector, at(17, 0), 80*time.Second, 6, func(n int, v *visit) {
		v.path = fmt.Sprintf("/item?id=%d%%27%%20UNION%%20SELECT%%20login,password%%20FROM%%20users--", n)
	})
	l.get(guesser, at(15, 0), 100*time.Second, 60, login(401, "admin"))

	// Forty people in an office, one of whom tries passwords.
	for i := range 40 {
		l.get(manyAccounts, at(13, 0).Add(time.Duration(i)*time.Second), 9*time.Minute, 10, func(n int, v *visit) {
			v.path, v.account = fmt.Sprintf("/mail/%d", n), fmt.Sprintf("colleague-%d@corp.example", i)
		})
	}
	l.get(manyAccounts, at(13, 0).Add(2*time.Minute), 100*time.Second, 30, login(401, "colleague-7@corp.example"))

	// Somebody whose logins work, and then whose stored password is wrong all the time.
	l.get(forgetful, at(11, 30), 8*time.Minute, 47, login(302, "old-hand"))
	l.get(forgetful, at(11, 0), 100*time.Second, 60, login(401, "old-hand"))

	l.get(googlebot, at(9, 0), 9*time.Minute+30*time.Second, 950, pages(googleAgent))
	l.get(fakeGooglebot, at(0, 40), 110*time.Second, 330, pages(googleAgent))
	l.get(crawlerOfPages, at(2, 0), 9*time.Minute+30*time.Second, 950, pages("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)"))

	// Too fast, and without a user agent: two classes, a challenge.
	for _, address := range []string{wellKnown, hearsay} {
		l.get(address, at(0, 30), 110*time.Second, 120, func(_ int, v *visit) { v.status, v.agent = 429, "" })
	}
	return l
}

// newDay is a world with the mixed day, at a Redis of which each user has an address.
func newDay(t *testing.T, address func(user string) string) *world {
	t.Helper()
	w := newWorldAt(t, address)
	w.onAccessLog(t, mixedDay())
	w.env["LOOKBACK"] = "24h"
	w.publish(t, map[string][]string{
		"first-feed": {wellKnown + "/32", hearsay + "/32"}, "second-feed": {"5.188.206.0/24"},
	}, "66.249.64.0/19")
	past := clock.Add(-10 * 24 * time.Hour)
	if _, err := w.store.Put(t.Context(), blocklist.Batch{Run: "ten-days-ago", Now: past, Offences: []blocklist.Offence{{
		Entry: blocklist.Entry{Indicator: someone(t, wellKnown), Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"requests-address"}, FirstSeen: past, LastSeen: past},
		At:    past, Term: time.Hour,
	}}}); err != nil {
		t.Fatal(err)
	}
	return w
}

// wholeDay is a direct call for all of the day.
func wholeDay() []byte {
	return fmt.Appendf(nil, `{"from":%q,"to":%q,"as_of":%q}`, clock.Add(-24*time.Hour).Format(time.RFC3339), clock.Format(time.RFC3339), clock.Format(time.RFC3339))
}

// onMiniredis is a Redis in this process, with one user for all.
func onMiniredis(t *testing.T) func(string) string {
	redis := miniredis.RunT(t)
	redis.RequireUserAuth("detect", redisPassword)
	return func(string) string { return fmt.Sprintf("redis://detect:%s@%s", redisPassword, redis.Addr()) }
}

// onList is what the mixed day leaves on the list: whether to challenge, and tags that must be there.
var onList = map[string]struct {
	challenge bool
	score     int // at least
	tags      []string
}{
	scanner:        {false, 80, []string{"scan"}},
	slash64:        {false, 80, []string{"scan"}},
	injector:       {false, 80, []string{"web attack", "sql-injection"}},
	guesser:        {false, 80, []string{"brute force", "login"}},
	fakeGooglebot:  {false, 80, []string{"flood"}},
	wellKnown:      {false, 80, []string{"flood", "botnet"}},
	hearsay:        {true, 50, []string{"flood"}},
	crawlerOfPages: {true, 50, []string{"bot"}},
}

// checkDay fails unless the list and the cases are what was promised for the mixed day.
func checkDay(t *testing.T, w *world) {
	t.Helper()
	list := w.listed(t, clock)
	for who, want := range onList {
		e, ok := list[who]
		if !ok {
			t.Errorf("%s is not on the list", who)
			continue
		}
		if e.Challenge != want.challenge || e.Score < want.score || want.challenge && e.Score >= detect.BlockAt || e.Reason == "" {
			t.Errorf("%s: challenge %t, score %d, reason %q; want challenge %t", who, e.Challenge, e.Score, e.Reason, want.challenge)
		}
		for _, tag := range want.tags {
			if !slices.Contains(e.Tags, tag) {
				t.Errorf("%s: tags %q, want %q among them", who, e.Tags, tag)
			}
		}
		verdict := threat.Block
		if want.challenge {
			verdict = threat.Challenge
		}
		checkCase(t, w, who, verdict.String())
	}
	for who := range list {
		if _, ok := onList[who]; !ok {
			t.Errorf("%s is on the list: %s", who, list[who].Reason)
		}
	}
	for who, why := range map[string]string{manyAccounts: "shared", forgetful: "successes"} {
		c := checkCase(t, w, who, threat.Observe.String())
		if !slices.ContainsFunc(c.Parts, func(p detect.Part) bool { return p.Name == why && p.Points < 0 }) {
			t.Errorf("case of %s: parts %+v, want %s", who, c.Parts, why)
		}
	}
	if c := checkCase(t, w, googlebot, detect.VerdictSpared); !strings.Contains(c.Spared, "googlebot") {
		t.Errorf("%s is spared by %q, want the published range", googlebot, c.Spared)
	}
	for _, who := range []string{monitor, "89.10.0.1"} {
		if c, ok := w.caseOf(t, who); ok {
			t.Errorf("%s did nothing and has a case: %s", who, c.Reason)
		}
	}
}

// checkCase fails unless all is kept of somebody that explain needs.
func checkCase(t *testing.T, w *world, who, verdict string) detect.Case {
	t.Helper()
	c, ok := w.caseOf(t, who)
	if !ok {
		t.Errorf("%s: no case", who)
		return c
	}
	if c.Verdict != verdict || c.Indicator != who || c.Run == "" || c.Mode != detect.ModeEnforce || c.Reason == "" || len(c.Parts) == 0 || len(c.Rules) == 0 || !c.At.Equal(clock) {
		t.Errorf("case of %s = %+v, want verdict %s and all about it", who, c, verdict)
	}
	for _, rule := range c.Rules {
		if rule.ID == "" || rule.Version == 0 || rule.Title == "" || len(rule.Query) != 64 || rule.Logstore != "gateway" || rule.Count <= 0 || rule.Search == "" ||
			!rule.From.Before(rule.To) || rule.FirstSeen.Before(rule.From) || rule.LastSeen.After(rule.To) {
			t.Errorf("case of %s: rule %+v lacks something", who, rule)
		}
	}
	if !slices.ContainsFunc(c.Rules, func(r detect.CaseRule) bool { return len(r.Samples) > 0 }) && who != wellKnown && who != hearsay && who != fakeGooglebot {
		t.Errorf("case of %s: no sample of its lines: %+v", who, c.Rules)
	}
	about, err := w.store.About(t.Context(), clock, someone(t, who))
	if _, listed := onList[who]; err != nil || listed != (about.Entry != nil) {
		t.Errorf("%s: about = %+v, %v", who, about, err)
	}
	return c
}

// namesNobody fails if the function's output or answer names an address or an account of the day.
func namesNobody(t *testing.T, w *world) {
	t.Helper()
	w.keeps(t)
	out := w.out.String()
	for _, name := range []string{
		scanner, injector, guesser, manyAccounts, forgetful, googlebot, fakeGooglebot, wellKnown, hearsay, crawlerOfPages, "2a06:98c0", monitor, "colleague-", "old-hand", "admin", "UNION",
	} {
		if strings.Contains(out, name) {
			t.Errorf("output names %s:\n%s", name, out)
		}
	}
}

func TestAMixedDayEndsAsWasPromised(t *testing.T) {
	t.Parallel()
	w := newDay(t, onMiniredis(t))
	f := w.start(t, nil)
	got, err := w.invoke(t, f, tickAt(clock))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.out)
	}
	if got.Mode != detect.ModeEnforce || got.Blocked != 6 || got.Challenged != 2 || got.Added != 8 || got.Spared != 1 || got.Held != 0 {
		t.Errorf("result = %+v", got)
	}
	checkDay(t, w)
	report := w.report(t)
	for who, why := range map[string]string{manyAccounts: "accounts with", forgetful: "logins or orders succeeded"} {
		at := slices.IndexFunc(report.ObservedList, func(f detect.Finding) bool { return f.Indicator == who })
		if at < 0 {
			t.Errorf("the report does not list %s as observed", who)
		} else if f := report.ObservedList[at]; !strings.Contains(f.Reason, why) {
			t.Errorf("the report says of %s only %q, want why it is not blocked: %q", who, f.Reason, why)
		}
	}
	namesNobody(t, w)
}

// Triggers are at-least-once: all that is kept must be as one clean pass leaves it.
func TestTwoInstancesAtOnceAndAReplayLeaveTheMixedDayAsItWas(t *testing.T) {
	t.Parallel()
	w := newDay(t, onMiniredis(t))
	// A direct call takes no lease, so two of these do the same work at once.
	first, second := w.start(t, nil), w.start(t, nil)
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := first.Invoke(t.Context(), wholeDay()); err != nil {
			t.Error(err)
		}
	})
	group.Go(func() {
		if _, err := second.Invoke(t.Context(), tickAt(clock)); err != nil {
			t.Error(err)
		}
	})
	group.Wait()
	checkDay(t, w)
	list := w.listed(t, clock)
	for who, e := range list {
		if want := map[bool]int{true: 2, false: 1}[who == wellKnown]; e.Strikes != want {
			t.Errorf("%s has %d strikes, want %d", who, e.Strikes, want)
		}
	}
	cases := casesOf(t, w)
	for _, event := range [][]byte{tickAt(clock), wholeDay()} {
		if _, err := w.invoke(t, first, event); err != nil {
			t.Fatal(err)
		}
	}
	checkDay(t, w)
	if diff := cmp.Diff(list, w.listed(t, clock), cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" {
		t.Errorf("the list changed by reading the same lines again (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(cases, casesOf(t, w)); diff != "" {
		t.Errorf("the cases changed by reading the same lines again (-first +again):\n%s", diff)
	}
}

// casesOf are the cases of everybody on the day, without the run that wrote them.
func casesOf(t *testing.T, w *world) map[string]string {
	t.Helper()
	all := map[string]string{}
	for who := range onList {
		c, _ := w.caseOf(t, who)
		c.Run = ""
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		all[who] = string(bytes.TrimSpace(text))
	}
	return all
}
