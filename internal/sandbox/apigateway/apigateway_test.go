package apigateway

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

func routes(paths ...string) (all []Resource) {
	for _, path := range paths {
		var r Resource
		if err := json.Unmarshal([]byte(`{"path":"`+path+`","resourceMethods":{"POST":{"methodIntegration":{"uri":"`+path+`"}}}}`), &r); err != nil {
			panic(err)
		}
		all = append(all, r)
	}
	return all
}

// A route that is found otherwise than API Gateway finds it makes the sandbox's answers worthless.
func TestMatch(t *testing.T) {
	t.Parallel()
	api := routes("/", "/generate/{prompt}", "/generate", "/generate/models", "/{any}/{more}", "/v1/{prompt+}", "/v1/x/{prompt+}", "/v1/x/here")
	for _, c := range []struct{ method, path, want, prompt string }{
		{"POST", "generate", "/generate", ""},
		{"POST", "generate/a%2Fb%20c", "/generate/{prompt}", "a%2Fb%20c"}, // encoded as it came
		{"POST", "generate/models", "/generate/models", ""},
		{"POST", "x/y", "/{any}/{more}", ""},
		{"POST", "", "/", ""},
		{"GET", "generate", "", ""},
		{"POST", "generate/", "", ""},
		{"POST", "generate/a/b", "", ""},
		{"POST", "Generate", "", ""},
		{"POST", "v1/a/b%2Fc", "/v1/{prompt+}", "a/b%2Fc"},
		{"POST", "v1/x/y/z", "/v1/x/{prompt+}", "y/z"},
		{"POST", "v1/x/here", "/v1/x/here", ""},
		{"POST", "v1", "", ""},
	} {
		template, parameters, method := match(api, c.method, strings.Split(c.path, "/"))
		if template != c.want || parameters["prompt"] != c.prompt || method.Integration.URI != c.want {
			t.Errorf("%s /%s: %q %v %v, want %q %q", c.method, c.path, template, parameters, method, c.want, c.prompt)
		}
	}
}

