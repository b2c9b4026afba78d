//go:build e2e

package sandbox

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/events"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
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
	s.query(t, "sns", sns.Version, "Subscribe", map[string]string{
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
	onKey := func(call string, in map[string]any) { add("keys", call, target("kms", "TrentService."+call, in)) }
	for _, key := range []string{out["logKeyId"], logKey} {
		onKey("DisableKey", map[string]any{"KeyId": key})
		onKey("ScheduleKeyDeletion", map[string]any{"KeyId": key, "PendingWindowInDays": 7})
		onKey("CancelKeyDeletion", map[string]any{"KeyId": key})
		onKey("EnableKey", map[string]any{"KeyId": key})
	}
	onKey("DisableKeyRotation", map[string]any{"KeyId": topicIs["KmsMasterKeyId"]})
	keyPolicy, err := kms.KeyPolicy(ctx, s.aws, logKey)
	if err != nil {
		t.Fatal(err)
	}
	onKey("PutKeyPolicy", map[string]any{"KeyId": logKey, "PolicyName": "default", "Policy": keyPolicy})
	onKey("CreateGrant", map[string]any{"KeyId": logKey, "GranteePrincipal": partnerRole, "Operations": []string{"Decrypt"}})
	onKey("UpdatePrimaryRegion", map[string]any{"KeyId": logKey, "PrimaryRegion": "us-east-1"})
	onKey("CreateAlias", map[string]any{"AliasName": "alias/tampered", "TargetKeyId": out["logKeyId"]})
	onKey("DeleteAlias", map[string]any{"AliasName": "alias/tampered"})
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
	onRule := func(call string, in map[string]any) { add("watch", call, target("events", "AWSEvents."+call, in)) }
	onRule("DisableRule", map[string]any{"Name": watch + "logging"})
	onRule("RemoveTargets", map[string]any{"Rule": watch + "api", "Ids": []string{"none"}})
	onRule("PutTargets", map[string]any{"Rule": watch + "api", "Targets": []any{}})
	onRule("PutRule", map[string]any{"Name": watch + "trails", "EventPattern": `{"source":["nothing"]}`, "State": "ENABLED"})
	onRule("DeleteRule", map[string]any{"Name": watch + "none"})
	deployed, err := cloudwatch.MetricAlarms(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range deployed {
		// They may ring already, from the steps before: those who hear now hear them again.
		add("watch", "SetAlarmState", query("monitoring", cloudwatch.Version, "SetAlarmState", map[string]string{"AlarmName": a.Name, "StateValue": "OK", "StateReason": "quiet"}))
	}
	add("watch", "DisableAlarmActions", query("monitoring", cloudwatch.Version, "DisableAlarmActions", map[string]string{"AlarmNames.member.1": watch + "none"}))
	add("watch", "PutMetricAlarm", query("monitoring", cloudwatch.Version, "PutMetricAlarm", map[string]string{
		"AlarmName": watch + "none", "Namespace": "none", "MetricName": "none", "Statistic": "Sum", "Period": "60", "EvaluationPeriods": "1", "Threshold": "1",
		"ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching",
	}))
	add("watch", "DeleteAlarms", query("monitoring", cloudwatch.Version, "DeleteAlarms", map[string]string{"AlarmNames.member.1": "other", "AlarmNames.member.2": watch + "none"}))
	onRule("UpdateEventBus", map[string]any{"Name": "default", "KmsKeyIdentifier": "none"})
	add("watch", "PutAlarmMuteRule", query("monitoring", cloudwatch.Version, "PutAlarmMuteRule", map[string]string{"Name": "quiet"}))
	topic := out["alarmTopicArn"]
	add("watch", "SetTopicAttributes", query("sns", sns.Version, "SetTopicAttributes", map[string]string{"TopicArn": topic, "AttributeName": "DisplayName", "AttributeValue": "tampered"}))
	add("watch", "Subscribe", query("sns", sns.Version, "Subscribe", map[string]string{"TopicArn": topic, "Protocol": "none"}))
	add("watch", "Unsubscribe", query("sns", sns.Version, "Unsubscribe", map[string]string{"SubscriptionArn": topic + ":00000000-0000-0000-0000-000000000000"}))
	add("watch", "PutDataProtectionPolicy", query("sns", sns.Version, "PutDataProtectionPolicy", map[string]string{"ResourceArn": topic}))

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
		"another topic":               query("sns", sns.Version, "DeleteTopic", map[string]string{"TopicArn": topic + "-other"}),
		"a message of somebody's own": query("sns", sns.Version, "Publish", map[string]string{"TopicArn": topic + "-other", "Message": "x"}),
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
	if heard := l.messages(t); len(heard) != 1 || !strings.HasPrefix(heard[0], "logging: Put") {
		t.Errorf("after pulumi has mended the rules: heard %q", heard)
	}
}

// dataEvents: a trail may have them, and the sandbox makes none. A deleted record rings, what the system does each day does
// not: the message of a message would be followed by the next, for ever.
func (s *running) dataEvents(t *testing.T) {
	t.Helper()
	bus := events.Bus{Moto: s.aws}
	if err := bus.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := s.StackOutputs
	type called struct {
		service, name string
		parameters    map[string]any
	}
	for want, calls := range map[string][]called{
		"buckets": {
			{"s3", "DeleteObject", map[string]any{"bucketName": out["logBucketName"], "key": "x"}}, {"s3", "DeleteObjects", map[string]any{"bucketName": out["logAccessBucketName"]}},
			{"s3", "PutObjectRetention", map[string]any{"bucketName": out["logBucketName"]}},
		},
		"": {
			{"s3", "PutObject", map[string]any{"bucketName": out["logBucketName"]}}, {"s3", "GetObject", map[string]any{"bucketName": out["logBucketName"]}},
			{"s3", "DeleteObject", map[string]any{"bucketName": "somebody-elses"}},
			{"lambda", "Invoke", map[string]any{"functionName": out["functionName"]}}, {"logs", "PutLogEvents", map[string]any{"logGroupName": out["logGroupName"]}},
			{"sns", "Publish", map[string]any{"topicArn": out["alarmTopicArn"]}}, {"logs", "StartQuery", map[string]any{"logGroupName": out["logGroupName"]}},
		},
	} {
		for _, c := range calls {
			text, err := json.Marshal(events.Call{Service: c.service, Name: c.name, Parameters: c.parameters}.Event(s.Region, account, "x", "", nil, time.Now()))
			if err != nil {
				t.Fatal(err)
			}
			var event map[string]any
			if err := json.Unmarshal(text, &event); err != nil {
				t.Fatal(err)
			}
			rings := ""
			for _, rule := range bus.Rules {
				ok, err := events.Matches(rule.Pattern, event)
				if err != nil {
					t.Fatal(err)
				}
				if ok {
					rings += strings.TrimPrefix(rule.Name, "bedrock-app-local-watch-")
				}
			}
			if rings != want {
				t.Errorf("%s %s rings %q, want %q", c.service, c.name, rings, want)
			}
		}
	}
}

// breaks has every deployed alarm ring, by what the system itself does when a part of it is broken, and compares what was
// heard by now with what is deployed.
func (s *running) breaks(t *testing.T, l *listener, read func(service, path string) []byte) {
	ctx := t.Context()
	out := s.StackOutputs
	do := func(service, method, path string, body []byte) {
		t.Helper()
		if _, err := s.aws.Do(ctx, service, method, path, map[string]string{"Content-Type": "application/json"}, body); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(prompt string, want int) {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"prompt": prompt})
		if status, _, answer := s.call(t, http.MethodPost, "/generate", "", "application/json", string(body)); status != want {
			t.Errorf("status %d, want %d: %.200s", status, want, answer)
		}
	}
	policy := read("s3", "/"+out["logBucketName"]+"?policy")
	do("s3", http.MethodDelete, "/"+out["logBucketName"]+"?policy", nil)
	ask("small", 200)
	l.until(t, "delivery-s3")
	ask(strings.Repeat("x", 150<<10), 200)
	l.until(t, "delivery-large")
	do("s3", http.MethodPut, "/"+out["logBucketName"]+"?policy", policy)

	var configured struct{ LoggingConfig *invocationlog.Config }
	if err := json.Unmarshal(read("bedrock", "/logging/modelinvocations"), &configured); err != nil {
		t.Fatal(err)
	}
	role := configured.LoggingConfig.CloudWatchConfig.RoleArn
	role = role[strings.LastIndex(role, "/")+1:]
	p := &proof{documents: map[string]string{}}
	s.readRole(t, p, "delivery", role)
	of := map[string]string{"RoleName": role, "PolicyName": s.rolePolicyName(t, role)}
	s.query(t, "iam", iam.Version, "DeleteRolePolicy", of)
	ask("not in CloudWatch Logs", 200)
	l.until(t, "delivery-logs")
	of["PolicyDocument"] = p.documents["delivery role"]
	s.query(t, "iam", iam.Version, "PutRolePolicy", of)

	function := "/2015-03-31/functions/" + out["functionName"]
	code, err := os.ReadFile(filepath.Join(s.root, ".build", "function-"+map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(zipped []byte) {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"ZipFile": zipped})
		do("lambda", http.MethodPut, function+"/code", body)
	}
	deploy(crashing(t))
	ask("nobody answers", 500)
	l.until(t, "errors")
	if !l.heard["function"] {
		t.Error("nobody was told that the function's code was changed")
	}
	do("lambda", http.MethodPut, "/2017-10-31/functions/"+out["functionName"]+"/concurrency", []byte(`{"ReservedConcurrentExecutions":0}`))
	ask("nobody starts", 500)
	l.until(t, "throttles")
	do("lambda", http.MethodDelete, "/2017-10-31/functions/"+out["functionName"]+"/concurrency", nil)

	logging := read("bedrock", "/logging/modelinvocations")
	do("bedrock", http.MethodDelete, "/logging/modelinvocations", nil)
	deploy(code) // its copies look at their start
	for range 5 {
		ask("not kept", 503)
	}
	l.until(t, "refused")
	l.until(t, "api-5xx")
	do("bedrock", http.MethodPut, "/logging/modelinvocations", logging)

	s.slowCallsRing(t, l)
	var rules struct{ Rules []struct{ Name string } }
	s.target(t, "events", "AWSEvents.ListRules", map[string]string{"NamePrefix": "bedrock-app-local-watch-"}, &rules)
	deployed, err := cloudwatch.MetricAlarms(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range rules.Rules {
		names[strings.TrimPrefix(r.Name, "bedrock-app-local-watch-")] = true
	}
	for _, a := range deployed {
		names[strings.TrimPrefix(a.Name, "bedrock-app-local-watch-")] = true
	}
	if !maps.Equal(names, l.heard) {
		t.Errorf("deployed are %v, heard %v", slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(l.heard)))
	}
}

func (s *running) rolePolicyName(t *testing.T, role string) string {
	t.Helper()
	var inline struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	if err := iam.Query(t.Context(), s.aws, "ListRolePolicies", map[string]string{"RoleName": role}, &inline); err != nil || len(inline.Names) != 1 {
		t.Fatalf("policies of %s: %v, %v", role, inline.Names, err)
	}
	return inline.Names[0]
}

// slowCallsRing: nobody waits for a quarter of an hour here. The deployed alarm is evaluated on calls of the last one.
func (s *running) slowCallsRing(t *testing.T, l *listener) {
	t.Helper()
	var api struct{ Name string }
	if err := s.aws.Get(t.Context(), "apigateway", "/restapis/"+s.StackOutputs["apiId"], &api); err != nil {
		t.Fatal(err)
	}
	deployed, err := cloudwatch.MetricAlarms(t.Context(), s.aws)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	calls := func(slow time.Duration) (all []cloudwatch.Sample) {
		for age := time.Minute; age < 15*time.Minute; age += 30 * time.Second {
			for i := range 10 {
				one := cloudwatch.Sample{
					Namespace: "AWS/ApiGateway", Metric: "Latency", Dimensions: map[string]string{"ApiName": api.Name, "Stage": "api"}, Value: 1000, At: now.Add(-age),
				}
				if i < 2 && age < slow {
					one.Value = 61_000
				}
				all = append(all, one)
			}
		}
		return all
	}
	for _, a := range deployed {
		if !strings.HasSuffix(a.Name, "-api-latency") {
			continue
		}
		for slow, want := range map[time.Duration]string{15 * time.Minute: "ALARM", 9 * time.Minute: "OK", 0: "OK"} {
			if state, err := a.State(calls(slow), now); state != want || err != nil {
				t.Errorf("one call in five slow for %v: %s, %v, want %s", slow, state, err, want)
			}
		}
		l.heard["api-latency"] = true
	}
}

// staysSilent: what no rule can tell of is that it cannot tell.
func (s *running) staysSilent(t *testing.T, l *listener) {
	t.Helper()
	l.messages(t)
	s.query(t, "sns", sns.Version, "SetTopicAttributes", map[string]string{
		"TopicArn": s.StackOutputs["alarmTopicArn"], "AttributeName": "Policy", "AttributeValue": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sns:Subscribe","Resource":"*"}]}`,
	})
	s.target(t, "kms", "TrentService.DisableKeyRotation", map[string]string{"KeyId": s.StackOutputs["logKeyId"]}, nil)
	s.target(t, "events", "AWSEvents.DisableRule", map[string]string{"Name": "bedrock-app-local-watch-watch"}, nil)
	if heard := slices.DeleteFunc(l.messages(t), func(m string) bool { return strings.Contains(m, " is ") }); len(heard) > 0 {
		t.Errorf("heard %q: the threat model is wrong", heard)
	}
}

// monitoringIsGone is asked before the stack is, and again after.
func (s *running) monitoringIsGone(t *testing.T) (gone func()) {
	topic, err := sns.Topics{Moto: s.aws}.Attributes(t.Context(), s.StackOutputs["alarmTopicArn"])
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for action, service := range map[string]string{"DescribeAlarms": "monitoring", "ListDashboards": "monitoring", "ListTopics": "sns"} {
			version := map[string]string{"monitoring": cloudwatch.Version, "sns": sns.Version}[service]
			answer, err := s.aws.Do(t.Context(), service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte("Action="+action+"&Version="+version))
			if err != nil || bytes.Contains(answer, []byte("bedrock-app-local")) {
				t.Errorf("%s still lists the stack's: %s, %v", action, answer, err)
			}
		}
		var rules struct{ Rules []struct{ Name string } }
		if s.target(t, "events", "AWSEvents.ListRules", map[string]string{"NamePrefix": "bedrock-app-local"}, &rules); len(rules.Rules) > 0 {
			t.Errorf("rules %v are still there", rules.Rules)
		}
		var key struct {
			KeyMetadata struct{ KeyState string }
		}
		if s.target(t, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": topic["KmsMasterKeyId"]}, &key); key.KeyMetadata.KeyState != "PendingDeletion" {
			t.Errorf("the topic's key is %s", key.KeyMetadata.KeyState)
		}
	}
}

