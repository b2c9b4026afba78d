//go:build e2e

package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/apigateway"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// A sandbox that lets through what AWS refuses would call a broken deployment good. Each case breaks one thing in an
// emulated AWS that was set up as the components do it, without pulumi.
func TestEndToEndRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		broken func(*setup)
		want   string
	}{
		"nothing is broken":                 {func(*setup) {}, ""},
		"bucket without a policy":           {func(s *setup) { s.bucketPolicy = "" }, "Failed to validate permissions for S3 bucket"},
		"bucket policy for another account": {func(s *setup) { s.bucketPolicy = strings.ReplaceAll(s.bucketPolicy, account, "999999999999") }, "Failed to validate permissions for S3 bucket"},
		"bucket policy for another region":  {func(s *setup) { s.bucketPolicy = strings.ReplaceAll(s.bucketPolicy, "ap-northeast-1", "us-east-1") }, "Failed to validate permissions for S3 bucket"},
		"bucket policy for another prefix":  {func(s *setup) { s.bucketPolicy = strings.ReplaceAll(s.bucketPolicy, "/bedrock/", "/other/") }, "Failed to validate permissions for S3 bucket"},
		"role that trusts somebody else":    {func(s *setup) { s.trust = strings.ReplaceAll(s.trust, "bedrock.amazonaws.com", "ec2.amazonaws.com") }, "Failed to validate permissions for log group"},
		"role of another account's Bedrock": {func(s *setup) { s.trust = strings.ReplaceAll(s.trust, account, "999999999999") }, "Failed to validate permissions for log group"},
		"role that may not write": {func(s *setup) {
			s.permissions = strings.ReplaceAll(s.permissions, "logs:PutLogEvents", "logs:GetLogEvents")
		}, "Failed to validate permissions for log group"},
		"key that Bedrock may not use": {func(s *setup) {
			s.keyPolicy = strings.ReplaceAll(s.keyPolicy, "bedrock.amazonaws.com", "ec2.amazonaws.com")
		}, "Failed to validate permissions for S3 bucket"},
		"key for another account's Bedrock": {func(s *setup) {
			s.keyPolicy = strings.ReplaceAll(s.keyPolicy, `"aws:SourceAccount":"`+account, `"aws:SourceAccount":"999999999999`)
		}, "Failed to validate permissions for S3 bucket"},
		"key for another log group": {func(s *setup) { s.keyPolicy = strings.ReplaceAll(s.keyPolicy, "log-group:logs", "log-group:other") }, "Failed to validate permissions for log group"},
		"key that CloudWatch Logs may not use": {func(s *setup) {
			s.keyPolicy = strings.ReplaceAll(s.keyPolicy, "logs.ap-northeast-1.amazonaws.com", "logs.us-east-1.amazonaws.com")
		}, "Failed to validate permissions for log group"},
		"key that leaves nothing to IAM": {func(s *setup) { s.keyPolicy = strings.ReplaceAll(s.keyPolicy, `"kms:*"`, `"kms:GetKeyPolicy"`) }, "Failed to validate permissions for log group"},
		"role that may not use the key":  {func(s *setup) { s.permissions = strings.ReplaceAll(s.permissions, `"kms:*"`, `"kms:Decrypt"`) }, "Failed to validate permissions for log group"},
		"role that may use the key through S3": {func(s *setup) {
			s.permissions = strings.ReplaceAll(s.permissions, "logs.ap-northeast-1.amazonaws.com", "s3.ap-northeast-1.amazonaws.com")
		}, "Failed to validate permissions for log group"},
		"access log that S3 may not write": {func(s *setup) {
			s.accessLogPolicy = strings.ReplaceAll(s.accessLogPolicy, "arn:aws:s3:::logs", "arn:aws:s3:::other")
		}, "InvalidTargetBucketForLogging"},
		"role for the group, not its log stream": {func(s *setup) {
			s.permissions = strings.ReplaceAll(s.permissions, ":log-stream:aws/bedrock/modelinvocations", ":*:log-stream:x")
		}, "Failed to validate permissions for log group"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			c.broken(s)
			err := s.configure()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want %q", err, c.want)
			}
		})
	}
}

// With an object lock, S3 refuses writers that send no checksum: whoever locks the archive has to know before.
func TestEndToEndObjectLock(t *testing.T) {
	t.Parallel()
	without, with := newSetup(t), newSetup(t, true)
	without.locked, with.locked = true, true
	if err := without.configure(); err == nil || !strings.Contains(err.Error(), "Content-MD5") {
		t.Errorf("without a checksum: %v", err)
	}
	if err := with.configure(); err != nil {
		t.Errorf("with a checksum: %v", err)
	}
}

