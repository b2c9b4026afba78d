//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
)

// sections are the README's with commands in them, and where they are run; README.ja.md has the same (internal/repocheck).
var sections = map[string]string{
	"Try it on one machine, without an AWS account": "local", "Call it": "local", "Look at the audit": "local",
	"Deploy it on AWS": "aws", "Take it down": "aws",
	"More": "CI",
}

// readme has the README's commands that are run in one place, in order, as one script; and its blocks in other languages.
func readme(t *testing.T, place string) (script string, programs map[string]string) {
	t.Helper()
	content, err := os.ReadFile("README.md")
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
					command(t, ".", nil, "make", "-n", strings.TrimSpace(target))
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
	sandbox, err := os.ReadFile("docs/sandbox.md")
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

// readmeSigned runs the documented signed call, by curl's own signing.
func (s *running) readmeSigned(t *testing.T, who aws.Credentials, host string) {
	t.Helper()
	content, err := os.ReadFile("docs/api.md")
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
	content, err := os.ReadFile("README.md")
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
