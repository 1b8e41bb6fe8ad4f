package declared

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// tagged is a value with a tag of its own, such as !Ref.
type tagged struct {
	tag   string
	value any
}

// parseYAML reads one document into maps, slices, texts and tagged values. Every scalar
// becomes its text, which is what an environment variable is.
func parseYAML(text []byte) (map[string]any, error) {
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(file.Docs) != 1 {
		return nil, fmt.Errorf("%d documents: want one", len(file.Docs))
	}
	root, ok := plain(file.Docs[0].Body).(map[string]any)
	if !ok {
		return nil, errors.New("want a mapping")
	}
	return root, nil
}

func plain(node ast.Node) any {
	switch n := node.(type) {
	case *ast.MappingNode:
		m := make(map[string]any, len(n.Values))
		for _, v := range n.Values {
			m[keyOf(v)] = plain(v.Value)
		}
		return m
	case *ast.MappingValueNode:
		return map[string]any{keyOf(n): plain(n.Value)}
	case *ast.SequenceNode:
		list := make([]any, len(n.Values))
		for i, v := range n.Values {
			list[i] = plain(v)
		}
		return list
	case *ast.TagNode:
		return tagged{tag: n.Start.Value, value: plain(n.Value)}
	case *ast.AnchorNode:
		return plain(n.Value)
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	case *ast.NullNode, nil:
		return ""
	case *ast.CommentGroupNode:
		return ""
	default:
		return node.String() // numbers and booleans as they are written
	}
}

func keyOf(v *ast.MappingValueNode) string {
	if s, ok := v.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return v.Key.String()
}

// at walks down keys; nil if one of them is not there.
func at(v any, keys ...string) any {
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[k]
	}
	return v
}

func textAt(v any, keys ...string) string {
	s, _ := at(v, keys...).(string)
	return s
}

func mapAt(v any, keys ...string) map[string]any {
	m, _ := at(v, keys...).(map[string]any)
	return m
}
