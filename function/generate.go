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

// protocol serializes Bedrock's requests and responses.
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

// generated is the response body of POST /generate.
type generated struct {
	Text string `json:"text"`
	summary
}

// summary contains the members of a response other than its text. In a stream, it is the last event.
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

// converse sends the prompt to Converse or ConverseStream, which take the same request.
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
		// A guardrail evaluates only those texts of a system prompt that are marked as guardContent. It evaluates all
		// texts of messages, unless one of them is marked (Bedrock User Guide, "Include a guardrail with the Converse
		// API").
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

// generateStream responds when Bedrock's first event has arrived. An error before that has a status of its own.
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

// serverSentEvents converts ConverseStream's events to server-sent events (HTML Standard, "Server-sent events"):
// "delta" with a text, at the end "done" with the summary, or "error".
type serverSentEvents struct {
	events   *restjson1.Protocol // for this stream only, because it buffers what it reads
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

// next converts Bedrock's next event. Some events write nothing.
func (s *serverSentEvents) next() error {
	event, err := s.events.DeserializeEventMessage(schemas.ConverseStreamOutput, bedrockruntime.TypeRegistry, s.upstream)
	if err == io.EOF && s.stop != "" {
		s.ended = true
		s.write("done", s.c.summary(s.stop))
		return nil
	}
	if err != nil {
		return errors.Join(err, io.ErrUnexpectedEOF) // every error means that the stream ended too early
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
		s.buffer.WriteString(": reasoning\n\n") // a comment: API Gateway ends a stream after 5 silent minutes
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
