package sandbox

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/lambda"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// Each policy, key and fact that AWS goes by when the function calls a model: without one the sandbox lets through, or
// shuts out, what AWS does not.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	const role, session, function = "arn:aws:iam::123456789012:role/f", "arn:aws:sts::123456789012:assumed-role/f/f", "arn:aws:lambda:ap-northeast-1:123456789012:function:f"
	const model = "arn:aws:bedrock:ap-northeast-1::foundation-model/a.b"
	for name, c := range map[string]struct{ from, to, want string }{
		"nothing is changed":           {"", "", ""},
		"somebody else's key":          {"AKIAFUNCTION", "AKIAROOT", "arn:aws:iam::123456789012:root"},
		"a role that Lambda has not":   {"lambda.amazonaws.com", "ec2.amazonaws.com", "does not let lambda.amazonaws.com assume it"},
		"a role for another principal": {`{"aws:PrincipalArn":"` + role, `{"aws:PrincipalArn":"` + session, "no identity-based policy"},
		"a role for another function":  {function, function + "2", "no identity-based policy"},
		"an endpoint of another id":    {"<vpcEndpointId>vpce-1<", "<vpcEndpointId>vpce-2<", "no identity-based policy"},
		"an endpoint of another VPC":   {"<vpcId>vpc-1<", "<vpcId>vpc-2<", "no identity-based policy"},
		"a role for another VPC":       {`"aws:SourceVpc":"vpc-1"`, `"aws:SourceVpc":"vpc-2"`, "no identity-based policy"},
		"another service's endpoint":   {"bedrock-runtime<", "bedrock<", "no identity-based policy"},
		"an endpoint without its name": {"<privateDnsEnabled>true", "<privateDnsEnabled>false", "no identity-based policy"},
		"an endpoint that denies":      {`"Sid":"Endpoint","Effect":"Allow"`, `"Sid":"Endpoint","Effect":"Deny"`, "User: " + session + " is not authorized to perform: bedrock:InvokeModel on resource: " + model + " with an explicit deny in a VPC endpoint policy"},
		"an endpoint's bad policy":     {`"Sid":"Endpoint","Effect":"Allow"`, `"Sid":"Endpoint","Effect":"Maybe"`, "policy of endpoint vpce-1"},
	} {
		answers := map[string]string{
			"DescribeVpcEndpoints": `<vpcEndpointSet><item><vpcEndpointId>vpce-1</vpcEndpointId><vpcId>vpc-1</vpcId><serviceName>com.amazonaws.ap-northeast-1.bedrock-runtime</serviceName>
				<privateDnsEnabled>true</privateDnsEnabled><state>available</state><policyDocument>{"Version":"2012-10-17","Statement":[{"Sid":"Endpoint","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}</policyDocument></item></vpcEndpointSet>`,
			"GetRole":                  `<Role><Arn>` + role + `</Arn><AssumeRolePolicyDocument>{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}</AssumeRolePolicyDocument></Role>`,
			"ListRolePolicies":         `<PolicyNames><member>p</member></PolicyNames>`,
			"ListAttachedRolePolicies": `<AttachedPolicies></AttachedPolicies>`,
			"GetRolePolicy": `<PolicyDocument>{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"` + model + `","Condition":{
				"ArnEquals":{"aws:PrincipalArn":"` + role + `","lambda:SourceFunctionArn":"` + function + `"},"StringEquals":{"aws:SourceVpce":"vpce-1","aws:SourceVpc":"vpc-1"}}}]}</PolicyDocument>`,
		}
		moto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			action := r.FormValue("Action")
			answer := strings.ReplaceAll(answers[action], c.from, c.to)
			if !strings.HasPrefix(answer, "<vpc") {
				answer = "<" + action + "Result>" + answer + "</" + action + "Result>"
			}
			io.WriteString(w, "<"+action+"Response>"+answer+"</"+action+"Response>")
		}))
		t.Cleanup(moto.Close)
		a := authorizer{
			account: "123456789012", moto: wire.Client{URL: moto.URL, Region: "ap-northeast-1"},
			caller: func(accessKey string) (lambda.Caller, bool) {
				return lambda.Caller{SessionARN: session, RoleARN: role, FunctionARN: function, VpcID: "vpc-1"}, accessKey == "AKIAFUNCTION"
			},
		}
		r := httptest.NewRequest(http.MethodPost, "/model/a.b/converse", nil)
		r.Header.Set("Authorization", strings.ReplaceAll("AWS4-HMAC-SHA256 Credential=AKIAFUNCTION/20260101/ap-northeast-1/bedrock/aws4_request, SignedHeaders=host, Signature=x", c.from, c.to))
		got, err := a.model(r, bedrock.ModelCall{Action: "bedrock:InvokeModel", Model: model})
		if err != nil {
			got = err.Error()
		}
		if want := cmp.Or(c.want, session); !strings.Contains(got, want) || (err == nil) != strings.HasPrefix(want, "arn:") {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// Whoever lacks moto must learn where to get it.
func TestMissingMoto(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if _, err := Start(t.Context(), Options{Region: "ap-northeast-1", Folder: t.TempDir(), AWS: l}); err == nil || !strings.Contains(err.Error(), "pip install") {
		t.Errorf("without moto: %v", err)
	}
}
