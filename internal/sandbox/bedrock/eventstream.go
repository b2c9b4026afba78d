package bedrock

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
)

// event is one of a stream's. A chunk's payload is JSON of the model's own.
type event struct {
	name    string
	payload any
}

const chunk = "chunk"

// stream answers in events, each a message of its own as soon as it is there (Smithy, "Amazon Event Stream
// specification").
type stream struct {
	w     http.ResponseWriter
	form  form
	pause time.Duration // before every word but the first
	fault fault         // what it ends with after the first word, if anything
}

// answer delivers the record before the last events: who has read them finds it. What Bedrock records of a stream that
// broke, or whose reader left, AWS does not say: here it is what was sent.
func (s stream) answer(ctx context.Context, a answer, deliver func(a answer, output any)) {
	sent := s.form.head(a)
	s.w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	if sent[0].name == chunk {
		s.w.Header().Set("X-Amzn-Bedrock-Content-Type", "application/json")
	}
	words := strings.SplitAfter(a.text, " ")
	if s.fault.name != "" {
		words = words[:1]
	}
	err := s.send(sent...)
	a.firstByte = a.latency()
	said := ""
	for i, word := range words {
		if i > 0 {
			wait(ctx, s.pause)
		}
		if ctx.Err() != nil || err != nil {
			break
		}
		e := s.form.word(word)
		said, sent, err = said+word, append(sent, e), s.send(e)
	}
	if left := ctx.Err() != nil || err != nil; left || s.fault.name != "" {
		a.text, a.stop = said, ""
		a.usage = newUsage(a.usage.Input, countTokens(said), a.usage.CacheWrite != nil)
		deliver(a, s.recorded(a, sent))
		if !left {
			s.fail()
		}
		return
	}
	tail := s.form.tail(a)
	deliver(a, s.recorded(a, append(sent, tail...)))
	s.send(tail...)
}

// recorded is Converse's answer of a Converse stream, but of an invoked one the list of chunks (as records of real ones
// have it: Bedrock User Guide, "Model invocation logging", does not say).
func (s stream) recorded(a answer, sent []event) any {
	if sent[0].name != chunk {
		return s.form.whole(a)
	}
	var chunks []any
	for _, e := range sent {
		chunks = append(chunks, e.payload)
	}
	return chunks
}

func wait(ctx context.Context, pause time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
}

func (s stream) send(events ...event) error {
	for _, e := range events {
		payload := e.payload
		if e.name == chunk {
			payload = map[string][]byte{"bytes": toJSON(payload)}
		}
		if err := s.message(payload, eventstreamapi.EventMessageType, eventstreamapi.EventTypeHeader, e.name); err != nil {
			return err
		}
	}
	return nil
}

// fail ends the stream with the exception as the stream's member is called: modelStreamErrorException.
func (s stream) fail() error {
	name := strings.ToLower(s.fault.name[:1]) + s.fault.name[1:]
	return s.message(object{"message": s.fault.message}, eventstreamapi.ExceptionMessageType, eventstreamapi.ExceptionTypeHeader, name)
}

func (s stream) message(payload any, messageType, typeHeader, name string) error {
	m := eventstream.Message{Payload: toJSON(payload)}
	for _, header := range [][2]string{{typeHeader, name}, {eventstreamapi.ContentTypeHeader, "application/json"}, {eventstreamapi.MessageTypeHeader, messageType}} {
		m.Headers.Set(header[0], eventstream.StringValue(header[1]))
	}
	if err := eventstream.NewEncoder().Encode(s.w, m); err != nil {
		return err
	}
	return http.NewResponseController(s.w).Flush()
}

// toJSON is for what always marshals.
func toJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}
