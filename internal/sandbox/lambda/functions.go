// Package lambda runs the executables of deployed functions, each behind a Lambda Runtime API, and keeps of functions what moto
// drops.
package lambda

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
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

// Caller is whom a function's credentials stand for.
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

// pool is the running copies of one version of a function.
type pool struct {
	version string
	slots   chan struct{}  // one for each copy that may run
	idle    chan *instance // copies that wait for an event
}

type invocation struct {
	id      string
	event   []byte
	config  FunctionConfig
	expires time.Time

	answered atomic.Bool
	answer   chan beginning // one, from whoever sets answered
	input    *io.PipeReader
	output   *io.PipeWriter
	ended    chan ending // one, when the function has no more to say
}

// beginning is a response that begins, or why there is none.
type beginning struct {
	body io.ReadCloser
	err  error
}

// ending is how a response ended; a copy that is spent serves no other call.
type ending struct {
	err   error
	spent bool
}

// FunctionError is a function's own failure, as it tells it.
type FunctionError string

func (e FunctionError) Error() string { return string(e) }

type instance struct {
	id     string
	next   chan *invocation
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	open   *invocation
}

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
// with an error. Whoever closes it leaves; the function works on to its end (Lambda Developer Guide, "Response streaming
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
	// Last: whoever sees the end finds the copy idle.
	call.output.CloseWithError(end.err)
}

// wait gives a call to its copy and tells how that ended.
func (call *invocation) wait(i *instance, late <-chan struct{}) ending {
	next, exited := i.next, i.exited
	for {
		select {
		case next <- call:
			next = nil // taken
		case end := <-call.ended:
			return end
		case <-late:
			return ending{ErrTimedOut, true} // Lambda ends a copy that is late
		case <-exited:
			exited = nil
			if call.answered.Load() {
				continue // until what it said last has arrived
			}
			select {
			case end := <-call.ended:
				return ending{end.err, true}
			default:
				return ending{errEnded, true}
			}
		}
	}
}

// release lets a copy wait for its next event, or ends it if another version was deployed meanwhile.
func (f *Functions) release(name string, p *pool, i *instance) {
	f.mu.Lock()
	current := f.pools[name] == p
	if current {
		p.idle <- i // never blocks: it has a place for each copy. Under the lock, drain finds it if a version follows.
	}
	f.mu.Unlock()
	if !current {
		f.drop(p, i)
	}
}

// pool finds the copies of a function's deployed version, and ends those of an older one.
func (f *Functions) pool(config FunctionConfig) *pool {
	version, _ := json.Marshal(config)
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pools[config.Name]
	if p == nil || p.version != string(version) {
		if p != nil {
			go f.drain(p)
		}
		p = &pool{version: string(version), slots: make(chan struct{}, maxInstances), idle: make(chan *instance, maxInstances)}
		f.pools[config.Name] = p
	}
	return p
}

// drain ends the idle copies of a version that is no longer deployed; release ends the busy ones.
func (f *Functions) drain(p *pool) {
	for {
		select {
		case i := <-p.idle:
			f.drop(p, i)
		default:
			return
		}
	}
}

