package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox"
)

// preview deploys this project with pulumi, and the seed with terraform. Each has its own emulated AWS, because both
// set the account's invocation logging. Then it measures a preview and a plan in turn.
func preview(ctx context.Context, b *bench) (samples, error) {
	for _, program := range []string{"terraform", "pulumi"} {
		if _, err := exec.LookPath(program); err != nil {
			return samples{}, errAbsent(program + " is not on the PATH")
		}
	}
	plan, stop, err := b.deploySeed(ctx)
	if err != nil {
		return samples{}, err
	}
	defer stop()
	preview, stop, err := b.deployProject(ctx)
	if err != nil {
		return samples{}, err
	}
	defer stop()
	return inTurn(5, plan, preview)
}

// deploySeed deploys the seed, and returns a function that measures a plan.
func (b *bench) deploySeed(ctx context.Context) (plan func() (float64, error), stop func(), err error) {
	folder := filepath.Join(b.folder, "terraform")
	if err := os.CopyFS(folder, os.DirFS("bench/seed")); err != nil {
		return nil, nil, err
	}
	if err := zipFile(filepath.Join(folder, "app.zip"), "app.py", seed); err != nil {
		return nil, nil, err
	}
	environment, stop, err := b.emulate(ctx, folder)
	if err != nil {
		return nil, nil, err
	}
	terraform := timed(ctx, folder, environment, "terraform")
	if _, err := terraform("init", "-input=false", "-no-color"); err != nil {
		stop()
		return nil, nil, errAbsent("terraform has no AWS provider")
	}
	if _, err := terraform("apply", "-input=false", "-no-color", "-auto-approve"); err != nil {
		stop()
		return nil, nil, err
	}
	return func() (float64, error) { return terraform("plan", "-input=false", "-no-color", "-detailed-exitcode") }, stop, nil
}

// deployProject deploys the project, and returns a function that measures a preview.
func (b *bench) deployProject(ctx context.Context) (preview func() (float64, error), stop func(), err error) {
	folder := filepath.Join(b.folder, "pulumi")
	if err := copyProject(folder); err != nil {
		return nil, nil, err
	}
	program := filepath.Join(b.folder, "program")
	if _, err := output(ctx, "", nil, "go", "build", "-o", program, "."); err != nil {
		return nil, nil, err
	}
	project, err := os.ReadFile("Pulumi.yaml")
	if err != nil {
		return nil, nil, err
	}
	prebuilt := strings.Replace(string(project), "runtime: go\n", "runtime: { name: go, options: { binary: "+program+" } }\n", 1)
	if prebuilt == string(project) {
		return nil, nil, errors.New("Pulumi.yaml: the line \"runtime: go\" is missing, which the built program replaces")
	}
	if err := os.WriteFile(filepath.Join(folder, "Pulumi.yaml"), []byte(prebuilt), 0o644); err != nil {
		return nil, nil, err
	}
	environment, stop, err := b.emulate(ctx, folder)
	if err != nil {
		return nil, nil, err
	}
	pulumi := timed(ctx, folder, environment, "pulumi")
	for _, args := range []string{"stack init local", "up --stack local --yes --skip-preview"} {
		if _, err := pulumi(strings.Fields(args)...); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return func() (float64, error) { return pulumi("preview", "--stack", "local", "--expect-no-changes") }, stop, nil
}

// emulate starts an emulated AWS, and returns the environment in which pulumi and terraform reach only it.
func (b *bench) emulate(ctx context.Context, folder string) (environment []string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	s, err := sandbox.Start(ctx, sandbox.Options{Region: region, Folder: filepath.Join(folder, ".local"), AWS: listener,
		Report: func(err error) { fmt.Fprintln(os.Stderr, "bench:", err) }})
	if err != nil {
		listener.Close()
		return nil, nil, err
	}
	state := filepath.Join(folder, ".local", "state")
	environment = append(slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "AWS_") }),
		"AWS_ENDPOINT_URL="+s.AWSEndpointURL, "AWS_ACCESS_KEY_ID="+sandbox.RootKey, "AWS_SECRET_ACCESS_KEY="+sandbox.RootKey,
		"AWS_REGION="+region, "AWS_DEFAULT_REGION="+region,
		"PULUMI_BACKEND_URL=file://"+state, "PULUMI_CONFIG_PASSPHRASE=", "PULUMI_SKIP_UPDATE_CHECK=true", "CHECKPOINT_DISABLE=1")
	return environment, func() { s.Close() }, os.MkdirAll(state, 0o755)
}

// timed runs a program, and returns its time in seconds.
func timed(ctx context.Context, folder string, environment []string, program string) func(args ...string) (float64, error) {
	return func(args ...string) (float64, error) {
		began := time.Now()
		_, err := output(ctx, folder, environment, append([]string{program}, args...)...)
		return time.Since(began).Seconds(), err
	}
}

// copyProject copies the project without names that begin with a dot, such as the repository and a developer's sandbox.
func copyProject(folder string) error {
	return fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		target := filepath.Join(folder, path)
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

func zipFile(file, name, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	archive := zip.NewWriter(out)
	entry, err := archive.Create(name)
	if err != nil {
		return err
	}
	if _, err := entry.Write(content); err != nil {
		return err
	}
	return archive.Close()
}
