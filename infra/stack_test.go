package infra_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// stack is template.yaml as CloudFormation deploys it with some parameters.
type stack struct {
	t      *testing.T
	doc    tree
	values map[string]any // of parameters and pseudo parameters: string or []any
}

// noValue is what Ref AWS::NoValue leaves: nothing.
type noValue struct{}

// deploy gives the template parameters, which must be such as it takes; the others have their defaults.
func deploy(t *testing.T, given map[string]string) stack {
	t.Helper()
	return deployed(t, readYAML(t, templateFile), given)
}

// deployed is deploy for a template that was read already.
func deployed(t *testing.T, doc tree, given map[string]string) stack {
	t.Helper()
	s := stack{t: t, doc: doc, values: map[string]any{
		"AWS::Region": "eu-west-1", "AWS::Partition": "aws", "AWS::AccountId": "123456789012", "AWS::NoValue": noValue{},
	}}
	parameters := at(t, s.doc, "Parameters").(tree)
	for name := range given {
		if _, pseudo := s.values[name]; pseudo {
			s.values[name] = given[name]
		} else if parameters[name] == nil {
			t.Fatalf("template.yaml has no parameter %s", name)
		}
	}
	for name, p := range parameters {
		value, ok := given[name]
		if !ok {
			value, ok = p.(tree)["Default"].(string)
		}
		if !ok {
			t.Fatalf("parameter %s has no default and no value", name)
		}
		each := []string{value}
		if at(t, p, "Type") == "CommaDelimitedList" {
			each = strings.Split(value, ",")
			items := make([]any, len(each))
			for i := range each {
				items[i] = each[i]
			}
			s.values[name] = items
		} else {
			s.values[name] = value
		}
		for _, v := range each {
			if why := unfit(p.(tree), v); why != "" {
				t.Fatalf("parameter %s = %q is refused: %s", name, v, why)
			}
		}
	}
	return s
}

// unfit says why CloudFormation would not take a value for a parameter.
func unfit(parameter tree, value string) string {
	if allowed, ok := parameter["AllowedValues"].([]any); ok && !slices.Contains(allowed, any(value)) {
		return fmt.Sprintf("want one of %v", allowed)
	}
	if pattern, ok := parameter["AllowedPattern"].(string); ok && !regexp.MustCompile(`^(?:`+pattern+`)$`).MatchString(value) {
		return "want " + pattern
	}
	if parameter["Type"] == "Number" {
		n, err := strconv.Atoi(value)
		if err != nil {
			return err.Error()
		}
		for key, sign := range map[string]int{"MinValue": 1, "MaxValue": -1} {
			if text, ok := parameter[key].(string); ok {
				if bound, _ := strconv.Atoi(text); (n-bound)*sign < 0 {
					return key + " " + text
				}
			}
		}
	}
	return ""
}

// refusal is what the first rule that does not hold says to whoever deploys; "" if all hold.
func (s stack) refusal() string {
	rules := at(s.t, s.doc, "Rules").(tree)
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		for _, a := range list(at(s.t, rules[name], "Assertions")) {
			if s.value(at(s.t, a, "Assert")) != true {
				return at(s.t, a, "AssertDescription").(string)
			}
		}
	}
	return ""
}

// property returns a resource's property with all functions worked out.
func (s stack) property(resource string, keys ...string) any {
	s.t.Helper()
	return s.value(at(s.t, s.doc, append([]string{"Resources", resource, "Properties"}, keys...)...))
}

func (s stack) condition(name string) bool {
	b, _ := s.value(at(s.t, s.doc, "Conditions", name)).(bool)
	return b
}

// value works out CloudFormation's functions. An attribute of another resource is its name.
func (s stack) value(v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, item := range v {
			if one := s.value(item); one != (noValue{}) {
				out = append(out, one)
			}
		}
		return out
	case tree:
		if len(v) == 1 {
			for name, arg := range v {
				if name == "Ref" || name == "Condition" || strings.HasPrefix(name, "Fn::") {
					return s.function(name, arg)
				}
			}
		}
		out := tree{}
		for key, item := range v {
			if one := s.value(item); one != (noValue{}) {
				out[key] = one
			}
		}
		return out
	}
	return v
}

func (s stack) function(name string, arg any) any {
	args, _ := arg.([]any)
	switch name {
	case "Ref":
		value, ok := s.values[arg.(string)]
		if !ok {
			return arg // a resource
		}
		return value
	case "Condition":
		return s.condition(arg.(string))
	case "Fn::GetAtt":
		return arg
	case "Fn::Equals":
		return s.value(args[0]) == s.value(args[1])
	case "Fn::Not":
		return s.value(args[0]) == false
	case "Fn::And":
		return !slices.ContainsFunc(args, func(a any) bool { return s.value(a) != true })
	case "Fn::Or":
		return slices.ContainsFunc(args, func(a any) bool { return s.value(a) == true })
	case "Fn::If":
		if s.condition(args[0].(string)) {
			return s.value(args[1])
		}
		return s.value(args[2])
	case "Fn::Join":
		return strings.Join(texts(s.value(args[1])), args[0].(string))
	case "Fn::Sub":
		return s.substitute(arg)
	}
	s.t.Fatalf("function %s is not worked out by these tests", name)
	return nil
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

// substitute fills in ${Name}. What it fills in is not looked at again, as in CloudFormation.
func (s stack) substitute(arg any) string {
	text, _ := arg.(string)
	own := tree{}
	if args, ok := arg.([]any); ok {
		text, own = args[0].(string), args[1].(tree)
	}
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		name := p[2 : len(p)-1]
		value, ok := any(nil), false
		if value, ok = own[name]; ok {
			value = s.value(value)
		} else if value, ok = s.values[name]; !ok {
			value = "${" + name + "}" // of another resource
		}
		one, ok := value.(string)
		if !ok {
			s.t.Fatalf("${%s} in %q is %v, want text", name, text, value)
		}
		return one
	})
}

// The tests of everything that is composed hang on this.
func TestFunctionsAreWorkedOut(t *testing.T) {
	s := stack{
		t:      t,
		doc:    tree{"Conditions": tree{"Yes": tree{"Fn::Equals": []any{tree{"Ref": "A"}, "a"}}, "No": tree{"Fn::Not": []any{tree{"Condition": "Yes"}}}}},
		values: map[string]any{"A": "a", "List": []any{"x", "y"}, "AWS::NoValue": noValue{}},
	}
	for want, v := range map[string]any{
		"a":         tree{"Ref": "A"},
		"a b a":     tree{"Fn::Sub": []any{"${A} ${B} ${A}", tree{"B": tree{"Fn::If": []any{"Yes", "b", "c"}}}}},
		"${A}":      tree{"Fn::Sub": []any{"${B}", tree{"B": "${A}"}}},
		"x+y":       tree{"Fn::Join": []any{"+", tree{"Ref": "List"}}},
		"[1 3]":     []any{"1", tree{"Fn::If": []any{"No", "2", tree{"Ref": "AWS::NoValue"}}}, "3"},
		"true":      tree{"Fn::And": []any{tree{"Condition": "Yes"}, tree{"Fn::Or": []any{tree{"Condition": "No"}, tree{"Condition": "Yes"}}}}},
		"Queue.Arn": tree{"Fn::GetAtt": "Queue.Arn"},
	} {
		if got := fmt.Sprint(s.value(v)); got != want {
			t.Errorf("%v is worked out as %s, want %s", v, got, want)
		}
	}
}
