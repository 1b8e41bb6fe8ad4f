//go:build race

package logfile_test

// raced tells that the race detector is on, with which sync.Pool forgets on purpose.
const raced = true
