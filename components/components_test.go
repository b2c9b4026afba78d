package components_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// all makes one of every component, as a user of the package would, without this project's main program.
func all(name string) pulumi.RunFunc {
	return func(ctx *pulumi.Context) error {
		core, err := components.NewCoreVpc(ctx, name, &components.CoreVpcArgs{
			EndpointServices: append([]string{"execute-api", "bedrock-runtime"}, components.SsmClientServices...),
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
			BedrockEndpointId: core.EndpointIds.MapIndex(pulumi.String("bedrock-runtime")),
		})
		if err != nil {
			return err
		}
		if _, err := components.NewPrivateApi(ctx, name+"-api", &components.PrivateApiArgs{
			FunctionArn: function.FunctionArn, VpcEndpointIds: pulumi.StringArray{core.EndpointIds.MapIndex(pulumi.String("execute-api"))},
			ManageApiGatewayAccount: name == "one", // one per account
		}); err != nil {
			return err
		}
		_, err = components.NewSsmClient(ctx, name+"-client", &components.SsmClientArgs{
			SubnetId: core.PrivateSubnetIds.Index(pulumi.Int(0)), SecurityGroupIds: pulumi.StringArray{core.ClientSecurityGroupId},
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
				BedrockEndpointId: pulumi.String("vpce-1"),
			})
			return err
		}, []string{`ModelIds: got "*"`, "LogRetentionDays: got -1"}},
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
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "policy", "TheseModelsThroughThisEndpoint OwnLog Traces NetworkInterfaces NotByTheCode"},
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
