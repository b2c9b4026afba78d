package components

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// watched lists the resources whose changes raise an alert. An empty list means that the stack has no resource of that
// type.
type watched struct {
	buckets, logGroups, keyIds []string
	apiId, functionArn         string
	topicArn                   string
	database, workgroup        string // of the auditor's queries
	// name is what the names of the rules and alarms begin with.
	name string
}

// tamperRule is an EventBridge rule that matches calls that could stop, delete or divert the log or its alerts.
type tamperRule struct {
	name string // the last part of the rule's name
	// means is what was changed, and what to do first.
	means string
	calls calls
}

// eventPattern matches the calls that CloudTrail sends to EventBridge, denied ones included. By default, rules get
// write calls only (EventBridge User Guide, "AWS service events delivered via AWS CloudTrail").
type eventPattern struct {
	Source     []matcher `json:"source"`
	DetailType []string  `json:"detail-type"`
	Detail     calls     `json:"detail"`
}

// calls match CloudTrail's records by their fields (CloudTrail User Guide, "CloudTrail record contents").
type calls struct {
	EventSource       []string             `json:"eventSource,omitempty"`
	EventName         []matcher            `json:"eventName,omitempty"`
	RequestParameters map[string][]matcher `json:"requestParameters,omitempty"`
	ResponseElements  map[string][]matcher `json:"responseElements,omitempty"`
	// Or is empty or has at least two entries.
	Or []calls `json:"$or,omitempty"`
}

// matcher is a string or one of EventBridge's operators (EventBridge User Guide, "Comparison operators for use in event
// patterns").
type matcher any

func prefix(text string) matcher { return map[string]string{"prefix": text} }
func suffix(text string) matcher { return map[string]string{"suffix": text} }

func anythingBut(names ...string) []matcher {
	return []matcher{map[string][]string{"anything-but": names}}
}

func texts(names ...string) (all []matcher) {
	for _, name := range names {
		all = append(all, name)
	}
	return all
}

func each(names []string, matchers ...func(string) matcher) (all []matcher) {
	for _, name := range names {
		for _, m := range matchers {
			all = append(all, m(name))
		}
	}
	return all
}

func parameter(name string, matchers ...matcher) calls {
	return calls{RequestParameters: map[string][]matcher{name: matchers}}
}

// tamperRules match by resource if CloudTrail's parameters name it in a documented form, and then every call except
// routine ones: calls that AWS adds later match too. If the form isn't documented, they match by the call's name only,
// and so match calls on the account's other resources of that type: a false alert is better than a missed one.
// testdata/write-actions.txt has a verdict on each write call of the services that are watched.
//
// The rules don't detect deleted records, unless the trail has S3's data events; lines written into a log group, for
// which CloudTrail has no management event; IAM calls, which CloudTrail reports in us-east-1 only, so that a delivery
// role without its policy shows as a failed delivery; changes of security groups and routes; and a change that prevents
// its own alert: the rule "watch" disabled, or the topic without policy, key or subscriber.
func tamperRules(w watched) (rules []tamperRule) {
	add := func(name, service string, c calls, means string) {
		c.EventSource = append([]string{service + ".amazonaws.com"}, c.EventSource...)
		rules = append(rules, tamperRule{name, means, c})
	}
	add("logging", "bedrock", calls{
		EventName: texts("PutModelInvocationLoggingConfiguration", "DeleteModelInvocationLoggingConfiguration"),
	},
		"Bedrock's invocation logging was set or deleted: look whether it is on, and goes where it should. The function "+
			"answers nothing while it does not.")
	add("retention", "bedrock", retentionCalls(),
		"How long AWS keeps prompts and answers, where, or who else gets them was set, for the account or a project: "+
			"compare with dataRetentionModes. The function answers nothing under a mode that is not in it.")
	if len(w.buckets) > 0 {
		add("buckets", "s3", bucketCalls(w.buckets),
			"The bucket of the invocation log, of its access log or of the queries' results was changed, or an object in "+
				"it deleted: compare policy, lifecycle, versioning, lock, encryption and replication with pulumi preview "+
				"--refresh.")
	}
	if len(w.logGroups) > 0 {
		add("logs", "logs", logGroupCalls(w.logGroups),
			"A log group was changed, deleted or copied from, or a policy made for all: look at retention, key, "+
				"subscriptions, filters, transformers and exports. Metrics come from the function's, and audit verify needs "+
				"the API's.")
	}
	if len(w.keyIds) > 0 {
		add("keys", "kms", keyCalls(w.keyIds),
			"A key that records or alarms are encrypted with was changed, disabled, given away or is to be deleted: "+
				"without it nothing can be read again. A deletion can be cancelled until its day, the seventh at the soonest.")
	}
	add("api", "apigateway", calls{Or: []calls{parameter("restApiId", w.apiId), {EventName: texts("UpdateAccount")}}},
		"The private API was changed, or the role that its access log is written with: compare its policy, endpoints, "+
			"methods and stage with pulumi preview --refresh.")
	add("endpoints", "ec2", calls{EventName: texts("CreateVpcEndpoint", "ModifyVpcEndpoint", "DeleteVpcEndpoints")},
		"A VPC endpoint of this account was made, changed or deleted: if it is one of the stack's, compare its policy "+
			"and security groups with pulumi preview --refresh; one made in its VPC is a way out of it.")
	if w.database != "" {
		add("queries", "glue", queryCalls(w.database, w.workgroup),
			"The auditor's table, its database, workgroup or a saved query was changed or deleted, or the catalog's policy "+
				"set: an answer may lack calls or show others. Compare with pulumi preview --refresh, and ask audit list, "+
				"which reads the log itself.")
	}
	add("function", "lambda", functionCalls(w.functionArn),
		"The function, its settings or who may call it were changed: what it runs is no longer what was deployed, "+
			"unless that was pulumi up.")
	add("trails", "cloudtrail", calls{
		EventName: texts("StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors", "PutEventConfiguration"),
	},
		"A CloudTrail trail was stopped, changed or deleted: without one that logs writing calls, none of these alarms "+
			"on tampering rings.")
	add("watch", "events", watchCalls(w.name, w.topicArn),
		"An alarm, a rule or the topic of these alarms was changed, silenced or deleted: compare them with pulumi "+
			"preview --refresh.")
	return rules
}

