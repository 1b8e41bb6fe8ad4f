package threat

import "time"

// Detection is one rule's belief about one Indicator over the windows of one
// run. It is a value: two runs over the same log lines make the same Detection.
type Detection struct {
	Rule      string // the rule's id
	Version   int    // the rule's version
	Indicator Indicator
	Class     string // flood, brute force, web attack, exploit, scan, intel
	Severity  Severity
	Action    Action        // what the rule asks for; Decide may only weaken it
	Term      time.Duration // how long the rule blocks for, before strikes
	Count     int64         // lines over all windows that were above the threshold
	Windows   int           // how many windows were above the threshold
	Until     time.Time     // end of the last such window: terms count from here
	FirstSeen time.Time     // first line, to the second
	LastSeen  time.Time     // last line, to the second
	Countries []string      // ISO 3166 codes or the engine's names, sorted
	Accounts  []string      // for an address: the accounts seen on it, sorted
	Addresses int           // for an account: how many distinct addresses it used
	Evidence  []Indicator   // for an account: those addresses, sorted, at most MaxEvidence
}

// MaxEvidence bounds Detection.Evidence: an account behind more addresses than
// this is still counted whole in Addresses.
const MaxEvidence = 100_000
