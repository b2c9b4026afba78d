package bedrock

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// control asks a control plane and reads its answer.
func control(t *testing.T, h http.Handler, method, path, body string) (status int, exception string, out map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s %s: %v: %s", method, path, err, w.Body)
	}
	return w.Code, w.Header().Get("X-Amzn-Errortype"), out
}

// asJSON makes values easy to compare.
func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A profile that leads elsewhere than AWS's makes the sandbox admit what the role's policy does not admit on AWS, or the
// reverse, and hides that a request leaves the geography.
func TestSystemDefinedInferenceProfiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ region, id, want string }{
		{"ap-northeast-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "ap-northeast-1 ap-northeast-3"},
		{"ap-northeast-3", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "ap-northeast-1 ap-northeast-3"},
		{"ap-northeast-2", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "none"},
		{"us-east-1", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "none"},
		{"ap-northeast-1", "us.anthropic.claude-haiku-4-5-20251001-v1:0", "none"},
		{"us-east-1", "us.amazon.nova-lite-v1:0", "us-east-1 us-east-2 us-west-2"},
		{"us-west-1", "us.amazon.nova-lite-v1:0", "us-east-1 us-east-2 us-west-1 us-west-2"},
		{"ca-central-1", "us.anthropic.claude-sonnet-4-6", "ca-central-1 us-east-1 us-east-2 us-west-2"},
		{"ca-central-1", "ca.amazon.nova-lite-v1:0", "ca-central-1 ca-west-1"},
		{"eu-west-2", "eu.anthropic.claude-sonnet-4-6", "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3"},
		{"ap-northeast-1", "apac.anthropic.claude-sonnet-4-20250514-v1:0", "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 ap-southeast-4"},
		{"ap-southeast-6", "au.anthropic.claude-sonnet-4-6", "ap-southeast-2 ap-southeast-4 ap-southeast-6"},
		{"ap-northeast-1", "global.anthropic.claude-sonnet-4-6", " ap-northeast-1"}, // the first has no Region
		{"ap-northeast-1", "anthropic.claude-sonnet-4-6", "none"},
		{"ap-northeast-1", "jp.claude", "none"},
		{"ap-northeast-1", "jp.global.anthropic.claude-sonnet-4-6", "none"},
		{"ap-northeast-1", "kr.anthropic.claude-sonnet-4-6", "none"},
	} {
		p := newInferenceProfiles(c.region, "123456789012")
		status, exception, out := control(t, p, http.MethodGet, "/inference-profiles/"+url.PathEscape(c.id), "")
		if c.want == "none" {
			if _, found := p.lookup(c.id); found || status != 404 || exception != "ResourceNotFoundException" {
				t.Errorf("%s from %s: found %v, %d %s", c.id, c.region, found, status, exception)
			}
			continue
		}
		_, model, _ := strings.Cut(c.id, ".")
		var want []string
		for region := range strings.SplitSeq(c.want, " ") {
			want = append(want, "arn:aws:bedrock:"+region+"::foundation-model/"+model)
		}
		found, ok := p.lookup("arn:aws:bedrock:" + c.region + ":123456789012:inference-profile/" + c.id)
		if !ok || found.ID != c.id || found.Type != "SYSTEM_DEFINED" || strings.Join(found.Models, " ") != strings.Join(want, " ") {
			t.Errorf("%s from %s: %+v, want %v", c.id, c.region, found, want)
		}
		if status != 200 || asJSON(t, out) != asJSON(t, found.answer()) {
			t.Errorf("GET %s from %s: %d %v", c.id, c.region, status, out)
		}
	}
}

// An ARN of another account's, Region's or kind would call a wrong setting right.
func TestInferenceProfileArnIsExact(t *testing.T) {
	t.Parallel()
	p := newInferenceProfiles("ap-northeast-1", "123456789012")
	for _, arn := range []string{
		"arn:aws:bedrock:ap-northeast-3:123456789012:inference-profile/jp.amazon.nova-2-lite-v1:0",
		"arn:aws:bedrock:ap-northeast-1:999999999999:inference-profile/jp.amazon.nova-2-lite-v1:0",
		"arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/jp.amazon.nova-2-lite-v1:0",
		"arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-2-lite-v1:0",
	} {
		if found, ok := p.lookup(arn); ok {
			t.Errorf("%s is taken for %+v", arn, found)
		}
	}
}

