package sandbox

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// apiCall is a call of a private API, as API Gateway decides on it.
type apiCall struct {
	// endpoint is the policy of the VPC endpoint that the call came through; nil where it is not known here: the endpoint
	// is another account's, or there is none.
	endpoint *iampolicy.Document
	api      iampolicy.Document
	// identity are the caller's own policies; nil where nobody signed.
	identity []iampolicy.Document
	// foreign is a caller of another account than the API's.
	foreign bool
	request iampolicy.Request
}

// decide is what API Gateway decides with IAM authorization and without: an endpoint's policy goes before, then the
// API's, together with the caller's own where one signed (API Gateway Developer Guide, "Use VPC endpoint policies for
// private APIs" and "How resource policies affect authorization workflow", tables A and B).
func (c apiCall) decide() (decision iampolicy.Decision, by string) {
	if c.endpoint != nil {
		if decision := c.endpoint.Decide(c.request); decision != iampolicy.Allow {
			return decision, "VPC endpoint policy"
		}
	}
	api := []iampolicy.Document{c.api}
	switch alone := c.api.Decide(c.request); {
	case c.request.Principal.ARN == "" || alone == iampolicy.ExplicitDeny:
		return alone, "resource-based policy"
	case c.foreign:
		return iampolicy.CrossAccount(c.identity, api, c.request), "identity-based or resource-based policy"
	}
	return iampolicy.SameAccount(c.identity, api, c.request), "identity-based policy"
}

// ModelCall is a call of a model, as Bedrock decides on it.
type ModelCall struct {
	action string
	// model is the ARN of what is called: a foundation model, an inference profile or a provisioned model.
	model string
	// routes are the foundation models behind an inference profile.
	routes []string
	// guardrail is the ARN of the one on the call, and version its version; empty is none.
	guardrail, version string
	enforced           string // the ARN of the one that the account enforces
	tier               string // the service tier; "" is none that the request names
}

// requests are all that IAM is asked for one call: the model itself, each model that a profile may route to (which of
// them is Bedrock's choice), the guardrail and the enforced one (Bedrock User Guide, "Prerequisites for inference profiles",
// "Enforce the use of specific guardrails in model inference requests", "Apply cross-account safeguards with Amazon Bedrock
// Guardrails enforcements").
func (c ModelCall) requests(caller map[string][]string, region string) []iampolicy.Request {
	request := func(action, resource string, keys map[string]string) iampolicy.Request {
		all := map[string][]string{"aws:RequestedRegion": {region}, "aws:SecureTransport": {"true"}}
		maps.Copy(all, caller)
		if resource != c.model { // where Bedrock goes on by itself, AWS does not say that these are still set: here they are not
			delete(all, "aws:SourceVpce")
			delete(all, "aws:SourceVpc")
		}
		for key, value := range keys {
			all[key] = []string{value}
		}
		return iampolicy.Request{Action: action, Resource: resource, Context: all}
	}
	var requests []iampolicy.Request
	for _, guardrail := range []string{c.guardrail, c.enforced} {
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
	if c.guardrail != "" {
		guarded["bedrock:GuardrailIdentifier"] = c.guardrail + ":" + c.version
	}
	if len(c.routes) == 0 {
		return append(requests, request(c.action, c.model, guarded))
	}
	// Of the profile itself AWS does not say that it is checked with the guardrail: here it is not.
	requests = append(requests, request(c.action, c.model, own))
	guarded["bedrock:InferenceProfileArn"] = c.model
	for _, route := range c.routes {
		guarded["aws:RequestedRegion"] = cmp.Or(strings.Split(route, ":")[3], "unspecified") // Bedrock User Guide, "Global cross-Region inference"
		requests = append(requests, request(c.action, route, guarded))
	}
	return requests
}

// allowed asks a role's policies and the policy of the endpoint that the call came through, if any, in AWS's words.
func allowed(requests []iampolicy.Request, identity []iampolicy.Document, endpoint *iampolicy.Document) error {
	for _, r := range requests {
		by, decision := "identity-based policy", iampolicy.SameAccount(identity, nil, r)
		if decision == iampolicy.Allow && endpoint != nil {
			by, decision = "VPC endpoint policy", endpoint.Decide(r)
		}
		if decision != iampolicy.Allow {
			return fmt.Errorf("is not authorized to perform: %s on resource: %s %s", r.Action, r.Resource, reason(decision, by, r.Action))
		}
	}
	return nil
}

// serviceRequest is a request of a service's own, over TLS.
func serviceRequest(service, action, resource string, source map[string][]string) iampolicy.Request {
	keys := map[string][]string{"aws:SecureTransport": {"true"}}
	maps.Copy(keys, source)
	return iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: action, Resource: resource, Context: keys}
}

// decideResource asks a resource's policy about a service's request.
func decideResource(document string, request iampolicy.Request) error {
	policy, err := iampolicy.ParseResource(document)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if decision := policy.Decide(request); decision != iampolicy.Allow {
		return fmt.Errorf("its policy does not let %s %s: %v", request.Principal.Service, request.Action, decision)
	}
	return nil
}

// reason names the kind of policy that decided against an action, in AWS's words (IAM User Guide, "Troubleshoot access
// denied error messages").
func reason(decision iampolicy.Decision, by, action string) string {
	switch {
	case decision != iampolicy.ExplicitDeny:
		return "because no " + by + " allows the " + action + " action"
	case strings.HasPrefix(by, "identity"):
		return "with an explicit deny in an " + by
	}
	return "with an explicit deny in a " + by
}
