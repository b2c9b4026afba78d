package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
)

// standIn has the addresses of two stubs of Bedrock. They run in a separate process, so that they cost every caller the
// same.
type standIn struct {
	Bedrock string // returns the prompt at once
	Flood   string // returns a stream of floodSize

	cmd   *exec.Cmd
	stdin io.Closer
}

// standInArgument is the argument that makes this program serve only the stubs.
const standInArgument = "stand-in"

func startStandIn() (*standIn, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &standIn{cmd: exec.Command(program, standInArgument)}
	s.cmd.Stderr = os.Stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, json.NewDecoder(stdout).Decode(s)
}

func (s *standIn) stop() {
	s.stdin.Close()
	s.cmd.Wait()
}

// serveStandIn runs the stubs. It ends when its parent ends and closes the pipe.
func serveStandIn() error {
	var s standIn
	for address, handler := range map[*string]http.Handler{
		&s.Bedrock: logged(&bedrock.Runtime{Region: region, Account: account}), &s.Flood: logged(http.HandlerFunc(flood)),
	} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		*address = "http://" + listener.Addr().String()
		go http.Serve(listener, handler)
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// logged adds the account's logging configuration and data retention mode to a stub. The function reads them once a
// minute.
func logged(models http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", models)
	mux.HandleFunc("GET /logging/modelinvocations", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"loggingConfig":{"s3Config":{"bucketName":"bench"},"textDataDeliveryEnabled":true}}`)
	})
	mux.HandleFunc("GET /data-retention", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"mode":"inherit"}`) })
	return mux
}

const floodSize = 100e6

func flood(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	delta := frame("contentBlockDelta", fmt.Sprintf(`{"contentBlockIndex":0,"delta":{"text":%q}}`, strings.Repeat("0123456789abcdef", 64)))
	w.Write(frame("messageStart", `{"role":"assistant"}`))
	for size := 0; size < floodSize; size += len(delta) {
		if _, err := w.Write(delta); err != nil {
			return
		}
	}
	w.Write(frame("contentBlockStop", `{"contentBlockIndex":0}`))
	w.Write(frame("messageStop", `{"stopReason":"end_turn"}`))
	w.Write(frame("metadata", `{"usage":{"inputTokens":1,"outputTokens":1,"totalTokens":2},"metrics":{"latencyMs":1}}`))
}

func frame(event, payload string) []byte {
	message := eventstream.Message{Payload: []byte(payload)}
	message.Headers.Set(eventstreamapi.MessageTypeHeader, eventstream.StringValue(eventstreamapi.EventMessageType))
	message.Headers.Set(eventstreamapi.EventTypeHeader, eventstream.StringValue(event))
	message.Headers.Set(eventstreamapi.ContentTypeHeader, eventstream.StringValue("application/json"))
	var b bytes.Buffer
	if err := eventstream.NewEncoder().Encode(&b, message); err != nil {
		panic(err) // constants always marshal
	}
	return b.Bytes()
}
