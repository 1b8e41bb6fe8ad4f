package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/webattack"
)

func parseSubject(f *fields) Subject {
	s := Subject{Column: f.name("column", true, columnName, wantColumn)}
	kinds := append([]string{threat.KindAddress.String(), threat.KindAccount.String()}, CampaignKinds()...)
	switch kind := f.oneOf("kind", kinds); kind {
	case threat.KindAddress.String():
		s.Kind = threat.KindAddress
	case threat.KindAccount.String():
		s.Kind = threat.KindAccount
	default:
		s.Campaign = kind
	}
	f.done()
	return s
}

func parseColumns(f *fields, subject Subject) Columns {
	column := func(key string, required bool) string { return f.name(key, required, columnName, wantColumn) }
	c := Columns{
		Count: column("count", true), Window: column("window", true),
		FirstSeen: column("first_seen", false), LastSeen: column("last_seen", false),
		Countries: column("countries", false), Addresses: column("addresses", false),
		Clients: column("clients", subject.Campaign != ""), Accounts: column("accounts", false), Also: column("also", false),
		Sample: column("sample", false), Successes: column("successes", false), Users: column("users", false), Total: column("total", false),
	}
	if c.Addresses != "" && subject.Kind == threat.KindAddress {
		f.problem("addresses", "%s: want it only where subject.kind is account or a campaign", show(c.Addresses))
	}
	if c.Accounts != "" && subject.Kind == threat.KindAccount {
		f.problem("accounts", "%s: want it only where subject.kind is no account", show(c.Accounts))
	}
	f.done()
	return c
}

// parseContent reads what the text of a row must show.
func parseContent(f *fields) *Content {
	_, given := f.values["content"]
	c := f.object("content", false)
	if !given {
		c.problems = new([]string) // asked only so that the shape is whole
	}
	var content Content
	for i, name := range c.texts("columns", true, 3) {
		if name != NoField && !columnName.MatchString(name) {
			c.problem(fmt.Sprintf("columns[%d]", i), "%s: want %s, or - for none", show(name), wantColumn)
		}
		content.Columns = append(content.Columns, name)
	}
	for i, name := range c.texts("classes", true, len(webattack.Classes())) {
		class, ok := webattack.ParseClass(name)
		if !ok {
			c.problem(fmt.Sprintf("classes[%d]", i), "%s: want one of %s", show(name), classWords())
		}
		content.Classes = append(content.Classes, class)
	}
	c.done()
	if !given {
		return nil
	}
	return &content
}

func classWords() string {
	var names []string
	for _, c := range webattack.Classes() {
		names = append(names, string(c))
	}
	return oneOf(names)
}

// parseTrial reads how long a rule only observes, and what it asks for then.
func parseTrial(f *fields) *Trial {
	_, given := f.values["trial"]
	t := f.object("trial", false)
	if !given {
		t.problems = new([]string)
	}
	trial := Trial{For: t.duration("for", true, time.Hour, 90*24*time.Hour)}
	if s := t.oneOf("then", []string{"challenge", "block"}); s != "" {
		_ = trial.Then.UnmarshalText([]byte(s)) // one of its own words
	}
	t.done()
	if !given {
		return nil
	}
	return &trial
}

// checkTogether notes fields that do not go together.
func checkTogether(f *fields, r Rule) {
	slices.Sort(r.Tags)
	for i, d := range r.Only {
		if !slices.Contains(Dialects(), d) {
			f.problem(fmt.Sprintf("only[%d]", i), "%s: want one of %s", show(d), oneOf(Dialects()))
		}
	}
	if r.Over != 0 && r.Window != 0 && (r.Over%r.Window != 0 || r.Over <= r.Window) {
		f.problem("over", "%s: want several windows of %s", span(r.Over), span(r.Window))
	}
	if r.Trial != nil && r.Action != threat.Observe {
		f.problem("trial", "want it only where action is observe: the trial says what comes then")
	}
	if (r.Columns.Also == "") != (r.Also == "") {
		f.problem("also", "want it and columns.also both or neither")
	}
	switch {
	case r.Class == ClassContext && (r.Subject.Kind != threat.KindAddress || r.Action != threat.Observe || r.Threshold != 0):
		f.problem("class", "context: want subject.kind ip, action observe and threshold 0: it accuses nobody")
	case r.Class != ClassContext && (r.Columns.Users != "" || r.Columns.Total != ""):
		f.problem("columns", "users and total: want them only where class is context")
	}
	if r.Subject.Campaign != "" && r.Action == threat.Block {
		f.problem("action", "block: a campaign is many addresses, most of them strangers to it: want observe or challenge")
	}
}

func parseParameters(f *fields) map[string]int64 {
	v, ok := f.get("parameters", false)
	if !ok {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.problem("parameters", "%s: want a mapping of names to whole numbers", show(v))
		return nil
	}
	all := make(map[string]int64, len(m))
	for name, v := range m {
		n, ok := whole(v)
		switch {
		case !columnName.MatchString(name) || name == "window" || name == "threshold":
			f.problem("parameters."+clip(name, 64), "want a name in lower-case letters, digits and underscores, other than window and threshold")
		case !ok:
			f.problem("parameters."+name, "%s: want a whole number", show(v))
		default:
			all[name] = n
		}
	}
	slices.Sort(*f.problems) // map order must not show
	return all
}

// parseFields reads the fields that a deployment may name. One whose name ends in ? is
// of use but not needed: where the logs have none, it reads as NULL.
func parseFields(f *fields) (all map[string]string, optional []string) {
	v, ok := f.get("fields", false)
	if !ok {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		f.problem("fields", "%s: want a mapping of names to fields of the logs", show(v))
		return nil, nil
	}
	all = make(map[string]string, len(m))
	for name, v := range m {
		text, ok := v.(string)
		column, spare := strings.CutSuffix(text, "?")
		switch {
		case !columnName.MatchString(name):
			f.problem("fields."+clip(name, 64), "want a name in lower-case letters, digits and underscores")
		case !ok || column != NoField && !ValidField(column):
			f.problem("fields."+name, "%s: want %s", show(v), WantField)
		default:
			all[name] = column
			if spare || column == NoField {
				optional = append(optional, name)
			}
		}
	}
	slices.Sort(optional)
	slices.Sort(*f.problems) // map order must not show
	return all, optional
}

// parseDialects reads the queries for other log services.
func parseDialects(f *fields) map[string]string {
	var all map[string]string
	for _, dialect := range Dialects()[1:] {
		_, given := f.values[dialect]
		d := f.object(dialect, false)
		if !given {
			d.problems = new([]string) // asked only so that the shape is whole
		}
		if query := d.text("query", true, maxQuery); query != "" {
			if all == nil {
				all = map[string]string{}
			}
			all[dialect] = query
		}
		d.done()
	}
	f.done()
	return all
}
