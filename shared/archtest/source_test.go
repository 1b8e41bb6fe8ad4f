package archtest

import (
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

const module = "github.com/tracewall/tracewall"

// A source is what the rules need to know of one Go file.
type source struct {
	Path    string   // from the module's root, with slashes
	Package string   // the package clause, without _test
	Test    bool     // a _test.go file
	Imports []string // as written
	Cgo     bool     // is built only with cgo: imports "C", or says so in its build constraint
	Uses    []string // what it takes from os, syscall and time: "os.Getenv", "time.Now", …
}

// Dir is the folder, which is the package's import path without the module.
func (s source) Dir() string { return path.Dir(s.Path) }

// sources reads every Go file of the module below fsys. Folders that the go command
// leaves out are left out here: testdata, names beginning with . or _, other modules.
func sources(fsys fs.FS) ([]source, error) {
	var all []source
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skip(fsys, name)
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		s, err := read(name, text)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		all = append(all, s)
		return nil
	})
	return all, err
}

func skip(fsys fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	if base == "testdata" || base == "node_modules" || dir == "build" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func read(name string, text []byte) (source, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	s := source{
		Path:    name,
		Package: strings.TrimSuffix(file.Name.Name, "_test"),
		Test:    strings.HasSuffix(name, "_test.go"),
		Cgo:     needsCgo(file),
	}
	watched := map[string]string{} // the name a package goes by in this file → its path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.Imports = append(s.Imports, imported)
		switch imported {
		case "C":
			s.Cgo = true
		case "os", "syscall", "time":
			local := imported
			if spec.Name != nil {
				local = spec.Name.Name
			}
			watched[local] = imported
		}
	}
	// Any mention counts, not only calls: os.LookupEnv is mostly handed on as a value.
	ast.Inspect(file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if left, ok := sel.X.(*ast.Ident); ok && watched[left.Name] != "" {
				s.Uses = append(s.Uses, watched[left.Name]+"."+sel.Sel.Name)
			}
		}
		return true
	})
	return s, nil
}

// needsCgo tells whether file's build constraint is false with every tag set but cgo.
func needsCgo(file *ast.File) bool {
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, line := range group.List {
			if !constraint.IsGoBuild(line.Text) {
				continue
			}
			expr, err := constraint.Parse(line.Text)
			if err != nil {
				return false
			}
			return !expr.Eval(func(tag string) bool { return tag != "cgo" }) && expr.Eval(func(string) bool { return true })
		}
	}
	return false
}
