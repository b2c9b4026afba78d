package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	sandbox "github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
)

// received is a request that Bedrock received.
type received struct {
	path   string
	header http.Header
	body   string
}

// taking starts a Bedrock that records the requests that it receives, and responds with answer.
func taking(t testing.TB, header map[string]string, answer string) (bedrock, <-chan received) {
	calls := make(chan received, 8)
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if strings.HasPrefix(r.URL.Path, "/guardrail/") {
			io.WriteString(w, `{"action":"NONE"}`)
			return
		}
		calls <- received{r.URL.EscapedPath(), r.Header, string(body)}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		if strings.HasSuffix(r.URL.Path, "-stream") && answer == `{}` {
			w.Header().Set("Content-Type", eventStream)
			answer = string(frame(t, "messageStop", `{}`))
		}
		io.WriteString(w, answer)
	})), calls
}

// own is the metadata that the function adds.
const own = `{"apiExtendedRequestId":"request-1"}`

// The function forwards bodies unchanged, with members and numbers that it doesn't know.
func TestBodiesAreForwardedUnchanged(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ operation, body, want string }{
		"Converse": {"converse", ` { "messages" : [ {"role":"user","content":[{"text":"<é\u00e9>"},{"image":{"format":"png","source":{"bytes":"aGk="}}},
			{"cachePoint":{"type":"default"}},{"toolResult":{"toolUseId":"1","content":[{"json":{"a":1.50}}]}}],"newer":{}} ],
			"toolConfig":{"tools":[{"toolSpec":{"name":"t","inputSchema":{"json":{"z":1,"a":1e400}}}}]}, "system":[{"text":"s"}], "newer":{"x":[null,true]} }` + "\n",
			`{"messages":[ {"role":"user","content":[{"text":"<é\u00e9>"},{"image":{"format":"png","source":{"bytes":"aGk="}}},
			{"cachePoint":{"type":"default"}},{"toolResult":{"toolUseId":"1","content":[{"json":{"a":1.50}}]}}],"newer":{}} ],"toolConfig":{"tools":[{"toolSpec":{"name":"t","inputSchema":{"json":{"z":1,"a":1e400}}}}]},"system":[{"text":"s"}],"newer":{"x":[null,true]},"requestMetadata":` + own + `}`},
		"ConverseStream":                {"converse-stream", `{}`, `{"requestMetadata":` + own + `}`},
		"InvokeModel":                   {"invoke", ` {"inputText" : "x", "guardrailConfig":{"tagSuffix":"x"}}` + "\n", ""},
		"InvokeModel, a guardrail's":    {"invoke", `{"prompt":"x","amazon-bedrock-trace":"ENABLED","Amazon-Bedrock-guardrailConfig":{"tagSuffix":"x"}}`, `{"prompt":"x"}`},
		"own fields, a guardrail's":     {"converse", `{"additionalModelRequestFields":{"amazon-bedrock-trace":"ENABLED","k":1}}`, `{"additionalModelRequestFields":{"k":1},"requestMetadata":` + own + `}`},
		"own fields":                    {"converse", `{"additionalModelRequestFields":null,"additionalModelRequestFields":{"k" : 1}}`, `{"additionalModelRequestFields":null,"additionalModelRequestFields":{"k" : 1},"requestMetadata":` + own + `}`},
		"InvokeModelWithResponseStream": {"invoke-with-response-stream", "{\"n\" : 1e400 }\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			b, calls := taking(t, nil, `{}`)
			f.bedrock = b
			r := native(tt.operation, tt.body)
			r.Headers = map[string]string{
				"CONTENT-TYPE": "application/json", "accept": "text/x", "x-amzn-bedrock-service-tier": "default", "X-Amzn-Bedrock-Newer": "1", "X-Amzn-Bedrock-Trace": "ENABLED",
				"Authorization": "AWS4-HMAC-SHA256 Credential=" + canary, "X-Amz-Security-Token": canary, "Cookie": canary, "X-Amz-Date": canary, "Host": canary, "X-Forwarded-For": canary,
			}
			f.call(t, r)
			got := <-calls
			if want := tt.want; got.body != want && want != "" || want == "" && got.body != tt.body {
				t.Errorf("body %s, want %s", got.body, want)
			}
			if want := "/model/amazon.nova-lite-v1%3A0/" + tt.operation; got.path != want {
				t.Errorf("path %s, want %s", got.path, want)
			}
			for name, want := range map[string]string{"Content-Type": "application/json", "Accept": "text/x", "X-Amzn-Bedrock-Service-Tier": "default", "X-Amzn-Bedrock-Newer": "", "X-Amzn-Bedrock-Trace": "", "Accept-Encoding": "identity", "Cookie": "", "X-Forwarded-For": ""} {
				if got.header.Get(name) != want {
					t.Errorf("header %s: %q, want %q", name, got.header.Get(name), want)
				}
			}
			if metadata := got.header.Get(metadataHeader); strings.HasPrefix(tt.operation, "invoke") && metadata != own {
				t.Errorf("metadata %s", metadata)
			}
			got.header.Del(metadataHeader)
			for name, values := range got.header {
				if strings.Contains(values[0], canary) {
					t.Errorf("header %s: %s is the caller's", name, values[0])
				}
			}
		})
	}
}

