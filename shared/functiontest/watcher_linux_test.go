package functiontest

import (
	"os/exec"
	"syscall"
	"testing"
)

// The watcher is for systems without a death signal. It is one line of shell, so it
// can be tried here.
func TestTheWatcherKillsOnlyWhenItsPipeBreaks(t *testing.T) {
	t.Parallel()
	sleeper := func() (*exec.Cmd, <-chan error) {
		cmd := exec.CommandContext(t.Context(), "sleep", "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return cmd, ended
	}

	spared, spareEnd := sleeper()
	watch1, err := startWatcher(spared.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	watch1.release() // it has waited for the shell: what that would do is done
	if err := spared.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a released watcher killed its process: %v", err)
	}
	_ = spared.Process.Kill()
	<-spareEnd

	victim, end := sleeper()
	watch2, err := startWatcher(victim.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	_ = watch2.pipe.Close() // what the kernel does to the pipe of a process that died
	if err := <-end; victim.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("process ended with %v, want it killed", err)
	}
	_ = watch2.cmd.Wait()
}
