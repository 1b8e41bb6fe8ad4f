package detect

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// The points of a score (ADR 0026). A score of blockAt or more blocks, challengeAt or
// more challenges, less only watches. What a rule asks for is where a score begins,
// so that a rule that nothing speaks for or against gets what it asks for.
const (
	blockAt     = 80
	challengeAt = 50

	observePoints = 20

	loudFrom, loudPoints         = 3, 5 // times the threshold
	veryLoudFrom, veryLoudPoints = 10, 10
	classPoints, mostClassPoints = 10, 20 // for each further class of attack

	oneFeedPoints, twoFeedPoints, manyFeedPoints = 5, 15, 25
	minConfidence                                = 30 // of a feed's word, out of 100, for it to count

	strikePoints, mostStrikePoints = 10, 20

	successPoints = -50
	minSuccesses  = 3
	successShare  = 5 // successes must be a fifth of what is held against it
	sharedPoints  = -50
	minUsers      = 5 // accounts that behave, for an address to be shared
	sharedShare   = 2 // ordinary requests must be twice what is held against it
)

// The parts of a score that speak for somebody.
const (
	partSuccesses = "successes"
	partShared    = "shared"
)

// evidence is what is known of one Indicator before it is judged.
type evidence struct {
	detections []threat.Detection
	facts      Facts
	known      bool // facts were asked for
	hits       []threatintel.Hit
	history    blocklist.History
}

// score judges one Indicator. It is a pure function: the same evidence gives the same
// score, whenever it is asked.
//
// Guards: intelligence and history lift a verdict by one step at most; one feed alone
// lifts nothing, nor do any number of them without something that was done here; an address that many accounts use, or from which logins succeed as
// well, is never blocked, only challenged at most.
func score(e evidence) Judgement {
	j := Judgement{Detections: e.detections, Intelligence: e.hits, History: e.history}
	if e.known {
		j.Facts = &e.facts
	}
	s := scale{}
	rules := e.byRules(&s)
	shared := e.mitigated(&s)
	seen := s.sum
	feeds := e.intelligence(&s)
	e.strikes(&s)
	// One step up from what was seen here, and none for a single feed's sake.
	limit := min(actionFor(seen)+1, threat.Block)
	s.cap(limit, "intelligence and history lift a verdict by one step at most")
	if feeds == 1 && actionFor(s.sum) > actionFor(s.sum-oneFeedPoints) {
		s.cap(actionFor(s.sum-oneFeedPoints), "one feed alone changes no verdict")
	}
	if rules.Class == classIntel {
		s.cap(threat.Observe, "lists alone, without anything that it did here, change nothing")
	}
	if shared {
		s.cap(threat.Challenge, "people who behave use it as well: never blocked")
	}
	s.bound()
	j.Score, j.Parts, j.Action = s.sum, s.parts, actionFor(s.sum)
	j.Severity, j.Tags = e.severity(), e.tags()
	j.Reason = e.reason(rules, j.Parts)
	return j
}

// actionFor returns what a score asks for.
func actionFor(points int) threat.Action {
	switch {
	case points >= blockAt:
		return threat.Block
	case points >= challengeAt:
		return threat.Challenge
	default:
		return threat.Observe
	}
}

// scale adds up a score and remembers of what.
type scale struct {
	sum   int
	parts []Part
}

func (s *scale) add(name string, points int, format string, args ...any) {
	if points == 0 {
		return
	}
	s.sum += points
	s.parts = append(s.parts, Part{Name: name, Points: points, Text: fmt.Sprintf(format, args...)})
}

// cap takes off what would lead to more than the limit.
func (s *scale) cap(limit threat.Action, why string) {
	most := map[threat.Action]int{threat.Observe: challengeAt - 1, threat.Challenge: blockAt - 1, threat.Block: math.MaxInt}[limit]
	if s.sum > most {
		s.add("capped", most-s.sum, "%s", why)
	}
}

// bound keeps the score within 0 and 100.
func (s *scale) bound() {
	switch {
	case s.sum > 100:
		s.add("capped", 100-s.sum, "100 is the most")
	case s.sum < 0:
		s.add("capped", -s.sum, "0 is the least")
	}
}

