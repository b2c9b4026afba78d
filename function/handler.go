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
	// guardrail applies to every call. If nil, no guardrail applies.
	guardrail *types.GuardrailConfiguration
	// unevaluatedTools excludes tools from evaluation by ApplyGuardrail.
	unevaluatedTools bool
	passed           *passed // if nil, nothing is remembered
	// streaming reports whether API Gateway's integration has transfer mode STREAM. If it differs from the integration,
	// every call fails.
	streaming bool
	logging   *invocationLog
	retention *watch
	tiers     []string // the service tiers that callers can choose
	log       *slog.Logger
}

// request contains the fields of API Gateway's proxy event that the handler reads (API Gateway Developer Guide, "Input
// format of a Lambda function for proxy integration"). events.APIGatewayProxyRequest has no vpceId.
type request struct {
	HTTPMethod      string            `json:"httpMethod"`
	Resource        string            `json:"resource"` // the route's template, not the path
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

// response is an HTTP response. Its body is read to its end, or until the caller disconnects, and then closed.
type response struct {
	status  int
	headers map[string]string
	body    io.ReadCloser
}

const (
	// margin is reserved before the Lambda timeout so that the handler can still return an error response.
	margin = time.Second
	// firstByte is the longest time until the first byte of a response. API Gateway ends a stream that is silent for 5
	// minutes (API Gateway Developer Guide, "Stream the integration response").
	firstByte = 290 * time.Second
)

// handle processes one event of API Gateway, and returns a response in the format that the integration expects.
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
	if err != nil { // the stream broke, but nothing has been sent yet
		c.err = err
		answer = failure(err, c)
		c.status = answer.status
		whole, _ = io.ReadAll(answer.body)
	}
	buffered := events.APIGatewayProxyResponse{StatusCode: answer.status, Headers: answer.headers, Body: string(whole)}
	if !utf8.Valid(whole) { // a JSON string can't contain it
		buffered.Body, buffered.IsBase64Encoded = base64.StdEncoding.EncodeToString(whole), true
	}
	return buffered, nil
}

// recorded is a response body whose call is logged when the body is closed.
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

// Close cancels the request to Bedrock. Lambda's client calls it during a Read if the caller has disconnected.
func (b *recorded) Close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.done()
	return b.body.Close()
}

// answer returns the route's response. An error is in the format of the route.
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

// routes maps a method and a route's template to the function that serves it.
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
		c.route = "none" // the path of an unknown route is text of the caller, which isn't logged
		return response{}, notServed(r)
	}
	// Browsers state which site's page makes a call. A call from another site would spend money on behalf of the person
	// who views the page.
	if site := header(r.Headers, "Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
		return response{}, errCrossSite
	}
	return serve(h, ctx, r, c)
}

// admit returns the ID of the requested model. It returns an error if the model isn't on the list, if Bedrock would not
// log the call, or if AWS could share it under a data retention mode that the stack doesn't allow.
func (h handler) admit(ctx context.Context, asked string, c *call) (string, error) {
	model, found := h.modelOf(ctx, asked)
	if !found {
		return "", apiError{http.StatusBadRequest, "ModelNotAdmitted", "model: this API doesn't allow it; GET /models lists the models that it allows"}
	}
	c.model = model
	err := errors.Join(h.logging.check(ctx, time.Now()), h.retention.check(ctx, time.Now()))
	c.unlogged = err != nil
	return model, err
}

// modelOf returns the listed ID of a model that is requested by its ID or by its ARN in the function's account and
// Region (Service Authorization Reference, "Amazon Bedrock", resource types).
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

// metadata returns the entries that Bedrock's invocation log contains with the call. The ID is the extended request ID,
// which only API Gateway sets: a caller can choose the other ID (API Gateway Developer Guide, "$context variables").
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

// body returns the request's body as the caller sent it.
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

// failure returns an error response in the format of this API's own routes.
func failure(err error, c *call) response {
	e := classify(err)
	answer := respond(e.Status, "application/json", e.body(c.apiExtendedRequestID))
	if e.Status == http.StatusTooManyRequests {
		answer.headers["Retry-After"] = "1"
	}
	return answer
}

// logPanic omits the panic's value, which can quote the request.
func (h handler) logPanic(ctx context.Context, p any) {
	h.log.ErrorContext(ctx, "panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
}

// logFailure logs Bedrock's error code and request ID. It omits Bedrock's message, which can quote the prompt.
func (h handler) logFailure(ctx context.Context, err error) {
	e := classify(err)
	attributes := []any{"code", e.Code}
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		attributes = append(attributes, "bedrockCode", coded.ErrorCode())
	}
	var network *net.OpError
	if errors.As(err, &network) { // the address and the reason show an operator that an endpoint is missing
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
