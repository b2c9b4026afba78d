//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
)

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

// recordsOf are those of calls whose input holds a mark.
func (s *running) recordsOf(t *testing.T, mark string) (found []bedrock.Record) {
	t.Helper()
	for _, line := range s.events(t, s.StackOutputs["logGroupName"]) {
		var r bedrock.Record
		if json.Unmarshal([]byte(line), &r) == nil && bytes.Contains(r.Input.BodyJSON, []byte(mark)) {
			found = append(found, r)
		}
	}
	return found
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
