package main

import (
	"net/http"
	"regexp"
	"strings"
)

// unserved lists the operations of the bedrock-runtime endpoint that this API doesn't serve, by method and path
// (Bedrock API Reference, "Amazon Bedrock Runtime"; Bedrock User Guide, "Endpoints supported by Amazon Bedrock").
// Bedrock doesn't log the first ones. The last ones have no requestMetadata, which names the caller.
var unserved = []struct {
	route *regexp.Regexp
	name  string
}{
	{whole("POST /model/[^/]+/count-tokens"), "CountTokens"},
	{whole("POST /model/[^/]+/invoke-with-bidirectional-stream"), "InvokeModelWithBidirectionalStream"},
	{whole("POST /async-invoke"), "StartAsyncInvoke"},
	{whole("GET /async-invoke"), "ListAsyncInvokes"},
	{whole("GET /async-invoke/.+"), "GetAsyncInvoke"},
	{whole("POST /guardrail/.+/version/[^/]+/apply"), "ApplyGuardrail"},
	{whole("POST /guardrail-checks/invoke"), "InvokeGuardrailChecks"},
	{whole("POST (/openai)?/v1/chat/completions"), "Chat Completions"},
	{whole("POST (/openai)?/v1/responses"), "Responses"},
	{whole("POST (/anthropic)?/v1/messages"), "Messages"},
	{whole("POST (/anthropic)?/v1/messages/count_tokens"), "Count Message Tokens"},
}

// whole matches a complete method and path. Clients can add a trailing slash, and can send an ARN with slashes or
// encoded.
func whole(all string) *regexp.Regexp { return regexp.MustCompile("^" + all + "/*$") }

// isCatchAll reports whether a route serves all paths without a route of their own.
func isCatchAll(resource string) bool { return strings.HasSuffix(resource, "/{proxy+}") }

// notServed returns an error that names the requested operation, if it is one of Bedrock's.
func notServed(r request) error {
	if !isCatchAll(r.Resource) {
		return errNoRoute
	}
	asked := r.HTTPMethod + " " + strings.NewReplacer("{modelId}", "id", "{proxy+}", r.PathParameters["proxy"]).Replace(r.Resource)
	for _, operation := range unserved {
		if operation.route.MatchString(asked) {
			return apiError{http.StatusNotFound, unknownOperation, "this API doesn't serve " + operation.name + "; GET /openapi.json lists the routes, such as Converse"}
		}
	}
	return apiError{http.StatusNotFound, unknownOperation, errNoRoute.Message}
}

// unknownOperation is the error code that AWS services return for an operation that doesn't exist.
const unknownOperation = "UnknownOperationException"
