package bedrock

import (
	"cmp"
	"maps"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// ModelCall is a call of a model, as Bedrock decides on it.
type ModelCall struct {
	Action string
	// Model is the ARN of what is called: a foundation model, an inference profile or a provisioned model.
	Model string
	// Routes are the foundation models behind an inference profile.
	Routes []string
	// Guardrail is the ARN of the guardrail on the call, and Version its version; both are empty without a guardrail.
	Guardrail, Version string
	enforced           string // the ARN of the one that the account enforces
	tier               string // the service tier; "" if the request names no tier
}

// Requests are all that IAM is asked for one call: the model itself, each model that a profile may route to (which of
// them is Bedrock's choice), the guardrail and the enforced one (Bedrock User Guide, "Prerequisites for inference profiles",
// "Enforce the use of specific guardrails in model inference requests", "Apply cross-account safeguards with Amazon Bedrock
// Guardrails enforcements").
func (c ModelCall) Requests(caller map[string][]string, region string) []iampolicy.Request {
	request := func(action, resource string, keys map[string]string) iampolicy.Request {
		all := map[string][]string{"aws:RequestedRegion": {region}, "aws:SecureTransport": {"true"}}
		maps.Copy(all, caller)
		if resource != c.Model { // where Bedrock goes on by itself, AWS does not say that these are still set: here they are not
			delete(all, "aws:SourceVpce")
			delete(all, "aws:SourceVpc")
		}
		for key, value := range keys {
			all[key] = []string{value}
		}
		return iampolicy.Request{Action: action, Resource: resource, Context: all}
	}
	var requests []iampolicy.Request
	for _, guardrail := range []string{c.Guardrail, c.enforced} {
		if guardrail != "" {
			requests = append(requests, request("bedrock:ApplyGuardrail", guardrail, nil))
		}
	}
	// Of a request that names no tier AWS does not say that the key is there: here it is absent. A deny-list of all tiers lets such
	// requests pass (Bedrock User Guide, "Control access to service tiers").
	own := map[string]string{}
	if c.tier != "" {
		own["bedrock:ServiceTier"] = c.tier
	}
	guarded := maps.Clone(own)
	if c.Guardrail != "" {
		guarded["bedrock:GuardrailIdentifier"] = c.Guardrail + ":" + c.Version
	}
	if len(c.Routes) == 0 {
		return append(requests, request(c.Action, c.Model, guarded))
	}
	// Of the profile itself AWS does not say that it is checked with the guardrail: here it is not.
	requests = append(requests, request(c.Action, c.Model, own))
	guarded["bedrock:InferenceProfileArn"] = c.Model
	for _, route := range c.Routes {
		guarded["aws:RequestedRegion"] = cmp.Or(strings.Split(route, ":")[3], "unspecified") // Bedrock User Guide, "Global cross-Region inference"
		requests = append(requests, request(c.Action, route, guarded))
	}
	return requests
}
