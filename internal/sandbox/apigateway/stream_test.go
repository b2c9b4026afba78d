package apigateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda/lambdatest"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

func TestMain(m *testing.M) { lambdatest.Main(m) }

// door serves an API with one method, POST /ask.
func door(t *testing.T, l *lambdatest.Lab, streams bool, uri string, binary ...string) string {
	t.Helper()
	api := routes("/ask")
	method := api[0].Methods["POST"]
	method.Integration.URI, method.Integration.TimeoutInMillis = uri, 90000
	api[0].Methods["POST"] = method
	d := Deployment{
		Policy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"}]}`,
		Routes: api, Operations: map[string]apiOperation{"POST /ask": {Streams: streams}}, BinaryMediaTypes: binary,
	}
	moto := wire.Client{URL: l.Moto.URL, Region: "ap-northeast-1"}
	server := httptest.NewServer(&FrontDoor{
		Moto: moto, Account: "123456789012", Functions: l.Functions, Signers: iam.NewSigners(moto, "123456789012", nil),
		Deployed: func(string) (Deployment, bool) { return d, true }, APIID: "a", Report: l.Hear, Alarm: l.Set,
	})
	t.Cleanup(server.Close)
	return server.URL + "/api/ask"
}

const (
	uriStart          = "arn:aws:apigateway:ap-northeast-1:lambda:path/"
	bufferedURI       = uriStart + "2015-03-31/functions/arn:aws:lambda:ap-northeast-1:123456789012:function:f/invocations"
	streamedURI       = uriStart + "2021-11-15/functions/arn:aws:lambda:ap-northeast-1:123456789012:function:f/response-streaming-invocations"
	integrationTime   = 90 * time.Second
	functionTime      = 30 * time.Second
	internalServerErr = `{"message":"Internal server error"}`
)

var nuls = string(make([]byte, 8))

func prelude(t *testing.T, r events.APIGatewayProxyStreamingResponse) string {
	t.Helper()
	text, err := io.ReadAll(&r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// post calls a door, and gives its answer once it begins.
func post(t *testing.T, ctx context.Context, url, contentType string, body []byte) <-chan *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	answered := make(chan *http.Response, 1)
	go func() {
		defer close(answered)
		if response, err := http.DefaultTransport.RoundTrip(r); err == nil {
			answered <- response
		}
	}()
	return answered
}

// open has the function begin a good stream, of which the client has "first".
func open(t *testing.T, l *lambdatest.Lab, ctx context.Context, url string) (*http.Response, *lambdatest.Ask) {
	t.Helper()
	answered := post(t, ctx, url, "application/json", nil)
	a := (<-l.Asks).Begin(lambdatest.Streaming).Say(prelude(t, events.APIGatewayProxyStreamingResponse{StatusCode: 201, Headers: map[string]string{"X-A": "b"}, Cookies: []string{"c=d", "e=f"}}))
	response := <-answered // before a word of the body is said
	if response == nil {
		t.Fatal("no answer")
	}
	t.Cleanup(func() { response.Body.Close() })
	a.Say("first")
	first := make([]byte, 5)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("%q, %v", first, err)
	}
	return response, a
}

// Lost: a client would wait for the whole answer, or take half of one for all of it; an auditor would not find the call.
func TestFrontDoorStreams(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		then   func(*lambdatest.Lab, *lambdatest.Ask)
		broken bool
	}{
		"to its end":                   {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Say(" last").End() }, false},
		"the function fails":           {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Abort() }, true},
		"the function dies":            {func(_ *lambdatest.Lab, a *lambdatest.Ask) { syscall.Kill(a.PID, syscall.SIGKILL) }, true},
		"the function's time ends":     {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(functionTime) }, true},
		"the integration's time ends":  {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(integrationTime) }, true},
		"nothing is said for too long": {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(maxIdleTime) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lambdatest.New(t)
			response, a := open(t, l, t.Context(), door(t, l, true, streamedURI))
			if response.StatusCode != 201 || response.Header.Get("X-A") != "b" || response.ContentLength != -1 ||
				!slices.Equal(response.Header["Set-Cookie"], []string{"c=d", "e=f"}) || response.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %v", response.StatusCode, response.Header)
			}
			if log := l.AccessLog(); log != "" {
				t.Errorf("logged before the end: %s", log)
			}
			go c.then(l, a)
			rest, err := io.ReadAll(response.Body)
			if (err != nil) != c.broken || !c.broken && string(rest) != " last" {
				t.Errorf("%q, %v", rest, err)
			}
			if want := fmt.Sprintf("access: 201 %d STREAMED", len("first")+len(rest)); l.AccessLog() != want {
				t.Errorf("logged %q, want %q", l.AccessLog(), want)
			}
		})
	}
}

