package detect_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/detect"
)

func TestEveryReadyMadeMappingIsSound(t *testing.T) {
	for _, name := range detect.Mappings() {
		m, err := detect.MappingOf(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		for field, column := range m {
			if !slices.Contains(detect.FieldNames(), field) || column != detect.NoField && !detect.ValidField(column) {
				t.Errorf("mapping %s: %s is called %q", name, field, column)
			}
		}
		if m["address"] == "" || m["address"] == detect.NoField || m["status"] == "" || m["path"] == "" {
			t.Errorf("mapping %s does not say where address, path and status are", name)
		}
	}
}

func TestTheDeploymentsOwnNamesGoOverAMapping(t *testing.T) {
	m, err := detect.MappingOf("alb", map[string]string{"address": "http_x_real_ip", "account": "uid"})
	if err != nil || m["address"] != "http_x_real_ip" || m["account"] != "uid" || m["path"] != "request_uri" {
		t.Errorf("mapping = %v, %v", m, err)
	}
	again, _ := detect.MappingOf("alb", nil)
	if again["address"] != "client_ip" {
		t.Error("a deployment's name has changed the mapping for all")
	}
	_, err = detect.MappingOf("", map[string]string{"street": "x", "path": `x" or 1=1`, "status": "a?b?c"})
	if !errors.Is(err, detect.ErrRequest) {
		t.Fatal(err)
	}
	for _, want := range []string{`field "street"`, "field path", "field status"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %s in it", err, want)
		}
	}
	if _, err := detect.MappingOf("nope", nil); !errors.Is(err, detect.ErrRequest) {
		t.Errorf("err = %v", err)
	}
}

func TestARuleLacksWhatItNeedsAndNotWhatItCanDoWithout(t *testing.T) {
	r := addressRule()
	r.Fields, r.Optional = map[string]string{"address": "ip", "agent": "ua", "account": detect.NoField}, []string{"account", "agent"}
	r.Query = "* | select {{field.address}}, {{field.agent}}, {{field.account}}, {{window}} limit 1000000"
	if lacks := (detect.Mapping{"agent": detect.NoField, "account": detect.NoField}).Lacks(r); lacks != nil {
		t.Errorf("lacks %v", lacks)
	}
	if lacks := (detect.Mapping{"address": detect.NoField}).Lacks(r); !slices.Equal(lacks, []string{"address"}) {
		t.Errorf("lacks %v, want address", lacks)
	}
	in, err := r.WithFields(detect.Mapping{"agent": detect.NoField, "account": "path?query"})
	if err != nil {
		t.Fatal(err)
	}
	want := `* | select cast("ip" as varchar), cast(null as varchar), concat(coalesce(cast("path" as varchar), ''), if(coalesce(cast("query" as varchar), '') in ('', '-'), '', concat('?', cast("query" as varchar)))), 120 limit 1000000`
	if got := in.SQL(); got != want {
		t.Errorf("SQL = %s\nwant  %s", got, want)
	}
	if _, err := r.WithFields(detect.Mapping{"address": detect.NoField}); !errors.Is(err, detect.ErrRequest) {
		t.Errorf("err = %v", err)
	}
}
