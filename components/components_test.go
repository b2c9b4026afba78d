package components_test

import (
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
			ManageApiGatewayAccount: true,
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
	single := componentstest.Run(t, all("one"))
	if len(resources) != 2*len(single) {
		t.Errorf("two instances made %d resources, one made %d", len(resources), len(single))
	}
}

// A preview that waits for an id hangs for ever on a first deployment; one that makes other resources shows a lie.
func TestPreviewMakesTheSame(t *testing.T) {
	t.Parallel()
	names := func(r componentstest.Recording) (all []string) {
		for _, one := range r {
			all = append(all, one.Type+" "+one.Name)
		}
		slices.Sort(all)
		return all
	}
	deployed, previewed := names(componentstest.Run(t, all("x"))), names(componentstest.Run(t, all("x"), componentstest.Preview()))
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
		{"aws:ec2/subnet:Subnet", "x-private-ap-northeast-1c", "cidrBlock", "10.0.1.0/24"},
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
