package components

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/contract"
)

// policyDocument marshals to an IAM policy (IAM User Guide, "IAM JSON policy elements reference").
type policyDocument struct {
	Version   string
	Statement []statement
}

type statement struct {
	Sid       string
	Effect    string
	Principal any                            `json:",omitempty"` // "*" or {"Service": …} or {"AWS": […]}; none in an identity's policy
	Action    []string                       `json:",omitempty"`
	NotAction []string                       `json:",omitempty"` // in place of Action: all but these
	Resource  []string                       `json:",omitempty"` // none in a trust policy
	Condition map[string]map[string][]string `json:",omitempty"`
}

func policy(statements ...statement) (string, error) {
	b, err := json.MarshalIndent(policyDocument{"2012-10-17", statements}, "", "  ")
	return string(b), err
}

// trustPolicy admits one AWS service, acting for this account and for the given ARNs only, so that no other
// customer of that service can make it use the role (IAM User Guide, "The confused deputy problem").
func trustPolicy(service, account, sourceArn string) (string, error) {
	return policy(statement{
		Sid: "OnlyForThisAccount", Effect: "Allow", Principal: map[string]string{"Service": service},
		Action: []string{"sts:AssumeRole"}, Condition: boundTo(account, sourceArn),
	})
}

func boundTo(account, sourceArn string) map[string]map[string][]string {
	return map[string]map[string][]string{
		"StringEquals": {"aws:SourceAccount": {account}},
		"ArnLike":      {"aws:SourceArn": {sourceArn}},
	}
}

// plainTrustPolicy is for services whose documented trust policy has no aws:SourceArn (Lambda Developer Guide,
// "Execution role"; API Gateway Developer Guide, "Set up CloudWatch logging"; EC2 User Guide, "IAM roles for Amazon
// EC2"): a condition on a key they do not set would shut them out. iam:PassRole, which never crosses accounts,
// binds whom they act for.
func plainTrustPolicy(service string) (string, error) {
	return policy(statement{
		Sid: "OnlyThisService", Effect: "Allow", Principal: map[string]string{"Service": service}, Action: []string{"sts:AssumeRole"},
	})
}

// apiPolicy shuts out every request that does not come through one of the VPC endpoints and, where callers are named,
// everybody else. Deny and Allow are both needed: with IAM authorization a caller's own policy may allow in the Allow's
// stead, and without the Allow nobody is admitted (API Gateway Developer Guide, "How resource policies affect
// authorization workflow").
//
// API Gateway reads the short form "execute-api:/*" back as a full ARN, which every preview would then report as
// a change; the API's own id is not known before the API, so it is a wildcard. The policy is attached to this API only.
func apiPolicy(to target, vpcEndpointIds []string, authorization string, callerArns []string) (string, error) {
	if len(vpcEndpointIds) == 0 || slices.Contains(vpcEndpointIds, "") {
		return "", fmt.Errorf("VpcEndpointIds: got %q, want at least one, none empty: else nobody or everybody gets in", vpcEndpointIds)
	}
	resource := []string{"arn:" + to.partition + ":execute-api:" + to.region + ":" + to.account + ":*/*"}
	deny := func(sid, operator, key string, unless []string) statement {
		return statement{
			Sid: sid, Effect: "Deny", Principal: "*", Action: []string{"execute-api:Invoke"}, Resource: resource,
			Condition: map[string]map[string][]string{operator: {key: unless}},
		}
	}
	statements := []statement{deny("OnlyThroughTheseEndpoints", "StringNotEquals", "aws:SourceVpce", vpcEndpointIds)}
	allow := statement{Sid: "Invoke", Effect: "Allow", Principal: "*", Action: []string{"execute-api:Invoke"}, Resource: resource}
	switch {
	case len(callerArns) > 0:
		// In a condition and not as principals: API Gateway refuses those that do not exist, and IAM would keep their unique
		// ids, and so shut out a role that is made anew.
		var named []string
		for _, arn := range callerArns {
			if account, isAccount := strings.CutSuffix(arn, ":root"); isAccount {
				arn = account + ":*" // all in it
			}
			named = append(named, arn)
		}
		statements = append(statements, deny("OnlyTheseCallers", "ArnNotLike", "aws:PrincipalArn", named))
	case authorization == "AWS_IAM":
		// The account, and so whomever of it its own policies let (IAM User Guide, "AWS JSON policy elements: Principal").
		allow.Principal = map[string][]string{"AWS": {"arn:" + to.partition + ":iam::" + to.account + ":root"}}
	}
	return policy(append(statements, allow)...)
}

