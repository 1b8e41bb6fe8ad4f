package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tracewall/tracewall/shared/detect"
)

// toldCase is why the Indicator was last judged as it was, with the queries' own text.
type toldCase struct {
	detect.Case
	Rules []toldRule `json:"rules"` // in place of Case's
}

type toldRule struct {
	detect.CaseRule
	Text string `json:"query_text,omitempty"` // what was asked, if it can be told
	Note string `json:"query_note,omitempty"` // why it cannot
}

// readCase fills in why the Indicator was judged as it was. A case that cannot be read is told: what the
// list says is true all the same.
func (a *app) readCase(ctx context.Context, store explainStore, x *explained) error {
	kept, ok, err := store.Case(ctx, x.ind)
	if err != nil {
		return err
	}
	if !ok {
		return nil
	}
	var c detect.Case
	if err := json.Unmarshal(kept.Text, &c); err != nil {
		x.CaseNote = fmt.Sprintf("its case cannot be read, another version of tracewall may have written it: %v", err)
		return nil
	}
	told := toldCase{Case: c, Rules: []toldRule{}}
	for _, r := range c.Rules {
		t := toldRule{CaseRule: r}
		t.Text, t.Note = a.queryOf(r)
		told.Rules = append(told.Rules, t)
	}
	x.Case = &told
	return nil
}

// queryOf finds the text of a query by its hash: among the program's rules, in each log service's words, with
// the fields' names of this environment and those of each ready-made mapping.
func (a *app) queryOf(r detect.CaseRule) (text, note string) {
	rule, ok, err := detect.ShippedRule(r.ID)
	switch {
	case err != nil:
		return "", err.Error()
	case !ok:
		return "", "the rule is not part of this program: look at the rule file of the deployment"
	}
	if rule.Version != r.Version {
		return "", fmt.Sprintf("this program has version %d of the rule, and version %d was asked", rule.Version, r.Version)
	}
	for _, m := range a.mappings() {
		for _, d := range detect.Dialects() {
			in, ok := rule.In(d)
			if !ok || len(m.Lacks(in)) > 0 {
				continue
			}
			in, err := in.WithFields(m)
			if err != nil {
				continue
			}
			if sum := sha256.Sum256([]byte(in.SQL())); hex.EncodeToString(sum[:]) == r.Query {
				return strings.TrimSpace(in.SQL()), ""
			}
		}
	}
	return "", "the deployment calls the fields of its logs by other names: set its FIELDS and FIELD_… here to see the query"
}

// mappings are the names that the fields of the logs may have had.
func (a *app) mappings() []detect.Mapping {
	own := map[string]string{}
	for _, field := range detect.FieldNames() {
		if name, _ := a.lookup("FIELD_" + strings.ToUpper(field)); name != "" {
			own[field] = name
		}
	}
	chosen, _ := a.lookup("FIELDS")
	var all []detect.Mapping
	for _, name := range append([]string{chosen, ""}, detect.Mappings()...) {
		if m, err := detect.MappingOf(name, own); err == nil {
			all = append(all, m)
		}
	}
	return append(all, detect.Mapping{})
}
