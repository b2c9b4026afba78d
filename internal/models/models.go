// Package models checks model IDs and finds the ARNs that a policy has to name to allow a model: for an inference
// profile, those of the models that it routes to as well.
package models

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

var (
	// Bedrock API Reference, Converse, modelId: the form of a foundation model's id.
	foundationModelID = regexp.MustCompile(`^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,2}(:[a-z0-9-]{1,63}){0,2}$`)
	// An inference profile's id is a foundation model's behind its geography (Bedrock User Guide, "Inference profiles").
	inferenceProfileID = regexp.MustCompile(`^(us|us-gov|eu|apac|jp|au|ca|global)\.([a-z0-9-]+\..+)$`)
	// Service Authorization Reference, "Amazon Bedrock", resource types.
	modelARN = regexp.MustCompile(`^arn:(aws[a-z-]*):bedrock:([a-z0-9-]+):([0-9]{12}):(application-inference-profile|provisioned-model)/[a-z0-9]{12}$`)
)

// Check rejects an ID that isn't a model's, a model of another Region, and a profile that leaves the geography, unless
// that is allowed. An application inference profile may still leave it: only New, which knows its routes, can tell. If
// region is empty, every Region is accepted.
func Check(id, region string, allowGlobalInference bool) error {
	arn, profile := modelARN.FindStringSubmatch(id), inferenceProfileID.FindStringSubmatch(id)
	switch {
	case arn != nil && region != "" && arn[2] != region:
		return fmt.Errorf("got %q, want one of region %s", id, region)
	case arn != nil:
		return nil
	case !foundationModelID.MatchString(id):
		return fmt.Errorf("got %q, want the id of a foundation model such as anthropic.claude-haiku-4-5-20251001-v1:0 or of "+
			"an inference profile such as jp.anthropic.claude-haiku-4-5-20251001-v1:0, or the ARN of an application inference "+
			"profile or provisioned model", id)
	case profile != nil && profile[1] == "global" && !allowGlobalInference:
		return globalError(id)
	}
	return nil
}

func globalError(id string) error {
	return fmt.Errorf("got %q, whose requests may be processed in any region of the world: set "+
		"allowGlobalInference to true if they may, or take a profile of one geography such as jp.…", id)
}

// IsInferenceProfile reports whether AWS has to be asked which models the ID routes to.
func IsInferenceProfile(id string) bool {
	return inferenceProfileID.MatchString(id) || strings.Contains(id, ":application-inference-profile/")
}

// Model is what a policy must name to allow one model: its own ARN and, for an inference profile, the foundation models
// that it routes to, each in its Region.
type Model struct {
	ARN    string
	Routes []string
}

// New is the model of an ID. For an inference profile, routes are the ARNs of its foundation models as AWS returns
// them.
func New(t iamdoc.Target, id string, routes []string, allowGlobalInference bool) (Model, error) {
	if err := Check(id, t.Region, allowGlobalInference); err != nil {
		return Model{}, err
	}
	here := "arn:" + t.Partition + ":bedrock:" + t.Region + "::foundation-model/"
	anywhere := "arn:" + t.Partition + ":bedrock:::foundation-model/"
	arn, profile := modelARN.FindStringSubmatch(id), inferenceProfileID.FindStringSubmatch(id)
	switch {
	case arn != nil && (arn[1] != t.Partition || arn[3] != t.Account):
		return Model{}, fmt.Errorf("got %q, want one of account %s in partition %s", id, t.Account, t.Partition)
	case !IsInferenceProfile(id) && arn == nil:
		return Model{ARN: here + id}, nil
	case !IsInferenceProfile(id):
		return Model{ARN: id}, nil
	case profile != nil && profile[1] == "global":
		// Bedrock User Guide, "Global cross-Region inference": the model in this Region, and the one without a Region.
		routes = []string{here + profile[2], anywhere + profile[2]}
	}
	m := Model{ARN: id, Routes: slices.Sorted(slices.Values(routes))} // AWS promises no order: a new one isn't a change
	if profile != nil {
		m.ARN = t.ARN("bedrock", "inference-profile/"+id)
	}
	if len(routes) == 0 {
		return Model{}, fmt.Errorf("got %q, an inference profile that routes to no model", id)
	}
	leaves := slices.ContainsFunc(routes, func(r string) bool { return strings.HasPrefix(r, anywhere) })
	if leaves && !allowGlobalInference {
		return Model{}, globalError(id)
	}
	return m, nil
}
