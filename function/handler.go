package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/openapi"
)

type handler struct {
	bedrock bedrock
	models  []string // the first is the default
	// guardrail is put on every call; nil is none.
	guardrail *types.GuardrailConfiguration
	// unevaluatedTools excepts tools from what ApplyGuardrail evaluates.
	unevaluatedTools bool
	passed           *passed // nil keeps nothing
	// streaming is whether API Gateway's integration is one of transfer mode STREAM: each takes the other's answers for errors.
	streaming bool
	logging   *invocationLog
	retention *watch
	tiers     []string // that a caller may choose
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
		ExtendedRequestID string `json:"extendedRequestId"`
		Identity          struct {
			SourceIP string `json:"sourceIp"`
			UserARN  string `json:"userArn"`
			VpceID   string `json:"vpceId"`
		} `json:"identity"`
	} `json:"requestContext"`
}

// response is read to its end, or until its caller has left, and then closed.
type response struct {
	status  int
	headers map[string]string
	body    io.ReadCloser
}

const (
	// margin before Lambda ends the function: enough to answer in its stead.
	margin = time.Second
	// firstByte is how long a caller waits for one: API Gateway ends a stream that is silent for 5 minutes (API Gateway
	// Developer Guide, "Stream the integration response").
	firstByte = 290 * time.Second
)

// handle answers API Gateway, in the form that its integration takes.
func (h handler) handle(ctx context.Context, r request) (any, error) {
	c := &call{route: r.HTTPMethod + " " + r.Resource, start: time.Now(), apiExtendedRequestID: r.RequestContext.ExtendedRequestID}
	asked, cancel := context.WithCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		asked, cancel = context.WithDeadline(ctx, deadline.Add(-margin))
	}
	waited := time.AfterFunc(firstByte, cancel)
	answer := h.answer(asked, r, c)
	waited.Stop()
	c.status = answer.status
	body := &recorded{body: answer.body, cancel: cancel, done: sync.OnceFunc(func() {
		if c.err != nil {
			h.logFailure(ctx, c.err)
		}
		c.record(ctx, h.log)
	})}
	if h.streaming {
		return &events.APIGatewayProxyStreamingResponse{StatusCode: answer.status, Headers: answer.headers, Body: body}, nil
	}
	defer body.Close()
	whole, err := io.ReadAll(body)
	if err != nil { // in the middle of a stream: nothing of it has been sent
		c.err = err
		answer = failure(err, c)
		c.status = answer.status
		whole, _ = io.ReadAll(answer.body)
	}
	buffered := events.APIGatewayProxyResponse{StatusCode: answer.status, Headers: answer.headers, Body: string(whole)}
	if !utf8.Valid(whole) { // a JSON text cannot hold it
		buffered.Body, buffered.IsBase64Encoded = base64.StdEncoding.EncodeToString(whole), true
	}
	return buffered, nil
}

// recorded is a body after whose end its call is recorded.
type recorded struct {
	mu     sync.Mutex
	body   io.ReadCloser
	cancel context.CancelFunc
	done   func()
}

func (b *recorded) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.body.Read(p)
}

// Close stops what Bedrock still says. It comes while Read waits when the platform says that the caller has left.
func (b *recorded) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.done()
	return b.body.Close()
}

// answer is a route's, or says what went wrong in the route's own form.
func (h handler) answer(ctx context.Context, r request, c *call) (answer response) {
	failed := failure
	if _, found := nativeOperation(r.Resource); found || isCatchAll(r.Resource) {
		failed = nativeFailure
	}
	defer func() {
		if p := recover(); p != nil {
			h.logPanic(ctx, p)
			answer = failed(errInternal, c)
		}
	}()
	answer, err := h.route(ctx, r, c)
	if err != nil {
		h.logFailure(ctx, err)
		return failed(err, c)
	}
	return answer
}

// routes by method and template.
var routes = map[string]func(handler, context.Context, request, *call) (response, error){
	"POST /generate/{prompt}": handler.generatePath,
	"POST /generate":          handler.generateBody,
	"GET /health": func(h handler, ctx context.Context, _ request, _ *call) (response, error) {
		if err := errors.Join(h.logging.check(ctx, time.Now()), h.retention.check(ctx, time.Now())); err != nil {
			return response{}, err
		}
		return respondJSON(map[string]any{"status": "ok", "invocationLoggingRequired": h.logging.required})
	},
	"GET /models": func(h handler, _ context.Context, _ request, _ *call) (response, error) {
		return respondJSON(map[string]any{"default": h.models[0], "models": h.models})
	},
	"GET /openapi.json": func(handler, context.Context, request, *call) (response, error) {
		return respond(http.StatusOK, "application/json", openapi.Document), nil
	},
	"POST /model/{modelId}/converse":                    handler.native,
	"POST /model/{modelId}/converse-stream":             handler.native,
	"POST /model/{modelId}/invoke":                      handler.native,
	"POST /model/{modelId}/invoke-with-response-stream": handler.native,
}

