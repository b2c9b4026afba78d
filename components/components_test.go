package components_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// all makes one of every component, as a user of the package would, without this project's main program.
func all(name string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		core, err := components.NewCoreVpc(ctx, name, &components.CoreVpcArgs{
			EndpointServices: append([]string{"execute-api", "bedrock-runtime", "bedrock"}, components.SsmClientServices...),
		})
		if err != nil {
			return err
		}
		endpointId := func(service string) pulumi.StringOutput { return core.EndpointIds.MapIndex(pulumi.String(service)) }
		guardrail, err := components.NewGuardrail(ctx, name+"-guardrail", &components.GuardrailArgs{
			ContentFilters: []string{"HATE", "PROMPT_ATTACK"}, BlockedWords: []string{"xyzzy"}, PiiEntities: []string{"EMAIL"},
		})
		if err != nil {
			return err
		}
		if _, err := components.NewBedrockLogging(ctx, name+"-logs", nil); err != nil {
			return err
		}
		function, err := components.NewBedrockFunction(ctx, name+"-function", &components.BedrockFunctionArgs{
			Code: pulumi.NewAssetArchive(map[string]any{"bootstrap": pulumi.NewStringAsset("x")}), ModelIds: []string{"anthropic.claude-haiku-4-5-20251001-v1:0"},
			SubnetIds: core.PrivateSubnetIds, SecurityGroupIds: pulumi.StringArray{core.FunctionSecurityGroupId},
			BedrockRuntimeEndpointId: endpointId("bedrock-runtime"), BedrockEndpointId: endpointId("bedrock"),
			GuardrailId: guardrail.GuardrailId, GuardrailVersion: guardrail.Version,
		})
		if err != nil {
			return err
		}
		if _, err := components.NewPrivateApi(ctx, name+"-api", &components.PrivateApiArgs{
			FunctionArn: function.FunctionArn, VpcEndpointIds: pulumi.StringArray{endpointId("execute-api")},
			ManageApiGatewayAccount: name == "one", // one per account
		}); err != nil {
			return err
		}
		_, err = components.NewSsmClient(ctx, name+"-client", &components.SsmClientArgs{
			SubnetId: core.PrivateSubnetIds.Index(pulumi.Int(0)), SecurityGroupIds: pulumi.StringArray{core.ClientSecurityGroupId},
			SsmEndpointId: endpointId("ssm"), SsmMessagesEndpointId: endpointId("ssmmessages"),
		})
		return err
	}
}

// A name that two instances share would make the second one's deployment fail, or take the first one's resource.
func TestTwoInstancesOfEveryComponent(t *testing.T) {
	t.Parallel()
	both := func(ctx *pulumi.Context) error {
		if err := all("one")(ctx); err != nil {
			return err
		}
		return all("two")(ctx)
	}
	resources := componentstest.Run(t, both)
	if first, second := componentstest.Run(t, all("one")), componentstest.Run(t, all("two")); len(resources) != len(first)+len(second) {
		t.Errorf("two instances made %d resources, each alone %d and %d", len(resources), len(first), len(second))
	}
}

// A preview that waits for an id hangs for ever on a first deployment; one that makes other resources shows a lie.
func TestPreviewMakesTheSame(t *testing.T) {
	t.Parallel()
	deployed, previewed := componentstest.Run(t, all("x")).Names(), componentstest.Run(t, all("x"), componentstest.Preview()).Names()
	if !slices.Equal(deployed, previewed) {
		t.Errorf("deployed:\n%s\npreviewed:\n%s", strings.Join(deployed, "\n"), strings.Join(previewed, "\n"))
	}
}

