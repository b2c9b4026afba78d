package apigateway

import (
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

// saying is a policy that says "Allow" or "Deny" to an action or, with "", speaks of another one. whom is its Principal;
// a caller's own policies have none.
func saying(t *testing.T, effect, action, whom string) iampolicy.Document {
	t.Helper()
	if effect == "" {
		effect, action = "Allow", "s3:ListBucket"
	}
	parse, principal := iampolicy.ParseIdentity, ""
	if whom != "" {
		parse, principal = iampolicy.ParseResource, `"Principal":`+whom+`,`
	}
	document, err := parse(`{"Version":"2012-10-17","Statement":[{"Effect":"` + effect + `",` + principal + `"Action":"` + action + `","Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// A cell of AWS's tables A and B that is wrong here calls a policy safe that admits strangers on AWS, or broken one that
// works there; a wrong name sends its owner to the wrong policy. The endpoint's goes before and can only take away.
func TestWhoMayCallAnAPI(t *testing.T) {
	t.Parallel()
	const action, caller = "execute-api:Invoke", "arn:aws:iam::123456789012:user/app"
	const deny, neither, allow = iampolicy.ExplicitDeny, iampolicy.ImplicitDeny, iampolicy.Allow
	const everybody, named, account = `"*"`, `{"AWS":"` + caller + `"}`, `{"AWS":"arn:aws:iam::123456789012:root"}`
	for _, c := range []struct {
		own, api, whom      string             // the caller's own policy, and the API's
		same, other, nobody iampolicy.Decision // of callers of the API's account, of another account, and who did not sign
	}{
		{"Allow", "Allow", everybody, allow, allow, allow},
		{"Allow", "", everybody, allow, neither, neither},
		{"Allow", "Deny", everybody, deny, deny, deny},
		{"", "Allow", everybody, allow, neither, allow},
		{"", "", everybody, neither, neither, neither},
		{"", "Deny", everybody, deny, deny, deny},
		{"Deny", "Allow", everybody, deny, deny, allow},
		{"Deny", "", everybody, deny, deny, neither},
		{"Deny", "Deny", everybody, deny, deny, deny},
		{"", "Allow", named, allow, neither, neither},
		// An account that is named leaves it to its own policies.
		{"", "Allow", account, neither, neither, neither},
		{"Allow", "Allow", account, allow, allow, neither},
	} {
		signed := Call{
			API: saying(t, c.api, action, c.whom), Identity: []iampolicy.Document{saying(t, c.own, action, "")},
			Request: iampolicy.Request{
				Principal: iampolicy.Principal{ARN: caller}, Action: action, Resource: "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/api/POST/generate",
			},
		}
		foreign, unsigned := signed, signed
		foreign.Foreign = true
		unsigned.Request.Principal, unsigned.Identity = iampolicy.Principal{}, nil
		for _, who := range []struct {
			call Call
			want iampolicy.Decision
			by   string
		}{
			{signed, c.same, "identity-based policy"},
			{foreign, c.other, "identity-based or resource-based policy"},
			{unsigned, c.nobody, "resource-based policy"},
		} {
			if c.api == "Deny" {
				who.by = "resource-based policy"
			}
			expect := func(endpoint string, want iampolicy.Decision, by string) {
				t.Helper()
				if got, words := who.call.Decide(); got != want || words != by {
					t.Errorf("own %q, API %q to %s, endpoint %s: %v by %s, want %v by %s", c.own, c.api, c.whom, endpoint, got, words, want, by)
				}
			}
			expect("unknown", who.want, who.by)
			for effect, want := range map[string]iampolicy.Decision{"Allow": who.want, "": neither, "Deny": deny} {
				endpoint := saying(t, effect, action, everybody)
				who.call.Endpoint = &endpoint
				expect(effect, want, map[bool]string{true: who.by, false: "VPC endpoint policy"}[effect == "Allow"])
			}
		}
	}
}
