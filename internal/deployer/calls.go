package deployer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Call is a request to AWS. Service is the name in its signature's scope.
type Call struct {
	Service, Region, Account string
	Method                   string
	URL                      *url.URL
	Header                   http.Header
	Body                     []byte
}

// systemTag limits a right to the program's resources, by a tag of an existing resource. systemRequestTag limits it by
// a tag of the request. topicKeyTag distinguishes the alarms' key from the log's key.
const (
	systemTag        = "aws:ResourceTag/System"
	systemRequestTag = "aws:RequestTag/System"
	topicKeyTag      = "aws:ResourceTag/Name"
)

// Rights returns all rights that IAM checks for the call, according to the Service Authorization Reference. A right
// whose Key is a resource's tag has no Value: the caller looks it up. If AWS requires no right, or doesn't receive the
// call, there are no rights.
func (c Call) Rights() ([]Right, error) {
	a := checks{Call: c, parameters: c.parameters()}
	switch c.Service {
	case "ec2":
		a.ec2()
	case "s3":
		a.s3()
	case "apigateway":
		a.apigateway()
	case "lambda":
		a.lambda()
	case "bedrock":
		a.bedrock()
	default:
		a.named()
	}
	for i, right := range a.rights {
		if strings.HasSuffix(right.Action, ":") || right.Resource == "" {
			return nil, fmt.Errorf("%s %s %s %.200s: unknown IAM action and resource, got %v: add the call to internal/deployer/calls.go",
				c.Service, c.Method, cmp.Or(c.operation(), c.URL.RequestURI()), c.Body, a.rights[i])
		}
	}
	return a.rights, nil
}

// operation returns the API's name of the call. Calls of REST APIs have no name.
func (c Call) operation() string {
	target := c.Header.Get("X-Amz-Target")
	return cmp.Or(target[strings.LastIndex(target, ".")+1:], c.form().Get("Action"))
}

func (c Call) form() url.Values {
	form, _ := url.ParseQuery(string(c.Body))
	return form
}

// parameters returns the request's parameters by name. In a form, "AlarmNames.member.1" counts as AlarmNames.
func (c Call) parameters() map[string][]string {
	all := map[string][]string{}
	var body map[string]any
	if json.Unmarshal(c.Body, &body) == nil {
		for name, value := range body {
			if text, ok := value.(string); ok {
				all[name] = []string{text}
			} else if value != nil {
				all[name] = []string{fmt.Sprint(value)}
			}
		}
		return all
	}
	for name, values := range c.form() {
		name, _, _ = strings.Cut(name, ".")
		all[name] = append(all[name], values...)
	}
	return all
}

// checks collects the rights of one call.
type checks struct {
	Call
	parameters map[string][]string
	rights     []Right
}

// require adds a right for each resource. Without a resource, the call is unknown.
func (a *checks) require(action string, resources ...string) {
	if len(resources) == 0 {
		resources = []string{""}
	}
	for _, resource := range resources {
		a.rights = append(a.rights, Right{Action: action, Resource: resource})
	}
}

func (a *checks) requireIf(key, value, action, resource string) {
	a.rights = append(a.rights, Right{action, resource, key, value})
}