// apiEndpointPolicy lets calls through an execute-api endpoint to this API alone, all its stages and methods. Who may call
// is for the API's own policy to say: callers without a signature are anonymous here (API Gateway Developer Guide, "Use VPC
// endpoint policies for private APIs").
func apiEndpointPolicy(executionArn string) (string, error) {
	return policy(statement{
		Sid: "ThisApi", Effect: "Allow", Principal: "*", Action: []string{"execute-api:Invoke"}, Resource: []string{executionArn + "/*"},
	})
}

// onlyBy binds a statement of an endpoint's policy to one role. The Principal stays "*": an ARN there would be kept as
// the role's unique id, and shut out a role that is made anew (IAM User Guide, "AWS JSON policy elements: Principal").
func onlyBy(roleArn string) map[string][]string {
	return map[string][]string{"aws:PrincipalArn": {roleArn}}
}

// bedrockRuntimeEndpointPolicy lets the function's role call these models and apply these guardrails through the
// bedrock-runtime endpoint, and no other principal anything.
func bedrockRuntimeEndpointPolicy(roleArn string, models []model, guardrailArns []string) (string, error) {
	statements := modelStatements(models, "*", onlyBy(roleArn), onlyBy(roleArn))
	statements = append(statements, applyGuardrails(guardrailArns, "*", map[string]map[string][]string{"StringEquals": onlyBy(roleArn)})...)
	document, err := policy(statements...)
	// AWS PrivateLink Guide, "Control access to VPC endpoints using endpoint policies": white space counts.
	if err == nil && len(document) > 20_480 {
		return "", fmt.Errorf("ModelIds: the endpoint's policy has %d characters, and AWS takes 20480: want fewer models", len(document))
	}
	return document, err
}

// readAccountSettings lets the function check where prompts go. Its actions have no resource that could be named (Service
// Authorization Reference, "Amazon Bedrock").
func readAccountSettings(principal any, conditions map[string][]string) statement {
	return statement{
		Sid: "ReadAccountSettings", Effect: "Allow", Principal: principal,
		Action:   []string{"bedrock:GetAccountDataRetention", "bedrock:GetModelInvocationLoggingConfiguration"},
		Resource: []string{"*"}, Condition: map[string]map[string][]string{"StringEquals": conditions},
	}
}

func bedrockEndpointPolicy(roleArn string) (string, error) {
	return policy(readAccountSettings("*", onlyBy(roleArn)))
}

