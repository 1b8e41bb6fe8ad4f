package waftest

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Whom the stand-in of Tencent Cloud knows unless TencentOptions.Keys says otherwise.
const (
	TencentSecretID  = "AKIDwaftestEXAMPLE0000000000000000"
	TencentSecretKey = "waftestEXAMPLEsecretKEY00000000"
)

// TencentKey is what belongs to a SecretId.
type TencentKey struct {
	Secret string
	Token  string // of temporary credentials; "" for keys that do not expire
}

// TencentOptions tell how the stand-in behaves. The zero value is a fast, calm Tencent
// Cloud with the documented quotas.
type TencentOptions struct {
	// Latency is added to every call.
	Latency time.Duration
	// Rate is how many calls of each action are let through within a second, per account and Region;
	// 0: any number. Tencent Cloud documents 20 for WAF and CLB and 100 for VPC.
	Rate int
	// TaskCalls and TaskTime are how long a change of a template or a template group keeps
	// further changes of it waiting (UnsupportedOperation.MutexOperationTaskRunning): that many calls, and that long. Both are 0: not at all.
	TaskCalls int
	TaskTime  time.Duration
	// Form writes addresses as they are read back; nil: as they were written. See TencentForms.
	Form func(string) string
	// Refuse lists addresses that the service will not take, for reasons of its own.
	Refuse []netip.Prefix
	// Keys are the credentials that signatures are checked with; default TencentSecretID.
	Keys map[string]TencentKey
	// Now is the clock of signatures, of rates, of tasks and of entries that expire; default time.Now.
	Now func() time.Time

	// TemplateMembers and GroupMembers are how many addresses a template and how many templates a group hold; default 20 each.
	TemplateMembers, GroupMembers int
	// Templates is how many templates there may be, and how many groups of them; default 1000 each.
	Templates int
	// SharedTemplates: templates and template groups are the same in every Region. Which it is no source says.
	SharedTemplates bool
	// EmptyTemplates: a template or a group may lose its last member. No source says; the careful case is that it may not.
	EmptyTemplates bool
	// UsedTemplatesGo: a template that a group or a policy refers to can be deleted. No source says; the careful case is that it cannot.
	UsedTemplatesGo bool
	// Policies is how many policies a security group holds per direction; default 100.
	Policies int
	// Expanded is how many policies a security group is at most after templates are written out; default 2000.
	Expanded int
	// BalancerExpanded is the same, of both directions together, of one that a load balancer is bound to; default 512 (product/214/14733).
	BalancerExpanded int
	// BalancerGroups is how many security groups a load balancer is bound to; default 5 (product/214/14733), where the API's text says 50.
	BalancerGroups int
	// AccessBatch is how many addresses one entry of WAF's access control list takes; default 100, as in the console.
	AccessBatch int
	// AccessDeletes is how many entries one call deletes; default 100. That there is a limit its error says, which it is nothing.
	AccessDeletes int
	// AccessEntries is how many addresses all entries of a domain hold, black and white together; default by the
	// edition: 1,000, 5,000 or 20,000.
	AccessEntries int
	// AccessPage is the most entries that one page holds; default 100, which clients are seen to ask for.
	AccessPage int
	// AccessOffsetPages: OffSet counts pages, as its documented maximum (Total/Limit) has it, and not entries, as its step (Limit) has it.
	AccessOffsetPages bool
	// AccessEndedGo: an entry that has come to its end is gone, and counts no longer. Otherwise it stays, shown as
	// ended, and counts, until it is deleted: no source says, and this is the careful case.
	AccessEndedGo bool
	// AccessRepeats: an address that an entry of the same domain and kind holds already is taken again, into a second
	// entry. Otherwise the call is refused. No source says.
	AccessRepeats bool
}

// TencentCall is one request as the stand-in saw it.
type TencentCall struct {
	Index    int    // from 0
	Service  string // "vpc", "clb" or "waf"
	Action   string
	Region   string
	Object   string // what it is about: a group's, a template's or a load balancer's id, a domain
	Sent     int    // bytes of the request's body
	Answered int    // bytes of the answer's body
	Code     string // Tencent Cloud's error code; "" for success
	Changed  bool   // something was changed, whatever the caller was told
}

