package components

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

var tokyo = target{"123456789012", "ap-northeast-1", "aws"}

// Every form of a model's id becomes exactly the ARNs that AWS checks: one too few denies calls, one too many admits
// a model, a region or a way to it that nobody decided to admit.
func TestNewModel(t *testing.T) {
	t.Parallel()
	fm := func(region, id string) string { return "arn:aws:bedrock:" + region + "::foundation-model/" + id }
	own := "arn:aws:bedrock:ap-northeast-1:123456789012:"
	const haiku = "anthropic.claude-haiku-4-5-20251001-v1:0"
	for id, c := range map[string]struct {
		told, routes []string // by AWS, and wanted
		arn          string
	}{
		haiku:                                  {arn: fm("ap-northeast-1", haiku)},
		"zai.glm-4.7":                          {arn: fm("ap-northeast-1", "zai.glm-4.7")},
		"amazon.nova-lite-v1:0:300k":           {arn: fm("ap-northeast-1", "amazon.nova-lite-v1:0:300k")},
		own + "provisioned-model/a1b2c3d4e5f6": {arn: own + "provisioned-model/a1b2c3d4e5f6"},
		"jp." + haiku: {
			told: []string{fm("ap-northeast-3", haiku), fm("ap-northeast-1", haiku)}, routes: []string{fm("ap-northeast-1", haiku), fm("ap-northeast-3", haiku)},
			arn: own + "inference-profile/jp." + haiku,
		},
		"us." + haiku:    {told: []string{fm("us-east-1", haiku)}, routes: []string{fm("us-east-1", haiku)}, arn: own + "inference-profile/us." + haiku},
		"us.zai.glm-4.7": {told: []string{fm("us-east-1", "zai.glm-4.7")}, routes: []string{fm("us-east-1", "zai.glm-4.7")}, arn: own + "inference-profile/us.zai.glm-4.7"},
		"ca." + haiku:    {told: []string{fm("ca-central-1", haiku)}, routes: []string{fm("ca-central-1", haiku)}, arn: own + "inference-profile/ca." + haiku},
		"eu." + haiku:    {told: []string{fm("eu-west-1", haiku)}, routes: []string{fm("eu-west-1", haiku)}, arn: own + "inference-profile/eu." + haiku},
		"apac." + haiku:  {told: []string{fm("ap-south-1", haiku)}, routes: []string{fm("ap-south-1", haiku)}, arn: own + "inference-profile/apac." + haiku},
		"au." + haiku:    {told: []string{fm("ap-southeast-2", haiku)}, routes: []string{fm("ap-southeast-2", haiku)}, arn: own + "inference-profile/au." + haiku},
		// Whatever AWS lists: its documentation wants these two.
		"global." + haiku: {told: []string{fm("us-east-1", haiku)}, routes: []string{fm("", haiku), fm("ap-northeast-1", haiku)}, arn: own + "inference-profile/global." + haiku},
		own + "application-inference-profile/a1b2c3d4e5f6": {
			told: []string{fm("ap-northeast-1", haiku)}, routes: []string{fm("ap-northeast-1", haiku)}, arn: own + "application-inference-profile/a1b2c3d4e5f6",
		},
	} {
		got, err := newModel(tokyo, id, c.told, true)
		if err != nil || got.arn != c.arn || fmt.Sprint(got.routes) != fmt.Sprint(c.routes) {
			t.Errorf("%s: %+v, %v, want %s and %q", id, got, err, c.arn, c.routes)
		}
	}
}

// In AWS's other partitions every ARN begins otherwise: a policy that says arn:aws: admits nothing there.
func TestModelsOfAnotherPartition(t *testing.T) {
	t.Parallel()
	gov := target{"123456789012", "us-gov-west-1", "aws-us-gov"}
	const provisioned = "bedrock:us-gov-west-1:123456789012:provisioned-model/a1b2c3d4e5f6"
	for id, want := range map[string]string{
		"a.b":                           "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b []",
		"us-gov.a.b":                    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.a.b [told]",
		"global.a.b":                    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/global.a.b [arn:aws-us-gov:bedrock:::foundation-model/a.b arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b]",
		"arn:aws-us-gov:" + provisioned: "arn:aws-us-gov:" + provisioned + " []",
		"arn:aws:" + provisioned:        "",
	} {
		m, err := newModel(gov, id, []string{"told"}, true)
		if got := fmt.Sprint(m.arn, " ", m.routes); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%s: %s, %v, want %s", id, got, err, want)
		}
	}
}