// Whoever forgets an argument must learn which, before anything is made.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	code := pulumi.NewAssetArchive(map[string]any{})
	for name, c := range map[string]struct {
		program pulumi.RunFunc
		want    []string
	}{
		"CoreVpc": {func(ctx *pulumi.Context) error {
			_, err := components.NewCoreVpc(ctx, "x", &components.CoreVpcArgs{CidrBlock: "10.0.0.0/8", FlowLogRetentionDays: 2})
			return err
		}, []string{"CoreVpc x", "CidrBlock", "10.0.0.0/8", "FlowLogRetentionDays", "got 2"}},
		"PrivateApi without endpoints": {func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{FunctionArn: pulumi.String("arn"), VpcEndpointIds: pulumi.StringArray{}})
			return err
		}, []string{"VpcEndpointIds: got none"}},
		"zone without an endpoint": {func(ctx *pulumi.Context) error {
			_, err := components.NewCoreVpc(ctx, "x", &components.CoreVpcArgs{AvailabilityZones: []string{"ap-northeast-1z"}})
			return err
		}, []string{"CoreVpc x", "AvailabilityZones", "ap-northeast-1z"}},
		"BedrockFunction nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", nil)
			return err
		}, []string{"BedrockFunction x", "Code", "SubnetIds", "ModelIds"}},
		"BedrockFunction": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Code: code, ModelIds: []string{"*"}, LogRetentionDays: -1, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"), GuardrailId: pulumi.String("g"),
			})
			return err
		}, []string{`ModelIds: got "*"`, "LogRetentionDays: got -1", "GuardrailId, GuardrailVersion"}},
		"BedrockFunction out of the world": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Code: code, ModelIds: []string{"global.anthropic.claude-sonnet-5"}, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
			})
			return err
		}, []string{"global.anthropic.claude-sonnet-5", "allowGlobalInference"}},
		"PrivateApi with callers nobody asks for": {func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{
				FunctionArn: pulumi.String("arn"), VpcEndpointIds: pulumi.StringArray{pulumi.String("vpce-1")}, CallerArns: []string{"*"},
			})
			return err
		}, []string{"Authorization, CallerArns", "without AWS_IAM", `got "*"`}},
		"Guardrail nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, strings.Repeat("x", 51), nil)
			return err
		}, []string{"ContentFilters, BlockedWords, PiiEntities", "51 characters"}},
		"Guardrail": {func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, "x", &components.GuardrailArgs{ContentFilters: []string{"HATE", "HATE", "LOVE"}})
			return err
		}, []string{"Guardrail x", "ContentFilters", "HATE"}},
		"PrivateApi nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", nil)
			return err
		}, []string{"PrivateApi x", "FunctionArn", "VpcEndpointIds"}},
		"PrivateApi": {func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{
				FunctionArn: pulumi.String("arn"), VpcEndpointIds: pulumi.StringArray{}, StageName: "a/b", ThrottlingBurstLimit: -1, LogRetentionDays: 91,
			})
			return err
		}, []string{`StageName: got "a/b"`, "ThrottlingBurstLimit", "LogRetentionDays: got 91"}},
		"BedrockLogging": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockLogging(ctx, "x", &components.BedrockLoggingArgs{LogRetentionDays: 4})
			return err
		}, []string{"BedrockLogging x", "LogRetentionDays: got 4"}},
		"SsmClient nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewSsmClient(ctx, "x", nil)
			return err
		}, []string{"SsmClient x", "SubnetId"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resources, err := componentstest.Record(c.program)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want it to name %s", err, want)
				}
			}
			for _, r := range resources {
				if strings.HasPrefix(r.Type, "aws:") {
					t.Errorf("%s %s was made all the same", r.Type, r.Name)
				}
			}
		})
	}
}

// The defaults that the documentation of each component promises.
func TestDefaults(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	for _, c := range []struct{ typ, name, input, want string }{
		{"aws:ec2/vpc:Vpc", "x", "cidrBlock", "10.0.0.0/16"},
		{"aws:ec2/subnet:Subnet", "x-private-ap-northeast-1a", "cidrBlock", "10.0.0.0/24"},
		{"aws:ec2/subnet:Subnet", "x-private-ap-northeast-1c", "cidrBlock", "10.0.2.0/24"},
		{"aws:lambda/function:Function", "x-function", "architectures", "[arm64]"},
		{"aws:lambda/function:Function", "x-function", "memorySize", "256"},
		{"aws:lambda/function:Function", "x-function", "timeout", "29"},
		{"aws:apigateway/stage:Stage", "x-api", "stageName", "api"},
		{"aws:cloudwatch/logGroup:LogGroup", "x-logs", "retentionInDays", "90"},
	} {
		if got := fmt.Sprint(r.Inputs(t, c.typ, c.name)[c.input]); got != c.want {
			t.Errorf("%s %s: %s = %s, want %s", c.typ, c.name, c.input, got, c.want)
		}
	}
	if n := len(r.OfType("aws:ec2/subnet:Subnet")); n != 2 {
		t.Errorf("got %d subnets, want one in each of two zones", n)
	}
}

