package bedrock

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
)

const someModel = "amazon.nova-lite-v1:0"

// spoken is a stand-in as the SDK's own client speaks with it.
type spoken struct {
	*bedrockruntime.Client
	standIn *Runtime
	records chan Record
	asked   chan ModelCall // whom Authorize was asked about
}

func speak(t *testing.T) spoken {
	t.Helper()
	s := spoken{records: make(chan Record, 64), asked: make(chan ModelCall, 64)}
	s.standIn = &Runtime{
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

func (s spoken) converse(ctx context.Context, text string) (*bedrockruntime.ConverseOutput, error) {
	return s.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: aws.String(someModel), Messages: bedrocktest.Says(text)})
}

func (s spoken) converseStream(ctx context.Context, text string) (*bedrockruntime.ConverseStreamEventStream, error) {
	out, err := s.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: aws.String(someModel), Messages: bedrocktest.Says(text)})
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
	if asked := <-s.asked; asked.Action != "bedrock:InvokeModelWithResponseStream" {
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
	marked := bedrocktest.Says("Hello")
	marked[0].Content = append(marked[0].Content, &types.ContentBlockMemberCachePoint{Value: point})
	for name, in := range map[string]*bedrockruntime.ConverseInput{
		"message": {ModelId: aws.String(someModel), Messages: marked},
		"system":  {ModelId: aws.String(someModel), Messages: bedrocktest.Says("Hello"), System: []types.SystemContentBlock{&types.SystemContentBlockMemberCachePoint{Value: point}}},
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
		status, exception, out, _, recorded := converse(t, &Runtime{}, someModel, `{"messages":[{"role":"user","content":[`+block+`]}]}`)
		if status != want || (recorded == nil) != (want != 200) || (exception == "ValidationException") != (want != 200) {
			t.Errorf("%s: %d %s, want %d", block, status, exception, want)
		}
		if want == 200 && out.Output.Message.Content[0].Text != "You said: " {
			t.Errorf("%s: %+v", block, out)
		}
	}
	if status, _, _, _, _ := converse(t, &Runtime{}, someModel, `{"messages":[{"role":"user","content":[{"text":"a"}]}],"system":[{"image":{}}]}`); status != 400 {
		t.Errorf("a picture as system prompt: %d", status)
	}
	const earlier = `{"messages":[{"role":"user","content":[{"text":"fault ThrottlingException"}]},{"role":"assistant","content":[{"text":"a"}]},{"role":"user","content":[{"image":{}}]}]}`
	if status, _, _, _, _ := converse(t, &Runtime{}, someModel, earlier); status != 200 {
		t.Errorf("an earlier message's fault: %d", status)
	}
	_, _, out, _, _ := converse(t, &Runtime{}, someModel, `{"messages":[{"role":"user","content":[{"text":"a"},{"guardContent":{"text":{"text":"b"}}},{"image":{}}]}]}`)
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
		messages := bedrocktest.Says("the moon")
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

// What Bedrock refuses must fail here first, and leave no record.
func TestBedrockRefuses(t *testing.T) {
	t.Parallel()
	var metadata []string
	for i := range 17 {
		metadata = append(metadata, `"k`+string(rune('a'+i))+`":"v"`)
	}
	hello := `"messages":[{"role":"user","content":[{"text":"Hello"}]}]`
	for name, c := range map[string]struct {
		path, body string
		want       int
	}{
		"a good call":          {"/model/amazon.nova-lite-v1:0/converse", "{" + hello + "}", 200},
		"an encoded model id":  {"/model/amazon.nova-lite-v1%3A0/converse", "{" + hello + "}", 200},
		"no model id":          {"/model/nova/converse", "{" + hello + "}", 400},
		"another operation":    {"/model/amazon.nova-lite-v1:0/fly", "{" + hello + "}", 404},
		"another method":       {"/model/amazon.nova-lite-v1:0/converse", "{" + hello + "}", 404},
		"no JSON":              {"/model/amazon.nova-lite-v1:0/converse", "Hello", 400},
		"no message":           {"/model/amazon.nova-lite-v1:0/converse", "{}", 400},
		"assistant first":      {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"assistant","content":[{"text":"Hello"}]}]}`, 400},
		"user twice":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, 400},
		"no content":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[]}]}`, 400},
		"blank text":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":" "}]}]}`, 400},
		"metadata too many":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{` + strings.Join(metadata, ",") + `},` + hello + `}`, 400},
		"metadata too long":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"` + strings.Repeat("v", 257) + `"},` + hello + `}`, 400},
		"metadata with quotes": {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"\""},` + hello + `}`, 400},
		"metadata just enough": {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{` + strings.Join(metadata[:16], ",") + `},` + hello + `}`, 200},
		"an unknown fault":     {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"fault Hello"}]}]}`, 200},
		"a provisioned model":  {"/model/arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model%2Fa1b2c3d4e5f6/converse", "{" + hello + "}", 400},
		"another geography":    {"/model/us.amazon.nova-lite-v1:0/converse", "{" + hello + "}", 400},
		"a fault as asked":     {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"fault ModelTimeoutException"}]}]}`, 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			delivered := 0
			b := &Runtime{Region: "ap-northeast-1", Account: "123456789012"}
			b.Deliver = func(_ context.Context, r Record, _ time.Time) {
				delivered++
				if strings.Contains(string(r.Input.BodyJSON), "requestMetadata") || !strings.Contains(string(r.Input.BodyJSON), "Hello") {
					t.Errorf("the record's input is %s", r.Input.BodyJSON)
				}
			}
			w := httptest.NewRecorder()
			method := http.MethodPost
			if name == "another method" {
				method = http.MethodPut
			}
			b.ServeHTTP(w, httptest.NewRequest(method, c.path, strings.NewReader(c.body)))
			if w.Code != c.want || (delivered == 1) != (c.want == 200) || (w.Header().Get("X-Amzn-Errortype") == "") != (c.want == 200) {
				t.Errorf("status %d, %d records, headers %v, body %s, want %d", w.Code, delivered, w.Header(), w.Body, c.want)
			}
		})
	}
}

