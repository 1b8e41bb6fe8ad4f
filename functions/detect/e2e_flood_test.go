//go:build cgo

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// The flood that this project began with, as an access log that knows accounts has it:
// 10,372 addresses in seven minutes, one request each, ever other agents, one account.
const (
	floodAddresses = 10_372
	floodFor       = 7 * time.Minute
	floodAccount   = "nbNgQ01wRWiOSVcI2Y/hUw=="
)

// flooded is half an hour of a shop with the flood in its middle.
func flooded(start time.Time) log {
	var l log
	for i := range 300 {
		l.get(fmt.Sprintf("89.%d.%d.%d", 10+i%40, i%200, 1+i%250), start.Add(-20*time.Minute+time.Duration(i)*5*time.Second), 4*time.Minute, 24, func(n int, v *visit) {
			v.path, v.referer, v.account = fmt.Sprintf("/articles/%d", (i+n)%50), "https://shop.example.com/", fmt.Sprintf("customer-%d", i)
			if n%8 == 0 {
				v.path = "/api/sms" // some do ask for a code
			}
		})
	}
	for i := range floodAddresses {
		l.get(fmt.Sprintf("%d.%d.%d.%d", 90+i%100, i/100%250, i*7%250, 1+i%250), start.Add(time.Duration(i)*floodFor/floodAddresses), time.Second, 1, func(_ int, v *visit) {
			v.method, v.path, v.account = "POST", fmt.Sprintf("/api/sms?nonce=%x", i*7919), floodAccount
			v.agent = fmt.Sprintf("Mozilla/5.0 (Windows NT %d.%d; rv:%d.0) Gecko/20100101", 6+i%5, i%4, 40+i%90)
		})
	}
	return l
}

func TestADistributedFloodIsReportedWithinTwoWindowsAndItsAccountIsActedOn(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, onMiniredis(t))
	start := clock.Truncate(2 * time.Minute).Add(-30*time.Minute + 40*time.Second) // inside of a window
	w.onAccessLog(t, flooded(start))
	f := w.start(t, nil)
	const window = 2 * time.Minute

	// The timer fires each minute; what is in the log already is what has come by then.
	var found, acted time.Time
	last := start.Truncate(time.Minute).Add(2*window + time.Minute)
	for at := start.Truncate(time.Minute); !at.After(last); at = at.Add(time.Minute) {
		got, err := w.invoke(t, f, tickAt(at))
		if err != nil {
			t.Fatalf("%v\n%s", err, w.out)
		}
		if found.IsZero() && got.Campaigns > 0 {
			found = at
			checkCampaigns(t, w)
		}
		if _, ok := w.listed(t, at)[floodAccount]; ok && acted.IsZero() {
			acted = at
		}
	}
	if found.IsZero() || found.Sub(start) > 2*window {
		t.Errorf("the flood began at %s and was reported at %s, want within two windows of %s", start, found, window)
	}
	if acted.IsZero() || acted.Sub(start) > 2*window {
		t.Errorf("the flood began at %s and its account was acted on at %s, want within two windows of %s", start, acted, window)
	}
	end := start.Add(floodFor + 2*time.Minute)
	if _, err := w.invoke(t, f, tickAt(end)); err != nil {
		t.Fatal(err)
	}
	addresses := 0
	for _, e := range w.listed(t, end) {
		if e.Indicator.Kind() == threat.KindAddress {
			addresses++
		} else if e.Indicator.Account() != floodAccount || e.Addresses < 1000 {
			t.Errorf("%s with %d addresses is on the list", e.Indicator.Masked(), e.Addresses)
		}
	}
	if addresses >= 20 {
		t.Errorf("%d addresses are on the list, want fewer than 20: the answer to a distributed flood is not ten thousand rows", addresses)
	}
	if c, ok := w.caseOf(t, floodAccount); !ok || len(c.Rules) == 0 || c.Rules[0].Addresses < 100 {
		t.Errorf("case of the account = %+v", c)
	}
	w.keeps(t)
	if out := w.out.String(); strings.Contains(out, "/api/sms") || strings.Contains(out, "customer-") {
		t.Errorf("output names a path or an account:\n%s", out)
	}
}

// checkCampaigns fails unless the last report names the page that the flood is about.
func checkCampaigns(t *testing.T, w *world) {
	t.Helper()
	for _, c := range w.report(t).CampaignList {
		if c.Kind == "path" && c.Value == "/api/sms" {
			if c.Clients < 300 || c.Action != threat.Challenge.String() || len(c.Addresses) == 0 || len(c.Accounts) == 0 || c.Reason == "" {
				t.Errorf("campaign = %+v", c)
			}
			return
		}
	}
	t.Errorf("no campaign about the page: %+v", w.report(t).CampaignList)
}