// What each component promises of its resources, beside its policies: what is lost is named in the row.
func TestPromises(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	for lost, c := range map[string]struct{ typ, name, input, want string }{
		"an endpoint open to the whole VPC":        {"aws:ec2/vpcEndpoint:VpcEndpoint", "x-execute-api", "securityGroupIds", "[x-client-endpoints-id]"},
		"a client that calls Bedrock past the API": {"aws:ec2/vpcEndpoint:VpcEndpoint", "x-bedrock-runtime", "securityGroupIds", "[x-function-endpoints-id]"},
		"a function that the endpoint shuts out":   {"aws:lambda/function:Function", "x-function", "vpcConfig", "securityGroupIds:[x-functions-id]"},
		"a log group that nobody set retention of": {"aws:lambda/function:Function", "x-function", "loggingConfig", "logGroup:/aws/lambda/x-function"},
		"another API through the endpoint":         {"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-api-0", "vpcEndpointId", "x-execute-api-id"},
		"a policy on another endpoint":             {"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "vpcEndpointId", "x-bedrock-runtime-id"},
		"the logging configuration":                {"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock", "vpcEndpointId", "x-bedrock-id"},
		"a client that reads Bedrock's settings":   {"aws:ec2/vpcEndpoint:VpcEndpoint", "x-bedrock", "securityGroupIds", "[x-function-endpoints-id]"},
		"the session manager":                      {"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssm", "vpcEndpointId", "x-ssm-id"},
		"the session's messages":                   {"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssmmessages", "vpcEndpointId", "x-ssmmessages-id"},
		"the guardrail on a call":                  {"aws:lambda/function:Function", "x-function", "environment", "GUARDRAIL_ID:x-guardrail-id GUARDRAIL_VERSION:1"},
		"prompts that attack":                      {"aws:bedrock/guardrail:Guardrail", "x-guardrail", "contentPolicyConfig", "map[inputStrength:HIGH outputStrength:NONE type:PROMPT_ATTACK]"},
		"answers that hate":                        {"aws:bedrock/guardrail:Guardrail", "x-guardrail", "contentPolicyConfig", "map[inputStrength:HIGH outputStrength:HIGH type:HATE]"},
		"a word that is blocked":                   {"aws:bedrock/guardrail:Guardrail", "x-guardrail", "wordPolicyConfig", "text:xyzzy"},
		"personal data that is blocked":            {"aws:bedrock/guardrail:Guardrail", "x-guardrail", "sensitiveInformationPolicyConfig", "action:BLOCK type:EMAIL"},
		"another API that calls the function":      {"aws:lambda/permission:Permission", "x-api", "sourceArn", "arn:aws:execute-api:::x-api/api/*"},
		"the API's endpoints at every update":      {"aws:apigateway/restApi:RestApi", "x-api", "putRestApiMode", "merge"},
		"records that somebody overwrote":          {"aws:s3/bucketVersioningV2:BucketVersioningV2", "x-logs", "versioningConfiguration", "status:Enabled"},
		"Bedrock's delivery to the bucket":         {"aws:s3/bucketOwnershipControls:BucketOwnershipControls", "x-logs", "rule", "objectOwnership:BucketOwnerEnforced"},
		"records in the clear":                     {"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x-logs", "rules", "sseAlgorithm:AES256"},
		"the client's credentials":                 {"aws:ec2/instance:Instance", "x-client", "metadataOptions", "httpTokens:required"},
		"the client's disk in the clear":           {"aws:ec2/instance:Instance", "x-client", "rootBlockDevice", "encrypted:true"},
		"a group that admits by default":           {"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "x-default", "vpcId", "x-id"},
	} {
		if got := fmt.Sprint(r.Inputs(t, c.typ, c.name)[c.input]); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s %s: %s = %s, want %s", lost, c.typ, c.name, c.input, got, c.want)
		}
	}
}

// A policy that is reviewed but not attached protects nothing. Their texts are golden files.
func TestPoliciesAreAttached(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	for _, c := range []struct{ typ, name, input, sids string }{
		{"aws:apigateway/restApi:RestApi", "x-api", "policy", "OnlyThroughTheseEndpoints Invoke"},
		{"aws:iam/role:Role", "x-function", "assumeRolePolicy", "OnlyThisService"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-api-0", "policy", "ThisApi"},
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "policy", "Models NeverWithoutTheGuardrail ApplyGuardrail ReadLoggingConfiguration OwnLog Traces NetworkInterfaces NotByTheCode"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "policy", "Models ApplyGuardrail"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock", "policy", "ReadLoggingConfiguration"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssm", "policy", "SessionManager"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssmmessages", "policy", "SessionManager"},
		{"aws:s3/bucketPolicy:BucketPolicy", "x-logs", "policy", "BedrockWritesInvocationRecords OnlyOverTLS"},
		{"aws:iam/role:Role", "x-logs", "assumeRolePolicy", "OnlyForThisAccount"},
		{"aws:iam/rolePolicy:RolePolicy", "x-logs-policy", "policy", "InvocationLog"},
		{"aws:iam/role:Role", "x-flow-log", "assumeRolePolicy", "OnlyForThisAccount"},
		{"aws:iam/rolePolicy:RolePolicy", "x-flow-log-policy", "policy", "FlowLog"},
		{"aws:iam/role:Role", "x-client", "assumeRolePolicy", "OnlyThisService"},
		{"aws:iam/rolePolicy:RolePolicy", "x-client-policy", "policy", "SessionManager"},
	} {
		var document struct{ Statement []struct{ Sid string } }
		if err := json.Unmarshal([]byte(r.Inputs(t, c.typ, c.name)[c.input].(string)), &document); err != nil {
			t.Fatal(err)
		}
		var sids []string
		for _, s := range document.Statement {
			sids = append(sids, s.Sid)
		}
		if got := strings.Join(sids, " "); got != c.sids {
			t.Errorf("%s %s: %s holds %q, want %q", c.typ, c.name, c.input, got, c.sids)
		}
	}
}

// A change of the API that is not deployed is not in force: the old policy goes on admitting.
func TestEveryChangeOfTheApiRedeploys(t *testing.T) {
	t.Parallel()
	triggers := func(functionArn, endpoint string) string {
		r := componentstest.Run(t, func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{
				FunctionArn: pulumi.String(functionArn), VpcEndpointIds: pulumi.StringArray{pulumi.String(endpoint)},
			})
			return err
		})
		deployment := r.Inputs(t, "aws:apigateway/deployment:Deployment", "x")["triggers"].(map[string]any)
		return fmt.Sprint(deployment)
	}
	if before := triggers("arn:a", "vpce-1"); before == triggers("arn:b", "vpce-1") || before == triggers("arn:a", "vpce-2") || before != triggers("arn:a", "vpce-1") {
		t.Error("want another trigger for another function or endpoint, and the same for the same")
	}
}

