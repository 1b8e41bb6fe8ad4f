package localcloud

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Program is a function that the local cloud runs.
type Program struct {
	Folder string   // under functions/
	Tags   []string // build tags of its deployment
}

// programs are the functions of this system.
func programs() []Program {
	return []Program{{Folder: "detect"}, {Folder: "webhook"}, {Folder: "sync-aws-waf", Tags: []string{"lambda.norpc"}}, {Folder: "sync-alibaba-waf"}, {Folder: "sync-tencent"}, {Folder: "refresh-intel"}}
}

// BuildAll builds the functions, as far as they are not built.
func BuildAll(ctx context.Context, root string) error {
	var folders []string
	for _, p := range programs() {
		folders = append(folders, p.Folder)
	}
	_, _, err := buildAll(ctx, root, folders)
	return err
}

// buildAll returns the binaries by folder, and how many were built anew.
func buildAll(ctx context.Context, root string, folders []string) (binaries map[string]string, built int, err error) {
	all := slices.DeleteFunc(programs(), func(p Program) bool { return !slices.Contains(folders, p.Folder) })
	paths, fresh := make([]string, len(all)), make([]bool, len(all))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2) // a build keeps more than one core busy
	for i, p := range all {
		group.Go(func() (err error) {
			paths[i], fresh[i], err = Build(groupCtx, root, filepath.Join(root, "build", "local"), p)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, 0, err
	}
	binaries = map[string]string{}
	for i, p := range all {
		binaries[p.Folder] = paths[i]
		if fresh[i] {
			built++
		}
	}
	return binaries, built, nil
}

// Build builds a function into dir unless the one that is there was made of the same
// sources. Deployed binaries carry no build id, by which go itself would tell, so
// linking them anew would cost seconds on every start.
func Build(ctx context.Context, root, dir string, p Program) (binary string, built bool, err error) {
	binary = filepath.Join(dir, p.Folder)
	stamp := binary + ".made-of"
	now, err := fingerprint(ctx, root, p)
	if err != nil {
		return "", false, fmt.Errorf("build %s: %w", p.Folder, err)
	}
	if before, err := os.ReadFile(stamp); err == nil && string(before) == now {
		if _, err := os.Stat(binary); err == nil {
			return binary, false, nil
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, fmt.Errorf("build %s: %w", p.Folder, err)
	}
	_ = os.Remove(stamp)                                   // a build that is interrupted leaves none
	fresh := fmt.Sprintf("%s.new-%d", binary, os.Getpid()) // two of us may build at once
	if err := compile(ctx, root, p, fresh); err != nil {
		_ = os.Remove(fresh)
		return "", false, err
	}
	if err := os.Rename(fresh, binary); err != nil { // in one step: the old one may be running
		return "", false, fmt.Errorf("build %s: %w", p.Folder, err)
	}
	if err := os.WriteFile(stamp, []byte(now), 0o600); err != nil {
		return "", false, fmt.Errorf("build %s: %w", p.Folder, err)
	}
	return binary, true, nil
}

// fingerprint sums up everything that goes into the binary: the toolchain and its
// settings, the module's requirements, the function and everything shared.
func fingerprint(ctx context.Context, root string, p Program) (string, error) {
	sum := sha256.New()
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOFLAGS", "GOEXPERIMENT", "GOAMD64", "GOARM64", "GOWORK", "GOTOOLCHAIN")
	cmd.Dir = root
	env, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return "", errors.New("no go command on the PATH: tracewall builds the functions before it runs them")
	}
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	fmt.Fprintf(sum, "%s %q %q\n", env, p.Folder, p.Tags)
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := add(sum, root, name); err != nil {
			return "", err
		}
	}
	for _, dir := range []string{filepath.Join("functions", p.Folder), "shared"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test")) {
				return filepath.SkipDir // stand-ins and fixtures are in no deployed binary
			}
			if !d.Type().IsRegular() || strings.HasSuffix(d.Name(), "_test.go") {
				return nil
			}
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			return add(sum, root, name)
		})
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func add(sum io.Writer, root, name string) error {
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(sum, "%s %d\n%s", name, len(text), text)
	return err
}
