//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// checked is what the guard learned about a query's result columns.
type checked struct {
	names []string // what each entry of the select list is called; "" if it has no name
	star  int      // position of a *, or -1
	stars int
}

// guard parses a translated query with DuckDB's own parser and refuses it unless
// it is one SELECT that reads nothing but log and its own subqueries. The
// translator cannot write anything else; this holds even if it could.
func (e *engine) guard(ctx context.Context, sql string) (checked, error) {
	var tree string
	err := e.query(ctx, "SELECT json_serialize_sql("+quoteText(sql)+")", func([]column) error { return nil }, func(c chunk) error {
		r := c.reader(0)
		tree = r.text(0)
		return nil
	})
	if err != nil {
		return checked{}, err
	}
	return checkTree(tree)
}

func checkTree(tree string) (checked, error) {
	var doc struct {
		Error      bool   `json:"error"`
		Message    string `json:"error_message"`
		Statements []struct {
			Node map[string]any `json:"node"`
		} `json:"statements"`
	}
	if err := json.Unmarshal([]byte(tree), &doc); err != nil {
		return checked{}, fmt.Errorf("parse tree of query: %w", err)
	}
	if doc.Error {
		return checked{}, invalid("%s", firstLine(doc.Message))
	}
	if len(doc.Statements) != 1 {
		return checked{}, invalid("want one statement, got %d", len(doc.Statements))
	}
	node := doc.Statements[0].Node
	if err := checkNode(node, []string{"log"}); err != nil {
		return checked{}, err
	}
	return resultNames(node), nil
}

// relations are the kinds of query node and table reference that may occur; in
// DuckDB's parse tree all of them, and nothing else, have the key "sample" or "cte_map".
var relations = words("SELECT_NODE SET_OPERATION_NODE CTE_NODE BASE_TABLE TABLE_FUNCTION SUBQUERY JOIN EMPTY EXPRESSION_LIST")

// checkNode walks over a part of the tree. Names are the tables that it may read.
func checkNode(value any, names []string) error {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			if err := checkNode(item, names); err != nil {
				return err
			}
		}
	case map[string]any:
		return checkObject(v, names)
	}
	return nil
}

func checkObject(v map[string]any, names []string) error {
	kind, _ := v["type"].(string)
	_, sample := v["sample"]
	ctes, hasCTEs := v["cte_map"]
	if (sample || hasCTEs) && !relations[kind] {
		return invalid("%s is not supported", strings.ToLower(strings.ReplaceAll(kind, "_", " ")))
	}
	switch kind {
	case "BASE_TABLE":
		return checkTable(v, names)
	case "TABLE_FUNCTION":
		function, _ := v["function"].(map[string]any)
		if name, _ := function["function_name"].(string); name != "unnest" {
			return invalid("table function %s is not supported", shorten(name))
		}
	case "CTE_NODE":
		if err := checkNode(v["query"], names); err != nil {
			return err
		}
		name, _ := v["cte_name"].(string)
		names = append(names[:len(names):len(names)], name)
	}
	if hasCTEs {
		var err error
		if names, err = checkCTEs(ctes, names); err != nil {
			return err
		}
	}
	for key, child := range v {
		if key == "cte_map" || kind == "CTE_NODE" && key == "query" {
			continue
		}
		if err := checkNode(child, names); err != nil {
			return err
		}
	}
	return nil
}

// checkTable refuses any table but those named. A schema is refused too: that is
// how system tables and other logstores could be reached.
func checkTable(v map[string]any, names []string) error {
	table, _ := v["table_name"].(string)
	schema, _ := v["schema_name"].(string)
	catalog, _ := v["catalog_name"].(string)
	if schema == "" && catalog == "" {
		for _, n := range names {
			if strings.EqualFold(n, table) {
				return nil
			}
		}
	}
	return invalid("Table '%s' does not exist", shorten(table))
}

// checkCTEs checks a WITH list: each entry may read those before it.
func checkCTEs(value any, names []string) ([]string, error) {
	list, _ := value.(map[string]any)
	entries, _ := list["map"].([]any)
	names = names[:len(names):len(names)]
	for _, e := range entries {
		entry, _ := e.(map[string]any)
		if err := checkNode(entry["value"], names); err != nil {
			return nil, err
		}
		name, ok := entry["key"].(string)
		if !ok {
			return nil, errors.New("parse tree of query: WITH entry without a name")
		}
		names = append(names, name)
	}
	return names, nil
}

// resultNames reads the names of the result's columns from the tree.
func resultNames(node map[string]any) checked {
	for node["type"] != "SELECT_NODE" {
		next, ok := node["left"].(map[string]any)
		if !ok {
			if next, ok = node["child"].(map[string]any); !ok {
				return checked{star: -1}
			}
		}
		node = next
	}
	c := checked{star: -1}
	list, _ := node["select_list"].([]any)
	for i, e := range list {
		entry, _ := e.(map[string]any)
		alias, _ := entry["alias"].(string)
		switch class, _ := entry["class"].(string); {
		case class == "STAR":
			c.star, c.stars = i, c.stars+1
		case alias == "" && class == "COLUMN_REF":
			parts, _ := entry["column_names"].([]any)
			if len(parts) > 0 {
				alias, _ = parts[len(parts)-1].(string)
			}
		}
		c.names = append(c.names, alias)
	}
	return c
}

// rename gives nameless columns Presto's names: _col0, _col1, by position in the result.
func (c checked) rename(columns []column) {
	if c.stars > 1 || c.stars == 0 && len(c.names) != len(columns) {
		return
	}
	wide := len(columns) - len(c.names) // how many columns more than one the * stands for
	for i, name := range c.names {
		at := i
		if c.star >= 0 && i > c.star {
			at += wide
		}
		if i != c.star && name == "" && at < len(columns) {
			columns[at].name = "_col" + strconv.Itoa(at)
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return strings.TrimSpace(line)
}
