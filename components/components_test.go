package components_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// all makes one of every component, as a user of the package would, without this project's main program.
func all(name string) pulumi.RunFunc { return allOf(name, func(string, pulumi.Output) {}) }

// allOf is all, and tells of every output.
func allOf(name string, told func(name string, output pulumi.Output)) pulumi.RunFunc {
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
		logging, err := components.NewBedrockLogging(ctx, name+"-logs", nil)
		if err != nil {
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
		api, err := components.NewPrivateApi(ctx, name+"-api", &components.PrivateApiArgs{
			FunctionArn: function.FunctionArn, VpcEndpointIds: pulumi.StringArray{endpointId("execute-api")},
			ManageApiGatewayAccount: name != "two", // one per account
		})
		if err != nil {
			return err
		}
		monitoring, err := components.NewMonitoring(ctx, name+"-watch", &components.MonitoringArgs{
			FunctionArn: function.FunctionArn, ApiId: api.ApiId, ApiName: api.ApiName, StageName: "api", AlarmEmail: "oncall@example.com",
			BucketNames: pulumi.StringArray{logging.BucketName}, LogGroupNames: pulumi.StringArray{logging.LogGroupName}, KeyIds: pulumi.StringArray{logging.KeyId},
		})
		if err != nil {
			return err
		}
		query, err := components.NewAuditQuery(ctx, name+"-audit", &components.AuditQueryArgs{LogBucketName: logging.BucketName, FunctionRoleArn: pulumi.String("arn:aws:iam::123456789012:role/app/function"), KeyArn: logging.KeyArn.ToStringPtrOutput()})
		if err != nil {
			return err
		}
		reader, err := components.NewAuditReader(ctx, name+"-reader", &components.AuditReaderArgs{
			AuditorArns: []string{"arn:aws:iam::123456789012:role/auditor"}, LogBucketName: logging.BucketName, LogGroupName: logging.LogGroupName,
			AccessLogGroupName: api.AccessLogGroupName, KeyArn: logging.KeyArn.ToStringPtrOutput(),
			DatabaseName: query.DatabaseName, WorkgroupName: query.WorkgroupName, ResultsBucketName: query.ResultsBucketName,
		})
		if err != nil {
			return err
		}
		client, err := components.NewSsmClient(ctx, name+"-client", &components.SsmClientArgs{
			SubnetId: core.PrivateSubnetIds.Index(pulumi.Int(0)), SecurityGroupIds: pulumi.StringArray{core.ClientSecurityGroupId},
			SsmEndpointId: endpointId("ssm"), SsmMessagesEndpointId: endpointId("ssmmessages"),
		})
		if err != nil {
			return err
		}
		for output, value := range map[string]pulumi.Output{
			"VpcId": core.VpcId, "PrivateSubnetIds": core.PrivateSubnetIds, "EndpointIds": core.EndpointIds,
			"ClientSecurityGroupId": core.ClientSecurityGroupId, "FunctionSecurityGroupId": core.FunctionSecurityGroupId,
			"GuardrailId": guardrail.GuardrailId, "Version": guardrail.Version,
			"BucketName": logging.BucketName, "LogGroupName": logging.LogGroupName, "AccessLogBucketName": logging.AccessLogBucketName, "KeyId": logging.KeyId, "KeyArn": logging.KeyArn,
			"InvocationLoggingConfiguration": logging.InvocationLoggingConfiguration,
			"DatabaseName":                   query.DatabaseName, "WorkgroupName": query.WorkgroupName, "ResultsBucketName": query.ResultsBucketName, "reader's RoleArn": reader.RoleArn,
			"FunctionArn": function.FunctionArn, "FunctionName": function.FunctionName, "RoleArn": function.RoleArn, "function's LogGroupName": function.LogGroupName,
			"BedrockRuntimeEndpointPolicy": function.BedrockRuntimeEndpointPolicy, "BedrockEndpointPolicy": function.BedrockEndpointPolicy,
			"ApiId": api.ApiId, "ApiName": api.ApiName, "TopicArn": monitoring.TopicArn, "InvokeUrl": api.InvokeUrl, "AccessLogGroupName": api.AccessLogGroupName, "VpcEndpointPolicy": api.VpcEndpointPolicy,
			"InstanceId": client.InstanceId,
		} {
			told(output, value)
		}
		return nil
	}
}

