package components

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/models"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// A policy that is not the reviewed one, byte by byte, admits somebody nobody decided to admit.
func TestPolicies(t *testing.T) {
	t.Parallel()
	const account, region = "123456789012", "ap-northeast-1"
	logGroup := "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/example"
	to := iamdoc.Target{Account: account, Region: region, Partition: "aws"}
	of := func(ids ...string) (all []models.Model) {
		for _, id := range ids {
			var routes []string
			switch {
			case strings.HasPrefix(id, "jp."):
				routes = []string{"arn:aws:bedrock:ap-northeast-3::foundation-model/" + id[3:], "arn:aws:bedrock:ap-northeast-1::foundation-model/" + id[3:]}
			case strings.Contains(id, "application"):
				routes = []string{"arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-lite-v1:0"}
			}
			m, err := models.New(to, id, routes, true)
			if err != nil {
				t.Error(err)
			}
			all = append(all, m)
		}
		return all
	}
	haiku := of("anthropic.claude-haiku-4-5-20251001-v1:0")
	every := of("anthropic.claude-haiku-4-5-20251001-v1:0", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "global.anthropic.claude-sonnet-5",
		"arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/a1b2c3d4e5f6", "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/a1b2c3d4e5f6")
	guardrail := guardrailVersion{"arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze", "1"}
	enforced := []string{"arn:aws:bedrock:ap-northeast-1:999999999999:guardrail/abcdefghijkl:7"}
	const role = "arn:aws:iam::123456789012:role/example"
	for name, make := range map[string]func() (string, error){
		"api": func() (string, error) {
			return apiPolicy(to, []string{"vpce-0aaaaaaaaaaaaaaaa", "vpce-0bbbbbbbbbbbbbbbb"}, "NONE", nil)
		},
		"api-iam": func() (string, error) {
			return apiPolicy(to, []string{"vpce-0aaaaaaaaaaaaaaaa"}, "AWS_IAM", nil)
		},
		"api-iam-callers": func() (string, error) {
			return apiPolicy(to, []string{"vpce-0aaaaaaaaaaaaaaaa"}, "AWS_IAM", []string{"arn:aws:iam::123456789012:role/app", "arn:aws:iam::999999999999:root"})
		},
		"api-endpoint": func() (string, error) {
			return apiEndpointPolicy("arn:aws:execute-api:ap-northeast-1:123456789012:abc123")
		},
		"function": func() (string, error) {
			return functionPolicy(logGroup, "vpce-0cccccccccccccccc", "vpce-0dddddddddddddddd", haiku, guardrailVersion{}, nil, []string{"default"})
		},
		"function-every-model": func() (string, error) {
			return functionPolicy(logGroup, "vpce-0cccccccccccccccc", "vpce-0dddddddddddddddd", every, guardrail, enforced, []string{"flex", "reserved"})
		},
		"bedrock-runtime-endpoint": func() (string, error) { return bedrockRuntimeEndpointPolicy(role, haiku, nil) },
		"bedrock-runtime-endpoint-every-model": func() (string, error) {
			return bedrockRuntimeEndpointPolicy(role, every, applicableGuardrails(guardrail.arn, enforced))
		},
		"bedrock-endpoint":     func() (string, error) { return bedrockEndpointPolicy(role) },
		"ssm-endpoint":         func() (string, error) { return ssmEndpointPolicy(role, ssmActions) },
		"ssmmessages-endpoint": func() (string, error) { return ssmEndpointPolicy(role, ssmMessagesActions) },
		"log-delivery":         func() (string, error) { return logDeliveryPolicy(to, logGroup, "") },
		"log-delivery-key": func() (string, error) {
			return logDeliveryPolicy(to, logGroup, "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab")
		},
		"topic": func() (string, error) {
			return topicPolicy(to, "arn:aws:sns:ap-northeast-1:123456789012:example", "example-")
		},
		"topic-key": func() (string, error) { return topicKeyPolicy(to, "example-") },
		"log-key":   func() (string, error) { return logKeyPolicy(to, "/aws/bedrock/example") },
		"access-log-bucket": func() (string, error) {
			return accessLogBucketPolicy("arn:aws:s3:::example-access", "arn:aws:s3:::example", account)
		},
		"log-delivery-trust": func() (string, error) {
			return iamdoc.JSON(iamdoc.TrustForAccount("bedrock.amazonaws.com", account, to.ARN("bedrock", "*")))
		},
		"log-bucket": func() (string, error) {
			return logBucketPolicy(to, "arn:aws:s3:::example")
		},
		"log-mask":       logMaskPolicy,
		"results-bucket": func() (string, error) { return resultsBucketPolicy("arn:aws:s3:::example-results") },
		"audit-reader-trust": func() (string, error) {
			return iamdoc.JSON(auditReaderTrust([]string{role, "arn:aws:iam::999999999999:user/auditor"}))
		},
		"audit-reader": func() (string, error) {
			return auditReaderPolicy(to, auditedLog{bucket: "example", logGroup: "/aws/bedrock/example", accessLogGroup: "/aws/apigateway/example"})
		},
		"audit-reader-queries": func() (string, error) {
			return auditReaderPolicy(to, auditedLog{
				"example", "/aws/bedrock/example", "/aws/apigateway/example", "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
				&auditedQueries{"example_audit", "example-audit", "example-results"},
			})
		},
		"flow-log":       func() (string, error) { return flowLogPolicy(logGroup) },
		"ssm-client":     ssmClientPolicy,
		"function-trust": func() (string, error) { return iamdoc.JSON(iamdoc.Trust("lambda.amazonaws.com")) },
		"openapi": func() (string, error) {
			return apiDefinition("example", to, "arn:aws:lambda:ap-northeast-1:123456789012:function:example", "NONE", true)
		},
		"openapi-iam": func() (string, error) {
			return apiDefinition("example", to, "arn:aws:lambda:ap-northeast-1:123456789012:function:example", "AWS_IAM", false)
		},
		"access-log": accessLogFormat,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := make()
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", got)
		})
	}
}

