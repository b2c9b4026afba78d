package events

import (
	"bytes"
	"cmp"
	"encoding/json"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Call is a writing call of AWS's, as CloudTrail names it.
type Call struct {
	Service, Name string
	Parameters    map[string]any
}

var (
	// Uses of a key are reading calls as well (KMS Developer Guide, "Decrypt", "GenerateDataKey": "readOnly": true).
	readingCall = regexp.MustCompile(`^(Get|BatchGet|List|Describe|Lookup|Filter|Test|Encrypt|Decrypt|ReEncrypt|GenerateDataKey)`)
	member      = regexp.MustCompile(`^(\w+)\.(?:member\.)?\d+$`)

	// By method and first part of the path.
	bedrockCalls = map[string]string{
		"PUT logging": "PutModelInvocationLoggingConfiguration", "DELETE logging": "DeleteModelInvocationLoggingConfiguration",
		"PUT data-retention": "PutAccountDataRetention", "PUT enforcedGuardrailsConfiguration": "PutEnforcedGuardrailConfiguration",
		"DELETE enforcedGuardrailsConfiguration": "DeleteEnforcedGuardrailConfiguration",
	}
	// Lambda Developer Guide, "Logging AWS Lambda API calls using AWS CloudTrail": names end in the API's version.
	functionCalls = map[string]string{
		"POST ": "CreateFunction20150331", "DELETE ": "DeleteFunction20150331",
		"PUT code": "UpdateFunctionCode20150331v2", "PUT configuration": "UpdateFunctionConfiguration20150331v2",
		"POST policy": "AddPermission20150331v2", "DELETE policy": "RemovePermission20150331v2",
		"PUT concurrency": "PutFunctionConcurrency20171031", "DELETE concurrency": "DeleteFunctionConcurrency20171031",
	}
	apiVerbs = map[string]string{"POST": "Create", "PUT": "Put", "PATCH": "Update", "DELETE": "Delete"}
	apiNouns = map[string]string{"restapis": "RestApi", "deployments": "Deployment", "stages": "Stage", "resources": "Resource", "methods": "Method", "account": "Account"}
)

// CallOf reads a call of those services that are watched; reading calls and others are none.
func CallOf(r *http.Request, body []byte) (c Call, ok bool) {
	c = Call{Service: wire.ServiceOf(r), Parameters: map[string]any{}}
	path := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	part := func(i int) string {
		if i >= len(path) {
			return ""
		}
		plain, _ := url.PathUnescape(path[i])
		return plain
	}
	switch c.Service {
	case "kms", "logs", "events", "cloudtrail", "glue", "athena":
		target := r.Header.Get("X-Amz-Target")
		c.Name = target[strings.LastIndex(target, ".")+1:]
		var in map[string]any
		json.Unmarshal(body, &in)
		for name, value := range in {
			c.Parameters[lowerFirst(name)] = value
		}
	case "sns", "monitoring", "ec2":
		form, _ := url.ParseQuery(string(body))
		c.Name = form.Get("Action")
		for name, values := range form {
			if list := member.FindStringSubmatch(name); list != nil {
				known, _ := c.Parameters[lowerFirst(list[1])].([]any)
				c.Parameters[lowerFirst(list[1])] = append(known, values[0])
				continue
			}
			c.Parameters[lowerFirst(name)] = values[0]
		}
		if c.Service == "ec2" { // CloudTrail nests them in an undocumented way
			c.Parameters = map[string]any{c.Name + "Request": c.Parameters}
		}
	case "bedrock":
		if c.Name = bedrockCalls[r.Method+" "+part(0)]; part(0) != "logging" {
			if json.Unmarshal(body, &c.Parameters); part(1) != "" {
				c.Parameters["configId"] = part(1)
			}
		}
	case "s3":
		verb := map[string]string{"PUT": "Put", "DELETE": "Delete"}[r.Method]
		if len(path) != 1 || verb == "" { // of objects are data events
			return c, false
		}
		c.Parameters["bucketName"] = part(0)
		c.Name = verb + "Bucket" + s3.PartName(r.URL.Query())
		if c.Name == "PutBucket" {
			c.Name = "CreateBucket"
		}
	case "lambda":
		if part(1) == "resource-policy" {
			c.Name, c.Parameters["resourceArn"] = map[string]string{"PUT": "PutResourcePolicy", "DELETE": "DeleteResourcePolicy"}[r.Method], part(2)
			break
		}
		var in struct{ FunctionName string }
		json.Unmarshal(body, &in)
		c.Name, c.Parameters["functionName"] = functionCalls[r.Method+" "+part(3)], cmp.Or(part(2), in.FunctionName)
	case "apigateway":
		for _, segment := range path {
			c.Name = cmp.Or(apiNouns[segment], c.Name)
		}
		if c.Name != "" && apiVerbs[r.Method] != "" {
			c.Name = apiVerbs[r.Method] + c.Name
		} else {
			c.Name = ""
		}
		if part(0) == "restapis" && part(1) != "" {
			c.Parameters["restApiId"] = part(1)
		}
	}
	return c, c.Name != "" && !readingCall.MatchString(c.Name)
}

func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// Event is CloudTrail's record of the call, in EventBridge's envelope (CloudTrail User Guide, "CloudTrail record
// contents"). code is empty where the call was not refused.
func (c Call) Event(region, account, by, code string, response map[string]any, now time.Time) map[string]any {
	at := now.UTC().Format(time.RFC3339)
	detail := map[string]any{
		"eventVersion": "1.11", "eventTime": at, "eventSource": c.Service + ".amazonaws.com", "eventName": c.Name, "awsRegion": region,
		"userIdentity": map[string]any{"arn": by, "accountId": account}, "sourceIPAddress": "127.0.0.1", "requestParameters": c.Parameters,
		"responseElements": response, "eventID": wire.NewID(), "readOnly": false, "managementEvent": true, "eventCategory": "Management", "eventType": "AwsApiCall",
	}
	if code != "" {
		detail["errorCode"] = code
	}
	return map[string]any{
		"version": "0", "id": wire.NewID(), "detail-type": "AWS API Call via CloudTrail", "source": "aws." + c.Service,
		"account": account, "time": at, "region": region, "resources": []any{}, "detail": detail,
	}
}

// outcome remembers how a call ended.
type outcome struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer // of a refusal
}

func (o *outcome) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

func (o *outcome) Write(b []byte) (int, error) {
	if o.status >= 400 {
		o.body.Write(b)
	}
	return o.ResponseWriter.Write(b)
}

var errorCode = regexp.MustCompile(`"__type": ?"(?:[^"]*#)?(\w+)|<Code>([\w.]+)`)

// code is the refusal's, empty of a call that was answered.
func (o *outcome) code() string {
	if o.status < 400 {
		return ""
	}
	found := errorCode.FindSubmatch(o.body.Bytes())
	if found == nil {
		return cmp.Or(o.Header().Get("X-Amzn-Errortype"), http.StatusText(o.status))
	}
	return string(append(found[1], found[2]...))
}
