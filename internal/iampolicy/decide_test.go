package iampolicy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// A case is named after what its user would see if it failed.

// The callers of the tests.
var (
	session   = Principal{ARN: "arn:aws:sts::" + account + ":assumed-role/chat/s1"}
	user      = Principal{ARN: "arn:aws:iam::" + account + ":user/ana"}
	rootUser  = Principal{ARN: "arn:aws:iam::" + account + ":root"}
	stranger  = Principal{ARN: "arn:aws:sts::" + other + ":assumed-role/chat/s1"}
	bedrock   = Principal{Service: "bedrock.amazonaws.com"}
	anonymous = Principal{}
)

func must(t *testing.T, parse func(string) (Document, error), document string) Document {
	t.Helper()
	d, err := parse(document)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDecideDeployedPolicies checks decisions that an operator relies on.
func TestDecideDeployedPolicies(t *testing.T) {
	t.Parallel()
	type keys = map[string][]string
	logs := "arn:aws:s3:::logs/chat/AWSLogs/" + account + "/BedrockModelInvocationLogs/"
	api := "arn:aws:execute-api:" + region + ":" + account + ":a1b2c3/prod/POST/chat"
	key := "arn:aws:kms:" + region + ":" + account + ":key/k"
	group := "arn:aws:logs:" + region + ":" + account + ":log-group:"
	sourced := func(account, arn string) keys {
		return keys{"aws:SourceAccount": {account}, "aws:SourceArn": {arn}, "aws:SecureTransport": {"true"}}
	}
	source := "arn:aws:bedrock:" + region + ":" + account + ":"
	parse := map[string]func(string) (Document, error){
		invokePolicy: ParseIdentity, bucketPolicy: ParseResource, apiPolicy: ParseResource,
		keyPolicy: ParseResource, endpointPolicy: ParseResource, trustPolicy: ParseTrust,
	}
	for _, tt := range []struct {
		name, policy string
		r            Request
		want         Decision
	}{
		{"the function cannot call its profile", invokePolicy, Request{session, "bedrock:InvokeModel", profileArn, keys{"aws:RequestedRegion": {region}}}, Allow},
		{"the function cannot stream", invokePolicy, Request{session, "bedrock:InvokeModelWithResponseStream", profileArn, keys{"aws:RequestedRegion": {region}}}, Allow},
		{"the global profile cannot reach the model in another region", invokePolicy, Request{session, "bedrock:InvokeModel", globalArn, keys{"aws:RequestedRegion": {"unspecified"}, "bedrock:InferenceProfileArn": {profileArn}}}, Allow},
		{"the function calls the model past its profile", invokePolicy, Request{session, "bedrock:InvokeModel", modelArn, keys{"aws:RequestedRegion": {region}}}, ImplicitDeny},
		{"the function calls the model through another profile", invokePolicy, Request{session, "bedrock:InvokeModel", modelArn, keys{"aws:RequestedRegion": {region}, "bedrock:InferenceProfileArn": {profileArn + "-x"}}}, ImplicitDeny},
		{"the function calls another model", invokePolicy, Request{session, "bedrock:InvokeModel", modelArn + "-5", keys{"aws:RequestedRegion": {region}, "bedrock:InferenceProfileArn": {profileArn}}}, ImplicitDeny},
		{"the function manages models", invokePolicy, Request{session, "bedrock:CreateProvisionedModelThroughput", modelArn, keys{"aws:RequestedRegion": {region}, "bedrock:InferenceProfileArn": {profileArn}}}, ImplicitDeny},

		{"Bedrock's logs do not arrive", bucketPolicy, Request{bedrock, "s3:PutObject", logs + region + "/2026/a.json.gz", sourced(account, source+"x")}, Allow},
		{"Bedrock writes another account's logs here", bucketPolicy, Request{bedrock, "s3:PutObject", logs + "a", sourced(other, source+"x")}, ImplicitDeny},
		{"Bedrock writes another region's logs here", bucketPolicy, Request{bedrock, "s3:PutObject", logs + "a", sourced(account, strings.Replace(source, region, "us-east-1", 1)+"x")}, ImplicitDeny},
		{"anybody may have Bedrock write here", bucketPolicy, Request{bedrock, "s3:PutObject", logs + "a", keys{"aws:SecureTransport": {"true"}}}, ImplicitDeny},
		{"Bedrock writes beside its prefix", bucketPolicy, Request{bedrock, "s3:PutObject", "arn:aws:s3:::logs/a", sourced(account, source+"x")}, ImplicitDeny},
		{"Bedrock reads the logs", bucketPolicy, Request{bedrock, "s3:GetObject", logs + "a", sourced(account, source+"x")}, ImplicitDeny},
		{"another service writes the logs", bucketPolicy, Request{Principal{Service: "s3.amazonaws.com"}, "s3:PutObject", logs + "a", sourced(account, source+"x")}, ImplicitDeny},
		{"logs travel in clear text", bucketPolicy, Request{bedrock, "s3:PutObject", logs + "a", keys{"aws:SourceAccount": {account}, "aws:SourceArn": {source + "x"}, "aws:SecureTransport": {"false"}}}, ExplicitDeny},
		{"the world reads the logs", bucketPolicy, Request{anonymous, "s3:GetObject", logs + "a", keys{"aws:SecureTransport": {"true"}}}, ImplicitDeny},

		{"the VPC cannot reach the API", apiPolicy, Request{anonymous, "execute-api:Invoke", api, keys{"aws:SourceVpce": {"vpce-1"}}}, Allow},
		{"the second endpoint cannot reach the API", apiPolicy, Request{anonymous, "execute-api:Invoke", api, keys{"aws:SourceVpce": {"vpce-2"}}}, Allow},
		{"another VPC reaches the API", apiPolicy, Request{anonymous, "execute-api:Invoke", api, keys{"aws:SourceVpce": {"vpce-3"}}}, ExplicitDeny},
		{"a caller from no VPC reaches the API", apiPolicy, Request{anonymous, "execute-api:Invoke", api, nil}, ExplicitDeny},
		{"another API is opened", apiPolicy, Request{anonymous, "execute-api:Invoke", strings.Replace(api, "a1b2c3", "z9", 1), keys{"aws:SourceVpce": {"vpce-1"}}}, ImplicitDeny},

		{"the log group cannot encrypt", keyPolicy, Request{Principal{Service: "logs." + region + ".amazonaws.com"}, "kms:GenerateDataKeyWithoutPlaintext", key, keys{"kms:EncryptionContext:aws:logs:arn": {group + "chat"}}}, Allow},
		{"another log group uses the key", keyPolicy, Request{Principal{Service: "logs." + region + ".amazonaws.com"}, "kms:Decrypt", key, keys{"kms:EncryptionContext:aws:logs:arn": {group + "chat2"}}}, ImplicitDeny},
		{"another region's logs use the key", keyPolicy, Request{Principal{Service: "logs.us-east-1.amazonaws.com"}, "kms:Decrypt", key, keys{"kms:EncryptionContext:aws:logs:arn": {group + "chat"}}}, ImplicitDeny},
		{"logs delete the key", keyPolicy, Request{Principal{Service: "logs." + region + ".amazonaws.com"}, "kms:ScheduleKeyDeletion", key, keys{"kms:EncryptionContext:aws:logs:arn": {group + "chat"}}}, ImplicitDeny},

		{"the endpoint stops the function", endpointPolicy, Request{session, "bedrock:InvokeModel", modelArn, keys{"aws:PrincipalArn": {roleArn}}}, Allow},
		{"the endpoint stops the region-less model", endpointPolicy, Request{session, "bedrock:InvokeModel", globalArn, keys{"aws:PrincipalArn": {roleArn}}}, Allow},
		{"another role leaves through the endpoint", endpointPolicy, Request{session, "bedrock:InvokeModel", modelArn, keys{"aws:PrincipalArn": {roleArn + "2"}}}, ImplicitDeny},
		{"stolen keys of no role leave through the endpoint", endpointPolicy, Request{anonymous, "bedrock:InvokeModel", modelArn, nil}, ImplicitDeny},

		{"Bedrock cannot assume the logging role", trustPolicy, Request{bedrock, "sts:AssumeRole", roleArn, sourced(account, source+"x")}, Allow},
		{"another account's Bedrock assumes the role", trustPolicy, Request{bedrock, "sts:AssumeRole", roleArn, sourced(other, source+"x")}, ImplicitDeny},
		{"a user assumes the role", trustPolicy, Request{user, "sts:AssumeRole", roleArn, sourced(account, source+"x")}, ImplicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := must(t, parse[tt.policy], tt.policy).Decide(tt.r); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// statement wraps elements of one statement on s3:GetObject of bucket b.
func statement(elements string) string {
	return `{"Version": "2012-10-17", "Statement": {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", ` + elements + `}}`
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	role := func(name string) string { return `{"AWS": "arn:aws:iam::` + account + `:role/` + name + `"}` }
	for _, tt := range []struct {
		name, principal string
		caller          Principal
		allow, deny     Decision
	}{
		{"a public bucket is not", `"*"`, anonymous, Allow, ExplicitDeny},
		{"* leaves out services", `"*"`, bedrock, Allow, ExplicitDeny},
		{"the long form of * leaves a caller out", `{"AWS": "*"}`, session, Allow, ExplicitDeny},
		{"an account's users are no part of it", `{"AWS": "` + account + `"}`, user, Allow, ExplicitDeny},
		{"an account's sessions are no part of it", `{"AWS": "arn:aws:iam::` + account + `:root"}`, session, Allow, ExplicitDeny},
		{"another account passes for this one", `{"AWS": "` + account + `"}`, stranger, ImplicitDeny, ImplicitDeny},
		{"another partition passes for this one", `{"AWS": "arn:aws-cn:iam::` + account + `:root"}`, session, ImplicitDeny, ImplicitDeny},
		{"an anonymous caller passes for an account", `{"AWS": "` + account + `"}`, anonymous, ImplicitDeny, ImplicitDeny},
		{"a service passes for an account", `{"AWS": "` + account + `"}`, bedrock, ImplicitDeny, ImplicitDeny},
		{"a role's session is not the role", role("chat"), session, Allow, ExplicitDeny},
		{"a session of a role with a path is not the role", role("app/prod/chat"), session, Allow, ExplicitDeny},
		{"a session of a role whose name begins alike is the role", role("chatter"), session, ImplicitDeny, ImplicitDeny},
		{"a session of a role whose name ends alike is the role", role("groupchat"), session, ImplicitDeny, ImplicitDeny},
		{"an ARN cut short is a session", role("chat"), Principal{ARN: "arn:aws:sts::" + account + ":assumed-role"}, ImplicitDeny, ImplicitDeny},
		{"a role passes by the name of its path", role("chat/x"), session, ImplicitDeny, ImplicitDeny},
		{"another account's role of that name is the role", role("chat"), stranger, ImplicitDeny, ImplicitDeny},
		{"a user of that name is the role", role("ana"), user, ImplicitDeny, ImplicitDeny},
		{"a session called as the role is the role", role("s1"), session, ImplicitDeny, ImplicitDeny},
		{"a role itself is not matched", role("chat"), Principal{ARN: roleArn}, Allow, ExplicitDeny},
		{"a session is not matched exactly", `{"AWS": "` + session.ARN + `"}`, session, Allow, ExplicitDeny},
		{"the role's other sessions are that one", `{"AWS": "` + session.ARN + `2"}`, session, ImplicitDeny, ImplicitDeny},
		{"only the first of several is matched", `{"AWS": ["` + other + `", "` + user.ARN + `"]}`, user, Allow, ExplicitDeny},
		{"a user is matched in another case", `{"AWS": "arn:aws:iam::` + account + `:user/ANA"}`, user, ImplicitDeny, ImplicitDeny},
		{"a service is not matched", `{"AWS": "` + other + `", "Service": ["s3.amazonaws.com", "bedrock.amazonaws.com"]}`, bedrock, Allow, ExplicitDeny},
		{"a service matches its regional name", `{"Service": "bedrock.` + region + `.amazonaws.com"}`, bedrock, ImplicitDeny, ImplicitDeny},
		{"an anonymous caller passes for a service", `{"Service": "bedrock.amazonaws.com"}`, anonymous, ImplicitDeny, ImplicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Request{Principal: tt.caller, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}
			for effect, want := range map[string]Decision{"Allow": tt.allow, "Deny": tt.deny} {
				d := must(t, ParseResource, statement(`"Effect": "`+effect+`", "Principal": `+tt.principal))
				if got := d.Decide(r); got != want {
					t.Errorf("%s: got %v, want %v", effect, got, want)
				}
			}
		})
	}
}

func TestActionAndResource(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, actions, resources, action, resource string
		want                                       Decision
	}{
		{"actions depend on case", `"S3:getobject"`, `"*"`, "s3:GetObject", "arn:aws:s3:::b/k", Allow},
		{"resources do not depend on case", `"*"`, `"arn:aws:s3:::B/k"`, "s3:GetObject", "arn:aws:s3:::b/k", ImplicitDeny},
		{"an action's prefix is the action", `"s3:GetObject"`, `"*"`, "s3:GetObjectTagging", "arn:aws:s3:::b/k", ImplicitDeny},
		{"an action's * is literal", `"s3:Get*"`, `"*"`, "s3:GetObjectTagging", "arn:aws:s3:::b/k", Allow},
		{"an action's ? takes several", `"s3:?etObject"`, `"*"`, "s3:GGetObject", "arn:aws:s3:::b/k", ImplicitDeny},
		{"an action's ? takes none", `"s3:?etObject"`, `"*"`, "s3:PetObject", "arn:aws:s3:::b/k", Allow},
		{"another service's action of that name passes", `"s3:*"`, `"*"`, "s3-object-lambda:GetObject", "arn:aws:s3:::b/k", ImplicitDeny},
		{"a second action is ignored", `["s3:PutObject", "s3:GetObject"]`, `"*"`, "s3:GetObject", "arn:aws:s3:::b/k", Allow},
		{"a second resource is ignored", `"*"`, `["arn:aws:s3:::a/*", "arn:aws:s3:::b/*"]`, "s3:GetObject", "arn:aws:s3:::b/k", Allow},
		{"a bucket's objects are the bucket", `"*"`, `"arn:aws:s3:::b/*"`, "s3:ListBucket", "arn:aws:s3:::b", ImplicitDeny},
		{"a bucket is its objects", `"*"`, `"arn:aws:s3:::b"`, "s3:GetObject", "arn:aws:s3:::b/k", ImplicitDeny},
		{"* stops at a slash", `"*"`, `"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/1/2/test/3/k", Allow},
		{"* needs a character", `"*"`, `"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b//test/", Allow},
		{"* takes the slash before it", `"*"`, `"arn:aws:s3:::b/*/test/*"`, "s3:GetObject", "arn:aws:s3:::b/test/k", ImplicitDeny},
		{"* at a segment's end stops at the colon", `"*"`, `"arn:aws:logs:*:` + account + `:log-group:chat:*"`, "logs:PutLogEvents", "arn:aws:logs:r:" + account + ":log-group:chat:log-stream:a:b", Allow},
		{"a region's * needs a region", `"*"`, `"arn:aws:bedrock:*::foundation-model/m"`, "bedrock:InvokeModel", "arn:aws:bedrock:::foundation-model/m", Allow},
		{"a dot is a wildcard", `"*"`, `"arn:aws:s3:::a.b/*"`, "s3:GetObject", "arn:aws:s3:::axb/k", ImplicitDeny},
		{"a ? splits a letter", `"*"`, `"arn:aws:s3:::b/?"`, "s3:GetObject", "arn:aws:s3:::b/é", Allow},
		{"an action without resource needs none", `"*"`, `"*"`, "s3:ListAllMyBuckets", "*", Allow},
		{"an action without resource passes for any", `"*"`, `"arn:aws:s3:::b/*"`, "s3:ListAllMyBuckets", "*", ImplicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := must(t, ParseIdentity, `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": `+tt.actions+`, "Resource": `+tt.resources+`}}`)
			if got := d.Decide(Request{Action: tt.action, Resource: tt.resource}); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A Deny with NotAction that denies too little lets another policy add to a role; one that denies too much stops it.
func TestNotAction(t *testing.T) {
	t.Parallel()
	role := must(t, ParseIdentity, `{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "*", "Resource": "*"},
		{"Effect": "Deny", "NotAction": ["S3:getobject", "logs:Put*"], "Resource": "arn:aws:s3:::b/*", "Condition": {"Null": {"aws:SourceVpce": "true"}}}
	]}`)
	for _, tt := range []struct {
		name, action, resource string
		context                map[string][]string
		want                   Decision
	}{
		{"a named action is denied", "s3:GetObject", "arn:aws:s3:::b/k", nil, Allow},
		{"a named wildcard is literal", "logs:PutLogEvents", "arn:aws:s3:::b/k", nil, Allow},
		{"all else passes", "s3:PutObject", "arn:aws:s3:::b/k", nil, ExplicitDeny},
		{"a longer name passes", "s3:GetObjectTagging", "arn:aws:s3:::b/k", nil, ExplicitDeny},
		{"another service's action of that name passes", "s3-object-lambda:GetObject", "arn:aws:s3:::b/k", nil, ExplicitDeny},
		{"it reaches past its resources", "s3:PutObject", "arn:aws:s3:::a/k", nil, Allow},
		{"it does without its condition", "s3:PutObject", "arn:aws:s3:::b/k", map[string][]string{"aws:SourceVpce": {"vpce-1"}}, Allow},
	} {
		if got := role.Decide(Request{session, tt.action, tt.resource, tt.context}); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestCondition(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, condition string
		context         map[string][]string // of keys a:k and a:l
		want            bool
	}{
		{"equal strings differ", `"StringEquals": {"a:k": "x"}`, map[string][]string{"a:k": {"x"}}, true},
		{"strings in another case are equal", `"StringEquals": {"a:k": "x"}`, map[string][]string{"a:k": {"X"}}, false},
		{"StringEquals takes wildcards", `"StringEquals": {"a:k": "*"}`, map[string][]string{"a:k": {"x"}}, false},
		{"an absent key equals", `"StringEquals": {"a:k": "x"}`, nil, false},
		{"an absent key equals nothing at all", `"StringEquals": {"a:k": ""}`, nil, false},
		{"a key without values is not absent", `"StringNotEquals": {"a:k": "x"}`, map[string][]string{"a:k": {}}, true},
		{"an absent key escapes a Deny by StringNotEquals", `"StringNotEquals": {"a:k": "x"}`, nil, true},
		{"an absent key escapes a Deny by StringNotLike", `"StringNotLike": {"a:k": "x*"}`, nil, true},
		{"an absent key escapes a Deny by ArnNotLike", `"ArnNotLike": {"a:k": "arn:aws:s3:::b"}`, nil, true},
		{"an absent key escapes a Deny by NumericNotEquals", `"NumericNotEquals": {"a:k": "1"}`, nil, true},
		{"key names depend on case", `"StringEquals": {"A:K": "x"}`, map[string][]string{"a:k": {"x"}}, true},
		{"a second value is ignored", `"StringEquals": {"a:k": ["x", "y"]}`, map[string][]string{"a:k": {"y"}}, true},
		{"negated values are or-ed", `"StringNotEquals": {"a:k": ["x", "y"]}`, map[string][]string{"a:k": {"y"}}, false},
		{"a value not listed is refused", `"StringNotEquals": {"a:k": ["x", "y"]}`, map[string][]string{"a:k": {"z"}}, true},
		{"keys are or-ed", `"StringEquals": {"a:k": "x", "a:l": "x"}`, map[string][]string{"a:k": {"x"}, "a:l": {"y"}}, false},
		{"operators are or-ed", `"StringEquals": {"a:k": "x"}, "StringLike": {"a:l": "x"}`, map[string][]string{"a:k": {"x"}, "a:l": {"y"}}, false},
		{"operators together never match", `"StringEquals": {"a:k": "x"}, "StringLike": {"a:l": "y"}`, map[string][]string{"a:k": {"x"}, "a:l": {"y"}}, true},
		{"one of a request's values is not enough", `"StringEquals": {"a:k": "y"}`, map[string][]string{"a:k": {"x", "y"}}, true},
		{"one of a request's values hides another from a Deny", `"StringNotEquals": {"a:k": "y"}`, map[string][]string{"a:k": {"x", "y"}}, false},
		{"case is not ignored", `"StringEqualsIgnoreCase": {"a:k": "x"}`, map[string][]string{"a:k": {"X"}}, true},
		{"case is not ignored when negated", `"StringNotEqualsIgnoreCase": {"a:k": "x"}`, map[string][]string{"a:k": {"X"}}, false},
		{"StringLike takes no wildcards", `"StringLike": {"a:k": "x?z*"}`, map[string][]string{"a:k": {"xyz:/1"}}, true},
		{"StringLike matches a part", `"StringLike": {"a:k": "y"}`, map[string][]string{"a:k": {"xyz"}}, false},
		{"StringNotLike takes no wildcards", `"StringNotLike": {"a:k": "x*"}`, map[string][]string{"a:k": {"xyz"}}, false},

		{"ArnEquals takes no wildcards", `"ArnEquals": {"a:k": "arn:aws:s3:::b*"}`, map[string][]string{"a:k": {"arn:aws:s3:::bucket"}}, true},
		{"ArnNotEquals takes no wildcards", `"ArnNotEquals": {"a:k": "arn:aws:s3:::b*"}`, map[string][]string{"a:k": {"arn:aws:s3:::bucket"}}, false},
		{"an ARN's * reaches into another part", `"ArnLike": {"a:k": "arn:aws:bedrock:*:1:x"}`, map[string][]string{"a:k": {"arn:aws:bedrock:r:2:y:1:x"}}, false},
		{"an ARN's ? takes a colon", `"ArnLike": {"a:k": "arn:aws:s3:?:1:x"}`, map[string][]string{"a:k": {"arn:aws:s3:::1:x"}}, false},
		{"an ARN's last part stops at a colon", `"ArnLike": {"a:k": "arn:aws:logs:*:*:*"}`, map[string][]string{"a:k": {"arn:aws:logs:r:1:log-group:g:*"}}, true},
		{"what is no ARN is like one", `"ArnLike": {"a:k": "arn:*:*:*:*:*"}`, map[string][]string{"a:k": {"arn:aws:s3"}}, false},
		{"what is no ARN escapes a Deny", `"ArnNotLike": {"a:k": "arn:*:*:*:*:*"}`, map[string][]string{"a:k": {"arn:aws:s3"}}, true},

		{"clear text passes for TLS", `"Bool": {"a:k": "true"}`, map[string][]string{"a:k": {"false"}}, false},
		{"a boolean depends on case", `"Bool": {"a:k": false}`, map[string][]string{"a:k": {"False"}}, true},
		{"an absent boolean is false", `"Bool": {"a:k": "false"}`, nil, false},
		{"an absent boolean is not null", `"Null": {"a:k": "true"}`, nil, true},
		{"a present key is null", `"Null": {"a:k": true}`, map[string][]string{"a:k": {"x"}}, false},
		{"a key known to be there is not", `"Null": {"a:k": false}`, map[string][]string{"a:k": {"x"}}, true},
		{"an empty value passes for a value", `"Null": {"a:k": "false"}`, map[string][]string{"a:k": {""}}, false},

		{"IfExists insists on the key", `"StringEqualsIfExists": {"a:k": "x"}`, nil, true},
		{"IfExists ignores the value", `"StringEqualsIfExists": {"a:k": "x"}`, map[string][]string{"a:k": {"y"}}, false},
		{"IfExists turns an absent key's Deny off", `"StringNotEqualsIfExists": {"a:k": "x"}`, nil, true},
		{"IfExists loses the negation", `"StringNotEqualsIfExists": {"a:k": "x"}`, map[string][]string{"a:k": {"x"}}, false},
		{"BoolIfExists insists on the key", `"BoolIfExists": {"a:k": "true"}`, nil, true},

		{"numbers compare as text", `"NumericEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"10.0"}}, true},
		{"numbers compare by their first digit", `"NumericLessThan": {"a:k": "10"}`, map[string][]string{"a:k": {"9"}}, true},
		{"less than takes equal", `"NumericLessThan": {"a:k": "10"}`, map[string][]string{"a:k": {"10"}}, false},
		{"less than or equal does not take equal", `"NumericLessThanEquals": {"a:k": 10}`, map[string][]string{"a:k": {"10"}}, true},
		{"less than or equal takes only equal", `"NumericLessThanEquals": {"a:k": 10}`, map[string][]string{"a:k": {"9"}}, true},
		{"less than or equal takes greater", `"NumericLessThanEquals": {"a:k": 10}`, map[string][]string{"a:k": {"11"}}, false},
		{"greater than takes equal", `"NumericGreaterThan": {"a:k": "10"}`, map[string][]string{"a:k": {"10"}}, false},
		{"greater than takes nothing", `"NumericGreaterThan": {"a:k": "-10"}`, map[string][]string{"a:k": {"-9.5"}}, true},
		{"greater than or equal does not take equal", `"NumericGreaterThanEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"10"}}, true},
		{"greater than or equal takes only equal", `"NumericGreaterThanEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"11"}}, true},
		{"greater than or equal takes less", `"NumericGreaterThanEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"9"}}, false},
		{"what is no number is less than any", `"NumericLessThan": {"a:k": "10"}`, map[string][]string{"a:k": {"-Inf"}}, false},
		{"what is no number escapes a Deny", `"NumericNotEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"ten"}}, true},
		{"equal numbers differ when negated", `"NumericNotEquals": {"a:k": "10"}`, map[string][]string{"a:k": {"10"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Request{Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", Context: tt.context}
			for effect, matched := range map[string]Decision{"Allow": Allow, "Deny": ExplicitDeny} {
				want := ImplicitDeny
				if tt.want {
					want = matched
				}
				d := must(t, ParseIdentity, statement(`"Effect": "`+effect+`", "Condition": {`+tt.condition+`}`))
				if got := d.Decide(r); got != want {
					t.Errorf("%s: got %v, want %v", effect, got, want)
				}
			}
		})
	}
}

func TestCombiners(t *testing.T) {
	t.Parallel()
	allow, deny, silent := statement(`"Effect": "Allow"`), statement(`"Effect": "Deny"`), strings.Replace(statement(`"Effect": "Allow"`), ":b/", ":c/", 1)
	on := func(effect, principal string) string {
		return statement(`"Effect": "` + effect + `", "Principal": {"AWS": "` + principal + `"}`)
	}
	for _, tt := range []struct {
		name               string
		identity, resource []string
		caller             Principal
		same, key, cross   Decision
	}{
		{"nothing allows, yet something is allowed", nil, nil, session, ImplicitDeny, ImplicitDeny, ImplicitDeny},
		{"policies about something else allow", []string{silent}, []string{on("Allow", other)}, session, ImplicitDeny, ImplicitDeny, ImplicitDeny},
		{"the role's own policy opens keys and other accounts", []string{allow}, nil, session, Allow, ImplicitDeny, ImplicitDeny},
		{"a bucket that names the role opens other accounts", nil, []string{on("Allow", roleArn)}, session, Allow, Allow, ImplicitDeny},
		{"a bucket open to all opens other accounts", nil, []string{on("Allow", "*")}, session, Allow, Allow, ImplicitDeny},
		{"a key's root statement lets in every role", nil, []string{on("Allow", account)}, session, ImplicitDeny, ImplicitDeny, ImplicitDeny},
		{"a key's root statement keeps its own root out", nil, []string{on("Allow", account)}, rootUser, Allow, Allow, ImplicitDeny},
		{"a key's root statement delegates nothing", []string{allow}, []string{on("Allow", account)}, session, Allow, Allow, Allow},
		{"a key for another account delegates here", []string{allow}, []string{on("Allow", other)}, session, Allow, ImplicitDeny, ImplicitDeny},
		{"two policies that agree disagree", []string{silent, allow}, []string{on("Allow", roleArn)}, session, Allow, Allow, Allow},
		{"the role's Deny is overruled", []string{allow, deny}, []string{on("Allow", roleArn)}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"the role's Deny alone is overlooked", []string{deny}, []string{on("Allow", "*")}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"the bucket's Deny is overruled", []string{allow}, []string{on("Allow", roleArn), on("Deny", "*")}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"a Deny of the account spares its roles", []string{allow}, []string{on("Allow", roleArn), on("Deny", account)}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"a Deny without any Allow is overlooked", nil, []string{on("Deny", account)}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"a policy attached to the wrong side opens the resource", nil, []string{allow}, anonymous, ImplicitDeny, ImplicitDeny, ImplicitDeny},
		{"a policy attached to the wrong side denies nothing", nil, []string{deny}, session, ExplicitDeny, ExplicitDeny, ExplicitDeny},
		{"a resource policy attached to a role allows", []string{on("Allow", "*")}, nil, session, ImplicitDeny, ImplicitDeny, ImplicitDeny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var identity, resource []Document
			for _, document := range tt.identity {
				parse := ParseIdentity
				if strings.Contains(document, "Principal") {
					parse = ParseResource
				}
				identity = append(identity, must(t, parse, document))
			}
			for _, document := range tt.resource {
				parse := ParseResource
				if !strings.Contains(document, "Principal") {
					parse = ParseIdentity
				}
				resource = append(resource, must(t, parse, document))
			}
			r := Request{Principal: tt.caller, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k"}
			if got := SameAccount(identity, resource, r); got != tt.same {
				t.Errorf("SameAccount: got %v, want %v", got, tt.same)
			}
			if got := SameAccountKeyOrRole(identity, resource, r); got != tt.key {
				t.Errorf("SameAccountKeyOrRole: got %v, want %v", got, tt.key)
			}
			if got := CrossAccount(identity, resource, r); got != tt.cross {
				t.Errorf("CrossAccount: got %v, want %v", got, tt.cross)
			}
		})
	}
}

// A Deny wins wherever it stands among the statements.
func TestDenyWins(t *testing.T) {
	t.Parallel()
	const allow, deny = `{"Effect": "Allow", "Action": "*", "Resource": "*"}`, `{"Effect": "Deny", "Action": "s3:*", "Resource": "*"}`
	for _, statements := range []string{allow + "," + deny, deny + "," + allow, allow + "," + deny + "," + allow} {
		d := must(t, ParseIdentity, `{"Version": "2012-10-17", "Statement": [`+statements+`]}`)
		if got := d.Decide(Request{Action: "s3:GetObject", Resource: "*"}); got != ExplicitDeny {
			t.Errorf("%s: got %v", statements, got)
		}
		if got := d.Decide(Request{Action: "kms:Decrypt", Resource: "*"}); got != Allow {
			t.Errorf("%s: another service: got %v", statements, got)
		}
	}
}

// A document that was built by hand or by json.Unmarshal bypassed the checks of Parse.
func TestOnlyParsedDocumentsPermit(t *testing.T) {
	t.Parallel()
	for name, d := range map[string]Document{
		"zero":    {},
		"by hand": {Statements: []Statement{{Effect: "Allow", Actions: []string{"*"}, Resources: []string{"*"}, Principals: Principals{AWS: []string{"*"}}}}},
	} {
		if got := d.Decide(Request{Action: "s3:GetObject", Resource: "*"}); got != ImplicitDeny {
			t.Errorf("%s: got %v", name, got)
		}
	}
	var d Document
	if err := json.Unmarshal([]byte(`{"Statements": [{"Effect": "Allow", "Actions": ["*"], "Resources": ["*"]}]}`), &d); err != nil {
		t.Fatal(err)
	}
	if got := SameAccount([]Document{d}, nil, Request{Action: "s3:GetObject", Resource: "*"}); got != ImplicitDeny {
		t.Errorf("unmarshalled: got %v", got)
	}
}

func TestDecisionString(t *testing.T) {
	t.Parallel()
	for d, want := range map[Decision]string{ImplicitDeny: "ImplicitDeny", Allow: "Allow", allowAccount: "Allow", ExplicitDeny: "ExplicitDeny"} {
		if got := d.String(); got != want {
			t.Errorf("%d: got %s, want %s", d, got, want)
		}
	}
}

// naiveGlob is the definition of a match: table[j] reports whether the pattern so far matches the first j characters.
func naiveGlob(pattern, s string) bool {
	text := []rune(s)
	table := make([]bool, len(text)+1)
	table[0] = true
	for _, p := range pattern {
		next := make([]bool, len(table))
		next[0] = p == '*' && table[0]
		for j, c := range text {
			switch p {
			case '*':
				next[j+1] = table[j+1] || next[j]
			case '?', c:
				next[j+1] = table[j]
			}
		}
		table = next
	}
	return table[len(text)]
}

func FuzzGlob(f *testing.F) {
	for _, seed := range [][2]string{
		{"", ""}, {"*", ""}, {"?", ""}, {"**", "a"}, {"a*b?c", "axxbyc"}, {"*a*b", "aab"}, {"*aab", "aaab"}, {"?", "é"},
		{`\*`, `\x`}, {`\?`, `\`}, {"[a]^$.|", "[a]^$.|"}, {"*", "a\nb"}, {"(?i)a", "A"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if !utf8.ValidString(pattern) || len(pattern)*len(s) > 1<<16 {
			return // a parsed policy contains no invalid UTF-8, and long inputs take too long in the table
		}
		if got, want := glob(pattern, s), naiveGlob(pattern, s); got != want {
			t.Errorf("glob(%q, %q) = %v, want %v", pattern, s, got, want)
		}
	})
}

// A backtracking matcher would not finish on this pattern.
func TestGlobTakesLinearTime(t *testing.T) {
	t.Parallel()
	if glob(strings.Repeat("*a", 60)+"*b", strings.Repeat("a", 2000)) {
		t.Error("matched without a b")
	}
}