// crashing is a function's code that ends at once.
func crashing(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.WriteString(file, "#!/bin/sh\nexit 1\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// topicRows: who publishes to the alarms' topic, and encrypts for it.
func (s *running) topicRows(t *testing.T, p *proof) {
	t.Helper()
	topic := s.StackOutputs["alarmTopicArn"]
	attributes, err := sns.Topics{Moto: s.aws}.Attributes(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	key := attributes["KmsMasterKeyId"]
	p.documents["topic"] = attributes["Policy"]
	if p.documents["topic key"], err = kms.KeyPolicy(t.Context(), s.aws, key); err != nil {
		t.Fatal(err)
	}
	alarm := func(region, account, name string) string {
		return "arn:aws:cloudwatch:" + region + ":" + account + ":alarm:" + name
	}
	rule := func(region, account, name string) string {
		return "arn:aws:events:" + region + ":" + account + ":rule/" + name
	}
	const own = "bedrock-app-local-watch-x"
	for service, arn := range map[string]func(region, account, name string) string{"cloudwatch.amazonaws.com": alarm, "events.amazonaws.com": rule} {
		ask := func(want bool, name, by, of, forAccount, source string) {
			keys := map[string][]string{"aws:SourceArn": {source}, "aws:SourceAccount": {forAccount}}
			p.resource(want, "topic: "+service+": "+name, "topic", iam.ServiceRequest(by, "sns:Publish", of, keys))
			if service == "cloudwatch.amazonaws.com" && of == topic {
				for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
					p.resource(want, "topic key: "+service+": "+name+": "+action, "topic key", iam.ServiceRequest(by, action, key, keys))
				}
			}
		}
		ask(true, "for the stack", service, topic, account, arn(s.Region, account, own))
		ask(false, "for another stack", service, topic, account, arn(s.Region, account, "bedrock-app-second-watch-x"))
		ask(false, "for another account", service, topic, otherAccount, arn(s.Region, otherAccount, own))
		ask(false, "in another region", service, topic, account, arn("us-east-1", account, own))
		ask(false, "to another topic", service, topic+"-other", account, arn(s.Region, account, own))
		ask(false, "as another service", "s3.amazonaws.com", topic, account, arn(s.Region, account, own))
		if service == "cloudwatch.amazonaws.com" {
			ask(false, "for another account, with an ARN of this one", service, topic, otherAccount, arn(s.Region, account, own))
		}
	}
	for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
		p.resource(true, "topic key: EventBridge, which does not say for whom: "+action, "topic key", iam.ServiceRequest("events.amazonaws.com", action, key, nil))
		p.resource(false, "topic key: another service, which does not say for whom: "+action, "topic key", iam.ServiceRequest("s3.amazonaws.com", action, key, nil))
	}
	p.resource(false, "topic key: EventBridge: kms:CreateGrant", "topic key", iam.ServiceRequest("events.amazonaws.com", "kms:CreateGrant", key, nil))
	for tls, want := range map[string]bool{"true": true, "false": false} {
		r := iampolicy.Request{
			Principal: iampolicy.Principal{ARN: "arn:aws:iam::" + account + ":user/ops"}, Action: "sns:Publish", Resource: topic, Context: map[string][]string{"aws:SecureTransport": {tls}},
		}
		p.row(want, fmt.Sprint("topic: somebody of the account, whose own policies allow it, TLS ", tls), func(policy func(string) iampolicy.Document) bool {
			return iampolicy.SameAccount([]iampolicy.Document{everything()}, []iampolicy.Document{policy("topic")}, r) == iampolicy.Allow
		})
	}
	accountRows(p, "topic key", key)
}
