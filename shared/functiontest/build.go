package functiontest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Build compiles the program pkg ("./functions/detect") of the module at root into
// the file out, as it is built for deployment (no cgo, stripped, no paths of this
// machine) except that it is for this machine's system and processor. Lambda
// functions are deployed with the tag "lambda.norpc". It prints nothing; the error
// carries what the compiler said.
func Build(ctx context.Context, root, pkg, out string, tags ...string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return fmt.Errorf("build %s: %w", pkg, err)
	}
	args := []string{"build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", out}
	if len(tags) > 0 {
		args = append(args, "-tags", strings.Join(tags, ","))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build %s: %w", pkg, ctx.Err())
		}
		return fmt.Errorf("build %s: %w\n%s", pkg, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
