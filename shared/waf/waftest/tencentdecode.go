package waftest

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// tcDecode reads a request's parameters into a struct whose fields are named as they are, as strictly
// as Tencent Cloud's gateway: a name that is not known (letter case counts), or a value of another type, is
// refused. encoding/json alone would let both through.
func tcDecode(body []byte, into any) *tcError {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	if _, ok := v.(map[string]any); err != nil || !ok {
		return tcRefuse("InvalidParameter", "the request body is not one JSON object")
	}
	if refused := tcCheck("", v, reflect.TypeOf(into).Elem()); refused != nil {
		return refused
	}
	if err := json.Unmarshal(body, into); err != nil {
		return tcRefuse("InvalidParameter", "%v", err)
	}
	return nil
}

// tcCheck compares a value with the type that it should be of.
func tcCheck(path string, v any, want reflect.Type) *tcError {
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	if v == nil {
		return nil // the gateway takes null for absent
	}
	wrong := tcRefuse("InvalidParameter", "The value type of parameter `%s` is not valid.", path)
	switch want.Kind() {
	case reflect.Struct:
		fields, ok := v.(map[string]any)
		if !ok {
			return wrong
		}
		for name, value := range fields {
			at := strings.TrimPrefix(path+"."+name, ".")
			field, known := want.FieldByName(name)
			if !known {
				return tcRefuse("UnknownParameter", "The parameter `%s` is not recognized.", at)
			}
			if refused := tcCheck(at, value, field.Type); refused != nil {
				return refused
			}
		}
	case reflect.Slice:
		items, ok := v.([]any)
		if !ok {
			return wrong
		}
		for _, item := range items {
			if refused := tcCheck(path, item, want.Elem()); refused != nil {
				return refused
			}
		}
	case reflect.String:
		if _, ok := v.(string); !ok {
			return wrong
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return wrong
		}
	default: // integers
		n, ok := v.(json.Number)
		if !ok || strings.ContainsAny(n.String(), ".eE") {
			return wrong
		}
	}
	return nil
}

// tcFilter is a condition of a Describe action: one of the values must be met, and every filter.
type tcFilter struct {
	Name   string
	Values []string
}

// tcFilters judges filters by the names that may be filtered by, and returns what tells whether an object
// meets them all. of returns what an object has under a name.
func tcFilters[T any](filters []tcFilter, of map[string]func(object T, value string) bool) (func(T) bool, *tcError) {
	for _, f := range filters {
		if of[f.Name] == nil {
			return nil, tcRefuse("InvalidParameter.FilterInvalidKey", "The specified filter key `%s` is not valid.", f.Name)
		}
		if len(f.Values) == 0 || len(f.Values) > 100 {
			return nil, tcRefuse("InvalidParameterValue.LimitExceeded", "The filter `%s` needs 1 to 100 values.", f.Name)
		}
	}
	return func(object T) bool {
		for _, f := range filters {
			if !slices.ContainsFunc(f.Values, func(v string) bool { return of[f.Name](object, v) }) {
				return false
			}
		}
		return true
	}, nil
}

// tcPage cuts one page out of the objects: offset and limit are strings in VPC's Describe actions.
func tcPage[T any](objects []T, offset, limit string) ([]T, *tcError) {
	from, size := 0, 20
	for _, p := range []struct {
		text     string
		n        *int
		min, max int
	}{{offset, &from, 0, 1 << 30}, {limit, &size, 1, 100}} {
		if p.text == "" {
			continue
		}
		n, err := strconv.Atoi(p.text)
		if err != nil {
			return nil, tcRefuse("InvalidParameterValue.Malformed", "%q is not a number.", p.text)
		}
		if n < p.min || n > p.max {
			return nil, tcRefuse("InvalidParameterValue.Range", "%d is not from %d to %d.", n, p.min, p.max)
		}
		*p.n = n
	}
	return objects[min(from, len(objects)):min(from+size, len(objects))], nil
}
