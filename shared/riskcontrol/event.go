package riskcontrol

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// Kind is what an Event is about.
type Kind string

// The kinds of events.
const (
	KindAccount  Kind = "account"
	KindCampaign Kind = "campaign"
)

// Type is what happened.
type Type string

// The types of events. Each sets a state and may be applied any number of times.
const (
	AccountBlocked   Type = "account.blocked"   // refuse or challenge the account until its end
	AccountExtended  Type = "account.extended"  // as blocked: the end moved later
	AccountReleased  Type = "account.released"  // treat it as before, at once
	CampaignProposed Type = "campaign.proposed" // a proposal for a person or a policy; nothing is in force yet
)

// Actions that an account event may ask for.
const (
	ActionBlock     = "block"
	ActionChallenge = "challenge"
)

// Event is one thing that the receiver is told. Told again because nobody knows whether
// it was heard, it has the same ID; the same fact told anew, since it was released in
// between or the memory was lost, has another.
type Event struct {
	ID       string    `json:"id"`
	Kind     Kind      `json:"kind"`
	Type     Type      `json:"type"`
	Account  *Account  `json:"account,omitempty"`
	Campaign *Campaign `json:"campaign,omitempty"`
}

// Account is an account and what holds for it. ID is the account as the logs spell it,
// in full: the receiver must be able to find it. Times are UTC, in whole seconds.
type Account struct {
	ID        string    `json:"id"`
	Action    string    `json:"action"` // block or challenge; of a released one, what held
	Since     time.Time `json:"since"`  // when this block began
	Until     time.Time `json:"until"`  // it ends by itself here; of a released one, when it would have
	Severity  string    `json:"severity,omitempty"`
	Score     int       `json:"score,omitempty"` // 0 to 100
	Tags      []string  `json:"tags,omitempty"`
	Rules     []string  `json:"rules,omitempty"`
	Reason    string    `json:"reason,omitempty"` // for people; written from logs, so escape it before showing it
	Addresses int       `json:"addresses,omitempty"`
	Countries []string  `json:"countries,omitempty"`
}

// Campaign is many quiet sources that together are one attack, and what could be done
// about it: a limit on a path, a challenge for a network. Texts come from logs.
type Campaign struct {
	ID        string    `json:"id"`      // the same for the same campaign in later runs
	Subject   string    `json:"subject"` // what they share: "path", "network", "agent", "fingerprint"
	Value     string    `json:"value"`
	Proposal  string    `json:"proposal"` // for people: "limit /api/sms to 5 requests a minute and address"
	Severity  string    `json:"severity,omitempty"`
	Rules     []string  `json:"rules,omitempty"`
	Addresses int       `json:"addresses"`
	Since     time.Time `json:"since"`
	Until     time.Time `json:"until"` // the proposal is stale after this
}

// CampaignEvent makes the event of a campaign.
func CampaignEvent(c Campaign) Event {
	c.Since, c.Until = second(c.Since), second(c.Until)
	return Event{
		ID:   idOf(string(CampaignProposed), c.ID, c.Subject, c.Value, c.Proposal, c.Until.Format(time.RFC3339)),
		Kind: KindCampaign, Type: CampaignProposed, Campaign: &c,
	}
}

// accountEvent makes the event of an account. turn tells apart what is said again since
// its answer was lost from what became true again; see shard.
func accountEvent(t Type, turn int64, a Account) Event {
	a.Since, a.Until = second(a.Since), second(a.Until)
	return Event{
		ID:   idOf(string(t), strconv.FormatInt(turn, 10), a.ID, a.Action, a.Since.Format(time.RFC3339), a.Until.Format(time.RFC3339)),
		Kind: KindAccount, Type: t, Account: &a,
	}
}

// accountOf is what the list says of an account.
func accountOf(e blocklist.Entry) Account {
	return Account{
		ID: e.Indicator.Account(), Action: actionOf(e), Since: second(cmp.Or(e.Since, e.FirstSeen)), Until: second(e.ExpiresAt),
		Severity: e.Severity.String(), Score: e.Score, Tags: e.Tags, Rules: e.Rules, Reason: e.Reason, Addresses: e.Addresses, Countries: e.Countries,
	}
}

func actionOf(e blocklist.Entry) string {
	if e.Challenge {
		return ActionChallenge
	}
	return ActionBlock
}

func second(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// idOf makes an id of parts: 128 bits of a hash, in the form of a UUID.
func idOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p) // lengths, so that no two lists of parts are spelt alike
	}
	return uuid([32]byte(h.Sum(nil)))
}

// uuid spells the first half of a hash like a UUID of version 8 (RFC 9562, 5.8: custom).
func uuid(sum [32]byte) string {
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	x := hex.EncodeToString(sum[:16])
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}
