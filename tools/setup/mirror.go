package main

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// terraformVersion is the version of the Terraform AWS provider that pulumi-aws 6.83.2 contains.
const terraformVersion = "5.100.0"

// terraformHashes are Terraform's checksums of the provider's package, as in every .terraform.lock.hcl, by GOOS_GOARCH.
// A provider with another checksum isn't run.
var terraformHashes = map[string]string{
	"linux_amd64": "h1:edXOJWE4ORX8Fm+dpVpICzMZJat4AX0VRCAy/xkcOc0=",
}

// terraformProvider returns the executable of the Terraform AWS provider in a mirror on this machine.
func (s *setup) terraformProvider(ctx context.Context) (string, error) {
	folders := mirrors(os.Getenv, os.ReadFile)
	packed, unpacked := findProvider(folders)
	file := os.Getenv("TF_PROVIDER_AWS")
	if file != "" {
		unpacked = filepath.Dir(file)
	}
	if unpacked == "" && packed != "" {
		folder, err := s.ensure("terraform", stampFile(packed), func(folder string) error {
			s.say("unpacking %s", packed)
			return unzip(ctx, packed, folder)
		})
		if err != nil {
			return "", err
		}
		unpacked = folder
	}
	if unpacked == "" {
		return "", fmt.Errorf("no Terraform AWS provider %s in TF_PROVIDER_AWS or in the filesystem mirrors %s; see docs/air-gapped.md",
			terraformVersion, strings.Join(folders, ", "))
	}
	want, ok := terraformHashes[platform()]
	if !ok {
		return "", fmt.Errorf("no checksum of the Terraform AWS provider for %s: add its h1 from a .terraform.lock.hcl to tools/setup/mirror.go", platform())
	}
	executable, err := providerFile(unpacked)
	if err != nil {
		return "", err
	}
	// Hashing 700 MB takes seconds, so a file is hashed once until it changes.
	_, err = s.ensure("terraform-verified", stampFile(executable), func(string) error {
		s.say("verifying %s", executable)
		got, err := hashPackage(unpacked)
		if err == nil && got != want {
			err = fmt.Errorf("%s: got checksum %s, want %s, which Terraform has for the AWS provider %s", unpacked, got, want, terraformVersion)
		}
		return err
	})
	return executable, err
}

func platform() string { return runtime.GOOS + "_" + runtime.GOARCH }

var (
	filesystemMirror = regexp.MustCompile(`filesystem_mirror\s*\{[^}]*?path\s*=\s*"([^"]+)"`)
	pluginCache      = regexp.MustCompile(`(?m)^\s*plugin_cache_dir\s*=\s*"([^"]+)"`)
)

// mirrors returns the folders in which Terraform looks for a provider, and where images of build machines store
// providers (developer.hashicorp.com, "CLI Configuration File": Provider Installation, Implied Local Mirror
// Directories).
func mirrors(getenv func(string) string, readFile func(string) ([]byte, error)) []string {
	home := getenv("HOME")
	var folders []string
	for _, file := range []string{getenv("TF_CLI_CONFIG_FILE"), getenv("TERRAFORM_CONFIG"), filepath.Join(home, ".terraformrc")} {
		text, err := readFile(file)
		if err != nil {
			continue // Terraform ignores it too
		}
		for _, match := range append(filesystemMirror.FindAllSubmatch(text, -1), pluginCache.FindAllSubmatch(text, -1)...) {
			folders = append(folders, string(match[1]))
		}
	}
	folders = append(folders, getenv("TF_PLUGIN_CACHE_DIR"), filepath.Join(home, ".terraform.d/plugins"))
	data := getenv("XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(home, ".local/share")
	}
	shared := getenv("XDG_DATA_DIRS")
	if shared == "" {
		shared = "/usr/local/share:/usr/share"
	}
	for _, d := range append([]string{data}, filepath.SplitList(shared)...) {
		folders = append(folders, filepath.Join(d, "terraform/plugins"))
	}
	folders = append(folders, "/opt/*", "/srv/*", "/var/lib/*")
	folders = slices.DeleteFunc(folders, func(f string) bool { return !filepath.IsAbs(f) })
	return slices.Compact(folders)
}

// findProvider searches the provider's package in Terraform's two layouts. The folders can be patterns.
func findProvider(folders []string) (packed, unpacked string) {
	for _, folder := range folders {
		provider := filepath.Join(folder, "registry.terraform.io", "hashicorp", "aws")
		if found, _ := filepath.Glob(filepath.Join(provider, terraformVersion, platform())); len(found) > 0 {
			return "", found[0]
		}
		if found, _ := filepath.Glob(filepath.Join(provider, "terraform-provider-aws_"+terraformVersion+"_"+platform()+".zip")); len(found) > 0 {
			packed = found[0]
		}
	}
	return packed, ""
}

func providerFile(folder string) (string, error) {
	found, err := filepath.Glob(filepath.Join(folder, "terraform-provider-aws*"))
	if err == nil && len(found) != 1 {
		err = fmt.Errorf("%s: got %d files terraform-provider-aws*, want 1", folder, len(found))
	}
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(found[0])
}

// stampFile returns a text that changes when a file changes.
func stampFile(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return "none"
	}
	sum := sha256.Sum256(fmt.Append(nil, file, info.Size(), info.ModTime().UnixNano()))
	return fmt.Sprintf("%x", sum)
}

// hashPackage returns Terraform's h1 checksum of a provider's unpacked package, which is Go's checksum of a module's
// files.
func hashPackage(folder string) (string, error) {
	folder, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return "", err
	}
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return "", err
	}
	all := sha256.New()
	for _, entry := range entries {
		file, err := os.Open(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", err
		}
		one := sha256.New()
		_, err = io.Copy(one, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%x  %s\n", one.Sum(nil), entry.Name())
	}
	return "h1:" + base64.StdEncoding.EncodeToString(all.Sum(nil)), nil
}

func unzip(ctx context.Context, file, folder string) error {
	archive, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer archive.Close()
	for _, entry := range archive.File {
		content, err := entry.Open()
		if err != nil {
			return err
		}
		err = write(filepath.Join(folder, filepath.Base(entry.Name)), content)
		if err := errors.Join(err, content.Close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}
