package components

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// PrivateApi is a private REST API in front of a function. Only requests through the admitted VPC endpoints get in.
type PrivateApi struct {
	pulumi.ResourceState

	// ApiId is the first part of the API's own name.
	ApiId pulumi.IDOutput `pulumi:"apiId"`
	// ApiName is the dimension of the API's metrics.
	ApiName pulumi.StringOutput `pulumi:"apiName"`
	// InvokeUrl works inside every VPC whose execute-api endpoint is admitted and has private DNS.
	InvokeUrl pulumi.StringOutput `pulumi:"invokeUrl"`
	// AccessLogGroupName of the log group that says who called, when, and with what outcome.
	AccessLogGroupName pulumi.StringOutput `pulumi:"accessLogGroupName"`
	// VpcEndpointPolicy is the one of its endpoints. The owner of shared ones has to allow as much.
	VpcEndpointPolicy pulumi.StringOutput `pulumi:"vpcEndpointPolicy"`
}

// PrivateApiArgs are PrivateApi's arguments.
type PrivateApiArgs struct {
	// FunctionArn of the function that answers. Required.
	FunctionArn pulumi.StringInput `pulumi:"functionArn"`
	// VpcEndpointIds of the execute-api endpoints, of this account and region, that the API is associated with: they
	// are admitted and get a DNS name for it. Required.
	VpcEndpointIds []pulumi.StringInput `pulumi:"vpcEndpointIds"`
	// SharedVpcEndpoints leaves the endpoints' policies to their owner, who has to let calls of this API through.
	// Default: false; nothing but this API can be called through them.
	SharedVpcEndpoints bool `pulumi:"sharedVpcEndpoints,optional"`
	// ConsumerVpcEndpointIds are execute-api endpoints of other VPCs, in any account, that are admitted as well. Their
	// VPCs call the API by its own name, with private DNS. Default: none.
	ConsumerVpcEndpointIds []string `pulumi:"consumerVpcEndpointIds,optional"`
	// Authorization is NONE or AWS_IAM, with which callers sign and are known by name. Default: NONE; whoever reaches
	// an admitted endpoint may call.
	Authorization string `pulumi:"authorization,optional"`
	// CallerArns, with AWS_IAM, are who may call, and nobody else: ARNs of roles, users or accounts, which stand for all in
	// them. Those of other accounts also need policies of their own that let them. Default: those of the API's account whose
	// own policies let them.
	CallerArns []string `pulumi:"callerArns,optional"`
	// Buffered answers are sent when they are whole, within 29 seconds and 6 MB. Default: false; answers are sent as they are
	// made, for at most 15 minutes. The function's has to be the same: each kind takes the other's answers for errors.
	Buffered bool `pulumi:"buffered,optional"`
	// StageName, the first part of every path. Default: api.
	StageName string `pulumi:"stageName,optional"`
	// ThrottlingRateLimit in requests a second, all callers together. Default: 10.
	ThrottlingRateLimit float64 `pulumi:"throttlingRateLimit,optional"`
	// ThrottlingBurstLimit in requests at once. Default: 20.
	ThrottlingBurstLimit int `pulumi:"throttlingBurstLimit,optional"`
	// LogRetentionDays of the access log, which holds neither path nor body. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// ManageApiGatewayAccount sets the role through which API Gateway writes access logs. There is one per account
	// and region: with several APIs, one of them sets it. Default: false.
	ManageApiGatewayAccount bool `pulumi:"manageApiGatewayAccount,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a PrivateApiArgs) withDefaults() PrivateApiArgs {
	if a.StageName == "" {
		a.StageName = "api"
	}
	if a.Authorization == "" {
		a.Authorization = "NONE"
	}
	if a.ThrottlingRateLimit == 0 {
		a.ThrottlingRateLimit = 10
	}
	if a.ThrottlingBurstLimit == 0 {
		a.ThrottlingBurstLimit = 20
	}
	if a.LogRetentionDays == 0 {
		a.LogRetentionDays = 90
	}
	return a
}

// API Gateway REST API Reference, CreateStage, stageName.
var stageName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

// CheckStageName refuses names that API Gateway refuses.
func CheckStageName(name string) error {
	if !stageName.MatchString(name) {
		return fmt.Errorf("got %q, want 1 to 128 letters, digits, hyphens and underscores", name)
	}
	return nil
}

// IAM User Guide, "AWS JSON policy elements: Principal": no wildcard in an ARN, and no session, whose name callers choose.
var callerARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[\w+=,.@/-]+)$`)

// CheckAuthorization refuses what API Gateway refuses, and callers that nothing would check.
func CheckAuthorization(authorization string, callerArns []string) error {
	var errs []error
	if authorization != "NONE" && authorization != "AWS_IAM" {
		errs = append(errs, fmt.Errorf("got %q, want NONE or AWS_IAM", authorization))
	}
	if authorization != "AWS_IAM" && len(callerArns) > 0 {
		errs = append(errs, fmt.Errorf("got callers %q without AWS_IAM, which alone makes callers known: want both or no callers", callerArns))
	}
	for _, arn := range callerArns {
		if !callerARN.MatchString(arn) {
			errs = append(errs, fmt.Errorf("got %q, want the ARN of a role, a user or an account, such as arn:aws:iam::123456789012:role/app", arn))
		}
	}
	return errors.Join(errs...)
}

