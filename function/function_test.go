package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"

	sandbox "github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/openapi"
)

const (
	firstModel  = "amazon.nova-lite-v1:0"
	secondModel = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
	// canary stands for text of a caller or a model. No log line and no error may contain it.
	canary = "canary-5d41402a"
)

// fixture is the function with its Bedrock and its log.
type fixture struct {
	handler
	standIn *sandbox.Runtime
	records chan sandbox.Record // one for every call that Bedrock answered
	logged  *bytes.Buffer
}

func newFixture(t testing.TB) fixture {
	f := fixture{records: make(chan sandbox.Record, 8), logged: &bytes.Buffer{}}
	f.standIn = &sandbox.Runtime{
		Region: "eu-west-1", Account: "123456789012",
		Deliver: func(_ context.Context, r sandbox.Record, _ time.Time) { f.records <- r },
	}
	f.handler = handler{
		bedrock: serve(t, f.standIn), models: []string{firstModel, secondModel}, streaming: true, logging: &invocationLog{}, retention: inMode("default"), tiers: []string{"default"}, log: slog.New(slog.NewJSONHandler(f.logged, nil)),
	}
	return f
}

// serve starts a Bedrock that responds by h.
func serve(t testing.TB, h http.Handler) bedrock {
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return once(t, environment(server.URL))
}

// once disables retries, whose delays would make tests of faults slow.
func once(t testing.TB, env func(string) string) bedrock {
	t.Helper()
	b, err := newBedrock(env)
	if err != nil {
		t.Fatal(err)
	}
	b.retryer = aws.NopRetryer{}
	return b
}

func environment(endpoint string) func(string) string {
	variables := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session",
		"AWS_ENDPOINT_URL": endpoint,
	}
	return func(name string) string { return variables[name] }
}

// post returns a request of POST /generate. API Gateway passes on a header's name in the caller's spelling.
func post(body string) request {
	return request{HTTPMethod: "POST", Resource: "/generate", Body: body, Headers: map[string]string{"content-type": "application/json"}}
}

// path returns a request of POST /generate/{prompt}.
func path(escaped string) request {
	return request{HTTPMethod: "POST", Resource: "/generate/{prompt}", PathParameters: map[string]string{"prompt": escaped}}
}

// problem is the body of a response whose status isn't 200.
type problem struct {
	Error struct{ Code, Message, RequestID string }
}

// call sends one request, and checks what applies to every response and what must stay secret.
func (f fixture) call(t *testing.T, r request) (events.APIGatewayProxyResponse, problem) {
	t.Helper()
	response, p := f.ask(t, r)
	details := []string{canary, "arn:", "127.0.0.1"}
	if _, native := nativeOperation(r.Resource); !native { // native routes pass on Bedrock's message
		details = append(details, "Exception", "as asked")
	}
	for _, detail := range details {
		if response.StatusCode != http.StatusOK && strings.Contains(response.Body, detail) {
			t.Errorf("%s contains %q: text of the caller, or a detail that callers must not get", response.Body, detail)
		}
	}
	if log := f.logged.String(); strings.Contains(log, canary) || !strings.Contains(log, `"msg":"call"`) {
		t.Errorf("log %s: prompt and answer belong in Bedrock's invocation log only, and every call in this one", log)
	}
	return response, p
}

func (f fixture) ask(t *testing.T, r request) (response events.APIGatewayProxyResponse, p problem) {
	t.Helper()
	r.RequestContext.ExtendedRequestID = "request-1"
	response = f.roundTrip(t.Context(), t, r)
	if response.StatusCode < 200 || response.StatusCode > 599 || response.Headers["Content-Type"] != eventStream && !utf8.ValidString(response.Body) {
		t.Fatalf("%v: API Gateway would answer 502 with a text of its own", response)
	}
	if h := response.Headers; h["Cache-Control"] != "no-store" || h["X-Content-Type-Options"] != "nosniff" {
		t.Errorf("headers %v: a proxy or browser may keep the answer, or take it for a page", h)
	}
	if route := r.HTTPMethod + " " + r.Resource; routes[route] != nil && !documented[route][response.StatusCode] {
		t.Errorf("%s answers %d, which the API's definition does not know", route, response.StatusCode)
	}
	_, native := nativeOperation(r.Resource)
	if response.StatusCode != http.StatusOK && !native {
		decode(t, response.Body, &p)
		if p.Error.Code == "" || p.Error.Message == "" || p.Error.RequestID != "request-1" || response.Headers["Content-Type"] != "application/json" {
			t.Errorf("%v %s: no error that a program can read", response.Headers, response.Body)
		}
	}
	return response, p
}

// roundTrip reads a response as Lambda and API Gateway do.
func (h handler) roundTrip(ctx context.Context, t *testing.T, r request) events.APIGatewayProxyResponse {
	t.Helper()
	answer, err := h.handle(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	streamed, ok := answer.(*events.APIGatewayProxyStreamingResponse)
	if !ok {
		text, err := json.Marshal(answer) // the only part that Lambda passes on
		if err != nil {
			t.Fatal(err)
		}
		var buffered events.APIGatewayProxyResponse
		decode(t, string(text), &buffered)
		if buffered.IsBase64Encoded {
			raw, err := base64.StdEncoding.DecodeString(buffered.Body)
			if err != nil {
				t.Fatal(err)
			}
			buffered.Body = string(raw)
		}
		return buffered
	}
	raw, err := io.ReadAll(streamed)
	if err != nil {
		t.Errorf("the answer is cut: %v", err)
	}
	if err := streamed.Close(); err != nil {
		t.Error(err)
	}
	prelude, body, found := strings.Cut(string(raw), strings.Repeat("\x00", 8))
	if !found {
		t.Fatalf("%q: API Gateway would answer 500 with a text of its own", raw)
	}
	var response events.APIGatewayProxyResponse
	decode(t, prelude, &response)
	response.Body = body
	return response
}

// documented maps each route of the API's definition to its statuses.
var documented = func() map[string]map[int]bool {
	var document struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal(openapi.Document, &document); err != nil {
		panic(err)
	}
	all := map[string]map[int]bool{}
	for path, operations := range document.Paths {
		for method, operation := range operations {
			statuses := map[int]bool{}
			for status := range operation.Responses {
				code, err := strconv.Atoi(status)
				if err != nil {
					panic(err)
				}
				statuses[code] = true
			}
			all[strings.ToUpper(method)+" "+path] = statuses
		}
	}
	return all
}()

// record returns the record of the only call that Bedrock received.
func (f fixture) record(t *testing.T) sandbox.Record {
	t.Helper()
	if n := len(f.records); n != 1 {
		t.Fatalf("Bedrock answered %d calls, want 1; log: %s", n, f.logged)
	}
	return <-f.records
}

// within ends the process if an input of a fuzz test takes longer. Go has no such limit.
func within(t *testing.T, limit time.Duration) {
	late := time.AfterFunc(limit, func() { panic(t.Name() + ": an input takes longer than " + limit.String()) })
	t.Cleanup(func() { late.Stop() })
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}
