package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

func routes(paths ...string) (all []apiResource) {
	for _, path := range paths {
		var r apiResource
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
	e := &endpoint{vpcEndpoints: map[string][]string{"a": {"vpce-2"}}, binaryMediaTypes: map[string][]string{"a": {"*/*"}}}
	got, err := e.mendAPI([]byte(`{"id":"a","policy":"{\"x\":1}","endpointConfiguration":{"vpcEndpointIds":["vpce-1"]}}`))
	if want := `{"binaryMediaTypes":["*/*"],"endpointConfiguration":{"vpcEndpointIds":["vpce-2"]},"id":"a","policy":"{\\\"x\\\":1}"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if got, err := e.mendAPI(nil); err != nil || len(got) != 0 {
		t.Errorf("an empty answer became %q, %v", got, err)
	}
}

// What Bedrock refuses must fail here first, and leave no record.
func TestBedrockRefuses(t *testing.T) {
	t.Parallel()
	var metadata []string
	for i := range 17 {
		metadata = append(metadata, `"k`+string(rune('a'+i))+`":"v"`)
	}
	hello := `"messages":[{"role":"user","content":[{"text":"Hello"}]}]`
	for name, c := range map[string]struct {
		path, body string
		want       int
	}{
		"a good call":          {"/model/amazon.nova-lite-v1:0/converse", "{" + hello + "}", 200},
		"an encoded model id":  {"/model/amazon.nova-lite-v1%3A0/converse", "{" + hello + "}", 200},
		"no model id":          {"/model/nova/converse", "{" + hello + "}", 400},
		"another operation":    {"/model/amazon.nova-lite-v1:0/fly", "{" + hello + "}", 404},
		"another method":       {"/model/amazon.nova-lite-v1:0/converse", "{" + hello + "}", 404},
		"no JSON":              {"/model/amazon.nova-lite-v1:0/converse", "Hello", 400},
		"no message":           {"/model/amazon.nova-lite-v1:0/converse", "{}", 400},
		"assistant first":      {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"assistant","content":[{"text":"Hello"}]}]}`, 400},
		"user twice":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, 400},
		"no content":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[]}]}`, 400},
		"blank text":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":" "}]}]}`, 400},
		"metadata too many":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{` + strings.Join(metadata, ",") + `},` + hello + `}`, 400},
		"metadata too long":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"` + strings.Repeat("v", 257) + `"},` + hello + `}`, 400},
		"metadata with quotes": {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"\""},` + hello + `}`, 400},
		"metadata just enough": {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{` + strings.Join(metadata[:16], ",") + `},` + hello + `}`, 200},
		"an unknown fault":     {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"fault Hello"}]}]}`, 200},
		"a provisioned model":  {"/model/arn:aws:bedrock:ap-northeast-1:123456789012:provisioned-model%2Fa1b2c3d4e5f6/converse", "{" + hello + "}", 400},
		"another geography":    {"/model/us.amazon.nova-lite-v1:0/converse", "{" + hello + "}", 400},
		"a fault as asked":     {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"fault ModelTimeoutException"}]}]}`, 408},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			delivered := 0
			b := &Bedrock{Region: "ap-northeast-1", Account: "123456789012"}
			b.Deliver = func(_ context.Context, r Record, _ time.Time) {
				delivered++
				if strings.Contains(string(r.Input.BodyJSON), "requestMetadata") || !strings.Contains(string(r.Input.BodyJSON), "Hello") {
					t.Errorf("the record's input is %s", r.Input.BodyJSON)
				}
			}
			w := httptest.NewRecorder()
			method := http.MethodPost
			if name == "another method" {
				method = http.MethodPut
			}
			b.ServeHTTP(w, httptest.NewRequest(method, c.path, strings.NewReader(c.body)))
			if w.Code != c.want || (delivered == 1) != (c.want == 200) || (w.Header().Get("X-Amzn-Errortype") == "") != (c.want == 200) {
				t.Errorf("status %d, %d records, headers %v, body %s, want %d", w.Code, delivered, w.Header(), w.Body, c.want)
			}
		})
	}
}

