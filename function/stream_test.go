package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	sandbox "github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
)

const eventStream = "application/vnd.amazon.eventstream"

// event is a server-sent event.
type event struct{ name, data string }

func serverSent(t *testing.T, body string) (all []event) {
	t.Helper()
	for _, text := range strings.SplitAfter(body, "\n\n") {
		lines := strings.Split(strings.TrimSuffix(text, "\n\n"), "\n")
		if text == "" || strings.HasPrefix(text, ":") {
			continue
		}
		name, isName := strings.CutPrefix(lines[0], "event: ")
		data, isData := strings.CutPrefix(lines[len(lines)-1], "data: ")
		if len(lines) != 2 || !isName || !isData {
			t.Fatalf("%q is no event", text)
		}
		all = append(all, event{name, data})
	}
	return all
}

// Both ways to request a stream return each delta, and end with the token counts.
func TestAnswersStream(t *testing.T) {
	t.Parallel()
	accepting := post(`{"prompt":"Hello 富士 ` + canary + `"}`)
	accepting.Headers["Accept"] = "text/event-stream"
	for name, r := range map[string]request{"asked in the body": post(`{"prompt":"Hello 富士 ` + canary + `","stream":true}`), "asked by Accept": accepting} {
		for _, streaming := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.streaming = streaming
				response, _ := f.call(t, r)
				if response.StatusCode != 200 || response.Headers["Content-Type"] != "text/event-stream" {
					t.Fatal(response)
				}
				text := ""
				all := serverSent(t, response.Body)
				for _, e := range all[:len(all)-1] {
					var delta struct{ Text string }
					decode(t, e.data, &delta)
					text += delta.Text
					if e.name != "delta" {
						t.Errorf("event %s", e.name)
					}
				}
				done := `{"model":"` + firstModel + `","stopReason":"end_turn","usage":{"inputTokens":7,"outputTokens":9,"totalTokens":16},"requestId":"request-1"}`
				if last := all[len(all)-1]; text != "You said: Hello 富士 "+canary || len(all) < 5 || last.name != "done" || last.data != done {
					t.Errorf("%q in %d events, at the end %+v, want %s", text, len(all), last, done)
				}
				if record := f.record(t); record.Operation != "ConverseStream" || record.RequestMetadata["apiExtendedRequestId"] != "request-1" {
					t.Errorf("record %+v", record)
				}
				if log := f.logged.String(); !strings.Contains(log, `"InputTokenCount":7,"OutputTokenCount":9,`) || !strings.Contains(log, `"TimeToFirstToken":`) {
					t.Errorf("log %s", log)
				}
			})
		}
	}
}

// An error in the middle of a stream is an event of the stream.
func TestErrorsArriveInTheStream(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"InternalServerException": "BedrockError", "ModelStreamErrorException": "ModelError", "ValidationException": "ModelRefusedRequest",
		"ThrottlingException": "Throttled", "ServiceUnavailableException": "BedrockUnavailable",
	}
	for name, code := range want {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			response, _ := f.call(t, post(`{"prompt":"break `+name+`","system":"`+canary+`","stream":true}`))
			all := serverSent(t, response.Body)
			var p problem
			decode(t, all[len(all)-1].data, &p)
			if response.StatusCode != 200 || all[0].name != "delta" || all[len(all)-1].name != "error" || p.Error.Code != code || p.Error.RequestID != "request-1" {
				t.Errorf("%d %+v, want %s", response.StatusCode, all, code)
			}
			if log := f.logged.String(); !strings.Contains(log, `"bedrockCode":"`+name+`"`) || !strings.Contains(log, `"InvocationServerErrors":1`) {
				t.Errorf("log %s", log)
			}
		})
	}
}

// frame returns an event of Bedrock in the event stream encoding.
func frame(t testing.TB, eventType, payload string) []byte {
	t.Helper()
	text := func(name, value string) eventstream.Header {
		return eventstream.Header{Name: name, Value: eventstream.StringValue(value)}
	}
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: eventstream.Headers{
		text(eventstreamapi.MessageTypeHeader, eventstreamapi.EventMessageType), text(eventstreamapi.EventTypeHeader, eventType),
		text(eventstreamapi.ContentTypeHeader, "application/json"),
	}, Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// streaming starts a Bedrock that returns these bytes as a stream.
func streaming(t testing.TB, b ...[]byte) bedrock {
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", eventStream)
		w.Write(bytes.Join(b, nil))
	}))
}

