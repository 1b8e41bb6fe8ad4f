//go:build unix && !linux

package localcloud

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the compiler a process group, so that its helpers can be reached.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// interrupt asks the compiler and its helpers to stop.
func interrupt(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