// A caller whom the policies do not admit must get AWS's refusal, and no record.
func TestBedrockAsksWhoCalls(t *testing.T) {
	t.Parallel()
	b := &Bedrock{
		Authorize: func(_ *http.Request, call ModelCall) (string, error) {
			return "", errors.New(call.action + " " + call.model)
		},
		Deliver: func(context.Context, Record, time.Time) { t.Error("a refused call was recorded") },
		Region:  "ap-northeast-1",
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/model/amazon.nova-lite-v1:0/converse", strings.NewReader(`{}`)))
	if want := "bedrock:InvokeModel arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-lite-v1:0"; w.Code != 403 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("status %d, %s, want 403 and %s", w.Code, w.Body, want)
	}
}

// converse asks a stand-in, and answers with what the client gets, whom Authorize was asked about, and the record.
func converse(t *testing.T, b *Bedrock, model, body string) (status int, exception string, out converseAnswer, asked ModelCall, recorded *Record) {
	t.Helper()
	b.Authorize = func(_ *http.Request, call ModelCall) (string, error) {
		asked = call
		return "arn:aws:sts::123456789012:assumed-role/r/f", nil
	}
	b.Deliver = func(_ context.Context, r Record, _ time.Time) { recorded = &r }
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/model/"+url.PathEscape(model)+"/converse", strings.NewReader(body)))
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("X-Amzn-Errortype"), out, asked, recorded
}

// converseAnswer is of Converse's answer what a client reads.
type converseAnswer struct {
	Output struct {
		Message struct{ Content []struct{ Text string } }
	}
	StopReason string
	Usage      struct{ InputTokens, OutputTokens, TotalTokens int }
}

// A guardrail that looks elsewhere than AWS's hides that a word gets through, or that IAM saw a call without it.
func TestBedrockGuards(t *testing.T) {
	t.Parallel()
	g := newGuardrails("ap-northeast-1", "123456789012")
	id, arn := makeGuardrail(t, g, someGuardrail)
	control(t, g, http.MethodPost, "/guardrails/"+id, "") // version 1
	b := &Bedrock{Region: "ap-northeast-1", Account: "123456789012", guardrails: g}
	with := func(id, version string) string {
		return `"guardrailConfig":{"guardrailIdentifier":"` + id + `","guardrailVersion":"` + version + `"}`
	}
	said := func(texts ...string) string {
		var all []string
		for i, text := range texts {
			all = append(all, `{"role":"`+[]string{"user", "assistant"}[i%2]+`","content":[{"text":"`+text+`"}]}`)
		}
		return `"messages":[` + strings.Join(all, ",") + `]`
	}
	marked := func(text, guarded, qualifiers string) string {
		return `"messages":[{"role":"user","content":[{"text":"` + text + `"},{"guardContent":{"text":{"text":"` + guarded + `","qualifiers":[` + qualifiers + `]}}}]}]`
	}
	const blocked, passed, refused = "guardrail_intervened", "end_turn", "ValidationException"
	for name, c := range map[string]struct{ config, rest, want string }{
		"a message":                                 {with(id, "1"), said("the moon"), blocked},
		"an earlier message":                        {with(id, "1"), said("the moon", "yes", "go on"), blocked},
		"an assistant message":                      {with(id, "1"), said("what is up?", "the moon", "go on"), blocked},
		"a marked system prompt":                    {with(id, "1"), said("hello") + `,"system":[{"text":"be"},{"guardContent":{"text":{"text":"the moon"}}}]`, blocked},
		"a system prompt that is unmarked":          {with(id, "1"), said("hello") + `,"system":[{"text":"the moon"}]`, passed},
		"another word":                              {with(id, "1"), said("the sun"), passed},
		"a marked message":                          {with(id, "1"), marked("hello", "the moon", ""), blocked},
		"beside a marked message":                   {with(id, "1"), marked("the moon", "hello", ""), passed},
		"beside one marked to be guarded":           {with(id, "1"), marked("the moon", "hello", `"query","guard_content"`), passed},
		"beside one marked for grounding":           {with(id, "1"), marked("the moon", "hello", `"grounding_source"`), blocked},
		"one marked for grounding":                  {with(id, "1"), marked("hello", "the moon", `"grounding_source"`), blocked},
		"a marked system prompt, unmarked messages": {with(id, "1"), said("the moon") + `,"system":[{"guardContent":{"text":{"text":"hello"}}}]`, blocked},
		"no guardrail":                              {`"x":0`, said("the moon"), passed},
		"its ARN":                                   {with(arn, "1"), said("the moon"), blocked},
		"its draft":                                 {with(id, "DRAFT"), said("the moon"), blocked},
		"no version":                                {`"guardrailConfig":{"guardrailIdentifier":"` + id + `"}`, said("the moon"), blocked},
		"an unknown version":                        {with(id, "2"), said("hello"), refused},
		"an unknown guardrail":                      {with("abcdefghijkl", "1"), said("hello"), refused},
		"a version of none":                         {`"guardrailConfig":{"guardrailVersion":"1"}`, said("hello"), refused},
	} {
		status, exception, out, asked, recorded := converse(t, b, "amazon.nova-lite-v1:0", "{"+c.config+","+c.rest+"}")
		if c.want == refused {
			if status != 400 || exception != refused || recorded != nil {
				t.Errorf("%s: %d %s, recorded %v", name, status, exception, recorded)
			}
			continue
		}
		if status != 200 || recorded == nil || out.StopReason != c.want || len(out.Output.Message.Content) != 1 {
			t.Errorf("%s: %d %s %+v, want %s", name, status, exception, out, c.want)
			continue
		}
		message, usage := out.Output.Message.Content[0].Text, out.Usage
		tokens := usage.InputTokens + usage.OutputTokens + usage.TotalTokens + recorded.Input.TokenCount + recorded.Output.TokenCount
		if (message == "No.") != (c.want == blocked) || (tokens == 0) != (c.want == blocked) {
			t.Errorf("%s: %q, usage %+v, recorded %+v", name, message, usage, recorded)
		}
		if guarded := strings.Contains(c.config, "guardrail"); guarded != (asked.guardrail == arn) || guarded != (asked.version != "") {
			t.Errorf("%s: IAM is asked about %+v", name, asked)
		}
	}
}

