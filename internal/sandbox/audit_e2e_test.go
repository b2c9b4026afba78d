//go:build e2e

package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
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
