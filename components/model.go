package components

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

var (
	// Bedrock API Reference, Converse, modelId: the form of a foundation model's id.
	foundationModelID = regexp.MustCompile(`^[a-z0-9-]{1,63}\.[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){0,2}(:[a-z0-9-]{1,63}){0,2}$`)
	// An inference profile's id is a foundation model's behind its geography (Bedrock User Guide, "Inference profiles").
	inferenceProfileID = regexp.MustCompile(`^(us|us-gov|eu|apac|jp|au|ca|global)\.([a-z0-9-]+\..+)$`)
	// Service Authorization Reference, "Amazon Bedrock", resource types.
	modelARN = regexp.MustCompile(`^arn:(aws[a-z-]*):bedrock:([a-z0-9-]+):([0-9]{12}):(application-inference-profile|provisioned-model)/[a-z0-9]{12}$`)
)

// CheckModelId refuses what is no model, is in another region, or leaves the geography unless that is allowed. An
// application inference profile may still do so: BedrockFunction asks AWS. region may be empty where it is not known.
func CheckModelId(modelId, region string, allowGlobalInference bool) error {
	arn, profile := modelARN.FindStringSubmatch(modelId), inferenceProfileID.FindStringSubmatch(modelId)
	switch {
	case arn != nil && region != "" && arn[2] != region:
		return fmt.Errorf("got %q, want one of region %s", modelId, region)
	case arn != nil:
		return nil
	case !foundationModelID.MatchString(modelId):
		return fmt.Errorf("got %q, want the id of a foundation model such as anthropic.claude-haiku-4-5-20251001-v1:0 or of an inference profile such as "+
			"jp.anthropic.claude-haiku-4-5-20251001-v1:0, or the ARN of an application inference profile or provisioned model", modelId)
	case profile != nil && profile[1] == "global" && !allowGlobalInference:
		return globalError(modelId)
	}
	return nil
}

func globalError(modelId string) error {
	return fmt.Errorf("got %q, whose requests may be processed in any region of the world: set allowGlobalInference to true if they may, or take a profile of one geography such as jp.…", modelId)
}

// isInferenceProfile tells what AWS must be asked about: which models it routes to.
func isInferenceProfile(modelId string) bool {
	return inferenceProfileID.MatchString(modelId) || strings.Contains(modelId, ":application-inference-profile/")
}

// model is what a policy must name to admit one model: its own ARN, and for an inference profile the foundation
// models that it routes to, each in its region.
type model struct {
	arn    string
	routes []string
}

// newModel takes routes as AWS tells them of an inference profile: the ARNs of its foundation models.
func newModel(to target, modelId string, routes []string, allowGlobalInference bool) (model, error) {
	if err := CheckModelId(modelId, to.region, allowGlobalInference); err != nil {
		return model{}, err
	}
	here := "arn:" + to.partition + ":bedrock:" + to.region + ":"
	anywhere := "arn:" + to.partition + ":bedrock:::foundation-model/"
	arn, profile := modelARN.FindStringSubmatch(modelId), inferenceProfileID.FindStringSubmatch(modelId)
	switch {
	case arn != nil && (arn[1] != to.partition || arn[3] != to.account):
		return model{}, fmt.Errorf("got %q, want one of account %s in partition %s", modelId, to.account, to.partition)
	case !isInferenceProfile(modelId) && arn == nil:
		return model{arn: here + ":foundation-model/" + modelId}, nil
	case !isInferenceProfile(modelId):
		return model{arn: modelId}, nil
	case profile != nil && profile[1] == "global":
		// Bedrock User Guide, "Global cross-Region inference": the model here, and the one of no region.
		routes = []string{here + ":foundation-model/" + profile[2], anywhere + profile[2]}
	}
	m := model{arn: modelId, routes: slices.Sorted(slices.Values(routes))} // AWS promises no order: another one is no change
	if profile != nil {
		m.arn = here + to.account + ":inference-profile/" + modelId
	}
	if len(routes) == 0 {
		return model{}, fmt.Errorf("got %q, an inference profile that routes to no model", modelId)
	}
	if slices.ContainsFunc(routes, func(route string) bool { return strings.HasPrefix(route, anywhere) }) && !allowGlobalInference {
		return model{}, globalError(modelId)
	}
	return m, nil
}

// modelActions is what the function does with models: Converse asks for the first, ConverseStream for the second (Service
// Authorization Reference).
var modelActions = []string{"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"}

// modelStatements admit these models to whoever meets the conditions. The models behind an inference profile are
// admitted through that profile only (Bedrock User Guide, "Prerequisites for inference profiles"); conditions stand on the
// profile, and behind it only where they are the caller's own: see functionPolicy.
func modelStatements(models []model, principal any, conditions, behind map[string][]string) []statement {
	statements := []statement{{
		Sid: "Models", Effect: "Allow", Principal: principal, Action: modelActions,
		Condition: map[string]map[string][]string{"StringEquals": conditions},
	}}
	for _, m := range models {
		statements[0].Resource = append(statements[0].Resource, m.arn)
		if len(m.routes) == 0 {
			continue
		}
		through := map[string][]string{"bedrock:InferenceProfileArn": {m.arn}}
		maps.Copy(through, behind)
		statements = append(statements, statement{
			Sid: fmt.Sprintf("ModelsOfProfile%d", len(statements)), Effect: "Allow", Principal: principal, Action: modelActions,
			Resource: m.routes, Condition: map[string]map[string][]string{"StringEquals": through},
		})
	}
	return statements
}

// guardrailVersion is one published version of a guardrail; the zero value is none.
type guardrailVersion struct{ arn, version string }

