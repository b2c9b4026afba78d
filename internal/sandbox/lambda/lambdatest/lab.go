// Package lambdatest deploys a function that answers as a test says.
package lambdatest

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	runtime "github.com/aws/aws-lambda-go/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// Main runs a package of tests, or is the function that they deploy: that asks the test what to say.
func Main(m *testing.M) {
	if backend := os.Getenv("TEST_BACKEND"); backend != "" {
		runtime.Start(func(_ context.Context, event json.RawMessage) (io.Reader, error) { return relay(backend, event) })
	}
	os.Exit(m.Run())
}

func relay(backend string, event []byte) (io.Reader, error) {
	response, err := http.Post(backend+"?pid="+strconv.Itoa(os.Getpid()), "application/json", bytes.NewReader(event))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New("told to fail")
	}
	return &relayed{response.Body, response.Header.Get("Content-Type")}, nil
}

type relayed struct {
	io.Reader
	contentType string
}

func (r *relayed) ContentType() string { return r.contentType }

// MarshalJSON fails: aws-lambda-go prefers JSON to a reader.
func (r *relayed) MarshalJSON() ([]byte, error) { return nil, errors.New("not JSON") }

// Streaming is the content type of a streamed response.
const Streaming = "application/vnd.awslambda.http-integration-response"

// Lab is functions, and a front door, with the rest of AWS played by the test.
type Lab struct {
	*lambda.Functions
	Moto *httptest.Server
	Asks chan *Ask // of the function

	mu      sync.Mutex
	changed *sync.Cond
	alarms  map[*time.Duration]func()
	reports []string
	logged  []string // group and message, as PutLogEvents had them
}

// Ask is a call that the function has and answers as the test says.
type Ask struct {
	Event []byte
	PID   int
	parts chan func(http.ResponseWriter) // nil is the end
	gone  chan struct{}
}

// New deploys a function named "f".
func New(t *testing.T) *Lab {
	t.Helper()
	l := &Lab{Asks: make(chan *Ask), alarms: map[*time.Duration]func(){}}
	l.changed = sync.NewCond(&l.mu)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		event, _ := io.ReadAll(r.Body)
		pid, _ := strconv.Atoi(r.FormValue("pid"))
		a := &Ask{Event: event, PID: pid, parts: make(chan func(http.ResponseWriter)), gone: make(chan struct{})}
		defer close(a.gone)
		l.Asks <- a
		for {
			select {
			case part := <-a.parts:
				if part == nil {
					return
				}
				part(w)
			case <-r.Context().Done(): // the function's process is gone
				return
			}
		}
	}))
	t.Cleanup(backend.Close)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	zipped := scripted(t, "#!/bin/sh\nexec '"+program+"'\n")
	role := "arn:aws:iam::" + accountID + ":role/r"
	l.Moto = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "Logs_20140328.PutLogEvents" {
			var in struct {
				LogGroupName string
				LogEvents    []struct{ Message string }
			}
			json.NewDecoder(r.Body).Decode(&in)
			l.mu.Lock()
			defer l.mu.Unlock()
			l.logged = append(l.logged, in.LogGroupName+": "+in.LogEvents[0].Message)
			return
		}
		switch action := r.FormValue("Action"); {
		case strings.HasSuffix(r.URL.Path, "/configuration"):
			fmt.Fprintf(w, `{"FunctionName":"f","FunctionArn":"arn:f","Role":%q,"CodeSha256":%q,"Timeout":30,"Environment":{"Variables":{"TEST_BACKEND":%q}},"LoggingConfig":{"LogGroup":"g"}}`, role, zipped.sum, backend.URL)
		case strings.HasSuffix(r.URL.Path, "/policy"):
			json.NewEncoder(w).Encode(map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"apigateway.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"*"}]}`})
		case strings.Contains(r.URL.Path, "/stages/"):
			io.WriteString(w, `{"deploymentId":"d","accessLogSettings":{"destinationArn":"arn:aws:logs:r:a:log-group:access","format":"$context.status $context.responseLength $context.integration.responseTransferMode"}}`)
		case action == "GetRole":
			io.WriteString(w, `<r><GetRoleResult><Role><Arn>`+role+`</Arn><AssumeRolePolicyDocument>{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}</AssumeRolePolicyDocument></Role></GetRoleResult></r>`)
		default:
			io.WriteString(w, "<r></r>")
		}
	}))
	t.Cleanup(l.Moto.Close)
	moto := wire.Client{URL: l.Moto.URL, Region: "ap-northeast-1"}
	if l.Functions, err = lambda.New(moto, moto, accountID, filepath.Join(t.TempDir(), "functions"), nil, l.Hear); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	l.Functions.Alarm = l.Set
	code, err := json.Marshal(map[string]any{"FunctionName": "f", "Code": map[string]any{"ZipFile": zipped.content}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Handle(nil, httptest.NewRequest(http.MethodPost, "/2015-03-31/functions", bytes.NewReader(code))); err != nil {
		t.Fatal(err)
	}
	return l
}

const accountID = "123456789012"

type deployedZip struct {
	content []byte
	sum     string
}

func scripted(t *testing.T, script string) deployedZip {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(file, script)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b.Bytes())
	return deployedZip{b.Bytes(), base64.StdEncoding.EncodeToString(sum[:])}
}

