package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// pins are the versions that the project is built with.
type pins struct{ pulumi, aws string }

var (
	pulumiPin = regexp.MustCompile(`github\.com/pulumi/pulumi/sdk/v3 v(\S+)`)
	awsPin    = regexp.MustCompile(`github\.com/pulumi/pulumi-aws/sdk/v6 v(\S+)`)
)

func readPins(goMod string) (p pins, err error) {
	text, err := os.ReadFile(goMod)
	if err != nil {
		return p, err
	}
	pulumi, aws := pulumiPin.FindSubmatch(text), awsPin.FindSubmatch(text)
	if pulumi == nil || aws == nil {
		return p, fmt.Errorf("%s doesn't require the Pulumi SDKs", goMod)
	}
	return pins{pulumi: string(pulumi[1]), aws: string(aws[1])}, nil
}

// pulumi installs the CLI and its language hosts. It uses the CLI on the PATH. If there is none, it downloads the
// release. If that fails, it builds the programs.
func (s *setup) pulumi(ctx context.Context) error {
	if file := s.onPath("pulumi"); file != "" {
		said, err := exec.CommandContext(ctx, file, "version").Output()
		version := strings.TrimSpace(string(said))
		if err == nil && !older(version, s.pins.pulumi) {
			for _, host := range hosts {
				os.Remove(filepath.Join(s.bin(), host)) // of another version
			}
			s.say("Pulumi %s is on the PATH", version)
			return nil
		}
		s.say("%s has version %q, must be %s or later", file, version, s.pins.pulumi)
	}
	ours, err := s.module("pulumi", "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v"+s.pins.pulumi,
		"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./pulumi-language-go", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml")
	if err != nil {
		return err
	}
	folder := ""
	if !s.has(ours.name, ours.stamp) {
		folder, err = s.ensure("pulumi", "release "+s.pins.pulumi, func(folder string) error { return s.downloadRelease(ctx, folder) })
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			s.say("Pulumi's release can't be downloaded: %v", err)
		}
	}
	if folder == "" {
		// Check the sandbox's other requirement before minutes of building.
		if s.pluginFound() == "" {
			if _, err := s.terraformProvider(ctx); err != nil {
				return err
			}
		}
		if folder, err = s.build(ctx, ours); err != nil {
			return fmt.Errorf("the Pulumi CLI could be neither downloaded nor built, see docs/air-gapped.md: %w", err)
		}
	}
	return s.link(folder, append(hosts, "pulumi")...)
}

// hosts are the language hosts of the program and of examples/yaml.
var hosts = []string{"pulumi-language-go", "pulumi-language-yaml"}

const plugin = "pulumi-resource-aws"

// pluginFound returns where the AWS plugin is installed, or "".
func (s *setup) pluginFound() string {
	if s.onPath(plugin) != "" {
		return "on the PATH"
	}
	if home, err := pulumiHome(); err == nil && exists(filepath.Join(home, s.installed())) {
		os.Remove(filepath.Join(s.bin(), plugin))
		return "installed in " + home
	}
	return ""
}

// installed returns the path of the plugin under Pulumi's home.
func (s *setup) installed() string {
	return filepath.Join("plugins", "resource-aws-v"+s.pins.aws, plugin)
}

// awsPlugin installs the AWS plugin. It uses an installed one. If there is none, Pulumi downloads it. If that fails,
// setup builds it from a Terraform AWS provider.
func (s *setup) awsPlugin(ctx context.Context) error {
	if where := s.pluginFound(); where != "" {
		s.say("the AWS plugin is %s", where)
		return nil
	}
	ours, err := s.module(plugin, "-s -w", ".")
	if err != nil {
		return err
	}
	if !s.has(ours.name, ours.stamp) {
		folder, err := s.ensure("plugins", s.pins.aws, func(folder string) error { return s.installPlugin(ctx, folder) })
		if ctx.Err() != nil {
			return err
		}
		if err == nil {
			return s.link(filepath.Join(folder, filepath.Dir(s.installed())), plugin)
		}
		s.say("Pulumi's AWS plugin can't be downloaded: %v", err)
	}
	upstream, err := s.terraformProvider(ctx)
	if err != nil {
		return err
	}
	folder, err := s.build(ctx, ours)
	if err != nil {
		return fmt.Errorf("the AWS plugin could be neither downloaded nor built, see docs/air-gapped.md: %w", err)
	}
	return errors.Join(relink(upstream, filepath.Join(folder, "upstream")), relink(plugin, filepath.Join(folder, "terraform-provider-aws")), s.link(folder, plugin))
}

// installPlugin downloads the plugin with Pulumi into a separate home. Pulumi publishes no SHA-256 of it, so TLS to
// Pulumi's site is the only protection.
func (s *setup) installPlugin(ctx context.Context, home string) error {
	// Without this check, Pulumi would try for minutes.
	if err := s.reachable(ctx, fmt.Sprintf("%s/plugins/%s-v%s-%s-%s.tar.gz", s.releases, plugin, s.pins.aws, runtime.GOOS, runtime.GOARCH)); err != nil {
		return err
	}
	s.say("Pulumi installs its AWS plugin %s", s.pins.aws)
	pulumi := filepath.Join(s.bin(), "pulumi")
	if !exists(pulumi) {
		pulumi = "pulumi"
	}
	return s.command(ctx, ".", []string{"PULUMI_HOME=" + home, "PULUMI_SKIP_UPDATE_CHECK=true"}, pulumi, "plugin", "install", "resource", "aws", s.pins.aws)
}

// module is a Go module in tools/. Its go.sum pins every source.
type module struct {
	name, dir, linker, stamp string
	packages                 []string
}

// module returns a module with its stamp. If the module, Go or the linker's flags change, the module is built again.
func (s *setup) module(name, linker string, packages ...string) (module, error) {
	dir := filepath.Join(filepath.Dir(s.folder), "tools", name)
	stamp, err := hashFolder(dir, runtime.Version(), linker)
	return module{name, dir, linker, stamp, packages}, err
}

func (s *setup) build(ctx context.Context, m module) (folder string, err error) {
	return s.ensure(m.name, m.stamp, func(folder string) error {
		s.say("building %s from Go modules; with an empty cache this takes some minutes", m.name)
		// Without cgo, the programs are the same on machines with and without a C compiler.
		args := append([]string{"build", "-v", "-trimpath", "-ldflags", m.linker, "-o", folder + "/"}, m.packages...)
		return s.command(ctx, m.dir, []string{"GOWORK=off", "CGO_ENABLED=0"}, "go", args...)
	})
}

// hashFolder returns a hash of a folder's content and of the other texts.
func hashFolder(dir string, more ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q", more)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// older reports whether a version such as v3.250.0 is older. A text that isn't a version counts as older.
func older(version, than string) bool {
	a, ok := numbers(version)
	b, _ := numbers(than)
	if !ok {
		return true
	}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

var versionForm = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)`)

func numbers(version string) (n [3]int, ok bool) {
	match := versionForm.FindStringSubmatch(version)
	if match == nil {
		return n, false
	}
	for i := range n {
		n[i], _ = strconv.Atoi(match[i+1])
	}
	return n, true
}

func pulumiHome() (string, error) {
	if home := os.Getenv("PULUMI_HOME"); home != "" {
		return home, nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".pulumi"), err
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
