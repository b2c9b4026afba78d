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

// apiError is what a caller learns of a failure. Its message is ours: Bedrock's own may name roles and
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
	errTooLarge  = apiError{http.StatusRequestEntityTooLarge, "RequestTooLarge", "the request is larger than this API takes: send at most 4 MiB of body and 1 MiB of text"}
	errCrossSite = apiError{http.StatusForbidden, "CrossSite", "call this API from a program, not from another site's page"}
	errNoRoute   = apiError{http.StatusNotFound, "NoSuchRoute", "there is no such route: GET /openapi.json lists those there are, such as POST /generate"}
	errNoAnswer  = apiError{http.StatusBadGateway, "NoAnswer", "the model gave no text; ask again or ask otherwise"}
	errDeadline  = apiError{http.StatusGatewayTimeout, "DeadlineExceeded", "the model did not answer in time: ask for fewer tokens or call a faster model"}
	errNoUse     = apiError{http.StatusBadGateway, "BedrockError", "Bedrock gave no usable answer; ask again"}
	errInternal  = apiError{http.StatusInternalServerError, "InternalError", "the API failed; its operators find the cause in the function's log by the request id"}
)

// bedrockErrors keeps Bedrock's status and says what the caller can do (Bedrock API Reference, Converse, "Errors").
var bedrockErrors = map[string]apiError{
	"ValidationException":           badRequest("ModelRefusedRequest", "the model takes no such request: check its limits on tokens, turns of the conversation and parameters"),
	"AccessDeniedException":         {http.StatusForbidden, "ModelAccessDenied", "this API may not call the model: ask its operators to request access to it in this account and region"},
	"ResourceNotFoundException":     {http.StatusNotFound, "ModelNotFound", "Bedrock does not offer the model here; GET /models lists what this API admits"},
	"ModelTimeoutException":         {http.StatusRequestTimeout, "ModelTimeout", "the model took too long: ask for fewer tokens"},
	"ModelStreamErrorException":     {http.StatusFailedDependency, "ModelError", "the model failed; ask again"},
	"ModelErrorException":           {http.StatusFailedDependency, "ModelError", "the model failed; ask again"},
	"ThrottlingException":           {http.StatusTooManyRequests, "Throttled", "too many requests to the model: wait, then ask again"},
	"ModelNotReadyException":        {http.StatusTooManyRequests, "ModelNotReady", "the model is being started: wait, then ask again"},
	"ServiceQuotaExceededException": {http.StatusTooManyRequests, "QuotaExceeded", "this account's quota for the model is used up: wait, or ask for a larger one"},
	"ServiceUnavailableException":   {http.StatusServiceUnavailable, "BedrockUnavailable", "Bedrock is not available: wait, then ask again"},
	"InternalServerException":       {http.StatusBadGateway, "BedrockError", "Bedrock failed; ask again"},
}

// classify turns any failure into what the caller learns of it.
func classify(err error) apiError {
	var own apiError
	if errors.As(err, &own) {
		return own
	}
	// Cancelled is a call that kept its caller waiting too long, or whose caller has left and reads no answer.
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

// body is the error in the form of this API's own routes.
func (e apiError) body(requestID string) []byte {
	type detail struct {
		Code      string `json:"code"`
		Message   string `json:"message"`
		RequestID string `json:"requestId"`
	}
	b, _ := json.Marshal(map[string]detail{"error": {e.Code, e.Message, requestID}}) // strings always marshal
	return b
}
