// Command function is the Lambda function behind the private API: it checks a request, calls Amazon Bedrock and answers,
// as the answer arrives. It keeps nothing: prompt and answer exist in Bedrock's invocation log only.
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
	// While Lambda gets the first event ready.
	go h.logging.check(context.Background(), time.Now())
	go h.retention.check(context.Background(), time.Now())
	lambda.Start(h.handle)
	return nil
}

func newHandler(env func(string) string) (handler, error) {
	models := listed(env(contract.EnvModelIDs))
	if len(models) == 0 {
		return handler{}, fmt.Errorf(contract.EnvModelIDs+": got %q, want the model ids that may be called, separated by commas",
			env(contract.EnvModelIDs))
	}
	streaming := env(contract.EnvResponseStreaming)
	if streaming != "true" && streaming != "false" {
		return handler{}, fmt.Errorf(contract.EnvResponseStreaming+": got %q, want true or false, as the API's integration is",
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
		bedrock: b, models: models, tiers: listed(env(contract.EnvServiceTiers), "default"), guardrail: guardrail,
		unevaluatedTools: env(contract.EnvAllowUnevaluatedTools) == "true", passed: &passed{},
		streaming: streaming == "true", log: lambdacontext.NewLogger(),
	}
	required := env(contract.EnvRequireInvocationLogging) != "false"
	h.logging = newInvocationLog(required, destination, b.loggingConfig, h.logFailure)
	h.retention = newRetention(listed(env(contract.EnvDataRetentionModes), unshared...), b.dataRetention, h.logFailure)
	return h, err
}

// listed are the texts of a variable, which commas separate.
func listed(variable string, otherwise ...string) []string {
	if all := strings.FieldsFunc(variable, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }); len(all) > 0 {
		return all
	}
	return otherwise
}
