//go:build cgo && (linux || darwin)

package main

import (
	"os"
	"runtime"
	"syscall"
)

// peakBytes is the largest resident size that an ended process had; 0 if not known.
func peakBytes(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" { // getrusage(2): bytes there, kilobytes on Linux
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) << 10
}
