package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
)

const someModel = "amazon.nova-lite-v1:0"

// spoken is a stand-in as the SDK's own client speaks with it.
type spoken struct {
	*bedrockruntime.Client
	standIn *Bedrock
	records chan Record
	asked   chan ModelCall // whom Authorize was asked about
}

func speak(t *testing.T) spoken {
	t.Helper()
	s := spoken{records: make(chan Record, 64), asked: make(chan ModelCall, 64)}
	s.standIn = &Bedrock{
		Region: "ap-northeast-1", Account: "123456789012", Pause: time.Hour, // a test that waits for it hangs
		Deliver: func(_ context.Context, r Record, _ time.Time) { s.records <- r },
		Authorize: func(_ *http.Request, call ModelCall) (string, error) {
			s.asked <- call
			return "arn:aws:sts::123456789012:assumed-role/r/f", nil
		},
	}
	server := httptest.NewServer(s.standIn)
	t.Cleanup(server.Close)
	s.Client = bedrockruntime.New(bedrockruntime.Options{
		Region: "ap-northeast-1", BaseEndpoint: &server.URL, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
	return s
}

func says(text string) []types.Message {
	return []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}}}
}

func (s spoken) converse(ctx context.Context, text string) (*bedrockruntime.ConverseOutput, error) {
	return s.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(someModel), Messages: says(text)})
}

func (s spoken) converseStream(ctx context.Context, text string) (*bedrockruntime.ConverseStreamEventStream, error) {
	out, err := s.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(someModel), Messages: says(text)})
	if err != nil {
		return nil, err
	}
	return out.GetStream(), nil
}

// read is all of a stream: its events' names, its text, and its metadata.
func read(stream *bedrockruntime.ConverseStreamEventStream) (names []string, text string, metadata types.ConverseStreamMetadataEvent) {
	for e := range stream.Events() {
		switch e := e.(type) {
		case *types.ConverseStreamOutputMemberMessageStart:
			names = append(names, "messageStart "+string(e.Value.Role))
		case *types.ConverseStreamOutputMemberContentBlockDelta:
			delta, _ := e.Value.Delta.(*types.ContentBlockDeltaMemberText)
			text += delta.Value
			names = append(names, "delta")
		case *types.ConverseStreamOutputMemberContentBlockStop:
			names = append(names, "contentBlockStop")
		case *types.ConverseStreamOutputMemberMessageStop:
			names = append(names, "messageStop "+string(e.Value.StopReason))
		case *types.ConverseStreamOutputMemberMetadata:
			metadata = e.Value
			names = append(names, "metadata")
		default:
			names = append(names, "another")
		}
	}
	return names, text, metadata
}

// Lost: a sandbox whose streams a program reads otherwise than Bedrock's, or whose records are of another call.
func TestConverseStream(t *testing.T) {
	t.Parallel()
	s := speak(t)
	stream, err := s.converseStream(t.Context(), "Hello there")
	if err != nil {
		t.Fatal(err)
	}
	names, text, metadata := read(stream)
	want := "messageStart assistant,delta,delta,delta,delta,contentBlockStop,messageStop end_turn,metadata"
	if got := strings.Join(names, ","); got != want || text != "You said: Hello there" || stream.Err() != nil {
		t.Errorf("%s %q %v, want %s", got, text, stream.Err(), want)
	}
	if asked := <-s.asked; asked.action != "bedrock:InvokeModelWithResponseStream" {
		t.Errorf("IAM is asked about %+v", asked)
	}
	r := <-s.records
	var recorded converseAnswer
	if err := json.Unmarshal(r.Output.BodyJSON, &recorded); err != nil {
		t.Fatal(err)
	}
	if r.Operation != "ConverseStream" || recorded.StopReason != "end_turn" || recorded.Output.Message.Content[0].Text != text ||
		r.Output.TokenCount != int(*metadata.Usage.OutputTokens) || r.Input.TokenCount != int(*metadata.Usage.InputTokens) || r.Input.TokenCount == 0 ||
		recorded.Usage.TotalTokens != int(*metadata.Usage.TotalTokens) || metadata.Usage.CacheWriteInputTokens != nil || metadata.Metrics.LatencyMs == nil {
		t.Errorf("%s recorded as %+v %s", text, r, r.Output.BodyJSON)
	}
}