// Bedrock is set to deliver only to what is ready to take it: it tries at once, and AWS refuses the setting else.
func TestLoggingIsSetLast(t *testing.T) {
	t.Parallel()
	for _, setting := range componentstest.Run(t, all("x")).OfType("aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration") {
		waits := strings.Join(setting.Dependencies, "\n")
		for _, want := range []string{"BucketPolicy::", "BucketPublicAccessBlock::", "BucketOwnershipControls::", "BucketVersioningV2::", "RolePolicy::", "LogGroup::"} {
			if !strings.Contains(waits, want) {
				t.Errorf("does not wait for %s, only for\n%s", want, waits)
			}
		}
	}
}

// existing answers as AWS of a VPC that is there already, with an execute-api endpoint of its owner's.
func existing(private bool) []componentstest.Option {
	const vpc, endpoint = "vpc-0123456789abcdef0", "vpce-0123456789abcdef0"
	return []componentstest.Option{
		componentstest.Answer("aws:ec2/getVpc:getVpc", func(map[string]any) (map[string]any, error) {
			return map[string]any{"enableDnsSupport": true, "enableDnsHostnames": private}, nil
		}),
		componentstest.Answer("aws:ec2/getSubnet:getSubnet", func(args map[string]any) (map[string]any, error) {
			id := args["id"].(string)
			return map[string]any{"vpcId": vpc, "availabilityZone": componentstest.Region + id[len(id)-1:]}, nil
		}),
		componentstest.Answer("aws:ec2/getVpcEndpoint:getVpcEndpoint", func(args map[string]any) (map[string]any, error) {
			switch {
			case args["id"] == endpoint:
				return map[string]any{
					"vpcId": vpc, "serviceName": "com.amazonaws.ap-northeast-1.execute-api", "vpcEndpointType": "Interface", "state": "available",
					"privateDnsEnabled": true, "securityGroupIds": []any{"sg-0123456789abcdef0"},
				}, nil
			case strings.HasSuffix(args["serviceName"].(string), ".bedrock"): // made by an earlier deployment of this program
				return map[string]any{"id": "vpce-1", "privateDnsEnabled": true, "tags": map[string]any{"Name": "x-bedrock"}}, nil
			}
			return nil, errors.New("no matching EC2 VPC Endpoint found")
		}),
	}
}

func inExistingVpc(ctx *pulumi.Context) error {
	_, err := components.NewCoreVpc(ctx, "x", &components.CoreVpcArgs{
		VpcId: "vpc-0123456789abcdef0", SubnetIds: []string{"subnet-0123456789abcde0a", "subnet-0123456789abcde0c"},
		EndpointIds: map[string]string{"execute-api": "vpce-0123456789abcdef0"},
	})
	return err
}

