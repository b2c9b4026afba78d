package components

import (
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/models"
)

// Whoever brings an endpoint learns what its policy lacks, and not from a bare 403.
func TestMissingFrom(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::123456789012:role/example"
	called := []models.Model{{ARN: "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/jp.a.b", Routes: []string{"arn:aws:bedrock:ap-northeast-3::foundation-model/a.b"}}}
	api, err := apiEndpointPolicy("arn:aws:execute-api:ap-northeast-1:123456789012:abc123")
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := bedrockRuntimeEndpointPolicy(role, called, nil)
	if err != nil {
		t.Fatal(err)
	}
	control, err := bedrockEndpointPolicy(role)
	if err != nil {
		t.Fatal(err)
	}
	allow := func(principal, action, resource string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"` + action + `","Resource":"` + resource + `"}]}`
	}
	everything := strings.Replace(allow(`"*"`, "*", "*"), "2012", "2008", 1)
	for name, c := range map[string]struct {
		owners, needed string
		missing        int
	}{
		"AWS's full access, API":             {everything, api, 0},
		"AWS's full access, models":          {everything, runtime, 0},
		"AWS's full access, logging":         {everything, control, 0},
		"itself, API":                        {api, api, 0},
		"itself, models":                     {runtime, runtime, 0},
		"itself, logging":                    {control, control, 0},
		"another API":                        {strings.ReplaceAll(api, "abc123", "zzz999"), api, 1},
		"the profile without its models":     {allow(`"*"`, "bedrock:InvokeModel", called[0].ARN), runtime, 3},
		"another role":                       {strings.ReplaceAll(runtime, role, role+"2"), runtime, 4},
		"the role as principal":              {allow(`{"AWS":"`+role+`"}`, "bedrock:*", "*"), runtime, 0},
		"what is not understood here":        {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:*","Resource":"*"}]}`, api, 1},
		"models only, where logging is read": {allow(`"*"`, "bedrock:InvokeModel", "*"), control, 2},
	} {
		if missing, err := missingFrom(c.owners, c.needed); err != nil || len(missing) != c.missing {
			t.Errorf("%s: missing %q, %v, want %d", name, missing, err, c.missing)
		}
	}
}
