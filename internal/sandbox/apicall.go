package sandbox

import "github.com/private-bedrock/private-bedrock/internal/iampolicy"

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
