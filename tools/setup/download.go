package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const pulumiReleases = "https://get.pulumi.com/releases"

// client times out within seconds if the machine has no internet access. It uses HTTPS_PROXY.
var client = &http.Client{Transport: &http.Transport{
	Proxy:                 http.ProxyFromEnvironment,
	DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
	TLSHandshakeTimeout:   3 * time.Second,
	ResponseHeaderTimeout: 5 * time.Second,
}}

func (s *setup) request(ctx context.Context, method, url string) (*http.Response, error) {
	if s.offline {
		return nil, errors.New("an earlier download failed")
	}
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		s.offline = true
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: status %s", url, response.Status)
	}
	return response, nil
}

func (s *setup) reachable(ctx context.Context, url string) error {
	response, err := s.request(ctx, http.MethodHead, url)
	if err == nil {
		response.Body.Close()
	}
	return err
}

// get downloads a file. It fails if no data arrives for 10 seconds.
func (s *setup) get(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	response, err := s.request(ctx, http.MethodGet, url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	idle := time.AfterFunc(10*time.Second, func() { cancel(fmt.Errorf("%s: no data for 10 seconds", url)) })
	defer idle.Stop()
	var content bytes.Buffer
	for said := time.Now(); ; {
		n, err := io.CopyN(&content, response.Body, 1<<20)
		if err == io.EOF {
			return content.Bytes(), nil
		}
		if err != nil {
			return nil, errors.Join(context.Cause(ctx), err)
		}
		idle.Reset(10 * time.Second)
		if n > 0 && time.Since(said) > 5*time.Second {
			s.say("  … %d MB", content.Len()>>20)
			said = time.Now()
		}
	}
}

// downloadRelease downloads Pulumi's release and checks its SHA-256 against the release's own list. Both files come
// from Pulumi's site over TLS, so this protects only as well as the site.
func (s *setup) downloadRelease(ctx context.Context, folder string) error {
	archive := fmt.Sprintf("pulumi-v%s-%s-%s.tar.gz", s.pins.pulumi, runtime.GOOS, map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH])
	sums, err := s.get(ctx, s.releases+"/sdk/pulumi-"+s.pins.pulumi+"-checksums.txt")
	if err != nil {
		return err
	}
	want := checksum(sums, archive)
	if want == "" {
		return fmt.Errorf("the release's checksums don't contain %s", archive)
	}
	s.say("downloading Pulumi %s", s.pins.pulumi)
	content, err := s.get(ctx, s.releases+"/sdk/"+archive)
	if err != nil {
		return err
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != want {
		return fmt.Errorf("%s: got SHA-256 %s, want %s", archive, got, want)
	}
	return untar(content, folder)
}

// checksum returns a file's checksum from lines in the format of `sha256sum`.
func checksum(sums []byte, file string) string {
	lines := bufio.NewScanner(bytes.NewReader(sums))
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 2 && path.Base(strings.TrimPrefix(f[1], "*")) == file {
			return strings.ToLower(f[0])
		}
	}
	return ""
}

// untar extracts the programs that are needed. The release has those of other languages too.
func untar(content []byte, folder string) error {
	unzipped, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return err
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if name := path.Base(header.Name); name == "pulumi" || slices.Contains(hosts, name) {
			if header.Typeflag != tar.TypeReg {
				continue // the folder has the same name
			}
			if err := write(filepath.Join(folder, name), archive); err != nil {
				return err
			}
		}
	}
}

func write(file string, content io.Reader) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
