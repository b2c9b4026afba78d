//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
)

// audit builds the auditor's program, and runs it as he does: what it prints, and its exit status.
func (s *running) audit(t *testing.T) func(args ...string) (string, int) {
	program := filepath.Join(s.root, ".build", "audit")
	command(t, s.root, nil, "go", "build", "-o", program, "./cmd/audit")
	return func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = s.root, append(os.Environ(), s.env...)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
}

// audits: every call so far has its record, and a record that somebody takes away is missed by its call's name. It is put back.
func (s *running) audits(t *testing.T) {
	bucket := s.StackOutputs["logBucketName"]
	audit := s.audit(t)
	if out, status := audit("verify", "--stack", "local"); status != 0 {
		t.Fatalf("exit status %d: %s", status, out)
	}
	s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":"to be lost"}`)
	lost := s.recordsOf(t, "to be lost")
	if len(lost) != 1 {
		t.Fatalf("%d records of the call", len(lost))
	}
	var key string
	var content []byte
	for _, one := range slices.Backward(s.objects(t, bucket)) { // the newest are last
		if strings.Contains(one, "/data/") || strings.HasSuffix(one, invocationlog.PermissionCheck) || !bytes.Contains(s.gunzip(t, bucket, one), []byte("to be lost")) {
			continue
		}
		var err error
		if content, err = s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"/"+one, nil, nil); err != nil {
			t.Fatal(err)
		}
		key = one
		break
	}
	versions, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?versions&prefix="+url.QueryEscape(key), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var version struct {
		ID string `xml:"Version>VersionId"`
	}
	if err := xml.Unmarshal(versions, &version); err != nil {
		t.Fatal(err)
	}
	if _, err := s.aws.Do(t.Context(), "s3", http.MethodDelete, "/"+bucket+"/"+key+"?versionId="+url.QueryEscape(version.ID), nil, nil); err != nil {
		t.Fatal(err)
	}
	id := lost[0].RequestMetadata["apiExtendedRequestId"]
	if out, status := audit("verify", "--stack", "local"); status != 2 || strings.Count(out, id) != 1 || strings.Count(out, "\n") != 2 {
		t.Errorf("after the record of %s was taken away: exit status %d: %s", id, status, out)
	}
	if _, err := s.aws.Do(t.Context(), "s3", http.MethodPut, "/"+bucket+"/"+key, nil, content); err != nil {
		t.Fatal(err)
	}
	if out, status := audit("list", "--stack", "local", "--text", "by boto3"); status != 0 || strings.Count(out, "InvokeModelWithResponseStream") != 1 {
		t.Errorf("exit status %d: %s", status, out)
	}
	if out, status := audit("list", "--stack", "local", "--text", "in the document alone"); status != 0 || strings.Count(out, "Converse") != 1 {
		t.Errorf("a document's text is not found: exit status %d: %s", status, out)
	}
}

// showsLargeAndFailed: a record of more than 100 KB is whole again by the id that the API answered with, from the bucket and
// from the log group, whose bodies lie in the bucket; so is what a stream sent before it broke. A call that failed has no record
// here (AWS does not say whether it has one there), and the auditor does not miss it.
func (s *running) showsLargeAndFailed(t *testing.T) {
	audit := s.audit(t)
	large := "large " + strings.Repeat("0123456789", 20<<10)
	status, header, answer := s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":"`+large+`","maxTokens":100}`)
	if status != 200 || !strings.Contains(answer, large) {
		t.Fatalf("status %d: %.300s", status, answer)
	}
	id := header.Get("X-Amz-Apigw-Id")
	folder := t.TempDir()
	for _, from := range [][]string{{"--stack", "local"}, {"--stack", "local", "--log-group", s.StackOutputs["logGroupName"]}} {
		out, status := audit(append([]string{"show", id}, from...)...)
		var record bedrock.Record
		if err := json.Unmarshal([]byte(out), &record); status != 0 || err != nil {
			t.Fatalf("show %v: exit status %d, %v: %.300s", from, status, err, out)
		}
		for side, body := range map[string][2]string{
			"input": {record.Input.BodyS3Path, string(record.Input.BodyJSON)}, "output": {record.Output.BodyS3Path, string(record.Output.BodyJSON)},
		} {
			if !strings.Contains(body[0], "/data/"+record.RequestID+"_"+side+".json.gz") || !strings.Contains(body[1], large) {
				t.Errorf("show %v: %s of %d bytes from %q, want the whole one, from data/", from, side, len(body[1]), body[0])
			}
		}
	}
	if out, status := audit("export", "--stack", "local", "--text", "large 0123456789012345678901"); status != 0 || strings.Count(out, large) != 2 || strings.Count(out, "\n") != 1 {
		t.Errorf("export by the text of a large body: exit status %d, %d bytes", status, len(out))
	}

	status, header, _ = s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":"break ThrottlingException","stream":true}`)
	if status != 200 {
		t.Errorf("status %d", status)
	}
	if out, got := audit("show", header.Get("X-Amz-Apigw-Id"), "--stack", "local"); got != 0 || !strings.Contains(out, "break ThrottlingException") {
		t.Errorf("show of a stream that broke: exit status %d: %s", got, out)
	}
	status, header, _ = s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":"fault AccessDeniedException"}`)
	if out, got := audit("show", header.Get("X-Amz-Apigw-Id"), "--stack", "local"); status != 403 || got != 1 || out != "" {
		t.Errorf("show of a call that failed with %d: exit status %d: %s", status, got, out)
	}
	for _, from := range [][]string{{"--stack", "local"}, {"--stack", "local", "--log-group", s.StackOutputs["logGroupName"]}} {
		if out, got := audit(append([]string{"verify"}, from...)...); got != 0 {
			t.Errorf("verify %v: exit status %d: %s", from, got, out)
		}
	}
	page := filepath.Join(folder, "report.html")
	out, got := audit("report", "--stack", "local")
	if err := os.WriteFile(page, []byte(out), 0o600); err != nil || got != 0 || strings.Contains(out, "canary") || strings.Contains(out, "0123456789012345") || !strings.Contains(out, "<rect") {
		t.Errorf("report: exit status %d, %v, %d bytes, with a prompt in it or without bars", got, err, len(out))
	}
}