func (a PrivateApiArgs) validate() error {
	var errs []error
	if a.FunctionArn == nil {
		errs = append(errs, errors.New("FunctionArn: got nil, want a function's ARN, such as BedrockFunction's"))
	}
	if len(a.VpcEndpointIds) == 0 {
		errs = append(errs, errors.New("VpcEndpointIds: got none, want the execute-api endpoints to admit, such as CoreVpc's"))
	}
	if err := CheckVpcEndpointIds(a.ConsumerVpcEndpointIds); err != nil {
		errs = append(errs, fmt.Errorf("ConsumerVpcEndpointIds: %w", err))
	}
	if err := CheckAuthorization(a.Authorization, a.CallerArns); err != nil {
		errs = append(errs, fmt.Errorf("Authorization, CallerArns: %w", err))
	}
	if err := CheckStageName(a.StageName); err != nil {
		errs = append(errs, fmt.Errorf("StageName: %w", err))
	}
	if a.ThrottlingRateLimit < 0 || a.ThrottlingBurstLimit < 0 {
		errs = append(errs, fmt.Errorf("ThrottlingRateLimit, ThrottlingBurstLimit: got %v, %d, want more than 0", a.ThrottlingRateLimit, a.ThrottlingBurstLimit))
	}
	if err := CheckRetention(a.LogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("LogRetentionDays: %w", err))
	}
	return errors.Join(errs...)
}

// NewPrivateApi makes a PrivateApi.
func NewPrivateApi(ctx *pulumi.Context, name string, args *PrivateApiArgs, opts ...pulumi.ResourceOption) (*PrivateApi, error) {
	if args == nil {
		args = &PrivateApiArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("PrivateApi %s: %w", name, err)
	}
	c := &PrivateApi{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:PrivateApi", name, c, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(c)
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}

	body := a.FunctionArn.ToStringOutput().ApplyT(func(functionArn string) (string, error) {
		return apiDefinition(name, to.Partition, to.Region, functionArn, a.Authorization, a.Buffered)
	}).(pulumi.StringOutput)
	resourcePolicy := pulumi.StringArray(a.VpcEndpointIds).ToStringArrayOutput().ApplyT(func(ids []string) (string, error) {
		return apiPolicy(to, slices.Concat(ids, a.ConsumerVpcEndpointIds), a.Authorization, a.CallerArns)
	}).(pulumi.StringOutput)
	api, err := apigateway.NewRestApi(ctx, name, &apigateway.RestApiArgs{
		Body: body, Tags: a.Tags,
		// Overwriting a private API may delete its endpoints' DNS records. Merging keeps routes that the document no
		// longer has: taking one away needs a new API.
		PutRestApiMode: pulumi.String("merge"),
		// On the API itself: a policy in a resource of its own is lost when the body changes.
		Policy: resourcePolicy,
		EndpointConfiguration: &apigateway.RestApiEndpointConfigurationArgs{
			Types: pulumi.String("PRIVATE"), VpcEndpointIds: pulumi.StringArray(a.VpcEndpointIds),
		},
	}, parent)
	if err != nil {
		return nil, err
	}
	c.VpcEndpointPolicy = api.ExecutionArn.ApplyT(apiEndpointPolicy).(pulumi.StringOutput)
	ready := []pulumi.Resource{}
	for i, id := range a.VpcEndpointIds {
		if a.SharedVpcEndpoints {
			warnOfPolicy(ctx, c, id, c.VpcEndpointPolicy)
			continue
		}
		endpointPolicy, err := ec2.NewVpcEndpointPolicy(ctx, fmt.Sprintf("%s-%d", name, i), &ec2.VpcEndpointPolicyArgs{
			VpcEndpointId: id, Policy: c.VpcEndpointPolicy,
		}, parent, keepPolicy)
		if err != nil {
			return nil, err
		}
		ready = append(ready, endpointPolicy)
	}
	permission, err := lambda.NewPermission(ctx, name, &lambda.PermissionArgs{
		Action: pulumi.String("lambda:InvokeFunction"), Function: a.FunctionArn, Principal: pulumi.String("apigateway.amazonaws.com"),
		SourceArn: pulumi.Sprintf("%s/%s/*", api.ExecutionArn, a.StageName),
	}, parent)
	if err != nil {
		return nil, err
	}
	// A new policy (which names the endpoints) or route is in force only when the API is deployed again (API Gateway Developer Guide,
	// "Create and attach an API Gateway resource policy to an API").
	deployment, err := apigateway.NewDeployment(ctx, name, &apigateway.DeploymentArgs{
		RestApi: api.ID(),
		Triggers: pulumi.StringMap{
			"body": body.ApplyT(digest).(pulumi.StringOutput), "policy": resourcePolicy.ApplyT(digest).(pulumi.StringOutput),
		},
	}, parent)
	if err != nil {
		return nil, err
	}
	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String("/aws/apigateway/" + name), RetentionInDays: pulumi.Int(a.LogRetentionDays), Tags: a.Tags,
	}, parent)
	if err != nil {
		return nil, err
	}
	ready = append(ready, permission)
	if a.ManageApiGatewayAccount {
		account, err := newApiGatewayAccount(ctx, a.Tags, parent)
		if err != nil {
			return nil, err
		}
		ready = append(ready, account)
	}
	format, err := accessLogFormat()
	if err != nil {
		return nil, err
	}
	stage, err := apigateway.NewStage(ctx, name, &apigateway.StageArgs{
		RestApi: api.ID(), Deployment: deployment.ID(), StageName: pulumi.String(a.StageName), Tags: a.Tags,
		AccessLogSettings: &apigateway.StageAccessLogSettingsArgs{DestinationArn: logGroup.Arn, Format: pulumi.String(format)},
		// A trace of API Gateway's holds the request's URL, and so the prompt of /generate/{prompt}
		// (API Gateway Developer Guide, "AWS X-Ray traces for Amazon API Gateway APIs").
		XrayTracingEnabled: pulumi.Bool(false),
	}, parent, pulumi.DependsOn(ready))
	if err != nil {
		return nil, err
	}
	if _, err := apigateway.NewMethodSettings(ctx, name, &apigateway.MethodSettingsArgs{
		RestApi: api.ID(), StageName: stage.StageName, MethodPath: pulumi.String("*/*"),
		Settings: &apigateway.MethodSettingsSettingsArgs{
			MetricsEnabled:      pulumi.Bool(true),
			ThrottlingRateLimit: pulumi.Float64(a.ThrottlingRateLimit), ThrottlingBurstLimit: pulumi.Int(a.ThrottlingBurstLimit),
			// Execution logs hold paths and bodies, and so prompts and answers.
			LoggingLevel: pulumi.String("OFF"), DataTraceEnabled: pulumi.Bool(false),
		},
	}, parent); err != nil {
		return nil, err
	}

	c.ApiId, c.ApiName = api.ID(), api.Name
	c.InvokeUrl = pulumi.Sprintf("https://%s.execute-api.%s.amazonaws.com/%s", api.ID(), to.Region, stage.StageName)
	c.AccessLogGroupName = logGroup.Name
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"apiId": c.ApiId, "apiName": c.ApiName, "invokeUrl": c.InvokeUrl, "accessLogGroupName": c.AccessLogGroupName, "vpcEndpointPolicy": c.VpcEndpointPolicy,
	})
}

