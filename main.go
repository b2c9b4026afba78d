// Command private-bedrock is a Pulumi program: private, audited access to Amazon Bedrock.
package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error { return program(ctx, components.BuildFunctionZip) })
}

// program takes how the function is built, so that tests build it once and not for every stack.
func program(ctx *pulumi.Context, buildFunctionZip func(ctx context.Context, dir, architecture, file string) error) error {
	region, _ := ctx.GetConfig("aws:region")
	s, err := loadSettings(config.New(ctx, "").Get, ctx.Stack(), region)
	if err != nil {
		return fmt.Errorf("settings of stack %s are wrong; Pulumi.yaml describes each:\n%w", ctx.Stack(), err)
	}
	name := s.name()
	tags := pulumi.StringMap{"System": pulumi.String(s.SystemName), "Environment": pulumi.String(s.Environment)}

	services := []string{"execute-api", "bedrock-runtime", "bedrock"}
	if s.SsmClient {
		services = append(services, components.SsmClientServices...)
	}
	core, err := components.NewCoreVpc(ctx, name, &components.CoreVpcArgs{
		CidrBlock: s.VpcCidr, AvailabilityZones: s.AvailabilityZones, EndpointServices: services,
		FlowLogRetentionDays: s.LogRetentionDays, Tags: tags,
		VpcId: s.VpcId, SubnetIds: s.SubnetIds, EndpointIds: s.endpointIds(),
	})
	if err != nil {
		return err
	}
	endpointId := func(service string) pulumi.StringOutput { return core.EndpointIds.MapIndex(pulumi.String(service)) }

	logged := []pulumi.Resource{}
	var logBucketName, logGroupName, loggingConfiguration pulumi.StringInput
	watched := &components.MonitoringArgs{AlarmEmail: s.AlarmEmail, CustomerManagedKey: &s.CustomerManagedKey, StageName: s.StageName, Tags: tags}
	var logKeyArn pulumi.StringPtrInput
	reader := &components.AuditReaderArgs{AuditorArns: s.AuditorArns, Tags: tags}
	if s.ManageInvocationLogging {
		// Not named after the stack: when a component is renamed, the old one's setting is deleted after the new one is
		// made, and logging would be off.
		logging, err := components.NewBedrockLogging(ctx, "bedrock-logging", &components.BedrockLoggingArgs{
			LogRetentionDays: s.LogRetentionDays, CustomerManagedKey: &s.CustomerManagedKey,
			ArchiveAfterDays: s.ArchiveAfterDays, ArchiveStorageClass: s.ArchiveStorageClass, ExpireAfterDays: s.ExpireAfterDays,
			ObjectLockMode: s.ObjectLockMode, ObjectLockDays: s.ObjectLockDays, MaskPersonalData: s.MaskPersonalData, AdoptInvocationLogging: s.AdoptInvocationLogging, RetainLogs: &s.RetainLogs, Tags: tags,
		})
		if err != nil {
			return err
		}
		logged = append(logged, logging.Configuration)
		logBucketName, logGroupName, loggingConfiguration = logging.BucketName, logging.LogGroupName, logging.InvocationLoggingConfiguration
		watched.BucketNames, watched.LogGroupNames = pulumi.StringArray{logging.BucketName, logging.AccessLogBucketName}, pulumi.StringArray{logging.LogGroupName}
		if s.CustomerManagedKey {
			watched.KeyIds = pulumi.StringArray{logging.KeyId}
		}
		ctx.Export("logBucketName", logging.BucketName)
		ctx.Export("logGroupName", logging.LogGroupName)
		ctx.Export("logAccessBucketName", logging.AccessLogBucketName)
		ctx.Export("logKeyId", logging.KeyId)
		if s.CustomerManagedKey {
			logKeyArn = logging.KeyArn.ToStringPtrOutput()
		}
	}

	zip := filepath.Join(".build", "function-"+s.FunctionArchitecture+".zip")
	if err := buildFunctionZip(ctx.Context(), "function", s.FunctionArchitecture, zip); err != nil {
		return err
	}
	functionArgs := &components.BedrockFunctionArgs{
		Code: pulumi.NewFileArchive(zip), Architecture: s.FunctionArchitecture, MemoryMb: s.FunctionMemoryMb,
		RequireInvocationLogging: &s.RequireInvocationLogging, InvocationLoggingConfiguration: loggingConfiguration,
		DataRetentionModes: s.DataRetentionModes, ServiceTiers: s.ServiceTiers, AllowUnevaluatedTools: s.AllowUnevaluatedTools,
		EnforcedGuardrailArns: s.EnforcedGuardrailArns, ReservedConcurrency: s.ReservedConcurrency,
		ResponseStreaming: &s.ResponseStreaming, ModelIds: s.ModelIds, AllowGlobalInference: s.AllowGlobalInference,
		BedrockRuntimeEndpointId: endpointId("bedrock-runtime"), SharedBedrockRuntimeEndpoint: s.BedrockRuntimeEndpointId != "",
		BedrockEndpointId: endpointId("bedrock"), SharedBedrockEndpoint: s.BedrockEndpointId != "",
		SubnetIds: core.PrivateSubnetIds, SecurityGroupIds: pulumi.StringArray{core.FunctionSecurityGroupId},
		LogRetentionDays: s.LogRetentionDays, Tags: tags,
	}
	if s.GuardrailId != "" {
		functionArgs.GuardrailId, functionArgs.GuardrailVersion = pulumi.String(s.GuardrailId), pulumi.String(strconv.Itoa(s.GuardrailVersion))
	}
	if s.createsGuardrail() {
		guardrail, err := components.NewGuardrail(ctx, name+"-guardrail", &components.GuardrailArgs{
			ContentFilters: s.GuardrailContentFilters, BlockedWords: s.GuardrailBlockedWords, PiiEntities: s.GuardrailPiiEntities, Tags: tags,
		})
		if err != nil {
			return err
		}
		functionArgs.GuardrailId, functionArgs.GuardrailVersion = guardrail.GuardrailId, guardrail.Version
		ctx.Export("guardrailId", guardrail.GuardrailId)
		ctx.Export("guardrailVersion", guardrail.Version)
	}
	function, err := components.NewBedrockFunction(ctx, name+"-function", functionArgs)
	if err != nil {
		return err
	}

	if s.ManageInvocationLogging && s.AuditQueries {
		auditQuery, err := components.NewAuditQuery(ctx, "bedrock-audit", &components.AuditQueryArgs{LogBucketName: logBucketName, FunctionRoleArn: function.RoleArn, KeyArn: logKeyArn, Tags: tags})
		if err != nil {
			return err
		}
		watched.BucketNames = append(watched.BucketNames, auditQuery.ResultsBucketName)
		watched.DatabaseName, watched.WorkgroupName = auditQuery.DatabaseName, auditQuery.WorkgroupName
		reader.DatabaseName, reader.WorkgroupName, reader.ResultsBucketName = auditQuery.DatabaseName, auditQuery.WorkgroupName, auditQuery.ResultsBucketName
		ctx.Export("auditDatabaseName", auditQuery.DatabaseName)
		ctx.Export("auditWorkgroupName", auditQuery.WorkgroupName)
	}

	// No client can call before every call is recorded.
	api, err := components.NewPrivateApi(ctx, name+"-api", &components.PrivateApiArgs{
		FunctionArn: function.FunctionArn, ResponseStreaming: &s.ResponseStreaming, StageName: s.StageName,
		VpcEndpointIds: pulumi.StringArray{endpointId("execute-api")}, SharedVpcEndpoints: s.ExecuteApiEndpointId != "",
		ConsumerVpcEndpointIds: s.ConsumerVpcEndpointIds, Authorization: s.Authorization, CallerArns: s.CallerArns,
		ThrottlingRateLimit: float64(s.ThrottlingRateLimit), ThrottlingBurstLimit: s.ThrottlingBurstLimit,
		LogRetentionDays: s.LogRetentionDays, ManageApiGatewayAccount: s.ManageApiGatewayAccount, Tags: tags,
	}, pulumi.DependsOn(logged))
	if err != nil {
		return err
	}

	if s.Monitoring {
		watched.FunctionArn, watched.ApiId, watched.ApiName = function.FunctionArn, api.ApiId, api.ApiName
		watched.LogGroupNames = append(watched.LogGroupNames, function.LogGroupName, api.AccessLogGroupName)
		if !s.ResponseStreaming {
			watched.SlowMs = 20_000 // of the 29 seconds that API Gateway waits
		}
		monitoring, err := components.NewMonitoring(ctx, name+"-watch", watched)
		if err != nil {
			return err
		}
		ctx.Export("alarmTopicArn", monitoring.TopicArn)
	}
	if len(s.AuditorArns) > 0 {
		reader.LogBucketName, reader.LogGroupName, reader.AccessLogGroupName, reader.KeyArn = logBucketName, logGroupName, api.AccessLogGroupName, logKeyArn
		role, err := components.NewAuditReader(ctx, "bedrock-audit-reader", reader)
		if err != nil {
			return err
		}
		ctx.Export("auditReaderRoleArn", role.RoleArn)
	}

	if s.SsmClient {
		client, err := components.NewSsmClient(ctx, name+"-client", &components.SsmClientArgs{
			SubnetId: core.PrivateSubnetIds.Index(pulumi.Int(0)), SecurityGroupIds: pulumi.StringArray{core.ClientSecurityGroupId},
			SsmEndpointId: endpointId("ssm"), SsmMessagesEndpointId: endpointId("ssmmessages"), Tags: tags,
		})
		if err != nil {
			return err
		}
		ctx.Export("clientInstanceId", client.InstanceId)
	}
	// For the owners of endpoints that were brought.
	if s.ExecuteApiEndpointId != "" {
		ctx.Export("executeApiEndpointPolicy", api.VpcEndpointPolicy)
	}
	if s.BedrockRuntimeEndpointId != "" {
		ctx.Export("bedrockRuntimeEndpointPolicy", function.BedrockRuntimeEndpointPolicy)
	}
	if s.BedrockEndpointId != "" {
		ctx.Export("bedrockEndpointPolicy", function.BedrockEndpointPolicy)
	}
	ctx.Export("authorization", pulumi.String(s.Authorization))
	ctx.Export("apiId", api.ApiId)
	ctx.Export("invokeUrl", api.InvokeUrl)
	ctx.Export("accessLogGroupName", api.AccessLogGroupName)
	ctx.Export("functionName", function.FunctionName)
	ctx.Export("functionRoleArn", function.RoleArn)
	ctx.Export("vpcId", core.VpcId)
	ctx.Export("executeApiEndpointId", endpointId("execute-api"))
	ctx.Export("bedrockRuntimeEndpointId", endpointId("bedrock-runtime"))
	ctx.Export("clientSecurityGroupId", core.ClientSecurityGroupId)
	return nil
}
