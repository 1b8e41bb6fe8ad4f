package functiontest

import "syscall"

// childAttributes ties the child to the OS thread that starts it (process.live
// keeps that thread alive) and gives it a process group of its own: Ctrl-C in a
// terminal goes to the whole foreground group, and a function that dies of it in the
// middle of an event would look like a fault. This process gets the Ctrl-C alone and closes its functions.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// watch has nothing to do: the kernel watches.
func watch(int) (release func()) { return func() {} }
