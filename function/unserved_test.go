package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/schemas"
	smithy "github.com/aws/smithy-go"
	smithytraits "github.com/aws/smithy-go/traits"
)

// A call of an operation that this API doesn't serve returns the operation's name. API Gateway's own error would
// suggest a wrong signature.
func TestUnservedOperationsAreNamed(t *testing.T) {
	t.Parallel()
	asks := map[string]string{ // method and path, and the name in the response
		"POST /openai/v1/chat/completions": "Chat Completions", "POST /openai/v1/responses": "Responses", "POST /anthropic/v1/messages": "Messages",
		"POST /openai/v1/chat/completions/": "Chat Completions", "POST /v1/chat/completions": "Chat Completions", "POST /v1/responses": "Responses",
		"POST /v1/messages": "Messages", "POST /anthropic/v1/messages/count_tokens": "Count Message Tokens", "POST /async-invoke/": "StartAsyncInvoke",
		"GET /async-invoke/": "ListAsyncInvokes", "POST /model/x/count-tokens/": "CountTokens",
		"GET /async-invoke/arn:aws:bedrock:us-east-1:1:async-invoke/abc":                         "GetAsyncInvoke",
		"POST /guardrail/arn:aws:bedrock:us-east-1:1:guardrail/abc/version/1/apply":              "ApplyGuardrail",
		"POST /guardrail/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aguardrail%2Fabc/version/1/apply/": "ApplyGuardrail",
		"GET /" + canary: "", "DELETE /model/x/" + canary: "", "POST /model/x/count-tokens/x": "",
	}
	for _, operation := range []*smithy.Schema{
		schemas.ApplyGuardrail, schemas.Converse, schemas.ConverseStream, schemas.CountTokens, schemas.GetAsyncInvoke, schemas.InvokeGuardrailChecks, schemas.InvokeModel,
		schemas.InvokeModelWithBidirectionalStream, schemas.InvokeModelWithResponseStream, schemas.ListAsyncInvokes, schemas.StartAsyncInvoke,
	} {
		http, found := smithy.SchemaTrait[*smithytraits.HTTP](operation)
		if !found {
			t.Fatal(operation.ID())
		}
		if route := http.Method + " " + http.URI; routes[route] == nil {
			asks[route] = operation.ID().Name
		}
	}
	if len(asks) != 24 {
		t.Errorf("asks %v", asks)
	}
	for ask, want := range asks {
		method, path, _ := strings.Cut(ask, " ")
		r := request{HTTPMethod: method, Resource: "/{proxy+}", PathParameters: map[string]string{"proxy": path[1:]}}
		if rest, found := strings.CutPrefix(path, "/model/"); found {
			model, rest, _ := strings.Cut(rest, "/")
			r.Resource, r.PathParameters = "/model/{modelId}/{proxy+}", map[string]string{"modelId": model, "proxy": rest}
		}
		f := newFixture(t)
		response := f.roundTrip(t.Context(), t, r)
		var body struct {
			Type    string `json:"__type"`
			Message string
		}
		if err := json.Unmarshal([]byte(response.Body), &body); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = "this route doesn't exist"
		} else {
			want = "this API doesn't serve " + want
		}
		if response.StatusCode != 404 || body.Type != "UnknownOperationException" || response.Headers["X-Amzn-Errortype"] != body.Type ||
			!strings.HasPrefix(body.Message, want) || strings.Contains(response.Body+f.logged.String(), canary) {
			t.Errorf("%s: %v, want %s; log %s", ask, response, want, f.logged)
		}
	}
}
