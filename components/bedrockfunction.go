package components

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/models"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/bedrock"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// The function's timeouts: when API Gateway stops waiting, no caller gets the function's response.
const (
	bufferedSeconds = 29  // API Gateway quotas, "Integration timeout"
	streamedSeconds = 900 // API Gateway Developer Guide, "Stream the integration response", and Lambda quotas
)

// BedrockFunction is a Go function in a VPC that can call the configured models through one VPC endpoint, and nothing
// else. It attaches the policies of its endpoints, which allow only its role.
type BedrockFunction struct {
	pulumi.ResourceState

	// FunctionArn is the function's ARN. Pass it to PrivateApi.
	FunctionArn pulumi.StringOutput `pulumi:"functionArn"`
	// FunctionName is the dimension of the function's metrics.
	FunctionName pulumi.StringOutput `pulumi:"functionName"`
	// RoleArn is the ARN of the only role that can call models.
	RoleArn pulumi.StringOutput `pulumi:"roleArn"`
	// LogGroupName is the name of the function's own log group, which has no prompts and no responses.
	LogGroupName pulumi.StringOutput `pulumi:"logGroupName"`
	// BedrockRuntimeEndpointPolicy is the policy of the bedrock-runtime endpoint. The owner of a shared endpoint must
	// allow at least this.
	BedrockRuntimeEndpointPolicy pulumi.StringOutput `pulumi:"bedrockRuntimeEndpointPolicy"`
	// BedrockEndpointPolicy is the policy of the bedrock endpoint. The owner of a shared endpoint must allow at least
	// this.
	BedrockEndpointPolicy pulumi.StringOutput `pulumi:"bedrockEndpointPolicy"`
}

