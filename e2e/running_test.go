//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// running is a sandbox that is ready.
type running struct {
	root   string
	cmd    *exec.Cmd
	env    []string
	aws    wire.Client
	roles  map[string]*deployingRole // those that deploy, by name: see rights_test.go
	fronts map[string]string         // their endpoints

	InvokeURL      string
	AWSEndpointURL string
	Region         string
	StackOutputs   map[string]string

	answered []string // API request ids of the calls that were answered by a model
}

func start(t *testing.T, root, program string) *running {
	t.Helper()
	s := &running{root: root, fronts: map[string]string{}, cmd: exec.Command(program, "--port", "0", "--aws-port", "0", "--bedrock-checksums")}
	s.cmd.Dir = root
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to find out what outlives it
	s.cmd.Stderr = os.Stderr
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) })
	var seen strings.Builder
	lines := bufio.NewScanner(output)
	for lines.Scan() && !strings.HasSuffix(lines.Text(), "] ready") {
		seen.WriteString(lines.Text() + "\n")
	}
	go io.Copy(os.Stderr, output)
	content, err := os.ReadFile(filepath.Join(root, ".local", "outputs.json"))
	if err != nil {
		t.Fatalf("the sandbox is not ready: %v\n%s", err, seen.String())
	}
	if err := json.Unmarshal(content, s); err != nil {
		t.Fatal(err)
	}
	exports, err := os.ReadFile(filepath.Join(root, ".local", "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(string(exports), -1) {
		s.env = append(s.env, m[1]+"="+m[2])
	}
	s.aws = wire.Client{URL: s.AWSEndpointURL, Region: s.Region}
	s.roles = s.newRoles(t)
	return s
}

// stop is Ctrl-C.
func (s *running) stop(t *testing.T) {
	t.Helper()
	syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT) // a terminal tells the whole group
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if err := syscall.Kill(-s.cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("processes that it started are still there: %v", err)
	}
}

// interrupt presses Ctrl-C in the middle of a deployment.
func interrupt(t *testing.T, root, program string) {
	cmd := exec.Command(program, "--port", "0", "--aws-port", "0")
	cmd.Dir, cmd.SysProcAttr = root, &syscall.SysProcAttr{Setpgid: true}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	lines := bufio.NewScanner(output)
	for lines.Scan() && !strings.Contains(lines.Text(), "aws:ec2:Vpc ") {
	}
	syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	io.Copy(io.Discard, output)
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 130 {
		t.Errorf("after Ctrl-C: %v, want exit status 130", err)
	}
	if err := syscall.Kill(-cmd.Process.Pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("processes that it started are still there: %v", err)
	}
}

// checkout copies the working tree into a folder of its own, so that a developer's own sandbox is not disturbed.
func checkout(t *testing.T) string {
	files := command(t, ".", nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	root := t.TempDir()
	for _, file := range strings.Split(strings.Trim(files, "\x00"), "\x00") {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(target, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

func (s *running) pulumi(t *testing.T, stack string, args ...string) string {
	t.Helper()
	args = append(args, "--stack", stack, "--config-file", ".local/Pulumi."+stack+".yaml", "--non-interactive")
	return command(t, s.root, s.as(stack, args[0]), "pulumi", args...)
}

// pulumiFails answers with what a command that must fail printed.
func (s *running) pulumiFails(t *testing.T, stack string, args ...string) string {
	t.Helper()
	cmd := exec.Command("pulumi", append(args, "--stack", stack, "--config-file", ".local/Pulumi."+stack+".yaml", "--non-interactive")...)
	cmd.Dir, cmd.Env = s.root, append(os.Environ(), s.as(stack, args[0])...)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("pulumi %s succeeded, want a failure:\n%s", strings.Join(args, " "), out)
	}
	return string(out)
}

func (s *running) set(t *testing.T, stack, name, value string) {
	t.Helper()
	s.pulumi(t, stack, "config", "set", name, value)
}

// outputs are a stack's, as they are now.
func (s *running) outputs(t *testing.T, stack string) (outputs map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", stack)), &outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

// call calls the API; host names an endpoint, empty means the VPC's own.
func (s *running) call(t *testing.T, method, path, host, contentType, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, s.InvokeURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return send(t, r)
}

// send sends a request and reads the response.
func send(t *testing.T, r *http.Request) (int, http.Header, string) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(answer)
}
