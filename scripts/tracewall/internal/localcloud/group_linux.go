package localcloud

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup gives the compiler a process group, so that its helpers can be reached, and
// lets it be interrupted when this process dies in whatever way.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}

// interrupt asks the compiler and its helpers to stop.
func interrupt(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
