package declared

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// readSAM reads AWS SAM's template.yaml.
func readSAM(_ string, text []byte, lookup Lookup) ([]Function, error) {
	root, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	region := "us-east-1"
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v, ok := lookup(name); ok && v != "" {
			region = v
			break
		}
	}
	values := map[string]string{
		"AWS::Region": region, "AWS::Partition": "aws", "AWS::AccountId": "123456789012", "AWS::StackName": "local", "AWS::URLSuffix": "amazonaws.com",
	}
	for name, p := range mapAt(root, "Parameters") {
		if byDefault, ok := at(p, "Default").(string); ok {
			values[name] = byDefault
		}
	}
	var functions []Function
	for id, resource := range mapAt(root, "Resources") {
		if textAt(resource, "Type") != "AWS::Serverless::Function" {
			continue
		}
		p := mapAt(resource, "Properties")
		f := Function{
			Folder: kebab(strings.TrimSuffix(id, "Function")), Name: id, Cloud: Lambda, Region: region,
			Timeout: seconds(textAt(p, "Timeout")), Env: map[string]string{},
		}
		f.Memory, _ = strconv.Atoi(textAt(p, "MemorySize"))
		for name, value := range mapAt(p, "Environment", "Variables") {
			v, ok := resolveSAM(value, values)
			if !ok {
				v = ""
				f.Unresolved = append(f.Unresolved, name)
			}
			f.Env[name] = v
		}
		functions = append(functions, f)
	}
	return functions, nil
}

// resolveSAM gives the text of a value; false if it takes more than parameters' defaults to know it.
func resolveSAM(v any, values map[string]string) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case tagged:
		name, _ := v.value.(string)
		switch v.tag {
		case "!Ref":
			value, ok := values[name]
			return value, ok
		case "!Sub":
			if name != "" {
				return substitute(name, values)
			}
		}
	}
	return "", false
}

// substitute fills in ${Name}; ${!Name} stands for the text ${Name}.
func substitute(text string, values map[string]string) (string, bool) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		b.WriteString(before)
		if !ok {
			return b.String(), true
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", false
		}
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			b.WriteString("${" + literal + "}")
		} else if value, ok := values[name]; ok {
			b.WriteString(value)
		} else {
			return "", false
		}
		text = after
	}
}

// kebab turns SyncAwsWaf into sync-aws-waf.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 {
				b.WriteByte('-')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func seconds(text string) time.Duration {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 86_400 {
		return 0
	}
	return time.Duration(n) * time.Second
}
