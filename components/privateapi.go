package components

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/apigateway"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lambda"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// PrivateApi is a private REST API in front of a function. Only requests through the given VPC endpoints reach it.
type PrivateApi struct {
	pulumi.ResourceState

	// ApiId is the API's ID, the first part of its host name.
	ApiId pulumi.IDOutput `pulumi:"apiId"`
	// ApiName is the dimension of the API's metrics.
	ApiName pulumi.StringOutput `pulumi:"apiName"`
	// InvokeUrl is the API's URL in every VPC whose execute-api endpoint is allowed and has private DNS.
	InvokeUrl pulumi.StringOutput `pulumi:"invokeUrl"`
	// AccessLogGroupName is the name of the log group that records each call's caller, time and outcome.
	AccessLogGroupName pulumi.StringOutput `pulumi:"accessLogGroupName"`
	// VpcEndpointPolicy is the policy of the API's endpoints. The owner of shared endpoints must allow at least this.
	VpcEndpointPolicy pulumi.StringOutput `pulumi:"vpcEndpointPolicy"`
}

// PrivateApiArgs are PrivateApi's arguments.
type PrivateApiArgs struct {
	// FunctionArn is the ARN of the function that handles requests. Required.
	FunctionArn pulumi.StringInput `pulumi:"functionArn"`
	// VpcEndpointIds are the execute-api endpoints, of this account and Region, to associate the API with. The API allows
	// requests through them, and gets a DNS name for each. Required.
	VpcEndpointIds []pulumi.StringInput `pulumi:"vpcEndpointIds"`
	// SharedVpcEndpoints leaves the endpoints' policies to their owner, who must allow calls of this API. Default: false;
	// the policies allow calls of this API only.
	SharedVpcEndpoints bool `pulumi:"sharedVpcEndpoints,optional"`
	// ConsumerVpcEndpointIds are execute-api endpoints of other VPCs, in any account, to allow as well. Their VPCs call
	// the API by its own host name, with private DNS. Default: none.
	ConsumerVpcEndpointIds []string `pulumi:"consumerVpcEndpointIds,optional"`
	// Authorization is NONE or AWS_IAM. With AWS_IAM, callers sign requests, and the logs identify them. Default: NONE;
	// every client that reaches an allowed endpoint can call.
	Authorization string `pulumi:"authorization,optional"`
	// CallerArns are the only callers, with AWS_IAM: ARNs of roles and users, and of accounts, which stand for every
	// principal in them. Callers of other accounts also need policies of their own that allow the call. Default:
	// principals of the API's account whose own policies allow it.
	CallerArns []string `pulumi:"callerArns,optional"`
	// ResponseStreaming sends responses as the model makes them, for at most 15 minutes. False sends each one when it's
	// complete, within 29 seconds and 6 MB. It must equal BedrockFunction's ResponseStreaming: if they differ, every call
	// fails. Default: true.
	ResponseStreaming *bool `pulumi:"responseStreaming,optional"`
	// StageName is the first part of every path. Default: api.
	StageName string `pulumi:"stageName,optional"`
	// ThrottlingRateLimit is the maximum number of requests a second, from all callers together. Default: 10.
	ThrottlingRateLimit float64 `pulumi:"throttlingRateLimit,optional"`
	// ThrottlingBurstLimit is the maximum number of requests at once. Default: 20.
	ThrottlingBurstLimit int `pulumi:"throttlingBurstLimit,optional"`
	// LogRetentionDays is how long the access log is kept. It has no paths and no bodies. Default: 90.
	LogRetentionDays int `pulumi:"logRetentionDays,optional"`
	// ManageApiGatewayAccount sets the role with which API Gateway writes access logs. An account has one per Region: of
	// several APIs, let one set it. Default: false.
	ManageApiGatewayAccount bool `pulumi:"manageApiGatewayAccount,optional"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a PrivateApiArgs) withDefaults() PrivateApiArgs {
	a.StageName = cmp.Or(a.StageName, "api")
	a.Authorization = cmp.Or(a.Authorization, "NONE")
	a.ThrottlingRateLimit = cmp.Or(a.ThrottlingRateLimit, 10)
	a.ThrottlingBurstLimit = cmp.Or(a.ThrottlingBurstLimit, 20)
	a.LogRetentionDays = cmp.Or(a.LogRetentionDays, 90)
	a.ResponseStreaming = defaultTrue(a.ResponseStreaming)
	return a
}

// API Gateway REST API Reference, CreateStage, stageName.
var stageName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,128}$`)

// CheckStageName rejects names that API Gateway rejects.
func CheckStageName(name string) error {
	if !stageName.MatchString(name) {
		return fmt.Errorf("got %q, want 1 to 128 letters, digits, hyphens and underscores", name)
	}
	return nil
}