// Lost: what AWS answers with an error would work here.
func TestFrontDoorRefusesStream(t *testing.T) {
	t.Parallel()
	say := func(text string) func(*lambdatest.Lab, *lambdatest.Ask) {
		return func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Begin(lambdatest.Streaming).Say(text).End() }
	}
	for name, c := range map[string]struct {
		then    func(*lambdatest.Lab, *lambdatest.Ask)
		status  int
		message string
		report  string
	}{
		"no metadata": {say(`{"statusCode":200,"body":"Hello"}`), 500, "", "no delimiter"},
		"a buffered answer": {func(_ *lambdatest.Lab, a *lambdatest.Ask) {
			a.Begin("application/json").Say(`{"statusCode":200}`).End()
		}, 500, "", "no delimiter"},
		"nothing":                  {say(""), 500, "", "no delimiter"},
		"metadata too long":        {say(`{"headers":{"a":"` + strings.Repeat("b", maxPrelude) + `"}}` + nuls + "Hello"), 500, "", "no delimiter"},
		"an unknown key":           {say(`{"body":"Hello"}` + nuls), 500, "", `unknown field "body"`},
		"no JSON":                  {say("Hello" + nuls), 500, "", "invalid character"},
		"a status of its own":      {say(`{"statusCode":99}` + nuls), 500, "", "status 99"},
		"a failure":                {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Fail() }, 500, "", "told to fail"},
		"a failure in mid-prelude": {func(_ *lambdatest.Lab, a *lambdatest.Ask) { a.Begin(lambdatest.Streaming).Say("{").Abort() }, 500, "", "unexpected EOF"},
		"a death":                  {func(_ *lambdatest.Lab, a *lambdatest.Ask) { syscall.Kill(a.PID, syscall.SIGKILL) }, 500, "", "ended while it worked"},
		"the function's time":      {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(functionTime) }, 504, "Endpoint request timed out", ""},
		"the integration's time":   {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(integrationTime) }, 504, "Endpoint request timed out", ""},
		"nothing said at all":      {func(l *lambdatest.Lab, _ *lambdatest.Ask) { l.Ring(maxIdleTime) }, 504, "Endpoint request timed out", ""},
		"half the metadata": {func(l *lambdatest.Lab, a *lambdatest.Ask) {
			a.Begin(lambdatest.Streaming).Say("{")
			l.Ring(maxIdleTime)
		}, 504, "Endpoint request timed out", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := lambdatest.New(t)
			answered := post(t, t.Context(), door(t, l, true, streamedURI), "application/json", nil)
			c.then(l, <-l.Asks)
			response := <-answered
			if response == nil {
				t.Fatal("no answer")
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if want := `{"message":"` + cmp.Or(c.message, "Internal server error") + `"}`; response.StatusCode != c.status || string(body) != want || err != nil {
				t.Errorf("%d %s, %v, want %d %s", response.StatusCode, body, err, c.status, want)
			}
			if c.report != "" {
				l.AwaitReport(c.report)
			}
			if want := fmt.Sprintf("access: %d %d STREAMED", c.status, len(body)); l.AccessLog() != want {
				t.Errorf("logged %q, want %q", l.AccessLog(), want)
			}
		})
	}
}

// Lost: a function would be cut off where its client hangs up, and never be used again.
func TestFrontDoorClientLeaves(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	url := door(t, l, true, streamedURI)
	ctx, leave := context.WithCancel(t.Context())
	_, a := open(t, l, ctx, url)
	leave()
	a.Say(strings.Repeat("x", 1<<20)).Abort() // the failure comes after all that it said
	l.AwaitReport("unexpected EOF")
	response, again := open(t, l, t.Context(), url)
	if again.PID != a.PID {
		t.Error("the copy was not used again")
	}
	again.End()
	io.Copy(io.Discard, response.Body)
}