func native(operation, body string) request {
	return request{
		HTTPMethod: "POST", Resource: "/model/{modelId}/" + operation, Body: body,
		PathParameters: map[string]string{"modelId": "amazon.nova-lite-v1%3A0"}, Headers: map[string]string{"content-type": "application/json"},
	}
}

const hello = `{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`

// Broken streams end with an error, and don't break the function.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	start := frame(t, "messageStart", `{"role":"assistant"}`)
	delta := frame(t, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hel"}}`)
	thought := frame(t, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"`+canary+`"}}}`)
	stop := frame(t, "messageStop", `{"stopReason":"end_turn"}`)
	unknown := frame(t, "somethingNew", `{}`)
	for name, tt := range map[string]struct {
		bytes  [][]byte
		status int
		events string
	}{
		"nothing":             {nil, 502, ""},
		"no stream":           {[][]byte{[]byte("<html>" + canary)}, 502, ""},
		"without its end":     {[][]byte{start, delta}, 200, "delta error"},
		"cut within an event": {[][]byte{start, delta, stop[:20]}, 200, "delta error"},
		"cut in the first":    {[][]byte{start[:20]}, 502, ""},
		"a wrong checksum":    {[][]byte{start, delta, append(bytes.Clone(stop[:len(stop)-1]), stop[len(stop)-1]^1)}, 200, "delta error"},
		"without tokens":      {[][]byte{start, delta, stop}, 200, "delta done"},
		"a thought":           {[][]byte{start, thought, delta, stop}, 200, "delta done"},
		"an unknown event":    {[][]byte{start, unknown, delta, stop}, 200, "delta done"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.bedrock = streaming(t, tt.bytes...)
			response, p := f.call(t, post(`{"prompt":"x","stream":true}`))
			var names []string
			if tt.status == 200 {
				for _, e := range serverSent(t, response.Body) {
					names = append(names, e.name)
				}
			} else if p.Error.Code != "BedrockError" {
				t.Errorf("error %+v", p)
			}
			if got := strings.Join(names, " "); response.StatusCode != tt.status || got != tt.events || strings.Contains(response.Body, canary) {
				t.Errorf("%d %s, want %d %s", response.StatusCode, response.Body, tt.status, tt.events)
			}
		})
	}
}

// The first byte arrives before the stream is complete.
func TestFirstByteComesBeforeTheLast(t *testing.T) {
	t.Parallel()
	for _, r := range []request{post(`{"prompt":"x","stream":true}`), native("converse-stream", hello)} {
		rest := make(chan struct{})
		f := newFixture(t)
		f.bedrock = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", eventStream)
			w.Write(frame(t, "messageStart", `{"role":"assistant"}`))
			w.Write(frame(t, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"first"}}`))
			w.(http.Flusher).Flush()
			<-rest
			w.Write(frame(t, "messageStop", `{"stopReason":"end_turn"}`))
		}))
		answer, err := f.handle(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		body := answer.(*events.APIGatewayProxyStreamingResponse)
		var read []byte
		for !bytes.Contains(read, []byte("first")) {
			piece := make([]byte, 1<<10)
			n, err := body.Read(piece)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, piece[:n]...)
		}
		close(rest)
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Error(err)
		}
		body.Close()
	}
}

// If the caller disconnects, the function cancels the request to Bedrock.
func TestClosingStopsBedrock(t *testing.T) {
	t.Parallel()
	for _, r := range []request{post(`{"prompt":"x","stream":true}`), native("converse-stream", hello)} {
		stopped := make(chan struct{})
		f := newFixture(t)
		f.bedrock = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // otherwise the server doesn't notice that its client disconnected
			w.Header().Set("Content-Type", eventStream)
			w.Write(frame(t, "messageStart", `{"role":"assistant"}`))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			close(stopped)
		}))
		answer, err := f.handle(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		body := answer.(*events.APIGatewayProxyStreamingResponse)
		reading := make(chan error)
		go func() { _, err := io.Copy(io.Discard, body); reading <- err }()
		if err := body.Close(); err != nil {
			t.Error(err)
		}
		<-stopped
		<-reading
		if !strings.Contains(f.logged.String(), `"msg":"call"`) {
			t.Error("the call has no line in the log")
		}
	}
}

