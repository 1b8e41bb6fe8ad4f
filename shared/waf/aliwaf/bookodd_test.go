package aliwaf_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// reworded passes answers of one action on as a service would word them that is unlike the stand-in.
type reworded struct {
	action string
	words  func(answer map[string]any)
}

func (r reworded) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := sharedHTTP.RoundTrip(req)
	if err != nil || actionOf(req) != r.action {
		return resp, err
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	r.words(answer)
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
	return resp, nil
}

// actionOf returns the action of a request, whose header darabonba spells in small letters.
func actionOf(req *http.Request) string {
	for name, values := range req.Header {
		if strings.EqualFold(name, "x-acs-action") {
			return values[0]
		}
	}
	return ""
}

func (c *cloud) openThrough(t *testing.T, transport http.RoundTripper) waf.Firewall {
	t.Helper()
	cfg := c.config()
	cfg.Transport = transport
	f, err := aliwaf.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestATotalThatCountsThePageCountsForNothing(t *testing.T) {
	for name, total := range map[string]func(answer map[string]any){
		"of the page": func(a map[string]any) { a["TotalCount"] = len(a["AddressList"].([]any)) },
		"none":        func(a map[string]any) { delete(a, "TotalCount") },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AlibabaOptions{})
			r := &runner{c: c, f: c.openThrough(t, reworded{"DescribeAddresses", total})}
			r.ok(t, 1, hosts(0, 25))
			state, err := r.f.Look(t.Context())
			if err != nil || state.Book.Count != -1 {
				t.Errorf("count %d (%v), want unknown", state.Book.Count, err)
			}
			if report := r.ok(t, 2, hosts(0, 25)); report.Writes != 0 {
				t.Errorf("%d writes", report.Writes)
			}
			r.ok(t, 3, hosts(5, 25), verify)
		})
	}
}

func TestABookThatShowsLessThanItSaysIsNotBelieved(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 25))
	f := c.openThrough(t, reworded{"DescribeAddresses", func(a map[string]any) {
		a["TotalCount"] = 25.0
		if list := a["AddressList"].([]any); len(list) > 20 {
			a["AddressList"] = list[:20]
		}
	}}).(waf.BookFirewall)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Listings(t.Context()); !errors.Is(err, waf.ErrUnavailable) || list != nil {
		t.Errorf("%d listings, %v", len(list), err)
	}
}

func TestEntriesThatAreNoAddressesAreToldAndDoNotCount(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 25))
	r.f = c.openThrough(t, reworded{"DescribeAddresses", func(a map[string]any) {
		a["TotalCount"] = a["TotalCount"].(float64) + 2
		if list := a["AddressList"].([]any); len(list) > 20 {
			a["AddressList"] = append(list, map[string]any{"Address": "office"}, map[string]any{"Address": "203.0.0.1/32"}) // the second is there in another spelling
		}
	}})
	r.ok(t, 2, hosts(0, 25)) // reads the book
	report := r.ok(t, 3, hosts(0, 25))
	if report.Calls != 3 || len(report.Notes) != 1 {
		t.Errorf("%d calls, notes %q", report.Calls, report.Notes)
	}
}

func TestARefusalBecauseItIsThereAlreadyIsNone(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	c.Fail("AddAddress", 0, 1, waftest.Fault{Code: "Defense.Control.DefenseAddressAlreadyThere", AfterChange: true})
	c.Fail("DeleteAddress", 0, 1, waftest.Fault{Code: "Defense.Control.DefenseAddressNotThere", AfterChange: true})
	r.ok(t, 2, hosts(2, 5))
	c.Heal()
	c.Fail("AddAddress", 0, -1, waftest.Fault{Code: "Defense.Control.SomethingNew"})
	if _, err := r.run(t, 3, hosts(2, 8)); err == nil {
		t.Error("a refusal with a code that nobody knows is taken for a success")
	}
}

func TestAnOldMemoryDoesNotTakeBackWhatWasSeen(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := newCloud(t, waftest.AlibabaOptions{Now: func() time.Time { return now }})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	old := r.f.(waf.Rememberer).Memory()
	now = now.Add(aliwaf.LookEvery)
	r.ok(t, 2, hosts(0, 9))
	newer := r.f.(waf.Rememberer).Memory()
	r.f.(waf.Rememberer).Recall(old)
	if got := r.f.(waf.Rememberer).Memory(); !slices.Equal(got, newer) {
		t.Errorf("memory %s, want %s", got, newer)
	}
	for _, bad := range []string{"", "{", `{"v":99}`, `{"v":1,"where":"elsewhere","book":1,"template":2,"rule":3,"left":true,"at":9999999999999}`} {
		f := c.open(t)
		f.(waf.Rememberer).Recall([]byte(bad))
		if f.(waf.Rememberer).Memory() != nil {
			t.Errorf("%s is taken for a memory", bad)
		}
	}
}

func TestAMemoryIsGoodForItsOwnTargetOnly(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	memory := r.f.(waf.Rememberer).Memory()
	for name, change := range map[string]func(*aliwaf.Target){
		"name":     func(t *aliwaf.Target) { t.Name = "shop2" },
		"region":   func(t *aliwaf.Target) { t.Region = aliwaf.RegionInternational },
		"instance": func(t *aliwaf.Target) { t.InstanceID = "waf-other" },
		"objects":  func(t *aliwaf.Target) { t.Objects = []string{shopObject} },
	} {
		target := c.target
		change(&target)
		f := c.openAs(t, target)
		f.(waf.Rememberer).Recall(memory)
		if f.(waf.Rememberer).Memory() != nil {
			t.Errorf("the memory is taken by a target with another %s", name)
		}
	}
}

