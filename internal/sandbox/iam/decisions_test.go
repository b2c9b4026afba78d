package iam

import (
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// A role's policy and its endpoint's must both allow each request, and a refusal names the one to mend.
func TestModelCallAllowed(t *testing.T) {
	t.Parallel()
	const first, second = "bedrock:ApplyGuardrail", "bedrock:InvokeModel"
	refused := func(words string) string {
		return "is not authorized to perform: " + second + " on resource: m " + words
	}
	for _, c := range []struct{ role, endpoint, want string }{
		{"Allow", "none", ""},
		{"Allow", "Allow", ""},
		{"", "none", refused("because no identity-based policy allows the bedrock:InvokeModel action")},
		{"", "Allow", refused("because no identity-based policy allows the bedrock:InvokeModel action")},
		{"Deny", "Allow", refused("with an explicit deny in an identity-based policy")},
		{"Allow", "", refused("because no VPC endpoint policy allows the bedrock:InvokeModel action")},
		{"Allow", "Deny", refused("with an explicit deny in a VPC endpoint policy")},
		{"Deny", "Deny", refused("with an explicit deny in an identity-based policy")},
	} {
		both := func(parse func(string) (iampolicy.Document, error), principal, effect string) iampolicy.Document {
			action := second
			if effect == "" { // speaks of another action
				effect, action = "Allow", "s3:ListBucket"
			}
			document, err := parse(`{"Version":"2012-10-17","Statement":[
				{"Effect":"Allow",` + principal + `"Action":"` + first + `","Resource":"*"},{"Effect":"` + effect + `",` + principal + `"Action":"` + action + `","Resource":"*"}]}`)
			if err != nil {
				t.Fatal(err)
			}
			return document
		}
		var endpoint *iampolicy.Document
		if c.endpoint != "none" {
			document := both(iampolicy.ParseResource, `"Principal":"*",`, c.endpoint)
			endpoint = &document
		}
		err := Allowed([]iampolicy.Request{{Action: first, Resource: "g"}, {Action: second, Resource: "m"}}, []iampolicy.Document{both(iampolicy.ParseIdentity, "", c.role)}, endpoint)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("role %q, endpoint %q: %v, want %q", c.role, c.endpoint, err, c.want)
		}
	}
}