// Hear takes a report.
func (l *Lab) Hear(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reports = append(l.reports, err.Error())
	l.changed.Broadcast()
}

// AwaitReport waits for the report that contains a text.
func (l *Lab) AwaitReport(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !strings.Contains(strings.Join(l.reports, "\n"), text) {
		l.changed.Wait()
	}
}

// Set is the lab's clock: it stands still.
func (l *Lab) Set(after time.Duration, ring func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := &after
	l.alarms[key] = ring
	l.changed.Broadcast()
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.alarms, key)
		return true
	}
}

// Ring waits for an alarm of about this length and rings it.
func (l *Lab) Ring(after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for key, ring := range l.alarms {
			if key.Round(10*time.Second) == after {
				delete(l.alarms, key)
				go ring()
				return
			}
		}
		l.changed.Wait()
	}
}

// AccessLog is what was written to the log group "access".
func (l *Lab) AccessLog() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(slices.DeleteFunc(slices.Clone(l.logged), func(line string) bool { return !strings.HasPrefix(line, "access: ") }), "\n")
}

// do does a part of the answer; when it returns, it is on its way.
func (a *Ask) do(part func(http.ResponseWriter)) *Ask {
	done := make(chan struct{})
	select {
	case a.parts <- func(w http.ResponseWriter) { part(w); w.(http.Flusher).Flush(); close(done) }:
		select {
		case <-done:
		case <-a.gone:
		}
	case <-a.gone:
	}
	return a
}

// Begin begins an answer.
func (a *Ask) Begin(contentType string) *Ask {
	return a.do(func(w http.ResponseWriter) { w.Header().Set("Content-Type", contentType) })
}

// Say goes on with an answer.
func (a *Ask) Say(text string) *Ask {
	return a.do(func(w http.ResponseWriter) { io.WriteString(w, text) })
}

// Fail makes the function fail before it answered.
func (a *Ask) Fail() { a.do(func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }).End() }

// Abort makes the function fail in the middle of its answer.
func (a *Ask) Abort() { a.do(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }) }

// End ends an answer.
func (a *Ask) End() {
	select {
	case a.parts <- nil:
	case <-a.gone:
	}
}

// Stream calls the function and has it say its first word.
func (l *Lab) Stream(t *testing.T) (io.ReadCloser, *Ask) {
	t.Helper()
	type opened struct {
		body io.ReadCloser
		err  error
	}
	made := make(chan opened)
	go func() {
		body, err := l.InvokeWithResponseStream(t.Context(), "f", []byte(`{}`))
		made <- opened{body, err}
	}()
	a := (<-l.Asks).Begin(Streaming).Say("first")
	o := <-made
	if o.err != nil {
		t.Fatal(o.err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(o.body, first); err != nil || string(first) != "first" {
		t.Fatalf("%q, %v", first, err)
	}
	return o.body, a
}
