//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
)

// A second sandbox, or any other program on the port, must not keep a user from starting; a port that was asked for
// must not be another one silently.
func TestListen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().(*net.TCPAddr).Port
	said := ""
	l, err := listen(port, false, "port", func(format string, values ...any) { said = fmt.Sprintf(format, values...) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
		t.Errorf("listens on %s, want loopback only", l.Addr())
	}
	if want := fmt.Sprintf("port %d is taken; using %s", port, l.Addr()); said != want {
		t.Errorf("said %q, want %q", said, want)
	}
	if _, err := listen(port, true, "aws-port", nil); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--aws-port %d", port)) {
		t.Errorf("error = %v, want the flag and the port named", err)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	if err := run(t.Context(), []string{"--help"}, &out, &errs); err == nil || !strings.Contains(errs.String(), "-aws-port") || out.Len() > 0 {
		t.Errorf("--help: %v\n%s%s", err, errs.String(), out.String())
	}
	for _, args := range [][]string{{"up"}, {"--nonsense"}, {"--port", "x"}} {
		if err := run(t.Context(), args, &out, &errs); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

// Whoever lacks a program must learn which, and where to get it, before anything starts.
func TestMissingPrograms(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	var out, errs bytes.Buffer
	if err := run(t.Context(), nil, &out, &errs); err == nil || !strings.Contains(err.Error(), "make local") {
		t.Errorf("without pulumi: %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("started all the same: %s", out.String())
	}
}

func TestRegionOf(t *testing.T) {
	t.Parallel()
	if got, err := regionOf("../../Pulumi.local.yaml"); err != nil || got != "ap-northeast-1" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := regionOf("../../Pulumi.yaml"); err == nil || !strings.Contains(err.Error(), "sets no aws:region") {
		t.Errorf("error = %v", err)
	}
}
