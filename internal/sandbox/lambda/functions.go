// Package lambda runs the executables of deployed functions, each behind a Lambda Runtime API, and keeps of functions what moto
// drops.
package lambda

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// maxInstances is how many copies of one function run at once; further calls wait.
const maxInstances = 10

// Lambda quotas: an event and a buffered response have at most 6 MB (6,291,556 bytes in Lambda's own messages), a
// streamed response 200 MB.
const (
	MaxBuffered = 6<<20 + 100
	maxStreamed = 200 << 20
)

// Alarm rings once, after a time; stop ends it. Tests ring themselves.
type Alarm func(after time.Duration, ring func()) (stop func() bool)

// Clock is the Alarm that goes by the time.
func Clock(after time.Duration, ring func()) (stop func() bool) {
	return time.AfterFunc(after, ring).Stop
}

// FunctionConfig is what moto knows of a function (Lambda API Reference, GetFunctionConfiguration).
type FunctionConfig struct {
	Name        string `json:"FunctionName"`
	Arn         string `json:"FunctionArn"`
	Role        string
	CodeSha256  string
	MemorySize  int
	Timeout     int
	VpcConfig   struct{ VpcId string }
	Environment struct{ Variables map[string]string }

	LoggingConfig struct{ LogFormat, LogGroup, ApplicationLogLevel string }
}

// Caller is the function that credentials were given to, as IAM sees it.
type Caller struct {
	SessionARN, RoleARN, FunctionARN, VpcID string
}

// Functions runs deployed functions' own executables, each behind a Lambda Runtime API (Lambda Developer Guide,
// "Using the Lambda runtime API").
type Functions struct {
	moto     wire.Client
	account  string
	aws      wire.Client // the sandbox's own endpoint, where a function's configuration is whole
	listener net.Listener
	report   func(error)
	metrics  *cloudwatch.Metrics
	folder   string
	Alarm    Alarm

	logs sync.WaitGroup // of functions that still print

	mu        sync.Mutex
	closed    bool
	zips      map[string][]byte // by CodeSha256: moto does not give them back
	pools     map[string]*pool  // by function name
	instances map[string]*instance
	callers   map[string]Caller // by access key id
	stopped   map[string]bool   // by function name: whether its concurrency is 0
	logging   map[string]any    // LoggingConfig by function name: moto drops it
}

// FunctionError is a function's own failure, as it tells it.
type FunctionError string

func (e FunctionError) Error() string { return string(e) }

// New serves the Runtime API. The executables of functions are kept in the folder.
func New(moto, aws wire.Client, account, folder string, metrics *cloudwatch.Metrics, report func(error)) (*Functions, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Functions{
		moto: moto, aws: aws, account: account, listener: listener, report: report, metrics: metrics, folder: folder, Alarm: Clock,
		zips: map[string][]byte{}, pools: map[string]*pool{}, instances: map[string]*instance{}, callers: map[string]Caller{}, stopped: map[string]bool{},
		logging: map[string]any{},
	}
	go http.Serve(listener, http.HandlerFunc(f.runtimeAPI))
	return f, nil
}

// keep remembers a deployed zip.
func (f *Functions) keep(zipped []byte) {
	sum := sha256.Sum256(zipped)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.zips[base64.StdEncoding.EncodeToString(sum[:])] = zipped
}

func (f *Functions) stop(name string, stopped bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped[name] = stopped
}

// Caller finds the function that an access key was given to.
func (f *Functions) Caller(accessKey string) (Caller, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.callers[accessKey]
	return c, ok
}

// Session names the session of a role that an access key of a function's stands for.
func (f *Functions) Session(accessKey string) (arn string, ok bool) {
	c, ok := f.Caller(accessKey)
	return c.SessionARN, ok
}

// Close ends every copy of every function.
func (f *Functions) Close() {
	f.listener.Close()
	f.mu.Lock()
	f.closed = true
	running := slices.Collect(maps.Values(f.instances))
	f.mu.Unlock()
	for _, i := range running {
		i.cmd.Process.Kill()
		<-i.exited
	}
	f.logs.Wait()
}

var (
	ErrTimedOut    = errors.New("the function timed out")
	errEnded       = FunctionError("the function ended while it worked")
	errTooLarge    = FunctionError("Function.ResponseSizeTooLarge: the response is larger than Lambda's quota")
	errThrottled   = FunctionError("TooManyRequestsException: Rate Exceeded.")
	ErrEventTooBig = errors.New("RequestTooLargeException: the event is larger than Lambda's quota")
)

// Invoke calls a function as Lambda's Invoke does: its response is whole, also that of a function that streams.
func (f *Functions) Invoke(ctx context.Context, name string, event []byte) ([]byte, error) {
	body, err := f.InvokeWithResponseStream(ctx, name, event)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	defer context.AfterFunc(ctx, func() { body.Close() })()
	payload, err := io.ReadAll(io.LimitReader(body, MaxBuffered+1))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err == nil && len(payload) > MaxBuffered {
		err = errTooLarge
	}
	return payload, err
}

// InvokeWithResponseStream calls a function, starting a copy of it where none is idle. A response that breaks off ends
// with an error. A caller that closes it leaves; the function works on to its end (Lambda Developer Guide, "Response streaming
// for Lambda functions").
func (f *Functions) InvokeWithResponseStream(ctx context.Context, name string, event []byte) (io.ReadCloser, error) {
	if len(event) > MaxBuffered {
		return nil, ErrEventTooBig
	}
	var config FunctionConfig
	if err := f.aws.Get(ctx, "lambda", "/2015-03-31/functions/"+name+"/configuration", &config); err != nil {
		return nil, err
	}
	f.mu.Lock()
	stopped := f.stopped[name]
	f.mu.Unlock()
	if stopped {
		f.count(name, "Throttles")
		return nil, errThrottled
	}
	p := f.pool(config)
	i, err := f.acquire(ctx, p, config)
	if err != nil {
		f.count(name, "Errors")
		return nil, err
	}
	timeout := time.Duration(config.Timeout) * time.Second
	call := &invocation{id: wire.NewID(), event: event, config: config, expires: time.Now().Add(timeout), answer: make(chan beginning, 1), ended: make(chan ending, 1)}
	call.input, call.output = io.Pipe()
	go f.see(p, i, call)
	select {
	case a := <-call.answer:
		return a.body, a.err
	case <-ctx.Done():
		call.input.Close()
		return nil, context.Cause(ctx)
	}
}

func (f *Functions) count(name, metric string) {
	f.metrics.Put("AWS/Lambda", map[string]string{"FunctionName": name}, map[string]float64{metric: 1})
}

// see sees a call through, its caller there or not.
func (f *Functions) see(p *pool, i *instance, call *invocation) {
	late := make(chan struct{})
	stop := f.Alarm(time.Until(call.expires), func() { close(late) })
	defer stop()
	end := call.wait(i, late)
	if end.spent {
		f.drop(p, i)
	} else {
		f.release(call.config.Name, p, i)
	}
	if end.err != nil {
		f.count(call.config.Name, "Errors")
	}
	if call.answered.CompareAndSwap(false, true) {
		call.answer <- beginning{err: end.err}
	} else if end.err != nil {
		f.report(fmt.Errorf("function %s, in the middle of its response: %w", call.config.Name, end.err))
	}
	// Last, so that a caller that sees the end finds the copy idle.
	call.output.CloseWithError(end.err)
}
