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

// bedrock sends requests to Bedrock. It signs and retries with the parts of the AWS SDK's client, but passes bodies
// unchanged. The SDK's client drops fields that its version doesn't know, and takes twice the time.
type bedrock struct {
	endpoint    string // of Bedrock Runtime
	control     string // of Bedrock's control plane, which has the account's settings
	region      string
	credentials aws.Credentials
	signer      *v4.Signer
	retryer     aws.Retryer
	http        aws.HTTPClient
}

// newBedrock reads only the variables that Lambda sets (Lambda Developer Guide, "Defined runtime environment
// variables"). It skips the SDK's configuration chain: a function has no configuration files, profiles or metadata
// service, and the chain costs start time and size. Lambda replaces a function's instances before their credentials
// expire.
func newBedrock(env func(string) string) (bedrock, error) {
	b := bedrock{
		// Only the sandbox sets it. On AWS, the endpoints' private DNS names are the services' own names.
		endpoint: env("AWS_ENDPOINT_URL"), control: env("AWS_ENDPOINT_URL"),
		region: env("AWS_REGION"),
		credentials: aws.Credentials{
			AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN"),
			Source: "LambdaEnvironment",
		},
		signer: v4.NewSigner(),
		http:   awshttp.NewBuildableClient(),
		retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			// The SDK documents a retry for this exception, but doesn't retry it.
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

// bedrockError is a response from Bedrock with a status other than 200. Error omits its message, which can quote the
// prompt.
type bedrockError struct {
	status          int
	code, requestID string
	message         string
}

func (e *bedrockError) Error() string       { return "Bedrock returned " + e.code }
func (e *bedrockError) ErrorCode() string   { return e.code }
func (e *bedrockError) HTTPStatusCode() int { return e.status }

// invoke returns Bedrock's response of status 200. The caller closes its body.
func (b bedrock) invoke(ctx context.Context, model, operation string, header http.Header, body []byte) (*http.Response, error) {
	return b.send(ctx, http.MethodPost, b.endpoint+"/model/"+httpbinding.EscapePath(model, true)+"/"+operation, header, body)
}

// send retries errors that Bedrock marks as retryable, until ctx's deadline. It never retries after a response has
// begun.
func (b bedrock) send(ctx context.Context, method, url string, header http.Header, body []byte) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		response, err := b.attempt(ctx, method, url, header, body)
		if err == nil || attempt >= b.retryer.MaxAttempts() || !b.retryer.IsErrorRetryable(err) {
			return response, err
		}
		wait, cannot := b.retryer.RetryDelay(attempt, err)
		if deadline, ok := ctx.Deadline(); cannot != nil || ok && time.Until(deadline) <= wait {
			return nil, err // more informative than a deadline error
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
	request.Header.Set("Accept-Encoding", "identity") // compression would delay a stream
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

// readError reads an exception's name from where Bedrock writes it (Smithy, "AWS restJson1 protocol", "Operation error
// serialization").
func readError(response *http.Response) error {
	e := &bedrockError{
		status: response.StatusCode, code: restjson.SanitizeErrorCode(response.Header.Get("X-Amzn-Errortype")),
		requestID: response.Header.Get("X-Amzn-Requestid"),
	}
	// A proxy's error page isn't JSON. In that case, only the header counts.
	code, message, _ := restjson.GetErrorInfo(json.NewDecoder(io.LimitReader(response.Body, 1<<16)))
	e.message = message
	if e.code == "" {
		e.code = code
	}
	return e
}