// retentionCalls set data retention. A project's mode overrides the account's, and bedrock-mantle sets the same modes
// (Bedrock User Guide, "Data retention").
func retentionCalls() calls {
	return calls{EventSource: []string{"bedrock-mantle.amazonaws.com"}, EventName: append(each([]string{
		"PutAccountDataRetention", "PutOrganizationDataRetention", "PutProjectDataRetention",
		"DeleteAccountDataRetention", "DeleteOrganizationDataRetention", "DeleteProjectDataRetention",
	}, prefix), texts("CreateProject", "UpdateProject")...)}
}

// bucketCalls change buckets. Names of calls differ between S3's API and CloudTrail (S3 User Guide, "Amazon S3
// CloudTrail events"), and these prefixes match both. Not every call: with data events, each record that Bedrock writes
// would match.
func bucketCalls(buckets []string) calls {
	return calls{
		EventName: append(each([]string{"PutBucket", "DeleteBucket", "CreateBucket", "UpdateBucket"}, prefix), texts(
			"PutAccelerateConfiguration", "PutObjectLockConfiguration", "PutPublicAccessBlock", "DeletePublicAccessBlock",
			"DeleteObject", "DeleteObjects", "PutObjectAcl", "PutObjectLegalHold", "PutObjectRetention",
			"UpdateObjectEncryption",
		)...),
		RequestParameters: map[string][]matcher{"bucketName": texts(buckets...)},
	}
}

// logGroupCalls change log groups, or copy from them.
func logGroupCalls(groups []string) calls {
	notRoutine := anythingBut("CreateLogStream", "PutLogEvents", "StartQuery")
	return calls{Or: []calls{
		{EventName: notRoutine, RequestParameters: map[string][]matcher{"logGroupName": texts(groups...)}},
		// Names or ARNs (CloudWatch Logs API Reference, "PutDataProtectionPolicy", "PutTransformer").
		{EventName: notRoutine, RequestParameters: map[string][]matcher{
			"logGroupIdentifier": each(groups, suffix, func(group string) matcher { return suffix(group + ":*") }),
		}},
		// Calls for the account, for several groups at once, or with another parameter: policies, keys, and what copies
		// lines out or lets an AWS service write lines.
		{EventName: each([]string{
			"AssociateKmsKey", "AssociateSource", "CreateDelivery", "CreateScheduledQuery", "DeleteAccountPolicy",
			"DeleteResourcePolicy", "DisassociateKmsKey", "PutAccountPolicy", "PutDelivery", "PutIntegration",
			"PutResourcePolicy", "UpdateScheduledQuery",
		}, prefix)},
	}}
}

