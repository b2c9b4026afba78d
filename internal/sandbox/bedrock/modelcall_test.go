package bedrock

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

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
		"a model":           {ModelCall{Model: tokyo}, []string{"Invoke " + tokyo + here}},
		"a model, guarded":  {ModelCall{Model: tokyo, Guardrail: guardrail, Version: "2"}, []string{"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + tokyo + here + guarded}},
		"a model of a tier": {ModelCall{Model: tokyo, tier: "flex"}, []string{"Invoke " + tokyo + here + " bedrock:ServiceTier=flex"}},
		"a guarded profile of a tier": {ModelCall{Model: profile, Routes: []string{tokyo}, Guardrail: guardrail, Version: "2", tier: "flex"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + profile + here + " bedrock:ServiceTier=flex", "Invoke " + tokyo + here + guarded + through + " bedrock:ServiceTier=flex",
		}},
		"a model, enforced": {ModelCall{Model: tokyo, enforced: guardrail}, []string{"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + tokyo + here}},
		"a profile, both guarded and enforced": {ModelCall{Model: profile, Routes: []string{tokyo}, Guardrail: guardrail, Version: "2", enforced: guardrail + "x"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "bedrock:ApplyGuardrail " + guardrail + "x" + here, "Invoke " + profile + here, "Invoke " + tokyo + here + guarded + through,
		}},
		"a profile":        {ModelCall{Model: profile, Routes: []string{tokyo, osaka}}, []string{"Invoke " + profile + here, "Invoke " + tokyo + here + through, "Invoke " + osaka + there + through}},
		"a global profile": {ModelCall{Model: profile, Routes: []string{nowhere, tokyo}}, []string{"Invoke " + profile + here, "Invoke " + nowhere + unspecified + through, "Invoke " + tokyo + here + through}},
		"a profile, guarded": {ModelCall{Model: profile, Routes: []string{osaka, tokyo}, Guardrail: guardrail, Version: "2"}, []string{
			"bedrock:ApplyGuardrail " + guardrail + here, "Invoke " + profile + here, "Invoke " + osaka + there + guarded + through, "Invoke " + tokyo + here + guarded + through,
		}},
	} {
		c.call.Action = "Invoke"
		var got []string
		for _, r := range c.call.Requests(map[string][]string{"aws:PrincipalArn": {"r"}}, "ap-northeast-1") {
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