// Lost: metrics of what caching costs and saves, which AWS counts beside the input's tokens.
func TestConverseCounts(t *testing.T) {
	t.Parallel()
	s := speak(t)
	point := types.CachePointBlock{Type: types.CachePointTypeDefault}
	marked := says("Hello")
	marked[0].Content = append(marked[0].Content, &types.ContentBlockMemberCachePoint{Value: point})
	for name, in := range map[string]*bedrockruntime.ConverseInput{
		"message": {ModelId: aws.String(someModel), Messages: marked},
		"system":  {ModelId: aws.String(someModel), Messages: says("Hello"), System: []types.SystemContentBlock{&types.SystemContentBlockMemberCachePoint{Value: point}}},
	} {
		out, err := s.Converse(t.Context(), in)
		if err != nil {
			t.Fatal(name, err)
		}
		u, r := out.Usage, <-s.records
		if *u.InputTokens != 2 || *u.CacheReadInputTokens != 0 || *u.CacheWriteInputTokens != 2 || *u.TotalTokens != 4+*u.OutputTokens {
			t.Errorf("%s: usage %+v", name, u)
		}
		if r.Input.TokenCount != 2 || r.Input.CacheWriteTokenCount == nil || *r.Input.CacheWriteTokenCount != 2 || *r.Input.CacheReadTokenCount != 0 {
			t.Errorf("%s: recorded %+v", name, r.Input)
		}
	}
}

// Lost: a test of what a program does with an answer that ends in its middle, after the status 200.
func TestStreamsBreak(t *testing.T) {
	t.Parallel()
	s := speak(t)
	for _, name := range StreamFaults["ConverseStream"] {
		stream, err := s.converseStream(t.Context(), "break "+name)
		if err != nil {
			t.Fatal(name, err)
		}
		names, text, _ := read(stream)
		var exception smithy.APIError
		if !errors.As(stream.Err(), &exception) || exception.ErrorCode() != name || exception.ErrorMessage() != "as asked: break "+name {
			t.Errorf("%s: %v", name, stream.Err())
		}
		if _, untyped := exception.(*smithy.GenericAPIError); untyped {
			t.Errorf("%s is none that the SDK knows", name)
		}
		if got := strings.Join(names, ","); got != "messageStart assistant,delta" || text != "You " {
			t.Errorf("%s: %s %q", name, got, text)
		}
		if r := <-s.records; !strings.Contains(string(r.Output.BodyJSON), `"text":"You "`) || strings.Contains(string(r.Output.BodyJSON), "stopReason") || r.Output.TokenCount != 2 {
			t.Errorf("%s: recorded %+v %s", name, r, r.Output.BodyJSON)
		}
	}
	stream, err := s.converseStream(t.Context(), "break Hello")
	if err != nil {
		t.Fatal(err)
	}
	if _, text, _ := read(stream); text != "You said: break Hello" || stream.Err() != nil {
		t.Errorf("%q %v, want an echo", text, stream.Err())
	}
	if out, err := s.converse(t.Context(), "break ThrottlingException"); err != nil || out.StopReason != "end_turn" {
		t.Errorf("%v %v: without a stream nothing breaks", out, err)
	}
}

// Lost: tests of what a program does with Bedrock's errors.
func TestFaultsAreTyped(t *testing.T) {
	t.Parallel()
	s := speak(t)
	for operation, call := range map[string]func(text string) error{
		"Converse":                      func(text string) error { _, err := s.converse(t.Context(), text); return err },
		"ConverseStream":                func(text string) error { _, err := s.converseStream(t.Context(), text); return err },
		"InvokeModel":                   func(text string) error { _, err := s.InvokeModel(t.Context(), invoking(text)); return err },
		"InvokeModelWithResponseStream": func(text string) error { _, err := s.invokeStream(t.Context(), invoking(text)); return err },
	} {
		names := slices.Sorted(maps.Keys(Faults))
		if operation == "InvokeModelWithResponseStream" {
			names = append(names, "ModelStreamErrorException")
		}
		for _, name := range names {
			var exception smithy.APIError
			if err := call("fault " + name); !errors.As(err, &exception) || exception.ErrorCode() != name || exception.ErrorMessage() != "as asked: fault "+name {
				t.Errorf("%s %s: %v", operation, name, err)
			}
			if generic, untyped := exception.(*smithy.GenericAPIError); untyped {
				t.Errorf("%s: %v is none that the SDK knows", operation, generic)
			}
		}
	}
	if len(s.records) != 0 {
		t.Error("a call that failed was recorded")
	}
	if out, err := s.converse(t.Context(), "fault ModelStreamErrorException"); err != nil || out.StopReason != "end_turn" {
		t.Errorf("%v %v: Converse has no such exception", out, err)
	}
}

// Lost: a stand-in that goes on for a caller who left, or says nothing of what that caller has already read.
func TestStreamEndsWithItsReader(t *testing.T) {
	t.Parallel()
	s := speak(t)
	ctx, leave := context.WithCancel(t.Context())
	stream, err := s.converseStream(ctx, "slowly now")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // messageStart and the first word: the second is an hour away
		<-stream.Events()
	}
	leave()
	if r := <-s.records; !strings.Contains(string(r.Output.BodyJSON), `"text":"You "`) || r.Operation != "ConverseStream" {
		t.Errorf("recorded %+v %s", r, r.Output.BodyJSON)
	}
	stream.Close()
}

