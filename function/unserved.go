package main

import (
	"net/http"
	urlpath "path"
	"strings"
)

// unserved are the operations of the bedrock-runtime endpoint that this API does not serve, by method and path (Bedrock API
// Reference, "Amazon Bedrock Runtime"; Bedrock User Guide, "Endpoints supported by Amazon Bedrock"). Bedrock keeps none of the
// first, and the last have no requestMetadata, which names the caller.
var unserved = []struct{ route, name string }{
	{"POST /model/*/count-tokens", "CountTokens"},
	{"POST /model/*/invoke-with-bidirectional-stream", "InvokeModelWithBidirectionalStream"},
	{"POST /async-invoke", "StartAsyncInvoke"},
	{"GET /async-invoke", "ListAsyncInvokes"},
	{"GET /async-invoke/*", "GetAsyncInvoke"},
	{"POST /guardrail/*/version/*/apply", "ApplyGuardrail"},
	{"POST /guardrail-checks/invoke", "InvokeGuardrailChecks"},
	{"POST /openai/v1/chat/completions", "Chat Completions"},
	{"POST /openai/v1/responses", "Responses"},
	{"POST /anthropic/v1/messages", "Messages"},
}

// isCatchAll is whether a route is that of all paths that have no route of their own.
func isCatchAll(resource string) bool { return strings.HasSuffix(resource, "/{proxy+}") }

// notServed names the operation that a caller asks for, if it is one of Bedrock's.
func notServed(r request) error {
	if !isCatchAll(r.Resource) {
		return errNoRoute
	}
	asked := r.HTTPMethod + " " + strings.NewReplacer("{modelId}", "id", "{proxy+}", r.PathParameters["proxy"]).Replace(r.Resource)
	for _, operation := range unserved {
		if found, _ := urlpath.Match(operation.route, asked); found {
			return apiError{http.StatusNotFound, unknownOperation, operation.name + " is not served by this API: GET /openapi.json lists what is, such as Converse"}
		}
	}
	return apiError{http.StatusNotFound, unknownOperation, errNoRoute.Message}
}

// unknownOperation is what AWS's services answer where they have no such operation.
const unknownOperation = "UnknownOperationException"