func (a *checks) get(names ...string) string {
	for _, name := range names {
		if values := a.parameters[name]; len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func (a *checks) has(name string) bool { return len(a.parameters[name]) > 0 }

func (a *checks) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + a.Region + ":" + a.Account + ":" + resource
}

var roleARN = regexp.MustCompile(`arn:aws:iam::\d{12}:role/[\w+=,.@/-]+`)

// passRole requires iam:PassRole for each role that the call passes to a service (IAM User Guide, "Grant a user
// permissions to pass a role to an AWS service").
func (a *checks) passRole(service, in string) {
	for _, role := range roleARN.FindAllString(in, -1) {
		a.requireIf("iam:PassedToService", service, "iam:PassRole", role)
	}
}

var (
	ec2ID      = regexp.MustCompile(`^(vpc|subnet|rtb|sg|vpce|fl|i|ami)-[0-9a-f]+$`)
	ec2IDTypes = map[string]string{
		"vpc": "vpc", "subnet": "subnet", "rtb": "route-table", "sg": "security-group", "vpce": "vpc-endpoint", "fl": "vpc-flow-log", "i": "instance", "ami": "image",
	}
	// These are the types of resource that EC2 checks for each action (Service Authorization Reference, "Amazon EC2").
	// All other read calls accept "*" only.
	ec2Types = map[string][]string{
		"AssociateRouteTable": {"route-table", "subnet"}, "AuthorizeSecurityGroupEgress": {"security-group", "security-group-rule"},
		"AuthorizeSecurityGroupIngress": {"security-group", "security-group-rule"}, "CreateFlowLogs": {"vpc", "vpc-flow-log"},
		"CreateRouteTable": {"route-table", "vpc"}, "CreateSecurityGroup": {"security-group", "vpc"}, "CreateSubnet": {"subnet", "vpc"},
		"CreateTags": {"security-group"}, "CreateVpc": {"vpc"}, "CreateVpcEndpoint": {"security-group", "subnet", "vpc", "vpc-endpoint"},
		"DeleteFlowLogs": {"vpc-flow-log"}, "DeleteRouteTable": {"route-table"}, "DeleteSecurityGroup": {"security-group"}, "DeleteSubnet": {"subnet"},
		"DeleteVpc": {"vpc"}, "DeleteVpcEndpoints": {"vpc-endpoint"}, "DescribeInstanceAttribute": {"instance"}, "DescribeVpcAttribute": {"vpc"},
		"DisassociateRouteTable": {"route-table", "subnet"}, "ModifyInstanceAttribute": {"instance"}, "ModifyVpcAttribute": {"vpc"},
		"ModifyVpcEndpoint": {"vpc-endpoint"}, "RevokeSecurityGroupEgress": {"security-group"}, "RevokeSecurityGroupIngress": {"security-group"},
		"RunInstances": {"image", "instance", "network-interface", "security-group", "subnet", "volume"}, "TerminateInstances": {"instance"},
	}
	// The program only uses and reads these existing resources: a VPC and its subnets, AWS's images.
	usesForeign = regexp.MustCompile(`^(Create|Run|Describe)`)
)

func (a *checks) ec2() {
	action := a.operation()
	if action == "ModifyNetworkInterfaceAttribute" { // only because moto returns wrong security groups of an instance
		return
	}
	ids := map[string][]string{}
	for name, values := range a.form() {
		// A group that a rule names isn't changed.
		if found := ec2ID.FindStringSubmatch(values[0]); found != nil && !strings.HasPrefix(name, "IpPermissions.") {
			kind := ec2IDTypes[found[1]]
			ids[kind] = append(ids[kind], values[0])
		}
	}
	if ec2Types[action] == nil {
		if !strings.HasPrefix(action, "Describe") {
			action = "" // unknown
		}
		a.require("ec2:"+action, "*")
	}
	for _, kind := range ec2Types[action] {
		arn := a.arn("ec2", kind+"/")
		if kind == "image" {
			arn = "arn:aws:ec2:" + a.Region + "::image/"
		}
		for _, id := range ids[kind] {
			if usesForeign.MatchString(action) && action != "CreateTags" {
				a.require("ec2:"+action, arn+id)
			} else {
				a.requireIf(systemTag, "", "ec2:"+action, arn+id)
			}
		}
		if len(ids[kind]) == 0 { // new, or not named in the request
			a.require("ec2:"+action, arn+"*")
		}
	}
	for name, values := range a.form() { // EC2 User Guide, "Grant permission to tag Amazon EC2 resources during creation"
		if strings.HasPrefix(name, "TagSpecification.") && strings.HasSuffix(name, ".ResourceType") {
			a.requireIf("ec2:CreateAction", action, "ec2:CreateTags", a.arn("ec2", values[0]+"/*"))
		}
	}
	switch action {
	case "CreateFlowLogs":
		a.passRole("vpc-flow-logs.amazonaws.com", a.get("DeliverLogsPermissionArn"))
	case "CreateVpcEndpoint": // the same reference, dependent actions: for private DNS; AWS doesn't name the hosted zone
		a.require("route53:AssociateVPCWithHostedZone", "*")
	}
}

// bucketParts maps the parts of a bucket to the suffix of the rights to get and put them (S3 User Guide, "Required
// permissions for Amazon S3 API operations"). Deleting a part requires the right to put it, except for a policy.
var bucketParts = map[string]string{
	"accelerate": "AccelerateConfiguration", "acl": "BucketAcl", "cors": "BucketCORS", "encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration",
	"logging": "BucketLogging", "object-lock": "BucketObjectLockConfiguration", "ownershipControls": "BucketOwnershipControls", "policy": "BucketPolicy",
	"publicAccessBlock": "BucketPublicAccessBlock", "replication": "ReplicationConfiguration", "requestPayment": "BucketRequestPayment", "tagging": "BucketTagging",
	"versioning": "BucketVersioning", "website": "BucketWebsite",
}

func (a *checks) s3() {
	name, key, _ := strings.Cut(strings.Trim(a.URL.Path, "/"), "/")
	bucket := "arn:aws:s3:::" + name
	query := a.URL.Query()
	verb := map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Put"}[a.Method]
	for part, right := range bucketParts {
		if query.Has(part) && key == "" {
			if part == "policy" && a.Method == http.MethodDelete {
				verb = "Delete"
			}
			a.require("s3:"+verb+right, bucket)
			return
		}
	}
	switch {
	case key != "":
		a.require("s3:") // no deployment touches an object
	case a.Method == http.MethodHead:
		a.require("s3:ListBucket", bucket)
	case a.Method == http.MethodPut:
		a.require("s3:CreateBucket", bucket)
		if a.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" { // S3 API Reference, "CreateBucket"
			a.require("s3:PutBucketObjectLockConfiguration", bucket)
			a.require("s3:PutBucketVersioning", bucket)
		}
	case a.Method == http.MethodDelete:
		a.require("s3:DeleteBucket", bucket)
	case query.Has("versions"):
		a.require("s3:ListBucketVersions", bucket)
	default:
		a.require("s3:")
	}
}

