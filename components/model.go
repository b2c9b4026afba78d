package components

import (
	"fmt"
	"regexp"
)

// Bedrock API Reference, Converse, modelId: the form of a foundation model's id.
var foundationModelID = regexp.MustCompile(`^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})?(:[a-z0-9-]{1,63}){0,2}$`)

// An inference profile's id is a foundation model's behind its geography (Bedrock User Guide, "Inference profiles").
var inferenceProfileID = regexp.MustCompile(`^(us|us-gov|eu|apac|jp|au|ca|global)\.[a-z0-9-]+\.`)

// ModelArn is the ARN that a policy must name to admit a foundation model, called in its own region.
func ModelArn(partition, region, modelId string) (string, error) {
	switch {
	case inferenceProfileID.MatchString(modelId):
		return "", fmt.Errorf("got %q, an inference profile, which is not supported yet: want a foundation model's id such as anthropic.claude-haiku-4-5-20251001-v1:0", modelId)
	case !foundationModelID.MatchString(modelId):
		return "", fmt.Errorf("got %q, want a foundation model's id such as anthropic.claude-haiku-4-5-20251001-v1:0", modelId)
	}
	return "arn:" + partition + ":bedrock:" + region + "::foundation-model/" + modelId, nil
}