// A Host that is taken for another endpoint's lets in, or shuts out, the wrong caller.
func TestAPIHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string][]string{
		"abc123.execute-api.ap-northeast-1.amazonaws.com":            {"abc123", "", "ap-northeast-1"},
		"abc123-vpce-0a1b.execute-api.ap-northeast-1.amazonaws.com":  {"abc123", "vpce-0a1b", "ap-northeast-1"},
		"abc123-vpce-0a1b.execute-api.localhost":                     {"abc123", "vpce-0a1b", ""},
		"abc123-vpce-0a1b.execute-api.ap-northeast-1.amazonaws.com.": nil,
		"x.abc123.execute-api.localhost":                             nil,
		"abc123-vpce-zz.execute-api.localhost":                       nil,
		"execute-api.localhost":                                      nil,
	} {
		got := apiHost.FindStringSubmatch(host)
		if want == nil && got != nil || want != nil && (len(got) != 4 || strings.Join(got[1:], " ") != strings.Join(want, " ")) {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

// The AWS provider stops at an answer that is not as AWS's.
func TestMendAPI(t *testing.T) {
	t.Parallel()
	a := &APIs{vpcEndpoints: map[string][]string{"a": {"vpce-2"}}, binaryMediaTypes: map[string][]string{"a": {"*/*"}}}
	got, err := a.mendAPI([]byte(`{"id":"a","policy":"{\"x\":1}","endpointConfiguration":{"vpcEndpointIds":["vpce-1"]}}`))
	if want := `{"binaryMediaTypes":["*/*"],"endpointConfiguration":{"vpcEndpointIds":["vpce-2"]},"id":"a","policy":"{\\\"x\\\":1}"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if got, err := a.mendAPI(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty answer became %q, %v", got, err)
	}
}

// An API that lets in, or shuts out, otherwise than API Gateway does by the same policies proves nothing of them.
func TestAdmit(t *testing.T) {
	t.Parallel()
	const arn, app = "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/", "arn:aws:iam::123456789012:user/app"
	d := &FrontDoor{Moto: wire.Client{Region: "ap-northeast-1"}, Account: "123456789012", APIID: "plain"}
	statement := func(effect, principal, resource, condition string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"execute-api:Invoke","Resource":"` + resource + `","Condition":{` + condition + `}}`
	}
	const none, elsewhere = `"Null":{"aws:SourceVpce":"false"}`, `"StringNotEquals":{"aws:SourceVpce":"vpce-1"}`
	who := iam.Signer{ARN: app, Keys: map[string][]string{"aws:PrincipalArn": {app}}}
	admin, err := iampolicy.ParseIdentity(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		statements []string // none is no policy at all
		visit      visit
		own        []iampolicy.Document
		want       string
	}{
		"this call alone":       {statements: []string{statement("Allow", `"*"`, arn+"api/POST/generate/a%2Fb", none)}},
		"the short form":        {statements: []string{statement("Allow", `"*"`, "execute-api:/api/POST/generate/*", none)}},
		"another method":        {statements: []string{statement("Allow", `"*"`, arn+"api/GET/*", none)}, want: "User: anonymous is not authorized to perform: execute-api:Invoke on resource: arn:aws:execute-api:ap-northeast-1:********9012:abc123/api/POST/generate/a%2Fb because no resource-based policy allows the execute-api:Invoke action"},
		"another path":          {statements: []string{statement("Allow", `"*"`, arn+"api/POST/generate", none)}, want: "because no resource-based policy"},
		"another stage":         {statements: []string{statement("Allow", `"*"`, arn+"v1/*", none)}, want: "because no resource-based policy"},
		"another API":           {statements: []string{statement("Allow", `"*"`, strings.Replace(arn, "abc123", "plain", 1)+"*", none)}, want: "because no resource-based policy"},
		"no policy":             {want: "because no resource-based policy"},
		"no policy, an admin":   {visit: visit{caller: who}, own: []iampolicy.Document{admin}, want: "User: " + app + " is not authorized"},
		"the endpoint":          {statements: []string{statement("Allow", `"*"`, "*", none), statement("Deny", `"*"`, "*", elsewhere)}},
		"another endpoint":      {statements: []string{statement("Allow", `"*"`, "*", none), statement("Deny", `"*"`, "*", elsewhere)}, visit: visit{endpointID: "vpce-2"}, want: "a%2Fb with an explicit deny in a resource-based policy"},
		"the VPC":               {statements: []string{statement("Allow", `"*"`, "*", `"StringLike":{"aws:SourceVpc":"*"}`)}, visit: visit{vpcID: "vpc-1"}},
		"a VPC that is unknown": {statements: []string{statement("Allow", `"*"`, "*", `"StringLike":{"aws:SourceVpc":"*"}`)}, want: "because no resource-based policy"},
		"a named caller":        {statements: []string{statement("Allow", `{"AWS":"`+app+`"}`, "*", `"ArnEquals":{"aws:PrincipalArn":"`+app+`"}`)}, visit: visit{caller: who}},
		"nobody by that name":   {statements: []string{statement("Allow", `{"AWS":"`+app+`"}`, "*", none)}, want: "User: anonymous"},
		"a caller not allowed":  {statements: []string{statement("Allow", `"*"`, "*", `"ArnNotEquals":{"aws:PrincipalArn":"`+app+`"}`)}, visit: visit{caller: who}, want: "User: " + app + " is not authorized"},
		"no JSON":               {statements: []string{"x"}, want: "resource policy of API abc123"},
	} {
		policy := ""
		if c.statements != nil {
			policy = `{"Version":"2012-10-17","Statement":[` + strings.Join(c.statements, ",") + `]}`
		}
		c.visit.apiID, c.visit.stage, c.visit.endpointID = "abc123", "api", cmp.Or(c.visit.endpointID, "vpce-1")
		err := d.admit(httptest.NewRequest(http.MethodPost, "/", nil), &c.visit, Call{Identity: c.own}, policy, []string{"api", "generate", "a%2Fb"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if own := (wire.Refusal{}); err != nil && errors.As(err, &own) != (name != "no JSON") {
			t.Errorf("%s: %v is told to the caller", name, err)
		}
	}
}

// Lost: an operation that is taken for one that nobody has to sign lets everybody in; one that is taken for buffered
// answers 500.
func TestKeepOperations(t *testing.T) {
	t.Parallel()
	moto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	t.Cleanup(moto.Close)
	a := New(wire.Client{URL: moto.URL})
	const iam, none = `{"x-amazon-apigateway-auth":{"type":"AWS_IAM"}}`, `{"x-amazon-apigateway-auth":{"type":"NONE"}}`
	document := func(paths string) string { return `{"paths":{` + paths + `}}` }
	keep := func(body, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPut, "/restapis/a?mode=merge", strings.NewReader(body))
		err := a.keepOperations(r, "a")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
		if rest, _ := io.ReadAll(r.Body); string(rest) != body {
			t.Errorf("of %s moto gets %s", body, rest)
		}
	}
	deployed := func(id, want string) {
		t.Helper()
		if err := a.keepDeployment(t.Context(), "a", []byte(`{"id":"`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
		if d, _ := a.Deployed(id); fmt.Sprint(d.Operations) != want {
			t.Errorf("%v, want %s", d.Operations, want)
		}
	}
	keep(document(`"/a":{"get":`+iam+`,"post":`+none+`},"/b":{"get":`+iam+`}`), "")
	deployed("1", "map[GET /a:{true false} GET /b:{true false} POST /a:{false false}]")
	keep(document(`"/a":{"get":{},"post":`+iam+`},"/b":{"get":`+none+`},"/c":{"get":{}}`), "") // GET /a is as it was
	deployed("2", "map[GET /a:{true false} GET /b:{false false} GET /c:{false false} POST /a:{true false}]")
	if first, _ := a.Deployed("1"); first.Operations["POST /a"].signed || !first.Operations["GET /b"].signed {
		t.Errorf("a later import changed what is deployed: %v", first.Operations)
	}
	keep(document(`"/a":{"get":`+none+`,"post":{"x-amazon-apigateway-auth":{"type":"CUSTOM"}}}`), `POST /a: authorization "CUSTOM" is not understood`)
	keep(`Hello`, "invalid")
	deployed("3", "map[GET /a:{true false} GET /b:{false false} GET /c:{false false} POST /a:{true false}]")

	integration := func(text string) string {
		return document(`"/c":{"get":{"x-amazon-apigateway-integration":{"type":"aws_proxy",` + text + `}}}`)
	}
	for text, want := range map[string]string{
		`"responseTransferMode":"stream"`:                           `GET /c: response transfer mode "stream" is neither`,
		`"timeoutInMillis":29001`:                                   "timeout should be between 50 ms and 29000 ms, it is 29001 ms",
		`"timeoutInMillis":49`:                                      "it is 49 ms",
		`"responseTransferMode":"BUFFERED","timeoutInMillis":90000`: "it is 90000 ms",
		`"responseTransferMode":"STREAM","timeoutInMillis":900001`:  "timeout should be between 50 ms and 900000 ms",
		`"responseTransferMode":"STREAM","type":"aws"`:              `integration type "aws" cannot stream`,
		`"responseTransferMode":"BUFFERED","timeoutInMillis":29000`: "",
		`"responseTransferMode":"STREAM","timeoutInMillis":900000`:  "",
		`"responseTransferMode":"STREAM","type":"http_proxy"`:       "",
	} {
		keep(integration(text), want)
	}
	for id, streams := range map[string]bool{"4": true, "5": false, "6": true} {
		mode := map[bool]string{true: "STREAM", false: "BUFFERED"}[streams]
		keep(integration(`"responseTransferMode":"`+mode+`"`), "")
		keep(document(`"/c":{"get":{}}`), "") // names no integration: it stays
		deployed(id, "map[GET /a:{true false} GET /b:{false false} GET /c:{false "+fmt.Sprint(streams)+"} POST /a:{true false}]")
	}
	keep(integration(`"uri":"x"`), "")
	deployed("7", "map[GET /a:{true false} GET /b:{false false} GET /c:{false false} POST /a:{true false}]")
}
