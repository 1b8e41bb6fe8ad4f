package aliwaf_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
)

// spoken is a service that says the same to each call of an action.
type spoken map[string]string

func (a spoken) RoundTrip(r *http.Request) (*http.Response, error) {
	if body, err := io.ReadAll(r.Body); err == nil {
		if values, err := url.ParseQuery(string(body)); err == nil && values.Get("ModifyMode") != "" {
			a["sent"] = values.Get("ModifyMode") + " " + values.Get("AddressList")
		}
	}
	text, known := "", false
	for key, values := range r.Header { // in the SDK's own spelling: no server has been there yet
		if strings.EqualFold(key, "x-acs-action") {
			text, known = a[strings.Join(values, "")]
		}
	}
	status := http.StatusOK
	if !known {
		status, text = http.StatusBadRequest, `{"Code":"InvalidParameter","Message":"no such answer"}`
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)),
	}, nil
}

// look is one Look at a cloud firewall that gives these spoken.
func (a spoken) look(t *testing.T) (waf.State, waf.Firewall, error) {
	t.Helper()
	c := cloud{now: time.Now}
	config := c.config()
	config.Endpoint, config.Transport = "http://127.0.0.1:1", a
	f, err := aliwaf.New(config, aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, Mode: aliwaf.ModeCloudFirewall})
	if err != nil {
		t.Fatal(err)
	}
	state, err := f.Look(t.Context())
	return state, f, err
}

func TestCloudFirewallReadsABookInEachFormThatTheServiceShows(t *testing.T) {
	for name, tt := range map[string]struct {
		list  string // AddressList
		count int
		want  string
		err   error
		drift bool
	}{
		"a list":                               {list: `["192.0.2.1/32","192.0.2.8/29"]`, count: 2, want: "192.0.2.1/32 192.0.2.8/29"},
		"a list in a text, as in the example":  {list: `["[ \"192.0.2.1/32\", \"192.0.2.8/29\" ]"]`, count: 2, want: "192.0.2.1/32 192.0.2.8/29"},
		"entries with notes":                   {list: `["192.0.2.1/32 seen by detect","192.0.2.8/29"]`, count: 2, want: "192.0.2.1/32 192.0.2.8/29"},
		"the placeholder of an empty book":     {list: `["0.0.0.0/32"]`, count: 1},
		"what is no address":                   {list: `["192.0.2.1/32","somewhere"]`, count: 2, want: "192.0.2.1/32", drift: true},
		"fewer than the book says to hold":     {list: `["192.0.2.1/32"]`, count: 2, err: waf.ErrUnavailable},
		"a text that looks like a list but no": {list: `["[ 192.0.2.1/32"]`, count: 1, err: waf.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			state, f, err := spoken{
				"DescribeAddressBook":   fmt.Sprintf(`{"Acls":[{"GroupUuid":"u1","GroupName":"tracewall-shop-v4-001","GroupType":"ip","Description":"tracewall:shop","AddressList":%s,"AddressListCount":%d}],"TotalCount":"1"}`, tt.list, tt.count),
				"DescribeControlPolicy": `{"Policys":[],"TotalCount":"0"}`,
			}.look(t)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err != nil {
				return
			}
			listings, err := f.(waf.BookFirewall).Listings(t.Context())
			must(t, err)
			var got []string
			for _, l := range listings {
				got = append(got, l.Prefix.String())
			}
			if strings.Join(got, " ") != tt.want || state.Book.Count != len(got) || tt.drift != (len(state.Drift) > 0) {
				t.Errorf("holds %q, count %d, drift %q; want %q", got, state.Book.Count, state.Drift, tt.want)
			}
		})
	}
}