// A caller can't write the function's metadata, and can write its own.
func TestNativeCallersCannotForgeMetadata(t *testing.T) {
	t.Parallel()
	const forged = `{"caller":"forged","CALLER":"forged","sourceIp":"forged","apiExtendedRequestID":"forged","team":"reports"}`
	for name, r := range map[string]request{
		"converse":                    native("converse", `{"requestMetadata":`+forged+`,"messages":[{"role":"user","content":[{"text":"x"}]}]}`),
		"twice":                       native("converse-stream", `{"requestMetadata":`+forged+`,"messages":[{"role":"user","content":[{"text":"x"}]}],"requestMetadata":`+forged+`}`),
		"spelt otherwise":             native("converse", `{"request\u004detadata":`+forged+`,"REQUESTMETADATA":`+forged+`,"messages":[{"role":"user","content":[{"text":"x"}]}]}`),
		"invoke":                      native("invoke", `{"prompt":"x"}`),
		"invoke-with-response-stream": native("invoke-with-response-stream", `{"prompt":"x"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			r.Headers = maps.Clone(r.Headers)
			r.Headers["x-amzn-bedrock-request-METADATA"] = forged
			r.RequestContext.Identity.SourceIP = "10.0.0.1" // an unsigned call has no IAM caller
			if response, _ := f.call(t, r); response.StatusCode != 200 {
				t.Fatal(response)
			}
			want := map[string]string{"apiExtendedRequestId": "request-1", "sourceIp": "10.0.0.1", "team": "reports"}
			if got := f.record(t).RequestMetadata; !maps.Equal(got, want) {
				t.Errorf("metadata %v, want %v", got, want)
			}
		})
	}
	for _, body := range []string{`{"requestMetadata":[]}`, `{"requestMetadata":{"a":1}}`, `{"requestMetadata":"x"}`} {
		f := newFixture(t)
		if response, _ := f.call(t, native("converse", body)); response.StatusCode != 400 || !strings.Contains(response.Body, "requestMetadata: want an object of texts") || len(f.records) > 0 {
			t.Errorf("%s: %v", body, response)
		}
	}
}

// A caller can't name another guardrail, narrow what it evaluates, or request the response before its verdict.
func TestNativeCallsAreGuarded(t *testing.T) {
	t.Parallel()
	const set = `"guardrailConfig":{"guardrailIdentifier":"3o06191495ze","guardrailVersion":"2"}}`
	for name, tt := range map[string]struct{ operation, body, want string }{
		"none":              {"converse", `{}`, `{"requestMetadata":` + own + `,` + set},
		"another":           {"converse-stream", `{"guardrailConfig":{"guardrailIdentifier":"mine","streamProcessingMode":"async"}}`, `{"requestMetadata":` + own + `,` + set},
		"spelt otherwise":   {"converse", `{"GuardrailConfig":null,"guardrail\u0043onfig":{},"guardrailConfig":{}}`, `{"requestMetadata":` + own + `,` + set},
		"system":            {"converse", `{"system":[{"text":"a \u00e9"},{"cachePoint":{"type":"default"}}]}`, `{"system":[{"guardContent":{"text":{"text":"a \u00e9"}}},{"cachePoint":{"type":"default"}}],"requestMetadata":` + own + `,` + set},
		"tags":              {"invoke", `{"prompt":"x","amazon-bedrock-guardrailConfig":{"tagSuffix":"x","streamProcessingMode":"ASYNCHRONOUS"},"n":1.0}`, `{"prompt":"x","n":1.0}`},
		"tags, otherwise":   {"invoke-with-response-stream", `{"amazon-bedrock-guardrail\u0043onfig":{"tagSuffix":"x"},"Amazon-Bedrock-GuardrailConfig":{},"prompt":"x"}`, `{"prompt":"x"}`},
		"tags, own fields":  {"converse", `{"AdditionalModelRequestFields":{"amazon-bedrock-guardrailConfig":{"tagSuffix":"x","streamProcessingMode":"ASYNCHRONOUS"},"AMAZON-bedrock-trace":"ENABLED","k":1}}`, `{"AdditionalModelRequestFields":{"k":1},"requestMetadata":` + own + `,` + set},
		"marks":             {"converse", `{"messages":[{"role":"user","content":[{"text":"bad"},{"guardContent":{"text":{"text":"good"}}}]}]}`, ""},
		"marks, otherwise":  {"converse-stream", `{"Messages":[{"role":"user","content":[{"text":"bad"},{"Guard\u0043ontent":{}}]}]}`, ""},
		"marks, hidden":     {"converse", `{"messages":[],"messages":[{"content":[{"guardContent":{}}],"content":[]}]}`, ""},
		"no JSON":           {"invoke", `x`, ""},
		"no object":         {"converse", `[]`, ""},
		"goes on":           {"converse", `{} {}`, ""},
		"system is no list": {"converse", `{"system":"x"}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			b, calls := taking(t, nil, `{}`)
			f.bedrock = b
			var err error
			if f.guardrail, err = newGuardrail("3o06191495ze", "2"); err != nil {
				t.Fatal(err)
			}
			r := native(tt.operation, tt.body)
			r.Headers["x-amzn-bedrock-guardrailidentifier"], r.Headers["X-Amzn-Bedrock-GuardrailVersion"], r.Headers["X-Amzn-Bedrock-Trace"] = "mine", "DRAFT", "ENABLED_FULL"
			response, _ := f.call(t, r)
			if tt.want == "" {
				if response.StatusCode != 400 || response.Headers["X-Amzn-Errortype"] != "ValidationException" || len(calls) > 0 {
					t.Errorf("%v and %d calls", response, len(calls))
				}
				return
			}
			got := <-calls
			if got.body != tt.want {
				t.Errorf("body %s, want %s", got.body, tt.want)
			}
			if h := got.header; strings.HasPrefix(tt.operation, "invoke") && (h.Get(guardrailHeader) != "3o06191495ze" || h.Get(guardrailVersionHeader) != "2" || h.Get("X-Amzn-Bedrock-Trace") != "") {
				t.Errorf("headers %v", h)
			}
		})
	}
}

// Responses and Bedrock's headers are forwarded unchanged.
func TestResponsesAreForwardedUnchanged(t *testing.T) {
	t.Parallel()
	stream := bytes.Join([][]byte{
		frame(t, "messageStart", `{"role":"assistant"}`), frame(t, "somethingNew", `{"x":"`+strings.Repeat("x", 1<<18)+`"}`),
		frame(t, "metadata", `{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3,"cacheReadInputTokens":4,"cacheWriteInputTokens":5}}`),
	}, nil)
	chunks := frame(t, "chunk", `{"bytes":"`+"eyJhbWF6b24tYmVkcm9jay1pbnZvY2F0aW9uTWV0cmljcyI6eyJpbnB1dFRva2VuQ291bnQiOjEsIm91dHB1dFRva2VuQ291bnQiOjIsImNhY2hlUmVhZElucHV0VG9rZW5Db3VudCI6NCwiY2FjaGVXcml0ZUlucHV0VG9rZW5Db3VudCI6NX19"+`"}`)
	const counted = `"InputTokenCount":1,"OutputTokenCount":2,"CacheReadInputTokenCount":4,"CacheWriteInputTokenCount":5`
	for operation, tt := range map[string]struct {
		header map[string]string
		body   string
	}{
		"converse":                    {map[string]string{"Content-Type": "application/json"}, ` {"newer":1e400,"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3,"cacheReadInputTokens":4,"cacheWriteInputTokens":5}}`},
		"converse-stream":             {map[string]string{"Content-Type": eventStream}, string(stream)},
		"invoke":                      {map[string]string{"Content-Type": "image/x-newer", "X-Amzn-Bedrock-Input-Token-Count": "1", "X-Amzn-Bedrock-Output-Token-Count": "2", "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "4", "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "5", "X-Amzn-Bedrock-Newer": "1"}, "\x00\xff"},
		"invoke-with-response-stream": {map[string]string{"Content-Type": eventStream, "X-Amzn-Bedrock-Content-Type": "application/json"}, string(chunks)},
	} {
		for _, streaming := range []bool{true, false} {
			t.Run(operation, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.streaming = streaming
				f.bedrock, _ = taking(t, tt.header, tt.body)
				answer := f.roundTrip(t.Context(), t, native(operation, `{}`))
				if answer.StatusCode != 200 || answer.Body != tt.body {
					t.Errorf("%d %q", answer.StatusCode, answer.Body)
				}
				for name, want := range tt.header {
					if answer.Headers[name] != want {
						t.Errorf("header %s: %q, want %q", name, answer.Headers[name], want)
					}
				}
				if !strings.Contains(f.logged.String(), counted) {
					t.Errorf("log %s", f.logged)
				}
			})
		}
	}
}

// A stream that breaks off ends with an exception between two events, and is cut within an event.
func TestBrokenNativeStreams(t *testing.T) {
	t.Parallel()
	whole := frame(t, "messageStart", `{"role":"assistant"}`)
	breaking := func(b []byte) bedrock {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", eventStream)
			w.Write(b)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}))
	}
	f := newFixture(t)
	f.bedrock = breaking(whole)
	body := f.roundTrip(t.Context(), t, native("converse-stream", hello)).Body
	rest, found := strings.CutPrefix(body, string(whole))
	message, err := eventstream.NewDecoder().Decode(strings.NewReader(rest), nil)
	if err != nil || !found || message.Headers.Get(":exception-type").String() != "modelStreamErrorException" || !strings.Contains(string(message.Payload), "Bedrock returned no usable response") {
		t.Errorf("%q %v", rest, err)
	}
	if log := f.logged.String(); !strings.Contains(log, `"InvocationServerErrors":1`) || !strings.Contains(log, `"msg":"failed"`) {
		t.Errorf("log %s", log)
	}

	for name, b := range map[string]bedrock{"broken": breaking(whole[:20]), "ended": streaming(t, whole[:20])} {
		f := newFixture(t)
		f.bedrock = b
		answer, err := f.handle(t.Context(), native("converse-stream", hello))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, answer.(io.Reader)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v, want an answer that is cut", name, err)
		}
		answer.(io.Closer).Close()
	}

	// A buffered response has the error's status, because nothing was sent before.
	f = newFixture(t)
	f.streaming = false
	f.bedrock = breaking(whole[:20])
	if answer := f.roundTrip(t.Context(), t, native("converse-stream", hello)); answer.StatusCode != 502 || answer.IsBase64Encoded {
		t.Errorf("%v", answer)
	}
}

