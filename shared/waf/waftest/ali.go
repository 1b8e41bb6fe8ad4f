package waftest

import (
	"net/netip"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/signtest"
)

// AlibabaOptions tell how the stand-in of Alibaba Cloud behaves. The zero value is a fast,
// calm account with one WAF 3.0 instance that has address books, and a Cloud Firewall.
type AlibabaOptions struct {
	// Region of the WAF instance, and the only one that knows it: cn-hangzhou (default) is the Chinese mainland,
	// ap-southeast-1 everything else.
	Region string
	// InstanceID of the WAF instance; default AlibabaInstance.
	InstanceID string
	// Edition that DescribeInstance tells; default "default_version".
	Edition string
	// NoInstance: the account has no WAF instance in any region.
	NoInstance bool
	// Expired: the instance's Status is 2 and every other operation on it is refused.
	Expired bool
	// NoAddressBooks: the instance's edition has none, the scene address_book is refused. How the
	// service says so is UNVERIFIED; NoAddressBooksCode is the code that it is said with, default ComboError.
	NoAddressBooks     bool
	NoAddressBooksCode string
	// OneDefault: a scene has at most one default template, as older documents say; newer ones do not.
	OneDefault bool
	// DefaultYields: a default template is in force only for objects that no custom template of its scene has
	// and is on. Documents say so for some scenes (region_block), and older ones for all.
	DefaultYields bool
	// Pedantic: AddAddress of an address that is there, and DeleteAddress of one that is not, are refused
	// whole with Defense.Control.DefenseAddressInvalid. What the service does is UNVERIFIED.
	Pedantic bool
	// NoEmptyBooks: Cloud Firewall refuses to take the last address out of a book. UNVERIFIED.
	NoEmptyBooks bool
	// NoBlacklist: DescribeInstance tells IpBlacklist false and the scene ip_blacklist is refused.
	NoBlacklist bool
	// NoCloudFirewall: the account has not bought Cloud Firewall.
	NoCloudFirewall bool
	// Quotas of the instance and the account. A zero takes the default that its comment names.
	Quotas AlibabaQuotas
	// Details are put over what DescribeInstance tells in Details; nil takes a field away.
	Details map[string]any
	// Form is how addresses are read back.
	Form AddressForm
	// HostBits: an IPv4 or IPv6 prefix with host bits set is taken as it is and read back so. Otherwise it is refused.
	HostBits bool
	// TextTimes: GmtCreate and GmtModified come as text ("2026-11-21T12:00:00Z") and not as milliseconds. Sources conflict.
	TextTimes bool
	// Rates refuses a call that comes less than 200 ms after the one before, with Throttling.User; Cloud Firewall: the 11th
	// within a second. A refused call takes nothing from the rate. The numbers of WAF are UNVERIFIED: 200 ms is
	// what the vendor's own scripts keep.
	Rates bool
	// Every is the pace of Rates in place of 200 ms.
	Every time.Duration
	// BookPause refuses a change of an address book that comes sooner after the last one of the same
	// book, with Defense.Control.DefenseAddressOperationTooFrequent. 0: never. The real time is UNVERIFIED.
	BookPause time.Duration
	// Latency is added to every call.
	Latency time.Duration
	// Keys are the access keys that may sign; none: AlibabaKeyID with its secret and token.
	Keys []AlibabaKey
	// Refuse lists addresses that the service will not take, for reasons of its own.
	Refuse []netip.Prefix
	// Ours tells by name and description what is tracewall's; everything else is Foreign. Default: both begin
	// with "tracewall" in any case. Cloud Firewall's policies have a description only: the name is "" then.
	Ours func(name, description string) bool
	// Now is the clock of signatures, rates and times of change; default time.Now.
	Now func() time.Time
}

// What a stand-in without other options answers to. The key is nobody's.
const (
	AlibabaInstance  = "waf_v3prepaid_public_cn-standin01"
	AlibabaKeyID     = "STS.standin"
	AlibabaKeySecret = "the secret of the stand-in" //nolint:gosec // nobody's
	AlibabaToken     = "the token of the stand-in"  //nolint:gosec // nobody's
)

// AlibabaKey is an access key. One with a Token is temporary and worth nothing without it.
type AlibabaKey struct {
	ID, Secret, Token string
	// Expired: the token's time is over.
	Expired bool
}

// AlibabaQuotas bound what an instance and a Cloud Firewall hold.
type AlibabaQuotas struct {
	BlacklistAddresses int // addresses in one ip_blacklist rule; 200 (Details.IpBlacklistIpInRuleMaxCount)
	BlacklistRules     int // rules in one ip_blacklist template; 100
	BlacklistTemplates int // ip_blacklist templates; 20
	CustomRules        int // rules in one custom_acl template; 100
	CustomTemplates    int // custom_acl templates; 20
	ACLAddresses       int // literal addresses in one condition of a custom_acl rule; 100 (Details.AclRuleMaxIpCount)
	Books              int // address books; 50 (UNVERIFIED)
	BookAddresses      int // addresses in all address books together; 50,000 (UNVERIFIED: differs by edition)
	Batch              int // addresses in one AddAddress or DeleteAddress; 500 (UNVERIFIED)
	ObjectsInTemplate  int // protected objects bound to one template; 100
	CloudBooks         int // Cloud Firewall's own address books; 5,000
	CloudAddresses     int // addresses in one of them; 2,000
	CloudBatch         int // addresses in one AddAddressBook or ModifyAddressBook; 2,000 (UNVERIFIED)
	CloudSpread        int // entries that all policies of the Internet border take together, books spread out; 20,000 (UNVERIFIED: differs by edition)
}