func (a *checks) apigateway() {
	arn := "arn:aws:apigateway:" + a.Region + "::" + strings.TrimSuffix(a.URL.Path, "/")
	a.require("apigateway:"+a.Method, arn)
	body := string(a.Body)
	if a.Method != http.MethodGet && strings.HasPrefix(a.URL.Path, "/restapis") && (a.has("policy") || strings.Contains(body, `"path":"/policy"`)) {
		a.require("apigateway:UpdateRestApiPolicy", arn)
	}
	if a.Method == http.MethodPost && a.has("tags") {
		a.require("apigateway:PUT", "arn:aws:apigateway:"+a.Region+"::/tags/*")
	}
	if a.URL.Path == "/account" {
		a.passRole("apigateway.amazonaws.com", body)
	}
}

var functionRights = map[string]string{
	"POST ": "CreateFunction", "GET ": "GetFunction", "DELETE ": "DeleteFunction", "PUT code": "UpdateFunctionCode", "PUT configuration": "UpdateFunctionConfiguration",
	"GET versions": "ListVersionsByFunction", "GET code-signing-config": "GetFunctionCodeSigningConfig",
	"GET policy": "GetPolicy", "POST policy": "AddPermission", "DELETE policy": "RemovePermission",
	"PUT concurrency": "PutFunctionConcurrency", "DELETE concurrency": "DeleteFunctionConcurrency",
}

func (a *checks) lambda() {
	path := append(strings.Split(strings.Trim(a.URL.Path, "/"), "/"), "", "", "") // 2015-03-31/functions/NAME/PART
	name := cmp.Or(path[2], a.get("FunctionName"))
	arn := a.arn("lambda", "function:"+name[strings.LastIndex(name, ":")+1:])
	action := functionRights[a.Method+" "+path[3]]
	a.require("lambda:"+action, arn)
	switch action {
	case "GetFunction": // Service Authorization Reference, "AWS Lambda", API operations
		a.require("lambda:ListTags", arn)
	case "CreateFunction", "UpdateFunctionConfiguration":
		a.passRole("lambda.amazonaws.com", a.get("Role"))
		if a.has("Tags") {
			a.require("lambda:TagResource", arn)
		}
	}
}