// Whoever brings a VPC gets no second one, and keeps its routes and endpoints.
func TestExistingVpcIsUsed(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, inExistingVpc, existing(true)...)
	for typ, want := range map[string]int{
		"aws:ec2/vpc:Vpc": 0, "aws:ec2/subnet:Subnet": 0, "aws:ec2/routeTable:RouteTable": 0, "aws:ec2/flowLog:FlowLog": 0,
		"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 0, "aws:ec2/vpcEndpoint:VpcEndpoint": 2, "aws:ec2/securityGroup:SecurityGroup": 4,
	} {
		if got := len(r.OfType(typ)); got != want {
			t.Errorf("%d of %s, want %d", got, typ, want)
		}
	}
	if ids := fmt.Sprint(r.Inputs(t, "aws:ec2/vpcEndpoint:VpcEndpoint", "x-bedrock-runtime")["subnetIds"]); ids != "[subnet-0123456789abcde0a subnet-0123456789abcde0c]" {
		t.Errorf("the new endpoint is in %s", ids)
	}
	rule := r.Inputs(t, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "x-execute-api-from-clients")
	if rule["securityGroupId"] != "sg-0123456789abcdef0" || rule["referencedSecurityGroupId"] != "x-clients-id" {
		t.Errorf("the owner's endpoint does not admit the clients: %v", rule)
	}
}

// A VPC that will not do is refused before anything is made in it.
func TestExistingVpcIsChecked(t *testing.T) {
	t.Parallel()
	r, err := componentstest.Record(inExistingVpc, existing(false)...)
	if err == nil || !strings.Contains(err.Error(), "enableDnsHostnames") {
		t.Errorf("error = %v", err)
	}
	for _, one := range r {
		if strings.HasPrefix(one.Type, "aws:") {
			t.Errorf("%s %s was made all the same", one.Type, one.Name)
		}
	}
}

// An endpoint that others use keeps the policy that its owner gave it.
func TestSharedEndpointsKeepTheirPolicies(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[any]bool{}
	r := componentstest.Run(t, func(ctx *pulumi.Context) error {
		function, err := components.NewBedrockFunction(ctx, "f", &components.BedrockFunctionArgs{
			Code: pulumi.NewAssetArchive(map[string]any{}), ModelIds: []string{"jp.anthropic.claude-haiku-4-5-20251001-v1:0"},
			SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{}, BedrockRuntimeEndpointId: pulumi.String("vpce-1"),
			BedrockEndpointId: pulumi.String("vpce-2"), SharedBedrockRuntimeEndpoint: true, SharedBedrockEndpoint: true,
		})
		if err != nil {
			return err
		}
		_, err = components.NewPrivateApi(ctx, "a", &components.PrivateApiArgs{
			FunctionArn: function.FunctionArn, VpcEndpointIds: pulumi.StringArray{pulumi.String("vpce-3")}, SharedVpcEndpoints: true,
		})
		return err
	}, componentstest.Answer("aws:ec2/getVpcEndpoint:getVpcEndpoint", func(args map[string]any) (map[string]any, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[args["id"]] = true
		return map[string]any{"policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}`}, nil
	}))
	if len(asked) != 3 {
		t.Errorf("compared the policies of %v, want all three endpoints'", asked)
	}
	if policies := r.OfType("aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy"); len(policies) > 0 {
		t.Errorf("overwrites %v", policies)
	}
	// And what AWS tells of a profile reaches the role.
	if policy := r.Inputs(t, "aws:iam/rolePolicy:RolePolicy", "f-policy")["policy"].(string); !strings.Contains(policy, "bedrock:ap-northeast-3::foundation-model/anthropic") {
		t.Errorf("the role lacks the profile's other region: %s", policy)
	}
}

// A guardrail whose rules change without a new version goes on with the old rules.
func TestEveryChangeOfTheGuardrailMakesAVersion(t *testing.T) {
	t.Parallel()
	description := func(a components.GuardrailArgs) any {
		r := componentstest.Run(t, func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, "x", &a)
			return err
		})
		return r.Inputs(t, "aws:bedrock/guardrailVersion:GuardrailVersion", "x")["description"]
	}
	seen := map[any]bool{}
	for _, a := range []components.GuardrailArgs{
		{BlockedWords: []string{"a"}}, {BlockedWords: []string{"a", "b"}}, {ContentFilters: []string{"HATE"}}, {PiiEntities: []string{"EMAIL"}},
		{BlockedWords: []string{"a"}, BlockedMessage: "No."},
	} {
		seen[description(a)] = true
	}
	if len(seen) != 5 || !seen[description(components.GuardrailArgs{BlockedWords: []string{"a"}})] {
		t.Errorf("want five versions of five guardrails, and the same for the same: %v", seen)
	}
}