// A caller whom the policies do not admit must get AWS's refusal, and no record.
func TestBedrockAsksWhoCalls(t *testing.T) {
	t.Parallel()
	b := &Runtime{
		Authorize: func(_ *http.Request, call ModelCall) (string, error) {
			return "", errors.New(call.Action + " " + call.Model)
		},
		Deliver: func(context.Context, Record, time.Time) { t.Error("a refused call was recorded") },
		Region:  "ap-northeast-1",
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/model/amazon.nova-lite-v1:0/converse", strings.NewReader(`{}`)))
	if want := "bedrock:InvokeModel arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-lite-v1:0"; w.Code != 403 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("status %d, %s, want 403 and %s", w.Code, w.Body, want)
	}
}

// converse asks a stand-in, and answers with what the client gets, whom Authorize was asked about, and the record.
func converse(t *testing.T, b *Runtime, model, body string) (status int, exception string, out converseAnswer, asked ModelCall, recorded *Record) {
	t.Helper()
	b.Authorize = func(_ *http.Request, call ModelCall) (string, error) {
		asked = call
		return "arn:aws:sts::123456789012:assumed-role/r/f", nil
	}
	b.Deliver = func(_ context.Context, r Record, _ time.Time) { recorded = &r }
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/model/"+url.PathEscape(model)+"/converse", strings.NewReader(body)))
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("X-Amzn-Errortype"), out, asked, recorded
}

// converseAnswer is of Converse's answer what a client reads.
type converseAnswer struct {
	Output struct {
		Message struct{ Content []struct{ Text string } }
	}
	StopReason string
	Usage      struct{ InputTokens, OutputTokens, TotalTokens int }
}

// A guardrail that looks elsewhere than AWS's hides that a word gets through, or that IAM saw a call without it.
func TestBedrockGuards(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	id, arn := makeGuardrail(t, g, someGuardrail)
	control(t, g, http.MethodPost, "/guardrails/"+id, "") // version 1
	b := &Runtime{Region: "ap-northeast-1", Account: "123456789012", guardrails: g}
	with := func(id, version string) string {
		return `"guardrailConfig":{"guardrailIdentifier":"` + id + `","guardrailVersion":"` + version + `"}`
	}
	said := func(texts ...string) string {
		var all []string
		for i, text := range texts {
			all = append(all, `{"role":"`+[]string{"user", "assistant"}[i%2]+`","content":[{"text":"`+text+`"}]}`)
		}
		return `"messages":[` + strings.Join(all, ",") + `]`
	}
	marked := func(text, guarded, qualifiers string) string {
		return `"messages":[{"role":"user","content":[{"text":"` + text + `"},{"guardContent":{"text":{"text":"` + guarded + `","qualifiers":[` + qualifiers + `]}}}]}]`
	}
	const blocked, passed, refused = "guardrail_intervened", "end_turn", "ValidationException"
	for name, c := range map[string]struct{ config, rest, want string }{
		"a message":                                 {with(id, "1"), said("the moon"), blocked},
		"an earlier message":                        {with(id, "1"), said("the moon", "yes", "go on"), blocked},
		"an assistant message":                      {with(id, "1"), said("what is up?", "the moon", "go on"), blocked},
		"a marked system prompt":                    {with(id, "1"), said("hello") + `,"system":[{"text":"be"},{"guardContent":{"text":{"text":"the moon"}}}]`, blocked},
		"a system prompt that is unmarked":          {with(id, "1"), said("hello") + `,"system":[{"text":"the moon"}]`, passed},
		"another word":                              {with(id, "1"), said("the sun"), passed},
		"a marked message":                          {with(id, "1"), marked("hello", "the moon", ""), blocked},
		"beside a marked message":                   {with(id, "1"), marked("the moon", "hello", ""), passed},
		"beside one marked to be guarded":           {with(id, "1"), marked("the moon", "hello", `"query","guard_content"`), passed},
		"beside one marked for grounding":           {with(id, "1"), marked("the moon", "hello", `"grounding_source"`), blocked},
		"one marked for grounding":                  {with(id, "1"), marked("hello", "the moon", `"grounding_source"`), blocked},
		"a marked system prompt, unmarked messages": {with(id, "1"), said("the moon") + `,"system":[{"guardContent":{"text":{"text":"hello"}}}]`, blocked},
		"no guardrail":                              {`"x":0`, said("the moon"), passed},
		"its ARN":                                   {with(arn, "1"), said("the moon"), blocked},
		"its draft":                                 {with(id, "DRAFT"), said("the moon"), blocked},
		"no version":                                {`"guardrailConfig":{"guardrailIdentifier":"` + id + `"}`, said("the moon"), blocked},
		"an unknown version":                        {with(id, "2"), said("hello"), refused},
		"an unknown guardrail":                      {with("abcdefghijkl", "1"), said("hello"), refused},
		"a version of none":                         {`"guardrailConfig":{"guardrailVersion":"1"}`, said("hello"), refused},
	} {
		status, exception, out, asked, recorded := converse(t, b, "amazon.nova-lite-v1:0", "{"+c.config+","+c.rest+"}")
		if c.want == refused {
			if status != 400 || exception != refused || recorded != nil {
				t.Errorf("%s: %d %s, recorded %v", name, status, exception, recorded)
			}
			continue
		}
		if status != 200 || recorded == nil || out.StopReason != c.want || len(out.Output.Message.Content) != 1 {
			t.Errorf("%s: %d %s %+v, want %s", name, status, exception, out, c.want)
			continue
		}
		message, usage := out.Output.Message.Content[0].Text, out.Usage
		tokens := usage.InputTokens + usage.OutputTokens + usage.TotalTokens + recorded.Input.TokenCount + recorded.Output.TokenCount
		if (message == "No.") != (c.want == blocked) || (tokens == 0) != (c.want == blocked) {
			t.Errorf("%s: %q, usage %+v, recorded %+v", name, message, usage, recorded)
		}
		if guarded := strings.Contains(c.config, "guardrail"); guarded != (asked.Guardrail == arn) || guarded != (asked.Version != "") {
			t.Errorf("%s: IAM is asked about %+v", name, asked)
		}
	}
}