// Lost: an integration that AWS refuses to run would work here.
func TestFrontDoorTransferModes(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	for name, c := range map[string]struct {
		streams     bool
		uri, report string
	}{
		"STREAM and Invoke":                     {true, bufferedURI, "response transfer mode"},
		"BUFFERED and InvokeWithResponseStream": {false, streamedURI, "response transfer mode"},
		"another version":                       {true, strings.Replace(streamedURI, "2021-11-15", "2015-03-31", 1), "is no function's"},
	} {
		response := <-post(t, t.Context(), door(t, l, c.streams, c.uri), "application/json", nil)
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if response.StatusCode != 500 || string(body) != internalServerErr || err != nil {
			t.Errorf("%s: %d %s, %v", name, response.StatusCode, body, err)
		}
		l.AwaitReport(c.report)
	}
	// A function that streams, invoked as one that does not: headers and status without the body.
	answered := post(t, t.Context(), door(t, l, false, bufferedURI), "application/json", nil)
	go func() {
		(<-l.Asks).Begin(lambdatest.Streaming).Say(`{"statusCode":201,"headers":{"x-a":"b"}}` + nuls + "Hello").End()
	}()
	response := <-answered
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); response.StatusCode != 201 || response.Header.Get("X-A") != "b" || len(body) > 0 || err != nil {
		t.Errorf("%d %v %s, %v", response.StatusCode, response.Header, body, err)
	}
}

// Lost: a buffered call that AWS ends after its time, or whose event Lambda refuses, would be answered here.
func TestFrontDoorBuffered(t *testing.T) {
	t.Parallel()
	l := lambdatest.New(t)
	url := door(t, l, false, bufferedURI)
	for name, c := range map[string]struct {
		body   []byte
		then   func(*lambdatest.Ask)
		status int
	}{
		"its time":       {nil, func(*lambdatest.Ask) { l.Ring(integrationTime) }, 504},
		"a long event":   {[]byte(strings.Repeat("x", lambda.MaxBuffered)), nil, 413},
		"a long request": {[]byte(strings.Repeat("x", maxPayload+1)), nil, 413},
		"a long answer": {nil, func(a *lambdatest.Ask) {
			a.Begin("application/json").Say(strings.Repeat("x", lambda.MaxBuffered+1)).End()
		}, 502},
		"no answer": {nil, func(a *lambdatest.Ask) { a.Begin("application/json").Say(`{"statusCode":100}`).End() }, 502},
		"an answer": {nil, func(a *lambdatest.Ask) { a.Begin("application/json").Say(`{"statusCode":200}`).End() }, 200},
	} {
		answered := post(t, t.Context(), url, "application/json", c.body)
		if c.then != nil {
			go func() { c.then(<-l.Asks) }()
		}
		response := <-answered
		if response == nil {
			t.Fatal(name, "no answer")
		}
		response.Body.Close()
		if response.StatusCode != c.status {
			t.Errorf("%s: %d, want %d", name, response.StatusCode, c.status)
		}
	}
}

// Lost: an image would reach the function, or come back from it, as what it is not.
func TestFrontDoorBinary(t *testing.T) {
	t.Parallel()
	const image = "\x89PNG\xff"
	encoded := base64.StdEncoding.EncodeToString([]byte(image))
	l := lambdatest.New(t)
	for name, c := range map[string]struct {
		binary              []string
		contentType, answer string
		event               string // what the function gets, encoded if that differs from the image as text
		want                string
	}{
		"all types":        {[]string{"*/*"}, "image/png", encoded, encoded, image},
		"all, none named":  {[]string{"*/*"}, "", encoded, encoded, image},
		"this type":        {[]string{"image/*"}, "image/png; a=b", encoded, encoded, encoded}, // Accept names none
		"another type":     {[]string{"audio/*"}, "image/png", encoded, "\ufffdPNG\ufffd", encoded},
		"no type":          {nil, "image/png", encoded, "\ufffdPNG\ufffd", encoded},
		"a broken answer":  {[]string{"*/*"}, "image/png", "Hello!", encoded, internalServerErr},
		"as a stream goes": {nil, "image/png", "", "\ufffdPNG\ufffd", image},
	} {
		streams := c.answer == ""
		uri := map[bool]string{true: streamedURI, false: bufferedURI}[streams]
		answered := post(t, t.Context(), door(t, l, streams, uri, c.binary...), c.contentType, []byte(image))
		a := <-l.Asks
		var event events.APIGatewayProxyRequest
		if err := json.Unmarshal(a.Event, &event); err != nil || event.Body != c.event || event.IsBase64Encoded != (c.event == encoded) {
			t.Errorf("%s: the function gets %q, %v, %v", name, event.Body, event.IsBase64Encoded, err)
		}
		go func() {
			if streams {
				a.Begin(lambdatest.Streaming).Say("{}" + nuls + image).End()
			} else {
				a.Begin("application/json").Say(`{"statusCode":200,"isBase64Encoded":true,"body":"` + c.answer + `"}`).End()
			}
		}()
		response := <-answered
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if string(body) != c.want || err != nil {
			t.Errorf("%s: the client gets %q, %v", name, body, err)
		}
	}
}

