// Command function is the Lambda function behind the private API: it checks a request, calls Amazon
// Bedrock's Converse and answers. It keeps nothing: prompt and answer exist in Bedrock's invocation log only.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"unicode"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

func main() {
	if err := run(os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(env func(string) string) error {
	h, err := newHandler(env)
	if err == nil {
		lambda.Start(h.handle)
	}
	return err
}

func newHandler(env func(string) string) (handler, error) {
	models := strings.FieldsFunc(env("MODEL_IDS"), func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(models) == 0 {
		return handler{}, fmt.Errorf("MODEL_IDS: got %q, want the model ids that may be called, separated by commas", env("MODEL_IDS"))
	}
	guardrail, err := newGuardrail(env("GUARDRAIL_ID"), env("GUARDRAIL_VERSION"))
	return handler{bedrock: newBedrock(env), models: models, guardrail: guardrail, log: lambdacontext.NewLogger()}, err
}

// newGuardrail is nil where no guardrail is set. Half of one is an error: calls would go out unguarded.
func newGuardrail(id, version string) (*types.GuardrailConfiguration, error) {
	switch {
	case id == "" && version == "":
		return nil, nil
	case id == "" || version == "":
		return nil, fmt.Errorf("GUARDRAIL_ID, GUARDRAIL_VERSION: got %q, %q, want both or none", id, version)
	}
	// No trace: it would quote what was blocked.
	return &types.GuardrailConfiguration{GuardrailIdentifier: &id, GuardrailVersion: &version}, nil
}

// newBedrock reads the few variables that Lambda itself sets (Lambda Developer Guide, "Defined runtime
// environment variables") instead of the SDK's whole configuration chain, whose files, profiles and metadata
// services do not exist in a function and cost start time and size.
func newBedrock(env func(string) string) *bedrockruntime.Client {
	o := bedrockruntime.Options{
		Region: env("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: env("AWS_ACCESS_KEY_ID"), SecretAccessKey: env("AWS_SECRET_ACCESS_KEY"), SessionToken: env("AWS_SESSION_TOKEN"),
				Source: "LambdaEnvironment",
			}, nil
		}),
	}
	// Set by the sandbox only: on AWS the endpoint's private DNS name is the service's own.
	if url := env("AWS_ENDPOINT_URL"); url != "" {
		o.BaseEndpoint = aws.String(url)
	}
	return bedrockruntime.New(o)
}