// IAM User Guide, "AWS JSON policy elements: Principal": an ARN has no wildcard. Sessions are left out: callers choose
// their names.
var callerARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[\w+=,.@/-]+)$`)

// CheckAuthorization rejects what API Gateway rejects, and callers that nothing would check.
func CheckAuthorization(authorization string, callerArns []string) error {
	var f faults
	f.reject(authorization != "NONE" && authorization != "AWS_IAM", "got %q, want NONE or AWS_IAM", authorization)
	f.reject(authorization != "AWS_IAM" && len(callerArns) > 0,
		"got callers %q without AWS_IAM, which alone identifies callers: want both or no callers", callerArns)
	for _, arn := range callerArns {
		f.reject(!callerARN.MatchString(arn),
			"got %q, want the ARN of a role, a user or an account, such as arn:aws:iam::123456789012:role/app", arn)
	}
	return errors.Join(f...)
}

func (a PrivateApiArgs) validate(string) error {
	var f faults
	f.reject(a.FunctionArn == nil, "FunctionArn: got nil, want a function's ARN, such as BedrockFunction's")
	f.reject(len(a.VpcEndpointIds) == 0,
		"VpcEndpointIds: got none, want the execute-api endpoints to admit, such as CoreVpc's")
	f.check("ConsumerVpcEndpointIds", CheckVpcEndpointIds(a.ConsumerVpcEndpointIds))
	f.check("Authorization, CallerArns", CheckAuthorization(a.Authorization, a.CallerArns))
	f.check("StageName", CheckStageName(a.StageName))
	f.reject(a.ThrottlingRateLimit < 0 || a.ThrottlingBurstLimit < 0,
		"ThrottlingRateLimit, ThrottlingBurstLimit: got %v, %d, want more than 0",
		a.ThrottlingRateLimit, a.ThrottlingBurstLimit)
	f.check("LogRetentionDays", CheckRetention(a.LogRetentionDays))
	return errors.Join(f...)
}

// NewPrivateApi makes a PrivateApi.
func NewPrivateApi(
	ctx *pulumi.Context, name string, args *PrivateApiArgs, opts ...pulumi.ResourceOption,
) (*PrivateApi, error) {
	return construct(ctx, name, &PrivateApi{}, args, opts)
}

func (c *PrivateApi) provision(s scope, a PrivateApiArgs) error {
	body := a.FunctionArn.ToStringOutput().ApplyT(func(functionArn string) (string, error) {
		return apiDefinition(s.name, s.target, functionArn, a.Authorization, *a.ResponseStreaming)
	}).(pulumi.StringOutput)
	endpointIds := pulumi.StringArray(a.VpcEndpointIds)
	resourcePolicy := endpointIds.ToStringArrayOutput().ApplyT(func(ids []string) (string, error) {
		return apiPolicy(s.target, slices.Concat(ids, a.ConsumerVpcEndpointIds), a.Authorization, a.CallerArns)
	}).(pulumi.StringOutput)
	api, err := apigateway.NewRestApi(s.ctx, s.name, &apigateway.RestApiArgs{
		Body: body, Tags: s.tags,
		// Overwriting a private API can delete its endpoints' DNS records. Merging keeps routes that the document no longer
		// has: to remove one, you need a new API.
		PutRestApiMode: pulumi.String("merge"),
		// On the API itself: a policy in a resource of its own is lost when the body changes.
		Policy: resourcePolicy,
		EndpointConfiguration: &apigateway.RestApiEndpointConfigurationArgs{
			Types: pulumi.String("PRIVATE"), VpcEndpointIds: endpointIds,
		},
	}, s.options()...)
	if err != nil {
		return err
	}
	// A new policy (which names the endpoints) or route applies only when the API is deployed again (API Gateway Developer
	// Guide, "Create and attach an API Gateway resource policy to an API").
	deployment, err := apigateway.NewDeployment(s.ctx, s.name, &apigateway.DeploymentArgs{
		RestApi: api.ID(),
		Triggers: pulumi.StringMap{
			"body": body.ApplyT(digest).(pulumi.StringOutput), "policy": resourcePolicy.ApplyT(digest).(pulumi.StringOutput),
		},
	}, s.options()...)
	if err != nil {
		return err
	}
	c.ApiId, c.ApiName = api.ID(), api.Name
	c.VpcEndpointPolicy = api.ExecutionArn.ApplyT(apiEndpointPolicy).(pulumi.StringOutput)
	ready, err := c.access(s, a, api)
	if err != nil {
		return err
	}
	return c.newStage(s, a, deployment, ready)
}

// access makes what calls need: the endpoints' policies, the permission to call the function, and the role for access
// logs.
func (c *PrivateApi) access(s scope, a PrivateApiArgs, api *apigateway.RestApi) (ready []pulumi.Resource, err error) {
	for i, id := range a.VpcEndpointIds {
		if a.SharedVpcEndpoints {
			warnOfPolicy(s, id, c.VpcEndpointPolicy)
			continue
		}
		endpointPolicy, err := s.named(fmt.Sprintf("-%d", i)).newEndpointPolicy(id, c.VpcEndpointPolicy)
		if err != nil {
			return nil, err
		}
		ready = append(ready, endpointPolicy)
	}
	permission, err := lambda.NewPermission(s.ctx, s.name, &lambda.PermissionArgs{
		Action: pulumi.String("lambda:InvokeFunction"), Function: a.FunctionArn,
		Principal: pulumi.String("apigateway.amazonaws.com"),
		SourceArn: pulumi.Sprintf("%s/%s/*", api.ExecutionArn, a.StageName),
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	ready = append(ready, permission)
	if a.ManageApiGatewayAccount {
		account, err := newApiGatewayAccount(s)
		if err != nil {
			return nil, err
		}
		ready = append(ready, account)
	}
	return ready, nil
}

// newStage makes the stage that serves the deployment, with its access log.
func (c *PrivateApi) newStage(
	s scope, a PrivateApiArgs, deployment *apigateway.Deployment, ready []pulumi.Resource,
) error {
	logGroup, err := s.newLogGroup("/aws/apigateway/"+s.name, a.LogRetentionDays)
	if err != nil {
		return err
	}
	format, err := accessLogFormat()
	if err != nil {
		return err
	}
	stage, err := apigateway.NewStage(s.ctx, s.name, &apigateway.StageArgs{
		RestApi: c.ApiId, Deployment: deployment.ID(), StageName: pulumi.String(a.StageName), Tags: s.tags,
		AccessLogSettings: &apigateway.StageAccessLogSettingsArgs{
			DestinationArn: logGroup.Arn, Format: pulumi.String(format),
		},
		// API Gateway's traces have the request's URL, and so the prompt of /generate/{prompt}
		// (API Gateway Developer Guide, "AWS X-Ray traces for Amazon API Gateway APIs").
		XrayTracingEnabled: pulumi.Bool(false),
	}, s.options(pulumi.DependsOn(ready))...)
	if err != nil {
		return err
	}
	c.InvokeUrl = pulumi.Sprintf("https://%s.execute-api.%s.amazonaws.com/%s", c.ApiId, s.target.Region, stage.StageName)
	c.AccessLogGroupName = logGroup.Name
	_, err = apigateway.NewMethodSettings(s.ctx, s.name, &apigateway.MethodSettingsArgs{
		RestApi: c.ApiId, StageName: stage.StageName, MethodPath: pulumi.String("*/*"),
		Settings: &apigateway.MethodSettingsSettingsArgs{
			MetricsEnabled:      pulumi.Bool(true),
			ThrottlingRateLimit: pulumi.Float64(a.ThrottlingRateLimit), ThrottlingBurstLimit: pulumi.Int(a.ThrottlingBurstLimit),
			// Execution logs have paths and bodies, and so prompts and responses.
			LoggingLevel: pulumi.String("OFF"), DataTraceEnabled: pulumi.Bool(false),
		},
	}, s.options()...)
	return err
}

// newApiGatewayAccount lets API Gateway write access logs in this account and Region. A destroy resets the setting:
// left behind, it would name a role that no longer exists.
//
// Its name is always the same: if a component is renamed, Pulumi makes the new resources first, and the old one,
// deleted last, would reset the new one's setting.
func newApiGatewayAccount(s scope) (*apigateway.Account, error) {
	const name = "api-gateway-account"
	trust, err := iamdoc.JSON(iamdoc.Trust("apigateway.amazonaws.com"))
	if err != nil {
		return nil, err
	}
	role, err := iam.NewRole(s.ctx, name, &iam.RoleArgs{
		AssumeRolePolicy: pulumi.String(trust), Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	// AWS's own policy: the setting is for every API of the account, and API Gateway checks it for all these permissions.
	attachment, err := iam.NewRolePolicyAttachment(s.ctx, name, &iam.RolePolicyAttachmentArgs{
		Role: role.Name, PolicyArn: iam.ManagedPolicyAmazonAPIGatewayPushToCloudWatchLogs,
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	return apigateway.NewAccount(s.ctx, name, &apigateway.AccountArgs{
		CloudwatchRoleArn: role.Arn, ResetOnDelete: pulumi.Bool(true),
	}, s.options(pulumi.DependsOn([]pulumi.Resource{attachment}))...)
}

// accessLogFormat records each call's caller, time, route and outcome. $context.path and $context.error.messageString
// would add the prompt of /generate/{prompt} (API Gateway Developer Guide, "$context variables").
func accessLogFormat() (string, error) {
	b, err := json.Marshal(map[string]string{
		"extendedRequestId": "$context.extendedRequestId", // a caller can choose $context.requestId
		"requestTime":       "$context.requestTime", "requestTimeEpoch": "$context.requestTimeEpoch",
		"httpMethod": "$context.httpMethod", "resourcePath": "$context.resourcePath",
		"status": "$context.status", "integrationStatus": "$context.integration.status",
		"errorType": "$context.error.responseType", "responseLength": "$context.responseLength",
		"responseLatencyMs": "$context.responseLatency", "integrationLatencyMs": "$context.integration.latency",
		"sourceIp": "$context.identity.sourceIp", "vpcId": "$context.identity.vpcId",
		"vpcEndpointId": "$context.identity.vpceId", "userArn": "$context.identity.userArn",
	})
	return string(b), err
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