// front starts the API as a client reaches it, without the policies. The sandbox's front door stands in for API
// Gateway.
func front(t testing.TB, h handler) *bedrockruntime.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		model, operation, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/model/"), "/")
		in := request{HTTPMethod: r.Method, Resource: "/model/{modelId}/" + operation, PathParameters: map[string]string{"modelId": model}, Body: string(body), Headers: map[string]string{}}
		for name := range r.Header {
			in.Headers[name] = r.Header.Get(name)
		}
		answer := h.roundTrip(r.Context(), t.(*testing.T), in)
		for name, value := range answer.Headers {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answer.StatusCode)
		io.WriteString(w, answer.Body)
	}))
	t.Cleanup(server.Close)
	return bedrockruntime.New(bedrockruntime.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return h.bedrock.credentials, nil }), Retryer: aws.NopRetryer{},
	})
}

// operations lists the operations of the native API. Each function calls one with a client, and returns the response's
// text.
var operations = map[string]func(ctx context.Context, c *bedrockruntime.Client, model, prompt string) (string, error){
	"Converse": func(ctx context.Context, c *bedrockruntime.Client, model, prompt string) (string, error) {
		out, err := c.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &model, Messages: []types.Message{{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: prompt}}}}})
		if err != nil {
			return "", err
		}
		return text(out.Output), nil
	},
	"ConverseStream": func(ctx context.Context, c *bedrockruntime.Client, model, prompt string) (answer string, err error) {
		out, err := c.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{ModelId: &model, Messages: []types.Message{{Role: "user", Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: prompt}}}}})
		if err != nil {
			return "", err
		}
		stream := out.GetStream()
		defer stream.Close()
		for event := range stream.Events() {
			if delta, ok := event.(*types.ConverseStreamOutputMemberContentBlockDelta); ok {
				answer += delta.Value.Delta.(*types.ContentBlockDeltaMemberText).Value
			}
		}
		return answer, stream.Err()
	},
	"InvokeModel": func(ctx context.Context, c *bedrockruntime.Client, model, prompt string) (string, error) {
		out, err := c.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &model, ContentType: aws.String("application/json"), Body: marshal(map[string]string{"prompt": prompt})})
		if err != nil {
			return "", err
		}
		var body struct{ Completion string }
		err = json.Unmarshal(out.Body, &body)
		return strings.TrimSpace(body.Completion), err
	},
	"InvokeModelWithResponseStream": func(ctx context.Context, c *bedrockruntime.Client, model, prompt string) (answer string, err error) {
		out, err := c.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: &model, ContentType: aws.String("application/json"), Body: marshal(map[string]string{"prompt": prompt})})
		if err != nil {
			return "", err
		}
		stream := out.GetStream()
		defer stream.Close()
		for event := range stream.Events() {
			var body struct{ Completion string }
			if err := json.Unmarshal(event.(*types.ResponseStreamMemberChunk).Value.Bytes, &body); err != nil {
				return "", err
			}
			answer += body.Completion
		}
		return strings.TrimSpace(answer), stream.Err()
	},
}

