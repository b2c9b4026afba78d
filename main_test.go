package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/private-bedrock/private-bedrock/components/componentstest"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/pulumi/esc"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/config"
	"github.com/pulumi/pulumi/sdk/v3/go/common/workspace"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// stackConfig is a stack's configuration as the pulumi command hands it to the program: its file over Pulumi.yaml's
// defaults, by Pulumi's own code, and overrides over both.
func stackConfig(t testing.TB, stack string, overrides map[string]string) map[string]string {
	t.Helper()
	project, err := workspace.LoadProject("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sink := diag.DefaultSink(os.Stderr, os.Stderr, diag.FormatOptions{Color: "never"})
	file, err := workspace.LoadProjectStack(sink, project, "Pulumi."+stack+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	crypter := config.NewPanicCrypter()
	if err := workspace.ValidateStackConfigAndApplyProjectConfig(context.Background(), stack, project, esc.Value{}, file.Config, crypter, crypter); err != nil {
		t.Fatal(err)
	}
	values, err := file.Config.Decrypt(crypter)
	if err != nil {
		t.Fatal(err)
	}
	merged := map[string]string{}
	for key, value := range values {
		merged[key.String()] = value
	}
	for name, value := range overrides {
		merged["private-bedrock:"+name] = value
	}
	return merged
}

// stacks are those that ship, and one of each setting that changes which resources there are.
var stacks = map[string]struct {
	stack     string
	overrides map[string]string
}{
	"dev":         {"dev", nil},
	"prod":        {"prod", nil},
	"local":       {"local", nil},
	"with client": {"local", map[string]string{"ssmClient": "true"}},
	"guarded and signed": {"local", map[string]string{
		"authorization": "AWS_IAM", "guardrailContentFilters": `["HATE","PROMPT_ATTACK"]`, "allowGlobalInference": "true",
		"modelIds": `["jp.anthropic.claude-haiku-4-5-20251001-v1:0","global.anthropic.claude-sonnet-5"]`,
	}},
	"locked, with AWS's keys": {"prod", map[string]string{"customerManagedKey": "false", "objectLockMode": "COMPLIANCE", "objectLockDays": "365", "expireAfterDays": "731"}},
	"with auditors":           {"prod", map[string]string{"auditorArns": `["arn:aws:iam::123456789012:role/auditor"]`}},
	"with auditors, without queries and key": {"prod", map[string]string{
		"auditorArns": `["arn:aws:iam::123456789012:role/auditor"]`, "auditQueries": "false", "customerManagedKey": "false",
	}},
	"second in the account": {"prod", map[string]string{
		"environment": "second", "manageInvocationLogging": "false", "manageApiGatewayAccount": "false",
	}},
}

// tested is the program, whose function is really built, but once.
func tested(ctx *pulumi.Context) error {
	return program(ctx, func(_ context.Context, dir, architecture, file string) error {
		build, _ := builds.LoadOrStore(architecture, sync.OnceValue(func() error {
			return components.BuildFunctionZip(context.Background(), dir, architecture, file)
		}))
		return build.(func() error)()
	})
}

var builds sync.Map // by architecture

func run(t testing.TB, stack string, overrides map[string]string, opts ...componentstest.Option) componentstest.Recording {
	t.Helper()
	return componentstest.Run(t, tested, append(opts, componentstest.Config(stack, stackConfig(t, stack, overrides)))...)
}

// TestProperties holds every resource of every stack to the rules that a reviewer would otherwise have to check by hand.
func TestProperties(t *testing.T) {
	t.Parallel()
	for name, s := range stacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, r := range run(t, s.stack, s.overrides) {
				if !strings.HasPrefix(r.Type, "aws:") {
					continue
				}
				for _, rule := range rules {
					if err := rule(r); err != nil {
						t.Errorf("%s %s: %v", r.Type, r.Name, err)
					}
				}
			}
		})
	}
}

