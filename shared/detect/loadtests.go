package detect

import (
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// minTests is how many tests must fire, and how many must not: one of each leaves open where
// between them the threshold lies.
const minTests = 2

func parseTests(f *fields, subject Subject) []Test {
	var (
		tests         []Test
		fires, silent int
	)
	for _, t := range f.objects("tests", true, 200) {
		test := Test{Name: t.text("name", true, 200), Rejected: t.texts("rejected", false, 1000)}
		total := 0
		for _, l := range t.objects("lines", true, 1000) {
			line := parseTestLine(l)
			total += line.Repeat
			test.Lines = append(test.Lines, line)
		}
		if total > maxTestLines {
			t.problem("lines", "%d with repeats: want at most %d", total, maxTestLines)
		}
		for _, w := range t.objects("want", false, 1000) {
			test.Want = append(test.Want, parseTestWant(w, subject))
		}
		t.done()
		if len(test.Want) > 0 {
			fires++
		} else {
			silent++
		}
		tests = append(tests, test)
	}
	if len(tests) > 0 && fires < minTests {
		f.problem("tests", "%d that want a detection: want at least %d", fires, minTests)
	}
	if len(tests) > 0 && silent < minTests {
		f.problem("tests", "%d that want no detection: want at least %d", silent, minTests)
	}
	if len(tests) == 0 {
		// So that the shape is whole even without tests.
		probe := f.child("tests[].", nil)
		probe.problems = new([]string)
		_ = probe.text("name", true, 1)
		_ = probe.texts("rejected", false, 1)
		_ = probe.list("lines", true, 1)
		_ = probe.list("want", false, 1)
		parseTestLine(probe.child("tests[].lines[].", nil))
		parseTestWant(probe.child("tests[].want[].", nil), subject)
	}
	return tests
}

func parseTestLine(f *fields) TestLine {
	line := TestLine{
		Repeat: int(f.integer("repeat", false, 1, maxTestRepeat)),
		Every:  f.duration("every", false, 0, time.Hour),
	}
	line.Repeat = max(line.Repeat, 1)
	if s := f.text("time", true, 40); s != "" {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil || t.Unix() < 0 || t.Nanosecond() != 0 {
			f.problem("time", "%s: want RFC 3339 in whole seconds, such as 2025-05-10T12:55:31+08:00", show(s))
		}
		line.Time = t
	}
	if v, ok := f.get("fields", true); ok {
		m, isMap := v.(map[string]any)
		if !isMap || len(m) == 0 {
			f.problem("fields", "%s: want a mapping of columns to text", show(v))
		}
		line.Fields = make(map[string]string, len(m))
		for name, v := range m {
			s, ok := v.(string)
			if !ok {
				f.problem("fields."+clip(name, 64), "%s: want text (in quotes, if it looks like a number)", show(v))
			}
			line.Fields[name] = s
		}
	}
	f.done()
	return line
}

func parseTestWant(f *fields, subject Subject) TestWant {
	w := TestWant{
		Subject:   f.text("subject", true, 256),
		Count:     f.integer("count", true, 1, maxThreshold),
		Windows:   int(f.integer("windows", false, 1, 100_000)),
		Addresses: f.texts("addresses", false, maxTestRepeat),
		Accounts:  f.texts("accounts", false, maxTestRepeat),
		Tags:      f.texts("tags", false, 20),
		Also:      f.integer("also", false, 0, maxThreshold),
		Users:     int(f.integer("users", false, 0, maxThreshold)),
		Successes: f.integer("successes", false, 0, maxThreshold),
		Clients:   int(f.integer("clients", false, 0, maxThreshold)),
	}
	w.Windows = max(w.Windows, 1)
	if w.Subject != "" && subject.Campaign == "" {
		var err error
		if subject.Kind == threat.KindAccount {
			_, err = threat.Account(w.Subject)
		} else {
			_, err = threat.ParseAddress(w.Subject)
		}
		if err != nil {
			f.problem("subject", "%s: %v", show(w.Subject), err)
		}
	}
	f.done()
	return w
}