// A record that names another model or region than AWS's does would send an auditor's query astray.
func TestBedrockRecords(t *testing.T) {
	t.Parallel()
	p := newInferenceProfiles("ap-northeast-3", "123456789012")
	_, _, made := control(t, p, http.MethodPost, "/inference-profiles",
		`{"inferenceProfileName":"a","modelSource":{"copyFrom":"arn:aws:bedrock:ap-northeast-3::foundation-model/amazon.nova-lite-v1:0"}}`)
	application := made["inferenceProfileArn"].(string)
	b := &Runtime{Region: "ap-northeast-3", Account: "123456789012", profiles: p}
	const own, body = "arn:aws:bedrock:ap-northeast-3:123456789012:", `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"requestMetadata":{"k":"v"},"inferenceConfig":{"maxTokens":4}}`
	for model, want := range map[string]struct{ model, region, routes string }{
		"amazon.nova-lite-v1:0":                       {"amazon.nova-lite-v1:0", "ap-northeast-3", ""},
		"jp.amazon.nova-2-lite-v1:0":                  {own + "inference-profile/jp.amazon.nova-2-lite-v1:0", "ap-northeast-1", "ap-northeast-1 ap-northeast-3"},
		own + "inference-profile/jp.amazon.nova-x-v1": {own + "inference-profile/jp.amazon.nova-x-v1", "ap-northeast-1", "ap-northeast-1 ap-northeast-3"},
		"global.amazon.nova-2-lite-v1:0":              {own + "inference-profile/global.amazon.nova-2-lite-v1:0", "ap-northeast-3", " ap-northeast-3"},
		application:                                   {application, "ap-northeast-3", "ap-northeast-3"},
	} {
		status, _, out, asked, r := converse(t, b, model, body)
		if status != 200 || r == nil {
			t.Errorf("%s: %d, recorded %v", model, status, r)
			continue
		}
		if r.ModelID != want.model || r.InferenceRegion != want.region || r.Region != "ap-northeast-3" || r.AccountID != "123456789012" ||
			r.Identity.ARN != "arn:aws:sts::123456789012:assumed-role/r/f" || r.RequestMetadata["k"] != "v" {
			t.Errorf("%s: %+v, want %+v", model, r, want)
		}
		if r.Input.TokenCount != 2 || r.Output.TokenCount != 4 || out.StopReason != "end_turn" { // four are not more than four
			t.Errorf("%s: %+v, %+v", model, r, out)
		}
		var regions []string
		for _, route := range asked.Routes {
			regions = append(regions, strings.Split(route, ":")[3])
		}
		if asked.Action != "bedrock:InvokeModel" || strings.Join(regions, " ") != want.routes || !strings.Contains(asked.Model, strings.TrimPrefix(want.model, own)) {
			t.Errorf("%s: IAM is asked about %+v, want routes in %q", model, asked, want.routes)
		}
	}
}
