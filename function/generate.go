package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/schemas"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithy "github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/aws/smithy-go/transport/http/protocol/restjson1"
)

// protocol reads and writes Bedrock's shapes.
var (
	protocol = restjson1.New(schemas.AmazonBedrockFrontendService)
	converse = smithy.NewOperationSchema(schemas.Converse, schemas.ConverseRequest, schemas.ConverseResponse)
)

func (h handler) generatePath(ctx context.Context, r request, c *call) (response, error) {
	g, err := parsePathPrompt(r.PathParameters["prompt"])
	if err != nil {
		return response{}, err
	}
	out, err := h.generate(ctx, r, g, c)
	if err == nil && out.Text == "" {
		err = errNoAnswer
	}
	return respond(http.StatusOK, "text/plain; charset=utf-8", []byte(out.Text)), err
}

func (h handler) generateBody(ctx context.Context, r request, c *call) (response, error) {
	g, err := parseBody(r)
	if err != nil {
		return response{}, err
	}
	if g.Stream || strings.Contains(header(r.Headers, "Accept"), "text/event-stream") {
		return h.generateStream(ctx, r, g, c)
	}
	out, err := h.generate(ctx, r, g, c)
	if err != nil {
		return response{}, err
	}
	return respondJSON(out)
}

// generated is the answer of POST /generate.
type generated struct {
	Text string `json:"text"`
	summary
}

// summary is what there is to say beside the text: the end of a stream.
type summary struct {
	Model      string           `json:"model"`
	StopReason types.StopReason `json:"stopReason"`
	Usage      usage            `json:"usage"`
	RequestID  string           `json:"requestId"`
}

type usage struct {
	InputTokens  int `json:"inputTokens"`
	OutputTokens int `json:"outputTokens"`
	TotalTokens  int `json:"totalTokens"`
}

func (c *call) summary(stop types.StopReason) summary {
	return summary{
		Model: c.model, StopReason: stop, RequestID: c.apiExtendedRequestID,
		Usage: usage{c.tokens.Input, c.tokens.Output, c.tokens.Input + c.tokens.Output},
	}
}

func (h handler) generate(ctx context.Context, r request, g generation, c *call) (generated, error) {
	answered, err := h.converse(ctx, "converse", r, g, c)
	if err != nil {
		return generated{}, err
	}
	defer answered.Body.Close()
	var out bedrockruntime.ConverseOutput
	if err := protocol.DeserializeResponse(ctx, converse, bedrockruntime.TypeRegistry, &smithyhttp.Response{Response: answered}, &out); err != nil {
		return generated{}, err
	}
	c.count(out.Usage)
	return generated{text(out.Output), c.summary(out.StopReason)}, nil
}

// converse asks for what Converse and ConverseStream take alike.
func (h handler) converse(ctx context.Context, operation string, r request, g generation, c *call) (*http.Response, error) {
	if g.Model == "" {
		g.Model = h.models[0]
	}
	model, err := h.admit(ctx, g.Model, c)
	if err != nil {
		return nil, err
	}
	g.Model = model
	metadata := r.metadata()
	for k, v := range metadata {
		if v == "" {
			delete(metadata, k)
		}
	}
	body := smithyhttp.NewStackRequest().(*smithyhttp.Request)
	if err := protocol.SerializeRequest(ctx, converse, g.converse(metadata, h.guardrail), body); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(body.GetStream())
	if err != nil {
		return nil, err
	}
	return h.bedrock.invoke(ctx, g.Model, operation, http.Header{"Content-Type": {"application/json"}}, raw)
}

func (g generation) converse(metadata map[string]string, guardrail *types.GuardrailConfiguration) *bedrockruntime.ConverseInput {
	in := &bedrockruntime.ConverseInput{
		ModelId:         &g.Model,
		RequestMetadata: metadata,
		GuardrailConfig: guardrail,
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: g.MaxTokens, Temperature: g.Temperature, TopP: g.TopP, StopSequences: g.Stop},
	}
	switch {
	case g.System != "" && guardrail != nil:
		// A guardrail sees of a system prompt only what is marked so; of messages it sees all, unless something there is
		// marked (Bedrock User Guide, "Include a guardrail with the Converse API").
		in.System = []types.SystemContentBlock{&types.SystemContentBlockMemberGuardContent{
			Value: &types.GuardrailConverseContentBlockMemberText{Value: types.GuardrailConverseTextBlock{Text: &g.System}},
		}}
	case g.System != "":
		in.System = []types.SystemContentBlock{&types.SystemContentBlockMemberText{Value: g.System}}
	}
	if g.Prompt != nil {
		g.Messages = []message{{Role: "user", Content: *g.Prompt}}
	}
	for _, m := range g.Messages {
		in.Messages = append(in.Messages, types.Message{
			Role: types.ConversationRole(m.Role), Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: m.Content}},
		})
	}
	return in
}

