//go:build e2e

package sandbox

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
)

const localModel = "anthropic.claude-haiku-4-5-20251001-v1:0"

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
	want, err := os.ReadFile("../../openapi/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if status, header, body := s.call(t, http.MethodGet, "/openapi.json", "", "", ""); status != 200 || body != string(want) || header.Get("Content-Type") != "application/json" {
		t.Errorf("status %d, %v: %.200s", status, header, body)
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
	content, err := os.ReadFile("../../docs/api.md")
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
	s.until(t, 503, "leaves out some kinds of data")
	put(good)
	s.until(t, 200, "leaves out")
	if after := len(s.objects(t, s.StackOutputs["logBucketName"])); after <= before {
		t.Errorf("%d objects, want more than %d: logging is on again", after, before)
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