// rules that hold for each resource alone; the comment says what is lost without it.
var rules = []func(componentstest.Resource) error{
	// A resource outside a component escapes what the component promises.
	func(r componentstest.Resource) error {
		if !strings.Contains(r.Parent, "private-bedrock:index:") {
			return fmt.Errorf("parent is %q, want a component", r.Parent)
		}
		// What is one per account has one name, whichever component makes it.
		if component := r.Parent[strings.LastIndex(r.Parent, "::")+2:]; !strings.HasPrefix(r.Name, component) && r.Name != "api-gateway-account" {
			return fmt.Errorf("want a name that begins with its component's, %s", component)
		}
		return nil
	},
	// A way out of the VPC takes prompts with it.
	func(r componentstest.Resource) error {
		for _, forbidden := range []string{"InternetGateway", "NatGateway", "Eip", "PeeringConnection", "TransitGateway", "VpnGateway", "ec2/route:"} {
			if strings.Contains(r.Type, forbidden) {
				return fmt.Errorf("the VPC has no way out")
			}
		}
		for _, input := range []string{"mapPublicIpOnLaunch", "associatePublicIpAddress", "assignIpv6AddressOnCreation"} {
			if r.Inputs[input] == true {
				return fmt.Errorf("%s is on", input)
			}
		}
		return nil
	},
	// A rule by address admits whoever gets the address next.
	func(r componentstest.Resource) error {
		if !strings.Contains(r.Type, "SecurityGroup") {
			return nil
		}
		for input := range r.Inputs {
			if strings.HasPrefix(input, "cidr") || input == "prefixListId" || input == "ingress" || input == "egress" {
				return fmt.Errorf("%s is set, want rules between groups only", input)
			}
		}
		if strings.HasSuffix(r.Type, "Rule") && (r.Inputs["referencedSecurityGroupId"] == nil || r.Inputs["fromPort"] != 443.0 || r.Inputs["toPort"] != 443.0) {
			return fmt.Errorf("want port 443 of a group")
		}
		return nil
	},
	// Without retention a log is kept, and paid for, for ever.
	func(r componentstest.Resource) error {
		if days, _ := r.Inputs["retentionInDays"].(float64); strings.HasSuffix(r.Type, ":LogGroup") && days < 1 {
			return fmt.Errorf("retentionInDays = %v", r.Inputs["retentionInDays"])
		}
		return nil
	},
	// A wildcard admits what nobody decided to admit.
	func(r componentstest.Resource) error {
		for _, input := range []string{"policy", "assumeRolePolicy"} {
			if document, ok := r.Inputs[input].(string); ok {
				if err := checkPolicy(document); err != nil {
					return err
				}
			}
		}
		return nil
	},
	// AWS's own policies hold what AWS adds to them: none but the one that API Gateway demands.
	func(r componentstest.Resource) error {
		if arn := fmt.Sprint(r.Inputs["policyArn"]); strings.HasSuffix(r.Type, "PolicyAttachment") && arn != "arn:aws:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs" {
			return fmt.Errorf("attaches %s", arn)
		}
		if r.Inputs["managedPolicyArns"] != nil || r.Inputs["inlinePolicies"] != nil {
			return fmt.Errorf("holds policies that no rule here sees")
		}
		return nil
	},
	// API Gateway's traces and execution logs hold paths and bodies, and so prompts and answers.
	func(r componentstest.Resource) error {
		switch {
		case strings.HasSuffix(r.Type, ":Stage"):
			format := r.Inputs["accessLogSettings"].(map[string]any)["format"].(string)
			for _, leak := range []string{"$context.path", "$context.error.message", "$context.identity.userAgent", "$input", "$context.requestOverride"} {
				if strings.Contains(format, leak) {
					return fmt.Errorf("the access log holds %s", leak)
				}
			}
			if r.Inputs["xrayTracingEnabled"] != false {
				return fmt.Errorf("xrayTracingEnabled = %v, want false", r.Inputs["xrayTracingEnabled"])
			}
		case strings.HasSuffix(r.Type, ":MethodSettings"):
			settings := r.Inputs["settings"].(map[string]any)
			if settings["loggingLevel"] != "OFF" || settings["dataTraceEnabled"] != false || r.Inputs["methodPath"] != "*/*" {
				return fmt.Errorf("settings = %v of %v", settings, r.Inputs["methodPath"])
			}
		}
		return nil
	},
	// An alarm that calls nobody, or that lies about what it does not know, is none.
	func(r componentstest.Resource) error {
		if actions, _ := r.Inputs["alarmActions"].([]any); strings.HasSuffix(r.Type, ":MetricAlarm") &&
			(len(actions) != 1 || r.Inputs["actionsEnabled"] == false || r.Inputs["treatMissingData"] != "notBreaching" || len(fmt.Sprint(r.Inputs["alarmDescription"])) < 50) {
			return fmt.Errorf("inputs %v, want one action, a description, and no alarm without data", r.Inputs)
		}
		return nil
	},
	// What has no tags cannot be found, billed or taken down by system.
	func(r componentstest.Resource) error {
		untaggable := []string{
			"RouteTableAssociation", "RolePolicy", "RolePolicyAttachment", "InvocationLoggingConfiguration", "Permission", "Deployment", "Account",
			"MethodSettings", "BucketPublicAccessBlock", "BucketOwnershipControls", "BucketVersioningV2", "BucketServerSideEncryptionConfigurationV2", "BucketPolicy",
			"BucketLifecycleConfigurationV2", "BucketLoggingV2", "BucketObjectLockConfigurationV2", "Alias", "VpcEndpointPolicy", "GuardrailVersion", "CatalogTable", "NamedQuery",
			"EventTarget", "TopicPolicy", "TopicSubscription", "Dashboard",
		}
		if slices.Contains(untaggable, r.Type[strings.LastIndex(r.Type, ":")+1:]) {
			return nil
		}
		tags, _ := r.Inputs["tags"].(map[string]any)
		if tags["System"] == nil || tags["Environment"] == nil {
			return fmt.Errorf("tags = %v, want System and Environment", tags)
		}
		return nil
	},
}

// checkPolicy allows "*" only where the statement's Sid is on the list, each with the AWS rule that requires it in
// components/*_policy.go, and "s3:*" only in a Deny.
func checkPolicy(document string) error {
	var policy struct {
		Statement []struct {
			Sid, Effect      string
			Principal        any
			Action, Resource []string
			NotAction        []string
			Condition        map[string]map[string]any
		}
	}
	if err := json.Unmarshal([]byte(document), &policy); err != nil {
		return err
	}
	for _, s := range policy.Statement {
		// An Allow with NotAction allows what AWS adds to its services (IAM User Guide, "IAM JSON policy elements: NotAction").
		if s.NotAction != nil && (s.Effect != "Deny" || !slices.Equal(s.Resource, []string{"*"})) {
			return fmt.Errorf("statement %s has NotAction, want it in a Deny of every resource only", s.Sid)
		}
		for _, action := range s.NotAction { // what the Deny leaves out is named
			if strings.Contains(action, "*") {
				return fmt.Errorf("statement %s leaves out %s", s.Sid, action)
			}
		}
		for _, action := range s.Action {
			if s.Effect == "Allow" && strings.Contains(action, "*") && !slices.Contains([]string{"AccountDecidesByIam", "CloudWatchLogsEncryptsTheGroup", "KeyThroughCloudWatchLogs"}, s.Sid) {
				return fmt.Errorf("statement %s allows %s", s.Sid, action)
			}
		}
		if slices.Contains(s.Resource, "*") && s.Effect == "Allow" && !slices.Contains([]string{
			"Traces", "NetworkInterfaces", "SessionManager", "ReadAccountSettings", "AccountDecidesByIam", "BedrockEncryptsRecords", "CloudWatchLogsEncryptsTheGroup",
			"AlarmsAreEncrypted", "RulesAreEncrypted",
		}, s.Sid) {
			return fmt.Errorf("statement %s allows on every resource", s.Sid)
		}
		// Everybody: in the API's policy beside its Deny, at its endpoint, and where a condition names the role.
		if s.Principal == "*" && s.Effect == "Allow" && s.Sid != "Invoke" && s.Sid != "ThisApi" && s.Condition["StringEquals"]["aws:PrincipalArn"] == nil {
			return fmt.Errorf("statement %s allows everybody", s.Sid)
		}
	}
	return nil
}