// newApiGatewayAccount lets API Gateway write access logs in this account and region. On destroy the setting is
// taken back: left behind, it would name a role that is gone.
//
// Its name is always the same: when a component is renamed Pulumi makes the new resources first, and the old one,
// deleted last, would take back the new one's setting.
func newApiGatewayAccount(ctx *pulumi.Context, tags pulumi.StringMapInput, parent pulumi.ResourceOption) (*apigateway.Account, error) {
	const name = "api-gateway-account"
	trust, err := iamdoc.JSON(iamdoc.Trust("apigateway.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	role, err := iam.NewRole(ctx, name, &iam.RoleArgs{AssumeRolePolicy: pulumi.String(trust), Tags: tags}, parent)
	if err != nil {
		return nil, err
	}
	// AWS's own policy: the setting serves every API of the account, and API Gateway checks it for all these rights.
	attachment, err := iam.NewRolePolicyAttachment(ctx, name, &iam.RolePolicyAttachmentArgs{
		Role: role.Name, PolicyArn: iam.ManagedPolicyAmazonAPIGatewayPushToCloudWatchLogs,
	}, parent)
	if err != nil {
		return nil, err
	}
	return apigateway.NewAccount(ctx, name, &apigateway.AccountArgs{
		CloudwatchRoleArn: role.Arn, ResetOnDelete: pulumi.Bool(true),
	}, parent, pulumi.DependsOn([]pulumi.Resource{attachment}))
}

// accessLogFormat names every call by who, when, route and outcome. $context.path and $context.error.messageString
// would bring in the prompt of /generate/{prompt} (API Gateway Developer Guide, "$context variables").
func accessLogFormat() (string, error) {
	b, err := json.Marshal(map[string]string{
		"extendedRequestId": "$context.extendedRequestId", // a caller can choose $context.requestId
		"requestTime":       "$context.requestTime", "requestTimeEpoch": "$context.requestTimeEpoch",
		"httpMethod": "$context.httpMethod", "resourcePath": "$context.resourcePath",
		"status": "$context.status", "integrationStatus": "$context.integration.status", "errorType": "$context.error.responseType",
		"responseLength": "$context.responseLength", "responseLatencyMs": "$context.responseLatency", "integrationLatencyMs": "$context.integration.latency",
		"sourceIp": "$context.identity.sourceIp", "vpcId": "$context.identity.vpcId", "vpcEndpointId": "$context.identity.vpceId",
		"userArn": "$context.identity.userArn",
	})
	return string(b), err
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
