package main

import (
	"bytes"
	"strings"
	"sync"
)

// tail stores a program's output.
type tail struct {
	mutex sync.Mutex
	text  bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return t.text.Write(b)
}

func (t *tail) lines() []string {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	return strings.Split(strings.TrimSpace(t.text.String()), "\n")
}

func (t *tail) count() int { return len(t.lines()) }

func (t *tail) last(n int) []string { l := t.lines(); return l[max(0, len(l)-n):] }