// Lost: a test that a request with audio is refused where the account does not say that audio is kept. AWS has the flag, and who
// leaves it out finds it left out.
func TestEndToEndAudioFlag(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	if err := s.configure(); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]any{"": nil, `"audioDataDeliveryEnabled":true,`: true, `"audioDataDeliveryEnabled":false,`: false} {
		config := `{"loggingConfig":{` + flag + `"s3Config":{"bucketName":"logs","keyPrefix":"bedrock"}}}`
		if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPut, "/logging/modelinvocations", map[string]string{"Content-Type": "application/json"}, []byte(config)); err != nil {
			t.Fatal(err)
		}
		var out map[string]map[string]any
		if err := s.aws.Get(t.Context(), "bedrock", "/logging/modelinvocations", &out); err != nil {
			t.Fatal(err)
		}
		if got, found := out["loggingConfig"]["audioDataDeliveryEnabled"]; got != want || found != (flag != "") {
			t.Errorf("%q: %v", flag, out)
		}
	}
}

// A record that cannot be delivered must be loud, and must not take the other destination's with it.
func TestEndToEndLostDeliveryIsReported(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	if err := s.configure(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.aws.Do(t.Context(), "s3", http.MethodDelete, "/logs?policy", nil, nil); err != nil {
		t.Fatal(err)
	}
	answer, err := s.aws.Do(t.Context(), "bedrock", http.MethodPost, "/model/amazon.nova-lite-v1:0/converse", nil,
		[]byte(`{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}`))
	if err != nil || !strings.Contains(string(answer), "You said: Hello") {
		t.Fatalf("%s, %v", answer, err)
	}
	if reports := s.reported(); len(reports) != 1 || !strings.Contains(reports[0], "to S3") {
		t.Errorf("reported %q, want the delivery to S3 only", reports)
	}
	events, err := s.aws.Do(t.Context(), "logs", http.MethodPost, "/", map[string]string{
		"X-Amz-Target": "Logs_20140328.FilterLogEvents", "Content-Type": "application/x-amz-json-1.1"}, []byte(`{"logGroupName":"logs"}`))
	if err != nil || strings.Count(string(events), "ModelInvocationLog") != 1 {
		t.Errorf("CloudWatch Logs has %s, %v", events, err)
	}
}

// A message that is not heard must be loud, and one that AWS would not deliver must not be heard: what is broken here is who
// may publish to a topic and use its key.
func TestEndToEndUnheardMessagesAreReported(t *testing.T) {
	t.Parallel()
	const topic = "arn:aws:sns:ap-northeast-1:" + account + ":topic"
	statement := func(service, actions, condition string) string {
		return `{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":` + actions + `,"Resource":"*"` + condition + `}`
	}
	document := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	from := func(arn string) string { return `,"Condition":{"ArnLike":{"aws:SourceArn":"` + arn + `"}}` }
	publish := func(rule string) string {
		return document(statement("events.amazonaws.com", `"sns:Publish"`, from("arn:aws:events:ap-northeast-1:"+account+":rule/"+rule)))
	}
	root := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"}`
	encrypt := func(actions, condition string) string {
		return document(root, statement("events.amazonaws.com", actions, condition))
	}
	both := `["kms:GenerateDataKey","kms:Decrypt"]`
	for name, c := range map[string]struct {
		policy, keyPolicy string
		disabled          bool
		pattern, want     string
	}{
		"nothing is broken":            {policy: publish("x"), keyPolicy: encrypt(both, "")},
		"topic for another rule":       {policy: publish("y"), keyPolicy: encrypt(both, ""), want: "does not let events.amazonaws.com sns:Publish"},
		"key that EventBridge may not": {policy: publish("x"), keyPolicy: document(root), want: "does not let events.amazonaws.com kms:GenerateDataKey"},
		"key to encrypt with only":     {policy: publish("x"), keyPolicy: encrypt(`"kms:GenerateDataKey"`, ""), want: "does not let events.amazonaws.com kms:Decrypt"},
		"key bound to a source, which AWS does not support for EventBridge": {
			policy: publish("x"), keyPolicy: encrypt(both, from("arn:aws:events:ap-northeast-1:"+account+":rule/x")), want: "does not let events.amazonaws.com kms:GenerateDataKey"},
		"disabled key":                   {policy: publish("x"), keyPolicy: encrypt(both, ""), disabled: true, want: "is disabled"},
		"pattern that is not understood": {policy: publish("x"), keyPolicy: encrypt(both, ""), pattern: `{"source":[{"wildcard":"*"}]}`, want: "is not understood"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			call := func(service, target string, in, out any) {
				t.Helper()
				if err := s.aws.Target(s.ctx, service, target, in, out); err != nil {
					t.Fatal(err)
				}
			}
			var key struct{ KeyMetadata struct{ Arn, KeyID string } }
			call("kms", "TrentService.CreateKey", map[string]string{"Policy": c.keyPolicy}, &key)
			if err := s.aws.Query(s.ctx, "sns", sns.Version, "CreateTopic", map[string]string{
				"Name": "topic", "Attributes.entry.1.key": "Policy", "Attributes.entry.1.value": c.policy,
				"Attributes.entry.2.key": "KmsMasterKeyId", "Attributes.entry.2.value": key.KeyMetadata.Arn,
			}, &struct{}{}); err != nil {
				t.Fatal(err)
			}
			if c.disabled {
				call("kms", "TrentService.DisableKey", map[string]string{"KeyId": key.KeyMetadata.KeyID}, nil)
			}
			call("events", "AWSEvents.PutRule", map[string]string{"Name": "x", "EventPattern": cmp.Or(c.pattern, `{"detail":{"eventName":["StopLogging"]}}`)}, nil)
			call("events", "AWSEvents.PutTargets", map[string]any{"Rule": "x", "Targets": []any{map[string]any{
				"Id": "topic", "Arn": topic, "InputTransformer": map[string]any{"InputPathsMap": map[string]string{"call": "$.detail.eventName"}, "InputTemplate": `"<call>"`},
			}}}, nil)
			s.aws.Target(s.ctx, "cloudtrail", "CloudTrail_20131101.StopLogging", map[string]string{"Name": "none"}, nil) // refused: there is none
			heard := s.heard()                                                                                           // of one call
			if (c.want == "") != slices.Contains(heard, "StopLogging") {
				t.Errorf("heard %q", heard)
			}
			if reports := s.reported(); c.want == "" && len(reports) > 0 || c.want != "" && !slices.ContainsFunc(reports, func(r string) bool { return strings.Contains(r, c.want) }) {
				t.Errorf("reported %q, want %q", reports, c.want)
			}
		})
	}
}

