//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// played is a sandbox in the test's own process.
type played struct {
	sandbox *sandbox.Sandbox
	aws     wire.Client

	mu      sync.Mutex
	reports []string
}

func play(t *testing.T) *played {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p := &played{}
	p.sandbox, err = sandbox.Start(ctx, sandbox.Options{Region: "ap-northeast-1", Folder: t.TempDir(), AWS: listener, Report: func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.reports = append(p.reports, err.Error())
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.sandbox.Close() })
	p.aws = wire.Client{URL: p.sandbox.AWSEndpointURL, Region: "ap-northeast-1"}
	return p
}

// logsElsewhere turns invocation logging on, to somebody else's bucket.
func (p *played) logsElsewhere(t *testing.T) {
	t.Helper()
	for _, put := range []struct{ service, path, body string }{
		{"s3", "/logs", `<CreateBucketConfiguration><LocationConstraint>ap-northeast-1</LocationConstraint></CreateBucketConfiguration>`},
		{"s3", "/logs?policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/*"}]}`},
		{"bedrock", loggingPath, `{"loggingConfig":{"s3Config":{"bucketName":"logs","keyPrefix":"bedrock"},"textDataDeliveryEnabled":true}}`},
	} {
		if _, err := p.aws.Do(t.Context(), put.service, http.MethodPut, put.path, map[string]string{"Content-Type": "application/json"}, []byte(put.body)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEndToEndPackage is what a user of another language does: Pulumi compiles the package, and the components of
// examples/yaml are deployed, called, found unchanged and taken down, behind the guards of the account's logging. What Go's
// own programs have, another language has only if this works.
func TestEndToEndPackage(t *testing.T) {
	t.Parallel()
	root, played := checkout(t), play(t)
	s := &running{root: filepath.Join(root, "examples", "yaml"), aws: played.aws, env: []string{
		"AWS_ENDPOINT_URL=" + played.sandbox.AWSEndpointURL, "AWS_ACCESS_KEY_ID=" + iam.RootKey, "AWS_SECRET_ACCESS_KEY=" + iam.RootKey,
		"AWS_REGION=" + played.aws.Region, "PULUMI_BACKEND_URL=file://" + t.TempDir(), "PULUMI_CONFIG_PASSPHRASE=", "PULUMI_SKIP_UPDATE_CHECK=true",
	}}
	if _, err := exec.LookPath("pulumi-resource-aws"); err == nil { // else the plugin is in the user's own
		s.env = append(s.env, "PULUMI_HOME="+t.TempDir())
	}
	// A release has a host for every language; a Pulumi that was built elsewhere may lack YAML's, or run no plugin's source.
	if _, err := exec.LookPath("pulumi-language-nodejs"); err != nil {
		bin := t.TempDir()
		command(t, filepath.Join(root, "tools", "pulumi"), []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", bin+"/", "./pulumi-language-go", "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml")
		s.env = append(s.env, "PATH="+bin+":"+os.Getenv("PATH"))
		t.Cleanup(func() { nothingRuns(t, bin) })
	}
	config, err := os.ReadFile(filepath.Join(root, "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config = regexp.MustCompile(`(?m)^ *private-bedrock:.*\n`).ReplaceAll(config, nil) // the program's own
	if err := os.WriteFile(filepath.Join(s.root, "Pulumi.local.yaml"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	edit := func(from, to string) {
		t.Helper()
		file := filepath.Join(s.root, "Pulumi.yaml")
		program, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(program, []byte(from)) {
			t.Fatalf("no %q in the program: %v", from, err)
		}
		if err := os.WriteFile(file, bytes.Replace(program, []byte(from), []byte(to), 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pulumi := func(args ...string) string {
		t.Helper()
		return command(t, s.root, s.env, "pulumi", append(args, "--stack", "local", "--non-interactive")...)
	}

	pulumi("stack", "init")
	edit("architecture: arm64", "architecture: "+map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]) // the function runs here
	// The look at whose the account's logging is happens in the package's process, and so may be lost there.
	played.logsElsewhere(t)
	preview := exec.Command("pulumi", "preview", "--stack", "local", "--non-interactive")
	preview.Dir, preview.Env = s.root, append(os.Environ(), s.env...)
	if out, err := preview.CombinedOutput(); err == nil || !strings.Contains(string(out), "belongs to another owner") {
		t.Errorf("a preview of taking somebody else's logging: %v\n%s", err, out)
	}
	edit("private-bedrock:BedrockLogging", "private-bedrock:BedrockLogging\n    properties: {adoptInvocationLogging: true, retainLogs: false}")
	pulumi("up", "--yes", "--skip-preview")
	var outputs struct{ InvokeUrl string }
	if err := json.Unmarshal([]byte(pulumi("stack", "output", "--json")), &outputs); err != nil {
		t.Fatal(err)
	}
	api, err := url.Parse(outputs.InvokeUrl)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	apiID, _, _ := strings.Cut(api.Host, ".")
	played.sandbox.ServeAPI(listener, apiID)
	s.InvokeURL = "http://" + listener.Addr().String() + api.Path
	if status, _, body := s.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 200 || body != "You said: Hello" {
		t.Errorf("status %d: %s", status, body)
	}
	bucket, records := s.loggingBucket(t), 0
	for _, key := range s.objects(t, bucket) {
		if strings.HasSuffix(key, ".json.gz") && strings.Contains(string(s.gunzip(t, bucket, key)), "You said: Hello") {
			records++
		}
	}
	if records != 1 {
		t.Errorf("%d records in %q, want 1", records, bucket)
	}
	pulumi("preview", "--expect-no-changes")

	pulumi("destroy", "--yes", "--skip-preview", "--run-program")
	if state := pulumi("stack", "export"); strings.Contains(state, `"urn"`) {
		t.Errorf("after destroy, the stack still has resources:\n%s", state)
	}
	if endpoints, err := ec2.VPCEndpoints(t.Context(), s.aws); err != nil || len(endpoints) > 0 {
		t.Errorf("endpoints go on costing money: %v, %v", endpoints, err)
	}
	if left := s.loggingBucket(t); left != "" {
		t.Errorf("after destroy, logging still goes to %q", left)
	}
	played.mu.Lock()
	defer played.mu.Unlock()
	if len(played.reports) > 0 {
		t.Errorf("reported %q", played.reports)
	}
}

// nothingRuns waits for the end of what runs out of a folder: hosts notice that the engine is gone. One that does not stays
// and listens, and with each deployment there are more of them.
func nothingRuns(t *testing.T, bin string) {
	t.Helper()
	late := time.After(30 * time.Second)
	for {
		var left []string
		programs, err := filepath.Glob("/proc/[0-9]*/exe")
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range programs {
			if file, err := os.Readlink(program); err == nil && strings.HasPrefix(file, bin+"/") {
				left = append(left, file)
			}
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-late:
			t.Errorf("still running: %q", left)
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}
