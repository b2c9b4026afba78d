package components

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// BuildFunctionZip builds the Go package in dir for AWS Lambda's provided.al2023 runtime on an architecture (arm64 or
// x86_64), and writes it as a zip to file. The same source and Go version produce the same bytes in any folder, so that
// a deployment changes only when the function does. Lambda accepts zips of up to 50 MB.
func BuildFunctionZip(ctx context.Context, dir, architecture, file string) error {
	goarch, known := map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
	if !known {
		return fmt.Errorf("architecture: got %q, want arm64 or x86_64", architecture)
	}
	work, err := os.MkdirTemp("", "bedrock-function")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	bootstrap := filepath.Join(work, "bootstrap")
	// Lambda Developer Guide, "Deploy Go Lambda functions with .zip file archives". Paths and the repository's state would
	// make each build different.
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc",
		"-ldflags", "-s -w", "-o", bootstrap, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=", "GOAMD64=", "GOARM64=",
		"GOEXPERIMENT=")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the function in %s: %w\n%s", dir, err, output)
	}
	binary, err := os.ReadFile(bootstrap)
	if err != nil {
		return err
	}
	zipped, err := zipBootstrap(binary)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	// By rename: a second build at the same time never shows half a file.
	part := filepath.Join(filepath.Dir(file), filepath.Base(work)+".part")
	if err := os.WriteFile(part, zipped, 0o644); err != nil {
		return err
	}
	return os.Rename(part, file)
}

func zipBootstrap(binary []byte) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	header := &zip.FileHeader{
		Name: "bootstrap", Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	header.SetMode(0o755) // Lambda starts executables only
	f, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(binary); err != nil {
		return nil, err
	}
	err = w.Close()
	return b.Bytes(), err
}