var guardrailRights = map[string]string{"GET": "GetGuardrail", "PUT": "UpdateGuardrail", "POST": "CreateGuardrailVersion", "DELETE": "DeleteGuardrail"}

func (a *checks) bedrock() {
	path := strings.Split(strings.Trim(a.URL.EscapedPath(), "/"), "/")
	name, _ := url.PathUnescape(path[len(path)-1])
	arn := func(kind string) string {
		if strings.HasPrefix(name, "arn:") {
			return name
		}
		return a.arn("bedrock", kind+"/"+name)
	}
	switch {
	case a.URL.Path == "/logging/modelinvocations":
		verb := map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Delete"}[a.Method]
		a.require("bedrock:"+verb+"ModelInvocationLoggingConfiguration", "*")
		a.passRole("bedrock.amazonaws.com", string(a.Body))
	case a.URL.Path == "/guardrails":
		a.require("bedrock:CreateGuardrail", a.arn("bedrock", "guardrail/*"))
		if a.has("tags") {
			a.require("bedrock:TagResource", a.arn("bedrock", "guardrail/*"))
		}
	case path[0] == "guardrails":
		a.require("bedrock:"+guardrailRights[a.Method], arn("guardrail"))
	case path[0] == "inference-profiles" && a.Method == http.MethodGet:
		a.require("bedrock:GetInferenceProfile", arn("inference-profile"))
	case strings.EqualFold(path[0], "listTagsForResource"):
		a.require("bedrock:ListTagsForResource", a.get("resourceARN"))
	default:
		a.require("bedrock:")
	}
}

// named handles services whose calls name their action, and name their resource in one of these parameters.
func (a *checks) named() {
	action := a.operation()
	service := cmp.Or(map[string]string{"monitoring": "cloudwatch"}[a.Service], a.Service)
	var resources []string
	each := func(parameter string, arn func(name string) string) {
		for _, name := range a.parameters[parameter] {
			resources = append(resources, arn(name))
		}
	}
	here := func(kind string) func(string) string {
		return func(name string) string { return a.arn(service, kind+name) }
	}
	if arn := a.get("ResourceArn", "resourceArn", "ResourceARN", "TopicArn"); arn != "" {
		resources = []string{arn}
	}
	switch service {
	case "sts":
		if action == "GetCallerIdentity" { // AWS STS API Reference: "No permissions are required"
			return
		}
	case "iam":
		// Only with skipCredentialsValidation: the provider also reads the account in this way, and ignores a refusal.
		if action == "GetUser" {
			return
		}
		a.iam(action)
		return
	case "kms":
		a.kms(action)
		return
	case "ssm": // Systems Manager User Guide, "Working with public parameters": without an account
		each("Name", func(name string) string { return "arn:aws:ssm:" + a.Region + "::parameter" + name })
	case "logs":
		each("logGroupName", here("log-group:"))
		each("logGroupIdentifier", here("log-group:"))
		if action == "DescribeLogGroups" {
			resources = []string{a.arn("logs", "log-group:*")}
		}
	case "events":
		each("Rule", here("rule/"))
		each("Name", here("rule/"))
	case "cloudwatch":
		each("AlarmName", here("alarm:"))
		each("AlarmNames", here("alarm:"))
		dashboard := func(name string) string { return "arn:aws:cloudwatch::" + a.Account + ":dashboard/" + name }
		each("DashboardName", dashboard)
		each("DashboardNames", dashboard)
		if action == "DescribeAlarms" { // CloudWatch API Reference: composite alarms, which it can return, need "*"
			resources = []string{a.arn("cloudwatch", "alarm:*")}
		}
	case "sns":
		if action == "CreateTopic" {
			each("Name", here(""))
		}
		if resources == nil { // of a subscription: the reference names no resource for these
			resources = []string{"*"}
		}
	case "glue":
		a.glue(action, resources)
		return
	case "athena":
		each("WorkGroup", here("workgroup/"))
		if strings.HasSuffix(action, "WorkGroup") {
			each("Name", here("workgroup/"))
		}
		if strings.HasSuffix(action, "NamedQuery") { // by an ID that doesn't contain the workgroup
			resources = []string{a.arn("athena", "workgroup/bedrock-audit-*")}
		}
	default:
		action = ""
	}
	a.require(service+":"+action, resources...)
	if strings.HasPrefix(action, "Create") || strings.HasPrefix(action, "Put") {
		if a.has("Tags") || a.has("tags") {
			a.require(service+":TagResource", resources...)
		}
	}
}

