package main

import (
	"strings"
	"testing"
)

// get answers with the prod stack's settings, and overrides over them.
func get(t testing.TB, overrides map[string]string) func(string) string {
	values := stackConfig(t, "prod", overrides)
	return func(name string) string { return values["private-bedrock:"+name] }
}

func TestLoadSettings(t *testing.T) {
	t.Parallel()
	s, err := loadSettings(get(t, nil), "prod", "ap-northeast-1")
	if err != nil {
		t.Fatal(err)
	}
	if s.name() != "bedrock-app-prod" || len(s.ModelIds) != 1 || !s.RetainLogs || !s.ManageInvocationLogging || s.SsmClient {
		t.Errorf("settings = %+v", s)
	}
}

// A lock that contradicts destroy or expiry cannot be taken back; one of two guardrails would be ignored; a name that is too long fails after the VPC was made; a client in somebody
// else's VPC would take its other instances' way in. What is right is taken.
func TestSettingsTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		overrides map[string]string
		want      string
	}{
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "99999999"}, ""},
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "1", "guardrailBlockedWords": `["x"]`}, "one or the other"},
		{map[string]string{"vpcId": "vpc-0123456789abcdef0", "subnetIds": `["subnet-0123456789abcdef0"]`, "ssmClient": "true"}, "would lose Session Manager"},
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "1", "guardrailContentFilters": `["HATE"]`}, "one or the other"},
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "1", "guardrailPiiEntities": `["EMAIL"]`}, "one or the other"},
		{map[string]string{"systemName": strings.Repeat("a", 32)}, ""},
		{map[string]string{"systemName": strings.Repeat("a", 33)}, "at most 37"},
		{map[string]string{"environment": "production-ap-northeast-1"}, ""},
		{map[string]string{"environment": "production-ap-northeast-1a"}, "at most 37"},
		{map[string]string{"objectLockMode": "COMPLIANCE", "objectLockDays": "36500"}, ""},
		{map[string]string{"objectLockMode": "COMPLIANCE", "objectLockDays": "30", "retainLogs": "false"}, "root user"},
		{map[string]string{"objectLockMode": "GOVERNANCE", "objectLockDays": "30", "retainLogs": "false"}, ""},
		{map[string]string{"objectLockMode": "GOVERNANCE", "objectLockDays": "731", "expireAfterDays": "730"}, "no earlier"},
		{map[string]string{"alarmEmail": "oncall@example.com", "monitoring": "false"}, "so no alarm is sent"},
		{map[string]string{"archiveStorageClass": "STANDARD", "expireAfterDays": "30"}, ""},
		{map[string]string{"archiveStorageClass": "STANDARD_IA", "archiveAfterDays": "29"}, "30 or more"},
	} {
		if _, err := loadSettings(get(t, c.overrides), "prod", "ap-northeast-1"); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.overrides, err, c.want)
		}
	}
}