// The policy of the last deployment is in force, not the one that was written since.
func TestEndToEndPolicyNeedsDeployment(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	post := func(path, body string) (id string) {
		t.Helper()
		answer, err := s.aws.Do(t.Context(), "apigateway", http.MethodPost, path, map[string]string{"Content-Type": "application/json"}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ ID string }
		if err := json.Unmarshal(answer, &made); err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	allow := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"execute-api:Invoke\",\"Resource\":\"execute-api:/*\",` +
		`\"Condition\":{\"StringEquals\":{\"aws:SourceVpce\":\"ENDPOINT\"}}}]}`
	api := post("/restapis", `{"name":"x","endpointConfiguration":{"types":["PRIVATE"],"vpcEndpointIds":["vpce-1"]},"policy":"`+strings.ReplaceAll(allow, "ENDPOINT", "vpce-1")+`"}`)
	var resources struct{ Item []apigateway.Resource }
	if err := s.aws.Get(t.Context(), "apigateway", "/restapis/"+api+"/resources", &resources); err != nil {
		t.Fatal(err)
	}
	method := "/restapis/" + api + "/resources/" + resources.Item[0].ID + "/methods/GET"
	put := func(path, body string) {
		t.Helper()
		if _, err := s.aws.Do(t.Context(), "apigateway", http.MethodPut, path, map[string]string{"Content-Type": "application/json"}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	put(method, `{"authorizationType":"NONE"}`)
	put(method+"/integration", `{"type":"AWS_PROXY","httpMethod":"POST","uri":"arn:aws:apigateway:ap-northeast-1:lambda:path/2015-03-31/functions/none/invocations"}`)
	deploy := func() { post("/restapis/"+api+"/deployments", `{"stageName":"api"}`) }
	deploy()
	door := httptest.NewServer(s.sandbox.frontDoor(api))
	t.Cleanup(door.Close)
	status := func(endpoint string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, door.URL+"/api/nowhere", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = api + "-" + endpoint + ".execute-api.localhost"
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if strings.Contains(response.Header.Get("X-Amzn-Errortype"), "AccessDenied") {
			return 403
		}
		return 200 // it got in; there is nothing behind
	}
	expect := func(when string, want map[string]int) {
		t.Helper()
		for endpoint, code := range want {
			if got := status(endpoint); got != code {
				t.Errorf("%s: through %s: %d, want %d", when, endpoint, got, code)
			}
		}
	}
	expect("deployed", map[string]int{"vpce-1": 200, "vpce-2": 403})
	if _, err := s.aws.Do(t.Context(), "apigateway", http.MethodPatch, "/restapis/"+api, map[string]string{"Content-Type": "application/json"},
		[]byte(`{"patchOperations":[{"op":"replace","path":"/policy","value":"`+strings.ReplaceAll(allow, "ENDPOINT", "vpce-2")+`"}]}`)); err != nil {
		t.Fatal(err)
	}
	expect("changed", map[string]int{"vpce-1": 200, "vpce-2": 403})
	deploy()
	expect("deployed again", map[string]int{"vpce-1": 403, "vpce-2": 200})
}

// Lost: what a stack says of streaming, time and binary bodies would not be what the front door does.
func TestEndToEndDeploymentKeepsWhatWasImported(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	call := func(method, path, body string) (id string) {
		t.Helper()
		answer, err := s.aws.Do(t.Context(), "apigateway", method, path, map[string]string{"Content-Type": "application/json"}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		var made struct{ ID string }
		if err := json.Unmarshal(answer, &made); err != nil {
			t.Fatal(err)
		}
		return made.ID
	}
	const function = "arn:aws:apigateway:ap-northeast-1:lambda:path/2021-11-15/functions/arn:aws:lambda:ap-northeast-1:123456789012:function:f/response-streaming-invocations"
	api := "/restapis/" + call(http.MethodPost, "/restapis", `{"name":"x"}`)
	expect := func(types ...string) {
		t.Helper()
		d, known := s.sandbox.apis.Deployed(call(http.MethodPost, api+"/deployments", `{"stageName":"api"}`))
		route := slices.IndexFunc(d.Routes, func(r apigateway.Resource) bool { return r.Path == "/ask" })
		if !known || route < 0 || !d.Operations["POST /ask"].Streams {
			t.Fatalf("deployed %+v", d)
		}
		if method := d.Routes[route].Methods[http.MethodPost]; method.Integration.URI != function || method.Integration.TimeoutInMillis != 90000 {
			t.Errorf("deployed %+v, %+v", d.Operations, method)
		}
		if !slices.Equal(d.BinaryMediaTypes, types) {
			t.Errorf("binary are %q, want %q", d.BinaryMediaTypes, types)
		}
	}
	document := `{"openapi":"3.0.1","info":{"title":"x","version":"1"},"paths":{"/ask":{"post":{"responses":{},"x-amazon-apigateway-integration":{
		"type":"aws_proxy","httpMethod":"POST","responseTransferMode":"STREAM","timeoutInMillis":90000,"uri":"` + function + `"}}}}`
	call(http.MethodPut, api+"?mode=overwrite", document+"}")
	expect()
	call(http.MethodPut, api+"?mode=overwrite", document+`,"x-amazon-apigateway-binary-media-types":["*/*"]}`)
	expect("*/*")
	call(http.MethodPatch, api, `{"patchOperations":[{"op":"remove","path":"/binaryMediaTypes/*~1*"},{"op":"add","path":"/binaryMediaTypes/image~1png"}]}`)
	expect("image/png")
}

const account = "123456789012"

// setup is an emulated AWS with what invocation logging needs.
type setup struct {
	aws                              wire.Client
	sandbox                          *Sandbox
	bucketPolicy, trust, permissions string
	keyPolicy, accessLogPolicy       string
	locked                           bool
	ctx                              context.Context

	mu      sync.Mutex
	reports []string
	alarms  []string
}

func newSetup(t *testing.T, checksums ...bool) *setup {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &setup{ctx: t.Context()}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.sandbox, err = Start(ctx, Options{Region: "ap-northeast-1", Folder: t.TempDir(), AWS: listener, Checksums: len(checksums) > 0, Report: func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reports = append(s.reports, err.Error())
	}, Alarm: func(message string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.alarms = append(s.alarms, message)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.sandbox.Close() })
	s.aws = wire.Client{URL: s.sandbox.AWSEndpointURL, Region: "ap-northeast-1"}
	bound := `"Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"},"ArnLike":{"aws:SourceArn":"arn:aws:bedrock:ap-northeast-1:` + account + `:*"}}`
	s.bucketPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"s3:PutObject",
		"Resource":"arn:aws:s3:::logs/bedrock/AWSLogs/` + account + `/BedrockModelInvocationLogs/*",` + bound + `}]}`
	s.trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"sts:AssumeRole",` + bound + `}]}`
	s.permissions = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogStream","logs:PutLogEvents"],
		"Resource":"arn:aws:logs:ap-northeast-1:` + account + `:log-group:logs:log-stream:aws/bedrock/modelinvocations"},
		{"Effect":"Allow","Action":"kms:*","Resource":"*","Condition":{"StringEquals":{"kms:ViaService":"logs.ap-northeast-1.amazonaws.com"}}}]}`
	s.keyPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + account + `:root"},"Action":"kms:*","Resource":"*"},
		{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"kms:GenerateDataKey","Resource":"*",` + bound + `},
		{"Effect":"Allow","Principal":{"Service":"logs.ap-northeast-1.amazonaws.com"},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:GenerateDataKey*","kms:Describe*"],
		"Resource":"*","Condition":{"ArnEquals":{"kms:EncryptionContext:aws:logs:arn":"arn:aws:logs:ap-northeast-1:` + account + `:log-group:logs"}}}]}`
	s.accessLogPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject",
		"Resource":"arn:aws:s3:::access/*","Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"},"ArnLike":{"aws:SourceArn":"arn:aws:s3:::logs"}}}]}`
	return s
}

