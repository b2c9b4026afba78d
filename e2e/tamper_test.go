//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/events"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
)

// listener is somebody who subscribed to the alarms' topic.
type listener struct {
	s     *running
	queue string
	heard map[string]bool // names of rules and alarms
}

func (s *running) listen(t *testing.T, topic, name string) *listener {
	t.Helper()
	l := &listener{s: s, heard: map[string]bool{}}
	var queue struct{ QueueURL string }
	s.target(t, "sqs", "AmazonSQS.CreateQueue", map[string]any{"QueueName": name, "Attributes": map[string]string{"VisibilityTimeout": "43200"}}, &queue)
	l.queue = queue.QueueURL
	s.query(t, "sns", "2010-03-31", "Subscribe", map[string]string{
		"TopicArn": topic, "Protocol": "sqs", "Endpoint": "arn:aws:sqs:" + s.Region + ":" + account + ":" + name,
		"Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "true",
	})
	return l
}

// messages are those that came since.
func (l *listener) messages(t *testing.T) (all []string) {
	t.Helper()
	for {
		var out struct{ Messages []struct{ Body string } }
		l.s.target(t, "sqs", "AmazonSQS.ReceiveMessage", map[string]any{"QueueUrl": l.queue, "MaxNumberOfMessages": 10}, &out)
		if len(out.Messages) == 0 {
			return all
		}
		for _, m := range out.Messages {
			all = append(all, m.Body)
			name, _, _ := strings.Cut(strings.TrimPrefix(m.Body, "bedrock-app-local-watch-"), " ")
			if strings.Contains(m.Body, " is OK") {
				continue
			}
			l.heard[strings.TrimSuffix(name, ":")] = true
		}
	}
}

// until waits for an alarm.
func (l *listener) until(t *testing.T, alarm string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !l.heard[alarm]; l.messages(t) {
		if time.Now().After(end) {
			t.Errorf("nobody was told %s", alarm)
			return
		}
	}
}

func (s *running) target(t *testing.T, service, target string, in, out any) {
	t.Helper()
	if err := s.aws.Target(t.Context(), service, target, in, out); err != nil {
		t.Fatal(err)
	}
}

func (s *running) query(t *testing.T, service, version, action string, parameters map[string]string) {
	t.Helper()
	if err := s.aws.Query(t.Context(), service, version, action, parameters, &struct{}{}); err != nil {
		t.Fatal(err)
	}
}

// tampering is a call that must ring, answered or refused.
type tampering struct {
	rule, call string
	do         func() error
}

