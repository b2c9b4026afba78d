package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithy "github.com/aws/smithy-go"

	"github.com/private-bedrock/private-bedrock/internal/sandbox"
)

// Lost: a prompt in Japanese, or with a slash or plus sign, that arrives as another one.
func TestPathPromptArrivesWhole(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ escaped, prompt string }{
		{"Hello", "Hello"},
		{"%E5%AF%8C%E5%A3%AB%E5%B1%B1%20%E3%81%AF%2F%E9%AB%98%E3%81%84%3F%20100%25%20a+b", "富士山 は/高い? 100% a+b"},
		{"%252F%23%26%0A%F0%9F%97%BB<b>", "%2F#&\n🗻<b>"},
	} {
		t.Run(tt.escaped, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, _ := f.call(t, path(tt.escaped))
			if response.StatusCode != 200 || response.Headers["Content-Type"] != "text/plain; charset=utf-8" || response.Body != "You said: "+tt.prompt {
				t.Errorf("%d %v %q", response.StatusCode, response.Headers, response.Body)
			}
			record := f.record(t)
			text, _ := json.Marshal(tt.prompt)
			equalJSON(t, "to Bedrock", string(record.Input.BodyJSON),
				`{"messages":[{"role":"user","content":[{"text":`+string(text)+`}]}],"inferenceConfig":{"maxTokens":300}}`)
			if record.ModelID != defaultModel {
				t.Errorf("model %s, want the default", record.ModelID)
			}
		})
	}
}

