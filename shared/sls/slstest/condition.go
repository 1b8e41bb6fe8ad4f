//go:build cgo

package slstest

import (
	"math"
	"strconv"
	"strings"
)

// searchCompiler turns a parsed search into a condition on a logstore's table.
type searchCompiler struct {
	store     snapshot
	functions *functions
	prefix    string // of the matchers' names, one per query
	ids       []string
}

// release forgets the query's matchers.
func (c *searchCompiler) release() {
	c.functions.mu.Lock()
	defer c.functions.mu.Unlock()
	for _, id := range c.ids {
		delete(c.functions.matchers, id)
	}
}

// condition returns SQL for n. It is never NULL.
func (c *searchCompiler) condition(n searchNode) (string, error) {
	switch n := n.(type) {
	case searchAll:
		return "true", nil
	case searchAnd:
		return c.both(n.left, n.right, " AND ")
	case searchOr:
		return c.both(n.left, n.right, " OR ")
	case searchNot:
		inner, err := c.condition(n.inner)
		return "(NOT " + inner + ")", err
	case searchText:
		return c.text(n)
	case searchExists:
		column, _, err := c.key(n.key)
		if err != nil || column == "" {
			return "false", err
		}
		return "(" + column + " IS NOT NULL)", nil
	case searchRange:
		return c.numbers(n)
	default:
		return "", invalid("unknown search condition")
	}
}

func (c *searchCompiler) both(left, right searchNode, op string) (string, error) {
	l, err := c.condition(left)
	if err != nil {
		return "", err
	}
	r, err := c.condition(right)
	return "(" + l + op + r + ")", err
}

// key returns the column of an indexed key; it is empty while no log has had the key.
func (c *searchCompiler) key(key string) (string, indexKey, error) {
	k, ok := c.store.index.key(key)
	if !ok {
		return "", k, invalid("key (%s) is not config as key value config, if symbol : is in your log, please wrap : with quotation mark \"", shorten(key))
	}
	if i, ok := c.store.byKey[key]; ok {
		return c.store.fields[i].column, k, nil
	}
	return "", k, nil
}

func (c *searchCompiler) text(n searchText) (string, error) {
	var columns []string
	t := c.store.index.line
	if n.key != "" {
		column, k, err := c.key(n.key)
		if err != nil {
			return "", err
		}
		if k.typ != Text {
			f, err := strconv.ParseFloat(n.text, 64)
			if err != nil || math.IsNaN(f) {
				return "", invalid("key %s is of type %s: %s is not a number", shorten(n.key), k.typ, shorten(n.text))
			}
			return c.numbers(searchRange{key: n.key, low: f, high: f, lowIn: true, highIn: true})
		}
		if t = k.tokens; column != "" {
			columns = []string{column}
		}
	} else {
		if t == nil {
			return "", invalid("line query is not enabled: the logstore has no full-text index")
		}
		for _, f := range c.store.fields {
			columns = append(columns, f.column)
		}
		if c.store.extra {
			columns = append(columns, extraColumn)
		}
	}
	m := newMatcher(n, t)
	if len(m.tokens) == 0 && m.phrase == nil { // nothing but delimiters asks for nothing
		return "true", nil
	}
	if len(columns) == 0 {
		return "false", nil
	}
	id := c.prefix + "." + strconv.Itoa(len(c.ids))
	c.ids = append(c.ids, id)
	c.functions.mu.Lock()
	c.functions.matchers[id] = m
	c.functions.mu.Unlock()
	return "sls_match('" + id + "', " + strings.Join(columns, ", ") + ")", nil
}

func (c *searchCompiler) numbers(n searchRange) (string, error) {
	column, k, err := c.key(n.key)
	if err != nil {
		return "", err
	}
	if k.typ == Text {
		return "", invalid("range search: key %s is of type text, want long or double", shorten(n.key))
	}
	if column == "" {
		return "false", nil
	}
	value := "try_cast(" + column + " AS DOUBLE)"
	if k.typ == Long {
		value = "try_cast(" + column + " AS BIGINT)"
	}
	parts := []string{value + " IS NOT NULL"}
	if !math.IsInf(n.low, -1) {
		parts = append(parts, value+map[bool]string{true: " >= ", false: " > "}[n.lowIn]+formatBound(n.low))
	}
	if !math.IsInf(n.high, 1) {
		parts = append(parts, value+map[bool]string{true: " <= ", false: " < "}[n.highIn]+formatBound(n.high))
	}
	return "coalesce(" + strings.Join(parts, " AND ") + ", false)", nil
}

func formatBound(f float64) string {
	if math.IsInf(f, 1) {
		return "'inf'::DOUBLE"
	}
	if math.IsInf(f, -1) {
		return "'-inf'::DOUBLE"
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'e', -1, 64) + "::DOUBLE"
}