// functionPolicy is the function's whole role: these models and the account's settings through these endpoints, the
// guardrails, its own log, and what Lambda itself does in the function's name. It denies all else, so that no other policy,
// of the role or of a resource, adds to it, such as s3:GetObject on what a request's s3Location names.
//
// aws:SourceVpce stands in the statements on Bedrock and not on the whole role: Lambda writes logs and traces and makes
// network interfaces with this role from outside the VPC, and would be shut out (Lambda Developer Guide, "Working with
// source function ARN"). Nor does it stand where Bedrock itself goes on with a call, to the models behind a profile, maybe
// in another region, and to the guardrail: AWS does not say that the key is still set there (IAM User Guide, "Forward
// access sessions"). The call's own model or profile, without which there is no call, has it.
func functionPolicy(logGroupArn, bedrockRuntimeEndpointId, bedrockEndpointId string, models []model, guardrail guardrailVersion, enforcedGuardrailArns, serviceTiers []string) (string, error) {
	// Lambda encrypts and decrypts the function's environment variables with this role (Lambda Developer Guide, "Using source
	// function ARN to control function access behavior"), which a grant on Lambda's key allows. A Deny would override the
	// grant, and Lambda could not start the function (KMS Developer Guide, "Troubleshooting AWS KMS permissions").
	environment := []string{"kms:Decrypt", "kms:Encrypt"}
	networkInterfaces := []string{
		"ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
		"ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
	}
	through := map[string][]string{"aws:SourceVpce": {bedrockRuntimeEndpointId}}
	statements := slices.Concat(
		modelStatements(models, nil, through, nil), []statement{onlyTiers(serviceTiers)},
		neverWithoutGuardrail(guardrail, models), applyGuardrails(applicableGuardrails(guardrail.arn, enforcedGuardrailArns), nil, nil),
	)
	statements = append(statements,
		readAccountSettings(nil, map[string][]string{"aws:SourceVpce": {bedrockEndpointId}}),
		statement{
			Sid: "OwnLog", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, Resource: []string{logGroupArn + ":log-stream:*"},
		},
		statement{
			// X-Ray knows no resources for these (Service Authorization Reference, "AWS X-Ray").
			Sid: "Traces", Effect: "Allow", Action: []string{"xray:PutTelemetryRecords", "xray:PutTraceSegments"}, Resource: []string{"*"},
		},
		statement{
			// Lambda refuses a function in a VPC whose role does not hold these on any resource (Lambda Developer
			// Guide, "Giving Lambda functions access to resources in an Amazon VPC", "Required IAM permissions").
			Sid: "NetworkInterfaces", Effect: "Allow", Action: networkInterfaces, Resource: []string{"*"},
		},
		statement{
			// The same page: Lambda needs them, the function's code does not. Calls of the code carry this key.
			Sid: "NotByTheCode", Effect: "Deny", Action: slices.Concat(networkInterfaces, environment), Resource: []string{"*"},
			Condition: map[string]map[string][]string{"Null": {"lambda:SourceFunctionArn": {"false"}}},
		},
	)
	own := environment
	for _, s := range statements {
		if s.Effect == "Allow" {
			own = append(own, s.Action...)
		}
	}
	slices.Sort(own)
	document, err := policy(append(statements, statement{Sid: "NothingElse", Effect: "Deny", NotAction: slices.Compact(own), Resource: []string{"*"}})...)
	// IAM counts a role's own policies without white space (IAM User Guide, "IAM and AWS STS quotas").
	if size := len(strings.Join(strings.Fields(document), "")); err == nil && size > 10_240 {
		return "", fmt.Errorf("ModelIds: the function's policy has %d characters, and IAM takes 10240: want fewer models", size)
	}
	return document, err
}

// logDeliveryPolicy lets Bedrock write its one log stream. A group's ARN that ends in ":*" would not do: Bedrock
// answers "Failed to validate permissions for log group". keyArn is empty where the group has no key of the customer's.
func logDeliveryPolicy(to target, logGroupArn, keyArn string) (string, error) {
	statements := []statement{{
		Sid: "InvocationLog", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
		Resource: []string{logGroupArn + ":log-stream:aws/bedrock/modelinvocations"},
	}}
	if keyArn != "" {
		// CloudWatch Logs uses the key in the name of whoever writes, too (CloudWatch Logs User Guide, "Encrypt log data in
		// CloudWatch Logs using AWS Key Management Service", step 3, whose list this is).
		statements = append(statements, statement{
			Sid: "KeyThroughCloudWatchLogs", Effect: "Allow", Action: logGroupEncryption, Resource: []string{keyArn},
			Condition: map[string]map[string][]string{"StringEquals": {"kms:ViaService": {logsService(to)}}},
		})
	}
	return policy(statements...)
}

// logGroupEncryption is AWS's list, wildcards included (CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs
// using AWS Key Management Service").
var logGroupEncryption = []string{"kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"}

func logsService(to target) string { return "logs." + to.region + ".amazonaws.com" }

