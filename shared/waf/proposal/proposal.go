// Package proposal writes what a person may put in front of a campaign: many quiet
// addresses that ask for one path, come from one network, or share an agent or a
// fingerprint. Ten thousand rows on a blocklist are the wrong answer to those, for most
// of the addresses may be anybody's; a limit or a challenge on what they share is the right one.
//
// A proposal is text to read and to paste. Nothing here applies it, and nothing else
// does: whether the shop can bear a challenge on its login page is for its owner to say.
//
// The values are written by attackers. So each proposal is printable ASCII from end to end
// (JSON has escapes for the rest, PCRE has \xHH), a value stands in it only where the
// cloud's own syntax takes a text, and what cannot be said that way is refused with a reason.
//
// Sources: AWS WAFv2 API reference (Rule, RateBasedStatement, RegexMatchStatement,
// AsnMatchStatement, JA4Fingerprint); Alibaba Cloud WAF 3.0 CreateDefenseRule and the field
// mapping of its Terraform provider (UNVERIFIED against the service); nginx
// ngx_http_map_module, ngx_http_geo_module, ngx_http_limit_req_module.
package proposal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Campaign is what a proposal is about.
type Campaign struct {
	Kind      string // path, network, agent, fingerprint
	Value     string // as the log has it
	Count     int64  // requests
	FirstSeen time.Time
	LastSeen  time.Time
}

// Proposal is one text for one product.
type Proposal struct {
	For     string `json:"for"`     // aws-waf, alibaba-waf, nginx
	Title   string `json:"title"`   // what it does, for people
	Text    string `json:"text"`    // printable ASCII and line ends; "" when refused
	Note    string `json:"note"`    // where it goes, and what to look at before
	Refused string `json:"refused"` // why there is no text, or ""
}

// The products that proposals are for.
const (
	AWS     = "aws-waf"
	Alibaba = "alibaba-waf"
	Nginx   = "nginx"
)

// For returns a proposal for each product, always in the same order. It is a pure
// function: the same campaign gives the same text.
func For(c Campaign) []Proposal {
	all := []Proposal{{For: AWS}, {For: Alibaba}, {For: Nginx}}
	value, err := c.read()
	for i, write := range []func(*Proposal, shared){forAWS, forAlibaba, forNginx} {
		if err != nil {
			all[i].Refused = err.Error()
			continue
		}
		write(&all[i], value)
		if all[i].Refused != "" {
			all[i].Text, all[i].Title, all[i].Note = "", "", ""
		}
	}
	return all
}

// shared is what the addresses of a campaign have in common, fit to be written.
type shared struct {
	kind  string
	value string
	name  string // of what is made for it: the same for the same value
	limit int64  // requests in a minute, of all together
}

// Bounds of a limit. AWS WAF refuses less than 10 (its older documents: 100) and more than 2,000,000,000.
const (
	minLimit = 100
	maxLimit = 1_000_000
	// limitShare: the limit is a quarter of the campaign's own rate. What the path bears
	// on an ordinary day is not known here, and the note says so.
	limitShare = 4
)

// maxValue bounds a value: detect cuts what a campaign shares at 512 bytes, and half of a value is equal to nothing.
const maxValue = 400

func (c Campaign) read() (shared, error) {
	value := c.Value
	if c.Kind == "path" {
		value, _, _ = strings.Cut(value, "?") // all three products look at the query string apart
	}
	switch {
	case value == "":
		return shared{}, fmt.Errorf("the %s is empty: there is nothing to hold it to", c.Kind)
	case len(value) > maxValue:
		return shared{}, fmt.Errorf("the %s has %d bytes and may have been cut: write a rule for what it begins with", c.Kind, len(value))
	case !utf8.ValidString(value) || strings.ContainsRune(value, utf8.RuneError):
		return shared{}, fmt.Errorf("the %s is not UTF-8: a rule's text could not be equal to it", c.Kind)
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return shared{}, fmt.Errorf("the %s has unprintable characters: it is not safe to paste", c.Kind)
	case c.Kind == "path" && !strings.HasPrefix(value, "/"):
		return shared{}, fmt.Errorf("the path does not begin with a slash: products would not see it as a path")
	}
	sum := sha256.Sum256([]byte(c.Kind + "\n" + value))
	minutes := max(1, int64(c.LastSeen.Sub(c.FirstSeen)/time.Minute))
	return shared{
		kind: c.Kind, value: value, name: c.Kind + "-" + hex.EncodeToString(sum[:4]),
		limit: min(max(c.Count/minutes/limitShare, minLimit), maxLimit),
	}, nil
}

// what the limit needs a person for.
const setLimit = "The limit is a quarter of what the campaign did: set it above what you serve on an ordinary day."
