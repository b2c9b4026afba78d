//go:build e2e

package e2e

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
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

// until waits for every copy of the function, which each look for themselves, once a minute. A refusal has the reason in it.
func (s *running) until(t *testing.T, want int, reason string) {
	t.Helper()
	began := time.Now()
	for inARow := 0; inARow < 20; {
		status, _, body := s.call(t, http.MethodPost, "/generate/Hello", "", "", "")
		if status != 200 && (status != 503 || !strings.Contains(body, reason)) {
			t.Fatalf("status %d: %s", status, body)
		}
		if inARow++; status != want {
			inARow = 0
		}
		if time.Since(began) > 90*time.Second {
			t.Fatalf("still %d after %v, want %d", status, time.Since(began), want)
		}
	}
	if status, _, _ := s.call(t, http.MethodGet, "/health", "", "", ""); status != want {
		t.Errorf("/health: status %d, want %d", status, want)
	}
	t.Logf("%d after %v", want, time.Since(began))
}

// refusesUnlogged switches logging off behind the function's back, and then a part of it.
func (s *running) refusesUnlogged(t *testing.T) {
	good, err := s.aws.Do(t.Context(), "bedrock", http.MethodGet, loggingPath, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	put := func(config []byte) {
		t.Helper()
		if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPut, loggingPath, map[string]string{"Content-Type": "application/json"}, config); err != nil {
			t.Fatal(err)
		}
	}
	before := len(s.objects(t, s.StackOutputs["logBucketName"]))
	if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodDelete, loggingPath, nil, nil); err != nil {
		t.Fatal(err)
	}
	s.until(t, 503, "is off")
	put(good)
	s.until(t, 200, "is off")
	put(regexp.MustCompile(`("textDataDeliveryEnabled": ?)true`).ReplaceAll(good, []byte("${1}false")))
	s.until(t, 503, "omits some kinds of data")
	put(good)
	s.until(t, 200, "omits")
	if after := len(s.objects(t, s.StackOutputs["logBucketName"])); after <= before {
		t.Errorf("%d objects, want more than %d: logging is on again", after, before)
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
