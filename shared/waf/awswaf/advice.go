package awswaf

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
)

// What IAM says when it refuses a call:
//
//	User: arn:aws:sts::111122223333:assumed-role/sync/i is not authorized to perform: wafv2:UpdateIPSet
//	on resource: arn:aws:wafv2:… because no identity-based policy allows the wafv2:UpdateIPSet action
var (
	deniedAction   = whenNeeded(`not authorized to perform: ([a-z0-9-]{1,32}:[A-Za-z0-9*]{1,64})`)
	deniedResource = whenNeeded(`on resource: ([^\s]{1,256})`)
	deniedCaller   = whenNeeded(`User: ([^\s]{1,256}) is not`)
	deniedBy       = whenNeeded(`explicit deny in an? ([a-z -]{1,40}policy|permissions boundary)`)
)

// whenNeeded compiles a pattern with its first use. Counted repetitions take long: together these
// would take a fifth of the time between the function's start and its first call.
func whenNeeded(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// advice says in words what to do about an error, "" if there is nothing to say.
func advice(err error, api smithy.APIError) string {
	switch decision := decisionOf(api); {
	case errors.Is(decision, waf.ErrDenied):
		return deniedAdvice(api.ErrorMessage())
	case errors.Is(decision, waf.ErrQuota):
		var limit *types.WAFLimitsExceededException
		if errors.As(err, &limit) && aws.ToString(limit.SourceType) != "" {
			return fmt.Sprintf("AWS names %s as what there is too much of", printable(*limit.SourceType, 60))
		}
		if api.ErrorCode() == "WAFInvalidParameterException" {
			return "the rules together would cost more WCU than a web ACL (5,000) or the rule group (as declared) may: take some out, or use fewer IP sets with a larger set_size"
		}
	}
	return ""
}

// deniedAdvice names the permission that is missing, and where.
func deniedAdvice(message string) string {
	action := deniedAction().FindStringSubmatch(message)
	if action == nil {
		return ""
	}
	who := "the caller"
	if m := deniedCaller().FindStringSubmatch(message); m != nil {
		who = printable(m[1], 120)
	}
	where := ""
	if m := deniedResource().FindStringSubmatch(message); m != nil && m[1] != "*" {
		where = " on " + printable(m[1], 200)
	}
	if m := deniedBy().FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%s may not %s%s: a %s denies it, whatever the role allows", who, action[1], where, m[1])
	}
	return fmt.Sprintf("%s lacks %s%s: add it to the policy of that role", who, action[1], where)
}

// printable returns text without control characters, line ends and marks that turn
// the direction of writing, shortened to a number of bytes.
func printable(text string, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar:
			return '?'
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, text)
	if cut {
		text += "…"
	}
	return text
}