// byRules adds what the rules themselves say, and returns the detection that speaks loudest.
func (e evidence) byRules(s *scale) threat.Detection {
	strongest := e.detections[0]
	classes := map[string]bool{}
	for _, d := range e.detections {
		if d.Class == classIntel {
			continue // a word about an address, not something that it did
		}
		classes[d.Class] = true
		if strongest.Class == classIntel || cmp.Or(cmp.Compare(d.Action, strongest.Action), cmp.Compare(loudness(d), loudness(strongest)), cmp.Compare(d.Severity, strongest.Severity)) > 0 {
			strongest = d
		}
	}
	s.add("rule", map[threat.Action]int{threat.Block: blockAt, threat.Challenge: challengeAt, threat.Observe: observePoints}[strongest.Action], "%s asks to %s", strongest.Rule, strongest.Action)
	if len(classes) == 0 {
		return strongest // it did nothing that we have seen
	}
	switch times := loudness(strongest); {
	case times >= veryLoudFrom:
		s.add("loud", veryLoudPoints, "%d times the threshold", times)
	case times >= loudFrom:
		s.add("loud", loudPoints, "%d times the threshold", times)
	}
	if n := len(classes) - 1; n > 0 {
		s.add("classes", min(n*classPoints, mostClassPoints), "%s of attack", plural(n+1, "class"))
	}
	return strongest
}

// classIntel is the class of rules that repeat what somebody else says.
const classIntel = "intel"

// loudness is how many times the threshold the count is in a window, on average.
func loudness(d threat.Detection) int64 {
	return d.Count / max(1, d.Threshold) / max(1, int64(d.Windows))
}

// intelligence adds what others say, and returns how many of them count.
func (e evidence) intelligence(s *scale) int {
	feeds := map[string]bool{}
	for _, h := range e.hits {
		if h.Confidence >= minConfidence {
			feeds[h.Source] = true
		}
	}
	for _, d := range e.detections {
		if d.Class == classIntel {
			feeds[d.Rule] = true
		}
	}
	names := sorted(feeds, strings.Compare)
	points := [...]int{0, oneFeedPoints, twoFeedPoints, manyFeedPoints}[min(len(names), 3)]
	s.add("intelligence", points, "named by %s", clip(strings.Join(names, ", "), 120))
	return len(names)
}

// strikes adds what it did before.
func (e evidence) strikes(s *scale) {
	n := e.history.Strikes
	if e.history.Listed {
		n-- // the block that lasts is this one
	}
	if n > 0 {
		s.add("history", min(n*strikePoints, mostStrikePoints), "blocked %s before", plural(n, "time"))
	}
}

// mitigated takes off for what speaks for it, and tells whether anything does.
func (e evidence) mitigated(s *scale) bool {
	var against int64
	byContent := false
	for _, d := range e.detections {
		against = max(against, d.Count)
		byContent = byContent || d.Class == "web attack" || d.Class == "exploit"
	}
	f, found := e.facts, false
	// An attack by content is one whatever else succeeds: an account is easily had.
	if f.Successes >= minSuccesses && f.Successes >= against/successShare && !byContent {
		s.add(partSuccesses, successPoints, "%d logins or orders succeeded from it as well", f.Successes)
		found = true
	}
	if f.Users >= minUsers && f.Ordinary >= sharedShare*min(against, math.MaxInt64/sharedShare) {
		s.add(partShared, sharedPoints, "%d accounts with %d ordinary requests share it", f.Users, f.Ordinary)
		found = true
	}
	return found
}

func (e evidence) severity() threat.Severity {
	worst := threat.Low
	for _, d := range e.detections {
		worst = max(worst, d.Severity)
	}
	return worst
}

// tags are the classes, the rules' and classifier's tags, and what feeds call it.
func (e evidence) tags() []string {
	all := map[string]bool{}
	for _, d := range e.detections {
		all[d.Class] = true
		for _, tag := range d.Tags {
			all[tag] = true
		}
	}
	for _, h := range e.hits {
		if h.Confidence >= minConfidence && h.Category != "" {
			all[h.Category] = true
		}
	}
	tags := sorted(all, strings.Compare)
	return tags[:min(len(tags), maxTags)]
}

// reason says it in a sentence, for people: the strongest rule's, why it is let off all the
// same, and what else counts.
func (e evidence) reason(strongest threat.Detection, parts []Part) string {
	text := strongest.Reason
	for _, p := range parts {
		if p.Name == partSuccesses || p.Name == partShared {
			text += "; but " + p.Text
		}
	}
	var more []string
	for _, d := range e.detections {
		if d.Rule != strongest.Rule {
			more = append(more, d.Rule)
		}
	}
	if len(more) > 0 {
		text += "; also " + strings.Join(more, ", ")
	}
	if n := len(e.hits); n > 0 {
		text += "; named by " + plural(n, "feed")
	}
	return clip(text, maxReason-len("…"))
}
