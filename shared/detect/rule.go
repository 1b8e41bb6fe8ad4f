package detect

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/webattack"
)

// Rule is one detection rule as its file says it. It is valid once loaded, and a
// value: copies share their slices and nobody writes to them.
type Rule struct {
	ID          string
	Version     int
	Title       string
	Description string // why the query is as it is, for whoever changes it
	Severity    threat.Severity
	Class       string   // one of Classes
	Tags        []string // what a hit is called beside its class; sorted
	Formats     []string // the log formats that it reads, of Formats
	Logstore    string   // "" means the logstore of the deployment
	Subject     Subject
	Columns     Columns
	Counted     string        // what a line is, for people: "requests over the rate limit"
	Window      time.Duration // windows are aligned to the epoch
	Lag         time.Duration // how long to leave late lines time to arrive
	Margin      time.Duration // how far before the windows lines may stand that the query joins
	Every       time.Duration // how often a scheduled run asks; 0 is every run
	Over        time.Duration // counts add up over the windows of so long; 0: each window is judged alone
	Threshold   int64         // a window fires when it, or the windows Over it, count more than this
	Action      threat.Action
	Term        time.Duration // how long it blocks, before strikes
	Trial       *Trial        // nil: Action is meant at once
	Content     *Content      // nil: every row counts
	Also        string        // what Columns.Also counts, for people: "different paths"
	Only        []string      // the log services that it runs on; none means all that it has words for
	Parameters  map[string]int64
	Query       string // with placeholders; SQL renders it
	dialect     string // whose words SQL uses; "" is SLS. In sets it
	// Dialects are the queries for other log services than SLS, by their names.
	Dialects map[string]string
	// Fields are the fields of the logs whose names a deployment may choose: what the rule
	// calls them → what they are called there. NoField means that there is none.
	Fields map[string]string
	// Optional are those of Fields that the rule can do without, in order.
	Optional []string
	Tests    []Test
}

// Subject says whom a row is about: an address or an account, or, for a campaign,
// what many addresses have in common.
type Subject struct {
	Kind     threat.Kind // 0 for a campaign
	Campaign string      // one of CampaignKinds; "" for an address or an account
	Column   string
}

// String returns the word that a rule file has for the kind.
func (s Subject) String() string {
	if s.Campaign != "" {
		return s.Campaign
	}
	return s.Kind.String()
}

// Trial is a time in which a rule only observes. Once it has been watched for so
// long, and nobody whom it would have blocked turned out to be somebody else's
// customer, it asks for Then.
type Trial struct {
	For  time.Duration
	Then threat.Action
}

// Content narrows rows down to those whose text is an attack, as package webattack
// sees it. SQL has chosen what is worth a look.
type Content struct {
	Columns []string // of the row: path, agent, referer, in this order; "" where there is none
	Classes []webattack.Class
}

// Columns names the columns of a row. Count and Window are always there; the
// others are "" when the query does not have them.
type Columns struct {
	Count     string // lines in the window
	Window    string // start of the window, Unix seconds
	FirstSeen string // first line, Unix seconds
	LastSeen  string // last line, Unix seconds
	Countries string // one code or an array of them
	Addresses string // for an account or a campaign: an array of its addresses
	Clients   string // for a campaign: how many addresses, where the array may be cut
	Accounts  string // for an address: an array of the accounts on it
	Also      string // a second number
	Sample    string // a line or a request
	Successes string // logins or orders that worked
	Users     string // class context: distinct accounts that behave
	Total     string // class context: ordinary requests of everybody in the window
}

// Test is a test that lives in the rule's file: lines in, exact detections out.
type Test struct {
	Name     string
	Lines    []TestLine
	Want     []TestWant
	Rejected []string // the rejected values, exactly
}

// TestLine stands for Repeat log lines, Every apart. In each field {{n}} becomes
// the line's number, from 1.
type TestLine struct {
	Time   time.Time
	Repeat int
	Every  time.Duration
	Fields map[string]string
}

// TestWant is one detection that must come out; the order does not matter.
type TestWant struct {
	Subject   string
	Count     int64
	Windows   int
	Addresses []string // checked when given: an account's addresses, exactly
	Accounts  []string // likewise an address's accounts
	Tags      []string // likewise, without the rule's own
	Also      int64    // checked unless 0
	Users     int      // likewise
	Successes int64    // likewise
	Clients   int      // likewise: a campaign's addresses
}

// Classes are the classes of attack that a rule may name.
func Classes() []string {
	return []string{"flood", "brute force", "web attack", "exploit", "scan", "bot", "intel", ClassContext}
}

// ClassContext is the class of rules that accuse nobody: they say what speaks for
// an address. Their count is of requests that went well.
const ClassContext = "context"

// CampaignKinds are what many addresses may have in common.
func CampaignKinds() []string { return []string{"path", "network", "agent", "fingerprint"} }

// Formats are the log formats that a rule may read. "access" is any access log with
// one field for each thing, whose names the deployment says.
func Formats() []string { return []string{"story", "combined", "sshd", "jsonl", "access", "errorlog"} }

// Limits of a rule, with their reasons.
const (
	maxRuleFile   = 64 << 10         // bytes; the shipped ones are below 10 KB
	maxQuery      = 16 << 10         // bytes; SLS refuses statements above 64 KB
	minWindow     = time.Second      // the service's time has whole seconds
	maxWindow     = time.Hour        // longer ones cannot be answered within 55 s on a busy logstore
	maxLag        = 15 * time.Minute // lines later than that are not searchable in order anyway
	maxMargin     = time.Hour
	maxOver       = 24 * time.Hour // a query of a day is what SLS answers well within 55 s when its search narrows
	maxThreshold  = 1_000_000_000
	maxTestRepeat = 10_000
	maxTestLines  = 100_000
)

//go:embed rules
var shipped embed.FS

// Shipped returns the rules that are part of the program, ordered by id.
func Shipped() ([]Rule, error) {
	sub, err := fs.Sub(shipped, "rules")
	if err != nil {
		return nil, fmt.Errorf("shipped rules: %w", err)
	}
	return Load(sub)
}

// Schema returns the JSON Schema of rule files (draft 2020-12), for editors.
func Schema() ([]byte, error) { return shipped.ReadFile("rules/schema.json") }

// ForFormat returns the rules that read the given log format.
func ForFormat(rules []Rule, format string) []Rule {
	var some []Rule
	for _, r := range rules {
		if slices.Contains(r.Formats, format) {
			some = append(some, r)
		}
	}
	return some
}

// Select returns the rules with the given ids, each once, in the order of rules.
// Unknown ids are ErrRequest, all of them at once.
func Select(rules []Rule, ids []string) ([]Rule, error) {
	var some []Rule
	for _, r := range rules {
		if slices.Contains(ids, r.ID) {
			some = append(some, r)
		}
	}
	var unknown []string
	for _, id := range ids {
		if !slices.ContainsFunc(rules, func(r Rule) bool { return r.ID == id }) {
			unknown = append(unknown, fmt.Sprintf("%q", clip(id, 64)))
		}
	}
	if unknown != nil {
		known := make([]string, len(rules))
		for i, r := range rules {
			known[i] = r.ID
		}
		return nil, fmt.Errorf("%w: rules: no rule %s: want some of %s", ErrRequest, strings.Join(unknown, ", "), strings.Join(known, ", "))
	}
	return some, nil
}

func sortRules(rules []Rule) {
	slices.SortFunc(rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
}
