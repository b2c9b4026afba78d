package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// process is one instance of a function behind its own Lambda Runtime API (Lambda Developer Guide, "Using the Lambda
// runtime API").
type process struct {
	cmd     *exec.Cmd
	startup time.Duration // until its first request for an event
	asked   chan struct{} // receives its requests for an event
	calls   chan *call
	open    atomic.Pointer[call]
	exited  chan struct{}
	stderr  bytes.Buffer
}

// timeout is the function's timeout.
const timeout = time.Minute

// call is an event that a function processes.
type call struct {
	event  []byte
	handed time.Time
	answer chan answer
}

// answer is a function's response, timed from the delivery of the event. Lambda's framing doesn't count as its first
// byte.
type answer struct {
	first, whole time.Duration
	size         int64 // of a stream, without its framing
	err          error
}

// start runs a function with the environment that Lambda sets (Lambda Developer Guide, "Defined runtime environment
// variables"), and waits for its first request for an event. The function ends with the context.
func (b *bench) start(ctx context.Context, function, endpoint string, variables ...string) (*process, error) {
	command, err := b.commands[function]()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, command[0], command[1:]...), asked: make(chan struct{}, 1), calls: make(chan *call), exited: make(chan struct{})}
	server := &http.Server{Handler: p}
	go server.Serve(listener)
	p.cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String(), "AWS_ENDPOINT_URL=" + endpoint,
		"AWS_REGION=" + region, "AWS_DEFAULT_REGION=" + region,
		"AWS_ACCESS_KEY_ID=ASIABENCH", "AWS_SECRET_ACCESS_KEY=bench", "AWS_SESSION_TOKEN=bench",
		"AWS_LAMBDA_FUNCTION_NAME=bench", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_LOG_GROUP_NAME=bench", "AWS_LAMBDA_LOG_STREAM_NAME=bench", "AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_LOG_LEVEL=INFO",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "LAMBDA_TASK_ROOT=" + b.folder, "_HANDLER=bootstrap",
		"LANG=en_US.UTF-8", "TZ=:UTC", "PATH=/usr/local/bin:/usr/bin:/bin", contract.EnvModelIDs + "=" + model,
	}, variables...)
	p.cmd.Stderr = &p.stderr
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		server.Close()
		return nil, err
	}
	b.running.Go(func() { p.cmd.Wait(); server.Close(); close(p.exited) })
	select {
	case <-p.asked:
		p.startup = time.Since(began)
		return p, nil
	case <-p.exited:
		return nil, errors.Join(ctx.Err(), fmt.Errorf("%s did not start: %s", function, p.stderr.String()))
	}
}

func (p *process) stop() {
	p.cmd.Process.Kill()
	<-p.exited
}

// call sends an event, and then waits until the function requests the next one, so that its remaining work doesn't
// disturb the next measurement.
func (p *process) call(ctx context.Context, event []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c := &call{event: event, answer: make(chan answer, 1)}
	next, asked := p.calls, (chan struct{})(nil)
	var got answer
	for {
		select {
		case next <- c:
			next = nil
		case got = <-c.answer:
			asked = p.asked
		case <-asked:
			return got, got.err
		case <-p.exited:
			return got, errors.Join(ctx.Err(), fmt.Errorf("the function ended while it worked: %s", p.stderr.String()))
		case <-ctx.Done():
			return got, ctx.Err()
		}
	}
}

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocation/next"):
		p.asked <- struct{}{}
		select {
		case c := <-p.calls:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(timeout).UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+account+":function:bench")
			w.Header().Set("Content-Type", "application/json")
			c.handed = time.Now()
			p.open.Store(c)
			w.Write(c.event)
		case <-r.Context().Done():
		}
	case strings.HasSuffix(r.URL.Path, "/response"):
		c := p.open.Load()
		a := receive(r, c.handed)
		w.WriteHeader(http.StatusAccepted)
		c.answer <- a
	default: // an error
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		if c := p.open.Load(); c != nil {
			c.answer <- answer{err: fmt.Errorf("the function failed: %s", body)}
		}
	}
}

// receive reads both formats of responses to API Gateway: complete JSON, or metadata in JSON, eight zero bytes, and the
// body as it arrives (API Gateway Developer Guide, "Set up a Lambda proxy integration with payload response
// streaming").
func receive(r *http.Request, handed time.Time) (a answer) {
	body := bufio.NewReaderSize(r.Body, 64<<10)
	var head []byte
	if r.Header.Get("Content-Type") == "application/vnd.awslambda.http-integration-response" {
		if head, a.err = body.ReadBytes(0); a.err != nil {
			return a
		}
		head = head[:len(head)-1]
		if _, a.err = body.Discard(7); a.err != nil {
			return a
		}
		if _, a.err = body.Peek(1); a.err != nil {
			return a
		}
		a.first = time.Since(handed)
		a.size, a.err = io.Copy(io.Discard, body)
	} else {
		head, a.err = io.ReadAll(body)
	}
	a.whole = time.Since(handed)
	if a.err != nil {
		return a
	}
	var metadata struct {
		StatusCode int `json:"statusCode"`
	}
	if a.err = json.Unmarshal(head, &metadata); a.err == nil && metadata.StatusCode != http.StatusOK {
		a.err = fmt.Errorf("the function returned %s", head)
	}
	if r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
		a.err = errors.New("the function failed in the middle of the stream")
	}
	return a
}

// resident returns the process's resident memory in MiB.
func (p *process) resident() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	kib, err := strconv.ParseFloat(field(status, "VmRSS"), 64)
	return kib / 1024, err
}
