package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The triggers that reach this function. FC does not say which one fired: the
// keys of the payload tell.
const (
	triggerTimer  = "timer"
	triggerLog    = "log"
	triggerDirect = "direct"
)

// Bounds of what an event may ask for.
const (
	maxEvent  = 256 << 10           // bytes: FC takes 128 KB by asynchronous call, 256 KB on request
	maxRules  = 100                 // rules in one call
	maxRuleID = 64                  // bytes of a rule's id
	maxSkew   = 5 * time.Minute     // how far an event's clock may run ahead of ours
	maxRange  = 24 * time.Hour      // from…to of a live call: what an SLS alert's own query may span
	maxReplay = 31 * 24 * time.Hour // from…to of a replay (a call with as_of); longer logs are several calls
)

// errBadEvent means that the payload is none of the three triggers' or that a
// field of it is wrong. Running it again cannot help, but a bad event is never a
// success: FC parks it with the function's failure destination.
var errBadEvent = errors.New("bad event")

// event is one call, whichever trigger made it.
type event struct {
	trigger  string
	now      time.Time // the event's own clock; zero when it carries none
	rules    []string  // rule ids; nil means every rule that is configured
	from, to time.Time // both or neither
	dryRun   bool
	replay   bool   // the caller set the clock
	project  string // log trigger only
	logstore string // log trigger only
}

// badEvent says which field is wrong, what stood there, and what may stand there.
// The value is cut: log text must not be able to fill ours.
func badEvent(field, value, want string) error {
	const most = 80
	if len(value) > most {
		value = value[:most] + "…"
	}
	return fmt.Errorf("%w: %s %q: want %s", errBadEvent, field, value, want)
}

// badType is badEvent for a field of the wrong JSON type.
func badType(field string, err error, want string) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return badEvent(wrong.Field, wrong.Value, want)
	}
	return badEvent(field, "not JSON", want)
}

// shapeOf describes a payload that is no JSON object without repeating it: what
// reached us by mistake may hold somebody's token.
func shapeOf(payload []byte) string {
	var value any
	if len(payload) == 0 {
		return "empty"
	}
	if json.Unmarshal(payload, &value) != nil {
		return fmt.Sprintf("%d bytes that are not JSON", len(payload))
	}
	switch value.(type) {
	case []any:
		return "a JSON array"
	case string:
		return "a JSON string"
	case nil:
		return "null"
	default:
		return "a JSON number or boolean"
	}
}

// decodeEvent reads one payload. wall is this machine's clock; no event may be
// more than maxSkew ahead of it: blocks count from the event's clock, and one
// from the future would last too long.
func decodeEvent(payload []byte, wall time.Time) (event, error) {
	if len(payload) > maxEvent {
		return event{}, fmt.Errorf("%w: payload of %d bytes: want at most %d", errBadEvent, len(payload), maxEvent)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(payload, &keys); err != nil || keys == nil {
		return event{}, badEvent("payload", shapeOf(payload), "a JSON object: a timer event, a log trigger event or a direct call")
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := keys[n]; return ok })
	}
	var ev event
	var err error
	switch {
	case has("requestContext", "rawPath"):
		return event{}, fmt.Errorf("%w: an HTTP request (field requestContext): want a timer event, a log trigger event or a direct call; HTTP requests go to the webhook function", errBadEvent)
	case has("alert_id", "alert_name", "fire_results"):
		return event{}, fmt.Errorf(`%w: an SLS alert (field alert_id): want a timer event, a log trigger event or a direct call; send alerts to the webhook function, or make {"rules":["RULE"]} the content template of the alert's action`, errBadEvent)
	case has("triggerName", "triggerTime"):
		ev, err = decodeTimer(payload)
	case has("source", "cursorTime"):
		ev, err = decodeLog(payload)
	default:
		ev, err = decodeDirect(keys, wall)
	}
	if err != nil {
		return event{}, err
	}
	if ahead := ev.now.Sub(wall); ahead > maxSkew {
		return event{}, badEvent(clockField[ev.trigger], ev.now.UTC().Format(time.RFC3339),
			fmt.Sprintf("at most %s after now, which is %s", maxSkew, wall.UTC().Format(time.RFC3339)))
	}
	return ev, nil
}

// clockField names the field that carries a trigger's clock.
var clockField = map[string]string{triggerTimer: "triggerTime", triggerLog: "cursorTime", triggerDirect: "as_of"}

// decodeTimer reads FC's timer event. Fields that FC may add are none of our
// business; its payload field is ours and read strictly.
func decodeTimer(payload []byte) (event, error) {
	var in struct {
		TriggerTime string `json:"triggerTime"`
		TriggerName string `json:"triggerName"`
		Payload     string `json:"payload"`
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return event{}, badType("timer event", err, "triggerTime, triggerName and payload, all strings")
	}
	now, err := time.Parse(time.RFC3339, in.TriggerTime)
	if err != nil {
		return event{}, badEvent("triggerTime", in.TriggerTime, "a time like 2026-05-28T20:26:40Z")
	}
	ev := event{trigger: triggerTimer, now: now.UTC()}
	ev.rules, err = decodeRuleChoice("payload", []byte(strings.TrimSpace(in.Payload)))
	return ev, err
}

// decodeLog reads the event of SLS's log trigger. It carries cursors and no
// logs; here it is a bell, which says that this logstore has something new up to cursorTime.
func decodeLog(payload []byte) (event, error) {
	var in struct {
		CursorTime int64           `json:"cursorTime"`
		Parameter  json.RawMessage `json:"parameter"`
		Source     struct {
			Project     string `json:"projectName"`
			Logstore    string `json:"logstoreName"`
			BeginCursor string `json:"beginCursor"`
		} `json:"source"`
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		return event{}, badType("log trigger event", err, "an object source, a number cursorTime and an object parameter")
	}
	if in.Source.BeginCursor == "" {
		return event{}, badEvent("source.beginCursor", "", "the cursor that every log trigger event has")
	}
	ev := event{trigger: triggerLog, project: in.Source.Project, logstore: in.Source.Logstore}
	var err error
	if in.CursorTime != 0 {
		if ev.now, err = epochTime("cursorTime", in.CursorTime); err != nil {
			return event{}, err
		}
	}
	ev.rules, err = decodeRuleChoice("parameter", in.Parameter)
	return ev, err
}

// decodeRuleChoice reads the piece of configuration that an operator may hang on
// a trigger: nothing, or an object that names rules.
func decodeRuleChoice(field string, text []byte) ([]string, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(text, &keys); err != nil {
		return nil, badEvent(field, string(text), `nothing or {"rules":["RULE", …]}`)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if key != "rules" {
			return nil, badEvent(field+" field", key, `nothing or {"rules":["RULE", …]}`)
		}
	}
	return decodeRules(keys["rules"])
}

// decodeRules reads a list of rule ids. An empty list is refused: it could mean
// all or none.
func decodeRules(text json.RawMessage) ([]string, error) {
	if text == nil {
		return nil, nil
	}
	const want = "a list of 1 to 100 rule ids"
	var rules []string
	if err := json.Unmarshal(text, &rules); err != nil || len(rules) == 0 || len(rules) > maxRules {
		return nil, badEvent("rules", string(text), want)
	}
	for _, id := range rules {
		if id == "" || len(id) > maxRuleID {
			return nil, badEvent("rules", id, want)
		}
	}
	slices.Sort(rules)
	return slices.Compact(rules), nil
}
