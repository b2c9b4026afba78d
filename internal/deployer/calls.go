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

// systemTag binds a right to what the program made, by a tag of the resource that is there already; systemRequestTag,
// by a tag of the request. topicKeyTag tells the alarms' key from the log's.
const (
	systemTag        = "aws:ResourceTag/System"
	systemRequestTag = "aws:RequestTag/System"
	topicKeyTag      = "aws:ResourceTag/Name"
)

// Rights are all that IAM is asked for the call, by the Service Authorization Reference. A right with a resource's tag as
// its Key has no Value: the caller looks it up. None are asked where AWS needs none, or would not see the call.
func (c Call) Rights() ([]Right, error) {
	a := asked{Call: c, parameters: c.parameters()}
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
			return nil, fmt.Errorf("%s %s %s %.200s: no action and resource of IAM is known for it: got %v; add it to internal/deployer/calls.go",
				c.Service, c.Method, cmp.Or(c.operation(), c.URL.RequestURI()), c.Body, a.rights[i])
		}
	}
	return a.rights, nil
}

// operation is the API's name of the call; REST APIs have none.
func (c Call) operation() string {
	target := c.Header.Get("X-Amz-Target")
	return cmp.Or(target[strings.LastIndex(target, ".")+1:], c.form().Get("Action"))
}

func (c Call) form() url.Values {
	form, _ := url.ParseQuery(string(c.Body))
	return form
}

// parameters are the request's, by name: of a list in a form, "AlarmNames.member.1" is AlarmNames.
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

// asked collects the rights of one call.
type asked struct {
	Call
	parameters map[string][]string
	rights     []Right
}

// ask without a resource makes the call an unknown one.
func (a *asked) ask(action string, resources ...string) {
	if len(resources) == 0 {
		resources = []string{""}
	}
	for _, resource := range resources {
		a.rights = append(a.rights, Right{Action: action, Resource: resource})
	}
}

func (a *asked) askIf(key, value, action, resource string) {
	a.rights = append(a.rights, Right{action, resource, key, value})
}

func (a *asked) get(names ...string) string {
	for _, name := range names {
		if values := a.parameters[name]; len(values) > 0 {
			return values[0]
		}
	}
	return ""
}

func (a *asked) has(name string) bool { return len(a.parameters[name]) > 0 }

func (a *asked) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + a.Region + ":" + a.Account + ":" + resource
}

var roleARN = regexp.MustCompile(`arn:aws:iam::\d{12}:role/[\w+=,.@/-]+`)

// passRole is asked where a service is given a role (IAM User Guide, "Grant a user permissions to pass a role to an AWS
// service").
func (a *asked) passRole(service, in string) {
	for _, role := range roleARN.FindAllString(in, -1) {
		a.askIf("iam:PassedToService", service, "iam:PassRole", role)
	}
}

var (
	ec2ID      = regexp.MustCompile(`^(vpc|subnet|rtb|sg|vpce|fl|i|ami)-[0-9a-f]+$`)
	ec2IDTypes = map[string]string{
		"vpc": "vpc", "subnet": "subnet", "rtb": "route-table", "sg": "security-group", "vpce": "vpc-endpoint", "fl": "vpc-flow-log", "i": "instance", "ami": "image",
	}
	// Service Authorization Reference, "Amazon EC2": the types of resource that these are checked against. All other
	// reading calls take "*" only.
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
	// What the program did not make it only uses and reads: an existing VPC and its subnets, AWS's images.
	usesForeign = regexp.MustCompile(`^(Create|Run|Describe)`)
)

func (a *asked) ec2() {
	action := a.operation()
	if action == "ModifyNetworkInterfaceAttribute" { // only because moto answers with other security groups of an instance than it has
		return
	}
	ids := map[string][]string{}
	for name, values := range a.form() {
		if found := ec2ID.FindStringSubmatch(values[0]); found != nil && !strings.HasPrefix(name, "IpPermissions.") { // a group that a rule names is not changed
			kind := ec2IDTypes[found[1]]
			ids[kind] = append(ids[kind], values[0])
		}
	}
	if ec2Types[action] == nil {
		if !strings.HasPrefix(action, "Describe") {
			action = "" // not known
		}
		a.ask("ec2:"+action, "*")
	}
	for _, kind := range ec2Types[action] {
		arn := a.arn("ec2", kind+"/")
		if kind == "image" {
			arn = "arn:aws:ec2:" + a.Region + "::image/"
		}
		for _, id := range ids[kind] {
			if usesForeign.MatchString(action) && action != "CreateTags" {
				a.ask("ec2:"+action, arn+id)
			} else {
				a.askIf(systemTag, "", "ec2:"+action, arn+id)
			}
		}
		if len(ids[kind]) == 0 { // to be made, or not named in the request
			a.ask("ec2:"+action, arn+"*")
		}
	}
	for name, values := range a.form() { // EC2 User Guide, "Grant permission to tag Amazon EC2 resources during creation"
		if strings.HasPrefix(name, "TagSpecification.") && strings.HasSuffix(name, ".ResourceType") {
			a.askIf("ec2:CreateAction", action, "ec2:CreateTags", a.arn("ec2", values[0]+"/*"))
		}
	}
	switch action {
	case "CreateFlowLogs":
		a.passRole("vpc-flow-logs.amazonaws.com", a.get("DeliverLogsPermissionArn"))
	case "CreateVpcEndpoint": // the same reference, dependent actions: for private DNS. AWS does not name the hosted zone.
		a.ask("route53:AssociateVPCWithHostedZone", "*")
	}
}

