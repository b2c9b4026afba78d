package models

import (
	"fmt"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

var tokyo = iamdoc.Target{Account: "123456789012", Region: "ap-northeast-1", Partition: "aws"}

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
		got, err := New(tokyo, id, c.told, true)
		if err != nil || got.ARN != c.arn || fmt.Sprint(got.Routes) != fmt.Sprint(c.routes) {
			t.Errorf("%s: %+v, %v, want %s and %q", id, got, err, c.arn, c.routes)
		}
	}
}

// In AWS's other partitions every ARN begins otherwise: a policy that says arn:aws: admits nothing there.
func TestModelsOfAnotherPartition(t *testing.T) {
	t.Parallel()
	gov := iamdoc.Target{Account: "123456789012", Region: "us-gov-west-1", Partition: "aws-us-gov"}
	const provisioned = "bedrock:us-gov-west-1:123456789012:provisioned-model/a1b2c3d4e5f6"
	for id, want := range map[string]string{
		"a.b":                           "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b []",
		"us-gov.a.b":                    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/us-gov.a.b [told]",
		"global.a.b":                    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:inference-profile/global.a.b [arn:aws-us-gov:bedrock:::foundation-model/a.b arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b]",
		"arn:aws-us-gov:" + provisioned: "arn:aws-us-gov:" + provisioned + " []",
		"arn:aws:" + provisioned:        "",
	} {
		m, err := New(gov, id, []string{"told"}, true)
		if got := fmt.Sprint(m.ARN, " ", m.Routes); (err == nil) != (want != "") || err == nil && got != want {
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
		if got, err := New(tokyo, id, c.told, false); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), id) {
			t.Errorf("%q became %+v, %v, want %q", id, got, err, c.want)
		}
	}
	if err := Check("arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6", "", false); err != nil {
		t.Errorf("where the region is not known, any may be right: %v", err)
	}
}

// Any text may come from a stack's file: none may put a wildcard or a second resource into a policy.
func FuzzNewModel(f *testing.F) {
	for _, id := range []string{"anthropic.claude-haiku-4-5-20251001-v1:0", "global.a.b", "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/a1b2c3d4e5f6", "*", "a.b\",\"*"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		m, err := New(tokyo, id, []string{"arn:aws:bedrock:ap-northeast-1::foundation-model/a.b"}, true)
		if err != nil {
			return
		}
		for _, arn := range append([]string{m.ARN}, m.Routes...) {
			if strings.ContainsAny(arn, "*?$\"\\ ,") || !strings.HasPrefix(arn, "arn:aws:bedrock:") {
				t.Errorf("%q puts %q into policies", id, arn)
			}
		}
	})
}
