package settings_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/settings"
)

func reader(env map[string]string) *settings.Reader {
	return &settings.Reader{Lookup: func(key string) (string, bool) { v, ok := env[key]; return v, ok }}
}

func TestAbsentTakesTheDefault(t *testing.T) {
	r := reader(map[string]string{"EMPTY": " "})
	if got := r.Choice("EMPTY", "observe", "enforce", "observe"); got != "observe" {
		t.Errorf("Choice = %q", got)
	}
	if got := r.Duration("NONE", time.Hour, time.Minute, 2*time.Hour); got != time.Hour {
		t.Errorf("Duration = %s", got)
	}
	if got := r.Number("NONE", 7, 1, 9); got != 7 {
		t.Errorf("Number = %d", got)
	}
	if got := r.Words("NONE", 3, 3); got != nil {
		t.Errorf("Words = %q", got)
	}
	if got := r.Matching("NONE", func(string) bool { return false }, "nothing"); got != "" {
		t.Errorf("Matching = %q", got)
	}
	if err := r.Err(); err != nil || !r.OK() {
		t.Errorf("problems = %v", err)
	}
}

func TestWhatIsRightIsRead(t *testing.T) {
	r := reader(map[string]string{"MODE": " enforce ", "TERM": "24h", "N": "9", "RULES": "b, a,b", "ID": "x1", "URL": "redis://h"})
	fine := func(string) bool { return true }
	if got := r.Choice("MODE", "observe", "enforce", "observe"); got != "enforce" {
		t.Errorf("Choice = %q", got)
	}
	if got := r.Duration("TERM", 0, time.Minute, 24*time.Hour); got != 24*time.Hour {
		t.Errorf("Duration = %s", got)
	}
	if got := r.Number("N", 7, 1, 9); got != 9 {
		t.Errorf("Number = %d", got)
	}
	if got := r.Words("RULES", 3, 3); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("Words = %q", got)
	}
	if got := r.RequiredMatching("ID", fine, "an id"); got != "x1" {
		t.Errorf("RequiredMatching = %q", got)
	}
	if got := r.Address("URL", "an address", func(string) error { return nil }); got.Reveal() != "redis://h" {
		t.Errorf("Address = %q", got.Reveal())
	}
	if err := r.Err(); err != nil {
		t.Errorf("problems = %v", err)
	}
}

func TestEveryProblemIsToldAtOnceAndNoSecretWithIt(t *testing.T) {
	r := reader(map[string]string{
		"MODE": "Enforce", "TERM": "3 days", "N": "0", "RULES": "a,,b", "ID": "http://u:p4ss@h", "URL": "redis://:p4ss@h:x",
		"LONG": strings.Repeat("x", 500), "MANY": "a,b,c,d",
	})
	no := func(string) bool { return false }
	r.Choice("MODE", "observe", "enforce", "observe")
	r.Duration("TERM", 0, time.Minute, time.Hour)
	r.Number("N", 7, 1, 9)
	r.Words("RULES", 3, 3)
	r.Words("MANY", 3, 3)
	r.Matching("ID", no, "an id")
	r.Matching("LONG", no, "less")
	r.RequiredMatching("GONE", no, "an id")
	r.Address("URL", "an address", func(string) error { return errors.New("port: want a number") })
	r.Check("TARGETS", errors.Join(errors.New("first"), errors.New("second")))
	r.Check("NOTHING", nil)
	err := r.Err()
	if err == nil || r.OK() {
		t.Fatal("no problem was found")
	}
	for _, want := range []string{
		`MODE "Enforce": want one of enforce, observe`, `TERM "3 days"`, `N "0"`, "1 to 9", `RULES "a,,b"`, "MANY has 4 ids: want at most 3",
		"ID", "withheld", "GONE is not set: want an id", "URL (value withheld, it may hold a password): port: want a number",
		"TARGETS: first", "TARGETS: second",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("problems do not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "p4ss") || strings.Contains(err.Error(), "NOTHING") || len(err.Error()) > 1500 {
		t.Errorf("problems say too much:\n%v", err)
	}
}

func TestExplainSaysEachProblemOnALineOfItsOwn(t *testing.T) {
	var out strings.Builder
	settings.Explain(slog.New(slog.NewJSONHandler(&out, nil)), errors.Join(errors.New("first"), errors.New("second")))
	settings.Explain(slog.New(slog.NewJSONHandler(&out, nil)), errors.New("third"))
	if lines := strings.Count(out.String(), "\n"); lines != 3 || !strings.Contains(out.String(), `"err":"second"`) {
		t.Errorf("log = %s", out.String())
	}
}