// A response that reaches Lambda's timeout, or the first-byte limit, ends with an error.
func TestDeadlinesOfStreams(t *testing.T) {
	t.Parallel()
	// silentAfter starts a Bedrock that sends these bytes and then nothing.
	silentAfter := func(b bedrock, begun []byte) bedrock {
		b.http = doFunc(func(r *http.Request) (*http.Response, error) {
			if begun == nil {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {eventStream}}, Body: &silent{bytes.NewReader(begun), r.Context()}}, nil
		})
		return b
	}
	begun := append(frame(t, "messageStart", `{"role":"assistant"}`), frame(t, "contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"Hel"}}`)...)
	for name, tt := range map[string]struct {
		request request
		begun   []byte
		after   time.Duration
		status  int
		body    string // a part of the body
	}{
		"/generate, silent":                  {post(`{"prompt":"x","stream":true}`), nil, firstByte, 504, "DeadlineExceeded"},
		"/generate, begun":                   {post(`{"prompt":"x","stream":true}`), begun, 15*time.Minute - margin, 200, "event: error\ndata: {\"error\":{\"code\":\"DeadlineExceeded\""},
		"converse-stream, silent":            {native("converse-stream", hello), nil, firstByte, 504, `"__type":"ModelTimeoutException"`},
		"converse-stream, begun":             {native("converse-stream", hello), begun, 15*time.Minute - margin, 200, "modelStreamErrorException"},
		"converse, silent":                   {native("converse", hello), nil, firstByte, 504, "fewer tokens"},
		"invoke-with-response-stream, begun": {native("invoke-with-response-stream", `{}`), begun, 15*time.Minute - margin, 200, "modelStreamErrorException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
				defer cancel()
				f.bedrock = silentAfter(f.bedrock, tt.begun)
				start := time.Now()
				response := f.roundTrip(ctx, t, tt.request)
				if took := time.Since(start); response.StatusCode != tt.status || !strings.Contains(response.Body, tt.body) || took != tt.after {
					t.Errorf("%d %q after %v, want %d %q after %v", response.StatusCode, response.Body, took, tt.status, tt.body, tt.after)
				}
			})
		})
	}
}

type silent struct {
	io.Reader
	ctx context.Context
}

func (s *silent) Read(p []byte) (int, error) {
	if n, err := s.Reader.Read(p); err != io.EOF {
		return n, err
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s *silent) Close() error { return nil }

// Only errors that a retry can fix are retried.
func TestRetries(t *testing.T) {
	t.Parallel()
	again := map[string]bool{"ThrottlingException": true, "ModelNotReadyException": true, "InternalServerException": true, "ServiceUnavailableException": true}
	for name, status := range sandbox.Faults {
		for _, r := range []request{path("x"), post(`{"prompt":"x","stream":true}`), native("converse", hello), native("converse-stream", hello)} {
			t.Run(name+" "+r.Resource, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				retrying, err := newBedrock(environment("http://bedrock.invalid"))
				if err != nil {
					t.Fatal(err)
				}
				synctest.Test(t, func(t *testing.T) {
					attempts := 0
					retrying.http = doFunc(func(*http.Request) (*http.Response, error) {
						attempts++
						return &http.Response{StatusCode: status, Header: http.Header{"X-Amzn-Errortype": {name}}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
					})
					f.bedrock = retrying
					f.roundTrip(t.Context(), t, r)
					if want := map[bool]int{true: 3, false: 1}[again[name]]; attempts != want {
						t.Errorf("%d attempts, want %d", attempts, want)
					}
					if !again[name] {
						return
					}
					// With no time for another attempt, the caller gets Bedrock's error at once.
					attempts = 0
					ctx, cancel := context.WithTimeout(t.Context(), margin+time.Nanosecond)
					defer cancel()
					if response := f.roundTrip(ctx, t, r); attempts != 1 || response.StatusCode == 504 {
						t.Errorf("%d attempts, %d", attempts, response.StatusCode)
					}
				})
			})
		}
	}
}

// A stream that has begun isn't retried.
func TestStreamsThatHaveBegunAreNotRetried(t *testing.T) {
	t.Parallel()
	for _, r := range []request{post(`{"prompt":"x","stream":true}`), native("converse-stream", hello)} {
		f := newFixture(t)
		attempts := 0
		b, err := newBedrock(environment("http://bedrock.invalid"))
		if err != nil {
			t.Fatal(err)
		}
		b.http = doFunc(func(*http.Request) (*http.Response, error) {
			attempts++
			begun := frame(t, "messageStart", `{"role":"assistant"}`)
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {eventStream}}, Body: io.NopCloser(bytes.NewReader(begun))}, nil
		})
		f.bedrock = b
		f.roundTrip(t.Context(), t, r)
		if attempts != 1 {
			t.Errorf("%d attempts", attempts)
		}
	}
}

