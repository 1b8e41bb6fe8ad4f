//go:build !unix

package functiontest

import "syscall"

func childAttributes() *syscall.SysProcAttr { return nil }

// watch has no means here: a child outlives this process if that is killed.
func watch(int) (release func()) { return func() {} }