// BedrockFunctionArgs are BedrockFunction's arguments.
type BedrockFunctionArgs struct {
	// Code is a zip with the executable "bootstrap" at its root, as BuildFunctionZip makes it. Required in Go. In other
	// languages, the package builds it by default.
	Code pulumi.ArchiveInput `pulumi:"code,optional"`
	// Architecture is the code's instruction set: arm64 or x86_64. Default: arm64.
	Architecture string `pulumi:"architecture,optional"`
	// MemoryMb is the function's memory, 128 to 10240. The share of a CPU grows with it. Default: 256.
	MemoryMb int `pulumi:"memoryMb,optional"`
	// ModelIds are the models that callers can use: IDs of foundation models and of inference profiles, ARNs of
	// application inference profiles and provisioned models. The first is the default. Required.
	ModelIds []string `pulumi:"modelIds"`
	// ResponseStreaming must equal PrivateApi's ResponseStreaming. If they differ, every call fails. Default: true.
	ResponseStreaming *bool `pulumi:"responseStreaming,optional"`
	// AllowGlobalInference allows profiles whose requests can be processed in any Region. Default: false.
	AllowGlobalInference bool `pulumi:"allowGlobalInference,optional"`
	// RequireInvocationLogging refuses calls while Bedrock's invocation logging is off, leaves out a kind of data, or
	// differs from InvocationLoggingConfiguration. The function checks once a minute. Default: true.
	RequireInvocationLogging *bool `pulumi:"requireInvocationLogging,optional"`
	// InvocationLoggingConfiguration is the logging configuration that the function requires, as BedrockLogging outputs
	// it. Default: any destination.
	InvocationLoggingConfiguration pulumi.StringInput `pulumi:"invocationLoggingConfiguration,optional"`
	// GuardrailId is the guardrail that the function adds to every call. IAM denies a call without it. Default: none.
	GuardrailId pulumi.StringInput `pulumi:"guardrailId,optional"`
	// GuardrailVersion is the guardrail's published version. Required with GuardrailId.
	GuardrailVersion pulumi.StringInput `pulumi:"guardrailVersion,optional"`
	// EnforcedGuardrailArns are the guardrails that the organization or the account enforces, each with or without its
	// version. Bedrock denies every call of a role that can't apply them. Default: none.
	EnforcedGuardrailArns []string `pulumi:"enforcedGuardrailArns,optional"`
	// AllowUnevaluatedTools accepts tools that the guardrail does not evaluate. Default: false.
	AllowUnevaluatedTools bool `pulumi:"allowUnevaluatedTools,optional"`
	// DataRetentionModes are the account's data retention modes under which models can be called: default, none, inherit,
	// aws_review or provider_data_share. Under provider_data_share, AWS shares prompts with the model's provider.
	// Default: default, none, inherit.
	DataRetentionModes []string `pulumi:"dataRetentionModes,optional"`
	// ServiceTiers are the tiers that callers can choose: default, flex, priority, reserved. A call that names no tier has
	// tier default. Default: default.
	ServiceTiers []string `pulumi:"serviceTiers,optional"`
	// ReservedConcurrency is the maximum number of calls that the function handles at once. Lambda reserves it from the
	// account's concurrency, of which 100 must stay unreserved. Default: 0 (no reservation).
	ReservedConcurrency int `pulumi:"reservedConcurrency,optional"`
	// SubnetIds are the VPC's subnets for the function. Required.
	SubnetIds pulumi.StringArrayInput `pulumi:"subnetIds"`
	// SecurityGroupIds are the function's security groups. Required.
	SecurityGroupIds pulumi.StringArrayInput `pulumi:"securityGroupIds"`
	// BedrockRuntimeEndpointId is the bedrock-runtime endpoint, the only one through which models can be called. Required.
	BedrockRuntimeEndpointId pulumi.StringInput `pulumi:"bedrockRuntimeEndpointId"`
	// BedrockEndpointId is the bedrock endpoint, through which the function reads the logging configuration. Required.
	BedrockEndpointId pulumi.StringInput `pulumi:"bedrockEndpointId"`
	// SharedBedrockRuntimeEndpoint leaves the bedrock-runtime endpoint's policy to its owner, who must allow the
	// function's role. Default: false; the policy allows only that role.
	SharedBedrockRuntimeEndpoint bool `pulumi:"sharedBedrockRuntimeEndpoint,optional"`
	// SharedBedrockEndpoint leaves the bedrock endpoint's policy to its owner, who must allow the function's role.
	// Default: false; the policy allows only that role.
	SharedBedrockEndpoint bool `pulumi:"sharedBedrockEndpoint,optional"`
	// LogRetentionDays is how long the function's own log is kept. It has no prompts and no responses. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a BedrockFunctionArgs) withDefaults() BedrockFunctionArgs {
	a.Architecture = cmp.Or(a.Architecture, "arm64")
	a.MemoryMb = cmp.Or(a.MemoryMb, 256)
	a.LogRetentionDays = cmp.Or(a.LogRetentionDays, 90)
	a.ResponseStreaming = defaultTrue(a.ResponseStreaming)
	a.RequireInvocationLogging = defaultTrue(a.RequireInvocationLogging)
	if a.DataRetentionModes == nil {
		a.DataRetentionModes = []string{"default", "none", "inherit"}
	}
	if a.ServiceTiers == nil {
		a.ServiceTiers = []string{defaultTier}
	}
	return a
}

// The first four are the SDK's (Bedrock API Reference, PutAccountDataRetention). AWS returns the last for some
// accounts.
var dataRetentionModes = []string{"default", "none", "inherit", "provider_data_share", "aws_review"}

// CheckDataRetentionModes rejects modes that Bedrock doesn't have, and an empty list, which would refuse every call.
func CheckDataRetentionModes(modes []string) error { return checkEachOnceOf(modes, dataRetentionModes) }

// defaultTier is the tier of a call that names none (Bedrock User Guide, "Service tiers for optimizing performance and
// cost").
const defaultTier = "default"

// Bedrock API Reference, ServiceTier, type.
var serviceTiers = []string{defaultTier, "flex", "priority", "reserved"}

// CheckServiceTiers rejects tiers that Bedrock doesn't have, and an empty list, which would deny every call.
func CheckServiceTiers(tiers []string) error { return checkEachOnceOf(tiers, serviceTiers) }

func checkEachOnceOf(got, allowed []string) error {
	if len(got) == 0 {
		return fmt.Errorf("got none, want at least one of %s", strings.Join(allowed, ", "))
	}
	for i, one := range got {
		if !slices.Contains(allowed, one) || slices.Contains(got[:i], one) {
			return fmt.Errorf("got %q, want each once, of %s", one, strings.Join(allowed, ", "))
		}
	}
	return nil
}