// Each call writes one line with its metrics, without text of the caller.
func TestOneLineOfMetrics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.call(t, post(`{"prompt":"`+canary+`"}`))
	f.call(t, request{HTTPMethod: canary, Resource: canary})
	lines := strings.Split(strings.TrimSpace(f.logged.String()), "\n")
	calls := 0
	for _, line := range lines {
		var fields map[string]any
		decode(t, line, &fields)
		if fields["msg"] != "call" {
			continue
		}
		calls++
		var embedded struct {
			Aws struct {
				Timestamp         int64
				CloudWatchMetrics []struct {
					Namespace  string
					Dimensions [][]string
					Metrics    []struct{ Name, Unit string }
				}
			} `json:"_aws"`
		}
		if err := json.Unmarshal([]byte(line), &embedded); err != nil || len(embedded.Aws.CloudWatchMetrics) != 1 || embedded.Aws.Timestamp == 0 {
			t.Fatalf("%v in %s", err, line)
		}
		m := embedded.Aws.CloudWatchMetrics[0]
		for _, dimension := range m.Dimensions[0] {
			if text, ok := fields[dimension].(string); !ok || text == "" {
				t.Errorf("dimension %s is %v", dimension, fields[dimension])
			}
		}
		for _, metric := range m.Metrics {
			if _, ok := fields[metric.Name].(float64); !ok {
				t.Errorf("metric %s is %v", metric.Name, fields[metric.Name])
			}
		}
	}
	if calls != 2 {
		t.Errorf("%d lines for 2 calls", calls)
	}
}

// The function returns exactly the statuses that the API's definition lists.
func TestEveryDefinedStatusIsAnswered(t *testing.T) {
	t.Parallel()
	fault := map[int]string{
		403: "AccessDeniedException", 404: "ResourceNotFoundException", 408: "ModelTimeoutException", 424: "ModelErrorException",
		429: "ThrottlingException", 503: "ServiceUnavailableException",
	}
	for route, statuses := range documented {
		method, resource, _ := strings.Cut(route, " ")
		ask := func(prompt string) request {
			switch {
			case resource == "/generate":
				return post(`{"prompt":"` + prompt + `"}`)
			case resource == "/generate/{prompt}":
				return path(prompt)
			case method == "POST":
				operation, _ := nativeOperation(resource)
				if strings.HasPrefix(operation, "invoke") {
					return native(operation, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,"messages":[{"role":"user","content":"`+prompt+`"}]}`)
				}
				return native(operation, strings.Replace(hello, "Hello", prompt, 1))
			}
			return request{HTTPMethod: method, Resource: resource}
		}
		for status := range statuses {
			t.Run(route, func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				r, ctx := ask("Hello"), t.Context()
				switch status {
				case 403:
					r.Headers = maps.Clone(r.Headers)
					if r.Headers == nil {
						r.Headers = map[string]string{}
					}
					r.Headers["Sec-Fetch-Site"] = "cross-site"
				case 400:
					r.Body, r.PathParameters = "", map[string]string{"modelId": canary, "prompt": ""}
				case 413:
					r = ask(strings.Repeat("x", maxTextBytes+1))
				case 415:
					r.Headers = map[string]string{"Origin": "https://example.com"}
				case 500:
					f.bedrock.http = doFunc(func(*http.Request) (*http.Response, error) { panic(canary) })
				case 502:
					f.bedrock = streaming(t, []byte("<html>"))
					if strings.HasPrefix(resource, "/model") { // a stream that began with 200 is forwarded
						f.bedrock = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }))
					}
				case 504:
					late, cancel := context.WithDeadline(ctx, time.Now())
					defer cancel()
					ctx = late
				case 200:
				default:
					if method == "GET" {
						f.logging = logs(t, `{}`)
					}
					r = ask("fault " + fault[status])
				}
				if response := f.roundTrip(ctx, t, r); response.StatusCode != status {
					t.Errorf("%s: %d %s, want %d", route, response.StatusCode, response.Body, status)
				}
			})
		}
	}
}

// Closing a response ends a Read that waits for Bedrock.
func TestClosingEndsARead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		closed := false
		body := &recorded{body: &silent{strings.NewReader(""), ctx}, cancel: cancel, done: func() { closed = true }}
		read := make(chan error)
		go func() { _, err := body.Read(make([]byte, 1)); read <- err }()
		synctest.Wait()
		go body.Close()
		if err := <-read; err != context.Canceled {
			t.Error(err)
		}
		synctest.Wait()
		if !closed {
			t.Error("the call was not recorded")
		}
	})
}
