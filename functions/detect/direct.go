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

// directFields are the fields of a direct call; any other is refused, so that a
// misspelt one cannot silently mean "the default".
var directFields = []string{"rules", "from", "to", "dry_run", "as_of"}

// decodeDirect reads a call made by the webhook function, an SLS alert's action
// or a person.
func decodeDirect(keys map[string]json.RawMessage, wall time.Time) (event, error) {
	ev := event{trigger: triggerDirect}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(directFields, key) {
			return event{}, badEvent("field", key, "a timer event, a log trigger event, or a direct call with "+strings.Join(directFields, ", "))
		}
	}
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	var err error
	ev.rules, err = decodeRules(keys["rules"])
	keep(err)
	ev.from, err = decodeTime("from", keys["from"])
	keep(err)
	ev.to, err = decodeTime("to", keys["to"])
	keep(err)
	ev.now, err = decodeTime("as_of", keys["as_of"])
	keep(err)
	if text, ok := keys["dry_run"]; ok {
		if json.Unmarshal(text, &ev.dryRun) != nil || string(text) == "null" {
			keep(badEvent("dry_run", string(text), "true or false"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return event{}, err
	}
	ev.replay = !ev.now.IsZero()
	return ev, ev.checkRange(wall)
}

// checkRange holds from and to against each other and against the clock.
func (ev event) checkRange(wall time.Time) error {
	if ev.from.IsZero() && ev.to.IsZero() {
		return nil
	}
	if ev.from.IsZero() || ev.to.IsZero() {
		return fmt.Errorf("%w: from without to, or to without from: want both or neither", errBadEvent)
	}
	now, most, hint := wall, maxRange, " (a replay with as_of may span 31 days)"
	if ev.replay {
		now, most, hint = ev.now, maxReplay, ""
	}
	to, from := ev.to.Format(time.RFC3339), ev.from.Format(time.RFC3339)
	switch {
	case !ev.from.Before(ev.to):
		return badEvent("to", to, "a time after from, which is "+from)
	case ev.to.Sub(now) > maxSkew:
		return badEvent("to", to, "a time not after now, which is "+now.UTC().Format(time.RFC3339))
	case ev.to.Sub(ev.from) > most:
		return badEvent("from", from, fmt.Sprintf("at most %s before to, which is %s%s", most, to, hint))
	}
	return nil
}

// decodeTime reads RFC 3339 text or epoch seconds, the two spellings that an
// alert's content template can produce. Absent is the zero Time.
func decodeTime(field string, text json.RawMessage) (time.Time, error) {
	const want = `a time like "2026-05-28T20:26:40Z" or epoch seconds`
	if text == nil {
		return time.Time{}, nil
	}
	var seconds int64
	if json.Unmarshal(text, &seconds) == nil && string(text) != "null" {
		return epochTime(field, seconds)
	}
	var s string
	if json.Unmarshal(text, &s) != nil {
		return time.Time{}, badEvent(field, string(text), want)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Unix() <= 0 {
		return time.Time{}, badEvent(field, s, want)
	}
	return t.UTC(), nil
}

// epochTime turns epoch seconds into a time. Milliseconds, the usual mistake,
// would be a date thousands of years away and are refused by name.
func epochTime(field string, seconds int64) (time.Time, error) {
	const year3000 = 32503680000
	if seconds <= 0 || seconds >= year3000 {
		return time.Time{}, badEvent(field, fmt.Sprint(seconds), "epoch seconds (not milliseconds)")
	}
	return time.Unix(seconds, 0).UTC(), nil
}