// S3 User Guide, "Required permissions for Amazon S3 API operations": what the rights to Get and Put a part of a bucket end
// in. To delete one needs the right to put it; only a policy has a right of its own.
var bucketParts = map[string]string{
	"accelerate": "AccelerateConfiguration", "acl": "BucketAcl", "cors": "BucketCORS", "encryption": "EncryptionConfiguration", "lifecycle": "LifecycleConfiguration",
	"logging": "BucketLogging", "object-lock": "BucketObjectLockConfiguration", "ownershipControls": "BucketOwnershipControls", "policy": "BucketPolicy",
	"publicAccessBlock": "BucketPublicAccessBlock", "replication": "ReplicationConfiguration", "requestPayment": "BucketRequestPayment", "tagging": "BucketTagging",
	"versioning": "BucketVersioning", "website": "BucketWebsite",
}

func (a *asked) s3() {
	name, key, _ := strings.Cut(strings.Trim(a.URL.Path, "/"), "/")
	bucket := "arn:aws:s3:::" + name
	query := a.URL.Query()
	verb := map[string]string{"GET": "Get", "PUT": "Put", "DELETE": "Put"}[a.Method]
	for part, right := range bucketParts {
		if query.Has(part) && key == "" {
			if part == "policy" && a.Method == http.MethodDelete {
				verb = "Delete"
			}
			a.ask("s3:"+verb+right, bucket)
			return
		}
	}
	switch {
	case key != "":
		a.ask("s3:") // no deployment touches an object
	case a.Method == http.MethodHead:
		a.ask("s3:ListBucket", bucket)
	case a.Method == http.MethodPut:
		a.ask("s3:CreateBucket", bucket)
		if a.Header.Get("X-Amz-Bucket-Object-Lock-Enabled") == "true" { // S3 API Reference, "CreateBucket"
			a.ask("s3:PutBucketObjectLockConfiguration", bucket)
			a.ask("s3:PutBucketVersioning", bucket)
		}
	case a.Method == http.MethodDelete:
		a.ask("s3:DeleteBucket", bucket)
	case query.Has("versions"):
		a.ask("s3:ListBucketVersions", bucket)
	default:
		a.ask("s3:")
	}
}

