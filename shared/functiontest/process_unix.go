//go:build unix && !linux

package functiontest

import "syscall"

// childAttributes gives the child a process group of its own: Ctrl-C in a terminal
// goes to the whole foreground group, and a function that dies of it in the middle of an
// event would look like a fault. This process gets the Ctrl-C alone and closes its functions.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// watch lets a watcher end the child if this process cannot. Without a shell there is
// none, and the child is on its own as it would be without this package.
func watch(pid int) (release func()) {
	w, err := startWatcher(pid)
	if err != nil {
		return func() {}
	}
	return w.release
}
