package policies

// What a document leaves of AdministratorAccess.
const (
	allowed = "allowed"
	denied  = "denied"
	exempt  = "exempt" // the caller is not subject to the document
)

// orgCase is the same question about each of its actions. Its name is what goes on if it fails.
type orgCase struct {
	name, who, actions, resource string
	context                      keys // what the request carries beside aws:PrincipalArn
	scp, boundary                string
}

type keys map[string][]string

func orgCases() []orgCase {
	const (
		roles    = "arn:aws:iam::123456789012:role/"
		admin    = roles + "admin" // as good as any developer with AdministratorAccess
		deployer = roles + "private-bedrock-deployer"
		delivery = roles + "bedrock-logging-1a2b3c4"
		function = roles + "bedrock-app-dev-function-1a2b3c4"
		agent    = roles + "AmazonBedrockExecutionRoleForAgents_1" // what Bedrock calls models with, for an agent
		root     = "arn:aws:iam::123456789012:root"

		endpoint = "vpce-0123456789abcdef0"
		boundary = "arn:aws:iam::123456789012:policy/private-bedrock-boundary"
		haiku    = "foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0"
		model    = "arn:aws:bedrock:ap-northeast-1::" + haiku
		profile  = "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/jp.anthropic.claude-haiku-4-5-20251001-v1:0"
		ownOne   = "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/1a2b3c4d5e6f"
		api      = "arn:aws:apigateway:ap-northeast-1::/restapis/abc123defg"
		code     = "arn:aws:lambda:ap-northeast-1:123456789012:function:bedrock-app-dev-function-1a2b3c4"
		record   = "arn:aws:s3:::bedrock-logging-1a2b3c4/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/2026/11/23/00/1.json.gz"
		key      = "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
		logGroup = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/bedrock/bedrock-logging-1a2b3c4:"

		gateway    = roles + "api-gateway-account-1a2b3c4"
		accessLog  = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/apigateway/bedrock-app-dev-api"
		glue       = "arn:aws:glue:ap-northeast-1:123456789012:"
		workgroups = "arn:aws:athena:ap-northeast-1:123456789012:workgroup/"

		unlogged = "bedrock:AgenticRetrieveStream bedrock:CreateAdvancedPromptOptimizationJob bedrock:CreateEvaluationJob " +
			"bedrock:CreateModelCustomizationJob bedrock:CreateModelEvaluationJob bedrock:CreateModelInvocationJob bedrock:GenerateQuery " +
			"bedrock:IngestKnowledgeBaseDocuments bedrock:InvokeTool bedrock:InvokeAgent bedrock:InvokeBlueprintOptimizationAsync bedrock:InvokeBlueprintRecommendationAsync bedrock:InvokeBuilder " +
			"bedrock:InvokeDataAutomation bedrock:InvokeDataAutomationAsync bedrock:InvokeFlow bedrock:InvokeInlineAgent bedrock:OptimizePrompt " +
			"bedrock:Rerank bedrock:Retrieve bedrock:RetrieveAndGenerate bedrock:StartAutomatedReasoningPolicyBuildWorkflow " +
			"bedrock:StartAutomatedReasoningPolicyTestWorkflow bedrock:StartFlowExecution bedrock:StartIngestionJob"
		invoke         = "bedrock:InvokeModel bedrock:InvokeModelWithResponseStream"
		changeApi      = "apigateway:DELETE apigateway:PATCH apigateway:POST apigateway:PUT"
		changeFunction = "lambda:AddPermission lambda:InvokeAsync lambda:InvokeFunction lambda:InvokeFunctionUrl lambda:PutResourcePolicy " +
			"lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration lambda:UpdateFunctionEventInvokeConfig lambda:UpdateFunctionUrlConfig"
		configureLog   = "bedrock:DeleteModelInvocationLoggingConfiguration bedrock:PutModelInvocationLoggingConfiguration"
		configureStore = "s3:DeleteBucket s3:DeleteBucketPolicy s3:PutBucketAcl s3:PutBucketLogging s3:PutBucketNotification s3:PutBucketObjectLockConfiguration s3:PutBucketOwnershipControls s3:PutBucketPolicy " +
			"s3:PutBucketPublicAccessBlock s3:PutBucketRequestPayment s3:PutBucketVersioning s3:PutEncryptionConfiguration s3:PutInventoryConfiguration s3:PutLifecycleConfiguration s3:PutReplicationConfiguration"
		changeRecord = "s3:AbortMultipartUpload s3:DeleteObject s3:DeleteObjectVersion s3:PutObject s3:ReplicateDelete s3:ReplicateObject s3:UpdateObjectEncryption"
		changeGroup  = "logs:AssociateKmsKey logs:DeleteLogGroup logs:DeleteLogStream logs:PutRetentionPolicy"
		changeTable  = "glue:BatchCreatePartition glue:BatchDeletePartition glue:BatchDeleteTable glue:BatchUpdatePartition glue:CreatePartition glue:CreateTable " +
			"glue:DeletePartition glue:DeleteTable glue:DeleteTableVersion glue:UpdatePartition glue:UpdateTable"
		changeBase  = "glue:DeleteDatabase glue:UpdateDatabase"
		changeQuery = "athena:CreateNamedQuery athena:DeleteNamedQuery athena:DeleteWorkGroup athena:UpdateNamedQuery athena:UpdateWorkGroup"
		retain      = "bedrock:CreateProject bedrock:PutAccountDataRetention bedrock:PutAccountDataRetentionStorage bedrock:PutProjectDataRetentionStorage bedrock:UpdateProject"
		changeKey   = "kms:DisableKey kms:PutKeyPolicy kms:ScheduleKeyDeletion"
		writeGroup  = "logs:CreateLogStream logs:PutLogEvents"
		changeRole  = "iam:AttachRolePolicy iam:CreateRole iam:DeleteRole iam:DeleteRolePolicy iam:DetachRolePolicy iam:PassRole " +
			"iam:PutRolePermissionsBoundary iam:PutRolePolicy iam:UpdateAssumeRolePolicy"
		bindSomebody = "iam:CreateRole iam:CreateUser iam:PutRolePermissionsBoundary iam:PutUserPermissionsBoundary"
		freeSomebody = "iam:DeleteRolePermissionsBoundary iam:DeleteUserPermissionsBoundary"
		changePolicy = "iam:CreatePolicyVersion iam:DeletePolicy iam:DeletePolicyVersion iam:SetDefaultPolicyVersion"
	)
	through, bound := keys{"aws:SourceVpce": {endpoint}}, keys{"iam:PermissionsBoundary": {boundary}}
	// AWS checks a profile, and each model behind it with the profile's ARN in the context. Whether the check of a model
	// in another region has the endpoint, and the profile's own its ARN, is not written: neither may matter.
	behind, behindOwn := keys{"bedrock:InferenceProfileArn": {profile}}, keys{"bedrock:InferenceProfileArn": {ownOne}}
	return []orgCase{
		{"the function cannot call its model", function, invoke, model, through, allowed, allowed},
		{"the function's keys call models from anywhere", function, invoke, model, nil, denied, denied},
		{"the function calls models through another endpoint", function, invoke, model, keys{"aws:SourceVpce": {"vpce-0fedcba9876543210"}}, denied, denied},
		{"an administrator calls models directly, or in the console's playground", admin, invoke, model, nil, denied, denied},
		{"the deployer calls models directly", deployer, invoke, model, nil, denied, denied},
		{"the root user calls models directly", root, invoke, model, nil, denied, exempt},
		{"an agent made before the policy goes on calling models", agent, invoke, model, nil, denied, denied},
		{"the function cannot call its profile", function, invoke, profile, through, allowed, allowed},
		{"the function cannot call its application profile", function, invoke, ownOne, through, allowed, allowed},
		{"a profile cannot send the function's call to another region", function, invoke, "arn:aws:bedrock:ap-northeast-3::" + haiku, behind, allowed, allowed},
		{"a profile cannot send the function's call to any region", function, invoke, "arn:aws:bedrock:::" + haiku, behind, allowed, allowed},
		{"the function's keys call a profile from anywhere", function, invoke, profile, nil, denied, denied},
		{"the function's keys call a profile from anywhere, and its check names it", function, invoke, profile, behind, denied, denied},
		{"the function's keys call an application profile from anywhere", function, invoke, ownOne, behindOwn, denied, denied},
		{"an administrator calls a profile directly", admin, invoke, profile, behind, denied, denied},
		{"an agent made before the policy goes on calling a profile", agent, invoke, profile, behind, denied, denied},
		{"a provisioned model is called directly", admin, invoke, "arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model/1a2b3c4d5e6f", nil, denied, denied},
		{"a prompt router is called directly", admin, invoke, "arn:aws:bedrock:ap-northeast-1:123456789012:default-prompt-router/anthropic.claude:1", nil, denied, denied},
		{"mantle leaves no record of a call", admin, "bedrock-mantle:CreateInference bedrock-mantle:CallWithBearerToken", "*", through, denied, denied},
		{"the deployer calls mantle", deployer, "bedrock-mantle:CreateInference", "*", nil, denied, denied},
		{"Bedrock runs a model without a record", admin, unlogged, "*", through, denied, denied},
		{"the deployer has Bedrock run a model without a record", deployer, unlogged, "*", nil, denied, denied},
		{"StartAsyncInvoke leaves no record of a call", function, "bedrock:InvokeModel", "arn:aws:bedrock:ap-northeast-1:123456789012:async-invoke/1", through, denied, denied},
		{"speech leaves no record of a call", function, "bedrock:InvokeModel", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-sonic-v1:0", through, denied, denied},
		{"the first speech model leaves no record of a call", function, "bedrock:InvokeModel", "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-sonic-v1:0", through, denied, denied},
		{"nobody can list models, or see that logging is on", admin, "bedrock:ListFoundationModels bedrock:GetModelInvocationLoggingConfiguration", "*", nil, allowed, allowed},
		{"a guardrail cannot be applied", function, "bedrock:ApplyGuardrail", "arn:aws:bedrock:ap-northeast-1:123456789012:guardrail/1", through, allowed, allowed},

		{"an administrator lets callers in who do not sign, or tests a method as whoever he likes", admin, changeApi, api + "/resources/1a2b3c/methods/POST", nil, denied, denied},
		{"an administrator opens the API", admin, changeApi + " apigateway:UpdateRestApiPolicy", api, nil, denied, denied},
		{"the root user opens the API", root, changeApi + " apigateway:UpdateRestApiPolicy", api, nil, denied, exempt},
		{"pulumi up cannot make the API", deployer, changeApi + " apigateway:UpdateRestApiPolicy", api, nil, allowed, allowed},
		{"no other API can be changed", admin, changeApi + " apigateway:UpdateRestApiPolicy", "arn:aws:apigateway:ap-northeast-1::/restapis/9876543210", nil, allowed, allowed},
		{"nobody can look at the API", admin, "apigateway:GET", api, nil, allowed, allowed},
		{"an administrator lets himself through the endpoint", admin, "ec2:ModifyVpcEndpoint", "arn:aws:ec2:ap-northeast-1:123456789012:vpc-endpoint/" + endpoint, nil, denied, denied},
		{"pulumi up cannot write the endpoint's policy", deployer, "ec2:ModifyVpcEndpoint", "arn:aws:ec2:ap-northeast-1:123456789012:vpc-endpoint/" + endpoint, nil, allowed, allowed},
		{"no other endpoint can be changed", admin, "ec2:ModifyVpcEndpoint", "arn:aws:ec2:ap-northeast-1:123456789012:vpc-endpoint/vpce-0fedcba9876543210", nil, allowed, allowed},
		{"an administrator puts other code into the function, or forges an event", admin, changeFunction, code, nil, denied, denied},
		{"an administrator forges an event by an alias of the function", admin, "lambda:InvokeFunction", code + ":mine", nil, denied, denied},
		{"the root user puts other code into the function", root, changeFunction, code, nil, denied, exempt},
		{"pulumi up cannot make the function", deployer, changeFunction, code, nil, allowed, allowed},
		{"no other function can be changed or called", admin, changeFunction, "arn:aws:lambda:ap-northeast-1:123456789012:function:other", nil, allowed, allowed},
		{"nobody can look at the function", admin, "lambda:GetFunction", code, nil, allowed, allowed},

		{"an administrator switches logging off, or sends it elsewhere", admin, configureLog, "*", nil, denied, denied},
		{"the root user switches logging off", root, configureLog, "*", nil, denied, exempt},
		{"an administrator has AWS keep prompts, or share them with a model's provider", admin, retain, "*", keys{"bedrock:DataRetentionMode": {"provider_data_share"}}, denied, denied},
		{"an administrator has AWS keep what a model's terms say", admin, retain, "*", keys{"bedrock:DataRetentionMode": {"default"}}, denied, denied},
		{"a call without the key sets what is kept", admin, retain, "*", nil, denied, denied},
		{"the deployer has AWS share prompts", deployer, retain, "*", keys{"bedrock:DataRetentionMode": {"provider_data_share"}}, denied, denied},
		{"the root user has AWS share prompts", root, retain, "*", keys{"bedrock:DataRetentionMode": {"provider_data_share"}}, denied, exempt},
		{"an administrator cannot end what AWS keeps", admin, retain, "*", keys{"bedrock:DataRetentionMode": {"none"}}, allowed, allowed},
		{"an administrator cannot look at what AWS keeps", admin, "bedrock:GetAccountDataRetention", "*", nil, allowed, allowed},
		{"pulumi up cannot switch logging on", deployer, configureLog, "*", nil, allowed, allowed},

		{"an administrator opens, empties or deletes the log bucket", admin, configureStore, "arn:aws:s3:::bedrock-logging-1a2b3c4", nil, denied, denied},
		{"the root user unlocks the log bucket", root, configureStore, "arn:aws:s3:::bedrock-logging-1a2b3c4", nil, denied, exempt},
		{"pulumi up cannot make the log bucket", deployer, configureStore, "arn:aws:s3:::bedrock-logging-1a2b3c4", nil, allowed, allowed},
		{"no other bucket can be configured", admin, configureStore, "arn:aws:s3:::elsewhere", nil, allowed, allowed},
		{"an administrator deletes, hides or forges a record", admin, changeRecord, record, nil, denied, denied},
		{"pulumi destroy with retainLogs false cannot empty the bucket", deployer, changeRecord, record, nil, allowed, allowed},
		{"nothing can be stored in another bucket", admin, changeRecord, "arn:aws:s3:::elsewhere/bedrock-logging-/1", nil, allowed, allowed},
		{"the auditor cannot read", admin, "s3:GetObject", record, nil, allowed, allowed},

		{"an administrator deletes the log group, has it forget in a day, or encrypts it with a key of his own", admin, changeGroup, logGroup + "*", nil, denied, denied},
		{"pulumi up cannot make the log group", deployer, changeGroup, logGroup + "*", nil, allowed, allowed},
		{"no other log group can be changed", admin, changeGroup, "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/bedrock/other:*", nil, allowed, allowed},
		{"an administrator makes every record unreadable, or himself the key's only master", admin, changeKey, key, nil, denied, denied},
		{"the root user makes every record unreadable", root, changeKey, key, nil, denied, exempt},
		{"pulumi up cannot make the key", deployer, changeKey, key, nil, allowed, allowed},
		{"no other key can be changed", admin, changeKey, "arn:aws:kms:ap-northeast-1:123456789012:key/other", nil, allowed, allowed},
		{"the auditor cannot decrypt a record", admin, "kms:Decrypt", key, nil, allowed, allowed},
		{"an administrator deletes calls from the access log, or has it forget them in a day", admin, changeGroup, accessLog + ":*", nil, denied, denied},
		{"the root user deletes calls from the access log", root, changeGroup, accessLog + ":*", nil, denied, exempt},
		{"pulumi up cannot make the access log", deployer, changeGroup, accessLog + ":*", nil, allowed, allowed},
		{"API Gateway cannot write the access log", gateway, writeGroup, accessLog + ":log-stream:1", nil, allowed, allowed},
		{"an administrator forges a call in the access log, by which verify takes a record for the API's", admin, writeGroup, accessLog + ":log-stream:1", nil, denied, denied},
		{"the deployer forges a call in the access log", deployer, writeGroup, accessLog + ":log-stream:1", nil, denied, denied},
		{"another API cannot write its own access log", admin, writeGroup, "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/apigateway/other:log-stream:1", nil, allowed, allowed},
		{"an administrator has an API of his own write into the access log, in a format of his own", admin, "apigateway:PATCH apigateway:POST",
			"arn:aws:apigateway:ap-northeast-1::/restapis/9876543210/stages/x", keys{"apigateway:Request/AccessLoggingDestination": {accessLog}}, denied, denied},
		{"the same by an HTTP API", admin, "apigateway:PATCH apigateway:POST",
			"arn:aws:apigateway:ap-northeast-1::/apis/9876543210/stages", keys{"apigateway:Request/AccessLoggingDestination": {accessLog}}, denied, denied},
		{"pulumi up cannot make the stage", deployer, "apigateway:PATCH apigateway:POST", api + "/stages", keys{"apigateway:Request/AccessLoggingDestination": {accessLog}}, allowed, allowed},
		{"no other API can have an access log", admin, "apigateway:PATCH apigateway:POST", "arn:aws:apigateway:ap-northeast-1::/restapis/9876543210/stages",
			keys{"apigateway:Request/AccessLoggingDestination": {"arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/apigateway/other"}}, allowed, allowed},
		{"an administrator takes the access log from API Gateway, by a role that may not write it", admin, "apigateway:PATCH", "arn:aws:apigateway:ap-northeast-1::/account", nil, denied, denied},
		{"pulumi up cannot set API Gateway's role", deployer, "apigateway:PATCH", "arn:aws:apigateway:ap-northeast-1::/account", nil, allowed, allowed},
		{"an administrator has the auditor's queries read another folder than the log's", admin, changeTable, glue + "table/bedrock_audit_1a2b3c4/records", nil, denied, denied},
		{"an administrator takes the auditor's table away", admin, changeBase, glue + "database/bedrock_audit_1a2b3c4", nil, denied, denied},
		{"pulumi up cannot make the table", deployer, changeTable + " " + changeBase, glue + "table/bedrock_audit_1a2b3c4/records", nil, allowed, allowed},
		{"no other table can be changed", admin, changeTable + " " + changeBase, glue + "table/sales/records", nil, allowed, allowed},
		{"an administrator has a saved query leave calls out, or stops every query at its first byte", admin, changeQuery, workgroups + "bedrock-audit-1a2b3c4", nil, denied, denied},
		{"pulumi up cannot save the queries", deployer, changeQuery, workgroups + "bedrock-audit-1a2b3c4", nil, allowed, allowed},
		{"no other workgroup can be changed", admin, changeQuery, workgroups + "primary", nil, allowed, allowed},
		{"the auditor cannot query", admin, "athena:GetNamedQuery athena:StartQueryExecution", workgroups + "bedrock-audit-1a2b3c4", nil, allowed, allowed},
		{"the auditor cannot read the table", admin, "glue:BatchGetPartition glue:GetPartitions glue:GetTable", glue + "table/bedrock_audit_1a2b3c4/records", nil, allowed, allowed},
		{"an administrator has nobody see who reads or deletes records", admin, "s3:PutBucketLogging", "arn:aws:s3:::bedrock-logging-1a2b3c4", nil, denied, denied},
		{"an administrator deletes what shows who read or deleted a record", admin, "s3:DeleteObject s3:DeleteObjectVersion s3:PutObject", "arn:aws:s3:::bedrock-logging-access-1a2b3c4/2026-11-23-00-00-00-x", nil, denied, denied},
		{"Bedrock cannot write the log group", delivery, writeGroup, logGroup + "log-stream:aws/bedrock/modelinvocations", nil, allowed, allowed},
		{"an administrator forges a record in the log group", admin, writeGroup, logGroup + "log-stream:aws/bedrock/modelinvocations", nil, denied, denied},
		{"the deployer forges a record in the log group", deployer, writeGroup, logGroup + "log-stream:1", nil, denied, denied},
		{"the function cannot write its own log", function, writeGroup, "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/lambda/bedrock-app-dev-function:log-stream:1", nil, allowed, allowed},
		{"the auditor cannot read the log group", admin, "logs:FilterLogEvents", logGroup + "*", nil, allowed, allowed},

		{"an administrator takes the log from Bedrock's role, or makes himself one", admin, changeRole, delivery, bound, denied, denied},
		{"an administrator makes himself the function", admin, changeRole, function, bound, denied, denied},
		{"an administrator makes himself a role of the stack, which has no boundary", admin, changeRole, roles + "bedrock-app-dev-client-1a2b3c4", bound, denied, denied},
		{"an administrator makes himself API Gateway's role, which writes the access log", admin, changeRole, gateway, bound, denied, denied},
		{"an administrator makes himself the deployer", admin, changeRole, deployer, bound, denied, denied},
		{"an administrator makes himself the auditors' role, which has no boundary", admin, changeRole, roles + "bedrock-audit-reader-1a2b3c4", bound, denied, denied},
		{"pulumi up cannot make Bedrock's role", deployer, changeRole, delivery, nil, allowed, allowed},
		{"nobody can administer other roles", admin, changeRole, roles + "other", bound, allowed, allowed},

		{"an administrator takes the account out of the policy's reach", admin, "organizations:LeaveOrganization account:CloseAccount", "*", nil, denied, allowed},
		{"the root user takes the account out of the policy's reach", root, "organizations:LeaveOrganization account:CloseAccount", "*", nil, denied, exempt},

		{"an administrator takes a boundary off", admin, freeSomebody, admin, nil, allowed, denied},
		{"the deployer cannot take a boundary off", deployer, freeSomebody, admin, nil, allowed, allowed},
		{"an administrator makes somebody without a boundary", admin, bindSomebody, roles + "other", nil, allowed, denied},
		{"an administrator exchanges a boundary", admin, bindSomebody, roles + "other", keys{"iam:PermissionsBoundary": {"arn:aws:iam::aws:policy/AdministratorAccess"}}, allowed, denied},
		{"an administrator cannot make somebody with the boundary", admin, bindSomebody, roles + "other", bound, allowed, allowed},
		{"pulumi up cannot make the function's role", deployer, bindSomebody, function, nil, allowed, allowed},
		{"an administrator rewrites the boundary", admin, changePolicy, boundary, nil, allowed, denied},
		{"the deployer cannot rewrite the boundary", deployer, changePolicy, boundary, nil, allowed, allowed},
		{"no other policy can be changed", admin, changePolicy, "arn:aws:iam::123456789012:policy/other", nil, allowed, allowed},

		{"all else comes to a halt", admin, "ec2:RunInstances lambda:CreateFunction s3:CreateBucket", "*", nil, allowed, allowed},
	}
}
