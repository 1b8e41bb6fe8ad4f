package awswaf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Scopes, actions and modes of a Target.
const (
	Regional   = "REGIONAL"
	CloudFront = "CLOUDFRONT"

	ActionBlock = "block"
	ActionCount = "count"

	// ModeWebACL: generated rules inside the user's own web ACL.
	ModeWebACL = "web-acl"
)

// The defaults and limits of a Target.
const (
	DefaultSetSize  = 5000   // as in the founding story
	MaxSetSize      = 10_000 // AWS WAF: addresses per IP set, fixed
	DefaultPriority = 101    // the founding story's first generated rule
	cloudFrontAt    = "us-east-1"
	// A pause in spelling: the sets' names are tracewall-<name>-v4-001 and AWS takes 128 characters.
	maxTargetName = 64
	// AWS's documentation of metric names; "ACLMetric" is appended to the web ACL's name.
	maxWebACLName = 119
)

// Target is one web ACL that shall be equal to the blocklist.
type Target struct {
	Name     string // of the target; our rule and sets are named after it
	Region   string
	Scope    string // Regional or CloudFront
	Mode     string // ModeWebACL
	WebACL   string // the web ACL's name; it is created when there is none
	Action   string // ActionBlock or ActionCount
	Priority int32  // of our rule, if it is free, else the next free one
	SetSize  int    // addresses per IP set
}

var (
	targetPattern = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)
	regionPattern = regexp.MustCompile(`^[a-z]{2,4}(?:-[a-z]+)+-[0-9]{1,2}$`)
	webACLPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// targetKeys is every key that ParseTargets knows.
var targetKeys = []string{"name", "region", "scope", "mode", "web_acl", "action", "priority", "set_size"}

// ParseTargets reads a JSON array of targets, as WAF_TARGETS holds it:
//
//	[{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"shop","action":"block","priority":101,"set_size":5000}]
//
// name and web_acl are required, region too unless the scope is CLOUDFRONT (which
// AWS keeps in us-east-1). scope defaults to REGIONAL, mode to web-acl, action to
// block, priority to 101, set_size to 5,000. What is there and wrong is never
// replaced by a default; the error names every problem at once.
func ParseTargets(text string) ([]Target, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	var raw []map[string]json.RawMessage
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("targets: want a JSON array of objects: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("targets: want one JSON array and nothing after it")
	}
	if len(raw) == 0 {
		return nil, errors.New("targets: want at least one target, got an empty array")
	}
	var problems []error
	targets := make([]Target, len(raw))
	names := map[string]int{}
	walls := map[string]int{}
	for i, fields := range raw {
		f := targetFields{at: i, raw: fields, problems: &problems}
		t := f.read()
		targets[i] = t
		if t.Name != "" {
			if j, dup := names[t.Name]; dup {
				f.bad("name", t.Name, fmt.Sprintf("a name that target %d does not have", j+1))
			} else {
				names[t.Name] = i
			}
		}
		if t.WebACL != "" {
			wall := t.Scope + " " + t.Region + " " + t.WebACL
			if j, dup := walls[wall]; dup {
				f.bad("web_acl", t.WebACL, fmt.Sprintf("a web ACL that target %d does not have in the same scope and region", j+1))
			} else {
				walls[wall] = i
			}
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return targets, nil
}

// check is the same judgement for a Target that was made in code.
func (t Target) check() error {
	text, err := json.Marshal(map[string]any{
		"name": t.Name, "region": t.Region, "scope": t.Scope, "mode": t.Mode, "web_acl": t.WebACL,
		"action": t.Action, "priority": t.Priority, "set_size": t.SetSize,
	})
	if err != nil {
		return err
	}
	_, err = ParseTargets("[" + string(text) + "]")
	return err
}

// withDefaults fills in what a Target made in code leaves out.
func (t Target) withDefaults() Target {
	or := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	or(&t.Scope, Regional)
	or(&t.Mode, ModeWebACL)
	or(&t.Action, ActionBlock)
	if t.Scope == CloudFront {
		or(&t.Region, cloudFrontAt)
	}
	if t.SetSize == 0 {
		t.SetSize = DefaultSetSize
	}
	return t
}

// targetFields reads one object and collects its problems.
type targetFields struct {
	at       int
	raw      map[string]json.RawMessage
	problems *[]error
}

func (f targetFields) bad(field, value, want string) {
	if len(value) > 80 {
		value = value[:80] + "…"
	}
	*f.problems = append(*f.problems, fmt.Errorf("targets: target %d: %s %q: want %s", f.at+1, field, value, want))
}

func (f targetFields) read() Target {
	var unknown []string
	for key := range f.raw {
		if !slices.Contains(targetKeys, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		f.bad("key", key, "one of "+strings.Join(targetKeys, ", "))
	}
	t := Target{
		Name:     f.text("name", "", "1 to 64 of a-z 0-9 and - (not at either end)", func(s string) bool { return len(s) <= maxTargetName && targetPattern.MatchString(s) }),
		Scope:    f.text("scope", Regional, "REGIONAL or CLOUDFRONT", oneOf(Regional, CloudFront)),
		Mode:     f.text("mode", ModeWebACL, "web-acl (the only mode so far)", oneOf(ModeWebACL)),
		WebACL:   f.text("web_acl", "", "1 to 119 of A-Z a-z 0-9 _ -", func(s string) bool { return len(s) <= maxWebACLName && webACLPattern.MatchString(s) }),
		Action:   f.text("action", ActionBlock, "block or count", oneOf(ActionBlock, ActionCount)),
		Priority: int32(f.number("priority", DefaultPriority, 0, 1_000_000_000)),
		SetSize:  int(f.number("set_size", DefaultSetSize, 1, MaxSetSize)),
	}
	if t.Scope == CloudFront {
		t.Region = f.text("region", cloudFrontAt, "us-east-1 (or nothing) for scope CLOUDFRONT", oneOf(cloudFrontAt))
	} else {
		t.Region = f.text("region", "", "an AWS region such as eu-west-1", regionPattern.MatchString)
	}
	return t
}

// text reads a string; an absent one becomes the default, which is "" for a required field.
func (f targetFields) text(field, absent, want string, ok func(string) bool) string {
	raw, there := f.raw[field]
	if !there {
		if absent == "" {
			*f.problems = append(*f.problems, fmt.Errorf("targets: target %d: %s is missing: want %s", f.at+1, field, want))
		}
		return absent
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || bytes.Equal(raw, []byte("null")) {
		f.bad(field, string(raw), "a string: "+want)
		return ""
	}
	if !ok(s) {
		f.bad(field, s, want)
		return ""
	}
	return s
}

func (f targetFields) number(field string, absent, least, most int64) int64 {
	raw, there := f.raw[field]
	if !there {
		return absent
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < least || n > most {
		f.bad(field, string(raw), fmt.Sprintf("a whole number from %d to %d", least, most))
		return absent
	}
	return n
}

func oneOf(list ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(list, s) }
}
