package sandbox

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// What the endpoint passes on to moto, moto answers with 500; what it takes from moto is lost.
func TestEndpointKnowsItsBedrock(t *testing.T) {
	t.Parallel()
	moto := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	t.Cleanup(moto.Close)
	e, err := newEndpoint(wire.Client{URL: moto.URL, Region: "ap-northeast-1"}, map[string][]service{
		"bedrock": {bedrock.New(&bedrock.Runtime{Region: "ap-northeast-1", Account: "123456789012"})},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	arn := "arn:aws:bedrock:ap-northeast-1:123456789012:"
	for _, c := range []struct {
		service, method, path, body string
		want                        int
	}{
		{"bedrock", http.MethodPost, "/guardrails", `{"name":"g","blockedInputMessaging":"No.","blockedOutputsMessaging":"No answer.","wordPolicyConfig":{"wordsConfig":[{"text":"moon"}]}}`, 202},
		{"bedrock", http.MethodGet, "/guardrails", "", 200},
		{"bedrock", http.MethodGet, "/inference-profiles/jp.amazon.nova-2-lite-v1:0", "", 200},
		{"bedrock", http.MethodGet, "/inference-profiles/" + url.PathEscape(arn+"inference-profile/jp.amazon.nova-2-lite-v1:0"), "", 200},
		{"bedrock", http.MethodPost, "/listTagsForResource", `{"resourceARN":"` + arn + `guardrail/abcdefghijkl"}`, 404},
		{"bedrock", http.MethodPost, "/untagResource", `{"resourceARN":"` + arn + `application-inference-profile/abcdefghijkl"}`, 404},
		{"bedrock", http.MethodPost, "/listTagsForResource", `{"resourceARN":"` + arn + `custom-model/x"}`, http.StatusTeapot},
		{"bedrock", http.MethodGet, "/logging/modelinvocations", "", http.StatusTeapot},
		{"s3", http.MethodGet, "/guardrails", "", http.StatusTeapot}, // a bucket
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Host = "127.0.0.1"
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=x/20260101/ap-northeast-1/"+c.service+"/aws4_request, SignedHeaders=host, Signature=x")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %s %s %s: %d %s, want %d", c.service, c.method, c.path, c.body, w.Code, w.Body, c.want)
		}
	}
}