// AWS SDKs work with all four operations, and raise Bedrock's typed errors.
func TestSDKsWork(t *testing.T) {
	t.Parallel()
	for operation, call := range operations {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			client := front(t, f.handler)
			if answer, err := call(t.Context(), client, secondModel, "Hello "+canary); err != nil || answer != "You said: Hello "+canary {
				t.Errorf("%q, %v", answer, err)
			}
			if record := f.record(t); record.Operation != operation {
				t.Errorf("record %+v", record)
			}
			for name, status := range sandbox.Faults {
				_, err := call(t.Context(), client, firstModel, "fault "+name)
				// The SDK selects the type by name.
				var typed interface {
					ErrorCode() string
					ErrorMessage() string
				}
				var answered interface{ HTTPStatusCode() int }
				if !errors.As(err, &typed) || typed.ErrorCode() != name || !errors.As(err, &answered) || answered.HTTPStatusCode() != status {
					t.Errorf("fault %s: %v", name, err)
				} else if kind := reflect.TypeOf(typed).String(); kind != "*types."+name {
					t.Errorf("fault %s is a %s", name, kind)
				} else if kept := typed.ErrorMessage() == "as asked: fault "+name; kept != (status != 403) {
					t.Errorf("fault %s says %s: want Bedrock's own words, but where they name roles", name, typed.ErrorMessage())
				}
			}
			for _, model := range []string{"amazon.nova-lite-v1", canary, "amazon.nova-lite-v1:0/../x"} {
				var refused *types.ValidationException
				if _, err := call(t.Context(), client, model, "Hello"); !errors.As(err, &refused) || !strings.Contains(refused.ErrorMessage(), "GET /models") {
					t.Errorf("model %s: %v", model, err)
				}
			}
			if len(f.records) > 0 || strings.Contains(f.logged.String(), canary) {
				t.Errorf("%d records; log %s", len(f.records), f.logged)
			}
		})
	}
	for operation, names := range sandbox.StreamFaults {
		f := newFixture(t)
		client := front(t, f.handler)
		for _, name := range names {
			_, err := operations[operation](t.Context(), client, firstModel, "break "+name)
			var typed interface{ ErrorCode() string }
			if !errors.As(err, &typed) || typed.ErrorCode() != name {
				t.Errorf("%s breaks with %s: %v", operation, name, err)
			}
			if log := f.logged.String(); !strings.Contains(log, `"bedrockCode":"`+name+`"`) || !strings.Contains(log, `"InvocationServerErrors":1`) {
				t.Errorf("log %s", log)
			}
			f.logged.Reset()
		}
	}
}

