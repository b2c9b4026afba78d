// Command function is the Lambda function of the private API. It checks a request, calls Amazon Bedrock, and returns
// the response as it arrives. It stores nothing: only Bedrock's invocation log contains prompts and responses.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

func main() {
	if err := run(os.Getenv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(env func(string) string) error {
	h, err := newHandler(env)
	if err != nil {
		return err
	}
	// Check while Lambda prepares the first event.
	go h.logging.check(context.Background(), time.Now())
	go h.retention.check(context.Background(), time.Now())
	lambda.Start(h.handle)
	return nil
}

func newHandler(env func(string) string) (handler, error) {
	models := splitList(env(contract.EnvModelIDs))
	if len(models) == 0 {
		return handler{}, fmt.Errorf(contract.EnvModelIDs+": got %q, must list the IDs of the models that callers can use, separated by commas",
			env(contract.EnvModelIDs))
	}
	streaming := env(contract.EnvResponseStreaming)
	if streaming != "true" && streaming != "false" {
		return handler{}, fmt.Errorf(contract.EnvResponseStreaming+": got %q, must be true or false, like the API's integration",
			streaming)
	}
	guardrail, err := newGuardrail(env(contract.EnvGuardrailID), env(contract.EnvGuardrailVersion))
	if err != nil {
		return handler{}, err
	}
	destination, err := parseDestination(env(contract.EnvLoggingConfiguration))
	if err != nil {
		return handler{}, err
	}
	b, err := newBedrock(env)
	h := handler{
		bedrock: b, models: models, tiers: splitList(env(contract.EnvServiceTiers), "default"), guardrail: guardrail,
		unevaluatedTools: env(contract.EnvAllowUnevaluatedTools) == "true", passed: &passed{},
		streaming: streaming == "true", log: lambdacontext.NewLogger(),
	}
	required := env(contract.EnvRequireInvocationLogging) != "false"
	h.logging = newInvocationLog(required, destination, b.loggingConfig, h.logFailure)
	h.retention = newRetention(splitList(env(contract.EnvDataRetentionModes), unshared...), b.dataRetention, h.logFailure)
	return h, err
}

// splitList splits a variable at commas and white space. If the variable is empty, it returns the default.
func splitList(variable string, defaults ...string) []string {
	if all := strings.FieldsFunc(variable, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }); len(all) > 0 {
		return all
	}
	return defaults
}
