package infra_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// readme is one of the two READMEs, with its words for what stands in a rule's file.
type readme struct {
	file, section     string
	block, challenge  string
	observe, proposes string // of a campaign, for which nobody can be blocked
	favour            string // of a context rule, which accuses nobody
	trial             string // what comes after a clean trial
	account, hours    string // "blocks" of an account; a term
	windows           map[time.Duration]string
}

var readmes = []readme{
	{
		file: "../README.md", section: "### Rules",
		block: "blocks", challenge: "challenges", observe: "observes", proposes: "proposes a challenge", favour: "speaks for addresses", trial: "; after a trial of %.0f h ",
		account: " the account", hours: ", %.0f h",
		windows: map[time.Duration]string{time.Minute: "a minute", 2 * time.Minute: "2 min", 10 * time.Minute: "10 min", time.Hour: "an hour", 24 * time.Hour: "24 h"},
	},
	{
		file: "../README.zh-CN.md", section: "### 规则",
		block: "封", challenge: "质询", observe: "只观察", proposes: "建议质询", favour: "对地址有利的事实", trial: "；试运行 %.0f 小时后",
		account: "账号", hours: "，%.0f 小时",
		windows: map[time.Duration]string{time.Minute: "一分钟", 2 * time.Minute: "2 分钟", 10 * time.Minute: "10 分钟", time.Hour: "一小时", 24 * time.Hour: "24 小时"},
	},
}

// acts is what the table has to say of what a rule asks for.
func (d readme) acts(r detect.Rule) string {
	switch {
	case r.Class == detect.ClassContext:
		return d.favour
	case r.Action == threat.Observe && r.Trial != nil:
		after := r
		after.Action, after.Trial = r.Trial.Then, nil
		return d.observe + fmt.Sprintf(d.trial, r.Trial.For.Hours()) + d.acts(after)
	case r.Action == threat.Observe:
		return d.observe
	case r.Subject.Campaign != "":
		return d.proposes
	}
	text := map[threat.Action]string{threat.Block: d.block, threat.Challenge: d.challenge}[r.Action]
	if r.Subject.Kind == threat.KindAccount {
		text += d.account
	}
	return text + fmt.Sprintf(d.hours, r.Term.Hours())
}

// ruleRow is one row of a table of rules, and the formats of the group that it stands in.
type ruleRow struct {
	finds, acts string
	formats     []string
}

var (
	ruleID = regexp.MustCompile("^`([a-z0-9-]+)`$")
	group  = regexp.MustCompile("^\\*\\*(?:`[a-z]+` ?)+\\*\\*$")
	word   = regexp.MustCompile("`([a-z]+)`")
)

// ruleRows reads the table of rules: rows of three cells whose first is a rule's id, below
// rows whose first is the formats, in bold.
func (d readme) ruleRows(t *testing.T) map[string]ruleRow {
	t.Helper()
	text, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n"+d.section+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", d.file, d.section)
	}
	section, _, _ = strings.Cut(section, "\n### ")
	rows := map[string]ruleRow{}
	var formats []string
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 {
			continue
		}
		first := strings.TrimSpace(cells[0])
		if group.MatchString(first) {
			formats = nil
			for _, m := range word.FindAllStringSubmatch(first, -1) {
				formats = append(formats, m[1])
			}
			slices.Sort(formats)
		}
		if m := ruleID.FindStringSubmatch(first); m != nil {
			if _, twice := rows[m[1]]; twice {
				t.Errorf("%s lists rule %s twice", d.file, m[1])
			}
			rows[m[1]] = ruleRow{finds: strings.TrimSpace(cells[1]), acts: strings.TrimSpace(cells[2]), formats: formats}
		}
	}
	return rows
}

// Who chooses rules by the table must be able to believe it: each shipped rule stands there,
// below the formats that it reads, with its threshold, its window, what it asks for and for how long.
func TestREADMEsListEveryRuleAsItIs(t *testing.T) {
	rules, err := detect.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range readmes {
		t.Run(d.file, func(t *testing.T) {
			rows := d.ruleRows(t)
			for _, r := range rules {
				row, ok := rows[r.ID]
				if !ok {
					t.Errorf("rule %s is missing", r.ID)
					continue
				}
				delete(rows, r.ID)
				if want := d.acts(r); row.acts != want {
					t.Errorf("rule %s acts: %q, want %q", r.ID, row.acts, want)
				}
				if formats := slices.Sorted(slices.Values(r.Formats)); !slices.Equal(row.formats, formats) {
					t.Errorf("rule %s stands below %v, and reads %v", r.ID, row.formats, formats)
				}
				if r.Class == detect.ClassContext {
					continue // has no threshold
				}
				if number := regexp.MustCompile(fmt.Sprintf(`(?:^|[^\d,])%d(?:[^\d,]|$)`, r.Threshold)); !number.MatchString(row.finds) {
					t.Errorf("rule %s: %q does not name its threshold, %d", r.ID, row.finds, r.Threshold)
				}
				window := max(r.Window, r.Over)
				if want := d.windows[window]; want == "" || !strings.Contains(row.finds, want) {
					t.Errorf("rule %s: %q does not name its window, %s (%q)", r.ID, row.finds, window, want)
				}
			}
			for id := range rows {
				t.Errorf("%s is in the table and no rule", id)
			}
		})
	}
}
