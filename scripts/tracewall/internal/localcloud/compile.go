package localcloud

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// compile builds functions/<folder> with the flags of its deployment (scripts/build.sh),
// for this machine's system and processor. When ctx ends, the compiler is asked to stop
// rather than killed: it then removes its own temporary files.
func compile(ctx context.Context, root string, p Program, out string) error {
	out, err := filepath.Abs(out)
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", strings.Join(p.Tags, ","), "-ldflags", "-s -w -buildid=", "-o", out, "./functions/" + p.Folder}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	ownGroup(cmd)
	cmd.Cancel = func() error { return interrupt(cmd.Process) }
	cmd.WaitDelay = 10 * time.Second // then it is killed after all
	// On Linux the kernel signals the compiler when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("build %s: %w", p.Folder, ctx.Err())
		}
		return fmt.Errorf("build %s: %w\n%s", p.Folder, err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
