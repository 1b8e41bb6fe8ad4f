//go:build !race

package logfile_test

const raced = false