// logKeyPolicy lets Bedrock encrypt records, and CloudWatch Logs this one group. A key's policy names the key itself by
// "*", and knows no other resource (KMS Developer Guide, "Creating a key policy").
func logKeyPolicy(to target, logGroupName string) (string, error) {
	return policy(
		accountDecidesByIam(to),
		statement{
			// Bedrock User Guide, "Set up an Amazon S3 destination".
			Sid: "BedrockEncryptsRecords", Effect: "Allow", Principal: map[string]string{"Service": "bedrock.amazonaws.com"},
			Action: []string{"kms:GenerateDataKey"}, Resource: []string{"*"}, Condition: boundTo(to.account, bedrockArns(to.partition, to.region, to.account)),
		},
		statement{
			Sid: "CloudWatchLogsEncryptsTheGroup", Effect: "Allow", Principal: map[string]string{"Service": logsService(to)},
			Action: logGroupEncryption, Resource: []string{"*"},
			Condition: map[string]map[string][]string{"ArnEquals": {
				"kms:EncryptionContext:aws:logs:arn": {"arn:" + to.partition + ":logs:" + to.region + ":" + to.account + ":log-group:" + logGroupName},
			}},
		},
	)
}

// accountDecidesByIam is KMS's own: IAM policies have no effect on a key whose policy lacks this, and one that names only a
// role which is then deleted can never be changed again (KMS Developer Guide, "Default key policy").
func accountDecidesByIam(to target) statement {
	return statement{
		Sid: "AccountDecidesByIam", Effect: "Allow", Principal: map[string]string{"AWS": "arn:" + to.partition + ":iam::" + to.account + ":root"},
		Action: []string{"kms:*"}, Resource: []string{"*"},
	}
}

// topicPolicy lets CloudWatch and EventBridge publish for this account's alarms and rules whose names begin with the given
// one (CloudWatch User Guide, "Notifying users on alarm changes"; EventBridge User Guide, "Cross-service confused deputy
// prevention"), and nobody without TLS (SNS Developer Guide, "Amazon SNS security best practices"). A rule's ARN has the
// account; aws:SourceAccount beside it keeps EventBridge out of functions, says its guide, "Troubleshooting", and is left out.
func topicPolicy(to target, topicArn, name string) (string, error) {
	publish := func(sid, service string, condition map[string]map[string][]string) statement {
		return statement{
			Sid: sid, Effect: "Allow", Principal: map[string]string{"Service": service}, Action: []string{"sns:Publish"}, Resource: []string{topicArn},
			Condition: condition,
		}
	}
	rules := "arn:" + to.partition + ":events:" + to.region + ":" + to.account + ":rule/" + name + "*"
	return policy(
		publish("AlarmsPublish", "cloudwatch.amazonaws.com", boundTo(to.account, alarmArns(to, name))),
		publish("RulesPublish", "events.amazonaws.com", map[string]map[string][]string{"ArnLike": {"aws:SourceArn": {rules}}}),
		statement{
			Sid: "OnlyOverTLS", Effect: "Deny", Principal: "*", Action: []string{"sns:Publish"}, Resource: []string{topicArn},
			Condition: map[string]map[string][]string{"Bool": {"aws:SecureTransport": {"false"}}},
		},
	)
}

func alarmArns(to target, name string) string {
	return "arn:" + to.partition + ":cloudwatch:" + to.region + ":" + to.account + ":alarm:" + name + "*"
}

// topicKeyPolicy lets CloudWatch and EventBridge encrypt what they publish, with the actions that EventBridge's guide
// lists (EventBridge User Guide, "Troubleshooting Amazon EventBridge"). EventBridge sets no condition key when it uses a
// topic's key (SNS Developer Guide, "Managing Amazon SNS encryption keys and costs"): what it may do with this one, it may
// do in any account's name, which is one reason why the topic does not share the invocation log's key. The other is that
// whoever disabled that would have silenced the alarm of it.
func topicKeyPolicy(to target, name string) (string, error) {
	encrypt := func(sid, service string, condition map[string]map[string][]string) statement {
		return statement{
			Sid: sid, Effect: "Allow", Principal: map[string]string{"Service": service}, Action: []string{"kms:Decrypt", "kms:GenerateDataKey"},
			Resource: []string{"*"}, Condition: condition,
		}
	}
	return policy(
		accountDecidesByIam(to),
		encrypt("AlarmsAreEncrypted", "cloudwatch.amazonaws.com", boundTo(to.account, alarmArns(to, name))),
		encrypt("RulesAreEncrypted", "events.amazonaws.com", nil),
	)
}