// The AWS provider creates, reads, tags and deletes a profile this way; what it cannot read back it creates again.
func TestApplicationInferenceProfile(t *testing.T) {
	t.Parallel()
	p := newInferenceProfiles("ap-northeast-1", "123456789012")
	system := "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/jp.amazon.nova-2-lite-v1:0"
	status, _, out := control(t, p, http.MethodPost, "/inference-profiles",
		`{"inferenceProfileName":"team A","description":"Costs of team A","modelSource":{"copyFrom":"`+system+`"},"tags":[{"key":"b","value":"2"},{"key":"a","value":"1"}]}`)
	arn, _ := out["inferenceProfileArn"].(string)
	id := strings.TrimPrefix(arn, "arn:aws:bedrock:ap-northeast-1:123456789012:application-inference-profile/")
	if status != 201 || out["status"] != "ACTIVE" || len(id) != 12 {
		t.Fatalf("created: %d %v", status, out)
	}
	want, _ := p.lookup(system)
	for _, identifier := range []string{id, arn} {
		found, ok := p.lookup(identifier)
		if !ok || found.ID != id || found.Arn != arn || found.Type != "APPLICATION" || asJSON(t, found.Models) != asJSON(t, want.Models) {
			t.Errorf("lookup %s: %+v %v", identifier, found, ok)
		}
		_, _, out := control(t, p, http.MethodGet, "/inference-profiles/"+url.PathEscape(identifier), "")
		if out["inferenceProfileName"] != "team A" || out["description"] != "Costs of team A" || out["createdAt"] == nil || out["updatedAt"] == nil {
			t.Errorf("GET %s: %v", identifier, out)
		}
	}
	for query, want := range map[string]int{"": 1, "?type=APPLICATION": 1, "?type=SYSTEM_DEFINED": 0} {
		if _, _, out := control(t, p, http.MethodGet, "/inference-profiles"+query, ""); len(jsonObjects(out["inferenceProfileSummaries"])) != want {
			t.Errorf("list %s: %v, want %d", query, out, want)
		}
	}

	tags := func(want string) {
		t.Helper()
		if _, _, out := control(t, p, http.MethodPost, "/listTagsForResource", `{"resourceARN":"`+arn+`"}`); asJSON(t, out["tags"]) != want {
			t.Errorf("tags %v, want %s", out, want)
		}
	}
	tags(`[{"key":"a","value":"1"},{"key":"b","value":"2"}]`)
	control(t, p, http.MethodPost, "/tagResource", `{"resourceARN":"`+arn+`","tags":[{"key":"b","value":"3"}]}`)
	control(t, p, http.MethodPost, "/untagResource", `{"resourceARN":"`+arn+`","tagKeys":["a"]}`)
	tags(`[{"key":"b","value":"3"}]`)

	if status, _, out := control(t, p, http.MethodDelete, "/inference-profiles/"+id, ""); status != 200 {
		t.Errorf("deleted: %d %v", status, out)
	}
	for _, c := range [][2]string{{http.MethodGet, "/inference-profiles/" + id}, {http.MethodDelete, "/inference-profiles/" + id}, {http.MethodPost, "/listTagsForResource"}} {
		if status, exception, _ := control(t, p, c[0], c[1], `{"resourceARN":"`+arn+`"}`); status != 404 || exception != "ResourceNotFoundException" {
			t.Errorf("%v after the deletion: %d %s", c, status, exception)
		}
	}
}

// A profile that AWS refuses must fail here first.
func TestApplicationInferenceProfileRefused(t *testing.T) {
	t.Parallel()
	const model = "arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-lite-v1:0"
	p := newInferenceProfiles("ap-northeast-1", "123456789012")
	for name, c := range map[string]struct{ name, description, copyFrom, want string }{
		"a model":                        {"a", "", model, ""},
		"a description":                  {"a-b c", "For: team A.", model, ""},
		"no name":                        {"", "", model, "inferenceProfileName"},
		"a name with a dot":              {"a.b", "", model, "inferenceProfileName"},
		"a long name":                    {strings.Repeat("a", 65), "", model, "inferenceProfileName"},
		"a description with a comma":     {"a", "this, that", model, "description"},
		"no model":                       {"a", "", "", "copyFrom"},
		"a model's id":                   {"a", "", "amazon.nova-lite-v1:0", "copyFrom"},
		"a model of another Region":      {"a", "", strings.Replace(model, "ap-northeast-1", "us-east-1", 1), "copyFrom"},
		"a profile's id as a model":      {"a", "", strings.Replace(model, "amazon", "jp.amazon", 1), "copyFrom"},
		"a profile's id":                 {"a", "", "jp.amazon.nova-2-lite-v1:0", "copyFrom"},
		"a profile of another account":   {"a", "", "arn:aws:bedrock:ap-northeast-1:999999999999:inference-profile/jp.amazon.nova-2-lite-v1:0", "copyFrom"},
		"a profile of other geographies": {"a", "", "arn:aws:bedrock:ap-northeast-1:123456789012:inference-profile/us.amazon.nova-2-lite-v1:0", "copyFrom"},
	} {
		in := map[string]any{"inferenceProfileName": c.name, "modelSource": map[string]string{"copyFrom": c.copyFrom}}
		if c.description != "" {
			in["description"] = c.description
		}
		status, exception, out := control(t, p, http.MethodPost, "/inference-profiles", asJSON(t, in))
		message, _ := out["message"].(string)
		if (status == 201) != (c.want == "") || c.want != "" && (status != 400 || exception != "ValidationException" || !strings.Contains(message, c.want)) {
			t.Errorf("%s: %d %s %v, want %q", name, status, exception, out, c.want)
		}
	}
	if status, exception, _ := control(t, p, http.MethodPost, "/inference-profiles", "Hello"); status != 400 || exception != "ValidationException" {
		t.Errorf("no JSON: %d %s", status, exception)
	}
	if status, _, out := control(t, p, http.MethodDelete, "/inference-profiles/jp.amazon.nova-2-lite-v1:0", ""); status != 400 {
		t.Errorf("AWS's own profile was deleted: %d %v", status, out)
	}
}