// Lost: a client would see, or miss, headers that it does not, or does, on AWS.
func TestResponseHeader(t *testing.T) {
	t.Parallel()
	got := responseHeader(
		map[string]string{
			"a": "1", "B": "1", "content-length": "5", "Date": "x", "Server": "x", "connection": "close", "transfer-encoding": "chunked",
			"X-Amzn-RequestId": "x", "Upgrade": "x", "WWW-Authenticate": "x", "content-type": "text/plain",
		},
		map[string][]string{"A": {"1", "2"}, "Set-Cookie": {"c=1"}}, []string{"d=2"})
	want := http.Header{
		"A": {"1", "2"}, "B": {"1"}, "Content-Type": {"text/plain"}, "Set-Cookie": {"c=1", "d=2"}, "X-Amzn-Remapped-Content-Length": {"5"},
		"X-Amzn-Remapped-Date": {"x"}, "X-Amzn-Remapped-Server": {"x"}, "X-Amzn-Remapped-Connection": {"close"},
		"X-Amzn-Remapped-X-Amzn-Requestid": {"x"}, "X-Amzn-Remapped-Www-Authenticate": {"x"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := responseHeader(nil, nil, nil); !reflect.DeepEqual(got, http.Header{"Content-Type": {"application/json"}}) {
		t.Errorf("of nothing: %v", got)
	}
}

// Lost: bytes of an answer would be taken for its metadata, or the other way round, by how they happened to arrive.
func FuzzReadPrelude(f *testing.F) {
	for _, seed := range []string{"{}" + nuls + "Hello", `{"statusCode":201,"headers":{"a":"b"}}` + nuls + nuls, "{}" + nuls[1:], "{}{}" + nuls, nuls, "",
		"{" + strings.Repeat(" ", maxPrelude-10) + "}" + nuls + "x", "{" + strings.Repeat(" ", maxPrelude-9) + "}" + nuls + "x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		read := func(r io.Reader) (metadata, []byte, error) {
			m, rest, err := readPrelude(r)
			if err != nil {
				return m, nil, err
			}
			body, err := io.ReadAll(rest)
			if err != nil {
				t.Fatal(err)
			}
			return m, body, nil
		}
		m, body, err := read(bytes.NewReader(text))
		pieces := iotest.OneByteReader
		if len(text) > 1<<10 {
			pieces = iotest.HalfReader // a byte at a time takes too long
		}
		slow, slowBody, slowErr := read(pieces(bytes.NewReader(text)))
		if (err == nil) != (slowErr == nil) || err == nil && !reflect.DeepEqual(m, slow) || !bytes.Equal(body, slowBody) {
			t.Fatalf("at once %v %q %v, in pieces %v %q %v", m, body, err, slow, slowBody, slowErr)
		}
		head, rest, found := bytes.Cut(text, delimiter)
		switch within := found && len(head)+len(delimiter) <= maxPrelude; {
		case err != nil && !errors.Is(err, errPrelude):
			t.Errorf("%v", err)
		case err == nil && (!within || !json.Valid(head) || !bytes.Equal(rest, body) || !final(m.StatusCode)):
			t.Errorf("%q has %v, %q", text, m, body)
		}
	})
}