func (a *checks) iam(action string) {
	arn := func(kind, name string) string { return "arn:aws:iam::" + a.Account + ":" + kind + "/" + name }
	role, profile := arn("role", a.get("RoleName")), a.get("InstanceProfileName")
	switch {
	case profile != "":
		a.require("iam:"+action, arn("instance-profile", profile))
		if action == "AddRoleToInstanceProfile" {
			a.passRole("ec2.amazonaws.com", role)
		}
		if a.has("Tags") {
			a.require("iam:TagInstanceProfile", arn("instance-profile", profile))
		}
	case !a.has("RoleName"):
		a.require("iam:")
	case a.has("PolicyArn"):
		a.requireIf("iam:PolicyARN", a.get("PolicyArn"), "iam:"+action, role)
	default:
		a.require("iam:"+action, role)
		if a.has("Tags") {
			a.require("iam:TagRole", role)
		}
	}
}

func (a *checks) kms(action string) {
	key := a.arn("kms", "key/"+cmp.Or(a.get("KeyId", "TargetKeyId"), "*"))
	if strings.HasPrefix(a.get("KeyId"), "arn:") {
		key = a.get("KeyId")
	}
	switch action {
	case "CreateKey":
		a.require("kms:CreateKey", "*")
		var body struct {
			Tags []struct{ TagKey, TagValue string }
		}
		json.Unmarshal(a.Body, &body)
		for _, tag := range body.Tags {
			if tag.TagKey == "System" { // KMS Developer Guide, "Controlling access to tags": not restricted to particular keys
				a.requireIf(systemRequestTag, tag.TagValue, "kms:TagResource", "*")
			}
		}
	case "ListAliases":
		a.require("kms:ListAliases", "*")
	case "PutKeyPolicy", "ScheduleKeyDeletion":
		a.requireIf(topicKeyTag, "", "kms:"+action, key)
	default:
		a.require("kms:"+action, key)
		if alias := a.get("AliasName"); alias != "" { // KMS Developer Guide, "Controlling access to aliases": for both resources
			a.require("kms:"+action, a.arn("kms", alias))
		}
	}
}

// glue requires a right for every resource above the resource. Deleting a database requires rights for everything that
// can be in it (Glue Developer Guide, "Specifying AWS Glue resource ARNs").
func (a *checks) glue(action string, resources []string) {
	database, table := a.get("DatabaseName"), a.get("Name")
	var body struct {
		DatabaseInput, TableInput struct{ Name string }
	}
	json.Unmarshal(a.Body, &body)
	table = cmp.Or(table, a.get("TableName"), body.TableInput.Name)
	if strings.HasSuffix(action, "Database") {
		database, table = cmp.Or(a.get("Name"), body.DatabaseInput.Name), ""
	}
	if database != "" {
		resources = []string{a.arn("glue", "catalog"), a.arn("glue", "database/"+database)}
		if table != "" {
			resources = append(resources, a.arn("glue", "table/"+database+"/"+table))
		}
		if action == "DeleteDatabase" {
			resources = append(resources, a.arn("glue", "table/"+database+"/*"), a.arn("glue", "userDefinedFunction/"+database+"/*"))
		}
	}
	a.require("glue:"+action, resources...)
	if a.has("Tags") && len(resources) > 1 {
		a.require("glue:TagResource", resources[1])
	}
}