func (f *Functions) acquire(ctx context.Context, p *pool, config FunctionConfig) (*instance, error) {
	select {
	case i := <-p.idle:
		return i, nil
	default:
	}
	select {
	case i := <-p.idle:
		return i, nil
	case p.slots <- struct{}{}:
		i, err := f.start(ctx, config)
		if err != nil {
			<-p.slots
		}
		return i, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drop ends a copy.
func (f *Functions) drop(p *pool, i *instance) {
	i.cmd.Process.Kill()
	<-i.exited
	<-p.slots
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.instances, i.id)
}

// start runs one copy of a function with the environment that Lambda gives it (Lambda Developer Guide, "Defined
// runtime environment variables").
func (f *Functions) start(ctx context.Context, config FunctionConfig) (*instance, error) {
	r, err := iam.ServiceRole(ctx, f.moto, config.Role, "lambda.amazonaws.com", nil)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	zipped := f.zips[config.CodeSha256]
	f.mu.Unlock()
	if zipped == nil {
		return nil, fmt.Errorf("the code of function %s, SHA-256 %s, was not deployed through this sandbox", config.Name, config.CodeSha256)
	}
	bootstrap, err := f.unzip(config.CodeSha256, zipped)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", config.Name, err)
	}
	suffix := make([]byte, 8)
	rand.Read(suffix)
	i := &instance{id: hex.EncodeToString(suffix), next: make(chan *invocation), exited: make(chan struct{})}
	accessKey := "ASIA" + strings.ToUpper(i.id)
	roleName := config.Role[strings.LastIndex(config.Role, "/")+1:]
	logStream := time.Now().UTC().Format("2006/01/02") + "/" + config.Name + "[$LATEST]" + i.id

	i.cmd = exec.Command(bootstrap)
	i.cmd.Dir = filepath.Dir(bootstrap)
	i.cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + f.listener.Addr().String() + "/" + i.id, "AWS_ENDPOINT_URL=" + f.aws.URL,
		"AWS_REGION=" + f.moto.Region, "AWS_DEFAULT_REGION=" + f.moto.Region,
		"AWS_ACCESS_KEY_ID=" + accessKey, "AWS_SECRET_ACCESS_KEY=sandbox", "AWS_SESSION_TOKEN=sandbox",
		"AWS_LAMBDA_FUNCTION_NAME=" + config.Name, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(config.MemorySize),
		"AWS_LAMBDA_LOG_GROUP_NAME=" + config.LoggingConfig.LogGroup, "AWS_LAMBDA_LOG_STREAM_NAME=" + logStream,
		"AWS_LAMBDA_LOG_FORMAT=" + config.LoggingConfig.LogFormat, "AWS_LAMBDA_LOG_LEVEL=" + config.LoggingConfig.ApplicationLogLevel,
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "LAMBDA_TASK_ROOT=" + i.cmd.Dir, "_HANDLER=bootstrap",
		"LANG=en_US.UTF-8", "TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin",
	}
	for k, v := range config.Environment.Variables {
		i.cmd.Env = append(i.cmd.Env, k+"="+v)
	}
	output, input := io.Pipe()
	i.cmd.Stdout, i.cmd.Stderr = input, input

	// Under the lock: close must find every copy that was started.
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, errors.New("the sandbox is stopping")
	}
	if err := i.cmd.Start(); err != nil {
		return nil, fmt.Errorf("function %s, was it built for this machine's architecture? %w", config.Name, err)
	}
	f.instances[i.id] = i
	f.callers[accessKey] = Caller{
		SessionARN: "arn:aws:sts::" + f.account + ":assumed-role/" + roleName + "/" + config.Name,
		RoleARN:    config.Role, FunctionARN: config.Arn, VpcID: config.VpcConfig.VpcId,
	}
	f.logs.Go(func() { f.keepLog(r, config.LoggingConfig.LogGroup, logStream, output) })
	go func() { i.cmd.Wait(); input.Close(); close(i.exited) }()
	return i, nil
}

// unzip writes the zip's bootstrap where it can be run. As Lambda, it wants it at the root and executable.
func (f *Functions) unzip(sum string, zipped []byte) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return "", err
	}
	bootstrap := filepath.Join(f.folder, hex.EncodeToString(raw), "bootstrap")
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := os.Stat(bootstrap); err == nil {
		return bootstrap, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(zipped), int64(len(zipped)))
	if err != nil {
		return "", err
	}
	file, err := archive.Open("bootstrap")
	if err != nil {
		return "", fmt.Errorf("Runtime.InvalidEntrypoint: the zip has no bootstrap at its root: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || info.Mode()&0o111 == 0 {
		return "", errors.New("Runtime.InvalidEntrypoint: the zip's bootstrap is not executable")
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(bootstrap), 0o700); err != nil {
		return "", err
	}
	// A process that another function's start forks meanwhile would have the file open for writing, and nothing could execute it:
	// "text file busy" (golang/go#22315).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return bootstrap, os.WriteFile(bootstrap, content, 0o700)
}