// Lost: a word that comes late on AWS as well, and is seen coming.
func TestStreamSlowly(t *testing.T) {
	t.Parallel()
	s := speak(t)
	s.standIn.Pause = time.Nanosecond
	stream, err := s.converseStream(t.Context(), "slowly now")
	if err != nil {
		t.Fatal(err)
	}
	if names, text, _ := read(stream); text != "You said: slowly now" || len(names) != 8 || stream.Err() != nil {
		t.Errorf("%v %q %v", names, text, stream.Err())
	}
}

// Lost: pictures, documents and tools, which Bedrock takes, or a refusal of what it does not.
func TestConverseTakesEveryBlock(t *testing.T) {
	t.Parallel()
	for block, want := range map[string]int{
		`{"image":{"format":"png","source":{"bytes":"AA=="}}}`: 200, `{"document":{"name":"a","source":{"bytes":"AA=="}}}`: 200,
		`{"video":{"format":"mp4","source":{"bytes":"AA=="}}}`: 200, `{"audio":{"format":"mp3","source":{"bytes":"AA=="}}}`: 200,
		`{"toolUse":{"toolUseId":"a","name":"b","input":{}}}`: 200, `{"toolResult":{"toolUseId":"a","content":[{"text":"b"}]}}`: 200,
		`{"cachePoint":{"type":"default"}}`: 200, `{"reasoningContent":{"reasoningText":{"text":"a"}}}`: 200,
		`{"searchResult":{"source":"a","title":"b","content":[]}}`: 200, `{"citationsContent":{"content":[],"citations":[]}}`: 200,
		`{"thought":{"text":"a"}}`: 400, `{"text":"a","image":{}}`: 400, `{"type":"text","text":"a"}`: 400, `{}`: 400,
	} {
		status, exception, out, _, recorded := converse(t, &Bedrock{}, someModel, `{"messages":[{"role":"user","content":[`+block+`]}]}`)
		if status != want || (recorded == nil) != (want != 200) || (exception == "ValidationException") != (want != 200) {
			t.Errorf("%s: %d %s, want %d", block, status, exception, want)
		}
		if want == 200 && out.Output.Message.Content[0].Text != "You said: " {
			t.Errorf("%s: %+v", block, out)
		}
	}
	if status, _, _, _, _ := converse(t, &Bedrock{}, someModel, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"system":[{"image":{}}]}`); status != 400 {
		t.Errorf("a picture as system prompt: %d", status)
	}
	const earlier = `{"messages":[{"role":"user","content":[{"text":"fault ThrottlingException"}]},{"role":"assistant","content":[{"text":"a"}]},{"role":"user","content":[{"image":{}}]}]}`
	if status, _, _, _, _ := converse(t, &Bedrock{}, someModel, earlier); status != 200 {
		t.Errorf("an earlier message's fault: %d", status)
	}
	_, _, out, _, _ := converse(t, &Bedrock{}, someModel, `{"messages":[{"role":"user","content":[{"text":"a"},{"guardContent":{"text":{"text":"b"}}},{"image":{}}]}]}`)
	if got := out.Output.Message.Content[0].Text; got != "You said: b" {
		t.Errorf("%q", got)
	}
}

// Lost: a guardrail in streams, or a sandbox that hides its limit: who may mark what it looks at may say the rest.
func TestGuardrailOnStream(t *testing.T) {
	t.Parallel()
	s := speak(t)
	s.standIn.guardrails = newGuardrails("ap-northeast-1", "123456789012")
	id, _ := makeGuardrail(t, s.standIn.guardrails, someGuardrail)
	for _, c := range []struct {
		beside string
		want   types.StopReason
	}{{"", types.StopReasonGuardrailIntervened}, {"hello", types.StopReasonEndTurn}} {
		messages := says("the moon")
		if c.beside != "" {
			messages[0].Content = append(messages[0].Content, &types.ContentBlockMemberGuardContent{
				Value: &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: &c.beside}},
			})
		}
		out, err := s.ConverseStream(t.Context(), &bedrockruntime.ConverseStreamInput{
			ModelId: aws.String(someModel), Messages: messages,
			GuardrailConfig: &types.GuardrailStreamConfiguration{GuardrailIdentifier: &id, GuardrailVersion: aws.String("DRAFT")},
		})
		if err != nil {
			t.Fatal(err)
		}
		names, text, metadata := read(out.GetStream())
		blocked := c.want == types.StopReasonGuardrailIntervened
		if !slices.Contains(names, "messageStop "+string(c.want)) || (text == "No.") != blocked || (*metadata.Usage.TotalTokens == 0) != blocked {
			t.Errorf("beside %q: %v %q %+v", c.beside, names, text, metadata.Usage)
		}
		if r := <-s.records; !strings.Contains(string(r.Output.BodyJSON), string(c.want)) {
			t.Errorf("recorded %s", r.Output.BodyJSON)
		}
	}
}
