//go:build e2e

package sandbox

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// canary is in every prompt: where it turns up, prompts turn up.
const canary = "カナリア canary"

// TestEndToEnd is what a user does, in order: start, call, read the records, change, start a second stack, take
// everything down, start again. It runs the real pulumi, the real AWS provider and the deployed function's own executable.
func TestEndToEnd(t *testing.T) {
	root := checkout(t)
	program := filepath.Join(root, "sandbox")
	command(t, root, nil, "go", "build", "-o", program, "./cmd/sandbox")
	s := start(t, root, program)

	t.Run("a client in the VPC is answered", s.answers)
	t.Run("nobody else gets in", s.refusesOthers)
	t.Run("nothing listens beyond loopback", s.listensOnLoopback)
	t.Run("no web page reaches the emulated AWS", s.refusesWebPages)
	t.Run("bad requests are refused and not recorded", s.refusesBadRequests)
	t.Run("every call has its record", s.recordsCalls)
	t.Run("clients that know Bedrock only work", s.clientsWork)
	t.Run("what would not be kept, or costs more than is admitted, is not asked", s.refusesUnkept)
	t.Run("an operation that is not served says so by its name", s.namesWhatIsNotServed)
	t.Run("every fault has its status and its type", s.faultsAreTyped)
	t.Run("the first byte comes long before the last", s.streams)
	t.Run("a client that leaves harms nobody", s.clientLeaves)
	t.Run("a thousand calls of fifty callers have a thousand records", s.thousandCalls)
	t.Run("the API serves its definition", s.servesItsDefinition)
	t.Run("prompts are in the invocation log only", s.keepsPromptsToItself)
	t.Run("the auditor misses nothing but what is gone", s.audits)
	t.Run("the auditor's queries answer what the log has", s.queries)
	t.Run("the auditor sees large bodies and failures", s.showsLargeAndFailed)
	t.Run("a preview shows no change", func(t *testing.T) { s.pulumi(t, "local", "preview", "--expect-no-changes") })
	t.Run("the longest name passes the provider, a longer one is refused", s.longestName)
	t.Run("the README's commands for this machine work", s.readmeLocal)
	t.Run("what Bedrock loses is named", s.namesWhatIsLost)
	t.Run("a record that was made past the API is named", s.namesForgedRecords)
	t.Run("a changed setting updates in place", s.updatesInPlace)
	t.Run("a changed policy is in force", s.redeploys)
	t.Run("a refresh finds no drift", func(t *testing.T) { s.pulumi(t, "local", "refresh", "--yes", "--expect-no-changes") })
	t.Run("a client instance, a role for auditors and a mask over personal data are added", func(t *testing.T) {
		s.set(t, "local", "ssmClient", "true")
		s.set(t, "local", "maskPersonalData", "true")
		s.set(t, "local", "archiveAfterDays", "120")
		s.set(t, "local", "functionMemoryMb", "512")
		s.set(t, "local", "reservedConcurrency", "0")
		s.changeFunction(t)
		s.pulumi(t, "local", "config", "set", "--path", "auditorArns[1]", partnerRole)
		s.pulumi(t, "local", "up", "--yes", "--skip-preview")
		s.pulumi(t, "local", "preview", "--expect-no-changes")
		s.pulumi(t, "local", "refresh", "--preview-only") // reads all there is; moto does not know an instance's security groups
		var mask struct{ PolicyDocument string }
		group := map[string]string{"logGroupIdentifier": s.StackOutputs["logGroupName"]}
		if err := s.aws.Target(t.Context(), "logs", "Logs_20140328.GetDataProtectionPolicy", group, &mask); err != nil || !strings.Contains(mask.PolicyDocument, "EmailAddress") {
			t.Errorf("the log group's mask: %v, %.200s", err, mask.PolicyDocument)
		}
	})
	t.Run("a second stack, in a brought VPC, with signed calls and a guardrail", s.secondStack)
	t.Run("nothing is asked of a model while nothing is kept", s.refusesUnlogged)
	t.Run("nothing is asked of a model while AWS may share it", s.refusesShared)
	t.Run("tampering is loud", s.tampers)
	t.Run("destroy leaves nothing", s.destroys)
	t.Run("the README's commands for AWS work, and the log is kept", s.readmeAWS)
	t.Run("a deployment has exactly its rights", s.usesEveryRight)
	t.Run("another sandbox keeps out of the folder", func(t *testing.T) {
		second := exec.Command(program)
		second.Dir = root
		if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "running in this folder already") {
			t.Errorf("%v: %s", err, out)
		}
	})
	s.stop(t)

	t.Run("Ctrl-C while deploying stops everything", func(t *testing.T) { interrupt(t, root, program) })
	t.Run("a second start works", func(t *testing.T) {
		again := start(t, root, program)
		if status, _, body := again.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 200 {
			t.Errorf("status %d: %s", status, body)
		}
		again.stop(t)
	})
}

