//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime is what this process has used of the machine's, which no other process adds to.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