// A record that names another model or region than AWS's does would send an auditor's query astray.
func TestBedrockRecords(t *testing.T) {
	t.Parallel()
	p := newInferenceProfiles("ap-northeast-3", "123456789012")
	_, _, made := control(t, p, http.MethodPost, "/inference-profiles",
		`{"inferenceProfileName":"a","modelSource":{"copyFrom":"arn:aws:bedrock:ap-northeast-3::foundation-model/amazon.nova-lite-v1:0"}}`)
	application := made["inferenceProfileArn"].(string)
	b := &Bedrock{Region: "ap-northeast-3", Account: "123456789012", profiles: p}
	const own, body = "arn:aws:bedrock:ap-northeast-3:123456789012:", `{"messages":[{"role":"user","content":[{"text":"Hello"}]}],"requestMetadata":{"k":"v"},"inferenceConfig":{"maxTokens":4}}`
	for model, want := range map[string]struct{ model, region, routes string }{
		"amazon.nova-lite-v1:0":                       {"amazon.nova-lite-v1:0", "ap-northeast-3", ""},
		"jp.amazon.nova-2-lite-v1:0":                  {own + "inference-profile/jp.amazon.nova-2-lite-v1:0", "ap-northeast-1", "ap-northeast-1 ap-northeast-3"},
		own + "inference-profile/jp.amazon.nova-x-v1": {own + "inference-profile/jp.amazon.nova-x-v1", "ap-northeast-1", "ap-northeast-1 ap-northeast-3"},
		"global.amazon.nova-2-lite-v1:0":              {own + "inference-profile/global.amazon.nova-2-lite-v1:0", "ap-northeast-3", " ap-northeast-3"},
		application:                                   {application, "ap-northeast-3", "ap-northeast-3"},
	} {
		status, _, out, asked, r := converse(t, b, model, body)
		if status != 200 || r == nil {
			t.Errorf("%s: %d, recorded %v", model, status, r)
			continue
		}
		if r.ModelID != want.model || r.InferenceRegion != want.region || r.Region != "ap-northeast-3" || r.AccountID != "123456789012" ||
			r.Identity.ARN != "arn:aws:sts::123456789012:assumed-role/r/f" || r.RequestMetadata["k"] != "v" {
			t.Errorf("%s: %+v, want %+v", model, r, want)
		}
		if r.Input.TokenCount != 2 || r.Output.TokenCount != 4 || out.StopReason != "end_turn" { // four are not more than four
			t.Errorf("%s: %+v, %+v", model, r, out)
		}
		var regions []string
		for _, route := range asked.routes {
			regions = append(regions, strings.Split(route, ":")[3])
		}
		if asked.action != "bedrock:InvokeModel" || strings.Join(regions, " ") != want.routes || !strings.Contains(asked.model, strings.TrimPrefix(want.model, own)) {
			t.Errorf("%s: IAM is asked about %+v, want routes in %q", model, asked, want.routes)
		}
	}
}

