package bedrock

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/smithy-go"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock/bedrocktest"
)

func (s spoken) invokeStream(ctx context.Context, in *bedrockruntime.InvokeModelInput) (*bedrockruntime.InvokeModelWithResponseStreamEventStream, error) {
	out, err := s.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{
		ModelId: in.ModelId, Body: in.Body, RequestMetadata: in.RequestMetadata, GuardrailIdentifier: in.GuardrailIdentifier, GuardrailVersion: in.GuardrailVersion,
	})
	if err != nil {
		return nil, err
	}
	if aws.ToString(out.ContentType) != "application/json" {
		return nil, errors.New("the chunks' content type is " + aws.ToString(out.ContentType))
	}
	return out.GetStream(), nil
}

func invoking(text string) *bedrockruntime.InvokeModelInput {
	return invokingBody(`{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":"` + text + `"}]}`)
}

func invokingBody(body string) *bedrockruntime.InvokeModelInput {
	return &bedrockruntime.InvokeModelInput{ModelId: aws.String(someModel), Body: []byte(body)}
}

// changing are latencies and ids, which differ from call to call.
var changing = regexp.MustCompile(`"(latencyMs|invocationLatency|firstByteLatency)":\d+|msg_bdrk_[0-9a-f-]+`)

func still(text string) string { return changing.ReplaceAllString(strings.TrimSpace(text), `"-":0`) }

