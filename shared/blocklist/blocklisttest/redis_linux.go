package blocklisttest

import (
	"os/exec"
	"syscall"
)

// dieWithParent makes a killed test run take its server along. Pdeathsig counts
// from the thread that starts the child; the tests' threads live as long as needed,
// and if one does not, the server ends early and the test says so.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