// An output that is another's leads whoever uses it to the wrong place.
func TestOutputs(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]string{}
	componentstest.Run(t, allOf("x", func(name string, output pulumi.Output) {
		output.ApplyT(func(value any) any {
			mu.Lock()
			defer mu.Unlock()
			got[name] = fmt.Sprint(value)
			return value
		})
	}))
	for name, want := range map[string]string{
		"VpcId": "x-id", "PrivateSubnetIds": "[x-private-ap-northeast-1a-id x-private-ap-northeast-1c-id]",
		"EndpointIds":           "map[bedrock:x-bedrock-id bedrock-runtime:x-bedrock-runtime-id execute-api:x-execute-api-id ssm:x-ssm-id ssmmessages:x-ssmmessages-id]",
		"ClientSecurityGroupId": "x-clients-id", "FunctionSecurityGroupId": "x-functions-id",
		"GuardrailId": "x-guardrail-id", "Version": "1", "BucketName": "x-logs", "LogGroupName": "/aws/bedrock/x-logs",
		"AccessLogBucketName": "x-logs-access", "KeyId": "x-logs-id", "KeyArn": "arn:aws:test:::x-logs",
		"InvocationLoggingConfiguration": `{"cloudWatchConfig":{"logGroupName":"/aws/bedrock/x-logs","roleArn":"arn:aws:test:::x-logs","largeDataDeliveryS3Config":{"bucketName":"x-logs-id","keyPrefix":"bedrock-large-data"}},"s3Config":{"bucketName":"x-logs-id","keyPrefix":"bedrock"}}`,
		"DatabaseName":                   "x_audit", "WorkgroupName": "x-audit", "ResultsBucketName": "x-audit", "reader's RoleArn": "arn:aws:test:::x-reader",
		"FunctionArn": "arn:aws:test:::x-function", "FunctionName": "x-function", "RoleArn": "arn:aws:test:::x-function", "function's LogGroupName": "/aws/lambda/x-function",
		"ApiId": "x-api-id", "ApiName": "x-api", "TopicArn": "arn:aws:test:::x-watch", "InvokeUrl": "https://x-api-id.execute-api.ap-northeast-1.amazonaws.com/api", "AccessLogGroupName": "/aws/apigateway/x-api",
		"InstanceId": "x-client-id", "VpcEndpointPolicy": "ThisApi", "BedrockRuntimeEndpointPolicy": "Models", "BedrockEndpointPolicy": "ReadAccountSettings",
	} {
		if value := got[name]; value != want && !(strings.HasSuffix(name, "Policy") && strings.Contains(value, `"Sid": "`+want+`"`)) {
			t.Errorf("%s = %s, want %s", name, value, want)
		}
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
				EnforcedGuardrailArns: []string{"g"}, DataRetentionModes: []string{}, ServiceTiers: []string{"fast"}, ReservedConcurrency: -1,
			})
			return err
		}, []string{
			`ModelIds: got "*"`, "LogRetentionDays: got -1", "GuardrailId, GuardrailVersion", `EnforcedGuardrailArns: got "g"`, "DataRetentionModes: got none",
			`ServiceTiers: got "fast"`, "ReservedConcurrency: got -1",
		}},
		"BedrockFunction out of the world": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Code: code, ModelIds: []string{"global.anthropic.claude-sonnet-5"}, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
			})
			return err
		}, []string{"global.anthropic.claude-sonnet-5", "allowGlobalInference"}},
		"BedrockFunction with a guardrail of another region": {func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Code: code, ModelIds: []string{"amazon.nova-lite-v1:0"}, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
				EnforcedGuardrailArns: []string{"arn:aws:bedrock:us-east-1:123456789012:guardrail/3o06191495ze"},
			})
			return err
		}, []string{"BedrockFunction x: EnforcedGuardrailArns", "us-east-1", "region ap-northeast-1"}},
		"PrivateApi with callers nobody asks for": {func(ctx *pulumi.Context) error {
			_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{
				FunctionArn: pulumi.String("arn"), VpcEndpointIds: pulumi.StringArray{pulumi.String("vpce-1")}, CallerArns: []string{"*"},
			})
			return err
		}, []string{"Authorization, CallerArns", "without AWS_IAM", `got "*"`}},
		"AuditQuery nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewAuditQuery(ctx, "x", nil)
			return err
		}, []string{"AuditQuery x", "LogBucketName: got none"}},
		"AuditQuery": {func(ctx *pulumi.Context) error {
			_, err := components.NewAuditQuery(ctx, "x", &components.AuditQueryArgs{LogBucketName: pulumi.String("b"), BytesScannedCutoffPerQuery: 9_999_999, ResultRetentionDays: -1})
			return err
		}, []string{"BytesScannedCutoffPerQuery: got 9999999", "ResultRetentionDays: got -1"}},
		"AuditReader nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewAuditReader(ctx, "x", nil)
			return err
		}, []string{"AuditReader x", "AuditorArns: got none", "LogBucketName, LogGroupName, AccessLogGroupName"}},
		"AuditReader of half the queries": {func(ctx *pulumi.Context) error {
			_, err := components.NewAuditReader(ctx, "x", &components.AuditReaderArgs{
				AuditorArns:   []string{"arn:aws:iam::123456789012:role/a"},
				LogBucketName: pulumi.String("b"), LogGroupName: pulumi.String("g"), AccessLogGroupName: pulumi.String("a"),
				DatabaseName: pulumi.String("d"), WorkgroupName: pulumi.String("w"),
			})
			return err
		}, []string{"DatabaseName, WorkgroupName, ResultsBucketName: got some of them"}},
		"AuditReader for everybody": {func(ctx *pulumi.Context) error {
			_, err := components.NewAuditReader(ctx, "x", &components.AuditReaderArgs{
				AuditorArns:   []string{"arn:aws:iam::123456789012:root", "*", "arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/a"},
				LogBucketName: pulumi.String("b"), LogGroupName: pulumi.String("g"), AccessLogGroupName: pulumi.String("a"),
			})
			return err
		}, []string{`got "arn:aws:iam::123456789012:root"`, `got "*"`, `"arn:aws:iam::123456789012:role/a" twice`}},
		"Guardrail nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, strings.Repeat("x", 51), nil)
			return err
		}, []string{"ContentFilters, BlockedWords, PiiEntities", "51 characters"}},
		"Guardrail with a filter twice": {func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, "x", &components.GuardrailArgs{ContentFilters: []string{"HATE", "HATE"}})
			return err
		}, []string{"Guardrail x", "ContentFilters", "HATE"}},
		"Guardrail with a filter that is none": {func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, "x", &components.GuardrailArgs{ContentFilters: []string{"HATE", "LOVE"}})
			return err
		}, []string{"Guardrail x", "ContentFilters", "LOVE"}},
		"CoreVpc of half an existing VPC": {func(ctx *pulumi.Context) error {
			_, err := components.NewCoreVpc(ctx, "x", &components.CoreVpcArgs{SubnetIds: []string{"subnet-1"}})
			return err
		}, []string{"CoreVpc x", "want their VPC"}},
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
			_, err := components.NewBedrockLogging(ctx, "x", &components.BedrockLoggingArgs{
				LogRetentionDays: 4, ArchiveStorageClass: "TAPE", ObjectLockMode: "COMPLIANCE", ObjectLockDays: 1, RetainLogs: pulumi.BoolRef(false),
			})
			return err
		}, []string{"BedrockLogging x", "LogRetentionDays: got 4", `ExpireAfterDays: got "TAPE"`, "ObjectLockDays: got COMPLIANCE"}},
		"Monitoring nil": {func(ctx *pulumi.Context) error {
			_, err := components.NewMonitoring(ctx, strings.Repeat("x", 55), nil)
			return err
		}, []string{"Monitoring x", "FunctionArn, ApiId, ApiName, StageName", "55 characters, want at most 54"}},
		"Monitoring": {func(ctx *pulumi.Context) error {
			_, err := components.NewMonitoring(ctx, "x", &components.MonitoringArgs{AlarmEmail: "oncall", SlowMs: -1, DatabaseName: pulumi.String("d")})
			return err
		}, []string{`AlarmEmail: got "oncall"`, "SlowMs: got -1", "DatabaseName, WorkgroupName: got one of the two"}},
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

