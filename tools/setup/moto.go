package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

const motoVersion = "5.2.1"

// moto installs moto, the AWS emulator. It uses the program on the PATH. If there is none, it installs the Python
// package. If that fails, Docker runs the image when the sandbox starts (internal/sandbox/wire/moto.go).
func (s *setup) moto(ctx context.Context) error {
	if s.onPath("moto_server") != "" {
		s.say("moto is on the PATH")
		return nil
	}
	folder, pipErr := s.ensure("venv", motoVersion, func(folder string) error {
		s.say("installing moto %s with pip", motoVersion)
		if err := s.command(ctx, ".", nil, "python3", "-m", "venv", folder); err != nil {
			return err
		}
		return s.command(ctx, ".", nil, filepath.Join(folder, "bin", "pip"), "install", "--disable-pip-version-check",
			"--timeout", "3", "--retries", "0", "moto[server]=="+motoVersion)
	})
	if pipErr == nil {
		return s.link(filepath.Join(folder, "bin"), "moto_server")
	}
	if ctx.Err() != nil {
		return pipErr
	}
	s.say("pip can't install moto: %v", pipErr)
	ask, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := exec.CommandContext(ask, "docker", "version", "--format", "{{.Server.Version}}").Run(); err != nil {
		return fmt.Errorf("moto %s, which emulates AWS, can't be installed: it isn't on the PATH, pip failed (see above), and no Docker engine responds (%w); docs/air-gapped.md lists what to mirror", motoVersion, err)
	}
	s.say("Docker will run moto's image")
	return nil
}
