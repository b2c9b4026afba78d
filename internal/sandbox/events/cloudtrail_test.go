package events

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// An event that CloudTrail would name otherwise proves nothing of the rules; one of a reading call rings for nothing.
func TestCallOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ service, method, path, target, body, want string }{
		{"bedrock", "PUT", "/logging/modelinvocations", "", "{}", "PutModelInvocationLoggingConfiguration {}"},
		{"bedrock", "DELETE", "/logging/modelinvocations", "", "", "DeleteModelInvocationLoggingConfiguration {}"},
		{"bedrock", "PUT", "/data-retention", "", `{"mode":"none"}`, `PutAccountDataRetention {"mode":"none"}`},
		{"bedrock", "GET", "/data-retention", "", "", ""},
		{"bedrock", "PUT", "/enforcedGuardrailsConfiguration", "", `{"configId":"a"}`, `PutEnforcedGuardrailConfiguration {"configId":"a"}`},
		{"bedrock", "DELETE", "/enforcedGuardrailsConfiguration/a", "", "", `DeleteEnforcedGuardrailConfiguration {"configId":"a"}`},
		{"bedrock", "GET", "/enforcedGuardrailsConfiguration", "", "", ""},
		{"bedrock", "POST", "/guardrails", "", "{}", ""},
		{"bedrock", "PUT", "/data-retention", "", "{}", "PutAccountDataRetention {}"},
		{"bedrock", "GET", "/data-retention", "", "", ""},
		{"glue", "POST", "/", "AWSGlue.UpdateTable", `{"DatabaseName":"d"}`, `UpdateTable {"databaseName":"d"}`},
		{"glue", "POST", "/", "AWSGlue.BatchGetPartition", `{"DatabaseName":"d"}`, ""},
		{"athena", "POST", "/", "AmazonAthena.UpdateWorkGroup", `{"WorkGroup":"g"}`, `UpdateWorkGroup {"workGroup":"g"}`},
		{"lambda", "PUT", "/2026-07-09/resource-policy/arn:aws:lambda:f", "", "{}", `PutResourcePolicy {"resourceArn":"arn:aws:lambda:f"}`},
		{"s3", "PUT", "/logs?lifecycle", "", "<x/>", `PutBucketLifecycle {"bucketName":"logs"}`},
		{"s3", "PUT", "/logs?object-lock", "", "<x/>", `PutBucketObjectLockConfiguration {"bucketName":"logs"}`},
		{"s3", "DELETE", "/logs?publicAccessBlock", "", "", `DeleteBucketPublicAccessBlock {"bucketName":"logs"}`},
		{"s3", "DELETE", "/logs", "", "", `DeleteBucket {"bucketName":"logs"}`},
		{"s3", "PUT", "/logs", "", "", `CreateBucket {"bucketName":"logs"}`},
		{"s3", "DELETE", "/logs/a/record", "", "", ""},
		{"s3", "POST", "/logs?delete", "", "", ""},
		{"kms", "POST", "/", "TrentService.DisableKey", `{"KeyId":"k"}`, `DisableKey {"keyId":"k"}`},
		{"kms", "POST", "/", "TrentService.GenerateDataKey", `{"KeyId":"k"}`, ""},
		{"kms", "POST", "/", "TrentService.DescribeKey", `{"KeyId":"k"}`, ""},
		{"logs", "POST", "/", "Logs_20140328.PutRetentionPolicy", `{"logGroupName":"g"}`, `PutRetentionPolicy {"logGroupName":"g"}`},
		{"logs", "POST", "/", "Logs_20140328.FilterLogEvents", `{"logGroupName":"g"}`, ""},
		{"events", "POST", "/", "AWSEvents.DisableRule", `{"Name":"r"}`, `DisableRule {"name":"r"}`},
		{"cloudtrail", "POST", "/", "CloudTrail_20131101.StopLogging", `{"Name":"t"}`, `StopLogging {"name":"t"}`},
		{"monitoring", "POST", "/", "", "Action=DeleteAlarms&AlarmNames.member.1=a", `DeleteAlarms {"action":"DeleteAlarms","alarmNames":["a"]}`},
		{"sns", "POST", "/", "", "Action=DeleteTopic&TopicArn=t", `DeleteTopic {"action":"DeleteTopic","topicArn":"t"}`},
		{"sns", "POST", "/", "", "Action=GetTopicAttributes&TopicArn=t", ""},
		{"ec2", "POST", "/", "", "Action=ModifyVpcEndpoint", `ModifyVpcEndpoint {"ModifyVpcEndpointRequest":{"action":"ModifyVpcEndpoint"}}`},
		{"lambda", "PUT", "/2015-03-31/functions/f/code", "", "{}", `UpdateFunctionCode20150331v2 {"functionName":"f"}`},
		{"lambda", "POST", "/2015-03-31/functions", "", `{"FunctionName":"f"}`, `CreateFunction20150331 {"functionName":"f"}`},
		{"lambda", "DELETE", "/2015-03-31/functions/f/policy/sid", "", "", `RemovePermission20150331v2 {"functionName":"f"}`},
		{"lambda", "PUT", "/2017-10-31/functions/f/concurrency", "", "{}", `PutFunctionConcurrency20171031 {"functionName":"f"}`},
		{"lambda", "DELETE", "/2015-03-31/functions/arn%3Aaws%3Alambda", "", "", `DeleteFunction20150331 {"functionName":"arn:aws:lambda"}`},
		{"apigateway", "PATCH", "/restapis/a", "", "{}", `UpdateRestApi {"restApiId":"a"}`},
		{"apigateway", "POST", "/restapis/a/deployments", "", "{}", `CreateDeployment {"restApiId":"a"}`},
		{"apigateway", "PATCH", "/restapis/a/stages/api", "", "{}", `UpdateStage {"restApiId":"a"}`},
		{"apigateway", "POST", "/restapis", "", "{}", "CreateRestApi {}"},
		{"apigateway", "PATCH", "/account", "", "{}", "UpdateAccount {}"},
		{"apigateway", "PUT", "/tags/x", "", "{}", ""},
		{"iam", "POST", "/", "", "Action=DeleteRole", ""},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/ap-northeast-1/"+c.service+"/aws4_request, Signature=x")
		r.Header.Set("X-Amz-Target", c.target)
		call, ok := CallOf(r, []byte(c.body))
		got := ""
		if ok {
			parameters, err := json.Marshal(call.Parameters)
			if err != nil {
				t.Fatal(err)
			}
			got = call.Name + " " + string(parameters)
		}
		if got != c.want {
			t.Errorf("%s %s %s %s: got %q, want %q", c.service, c.method, c.path, c.target, got, c.want)
		}
	}
}