// What the function's role may do whatever else the account attaches to it: an administrator's policy beside it adds nothing.
func TestFunctionRoleDeniesAllElse(t *testing.T) {
	t.Parallel()
	const region = "arn:aws:bedrock:ap-northeast-1:"
	own, enforced, other := region+"123456789012:guardrail/3o06191495ze", region+"999999999999:guardrail/abcdefghijkl", region+"123456789012:guardrail/mnopqrstuvwx"
	haiku := region + ":foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"
	code := map[string][]string{"lambda:SourceFunctionArn": {"arn:aws:lambda:ap-northeast-1:123456789012:function:f"}}
	tier := func(tier string) map[string][]string { return map[string][]string{"bedrock:ServiceTier": {tier}} }
	everything, err := iampolicy.ParseIdentity(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		action, resource string
		context          map[string][]string
		tiers            []string
		beside           bool // an administrator's policy
		want             iampolicy.Decision
	}{
		"reads what an s3Location names":            {"s3:GetObject", "arn:aws:s3:::b/x", nil, nil, true, iampolicy.ExplicitDeny},
		"assumes another role":                      {"sts:AssumeRole", "arn:aws:iam::123456789012:role/x", code, nil, true, iampolicy.ExplicitDeny},
		"reads the invocation log":                  {"logs:FilterLogEvents", "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/bedrock/x:*", code, nil, true, iampolicy.ExplicitDeny},
		"calls a model without a record":            {"bedrock:InvokeModelWithBidirectionalStream", haiku, code, nil, true, iampolicy.ExplicitDeny},
		"decrypts with the code":                    {"kms:Decrypt", "arn:aws:kms:ap-northeast-1:123456789012:key/k", code, nil, true, iampolicy.ExplicitDeny},
		"cannot start, for want of its environment": {"kms:Decrypt", "arn:aws:kms:ap-northeast-1:123456789012:key/k", nil, nil, true, iampolicy.Allow},
		"cannot apply its guardrail":                {"bedrock:ApplyGuardrail", own, code, nil, false, iampolicy.Allow},
		"cannot apply the enforced guardrail":       {"bedrock:ApplyGuardrail", enforced, code, nil, false, iampolicy.Allow},
		"applies another guardrail":                 {"bedrock:ApplyGuardrail", other, code, nil, false, iampolicy.ImplicitDeny},
		"cannot call without a tier":                {"bedrock:InvokeModel", haiku, nil, []string{"default"}, true, iampolicy.Allow},
		"cannot name the tier that it may use":      {"bedrock:InvokeModel", haiku, tier("default"), []string{"default"}, true, iampolicy.Allow},
		"takes the dearer tier":                     {"bedrock:InvokeModel", haiku, tier("priority"), []string{"default"}, true, iampolicy.ExplicitDeny},
		"streams in the dearer tier":                {"bedrock:InvokeModelWithResponseStream", haiku, tier("priority"), []string{"default"}, true, iampolicy.ExplicitDeny},
		"takes a tier that AWS adds":                {"bedrock:InvokeModel", haiku, tier("express"), []string{"default", "flex"}, true, iampolicy.ExplicitDeny},
		"cannot use the second of its tiers":        {"bedrock:InvokeModel", haiku, tier("flex"), []string{"default", "flex"}, true, iampolicy.Allow},
		"takes default unnamed where it is not its": {"bedrock:InvokeModel", haiku, nil, []string{"reserved"}, true, iampolicy.ExplicitDeny},
		"cannot use reserved capacity and no other": {"bedrock:InvokeModel", haiku, tier("reserved"), []string{"reserved"}, true, iampolicy.Allow},
	} {
		guardrail := guardrailVersion{own, "1"}
		if c.tiers != nil {
			guardrail = guardrailVersion{} // of which no row of a tier is
		} else {
			c.tiers = []string{"default"}
		}
		document, err := functionPolicy("arn:aws:logs:ap-northeast-1:123456789012:log-group:x", "vpce-1", "vpce-2", []models.Model{{ARN: haiku}}, guardrail, []string{enforced + ":7"}, c.tiers)
		if err != nil {
			t.Fatal(err)
		}
		role, err := iampolicy.ParseIdentity(document)
		if err != nil {
			t.Fatal(err)
		}
		attached := []iampolicy.Document{role}
		if c.beside {
			attached = append(attached, everything)
		}
		if got := iampolicy.SameAccount(attached, nil, iampolicy.Request{Action: c.action, Resource: c.resource, Context: c.context}); got != c.want {
			t.Errorf("the function %s: got %v, want %v", name, got, c.want)
		}
	}
}

