package declared

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// readServerlessDevs reads Serverless Devs' s.yaml.
func readServerlessDevs(root string, text []byte, lookup Lookup) ([]Function, error) {
	doc, err := parseYAML(text)
	if err != nil {
		return nil, err
	}
	r := resolver{root: root, lookup: lookup, vars: map[string]string{}}
	for name, v := range mapAt(doc, "vars") {
		if s, ok := v.(string); ok {
			r.vars[name] = s
		}
	}
	var functions []Function
	for folder, resource := range mapAt(doc, "resources") {
		if textAt(resource, "component") != "fc3" {
			continue
		}
		p := mapAt(resource, "props")
		f := Function{
			Folder: folder, Name: textAt(p, "functionName"), Cloud: FC,
			Timeout: seconds(textAt(p, "timeout")), Env: map[string]string{},
		}
		f.Memory, _ = strconv.Atoi(textAt(p, "memorySize"))
		f.Region, _ = r.resolve(textAt(p, "region"), 0)
		for name, value := range mapAt(p, "environmentVariables") {
			s, ok := value.(string)
			if ok {
				s, ok = r.resolve(s, 0)
			}
			if !ok {
				s = ""
				f.Unresolved = append(f.Unresolved, name)
			}
			f.Env[name] = s
		}
		functions = append(functions, f)
	}
	if len(functions) == 0 {
		return nil, fmt.Errorf("no resource with component fc3")
	}
	return functions, nil
}

// resolver replaces Serverless Devs' magic variables.
type resolver struct {
	root   string
	lookup Lookup
	vars   map[string]string
}

var (
	magic  = regexp.MustCompile(`\$\{([^{}]*)\}`)
	envRef = regexp.MustCompile(`^env\(\s*['"]([^'"]*)['"]\s*(?:,\s*['"]([^'"]*)['"]\s*)?\)$`)
	fileOf = regexp.MustCompile(`^file\(\s*['"]([^'"]*)['"]\s*\)$`)
)

// maxDepth bounds variables that name each other.
const maxDepth = 5

// resolve gives the text with every ${…} replaced; false if one of them cannot be known here.
func (r resolver) resolve(text string, depth int) (string, bool) {
	ok := depth <= maxDepth
	out := magic.ReplaceAllStringFunc(text, func(m string) string {
		value, known := r.one(strings.TrimSpace(m[2:len(m)-1]), depth)
		ok = ok && known
		return value
	})
	return out, ok
}

func (r resolver) one(expr string, depth int) (string, bool) {
	if depth > maxDepth {
		return "", false
	}
	if name, ok := strings.CutPrefix(expr, "vars."); ok {
		v, ok := r.vars[name]
		if !ok {
			return "", false
		}
		return r.resolve(v, depth+1)
	}
	if m := envRef.FindStringSubmatch(expr); m != nil {
		if v, ok := r.lookup(m[1]); ok {
			return v, true
		}
		return m[2], strings.Contains(expr, ",")
	}
	if m := fileOf.FindStringSubmatch(expr); m != nil {
		if !filepath.IsLocal(m[1]) {
			return "", false
		}
		text, err := readFile(filepath.Join(r.root, m[1]))
		return strings.TrimSpace(string(text)), err == nil
	}
	return "", false
}
