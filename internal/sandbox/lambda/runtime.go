package lambda

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type invocation struct {
	id      string
	event   []byte
	config  FunctionConfig
	expires time.Time

	answered atomic.Bool
	answer   chan beginning // one, from the goroutine that sets answered
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
