package detect

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// The schema's mappings, by the path that the loader gives them.
func schemaShape(t *testing.T, schema map[string]any, path string, into map[string]map[string]bool) {
	t.Helper()
	properties, ok := schema["properties"].(map[string]any)
	if !ok {
		return
	}
	if schema["additionalProperties"] != false {
		t.Errorf("%q allows unknown fields", path)
	}
	required := map[string]bool{}
	list, _ := schema["required"].([]any)
	for _, name := range list {
		required[name.(string)] = true
	}
	into[path] = map[string]bool{}
	for name, p := range properties {
		into[path][name] = required[name]
		property := p.(map[string]any)
		if d, ok := property["description"].(string); !ok && path != "tests[]." || ok && strings.TrimSpace(d) == "" {
			t.Errorf("%s%s has no description for the editor to show", path, name)
		}
		schemaShape(t, property, path+name+".", into)
		if items, ok := property["items"].(map[string]any); ok {
			schemaShape(t, items, path+name+"[].", into)
		}
	}
}

func TestTheSchemaKnowsExactlyTheFieldsThatTheLoaderAsksFor(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	inSchema := map[string]map[string]bool{}
	schemaShape(t, schema, "", inSchema)
	_, _, asked := parse([]byte("{}"))
	if diff := cmp.Diff(asked, inSchema); diff != "" {
		t.Errorf("fields (value: required), loader -, schema +\n%s", diff)
	}
}

func TestTheSchemaAllowsTheSameWords(t *testing.T) {
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	type list struct{ Enum []string }
	var schema struct {
		Properties struct {
			Class  list
			Format struct{ Items list }
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Classes(), schema.Properties.Class.Enum); diff != "" {
		t.Errorf("class: %s", diff)
	}
	if diff := cmp.Diff(Formats(), schema.Properties.Format.Items.Enum); diff != "" {
		t.Errorf("format: %s", diff)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("rule.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rule.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	j, err := yaml.YAMLToJSON(text)
	if err != nil {
		return err
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(j)))
	if err != nil {
		return fmt.Errorf("%w in %s", err, j)
	}
	return s.Validate(doc)
}

func TestShippedRulesFitTheSchema(t *testing.T) {
	s := compiled(t)
	names, err := fs.Glob(shipped, "rules/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := shipped.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=schema.json\n") {
			t.Errorf("%s does not name its schema for editors", name)
		}
	}
}

// What the schema can refuse, it refuses as the loader does.
func TestSchemaAndLoaderRefuseTheSame(t *testing.T) {
	s := compiled(t)
	if err := validate(t, s, []byte(goodRule)); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(badRules)) {
		c := badRules[name]
		if c.beyondSchema {
			continue
		}
		if err := validate(t, s, []byte(c.text())); err == nil {
			t.Errorf("%s: the schema lets it pass", name)
		}
	}
}