func (a BedrockFunctionArgs) validate(string) error {
	var f faults
	f.reject(a.Code == nil, "Code: got nil, want a zip as BuildFunctionZip makes it")
	f.reject(a.SubnetIds == nil || a.SecurityGroupIds == nil, "SubnetIds, SecurityGroupIds: got nil, want both")
	f.reject(a.BedrockRuntimeEndpointId == nil || a.BedrockEndpointId == nil,
		"BedrockRuntimeEndpointId, BedrockEndpointId: got nil, want both, such as CoreVpc's")
	f.reject((a.GuardrailId == nil) != (a.GuardrailVersion == nil),
		"GuardrailId, GuardrailVersion: got one of them, want both or none")
	f.reject(len(a.ModelIds) == 0, "ModelIds: got none, want at least one")
	for _, id := range a.ModelIds {
		f.check("ModelIds", models.Check(id, "", a.AllowGlobalInference))
	}
	f.check("LogRetentionDays", CheckRetention(a.LogRetentionDays))
	for _, arn := range a.EnforcedGuardrailArns {
		f.check("EnforcedGuardrailArns", CheckEnforcedGuardrail(arn, ""))
	}
	f.check("DataRetentionModes", CheckDataRetentionModes(a.DataRetentionModes))
	f.check("ServiceTiers", CheckServiceTiers(a.ServiceTiers))
	f.reject(a.ReservedConcurrency < 0,
		"ReservedConcurrency: got %d, want 1 or more, or 0 for no reservation", a.ReservedConcurrency)
	return errors.Join(f...)
}

// NewBedrockFunction makes a BedrockFunction.
func NewBedrockFunction(
	ctx *pulumi.Context, name string, args *BedrockFunctionArgs, opts ...pulumi.ResourceOption,
) (*BedrockFunction, error) {
	return construct(ctx, name, &BedrockFunction{}, args, opts)
}

func (c *BedrockFunction) provision(s scope, a BedrockFunctionArgs) error {
	called, err := lookupModels(s, a)
	if err != nil {
		return fmt.Errorf("ModelIds: %w", err)
	}
	for _, arn := range a.EnforcedGuardrailArns {
		if err := CheckEnforcedGuardrail(arn, s.target.Region); err != nil {
			return fmt.Errorf("EnforcedGuardrailArns: %w", err)
		}
	}
	logGroup, err := s.newLogGroup("/aws/lambda/"+s.name, a.LogRetentionDays)
	if err != nil {
		return err
	}
	var guardrailArn, version pulumi.StringInput = pulumi.String(""), pulumi.String("")
	if a.GuardrailId != nil {
		guardrailArn = pulumi.Sprintf("%s%s", s.target.ARN("bedrock", "guardrail/"), a.GuardrailId)
		version = a.GuardrailVersion
	}
	permissions := pulumi.All(logGroup.Arn, a.BedrockRuntimeEndpointId, a.BedrockEndpointId, guardrailArn, version).ApplyT(
		func(v []any) (string, error) {
			guardrail := guardrailVersion{v[3].(string), v[4].(string)}
			return functionPolicy(v[0].(string), v[1].(string), v[2].(string), called, guardrail, a.EnforcedGuardrailArns,
				a.ServiceTiers)
		}).(pulumi.StringOutput)
	role, rolePolicy, err := s.newRole(iamdoc.Trust("lambda.amazonaws.com"), permissions)
	if err != nil {
		return err
	}
	c.BedrockRuntimeEndpointPolicy = pulumi.All(role.Arn, guardrailArn).ApplyT(func(v []any) (string, error) {
		return bedrockRuntimeEndpointPolicy(v[0].(string), called,
			applicableGuardrails(v[1].(string), a.EnforcedGuardrailArns))
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
			warnOfPolicy(s, endpoint.id, endpoint.policy)
			continue
		}
		policy, err := s.named("-"+endpoint.service).newEndpointPolicy(endpoint.id, endpoint.policy)
		if err != nil {
			return err
		}
		ready = append(ready, policy)
	}
	c.RoleArn, c.LogGroupName = role.Arn, logGroup.Name
	return c.newFunction(s, a, ready)
}

