package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// frames keeps the last frame of an event stream that is forwarded, which contains the token counts. A frame begins
// with its length, in four bytes (Smithy, "Amazon Event Stream Specification").
type frames struct {
	frame   []byte // the first bytes of the last frame
	arrived int    // the number of the frame's bytes that have arrived
}

// largestLast is the maximum number of bytes that frames keeps. A stream's last event is smaller.
const largestLast = 64 << 10

func (f *frames) write(p []byte) {
	for len(p) > 0 {
		if f.whole() {
			f.frame, f.arrived = f.frame[:0], 0
		}
		next := min(len(p), f.size()-f.arrived)
		f.frame = append(f.frame, p[:max(0, min(next, largestLast-len(f.frame)))]...)
		f.arrived += next
		p = p[next:]
	}
}

// size returns the size of the last frame, or of the length field until that has arrived. A frame is longer than its
// length field, even if a broken stream states less.
func (f *frames) size() int {
	if len(f.frame) < 4 {
		return 4
	}
	return max(int(binary.BigEndian.Uint32(f.frame)), 5)
}

// whole reports whether the stream is between two frames.
func (f *frames) whole() bool {
	return f.arrived == 0 || len(f.frame) >= 4 && f.arrived == f.size()
}

// last returns the token counts or the exception in the last frame.
func (f *frames) last() (t tokens, err error) {
	message, err := eventstream.NewDecoder().Decode(bytes.NewReader(f.frame), nil)
	if err != nil {
		return t, err
	}
	if kind := message.Headers.Get(eventstreamapi.MessageTypeHeader); kind != nil && kind.String() == eventstreamapi.ExceptionMessageType {
		name := message.Headers.Get(eventstreamapi.ExceptionTypeHeader)
		if name == nil {
			return t, errors.New("an exception without a name")
		}
		return t, &bedrockError{code: strings.ToUpper(name.String()[:1]) + name.String()[1:]}
	}
	var event struct {
		Usage struct{ InputTokens, OutputTokens, CacheReadInputTokens, CacheWriteInputTokens int } // of ConverseStream
		Bytes []byte                                                                               // of InvokeModelWithResponseStream
	}
	if err := json.Unmarshal(message.Payload, &event); err != nil {
		return t, err
	}
	if event.Bytes == nil {
		u := event.Usage
		return tokens{u.InputTokens, u.OutputTokens, u.CacheReadInputTokens, u.CacheWriteInputTokens}, nil
	}
	var chunk struct {
		Metrics tokens `json:"amazon-bedrock-invocationMetrics"`
	}
	return chunk.Metrics, json.Unmarshal(event.Bytes, &chunk)
}

// exception returns a frame that ends a stream with an error type that all clients know.
func exception(e apiError) []byte {
	text := func(name, value string) eventstream.Header {
		return eventstream.Header{Name: name, Value: eventstream.StringValue(value)}
	}
	var b bytes.Buffer
	err := eventstream.NewEncoder().Encode(&b, eventstream.Message{Headers: eventstream.Headers{
		text(eventstreamapi.MessageTypeHeader, eventstreamapi.ExceptionMessageType),
		text(eventstreamapi.ExceptionTypeHeader, "modelStreamErrorException"),
		text(eventstreamapi.ContentTypeHeader, "application/json"),
	}, Payload: marshal(map[string]string{"message": e.Message})})
	if err != nil {
		panic(err) // texts always encode
	}
	return b.Bytes()
}
