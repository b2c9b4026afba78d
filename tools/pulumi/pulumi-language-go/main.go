// Command pulumi-language-go is the language host of machines that cannot download the published one: it compiles a Go
// program, or takes the one that runtime.options.binary names, and runs it under the engine.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func main() {
	flag.String("tracing", "", "ignored")
	flag.String("root", "", "ignored")
	flag.String("binary", "", "ignored: Run gets it as well")
	flag.String("buildTarget", "", "ignored")
	flag.Parse()
	if err := serve(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

func serve(engine string) error {
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(s *grpc.Server) error {
		pulumirpc.RegisterLanguageRuntimeServer(s, &host{engine: engine})
		return nil
	}})
	if err != nil {
		return err
	}
	// The engine ends the host of a program, but not that of a plugin: that has to see for itself that it is needed no more.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := rpcutil.Healthcheck(ctx, engine, time.Second, cancel); err != nil {
		return err
	}
	fmt.Println(handle.Port) // the engine reads it
	select {
	case err := <-handle.Done:
		return err
	case <-ctx.Done():
		return nil
	}
}

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string
}

func (h *host) Handshake(_ context.Context, r *pulumirpc.LanguageHandshakeRequest) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.engine = r.EngineAddress
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: "3.250.0"}, nil
}

// GetRequiredPackages names none: the program itself asks for its plugin, with its version.
func (h *host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

// InstallDependencies has nothing to do: to build gets them.
func (h *host) InstallDependencies(*pulumirpc.InstallDependenciesRequest, pulumirpc.LanguageRuntime_InstallDependenciesServer) error {
	return nil
}

func (h *host) Run(ctx context.Context, r *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	program, remove, err := build(ctx, r.GetInfo())
	if err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	defer remove()
	config, err := json.Marshal(r.Config)
	if err != nil {
		return nil, err
	}
	secretKeys, err := json.Marshal(r.ConfigSecretKeys)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program, r.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.Pwd, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(),
		"PULUMI_ORGANIZATION="+r.Organization, "PULUMI_PROJECT="+r.Project, "PULUMI_STACK="+r.Stack,
		"PULUMI_CONFIG="+string(config), "PULUMI_CONFIG_SECRET_KEYS="+string(secretKeys),
		"PULUMI_DRY_RUN="+strconv.FormatBool(r.DryRun), "PULUMI_PARALLEL="+strconv.Itoa(int(r.Parallel)),
		"PULUMI_MONITOR="+r.MonitorAddress, "PULUMI_ENGINE="+h.engine, "PULUMI_ROOT_DIRECTORY="+r.GetInfo().GetRootDirectory(),
	)
	if err = cmd.Start(); err == nil {
		remove() // it runs without; a host that is killed leaves nothing
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 32: // the program has told the engine itself what is wrong
		return &pulumirpc.RunResponse{Bail: true}, nil
	case err != nil:
		return &pulumirpc.RunResponse{Error: "the program ended: " + err.Error()}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}

// RunPlugin runs a plugin that is there as source, until the engine needs it no more.
func (h *host) RunPlugin(r *pulumirpc.RunPluginRequest, server pulumirpc.LanguageRuntime_RunPluginServer) error {
	program, remove, err := build(server.Context(), r.GetInfo())
	if err != nil {
		return err
	}
	defer remove()
	streams, stdout, stderr, err := rpcutil.MakeRunPluginStreams(server, false)
	if err != nil {
		return err
	}
	defer streams.Close()
	cmd := exec.CommandContext(server.Context(), program, r.Args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.Pwd, r.Env, stdout, stderr
	if err = cmd.Start(); err == nil {
		remove()
		err = cmd.Wait()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return server.Send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(exit.ExitCode())}})
	}
	return err
}

// build compiles a program, or takes the one that runtime.options.binary names. remove takes back what it made.
func build(ctx context.Context, info *pulumirpc.ProgramInfo) (program string, remove func() error, err error) {
	if program := info.GetOptions().GetFields()["binary"].GetStringValue(); program != "" {
		if !filepath.IsAbs(program) {
			program = filepath.Join(info.GetRootDirectory(), program)
		}
		return program, func() error { return nil }, nil
	}
	folder, err := os.MkdirTemp("", "pulumi-go")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(folder) }
	program = filepath.Join(folder, "program")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir, cmd.Stdout, cmd.Stderr = info.GetProgramDirectory(), os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("go build in %s: %w", cmd.Dir, err), remove())
	}
	return program, remove, nil
}
