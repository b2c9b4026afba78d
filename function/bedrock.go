package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/protocol/restjson"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/smithy-go/encoding/httpbinding"
)

// bedrock sends requests to Bedrock. It signs and retries as the SDK's client does, with the SDK's own parts, but
// takes and gives bodies as they are: that client knows the fields of its day only, and takes twice the time.
type bedrock struct {
	endpoint    string // Bedrock Runtime's
	control     string // Bedrock's own, which knows the account's settings
	region      string
	credentials aws.Credentials
	signer      *v4.Signer
	retryer     aws.Retryer
	http        aws.HTTPClient
}

// newBedrock reads the few variables that Lambda itself sets (Lambda Developer Guide, "Defined runtime environment
// variables") instead of the SDK's whole configuration chain, whose files, profiles and metadata services do not exist in a
// function and cost start time and size. Lambda replaces a function's copies before their credentials expire.
func newBedrock(env func(string) string) (bedrock, error) {
	b := bedrock{
		// Set by the sandbox only: on AWS the endpoints' private DNS names are the services' own.
		endpoint: env("AWS_ENDPOINT_URL"), control: env("AWS_ENDPOINT_URL"),
		region: env("AWS_REGION"),
		credentials: aws.Credentials{
			AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN"),
			Source: "LambdaEnvironment",
		},
		signer: v4.NewSigner(),
		http:   awshttp.NewBuildableClient(),
		retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			// The SDK says that it retries this one, and does not.
			o.Retryables = append(o.Retryables, retry.RetryableErrorCode{Codes: map[string]struct{}{"ModelNotReadyException": {}}})
		}),
	}
	if b.endpoint == "" {
		resolved, err := bedrockruntime.NewDefaultEndpointResolverV2().ResolveEndpoint(context.Background(), bedrockruntime.EndpointParameters{
			Region: &b.region, UseDualStack: aws.Bool(false), UseFIPS: aws.Bool(false),
		})
		if err != nil {
			return bedrock{}, err
		}
		b.endpoint = resolved.URI.String()
		b.control = strings.Replace(b.endpoint, "//bedrock-runtime.", "//bedrock.", 1)
	}
	return b, nil
}

// bedrockError is an answer of Bedrock's other than 200. Its text stays out of Error: it may quote the prompt.
type bedrockError struct {
	status          int
	code, requestID string
	message         string
}

func (e *bedrockError) Error() string       { return "Bedrock answered " + e.code }
func (e *bedrockError) ErrorCode() string   { return e.code }
func (e *bedrockError) HTTPStatusCode() int { return e.status }

// invoke answers with the model's response of status 200, whose body its caller closes.
func (b bedrock) invoke(ctx context.Context, model, operation string, header http.Header, body []byte) (*http.Response, error) {
	return b.send(ctx, http.MethodPost, b.endpoint+"/model/"+httpbinding.EscapePath(model, true)+"/"+operation, header, body)
}

// send tries again what Bedrock says may be tried again, as long as ctx lets it; an answer that has begun is never asked for
// twice.
func (b bedrock) send(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := b.attempt(ctx, method, url, header, body)
		if err == nil || attempt >= b.retryer.MaxAttempts() || !b.retryer.IsErrorRetryable(err) {
			return response, err
		}
		wait, cannot := b.retryer.RetryDelay(attempt, err)
		if deadline, ok := ctx.Deadline(); cannot != nil || ok && time.Until(deadline) <= wait {
			return nil, err // says more than that the time is up
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(wait):
		}
	}
}

func (b bedrock) attempt(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	request.Header.Set("Accept-Encoding", "identity") // a stream that is packed arrives late
	request.Header.Set("User-Agent", "private-bedrock")
	sum := sha256.Sum256(body)
	if err := b.signer.SignHTTP(ctx, b.credentials, request, hex.EncodeToString(sum[:]), "bedrock", b.region, time.Now()); err != nil {
		return nil, err
	}
	response, err := b.http.Do(request)
	if err != nil || response.StatusCode == http.StatusOK {
		return response, err
	}
	defer response.Body.Close()
	return nil, readError(response)
}

// readError finds an exception's name where Bedrock writes it (Smithy, "AWS restJson1 protocol", "Operation error
// serialization").
func readError(response *http.Response) error {
	e := &bedrockError{
		status: response.StatusCode, code: restjson.SanitizeErrorCode(response.Header.Get("X-Amzn-Errortype")),
		requestID: response.Header.Get("X-Amzn-Requestid"),
	}
	// A proxy's page is no JSON: then the header alone counts.
	code, message, _ := restjson.GetErrorInfo(json.NewDecoder(io.LimitReader(response.Body, 1<<16)))
	e.message = message
	if e.code == "" {
		e.code = code
	}
	return e
}