// For any body or header, the function responds itself, and forwards its guardrail and metadata only.
func FuzzNative(f *testing.F) {
	f.Add(uint8(0), `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"system":[{"text":"s"}],"requestMetadata":{"caller":"x"}}`, `{"caller":"x"}`, "amazon.nova-lite-v1%3A0", false)
	f.Add(uint8(1), `{"guardrail\u0043onfig":{},"messages":[{"role":"user","content":[{"text":"break ThrottlingException"}]}]}`, "", "%", false)
	f.Add(uint8(2), `{"prompt":"x","amazon-bedrock-guardrailConfig":{}}`, "[]", "", true)
	f.Add(uint8(3), `{"prompt":"x","a":`+strings.Repeat("[", 99)+strings.Repeat("]", 99)+`}`, "{}", "\xff", false)
	fixture := newFixture(f)
	fixture.standIn.Deliver = nil
	var err error
	if fixture.guardrail, err = newGuardrail("3o06191495ze", "2"); err != nil {
		f.Fatal(err)
	}
	b, calls := taking(f, map[string]string{"Content-Type": "application/json"}, `{}`)
	fixture.bedrock = b
	f.Fuzz(func(t *testing.T, which uint8, body, metadata, model string, isBase64 bool) {
		within(t, 10*time.Second)
		r := native([]string{"converse", "converse-stream", "invoke", "invoke-with-response-stream"}[which%4], body)
		r.IsBase64Encoded, r.Headers["X-Amzn-Bedrock-Request-Metadata"] = isBase64, metadata
		r.PathParameters["modelId"] = model
		r.RequestContext.ExtendedRequestID = "request-1"
		fixture.logged.Reset()
		answer, err := fixture.handle(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.(io.Reader))
		answer.(io.Closer).Close()
		if strings.Contains(fixture.logged.String(), `"msg":"panic"`) {
			t.Errorf("panic: %s", fixture.logged)
		}
		if len(calls) == 0 {
			return
		}
		got := <-calls
		said, guard := got.header.Get(metadataHeader), got.header.Get(guardrailHeader)
		var fields map[string]json.RawMessage
		if err := json.Unmarshal([]byte(got.body), &fields); err != nil {
			t.Fatalf("%v in %s", err, got.body)
		}
		if strings.HasPrefix(r.Resource, "/model/{modelId}/converse") {
			said = string(fields["requestMetadata"])
			var config struct{ GuardrailIdentifier string }
			if err := json.Unmarshal(fields["guardrailConfig"], &config); err != nil {
				t.Fatal(err)
			}
			guard = config.GuardrailIdentifier
			delete(fields, "requestMetadata")
			delete(fields, "guardrailConfig")
		}
		var entries map[string]string
		if err := json.Unmarshal([]byte(said), &entries); err != nil || entries["apiExtendedRequestId"] != "request-1" || entries["caller"] != "" || guard != "3o06191495ze" {
			t.Errorf("metadata %s, guardrail %s, %v", said, guard, err)
		}
		for name := range fields {
			for _, forbidden := range []string{"requestMetadata", "guardrailConfig", "amazon-bedrock-guardrailConfig"} {
				if strings.EqualFold(name, forbidden) && !(forbidden == "requestMetadata" && guard != "" && strings.Contains(r.Resource, "invoke")) && !(forbidden == "guardrailConfig" && strings.Contains(r.Resource, "invoke")) {
					t.Errorf("%s holds %s", got.body, name)
				}
			}
		}
	})
}

