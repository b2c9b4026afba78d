//go:build unix

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func newSetup(t *testing.T, releases string) *setup {
	t.Helper()
	s := &setup{folder: filepath.Join(t.TempDir(), ".tools"), pins: pins{"3.250.0", "6.83.2"}, log: io.Discard, releases: releases}
	if err := os.MkdirAll(s.bin(), 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// Providers in Terraform's own mirrors are found without configuration.
func TestMirrors(t *testing.T) {
	t.Parallel()
	environment := map[string]string{"HOME": "/home/a", "TF_CLI_CONFIG_FILE": "/etc/tf.rc", "TF_PLUGIN_CACHE_DIR": "/cache", "XDG_DATA_DIRS": "/data"}
	files := map[string]string{
		"/etc/tf.rc":           "provider_installation {\n  filesystem_mirror {\n    include = [\"registry.terraform.io/*/*\"]\n    path    = \"/mirror\"\n  }\n  filesystem_mirror { path = \"/second\" }\n}",
		"/home/a/.terraformrc": "plugin_cache_dir = \"/plugins\"\n",
	}
	got := mirrors(func(name string) string { return environment[name] }, func(file string) ([]byte, error) {
		if text, ok := files[file]; ok {
			return []byte(text), nil
		}
		return nil, fs.ErrNotExist
	})
	want := []string{"/mirror", "/second", "/plugins", "/cache", "/home/a/.terraform.d/plugins", "/home/a/.local/share/terraform/plugins", "/data/terraform/plugins", "/opt/*", "/srv/*", "/var/lib/*"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Packed and unpacked providers are found: `terraform providers mirror` writes packed ones, and images often contain
// unpacked ones.
func TestFindProvider(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	provider := filepath.Join(folder, "mirror", "registry.terraform.io/hashicorp/aws")
	zipped := filepath.Join(provider, "terraform-provider-aws_"+terraformVersion+"_"+platform()+".zip")
	put(t, filepath.Join(provider, "5.99.0", platform(), "terraform-provider-aws_v5.99.0_x5"), "older")
	if packed, unpacked := findProvider([]string{folder + "/*"}); packed+unpacked != "" {
		t.Errorf("got %q, %q for another version", packed, unpacked)
	}
	put(t, zipped, "")
	if packed, unpacked := findProvider([]string{folder, folder + "/*"}); packed != zipped || unpacked != "" {
		t.Errorf("got %q, %q, want the zip", packed, unpacked)
	}
	put(t, filepath.Join(provider, terraformVersion, platform(), "terraform-provider-aws_v5.100.0_x5"), "")
	if _, unpacked := findProvider([]string{folder + "/*"}); unpacked != filepath.Join(provider, terraformVersion, platform()) {
		t.Errorf("got %q, want the folder", unpacked)
	}
}

// A provider with another checksum isn't run, because it would get the user's AWS credentials.
func TestTerraformProviderIsVerified(t *testing.T) {
	if terraformHashes[platform()] == "" {
		t.Skip("no checksum for " + platform())
	}
	s := newSetup(t, "")
	file := filepath.Join(t.TempDir(), "terraform-provider-aws_v5.100.0_x5")
	put(t, file, "not HashiCorp's")
	t.Setenv("TF_PROVIDER_AWS", file)
	for range 2 { // the second attempt is refused too
		if got, err := s.terraformProvider(t.Context()); err == nil || !strings.Contains(err.Error(), "want "+terraformHashes[platform()]) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
}

// The expected value was computed with sha256sum and openssl. In the same way, the real package yields the value of
// public lock files.
func TestHashPackage(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	put(t, filepath.Join(folder, "b"), "two\n")
	put(t, filepath.Join(folder, "a"), "one\n")
	if got, err := hashPackage(folder); err != nil || got != "h1:c9kx41MfEyR7vDoBCPzQwO9IAmCl51mA23+m4LxTGsQ=" {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestUnzip(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	entry, err := w.Create("../terraform-provider-aws_v5.100.0_x5")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := entry.Write([]byte("provider")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	file, folder := filepath.Join(t.TempDir(), "p.zip"), t.TempDir()
	put(t, file, packed.String())
	if err := unzip(t.Context(), file, folder); err != nil {
		t.Fatal(err)
	}
	got, err := providerFile(folder)
	if err != nil || filepath.Base(got) != "terraform-provider-aws_v5.100.0_x5" {
		t.Errorf("got %q, %v", got, err)
	}
	if info, err := os.Stat(got); err != nil || info.Mode().Perm()&0o100 == 0 {
		t.Errorf("the provider cannot be run: %v", err)
	}
}

func release(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var content bytes.Buffer
	zipped := gzip.NewWriter(&content)
	w := tar.NewWriter(zipped)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return content.Bytes()
}

// If downloads work, setup installs the published CLI and plugin, and compiles nothing.
func TestPublished(t *testing.T) {
	if home := os.Getenv("FAKE_PULUMI_HOME"); home != "" { // this process is the published CLI
		if got := strings.Join(flag.Args(), " "); got != "plugin install resource aws 6.83.2" {
			t.Fatalf("pulumi %s", got)
		}
		put(t, filepath.Join(home, "plugins", "resource-aws-v6.83.2", plugin), "published")
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fake := "#!/bin/sh\nFAKE_PULUMI_HOME=\"$PULUMI_HOME\" exec '" + self + "' -test.run '^TestPublished$' \"$@\"\n"
	content := release(t, map[string]string{"pulumi/pulumi": fake, "pulumi/pulumi-language-go": "", "pulumi/pulumi-language-yaml": "yaml"})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "-checksums.txt"):
			archive := "pulumi-v3.250.0-" + runtime.GOOS + "-" + map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH] + ".tar.gz"
			fmt.Fprintf(w, "%x  %s\n", sha256.Sum256(content), archive)
		case strings.HasPrefix(r.URL.Path, "/sdk/"):
			w.Write(content)
		case r.Method != http.MethodHead || r.URL.Path != "/plugins/pulumi-resource-aws-v6.83.2-"+runtime.GOOS+"-"+runtime.GOARCH+".tar.gz":
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	s := newSetup(t, server.URL)
	for _, module := range []string{"pulumi", plugin} {
		put(t, filepath.Join(filepath.Dir(s.folder), "tools", module, "go.mod"), "")
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv("PULUMI_HOME", t.TempDir())
	for range 2 {
		if err := errors.Join(s.pulumi(t.Context()), s.awsPlugin(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{"pulumi": fake, "pulumi-language-go": "", "pulumi-language-yaml": "yaml", plugin: "published"} {
		if got, err := os.ReadFile(filepath.Join(s.bin(), file)); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", file, got, err, want)
		}
	}
}

// A release with another checksum isn't installed, and leaves nothing behind.
func TestDownloadRelease(t *testing.T) {
	t.Parallel()
	content := release(t, map[string]string{"pulumi/pulumi": "1", "pulumi/pulumi-language-go": "2", "pulumi/pulumi-language-yaml": "2", "pulumi/pulumi-language-python": "3", "pulumi/../../escape": "4"})
	sum := fmt.Sprintf("%x", sha256.Sum256(content))
	for name, c := range map[string]struct {
		sum, err string
	}{
		"published": {sum, ""},
		"another":   {strings.Repeat("0", 64), "want 0000"},
		"unlisted":  {"", "don't contain pulumi-v3.250.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch file := filepath.Base(r.URL.Path); {
				case r.URL.Path == "/sdk/pulumi-3.250.0-checksums.txt" && c.sum != "":
					for _, archive := range []string{"linux-x64", "linux-arm64", "darwin-x64", "darwin-arm64"} {
						fmt.Fprintf(w, "%s  pulumi-v3.250.0-%s.tar.gz\n", c.sum, archive)
					}
				case strings.HasPrefix(file, "pulumi-v3.250.0-"):
					w.Write(content)
				}
			}))
			t.Cleanup(server.Close)
			s := newSetup(t, server.URL)
			folder, err := s.ensure("pulumi", "release", func(folder string) error { return s.downloadRelease(t.Context(), folder) })
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || exists(filepath.Join(s.folder, "pulumi")) {
					t.Errorf("error = %v, want %q and nothing left", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(folder)
			if err != nil || len(entries) != 3 || entries[0].Name() != "pulumi" || entries[1].Name() != "pulumi-language-go" || entries[2].Name() != "pulumi-language-yaml" {
				t.Errorf("got %v, %v, want three programs", entries, err)
			}
		})
	}
}

// A machine without internet access waits for one download only.
func TestDownloadFailsOnce(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler) // the connection breaks
	}))
	t.Cleanup(server.Close)
	s := newSetup(t, server.URL)
	for range 2 {
		if err := s.reachable(t.Context(), server.URL); err == nil {
			t.Error("reachable")
		}
	}
	if asked.Load() != 1 {
		t.Errorf("asked %d times, want once", asked.Load())
	}
}

// An incomplete folder isn't used, and a changed version is installed again.
func TestEnsure(t *testing.T) {
	t.Parallel()
	s := newSetup(t, "")
	made := 0
	ensure := func(version string, end error) error {
		_, err := s.ensure("x", version, func(folder string) error {
			made++
			put(t, filepath.Join(folder, version), "")
			return end
		})
		return err
	}
	put(t, filepath.Join(s.folder, "x", "half"), "")
	stopped := errors.New("stopped")
	if err := ensure("1", stopped); !errors.Is(err, stopped) || exists(filepath.Join(s.folder, "x")) {
		t.Errorf("error = %v, want it and nothing left", err)
	}
	for _, version := range []string{"1", "1", "2"} {
		if err := ensure(version, nil); err != nil {
			t.Fatal(err)
		}
	}
	if made != 3 || exists(filepath.Join(s.folder, "x", "1")) || !exists(filepath.Join(s.folder, "x", "2")) {
		t.Errorf("made %d times, want 3, and version 2 only", made)
	}
}

// A program on the PATH takes precedence over an older link of setup.
func TestOnPath(t *testing.T) {
	s := newSetup(t, "")
	put(t, filepath.Join(s.bin(), "moto_server"), "")
	t.Setenv("PATH", s.bin())
	if got := s.onPath("moto_server"); got != "" {
		t.Errorf("took its own %s for the machine's", got)
	}
	theirs := filepath.Join(t.TempDir(), "moto_server")
	put(t, theirs, "")
	t.Setenv("PATH", s.bin()+":"+filepath.Dir(theirs))
	if got := s.onPath("moto_server"); got != theirs || exists(filepath.Join(s.bin(), "moto_server")) {
		t.Errorf("got %q, want %q only", got, theirs)
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version string
		want    bool
	}{{"v3.250.0", false}, {"3.250.1", false}, {"v3.1000.0", false}, {"v4.0.0-alpha.1+x", false}, {"v3.99.9", true}, {"v2.300.0", true}, {"", true}, {"dev", true}} {
		if got := older(c.version, "3.250.0"); got != c.want {
			t.Errorf("older(%q) = %t", c.version, got)
		}
	}
}

// All places pin the same versions. Otherwise, a machine without internet access would behave differently.
func TestPinsAgree(t *testing.T) {
	t.Parallel()
	p, err := readPins("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		"../pulumi/go.mod":                     "=> github.com/pulumi/pulumi/pkg/v3 v" + p.pulumi + "\n",
		"../pulumi/pulumi-language-go/main.go": `Version: "` + p.pulumi + `"`,
		"../pulumi-resource-aws/main.go":       `const version = "` + p.aws + `"`,
		"../../internal/sandbox/wire/moto.go":  `const motoVersion = "` + motoVersion + `"`,
		"../../docs/air-gapped.md":             "moto[server]==" + motoVersion,
	} {
		if text, err := os.ReadFile(file); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q (%v)", file, want, err)
		}
	}
}

// Only one setup uses the folder at a time, and Ctrl-C stops the waiting one.
func TestLock(t *testing.T) {
	t.Parallel()
	s := newSetup(t, "")
	unlock, err := s.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if _, err := s.lock(stopped); !errors.Is(err, context.Canceled) {
		t.Errorf("a second setup: %v, want it to wait until it is stopped", err)
	}
	if err := unlock(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.lock(t.Context()); err != nil {
		t.Error(err)
	}
}
