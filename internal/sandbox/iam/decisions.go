package iam

import (
	"fmt"
	"maps"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// Allowed asks a role's policies and the policy of the endpoint that the call came through, if any, in AWS's words.
func Allowed(requests []iampolicy.Request, identity []iampolicy.Document, endpoint *iampolicy.Document) error {
	for _, r := range requests {
		by, decision := "identity-based policy", iampolicy.SameAccount(identity, nil, r)
		if decision == iampolicy.Allow && endpoint != nil {
			by, decision = "VPC endpoint policy", endpoint.Decide(r)
		}
		if decision != iampolicy.Allow {
			return fmt.Errorf("is not authorized to perform: %s on resource: %s %s", r.Action, r.Resource, Reason(decision, by, r.Action))
		}
	}
	return nil
}

// ServiceRequest is a request of a service's own, over TLS.
func ServiceRequest(service, action, resource string, source map[string][]string) iampolicy.Request {
	keys := map[string][]string{"aws:SecureTransport": {"true"}}
	maps.Copy(keys, source)
	return iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: action, Resource: resource, Context: keys}
}

// DecideResource asks a resource's policy about a service's request.
func DecideResource(document string, request iampolicy.Request) error {
	policy, err := iampolicy.ParseResource(document)
	if err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if decision := policy.Decide(request); decision != iampolicy.Allow {
		return fmt.Errorf("its policy does not let %s %s: %v", request.Principal.Service, request.Action, decision)
	}
	return nil
}

// Reason names the kind of policy that decided against an action, in AWS's words (IAM User Guide, "Troubleshoot access
// denied error messages").
func Reason(decision iampolicy.Decision, by, action string) string {
	switch {
	case decision != iampolicy.ExplicitDeny:
		return "because no " + by + " allows the " + action + " action"
	case strings.HasPrefix(by, "identity"):
		return "with an explicit deny in an " + by
	}
	return "with an explicit deny in a " + by
}