// newFunction makes the function when its policies are ready.
func (c *BedrockFunction) newFunction(s scope, a BedrockFunctionArgs, ready []pulumi.Resource) error {
	timeout := bufferedSeconds
	if *a.ResponseStreaming {
		timeout = streamedSeconds
	}
	var reserved pulumi.IntPtrInput
	if a.ReservedConcurrency > 0 { // with 0, Lambda never starts the function
		reserved = pulumi.Int(a.ReservedConcurrency)
	}
	function, err := lambda.NewFunction(s.ctx, s.name, &lambda.FunctionArgs{
		Code: a.Code, Runtime: pulumi.String("provided.al2023"), Handler: pulumi.String("bootstrap"),
		Architectures: pulumi.StringArray{pulumi.String(a.Architecture)}, MemorySize: pulumi.Int(a.MemoryMb),
		Timeout: pulumi.Int(timeout), ReservedConcurrentExecutions: reserved, Role: c.RoleArn, Tags: s.tags,
		VpcConfig:   &lambda.FunctionVpcConfigArgs{SubnetIds: a.SubnetIds, SecurityGroupIds: a.SecurityGroupIds},
		Environment: &lambda.FunctionEnvironmentArgs{Variables: a.environment()},
		// Both levels are set: with the JSON format AWS sets them itself, which previews would report as drift.
		LoggingConfig: &lambda.FunctionLoggingConfigArgs{
			LogFormat: pulumi.String("JSON"), LogGroup: c.LogGroupName,
			ApplicationLogLevel: pulumi.String("INFO"), SystemLogLevel: pulumi.String("INFO"),
		},
		// The function's own trace has times and request IDs, no path and no body.
		TracingConfig: &lambda.FunctionTracingConfigArgs{Mode: pulumi.String("Active")},
	}, s.options(pulumi.DependsOn(ready))...)
	if err != nil {
		return err
	}
	c.FunctionArn, c.FunctionName = function.Arn, function.Name
	return nil
}

// environment are the function's environment variables.
func (a BedrockFunctionArgs) environment() pulumi.StringMap {
	variables := pulumi.StringMap{
		contract.EnvModelIDs:           pulumi.String(strings.Join(a.ModelIds, ",")),
		contract.EnvResponseStreaming:  pulumi.String(strconv.FormatBool(*a.ResponseStreaming)),
		contract.EnvDataRetentionModes: pulumi.String(strings.Join(a.DataRetentionModes, ",")),
		contract.EnvServiceTiers:       pulumi.String(strings.Join(a.ServiceTiers, ",")),
	}
	if !*a.RequireInvocationLogging {
		variables[contract.EnvRequireInvocationLogging] = pulumi.String("false")
	}
	if a.InvocationLoggingConfiguration != nil {
		variables[contract.EnvLoggingConfiguration] = a.InvocationLoggingConfiguration
	}
	if a.AllowUnevaluatedTools {
		variables[contract.EnvAllowUnevaluatedTools] = pulumi.String("true")
	}
	if a.GuardrailId != nil {
		variables[contract.EnvGuardrailID], variables[contract.EnvGuardrailVersion] = a.GuardrailId, a.GuardrailVersion
	}
	return variables
}

// lookupModels asks AWS which models each inference profile routes to, and in which Regions: policies must name them
// all.
func lookupModels(s scope, a BedrockFunctionArgs) (called []models.Model, err error) {
	for _, id := range a.ModelIds {
		var routes []string
		if models.IsInferenceProfile(id) {
			profile, err := bedrock.LookupInferenceProfile(s.ctx, &bedrock.LookupInferenceProfileArgs{
				InferenceProfileId: id,
			}, s.lookup())
			if err != nil {
				return nil, fmt.Errorf("%s, is it offered in %s? %w", id, s.target.Region, err)
			}
			for _, m := range profile.Models {
				routes = append(routes, m.ModelArn)
			}
		}
		m, err := models.New(s.target, id, routes, a.AllowGlobalInference)
		if err != nil {
			return nil, err
		}
		called = append(called, m)
	}
	return called, nil
}
