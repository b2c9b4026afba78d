//go:build e2e

package sandbox

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
)

// refusesUnkept: the API refuses content that a record would not hold, or only the address of, because the owner of the address can
// change what is there. It refuses a service tier that the stack does not list. No model is asked.
func (s *running) refusesUnkept(t *testing.T) {
	const mark = "of what is not kept"
	route, location := "/model/"+localModel+"/converse", `{"s3Location":{"uri":"s3://another-bucket/x"}}`
	for name, blocks := range map[string]string{
		"a picture elsewhere":                 `{"image":{"format":"png","source":` + location + `}}`,
		"a document elsewhere":                `{"document":{"name":"a","format":"pdf","source":` + location + `}}`,
		"a video elsewhere":                   `{"video":{"format":"mp4","source":` + location + `}}`,
		"a picture elsewhere, a tool's":       `{"toolResult":{"toolUseId":"a","content":[{"image":{"format":"png","source":` + location + `}}]}}`,
		"sound, whose delivery is not on":     `{"audio":{"format":"mp3","source":{"bytes":"AA=="}}}`,
		"sound of a tool, of which the same":  `{"toolResult":{"toolUseId":"a","content":[{"audio":{"format":"mp3","source":{"bytes":"AA=="}}}]}}`,
		"a picture elsewhere, spelled anyhow": `{"image":{"format":"png","source":{"\u0073\u0033Location":{"uri":"s3://another-bucket/x"}}}}`,
	} {
		for _, operation := range []string{"", "-stream"} {
			status, header, body := s.call(t, http.MethodPost, route+operation, "", "application/json", `{"messages":[{"role":"user","content":[{"text":"`+mark+`"},`+blocks+`]}]}`)
			if status < 400 || header.Get("X-Amzn-Errortype") == "" {
				t.Errorf("%s, converse%s: status %d, want a refusal in Bedrock's form: %s", name, operation, status, body)
			}
		}
	}

	client := s.bedrock("execute-api")
	body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":99,"messages":[{"role":"user","content":"` + mark + `"}]}`
	for _, tier := range []types.ServiceTierType{"priority", "flex", "reserved", "Priority", "fast"} {
		converse, stream := said(mark), streamed(mark)
		converse.ServiceTier, stream.ServiceTier = &types.ServiceTier{Type: tier}, &types.ServiceTier{Type: tier}
		_, err := client.Converse(t.Context(), converse)
		_, streamErr := client.ConverseStream(t.Context(), stream)
		_, invokeErr := client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(localModel), Body: []byte(body), ServiceTier: tier})
		_, chunkErr := client.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(localModel), Body: []byte(body), ServiceTier: tier})
		for operation, err := range map[string]error{"Converse": err, "ConverseStream": streamErr, "InvokeModel": invokeErr, "InvokeModelWithResponseStream": chunkErr} {
			var refused smithy.APIError
			if !errors.As(err, &refused) {
				t.Errorf("service tier %s, %s: %v, want a refusal", tier, operation, err)
			}
		}
	}
	if records := s.recordsOf(t, mark); len(records) > 0 {
		t.Errorf("a model was asked: %+v", records)
	}
	listed := said("of the default tier")
	listed.ServiceTier = &types.ServiceTier{Type: "default"}
	if _, err := client.Converse(t.Context(), listed); err != nil {
		t.Errorf("the default tier: %v", err)
	}
}

// namesWhatIsNotServed: a user who reads "Missing Authentication Token" looks for a wrong signature.
func (s *running) namesWhatIsNotServed(t *testing.T) {
	in := &bedrockruntime.CountTokensInput{ModelId: aws.String(localModel), Input: &types.CountTokensInputMemberConverse{Value: types.ConverseTokensRequest{Messages: bedrocktest.Says("Hello")}}}
	_, err := s.bedrock("execute-api").CountTokens(t.Context(), in)
	var refused smithy.APIError
	if !errors.As(err, &refused) || strings.Contains(refused.ErrorCode(), "Authentication") || !regexp.MustCompile(`(?i)count-?tokens`).MatchString(refused.ErrorMessage()) {
		t.Errorf("%v, want the operation's name", err)
	}
}

// refusesShared has AWS share prompts with a model's provider, and then not any more.
func (s *running) refusesShared(t *testing.T) {
	put := func(mode string) {
		t.Helper()
		if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPut, "/data-retention", map[string]string{"Content-Type": "application/json"}, []byte(`{"mode":"`+mode+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	l := s.listen(t, s.StackOutputs["alarmTopicArn"], "retention")
	put("provider_data_share")
	if heard := l.messages(t); !slices.ContainsFunc(heard, func(m string) bool {
		return strings.Contains(m, "PutAccountDataRetention by arn:aws:iam::"+account+":root")
	}) {
		t.Errorf("no message says that prompts are shared: heard %q", heard)
	}
	s.until(t, 503, "")
	const mark = "while prompts are shared"
	model := "/model/" + localModel
	converse := `{"messages":[{"role":"user","content":[{"text":"` + mark + `"}]}]}`
	invoke := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":99,"messages":[{"role":"user","content":"` + mark + `"}]}`
	for path, body := range map[string]string{
		"/generate": `{"prompt":"` + mark + `"}`, model + "/converse": converse, model + "/converse-stream": converse,
		model + "/invoke": invoke, model + "/invoke-with-response-stream": invoke,
	} {
		if status, _, answer := s.call(t, http.MethodPost, path, "", "application/json", body); status != 503 {
			t.Errorf("%s: status %d, want 503: %s", path, status, answer)
		}
	}
	if records := s.recordsOf(t, mark); len(records) > 0 {
		t.Errorf("a model was asked: %+v", records)
	}
	put("default")
	s.until(t, 200, "")
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
