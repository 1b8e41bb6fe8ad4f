package infra_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// tree is a decoded document: map[string]any, []any, string, float64-free scalars as text.
type tree = map[string]any

// readYAML decodes a file, CloudFormation's short tags included: !Ref x becomes
// {"Ref": x}, !Sub x {"Fn::Sub": x}. Scalars come as text, which is all that the
// tests look at. The file is opened by this process, so the test cache sees a change.
func readYAML(t *testing.T, name string) tree {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if len(file.Docs) != 1 {
		t.Fatalf("%s holds %d documents, want 1", name, len(file.Docs))
	}
	doc, ok := value(file.Docs[0].Body).(tree)
	if !ok {
		t.Fatalf("%s: not a mapping", name)
	}
	return doc
}

func value(node ast.Node) any {
	switch n := node.(type) {
	case *ast.MappingNode:
		m := tree{}
		for _, pair := range n.Values {
			m[pair.Key.GetToken().Value] = value(pair.Value)
		}
		return m
	case *ast.MappingValueNode:
		return tree{n.Key.GetToken().Value: value(n.Value)}
	case *ast.SequenceNode:
		list := []any{}
		for _, item := range n.Values {
			list = append(list, value(item))
		}
		return list
	case *ast.TagNode:
		name := strings.TrimPrefix(n.Start.Value, "!")
		if name != "Ref" && name != "Condition" {
			name = "Fn::" + name
		}
		return tree{name: value(n.Value)}
	case *ast.NullNode:
		return nil
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.StringNode:
		return n.Value
	case ast.ScalarNode:
		return n.GetToken().Value
	default:
		panic(fmt.Sprintf("yaml node %T is not read by these tests", node))
	}
}

// at follows keys into nested mappings and fails the test where one is missing.
func at(t *testing.T, from any, keys ...string) any {
	t.Helper()
	for i, key := range keys {
		m, ok := from.(tree)
		if !ok || m[key] == nil {
			t.Fatalf("%s is missing", strings.Join(keys[:i+1], "."))
		}
		from = m[key]
	}
	return from
}

// list makes one item and many look alike, as IAM does.
func list(v any) []any {
	if items, ok := v.([]any); ok {
		return items
	}
	return []any{v}
}

// texts returns every text in v, however deep, with what intrinsic functions hold.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	case tree:
		var all []string
		for _, item := range v {
			all = append(all, texts(item)...)
		}
		return all
	default:
		return nil
	}
}
