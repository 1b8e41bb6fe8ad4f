package threat

import "time"

// Detection is one rule's belief about one Indicator over the windows of one
// run. It is a value: two runs over the same log lines make the same Detection.
type Detection struct {
	Rule      string // the rule's id
	Version   int    // the rule's version
	Indicator Indicator
	Class     string // flood, brute force, web attack, exploit, scan, bot, intel, context
	Severity  Severity
	Action    Action        // what the rule asks for when it is alone
	Term      time.Duration // how long the rule blocks for, before strikes
	Count     int64         // lines over all windows that were above the threshold
	Threshold int64         // what a window had to count more than
	Windows   int           // how many windows were above the threshold
	Until     time.Time     // end of the last such window: terms count from here
	FirstSeen time.Time     // first line, to the second
	LastSeen  time.Time     // last line, to the second
	Countries []string      // ISO 3166 codes or the engine's names, sorted
	Accounts  []string      // for an address: the accounts seen on it, sorted
	Addresses int           // for an account: how many distinct addresses it used
	Evidence  []Indicator   // for an account: those addresses, sorted, at most MaxEvidence
	Reason    string        // the rule's sentence for people, at most 200 bytes
	Also      int64         // a second number, whose meaning the rule says: the most of any one window
	Tags      []string      // what kind of attack, in the rule's words and the classifier's; sorted
	Samples   []string      // lines or requests as the log has them, written by attackers; at most MaxSamples, each at most MaxSample bytes
	Users     int           // class context: distinct accounts that behave on this address, the most of any one window
	Successes int64         // logins or orders that worked
	Total     int64         // class context: ordinary requests of everybody in those windows
}

// Bounds of Detection.Samples.
const (
	MaxSamples = 5
	MaxSample  = 512 // bytes
)

// MaxEvidence bounds Detection.Evidence: an account behind more addresses than
// this is still counted whole in Addresses.
const MaxEvidence = 100_000
