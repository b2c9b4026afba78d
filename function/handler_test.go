package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sandbox "github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
)

// Prompts and settings reach Bedrock unchanged, and responses contain text and usage.
func TestPromptsReachBedrockUnchanged(t *testing.T) {
	t.Parallel()
	const text = "text/plain; charset=utf-8"
	for name, tt := range map[string]struct {
		request             request
		model, input        string // as Bedrock records them
		contentType, answer string
	}{
		"path": {path(canary), firstModel,
			`{"messages":[{"role":"user","content":[{"text":"` + canary + `"}]}],"inferenceConfig":{"maxTokens":300}}`,
			text, "You said: " + canary},
		"path in Japanese, with reserved characters": {path("%E5%AF%8C%E5%A3%AB%20%E3%81%AF%2F%E9%AB%98%E3%81%84%3F%20100%25%20a+b"), firstModel,
			`{"messages":[{"role":"user","content":[{"text":"富士 は/高い? 100% a+b"}]}],"inferenceConfig":{"maxTokens":300}}`,
			text, "You said: 富士 は/高い? 100% a+b"},
		"path that is escaped once only": {path("%252F%23%26%F0%9F%97%BB<b>"), firstModel,
			`{"messages":[{"role":"user","content":[{"text":"%2F#&🗻<b>"}]}],"inferenceConfig":{"maxTokens":300}}`,
			text, "You said: %2F#&🗻<b>"},
		"prompt alone leaves every choice to the model": {post(`{"prompt":"Hello"}`), firstModel,
			`{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{}}`, "application/json",
			`{"text":"You said: Hello","model":"` + firstModel + `","stopReason":"end_turn","usage":{"inputTokens":2,"outputTokens":4,"totalTokens":6},"requestId":"request-1"}`},
		"everything": {post(`{"messages":[{"role":"user","content":"高さは?"},{"role":"assistant","content":"3776"},{"role":"user","content":"ft?"}],
				"system":"` + canary + `","model":"` + secondModel + `","maxTokens":1,"temperature":0.7,"topP":0.9,"stop":["` + canary + `","。"]}`), "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/" + secondModel,
			`{"messages":[{"role":"user","content":[{"text":"高さは?"}]},{"role":"assistant","content":[{"text":"3776"}]},{"role":"user","content":[{"text":"ft?"}]}],
				"system":[{"text":"` + canary + `"}],"inferenceConfig":{"maxTokens":1,"temperature":0.7,"topP":0.9,"stopSequences":["` + canary + `","。"]}}`, "application/json",
			`{"text":"You said: ft?","model":"` + secondModel + `","stopReason":"max_tokens","usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"requestId":"request-1"}`},
		"ends of the ranges": {post(`{"prompt":"x","messages":[],"system":"","maxTokens":2147483647,"temperature":0,"topP":1,"stop":[]}` + "\r\n"), firstModel,
			`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":2147483647,"temperature":0,"topP":1,"stopSequences":[]}}`, "application/json",
			`{"text":"You said: x","model":"` + firstModel + `","stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":3,"totalTokens":4},"requestId":"request-1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, _ := f.call(t, tt.request)
			if response.StatusCode != 200 || response.Headers["Content-Type"] != tt.contentType || response.Body != tt.answer {
				t.Errorf("%d %v %s, want %s", response.StatusCode, response.Headers, response.Body, tt.answer)
			}
			record := f.record(t)
			var got, want any
			decode(t, string(record.Input.BodyJSON), &got)
			decode(t, tt.input, &want)
			if record.ModelID != tt.model || !reflect.DeepEqual(got, want) {
				t.Errorf("to %s: %v, want %v", record.ModelID, got, want)
			}
		})
	}
}

// Every call of /generate has the guardrail, and its system prompt is marked for evaluation.
func TestEveryCallIsGuarded(t *testing.T) {
	t.Parallel()
	const guardrail = `"guardrailConfig":{"guardrailIdentifier":"3o06191495ze","guardrailVersion":"2"}`
	for name, tt := range map[string]struct {
		request request
		input   string
	}{
		"path":   {path("Hello"), `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{"maxTokens":300},` + guardrail + `}`},
		"prompt": {post(`{"prompt":"Hello"}`), `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{},` + guardrail + `}`},
		"system prompt": {post(`{"prompt":"Hello","system":"be ` + canary + `"}`), `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],
			"system":[{"guardContent":{"text":{"text":"be ` + canary + `"}}}],"inferenceConfig":{},` + guardrail + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var err error
			if f.handler.guardrail, err = newGuardrail("3o06191495ze", "2"); err != nil {
				t.Fatal(err)
			}
			if response, _ := f.call(t, tt.request); response.StatusCode != 200 {
				t.Errorf("%d %s", response.StatusCode, response.Body)
			}
			var got, want any
			decode(t, string(f.record(t).Input.BodyJSON), &got)
			decode(t, tt.input, &want)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// The function reads the guardrail and the models from its environment, and doesn't start with half a guardrail.
func TestGuardrailNeedsIDAndVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ models, id, version, want string }{
		{"a.b,c.d", "", "", "a.b c.d"},
		{" a.b, c.d\n", "3o06191495ze", "2", "a.b c.d 3o06191495ze 2"},
		{"a.b", "3o06191495ze", "", "error"},
		{"a.b", "", "2", "error"},
	} {
		h, err := newHandler(func(name string) string {
			return map[string]string{"MODEL_IDS": c.models, "GUARDRAIL_ID": c.id, "GUARDRAIL_VERSION": c.version, "RESPONSE_STREAMING": "true", "AWS_REGION": "eu-west-1"}[name]
		})
		got := strings.Join(h.models, " ")
		if h.guardrail != nil {
			got += " " + *h.guardrail.GuardrailIdentifier + " " + *h.guardrail.GuardrailVersion
		}
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%+v: %s, %v", c, got, err)
		}
	}
}

// The other routes respond, and unknown routes return an error.
func TestOtherRoutes(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]string{
		"GET /health":            `{"invocationLoggingRequired":false,"status":"ok"}`,
		"GET /models":            `{"default":"` + firstModel + `","models":["` + firstModel + `","` + secondModel + `"]}`,
		"GET /generate":          "",
		"POST /models":           "",
		"POST /{" + canary + "}": "",
	} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			method, resource, _ := strings.Cut(route, " ")
			response, p := f.call(t, request{HTTPMethod: method, Resource: resource})
			if want != "" && (response.StatusCode != 200 || response.Body != want) ||
				want == "" && (response.StatusCode != 404 || p.Error.Code != "NoSuchRoute" || !strings.Contains(p.Error.Message, "GET /openapi.json")) {
				t.Errorf("%d %s, want %s", response.StatusCode, response.Body, want)
			}
			if len(f.records) != 0 {
				t.Error("Bedrock was called")
			}
		})
	}
}

// API Gateway's events are read correctly, so that the record and the log line name the call.
func TestEvent(t *testing.T) {
	t.Parallel()
	for file, answer := range map[string]string{"path.json": "You said: 高い/低い?", "body.json": `{"text":"You said: 高い/低い?",`} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			event, err := os.ReadFile("testdata/" + file)
			if err != nil {
				t.Fatal(err)
			}
			var r request
			if err := json.Unmarshal(event, &r); err != nil {
				t.Fatal(err)
			}
			f := newFixture(t)
			if response := f.roundTrip(t.Context(), t, r); !strings.HasPrefix(response.Body, answer) {
				t.Error(response)
			}
			want := map[string]string{
				"apiExtendedRequestId": "QmOw7G1BIAMFYJQ=", "sourceIp": "10.0.131.7",
				"caller": "arn:aws:sts::123456789012:assumed-role/reports/i-0ab1af6b52934bea1", "sourceVpce": "vpce-0bc731de06c089ce1",
			}
			if got := f.record(t).RequestMetadata; !maps.Equal(got, want) {
				t.Errorf("metadata %v, want %v", got, want)
			}
			for _, want := range []string{`"route":"POST /generate`, `"ModelId":"` + firstModel, `"status":200`, `"InputTokenCount":2`, `"OutputTokenCount":5`,
				`"InvocationLatency":`, `"apiExtendedRequestId":"QmOw7G1BIAMFYJQ="`} {
				if !strings.Contains(f.logged.String(), want) {
					t.Errorf("log %s lacks %s", f.logged, want)
				}
			}
		})
	}
}

// Calls from a page of another site are refused.
func TestForeignPagesAreRefused(t *testing.T) {
	t.Parallel()
	for site, want := range map[string]int{"": 200, "none": 200, "same-origin": 200, "cross-site": 403, "same-site": 403} {
		for _, r := range []request{post(`{"prompt":"Hello"}`), path("Hello"), native("converse", hello), native("invoke-with-response-stream", `{"prompt":"x"}`)} {
			f := newFixture(t)
			r.Headers = maps.Clone(r.Headers)
			if r.Headers == nil {
				r.Headers = map[string]string{}
			}
			if site != "" {
				r.Headers["sec-fetch-site"] = site
			}
			if response, _ := f.ask(t, r); response.StatusCode != want || (len(f.records) == 1) != (want == 200) {
				t.Errorf("%s from %q: status %d, want %d", r.Resource, site, response.StatusCode, want)
			}
		}
	}
}

// The function serves exactly the routes of the API's definition.
func TestEveryDefinedRouteIsServed(t *testing.T) {
	t.Parallel()
	if defined, served := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(routes)); !slices.Equal(defined, served) {
		t.Errorf("defined are %v, served %v", defined, served)
	}
}

// The metadata names the caller in characters that Bedrock accepts, and a caller can't forge it.
func TestCallersCannotForgeMetadata(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := post(`{"prompt":"x"}`)
	r.Headers["apiRequestId"], r.Headers["X-Amzn-Vpce-Id"], r.Headers["X-Forwarded-For"] = "forged", "forged", "forged"
	r.PathParameters = map[string]string{"caller": "forged"}
	r.RequestContext.Identity.UserARN = "arn:aws:iam::1:user/é\xff|'" + strings.Repeat("長", 300)
	r.RequestContext.Identity.SourceIP = "10.0.0.1 \t@$#=+,.-_"
	f.call(t, r)
	want := map[string]string{ // empty values are absent
		"apiExtendedRequestId": "request-1", "sourceIp": "10.0.0.1 \t@$#=+,.-_", "caller": "arn:aws:iam::1:user/" + strings.Repeat("_", 256-20),
	}
	if got := f.record(t).RequestMetadata; !maps.Equal(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
}

// Each of Bedrock's errors has its status, and a throttle has Retry-After.
func TestBedrockFaults(t *testing.T) {
	t.Parallel()
	want := map[string]int{
		"ValidationException": 400, "AccessDeniedException": 403, "ResourceNotFoundException": 404, "ModelTimeoutException": 408,
		"ModelErrorException": 424, "ThrottlingException": 429, "ModelNotReadyException": 429, "ServiceQuotaExceededException": 429,
		"InternalServerException": 502, "ServiceUnavailableException": 503,
	}
	for name := range sandbox.Faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, _ := f.call(t, post(`{"prompt":"fault `+name+`","system":"`+canary+`"}`))
			if retry := response.Headers["Retry-After"] == "1"; response.StatusCode != want[name] || retry != (want[name] == 429) {
				t.Errorf("%d %v %s, want %d", response.StatusCode, response.Headers, response.Body, want[name])
			}
			if counted := strings.Contains(f.logged.String(), `"InvocationThrottles":1`); counted != (want[name] == 429) {
				t.Errorf("log %s counts a throttle: %v", f.logged, counted)
			}
			if log := f.logged.String(); !regexp.MustCompile(`"bedrockCode":"` + name + `","bedrockRequestId":"[0-9a-f-]+"`).MatchString(log) {
				t.Errorf("log %s does not say what Bedrock answered", log)
			}
		})
	}
}

// Undocumented responses of Bedrock cause an error of the server, not a crash or a leak.
func TestUndocumentedResponsesOfBedrock(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	answering := func(status int, errorType, body string) bedrock {
		return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", errorType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
	}
	doing := func(do doFunc) bedrock {
		b := once(t, environment(closed.URL))
		b.http = do
		return b
	}
	for name, tt := range map[string]struct {
		bedrock      bedrock
		status       int
		body, logged string
	}{
		"refusal that quotes the prompt": {answering(400, "ValidationException", `{"message":"`+canary+`"}`), 400, "ModelRefusedRequest", `"msg":"refused"`},
		"credentials run out":            {answering(403, "ExpiredTokenException", `{"message":"arn:aws:iam::1:role/r"}`), 502, "BedrockError", "ExpiredTokenException"},
		"a proxy's page":                 {answering(503, "", "<html>"+canary), 502, "BedrockError", `"level":"ERROR","msg":"failed"`},
		"no connection":                  {once(t, environment(closed.URL)), 502, "BedrockError", "connection refused"},
		"an error of the client's own":   {doing(func(*http.Request) (*http.Response, error) { return nil, errors.New(canary) }), 500, "InternalError", "*errors.errorString"},
		"no answer and no error":         {doing(func(*http.Request) (*http.Response, error) { return nil, nil }), 500, "InternalError", `"msg":"panic"`},
		"a panic":                        {doing(func(*http.Request) (*http.Response, error) { panic(canary) }), 500, "InternalError", `"msg":"panic","type":"string","stack":"goroutine`},
		"an answer that breaks off":      {answering(200, "", `{"output":{"message":`), 502, "BedrockError", `"msg":"failed"`},
		"no output":                      {answering(200, "", `{}`), 502, "NoAnswer", `"code":"NoAnswer"`},
		"no text":                        {answering(200, "", `{"output":{"message":{"role":"assistant","content":[]}}}`), 502, "NoAnswer", `"code":"NoAnswer"`},
		"text in parts, and a thought": {answering(200, "", `{"output":{"message":{"role":"assistant","content":[{"text":"富士"},
			{"reasoningContent":{"reasoningText":{"text":"`+canary+`"}}},{"text":"山"}]}}}`), 200, "富士山", `"ModelId":"` + firstModel},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.bedrock = tt.bedrock
			response, p := f.call(t, path("Hello"))
			if response.StatusCode != tt.status || tt.body != response.Body && tt.body != p.Error.Code || !strings.Contains(f.logged.String(), tt.logged) {
				t.Errorf("%d %s, want %d %s; log %s", response.StatusCode, response.Body, tt.status, tt.body, f.logged)
			}
		})
	}
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// The function responds before Lambda's timeout. Otherwise, API Gateway would return 502.
func TestDeadlineIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its clock advances when all goroutines wait
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		silent := doFunc(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "bedrock-runtime.eu-west-1.amazonaws.com" {
				t.Errorf("asked %s: without AWS_ENDPOINT_URL, want the region's own host", r.URL.Host)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		b := once(t, environment(""))
		b.http = silent
		h := handler{bedrock: b, models: []string{firstModel}, logging: &invocationLog{}, retention: inMode("none"), log: slog.New(slog.DiscardHandler)}
		if response := h.roundTrip(ctx, t, path("Hello")); response.StatusCode != 504 || !strings.Contains(response.Body, "fewer tokens") {
			t.Error(response)
		}
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left < time.Second/2 || left > 3*time.Second {
			t.Errorf("answered %v before the deadline, want about a second", left)
		}
	})
}