func TestCloudFirewallCountsOnNoPolicyThatIsThereAtTimesOnly(t *testing.T) {
	for repeat, effective := range map[string]bool{"": true, "Permanent": true, "Daily": false} {
		_, f, err := spoken{
			"DescribeAddressBook":   `{"Acls":[{"GroupUuid":"u1","GroupName":"tracewall-shop-v4-001","GroupType":"ip","Description":"tracewall:shop","AddressList":["192.0.2.1/32"],"AddressListCount":1}],"TotalCount":"1"}`,
			"DescribeControlPolicy": fmt.Sprintf(`{"Policys":[{"AclUuid":"p","AclAction":"drop","Description":"theirs","Source":"tracewall-shop-v4-001","SourceType":"group","Destination":"0.0.0.0/0","DestinationType":"net","Proto":"ANY","ApplicationName":"ANY","Release":"true","RepeatType":%q,"Order":1}],"TotalCount":"1"}`, repeat),
		}.look(t)
		must(t, err)
		proof, err := f.(waf.Prover).Prove(t.Context())
		must(t, err)
		if proof.Effective != effective {
			t.Errorf("repeat %q: effective %t, want %t (%q)", repeat, proof.Effective, effective, proof.Reasons)
		}
	}
}

func TestCloudFirewallDeletesAnAddressAsItIsSpelledThere(t *testing.T) {
	says := spoken{
		"DescribeAddressBook":   `{"Acls":[{"GroupUuid":"u1","GroupName":"tracewall-shop-v4-001","GroupType":"ip","Description":"tracewall:shop","AddressList":["192.0.2.1","192.0.2.8/29"],"AddressListCount":2}],"TotalCount":"1"}`,
		"DescribeControlPolicy": `{"Policys":[],"TotalCount":"0"}`,
		"ModifyAddressBook":     `{"RequestId":"r"}`,
	}
	_, f, err := says.look(t)
	must(t, err)
	must(t, f.(waf.BookFirewall).Remove(t.Context(), []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, waf.Stamp{Epoch: "e", Generation: 1}))
	if says["sent"] != "Delete 192.0.2.1" {
		t.Errorf("sent %q", says["sent"])
	}
}

func TestCloudFirewallAsksAnEmptyBookLastWhichListItIsOf(t *testing.T) {
	book := func(n int, description, list string, count int) string {
		return fmt.Sprintf(`{"GroupUuid":"u%d","GroupName":"tracewall-shop-v4-00%d","GroupType":"ip","Description":%q,"AddressList":%s,"AddressListCount":%d}`, n, n, description, list, count)
	}
	for name, tt := range map[string]struct {
		books string
		want  *waf.Stamp
	}{
		"the newest of the first one's list": {
			book(1, "tracewall:shop epoch=a generation=3", `["192.0.2.1/32"]`, 1) + "," + book(2, "tracewall:shop epoch=a generation=7", `["192.0.2.2/32"]`, 1) + "," + book(3, "tracewall:shop epoch=b generation=9", `["192.0.2.3/32"]`, 1),
			&waf.Stamp{Epoch: "a", Generation: 7},
		},
		"an empty one was left behind": {
			book(1, "tracewall:shop epoch=old generation=3", `[]`, 0) + "," + book(2, "tracewall:shop epoch=new generation=1", `["192.0.2.2/32"]`, 1),
			&waf.Stamp{Epoch: "new", Generation: 1},
		},
		"all are empty": {book(1, "tracewall:shop epoch=a generation=3", `[]`, 0), &waf.Stamp{Epoch: "a", Generation: 3}},
		"none says":     {book(1, "tracewall:shop", `["192.0.2.1/32"]`, 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			state, _, err := spoken{
				"DescribeAddressBook":   fmt.Sprintf(`{"Acls":[%s],"TotalCount":"%d"}`, tt.books, strings.Count(tt.books, "GroupUuid")),
				"DescribeControlPolicy": `{"Policys":[],"TotalCount":"0"}`,
			}.look(t)
			must(t, err)
			if (state.Stamp == nil) != (tt.want == nil) || state.Stamp != nil && *state.Stamp != *tt.want {
				t.Errorf("stamp %+v, want %+v", state.Stamp, tt.want)
			}
		})
	}
}
