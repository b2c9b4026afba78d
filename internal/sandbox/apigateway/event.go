package apigateway

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// identity is events.APIGatewayRequestIdentity with what it lacks.
type identity struct {
	events.APIGatewayRequestIdentity
	VpcID  string `json:"vpcId,omitempty"`
	VpceID string `json:"vpceId,omitempty"`
}

type requestContext struct {
	events.APIGatewayProxyRequestContext
	Identity identity `json:"identity"`
}

type proxyEvent struct {
	events.APIGatewayProxyRequest
	RequestContext requestContext `json:"requestContext"`
}

// event is what a proxy integration tells the function.
func (d *FrontDoor) event(r *http.Request, v *visit, parameters map[string]string, body []byte) ([]byte, error) {
	_, pathAfterStage, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	event := proxyEvent{APIGatewayProxyRequest: events.APIGatewayProxyRequest{
		Resource: v.resource, Path: "/" + pathAfterStage, HTTPMethod: r.Method, PathParameters: parameters,
		Headers: map[string]string{"Host": r.Host}, MultiValueHeaders: r.Header,
		// Text, whatever it was, unless its media type is a binary one.
		Body: strings.ToValidUTF8(string(body), string(utf8.RuneError)),
	}}
	if len(body) > 0 && isBinary(v.binaryMediaTypes, r.Header.Get("Content-Type")) {
		event.Body, event.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	for k := range r.Header {
		event.Headers[k] = r.Header.Get(k)
	}
	event.RequestContext.APIGatewayProxyRequestContext = events.APIGatewayProxyRequestContext{
		AccountID: d.Account, APIID: v.apiID, Stage: v.stage, DomainName: r.Host, Protocol: r.Proto, HTTPMethod: r.Method,
		RequestID: v.requestID, ExtendedRequestID: v.extendedID, ResourcePath: v.resource, Path: r.URL.EscapedPath(),
		RequestTime: v.start.UTC().Format("02/Jan/2006:15:04:05 -0700"), RequestTimeEpoch: v.start.UnixMilli(),
	}
	event.RequestContext.Identity = identity{events.APIGatewayRequestIdentity{
		SourceIP: v.sourceIP, UserAgent: r.UserAgent(),
		UserArn: v.caller.ARN, AccountID: v.caller.Account, AccessKey: v.caller.AccessKey, User: v.caller.UserID, Caller: v.caller.UserID,
	}, v.vpcID, v.endpointID}
	return json.Marshal(event)
}

// isBinary tells whether an API takes the first media type of a Content-Type or Accept header for binary (API Gateway
// Developer Guide, "Binary media types for REST APIs in API Gateway").
func isBinary(types []string, header string) bool {
	first, _, _ := strings.Cut(header, ",")
	first, _, _ = strings.Cut(first, ";")
	return slices.ContainsFunc(types, func(one string) bool {
		matches, _ := path.Match(one, strings.ToLower(strings.TrimSpace(first)))
		return matches || one == "*/*" // also what names none
	})
}