// The function reads a stream's frames as a client does, and survives broken ones.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame(f, "messageStart", `{}`), frame(f, "metadata", `{"usage":{"inputTokens":1}}`)...), uint8(3))
	f.Add(exception(errDeadline), uint8(1))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x10"), uint8(7))
	f.Fuzz(func(t *testing.T, stream []byte, step uint8) {
		within(t, 10*time.Second)
		var followed frames
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), int(step)%17+1)
			followed.write(rest[:n])
			rest = rest[n:]
		}
		followed.last() // must not panic
		reader, decoder := bytes.NewReader(stream), eventstream.NewDecoder()
		read, payload := 0, []byte(nil)
		for {
			message, err := decoder.Decode(reader, nil)
			if err != nil {
				break
			}
			read, payload = len(stream)-reader.Len(), message.Payload
		}
		if read != len(stream) || read == 0 {
			return // a broken stream
		}
		message, err := decoder.Decode(bytes.NewReader(followed.frame), nil)
		if !followed.whole() || len(followed.frame) < largestLast && (err != nil || !bytes.Equal(message.Payload, payload)) {
			t.Errorf("the last frame is %q, %v, want %q", followed.frame, err, payload)
		}
	})
}

// The content types that a page of another site can send are refused. SDKs, which send no content type, are accepted.
func TestContentTypesOfNativeCalls(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string][2]int{ // without Origin, and with one
		"": {200, 415}, "application/json": {200, 200}, "Application/JSON; charset=utf-8": {200, 200},
		"text/plain;charset=UTF-8": {415, 415}, " Text/Plain": {415, 415}, "multipart/form-data; boundary=x": {415, 415}, "application/x-www-form-urlencoded": {415, 415},
	} {
		for i, origin := range []string{"", "https://example.com"} {
			f := newFixture(t)
			r := native("invoke", `{"prompt":"x"}`)
			r.Headers = map[string]string{}
			if contentType != "" {
				r.Headers["content-type"] = contentType
			}
			if origin != "" {
				r.Headers["origin"] = origin
			}
			if response, _ := f.call(t, r); response.StatusCode != want[i] {
				t.Errorf("%q from %q: %v, want %d", contentType, origin, response, want[i])
			}
		}
	}
}

// Undocumented errors of Bedrock are mapped to a documented status, and leak none of their text.
func TestUndocumentedErrorsOfNativeCalls(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		code       string
		want       int
		wantCode   string
		retryAfter string
	}{
		"throttled":           {429, "ThrottlingException", 429, "ThrottlingException", "1"},
		"credentials run out": {400, "ExpiredTokenException", 502, "InternalServerException", ""},
		"a proxy's page":      {503, "", 502, "InternalServerException", ""},
	} {
		f := newFixture(t)
		f.bedrock = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", tt.code)
			w.WriteHeader(tt.status)
			io.WriteString(w, `{"message":"as arn:aws:iam::1:role/r"}`)
		}))
		if tt.want == 429 { // Bedrock's own message
			f.bedrock = serve(t, f.standIn)
		}
		response, _ := f.call(t, native("converse", strings.Replace(hello, "Hello", "fault "+tt.code, 1)))
		if response.StatusCode != tt.want || response.Headers["X-Amzn-Errortype"] != tt.wantCode || response.Headers["Retry-After"] != tt.retryAfter {
			t.Errorf("%s: %v", name, response)
		}
	}
}