// An endpoint without a policy lets everybody do everything through it, with any account's credentials.
func TestEveryEndpointHasItsPolicy(t *testing.T) {
	t.Parallel()
	for name, s := range stacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, s.stack, s.overrides)
			policies := map[any]int{}
			for _, policy := range r.OfType("aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy") {
				policies[policy.Inputs["vpcEndpointId"]]++
			}
			for _, endpoint := range r.OfType("aws:ec2/vpcEndpoint:VpcEndpoint") {
				if n := policies[endpoint.Name+"-id"]; n != 1 {
					t.Errorf("%s has %d policies, want one", endpoint.Name, n)
				}
			}
		})
	}
}

// A bucket without one of these is public, in the clear, somebody else's, or kept for ever.
func TestEveryBucketIsProtected(t *testing.T) {
	t.Parallel()
	for name, s := range stacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, s.stack, s.overrides)
			for _, typ := range []string{
				"bucketPublicAccessBlock:BucketPublicAccessBlock", "bucketOwnershipControls:BucketOwnershipControls", "bucketVersioningV2:BucketVersioningV2", "bucketPolicy:BucketPolicy",
				"bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2",
			} {
				of := map[any]int{}
				for _, one := range r.OfType("aws:s3/" + typ) {
					of[one.Inputs["bucket"]]++
				}
				for _, bucket := range r.OfType("aws:s3/bucketV2:BucketV2") {
					if n := of[bucket.Name+"-id"]; n != 1 {
						t.Errorf("%s has %d of %s, want one", bucket.Name, n, typ)
					}
				}
			}
		})
	}
}

// A preview that hangs on an id, or that shows other resources than are made, cannot be trusted in review.
func TestPreviewMakesTheSame(t *testing.T) {
	t.Parallel()
	for name, s := range stacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			deployed, previewed := run(t, s.stack, s.overrides).Names(), run(t, s.stack, s.overrides, componentstest.Preview()).Names()
			if !slices.Equal(deployed, previewed) {
				t.Errorf("deployed:\n%s\npreviewed:\n%s", strings.Join(deployed, "\n"), strings.Join(previewed, "\n"))
			}
		})
	}
}

// Every row of the system this project re-implements: what a user of it would miss.
func TestSeed(t *testing.T) {
	t.Parallel()
	r := run(t, "dev", map[string]string{"availabilityZones": `["ap-northeast-1a","ap-northeast-1c","ap-northeast-1d"]`})
	for typ, want := range map[string]int{
		"aws:ec2/vpc:Vpc": 1, "aws:ec2/subnet:Subnet": 3, "aws:ec2/securityGroup:SecurityGroup": 4, "aws:ec2/flowLog:FlowLog": 1,
		"aws:ec2/vpcEndpoint:VpcEndpoint": 5, "aws:ec2/instance:Instance": 1, "aws:s3/bucketV2:BucketV2": 3, "aws:s3/bucketPolicy:BucketPolicy": 3,
		"aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": 3, "aws:s3/bucketVersioningV2:BucketVersioningV2": 3,
		"aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration": 1,
		"aws:apigateway/restApi:RestApi":                                                 1, "aws:lambda/function:Function": 1, "aws:lambda/permission:Permission": 1,
	} {
		if got := len(r.OfType(typ)); got != want {
			t.Errorf("%d of %s, want %d", got, typ, want)
		}
	}
	for _, endpoint := range r.OfType("aws:ec2/vpcEndpoint:VpcEndpoint") {
		if subnets, _ := endpoint.Inputs["subnetIds"].([]any); endpoint.Inputs["privateDnsEnabled"] != true || len(subnets) != 3 {
			t.Errorf("endpoint %s: want private DNS and every subnet, got %v", endpoint.Name, endpoint.Inputs)
		}
	}
	for _, input := range []string{"enableDnsSupport", "enableDnsHostnames"} {
		if r.Inputs(t, "aws:ec2/vpc:Vpc", "bedrock-app-dev")[input] != true {
			t.Errorf("the VPC has no %s, which private DNS needs", input)
		}
	}
	for input, value := range r.Inputs(t, "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "bedrock-logging") {
		if input != "bucket" && value != true {
			t.Errorf("the log bucket's %s = %v", input, value)
		}
	}
	logging := r.Inputs(t, "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration", "bedrock-logging")["loggingConfig"].(map[string]any)
	for _, data := range []string{"text", "image", "embedding", "video"} {
		if logging[data+"DataDeliveryEnabled"] != true {
			t.Errorf("%s is not logged", data)
		}
	}
	if s3, large := logging["s3Config"].(map[string]any), logging["cloudwatchConfig"].(map[string]any)["largeDataDeliveryS3Config"].(map[string]any); s3["keyPrefix"] != "bedrock" || large["keyPrefix"] != "bedrock-large-data" {
		t.Errorf("prefixes are %v and %v", s3["keyPrefix"], large["keyPrefix"])
	}
	api := r.Inputs(t, "aws:apigateway/restApi:RestApi", "bedrock-app-dev-api")
	if endpoint := api["endpointConfiguration"].(map[string]any); endpoint["types"] != "PRIVATE" || fmt.Sprint(endpoint["vpcEndpointIds"]) != "[bedrock-app-dev-execute-api-id]" {
		t.Errorf("the API's endpoint is %v", endpoint)
	}
	if policy := api["policy"].(string); !strings.Contains(policy, `"bedrock-app-dev-execute-api-id"`) {
		t.Errorf("the API's policy does not name the stack's endpoint: %s", policy)
	}
}