func text(output types.ConverseOutput) string {
	m, ok := output.(*types.ConverseOutputMemberMessage)
	if !ok {
		return ""
	}
	var b strings.Builder
	for _, block := range m.Value.Content {
		if t, ok := block.(*types.ContentBlockMemberText); ok {
			b.WriteString(t.Value)
		}
	}
	return b.String()
}

// generateStream answers once Bedrock's first event is there: until then an error has its own status.
func (h handler) generateStream(ctx context.Context, r request, g generation, c *call) (response, error) {
	answered, err := h.converse(ctx, "converse-stream", r, g, c)
	if err != nil {
		return response{}, err
	}
	s := &serverSentEvents{events: restjson1.New(schemas.AmazonBedrockFrontendService), upstream: answered.Body, c: c}
	if err := s.next(); err != nil {
		answered.Body.Close()
		return response{}, err
	}
	return response{http.StatusOK, responseHeaders("text/event-stream"), s}, nil
}

// serverSentEvents are "delta" with a text, at the end "done" with what POST /generate answers beside its text, or "error"
// (HTML Standard, "Server-sent events").
type serverSentEvents struct {
	events   *restjson1.Protocol // of this stream alone: it keeps what it reads
	upstream io.ReadCloser
	c        *call
	buffer   bytes.Buffer
	stop     types.StopReason
	ended    bool
}

func (s *serverSentEvents) Read(p []byte) (int, error) {
	for s.buffer.Len() == 0 && !s.ended {
		if err := s.next(); err != nil {
			s.c.err, s.ended = err, true
			s.write("error", json.RawMessage(classify(err).body(s.c.apiExtendedRequestID)))
		}
	}
	return s.buffer.Read(p)
}

// next writes what Bedrock's next event says to the caller, which may be nothing.
func (s *serverSentEvents) next() error {
	event, err := s.events.DeserializeEventMessage(schemas.ConverseStreamOutput, bedrockruntime.TypeRegistry, s.upstream)
	if err == io.EOF && s.stop != "" {
		s.ended = true
		s.write("done", s.c.summary(s.stop))
		return nil
	}
	if err != nil {
		return errors.Join(err, io.ErrUnexpectedEOF) // whatever it is: the stream ends too early
	}
	if s.c.firstByte == 0 {
		s.c.firstByte = time.Since(s.c.start)
	}
	switch e := event.(type) {
	case *types.ContentBlockDeltaEvent:
		if delta, ok := e.Delta.(*types.ContentBlockDeltaMemberText); ok {
			s.write("delta", map[string]string{"text": delta.Value})
			return nil
		}
		s.buffer.WriteString(": the model thinks\n\n") // a comment: API Gateway ends a stream that is silent for 5 minutes
	case *types.MessageStopEvent:
		s.stop = e.StopReason
	case *types.ConverseStreamMetadataEvent:
		s.c.count(e.Usage)
	}
	return nil
}

func (s *serverSentEvents) write(event string, data any) {
	b, _ := json.Marshal(data) // texts and numbers always marshal
	s.buffer.WriteString("event: " + event + "\ndata: ")
	s.buffer.Write(b)
	s.buffer.WriteString("\n\n")
}

func (s *serverSentEvents) Close() error { return s.upstream.Close() }

func (c *call) count(u *types.TokenUsage) {
	if u != nil {
		c.tokens = tokens{
			Input: int(aws.ToInt32(u.InputTokens)), Output: int(aws.ToInt32(u.OutputTokens)),
			CacheRead: int(aws.ToInt32(u.CacheReadInputTokens)), CacheWrite: int(aws.ToInt32(u.CacheWriteInputTokens)),
		}
	}
}