// keyCalls change keys. Parameters are IDs or ARNs. Those that don't name the key, such as DeleteAlias's, have it in
// the response (KMS Developer Guide, "Logging AWS KMS API calls with AWS CloudTrail"). Uses of a key are read calls,
// and don't match.
func keyCalls(keyIds []string) calls {
	ids := each(keyIds, suffix)
	return calls{Or: []calls{
		parameter("keyId", ids...), parameter("targetKeyId", ids...),
		{ResponseElements: map[string][]matcher{"keyId": ids}},
	}}
}

// queryCalls change the auditor's table and queries. A saved query is identified by an ID, and the catalog's policy
// names no database (Athena API Reference, "UpdateNamedQuery"; Glue API Reference, "PutResourcePolicy").
func queryCalls(database, workgroup string) calls {
	return calls{EventSource: []string{"athena.amazonaws.com"}, Or: []calls{
		parameter("databaseName", database), parameter("name", database),
		{
			EventName:         anythingBut("StartQueryExecution"),
			RequestParameters: map[string][]matcher{"workGroup": texts(workgroup)},
		},
		{EventName: texts(
			"UpdateNamedQuery", "DeleteNamedQuery", "PutResourcePolicy", "DeleteResourcePolicy",
			"PutDataCatalogEncryptionSettings",
		)},
	}}
}

// functionCalls change the function. The parameter is a name, an ARN or the end of one, each with or without a version
// (Lambda API Reference, "AddPermission").
func functionCalls(functionArn string) calls {
	arn := strings.Split(functionArn, ":")
	name, partial := arn[len(arn)-1], strings.Join(arn[max(0, len(arn)-3):], ":")
	withVersion := func(form string) matcher { return prefix(form + ":") }
	return calls{
		// Invocations are data events, if the trail has them.
		EventName: []matcher{map[string]any{"anything-but": map[string]string{"prefix": "Invoke"}}},
		Or: []calls{
			parameter("functionName", append(each([]string{name, partial, functionArn}, withVersion), suffix(name))...),
			// ARNs, with or without a version (Lambda API Reference, "PutResourcePolicy", "TagResource").
			parameter("resourceArn", functionArn, withVersion(functionArn)),
			parameter("resource", functionArn, withVersion(functionArn)),
		},
	}
}

// watchCalls change the alarms, the rules or the topic. A mute rule silences alarms. A bus or metrics with a key that
// AWS can't use silence rules and alarms. If the trail has SNS's data events, matching Publish would publish again for
// each message, without end.
func watchCalls(name, topicArn string) calls {
	return calls{EventSource: []string{"monitoring.amazonaws.com", "sns.amazonaws.com"}, Or: []calls{
		parameter("name", prefix(name)), parameter("rule", prefix(name)),
		parameter("alarmName", prefix(name)), parameter("alarmNames", prefix(name)),
		{
			EventName:         anythingBut("Publish", "PublishBatch"),
			RequestParameters: map[string][]matcher{"topicArn": texts(topicArn)},
		},
		parameter("subscriptionArn", prefix(topicArn+":")), parameter("resourceArn", topicArn),
		{EventName: texts("PutAlarmMuteRule", "UpdateEventBus", "AssociateDatasetKmsKey")},
	}}
}

// pattern is the rule's event pattern. It matches AWS's own events only: no account can send a source that begins with
// "aws.".
func (r tamperRule) pattern() (string, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(eventPattern{[]matcher{prefix("aws.")}, []string{"AWS API Call via CloudTrail"}, r.calls})
	pattern := strings.TrimSpace(b.String())
	if err == nil && len(pattern) > 2048 { // EventBridge User Guide, "Amazon EventBridge quotas"
		return "", fmt.Errorf("rule %s: the pattern has %d characters, and EventBridge takes 2048: "+
			"want fewer or shorter names", r.name, len(pattern))
	}
	return pattern, err
}

// tamperFields are a call's fields in its message. EventBridge doesn't escape them: a quote would break the message,
// and a caller who could add one would go undetected (EventBridge User Guide, "Amazon EventBridge input
// transformation"). None of these fields can have one.
var tamperFields = map[string]string{
	"call": "$.detail.eventName", "by": "$.detail.userIdentity.arn", "from": "$.detail.sourceIPAddress",
	"at": "$.detail.eventTime", "region": "$.detail.awsRegion", "error": "$.detail.errorCode", "id": "$.detail.eventID",
}

// message is the template of the message: each line in quotes. EventBridge leaves out a field that a call doesn't have.
func (r tamperRule) message() string {
	lines := []string{
		r.name + ": <call> by <by>", "From <from> at <at>, in <region>. Refused with: <error>", r.means,
		"Event <id> of CloudTrail has the whole call. A deployment rings, too.",
	}
	return `"` + strings.Join(lines, "\"\n\"") + `"`
}
