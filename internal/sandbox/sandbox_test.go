package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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
	api := routes("/", "/generate/{prompt}", "/generate", "/generate/models", "/{any}/{more}")
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
	} {
		template, parameters, _ := match(api, c.method, strings.Split(c.path, "/"))
		if template != c.want || parameters["prompt"] != c.prompt {
			t.Errorf("%s /%s: %q %v, want %q %q", c.method, c.path, template, parameters, c.want, c.prompt)
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
	e := &endpoint{vpcEndpoints: map[string][]string{"a": {"vpce-2"}}}
	got, err := e.mendAPI([]byte(`{"id":"a","policy":"{\"x\":1}","endpointConfiguration":{"vpcEndpointIds":["vpce-1"]}}`))
	if want := `{"endpointConfiguration":{"vpcEndpointIds":["vpce-2"]},"id":"a","policy":"{\\\"x\\\":1}"}`; err != nil || string(got) != want {
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
		"no JSON":              {"/model/amazon.nova-lite-v1:0/converse", "Hello", 400},
		"no message":           {"/model/amazon.nova-lite-v1:0/converse", "{}", 400},
		"assistant first":      {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"assistant","content":[{"text":"Hello"}]}]}`, 400},
		"user twice":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":"a"}]},{"role":"user","content":[{"text":"b"}]}]}`, 400},
		"no content":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[]}]}`, 400},
		"blank text":           {"/model/amazon.nova-lite-v1:0/converse", `{"messages":[{"role":"user","content":[{"text":" "}]}]}`, 400},
		"metadata too many":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{` + strings.Join(metadata, ",") + `},` + hello + `}`, 400},
		"metadata too long":    {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"` + strings.Repeat("v", 257) + `"},` + hello + `}`, 400},
		"metadata with quotes": {"/model/amazon.nova-lite-v1:0/converse", `{"requestMetadata":{"k":"\""},` + hello + `}`, 400},
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
			b.ServeHTTP(w, httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body)))
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