// One argument that is missing must be named, as all of them.
func TestEachArgumentIsRequired(t *testing.T) {
	t.Parallel()
	function := func(without func(*components.BedrockFunctionArgs)) pulumi.RunFunc {
		a := components.BedrockFunctionArgs{
			Code: pulumi.NewAssetArchive(map[string]any{}), ModelIds: []string{"amazon.nova-lite-v1:0"}, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
			BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
			GuardrailId: pulumi.String("g"), GuardrailVersion: pulumi.String("1"),
		}
		without(&a)
		return func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &a)
			return err
		}
	}
	client := func(without func(*components.SsmClientArgs)) pulumi.RunFunc {
		a := components.SsmClientArgs{
			SubnetId: pulumi.String("subnet-1"), SecurityGroupIds: pulumi.StringArray{}, SsmEndpointId: pulumi.String("vpce-1"), SsmMessagesEndpointId: pulumi.String("vpce-2"),
		}
		without(&a)
		return func(ctx *pulumi.Context) error {
			_, err := components.NewSsmClient(ctx, "x", &a)
			return err
		}
	}
	for _, c := range []struct {
		program pulumi.RunFunc
		want    string
	}{
		{function(func(*components.BedrockFunctionArgs) {}), ""},
		{function(func(a *components.BedrockFunctionArgs) { a.Code = nil }), "Code"},
		{function(func(a *components.BedrockFunctionArgs) { a.ModelIds = nil }), "ModelIds"},
		{function(func(a *components.BedrockFunctionArgs) { a.SubnetIds = nil }), "SubnetIds"},
		{function(func(a *components.BedrockFunctionArgs) { a.SecurityGroupIds = nil }), "SecurityGroupIds"},
		{function(func(a *components.BedrockFunctionArgs) { a.BedrockRuntimeEndpointId = nil }), "BedrockRuntimeEndpointId"},
		{function(func(a *components.BedrockFunctionArgs) { a.BedrockEndpointId = nil }), "BedrockEndpointId"},
		{function(func(a *components.BedrockFunctionArgs) { a.GuardrailId = nil }), "GuardrailId"},
		{function(func(a *components.BedrockFunctionArgs) { a.GuardrailVersion = nil }), "GuardrailVersion"},
		{client(func(*components.SsmClientArgs) {}), ""},
		{client(func(a *components.SsmClientArgs) { a.SubnetId = nil }), "SubnetId"},
		{client(func(a *components.SsmClientArgs) { a.SecurityGroupIds = nil }), "SecurityGroupIds"},
		{client(func(a *components.SsmClientArgs) { a.SsmEndpointId = nil }), "SsmEndpointId"},
		{client(func(a *components.SsmClientArgs) { a.SsmMessagesEndpointId = nil }), "SsmMessagesEndpointId"},
	} {
		if _, err := componentstest.Record(c.program); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("without %q: %v", c.want, err)
		}
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
		{"aws:lambda/function:Function", "x-function", "timeout", "900"},
		{"aws:lambda/function:Function", "x-function", "reservedConcurrentExecutions", "<nil>"},
		{"aws:lambda/function:Function", "x-function", "environment", "map[variables:map[DATA_RETENTION_MODES:default,none,inherit GUARDRAIL_ID:x-guardrail-id GUARDRAIL_VERSION:1 MODEL_IDS:anthropic.claude-haiku-4-5-20251001-v1:0 RESPONSE_STREAMING:true SERVICE_TIERS:default]]"},
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
		"the role whose rights these are":          {"aws:lambda/function:Function", "x-function", "role", "arn:aws:test:::x-function"},
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
		"records that S3's own key opens":          {"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x-logs", "rules", "kmsMasterKeyId:arn:aws:test:::x-logs sseAlgorithm:aws:kms"},
		"a fee of KMS's for each record":           {"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x-logs", "rules", "bucketKeyEnabled:true"},
		"records that Logs' own key opens":         {"aws:cloudwatch/logGroup:LogGroup", "x-logs", "kmsKeyId", "arn:aws:test:::x-logs"},
		"a key that grows old":                     {"aws:kms/key:Key", "x-logs", "enableKeyRotation", "true"},
		"30 days to take its deletion back":        {"aws:kms/key:Key", "x-logs", "deletionWindowInDays", "30"},
		"the key's name":                           {"aws:kms/alias:Alias", "x-logs", "name", "alias/x-logs"},
		"the key of that name":                     {"aws:kms/alias:Alias", "x-logs", "targetKeyId", "x-logs-id"},
		"who read or deleted a record":             {"aws:s3/bucketLoggingV2:BucketLoggingV2", "x-logs", "targetBucket", "x-logs-access-id"},
		"whose records those are":                  {"aws:s3/bucketLoggingV2:BucketLoggingV2", "x-logs", "bucket", "x-logs-id"},
		"an access log that somebody overwrote":    {"aws:s3/bucketVersioningV2:BucketVersioningV2", "x-logs-access", "versioningConfiguration", "status:Enabled"},
		"S3's delivery of the access log":          {"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x-logs-access", "rules", "sseAlgorithm:AES256"},
		"an access log that is public":             {"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "x-logs-access", "restrictPublicBuckets", "true"},
		"alarms about the log's key, with it":      {"aws:sns/topic:Topic", "x-watch", "kmsMasterKeyId", "arn:aws:test:::x-watch"},
		"whom an alarm tells":                      {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-refused", "alarmActions", "[arn:aws:test:::x-watch]"},
		"that an alarm is over":                    {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-refused", "okActions", "[arn:aws:test:::x-watch]"},
		"refusals of this function":                {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-refused", "metricQueries", "WHERE FunctionName = 'x-function'"},
		"errors of this function":                  {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-errors", "dimensions", "map[FunctionName:x-function]"},
		"latency, which is no sum":                 {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-api-latency", "extendedStatistic", "p90"},
		"an alarm at its threshold":                {"aws:cloudwatch/metricAlarm:MetricAlarm", "x-watch-errors", "comparisonOperator", "GreaterThanOrEqualToThreshold"},
		"whom a rule tells":                        {"aws:cloudwatch/eventTarget:EventTarget", "x-watch-keys", "arn", "arn:aws:test:::x-watch"},
		"which rule that is":                       {"aws:cloudwatch/eventTarget:EventTarget", "x-watch-keys", "rule", "x-watch-keys"},
		"the alarm on the topic's own key":         {"aws:cloudwatch/eventRule:EventRule", "x-watch-keys", "eventPattern", `{"suffix":"x-watch-id"}`},
		"whom the topic tells":                     {"aws:sns/topicSubscription:TopicSubscription", "x-watch", "topic", "arn:aws:test:::x-watch"},
		"a dashboard of this function":             {"aws:cloudwatch/dashboard:Dashboard", "x-watch", "dashboardBody", `FunctionName=\"x-function\"`},
		"results in the clear":                     {"aws:athena/workgroup:Workgroup", "x-audit", "configuration", "encryptionConfiguration:map[encryptionOption:SSE_KMS kmsKeyArn:arn:aws:test:::x-logs]"},
		"results where their reader likes":         {"aws:athena/workgroup:Workgroup", "x-audit", "configuration", "enforceWorkgroupConfiguration:true"},
		"results in somebody else's bucket":        {"aws:athena/workgroup:Workgroup", "x-audit", "configuration", "expectedBucketOwner:123456789012 outputLocation:s3://x-audit/"},
		"a query that reads years":                 {"aws:athena/workgroup:Workgroup", "x-audit", "configuration", "bytesScannedCutoffPerQuery:1.073741824e+11"},
		"restored records":                         {"aws:athena/workgroup:Workgroup", "x-audit", "configuration", "selectedEngineVersion:Athena engine version 3"},
		"results that S3's own key opens":          {"aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "x-audit", "rules", "kmsMasterKeyId:arn:aws:test:::x-logs sseAlgorithm:aws:kms"},
		"results that stay":                        {"aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "x-audit", "rules", "expiration:map[days:7] filter:map[prefix:] id:expire noncurrentVersionExpiration:map[noncurrentDays:1] status:Enabled"},
		"results that are public":                  {"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "x-audit", "restrictPublicBuckets", "true"},
		"results over plain HTTP":                  {"aws:s3/bucketPolicy:BucketPolicy", "x-audit", "policy", "OnlyOverTLS"},
		"the table of this bucket":                 {"aws:glue/catalogTable:CatalogTable", "x-audit", "storageDescriptor", "location:s3://x-logs/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/"},
		"the table in its database":                {"aws:glue/catalogTable:CatalogTable", "x-audit", "databaseName", "x_audit"},
		"a saved query in its workgroup":           {"aws:athena/namedQuery:NamedQuery", "x-audit-text-search", "workgroup", "x-audit"},
		"callers that metadata claims":             {"aws:athena/namedQuery:NamedQuery", "x-audit-calls-by-caller", "query", "'arn:aws:sts::123456789012:assumed-role/function/') = 1"},
		"who may read the log":                     {"aws:iam/role:Role", "x-reader", "assumeRolePolicy", "arn:aws:iam::123456789012:role/auditor"},
		"what they may read":                       {"aws:iam/rolePolicy:RolePolicy", "x-reader-policy", "policy", "arn:aws:s3:::x-logs/bedrock/AWSLogs/123456789012"},
		"a key for them":                           {"aws:iam/rolePolicy:RolePolicy", "x-reader-policy", "policy", `"arn:aws:test:::x-logs"`},
		"a bucket that can be taken down":          {"aws:s3/bucketV2:BucketV2", "x-audit", "forceDestroy", "true"},
		"queries for them":                         {"aws:iam/rolePolicy:RolePolicy", "x-reader-policy", "policy", "arn:aws:athena:ap-northeast-1:123456789012:workgroup/x-audit"},
		"the client's credentials":                 {"aws:ec2/instance:Instance", "x-client", "metadataOptions", "httpTokens:required"},
		"the client's disk in the clear":           {"aws:ec2/instance:Instance", "x-client", "rootBlockDevice", "encrypted:true"},
		"a group that admits by default":           {"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "x-default", "vpcId", "x-id"},
	} {
		if got := fmt.Sprint(r.Inputs(t, c.typ, c.name)[c.input]); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s %s: %s = %s, want %s", lost, c.typ, c.name, c.input, got, c.want)
		}
	}
}

// A rule between other groups than these shuts out the callers, or lets clients call Bedrock past the API; an endpoint of
// another service, or in no VPC, answers nobody.
func TestWaysInTheVpc(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	var rules []string
	for _, one := range r {
		switch from, to := one.Inputs["securityGroupId"], one.Inputs["referencedSecurityGroupId"]; one.Type {
		case "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule":
			rules = append(rules, fmt.Sprintf("%v to %v %v", from, to, one.Inputs["ipProtocol"]))
		case "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
			rules = append(rules, fmt.Sprintf("%v from %v %v", from, to, one.Inputs["ipProtocol"]))
		}
	}
	slices.Sort(rules)
	if want := []string{
		"x-client-endpoints-id from x-clients-id tcp", "x-clients-id to x-client-endpoints-id tcp",
		"x-function-endpoints-id from x-functions-id tcp", "x-functions-id to x-function-endpoints-id tcp",
	}; !slices.Equal(rules, want) {
		t.Errorf("rules %q, want %q", rules, want)
	}
	for _, typ := range []string{"aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/securityGroup:SecurityGroup"} {
		for _, one := range r.OfType(typ) {
			if tags, _ := one.Inputs["tags"].(map[string]any); one.Inputs["vpcId"] != "x-id" || tags["Name"] != one.Name {
				t.Errorf("%s is in %v, and its tags are %v", one.Name, one.Inputs["vpcId"], tags)
			}
		}
	}
	for _, endpoint := range r.OfType("aws:ec2/vpcEndpoint:VpcEndpoint") {
		if service := "com.amazonaws.ap-northeast-1." + strings.TrimPrefix(endpoint.Name, "x-"); endpoint.Inputs["serviceName"] != service || endpoint.Inputs["vpcEndpointType"] != "Interface" {
			t.Errorf("%s is a %v endpoint of %v, want %s", endpoint.Name, endpoint.Inputs["vpcEndpointType"], endpoint.Inputs["serviceName"], service)
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
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "policy", "Models OnlyTheseServiceTiers NeverWithoutTheGuardrail ApplyGuardrail ReadAccountSettings OwnLog Traces NetworkInterfaces NotByTheCode NothingElse"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "policy", "Models ApplyGuardrail"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock", "policy", "ReadAccountSettings"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssm", "policy", "SessionManager"},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssmmessages", "policy", "SessionManager"},
		{"aws:s3/bucketPolicy:BucketPolicy", "x-logs", "policy", "BedrockWritesInvocationRecords OnlyOverTLS"},
		{"aws:s3/bucketPolicy:BucketPolicy", "x-logs-access", "policy", "S3WritesTheAccessLog OnlyOverTLS"},
		{"aws:kms/key:Key", "x-logs", "policy", "AccountDecidesByIam BedrockEncryptsRecords CloudWatchLogsEncryptsTheGroup"},
		{"aws:iam/role:Role", "x-logs", "assumeRolePolicy", "OnlyForThisAccount"},
		{"aws:iam/rolePolicy:RolePolicy", "x-logs-policy", "policy", "InvocationLog KeyThroughCloudWatchLogs"},
		{"aws:sns/topicPolicy:TopicPolicy", "x-watch", "policy", "AlarmsPublish RulesPublish OnlyOverTLS"},
		{"aws:kms/key:Key", "x-watch", "policy", "AccountDecidesByIam AlarmsAreEncrypted RulesAreEncrypted"},
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

// A policy that names another role, endpoint or guardrail than its own lets somebody else in, or nobody.
func TestPoliciesNameTheirOwn(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	const function, client = `"aws:PrincipalArn":["arn:aws:test:::x-function"]`, `"aws:PrincipalArn":["arn:aws:test:::x-client"]`
	const guardrail = "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/x-guardrail-id"
	for _, c := range []struct{ typ, name, sid, want string }{
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "Models", `"aws:SourceVpce":["x-bedrock-runtime-id"]`},
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "ReadAccountSettings", `"aws:SourceVpce":["x-bedrock-id"]`},
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "NeverWithoutTheGuardrail", `"bedrock:GuardrailIdentifier":["` + guardrail + `:1"]`},
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "ApplyGuardrail", `"Resource":["` + guardrail + `"]`},
		{"aws:iam/rolePolicy:RolePolicy", "x-function-policy", "OwnLog", `"Resource":["arn:aws:test:::x-function:log-stream:*"]`},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "Models", function},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "ApplyGuardrail", function},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock-runtime", "ApplyGuardrail", `"Resource":["` + guardrail + `"]`},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-function-bedrock", "ReadAccountSettings", function},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssm", "SessionManager", client},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssm", "SessionManager", `"Action":["ssm:UpdateInstanceInformation"]`},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssmmessages", "SessionManager", client},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-client-ssmmessages", "SessionManager", "ssmmessages:CreateControlChannel"},
		{"aws:iam/rolePolicy:RolePolicy", "x-logs-policy", "KeyThroughCloudWatchLogs", `"Resource":["arn:aws:test:::x-logs"]`},
		{"aws:kms/key:Key", "x-logs", "CloudWatchLogsEncryptsTheGroup", `"kms:EncryptionContext:aws:logs:arn":["arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/bedrock/x-logs"]`},
		{"aws:s3/bucketPolicy:BucketPolicy", "x-logs-access", "S3WritesTheAccessLog", `"aws:SourceArn":["arn:aws:test:::x-logs"]`},
		{"aws:s3/bucketPolicy:BucketPolicy", "x-logs-access", "S3WritesTheAccessLog", `"Resource":["arn:aws:test:::x-logs-access/*"]`},
		{"aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-api-0", "ThisApi", `"Resource":["arn:aws:execute-api:::x-api/*"]`},
		{"aws:apigateway/restApi:RestApi", "x-api", "OnlyThroughTheseEndpoints", `"aws:SourceVpce":["x-execute-api-id"]`},
	} {
		var document struct{ Statement []map[string]any }
		if err := json.Unmarshal([]byte(r.Inputs(t, c.typ, c.name)["policy"].(string)), &document); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, s := range document.Statement {
			statement, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			found = found || s["Sid"] == c.sid && strings.Contains(string(statement), c.want)
		}
		if !found {
			t.Errorf("%s %s: no statement %s holds %s", c.typ, c.name, c.sid, c.want)
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
		for _, want := range []string{"BucketPolicy::", "BucketPublicAccessBlock::", "BucketOwnershipControls::", "BucketVersioningV2::", "RolePolicy::", "LogGroup::",
			"BucketServerSideEncryptionConfigurationV2::", "BucketLoggingV2::"} {
			if !strings.Contains(waits, want) {
				t.Errorf("does not wait for %s, only for\n%s", want, waits)
			}
		}
	}
}

// What serves before its policies are there answers with errors, or lets in whoever the old ones let in.
func TestNothingStartsEarly(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, all("x"))
	for typ, wants := range map[string][]string{
		"aws:bedrock/guardrailVersion:GuardrailVersion": {"Guardrail::x-guardrail"},
		"aws:lambda/function:Function": {
			"RolePolicy::x-function-policy", "VpcEndpointPolicy::x-function-bedrock-runtime", "VpcEndpointPolicy::x-function-bedrock", "GuardrailVersion::x-guardrail",
		},
		"aws:apigateway/stage:Stage": {"VpcEndpointPolicy::x-api-0", "Permission::x-api", "Account::api-gateway-account"},
		"aws:ec2/instance:Instance":  {"RolePolicy::x-client-policy", "VpcEndpointPolicy::x-client-ssm", "VpcEndpointPolicy::x-client-ssmmessages"},
	} {
		for _, one := range r.OfType(typ) {
			for _, want := range wants {
				if !slices.ContainsFunc(one.Dependencies, func(urn string) bool { return strings.HasSuffix(urn, want) }) {
					t.Errorf("%s does not wait for %s, only for\n%s", typ, want, strings.Join(one.Dependencies, "\n"))
				}
			}
		}
	}
}

