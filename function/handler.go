package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	smithy "github.com/aws/smithy-go"
)

type converser interface {
	Converse(context.Context, *bedrockruntime.ConverseInput, ...func(*bedrockruntime.Options)) (*bedrockruntime.ConverseOutput, error)
}

var _ converser = (*bedrockruntime.Client)(nil)

type handler struct {
	bedrock converser
	models  []string // the first is the default
	// guardrail is put on every call; nil is none.
	guardrail *types.GuardrailConfiguration
	log       *slog.Logger
}

// request is what the handler reads of API Gateway's proxy event (API Gateway Developer Guide, "Input format
// of a Lambda function for proxy integration"); events.APIGatewayProxyRequest has no vpceId.
type request struct {
	HTTPMethod      string            `json:"httpMethod"`
	Resource        string            `json:"resource"` // the route's template, never the path
	Headers         map[string]string `json:"headers"`
	PathParameters  map[string]string `json:"pathParameters"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
	RequestContext  struct {
		RequestID         string `json:"requestId"`
		ExtendedRequestID string `json:"extendedRequestId"`
		Identity          struct {
			SourceIP string `json:"sourceIp"`
			UserARN  string `json:"userArn"`
			VpceID   string `json:"vpceId"`
		} `json:"identity"`
	} `json:"requestContext"`
}

// call is what the log keeps of one request: no prompt, no answer, no text of the caller's.
type call struct {
	route, model              string
	inputTokens, outputTokens int32
}

// margin before Lambda ends the function: enough to answer in its stead.
const margin = time.Second

func (h handler) handle(ctx context.Context, r request) (response events.APIGatewayProxyResponse, _ error) {
	start := time.Now()
	c := call{route: r.HTTPMethod + " " + r.Resource}
	defer func() {
		if p := recover(); p != nil { // its value may quote the request: only its type is kept
			h.log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			response = failure(errInternal, r.RequestContext.ExtendedRequestID)
		}
		h.log.InfoContext(ctx, "call", "route", c.route, "model", c.model, "status", response.StatusCode,
			"inputTokens", c.inputTokens, "outputTokens", c.outputTokens, "durationMs", time.Since(start).Milliseconds(),
			"apiExtendedRequestId", r.RequestContext.ExtendedRequestID)
	}()
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
		defer cancel()
	}
	response, err := h.route(ctx, r, &c)
	if err != nil {
		h.logFailure(ctx, err)
		response = failure(classify(err), r.RequestContext.ExtendedRequestID)
	}
	return response, nil
}

func (h handler) route(ctx context.Context, r request, c *call) (events.APIGatewayProxyResponse, error) {
	// Browsers say whose page makes a call: a foreign one would spend money in the name of whoever looks at it.
	if site := header(r.Headers, "Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		c.route = "none"
		return events.APIGatewayProxyResponse{}, errCrossSite
	}
	switch c.route {
	case "GET /health":
		return answer(map[string]string{"status": "ok"})
	case "GET /models":
		return answer(map[string]any{"default": h.models[0], "models": h.models})
	case "POST /generate/{prompt}":
		g, err := parsePathPrompt(r.PathParameters["prompt"])
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		out, err := h.generate(ctx, r, g, c)
		if err == nil && out.Text == "" {
			err = errNoAnswer
		}
		return respond(http.StatusOK, "text/plain; charset=utf-8", out.Text), err
	case "POST /generate":
		g, err := parseBody(r.Body, r.IsBase64Encoded, header(r.Headers, "Content-Type"))
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		out, err := h.generate(ctx, r, g, c)
		if err != nil {
			return events.APIGatewayProxyResponse{}, err
		}
		return answer(out)
	}
	c.route = "none" // the path of an unknown route is a caller's text
	return events.APIGatewayProxyResponse{}, errNoRoute
}

// generated is the answer of POST /generate.
type generated struct {
	Text       string           `json:"text"`
	Model      string           `json:"model"`
	StopReason types.StopReason `json:"stopReason"`
	Usage      usage            `json:"usage"`
	RequestID  string           `json:"requestId"`
}

type usage struct {
	InputTokens  int32 `json:"inputTokens"`
	OutputTokens int32 `json:"outputTokens"`
	TotalTokens  int32 `json:"totalTokens"`
}

func (h handler) generate(ctx context.Context, r request, g generation, c *call) (generated, error) {
	if g.Model == "" {
		g.Model = h.models[0]
	}
	if !slices.Contains(h.models, g.Model) {
		return generated{}, badRequest("ModelNotAdmitted", "model: not admitted by this API; GET /models lists those that are")
	}
	c.model = g.Model
	out, err := h.bedrock.Converse(ctx, g.converse(r.metadata(), h.guardrail))
	if err != nil {
		return generated{}, err
	}
	if out.Usage != nil {
		c.inputTokens, c.outputTokens = aws.ToInt32(out.Usage.InputTokens), aws.ToInt32(out.Usage.OutputTokens)
	}
	return generated{
		Text: text(out.Output), Model: g.Model, StopReason: out.StopReason,
		Usage:     usage{c.inputTokens, c.outputTokens, c.inputTokens + c.outputTokens},
		RequestID: r.RequestContext.ExtendedRequestID,
	}, nil
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

// Bedrock API Reference, Converse, requestMetadata: at most 256 of these characters a value, else it refuses the call.
var notMetadata = regexp.MustCompile(`[^a-zA-Z0-9\s:_@$#=/+,.-]`)

// metadata goes into Bedrock's invocation log with the call. Only the extended id is API Gateway's alone: a
// caller can choose the other (API Gateway Developer Guide, "$context variables").
func (r request) metadata() map[string]string {
	m := map[string]string{
		"apiRequestId":         r.RequestContext.RequestID,
		"apiExtendedRequestId": r.RequestContext.ExtendedRequestID,
		"caller":               r.RequestContext.Identity.UserARN,
		"sourceVpce":           r.RequestContext.Identity.VpceID,
		"sourceIp":             r.RequestContext.Identity.SourceIP,
	}
	for k, v := range m {
		v = notMetadata.ReplaceAllString(v, "_")
		m[k] = v[:min(len(v), 256)]
		if v == "" {
			delete(m, k)
		}
	}
	return m
}

func header(headers map[string]string, name string) string {
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func answer(body any) (events.APIGatewayProxyResponse, error) {
	b, err := json.Marshal(body)
	return respond(http.StatusOK, "application/json", string(b)), err
}

func failure(e apiError, requestID string) events.APIGatewayProxyResponse {
	type detail struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"requestId"`
	}
	b, _ := json.Marshal(map[string]detail{"error": {e.Code, e.Message, requestID}}) // strings always marshal
	response := respond(e.Status, "application/json", string(b))
	if e.Status == http.StatusTooManyRequests {
		response.Headers["Retry-After"] = "1"
	}
	return response
}

func respond(status int, contentType, body string) events.APIGatewayProxyResponse {
	return events.APIGatewayProxyResponse{StatusCode: status, Body: body, Headers: map[string]string{
		"Content-Type": contentType, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	}}
}

// logFailure keeps Bedrock's error code and request id. Its message stays out: it may quote the prompt.
func (h handler) logFailure(ctx context.Context, err error) {
	e := classify(err)
	attributes := []any{"code", e.Code}
	var service smithy.APIError
	if errors.As(err, &service) {
		attributes = append(attributes, "bedrockCode", service.ErrorCode())
	}
	var network *net.OpError
	if errors.As(err, &network) { // an address and a reason: what an operator needs when an endpoint is missing
		attributes = append(attributes, "network", network.Error())
	}
	var withID interface{ ServiceRequestID() string }
	if errors.As(err, &withID) && withID.ServiceRequestID() != "" {
		attributes = append(attributes, "bedrockRequestId", withID.ServiceRequestID())
	}
	if e.Status >= 500 {
		h.log.ErrorContext(ctx, "failed", append(attributes, "errorType", fmt.Sprintf("%T", err))...)
		return
	}
	h.log.WarnContext(ctx, "refused", attributes...)
}