// Records that a destroyed stack takes with it are gone for good; a half that stays behind loses new ones.
func TestRetainLogs(t *testing.T) {
	t.Parallel()
	for _, retain := range []bool{true, false} {
		resources := run(t, "prod", map[string]string{"retainLogs": fmt.Sprint(retain)})
		for _, r := range resources {
			logs := strings.Contains(r.Parent, "index:BedrockLogging::")
			policy := strings.HasSuffix(r.Type, ":VpcEndpointPolicy") // deleting one would open its endpoint
			if r.RetainOnDelete != (logs && retain || policy) {
				t.Errorf("retainLogs %v: %s %s is retained: %v", retain, r.Type, r.Name, r.RetainOnDelete)
			}
		}
		if got := resources.Inputs(t, "aws:s3/bucketV2:BucketV2", "bedrock-logging")["forceDestroy"]; got != !retain {
			t.Errorf("retainLogs %v: forceDestroy = %v", retain, got)
		}
	}
}

// A role that nobody asked for, or a way to query a log that is another stack's, is one more way to prompts and answers.
func TestNobodyReadsUnasked(t *testing.T) {
	t.Parallel()
	with := `["arn:aws:iam::123456789012:role/auditor"]`
	for name, c := range map[string]struct {
		set              map[string]string
		readers, queries int
	}{
		"defaults":        {nil, 0, 1},
		"auditors":        {map[string]string{"auditorArns": with}, 1, 1},
		"without queries": {map[string]string{"auditorArns": with, "auditQueries": "false"}, 1, 0},
		"another's log":   {map[string]string{"manageInvocationLogging": "false"}, 0, 0},
	} {
		r := run(t, "prod", c.set)
		if readers, queries := len(r.OfType("private-bedrock:index:AuditReader")), len(r.OfType("private-bedrock:index:AuditQuery")); readers != c.readers || queries != c.queries {
			t.Errorf("%s: %d reader roles and %d AuditQuery, want %d and %d", name, readers, queries, c.readers, c.queries)
		}
		for _, policy := range r.OfType("aws:iam/rolePolicy:RolePolicy") {
			if policy.Name == "bedrock-audit-reader-policy" && strings.Contains(fmt.Sprint(policy.Inputs["policy"]), "athena:") != (c.queries > 0) {
				t.Errorf("%s: %v", name, policy.Inputs["policy"])
			}
		}
	}
}

// A call that gets in before logging is on is never recorded.
func TestApiWaitsForLogging(t *testing.T) {
	t.Parallel()
	for _, api := range run(t, "prod", nil).OfType("private-bedrock:index:PrivateApi") {
		if !slices.ContainsFunc(api.Dependencies, func(urn string) bool { return strings.Contains(urn, "InvocationLoggingConfiguration") }) {
			t.Errorf("the API waits for %v", api.Dependencies)
		}
	}
}

// A second stack that sets what is one per account takes it from the first.
func TestSecondStackLeavesTheAccountAlone(t *testing.T) {
	t.Parallel()
	s := stacks["second in the account"]
	for _, r := range run(t, s.stack, s.overrides) {
		if strings.Contains(r.Type, "InvocationLoggingConfiguration") || strings.HasSuffix(r.Type, ":Account") {
			t.Errorf("%s %s sets what is one per account", r.Type, r.Name)
		}
	}
}