// An API that lets in, or shuts out, otherwise than API Gateway does by the same policies proves nothing of them.
func TestAdmit(t *testing.T) {
	t.Parallel()
	const arn, app = "arn:aws:execute-api:ap-northeast-1:123456789012:abc123/", "arn:aws:iam::123456789012:user/app"
	d := &frontDoor{moto: client{region: "ap-northeast-1"}, account: "123456789012", apiID: "plain"}
	statement := func(effect, principal, resource, condition string) string {
		return `{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"execute-api:Invoke","Resource":"` + resource + `","Condition":{` + condition + `}}`
	}
	const none, elsewhere = `"Null":{"aws:SourceVpce":"false"}`, `"StringNotEquals":{"aws:SourceVpce":"vpce-1"}`
	who := signer{arn: app, keys: map[string][]string{"aws:PrincipalArn": {app}}}
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
		err := d.admit(httptest.NewRequest(http.MethodPost, "/", nil), &c.visit, apiCall{identity: c.own}, policy, []string{"api", "generate", "a%2Fb"})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if own := (refusal{}); err != nil && errors.As(err, &own) != (name != "no JSON") {
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
	e := &endpoint{aws: client{url: moto.URL}, operations: map[string]map[string]apiOperation{}, deployments: map[string]deployment{}}
	const iam, none = `{"x-amazon-apigateway-auth":{"type":"AWS_IAM"}}`, `{"x-amazon-apigateway-auth":{"type":"NONE"}}`
	document := func(paths string) string { return `{"paths":{` + paths + `}}` }
	keep := func(body, want string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPut, "/restapis/a?mode=merge", strings.NewReader(body))
		err := e.keepOperations(r, "a")
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
		if rest, _ := io.ReadAll(r.Body); string(rest) != body {
			t.Errorf("of %s moto gets %s", body, rest)
		}
	}
	deployed := func(id, want string) {
		t.Helper()
		if err := e.keepDeployment(t.Context(), "a", []byte(`{"id":"`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
		if d, _ := e.deployed(id); fmt.Sprint(d.operations) != want {
			t.Errorf("%v, want %s", d.operations, want)
		}
	}
	keep(document(`"/a":{"get":`+iam+`,"post":`+none+`},"/b":{"get":`+iam+`}`), "")
	deployed("1", "map[GET /a:{true false} GET /b:{true false} POST /a:{false false}]")
	keep(document(`"/a":{"get":{},"post":`+iam+`},"/b":{"get":`+none+`},"/c":{"get":{}}`), "") // GET /a is as it was
	deployed("2", "map[GET /a:{true false} GET /b:{false false} GET /c:{false false} POST /a:{true false}]")
	if first, _ := e.deployed("1"); first.operations["POST /a"].signed || !first.operations["GET /b"].signed {
		t.Errorf("a later import changed what is deployed: %v", first.operations)
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
		s := &Sandbox{
			account: "123456789012", moto: client{url: moto.URL, region: "ap-northeast-1"},
			functions: &functions{callers: map[string]caller{"AKIAFUNCTION": {session, role, function, "vpc-1"}}},
		}
		r := httptest.NewRequest(http.MethodPost, "/model/a.b/converse", nil)
		r.Header.Set("Authorization", strings.ReplaceAll("AWS4-HMAC-SHA256 Credential=AKIAFUNCTION/20260101/ap-northeast-1/bedrock/aws4_request, SignedHeaders=host, Signature=x", c.from, c.to))
		got, err := s.authorize(r, ModelCall{action: "bedrock:InvokeModel", model: model})
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
