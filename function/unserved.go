package main

import (
	"net/http"
	"regexp"
	"strings"
)

// unserved are the operations of the bedrock-runtime endpoint that this API does not serve, by method and path (Bedrock API
// Reference, "Amazon Bedrock Runtime"; Bedrock User Guide, "Endpoints supported by Amazon Bedrock"). Bedrock keeps none of the
// first, and the last have no requestMetadata, which names the caller.
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

// whole is all of a method and a path. Clients write a trailing slash or none, and an ARN with slashes or encoded.
func whole(all string) *regexp.Regexp { return regexp.MustCompile("^" + all + "/*$") }

// isCatchAll is whether a route is that of all paths that have no route of their own.
func isCatchAll(resource string) bool { return strings.HasSuffix(resource, "/{proxy+}") }

// notServed names the operation that a caller asks for, if it is one of Bedrock's.
func notServed(r request) error {
	if !isCatchAll(r.Resource) {
		return errNoRoute
	}
	asked := r.HTTPMethod + " " + strings.NewReplacer("{modelId}", "id", "{proxy+}", r.PathParameters["proxy"]).Replace(r.Resource)
	for _, operation := range unserved {
		if operation.route.MatchString(asked) {
			return apiError{http.StatusNotFound, unknownOperation, operation.name + " is not served by this API: GET /openapi.json lists what is, such as Converse"}
		}
	}
	return apiError{http.StatusNotFound, unknownOperation, errNoRoute.Message}
}

// unknownOperation is what AWS's services answer where they have no such operation.
const unknownOperation = "UnknownOperationException"