// logBucketPolicy lets Bedrock write invocation records of this account and region, and nobody read or write
// without TLS (Bedrock User Guide, "Model invocation logging").
func logBucketPolicy(bucketArn, account, region, partition string, prefixes []string) (string, error) {
	var records []string
	for _, prefix := range prefixes {
		records = append(records, recordsBelow(bucketArn, prefix, account))
	}
	return policy(
		statement{
			Sid: "BedrockWritesInvocationRecords", Effect: "Allow", Principal: map[string]string{"Service": "bedrock.amazonaws.com"},
			Action: []string{"s3:PutObject"}, Resource: records, Condition: boundTo(account, bedrockArns(partition, region, account)),
		},
		onlyOverTLS(bucketArn),
	)
}

// accessLogBucketPolicy lets S3 write the access log of one bucket (S3 User Guide, "Enabling Amazon S3 server access
// logging"). A bucket's ARN names no account: whoever has its name after it was deleted is kept out by aws:SourceAccount.
func accessLogBucketPolicy(bucketArn, loggedBucketArn, account string) (string, error) {
	return policy(
		statement{
			Sid: "S3WritesTheAccessLog", Effect: "Allow", Principal: map[string]string{"Service": "logging.s3.amazonaws.com"},
			Action: []string{"s3:PutObject"}, Resource: []string{bucketArn + "/*"}, Condition: boundTo(account, loggedBucketArn),
		},
		onlyOverTLS(bucketArn),
	)
}

// resultsBucketPolicy: who reads and writes query results is for IAM's policies to say.
func resultsBucketPolicy(bucketArn string) (string, error) { return policy(onlyOverTLS(bucketArn)) }

// auditedLog is what a reader of the invocation log reads, by names; keyArn is empty without a key of the customer's, and
// queries is nil without Athena.
type auditedLog struct {
	bucket, logGroup, accessLogGroup, keyArn string
	queries                                  *auditedQueries
}

type auditedQueries struct{ database, workgroup, results string }

// auditReaderTrust names whom it admits as principals, and leaves nothing to policies of theirs: IAM keeps their unique ids,
// so that one who is deleted and made anew under the same name has to be admitted anew (IAM User Guide, "AWS JSON policy
// elements: Principal"), and refuses one who does not exist.
func auditReaderTrust(auditorArns []string) (string, error) {
	return policy(statement{
		Sid: "OnlyTheseAuditors", Effect: "Allow", Principal: map[string][]string{"AWS": auditorArns}, Action: []string{"sts:AssumeRole"},
	})
}

// auditReaderPolicy lets cmd/audit and, with queries, Athena read the log, and nothing else. Athena does what it does with
// S3, Glue and KMS in the name of whoever runs the query (Athena User Guide, "Control access to Amazon S3 from Athena").
func auditReaderPolicy(to target, log auditedLog) (string, error) {
	arn := func(service, resource string) string {
		return "arn:" + to.partition + ":" + service + ":" + to.region + ":" + to.account + ":" + resource
	}
	bucketArn := func(bucket string) string { return "arn:" + to.partition + ":s3:::" + bucket }
	allow := func(sid string, actions []string, resources ...string) statement {
		return statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
	}
	records := bucketArn(log.bucket)
	statements := []statement{
		allow("ListRecords", []string{"s3:ListBucket"}, records),
		allow("ReadRecords", []string{"s3:GetObject"},
			recordsBelow(records, contract.LogPrefix, to.account), recordsBelow(records, contract.LargeDataPrefix, to.account)),
		// CloudWatch Logs asks for a group's ARN that ends in ":*" (CloudWatch Logs User Guide, "CloudWatch Logs resources and
		// operations").
		allow("ReadLogGroups", []string{"logs:FilterLogEvents"}, arn("logs", "log-group:"+log.logGroup+":*"), arn("logs", "log-group:"+log.accessLogGroup+":*")),
	}
	if log.keyArn != "" {
		decrypt := allow("DecryptRecords", []string{"kms:Decrypt"}, log.keyArn)
		decrypt.Condition = map[string]map[string][]string{"StringEquals": {"kms:ViaService": {logsService(to), s3Service(to)}}}
		statements = append(statements, decrypt)
	}
	if q := log.queries; q != nil {
		results := bucketArn(q.results)
		statements = append(statements,
			// Of AWS's list, what running a saved query and fetching its answer takes (Athena User Guide, "Example workgroup
			// policies"). Resources of Athena's actions are workgroups, of saved queries, too.
			allow("RunQueries", []string{
				"athena:BatchGetNamedQuery", "athena:GetNamedQuery", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:GetWorkGroup",
				"athena:ListNamedQueries", "athena:StartQueryExecution", "athena:StopQueryExecution",
			}, arn("athena", "workgroup/"+q.workgroup)),
			// Each action on a table needs its database and the catalog, too (Athena User Guide, "Configure access to databases and
			// tables in the AWS Glue Data Catalog").
			allow("ReadTable", []string{"glue:GetDatabase", "glue:GetTable"},
				arn("glue", "catalog"), arn("glue", "database/"+q.database), arn("glue", "table/"+q.database+"/"+recordsTable)),
			// What AWS gives for the results' location (Athena User Guide, "AWS managed policies for Amazon Athena").
			allow("ResultsLocation", []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}, results),
			allow("WriteAndReadResults", []string{"s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"}, results+"/*"),
		)
		if log.keyArn != "" {
			encrypt := allow("EncryptResults", []string{"kms:GenerateDataKey"}, log.keyArn) // Athena User Guide, "Encryption at rest"
			encrypt.Condition = map[string]map[string][]string{"StringEquals": {"kms:ViaService": {s3Service(to)}}}
			statements = append(statements, encrypt)
		}
	}
	return policy(statements...)
}