// What an operator writes after our mark stays there.
func TestARemarkInTheDescriptionStays(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	_, _, book := c.ours(t)
	if err := c.RenameBook(book.ID, book.Name, book.Description+" ask Mei before you touch it"); err != nil {
		t.Fatal(err)
	}
	r.f = c.open(t)
	r.ok(t, 7, hosts(0, 5), verify)
	if _, _, book = c.ours(t); book.Description != "tracewall:shop epoch=epoch-1 generation=7 ask Mei before you touch it" {
		t.Errorf("description %q", book.Description)
	}
}

func TestABookWithoutItsNoteGetsItBack(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	c := newCloud(t, waftest.AlibabaOptions{Now: func() time.Time { return now }})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	_, _, book := c.ours(t)
	if err := c.RenameBook(book.ID, book.Name, ""); err != nil {
		t.Fatal(err)
	}
	now = now.Add(aliwaf.LookEvery)
	r.ok(t, 2, hosts(0, 5)) // an id is given once: it is known to be ours
	if _, _, book = c.ours(t); book.Description != "tracewall:shop epoch=epoch-1 generation=2" {
		t.Errorf("description %q", book.Description)
	}
}

// Another deployment that took the same target name wrote into our book: what it stamped is seen at once,
// although a memory says what we stamped.
func TestAnotherListInOurBookIsRefusedAtOnce(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 25))
	_, _, book := c.ours(t)
	if err := c.RenameBook(book.ID, book.Name, "tracewall:shop epoch=epoch-2 generation=1"); err != nil {
		t.Fatal(err)
	}
	if err := c.EditBook(book.ID, []string{"203.1.0.1"}, nil); err != nil {
		t.Fatal(err)
	}
	if report, err := r.run(t, 2, hosts(0, 25)); !errors.Is(err, waf.ErrEpoch) || report.Writes != 0 {
		t.Errorf("error %v, %d writes", err, report.Writes)
	}
}

// sent keeps what one parameter of one action was in each call.
type sent struct {
	action, parameter string
	values            *[]string
}

func (s sent) RoundTrip(req *http.Request) (*http.Response, error) {
	if actionOf(req) == s.action {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(raw))
		if err != nil {
			return nil, err
		}
		*s.values = append(*s.values, form.Get(s.parameter))
		req.Body = io.NopCloser(bytes.NewReader(raw))
	}
	return sharedHTTP.RoundTrip(req)
}

// Whether DeleteAddress finds an address in another spelling than the one that the book shows is not known.
func TestAnAddressIsTakenOutInTheSpellingThatTheBookShows(t *testing.T) {
	for form, want := range map[waftest.AddressForm][2]string{
		waftest.AsWritten: {"203.0.0.0", "203.0.0.1"},
		waftest.WithBits:  {"203.0.0.0/32", "203.0.0.1/32"},
		waftest.LongUpper: {"203.0.0.0/32", "203.0.0.1/32"},
	} {
		c := newCloud(t, waftest.AlibabaOptions{Form: form})
		r := &runner{c: c}
		r.ok(t, 1, hosts(0, 25))
		var values []string
		transport := sent{"DeleteAddress", "AddressList.1", &values}
		r.f, r.book = c.openThrough(t, transport), nil
		r.ok(t, 2, hosts(1, 24)) // has read the book
		memory := r.f.(waf.Rememberer).Memory()
		r.f = c.openThrough(t, transport)
		r.f.(waf.Rememberer).Recall(memory)
		r.ok(t, 3, hosts(2, 23)) // only remembers
		if !slices.Equal(values, want[:]) {
			t.Errorf("form %d: taken out as %q, want %q", form, values, want)
		}
	}
	c := newCloud(t, waftest.AlibabaOptions{Form: waftest.LongUpper})
	r := &runner{c: c}
	r.ok(t, 1, []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")})
	var values []string
	r.f, r.book = c.openThrough(t, sent{"DeleteAddress", "AddressList.1", &values}), nil
	r.ok(t, 2, nil)
	if !slices.Equal(values, []string{"2001:0DB8:0000:0000:0000:0000:0000:0000/64"}) {
		t.Errorf("taken out as %q", values)
	}
}

func TestTakingOutWhatIsGoneAlreadyTakesOutTheRest(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{Pedantic: true})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	_, _, book := c.ours(t)
	if err := c.EditBook(book.ID, []string{"203.1.0.1"}, []string{"203.0.0.3"}); err != nil {
		t.Fatal(err)
	}
	if report, err := r.run(t, 2, hosts(0, 3)); err != nil {
		t.Errorf("error %v, %q", err, report.Plan)
	}
	if got := c.enforced(); len(got) != 4 {
		t.Errorf("in force: %v", got)
	}
	r.ok(t, 3, hosts(0, 3), verify)
}

func TestPuttingInWhatIsThereAlreadyIsNoRejection(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{Pedantic: true})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	_, _, book := c.ours(t)
	if err := c.EditBook(book.ID, []string{"203.0.0.5"}, []string{"203.0.0.0"}); err != nil {
		t.Fatal(err)
	}
	if report := r.ok(t, 2, hosts(1, 5)); len(report.Rejected) != 0 {
		t.Errorf("rejected %+v", report.Rejected)
	}
}
