//go:build e2e

package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
)

const localModel = "anthropic.claude-haiku-4-5-20251001-v1:0"

// boto is what a Python program does that has never heard of this project.
const boto = `
import json, boto3
client = boto3.client("bedrock-runtime")
messages = lambda text: [{"role": "user", "content": [{"text": text}]}]
text = "".join(e["contentBlockDelta"]["delta"]["text"] for e in client.converse_stream(modelId=MODEL, messages=messages(PROMPT))["stream"] if "contentBlockDelta" in e)
assert text == "You said: " + PROMPT, text
read = [{"text": "read it"}, {"document": {"name": "notes", "format": "txt", "source": {"text": "a word that is in the document alone"}}}]
assert client.converse(modelId=MODEL, messages=[{"role": "user", "content": read}])["stopReason"] == "end_turn"
body = json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 99, "messages": [{"role": "user", "content": PROMPT}]})
chunks = [json.loads(e["chunk"]["bytes"]) for e in client.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"]]
text = "".join(c["delta"]["text"] for c in chunks if c["type"] == "content_block_delta")
assert text == "You said: " + PROMPT, text
assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0
answer = json.loads(client.invoke_model(modelId=MODEL, body=body)["body"].read())
assert answer["content"][0]["text"] == "You said: " + PROMPT, answer
for name in ["ValidationException", "AccessDeniedException", "ResourceNotFoundException", "ModelTimeoutException", "ModelErrorException"]:
    try:
        client.converse(modelId=MODEL, messages=messages("fault " + name))
        raise AssertionError(name)
    except getattr(client.exceptions, name) as e:
        assert e.response["Error"]["Message"]
try:
    for e in client.converse_stream(modelId=MODEL, messages=messages("break ModelStreamErrorException"))["stream"]:
        pass
    raise AssertionError("no error in the stream")
except Exception as e:
    assert "modelStreamErrorException" in str(e), e
print("all right")
`

// clientsWork: programs that know Bedrock only, by its endpoint's URL. Their SDK must not sign for Bedrock: API Gateway takes
// a signature for another service than itself for a wrong one.
func (s *running) clientsWork(t *testing.T) {
	env := append([]string{"AWS_ENDPOINT_URL_BEDROCK_RUNTIME=" + s.InvokeURL, "AWS_BEARER_TOKEN_BEDROCK=none"}, s.env...)
	out := command(t, s.root, env, "aws", "bedrock-runtime", "converse", "--model-id", localModel, "--messages", `[{"role":"user","content":[{"text":"by the CLI `+canary+`"}]}]`)
	if !strings.Contains(out, "You said: by the CLI") {
		t.Errorf("aws bedrock-runtime converse: %s", out)
	}
	script := fmt.Sprintf("MODEL, PROMPT = %q, %q\n%s", localModel, "by boto3 "+canary, boto)
	if out := command(t, s.root, env, "python3", "-c", script); !strings.Contains(out, "all right") {
		t.Errorf("boto3: %s", out)
	}
	for by, want := range map[string]string{"by the CLI": "Converse", "by boto3": "ConverseStream InvokeModelWithResponseStream InvokeModel"} {
		operations := map[string]bool{}
		for _, r := range s.recordsOf(t, by) {
			operations[r.Operation] = true
			if r.RequestMetadata["apiExtendedRequestId"] == "" || r.RequestMetadata["sourceVpce"] != s.StackOutputs["executeApiEndpointId"] {
				t.Errorf("%s: metadata %v", by, r.RequestMetadata)
			}
		}
		for _, operation := range strings.Fields(want) {
			if !operations[operation] {
				t.Errorf("%s: no record of %s", by, operation)
			}
		}
	}
	// Signed for Bedrock, as an SDK does that finds credentials and no bearer token.
	if _, err := s.bedrock("").Converse(t.Context(), said("Hello")); err == nil || !strings.Contains(err.Error(), "execute-api") {
		t.Errorf("signed for another service: %v", err)
	}
}

// bedrock is the Go SDK's own client, which signs for a service; "" is Bedrock.
func (s *running) bedrock(signingName string) *bedrockruntime.Client {
	options := []func(*bedrockruntime.Options){}
	if signingName != "" {
		options = append(options, bedrockruntime.WithSigV4SigningName(signingName))
	}
	return bedrockruntime.New(bedrockruntime.Options{
		Region: s.Region, BaseEndpoint: &s.InvokeURL, Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: iam.RootKey, SecretAccessKey: iam.RootKey}, nil
		}),
	}, options...)
}

func said(prompt string) *bedrockruntime.ConverseInput {
	return &bedrockruntime.ConverseInput{
		ModelId: aws.String(localModel), Messages: []types.Message{{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: prompt}}}},
	}
}

func streamed(prompt string) *bedrockruntime.ConverseStreamInput {
	in := said(prompt)
	return &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages}
}