// What is no model of this stack's is refused at preview: a wildcard here would be one in the policies.
func TestModelsRefused(t *testing.T) {
	t.Parallel()
	own := "arn:aws:bedrock:ap-northeast-1:123456789012:"
	global := []string{"arn:aws:bedrock:::foundation-model/amazon.nova-lite-v1:0"}
	for id, c := range map[string]struct {
		told []string
		want string
	}{
		"": {nil, "want the id"}, "*": {nil, "want the id"}, "anthropic.*": {nil, "want the id"}, "anthropic": {nil, "want the id"},
		"anthropic.claude v2": {nil, "want the id"}, "Anthropic.Claude": {nil, "want the id"}, "a.b,c.d": {nil, "want the id"},
		own + "foundation-model/amazon.nova-lite-v1:0":                                            {nil, "want the id"},
		own + "inference-profile/jp.amazon.nova-lite-v1:0":                                        {nil, "want the id"},
		own + "provisioned-model/a1b2c3d4e5f6x":                                                   {nil, "want the id"},
		own + "provisioned-model/*":                                                               {nil, "want the id"},
		"arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6":                   {nil, "region ap-northeast-1"},
		"arn:aws:bedrock:ap-northeast-1:999999999999:provisioned-model/a1b2c3d4e5f6":              {nil, "account 123456789012"},
		"arn:aws-cn:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1b2c3d4e5": {nil, "want the id"},
		"global.amazon.nova-lite-v1:0":                                                            {global, "allowGlobalInference"},
		own + "application-inference-profile/a1b2c3d4e5f6":                                        {global, "allowGlobalInference"},
		"jp.amazon.nova-lite-v1:0":                                                                {nil, "routes to no model"},
	} {
		if got, err := newModel(tokyo, id, c.told, false); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), id) {
			t.Errorf("%q became %+v, %v, want %q", id, got, err, c.want)
		}
	}
	if err := CheckModelId("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6", "", false); err != nil {
		t.Errorf("where the region is not known, any may be right: %v", err)
	}
}

// Any text may come from a stack's file: none may put a wildcard or a second resource into a policy.
func FuzzNewModel(f *testing.F) {
	for _, id := range []string{"anthropic.claude-haiku-4-5-20251001-v1:0", "global.a.b", "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/a1b2c3d4e5f6", "*", "a.b\",\"*"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		m, err := newModel(tokyo, id, []string{"arn:aws:bedrock:ap-northeast-1::foundation-model/a.b"}, true)
		if err != nil {
			return
		}
		for _, arn := range append([]string{m.arn}, m.routes...) {
			if strings.ContainsAny(arn, "*?$\"\\ ,") || !strings.HasPrefix(arn, "arn:aws:bedrock:") {
				t.Errorf("%q puts %q into policies", id, arn)
			}
		}
	})
}

// A draft can be emptied by whoever may edit it, without anybody's deploying.
func TestCheckGuardrail(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"3o06191495ze", "12"}, {strings.Repeat("a", 64), "99999999"}} {
		if err := CheckGuardrail(c[0], c[1]); err != nil {
			t.Error(err)
		}
	}
	for _, c := range [][2]string{{strings.Repeat("a", 65), "1"}, {"3o06191495ze", "100000000"}, {"3o06191495ze:1", "1"}, {"", "1"}, {"3o06191495ze", "DRAFT"}, {"3o06191495ze", "0"}, {"3o06191495ze", ""}, {"*", "1"}, {"arn:aws:bedrock:x", "1"}} {
		if CheckGuardrail(c[0], c[1]) == nil {
			t.Errorf("%q is taken", c)
		}
	}
}

// IAM refuses a policy that is too long in the middle of a deployment; one that it takes must not be refused here.
func TestTooManyModels(t *testing.T) {
	t.Parallel()
	policy := func(padding int) (string, error) {
		m := model{arn: "arn:aws:bedrock:ap-northeast-1::foundation-model/" + strings.Repeat("a", padding)}
		return functionPolicy("arn:aws:logs:ap-northeast-1:123456789012:log-group:x", "vpce-1", "vpce-2", []model{m}, guardrailVersion{}, nil, []string{"default"})
	}
	short, err := policy(0)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(short)); err != nil {
		t.Fatal(err)
	}
	if _, err := policy(10_240 - compact.Len()); err != nil {
		t.Error(err)
	}
	if _, err := policy(10_241 - compact.Len()); err == nil || !strings.Contains(err.Error(), "10241 characters") || !strings.Contains(err.Error(), "fewer models") {
		t.Errorf("error = %v", err)
	}

	endpoint := func(padding int) (string, error) {
		return bedrockRuntimeEndpointPolicy("arn:aws:iam::123456789012:role/x", []model{{arn: strings.Repeat("a", padding)}}, nil)
	}
	if short, err = endpoint(0); err != nil {
		t.Fatal(err)
	}
	if _, err := endpoint(20_480 - len(short)); err != nil {
		t.Error(err)
	}
	if _, err := endpoint(20_481 - len(short)); err == nil || !strings.Contains(err.Error(), "20481 characters") {
		t.Errorf("error = %v", err)
	}
}