// A Deny without endpoints is one of AWS's unwritten rules: nobody may find out.
func TestApiPolicyWantsEndpoints(t *testing.T) {
	t.Parallel()
	for _, ids := range [][]string{nil, {}, {""}, {"vpce-1", ""}} {
		if policy, err := apiPolicy(iamdoc.Target{Account: "123456789012", Region: "ap-northeast-1", Partition: "aws"}, ids, "NONE", nil); err == nil {
			t.Errorf("%q made %s", ids, policy)
		}
	}
}

// A caller who is not written as IAM names one is nobody, or somebody who was not meant.
func TestCheckAuthorization(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ authorization, caller, want string }{
		{"NONE", "", ""},
		{"AWS_IAM", "", ""},
		{"", "", "want NONE or AWS_IAM"},
		{"NONE", "arn:aws:iam::123456789012:role/app", "without AWS_IAM"},
		{"AWS_IAM", "arn:aws:iam::123456789012:role/team/app", ""},
		{"AWS_IAM", "arn:aws:iam::123456789012:user/ana@example.com", ""},
		{"AWS_IAM", "arn:aws-cn:iam::123456789012:root", ""},
		{"AWS_IAM", "*", `got "*"`},
		{"AWS_IAM", "123456789012", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::123456789012:role/*", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::123456789012:role/app *", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::123456789012:rooted", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::12345678901:root", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::123456789012:group/team", "want the ARN"},
		{"AWS_IAM", "arn:aws:iam::123456789012:assumed-role/app/session", "want the ARN"},
		{"AWS_IAM", "arn:aws:sts::123456789012:role/app", "want the ARN"},
	} {
		var callers []string
		if c.caller != "" {
			callers = []string{c.caller}
		}
		if err := CheckAuthorization(c.authorization, callers); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: %v, want %q", c.authorization, c.caller, err, c.want)
		}
	}
}

// IAM refuses a policy that is too long in the middle of a deployment; one that it takes must not be refused here.
func TestTooManyModels(t *testing.T) {
	t.Parallel()
	policy := func(padding int) (string, error) {
		m := models.Model{ARN: "arn:aws:bedrock:ap-northeast-1::foundation-model/" + strings.Repeat("a", padding)}
		return functionPolicy("arn:aws:logs:ap-northeast-1:123456789012:log-group:x", "vpce-1", "vpce-2", []models.Model{m}, guardrailVersion{}, nil, []string{"default"})
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
		return bedrockRuntimeEndpointPolicy("arn:aws:iam::123456789012:role/x", []models.Model{{ARN: strings.Repeat("a", padding)}}, nil)
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

// An editor of a guardrail's draft can remove its filters without a deployment.
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

// golden compares with a file under testdata; go test ./components -update writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got+"\n" != string(want) {
		t.Errorf("differs from %s:\n%s", path, got)
	}
}
