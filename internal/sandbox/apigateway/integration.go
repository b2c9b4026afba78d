package apigateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

var (
	invocations          = regexp.MustCompile(`:lambda:path/2015-03-31/functions/(.+)/invocations$`)
	streamingInvocations = regexp.MustCompile(`:lambda:path/2021-11-15/functions/(.+)/response-streaming-invocations$`)
)

// integration names the function behind a route and which of Lambda's two ways calls it, if the function's own policy
// lets this API do so: both take lambda:InvokeFunction.
func (d *FrontDoor) integration(ctx context.Context, v *visit, method, uri string) (name string, streams bool, err error) {
	found := invocations.FindStringSubmatch(uri)
	if found == nil {
		found, streams = streamingInvocations.FindStringSubmatch(uri), true
	}
	if found == nil {
		return "", false, fmt.Errorf("integration %q is no function's", uri)
	}
	arn := found[1]
	var attached struct {
		Policy string
	}
	name = arn[strings.LastIndex(arn, ":")+1:]
	if err := d.Moto.Get(ctx, "lambda", "/2015-03-31/functions/"+name+"/policy", &attached); err != nil {
		return "", false, fmt.Errorf("API Gateway may not call %s: %w", name, err)
	}
	policy, err := iampolicy.ParseResource(attached.Policy)
	if err != nil {
		return "", false, fmt.Errorf("policy of function %s: %w", name, err)
	}
	source := "arn:aws:execute-api:" + d.Moto.Region + ":" + d.Account + ":" + v.apiID + "/" + v.stage + "/" + method + v.resource
	if decision := policy.Decide(iampolicy.Request{
		Principal: iampolicy.Principal{Service: "apigateway.amazonaws.com"}, Action: "lambda:InvokeFunction", Resource: arn,
		Context: map[string][]string{"aws:SourceArn": {source}, "aws:SourceAccount": {d.Account}},
	}); decision != iampolicy.Allow {
		return "", false, fmt.Errorf("the policy of function %s does not let API Gateway call it for %s: %v", name, source, decision)
	}
	return name, streams, nil
}

func (d *FrontDoor) invoke(ctx context.Context, r *http.Request, v *visit, function string, event []byte) (none reply, err error) {
	payload, err := d.Functions.Invoke(ctx, function, event)
	if err != nil {
		return none, d.failure(function, err, errBadAnswer)
	}
	// Of a streamed response, the headers and the status go out without the body (API Gateway Developer Guide, "Set up a
	// Lambda proxy integration with payload response streaming").
	payload, _, _ = bytes.Cut(payload, delimiter)
	var answer events.APIGatewayProxyResponse
	if json.Unmarshal(payload, &answer) != nil || !final(answer.StatusCode) {
		return none, errBadAnswer
	}
	body := []byte(answer.Body)
	if answer.IsBase64Encoded && isBinary(v.binaryMediaTypes, r.Header.Get("Accept")) {
		if body, err = base64.StdEncoding.DecodeString(answer.Body); err != nil {
			return none, fmt.Errorf("function %s says that its answer is base64: %w", function, err)
		}
	}
	return reply{status: answer.StatusCode, header: responseHeader(answer.Headers, answer.MultiValueHeaders, nil), body: body}, nil
}

func (d *FrontDoor) invokeWithResponseStream(ctx context.Context, function string, event []byte, late func()) (none reply, err error) {
	stop := d.Alarm(maxIdleTime, late)
	body, err := d.Functions.InvokeWithResponseStream(ctx, function, event)
	stop()
	if err != nil {
		return none, d.failure(function, err, errIntegration)
	}
	context.AfterFunc(ctx, func() { body.Close() })
	m, rest, err := readPrelude(patient{body, d.Alarm, maxIdleTime, late})
	switch {
	case ctx.Err() != nil:
		return none, context.Cause(ctx)
	case errors.Is(err, errPrelude):
		return none, fmt.Errorf("function %s: %w", function, err)
	case errors.Is(err, lambda.ErrTimedOut):
		return none, errLate
	case err != nil:
		return none, errIntegration // functions reports it
	}
	return reply{status: m.StatusCode, header: responseHeader(m.Headers, m.MultiValueHeaders, m.Cookies), stream: rest}, nil
}

// failure is API Gateway's answer for a function that has none.
func (d *FrontDoor) failure(function string, err error, failed wire.Refusal) error {
	var own lambda.FunctionError
	switch {
	case errors.Is(err, lambda.ErrTimedOut):
		return errLate
	case errors.Is(err, lambda.ErrEventTooBig):
		return errTooLong
	case errors.As(err, &own):
		d.Report(fmt.Errorf("function %s failed: %w", function, err))
		return failed
	}
	return err
}
