package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"

	smithy "github.com/aws/smithy-go"
)

// apiError is an error response to a caller. Its message is the function's own: Bedrock's message can name roles and
// accounts, or quote the prompt.
type apiError struct {
	Status  int
	Code    string
	Message string
}

func (e apiError) Error() string { return e.Code + ": " + e.Message }

func badRequest(code, message string) apiError {
	return apiError{http.StatusBadRequest, code, message}
}

var (
	errTooLarge  = apiError{http.StatusRequestEntityTooLarge, "RequestTooLarge", "the request is too large: send a body of at most 4 MiB with at most 1 MiB of text"}
	errCrossSite = apiError{http.StatusForbidden, "CrossSite", "call this API from a program, not from a page of another website"}
	errNoRoute   = apiError{http.StatusNotFound, "NoSuchRoute", "this route doesn't exist; GET /openapi.json lists the routes, such as POST /generate"}
	errNoAnswer  = apiError{http.StatusBadGateway, "NoAnswer", "the model returned no text; retry or rephrase the prompt"}
	errDeadline  = apiError{http.StatusGatewayTimeout, "DeadlineExceeded", "the model didn't respond in time: request fewer tokens or call a faster model"}
	errNoUse     = apiError{http.StatusBadGateway, "BedrockError", "Bedrock returned no usable response; retry"}
	errInternal  = apiError{http.StatusInternalServerError, "InternalError", "the API failed; its operators can find the cause in the function's log by the request ID"}
)

// bedrockErrors maps Bedrock's errors to responses with the same status and a message that says what the caller can do
// (Bedrock API Reference, Converse, "Errors").
var bedrockErrors = map[string]apiError{
	"ValidationException":           badRequest("ModelRefusedRequest", "the model rejected the request: check its limits on tokens, conversation turns and parameters"),
	"AccessDeniedException":         {http.StatusForbidden, "ModelAccessDenied", "this API isn't allowed to call the model: ask its operators to request access to it in this account and Region"},
	"ResourceNotFoundException":     {http.StatusNotFound, "ModelNotFound", "Bedrock doesn't offer the model in this Region; GET /models lists the models that this API allows"},
	"ModelTimeoutException":         {http.StatusRequestTimeout, "ModelTimeout", "the model took too long: request fewer tokens"},
	"ModelStreamErrorException":     {http.StatusFailedDependency, "ModelError", "the model failed; retry"},
	"ModelErrorException":           {http.StatusFailedDependency, "ModelError", "the model failed; retry"},
	"ThrottlingException":           {http.StatusTooManyRequests, "Throttled", "too many requests to the model: wait, then retry"},
	"ModelNotReadyException":        {http.StatusTooManyRequests, "ModelNotReady", "the model is starting: wait, then retry"},
	"ServiceQuotaExceededException": {http.StatusTooManyRequests, "QuotaExceeded", "the account's quota for the model is used up: wait, or ask this API's operators to request a higher quota"},
	"ServiceUnavailableException":   {http.StatusServiceUnavailable, "BedrockUnavailable", "Bedrock is unavailable: wait, then retry"},
	"InternalServerException":       {http.StatusBadGateway, "BedrockError", "Bedrock failed; retry"},
}

// classify returns the response for an error.
func classify(err error) apiError {
	var own apiError
	if errors.As(err, &own) {
		return own
	}
	// A call is canceled if the first byte takes too long, or if the caller disconnects and reads no response.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errDeadline
	}
	var coded interface{ ErrorCode() string }
	if errors.As(err, &coded) {
		if e, known := bedrockErrors[coded.ErrorCode()]; known {
			return e
		}
		return errNoUse
	}
	var network *net.OpError
	var unread *smithy.DeserializationError
	if errors.As(err, &network) || errors.As(err, &unread) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoUse
	}
	return errInternal
}

// body returns the error in the format of this API's own routes.
func (e apiError) body(requestID string) []byte {
	type detail struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"requestId"`
	}
	b, _ := json.Marshal(map[string]detail{"error": {e.Code, e.Message, requestID}}) // strings always marshal
	return b
}