func s3Service(to target) string { return "s3." + to.region + ".amazonaws.com" }

// recordsBelow is all that Bedrock writes below a prefix, permission check and large bodies included.
func recordsBelow(bucketArn, prefix, account string) string {
	return bucketArn + "/" + prefix + "/AWSLogs/" + account + "/" + contract.RecordsFolder + "/*"
}

// onlyOverTLS denies all else (S3 User Guide, "Security best practices for Amazon S3"). "s3:*": every way of reading or
// writing is meant.
func onlyOverTLS(bucketArn string) statement {
	return statement{
		Sid: "OnlyOverTLS", Effect: "Deny", Principal: "*", Action: []string{"s3:*"}, Resource: []string{bucketArn, bucketArn + "/*"},
		Condition: map[string]map[string][]string{"Bool": {"aws:SecureTransport": {"false"}}},
	}
}

func bedrockArns(partition, region, account string) string {
	return "arn:" + partition + ":bedrock:" + region + ":" + account + ":*"
}

// flowLogPolicy lets flow logs into this group alone. Of the list of the VPC User Guide, "Publish flow logs to
// CloudWatch Logs", it leaves out CreateLogGroup, for the group is there, and DescribeLogGroups, which would show all.
func flowLogPolicy(logGroupArn string) (string, error) {
	return policy(statement{
		Sid: "FlowLog", Effect: "Allow",
		Action:   []string{"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"},
		Resource: []string{logGroupArn, logGroupArn + ":log-stream:*"},
	})
}

// What Session Manager needs and no more, by the endpoint that it is called through (Systems Manager User Guide,
// "Create a custom IAM role for Session Manager").
var (
	ssmActions         = []string{"ssm:UpdateInstanceInformation"}
	ssmMessagesActions = []string{
		"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
	}
)

// ssmClientPolicy names no resource: ssmmessages' actions know none, and the instance is not known before its role.
func ssmClientPolicy() (string, error) {
	return policy(statement{
		Sid: "SessionManager", Effect: "Allow", Resource: []string{"*"}, Action: slices.Concat(ssmActions, ssmMessagesActions),
	})
}

// ssmEndpointPolicy lets one role use Session Manager through an endpoint; resources as in ssmClientPolicy.
func ssmEndpointPolicy(roleArn string, actions []string) (string, error) {
	return policy(statement{
		Sid: "SessionManager", Effect: "Allow", Principal: "*", Action: actions, Resource: []string{"*"},
		Condition: map[string]map[string][]string{"StringEquals": onlyBy(roleArn)},
	})
}