// tampers changes each thing that is watched, and waits for the message of its rule; then it breaks what the alarms watch.
// Of rules and alarms that are deployed, none may stay silent. pulumi mends what is left.
func (s *running) tampers(t *testing.T) {
	ctx := t.Context()
	const watch = "bedrock-app-local-watch-"
	out := s.StackOutputs
	l := s.listen(t, out["alarmTopicArn"], "oncall")
	rest := func(service, method, path string, body []byte) func() error {
		return func() error {
			_, err := s.aws.Do(ctx, service, method, path, map[string]string{"Content-Type": "application/json"}, body)
			return err
		}
	}
	target := func(service, target string, in map[string]any) func() error {
		return func() error { return s.aws.Target(ctx, service, target, in, nil) }
	}
	query := func(service, version, action string, parameters map[string]string) func() error {
		return func() error { return s.aws.Query(ctx, service, version, action, parameters, &struct{}{}) }
	}
	read := func(service, path string) []byte {
		t.Helper()
		answer, err := s.aws.Do(ctx, service, http.MethodGet, path, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	var all []tampering
	add := func(rule, call string, do func() error) { all = append(all, tampering{rule, call, do}) }

	const logging = "/logging/modelinvocations"
	loggingWas := read("bedrock", logging)
	add("logging", "PutModelInvocationLoggingConfiguration", rest("bedrock", http.MethodPut, logging, loggingWas))
	add("retention", "PutAccountDataRetention", rest("bedrock", http.MethodPut, "/data-retention", []byte(`{"mode":"default"}`)))
	for _, bucket := range []string{out["logBucketName"], out["logAccessBucketName"]} {
		for query, call := range map[string]string{
			"policy": "BucketPolicy", "lifecycle": "BucketLifecycle", "encryption": "BucketEncryption", "publicAccessBlock": "BucketPublicAccessBlock", "ownershipControls": "BucketOwnershipControls",
		} {
			was := read("s3", "/"+bucket+"?"+query)
			add("buckets", "Delete"+call, rest("s3", http.MethodDelete, "/"+bucket+"?"+query, nil))
			add("buckets", "Put"+call, rest("s3", http.MethodPut, "/"+bucket+"?"+query, was))
		}
		for query, call := range map[string]string{"versioning": "PutBucketVersioning", "object-lock": "PutBucketObjectLockConfiguration", "logging": "PutBucketLogging", "replication": "PutBucketReplication"} {
			add("buckets", call, rest("s3", http.MethodPut, "/"+bucket+"?"+query, []byte("<x/>"))) // refused, and heard
		}
	}
	add("buckets", "DeleteBucket", rest("s3", http.MethodDelete, "/"+out["logBucketName"], nil)) // not empty: refused
	add("buckets", "PutBucketVersioning", rest("s3", http.MethodPut, "/"+out["logBucketName"]+"?versioning", []byte(`<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>`)))
	for _, group := range []string{out["logGroupName"], out["accessLogGroupName"], "/aws/lambda/bedrock-app-local-function"} {
		for call, in := range map[string]map[string]any{
			"PutRetentionPolicy": {"logGroupName": group, "retentionInDays": 1}, "PutMetricFilter": {"logGroupName": group},
			"PutSubscriptionFilter": {"logGroupName": group}, "CreateExportTask": {"logGroupName": group}, "AssociateKmsKey": {"logGroupName": group},
			"PutDataProtectionPolicy": {"logGroupIdentifier": group}, "PutTransformer": {"logGroupIdentifier": "arn:aws:logs:" + s.Region + ":" + account + ":log-group:" + group},
			"DeleteDataProtectionPolicy": {"logGroupIdentifier": "arn:aws:logs:" + s.Region + ":" + account + ":log-group:" + group + ":*"},
			"DisassociateKmsKey":         {"resourceIdentifier": "arn:aws:logs:" + s.Region + ":" + account + ":log-group:" + group},
		} {
			add("logs", call, target("logs", "Logs_20140328."+call, in))
		}
	}
	database, workgroup := out["auditDatabaseName"], out["auditWorkgroupName"]
	for call, in := range map[string]map[string]any{
		"AWSGlue.DeleteTable":           {"DatabaseName": database, "Name": "none"},
		"AWSGlue.BatchDeletePartition":  {"DatabaseName": database, "TableName": "none", "PartitionsToDelete": []any{}},
		"AWSGlue.DeleteResourcePolicy":  {},
		"AmazonAthena.UpdateWorkGroup":  {"WorkGroup": workgroup},
		"AmazonAthena.UpdateNamedQuery": {"NamedQueryId": "none"}, "AmazonAthena.DeleteNamedQuery": {"NamedQueryId": "none"},
	} {
		service, name, _ := strings.Cut(call, ".")
		add("queries", name, target(map[string]string{"AWSGlue": "glue", "AmazonAthena": "athena"}[service], call, in))
	}
	for _, call := range []string{"PutAccountPolicy", "DeleteAccountPolicy", "PutResourcePolicy", "CreateDelivery", "CreateScheduledQuery"} {
		add("logs", call, target("logs", "Logs_20140328."+call, map[string]any{"policyName": "x"}))
	}
	topicIs, err := sns.Topics{Moto: s.aws}.Attributes(ctx, out["alarmTopicArn"])
	if err != nil {
		t.Fatal(err)
	}
	logKey := "arn:aws:kms:" + s.Region + ":" + account + ":key/" + out["logKeyId"]
	ofKey := func(call string, in map[string]any) { add("keys", call, target("kms", "TrentService."+call, in)) }
	for _, key := range []string{out["logKeyId"], logKey} {
		ofKey("DisableKey", map[string]any{"KeyId": key})
		ofKey("ScheduleKeyDeletion", map[string]any{"KeyId": key, "PendingWindowInDays": 7})
		ofKey("CancelKeyDeletion", map[string]any{"KeyId": key})
		ofKey("EnableKey", map[string]any{"KeyId": key})
	}
	ofKey("DisableKeyRotation", map[string]any{"KeyId": topicIs["KmsMasterKeyId"]})
	keyPolicy, err := kms.KeyPolicy(ctx, s.aws, logKey)
	if err != nil {
		t.Fatal(err)
	}
	ofKey("PutKeyPolicy", map[string]any{"KeyId": logKey, "PolicyName": "default", "Policy": keyPolicy})
	ofKey("CreateGrant", map[string]any{"KeyId": logKey, "GranteePrincipal": partnerRole, "Operations": []string{"Decrypt"}})
	ofKey("UpdatePrimaryRegion", map[string]any{"KeyId": logKey, "PrimaryRegion": "us-east-1"})
	ofKey("CreateAlias", map[string]any{"AliasName": "alias/tampered", "TargetKeyId": out["logKeyId"]})
	ofKey("DeleteAlias", map[string]any{"AliasName": "alias/tampered"})
	api := "/restapis/" + out["apiId"]
	add("api", "UpdateRestApi", rest("apigateway", http.MethodPatch, api, []byte(`{"patchOperations":[{"op":"replace","path":"/description","value":"tampered"}]}`)))
	add("api", "UpdateStage", rest("apigateway", http.MethodPatch, api+"/stages/api", []byte(`{"patchOperations":[{"op":"replace","path":"/description","value":"tampered"}]}`)))
	add("api", "DeleteDeployment", rest("apigateway", http.MethodDelete, api+"/deployments/none", nil))
	add("api", "UpdateAccount", rest("apigateway", http.MethodPatch, "/account", []byte(`{"patchOperations":[]}`)))
	endpoints, err := ec2.VPCEndpoints(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		add("endpoints", "ModifyVpcEndpoint", query("ec2", "2016-11-15", "ModifyVpcEndpoint", map[string]string{"VpcEndpointId": e.ID, "PolicyDocument": e.Policy}))
	}
	add("endpoints", "DeleteVpcEndpoints", query("ec2", "2016-11-15", "DeleteVpcEndpoints", map[string]string{"VpcEndpointId.1": "vpce-0000000000000dead"}))
	name := out["functionName"]
	for i, form := range []string{name, account + ":function:" + name, "arn:aws:lambda:" + s.Region + ":" + account + ":function:" + name, name + ":live", "arn:aws:lambda:" + s.Region + ":" + account + ":function:" + name + ":1"} {
		sid, path := fmt.Sprint("tampered", i), "/2015-03-31/functions/"+form+"/policy"
		add("function", "AddPermission20150331v2", rest("lambda", http.MethodPost, path, []byte(`{"StatementId":"`+sid+`","Action":"lambda:InvokeFunction","Principal":"`+otherAccount+`"}`)))
		add("function", "RemovePermission20150331v2", rest("lambda", http.MethodDelete, path+"/"+sid, nil))
	}
	arn := "arn:aws:lambda:" + s.Region + ":" + account + ":function:" + name
	for _, form := range []string{arn, arn + ":1"} {
		add("function", "PutResourcePolicy", rest("lambda", http.MethodPut, "/2026-07-09/resource-policy/"+form, []byte(`{}`)))
	}
	add("function", "UpdateFunctionConfiguration20150331v2", rest("lambda", http.MethodPut, "/2015-03-31/functions/"+name+"/configuration", []byte(`{"Description":"tampered"}`)))
	for _, call := range []string{"StopLogging", "DeleteTrail", "UpdateTrail", "PutEventSelectors"} {
		add("trails", call, target("cloudtrail", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."+call, map[string]any{"Name": "none", "TrailName": "none"}))
	}
	events := func(call string, in map[string]any) { add("watch", call, target("events", "AWSEvents."+call, in)) }
	events("DisableRule", map[string]any{"Name": watch + "logging"})
	events("RemoveTargets", map[string]any{"Rule": watch + "api", "Ids": []string{"none"}})
	events("PutTargets", map[string]any{"Rule": watch + "api", "Targets": []any{}})
	events("PutRule", map[string]any{"Name": watch + "trails", "EventPattern": `{"source":["nothing"]}`, "State": "ENABLED"})
	events("DeleteRule", map[string]any{"Name": watch + "none"})
	deployed, err := cloudwatch.MetricAlarms(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range deployed {
		// They may ring already, from the steps before: those who hear now hear them again.
		add("watch", "SetAlarmState", query("monitoring", "2010-08-01", "SetAlarmState", map[string]string{"AlarmName": a.Name, "StateValue": "OK", "StateReason": "quiet"}))
	}
	add("watch", "DisableAlarmActions", query("monitoring", "2010-08-01", "DisableAlarmActions", map[string]string{"AlarmNames.member.1": watch + "none"}))
	add("watch", "PutMetricAlarm", query("monitoring", "2010-08-01", "PutMetricAlarm", map[string]string{
		"AlarmName": watch + "none", "Namespace": "none", "MetricName": "none", "Statistic": "Sum", "Period": "60", "EvaluationPeriods": "1", "Threshold": "1",
		"ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching",
	}))
	add("watch", "DeleteAlarms", query("monitoring", "2010-08-01", "DeleteAlarms", map[string]string{"AlarmNames.member.1": "other", "AlarmNames.member.2": watch + "none"}))
	events("UpdateEventBus", map[string]any{"Name": "default", "KmsKeyIdentifier": "none"})
	add("watch", "PutAlarmMuteRule", query("monitoring", "2010-08-01", "PutAlarmMuteRule", map[string]string{"Name": "quiet"}))
	topic := out["alarmTopicArn"]
	add("watch", "SetTopicAttributes", query("sns", "2010-03-31", "SetTopicAttributes", map[string]string{"TopicArn": topic, "AttributeName": "DisplayName", "AttributeValue": "tampered"}))
	add("watch", "Subscribe", query("sns", "2010-03-31", "Subscribe", map[string]string{"TopicArn": topic, "Protocol": "none"}))
	add("watch", "Unsubscribe", query("sns", "2010-03-31", "Unsubscribe", map[string]string{"SubscriptionArn": topic + ":00000000-0000-0000-0000-000000000000"}))
	add("watch", "PutDataProtectionPolicy", query("sns", "2010-03-31", "PutDataProtectionPolicy", map[string]string{"ResourceArn": topic}))

	l.messages(t)
	for _, c := range all {
		err := c.do()
		want := c.rule + ": " + c.call + " by arn:aws:iam::" + account + ":root\nFrom 127.0.0.1 at "
		refused := "Refused with: \n"
		if err != nil {
			refused = "Refused with: "
		}
		if heard := l.messages(t); !slices.ContainsFunc(heard, func(m string) bool { return strings.HasPrefix(m, want) && strings.Contains(m, refused) }) {
			t.Errorf("%s, answered with %v: heard %q, want %q", c.call, err, heard, want)
		}
	}

	quiet := map[string]func() error{
		"another bucket":              rest("s3", http.MethodPut, "/somebody-elses", nil),
		"a log stream":                target("logs", "Logs_20140328.CreateLogStream", map[string]any{"logGroupName": out["logGroupName"], "logStreamName": "x"}),
		"another log group":           target("logs", "Logs_20140328.PutRetentionPolicy", map[string]any{"logGroupName": "other", "retentionInDays": 1}),
		"a use of the key":            target("kms", "TrentService.Encrypt", map[string]any{"KeyId": logKey, "Plaintext": "eA=="}),
		"another key":                 target("kms", "TrentService.DisableKey", map[string]any{"KeyId": "other"}),
		"another API":                 rest("apigateway", http.MethodPatch, "/restapis/zzzzzzzzzz", []byte(`{"patchOperations":[]}`)),
		"another function":            rest("lambda", http.MethodDelete, "/2015-03-31/functions/other", nil),
		"an auditor's query":          target("athena", "AmazonAthena.StartQueryExecution", map[string]any{"WorkGroup": workgroup, "QueryString": "x"}),
		"another table":               target("glue", "AWSGlue.DeleteTable", map[string]any{"DatabaseName": "other", "Name": "records"}),
		"another rule":                target("events", "AWSEvents.DeleteRule", map[string]any{"Name": "other"}),
		"another topic":               query("sns", "2010-03-31", "DeleteTopic", map[string]string{"TopicArn": topic + "-other"}),
		"a message of somebody's own": query("sns", "2010-03-31", "Publish", map[string]string{"TopicArn": topic + "-other", "Message": "x"}),
	}
	for name, do := range quiet {
		do()
		if heard := slices.DeleteFunc(l.messages(t), func(m string) bool { return strings.HasPrefix(m, watch) }); len(heard) > 0 {
			t.Errorf("%s: heard %q", name, heard)
		}
	}

	s.dataEvents(t)
	s.breaks(t, l, read)
	s.staysSilent(t, l)
	up := s.pulumi(t, "local", "up", "--refresh", "--yes", "--skip-preview")
	for _, mended := range []string{
		"cloudwatch:EventRule " + watch + "watch", "cloudwatch:EventRule " + watch + "trails", "cloudwatch:EventRule " + watch + "logging", "sns:Topic bedrock-app-local-watch", "sns:TopicPolicy bedrock-app-local-watch",
		"kms:Key bedrock-app-local-watch", "s3:BucketVersioningV2 bedrock-logging", "cloudwatch:LogGroup bedrock-logging", "lambda:Function bedrock-app-local-function",
	} {
		if !strings.Contains(up, mended+" updated (") {
			t.Errorf("pulumi does not mend %s:\n%s", mended, up)
		}
	}
	s.pulumi(t, "local", "preview", "--expect-no-changes")
	l.messages(t)
	rest("bedrock", http.MethodPut, logging, loggingWas)()
	heard := slices.DeleteFunc(l.messages(t), func(m string) bool { return strings.HasPrefix(m, watch) }) // an alarm may end now
	if len(heard) != 1 || !strings.HasPrefix(heard[0], "logging: Put") {
		t.Errorf("after pulumi has mended the rules: heard %q", heard)
	}
}

// dataEvents: a trail may have them, and the sandbox makes none. A deleted record rings, what the system does each day does
// not: the message of a message would be followed by the next, for ever.
func (s *running) dataEvents(t *testing.T) {
	t.Helper()
	var deployed struct {
		Rules []struct{ Name, EventPattern, State string }
	}
	s.target(t, "events", "AWSEvents.ListRules", map[string]string{}, &deployed)
	out := s.StackOutputs
	of := func(service, name string, parameters map[string]any) events.Call {
		return events.Call{Service: service, Name: name, Parameters: parameters}
	}
	for want, calls := range map[string][]events.Call{
		"buckets": {
			of("s3", "DeleteObject", map[string]any{"bucketName": out["logBucketName"], "key": "x"}), of("s3", "DeleteObjects", map[string]any{"bucketName": out["logAccessBucketName"]}),
			of("s3", "PutObjectRetention", map[string]any{"bucketName": out["logBucketName"]}),
		},
		"": {
			of("s3", "PutObject", map[string]any{"bucketName": out["logBucketName"]}), of("s3", "GetObject", map[string]any{"bucketName": out["logBucketName"]}),
			of("s3", "DeleteObject", map[string]any{"bucketName": "somebody-elses"}),
			of("lambda", "Invoke", map[string]any{"functionName": out["functionName"]}), of("logs", "PutLogEvents", map[string]any{"logGroupName": out["logGroupName"]}),
			of("sns", "Publish", map[string]any{"topicArn": out["alarmTopicArn"]}), of("logs", "StartQuery", map[string]any{"logGroupName": out["logGroupName"]}),
		},
	} {
		for _, c := range calls {
			rings := ""
			for _, rule := range deployed.Rules {
				var pattern, event map[string]any
				told, err := json.Marshal(c.Event(s.Region, account, "x", "", nil, time.Now()))
				if err := errors.Join(err, json.Unmarshal(told, &event), json.Unmarshal([]byte(rule.EventPattern), &pattern)); err != nil {
					t.Fatal(err)
				}
				ok, err := events.Matches(pattern, event)
				if err != nil {
					t.Fatal(err)
				}
				if ok && rule.State == "ENABLED" {
					rings += strings.TrimPrefix(rule.Name, "bedrock-app-local-watch-")
				}
			}
			if rings != want {
				t.Errorf("%s %s rings %q, want %q", c.Service, c.Name, rings, want)
			}
		}
	}
}