// namesWhatIsLost: Bedrock's delivery dies in the middle of many calls at once, for some before the bucket, for some between bucket
// and log group, and tells nobody. The callers have their answers; what either destination lacks is named, every call and no
// other. Whatever verifies this stack after it finds them: what is lost stays lost.
func (s *running) namesWhatIsLost(t *testing.T) {
	audit := s.audit(t)
	var mu sync.Mutex
	var wait sync.WaitGroup
	lost := map[string][]string{} // ids of calls by where their delivery dies
	for i, prompt := range []string{"die before", "die between", "not lost"} {
		for caller := range 4 {
			wait.Go(func() {
				for n := range 3 + i {
					status, header, answer := s.call(t, http.MethodPost, "/generate", "", "application/json", fmt.Sprintf(`{"prompt":"%s %d-%d"}`, prompt, caller, n))
					if status != 200 {
						t.Errorf("%s: status %d: %s", prompt, status, answer)
					}
					mu.Lock()
					lost[prompt] = append(lost[prompt], header.Get("X-Amz-Apigw-Id"))
					mu.Unlock()
				}
			})
		}
	}
	wait.Wait()
	all := slices.Concat(lost["die before"], lost["die between"], lost["not lost"])
	for from, want := range map[string][]string{
		"": lost["die before"], s.StackOutputs["logGroupName"]: slices.Concat(lost["die before"], lost["die between"]),
	} {
		args := []string{"verify", "--stack", "local"}
		where := "bucket " + s.StackOutputs["logBucketName"]
		if from != "" {
			args, where = append(args, "--log-group", from), "log group "+from
		}
		out, status := audit(args...)
		if status != 2 || strings.Count(out, "\n") != len(want)+1 || !strings.HasSuffix(out, fmt.Sprintf(": %d to look into\n", len(want))) {
			t.Errorf("%v: exit status %d: %s", args, status, out)
		}
		for _, id := range all {
			line := "call " + id + ", "
			if got, missing := strings.Count(out, line), slices.Contains(want, id); missing != (got == 1) || got > 1 {
				t.Errorf("%v: call %s, missing %v, is named %d times:\n%s", args, id, missing, got, out)
			}
		}
		if strings.Count(out, ": no record in "+where) != len(want) {
			t.Errorf("%v: want the destination's name, %s: %s", args, where, out)
		}
	}
}

// namesForgedRecords: a caller asks Bedrock past the API. The metadata claims a call that the API refused, and another caller. Only the
// record's identity is AWS's own.
func (s *running) namesForgedRecords(t *testing.T) {
	audit := s.audit(t)
	status, header, _ := s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":7}`)
	id := header.Get("X-Amz-Apigw-Id")
	if status != 400 || id == "" {
		t.Fatalf("status %d, %v", status, header)
	}
	const mark, victim, forger = "past the API", "arn:aws:iam::" + account + ":user/victim", "arn:aws:iam::" + account + ":root"
	body := `{"messages":[{"role":"user","content":[{"text":"` + mark + `"}]}],"requestMetadata":{"apiExtendedRequestId":"` + id + `","caller":"` + victim + `"}}`
	if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPost, "/model/"+localModel+"/converse", map[string]string{"Content-Type": "application/json"}, []byte(body)); err != nil {
		t.Fatal(err)
	}
	for _, from := range [][]string{{"--stack", "local"}, {"--stack", "local", "--log-group", s.StackOutputs["logGroupName"]}} {
		if out, status := audit(append([]string{"verify"}, from...)...); status != 2 || !strings.Contains(out, forger) {
			t.Errorf("verify %v: exit status %d, want 2 and a record by %s: %s", from, status, forger, out)
		}
		if out, status := audit(append([]string{"list", "--text", mark}, from...)...); status != 0 || strings.Count(out, "\n") != 1 || strings.Contains(out, "victim") {
			t.Errorf("list %v: exit status %d, want one line, without the claimed caller: %s", from, status, out)
		}
		var exported struct{ Caller string }
		out, status := audit(append([]string{"export", "--text", mark}, from...)...)
		if err := json.Unmarshal([]byte(out), &exported); err != nil || status != 0 || exported.Caller != forger {
			t.Errorf("export %v: exit status %d, %v, caller %q, want %q: %s", from, status, err, exported.Caller, forger, out)
		}
	}
}
