package sandbox

import (
	"maps"
	"slices"
	"strings"
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
		signed := apiCall{
			api: saying(t, c.api, action, c.whom), identity: []iampolicy.Document{saying(t, c.own, action, "")},
			request: iampolicy.Request{
				Principal: iampolicy.Principal{ARN: caller}, Action: action, Resource: "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/api/POST/generate",
			},
		}
		foreign, unsigned := signed, signed
		foreign.foreign = true
		unsigned.request.Principal, unsigned.identity = iampolicy.Principal{}, nil
		for _, who := range []struct {
			call apiCall
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
				if got, words := who.call.decide(); got != want || words != by {
					t.Errorf("own %q, API %q to %s, endpoint %s: %v by %s, want %v by %s", c.own, c.api, c.whom, endpoint, got, words, want, by)
				}
			}
			expect("unknown", who.want, who.by)
			for effect, want := range map[string]iampolicy.Decision{"Allow": who.want, "": neither, "Deny": deny} {
				endpoint := saying(t, effect, action, everybody)
				who.call.endpoint = &endpoint
				expect(effect, want, map[bool]string{true: who.by, false: "VPC endpoint policy"}[effect == "Allow"])
			}
		}
	}
}

// One request too few, or one key too few on it, admits a model, a region or a call without the guardrail that AWS
// refuses; one too many refuses what works there.
func TestWhatIAMIsAskedOfAModelCall(t *testing.T) {
	t.Parallel()
	const (
		tokyo, osaka = "arn:aws:bedrock:ap-northeast-1::foundation-model/a.b", "arn:aws:bedrock:ap-northeast-3::foundation-model/a.b"
		nowhere      = "arn:aws:bedrock:::foundation-model/a.b"
		profile      = "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/jp.a.b"
		guardrail    = "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/g"
		here         = " aws:PrincipalArn=r aws:RequestedRegion=ap-northeast-1 aws:SecureTransport=true"
		there        = " aws:PrincipalArn=r aws:RequestedRegion=ap-northeast-3 aws:SecureTransport=true"
		unspecified  = " aws:PrincipalArn=r aws:RequestedRegion=unspecified aws:SecureTransport=true"
		guarded      = " bedrock:GuardrailIdentifier=" + guardrail + ":2"
		through      = " bedrock:InferenceProfileArn=" + profile
	)
	for name, c := range map[string]struct {
		call ModelCall
		want []string
	}{
		"a model":           {ModelCall{model: tokyo}, []string{"Invoke " + tokyo + here}},
		"a model, guarded":  {ModelCall{model: tokyo, guardrail: guardrail, version: "2"}, []string{"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + tokyo + here + guarded}},
		"a model of a tier": {ModelCall{model: tokyo, tier: "flex"}, []string{"Invoke " + tokyo + here + " bedrock:ServiceTier=flex"}},
		"a guarded profile of a tier": {ModelCall{model: profile, routes: []string{tokyo}, guardrail: guardrail, version: "2", tier: "flex"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + profile + here + " bedrock:ServiceTier=flex", "Invoke " + tokyo + here + guarded + through + " bedrock:ServiceTier=flex",
		}},
		"a model, enforced": {ModelCall{model: tokyo, enforced: guardrail}, []string{"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + tokyo + here}},
		"a profile, both guarded and enforced": {ModelCall{model: profile, routes: []string{tokyo}, guardrail: guardrail, version: "2", enforced: guardrail + "x"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "bedrock:ApplyGuardrail " + guardrail + "x" + here, "Invoke " + profile + here, "Invoke " + tokyo + here + guarded + through,
		}},
		"a profile":        {ModelCall{model: profile, routes: []string{tokyo, osaka}}, []string{"Invoke " + profile + here, "Invoke " + tokyo + here + through, "Invoke " + osaka + there + through}},
		"a global profile": {ModelCall{model: profile, routes: []string{nowhere, tokyo}}, []string{"Invoke " + profile + here, "Invoke " + nowhere + unspecified + through, "Invoke " + tokyo + here + through}},
		"a profile, guarded": {ModelCall{model: profile, routes: []string{osaka, tokyo}, guardrail: guardrail, version: "2"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + profile + here, "Invoke " + osaka + there + guarded + through, "Invoke " + tokyo + here + guarded + through,
		}},
	} {
		c.call.action = "Invoke"
		var got []string
		for _, r := range c.call.requests(map[string][]string{"aws:PrincipalArn": {"r"}}, "ap-northeast-1") {
			line := r.Action + " " + r.Resource
			for _, key := range slices.Sorted(maps.Keys(r.Context)) {
				line += " " + key + "=" + strings.Join(r.Context[key], ",")
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

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
		both := func(effect, whom string) iampolicy.Document {
			document := saying(t, "Allow", first, whom)
			document.Statements = append(document.Statements, saying(t, effect, second, whom).Statements...)
			return document
		}
		var endpoint *iampolicy.Document
		if c.endpoint != "none" {
			document := both(c.endpoint, `"*"`)
			endpoint = &document
		}
		err := allowed([]iampolicy.Request{{Action: first, Resource: "g"}, {Action: second, Resource: "m"}}, []iampolicy.Document{both(c.role, "")}, endpoint)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("role %q, endpoint %q: %v, want %q", c.role, c.endpoint, err, c.want)
		}
	}
}