func (h handler) route(ctx context.Context, r request, c *call) (response, error) {
	serve, found := routes[c.route]
	if !found {
		c.route = "none" // the path of an unknown route is a caller's text
		return response{}, notServed(r)
	}
	// Browsers say whose page makes a call: a foreign one would spend money in the name of whoever looks at it.
	if site := header(r.Headers, "Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		return response{}, errCrossSite
	}
	return serve(h, ctx, r, c)
}

// admit is the id of the model that a call may go to: the model is on the list, its prompt and answer would be kept, and AWS
// would share them with no one that the stack does not admit.
func (h handler) admit(ctx context.Context, asked string, c *call) (string, error) {
	model, found := h.modelOf(ctx, asked)
	if !found {
		return "", apiError{http.StatusBadRequest, "ModelNotAdmitted", "model: not admitted by this API; GET /models lists those that are"}
	}
	c.model = model
	err := errors.Join(h.logging.check(ctx, time.Now()), h.retention.check(ctx, time.Now()))
	c.unlogged = err != nil
	return model, err
}

// modelOf is the id on the list that a caller means: itself, or the end of the ARN that it has in the function's account and
// region (Service Authorization Reference, "Amazon Bedrock", resource types).
func (h handler) modelOf(ctx context.Context, asked string) (id string, found bool) {
	if slices.Contains(h.models, asked) {
		return asked, true
	}
	invoked, _ := lambdacontext.FromContext(ctx)
	if invoked == nil {
		return "", false
	}
	function, err := arn.Parse(invoked.InvokedFunctionArn)
	if err != nil {
		return "", false
	}
	here := "arn:" + function.Partition + ":bedrock:" + function.Region + ":"
	id, found = strings.CutPrefix(asked, here+":foundation-model/")
	if !found {
		id, found = strings.CutPrefix(asked, here+function.AccountID+":inference-profile/")
	}
	return id, found && slices.Contains(h.models, id)
}

// metadata goes into Bedrock's invocation log with the call. The id is the extended one, which is API Gateway's alone: a
// caller can choose the other (API Gateway Developer Guide, "$context variables").
func (r request) metadata() map[string]string {
	m := map[string]string{
		contract.MetadataAPIExtendedRequestID: r.RequestContext.ExtendedRequestID,
		contract.MetadataCaller:               r.RequestContext.Identity.UserARN,
		contract.MetadataSourceVpce:           r.RequestContext.Identity.VpceID,
		contract.MetadataSourceIP:             r.RequestContext.Identity.SourceIP,
	}
	for k, v := range m {
		m[k] = contract.MetadataValue(v)
	}
	return m
}

// body is the request's, as its caller wrote it.
func (r request) body() ([]byte, error) {
	if !r.IsBase64Encoded {
		return []byte(r.Body), nil
	}
	raw, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		return nil, badRequest("InvalidBody", "the body is not base64")
	}
	return raw, nil
}

func header(headers map[string]string, name string) string {
	for k, v := range headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

func respondJSON(body any) (response, error) {
	b, err := json.Marshal(body)
	return respond(http.StatusOK, "application/json", b), err
}

func respond(status int, contentType string, body []byte) response {
	return response{status, responseHeaders(contentType), io.NopCloser(bytes.NewReader(body))}
}

func responseHeaders(contentType string) map[string]string {
	return map[string]string{"Content-Type": contentType, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
}

// failure is the answer of this API's own routes.
func failure(err error, c *call) response {
	e := classify(err)
	answer := respond(e.Status, "application/json", e.body(c.apiExtendedRequestID))
	if e.Status == http.StatusTooManyRequests {
		answer.headers["Retry-After"] = "1"
	}
	return answer
}

// logPanic leaves the panic's value out, which may quote the request.
func (h handler) logPanic(ctx context.Context, p any) {
	h.log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
}

// logFailure keeps Bedrock's error code and request id. Its message stays out: it may quote the prompt.
func (h handler) logFailure(ctx context.Context, err error) {
	e := classify(err)
	attributes := []any{"code", e.Code}
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		attributes = append(attributes, "bedrockCode", coded.ErrorCode())
	}
	var network *net.OpError
	if errors.As(err, &network) { // an address and a reason: what an operator needs when an endpoint is missing
		attributes = append(attributes, "network", network.Error())
	}
	var answered *bedrockError
	if errors.As(err, &answered) && answered.requestID != "" {
		attributes = append(attributes, "bedrockRequestId", answered.requestID)
	}
	if e.Status >= 500 {
		h.log.ErrorContext(ctx, "failed", append(attributes, "errorType", fmt.Sprintf("%T", err))...)
		return
	}
	h.log.WarnContext(ctx, "refused", attributes...)
}
