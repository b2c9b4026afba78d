package components

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// functionTimeoutSeconds is API Gateway's default limit for an integration (API Gateway quotas): a function that
// lives longer answers nobody.
const functionTimeoutSeconds = 29

// BedrockFunction is a Go function in a VPC that may call the configured models through one VPC endpoint, and
// nothing else.
type BedrockFunction struct {
	pulumi.ResourceState

	FunctionArn  pulumi.StringOutput
	FunctionName pulumi.StringOutput
	RoleArn      pulumi.StringOutput
	LogGroupName pulumi.StringOutput
}

// BedrockFunctionArgs are BedrockFunction's arguments.
type BedrockFunctionArgs struct {
	// Code is a zip with the executable "bootstrap" at its root, as BuildFunctionZip makes it. Required.
	Code pulumi.ArchiveInput
	// Architecture the code was built for: arm64 or x86_64. Default: arm64.
	Architecture string
	// MemoryMb, 128 to 10240, which also sets the share of a CPU. Default: 256.
	MemoryMb int
	// ModelIds that may be called; the first is the default. Required.
	ModelIds []string
	// SubnetIds and SecurityGroupIds of the VPC. Required.
	SubnetIds        pulumi.StringArrayInput
	SecurityGroupIds pulumi.StringArrayInput
	// BedrockEndpointId of the bedrock-runtime endpoint through which alone models may be called. Required.
	BedrockEndpointId pulumi.StringInput
	// LogRetentionDays of the function's own log, which holds no prompt and no answer. Default: 90.
	LogRetentionDays int
	Tags             pulumi.StringMapInput
}

func (a BedrockFunctionArgs) withDefaults() BedrockFunctionArgs {
	if a.Architecture == "" {
		a.Architecture = "arm64"
	}
	if a.MemoryMb == 0 {
		a.MemoryMb = 256
	}
	if a.LogRetentionDays == 0 {
		a.LogRetentionDays = 90
	}
	return a
}

func (a BedrockFunctionArgs) validate() error {
	var errs []error
	if a.Code == nil {
		errs = append(errs, errors.New("Code: got nil, want a zip as BuildFunctionZip makes it"))
	}
	if a.SubnetIds == nil || a.SecurityGroupIds == nil || a.BedrockEndpointId == nil {
		errs = append(errs, errors.New("SubnetIds, SecurityGroupIds, BedrockEndpointId: got nil, want all three, such as CoreVpc's"))
	}
	if len(a.ModelIds) == 0 {
		errs = append(errs, errors.New("ModelIds: got none, want at least one"))
	}
	for _, id := range a.ModelIds {
		if _, err := ModelArn("aws", "", id); err != nil {
			errs = append(errs, fmt.Errorf("ModelIds: %w", err))
		}
	}
	if err := CheckRetention(a.LogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("LogRetentionDays: %w", err))
	}
	return errors.Join(errs...)
}

// NewBedrockFunction makes a BedrockFunction.
func NewBedrockFunction(ctx *pulumi.Context, name string, args *BedrockFunctionArgs, opts ...pulumi.ResourceOption) (*BedrockFunction, error) {
	if args == nil {
		args = &BedrockFunctionArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("BedrockFunction %s: %w", name, err)
	}
	c := &BedrockFunction{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:BedrockFunction", name, c, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(c)
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
	var modelArns []string
	for _, id := range a.ModelIds {
		arn, err := ModelArn(to.partition, to.region, id)
		if err != nil {
			return nil, err
		}
		modelArns = append(modelArns, arn)
	}

	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String("/aws/lambda/" + name), RetentionInDays: pulumi.Int(a.LogRetentionDays), Tags: a.Tags,
	}, parent)
	if err != nil {
		return nil, err
	}
	trust, err := plainTrustPolicy("lambda.amazonaws.com")
	if err != nil {
		return nil, err
	}
	permissions := pulumi.All(logGroup.Arn, a.BedrockEndpointId).ApplyT(func(v []any) (string, error) {
		return functionPolicy(v[0].(string), v[1].(string), modelArns)
	}).(pulumi.StringOutput)
	role, rolePolicy, err := newRole(ctx, name, trust, permissions, a.Tags, parent)
	if err != nil {
		return nil, err
	}
	function, err := lambda.NewFunction(ctx, name, &lambda.FunctionArgs{
		Code: a.Code, Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"),
		Architectures: pulumi.StringArray{pulumi.String(a.Architecture)}, MemorySize: pulumi.Int(a.MemoryMb),
		Timeout: pulumi.Int(functionTimeoutSeconds), Role: role.Arn, Tags: a.Tags,
		VpcConfig:   &lambda.FunctionVpcConfigArgs{SubnetIds: a.SubnetIds, SecurityGroupIds: a.SecurityGroupIds},
		Environment: &lambda.FunctionEnvironmentArgs{Variables: pulumi.StringMap{"MODEL_IDS": pulumi.String(strings.Join(a.ModelIds, ","))}},
		// Both levels are written out: with the JSON format AWS sets them itself, which previews would report as drift.
		LoggingConfig: &lambda.FunctionLoggingConfigArgs{
			LogFormat: pulumi.String("JSON"), LogGroup: logGroup.Name,
			ApplicationLogLevel: pulumi.String("INFO"), SystemLogLevel: pulumi.String("INFO"),
		},
		// A function's own trace holds times and request ids, no path and no body.
		TracingConfig: &lambda.FunctionTracingConfigArgs{Mode: pulumi.String("Active")},
	}, parent, pulumi.DependsOn([]pulumi.Resource{rolePolicy}))
	if err != nil {
		return nil, err
	}

	c.FunctionArn = function.Arn
	c.FunctionName = function.Name
	c.RoleArn = role.Arn
	c.LogGroupName = logGroup.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"functionArn": c.FunctionArn, "functionName": c.FunctionName, "roleArn": c.RoleArn, "logGroupName": c.LogGroupName,
	})
}
