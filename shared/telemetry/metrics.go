package telemetry

import (
	"encoding/json"
	"io"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Namespace is the CloudWatch namespace of every metric, and the value of "metrics" in
// the plain form.
const Namespace = "tracewall"

// Metric is the name of a number that an alarm or a dashboard reads. Its ending
// tells what it is: _total counts (sum it), _timestamp is epoch seconds (take the
// maximum), _ms is a duration, anything else is a level (take the last).
type Metric string

// The metrics. A new one needs an alarm or a chart that reads it.
const (
	DetectionsTotal      Metric = "detections_total"       // rows above a rule's threshold
	AllowlistedTotal     Metric = "allowlisted_total"      // detections that the allowlist spared
	RejectedTotal        Metric = "rejected_total"         // rows that name nobody whom we could block
	BlockedTotal         Metric = "blocked_total"          // new entries in the blocklist
	ReleasedTotal        Metric = "released_total"         // entries that ended or were unblocked
	GuardTripped         Metric = "guard_tripped"          // 1 when a brake held a run back: somebody must look
	AllowlistUnreadable  Metric = "allowlist_unreadable"   // 1 when no new block was made because of it
	EntriesDesired       Metric = "entries_desired"        // what a wall should hold
	EntriesEnforced      Metric = "entries_enforced"       // what it holds
	OverflowTotal        Metric = "overflow_total"         // entries that did not fit on the wall
	PendingTotal         Metric = "pending_total"          // entries with room that are not on the wall yet
	DriftTotal           Metric = "drift_total"            // things on a wall that somebody else has changed
	Held                 Metric = "held"                   // 1 when a run waits for an operator's approval
	Effective            Metric = "effective"              // 1 when what a wall holds was proven in force, 0 when it was not
	WAFPutTotal          Metric = "waf_put_total"          // writes to a wall
	WAFConflictTotal     Metric = "waf_conflict_total"     // writes that lost a race and were done again
	AlertsTotal          Metric = "alerts_total"           // alerts that the webhook was sent
	RefusedTotal         Metric = "refused_total"          // requests that the webhook turned away
	FeedFailed           Metric = "feed_failed"            // 1 when a feed of intelligence could not be refreshed and its last good state stays
	LastSuccessTimestamp Metric = "last_success_timestamp" // epoch seconds of the last run that went well
	DurationMS           Metric = "duration_ms"            // how long the run took
)

// Labels say which rule, cloud, wall or outcome a number is about. There is no
// free label, so that no address and no account can become one: that would be a new
// time series for each attacker, and personal data in a place that keeps it for months.
type Labels struct {
	Rule    string
	Cloud   string
	Target  string
	Outcome string
}

// Values are the numbers of one line.
type Values map[Metric]float64

// Format says who reads the lines.
type Format uint8

// The formats.
const (
	// Plain writes {"metrics":"tracewall","function":…,"blocked_total":3}: Log Service counts such lines with SQL.
	Plain Format = iota
	// EMF writes CloudWatch's embedded metric format: Lambda's log pipeline turns such lines into metrics.
	EMF
)

// Metrics writes metric lines. It is safe for concurrent use; a line is one Write.
type Metrics struct {
	mu       sync.Mutex
	w        io.Writer
	now      func() time.Time
	format   Format
	function string
}

// NewMetrics returns a Metrics for one function. now stamps the lines and must be
// the wall clock, whatever clock the run itself has: CloudWatch drops what is older than two weeks.
func NewMetrics(w io.Writer, now func() time.Time, format Format, function string) *Metrics {
	return &Metrics{w: w, now: now, format: format, function: function}
}

// Success writes values together with last_success_timestamp. The alarm that
// matters most looks for its absence: no success for N minutes.
func (m *Metrics) Success(labels Labels, values Values) {
	all := Values{LastSuccessTimestamp: float64(m.now().Unix())}
	for name, v := range values {
		all[name] = v
	}
	m.Emit(labels, all)
}

// Emit writes one line with all values. Values that are no finite number are left
// out, and nothing is written for none. A write error is dropped: a number that gets
// lost must not fail the run that it is about.
func (m *Metrics) Emit(labels Labels, values Values) {
	dims := labels.list()
	line := map[string]any{"function": m.function}
	for _, d := range dims {
		line[d.key] = d.value
	}
	names := make([]Metric, 0, len(values))
	for name, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			names = append(names, name)
			line[string(name)] = v
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)

	now := m.now().UTC()
	if m.format == EMF {
		line["_aws"] = emf(now, dims, names)
	} else {
		line["metrics"] = Namespace
		line["time"] = now.Format(time.RFC3339)
	}
	text, err := json.Marshal(line) // maps come out with sorted keys: the same line for the same numbers
	if err != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.w.Write(append(text, '\n'))
}

// emf describes a line to CloudWatch. Counters are rolled up over all labels too, so
// that one alarm on the function alone sees every rule and wall.
func emf(now time.Time, dims []label, names []Metric) map[string]any {
	full := []string{"function"}
	for _, d := range dims {
		full = append(full, d.key)
	}
	type definition struct {
		Name Metric
		Unit string
	}
	type directive struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []definition
	}
	var counters, levels []definition
	for _, name := range names {
		if d := (definition{name, name.unit()}); d.Unit == "Count" {
			counters = append(counters, d)
		} else {
			levels = append(levels, d)
		}
	}
	var out []directive
	if len(counters) > 0 {
		sets := [][]string{full}
		if len(full) > 1 {
			sets = append(sets, []string{"function"})
		}
		out = append(out, directive{Namespace, sets, counters})
	}
	if len(levels) > 0 {
		out = append(out, directive{Namespace, [][]string{full}, levels})
	}
	return map[string]any{"Timestamp": now.UnixMilli(), "CloudWatchMetrics": out}
}

func (m Metric) unit() string {
	switch {
	case strings.HasSuffix(string(m), "_total"):
		return "Count"
	case strings.HasSuffix(string(m), "_timestamp"):
		return "Seconds"
	case strings.HasSuffix(string(m), "_ms"):
		return "Milliseconds"
	default:
		return "None"
	}
}

type label struct{ key, value string }

func (l Labels) list() []label {
	var out []label
	for _, d := range []label{{"rule", l.Rule}, {"cloud", l.Cloud}, {"target", l.Target}, {"outcome", l.Outcome}} {
		if d.value != "" {
			out = append(out, label{d.key, plainWord(d.value)})
		}
	}
	return out
}

// maxLabel is the longest label value: rule ids and wall names are shorter.
const maxLabel = 64

// plainWord lets through words like rule ids and turns everything else, an address
// above all, into "other".
func plainWord(v string) string {
	bad := len(v) > maxLabel || strings.ContainsFunc(v, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r))
	})
	if _, err := netip.ParseAddr(v); bad || err == nil {
		return "other"
	}
	return v
}
