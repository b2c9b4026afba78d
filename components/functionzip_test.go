package components

import (
	"archive/zip"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The same source must give the same bytes, or every deployment from another folder replaces the function.
func TestBuildFunctionZipIsReproducible(t *testing.T) {
	t.Parallel()
	build := func(root string) []byte {
		file := filepath.Join(t.TempDir(), "out", "function.zip")
		if err := BuildFunctionZip(context.Background(), filepath.Join(root, "function"), "arm64", file); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	elsewhere := t.TempDir()
	for _, folder := range []string{"function", "internal/contract", "openapi"} {
		if err := os.CopyFS(filepath.Join(elsewhere, folder), os.DirFS(filepath.Join("..", folder))); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(elsewhere, file), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	first, second := build(".."), build(elsewhere)
	if !bytes.Equal(first, second) {
		t.Error("two builds in two folders differ")
	}
	archive, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	// Lambda starts nothing else, and nothing that is not executable.
	if f := archive.File[0]; len(archive.File) != 1 || f.Name != "bootstrap" || f.Mode() != 0o755 {
		t.Errorf("the zip holds %d files, the first %s %v, want an executable bootstrap alone", len(archive.File), f.Name, f.Mode())
	}
	if len(first) > 5<<20 {
		t.Errorf("the zip has %d bytes, want at most 5 MiB: it is loaded at every cold start", len(first))
	}
}

func TestBuildFunctionZipErrors(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "function.zip")
	if err := BuildFunctionZip(context.Background(), "../function", "sparc", file); err == nil || !strings.Contains(err.Error(), `"sparc"`) {
		t.Errorf("error = %v, want the architecture named", err)
	}
	broken := t.TempDir()
	if err := os.WriteFile(filepath.Join(broken, "main.go"), []byte("package main\nfunc main() { nowhere() }"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := BuildFunctionZip(context.Background(), broken, "arm64", file); err == nil || !strings.Contains(err.Error(), broken) {
		t.Errorf("error = %v, want the folder and the compiler's words", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a failed build left a zip behind, which would be deployed")
	}
}