// A wrong setting that is accepted fails the deployment half-way; one that is refused without a word about what would
// do costs its owner an afternoon.
func TestWrongSettings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 43)
	for _, c := range []struct{ name, value, want string }{
		{"vpcCidr", "ten", "IPv4 range"},
		{"vpcCidr", "", "Pulumi.yaml has the default"},
		{"vpcCidr", "10.0.0.0/8", "/16 to /24"},
		{"vpcCidr", "10.0.0.0/28", "/16 to /24"},
		{"vpcCidr", "10.0.0.1/16", "want 10.0.0.0/16"},
		{"vpcCidr", "8.8.0.0/16", "private range"},
		{"vpcCidr", "192.168.5.0/24", "holds 1 to 8 subnets"},
		{"availabilityZones", `["tokyo"]`, "ap-northeast-1a"},
		{"availabilityZones", `[""]`, "ap-northeast-1a"},
		{"availabilityZones", `["ap-northeast-1"]`, "ap-northeast-1a"},
		{"availabilityZones", `["us-east-1a"]`, "aws:region"},
		{"availabilityZones", `["ap-northeast-1a","ap-northeast-1a"]`, "twice"},
		{"availabilityZones", `"ap-northeast-1a"`, "list"},
		{"modelIds", `[]`, "at least one"},
		{"modelIds", `[""]`, "foundation model"},
		{"modelIds", `["*"]`, "foundation model"},
		{"modelIds", `["Claude v2"]`, "foundation model"},
		{"modelIds", `["global.anthropic.claude-sonnet-5"]`, "allowGlobalInference"},
		{"modelIds", `["arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6"]`, "region ap-northeast-1"},
		{"allowGlobalInference", "yes", "true or false"},
		{"monitoring", "on", "true or false"},
		{"alarmEmail", "oncall", "oncall@example.com"},
		{"vpcId", "vpc-1", "vpc-0123456789abcdef0"},
		{"vpcId", "vpc-0123456789abcdef0", "private subnets"},
		{"subnetIds", `["subnet-0123456789abcdef0"]`, "want their VPC"},
		{"executeApiEndpointId", "vpce-0123456789abcdef0", "want their VPC"},
		{"bedrockRuntimeEndpointId", "x", `got "x"`},
		{"bedrockEndpointId", "x", `got "x"`},
		{"guardrailId", "3o06191495ze", "published version"},
		{"guardrailVersion", "3", "a guardrail id"},
		{"guardrailVersion", "DRAFT", "whole number"},
		{"guardrailVersion", "-1", "0 to 99999999"},
		{"guardrailVersion", "100000000", "0 to 99999999"},
		{"guardrailContentFilters", `["LOVE"]`, "VIOLENCE"},
		{"guardrailBlockedWords", "x", "list"},
		{"guardrailPiiEntities", "x", "list"},
		{"guardrailPiiEntities", `["e-mail"]`, "EMAIL"},
		{"enforcedGuardrailArns", `["3o06191495ze"]`, "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze"},
		{"enforcedGuardrailArns", `["*"]`, "the ARN of a guardrail"},
		{"enforcedGuardrailArns", `["arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/*"]`, "the ARN of a guardrail"},
		{"enforcedGuardrailArns", `["arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze:DRAFT"]`, "the ARN of a guardrail"},
		{"enforcedGuardrailArns", `["arn:aws:bedrock:us-east-1:123456789012:guardrail/3o06191495ze"]`, "region ap-northeast-1"},
		{"allowUnevaluatedTools", "yes", "true or false"},
		{"dataRetentionModes", `[]`, "at least one"},
		{"dataRetentionModes", `["NONE"]`, "provider_data_share"},
		{"dataRetentionModes", `["none","none"]`, "each once"},
		{"dataRetentionModes", "none", "list"},
		{"serviceTiers", `[]`, "at least one"},
		{"serviceTiers", `["fast"]`, "priority"},
		{"serviceTiers", `["*"]`, "priority"},
		{"serviceTiers", "flex", "list"},
		{"reservedConcurrency", "-1", "whole number"},
		{"reservedConcurrency", "none", "whole number"},
		{"authorization", "COGNITO", "NONE or AWS_IAM"},
		{"authorization", "", "Pulumi.yaml has the default"},
		{"callerArns", `["arn:aws:iam::123456789012:role/app"]`, "without AWS_IAM"},
		{"callerArns", `["*"]`, "arn:aws:iam::123456789012:role/app"},
		{"modelIds", `["amazon.nova-lite-v1:0","amazon.nova-lite-v1:0"]`, "twice"},
		{"modelIds", `7`, "list"},
		{"consumerVpcEndpointIds", `["vpce-1"]`, "vpce-0123456789abcdef0"},
		{"consumerVpcEndpointIds", `["*"]`, "vpce-0123456789abcdef0"},
		{"consumerVpcEndpointIds", `[""]`, "vpce-0123456789abcdef0"},
		{"consumerVpcEndpointIds", `["vpce-0123456789abcdef0","vpce-0123456789abcdef0"]`, "twice"},
		{"logRetentionDays", "91", "CloudWatch Logs offers"},
		{"logRetentionDays", "-1", "whole number"},
		{"logRetentionDays", "0", "whole number"},
		{"logRetentionDays", "ninety", "whole number"},
		{"customerManagedKey", "yes", "true or false"},
		{"archiveAfterDays", "0", "1 to 36500"},
		{"archiveAfterDays", "ninety", "whole number"},
		{"archiveStorageClass", "ONEZONE_IA", "DEEP_ARCHIVE"},
		{"archiveStorageClass", "", "Pulumi.yaml has the default"},
		{"expireAfterDays", "-1", "0 to 36500"},
		{"expireAfterDays", "365", "want expiry later"},
		{"objectLockMode", "LEGAL_HOLD", "GOVERNANCE or COMPLIANCE"},
		{"objectLockMode", "GOVERNANCE", "1 to 36500 days"},
		{"objectLockMode", "", "Pulumi.yaml has the default"},
		{"objectLockDays", "30", "without a mode"},
		{"objectLockDays", "36501", "0 to 36500"},
		{"stageName", "a/b", "letters, digits"},
		{"stageName", "", "Pulumi.yaml has the default"},
		{"stageName", strings.Repeat("s", 129), "128"},
		{"systemName", "Bedrock", "lower-case"},
		{"systemName", "bedrock_app", "lower-case"},
		{"systemName", "-bedrock", "lower-case"},
		{"systemName", "9bedrock", "lower-case"},
		{"systemName", "bedrock-", "lower-case"},
		{"systemName", long, "too long"},
		{"systemName", "sg", "sg-"},
		{"systemName", "xn-", "lower-case"},
		{"systemName", "sthree", "AWS reserves"},
		{"systemName", "", "Pulumi.yaml has the default"},
		{"environment", "Prod", "lower-case"},
		{"environment", "a.b", "lower-case"},
		{"throttlingRateLimit", "-10", "1 to 10000"},
		{"throttlingRateLimit", "0", "1 to 10000"},
		{"throttlingRateLimit", "10001", "1 to 10000"},
		{"throttlingRateLimit", "1.5", "whole number"},
		{"throttlingBurstLimit", "-1", "1 to 5000"},
		{"functionMemoryMb", "-128", "128 to 10240"},
		{"functionMemoryMb", "64", "128 to 10240"},
		{"functionArchitecture", "sparc", "arm64 or x86_64"},
		{"manageInvocationLogging", "yes", "true or false"},
		{"manageApiGatewayAccount", "", "true or false"},
		{"auditQueries", "yes", "true or false"},
		{"auditorArns", `["*"]`, "arn:aws:iam::123456789012:role/auditor"},
		{"auditorArns", `["arn:aws:iam::123456789012:root"]`, "a role or a user"},
		{"auditorArns", `["arn:aws:iam::123456789012:role/*"]`, "a role or a user"},
		{"auditorArns", `["arn:aws:iam::123456789012:user/a","arn:aws:iam::123456789012:user/a"]`, "twice"},
		{"ssmClient", "1", "true or false"},
		{"retainLogs", "no", "true or false"},
	} {
		overrides := map[string]string{c.name: c.value}
		if c.value == "192.168.5.0/24" {
			overrides["availabilityZones"] = `["ap-northeast-1i"]`
		}
		_, err := loadSettings(get(t, overrides), "prod", "ap-northeast-1")
		if err == nil {
			t.Errorf("%s: %q was accepted", c.name, c.value)
			continue
		}
		if c.name != "vpcCidr" && strings.Contains(err.Error(), "vpcCidr:") {
			t.Errorf("%s: %q: vpcCidr is blamed: %v", c.name, c.value, err)
		}
		plain := strings.Trim(strings.Split(strings.Trim(c.value, `[]"`), `"`)[0], `"`)
		for _, want := range []string{c.name, plain, c.want} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q: error = %q, want it to hold %q", c.name, c.value, err, want)
			}
		}
		if n := len(strings.Split(err.Error(), "\n")); n > 2 {
			t.Errorf("%s: %q: %d mistakes are reported for one:\n%v", c.name, c.value, n, err)
		}
	}
}