// Lost: a setting of the caller's that Bedrock never sees, or an answer without its model, reason or cost.
func TestBodyArrivesWhole(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ body, input, answer string }{
		"a prompt alone leaves every choice to the model": {
			`{"prompt":"Hello"}`,
			`{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"inferenceConfig":{}}`,
			`{"text":"You said: Hello","model":"` + defaultModel + `","stopReason":"end_turn","usage":{"inputTokens":2,"outputTokens":4,"totalTokens":6},"requestId":"request-1"}`,
		},
		"everything": {
			`{"messages":[{"role":"user","content":"高さは?"},{"role":"assistant","content":"3776"},{"role":"user","content":"in feet <&>"}],
				"system":"Be short.","model":"` + otherModel + `","maxTokens":1,"temperature":0.7,"topP":0.9,"stop":["END","。"]}`,
			`{"messages":[{"role":"user","content":[{"text":"高さは?"}]},{"role":"assistant","content":[{"text":"3776"}]},{"role":"user","content":[{"text":"in feet <&>"}]}],
				"system":[{"text":"Be short."}],"inferenceConfig":{"maxTokens":1,"temperature":0.7,"topP":0.9,"stopSequences":["END","。"]}}`,
			`{"text":"You said: in feet <&>","model":"` + otherModel + `","stopReason":"max_tokens","usage":{"inputTokens":3,"outputTokens":1,"totalTokens":4},"requestId":"request-1"}`,
		},
		"the ends of the ranges are within them": {
			`{"prompt":"x","messages":[],"system":"","maxTokens":2147483647,"temperature":0,"topP":1,"stop":[]}` + "\r\n",
			`{"messages":[{"role":"user","content":[{"text":"x"}]}],"inferenceConfig":{"maxTokens":2147483647,"temperature":0,"topP":1,"stopSequences":[]}}`,
			`{"text":"You said: x","model":"` + defaultModel + `","stopReason":"end_turn","usage":{"inputTokens":1,"outputTokens":3,"totalTokens":4},"requestId":"request-1"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, _ := f.call(t, post(tt.body))
			record := f.record(t)
			equalJSON(t, "to Bedrock", string(record.Input.BodyJSON), tt.input)
			equalJSON(t, "to the caller", response.Body, tt.answer)
			if response.StatusCode != 200 || response.Headers["Content-Type"] != "application/json" || !strings.Contains(tt.answer, record.ModelID) {
				t.Errorf("%d %v, model %s", response.StatusCode, response.Headers, record.ModelID)
			}
		})
	}
}

// Lost: a client that asks what it may call, or a health check, gets no answer; a wrong route gets one.
func TestOtherRoutes(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]string{
		"GET /health":            `{"status":"ok"}`,
		"GET /models":            `{"default":"` + defaultModel + `","models":["` + defaultModel + `","` + otherModel + `"]}`,
		"GET /generate":          "NoSuchRoute",
		"POST /health":           "NoSuchRoute",
		"POST /{" + canary + "}": "NoSuchRoute",
	} {
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			method, resource, _ := strings.Cut(route, " ")
			response, p := f.call(t, request{HTTPMethod: method, Resource: resource})
			if want != "NoSuchRoute" {
				equalJSON(t, "answer", response.Body, want)
			} else if response.StatusCode != 404 || p.Error.Code != want || !strings.Contains(p.Error.Message, "POST /generate") || strings.Contains(response.Body+f.logged.String(), canary) {
				t.Errorf("%d %s, log %s", response.StatusCode, response.Body, f.logged)
			}
			if len(f.records) != 0 {
				t.Error("Bedrock was called")
			}
		})
	}
}

// Lost: API Gateway's event is read wrongly, so no call works or no record names its caller.
func TestEvent(t *testing.T) {
	t.Parallel()
	event, err := os.ReadFile("testdata/event.json")
	if err != nil {
		t.Fatal(err)
	}
	var r request
	if err := json.Unmarshal(event, &r); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	if response, err := f.handle(t.Context(), r); err != nil || response.StatusCode != 200 {
		t.Fatal(response, err)
	}
	want := map[string]string{
		"apiRequestId": "c2fc2e4d-8082-4375-a923-e7c4fddbf51a", "apiExtendedRequestId": "QmOw7G1BIAMFYJQ=",
		"caller":     "arn:aws:sts::123456789012:assumed-role/reports/i-0ab1af6b52934bea1",
		"sourceVpce": "vpce-0bc731de06c089ce1", "sourceIp": "10.0.131.7",
	}
	if got := f.record(t).RequestMetadata; !maps.Equal(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
	for _, want := range []string{`"apiRequestId":"c2fc2e4d-`, `"apiExtendedRequestId":"QmOw7G1BIAMFYJQ="`, `"route":"POST /generate"`,
		`"model":"` + defaultModel, `"status":200`, `"inputTokens":2`, `"outputTokens":4`} {
		if !strings.Contains(f.logged.String(), want) {
			t.Errorf("log %s lacks %s: an operator cannot join it with the API's and Bedrock's", f.logged, want)
		}
	}
}

// Lost: a caller that Bedrock refuses because of its own name, or that forges what the record says of it.
func TestMetadataIsTheServers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := post(`{"prompt":"x"}`)
	r.Headers["apiRequestId"], r.Headers["X-Amzn-Vpce-Id"], r.Headers["X-Forwarded-For"] = "forged", "forged", "forged"
	r.PathParameters = map[string]string{"caller": "forged"}
	r.RequestContext.Identity.UserARN = "arn:aws:iam::1:user/é\xff|'" + strings.Repeat("長", 300)
	r.RequestContext.Identity.SourceIP = "10.0.0.1 \t@$#=+,.-_"
	f.call(t, r)
	want := map[string]string{
		"apiRequestId": "request-1", "sourceIp": r.RequestContext.Identity.SourceIP, // what is empty is absent
		"caller": "arn:aws:iam::1:user/" + strings.Repeat("_", 256-len("arn:aws:iam::1:user/")),
	}
	if got := f.record(t).RequestMetadata; !maps.Equal(got, want) {
		t.Errorf("metadata %v, want %v", got, want)
	}
}

