//go:build !unix

package localcloud

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

// interrupt ends the compiler: there is no way to ask it here.
func interrupt(p *os.Process) error { return p.Kill() }