// Write tells whether the action is one that changes something.
func (c TencentCall) Write() bool { return !strings.HasPrefix(c.Action, "Describe") }

func (c TencentCall) name() string { return c.Action }

// Tencent is what a wall on Tencent Cloud needs, in one process and behind one
// endpoint: security groups and address templates (VPC), load balancers (CLB) and the access control list of
// WAF, told apart by the service that a request is signed for. It is an http.Handler; Start
// serves it. All methods are safe for concurrent use.
//
// It is strict where a sloppier stand-in would let bugs pass: signatures are checked, parameters that
// an action does not know or that have another type are refused, a policy's index is its place of the moment, a stale Version is refused, an address
// template holds twenty addresses and is never empty, and errors come with HTTP 200.
//
// Where no source says what the service does, it does what is harder to live with, or an option says which. UNVERIFIED
// against the real service are, beside what the options tell: that a security group is bound after those that are bound
// already; that an entry of the access control list whose end has passed is refused, and so is a member that is to be taken out
// and is not there; that blocks with host bits are refused; that filters by name find parts of names; how long
// the descriptions of members may be (here 100 characters); and the codes of those refusals that the
// SDK's lists of each action's errors leave out (ResourceInUse for templates, LimitExceeded for bindings).
type Tencent struct {
	exchanges[TencentCall]
	server
	opts TencentOptions

	mu        sync.Mutex
	groups    map[string]*tcGroup         // security groups, by id
	templates map[string]*tcTemplate      // by id
	sets      map[string]*tcTemplateGroup // template groups, by id
	balancers map[string]*tcBalancer      // by id
	instances []*tcInstance
	domains   map[string]*tcDomain
	entries   []*tcEntry // in the order in which they were made
	serial    uint64
	denied    []string
	rates     map[string]*tcRate
}

// NewTencent returns a Tencent Cloud with nothing in it but one WAF instance of the Ultimate
// edition ("waf_2kxtlbky", sparta-waf), whose access control list of all domains ("global") is there and empty.
func NewTencent(opts TencentOptions) *Tencent {
	for _, d := range []struct {
		n  *int
		by int
	}{
		{&opts.TemplateMembers, 20},
		{&opts.GroupMembers, 20},
		{&opts.Templates, 1000},
		{&opts.Policies, 100},
		{&opts.Expanded, 2000},
		{&opts.BalancerExpanded, 512},
		{&opts.BalancerGroups, 5},
		{&opts.AccessBatch, 100},
		{&opts.AccessDeletes, 100},
		{&opts.AccessPage, 100},
	} {
		if *d.n == 0 {
			*d.n = d.by
		}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Keys == nil {
		opts.Keys = map[string]TencentKey{TencentSecretID: {Secret: TencentSecretKey}}
	}
	return &Tencent{
		opts: opts, groups: map[string]*tcGroup{}, templates: map[string]*tcTemplate{}, sets: map[string]*tcTemplateGroup{},
		balancers: map[string]*tcBalancer{}, domains: map[string]*tcDomain{}, rates: map[string]*tcRate{},
		instances: []*tcInstance{{id: "waf_2kxtlbky", name: "shop", edition: "sparta-waf", level: 4}},
	}
}

// Start serves on a free port of loopback and returns the endpoint's URL. Close ends it.
func (t *Tencent) Start() (string, error) { return t.serve(t, "tencent cloud") }

// id returns the next identifier: a prefix and eight letters or digits, the same in every run.
func (t *Tencent) id(prefix string) string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	t.serial++
	x := t.serial * 0x9E3779B97F4A7C15 // the golden ratio's multiples are far apart
	id := make([]byte, 8)
	for i := range id {
		id[i] = letters[x>>(64-5*(i+1))&31]
	}
	return fmt.Sprintf("%s-%s", prefix, id)
}