// Lost: a caller who cannot tell its own mistake from Bedrock's, or learns what is none of its business.
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
			response, p := f.call(t, post(`{"prompt":"fault `+name+`"}`))
			if response.StatusCode != want[name] || p.Error.Code == "InternalError" {
				t.Errorf("%d %s, want %d", response.StatusCode, response.Body, want[name])
			}
			if retry := response.Headers["Retry-After"]; (retry == "1") != (want[name] == 429) {
				t.Errorf("Retry-After %q", retry)
			}
			hidden(t, response.Body)
			if log := f.logged.String(); !strings.Contains(log, `"bedrockCode":"`+name) || !strings.Contains(log, `"bedrockRequestId":"`) {
				t.Errorf("log %s does not say what Bedrock answered", log)
			}
		})
	}
}

// hidden fails for Bedrock's own words in an answer: they may name roles and accounts, or quote the prompt.
func hidden(t *testing.T, body string) {
	t.Helper()
	for _, detail := range []string{"arn:", "as asked", "Exception", "123456789012", "127.0.0.1", canary} {
		if strings.Contains(body, detail) {
			t.Errorf("%s tells %q", body, detail)
		}
	}
}

// Lost: the failures that Bedrock does not document leak their detail, or pass for the caller's fault.
func TestOtherFailures(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	answering := func(status int, errorType, body string) converser {
		return once(newBedrock(environment(serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", errorType)
			w.WriteHeader(status)
			io.WriteString(w, body)
		})))))
	}
	for name, tt := range map[string]struct {
		bedrock converser
		status  int
		code    string
		logged  string
	}{
		"credentials run out":   {answering(403, "ExpiredTokenException", `{"message":"arn:aws:iam::123456789012:role/r"}`), 502, "BedrockError", "ExpiredTokenException"},
		"a proxy answers":       {answering(503, "", "<html>"+canary), 502, "BedrockError", `"status":502`},
		"Bedrock unreachable":   {once(newBedrock(environment(closed.URL))), 500, "InternalError", "connection refused"},
		"quotes the prompt":     {converseFunc(failing(&smithy.GenericAPIError{Code: "ValidationException", Message: canary})), 400, "ModelRefusedRequest", "ValidationException"},
		"not Bedrock's at all":  {converseFunc(failing(errors.New(canary))), 500, "InternalError", "*errors.errorString"},
		"Bedrock gives nothing": {converseFunc(failing(nil)), 500, "InternalError", `"msg":"panic","type":"runtime.errorString"`},
		"panic": {converseFunc(func(context.Context, *bedrockruntime.ConverseInput) (*bedrockruntime.ConverseOutput, error) {
			panic(canary)
		}), 500, "InternalError", `"type":"string"`},
		"answer without text": {answering(200, "", `{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}`), 502, "NoAnswer", `"code":"NoAnswer"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.bedrock = tt.bedrock
			response, p := f.call(t, path("Hello"))
			hidden(t, response.Body)
			if log := f.logged.String(); response.StatusCode != tt.status || p.Error.Code != tt.code || strings.Contains(log, canary) ||
				!strings.Contains(log, tt.logged) || !strings.Contains(log, fmt.Sprintf(`"status":%d`, tt.status)) {
				t.Errorf("%d %s, log %s", response.StatusCode, response.Body, log)
			}
		})
	}
}

func failing(err error) converseFunc {
	return func(context.Context, *bedrockruntime.ConverseInput) (*bedrockruntime.ConverseOutput, error) {
		return nil, err
	}
}

// Lost: a model that thinks or that answers in parts gives the caller a part of its text, or its thoughts.
func TestAnswerInParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	part := func(s string) types.ContentBlock { return &types.ContentBlockMemberText{Value: s} }
	thought := &types.ContentBlockMemberReasoningContent{Value: &types.ReasoningContentBlockMemberReasoningText{Value: types.ReasoningTextBlock{Text: new(string)}}}
	f.bedrock = converseFunc(func(context.Context, *bedrockruntime.ConverseInput) (*bedrockruntime.ConverseOutput, error) {
		return &bedrockruntime.ConverseOutput{Output: &types.ConverseOutputMemberMessage{Value: types.Message{
			Content: []types.ContentBlock{thought, part("富士"), part("山")}}}}, nil
	})
	if response, _ := f.call(t, path("Hello")); response.StatusCode != 200 || response.Body != "富士山" {
		t.Errorf("%d %q", response.StatusCode, response.Body)
	}
}

type doFunc func(*http.Request) (*http.Response, error)

func (f doFunc) Do(r *http.Request) (*http.Response, error) { return f(r) }

// Lost: an answer of the API's. Lambda ends a function at its deadline, and API Gateway answers 502 in its stead.
func TestDeadlineIsAnswered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		silent := doFunc(func(r *http.Request) (*http.Response, error) {
			if host := r.URL.Host; host != "bedrock-runtime.eu-west-1.amazonaws.com" {
				t.Errorf("host %s, want the region's own when none is set", host)
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		client := bedrockruntime.New(newBedrock(environment("")).Options(), func(o *bedrockruntime.Options) { o.HTTPClient = silent })
		f := fixture{handler: handler{client, []string{defaultModel}, slog.New(slog.DiscardHandler)}}
		r := path("Hello")
		response, err := f.handle(ctx, r)
		if err != nil || response.StatusCode != 504 || !strings.Contains(response.Body, "fewer tokens") {
			t.Error(response, err)
		}
		deadline, _ := ctx.Deadline()
		if left := time.Until(deadline); left < time.Second/2 || left > 3*time.Second {
			t.Errorf("answered %v before the deadline, want about a second", left)
		}
	})
}

// Lost: secrecy. Prompt and answer belong in Bedrock's invocation log only, which has its own readers.
func TestLogHoldsNoText(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]request{
		"good path":     path(url.PathEscape(canary)),
		"good body":     post(`{"messages":[{"role":"user","content":"` + canary + `"}],"system":"` + canary + `","stop":["` + canary + `"]}`),
		"failed":        post(`{"prompt":"fault ModelErrorException","system":"` + canary + `"}`),
		"model":         post(`{"prompt":"x","model":"` + canary + `"}`),
		"unknown field": post(`{"` + canary + `":1}`),
		"no JSON":       post(canary),
		"wrong role":    post(`{"messages":[{"role":"` + canary + `","content":"x"}]}`),
		"bad escape":    path(canary + "%"),
		"refused there": post(`{"messages":[{"role":"assistant","content":"` + canary + `"}]}`),
		"content type":  {HTTPMethod: "POST", Resource: "/generate", Headers: map[string]string{"Content-Type": canary}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.call(t, r)
			if log := f.logged.String(); strings.Contains(log, "canary") || strings.Contains(log, "富士") || !strings.Contains(log, `"msg":"call"`) {
				t.Errorf("log %s", log)
			}
		})
	}
}

// Lost: every call, since Bedrock takes none that is not signed with the function's own credentials.
func TestCallsAreSigned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signed := make(chan http.Header, 1)
	f.standIn.Authorize = func(r *http.Request, _, _ string) (string, error) {
		signed <- r.Header
		return "", errors.New("User: arn:aws:sts::123456789012:assumed-role/r is not authorized to perform: bedrock:InvokeModel")
	}
	response, _ := f.call(t, path("Hello"))
	hidden(t, response.Body)
	h := <-signed
	if !strings.Contains(h.Get("Authorization"), "Credential=AKIDEXAMPLE/") || !strings.Contains(h.Get("Authorization"), "/eu-west-1/bedrock/aws4_request") ||
		h.Get("X-Amz-Security-Token") != "session" || response.StatusCode != 403 {
		t.Errorf("%d, headers %v", response.StatusCode, h)
	}
}

// Lost: a function that was deployed without models starts, and refuses every call without a reason.
func TestRunWantsModels(t *testing.T) {
	t.Parallel()
	for _, ids := range []string{"", ",,"} {
		err := run(func(string) string { return ids })
		if err == nil || !strings.Contains(err.Error(), "MODEL_IDS") || !strings.Contains(err.Error(), "separated by commas") {
			t.Errorf("MODEL_IDS=%q: %v", ids, err)
		}
	}
}
