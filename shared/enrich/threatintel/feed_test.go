package threatintel_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

func TestAFeedMayLeaveMostThingsOut(t *testing.T) {
	t.Parallel()
	got, err := threatintel.ParseFeeds(`[
		{"name":"ipsum","url":"https://lists.example/ipsum.txt","format":"ipsum"},
		{"name":"bots","url":"https://search.example/bot.json","format":"prefixes","purpose":"allow","max_age":"24h","every":"0s","licence":"CC0"},
		{"name":"partner","url":"https://taxii.example/taxii2/","format":"taxii","category":"botnet","confidence":80,"collection":"high","auth":"header X-Api-Key","secret":"partner","private":true},
		{"name":"table","url":"http://127.0.0.1:8080/t.csv","format":"csv","column":"ip","delimiter":"\t","label_column":"2","labels":["a"]}
	]`)
	if err != nil {
		t.Fatal(err)
	}
	base := threatintel.Feed{Purpose: threatintel.Signal, Category: "listed", Confidence: 50, MaxAge: 168 * time.Hour, Every: 6 * time.Hour, MinEntries: 1, MaxCoverage: 5, Column: "1", Delimiter: ","}
	want := []threatintel.Feed{base, base, base, base}
	want[0].Name, want[0].URL, want[0].Format = "ipsum", "https://lists.example/ipsum.txt", "ipsum"
	want[1].Name, want[1].URL, want[1].Format, want[1].Purpose, want[1].Category = "bots", "https://search.example/bot.json", "prefixes", threatintel.Allow, "crawler"
	want[1].MaxAge, want[1].Every, want[1].Licence = 24*time.Hour, 0, "CC0"
	want[2].Name, want[2].URL, want[2].Format, want[2].Category, want[2].Confidence = "partner", "https://taxii.example/taxii2/", "taxii", "botnet", 80
	want[2].Collection, want[2].Auth, want[2].Secret, want[2].Private = "high", "header X-Api-Key", "partner", true
	want[3].Name, want[3].URL, want[3].Format, want[3].Column, want[3].Delimiter = "table", "http://127.0.0.1:8080/t.csv", "csv", "ip", "\t"
	want[3].LabelColumn, want[3].Labels = "2", []string{"a"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFeedsThatAreRefused(t *testing.T) {
	t.Parallel()
	with := func(fields string) string {
		return `[{"name":"a","url":"https://lists.example/a","format":"plain"` + fields + `}]`
	}
	for text, want := range map[string]string{
		`{}`:                                            "want a JSON array",
		`[]`:                                            "0 feeds: want 1 to 64",
		`[1]`:                                           "feed 1: json",
		with(`,"titel":"b"`):                            `unknown field "titel"`,
		with(`,"name":"A b"`):                           `name "A b": want`,
		with(`,"name":""`):                              `name "": want`,
		with(`,"format":"xml"`):                         `format "xml": want one of plain`,
		with(`,"purpose":"block"`):                      `purpose "block": want signal or allow`,
		with(`,"category":"<b>"`):                       `category "<b>"`,
		with(`,"confidence":0`):                         "confidence 0: want 1 to 100",
		with(`,"confidence":101`):                       "confidence 101",
		with(`,"max_age":"7d"`):                         `max_age "7d": want a duration such as 168h`,
		with(`,"max_age":"1s"`):                         "max_age",
		with(`,"every":"-1h"`):                          "every",
		with(`,"min_entries":0`):                        "min_entries 0",
		with(`,"max_coverage":0`):                       "max_coverage 0",
		with(`,"max_coverage":51`):                      "max_coverage 51",
		with(`,"column":"ip"`):                          "are for format csv",
		with(`,"collection":"x"`):                       "collection is for format taxii",
		with(`,"auth":"digest"`):                        `auth "digest"`,
		with(`,"auth":"basic"`):                         "auth and secret: want both",
		with(`,"secret":"x"`):                           "auth and secret: want both",
		with(`,"auth":"header Host","secret":"x"`):      "auth",
		with(`,"auth":"header X: y","secret":"x"`):      "auth",
		with(`,"format":"csv","delimiter":"ab"`):        "delimiter",
		with(`,"format":"csv","labels":["x"]`):          "label_column and labels: want both",
		with(`,"purpose":"allow","format":"ipsum"`):     "purpose allow with format",
		with(`,"purpose":"allow","format":"stix"`):      "purpose allow with format",
		with(`,"url":"http://lists.example/a"`):         "want https://; http:// is for 127.0.0.1",
		with(`,"url":"http://10.0.0.1/a"`):              "want https://",
		with(`,"url":"ftp://lists.example/a"`):          "want https://",
		with(`,"url":"file:///etc/passwd"`):             "want https://host/path",
		with(`,"url":"https://u:p4ss@lists.example/a"`): "want no user and password in it",
		with(`,"url":"https://lists.example/a#b"`):      "without a #",
		with(`},{"name":"a","url":"https://lists.example/b","format":"plain"`): `feed "a" is there twice`,
		strings.Repeat(" ", 70000):              "want at most 65536",
		"[" + strings.Repeat(`{},`, 64) + "{}]": "65 feeds: want 1 to 64",
	} {
		_, err := threatintel.ParseFeeds(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.120s: %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "p4ss") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}

func TestAllProblemsOfAllFeedsAreTold(t *testing.T) {
	t.Parallel()
	_, err := threatintel.ParseFeeds(`[{"name":"a","url":"x","format":"y"},{"name":"b","url":"https://lists.example/","format":"plain","confidence":0}]`)
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 {
		t.Errorf("want three problems:\n%v", err)
	}
}

func TestReadingChangesWithWhatTheBytesMean(t *testing.T) {
	t.Parallel()
	f := threatintel.Feed{Name: "a", URL: "https://lists.example/", Format: "plain", Purpose: threatintel.Signal, Confidence: 50, MaxAge: time.Hour, Licence: "x"}
	other := f
	other.Name, other.MaxAge, other.Licence = "b", time.Minute, "y"
	if f.Reading() != other.Reading() {
		t.Error("a licence changes what bytes mean")
	}
	for name, change := range map[string]func(*threatintel.Feed){
		"url": func(f *threatintel.Feed) { f.URL += "x" }, "format": func(f *threatintel.Feed) { f.Format = "csv" }, "purpose": func(f *threatintel.Feed) { f.Purpose = threatintel.Allow },
		"confidence": func(f *threatintel.Feed) { f.Confidence++ }, "column": func(f *threatintel.Feed) { f.Column = "2" }, "labels": func(f *threatintel.Feed) { f.Labels = []string{"x"} },
	} {
		other := f
		if change(&other); f.Reading() == other.Reading() {
			t.Errorf("%s does not change the reading", name)
		}
	}
}