// checkout copies the working tree into a folder of its own, so that a developer's own sandbox is not disturbed.
func checkout(t *testing.T) string {
	files := command(t, "../..", nil, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	root := t.TempDir()
	for _, file := range strings.Split(strings.Trim(files, "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join("../..", file))
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

// running is a sandbox that is ready.
type running struct {
	root   string
	cmd    *exec.Cmd
	env    []string
	aws    wire.Client
	roles  map[string]*deployingRole // those that deploy, by name: see deployingrole_e2e_test.go
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

func (s *running) answers(t *testing.T) {
	for _, prompt := range []string{"Hello " + canary, canary + "、こんにちは 世界/a b?c=100%&d=1+1#e"} {
		status, header, body := s.call(t, http.MethodPost, "/generate/"+url.PathEscape(prompt), "", "", "")
		if status != 200 || body != "You said: "+prompt {
			t.Errorf("%q: status %d, body %q", prompt, status, body)
		}
		s.answered = append(s.answered, header.Get("X-Amz-Apigw-Id"))
	}
	large := canary + strings.Repeat("x", 150<<10)
	for _, prompt := range []string{canary, large} {
		body, _ := json.Marshal(map[string]any{"prompt": prompt, "maxTokens": 100, "temperature": 0.5})
		status, header, answer := s.call(t, http.MethodPost, "/generate", "", "application/json", string(body))
		if status != 200 || !strings.Contains(answer, prompt) || !strings.Contains(answer, `"stopReason"`) {
			t.Errorf("status %d, body %.300q", status, answer)
		}
		s.answered = append(s.answered, header.Get("X-Amz-Apigw-Id"))
	}
	for path, want := range map[string]string{"/health": `"status":"ok"`, "/models": "anthropic.claude-haiku-4-5-20251001-v1:0"} {
		if status, _, body := s.call(t, http.MethodGet, path, "", "", ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, body %s", path, status, body)
		}
	}
	// The endpoint's own names, as AWS spells them and as curl resolves them.
	api, endpoint := s.StackOutputs["apiId"], s.StackOutputs["executeApiEndpointId"]
	for _, host := range []string{
		api + "-" + endpoint + ".execute-api." + s.Region + ".amazonaws.com", api + ".execute-api." + s.Region + ".amazonaws.com",
		api + "-" + endpoint + ".execute-api.localhost",
	} {
		if status, _, body := s.call(t, http.MethodGet, "/health", host, "", ""); status != 200 {
			t.Errorf("%s: status %d, body %s", host, status, body)
		}
	}
}

func (s *running) refusesOthers(t *testing.T) {
	api, endpoint := s.StackOutputs["apiId"], s.StackOutputs["executeApiEndpointId"]
	for _, host := range []string{
		api + "-vpce-0000000000000dead.execute-api." + s.Region + ".amazonaws.com",
		api + "-vpce-0000000000000dead.execute-api.localhost",
		"zzzzzzzzzz-" + endpoint + ".execute-api." + s.Region + ".amazonaws.com",
		api + "-" + endpoint + ".execute-api.us-east-1.amazonaws.com",
		"example.com",
	} {
		if status, _, body := s.call(t, http.MethodPost, "/generate/"+url.PathEscape(canary), host, "", ""); status != 403 {
			t.Errorf("%s: status %d, want 403: %s", host, status, body)
		}
	}
}

// refusesWebPages: a page that a developer only looks at could otherwise deploy a function, which runs on the machine.
func (s *running) refusesBadRequests(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want int
	}{
		"empty": {"", 400}, "no JSON": {canary, 400}, "no object": {`["` + canary + `"]`, 400}, "wrong type": {`{"prompt":7}`, 400},
		"not UTF-8": {"{\"prompt\":\"\xff\"}", 400}, "too large": {`{"prompt":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		"unknown field": {`{"prompt":"x","` + canary + `":1}`, 400}, "model off the list": {`{"prompt":"x","model":"amazon.nova-pro-v1:0"}`, 400},
	} {
		status, _, body := s.call(t, http.MethodPost, "/generate", "", "application/json", c.body)
		var answer struct {
			Error struct{ Code, Message, RequestID string }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != c.want || answer.Error.Code == "" || answer.Error.Message == "" {
			t.Errorf("%s: status %d, want %d and a JSON error: %s", name, status, c.want, body)
		}
	}
}

// objects lists the keys of a bucket.
func (s *running) objects(t *testing.T, bucket string) (keys []string) {
	t.Helper()
	for next := ""; ; {
		answer, err := s.aws.Do(context.Background(), "s3", http.MethodGet, "/"+bucket+"?list-type=2"+next, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Keys []string `xml:"Contents>Key"`
			Next string   `xml:"NextContinuationToken"`
		}
		if err := xml.Unmarshal(answer, &list); err != nil {
			t.Fatal(err)
		}
		if keys = append(keys, list.Keys...); list.Next == "" {
			return keys
		}
		next = "&continuation-token=" + url.QueryEscape(list.Next)
	}
}

func (s *running) gunzip(t *testing.T, bucket, key string) []byte {
	t.Helper()
	answer, err := s.aws.Do(context.Background(), "s3", http.MethodGet, "/"+bucket+"/"+key, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(answer))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// events reads a log group.
func (s *running) events(t *testing.T, group string) []string {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"logGroupName": group})
	answer, err := s.aws.Do(context.Background(), "logs", http.MethodPost, "/", map[string]string{
		"X-Amz-Target": "Logs_20140328.FilterLogEvents", "Content-Type": "application/x-amz-json-1.1",
	}, body)
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Events []struct{ Message string } }
	if err := json.Unmarshal(answer, &out); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for _, event := range out.Events {
		messages = append(messages, event.Message)
	}
	return messages
}

func (s *running) recordsCalls(t *testing.T) {
	bucket := s.StackOutputs["logBucketName"]
	hour := `AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/\d{4}/\d{2}/\d{2}/\d{2}/`
	record := regexp.MustCompile(`^bedrock/` + hour + `\d{8}T\d{9}Z_[0-9a-f]{16}\.json\.gz$`)
	large := regexp.MustCompile(`^bedrock(-large-data)?/` + hour + `data/[0-9a-f-]{36}_(input|output)\.json\.gz$`)
	var ids, largeKeys, checks []string
	for _, key := range s.objects(t, bucket) {
		switch {
		case strings.HasSuffix(key, "/AWSLogs/123456789012/BedrockModelInvocationLogs/amazon-bedrock-logs-permission-check"):
			checks = append(checks, key)
		case large.MatchString(key):
			largeKeys = append(largeKeys, key)
			if !bytes.Contains(s.gunzip(t, bucket, key), []byte(canary)) {
				t.Errorf("%s does not hold the large body", key)
			}
		case record.MatchString(key):
			var r bedrock.Record
			if err := json.Unmarshal(s.gunzip(t, bucket, key), &r); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, r.RequestMetadata["apiExtendedRequestId"])
			if !strings.Contains(r.Identity.ARN, "assumed-role/bedrock-app-local-function") || r.Operation != "Converse" || r.Input.TokenCount == 0 {
				t.Errorf("record %+v", r)
			}
			if r.RequestMetadata["sourceVpce"] != s.StackOutputs["executeApiEndpointId"] || r.RequestMetadata["sourceIp"] != "127.0.0.1" {
				t.Errorf("metadata %v", r.RequestMetadata)
			}
			if inline := bytes.Contains(r.Input.BodyJSON, []byte(canary)); inline == (r.Input.BodyS3Path != "") {
				t.Errorf("record %s holds its input both in itself and apart, or nowhere", r.RequestID)
			}
		default:
			t.Errorf("a key that AWS would not write: %s", key)
		}
	}
	slices.Sort(ids)
	want := slices.Sorted(slices.Values(s.answered))
	if !slices.Equal(ids, want) {
		t.Errorf("in S3: calls %v, want exactly those answered, %v", ids, want)
	}
	if len(largeKeys) != 4 { // input and output, for each destination
		t.Errorf("large bodies: %v, want 4", largeKeys)
	}
	if len(checks) != 2 {
		t.Errorf("permission checks: %v, want one in each prefix", checks)
	}

	ids = nil
	for _, line := range s.events(t, s.StackOutputs["logGroupName"]) {
		if line == "Permissions are correctly set for Amazon Bedrock logs." {
			continue
		}
		var r bedrock.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.RequestMetadata["apiExtendedRequestId"])
	}
	slices.Sort(ids)
	if !slices.Equal(ids, want) {
		t.Errorf("in CloudWatch Logs: calls %v, want exactly those answered, %v", ids, want)
	}
}

func (s *running) keepsPromptsToItself(t *testing.T) {
	for _, group := range []string{"/aws/lambda/bedrock-app-local-function", s.StackOutputs["accessLogGroupName"]} {
		lines := s.events(t, group)
		for end := time.Now().Add(30 * time.Second); len(lines) < len(s.answered); lines = s.events(t, group) { // it is written beside the answer
			if time.Now().After(end) {
				t.Fatalf("%s has %d lines, want one for each call", group, len(lines))
			}
		}
		for _, line := range lines {
			for _, leak := range []string{"canary", url.PathEscape("カナリア"), "カナリア", "You said"} {
				if strings.Contains(line, leak) {
					t.Errorf("%s holds a prompt: %s", group, line)
				}
			}
		}
	}
	state, err := exec.Command("grep", "-rl", "canary", filepath.Join(s.root, ".local", "state")).Output()
	if len(state) > 0 {
		t.Errorf("Pulumi's state holds a prompt: %s %v", state, err)
	}
}

func (s *running) set(t *testing.T, stack, name, value string) {
	t.Helper()
	s.pulumi(t, stack, "config", "set", name, value)
}

func (s *running) updatesInPlace(t *testing.T) {
	s.set(t, "local", "logRetentionDays", "30")
	s.set(t, "local", "throttlingRateLimit", "5")
	s.set(t, "local", "reservedConcurrency", "200")
	up := s.pulumi(t, "local", "up", "--yes", "--skip-preview")
	if !strings.Contains(up, "updated") || strings.Contains(up, "replaced") || strings.Contains(up, "created") || strings.Contains(up, "deleted") {
		t.Errorf("want updates only:\n%s", up)
	}
	s.pulumi(t, "local", "preview", "--expect-no-changes")
}

// longestName previews a stack with every kind of resource, whose name is as long as the settings accept: the provider checks
// all names.
func (s *running) longestName(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(s.root, ".local", "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, _, _ := strings.Cut(string(content), "encryptionsalt")
	for name, value := range map[string]string{
		"environment": "x", "adoptInvocationLogging": "true", "ssmClient": "true", "maskPersonalData": "true", "guardrailBlockedWords": "[xyzzy]",
		"alarmEmail": "oncall@example.com", "auditorArns": `["` + auditorUser + `"]`,
	} {
		config = regexp.MustCompile(`(?m)^  private-bedrock:`+name+`:.*\n(    - .*\n)*`).ReplaceAllString(config, "")
		config += "  private-bedrock:" + name + ": " + value + "\n"
	}
	if err := os.WriteFile(filepath.Join(s.root, ".local", "Pulumi.long.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "init", "long")
	const system = "bedrock-app-"
	s.set(t, "long", "environment", strings.Repeat("e", 64))
	found := regexp.MustCompile(`want at most (\d+)`).FindStringSubmatch(s.pulumiFails(t, "long", "preview"))
	if found == nil {
		t.Fatal("a name of 76 characters is not refused in the program's own words")
	}
	most, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	s.set(t, "long", "environment", strings.Repeat("e", most-len(system)+1))
	if out := s.pulumiFails(t, "long", "preview"); !strings.Contains(out, "want at most "+found[1]) || strings.Contains(out, "random chars") {
		t.Errorf("a name that is one too long is not refused in the program's own words:\n%s", out)
	}
	s.set(t, "long", "environment", strings.Repeat("e", most-len(system)))
	s.pulumi(t, "long", "preview")
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "rm", "long", "--yes")
}

// redeploys moves the VPC, and with it the endpoint that the API's policy names, and admits another VPC's. API Gateway
// would go on with the old policy until the next deployment.
func (s *running) redeploys(t *testing.T) {
	api, old := s.StackOutputs["apiId"], s.StackOutputs["executeApiEndpointId"]
	const consumer = consumerEndpoint
	s.set(t, "local", "vpcCidr", "10.1.0.0/16")
	s.pulumi(t, "local", "config", "set", "--path", "consumerVpcEndpointIds[0]", consumer)
	s.pulumi(t, "local", "config", "set", "--path", "auditorArns[0]", auditorUser)
	s.pulumi(t, "local", "up", "--yes", "--skip-preview")
	s.StackOutputs = map[string]string{}
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", "local")), &s.StackOutputs); err != nil {
		t.Fatal(err)
	}
	endpoint := s.StackOutputs["executeApiEndpointId"]
	if s.StackOutputs["apiId"] != api || endpoint == old {
		t.Fatalf("want the same API, %s, behind another endpoint than %s: %v", api, old, s.StackOutputs)
	}
	for host, want := range map[string]int{
		api + "-" + endpoint + ".execute-api.localhost": 200, api + "-" + old + ".execute-api.localhost": 403,
		api + "-" + consumer + ".execute-api.localhost": 200, api + "-vpce-0000000000000beef.execute-api.localhost": 403,
	} {
		if status, _, body := s.call(t, http.MethodPost, "/generate/Hello", host, "", ""); status != want {
			t.Errorf("%s: status %d, want %d: %s", host, status, want, body)
		}
	}
}

const loggingPath = "/logging/modelinvocations"

func (s *running) loggingBucket(t *testing.T) string {
	t.Helper()
	var out struct{ LoggingConfig *invocationlog.Config }
	if err := s.aws.Get(context.Background(), "bedrock", loggingPath, &out); err != nil {
		t.Fatal(err)
	}
	if out.LoggingConfig == nil || out.LoggingConfig.S3Config == nil {
		return ""
	}
	return out.LoggingConfig.S3Config.BucketName
}

// broughtVpc is what the owner of an existing VPC would bring: two subnets, and an execute-api endpoint that lets through
// calls of another API. DNS host names are off, as in every new VPC.
type broughtVpc struct{ vpc, group, endpoint string }

func (s *running) ec2(t *testing.T, action string, parameters map[string]string, out any) {
	t.Helper()
	if err := s.aws.Query(context.Background(), "ec2", "2016-11-15", action, parameters, out); err != nil {
		t.Fatal(err)
	}
}

func (s *running) bringVpc(t *testing.T) (b broughtVpc, subnets [2]string) {
	t.Helper()
	var made struct {
		Vpc    string `xml:"vpc>vpcId"`
		Subnet string `xml:"subnet>subnetId"`
		Group  string `xml:"groupId"`
		Vpce   string `xml:"vpcEndpoint>vpcEndpointId"`
	}
	s.ec2(t, "CreateVpc", map[string]string{"CidrBlock": "172.20.0.0/16"}, &made)
	b.vpc = made.Vpc
	for i, zone := range []string{"a", "c"} {
		s.ec2(t, "CreateSubnet", map[string]string{"VpcId": b.vpc, "CidrBlock": fmt.Sprintf("172.20.%d.0/24", i), "AvailabilityZone": s.Region + zone}, &made)
		subnets[i] = made.Subnet
	}
	s.ec2(t, "CreateSecurityGroup", map[string]string{"VpcId": b.vpc, "GroupName": "endpoints", "GroupDescription": "endpoints"}, &made)
	b.group = made.Group
	var ignored struct{} // docs/deployer.md: only so does the deployer open it to the stack's clients
	s.ec2(t, "CreateTags", map[string]string{"ResourceId.1": b.group, "Tag.1.Key": "System", "Tag.1.Value": "bedrock-app"}, &ignored)
	s.ec2(t, "CreateVpcEndpoint", map[string]string{
		"VpcId": b.vpc, "ServiceName": "com.amazonaws." + s.Region + ".execute-api", "VpcEndpointType": "Interface", "PrivateDnsEnabled": "true",
		"SubnetId.1": subnets[0], "SubnetId.2": subnets[1], "SecurityGroupId.1": b.group,
		"PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Sid":"Owner","Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:` + s.Region + ":" + account + `:zzzzzzzzzz/*"}]}`,
	}, &made)
	b.endpoint = made.Vpce
	return b, subnets
}

// user makes a user with an access key.
func (s *running) user(t *testing.T, name, policy string) aws.Credentials {
	t.Helper()
	ctx := context.Background()
	var key struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	var ignored struct{}
	if err := errors.Join(
		iam.Query(ctx, s.aws, "CreateUser", map[string]string{"UserName": name}, &ignored),
		iam.Query(ctx, s.aws, "CreateAccessKey", map[string]string{"UserName": name}, &key),
	); err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		if err := iam.Query(ctx, s.aws, "PutUserPolicy", map[string]string{"UserName": name, "PolicyName": "own", "PolicyDocument": policy}, &ignored); err != nil {
			t.Fatal(err)
		}
	}
	return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
}

// signed calls an API through an endpoint as whom the credentials stand for, with the SDK's own signer.
func (s *running) signed(t *testing.T, who aws.Credentials, host, path, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.InvokeURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), who, r, hex.EncodeToString(sum[:]), "execute-api", s.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
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

// secondStack is in a VPC that was there already, with callers who sign, a guardrail and every form of model.
func (s *running) secondStack(t *testing.T) {
	ctx := context.Background()
	first := s.loggingBucket(t)
	content, err := os.ReadFile(filepath.Join(s.root, ".local", "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	brought, subnets := s.bringVpc(t)
	var profile struct{ InferenceProfileArn string }
	answer, err := s.aws.Do(ctx, "bedrock", http.MethodPost, "/inference-profiles", map[string]string{"Content-Type": "application/json"},
		[]byte(`{"inferenceProfileName":"team","modelSource":{"copyFrom":"arn:aws:bedrock:`+s.Region+`::foundation-model/amazon.nova-pro-v1:0"}}`))
	if err == nil {
		err = json.Unmarshal(answer, &profile)
	}
	if err != nil {
		t.Fatal(err)
	}
	models := []string{
		"amazon.nova-micro-v1:0", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "apac.amazon.nova-lite-v1:0", "global.anthropic.claude-sonnet-5",
		profile.InferenceProfileArn,
	}
	provisioned := "arn:aws:bedrock:" + s.Region + ":" + account + ":provisioned-model/a1b2c3d4e5f6"
	config, _, _ := strings.Cut(string(content), "encryptionsalt")
	for _, name := range []string{"vpcCidr", "consumerVpcEndpointIds", "ssmClient", "auditorArns"} { // the first stack's own
		config = regexp.MustCompile(`(?m)^  private-bedrock:`+name+`:.*\n(    - .*\n)*`).ReplaceAllString(config, "")
	}
	config += fmt.Sprintf(`  private-bedrock:manageInvocationLogging: false
  private-bedrock:manageApiGatewayAccount: false
  private-bedrock:vpcId: %s
  private-bedrock:subnetIds: [%s, %s]
  private-bedrock:executeApiEndpointId: %s
  private-bedrock:authorization: AWS_IAM
  private-bedrock:responseStreaming: false
  private-bedrock:callerArns: [%q, %q]
  private-bedrock:allowGlobalInference: true
  private-bedrock:modelIds: ["%s"]
  private-bedrock:alarmEmail: oncall@example.com
  private-bedrock:guardrailBlockedWords: [xyzzy]
  private-bedrock:guardrailContentFilters: [HATE, PROMPT_ATTACK]
  private-bedrock:enforcedGuardrailArns: [%q]
  private-bedrock:serviceTiers: [default, flex]
`, brought.vpc, subnets[0], subnets[1], brought.endpoint, appUser, partnerRole, strings.Join(append(slices.Clone(models), provisioned), `", "`), enforcedGuardrail(s.Region)+":1")
	if err := os.WriteFile(filepath.Join(s.root, ".local", "Pulumi.second.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	app, other := s.user(t, "app", ""), s.user(t, "other", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}]}`)
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "init", "second")

	if out := s.pulumiFails(t, "second", "preview"); !strings.Contains(out, "enableDnsHostnames false") {
		t.Errorf("a preview in a VPC without DNS host names:\n%s", out)
	}
	var ignored struct{}
	s.ec2(t, "ModifyVpcAttribute", map[string]string{"VpcId": brought.vpc, "EnableDnsHostnames.Value": "true"}, &ignored)
	s.leavesForeignLogging(t, first)
	const warning = "does not allow execute-api:Invoke on"
	if up := s.pulumi(t, "second", "up", "--yes", "--skip-preview"); !strings.Contains(up, warning) {
		t.Errorf("no warning that the brought endpoint's policy lets no call through:\n%s", up)
	}
	var outputs map[string]string
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", "second")), &outputs); err != nil {
		t.Fatal(err)
	}
	if outputs["vpcId"] != brought.vpc || outputs["executeApiEndpointId"] != brought.endpoint {
		t.Errorf("want the VPC and the endpoint that were brought, %+v: %v", brought, outputs)
	}

	before := len(s.objects(t, first))
	host := outputs["apiId"] + "-" + brought.endpoint + ".execute-api.localhost"
	ask := `{"prompt":"Hello","system":"Be brief."}`
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 403 || !strings.Contains(body, "no VPC endpoint policy allows") {
		t.Errorf("before the endpoint's owner lets calls through: status %d: %s", status, body)
	}
	s.ec2(t, "ModifyVpcEndpoint", map[string]string{"VpcEndpointId": brought.endpoint, "PolicyDocument": outputs["executeApiEndpointPolicy"]}, &ignored)
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 200 || !strings.Contains(body, "You said: Hello") {
		t.Errorf("a named caller: status %d: %s", status, body)
	}
	if after := len(s.objects(t, first)); after != before+1 {
		t.Errorf("the first stack's bucket has %d objects, want the second's call as one more than %d", after, before)
	}
	forged := app
	forged.SecretAccessKey = "wrong"
	crossed := outputs["apiId"] + "-" + s.StackOutputs["executeApiEndpointId"] + ".execute-api.localhost" // one stack's endpoint is nobody's key to the other's API
	for name, c := range map[string]struct {
		who        aws.Credentials
		host, want string
	}{
		"another user of the account":            {other, host, "explicit deny"},
		"a wrong secret":                         {forged, host, "signature we calculated does not match"},
		"a key that nobody was given":            {aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"}, host, "security token"},
		"a named caller at the first's endpoint": {app, crossed, "no VPC endpoint policy allows"},
	} {
		if status, _, body := s.signed(t, c.who, c.host, "/generate", ask); status != 403 || !strings.Contains(body, c.want) {
			t.Errorf("%s: status %d, want 403 and %q: %s", name, status, c.want, body)
		}
	}
	if status, _, body := s.call(t, http.MethodPost, "/generate", host, "application/json", ask); status != 403 || !strings.Contains(body, "Missing Authentication Token") {
		t.Errorf("unsigned: status %d: %s", status, body)
	}
	for _, model := range models {
		question, _ := json.Marshal(map[string]string{"prompt": "Hello", "model": model})
		if status, _, body := s.signed(t, app, host, "/generate", string(question)); status != 200 {
			t.Errorf("%s: status %d: %s", model, status, body)
		}
	}
	for _, blocked := range []string{`{"prompt":"say xyzzy"}`, `{"prompt":"Hello","system":"say xyzzy"}`} {
		if status, _, body := s.signed(t, app, host, "/generate", blocked); status != 200 || !strings.Contains(body, "guardrail_intervened") || strings.Contains(body, "You said") {
			t.Errorf("the guardrail lets %s through: status %d: %s", blocked, status, body)
		}
	}
	s.readmeSigned(t, app, host)
	s.sdksSign(t, app, outputs)
	s.recordsWhoSigned(t, outputs)
	t.Run("tools' definitions, inputs and results are evaluated", func(t *testing.T) { s.guardsTools(t, app, outputs) })
	t.Run("every rule is proved on the deployed policies", func(t *testing.T) { s.proves(t, outputs) })

	if preview := s.pulumi(t, "second", "preview", "--refresh", "--expect-no-changes"); strings.Contains(preview, warning) {
		t.Errorf("a warning although the endpoint's owner lets calls through:\n%s", preview)
	}
	s.pulumi(t, "second", "config", "set", "--path", "guardrailBlockedWords[0]", "plugh")
	s.pulumi(t, "second", "config", "rm", "callerArns") // and now whom IAM lets
	enforced := s.enforceGuardrail(t)
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 403 {
		t.Errorf("with an enforced guardrail that the stack does not name: status %d, want 403: %s", status, body)
	}
	s.pulumi(t, "second", "config", "set", "--path", "enforcedGuardrailArns[0]", enforced.arn+":1")
	s.pulumi(t, "second", "up", "--yes", "--skip-preview")
	app, other = other, app
	enforced.answersOnlyWhereNamed(t, func(prompt string) (int, string) {
		status, _, body := s.signed(t, app, host, "/generate", `{"prompt":"`+prompt+`"}`)
		return status, body
	})
	if status, _, body := s.signed(t, other, host, "/generate", ask); status != 403 || !strings.Contains(body, "no identity-based policy allows") {
		t.Errorf("a user whom no policy lets: status %d: %s", status, body)
	}
	t.Run("without named callers, IAM's policies decide", func(t *testing.T) { s.provesIam(t, outputs) })
	for word, want := range map[string]bool{"plugh": true, "xyzzy": false} {
		if _, _, body := s.signed(t, app, host, "/generate", `{"prompt":"say `+word+`"}`); strings.Contains(body, "guardrail_intervened") != want {
			t.Errorf("after a change of the guardrail's words, %s: %s", word, body)
		}
	}
	s.pulumi(t, "second", "destroy", "--yes", "--skip-preview") // nothing to look at before: it never managed the logging
	if now := s.loggingBucket(t); now != first {
		t.Errorf("logging goes to %q, want %q as before the second stack", now, first)
	}
	s.keepsBroughtVpc(t, brought, outputs["executeApiEndpointPolicy"])
}

// leavesForeignLogging: a stack that would take the account's logging over says whose it is, at preview, and asks.
func (s *running) leavesForeignLogging(t *testing.T, bucket string) {
	t.Helper()
	s.set(t, "second", "manageInvocationLogging", "true")
	if out := s.pulumiFails(t, "second", "preview"); !strings.Contains(out, "is somebody else's") || !strings.Contains(out, bucket) || !strings.Contains(out, "adoptInvocationLogging: true") {
		t.Errorf("the preview does not name %s, whose logging it is:\n%s", bucket, out)
	}
	s.set(t, "second", "adoptInvocationLogging", "true")
	s.pulumi(t, "second", "preview")
	s.set(t, "second", "adoptInvocationLogging", "false")
	s.set(t, "second", "manageInvocationLogging", "false")
}

// keepsForeignLogging: destroy switches nothing off that has become somebody else's; here, it goes to a log group alone.
func (s *running) keepsForeignLogging(t *testing.T) {
	t.Helper()
	own, err := s.aws.Do(t.Context(), "bedrock", http.MethodGet, loggingPath, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var foreign map[string]map[string]any
	if err := json.Unmarshal(own, &foreign); err != nil {
		t.Fatal(err)
	}
	delete(foreign["loggingConfig"], "s3Config")
	theirs, _ := json.Marshal(foreign)
	put := func(config []byte) {
		t.Helper()
		if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPut, loggingPath, map[string]string{"Content-Type": "application/json"}, config); err != nil {
			t.Fatal(err)
		}
	}
	put(theirs)
	if out := s.pulumiFails(t, "local", "destroy", "--yes", "--skip-preview", "--run-program"); !strings.Contains(out, "is somebody else's") {
		t.Errorf("destroy does not say whose logging it is:\n%s", out)
	}
	var now struct{ LoggingConfig *invocationlog.Config }
	if err := s.aws.Get(t.Context(), "bedrock", loggingPath, &now); err != nil || now.LoggingConfig == nil || now.LoggingConfig.CloudWatchConfig == nil {
		t.Errorf("destroy switched somebody else's logging off: %+v, %v", now.LoggingConfig, err)
	}
	put(own)
}

// readmeSigned runs the documented signed call, by curl's own signing.
func (s *running) readmeSigned(t *testing.T, who aws.Credentials, host string) {
	t.Helper()
	content, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile("(?s)\ncurl --aws-sigv4 .*?/generate\n").FindString(string(content))
	port := s.InvokeURL[strings.LastIndex(s.InvokeURL, ":"):] // :PORT/api
	call = strings.NewReplacer("<region>", s.Region, "<invokeUrl>", "http://"+host+port).Replace(call)
	out := command(t, s.root, []string{"AWS_ACCESS_KEY_ID=" + who.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + who.SecretAccessKey, "AWS_SESSION_TOKEN="}, "bash", "-euc", call)
	if !strings.Contains(out, "You said: Hello") {
		t.Errorf("the documented signed call: %s\n%s", call, out)
	}
}

// recordsWhoSigned: the log names the caller, the model as AWS does, and the guardrail.
func (s *running) recordsWhoSigned(t *testing.T, outputs map[string]string) {
	t.Helper()
	regions, callers := map[string]bool{}, 0
	for _, line := range s.events(t, s.StackOutputs["logGroupName"]) {
		var r bedrock.Record
		if json.Unmarshal([]byte(line), &r) != nil || !strings.Contains(r.Identity.ARN, "bedrock-app-second-function") {
			continue
		}
		callers++
		if strings.Contains(string(r.Input.BodyJSON), "mine") {
			t.Errorf("a caller's own guardrail: %s", r.Input.BodyJSON)
		}
		regions[r.InferenceRegion] = true
		if r.RequestMetadata["caller"] != appUser || r.RequestMetadata["sourceVpce"] != outputs["executeApiEndpointId"] {
			t.Errorf("metadata %v, want caller %s", r.RequestMetadata, appUser)
		}
		if !bytes.Contains(r.Input.BodyJSON, []byte(`"guardrailIdentifier":"`+outputs["guardrailId"]+`"`)) {
			t.Errorf("a call without the guardrail: %s", r.Input.BodyJSON)
		}
	}
	if callers != 12 || !regions[s.Region] {
		t.Errorf("%d records of the second stack's calls, in %v; want 12", callers, regions)
	}
	log := strings.Join(s.events(t, outputs["accessLogGroupName"]), "\n")
	if !strings.Contains(log, appUser) {
		t.Errorf("the access log does not name %s:\n%s", appUser, log)
	}
}

// keepsBroughtVpc: what its owner brought is there after destroy as it was before; then its owner takes it away.
func (s *running) keepsBroughtVpc(t *testing.T, b broughtVpc, policy string) {
	t.Helper()
	endpoints, err := ec2.VPCEndpoints(context.Background(), s.aws)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range endpoints {
		if e.VpcID == b.vpc {
			left = append(left, e.ID)
			if e.Policy != policy {
				t.Errorf("the brought endpoint's policy was changed: %s", e.Policy)
			}
		}
	}
	if !slices.Equal(left, []string{b.endpoint}) {
		t.Errorf("the brought VPC has endpoints %v, want %s alone", left, b.endpoint)
	}
	var groups struct {
		Items []struct {
			ID    string   `xml:"groupId"`
			Rules []string `xml:"ipPermissions>item>ipProtocol"`
		} `xml:"securityGroupInfo>item"`
	}
	s.ec2(t, "DescribeSecurityGroups", map[string]string{"GroupId.1": b.group}, &groups)
	if len(groups.Items) != 1 || len(groups.Items[0].Rules) != 0 {
		t.Errorf("the brought group is left as %+v, want no rule", groups.Items)
	}
	var ignored struct{}
	s.ec2(t, "DeleteVpcEndpoints", map[string]string{"VpcEndpointId.1": b.endpoint}, &ignored)
	s.ec2(t, "DeleteTags", map[string]string{"ResourceId.1": b.group, "Tag.1.Key": "System"}, &ignored)
}

func (s *running) destroys(t *testing.T) {
	gone := s.monitoringIsGone(t)
	s.keepsForeignLogging(t)
	s.pulumi(t, "local", "destroy", "--yes", "--skip-preview", "--run-program")
	gone()
	ctx := context.Background()
	if bucket := s.loggingBucket(t); bucket != "" {
		t.Errorf("logging still goes to %s", bucket)
	}
	for _, c := range []struct{ service, version, action string }{
		{"ec2", "2016-11-15", "DescribeVpcs"}, {"ec2", "2016-11-15", "DescribeSubnets"},
		{"ec2", "2016-11-15", "DescribeSecurityGroups"},
		{"ec2", "2016-11-15", "DescribeFlowLogs"}, {"ec2", "2016-11-15", "DescribeRouteTables"},
		{"iam", iam.Version, "ListRoles"},
		{"iam", iam.Version, "ListInstanceProfiles"},
	} {
		answer, err := s.aws.Do(ctx, c.service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			[]byte("Action="+c.action+"&Version="+c.version))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer, []byte("bedrock-app")) {
			t.Errorf("%s still lists the stack's:\n%s", c.action, answer)
		}
	}
	endpoints, err := ec2.VPCEndpoints(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		t.Errorf("endpoint %s is still there", e.ID)
	}
	for service, path := range map[string]string{"s3": "/", "lambda": "/2015-03-31/functions/", "apigateway": "/restapis", "logs": "", "glue": "", "athena": ""} {
		var answer []byte
		if target := map[string]string{"logs": "Logs_20140328.DescribeLogGroups", "glue": "AWSGlue.GetDatabases", "athena": "AmazonAthena.ListWorkGroups"}[service]; target != "" {
			answer, err = s.aws.Do(ctx, service, http.MethodPost, "/", map[string]string{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, []byte("{}"))
		} else {
			answer, err = s.aws.Do(ctx, service, http.MethodGet, path, nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer, []byte("bedrock-app")) || bytes.Contains(answer, []byte("bedrock-logging")) || bytes.Contains(answer, []byte("bedrock-audit")) || bytes.Contains(answer, []byte("bedrock_audit")) {
			t.Errorf("%s still lists the stack's: %s", service, answer)
		}
	}
	var key struct {
		KeyMetadata struct{ KeyState string }
	}
	if err := s.aws.Target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": s.StackOutputs["logKeyId"]}, &key); err != nil || key.KeyMetadata.KeyState != "PendingDeletion" {
		t.Errorf("the log's key is %s, %v", key.KeyMetadata.KeyState, err)
	}
	var account struct{ CloudwatchRoleArn string }
	if err := s.aws.Get(ctx, "apigateway", "/account", &account); err != nil || account.CloudwatchRoleArn != "" {
		t.Errorf("API Gateway's account still names role %q, %v", account.CloudwatchRoleArn, err)
	}
	for _, instance := range s.instances(t) {
		t.Errorf("instance %s", instance)
	}
}

// instances lists those that are not terminated.
func (s *running) instances(t *testing.T) (ids []string) {
	t.Helper()
	var out struct {
		Instances []struct {
			ID    string `xml:"instanceId"`
			State string `xml:"instanceState>name"`
		} `xml:"reservationSet>item>instancesSet>item"`
	}
	if err := s.aws.Query(context.Background(), "ec2", "2016-11-15", "DescribeInstances", nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, i := range out.Instances {
		if i.State != "terminated" {
			ids = append(ids, fmt.Sprint(i.ID, " ", i.State))
		}
	}
	return ids
}

// sections are the README's with commands in them, and where they are run; README.ja.md has the same (docs_test.go).
var sections = map[string]string{
	"Try it on one machine, without an AWS account": "local", "Call it": "local", "Look at the audit": "local",
	"Deploy it on AWS": "aws", "Take it down": "aws",
	"More": "CI",
}

// readme has the README's commands that are run in one place, in order, as one script; and its blocks in other languages.
func readme(t *testing.T, place string) (script string, programs map[string]string) {
	t.Helper()
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	programs = map[string]string{}
	for _, section := range strings.Split(string(content), "\n## ")[1:] {
		heading, text, _ := strings.Cut(section, "\n")
		for _, block := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
			if sections[heading] == "" {
				t.Errorf("no test runs the README's commands under %q", heading)
			}
			if sections[heading] != place {
				continue
			}
			if block[1] != "sh" {
				programs[block[1]] = block[2]
				continue
			}
			for line := range strings.Lines(block[2]) {
				if target, ok := strings.CutPrefix(line, "make "); ok { // CI runs them
					command(t, "../..", nil, "make", "-n", strings.TrimSpace(target))
				} else {
					script += line
				}
			}
		}
	}
	return script, programs
}

func (s *running) readmeLocal(t *testing.T) {
	readme(t, "CI")
	script, programs := readme(t, "local")
	here := strings.NewReplacer("http://127.0.0.1:8480/api", s.InvokeURL)
	sandbox, err := os.ReadFile("../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	_, look, _ := strings.Cut(string(sandbox), "```sh\n")
	look, _, _ = strings.Cut(look, "```")
	out := command(t, s.root, nil, "bash", "-euc", here.Replace(script+look))
	for _, want := range []string{"You said: Hello", `"stopReason":"end_turn"`, ".json.gz", "ModelInvocationLog", "nothing is missing"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output has no %s:\n%s", want, out)
		}
	}

	programs["go"] = `package main

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

func main() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	` + programs["go"] + `
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Output.(*types.ConverseOutputMemberMessage).Value.Content[0].(*types.ContentBlockMemberText).Value)
}
`
	bedrock := append(slices.Clone(s.env), "AWS_ENDPOINT_URL_BEDROCK_RUNTIME="+s.InvokeURL)
	for _, language := range []struct {
		name, file string
		run, env   []string
	}{
		{"python", "hello.py", []string{"python3"}, append(slices.Clone(bedrock), "AWS_BEARER_TOKEN_BEDROCK=none")},
		{"go", "hello.go", []string{"go", "run"}, bedrock},
		{"typescript", "hello.mjs", []string{"node"}, nil}, // it has no types to take away
	} {
		file := filepath.Join(s.root, ".local", language.file)
		if err := os.WriteFile(file, []byte(here.Replace(programs[language.name])), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := command(t, s.root, language.env, language.run[0], append(language.run[1:], file)...); !strings.Contains(out, "You said: Hello") {
			t.Errorf("the README's %s: %s", language.name, out)
		}
	}
}

// readmeAWS deploys stack dev, whose settings keep the log, as its user would on AWS; here with a lock on every record.
func (s *running) readmeAWS(t *testing.T) {
	file := filepath.Join(s.root, "Pulumi.dev.yaml")
	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	emulated := "  aws:s3UsePathStyle: true\n  aws:skipCredentialsValidation: true\n  private-bedrock:objectLockMode: GOVERNANCE\n  private-bedrock:objectLockDays: 1\n" +
		"  private-bedrock:functionArchitecture: " + map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH] + "\n"
	if err := os.WriteFile(file, append(config, emulated...), 0o644); err != nil {
		t.Fatal(err)
	}
	// A person answers pulumi's question, and has the rights of docs/deployer.md. There is no instance in the sandbox that a
	// session could lead to: the AWS CLI checks the call's parameters, and the session's command is run here, by the private
	// API's own name.
	door, _, _ := strings.Cut(strings.TrimPrefix(s.InvokeURL, "http://"), "/")
	person := `pulumi() {
	local front=` + s.fronts["deploy"] + `
	case $1 in
	preview) front=` + s.fronts["preview"] + ` ;;
	up | destroy) set -- "$@" --yes --skip-preview --non-interactive ;;
	esac
	AWS_ENDPOINT_URL=$front command pulumi "$@"
}
aws() {
	if [[ $2 != start-session ]]; then command aws "$@"; return; fi
	command aws "$@" --generate-cli-skeleton output
	local call=${*: -1}
	call=${call#command=}
	http_proxy=http://` + door + ` ${call/https:/http:}
}
`
	script, _ := readme(t, "aws")
	out := command(t, s.root, s.env, "bash", "-euc", person+script)
	for _, want := range []string{`"status": "AVAILABLE"`, "clientInstanceId", "clientSecurityGroupId", "invokeUrl", "You said: Hello", "nothing is missing"} {
		if !strings.Contains(out, want) {
			t.Errorf("the output has no %s:\n%s", want, out)
		}
	}
	content, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := regexp.MustCompile(`\+ (\d+) to create`).FindStringSubmatch(out)
	if listed == nil {
		t.Fatalf("the preview lists nothing:\n%s", out)
	}
	n, _ := strconv.Atoi(listed[1])
	if want := fmt.Sprintf("<!-- resources -->%d<!-- /resources -->", n-1); !bytes.Contains(content, []byte(want)) { // without the lock
		t.Errorf("the preview lists %d resources, the README has no %s", n, want)
	}
	bucket := s.loggingBucket(t)
	if !strings.HasPrefix(bucket, "bedrock-logging-") {
		t.Fatalf("after destroy, logging goes to %q, want the stack's bucket as before", bucket)
	}
	if len(s.objects(t, bucket)) == 0 {
		t.Error("the kept bucket is empty")
	}
	s.keepsLockedRecords(t, bucket)
	policy, err := s.aws.Do(context.Background(), "s3", http.MethodGet, "/"+bucket+"?policy", nil, nil)
	if err != nil || !bytes.Contains(policy, []byte("OnlyOverTLS")) {
		t.Errorf("the kept bucket has lost its policy: %s, %v", policy, err)
	}
	encryptedWith, err := s3.BucketKey(context.Background(), s.aws, bucket)
	if err != nil {
		t.Fatal(err)
	}
	var key struct {
		KeyMetadata struct{ Enabled bool }
	}
	if err := s.aws.Target(context.Background(), "kms", "TrentService.DescribeKey", map[string]string{"KeyId": encryptedWith}, &key); err != nil || !key.KeyMetadata.Enabled {
		t.Errorf("the kept records' key is of no use: %+v, %v", key, err)
	}
	if endpoints, err := ec2.VPCEndpoints(context.Background(), s.aws); err != nil || len(endpoints) > 0 {
		t.Errorf("endpoints go on costing money: %v, %v", endpoints, err)
	}
}

// keepsLockedRecords: what Bedrock wrote is locked, cannot be deleted, and moves to the archive.
func (s *running) keepsLockedRecords(t *testing.T, bucket string) {
	t.Helper()
	for part, want := range map[string]string{"object-lock": "<Mode>GOVERNANCE</Mode>", "lifecycle": "<StorageClass>DEEP_ARCHIVE</StorageClass>"} {
		if answer, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?"+part, nil, nil); err != nil || !bytes.Contains(answer, []byte(want)) {
			t.Errorf("%s: want %s: %s, %v", part, want, answer, err)
		}
	}
	answer, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?versions", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Versions []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		} `xml:"Version"`
	}
	if err := xml.Unmarshal(answer, &list); err != nil || len(list.Versions) == 0 {
		t.Fatalf("%s, %v", answer, err)
	}
	for _, one := range list.Versions {
		if _, err := s.aws.Do(t.Context(), "s3", http.MethodDelete, "/"+bucket+"/"+one.Key+"?versionId="+one.VersionID, nil, nil); err == nil || !strings.Contains(err.Error(), "AccessDenied") {
			t.Errorf("%s can be deleted: %v", one.Key, err)
		}
	}
}
