//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
)

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

// streams: the first word of an answer is there long before the last.
func (s *running) streams(t *testing.T) {
	words := strings.Repeat("word ", 10) // with "You said: slowly", 13 pieces, 100 ms apart
	start := time.Now()
	response, err := http.Post(s.InvokeURL+"/generate", "application/json", strings.NewReader(`{"prompt":"slowly `+words+canary+`","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var first time.Duration
	var names []string
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "event: "); found {
			if names = append(names, name); first == 0 {
				first = time.Since(start)
			}
		}
	}
	last := time.Since(start)
	if n := len(names); response.Header.Get("Content-Type") != "text/event-stream" || n < 10 || names[0] != "delta" || names[n-1] != "done" || last-first < time.Second {
		t.Errorf("%s: first after %v, last after %v: %v", response.Header, first, last, names)
	}

	start, first = time.Now(), 0
	out, err := s.bedrock("execute-api").ConverseStream(t.Context(), streamed("slowly "+words+canary))
	if err != nil {
		t.Fatal(err)
	}
	for event := range out.GetStream().Events() {
		if _, ok := event.(*types.ConverseStreamOutputMemberContentBlockDelta); ok && first == 0 {
			first = time.Since(start)
		}
	}
	if last := time.Since(start); out.GetStream().Err() != nil || last-first < time.Second {
		t.Errorf("converse-stream: first after %v, last after %v, %v", first, last, out.GetStream().Err())
	}
}

// clientLeaves: what it asked for goes on, as on AWS, and is recorded; others are served.
func (s *running) clientLeaves(t *testing.T) {
	const mark = "until its client leaves"
	response, err := http.Post(s.InvokeURL+"/generate", "application/json", strings.NewReader(`{"prompt":"slowly one two three `+mark+`","stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(response.Body, make([]byte, 20)); err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if status, _, body := s.call(t, http.MethodPost, "/generate/Hello", "", "", ""); status != 200 {
		t.Errorf("another call: status %d: %s", status, body)
	}
	var found []bedrock.Record
	for end := time.Now().Add(30 * time.Second); len(found) == 0 && time.Now().Before(end); found = s.recordsOf(t, mark) {
	}
	if len(found) != 1 || !bytes.Contains(found[0].Output.BodyJSON, []byte("leaves")) {
		t.Errorf("records %+v, want one of the whole answer", found)
	}
}

// thousandCalls: nothing is lost and nothing recorded twice where many call at once.
func (s *running) thousandCalls(t *testing.T) {
	const callers, each = 50, 20
	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			client := s.bedrock("execute-api")
			for i := range each {
				prompt := fmt.Sprintf("thousand %d-%d.", caller, i)
				var err error
				switch i % 4 {
				case 0:
					_, err = client.Converse(t.Context(), said(prompt))
				case 1:
					var out *bedrockruntime.ConverseStreamOutput
					if out, err = client.ConverseStream(t.Context(), streamed(prompt)); err == nil {
						for range out.GetStream().Events() {
						}
						err = out.GetStream().Err()
					}
				default:
					var response *http.Response
					body := fmt.Sprintf(`{"prompt":%q,"stream":%v}`, prompt, i%4 == 3)
					if response, err = http.Post(s.InvokeURL+"/generate", "application/json", strings.NewReader(body)); err == nil {
						var answer []byte
						answer, err = io.ReadAll(response.Body)
						response.Body.Close()
						if err == nil && (response.StatusCode != 200 || bytes.Contains(answer, []byte("event: error"))) {
							err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
						}
					}
				}
				if err != nil {
					t.Errorf("%s: %v", prompt, err)
				}
			}
		})
	}
	wait.Wait()
	prompts, ids := map[string]int{}, map[string]bool{}
	for _, key := range s.objects(t, s.StackOutputs["logBucketName"]) {
		if strings.Contains(key, "/data/") || strings.HasSuffix(key, invocationlog.PermissionCheck) {
			continue
		}
		var r bedrock.Record
		if err := json.Unmarshal(s.gunzip(t, s.StackOutputs["logBucketName"], key), &r); err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(r.Input.BodyJSON, []byte("thousand ")); at >= 0 {
			prompt, _, _ := bytes.Cut(r.Input.BodyJSON[at:], []byte("."))
			prompts[string(prompt)]++
			ids[r.RequestMetadata["apiExtendedRequestId"]] = true
		}
	}
	for prompt, n := range prompts {
		if n != 1 {
			t.Errorf("%s has %d records", prompt, n)
		}
	}
	if len(prompts) != callers*each || len(ids) != callers*each {
		t.Errorf("%d prompts and %d request ids in the records, want %d", len(prompts), len(ids), callers*each)
	}
}

// definition: whoever reads it finds every route, and what API Gateway serves is made of it.
func (s *running) servesItsDefinition(t *testing.T) {
	want, err := os.ReadFile("openapi/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if status, header, body := s.call(t, http.MethodGet, "/openapi.json", "", "", ""); status != 200 || body != string(want) || header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %v: %.200s", status, header, body)
	}
}