// A setting that reaches no resource is a promise not kept.
func TestSettingsReachResources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ value, typ, resource, input, want string }{
		"systemName":              {"acme", "aws:ec2/vpc:Vpc", "acme-prod", "tags", "map[Environment:prod Name:acme-prod System:acme]"},
		"environment":             {"blue", "aws:ec2/vpc:Vpc", "bedrock-app-blue", "tags", "map[Environment:blue Name:bedrock-app-blue System:bedrock-app]"},
		"vpcCidr":                 {"172.16.0.0/20", "aws:ec2/vpc:Vpc", "bedrock-app-prod", "cidrBlock", "172.16.0.0/20"},
		"availabilityZones":       {`["ap-northeast-1d"]`, "aws:ec2/subnet:Subnet", "bedrock-app-prod-private-ap-northeast-1d", "cidrBlock", "10.0.3.0/24"},
		"modelIds":                {`["amazon.nova-lite-v1:0","amazon.nova-pro-v1:0"]`, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "MODEL_IDS:amazon.nova-lite-v1:0,amazon.nova-pro-v1:0 "},
		"consumerVpcEndpointIds":  {`["vpce-0000000000000cafe"]`, "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "policy", "vpce-0000000000000cafe"},
		"authorization":           {"AWS_IAM", "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "body", `"x-amazon-apigateway-auth":{"type":"AWS_IAM"}`},
		"guardrailContentFilters": {`["HATE"]`, "aws:bedrock/guardrail:Guardrail", "bedrock-app-prod-guardrail", "contentPolicyConfig", "type:HATE"},
		"guardrailBlockedWords":   {`["xyzzy"]`, "aws:bedrock/guardrail:Guardrail", "bedrock-app-prod-guardrail", "wordPolicyConfig", "text:xyzzy"},
		"guardrailPiiEntities":    {`["EMAIL"]`, "aws:bedrock/guardrail:Guardrail", "bedrock-app-prod-guardrail", "sensitiveInformationPolicyConfig", "type:EMAIL"},
		"allowUnevaluatedTools":   {"true", "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "ALLOW_UNEVALUATED_TOOLS:true "},
		"dataRetentionModes":      {`["none","aws_review"]`, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "DATA_RETENTION_MODES:none,aws_review "},
		"serviceTiers":            {`["default","flex"]`, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "SERVICE_TIERS:default,flex]"},
		"reservedConcurrency":     {"20", "aws:lambda/function:Function", "bedrock-app-prod-function", "reservedConcurrentExecutions", "20"},
		"enforcedGuardrailArns":   {`["arn:aws:bedrock:ap-northeast-1:999999999999:guardrail/3o06191495ze:2"]`, "aws:iam/rolePolicy:RolePolicy", "bedrock-app-prod-function-policy", "policy", "arn:aws:bedrock:ap-northeast-1:999999999999:guardrail/3o06191495ze\""},
		"stageName":               {"v1", "aws:apigateway/stage:Stage", "bedrock-app-prod-api", "stageName", "v1"},
		"throttlingRateLimit":     {"7", "aws:apigateway/methodSettings:MethodSettings", "bedrock-app-prod-api", "settings", "throttlingRateLimit:7]"},
		"throttlingBurstLimit":    {"8", "aws:apigateway/methodSettings:MethodSettings", "bedrock-app-prod-api", "settings", "throttlingBurstLimit:8 "},
		"functionArchitecture":    {"x86_64", "aws:lambda/function:Function", "bedrock-app-prod-function", "architectures", "[x86_64]"},
		"functionMemoryMb":        {"512", "aws:lambda/function:Function", "bedrock-app-prod-function", "memorySize", "512"},
		"archiveAfterDays":        {"30", "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "bedrock-logging", "rules", "days:30"},
		"archiveStorageClass":     {"GLACIER_IR", "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "bedrock-logging", "rules", "storageClass:GLACIER_IR"},
		"expireAfterDays":         {"400", "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "bedrock-logging", "rules", "expiration:map[days:400]"},
		"customerManagedKey":      {"false", "aws:s3/bucketServerSideEncryptionConfigurationV2:BucketServerSideEncryptionConfigurationV2", "bedrock-logging", "rules", "sseAlgorithm:AES256"},
		"maskPersonalData":        {"true", "aws:cloudwatch/logDataProtectionPolicy:LogDataProtectionPolicy", "bedrock-logging", "policyDocument", "EmailAddress"},
		"monitoring":              {"true", "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-api", "eventPattern", `"restApiId":["bedrock-app-prod-api-id"]`},
		"alarmEmail":              {"oncall@example.com", "aws:sns/topicSubscription:TopicSubscription", "bedrock-app-prod-watch", "endpoint", "oncall@example.com"},
		"logRetentionDays":        {"30", "aws:cloudwatch/logGroup:LogGroup", "bedrock-app-prod-api", "retentionInDays", "30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, "prod", map[string]string{name: c.value})
			if got := fmt.Sprint(r.Inputs(t, c.typ, c.resource)[c.input]); !strings.Contains(got, c.want) {
				t.Errorf("%s = %s, want %s", c.input, got, c.want)
			}
		})
	}
}

// Settings that are of use together only, each in the resource that it is for.
func TestPairedSettingsReachResources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set                        map[string]string
		typ, resource, input, want string
	}{
		{map[string]string{"authorization": "AWS_IAM"}, "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "policy", "arn:aws:iam::123456789012:root"},
		{map[string]string{"authorization": "AWS_IAM", "callerArns": `["arn:aws:iam::999999999999:role/app"]`}, "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "policy", "arn:aws:iam::999999999999:role/app"},
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "2"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "GUARDRAIL_ID:3o06191495ze GUARDRAIL_VERSION:2"},
		{map[string]string{"guardrailId": "3o06191495ze", "guardrailVersion": "2"}, "aws:iam/rolePolicy:RolePolicy", "bedrock-app-prod-function-policy", "policy", "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/3o06191495ze:2"},
		{map[string]string{"guardrailBlockedWords": `["xyzzy"]`}, "aws:iam/rolePolicy:RolePolicy", "bedrock-app-prod-function-policy", "policy", "guardrail/bedrock-app-prod-guardrail-id:1"},
		{nil, "aws:athena/workgroup:Workgroup", "bedrock-audit", "configuration", "kmsKeyArn:arn:aws:test:::bedrock-logging"},
		{map[string]string{"customerManagedKey": "false"}, "aws:athena/workgroup:Workgroup", "bedrock-audit", "configuration", "encryptionOption:SSE_S3"},
		{map[string]string{"auditorArns": `["arn:aws:iam::999999999999:user/auditor"]`}, "aws:iam/role:Role", "bedrock-audit-reader", "assumeRolePolicy", "arn:aws:iam::999999999999:user/auditor"},
		{map[string]string{"auditorArns": `["arn:aws:iam::999999999999:user/auditor"]`}, "aws:iam/rolePolicy:RolePolicy", "bedrock-audit-reader-policy", "policy", "log-group:/aws/apigateway/bedrock-app-prod-api:*"},
		{map[string]string{"auditorArns": `["arn:aws:iam::999999999999:user/auditor"]`}, "aws:iam/rolePolicy:RolePolicy", "bedrock-audit-reader-policy", "policy", `"arn:aws:test:::bedrock-logging"`},
		{nil, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "DATA_RETENTION_MODES:default,none,inherit "},
		{nil, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "SERVICE_TIERS:default]"},
		{nil, "aws:lambda/function:Function", "bedrock-app-prod-function", "reservedConcurrentExecutions", "<nil>"},
		{map[string]string{"serviceTiers": `["default","flex"]`}, "aws:iam/rolePolicy:RolePolicy", "bedrock-app-prod-function-policy", "policy", "\"default\",\n            \"flex\"\n"},
		{map[string]string{"enforcedGuardrailArns": `["arn:aws:bedrock:ap-northeast-1:999999999999:guardrail/3o06191495ze"]`}, "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "bedrock-app-prod-function-bedrock-runtime", "policy", "arn:aws:bedrock:ap-northeast-1:999999999999:guardrail/3o06191495ze\""},
		{map[string]string{"requireInvocationLogging": "false"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "LOGGING_CONFIGURATION:"},
		{map[string]string{"requireInvocationLogging": "false"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "REQUIRE_INVOCATION_LOGGING:false"},
		{map[string]string{"responseStreaming": "true"}, "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "body", `"responseTransferMode":"STREAM"`},
		{map[string]string{"responseStreaming": "true"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "RESPONSE_STREAMING:true"},
		{map[string]string{"responseStreaming": "false"}, "aws:apigateway/restApi:RestApi", "bedrock-app-prod-api", "body", `"responseTransferMode":"BUFFERED"`},
		{map[string]string{"responseStreaming": "false"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "environment", "RESPONSE_STREAMING:false"},
		{map[string]string{"responseStreaming": "false"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "timeout", "29"},
		{map[string]string{"responseStreaming": "false"}, "aws:cloudwatch/metricAlarm:MetricAlarm", "bedrock-app-prod-watch-api-latency", "threshold", "20000"},
		{nil, "aws:cloudwatch/metricAlarm:MetricAlarm", "bedrock-app-prod-watch-api-latency", "threshold", "60000"},
		{nil, "aws:cloudwatch/metricAlarm:MetricAlarm", "bedrock-app-prod-watch-api-5xx", "dimensions", "map[ApiName:bedrock-app-prod-api Stage:api]"},
		{nil, "aws:sns/topic:Topic", "bedrock-app-prod-watch", "kmsMasterKeyId", "arn:aws:test:::bedrock-app-prod-watch"},
		{map[string]string{"customerManagedKey": "false"}, "aws:sns/topic:Topic", "bedrock-app-prod-watch", "kmsMasterKeyId", "<nil>"},
		{nil, "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-buckets", "eventPattern", `"bucketName":["bedrock-logging","bedrock-logging-access","bedrock-audit"]`},
		{nil, "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-queries", "eventPattern", `"name":["bedrock_audit"]`},
		{nil, "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-logs", "eventPattern", `"logGroupName":["/aws/bedrock/bedrock-logging","/aws/lambda/bedrock-app-prod-function","/aws/apigateway/bedrock-app-prod-api"]`},
		{nil, "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-keys", "eventPattern", `"keyId":[{"suffix":"bedrock-logging-id"},{"suffix":"bedrock-app-prod-watch-id"}]`},
		{nil, "aws:cloudwatch/eventRule:EventRule", "bedrock-app-prod-watch-function", "eventPattern", `{"suffix":"bedrock-app-prod-function"}`},
		{map[string]string{"ssmClient": "true"}, "aws:ec2/instance:Instance", "bedrock-app-prod-client", "vpcSecurityGroupIds", "[bedrock-app-prod-clients-id]"},
		{map[string]string{"ssmClient": "true"}, "aws:lambda/function:Function", "bedrock-app-prod-function", "vpcConfig", "securityGroupIds:[bedrock-app-prod-functions-id]"},
		{map[string]string{"ssmClient": "true"}, "aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy", "bedrock-app-prod-client-ssm", "vpcEndpointId", "bedrock-app-prod-ssm-id"},
		{map[string]string{"objectLockMode": "GOVERNANCE", "objectLockDays": "30"}, "aws:s3/bucketObjectLockConfigurationV2:BucketObjectLockConfigurationV2", "bedrock-logging", "rule", "days:30 mode:GOVERNANCE"},
		{map[string]string{"logRetentionDays": "30"}, "aws:s3/bucketLifecycleConfigurationV2:BucketLifecycleConfigurationV2", "bedrock-logging-access", "rules", "expiration:map[days:30]"},
		{map[string]string{"allowGlobalInference": "true", "modelIds": `["global.anthropic.claude-sonnet-5"]`}, "aws:iam/rolePolicy:RolePolicy", "bedrock-app-prod-function-policy", "policy", "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-5"},
	} {
		if got := fmt.Sprint(run(t, "prod", c.set).Inputs(t, c.typ, c.resource)[c.input]); !strings.Contains(got, c.want) {
			t.Errorf("%v: %s = %s, want %s", c.set, c.input, got, c.want)
		}
	}
}

// The function refuses calls while logging differs from what it was given: a copy that differs from what the stack sets
// refuses every call, and one that lacks a part accepts logging that was changed.
func TestFunctionRequiresTheLoggingThatIsSet(t *testing.T) {
	t.Parallel()
	r := run(t, "prod", nil)
	set := r.Inputs(t, "aws:bedrockmodel/invocationLoggingConfiguration:InvocationLoggingConfiguration", "bedrock-logging")["loggingConfig"].(map[string]any)
	maps.DeleteFunc(set, func(name string, _ any) bool { return strings.HasSuffix(name, "DataDeliveryEnabled") })
	set["cloudWatchConfig"] = set["cloudwatchConfig"] // the provider's spelling
	delete(set, "cloudwatchConfig")
	environment := r.Inputs(t, "aws:lambda/function:Function", "bedrock-app-prod-function")["environment"].(map[string]any)["variables"].(map[string]any)
	var required map[string]any
	if err := json.Unmarshal([]byte(fmt.Sprint(environment["LOGGING_CONFIGURATION"])), &required); err != nil {
		t.Fatalf("%v of %v", err, environment)
	}
	if !reflect.DeepEqual(required, set) || len(set) != 2 {
		t.Errorf("the function requires\n%v\nthe stack sets\n%v", required, set)
	}
	environment = run(t, "prod", map[string]string{"manageInvocationLogging": "false"}).Inputs(t, "aws:lambda/function:Function", "bedrock-app-prod-function")["environment"].(map[string]any)["variables"].(map[string]any)
	if got, found := environment["LOGGING_CONFIGURATION"]; found {
		t.Errorf("a stack that does not manage logging requires %v", got)
	}
}

// A VPC or an endpoint that was brought is used in place of a new one, and an endpoint's policy stays its owner's.
func TestBroughtVpcReachesResources(t *testing.T) {
	t.Parallel()
	const vpc, brought = "vpc-0123456789abcdef0", "vpce-0123456789abcdef0"
	name := func(service string) string { return "bedrock-app-prod-" + service }
	for setting, service := range map[string]string{
		"": "none", "executeApiEndpointId": "execute-api", "bedrockRuntimeEndpointId": "bedrock-runtime", "bedrockEndpointId": "bedrock",
	} {
		overrides := map[string]string{"vpcId": vpc, "subnetIds": `["subnet-0123456789abcde0a"]`}
		if setting != "" {
			overrides[setting] = brought
		}
		answer := func(token string, values map[string]any) componentstest.Option {
			return componentstest.Answer(token, func(map[string]any) (map[string]any, error) { return values, nil })
		}
		r := run(t, "prod", overrides,
			answer("aws:ec2/getVpc:getVpc", map[string]any{"enableDnsSupport": true, "enableDnsHostnames": true}),
			answer("aws:ec2/getSubnet:getSubnet", map[string]any{"vpcId": vpc, "availabilityZone": "ap-northeast-1a"}),
			componentstest.Answer("aws:ec2/getVpcEndpoint:getVpcEndpoint", func(args map[string]any) (map[string]any, error) {
				if args["id"] != brought {
					return nil, errors.New("no matching EC2 VPC Endpoint found")
				}
				return map[string]any{
					"vpcId": vpc, "serviceName": "com.amazonaws.ap-northeast-1." + service, "vpcEndpointType": "Interface", "state": "available",
					"privateDnsEnabled": true, "securityGroupIds": []any{"sg-0123456789abcdef0"},
				}, nil
			}))
		want := map[string]string{} // endpoints by the policy that is put on them
		for endpoint, policy := range map[string]string{
			"execute-api": name("api-0"), "bedrock-runtime": name("function-bedrock-runtime"), "bedrock": name("function-bedrock"),
		} {
			if endpoint != service {
				want[policy] = name(endpoint) + "-id"
			}
		}
		got := map[string]string{}
		for _, policy := range r.OfType("aws:ec2/vpcEndpointPolicy:VpcEndpointPolicy") {
			got[policy.Name] = fmt.Sprint(policy.Inputs["vpcEndpointId"])
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: policies on %v, want %v", setting, got, want)
		}
		if endpoints := r.OfType("aws:ec2/vpcEndpoint:VpcEndpoint"); len(endpoints) != len(want) || len(r.OfType("aws:ec2/vpc:Vpc")) > 0 {
			t.Errorf("%s: made a VPC or %v", setting, endpoints)
		}
		policies := fmt.Sprint(r.Inputs(t, "aws:apigateway/restApi:RestApi", name("api"))["policy"], r.Inputs(t, "aws:iam/rolePolicy:RolePolicy", name("function-policy"))["policy"])
		if strings.Contains(policies, brought) != (setting != "") {
			t.Errorf("%s: %s", setting, policies)
		}
	}
}

// A stack whose log is another's, or has no key, watches what it has; one without monitoring makes none of it.
func TestMonitoringWatchesWhatThereIs(t *testing.T) {
	t.Parallel()
	for want, overrides := range map[string]map[string]string{
		"api buckets endpoints function keys logging logs queries retention trails watch": nil,
		"api buckets endpoints function keys logging logs retention trails watch":         {"auditQueries": "false"},
		"api buckets endpoints function logging logs queries retention trails watch":      {"customerManagedKey": "false"},
		"api endpoints function keys logging logs retention trails watch":                 {"manageInvocationLogging": "false"},
		"api endpoints function logging logs retention trails watch":                      {"manageInvocationLogging": "false", "customerManagedKey": "false"},
		"": {"monitoring": "false"},
	} {
		r := run(t, "prod", overrides)
		var got []string
		for _, rule := range r.OfType("aws:cloudwatch/eventRule:EventRule") {
			got = append(got, strings.TrimPrefix(rule.Name, "bedrock-app-prod-watch-"))
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want || len(r.OfType("aws:cloudwatch/eventTarget:EventTarget")) != len(got) {
			t.Errorf("%v: rules %q, want %q, with a target each", overrides, got, want)
		}
		if alarms := len(r.OfType("aws:cloudwatch/metricAlarm:MetricAlarm")); alarms != 8 && want != "" || alarms > 0 && want == "" {
			t.Errorf("%v: %d alarms", overrides, alarms)
		}
	}
}

// A log that is kept shorter than its owner set is gone when it is asked for.
func TestEveryLogIsKeptAsSet(t *testing.T) {
	t.Parallel()
	groups := run(t, "prod", map[string]string{"logRetentionDays": "731"}).OfType("aws:cloudwatch/logGroup:LogGroup")
	if len(groups) != 4 { // invocations, function, API, flow log
		t.Errorf("got %d log groups, want 4", len(groups))
	}
	for _, group := range groups {
		if group.Inputs["retentionInDays"] != 731.0 {
			t.Errorf("%s keeps %v days", group.Name, group.Inputs["retentionInDays"])
		}
	}
}

// Pulumi deletes what was renamed after it has made the new: a setting that is one per account would be deleted with it.
func TestRenamedStackKeepsTheAccountsSettings(t *testing.T) {
	t.Parallel()
	settings := func(systemName string) (urns []string) {
		for _, r := range run(t, "prod", map[string]string{"systemName": systemName, "retainLogs": "false"}) {
			if strings.Contains(r.Type, "InvocationLoggingConfiguration") || strings.HasSuffix(r.Type, ":Account") {
				urns = append(urns, r.Type+" "+r.Name)
			}
		}
		slices.Sort(urns)
		return urns
	}
	if before, after := settings("one"), settings("two"); len(before) != 2 || !slices.Equal(before, after) {
		t.Errorf("before %v, after %v", before, after)
	}
}

// A name that is too long stops a deployment half-way: with the longest that the settings accept, every name fits.
func TestLongestNameFits(t *testing.T) {
	t.Parallel()
	// By type: the input that has the name, and the most characters. Without the input, Pulumi's AWS provider takes the
	// resource's name and appends 8 characters, and refuses more than 64, as IAM does for roles and Lambda for functions (IAM
	// User Guide, "IAM and AWS STS quotas"; Lambda API Reference, CreateFunction), and 63 for buckets (S3 User Guide, "General
	// purpose bucket naming rules").
	named := map[string]struct {
		input string
		most  int
	}{
		"Role": {"name", 64}, "RolePolicy": {"name", 64}, "InstanceProfile": {"name", 64}, "Function": {"name", 64}, "SecurityGroup": {"name", 64},
		"RestApi": {"name", 64}, "Permission": {"statementId", 64}, "BucketV2": {"bucket", 63}, "Workgroup": {"name", 64},
		"EventRule":       {"name", 64},                                 // EventBridge API Reference, PutRule
		"EventTarget":     {"targetId", 64},                             // EventBridge API Reference, Target
		"Guardrail":       {"name", 50},                                 // Bedrock API Reference, CreateGuardrail
		"MetricAlarm":     {"name", 255},                                // CloudWatch API Reference, PutMetricAlarm
		"Dashboard":       {"dashboardName", 255},                       // CloudWatch User Guide, "CloudWatch service quotas"
		"LogGroup":        {"name", 512 - len("-123")},                  // CloudWatch Logs API Reference, CreateLogGroup
		"Topic":           {"name", 256},                                // SNS API Reference, CreateTopic
		"Alias":           {"name", 256},                                // KMS API Reference, CreateAlias
		"NamedQuery":      {"name", 128},                                // Athena API Reference, CreateNamedQuery
		"CatalogDatabase": {"name", 255}, "CatalogTable": {"name", 255}, // Glue API Reference, DatabaseInput, TableInput
		"Stage": {"stageName", 128}, // API Gateway API Reference, CreateStage
	}
	nameless := []string{
		"Account", "Deployment", "MethodSettings", "InvocationLoggingConfiguration", "GuardrailVersion", "LogDataProtectionPolicy", "DefaultSecurityGroup", "FlowLog", "Instance",
		"RouteTable", "RouteTableAssociation", "Subnet", "Vpc", "VpcEndpoint", "VpcEndpointPolicy", "RolePolicyAttachment", "Key", "BucketLifecycleConfigurationV2", "BucketLoggingV2",
		"BucketObjectLockConfigurationV2", "BucketOwnershipControls", "BucketPolicy", "BucketPublicAccessBlock", "BucketServerSideEncryptionConfigurationV2", "BucketVersioningV2",
		"TopicPolicy", "TopicSubscription", "SecurityGroupEgressRule", "SecurityGroupIngressRule",
	}
	longest := 0
	for _, r := range run(t, "dev", map[string]string{
		"systemName": strings.Repeat("s", maxName-len("-dev")), "guardrailBlockedWords": `["x"]`, "auditorArns": `["arn:aws:iam::123456789012:role/auditor"]`,
		"alarmEmail": "oncall@example.com", "maskPersonalData": "true", "objectLockMode": "GOVERNANCE", "objectLockDays": "1", "stageName": strings.Repeat("s", 128),
	}) {
		typ := r.Type[strings.LastIndex(r.Type, ":")+1:]
		limit, found := named[typ]
		switch {
		case !strings.HasPrefix(r.Type, "aws:") || slices.Contains(nameless, typ):
			continue
		case !found:
			t.Errorf("%s %s: has it a name? Add it to named or nameless", r.Type, r.Name)
		}
		name, given := r.Inputs[limit.input].(string)
		if !given {
			name = r.Name + "-1234567"
			longest = max(longest, len(name))
		}
		if len(name) > limit.most {
			t.Errorf("%s %s has %d characters, want at most %d", r.Type, name, len(name), limit.most)
		}
	}
	if longest != 64 {
		t.Errorf("the longest name that Pulumi makes has %d characters: maxName refuses names that would fit 64", longest)
	}
}

// Wrong settings stop a deployment before its first resource, and say how to mend them.
func TestWrongSettingsMakeNothing(t *testing.T) {
	t.Parallel()
	wrong := stackConfig(t, "prod", map[string]string{"vpcCidr": "10.0.0.0/8", "stageName": "a b"})
	resources, err := componentstest.Record(tested, componentstest.Config("prod", wrong))
	if err == nil || !strings.Contains(err.Error(), "vpcCidr") || !strings.Contains(err.Error(), "stageName") {
		t.Errorf("error = %v, want both settings named", err)
	}
	if len(resources) > 0 {
		t.Errorf("made %v", resources)
	}
}

// Every setting says what it means; whoever runs pulumi config sees nothing else.
func TestEverySettingIsDescribed(t *testing.T) {
	t.Parallel()
	project, err := workspace.LoadProject("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(project.Config)) {
		if c := project.Config[name]; len(c.Description) < 10 || c.Default == nil || c.Type == nil {
			t.Errorf("%s has no description, default or type", name)
		}
	}
}

// A role of the stack has no boundary: an administrator that the organization policy lets change it, or run code as it, is rid of
// his. AWS sees Pulumi's names with characters of Pulumi's choice.
func TestOrganizationPolicyKnowsTheStacksNames(t *testing.T) {
	t.Parallel()
	made := run(t, "dev", map[string]string{
		"ssmClient": "true", "manageInvocationLogging": "true", "manageApiGatewayAccount": "true", "auditorArns": `["arn:aws:iam::123456789012:role/auditor"]`,
	})
	for _, file := range []string{"policies/service-control-policy.json", "policies/permissions-boundary.json"} {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		document, err := iampolicy.ParseIdentity(string(content))
		if err != nil {
			t.Fatal(err)
		}
		for typ, q := range map[string]struct{ action, resource, separator string }{
			"aws:iam/role:Role":                        {"iam:UpdateAssumeRolePolicy", "arn:aws:iam::123456789012:role/", "-"},
			"aws:lambda/function:Function":             {"lambda:UpdateFunctionCode", "arn:aws:lambda:ap-northeast-1:123456789012:function:", "-"},
			"aws:athena/workgroup:Workgroup":           {"athena:UpdateWorkGroup", "arn:aws:athena:ap-northeast-1:123456789012:workgroup/", "-"},
			"aws:glue/catalogDatabase:CatalogDatabase": {"glue:DeleteDatabase", "arn:aws:glue:ap-northeast-1:123456789012:database/", "_"},
			// Named as its log.
			"aws:apigateway/stage:Stage": {"logs:DeleteLogStream", "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/apigateway/", "-"},
		} {
			if len(made.OfType(typ)) == 0 {
				t.Errorf("the stack makes no %s", typ)
			}
			for _, r := range made.OfType(typ) {
				const admin = "arn:aws:iam::123456789012:role/admin"
				asked := iampolicy.Request{
					Principal: iampolicy.Principal{ARN: admin}, Action: q.action, Context: map[string][]string{"aws:PrincipalArn": {admin}},
					Resource: q.resource + strings.ReplaceAll(r.Name+"-1a2b3c4", "-", q.separator),
				}
				if got := document.Decide(asked); got != iampolicy.ExplicitDeny {
					t.Errorf("%s: %s on %s is %v, want ExplicitDeny", file, asked.Action, asked.Resource, got)
				}
			}
		}
	}
}