var (
	guardrailID            = regexp.MustCompile(`^[a-z0-9]{1,64}$`) // Bedrock API Reference, GuardrailConfiguration
	guardrailVersionNumber = regexp.MustCompile(`^[1-9][0-9]{0,7}$`)
)

// CheckGuardrail refuses what Bedrock refuses, and the version DRAFT, which anybody who may edit it changes under the
// function's feet.
func CheckGuardrail(id, version string) error {
	if !guardrailID.MatchString(id) || !guardrailVersionNumber.MatchString(version) {
		return fmt.Errorf("got guardrail %q, version %q, want a guardrail id such as 3o06191495ze and the number of a published version such as 1", id, version)
	}
	return nil
}

// An enforced guardrail is named with its version in an organization's policy, without it in IAM (Organizations User Guide,
// "Amazon Bedrock policy syntax and examples"; Service Authorization Reference, "Amazon Bedrock", resource types).
var guardrailARN = regexp.MustCompile(`^(arn:aws[a-z-]*:bedrock:([a-z0-9-]+):[0-9]{12}:guardrail/[a-z0-9]{1,64})(:[1-9][0-9]{0,7})?$`)

// CheckEnforcedGuardrail refuses what is no guardrail's ARN or is in another region, whose guardrails are not enforced on
// calls of this one. region may be empty where it is not known.
func CheckEnforcedGuardrail(arn, region string) error {
	found := guardrailARN.FindStringSubmatch(arn)
	switch {
	case found == nil:
		return fmt.Errorf("got %q, want the ARN of a guardrail such as arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze, with or without a version such as :1", arn)
	case region != "" && found[2] != region:
		return fmt.Errorf("got %q, want one of region %s", arn, region)
	}
	return nil
}

// The first four are the SDK's (Bedrock API Reference, PutAccountDataRetention); AWS answers with the last for some accounts.
var dataRetentionModes = []string{"default", "none", "inherit", "provider_data_share", "aws_review"}

// CheckDataRetentionModes refuses modes that Bedrock does not have, and a list without any, with which every call is refused.
func CheckDataRetentionModes(modes []string) error {
	return checkEachOnceOf(modes, dataRetentionModes)
}

// defaultTier is that of a call that names none (Bedrock User Guide, "Service tiers for optimizing performance and cost").
const defaultTier = "default"

// Bedrock API Reference, ServiceTier, type.
var serviceTiers = []string{defaultTier, "flex", "priority", "reserved"}

// CheckServiceTiers refuses tiers that Bedrock does not have, and a list without any, with which every call is refused.
func CheckServiceTiers(tiers []string) error {
	return checkEachOnceOf(tiers, serviceTiers)
}

func checkEachOnceOf(got, allowed []string) error {
	if len(got) == 0 {
		return fmt.Errorf("got none, want at least one of %s", strings.Join(allowed, ", "))
	}
	for i, one := range got {
		if !slices.Contains(allowed, one) || slices.Contains(got[:i], one) {
			return fmt.Errorf("got %q, want each once, of %s", one, strings.Join(allowed, ", "))
		}
	}
	return nil
}

// neverWithoutGuardrail refuses every call of a model without the guardrail, whatever else the role may one day be allowed
// (Bedrock User Guide, "Enforce the use of specific guardrails in model inference requests"). An inference profile's own
// ARN is left out, as there: the models behind it are checked in the same call.
func neverWithoutGuardrail(g guardrailVersion, models []model) []statement {
	if g.arn == "" {
		return nil
	}
	var called []string
	for _, m := range models {
		if m.routes == nil {
			called = append(called, m.arn)
		}
		called = append(called, m.routes...)
	}
	slices.Sort(called)
	return []statement{{
		Sid: "NeverWithoutTheGuardrail", Effect: "Deny", Action: modelActions, Resource: slices.Compact(called),
		Condition: map[string]map[string][]string{"StringNotEquals": {"bedrock:GuardrailIdentifier": {g.arn + ":" + g.version}}},
	}}
}

// applicableGuardrails are the ARNs, without versions, of the function's guardrail, if any, and of the enforced ones, which
// Bedrock applies with the caller's rights (Bedrock User Guide, "Apply cross-account safeguards with Amazon Bedrock
// Guardrails enforcements").
func applicableGuardrails(own string, enforced []string) (arns []string) {
	if own != "" {
		arns = append(arns, own)
	}
	for _, arn := range enforced {
		arns = append(arns, guardrailARN.FindStringSubmatch(arn)[1])
	}
	slices.Sort(arns)
	return slices.Compact(arns)
}

func applyGuardrails(arns []string, principal any, conditions map[string]map[string][]string) []statement {
	if len(arns) == 0 {
		return nil
	}
	return []statement{{
		Sid: "ApplyGuardrail", Effect: "Allow", Principal: principal, Action: []string{"bedrock:ApplyGuardrail"}, Resource: arns, Condition: conditions,
	}}
}

// onlyTiers denies calls with any other service tier, of the future as well. A call that names none lacks the key (Bedrock
// User Guide, "Control access to service tiers"; Service Authorization Reference, "Amazon Bedrock"), of which
// StringNotEquals is true (IAM User Guide, "Condition operators"): Null lets such calls through where their tier is listed.
func onlyTiers(tiers []string) statement {
	conditions := map[string]map[string][]string{"StringNotEquals": {"bedrock:ServiceTier": tiers}}
	if slices.Contains(tiers, defaultTier) {
		conditions["Null"] = map[string][]string{"bedrock:ServiceTier": {"false"}}
	}
	return statement{Sid: "OnlyTheseServiceTiers", Effect: "Deny", Action: modelActions, Resource: []string{"*"}, Condition: conditions}
}