// Calls are signed with the function's credentials.
func TestCallsAreSigned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signed := make(chan http.Header, 1)
	f.standIn.Authorize = func(r *http.Request, _ sandbox.ModelCall) (string, error) {
		signed <- r.Header
		return "", errors.New("User: arn:aws:sts::123456789012:assumed-role/r is not authorized to perform: bedrock:InvokeModel")
	}
	response, _ := f.call(t, path("Hello"))
	h := <-signed
	if a := h.Get("Authorization"); response.StatusCode != 403 || h.Get("X-Amz-Security-Token") != "session" ||
		!strings.Contains(a, "Credential=AKIDEXAMPLE/") || !strings.Contains(a, "/eu-west-1/bedrock/aws4_request") {
		t.Errorf("%d, headers %v", response.StatusCode, h)
	}
}

// The function doesn't start without models, and says why.
func TestRunRequiresModels(t *testing.T) {
	t.Parallel()
	for _, ids := range []string{"", ",,"} {
		err := run(func(string) string { return ids })
		if err == nil || !strings.Contains(err.Error(), "MODEL_IDS") || !strings.Contains(err.Error(), "separated by commas") {
			t.Errorf("MODEL_IDS=%q: %v", ids, err)
		}
	}
	if _, err := newHandler(func(string) string { return "yes" }); err == nil || !strings.Contains(err.Error(), `RESPONSE_STREAMING: got "yes", must be true or false`) {
		t.Error(err)
	}
}