// A refused attempt that looks like a done deed sends whoever is told to the wrong place.
func TestOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status       int
		header, body string
		want         string
	}{
		{200, "", `{"__type":"x"}`, ""}, {204, "", "", ""},
		{400, "", `{"__type": "com.amazonaws.kms#NotFoundException"}`, "NotFoundException"}, {400, "", `{"__type":"InvalidParameter"}`, "InvalidParameter"},
		{409, "", "<Error><Code>BucketNotEmpty</Code></Error>", "BucketNotEmpty"}, {403, "AccessDeniedException", "{}", "AccessDeniedException"}, {500, "", "", "Internal Server Error"},
	} {
		o := &outcome{ResponseWriter: httptest.NewRecorder(), status: http.StatusOK}
		o.Header().Set("X-Amzn-Errortype", c.header)
		o.WriteHeader(c.status)
		o.Write([]byte(c.body))
		if got := o.code(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
		event := Call{Service: "kms", Name: "DisableKey"}.Event("ap-northeast-1", "123456789012", "arn:x", o.code(), nil, time.Unix(0, 0))
		if code, refused := event["detail"].(map[string]any)["errorCode"]; refused != (c.want != "") || refused && code != c.want {
			t.Errorf("%+v: errorCode %v", c, code)
		}
	}
}
