package functiontest_test

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/functiontest"
)

// running reports whether a process is there and no zombie.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func gone(t *testing.T, pid int) bool {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if !running(pid) {
			return true
		}
	}
	return false
}

// A killed parent cannot tidy up, and the FC SDK of an orphan would ask its vanished API
// in a hot loop for ever.
func TestAFunctionDiesWithAParentThatIsKilled(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), exe)
	parent.Env = append(os.Environ(), parentVar+"="+program(t, "fcfn"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || !running(pid) {
		t.Fatalf("parent said %q, want the id of a running process", line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	if !gone(t, pid) {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
		t.Error("the function outlived its parent by ten seconds")
	}
}

// The death signal is tied to the thread that started the child. If that thread were
// given back to the Go runtime, it could end while the function is in use. So threads
// are made to end here all the time, while functions start: a goroutine that ends locked takes
// its thread with it, and without the lock in process.live some of them are the wrong ones.
func TestAFunctionOutlivesEveryOtherThread(t *testing.T) {
	t.Parallel()
	bin := program(t, "fcfn")
	stop := make(chan struct{})
	var churn, starts sync.WaitGroup
	for range 2 {
		churn.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				done := make(chan struct{})
				go func() { defer close(done); runtime.LockOSThread() }()
				<-done
			}
		})
	}
	for range 12 {
		starts.Go(func() {
			f, err := functiontest.StartFC(t.Context(), functiontest.Config{Name: "fn", Binary: bin, Timeout: 20 * time.Second})
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for range 5 {
				if _, err := f.Invoke(t.Context(), []byte(`{}`)); err != nil {
					t.Error(err)
					return
				}
			}
			if took := f.Timings(); len(took.Warm) != 4 {
				t.Errorf("%d warm events, want 4: the function was killed in between", len(took.Warm))
			}
		})
	}
	starts.Wait()
	close(stop)
	churn.Wait()
}
