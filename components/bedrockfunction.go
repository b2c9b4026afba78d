package components

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrock"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// A function that lives longer than API Gateway waits answers nobody.
const (
	bufferedSeconds = 29  // API Gateway quotas, "Integration timeout"
	streamedSeconds = 900 // API Gateway Developer Guide, "Stream the integration response", and Lambda quotas
)

// BedrockFunction is a Go function in a VPC that may call the configured models through one VPC endpoint, and
// nothing else. It attaches the policies of its endpoints, which let in nobody but its role.
type BedrockFunction struct {
	pulumi.ResourceState

	// FunctionArn is what PrivateApi calls.
	FunctionArn pulumi.StringOutput `pulumi:"functionArn"`
	// FunctionName is the dimension of the function's metrics.
	FunctionName pulumi.StringOutput `pulumi:"functionName"`
	// RoleArn of the one role that models may be called with.
	RoleArn pulumi.StringOutput `pulumi:"roleArn"`
	// LogGroupName of the function's own log, which holds no prompt and no answer.
	LogGroupName pulumi.StringOutput `pulumi:"logGroupName"`
	// BedrockRuntimeEndpointPolicy and BedrockEndpointPolicy are those of its endpoints. The owner of a shared one has to
	// allow as much.
	BedrockRuntimeEndpointPolicy pulumi.StringOutput `pulumi:"bedrockRuntimeEndpointPolicy"`
	BedrockEndpointPolicy        pulumi.StringOutput `pulumi:"bedrockEndpointPolicy"`
}

// BedrockFunctionArgs are BedrockFunction's arguments.
type BedrockFunctionArgs struct {
	// Code is a zip with the executable "bootstrap" at its root, as BuildFunctionZip makes it. Required in Go; in other
	// languages, the package builds it where it is left out.
	Code pulumi.ArchiveInput `pulumi:"code,optional"`
	// Architecture the code was built for: arm64 or x86_64. Default: arm64.
	Architecture string `pulumi:"architecture,optional"`
	// MemoryMb, 128 to 10240, which also sets the share of a CPU. Default: 256.
	MemoryMb int `pulumi:"memoryMb,optional"`
	// ModelIds that may be called: ids of foundation models and of inference profiles, ARNs of application inference
	// profiles and provisioned models; the first is the default. Required.
	ModelIds []string `pulumi:"modelIds"`
	// Buffered answers are sent when they are whole, as PrivateApi's Buffered. Default: false.
	Buffered bool `pulumi:"buffered,optional"`
	// AllowGlobalInference admits profiles whose requests may be processed in any region. Default: false.
	AllowGlobalInference bool `pulumi:"allowGlobalInference,optional"`
	// AllowUnloggedInvocations asks models also while Bedrock's invocation logging is off, leaves out a kind of data or goes
	// elsewhere. Default: false; the function looks once a minute and refuses every call until it is on again.
	AllowUnloggedInvocations bool `pulumi:"allowUnloggedInvocations,optional"`
	// InvocationLoggingConfiguration is the logging configuration that the function requires, as BedrockLogging outputs it.
	// Default: any destination will do.
	InvocationLoggingConfiguration pulumi.StringInput `pulumi:"invocationLoggingConfiguration,optional"`
	// GuardrailId and GuardrailVersion are put on every call, and IAM denies a call without them. Default: none.
	GuardrailId      pulumi.StringInput `pulumi:"guardrailId,optional"`
	GuardrailVersion pulumi.StringInput `pulumi:"guardrailVersion,optional"`
	// EnforcedGuardrailArns are the guardrails that the organization or the account enforces, each with or without its
	// version. Bedrock denies every call of a role that may not apply them. Default: none.
	EnforcedGuardrailArns []string `pulumi:"enforcedGuardrailArns,optional"`
	// AllowUnevaluatedTools accepts tools that the guardrail does not evaluate. Default: false.
	AllowUnevaluatedTools bool `pulumi:"allowUnevaluatedTools,optional"`
	// DataRetentionModes of the account under which models may be called: default, none, inherit, aws_review or
	// provider_data_share, under which AWS shares prompts with a model's provider. Default: default, none, inherit.
	DataRetentionModes []string `pulumi:"dataRetentionModes,optional"`
	// ServiceTiers that callers may choose: default, flex, priority, reserved. A call that names none has tier default.
	// Default: default.
	ServiceTiers []string `pulumi:"serviceTiers,optional"`
	// ReservedConcurrency is the most calls that the function handles at once. Lambda takes it out of the account's
	// concurrency, of which 100 must stay unreserved. Default: 0, no reservation.
	ReservedConcurrency int `pulumi:"reservedConcurrency,optional"`
	// SubnetIds and SecurityGroupIds of the VPC. Required.
	SubnetIds        pulumi.StringArrayInput `pulumi:"subnetIds"`
	SecurityGroupIds pulumi.StringArrayInput `pulumi:"securityGroupIds"`
	// BedrockRuntimeEndpointId of the bedrock-runtime endpoint through which alone models may be called. Required.
	BedrockRuntimeEndpointId pulumi.StringInput `pulumi:"bedrockRuntimeEndpointId"`
	// BedrockEndpointId of the bedrock endpoint through which the logging configuration may be read. Required.
	BedrockEndpointId pulumi.StringInput `pulumi:"bedrockEndpointId"`
	// SharedBedrockRuntimeEndpoint and SharedBedrockEndpoint leave an endpoint's policy to its owner, who has to let the
	// function's role in. Default: false; the policy lets in nobody else.
	SharedBedrockRuntimeEndpoint bool `pulumi:"sharedBedrockRuntimeEndpoint,optional"`
	SharedBedrockEndpoint        bool `pulumi:"sharedBedrockEndpoint,optional"`
	// LogRetentionDays of the function's own log, which holds no prompt and no answer. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
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
	if a.DataRetentionModes == nil {
		a.DataRetentionModes = []string{"default", "none", "inherit"}
	}
	if a.ServiceTiers == nil {
		a.ServiceTiers = []string{defaultTier}
	}
	return a
}

