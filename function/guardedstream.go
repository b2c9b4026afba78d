package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream/eventstreamapi"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// maxFrame is the size in bytes of the largest frame of an event stream that clients accept (AWS SDK for Go,
// eventstream.Decoder).
const maxFrame = 16 << 20

// guardedStream is an event stream that is evaluated before it is forwarded. It forwards frames of text, which Bedrock
// evaluates, at once. It holds other frames until the next text, the end, or until a complete piece can be evaluated.
type guardedStream struct {
	io.Closer
	upstream    io.Reader
	handler     handler
	ctx         context.Context
	held, ready bytes.Buffer
	member      string // of the last text
	text        []rune // of the held frames, after the end of the text that was released before
	fresh       int    // the number of its characters that aren't evaluated
}

func (s *guardedStream) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	return s.ready.Read(p)
}

func (s *guardedStream) next() error {
	frame, err := readFrame(s.upstream)
	if err == io.EOF && s.held.Len() > 0 {
		return s.release()
	}
	if err != nil {
		return err
	}
	parts, evaluated, err := s.handler.frameParts(frame)
	if err != nil {
		return err
	}
	if evaluated && len(parts) == 0 {
		if err := s.release(); err != nil {
			return err
		}
	}
	for i, p := range parts {
		// A string arrives in fragments, one in each frame.
		if i > 0 || p.member != s.member {
			s.text, s.fresh = append(s.text, '\n'), s.fresh+1
		}
		added := []rune(p.text.String())
		s.text, s.fresh, s.member = append(s.text, added...), s.fresh+len(added), p.member
	}
	if s.fresh == 0 && s.held.Len() == 0 {
		s.ready.Write(frame)
		return nil
	}
	s.held.Write(frame)
	if s.fresh >= pieceRunes-2*overlapRunes || s.held.Len() >= maxFrame {
		return s.release()
	}
	return nil
}

// release evaluates the held frames and forwards them.
func (s *guardedStream) release() error {
	if s.fresh > 0 {
		p := &part{member: s.member}
		written := string(s.text)
		p.text.WriteString(written)
		if plain := unescape(written); plain != written { // a tool's input
			p.text.WriteString("\n" + plain)
		}
		if err := s.handler.evaluate(s.ctx, types.GuardrailContentSourceOutput, []*part{p}); err != nil {
			return err
		}
		s.text, s.fresh = s.text[max(0, len(s.text)-overlapRunes):], 0
	}
	s.held.WriteTo(&s.ready)
	return nil
}

// readFrame reads one frame, which begins with its length (Smithy, "Amazon Event Stream Specification").
func readFrame(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < 16 || size > maxFrame {
		return nil, io.ErrUnexpectedEOF
	}
	frame := bytes.NewBuffer(length[:])
	if _, err := io.CopyN(frame, from, int64(size)-4); err != nil {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return frame.Bytes(), nil
}

// frameParts returns the texts of a frame that Bedrock doesn't evaluate. It skips exceptions, whose text Bedrock
// writes.
func (h handler) frameParts(frame []byte) (parts []*part, evaluated bool, err error) {
	message, err := eventstream.NewDecoder().Decode(bytes.NewReader(frame), nil)
	if err != nil {
		return nil, false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	if kind := message.Headers.Get(eventstreamapi.MessageTypeHeader); len(message.Payload) == 0 || kind != nil && kind.String() != eventstreamapi.EventMessageType {
		return nil, false, nil
	}
	var chunk struct{ Bytes []byte } // of InvokeModelWithResponseStream
	if event := message.Headers.Get(eventstreamapi.EventTypeHeader); event == nil || event.String() != "chunk" {
		return h.answerParts(message.Payload, eventRules)
	}
	if err := json.Unmarshal(message.Payload, &chunk); err != nil {
		return nil, false, errors.Join(err, io.ErrUnexpectedEOF)
	}
	return h.answerParts(chunk.Bytes, eventRules)
}

// guardStream returns a guardedStream, or the stream itself if no guardrail is set.
func (h handler) guardStream(ctx context.Context, upstream io.ReadCloser) io.ReadCloser {
	if h.guardrail == nil {
		return upstream
	}
	return &guardedStream{Closer: upstream, upstream: upstream, handler: h, ctx: ctx}
}
