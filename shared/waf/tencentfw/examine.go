package tencentfw

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

var (
	_ waf.Examiner = (*access)(nil)
	_ waf.Examiner = (*group)(nil)
)

// examination is one Examine of either mode. It only reads.
type examination struct {
	*client
	checks []waf.Check
	// broken: there are no credentials that the cloud knows, or no answers at all: nothing else can be found out.
	broken bool
	spoke  bool // some call was answered
}

func (e *examination) say(name string, state waf.CheckState, format string, args ...any) {
	e.checks = append(e.checks, waf.Check{Name: name, State: state, Text: fmt.Sprintf(format, args...)})
}

// try makes calls that read what they are named for, and judges how that went. It returns whether they succeeded.
func (e *examination) try(permission, what string, call func() error) bool {
	if e.broken {
		return false
	}
	err := call()
	code := code(err)
	switch {
	case err == nil:
		e.spoke = true
		if !slices.ContainsFunc(e.checks, func(c waf.Check) bool { return c.Name == "permission "+permission }) {
			e.say("permission "+permission, waf.CheckOK, "%s can be read", what)
		}
		return true
	case isSkew(code):
		e.broken = true
		e.say("credentials", waf.CheckUnknown, "a signature counts as expired before anything else is looked at: set the clock of this machine first")
	case strings.HasPrefix(code, "AuthFailure") && !isLacking(code):
		e.broken = true
		e.say("credentials", waf.CheckFail, "%s", err.Error())
	case errors.Is(err, waf.ErrDenied) && code != "":
		e.spoke = true
		e.say("permission "+permission, waf.CheckFail, "%s", err.Error())
	case errors.Is(err, waf.ErrDenied):
		e.broken = true
		e.say("credentials", waf.CheckFail, "%s: set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY", err.Error())
	case code == "" && !e.spoke:
		e.broken = true
		e.say("endpoint", waf.CheckFail, "the cloud does not answer: %s: look at the network, at the region and at TENCENT_ENDPOINT_URL", err.Error())
	default:
		e.say("permission "+permission, waf.CheckUnknown, "%s cannot be read: %s", what, err.Error())
	}
	return false
}

// isLacking tells codes that say that the caller is known and may not.
func isLacking(code string) bool {
	return strings.HasPrefix(code, "UnauthorizedOperation") || code == "AuthFailure.UnauthorizedOperation" || code == "AuthFailure.ErrCodeNoPurchased"
}

// isSkew tells codes that say that a signature is too old, or not valid yet.
func isSkew(code string) bool {
	return strings.HasPrefix(code, "AuthFailure.SignatureExpire") || strings.HasPrefix(code, "RequestExpired")
}

// How far clocks may be apart: a signature counts for five minutes (DOC, API 3.0 signature v3), and rules of mode waf begin ten
// minutes early, so that only the five count.
const (
	skewWarns = 60 * time.Second
	skewFails = 300 * time.Second
)

// report adds what every call has shown, and returns all checks, credentials and clock first.
func (e *examination) report() []waf.Check {
	found := e.checks
	e.checks = nil
	if e.spoke {
		e.say("credentials", waf.CheckOK, "the cloud knows the secret id, and the signature is right")
	}
	skew := time.Duration(e.observed.Load()) * time.Second
	expired := false
	for _, c := range found {
		expired = expired || c.Name == "credentials" && c.State == waf.CheckUnknown
	}
	switch d := max(skew, -skew); {
	case d > skewFails, expired:
		e.say("clock", waf.CheckFail, "this clock is %s from the cloud's: calls are refused beyond five minutes; set it", d)
	case d > skewWarns:
		e.say("clock", waf.CheckWarn, "this clock is %s from the cloud's, and calls are refused beyond five minutes: set it", d)
	case e.spoke:
		e.say("clock", waf.CheckOK, "this clock is less than a minute from the cloud's")
	default:
		e.say("clock", waf.CheckUnknown, "no answer said what time it is")
	}
	return append(e.checks, found...)
}

// spellings judges how addresses are read back. texts are as the cloud spells them.
func (e *examination) spellings(texts []string, where string) {
	if e.broken {
		return
	}
	unread, odd, example := 0, 0, ""
	for _, text := range texts {
		p, ok := parseAddress(text)
		switch {
		case !ok && !isRange(text):
			unread++
			example = text
		case ok && text != spell(p):
			odd++
			if unread == 0 {
				example = text
			}
		}
	}
	switch {
	case len(texts) == 0:
		e.say("address form", waf.CheckUnknown, "%s has no address yet: ask again after the first run", where)
	case unread > 0:
		e.say("address form", waf.CheckWarn, "%d of %d addresses in %s cannot be read, %q for one: please report it", unread, len(texts), where, printable(example, 60))
	case odd > 0:
		e.say("address form", waf.CheckOK, "%d of %d addresses in %s are spelled otherwise than we write them, %q for one, and understood", odd, len(texts), where, printable(example, 60))
	default:
		e.say("address form", waf.CheckOK, "the %d addresses in %s are spelled as we write them", len(texts), where)
	}
}

// isRange tells the form a-b, which address templates of others may have.
func isRange(text string) bool {
	from, to, two := strings.Cut(text, "-")
	if !two {
		return false
	}
	_, err1 := netip.ParseAddr(strings.TrimSpace(from))
	_, err2 := netip.ParseAddr(strings.TrimSpace(to))
	return err1 == nil && err2 == nil
}