// Lost: a program for a model's own body, which reads it otherwise here than on AWS; and records that are read amiss.
func TestInvokeModel(t *testing.T) {
	t.Parallel()
	const anthropic, nova = `{"anthropic_version":"bedrock-2023-05-31",`, `"messages":[{"role":"user","content":[{"text":"Hi"}]}]}`
	for name, c := range map[string]struct{ body, whole, chunks string }{
		"Anthropic": {
			anthropic + `"max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}`,
			`{"content":[{"text":"You said: Hi","type":"text"}],"id":""-":0","model":"amazon.nova-lite-v1:0","role":"assistant","stop_reason":"end_turn","stop_sequence":null,"type":"message","usage":{"input_tokens":1,"output_tokens":4}}`,
			`{"message":{"content":[],"id":""-":0","model":"amazon.nova-lite-v1:0","role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"input_tokens":1,"output_tokens":0}},"type":"message_start"}
{"content_block":{"text":"","type":"text"},"index":0,"type":"content_block_start"}
{"delta":{"text":"You ","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"delta":{"text":"said: ","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"delta":{"text":"Hi","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"index":0,"type":"content_block_stop"}
{"delta":{"stop_reason":"end_turn","stop_sequence":null},"type":"message_delta","usage":{"output_tokens":4}}
{"amazon-bedrock-invocationMetrics":{"-":0,"inputTokenCount":1,"-":0,"outputTokenCount":4},"type":"message_stop"}`,
		},
		"Anthropic, a cached system prompt and an end": {
			anthropic + `"max_tokens":2,"system":[{"type":"text","text":"be","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"Hi"}]}`,
			`{"content":[{"text":"You said: Hi","type":"text"}],"id":""-":0","model":"amazon.nova-lite-v1:0","role":"assistant","stop_reason":"max_tokens","stop_sequence":null,"type":"message","usage":{"cache_creation_input_tokens":1,"cache_read_input_tokens":0,"input_tokens":1,"output_tokens":2}}`,
			`{"message":{"content":[],"id":""-":0","model":"amazon.nova-lite-v1:0","role":"assistant","stop_reason":null,"stop_sequence":null,"type":"message","usage":{"cache_creation_input_tokens":1,"cache_read_input_tokens":0,"input_tokens":1,"output_tokens":0}},"type":"message_start"}
{"content_block":{"text":"","type":"text"},"index":0,"type":"content_block_start"}
{"delta":{"text":"You ","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"delta":{"text":"said: ","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"delta":{"text":"Hi","type":"text_delta"},"index":0,"type":"content_block_delta"}
{"index":0,"type":"content_block_stop"}
{"delta":{"stop_reason":"max_tokens","stop_sequence":null},"type":"message_delta","usage":{"output_tokens":2}}
{"amazon-bedrock-invocationMetrics":{"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":1,"-":0,"inputTokenCount":1,"-":0,"outputTokenCount":2},"type":"message_stop"}`,
		},
		"Nova": {
			`{"inferenceConfig":{"maxTokens":100},` + nova,
			`{"output":{"message":{"content":[{"text":"You said: Hi"}],"role":"assistant"}},"stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":4,"totalTokens":5}}`,
			`{"messageStart":{"role":"assistant"}}
{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"You "}}}
{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"said: "}}}
{"contentBlockDelta":{"contentBlockIndex":0,"delta":{"text":"Hi"}}}
{"contentBlockStop":{"contentBlockIndex":0}}
{"messageStop":{"stopReason":"end_turn"}}
{"amazon-bedrock-invocationMetrics":{"-":0,"inputTokenCount":1,"-":0,"outputTokenCount":4},"metadata":{"metrics":{"-":0},"usage":{"inputTokens":1,"outputTokens":4,"totalTokens":5}}}`,
		},
		"text completion": {
			`{"prompt":"\n\nHuman: Ho\n\nAssistant: Ho\n\nHuman: Hi\n\nAssistant:","max_tokens_to_sample":300}`,
			`{"completion":" You said: Hi","stop_reason":"stop_sequence","type":"completion"}`,
			`{"completion":" ","stop_reason":null,"type":"completion"}
{"completion":"You ","stop_reason":null,"type":"completion"}
{"completion":"said: ","stop_reason":null,"type":"completion"}
{"completion":"Hi","stop_reason":null,"type":"completion"}
{"amazon-bedrock-invocationMetrics":{"-":0,"inputTokenCount":1,"-":0,"outputTokenCount":4},"completion":"","stop_reason":"stop_sequence","type":"completion"}`,
		},
		"embedding": {`{"inputText":"Hi"}`, `{"embedding":[-0.15625,0.9609375,0,0.4375],"inputTextTokenCount":1}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := speak(t)
			in := invokingBody(c.body)
			in.RequestMetadata = aws.String(`{"team":"a"}`)
			out, err := s.InvokeModel(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if got := still(string(out.Body)); got != c.whole || aws.ToString(out.ContentType) != "application/json" {
				t.Errorf("%s %s\nwant %s", aws.ToString(out.ContentType), got, c.whole)
			}
			expectRecord := func(operation, action, body string) {
				t.Helper()
				if asked := <-s.asked; asked.Action != action {
					t.Errorf("IAM is asked about %+v, want %s", asked, action)
				}
				r := <-s.records
				if r.Operation != operation || still(string(r.Output.BodyJSON)) != body || string(r.Input.BodyJSON) != c.body || r.RequestMetadata["team"] != "a" {
					t.Errorf("recorded %+v %s as %s, want %s %s", r, r.Output.BodyJSON, r.Input.BodyJSON, operation, body)
				}
			}
			expectRecord("InvokeModel", "bedrock:InvokeModel", c.whole)

			stream, err := s.invokeStream(t.Context(), in)
			if c.chunks == "" {
				var refused *types.ValidationException
				if !errors.As(err, &refused) || len(s.records) != 0 {
					t.Errorf("%v, want no stream", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := still(strings.Join(bedrocktest.Chunks(stream), "\n")); got != c.chunks || stream.Err() != nil {
				t.Errorf("%v %s\nwant %s", stream.Err(), got, c.chunks)
			}
			expectRecord("InvokeModelWithResponseStream", "bedrock:InvokeModelWithResponseStream", "["+strings.ReplaceAll(c.chunks, "\n", ",")+"]")
		})
	}
}

// Lost: counts of what a call used, for whoever does not know the model's own body.
func TestInvokeModelCounts(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`{"prompt":"Hello"}`: {"2", "4", "", ""},
		`{"messages":[{"role":"user","content":[{"text":"Hello","cachePoint":{"type":"default"}}]}]}`: {"2", "4", "0", "2"},
		`{"inputText":"Hello"}`: {"2", "0", "", ""},
	} {
		w := httptest.NewRecorder()
		(&Runtime{}).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/model/"+someModel+"/invoke", strings.NewReader(body)))
		for i, name := range []string{"Input", "Output", "Cache-Read-Input", "Cache-Write-Input"} {
			if got := w.Header().Get("X-Amzn-Bedrock-" + name + "-Token-Count"); got != want[i] {
				t.Errorf("%s: %s %q, want %q", body, name, got, want[i])
			}
		}
		if w.Code != 200 || w.Header().Get("X-Amzn-Bedrock-Invocation-Latency") == "" {
			t.Errorf("%s: %d %v", body, w.Code, w.Header())
		}
	}
}

// Lost: a test that fails before AWS does.
func TestInvokeModelRefuses(t *testing.T) {
	t.Parallel()
	hello := invoking("Hello")
	with := func(change func(in *bedrockruntime.InvokeModelInput)) *bedrockruntime.InvokeModelInput {
		in := *hello
		change(&in)
		return &in
	}
	metadata := func(m string) *bedrockruntime.InvokeModelInput {
		return with(func(in *bedrockruntime.InvokeModelInput) { in.RequestMetadata = &m })
	}
	many := map[string]string{}
	for i := range 17 {
		many[string(rune('a'+i))] = "v"
	}
	tooMany, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	const anthropic = `{"anthropic_version":"a","max_tokens":1,"messages":`
	s := speak(t)
	for name, in := range map[string]*bedrockruntime.InvokeModelInput{
		"no JSON": invokingBody("Hello"), "no shape": invokingBody("{}"), "no prompt": invokingBody(`{"prompt":""}`), "no text": invokingBody(`{"inputText":""}`),
		"no messages": invokingBody(anthropic + `[]}`), "no max_tokens": invokingBody(`{"anthropic_version":"a","messages":[{"role":"user","content":"a"}]}`),
		"Converse's block": invokingBody(anthropic + `[{"role":"user","content":[{"text":"a"}]}]}`), "a number": invokingBody(anthropic + `[{"role":"user","content":1}]}`),
		"a mark of Converse's":       invokingBody(anthropic + `[{"role":"user","content":[{"type":"text","text":"a","guardContent":{}}]}]}`),
		"a system of numbers":        invokingBody(`{"anthropic_version":"a","max_tokens":1,"system":1,"messages":[{"role":"user","content":"a"}]}`),
		"Anthropic's block to Nova":  invokingBody(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`),
		"Anthropic's system to Nova": invokingBody(`{"system":"be","messages":[{"role":"user","content":[{"text":"a"}]}]}`),
		"a mark to Nova":             invokingBody(`{"messages":[{"role":"user","content":[{"guardContent":{"text":{"text":"a"}}}]}]}`),
		"a text for messages":        invokingBody(`{"messages":"a"}`), "blank": invokingBody(`{"messages":[{"role":"user","content":[{"text":" "}]}]}`),
		"metadata too many": metadata(string(tooMany)), "metadata no object": metadata(`[]`), "metadata no JSON": metadata(`a=b`),
		"metadata no string": metadata(`{"a":1}`), "metadata too long": metadata(`{"a":"` + strings.Repeat("v", 257) + `"}`), "metadata with quotes": metadata(`{"a":"\""}`),
		"no guardrail version":  with(func(in *bedrockruntime.InvokeModelInput) { in.GuardrailIdentifier = aws.String("g") }),
		"tags and no guardrail": invokingBody(`{"prompt":"a","amazon-bedrock-guardrailConfig":{"tagSuffix":"x"}}`),
	} {
		_, err := s.InvokeModel(t.Context(), in)
		_, streamErr := s.invokeStream(t.Context(), in)
		for _, err := range []error{err, streamErr} {
			var refused *types.ValidationException
			if !errors.As(err, &refused) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if len(s.records) != 0 {
		t.Error("a call that was refused was recorded")
	}
	if _, err := s.InvokeModel(t.Context(), metadata(`{"team":"a b:_@$#=/+,.-"}`)); err != nil {
		t.Error(err)
	}
}

// Lost: a test that callers get no tier but those that a stack admits: IAM is asked about the tier of every call that names one.
func TestServiceTiers(t *testing.T) {
	t.Parallel()
	s := speak(t)
	for _, tier := range append(types.ServiceTierType("").Values(), "", "fast") {
		in := invoking("Hello")
		in.ServiceTier = tier
		converse := &bedrockruntime.ConverseInput{ModelId: in.ModelId, Messages: bedrocktest.Says("Hello")}
		stream := &bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: bedrocktest.Says("Hello")}
		if tier != "" {
			converse.ServiceTier, stream.ServiceTier = &types.ServiceTier{Type: tier}, &types.ServiceTier{Type: tier}
		}
		for operation, call := range map[string]func() (types.ServiceTierType, error){
			"InvokeModel": func() (types.ServiceTierType, error) {
				out, err := s.InvokeModel(t.Context(), in)
				if err != nil {
					return "", err
				}
				return out.ServiceTier, nil
			},
			"InvokeModelWithResponseStream": func() (types.ServiceTierType, error) {
				out, err := s.InvokeModelWithResponseStream(t.Context(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: in.ModelId, Body: in.Body, ServiceTier: tier})
				if err != nil {
					return "", err
				}
				bedrocktest.Chunks(out.GetStream())
				return out.ServiceTier, nil
			},
			"Converse": func() (types.ServiceTierType, error) {
				out, err := s.Converse(t.Context(), converse)
				if err != nil || out.ServiceTier == nil {
					return "", err
				}
				return out.ServiceTier.Type, nil
			},
			"ConverseStream": func() (types.ServiceTierType, error) {
				out, err := s.ConverseStream(t.Context(), stream)
				if err != nil {
					return "", err
				}
				_, _, metadata := read(out.GetStream())
				if metadata.ServiceTier == nil {
					return "", nil
				}
				return metadata.ServiceTier.Type, nil
			},
		} {
			got, err := call()
			if asked := <-s.asked; asked.tier != string(tier) {
				t.Errorf("%s, tier %q: IAM is asked about %+v", operation, tier, asked)
			}
			if tier == "fast" {
				if refusedAs(err) != "ValidationException" {
					t.Errorf("%s, an unknown tier: %v", operation, err)
				}
			} else if err != nil || got != tier {
				t.Errorf("%s, tier %q: %q, %v", operation, tier, got, err)
			}
		}
	}
}

