package iampolicy

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// These are the policies that this project deploys, by the function that parses them.
const (
	account = "123456789012"
	other   = "999999999999"
	region  = "ap-northeast-1"
	roleArn = "arn:aws:iam::" + account + ":role/chat"

	modelArn   = "arn:aws:bedrock:" + region + "::foundation-model/anthropic.claude-sonnet-5"
	globalArn  = "arn:aws:bedrock:::foundation-model/anthropic.claude-sonnet-5"
	profileArn = "arn:aws:bedrock:" + region + ":" + account + ":inference-profile/global.anthropic.claude-sonnet-5"

	invokePolicy = `{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "Profile", "Effect": "Allow",
			 "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
			 "Resource": "` + profileArn + `",
			 "Condition": {"StringEquals": {"aws:RequestedRegion": "` + region + `"}}},
			{"Sid": "Model", "Effect": "Allow",
			 "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
			 "Resource": "` + modelArn + `",
			 "Condition": {"StringEquals": {"aws:RequestedRegion": "` + region + `", "bedrock:InferenceProfileArn": "` + profileArn + `"}}},
			{"Sid": "Global", "Effect": "Allow",
			 "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
			 "Resource": "` + globalArn + `",
			 "Condition": {"StringEquals": {"aws:RequestedRegion": "unspecified", "bedrock:InferenceProfileArn": "` + profileArn + `"}}}
		]
	}`

	bucketPolicy = `{
		"Version": "2012-10-17",
		"Id": "logs",
		"Statement": [
			{"Sid": "Bedrock", "Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"},
			 "Action": "s3:PutObject",
			 "Resource": "arn:aws:s3:::logs/chat/AWSLogs/` + account + `/BedrockModelInvocationLogs/*",
			 "Condition": {
				"StringEquals": {"aws:SourceAccount": "` + account + `"},
				"ArnLike": {"aws:SourceArn": "arn:aws:bedrock:` + region + `:` + account + `:*"}}},
			{"Sid": "Tls", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
			 "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"],
			 "Condition": {"Bool": {"aws:SecureTransport": false}}}
		]
	}`

	apiPolicy = `{
		"Version": "2012-10-17",
		"Statement": [
			{"Effect": "Allow", "Principal": "*", "Action": "execute-api:Invoke",
			 "Resource": "arn:aws:execute-api:` + region + `:` + account + `:a1b2c3/*"},
			{"Effect": "Deny", "Principal": "*", "Action": "execute-api:Invoke",
			 "Resource": "arn:aws:execute-api:` + region + `:` + account + `:a1b2c3/*",
			 "Condition": {"StringNotEquals": {"aws:SourceVpce": ["vpce-1", "vpce-2"]}}}
		]
	}`

	keyPolicy = `{
		"Version": "2012-10-17",
		"Statement": [
			{"Sid": "Account", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::` + account + `:root"},
			 "Action": "kms:*", "Resource": "*"},
			{"Sid": "LogGroup", "Effect": "Allow", "Principal": {"Service": "logs.` + region + `.amazonaws.com"},
			 "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
			 "Resource": "*",
			 "Condition": {"ArnEquals": {"kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:` + region + `:` + account + `:log-group:chat"}}}
		]
	}`

	endpointPolicy = `{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"},
			"Action": "bedrock:InvokeModel*",
			"Resource": ["arn:aws:bedrock:*::foundation-model/anthropic.*", "` + profileArn + `"],
			"Condition": {"ArnEquals": {"aws:PrincipalArn": "` + roleArn + `"}}}
	}`

	trustPolicy = `{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Principal": {"Service": "bedrock.amazonaws.com"},
			"Action": "sts:AssumeRole",
			"Condition": {
				"StringEquals": {"aws:SourceAccount": ` + account + `},
				"ArnLike": {"aws:SourceArn": "arn:aws:bedrock:` + region + `:` + account + `:*"}}}
	}`
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := ParseResource(`{
		"Version": "2012-10-17", "Id": "i",
		"Statement": {
			"Sid": "s", "Effect": "Deny",
			"Principal": {"AWS": ["123456789012", "` + roleArn + `"], "Service": "s3.amazonaws.com"},
			"Action": "s3:Get*", "Resource": ["*"],
			"Condition": {
				"Bool": {"aws:SecureTransport": [true, "false"]},
				"NumericLessThanIfExists": {"s3:max-keys": 10.5, "s3:signatureAge": "-1"}}
		}
	}`)
	if err != nil {
		t.Fatal(err)
	}
	want := Document{Version: "2012-10-17", Id: "i", kind: resourceKind, Statements: []Statement{{
		Sid: "s", Effect: "Deny",
		Principals: Principals{AWS: []string{"123456789012", roleArn}, Service: []string{"s3.amazonaws.com"}},
		Actions:    []string{"s3:Get*"}, Resources: []string{"*"},
		Conditions: []Condition{
			{"Bool", "aws:SecureTransport", []string{"true", "false"}},
			{"NumericLessThanIfExists", "s3:max-keys", []string{"10.5"}},
			{"NumericLessThanIfExists", "s3:signatureAge", []string{"-1"}},
		},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestParseAcceptsDeployedPolicies(t *testing.T) {
	t.Parallel()
	for name, parsed := range map[string]func() (Document, error){
		"invoke":   func() (Document, error) { return ParseIdentity(invokePolicy) },
		"bucket":   func() (Document, error) { return ParseResource(bucketPolicy) },
		"api":      func() (Document, error) { return ParseResource(apiPolicy) },
		"key":      func() (Document, error) { return ParseResource(keyPolicy) },
		"endpoint": func() (Document, error) { return ParseResource(endpointPolicy) },
		"trust":    func() (Document, error) { return ParseTrust(trustPolicy) },
	} {
		if _, err := parsed(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each case changes one element of a valid policy into something that this package would otherwise evaluate differently
// from AWS.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	const (
		version   = `"Version": "2012-10-17"`
		effect    = `"Effect": "Allow"`
		principal = `"Principal": {"AWS": "123456789012"}`
		action    = `"Action": "s3:GetObject"`
		resource  = `"Resource": "arn:aws:s3:::b/*"`
		condition = `"Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}}`
		whole     = `{` + version + `, "Statement": [{` + effect + `, ` + principal + `, ` + action + `, ` + resource + `, ` + condition + `}]}`
	)
	if _, err := ParseResource(whole); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, old, new, want string
	}{
		{"a version with other rules", version, `"Version": "2008-10-17"`, `"Version": got "2008-10-17", must be 2012-10-17`},
		{"no version, which is the old one", version + `,`, ``, `"Version": missing`},
		{"a version that is a number", version, `"Version": 2012`, `"Version": got 2012, must be 2012-10-17`},
		{"an unknown element of the document", version, version + `, "Statements": []`, `"Statements": not supported here`},
		{"an element in the wrong case", effect, `"effect": "Allow"`, `"effect": not supported here`},
		{"no effect", effect + `,`, ``, `"Effect": missing`},
		{"an effect in the wrong case", effect, `"Effect": "allow"`, `"Effect": got "allow", must be Allow or Deny`},
		{"a null effect", effect, `"Effect": null`, `"Effect": got null, must be Allow or Deny`},
		{"NotAction read as nothing", action, `"NotAction": "s3:GetObject"`, `"NotAction": not supported in an Allow`},
		{"Action beside NotAction", action, action + `, "NotAction": "s3:PutObject"`, `must have either "Action" or "NotAction"`},
		{"no actions beside the named", action, `"NotAction": []`, `"NotAction": empty list`},
		{"NotResource read as nothing", resource, `"NotResource": "arn:aws:s3:::b/*"`, `"NotResource": not supported here`},
		{"NotPrincipal read as nothing", principal, `"NotPrincipal": {"AWS": "123456789012"}`, `"NotPrincipal": not supported here`},
		{"no action", action + `,`, ``, `must have either "Action" or "NotAction"`},
		{"no resource", resource + `,`, ``, `"Resource": missing`},
		{"no principal in a resource policy", principal + `,`, ``, `"Principal": missing`},
		{"no actions", action, `"Action": []`, `"Action": empty list`},
		{"a null among actions", action, `"Action": ["s3:GetObject", null]`, `"Action": got null, must be "*" or service:Action`},
		{"a list among actions", action, `"Action": [["s3:GetObject"]]`, `"Action": got ["s3:GetObject"], must be`},
		{"an action without service", action, `"Action": "GetObject"`, `"Action": got "GetObject", must be "*" or service:Action`},
		{"a wildcard for the service", action, `"Action": "*:GetObject"`, `"Action": got "*:GetObject", must be`},
		{"a bucket name for an ARN", resource, `"Resource": "b/*"`, `"Resource": got "b/*", must be "*" or an ARN of six parts`},
		{"an ARN AWS would complete", resource, `"Resource": "arn:aws:s3"`, `"Resource": got "arn:aws:s3", must be`},
		{"a wildcard for an ARN's service", resource, `"Resource": "arn:aws:s*:::b"`, `"Resource": got "arn:aws:s*:::b", must be`},
		{"a wildcard of unknown reach", resource, `"Resource": "arn:aws:s3:us-*-1::b"`, `"Resource": got "arn:aws:s3:us-*-1::b", must be`},
		{"a policy variable in a resource", resource, `"Resource": "arn:aws:s3:::b/${aws:username}"`, `policy variables aren't supported`},
		{"an escaped policy variable", resource, `"Resource": "arn:aws:s3:::b/\u0024{aws:username}"`, `policy variables aren't supported`},
		{"a policy variable in a condition", `{"aws:SourceAccount": "123456789012"}`, `{"aws:SourceAccount": "${aws:PrincipalAccount}"}`, `policy variables aren't supported`},
		{"a policy variable in a condition key", `"aws:SourceAccount"`, `"aws:RequestTag/${aws:username}"`, `policy variables aren't supported`},
		{"a principal that is a bare name", principal, `"Principal": "123456789012"`, `"Principal": got "123456789012", must be a non-empty object`},
		{"an empty principal", principal, `"Principal": {}`, `"Principal": got {}, must be a non-empty object`},
		{"no principals", principal, `"Principal": {"AWS": []}`, `"AWS": empty list`},
		{"a federated principal", principal, `"Principal": {"Federated": "accounts.google.com"}`, `"Federated": not supported here`},
		{"a wildcard inside a principal", principal, `"Principal": {"AWS": "arn:aws:iam::123456789012:role/*"}`, `"AWS": got "arn:aws:iam::123456789012:role/*", must be`},
		{"a deleted role's id", principal, `"Principal": {"AWS": "AROAEXAMPLEID"}`, `"AWS": got "AROAEXAMPLEID", must be`},
		{"every service", principal, `"Principal": {"Service": "*"}`, `"Service": got "*", must be a service`},
		{"an operator for addresses", `"StringEquals"`, `"IpAddress"`, `"IpAddress": unknown condition operator`},
		{"an operator for sets", `"StringEquals"`, `"ForAllValues:StringEquals"`, `"ForAllValues:StringEquals": unknown condition operator`},
		{"an operator in the wrong case", `"StringEquals"`, `"stringEquals"`, `"stringEquals": unknown condition operator`},
		{"an operator AWS has not", `"StringEquals"`, `"NullIfExists"`, `"NullIfExists": unknown condition operator`},
		{"no operator at all", condition, `"Condition": {}`, `"Condition": got {}, must be a non-empty object`},
		{"an operator without key", `{"aws:SourceAccount": "123456789012"}`, `{}`, `"StringEquals": got {}, must be a non-empty object`},
		{"a condition key without service", `"aws:SourceAccount"`, `"SourceAccount"`, `got "SourceAccount", must be service:Key`},
		{"a condition without values", `"aws:SourceAccount": "123456789012"`, `"aws:SourceAccount": []`, `empty list`},
		{"a null condition value", `"aws:SourceAccount": "123456789012"`, `"aws:SourceAccount": null`, `got null, must be a string`},
		{"a number in a form AWS may rewrite", `"aws:SourceAccount": "123456789012"`, `"aws:SourceAccount": 1e3`, `got 1e3, must be a string`},
		{"a number of another form", condition, `"Condition": {"NumericEquals": {"s3:max-keys": "ten"}}`, `got "ten", must be a decimal number`},
		{"a boolean of another form", condition, `"Condition": {"Bool": {"aws:SecureTransport": "no"}}`, `got "no", must be true or false`},
		{"an ARN of another form", condition, `"Condition": {"ArnLike": {"aws:SourceArn": "*"}}`, `got "*", must be an ARN of six parts`},
		{"the first of two effects", effect, effect + `, "Effect": "Deny"`, `"Effect": duplicate name`},
		{"the first of two statements lists", version, version + `, "Statement": []`, `empty list`},
		{"one of two spellings of a key", `{"aws:SourceAccount": "123456789012"}`, `{"aws:SourceAccount": "1", "AWS:sourceaccount": "2"}`, `"AWS:sourceaccount": duplicate name`},
		{"a statement of another form", `"Statement": [`, `"Statement": ["s", `, `"Statement": number 1: got "s", must be a non-empty object`},
		{"a second document", whole, whole + whole, `after top-level value`},
		{"half a document", whole, whole[:len(whole)-1], `unexpected end of JSON input`},
		{"a list of documents", whole, `[` + whole + `]`, `must be a non-empty object`},
		{"nothing", whole, ``, `unexpected end of JSON input`},
		{"a byte no policy can hold", `s3:::b/*`, "s3:::b/\xff", `must be UTF-8`},
		{"half a surrogate pair", `s3:::b/*`, `s3:::b/\ud800`, `must be UTF-8`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			document := strings.Replace(whole, tt.old, tt.new, 1)
			if document == whole {
				t.Fatalf("%s is not in the policy", tt.old)
			}
			got, err := ParseResource(document)
			if err == nil || !strings.HasPrefix(err.Error(), "resource policy: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if !reflect.DeepEqual(got, Document{}) {
				t.Errorf("document = %+v beside an error", got)
			}
		})
	}
}

func TestParseChecksTheKind(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, document, want string
		parse                func(string) (Document, error)
	}{
		{"an identity policy with a principal", apiPolicy, `"Principal": not supported here`, ParseIdentity},
		{"an identity policy with an id", bucketPolicy, `"Id": not supported here`, ParseIdentity},
		{"an identity policy without resource", strings.Replace(trustPolicy, `"Principal": {"Service": "bedrock.amazonaws.com"},`, "", 1), `"Resource": missing`, ParseIdentity},
		{"a resource policy that names no principal", invokePolicy, `"Principal": missing`, ParseResource},
		{"a bucket policy without resource", trustPolicy, `"Resource": missing`, ParseResource},
		{"a trust policy for another resource", apiPolicy, `"Resource": not supported here`, ParseTrust},
		{"a role anybody may assume", strings.Replace(trustPolicy, `"Principal": {"Service": "bedrock.amazonaws.com"},`, "", 1), `"Principal": missing`, ParseTrust},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := tt.parse(tt.document); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, document := range []string{invokePolicy, bucketPolicy, apiPolicy, keyPolicy, endpointPolicy, trustPolicy, ``, `{}`, `[]`, `null`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Null":{"a:b":true}}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":"s3:*","Resource":"*","Condition":{"StringNotEquals":{"a:b":"c"}}}}`} {
		f.Add(document)
	}
	f.Fuzz(func(t *testing.T, document string) {
		for _, k := range []kind{identityKind, resourceKind, trustKind} {
			got, err := parse(k, document)
			if err != nil {
				continue
			}
			again, err := parse(k, render(t, got))
			if err != nil {
				t.Fatalf("%s\nparses, but written out again: %v", document, err)
			}
			if !reflect.DeepEqual(got, again) {
				t.Fatalf("%s\nparses to   %+v\nand then to %+v", document, got, again)
			}
			for _, s := range got.Statements {
				if (len(s.Actions) == 0) == (len(s.NotActions) == 0) || s.NotActions != nil && s.Effect != "Deny" || (len(s.Resources) == 0) != (k == trustKind) ||
					(len(s.Principals.AWS)+len(s.Principals.Service) == 0) != (k == identityKind) {
					t.Fatalf("%s\nparses to a statement that says too little: %+v", document, s)
				}
			}
			// Without an identity policy nothing crosses accounts.
			r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}
			if got.Decide(r) != again.Decide(r) || CrossAccount(nil, []Document{got}, r) == Allow {
				t.Fatalf("%s\ndecides %v, then %v", document, got.Decide(r), again.Decide(r))
			}
		}
	})
}

// render encodes a document as JSON, with every list as a list, every value in quotation marks, and conditions in
// order.
func render(t *testing.T, d Document) string {
	t.Helper()
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var statements []string
	for _, s := range d.Statements {
		out := `{"Sid":` + text(s.Sid) + `,"Effect":` + text(s.Effect)
		if s.NotActions != nil {
			out += `,"NotAction":` + text(s.NotActions)
		} else {
			out += `,"Action":` + text(s.Actions)
		}
		if d.kind != trustKind {
			out += `,"Resource":` + text(s.Resources)
		}
		if d.kind != identityKind {
			var types []string
			if s.Principals.AWS != nil {
				types = append(types, `"AWS":`+text(s.Principals.AWS))
			}
			if s.Principals.Service != nil {
				types = append(types, `"Service":`+text(s.Principals.Service))
			}
			out += `,"Principal":{` + strings.Join(types, ",") + `}`
		}
		for i, c := range s.Conditions {
			switch {
			case i == 0:
				out += `,"Condition":{` + text(c.Operator) + `:{`
			case s.Conditions[i-1].Operator != c.Operator:
				out += `},` + text(c.Operator) + `:{`
			default:
				out += `,`
			}
			out += text(c.Key) + `:` + text(c.Values)
		}
		if s.Conditions != nil {
			out += `}}`
		}
		statements = append(statements, out+`}`)
	}
	id := ""
	if d.Id != "" {
		id = `"Id":` + text(d.Id) + `,`
	}
	return `{"Version":` + text(d.Version) + `,` + id + `"Statement":[` + strings.Join(statements, ",") + `]}`
}
