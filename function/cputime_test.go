//go:build unix

package main

import (
	"syscall"
	"testing"
	"time"
)

// raceDetector is set by race_test.go.
var raceDetector bool

// cpuTime returns the CPU time of this process.
func cpuTime(t testing.TB) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// cheap fails if the function spends 1 s of CPU time or more on a body.
func cheap(t *testing.T, name string, do func()) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector takes CPU time of its own: go test ./function measures without it")
	}
	best := time.Duration(1 << 62)
	for range 3 { // the fastest run counts, because the machine can be busy
		began := cpuTime(t)
		do()
		if best = min(best, cpuTime(t)-began); best < time.Second {
			return
		}
	}
	t.Errorf("%s: %v of CPU time, want less than 1s", name, best)
}