// A role that reads another stack's log, of which this one knows nothing, would be a promise that nothing keeps.
func TestAuditorsOfAnothersLog(t *testing.T) {
	t.Parallel()
	_, err := loadSettings(get(t, map[string]string{"auditorArns": `["arn:aws:iam::123456789012:role/auditor"]`, "manageInvocationLogging": "false"}), "prod", "")
	if err == nil || !strings.Contains(err.Error(), "auditorArns: got") || !strings.Contains(err.Error(), "beside manageInvocationLogging false") {
		t.Errorf("error = %v", err)
	}
}

// A stack's own name, which has other rules than AWS's names, must not get through unchecked.
func TestStackNameAsEnvironment(t *testing.T) {
	t.Parallel()
	if _, err := loadSettings(get(t, nil), "Prod_1", ""); err == nil || !strings.Contains(err.Error(), `environment: got "Prod_1"`) {
		t.Errorf("error = %v", err)
	}
}

// Whoever mends one mistake only to meet the next needs a deployment for each.
func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	_, err := loadSettings(func(string) string { return "?" }, "prod", "")
	for _, name := range []string{"systemName", "environment", "vpcCidr", "availabilityZones", "subnetIds", "bedrockEndpointId", "modelIds", "allowGlobalInference",
		"guardrailVersion", "guardrailContentFilters", "guardrailBlockedWords", "guardrailPiiEntities", "enforcedGuardrailArns", "allowUnevaluatedTools", "dataRetentionModes", "serviceTiers", "reservedConcurrency", "callerArns", "stageName", "consumerVpcEndpointIds", "throttlingRateLimit",
		"throttlingBurstLimit", "functionArchitecture", "functionMemoryMb", "logRetentionDays",
		"customerManagedKey", "archiveAfterDays", "expireAfterDays", "objectLockDays", "manageInvocationLogging", "adoptInvocationLogging", "maskPersonalData", "auditQueries", "auditorArns", "manageApiGatewayAccount", "ssmClient", "retainLogs"} {
		if err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s is not reported in:\n%v", name, err)
		}
	}
}

// Settings are typed by people: whatever they type, the answer is an error or names that AWS takes.
func FuzzLoadSettings(f *testing.F) {
	f.Add("bedrock-app", "prod", "10.0.0.0/16", `["amazon.nova-lite-v1:0"]`, "api")
	f.Fuzz(func(t *testing.T, system, environment, cidr, models, stage string) {
		s, err := loadSettings(get(t, map[string]string{"systemName": system, "environment": environment, "vpcCidr": cidr, "modelIds": models, "stageName": stage}), "prod", "")
		if err != nil {
			return
		}
		if group := s.name() + "-function-endpoints-1234567"; len(group) > 64 || group != strings.ToLower(group) || strings.ContainsAny(group, "_. /") {
			t.Errorf("security group name %q", group)
		}
		if strings.Contains(strings.Join(s.ModelIds, ""), ",") || strings.Contains(strings.Join(s.ModelIds, ""), "*") {
			t.Errorf("model ids %q", s.ModelIds)
		}
	})
}