// AddressForm is how an address is spelt when it is read back.
type AddressForm int

// The forms in which an address comes back.
const (
	AsWritten   AddressForm = iota // what was sent
	WithBits                       // always a prefix: "192.0.2.4" comes back as "192.0.2.4/32"
	WithoutBits                    // single addresses without their length
	LongUpper                      // with bits, and IPv6 with all digits in upper case: "2001:0DB8:0000:…:0001/128"
)

// AlibabaCall is one request as the stand-in saw it.
type AlibabaCall struct {
	Index   int    // from 0
	Product string // "waf" or "cloudfw"
	Action  string
	Scene   string // DefenseScene, or that of the template or rule; "" for none
	Object  string // id of the template, rule or book that it is about
	Entries int    // addresses in it
	Sent    int    // bytes of query and body
	Code    string // of the error; "" for success
	Changed bool   // something was changed, whatever the caller was told
}

// Write tells whether the action is one that changes something.
func (c AlibabaCall) Write() bool { return !isRead(c.Action) }

func (c AlibabaCall) name() string { return c.Action }

// Alibaba is one account's WAF 3.0 (2021-10-01) and Cloud Firewall (2017-12-07) in one
// process, on one endpoint. It is an http.Handler and all its methods are safe for concurrent
// use. What it is asked and told by methods makes no AlibabaCall and suffers no fault.
type Alibaba struct {
	exchanges[AlibabaCall]
	server
	opts AlibabaOptions

	mu     sync.Mutex
	state  aliState
	serial int64
	uuids  int64
	denied []string
	nonces signtest.Nonces
	paces  aliPaces
}

// NewAlibaba returns an account without templates, rules, books or protected objects. Start serves it.
func NewAlibaba(opts AlibabaOptions) *Alibaba {
	if opts.Region == "" {
		opts.Region = "cn-hangzhou"
	}
	if opts.InstanceID == "" {
		opts.InstanceID = AlibabaInstance
	}
	if opts.Edition == "" {
		opts.Edition = "default_version"
	}
	if opts.NoAddressBooksCode == "" {
		opts.NoAddressBooksCode = "ComboError"
	}
	if len(opts.Keys) == 0 {
		opts.Keys = []AlibabaKey{{ID: AlibabaKeyID, Secret: AlibabaKeySecret, Token: AlibabaToken}}
	}
	if opts.Every == 0 {
		opts.Every = 200 * time.Millisecond
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Ours == nil {
		opts.Ours = marked
	}
	opts.Quotas = opts.Quotas.withDefaults()
	a := &Alibaba{opts: opts, state: newAliState(), serial: 20_000_000}
	a.state.yields = opts.DefaultYields
	return a
}

func (q AlibabaQuotas) withDefaults() AlibabaQuotas {
	for _, one := range []struct {
		field    *int
		standard int
	}{
		{&q.BlacklistAddresses, 200},
		{&q.BlacklistRules, 100},
		{&q.BlacklistTemplates, 20},
		{&q.CustomRules, 100},
		{&q.CustomTemplates, 20},
		{&q.ACLAddresses, 100},
		{&q.Books, 50},
		{&q.BookAddresses, 50_000},
		{&q.Batch, 500},
		{&q.ObjectsInTemplate, 100},
		{&q.CloudBooks, 5_000},
		{&q.CloudAddresses, 2_000},
		{&q.CloudBatch, 2_000},
		{&q.CloudSpread, 20_000},
	} {
		if *one.field == 0 {
			*one.field = one.standard
		}
	}
	return q
}

// Start serves on a free port of loopback and returns the endpoint's URL. Close ends it.
func (a *Alibaba) Start() (string, error) { return a.serve(a, "alibaba cloud") }

// Deny makes calls of some actions fail as they do without a permission, from now on:
// "AddAddress", "cloudfw:AddAddressBook", or "*" for all. It replaces what was denied before; without arguments it denies nothing.
func (a *Alibaba) Deny(actions ...string) { a.mu.Lock(); a.denied = actions; a.mu.Unlock() }

// SetQuotas changes the quotas from now on; zeros take the defaults.
func (a *Alibaba) SetQuotas(q AlibabaQuotas) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opts.Quotas = q.withDefaults()
}

// id returns the next number of a template or rule.
func (a *Alibaba) id() int64 { a.serial += 7; return a.serial }
