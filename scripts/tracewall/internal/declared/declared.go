// Package declared reads what the deployment files say about a function: on which
// cloud it runs, what it is called there, how long it may take, and which environment
// variables it has. tracewall invoke gives a function these variables and no others,
// so that one which somebody forgot to declare is missed here and not in the cloud.
//
// Only as much of the two files' languages is understood as a laptop can know:
// in template.yaml parameters and their defaults (!Ref, !Sub); in s.yaml ${env(…)},
// ${vars.…} and ${file(…)}. Whatever else a value is made of, it becomes empty,
// and Function.Unresolved names it.
package declared

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Cloud names where a function runs.
type Cloud string

// The clouds.
const (
	Lambda Cloud = "lambda" // AWS Lambda: declared in template.yaml
	FC     Cloud = "fc"     // Alibaba Function Compute: declared in s.yaml
)

// Function is what is declared about one function.
type Function struct {
	Folder     string // under functions/
	Name       string // as deployed
	Cloud      Cloud
	Region     string
	Timeout    time.Duration
	Memory     int // megabytes
	Env        map[string]string
	Unresolved []string // variables whose value only the cloud knows, sorted; they are empty
}

// Lookup reads a variable of the caller's environment, as os.LookupEnv does.
type Lookup func(name string) (string, bool)

// maxFile bounds the files that are read.
const maxFile = 4 << 20

// Load finds the function whose folder is functions/<folder> in the deployment files at root.
func Load(root, folder string, lookup Lookup) (Function, error) {
	all, err := All(root, lookup)
	if err != nil {
		return Function{}, err
	}
	if f, ok := all[folder]; ok {
		return f, nil
	}
	return Function{}, fmt.Errorf("function %q: neither template.yaml nor s.yaml declares it; they declare %v", folder, slices.Sorted(maps.Keys(all)))
}

// All returns every declared function by its folder. A file that is not there declares none.
func All(root string, lookup Lookup) (map[string]Function, error) {
	all := map[string]Function{}
	for _, file := range []struct {
		name string
		read func(root string, text []byte, lookup Lookup) ([]Function, error)
	}{{"template.yaml", readSAM}, {"s.yaml", readServerlessDevs}} {
		text, err := readFile(filepath.Join(root, file.name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		functions, err := file.read(root, text, lookup)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.name, err)
		}
		for _, f := range functions {
			if _, twice := all[f.Folder]; twice {
				return nil, fmt.Errorf("%s: function %s is declared twice", file.name, f.Folder)
			}
			slices.Sort(f.Unresolved)
			all[f.Folder] = f
		}
	}
	return all, nil
}

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s has %d bytes: want at most %d", name, info.Size(), maxFile)
	}
	return os.ReadFile(name)
}

// With returns the variables with those of the overrides put in place that are declared;
// undeclared ones are returned by name, sorted.
func (f Function) With(overrides map[string]string) (env map[string]string, undeclared []string) {
	env = maps.Clone(f.Env)
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if _, ok := env[name]; !ok {
			undeclared = append(undeclared, name)
			continue
		}
		env[name] = overrides[name]
	}
	return env, undeclared
}
