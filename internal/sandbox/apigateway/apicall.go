package apigateway

import "github.com/private-bedrock/private-bedrock/internal/iampolicy"

// Call is a call of a private API, as API Gateway decides on it.
type Call struct {
	// Endpoint is the policy of the VPC endpoint that the call came through; nil where it is not known here: the endpoint
	// is another account's, or there is none.
	Endpoint *iampolicy.Document
	API      iampolicy.Document
	// Identity are the caller's own policies; nil if the call is not signed.
	Identity []iampolicy.Document
	// Foreign is a caller of another account than the API's.
	Foreign bool
	Request iampolicy.Request
}

// Decide is what API Gateway decides with IAM authorization and without: an endpoint's policy goes before, then the
// API's, together with the caller's own where one signed (API Gateway Developer Guide, "Use VPC endpoint policies for
// private APIs" and "How resource policies affect authorization workflow", tables A and B).
func (c Call) Decide() (decision iampolicy.Decision, by string) {
	if c.Endpoint != nil {
		if decision := c.Endpoint.Decide(c.Request); decision != iampolicy.Allow {
			return decision, "VPC endpoint policy"
		}
	}
	api := []iampolicy.Document{c.API}
	switch alone := c.API.Decide(c.Request); {
	case c.Request.Principal.ARN == "" || alone == iampolicy.ExplicitDeny:
		return alone, "resource-based policy"
	case c.Foreign:
		return iampolicy.CrossAccount(c.Identity, api, c.Request), "identity-based or resource-based policy"
	}
	return iampolicy.SameAccount(c.Identity, api, c.Request), "identity-based policy"
}