// Lost: a test of what a program does with an answer that ends in its middle, or whose reader left.
func TestInvokeStreamsBreak(t *testing.T) {
	t.Parallel()
	s := speak(t)
	for _, name := range StreamFaults["InvokeModelWithResponseStream"] {
		stream, err := s.invokeStream(t.Context(), invoking("break "+name))
		if err != nil {
			t.Fatal(name, err)
		}
		read := bedrocktest.Chunks(stream)
		var exception smithy.APIError
		if !errors.As(stream.Err(), &exception) || exception.ErrorCode() != name {
			t.Errorf("%s: %v", name, stream.Err())
		}
		if _, untyped := exception.(*smithy.GenericAPIError); untyped {
			t.Errorf("%s is none that the SDK knows", name)
		}
		r := <-s.records
		if len(read) != 3 || !strings.Contains(read[2], `"You "`) || string(r.Output.BodyJSON) != "["+strings.Join(read, ",")+"]" {
			t.Errorf("%s: read %q, recorded %s", name, read, r.Output.BodyJSON)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	stream, err := s.invokeStream(ctx, invoking("slowly now"))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-stream.Events()
	}
	leave()
	if r := <-s.records; !strings.HasSuffix(string(r.Output.BodyJSON), `"type":"content_block_delta"}]`) || r.Output.TokenCount != 2 {
		t.Errorf("recorded %+v %s", r, r.Output.BodyJSON)
	}
	stream.Close()
}

// Lost: a guardrail on invoked models, or a sandbox that hides its limit: who chooses the tags' suffix chooses what it
// does not see.
func TestGuardrailOnInvoke(t *testing.T) {
	t.Parallel()
	const config, tags = `"amazon-bedrock-guardrailConfig":{"tagSuffix":"xyz"},`, `<amazon-bedrock-guardrails-guardContent_xyz>%</amazon-bedrock-guardrails-guardContent_xyz>`
	tagged := func(text string) string { return strings.ReplaceAll(tags, "%", text) }
	anthropic := func(text string) string {
		return `"anthropic_version":"a","max_tokens":9,"messages":[{"role":"user","content":"` + text + `"}]`
	}
	const blocked, passed, refused = "INTERVENED", "NONE", ""
	for name, c := range map[string]struct{ body, want string }{
		"Anthropic":               {anthropic("the moon"), blocked},
		"Anthropic's system":      {`"system":"the moon",` + anthropic("hello"), blocked},
		"Nova":                    {`"messages":[{"role":"user","content":[{"text":"the moon"}]}]`, blocked},
		"text completion":         {`"prompt":"\n\nHuman: the moon\n\nAssistant:"`, blocked},
		"an earlier turn":         {`"prompt":"\n\nHuman: the moon\n\nAssistant: yes\n\nHuman: go on\n\nAssistant:"`, blocked},
		"another word":            {anthropic("the sun"), passed},
		"no tag":                  {config + anthropic("the moon"), blocked},
		"tagged":                  {config + anthropic(tagged("the moon")), blocked},
		"the second that is":      {config + anthropic(tagged("hello")+"and"+tagged("the\\nmoon")), blocked},
		"outside of the tags":     {config + anthropic("the moon "+tagged("hello")), passed},
		"in between":              {config + anthropic(tagged("hello")+"the moon "+tagged("hello")), passed},
		"in system, tags beside":  {config + `"system":"the moon",` + anthropic(tagged("hello")), passed},
		"tags of no suffix":       {anthropic("the moon " + tagged("hello")), blocked},
		"tags of another suffix":  {strings.Replace(config, "xyz", "abc", 1) + anthropic("the moon "+tagged("hello")), blocked},
		"a config without suffix": {`"amazon-bedrock-guardrailConfig":{"streamProcessingMode":"SYNCHRONOUS"},` + anthropic("the moon "+tagged("hello")), blocked},
		"a suffix that is none":   {strings.Replace(config, "xyz", ".*", 1) + anthropic("hello"), refused},
		"a suffix too long":       {strings.Replace(config, "xyz", strings.Repeat("x", 21), 1) + anthropic("hello"), refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := speak(t)
			s.standIn.guardrails = newGuardrails("ap-northeast-1", "123456789012")
			id, arn := makeGuardrail(t, s.standIn.guardrails, strings.Replace(someGuardrail, `"moon"`, `"moon","outputEnabled":false`, 1)) // an echo says it
			in := invokingBody("{" + c.body + "}")
			in.GuardrailIdentifier, in.GuardrailVersion = &id, aws.String("DRAFT")
			out, err := s.InvokeModel(t.Context(), in)
			stream, streamErr := s.invokeStream(t.Context(), in)
			if c.want == refused {
				var invalid *types.ValidationException
				if !errors.As(err, &invalid) || !errors.As(streamErr, &invalid) {
					t.Errorf("%v, %v", err, streamErr)
				}
				return
			}
			if err != nil || streamErr != nil {
				t.Fatal(err, streamErr)
			}
			all := bedrocktest.Chunks(stream)
			for _, body := range []string{string(out.Body), strings.Join(all, "")} {
				if !strings.Contains(body, `"amazon-bedrock-guardrailAction":"`+c.want+`"`) || strings.Contains(body, "No.") != (c.want == blocked) ||
					strings.Contains(body, "guardrail_intervened") {
					t.Errorf("%s, want %s", body, c.want)
				}
			}
			if asked := <-s.asked; asked.Guardrail != arn || asked.Version != "DRAFT" {
				t.Errorf("IAM is asked about %+v", asked)
			}
		})
	}
}
