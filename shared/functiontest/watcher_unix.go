//go:build unix

package functiontest

import (
	"io"
	"os/exec"
	"strconv"
	"syscall"
)

// watcher kills a process when this one dies, on systems whose kernel does not. It is a
// shell that reads from a pipe of ours: the pipe ends with us, whatever ends us, and a line
// in it means that the process is gone already and its number may be somebody else's.
// It is the best that can be had without the kernel: it fails if the shell is killed too.
type watcher struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func startWatcher(pid int) (*watcher, error) {
	cmd := exec.Command("/bin/sh", "-c", `read -r line || kill -9 "$1"`, "sh", strconv.Itoa(pid)) //nolint:noctx // lives as long as pid
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}                                         // Ctrl-C is not for the shell either
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		_ = pipe.Close()
		return nil, err
	}
	return &watcher{cmd, pipe}, nil
}

func (w *watcher) release() {
	_, _ = io.WriteString(w.pipe, "gone\n")
	_ = w.pipe.Close()
	_ = w.cmd.Wait()
}