func (a BedrockFunctionArgs) validate() error {
	var errs []error
	if a.Code == nil {
		errs = append(errs, errors.New("Code: got nil, want a zip as BuildFunctionZip makes it"))
	}
	if a.SubnetIds == nil || a.SecurityGroupIds == nil || a.BedrockRuntimeEndpointId == nil || a.BedrockEndpointId == nil {
		errs = append(errs, errors.New("SubnetIds, SecurityGroupIds, BedrockRuntimeEndpointId, BedrockEndpointId: got nil, want all four, such as CoreVpc's"))
	}
	if (a.GuardrailId == nil) != (a.GuardrailVersion == nil) {
		errs = append(errs, errors.New("GuardrailId, GuardrailVersion: got one of them, want both or none"))
	}
	if len(a.ModelIds) == 0 {
		errs = append(errs, errors.New("ModelIds: got none, want at least one"))
	}
	for _, id := range a.ModelIds {
		if err := CheckModelId(id, "", a.AllowGlobalInference); err != nil {
			errs = append(errs, fmt.Errorf("ModelIds: %w", err))
		}
	}
	if err := CheckRetention(a.LogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("LogRetentionDays: %w", err))
	}
	for _, arn := range a.EnforcedGuardrailArns {
		if err := CheckEnforcedGuardrail(arn, ""); err != nil {
			errs = append(errs, fmt.Errorf("EnforcedGuardrailArns: %w", err))
		}
	}
	if err := CheckDataRetentionModes(a.DataRetentionModes); err != nil {
		errs = append(errs, fmt.Errorf("DataRetentionModes: %w", err))
	}
	if err := CheckServiceTiers(a.ServiceTiers); err != nil {
		errs = append(errs, fmt.Errorf("ServiceTiers: %w", err))
	}
	if a.ReservedConcurrency < 0 {
		errs = append(errs, fmt.Errorf("ReservedConcurrency: got %d, want 1 or more, or 0 for no reservation", a.ReservedConcurrency))
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
	var models []model
	for _, id := range a.ModelIds {
		m, err := lookupModel(ctx, to, id, a.AllowGlobalInference, c)
		if err != nil {
			return nil, fmt.Errorf("BedrockFunction %s: ModelIds: %w", name, err)
		}
		models = append(models, m)
	}
	for _, arn := range a.EnforcedGuardrailArns {
		if err := CheckEnforcedGuardrail(arn, to.region); err != nil {
			return nil, fmt.Errorf("BedrockFunction %s: EnforcedGuardrailArns: %w", name, err)
		}
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
	environment := pulumi.StringMap{
		contract.EnvModelIDs:           pulumi.String(strings.Join(a.ModelIds, ",")),
		contract.EnvResponseStreaming:  pulumi.String(strconv.FormatBool(!a.Buffered)),
		contract.EnvDataRetentionModes: pulumi.String(strings.Join(a.DataRetentionModes, ",")),
		contract.EnvServiceTiers:       pulumi.String(strings.Join(a.ServiceTiers, ",")),
	}
	if a.AllowUnloggedInvocations {
		environment[contract.EnvRequireInvocationLogging] = pulumi.String("false")
	}
	if a.InvocationLoggingConfiguration != nil {
		environment[contract.EnvLoggingConfiguration] = a.InvocationLoggingConfiguration
	}
	if a.AllowUnevaluatedTools {
		environment[contract.EnvAllowUnevaluatedTools] = pulumi.String("true")
	}
	var reserved pulumi.IntPtrInput
	if a.ReservedConcurrency > 0 { // for Lambda 0 means that the function is never started
		reserved = pulumi.Int(a.ReservedConcurrency)
	}
	timeout := streamedSeconds
	if a.Buffered {
		timeout = bufferedSeconds
	}
	var guardrailArn, version pulumi.StringInput = pulumi.String(""), pulumi.String("")
	if a.GuardrailId != nil {
		guardrailArn, version = pulumi.Sprintf("arn:%s:bedrock:%s:%s:guardrail/%s", to.partition, to.region, to.account, a.GuardrailId), a.GuardrailVersion
		environment[contract.EnvGuardrailID], environment[contract.EnvGuardrailVersion] = a.GuardrailId, a.GuardrailVersion
	}
	permissions := pulumi.All(logGroup.Arn, a.BedrockRuntimeEndpointId, a.BedrockEndpointId, guardrailArn, version).ApplyT(func(v []any) (string, error) {
		return functionPolicy(v[0].(string), v[1].(string), v[2].(string), models, guardrailVersion{v[3].(string), v[4].(string)}, a.EnforcedGuardrailArns, a.ServiceTiers)
	}).(pulumi.StringOutput)
	role, rolePolicy, err := newRole(ctx, name, trust, permissions, a.Tags, parent)
	if err != nil {
		return nil, err
	}
	c.BedrockRuntimeEndpointPolicy = pulumi.All(role.Arn, guardrailArn).ApplyT(func(v []any) (string, error) {
		return bedrockRuntimeEndpointPolicy(v[0].(string), models, applicableGuardrails(v[1].(string), a.EnforcedGuardrailArns))
	}).(pulumi.StringOutput)
	c.BedrockEndpointPolicy = role.Arn.ApplyT(bedrockEndpointPolicy).(pulumi.StringOutput)
	ready := []pulumi.Resource{rolePolicy}
	for _, endpoint := range []struct {
		service string
		id      pulumi.StringInput
		shared  bool
		policy  pulumi.StringOutput
	}{
		{"bedrock-runtime", a.BedrockRuntimeEndpointId, a.SharedBedrockRuntimeEndpoint, c.BedrockRuntimeEndpointPolicy},
		{"bedrock", a.BedrockEndpointId, a.SharedBedrockEndpoint, c.BedrockEndpointPolicy},
	} {
		if endpoint.shared {
			warnOfPolicy(ctx, c, endpoint.id, endpoint.policy)
			continue
		}
		endpointPolicy, err := ec2.NewVpcEndpointPolicy(ctx, name+"-"+endpoint.service, &ec2.VpcEndpointPolicyArgs{
			VpcEndpointId: endpoint.id, Policy: endpoint.policy,
		}, parent, keepPolicy)
		if err != nil {
			return nil, err
		}
		ready = append(ready, endpointPolicy)
	}
	function, err := lambda.NewFunction(ctx, name, &lambda.FunctionArgs{
		Code: a.Code, Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"),
		Architectures: pulumi.StringArray{pulumi.String(a.Architecture)}, MemorySize: pulumi.Int(a.MemoryMb),
		Timeout: pulumi.Int(timeout), ReservedConcurrentExecutions: reserved, Role: role.Arn, Tags: a.Tags,
		VpcConfig:   &lambda.FunctionVpcConfigArgs{SubnetIds: a.SubnetIds, SecurityGroupIds: a.SecurityGroupIds},
		Environment: &lambda.FunctionEnvironmentArgs{Variables: environment},
		// Both levels are written out: with the JSON format AWS sets them itself, which previews would report as drift.
		LoggingConfig: &lambda.FunctionLoggingConfigArgs{
			LogFormat: pulumi.String("JSON"), LogGroup: logGroup.Name,
			ApplicationLogLevel: pulumi.String("INFO"), SystemLogLevel: pulumi.String("INFO"),
		},
		// A function's own trace holds times and request ids, no path and no body.
		TracingConfig: &lambda.FunctionTracingConfigArgs{Mode: pulumi.String("Active")},
	}, parent, pulumi.DependsOn(ready))
	if err != nil {
		return nil, err
	}

	c.FunctionArn = function.Arn
	c.FunctionName = function.Name
	c.RoleArn = role.Arn
	c.LogGroupName = logGroup.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"functionArn": c.FunctionArn, "functionName": c.FunctionName, "roleArn": c.RoleArn, "logGroupName": c.LogGroupName,
		"bedrockRuntimeEndpointPolicy": c.BedrockRuntimeEndpointPolicy, "bedrockEndpointPolicy": c.BedrockEndpointPolicy,
	})
}

// lookupModel asks AWS which models an inference profile routes to, and in which regions: policies must name each.
func lookupModel(ctx *pulumi.Context, to target, modelId string, allowGlobalInference bool, parent pulumi.Resource) (model, error) {
	var routes []string
	if isInferenceProfile(modelId) {
		profile, err := bedrock.LookupInferenceProfile(ctx, &bedrock.LookupInferenceProfileArgs{InferenceProfileId: modelId}, pulumi.Parent(parent))
		if err != nil {
			return model{}, fmt.Errorf("%s, is it offered in %s? %w", modelId, to.region, err)
		}
		for _, m := range profile.Models {
			routes = append(routes, m.ModelArn)
		}
	}
	return newModel(to, modelId, routes, allowGlobalInference)
}
