package waftest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// AWSOptions tell how the stand-in behaves. The zero value is a fast, calm AWS.
type AWSOptions struct {
	// Latency is added to every call.
	Latency time.Duration
	// RateLimits throttles as AWS does, per account, Region and action: 1 call a second
	// of each that changes something and of CheckCapacity, 5 of each Get and List, 1 in two seconds of
	// Associate and Disassociate. A bucket holds one call: nothing is saved up. STS and CloudFront have no rates here.
	RateLimits bool
	// OthersUse lets a second client of each account (the console, Terraform) call these
	// actions this often, from the first call of the action on. Its calls take from the same rates.
	OthersUse map[string]time.Duration
	// AlwaysMarker returns a NextMarker from every List call, also after the last item.
	AlwaysMarker bool
	// NotReady makes every new IP set and rule group unavailable to the first n calls that refer to it.
	NotReady int
	// MaxSets is the account's quota of IP sets per Region and scope; default 100.
	MaxSets int
	// MaxGroups is the account's quota of rule groups per Region and scope; default 100.
	MaxGroups int
	// Roles are the roles that STS hands out keys for: ARN to external id. What is then
	// done with the keys happens in the account that the ARN names.
	Roles map[string]string
	// Judge is asked first about every request to WAFv2; what it says is wrong is answered with
	// ValidationException. Model.Requests is one.
	Judge func(op string, body []byte) (wrong []string)
	// Refuse lists addresses that the service will not take, for reasons of its own.
	Refuse []netip.Prefix
	// Page is the most items that a List call returns; default 100.
	Page int
	// Now is the clock of RateLimits; default time.Now.
	Now func() time.Time
}

// Call is one request as the stand-in saw it.
type Call struct {
	Index    int    // from 0
	Service  string // "wafv2", "sts" or "cloudfront"
	Op       string
	Account  string // that the caller's key belongs to
	Region   string
	Scope    string
	Name     string // of the object
	Sent     int    // bytes of the request's body
	Answered int    // bytes of the answer's body
	Code     string // AWS's error code; "" for success
	Changed  bool   // something was changed, whatever the caller was told
}

// Write tells whether the operation is one that changes something.
func (c Call) Write() bool {
	return !strings.HasPrefix(c.Op, "Get") && !strings.HasPrefix(c.Op, "List") && c.Op != "CheckCapacity" && c.Op != "AssumeRole"
}

func (c Call) name() string { return c.Op }

// AWS is WAFv2 in one process. It is an http.Handler; Start serves it. All methods are safe for concurrent use.
//
// It is as strict as the service is documented to be, where a sloppier stand-in would let bugs
// pass: UpdateWebACL, UpdateRuleGroup and UpdateIPSet replace everything, a set or a group in use
// cannot be deleted, a stale lock token is refused, an address with host bits fails the whole call.
//
// The same server answers for the two neighbours that a sync needs: STS (AssumeRole, for
// other accounts) and CloudFront (which distributions a web ACL protects). What a
// test looks at and seeds is a View of one account; AWS itself is the View of the default one.
type AWS struct {
	*View // of the default account
	exchanges[Call]
	server
	opts AWSOptions

	mu       sync.Mutex
	spaces   map[space]*content
	tags     map[string]map[string]string       // by ARN
	sites    map[string]map[string]distribution // by account: CloudFront's distributions
	homes    map[string]string                  // by ARN of a resource: the web ACL that protects it
	sessions map[string]session                 // by access key: what AssumeRole handed out
	denied   map[string][]string                // by account
	lent     map[string]int                     // by ARN: capacity of rule groups that AWS's own accounts share
	serial   uint64
	meters   map[string]*meter              // RateLimits, by account, Region and action
	past     map[space]map[string][]version // by ARN, from the first Mark on
	moment   Moment
	shuffle  *rand.Rand
}

// View is one account of the stand-in, as its owner sees it. What it is asked and
// told makes no Call, and no fault happens to it.
type View struct {
	aws     *AWS
	account string
}

// Account returns the view of an account, by its twelve digits.
func (a *AWS) Account(id string) *View { return &View{aws: a, account: id} }

// space is where names are unique: IP sets of one account, scope and Region know nothing of others.
type space struct{ account, region, scope string }

type content struct {
	sets   map[string]*ipSet // by name
	groups map[string]*ruleGroup
	acls   map[string]*webACL
}

// DefaultAccount is the account of every key that no role was assumed for: AWS's own example.
const DefaultAccount = "123456789012"

// NewAWS returns an empty WAFv2. It is an http.Handler; Start serves it.
func NewAWS(opts AWSOptions) *AWS {
	if opts.MaxSets == 0 {
		opts.MaxSets = 100
	}
	if opts.Page == 0 {
		opts.Page = 100
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MaxGroups == 0 {
		opts.MaxGroups = 100
	}
	a := &AWS{
		opts: opts, spaces: map[space]*content{}, tags: map[string]map[string]string{}, lent: map[string]int{},
		sites: map[string]map[string]distribution{}, homes: map[string]string{}, sessions: map[string]session{}, denied: map[string][]string{},
		meters: map[string]*meter{}, shuffle: rand.New(rand.NewPCG(1, 2)),
	}
	a.View = a.Account(DefaultAccount)
	return a
}

// Start serves on a free port of loopback and returns the endpoint's URL. Close ends it.
func (a *AWS) Start() (string, error) { return a.serve(a, "waf") }

func (a *AWS) in(s space) *content {
	c := a.spaces[s]
	if c == nil {
		c = &content{sets: map[string]*ipSet{}, groups: map[string]*ruleGroup{}, acls: map[string]*webACL{}}
		a.spaces[s] = c
	}
	return c
}

// uuid returns the next identifier or lock token. They look random and are the same in every run.
func (a *AWS) uuid() string {
	a.serial++
	h := sha256.Sum256(fmt.Appendf(nil, "waftest %d", a.serial))
	x := hex.EncodeToString(h[:16])
	return x[:8] + "-" + x[8:12] + "-4" + x[13:16] + "-8" + x[17:20] + "-" + x[20:32]
}

func arn(s space, kind, name, id string) string {
	scope := "regional"
	if s.scope == "CLOUDFRONT" {
		scope = "global"
	}
	return fmt.Sprintf("arn:aws:wafv2:%s:%s:%s/%s/%s/%s", s.region, s.account, scope, kind, name, id)
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// spaceOf returns where an ARN's object would be; a space with nothing in it, if that is not the caller's own.
func spaceOf(r request, ref string) space {
	parts := strings.SplitN(ref, ":", 6)
	if len(parts) != 6 || parts[2] != "wafv2" || parts[4] != r.account || parts[3] != r.region {
		return space{}
	}
	scope, _, _ := strings.Cut(parts[5], "/")
	return space{r.account, r.region, map[string]string{"regional": "REGIONAL", "global": "CLOUDFRONT"}[scope]}
}