func (s *setup) reported() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports
}

func (s *setup) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alarms
}

const bucketConfiguration = `<CreateBucketConfiguration><LocationConstraint>ap-northeast-1</LocationConstraint></CreateBucketConfiguration>`

// configure makes everything and turns logging on.
func (s *setup) configure() error {
	var key struct {
		KeyMetadata struct{ Arn string }
	}
	if err := s.aws.Target(s.ctx, "kms", "TrentService.CreateKey", map[string]string{"Policy": s.keyPolicy}, &key); err != nil {
		return err
	}
	var lock map[string]string
	if s.locked {
		lock = map[string]string{"X-Amz-Bucket-Object-Lock-Enabled": "true"}
	}
	if _, err := s.aws.Do(s.ctx, "s3", http.MethodPut, "/logs", lock, []byte(bucketConfiguration)); err != nil {
		return err
	}
	if s.locked {
		rule := `<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>`
		if _, err := s.aws.Do(s.ctx, "s3", http.MethodPut, "/logs?object-lock", nil, []byte(rule)); err != nil {
			return err
		}
	}
	for _, put := range []struct{ path, body string }{
		{"/access", bucketConfiguration}, {"/access?policy", s.accessLogPolicy},
		{"/logs?encryption", `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>aws:kms</SSEAlgorithm><KMSMasterKeyID>` +
			key.KeyMetadata.Arn + `</KMSMasterKeyID></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`},
		{"/logs?logging", `<BucketLoggingStatus><LoggingEnabled><TargetBucket>access</TargetBucket><TargetPrefix></TargetPrefix></LoggingEnabled></BucketLoggingStatus>`},
	} {
		if _, err := s.aws.Do(s.ctx, "s3", http.MethodPut, put.path, nil, []byte(put.body)); err != nil {
			return err
		}
	}
	if s.bucketPolicy != "" {
		if _, err := s.aws.Do(s.ctx, "s3", http.MethodPut, "/logs?policy", nil, []byte(s.bucketPolicy)); err != nil {
			return err
		}
	}
	var ignored struct{}
	if err := iam.Query(s.ctx, s.aws, "CreateRole", map[string]string{"RoleName": "logs", "AssumeRolePolicyDocument": s.trust}, &ignored); err != nil {
		return err
	}
	if err := iam.Query(s.ctx, s.aws, "PutRolePolicy", map[string]string{"RoleName": "logs", "PolicyName": "logs", "PolicyDocument": s.permissions}, &ignored); err != nil {
		return err
	}
	if err := s.aws.Target(s.ctx, "logs", "Logs_20140328.CreateLogGroup", map[string]string{"logGroupName": "logs", "kmsKeyId": key.KeyMetadata.Arn}, nil); err != nil {
		return err
	}
	_, err := s.aws.Do(s.ctx, "bedrock", http.MethodPut, "/logging/modelinvocations", map[string]string{"Content-Type": "application/json"},
		[]byte(`{"loggingConfig":{"s3Config":{"bucketName":"logs","keyPrefix":"bedrock"},"cloudWatchConfig":{"logGroupName":"logs","roleArn":"arn:aws:iam::`+account+`:role/logs"},"textDataDeliveryEnabled":true}}`))
	return err
}