// existing answers as AWS of a VPC that is there already, with an execute-api endpoint of its owner's. change, if any, has
// the last word.
func existing(change func(token string, args, answer map[string]any, err error) (map[string]any, error)) []componentstest.Option {
	const vpc, endpoint = "vpc-0123456789abcdef0", "vpce-0123456789abcdef0"
	answers := map[string]func(args map[string]any) (map[string]any, error){
		"aws:ec2/getVpc:getVpc": func(map[string]any) (map[string]any, error) {
			return map[string]any{"enableDnsSupport": true, "enableDnsHostnames": true}, nil
		},
		"aws:ec2/getSubnet:getSubnet": func(args map[string]any) (map[string]any, error) {
			id := args["id"].(string)
			return map[string]any{"vpcId": vpc, "availabilityZone": componentstest.Region + id[len(id)-1:]}, nil
		},
		"aws:ec2/getVpcEndpoint:getVpcEndpoint": func(args map[string]any) (map[string]any, error) {
			switch {
			case args["id"] == endpoint:
				return map[string]any{
					"vpcId": vpc, "serviceName": "com.amazonaws.ap-northeast-1.execute-api", "vpcEndpointType": "Interface", "state": "available",
					"privateDnsEnabled": true, "securityGroupIds": []any{"sg-0123456789abcdef0", "sg-0123456789abcdef1"},
				}, nil
			case args["vpcId"] != vpc || args["state"] != "available":
				return nil, fmt.Errorf("AWS is asked for any endpoint: %v", args)
			case args["serviceName"] == "com.amazonaws.ap-northeast-1.bedrock": // made by an earlier deployment of this program
				return map[string]any{"id": "vpce-1", "privateDnsEnabled": true, "tags": map[string]any{"Name": "x-bedrock"}}, nil
			case args["serviceName"] == "com.amazonaws.ap-northeast-1.bedrock-runtime":
				return nil, errors.New("no matching EC2 VPC Endpoint found")
			}
			return nil, fmt.Errorf("AWS is asked for another endpoint: %v", args)
		},
	}
	var options []componentstest.Option
	for token, answer := range answers {
		options = append(options, componentstest.Answer(token, func(args map[string]any) (map[string]any, error) {
			out, err := answer(args)
			if change == nil {
				return out, err
			}
			return change(token, args, out, err)
		}))
	}
	return options
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
	r := componentstest.Run(t, inExistingVpc, existing(nil)...)
	for typ, want := range map[string]int{
		"aws:ec2/vpc:Vpc": 0, "aws:ec2/subnet:Subnet": 0, "aws:ec2/routeTable:RouteTable": 0, "aws:ec2/flowLog:FlowLog": 0,
		"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 0, "aws:ec2/vpcEndpoint:VpcEndpoint": 2, "aws:ec2/securityGroup:SecurityGroup": 4,
	} {
		if got := len(r.OfType(typ)); got != want {
			t.Errorf("%d of %s, want %d", got, typ, want)
		}
	}
	for _, typ := range []string{"aws:ec2/vpcEndpoint:VpcEndpoint", "aws:ec2/securityGroup:SecurityGroup"} {
		for _, one := range r.OfType(typ) {
			if one.Inputs["vpcId"] != "vpc-0123456789abcdef0" {
				t.Errorf("%s is in %v", one.Name, one.Inputs["vpcId"])
			}
		}
	}
	if ids := fmt.Sprint(r.Inputs(t, "aws:ec2/vpcEndpoint:VpcEndpoint", "x-bedrock-runtime")["subnetIds"]); ids != "[subnet-0123456789abcde0a subnet-0123456789abcde0c]" {
		t.Errorf("the new endpoint is in %s", ids)
	}
}

