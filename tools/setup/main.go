//go:build unix

// Command setup installs what the sandbox needs and this machine lacks: moto, the Pulumi CLI, and its AWS plugin. It
// writes only to the folder .tools, prints the folder to put on the PATH, and logs to stderr. docs/air-gapped.md lists
// the sources.
//
// usage: export PATH="$(go run ./tools/setup):$PATH"
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr, "setup: stopped")
			os.Exit(130)
		}
		fmt.Fprintln(os.Stderr, "setup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) > 2 || len(os.Args) == 2 && os.Args[1] != "terraform-provider" {
		return errors.New("usage: go run ./tools/setup [terraform-provider]")
	}
	folder, err := filepath.Abs(".tools")
	if err != nil {
		return err
	}
	pins, err := readPins("go.mod")
	if err != nil {
		return fmt.Errorf("run this in the project's folder: %w", err)
	}
	s := setup{folder: folder, pins: pins, log: os.Stderr, releases: pulumiReleases}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if len(os.Args) == 2 { // for `make tokens`
		file, err := s.terraformProvider(ctx)
		if err == nil {
			fmt.Println(file)
		}
		return err
	}
	for _, get := range []func(context.Context) error{s.moto, s.pulumi, s.awsPlugin} {
		if err := get(ctx); err != nil {
			return err
		}
	}
	fmt.Println(s.bin())
	return nil
}

type setup struct {
	folder   string
	pins     pins
	log      io.Writer
	releases string
	offline  bool // a download failed, and no other is tried
}

// bin returns the folder to put on the PATH. It contains links.
func (s *setup) bin() string { return filepath.Join(s.folder, "bin") }

func (s *setup) say(format string, values ...any) {
	fmt.Fprintf(s.log, "setup: "+format+"\n", values...)
}

// lock waits until no other setup uses the folder. The lock ends with the process.
func (s *setup) lock(ctx context.Context) (unlock func() error, err error) {
	if err := os.MkdirAll(s.bin(), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.folder, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for said := false; syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; said = true {
		if !said {
			s.say("waiting for another setup to end")
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(200 * time.Millisecond): // between two tries
		}
	}
	return file.Close, nil
}

// onPath returns the path of a program of this machine, and removes the link to ours, which isn't needed then.
func (s *setup) onPath(name string) string {
	for _, folder := range filepath.SplitList(os.Getenv("PATH")) {
		if folder == s.bin() {
			continue
		}
		if file, err := exec.LookPath(filepath.Join(folder, name)); err == nil {
			os.Remove(filepath.Join(s.bin(), name))
			return file
		}
	}
	return ""
}

// has reports whether a folder is complete, in this version.
func (s *setup) has(name, version string) bool {
	made, err := os.ReadFile(filepath.Join(s.folder, name+".done"))
	return err == nil && string(made) == version
}

// ensure creates a folder once for each version. It removes an incomplete folder of this run or of an earlier one.
func (s *setup) ensure(name, version string, make func(folder string) error) (folder string, err error) {
	folder = filepath.Join(s.folder, name)
	if s.has(name, version) {
		return folder, nil
	}
	if err := errors.Join(os.RemoveAll(folder+".done"), os.RemoveAll(folder), os.MkdirAll(folder, 0o755)); err != nil {
		return "", err
	}
	if err := make(folder); err != nil {
		return "", errors.Join(err, os.RemoveAll(folder))
	}
	return folder, os.WriteFile(folder+".done", []byte(version), 0o644)
}

// link creates links to programs of a folder in the folder on the PATH.
func (s *setup) link(folder string, names ...string) error {
	for _, name := range names {
		if err := relink(filepath.Join(folder, name), filepath.Join(s.bin(), name)); err != nil {
			return err
		}
	}
	return nil
}

func relink(target, link string) error {
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, link)
}

// command runs a program that can take minutes. Every 15 seconds, it logs the number of lines of output.
func (s *setup) command(ctx context.Context, dir string, environment []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), environment...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	said := &tail{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	start := time.Now()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), errors.Join(ctx.Err(), err), strings.Join(said.last(5), "\n"))
			}
			return nil
		case <-time.After(15 * time.Second):
			s.say("  … %.0f s, %d lines of output, the last: %.100s", time.Since(start).Seconds(), said.count(), said.last(1)[0])
		}
	}
}