// faultsAreTyped: each fault of Bedrock's has its status, and its own type in the SDK.
func (s *running) faultsAreTyped(t *testing.T) {
	client := s.bedrock("execute-api")
	var wait sync.WaitGroup // at once: some are tried again, with waits
	defer wait.Wait()
	for name, status := range bedrock.Faults {
		wait.Go(func() {
			_, err := client.Converse(t.Context(), said("fault "+name))
			var typed interface{ ErrorCode() string }
			var answered interface{ HTTPStatusCode() int }
			if !errors.As(err, &typed) || typed.ErrorCode() != name || !errors.As(err, &answered) || answered.HTTPStatusCode() != status || !strings.HasPrefix(fmt.Sprintf("%T", typed), "*types.") {
				t.Errorf("%s: %T %v, want status %d", name, typed, err, status)
			}
		})
	}
	for _, name := range bedrock.StreamFaults["ConverseStream"] {
		wait.Go(func() {
			out, err := client.ConverseStream(t.Context(), streamed("break "+name))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				return
			}
			defer out.GetStream().Close()
			for range out.GetStream().Events() {
			}
			var typed interface{ ErrorCode() string }
			if err := out.GetStream().Err(); !errors.As(err, &typed) || typed.ErrorCode() != name {
				t.Errorf("%s in the middle of a stream: %v", name, err)
			}
		})
	}
	own := map[string]int{ // where they differ from Bedrock's
		"ServiceQuotaExceededException": 429, "InternalServerException": 502,
	}
	for name, status := range bedrock.Faults {
		status := cmp.Or(own[name], status)
		for _, stream := range []string{"false", "true"} {
			wait.Go(func() {
				got, header, body := s.call(t, http.MethodPost, "/generate", "", "application/json", `{"prompt":"fault `+name+`","stream":`+stream+`}`)
				if got != status || (header.Get("Retry-After") == "1") != (status == 429) {
					t.Errorf("/generate, stream %s, %s: status %d, want %d: %s", stream, name, got, status, body)
				}
			})
		}
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

// ownEndpoint is a stack's URL as AWS spells it; it leads to the sandbox through its door.
func (s *running) ownEndpoint(outputs map[string]string) string {
	return "http://" + outputs["apiId"] + "-" + outputs["executeApiEndpointId"] + ".execute-api." + s.Region + ".amazonaws.com/api"
}

// signedClient is the Go SDK's own client, which signs for a stack's API with the credentials.
func (s *running) signedClient(who aws.Credentials, outputs map[string]string) *bedrockruntime.Client {
	door, _, _ := strings.Cut(strings.TrimPrefix(s.InvokeURL, "http://"), "/")
	endpoint, options := s.ownEndpoint(outputs), s.bedrock("").Options()
	options.BaseEndpoint = &endpoint
	options.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return who, nil })
	options.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, door)
	}}}
	return bedrockruntime.New(options, bedrockruntime.WithSigV4SigningName("execute-api"))
}

// sdksSign: SDKs that sign for API Gateway are known by name, through a buffered integration, and meet the guardrail whatever
// they say of guardrails themselves.
func (s *running) sdksSign(t *testing.T, who aws.Credentials, outputs map[string]string) {
	t.Helper()
	content, err := os.ReadFile("docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, snippet, _ := strings.Cut(string(content), "```python\n")
	snippet, _, _ = strings.Cut(snippet, "```")
	door, _, _ := strings.Cut(strings.TrimPrefix(s.InvokeURL, "http://"), "/")
	endpoint := s.ownEndpoint(outputs)
	out := command(t, s.root, []string{
		"AWS_ENDPOINT_URL_BEDROCK_RUNTIME=" + endpoint, "HTTP_PROXY=http://" + door, "AWS_ACCESS_KEY_ID=" + who.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + who.SecretAccessKey,
		"AWS_DEFAULT_REGION=" + s.Region, "AWS_SESSION_TOKEN=",
	}, "python3", "-c", "import boto3\n"+snippet+`print(client.converse(modelId="amazon.nova-micro-v1:0", messages=[{"role":"user","content":[{"text":"signed by boto3"}]}]))`)
	if !strings.Contains(out, "You said: signed by boto3") {
		t.Errorf("the documented boto3 client: %s", out)
	}

	client := s.signedClient(who, outputs)
	stream := streamed("signed by the Go SDK")
	stream.ModelId = aws.String("amazon.nova-micro-v1:0")
	if out, err := client.ConverseStream(t.Context(), stream); err != nil {
		t.Error(err)
	} else {
		text := ""
		for event := range out.GetStream().Events() {
			if delta, ok := event.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
				text += delta.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
			}
		}
		if err := out.GetStream().Err(); err != nil || text != "You said: signed by the Go SDK" {
			t.Errorf("a buffered stream: %q, %v", text, err)
		}
	}
	blocked := said("say xyzzy")
	blocked.ModelId = stream.ModelId
	blocked.GuardrailConfig = &types.GuardrailConfiguration{GuardrailIdentifier: aws.String("mine"), GuardrailVersion: aws.String("DRAFT")}
	if out, err := client.Converse(t.Context(), blocked); err != nil || out.StopReason != types.StopReasonGuardrailIntervened {
		t.Errorf("another guardrail of the caller's: %v, %v", out, err)
	}
	blocked.Messages[0].Content = append(blocked.Messages[0].Content, &types.ContentBlockMemberGuardContent{
		Value: &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: aws.String("harmless")}},
	})
	var refused *types.ValidationException
	if _, err := client.Converse(t.Context(), blocked); !errors.As(err, &refused) {
		t.Errorf("a mark that would hide the rest from the guardrail: %v", err)
	}
}
