package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Bounds of a body. Its text comes from logs, and so from attackers, even when the
// caller is Log Service.
const (
	maxAlerts = 100 // in one body; Log Service merges far fewer
	maxDepth  = 32  // of JSON; an alert with all its rows is 5 deep
)

// Epoch seconds outside these are no times of an alert: 2001 to 2100. Milliseconds, the usual
// mistake, are far outside.
const (
	minEpoch = 1_000_000_000
	maxEpoch = 4_102_444_800
)

// alert is what is taken from an SLS alert. Above all its query is not: whoever got
// hold of the token could have us run any SQL.
type alert struct {
	ID       string    // the alert rule's id, "alert_id"
	Instance string    // this firing's id, "alert_instance_id"; the rule's id where it is missing
	Firing   bool      // else resolved
	Status   string    // as sent, "" is firing
	At       time.Time // of this evaluation, "alert_time"
	From, To time.Time // what the alert's queries looked at; zero when the body does not say so
}

// parseAlerts reads a body: one alert object, or an array of them, or an array of
// strings that hold one each (what Log Service sends when several alerts are merged
// and the template is not JSON). An error is about the body as a whole; a
// problem with one alert is in problems at its index, "" where there is none.
func parseAlerts(body []byte) (alerts []alert, problems []string, err error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if err := checkDepth(body); err != nil {
		return nil, nil, err
	}
	if !json.Valid(body) {
		return nil, nil, errors.New("body: want JSON")
	}
	items := []json.RawMessage{body}
	switch body[0] {
	case '{':
	case '[':
		items = nil
		if err := json.Unmarshal(body, &items); err != nil {
			return nil, nil, errors.New("body: want JSON")
		}
		if len(items) == 0 || len(items) > maxAlerts {
			return nil, nil, fmt.Errorf("body: %d alerts: want 1 to %d", len(items), maxAlerts)
		}
	default:
		return nil, nil, errors.New("body: want a JSON object or array")
	}
	alerts, problems = make([]alert, len(items)), make([]string, len(items))
	for i, item := range items {
		if alerts[i], err = parseItem(item); err != nil {
			problems[i] = err.Error()
		}
	}
	return alerts, problems, nil
}

func parseItem(item json.RawMessage) (alert, error) {
	if item[0] == '"' {
		var inner string
		if err := json.Unmarshal(item, &inner); err != nil {
			return alert{}, errors.New("alert: want an object, or text that holds one")
		}
		item = bytes.TrimSpace([]byte(inner))
		if err := checkDepth(item); err != nil {
			return alert{}, err
		}
	}
	var w struct {
		ID       text   `json:"alert_id"`
		Instance text   `json:"alert_instance_id"`
		Status   text   `json:"status"`
		At       moment `json:"alert_time"`
		Fired    moment `json:"fire_time"`
		Results  ranges `json:"results"`
	}
	if len(item) == 0 || item[0] != '{' || json.Unmarshal(item, &w) != nil {
		return alert{}, errors.New("alert: want an object, or text that holds one")
	}
	a := alert{ID: string(w.ID), Instance: string(w.Instance), Status: strings.ToLower(string(w.Status)), At: w.At.Time}
	if a.At.IsZero() && !w.At.bad {
		a.At = w.Fired.Time
	}
	a.From, a.To = w.Results.from, w.Results.to
	switch {
	case a.ID == "":
		return a, fmt.Errorf("alert_id: want text of 1 to %d bytes", maxName)
	case a.At.IsZero():
		return a, errors.New("alert_time: want epoch seconds")
	}
	switch a.Status {
	case "", "firing":
		a.Firing = true
	case "resolved":
	default:
		return a, errors.New("status: want firing or resolved")
	}
	if a.Instance == "" {
		a.Instance = a.ID
	}
	return a, nil
}

// text is a JSON string of at most maxName bytes. Anything else reads as "": one odd
// field must not cost a whole body.
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	var s string
	*t = ""
	if json.Unmarshal(b, &s) == nil && len(s) <= maxName {
		*t = text(s)
	}
	return nil
}

// moment is epoch seconds as a number or as text. The zero moment is one that is
// missing; bad is one that is there and no time.
type moment struct {
	time.Time
	bad bool
}

func (m *moment) UnmarshalJSON(b []byte) error {
	*m = moment{}
	digits := strings.Trim(string(b), `" `)
	if digits == "" || digits == "null" {
		return nil
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	switch {
	case err == nil && n == 0: // "not yet", as in resolve_time
	case err != nil || n < minEpoch || n > maxEpoch:
		m.bad = true
	default:
		m.Time = time.Unix(n, 0).UTC()
	}
	return nil
}

// ranges is the time that an alert's results cover together. Results that say nothing about it, or in
// a way of their own (old documents show dates as text), do not count.
type ranges struct{ from, to time.Time }

func (r *ranges) UnmarshalJSON(b []byte) error {
	*r = ranges{}
	var results []struct {
		Start moment `json:"start_time"`
		End   moment `json:"end_time"`
	}
	if json.Unmarshal(b, &results) != nil {
		return nil //nolint:nilerr // see ranges
	}
	for _, x := range results {
		if x.Start.IsZero() || x.End.IsZero() || !x.Start.Before(x.End.Time) {
			continue
		}
		if r.from.IsZero() || x.Start.Before(r.from) {
			r.from = x.Start.Time
		}
		if x.End.After(r.to) {
			r.to = x.End.Time
		}
	}
	return nil
}

// checkDepth refuses JSON that is nested deeper than any alert, in one pass and
// before anything recursive touches it.
func checkDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("body: nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