// Endpoints that were brought are used, and admit their callers and nobody else's. AWS refuses a rule that is there already.
func TestBroughtEndpointsAreUsed(t *testing.T) {
	t.Parallel()
	const vpc = "vpc-0123456789abcdef0"
	ids := map[string]string{"execute-api": "vpce-0000000000000000a", "bedrock-runtime": "vpce-0000000000000000b", "bedrock": "vpce-0000000000000000c"}
	for name, c := range map[string]struct {
		groups map[string]string // by the endpoint
		want   []string          // rules of the brought groups
	}{
		"a group each": {map[string]string{ids["execute-api"]: "sg-a", ids["bedrock-runtime"]: "sg-b", ids["bedrock"]: "sg-c"},
			[]string{"sg-a from x-clients-id", "sg-b from x-functions-id", "sg-c from x-functions-id", "x-clients-id to sg-a", "x-functions-id to sg-b", "x-functions-id to sg-c"}},
		"the function's in one": {map[string]string{ids["execute-api"]: "sg-a", ids["bedrock-runtime"]: "sg-b", ids["bedrock"]: "sg-b"},
			[]string{"sg-a from x-clients-id", "sg-b from x-functions-id", "x-clients-id to sg-a", "x-functions-id to sg-b"}},
	} {
		var used atomic.Value
		r := componentstest.Run(t, func(ctx *pulumi.Context) error {
			core, err := components.NewCoreVpc(ctx, "x", &components.CoreVpcArgs{VpcId: vpc, SubnetIds: []string{"subnet-0123456789abcde0a"}, EndpointIds: ids})
			if err == nil {
				ctx.Export("used", core.EndpointIds.ApplyT(func(ids map[string]string) map[string]string { // the run waits for what it exports
					used.Store(ids)
					return ids
				}))
			}
			return err
		}, append(existing(nil), componentstest.Answer("aws:ec2/getVpcEndpoint:getVpcEndpoint", func(args map[string]any) (map[string]any, error) {
			for service, id := range ids {
				if args["id"] == id {
					return map[string]any{
						"vpcId": vpc, "serviceName": "com.amazonaws.ap-northeast-1." + service, "vpcEndpointType": "Interface", "state": "available",
						"privateDnsEnabled": true, "securityGroupIds": []any{c.groups[id], "sg-other"},
					}, nil
				}
			}
			return nil, fmt.Errorf("AWS is asked for %v", args)
		}))...)
		var got []string
		for _, rule := range r.OfType("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") {
			if group := fmt.Sprint(rule.Inputs["securityGroupId"]); strings.HasPrefix(group, "sg-") {
				got = append(got, fmt.Sprint(group, " from ", rule.Inputs["referencedSecurityGroupId"]))
			}
		}
		for _, rule := range r.OfType("aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule") {
			if group := fmt.Sprint(rule.Inputs["referencedSecurityGroupId"]); strings.HasPrefix(group, "sg-") {
				got = append(got, fmt.Sprint(rule.Inputs["securityGroupId"], " to ", group))
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: rules %q, want %q", name, got, c.want)
		}
		if made := r.OfType("aws:ec2/vpcEndpoint:VpcEndpoint"); len(made) > 0 || !maps.Equal(used.Load().(map[string]string), ids) {
			t.Errorf("%s: uses %v, makes %v", name, used.Load(), made)
		}
	}
}

// A VPC that will not do is refused before anything is made in it, and one that will is not.
func TestExistingVpcIsChecked(t *testing.T) {
	t.Parallel()
	const vpcToken, subnetToken, endpointToken = "aws:ec2/getVpc:getVpc", "aws:ec2/getSubnet:getSubnet", "aws:ec2/getVpcEndpoint:getVpcEndpoint"
	for _, c := range []struct {
		token, asked, field string // asked is in the lookup's arguments
		value               any
		want                string
	}{
		{vpcToken, "vpc-", "enableDnsHostnames", false, "enableDnsSupport true and enableDnsHostnames false"},
		{vpcToken, "vpc-", "enableDnsSupport", false, "enableDnsSupport false and enableDnsHostnames true"},
		{vpcToken, "vpc-", "error", "gone", "VpcId: vpc-0123456789abcdef0: gone"},
		{subnetToken, "e0c", "vpcId", "vpc-other", "SubnetIds: subnet-0123456789abcde0c is in vpc-other"},
		{subnetToken, "e0c", "availabilityZone", "ap-northeast-1z", "subnet-0123456789abcde0c is in ap-northeast-1z, which does not offer bedrock;"},
		{subnetToken, "e0c", "error", "gone", "SubnetIds: subnet-0123456789abcde0c: gone"},
		{endpointToken, "vpce-0", "vpcId", "vpc-other", "EndpointIds: vpce-0123456789abcdef0 is in vpc-other"},
		{endpointToken, "vpce-0", "serviceName", "s3", "endpoint of s3"},
		{endpointToken, "vpce-0", "vpcEndpointType", "Gateway", "is a Gateway endpoint"},
		{endpointToken, "vpce-0", "state", "pending", "vpce-0123456789abcdef0 is pending"},
		{endpointToken, "vpce-0", "privateDnsEnabled", false, "has no private DNS"},
		{endpointToken, "vpce-0", "securityGroupIds", []any{}, "has no security group"},
		{endpointToken, "vpce-0", "error", "gone", "EndpointIds: vpce-0123456789abcdef0: gone"},
		{endpointToken, "bedrock ", "tags", map[string]any{"Name": "x-other"}, "has vpce-1 for bedrock already"},
		{endpointToken, "bedrock-runtime ", "id", "vpce-2", ""},                                // without private DNS: in nobody's way
		{endpointToken, "bedrock-runtime ", "error", "multiple EC2 VPC Endpoints matched", ""}, // one may be the component's own
		{endpointToken, "bedrock-runtime ", "error", "RequestLimitExceeded", "endpoints of bedrock-runtime in vpc-0123456789abcdef0"},
	} {
		r, err := componentstest.Record(inExistingVpc, existing(func(token string, args, answer map[string]any, err error) (map[string]any, error) {
			switch {
			case token != c.token || !strings.Contains(fmt.Sprint(args["id"], args["serviceName"], " "), c.asked):
				return answer, err
			case c.field == "error":
				return nil, errors.New(c.value.(string))
			}
			changed := map[string]any{c.field: c.value}
			for field, value := range answer {
				if field != c.field {
					changed[field] = value
				}
			}
			return changed, nil
		})...)
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "CoreVpc x: ")) {
			t.Errorf("%s %s = %v: %v, want %q", c.token, c.field, c.value, err, c.want)
		}
		for _, one := range r {
			if strings.HasPrefix(one.Type, "aws:") && c.want != "" {
				t.Errorf("%s %s = %v: %s %s was made all the same", c.token, c.field, c.value, one.Type, one.Name)
			}
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

// AWS is asked about inference profiles and nothing else, and what it answers is what the role may call.
func TestInferenceProfilesAreLookedUp(t *testing.T) {
	t.Parallel()
	const own = "arn:aws:bedrock:ap-northeast-1:123456789012:"
	const profile, application = "jp.amazon.nova-2-lite-v1:0", own + "application-inference-profile/a1b2c3d4e5f6"
	told := map[any][]string{
		profile:     {"arn:aws:bedrock:ap-northeast-1::foundation-model/one", "arn:aws:bedrock:ap-northeast-3::foundation-model/two"},
		application: {"arn:aws:bedrock:::foundation-model/three"},
	}
	for _, c := range []struct {
		models []string
		global bool
		want   string
	}{
		{[]string{"amazon.nova-lite-v1:0", profile, application, own + "provisioned-model/a1b2c3d4e5f6"}, true, ""},
		{[]string{application}, false, "allowGlobalInference"},
		{[]string{"eu.amazon.nova-2-lite-v1:0"}, true, "BedrockFunction x: ModelIds: eu.amazon.nova-2-lite-v1:0, is it offered in ap-northeast-1?"},
	} {
		r, err := componentstest.Record(func(ctx *pulumi.Context) error {
			_, err := components.NewBedrockFunction(ctx, "x", &components.BedrockFunctionArgs{
				Code: pulumi.NewAssetArchive(map[string]any{}), ModelIds: c.models, AllowGlobalInference: c.global, SubnetIds: pulumi.StringArray{}, SecurityGroupIds: pulumi.StringArray{},
				BedrockRuntimeEndpointId: pulumi.String("vpce-1"), BedrockEndpointId: pulumi.String("vpce-2"),
			})
			return err
		}, componentstest.Answer("aws:bedrock/getInferenceProfile:getInferenceProfile", func(args map[string]any) (map[string]any, error) {
			routes, known := told[args["inferenceProfileId"]]
			if !known {
				return nil, errors.New("no such profile")
			}
			var models []any
			for _, route := range routes {
				models = append(models, map[string]any{"modelArn": route})
			}
			return map[string]any{"models": models}, nil
		}))
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) || len(r.OfType("aws:iam/role:Role")) > 0 {
				t.Errorf("%v: %v, want %q and no role", c.models, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, policy := range []string{
			r.Inputs(t, "aws:iam/rolePolicy:RolePolicy", "x-policy")["policy"].(string),
			r.Inputs(t, "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "x-bedrock-runtime")["policy"].(string),
		} {
			for _, model := range []string{"foundation-model/amazon.nova-lite-v1:0", "foundation-model/one", "foundation-model/two", "foundation-model/three", profile, application, "provisioned-model/a1b2c3d4e5f6"} {
				if !strings.Contains(policy, model+`"`) {
					t.Errorf("no %s in %s", model, policy)
				}
			}
		}
	}
}

// An endpoint of an API's that has no policy leads to every other API as well; another VPC's is its owner's.
func TestEveryEndpointOfAnApiHasItsPolicy(t *testing.T) {
	t.Parallel()
	r := componentstest.Run(t, func(ctx *pulumi.Context) error {
		_, err := components.NewPrivateApi(ctx, "x", &components.PrivateApiArgs{
			FunctionArn: pulumi.String("arn"), VpcEndpointIds: pulumi.StringArray{pulumi.String("vpce-1"), pulumi.String("vpce-2")}, ConsumerVpcEndpointIds: []string{"vpce-00000003"},
		})
		return err
	})
	for name, want := range map[string]string{"x-0": "vpce-1", "x-1": "vpce-2"} {
		if got := r.Inputs(t, "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", name)["vpcEndpointId"]; got != want {
			t.Errorf("the policy is on %v, want %s", got, want)
		}
	}
	api := r.Inputs(t, "aws:apigateway/restApi:RestApi", "x")
	if config := fmt.Sprint(api["endpointConfiguration"]); !strings.Contains(config, "[vpce-1 vpce-2]") || !strings.Contains(api["policy"].(string), "vpce-00000003") {
		t.Errorf("endpoints %s, policy %s", config, api["policy"])
	}
	if n := len(r.OfType("aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy")); n != 2 {
		t.Errorf("%d policies, want one for each of the API's own endpoints", n)
	}
}

// A guardrail that AWS refuses stops a deployment half-way; one that holds less than was set lets through what was to be
// blocked.
func TestGuardrail(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("g", 50) // the longest
	for want, a := range map[string]components.GuardrailArgs{
		"contentPolicyConfig":              {ContentFilters: []string{"HATE", "INSULTS", "MISCONDUCT", "SEXUAL", "VIOLENCE", "PROMPT_ATTACK"}},
		"wordPolicyConfig":                 {BlockedWords: []string{"xyzzy"}},
		"sensitiveInformationPolicyConfig": {PiiEntities: []string{"EMAIL"}, BlockedMessage: "No."},
	} {
		r := componentstest.Run(t, func(ctx *pulumi.Context) error {
			_, err := components.NewGuardrail(ctx, name, &a)
			return err
		})
		inputs := r.Inputs(t, "aws:bedrock/guardrail:Guardrail", name)
		message := "Blocked by this organization's guardrail."
		if a.BlockedMessage != "" {
			message = a.BlockedMessage
		}
		if inputs["name"] != name || inputs["description"] == nil || inputs["blockedInputMessaging"] != message || inputs["blockedOutputsMessaging"] != message {
			t.Errorf("%v", inputs)
		}
		for _, policy := range []string{"contentPolicyConfig", "wordPolicyConfig", "sensitiveInformationPolicyConfig"} {
			if (inputs[policy] != nil) != (policy == want) { // AWS refuses one that is empty
				t.Errorf("%s = %v of a guardrail with %s alone", policy, inputs[policy], want)
			}
		}
		if version := r.Inputs(t, "aws:bedrock/guardrailVersion:GuardrailVersion", name); version["guardrailArn"] != "arn:aws:bedrock:::"+name {
			t.Errorf("a version of %v", version["guardrailArn"])
		}
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
		{BlockedWords: []string{"a"}}, {BlockedWords: []string{"a", "b"}}, {ContentFilters: []string{"HATE"}}, {ContentFilters: []string{"INSULTS"}},
		{PiiEntities: []string{"EMAIL"}}, {PiiEntities: []string{"PHONE"}}, {BlockedWords: []string{"a"}, BlockedMessage: "No."},
	} {
		seen[description(a)] = true
	}
	if len(seen) != 7 || !seen[description(components.GuardrailArgs{BlockedWords: []string{"a"}})] {
		t.Errorf("want seven versions of seven guardrails, and the same for the same: %v", seen)
	}
}