func (a *asked) apigateway() {
	arn := "arn:aws:apigateway:" + a.Region + "::" + strings.TrimSuffix(a.URL.Path, "/")
	a.ask("apigateway:"+a.Method, arn)
	body := string(a.Body)
	if a.Method != http.MethodGet && strings.HasPrefix(a.URL.Path, "/restapis") && (a.has("policy") || strings.Contains(body, `"path":"/policy"`)) {
		a.ask("apigateway:UpdateRestApiPolicy", arn)
	}
	if a.Method == http.MethodPost && a.has("tags") {
		a.ask("apigateway:PUT", "arn:aws:apigateway:"+a.Region+"::/tags/*")
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

func (a *asked) lambda() {
	path := append(strings.Split(strings.Trim(a.URL.Path, "/"), "/"), "", "", "") // 2015-03-31/functions/NAME/PART
	name := cmp.Or(path[2], a.get("FunctionName"))
	arn := a.arn("lambda", "function:"+name[strings.LastIndex(name, ":")+1:])
	action := functionRights[a.Method+" "+path[3]]
	a.ask("lambda:"+action, arn)
	switch action {
	case "GetFunction": // Service Authorization Reference, "AWS Lambda", API operations
		a.ask("lambda:ListTags", arn)
	case "CreateFunction", "UpdateFunctionConfiguration":
		a.passRole("lambda.amazonaws.com", a.get("Role"))
		if a.has("Tags") {
			a.ask("lambda:TagResource", arn)
		}
	}
}

var guardrailRights = map[string]string{"GET": "GetGuardrail", "PUT": "UpdateGuardrail", "POST": "CreateGuardrailVersion", "DELETE": "DeleteGuardrail"}

func (a *asked) bedrock() {
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
		a.ask("bedrock:"+verb+"ModelInvocationLoggingConfiguration", "*")
		a.passRole("bedrock.amazonaws.com", string(a.Body))
	case a.URL.Path == "/guardrails":
		a.ask("bedrock:CreateGuardrail", a.arn("bedrock", "guardrail/*"))
		if a.has("tags") {
			a.ask("bedrock:TagResource", a.arn("bedrock", "guardrail/*"))
		}
	case path[0] == "guardrails":
		a.ask("bedrock:"+guardrailRights[a.Method], arn("guardrail"))
	case path[0] == "inference-profiles" && a.Method == http.MethodGet:
		a.ask("bedrock:GetInferenceProfile", arn("inference-profile"))
	case strings.EqualFold(path[0], "listTagsForResource"):
		a.ask("bedrock:ListTagsForResource", a.get("resourceARN"))
	default:
		a.ask("bedrock:")
	}
}

// named are the services whose calls name their action, and their resource by one of these parameters.
func (a *asked) named() {
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
		if action == "GetUser" { // only where skipCredentialsValidation has the provider ask for the account in this way, too; a refusal is no failure
			return
		}
		a.iam(action)
		return
	case "kms":
		a.kms(action)
		return
	case "ssm": // Systems Manager User Guide, "Working with public parameters": they have no account
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
		if action == "DescribeAlarms" { // CloudWatch API Reference: composite alarms, which it may find, need "*"
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
		if strings.HasSuffix(action, "NamedQuery") { // by an id that does not tell the workgroup it is in
			resources = []string{a.arn("athena", "workgroup/bedrock-audit-*")}
		}
	default:
		action = ""
	}
	a.ask(service+":"+action, resources...)
	if strings.HasPrefix(action, "Create") || strings.HasPrefix(action, "Put") {
		if a.has("Tags") || a.has("tags") {
			a.ask(service+":TagResource", resources...)
		}
	}
}

func (a *asked) iam(action string) {
	arn := func(kind, name string) string { return "arn:aws:iam::" + a.Account + ":" + kind + "/" + name }
	role, profile := arn("role", a.get("RoleName")), a.get("InstanceProfileName")
	switch {
	case profile != "":
		a.ask("iam:"+action, arn("instance-profile", profile))
		if action == "AddRoleToInstanceProfile" {
			a.passRole("ec2.amazonaws.com", role)
		}
		if a.has("Tags") {
			a.ask("iam:TagInstanceProfile", arn("instance-profile", profile))
		}
	case !a.has("RoleName"):
		a.ask("iam:")
	case a.has("PolicyArn"):
		a.askIf("iam:PolicyARN", a.get("PolicyArn"), "iam:"+action, role)
	default:
		a.ask("iam:"+action, role)
		if a.has("Tags") {
			a.ask("iam:TagRole", role)
		}
	}
}

func (a *asked) kms(action string) {
	key := a.arn("kms", "key/"+cmp.Or(a.get("KeyId", "TargetKeyId"), "*"))
	if strings.HasPrefix(a.get("KeyId"), "arn:") {
		key = a.get("KeyId")
	}
	switch action {
	case "CreateKey":
		a.ask("kms:CreateKey", "*")
		var body struct {
			Tags []struct{ TagKey, TagValue string }
		}
		json.Unmarshal(a.Body, &body)
		for _, tag := range body.Tags {
			if tag.TagKey == "System" { // KMS Developer Guide, "Controlling access to tags": not restricted to particular keys
				a.askIf(systemRequestTag, tag.TagValue, "kms:TagResource", "*")
			}
		}
	case "ListAliases":
		a.ask("kms:ListAliases", "*")
	case "PutKeyPolicy", "ScheduleKeyDeletion":
		a.askIf(topicKeyTag, "", "kms:"+action, key)
	default:
		a.ask("kms:"+action, key)
		if alias := a.get("AliasName"); alias != "" { // KMS Developer Guide, "Controlling access to aliases": of both
			a.ask("kms:"+action, a.arn("kms", alias))
		}
	}
}

// glue needs the right on all that is above a resource, and to delete a database on all that may be in it (Glue Developer
// Guide, "Specifying AWS Glue resource ARNs").
func (a *asked) glue(action string, resources []string) {
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
	a.ask("glue:"+action, resources...)
	if a.has("Tags") && len(resources) > 1 {
		a.ask("glue:TagResource", resources[1])
	}
}