// keepLog writes what a function prints into its log group, with its role.
func (f *Functions) keepLog(r iam.Role, group, stream string, output io.Reader) {
	resource := "arn:aws:logs:" + f.moto.Region + ":" + f.account + ":log-group:" + group + ":log-stream:" + stream
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if !r.Allows("logs:PutLogEvents", resource, nil) || !r.Allows("logs:CreateLogStream", resource, nil) {
			f.report(fmt.Errorf("the function's role may not write %s", resource))
			continue
		}
		if err := logs.PutLogEvent(context.Background(), f.moto, group, stream, lines.Text()); err != nil {
			f.report(fmt.Errorf("the function's log: %w", err))
		}
		f.metrics.Embedded(lines.Text())
	}
	io.Copy(io.Discard, output) // a line too long for the scanner must not stop the function
}

// runtimeAPI serves /{instance}/2018-06-01/runtime/….
func (f *Functions) runtimeAPI(w http.ResponseWriter, r *http.Request) {
	id, call, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/2018-06-01/runtime/")
	f.mu.Lock()
	i := f.instances[id]
	f.mu.Unlock()
	if i == nil {
		http.Error(w, "no such instance", http.StatusForbidden)
		return
	}
	switch parts := strings.Split(call, "/"); {
	case call == "invocation/next":
		select {
		case next := <-i.next:
			i.mu.Lock()
			i.open = next
			i.mu.Unlock()
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", next.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(next.expires.UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", next.config.Arn)
			w.Header().Set("Content-Type", "application/json")
			w.Write(next.event)
		case <-r.Context().Done():
		}
	case len(parts) == 3 && parts[0] == "invocation" && (parts[2] == "response" || parts[2] == "error"):
		i.mu.Lock()
		open := i.open
		i.open = nil
		i.mu.Unlock()
		if open == nil || open.id != parts[1] {
			http.Error(w, `{"errorType":"InvalidRequestID"}`, http.StatusBadRequest)
			return
		}
		status, end := open.receive(r, parts[2] == "error")
		open.ended <- end
		w.WriteHeader(status)
	case call == "init/error":
		message, _ := io.ReadAll(io.LimitReader(r.Body, MaxBuffered))
		f.report(fmt.Errorf("the function did not start: %s", message))
		w.WriteHeader(http.StatusAccepted)
	default:
		http.NotFound(w, r)
	}
}

// receive hands a response on while it arrives (Lambda Developer Guide, "Building a custom runtime for AWS Lambda").
// aws-lambda-go marks a streamed one by its content type alone.
func (call *invocation) receive(r *http.Request, failed bool) (status int, end ending) {
	body, limit := io.Reader(r.Body), int64(maxStreamed)
	streamed := r.Header.Get("Content-Type") == "application/vnd.awslambda.http-integration-response" ||
		strings.EqualFold(r.Header.Get("Lambda-Runtime-Function-Response-Mode"), "streaming")
	if failed || !streamed {
		whole, err := io.ReadAll(io.LimitReader(r.Body, MaxBuffered+1))
		switch {
		case err != nil:
			return http.StatusBadRequest, ending{errEnded, true}
		case len(whole) > MaxBuffered:
			return http.StatusRequestEntityTooLarge, ending{errTooLarge, true}
		case failed:
			return http.StatusAccepted, ending{err: FunctionError(whole)}
		}
		body, streamed = bytes.NewReader(whole), false
	}
	if call.answered.CompareAndSwap(false, true) {
		call.answer <- beginning{body: call.input}
	}
	_, stopped := io.CopyN(call.output, body, limit)
	rest, err := io.Copy(io.Discard, body) // what the caller did not stay for
	switch kind := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); {
	case err != nil:
		return http.StatusBadRequest, ending{errEnded, true}
	case streamed && kind != "":
		message, _ := base64.StdEncoding.DecodeString(r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
		return http.StatusAccepted, ending{err: FunctionError(kind + ": " + string(message))}
	case stopped == nil && rest > 0:
		return http.StatusRequestEntityTooLarge, ending{errTooLarge, true}
	}
	return http.StatusAccepted, ending{}
}
