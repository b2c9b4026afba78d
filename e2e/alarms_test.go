//go:build e2e

package e2e

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/cloudwatch"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
)

// breaks has every deployed alarm ring, by what the system itself does when a part of it is broken, and compares what was
// heard by now with what is deployed.
func (s *running) breaks(t *testing.T, l *listener, read func(service, path string) []byte) {
	ctx := t.Context()
	out := s.StackOutputs
	do := func(service, method, path string, body []byte) {
		t.Helper()
		if _, err := s.aws.Do(ctx, service, method, path, map[string]string{"Content-Type": "application/json"}, body); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(prompt string, want int) {
		t.Helper()
		body, _ := json.Marshal(map[string]string{"prompt": prompt})
		if status, _, answer := s.call(t, http.MethodPost, "/generate", "", "application/json", string(body)); status != want {
			t.Errorf("status %d, want %d: %.200s", status, want, answer)
		}
	}
	policy := read("s3", "/"+out["logBucketName"]+"?policy")
	do("s3", http.MethodDelete, "/"+out["logBucketName"]+"?policy", nil)
	ask("small", 200)
	l.until(t, "delivery-s3")
	ask(strings.Repeat("x", 150<<10), 200)
	l.until(t, "delivery-large")
	do("s3", http.MethodPut, "/"+out["logBucketName"]+"?policy", policy)

	var configured struct{ LoggingConfig *invocationlog.Config }
	if err := json.Unmarshal(read("bedrock", "/logging/modelinvocations"), &configured); err != nil {
		t.Fatal(err)
	}
	role := configured.LoggingConfig.CloudWatchConfig.RoleArn
	role = role[strings.LastIndex(role, "/")+1:]
	p := &proof{documents: map[string]string{}}
	s.readRole(t, p, "delivery", role)
	of := map[string]string{"RoleName": role, "PolicyName": s.rolePolicyName(t, role)}
	s.query(t, "iam", "2010-05-08", "DeleteRolePolicy", of)
	ask("not in CloudWatch Logs", 200)
	l.until(t, "delivery-logs")
	of["PolicyDocument"] = p.documents["delivery role"]
	s.query(t, "iam", "2010-05-08", "PutRolePolicy", of)

	function := "/2015-03-31/functions/" + out["functionName"]
	code, err := os.ReadFile(filepath.Join(s.root, ".build", "function-"+map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	deploy := func(zipped []byte) {
		t.Helper()
		body, _ := json.Marshal(map[string]any{"ZipFile": zipped})
		do("lambda", http.MethodPut, function+"/code", body)
	}
	deploy(crashing(t))
	ask("the function crashes", 500)
	l.until(t, "errors")
	if !l.heard["function"] {
		t.Error("no alarm reports that the function's code was changed")
	}
	do("lambda", http.MethodPut, "/2017-10-31/functions/"+out["functionName"]+"/concurrency", []byte(`{"ReservedConcurrentExecutions":0}`))
	ask("Lambda starts no function", 500)
	l.until(t, "throttles")
	do("lambda", http.MethodDelete, "/2017-10-31/functions/"+out["functionName"]+"/concurrency", nil)

	logging := read("bedrock", "/logging/modelinvocations")
	do("bedrock", http.MethodDelete, "/logging/modelinvocations", nil)
	deploy(code) // its copies look at their start
	for range 5 {
		ask("not kept", 503)
	}
	l.until(t, "refused")
	l.until(t, "api-5xx")
	do("bedrock", http.MethodPut, "/logging/modelinvocations", logging)

	s.slowCallsRing(t, l)
	var rules struct{ Rules []struct{ Name string } }
	s.target(t, "events", "AWSEvents.ListRules", map[string]string{"NamePrefix": "bedrock-app-local-watch-"}, &rules)
	deployed, err := cloudwatch.MetricAlarms(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, r := range rules.Rules {
		names[strings.TrimPrefix(r.Name, "bedrock-app-local-watch-")] = true
	}
	for _, a := range deployed {
		names[strings.TrimPrefix(a.Name, "bedrock-app-local-watch-")] = true
	}
	if !maps.Equal(names, l.heard) {
		t.Errorf("deployed are %v, heard %v", slices.Sorted(maps.Keys(names)), slices.Sorted(maps.Keys(l.heard)))
	}
}

func (s *running) rolePolicyName(t *testing.T, role string) string {
	t.Helper()
	var inline struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	if err := iam.Query(t.Context(), s.aws, "ListRolePolicies", map[string]string{"RoleName": role}, &inline); err != nil || len(inline.Names) != 1 {
		t.Fatalf("policies of %s: %v, %v", role, inline.Names, err)
	}
	return inline.Names[0]
}

// slowCallsRing: nobody waits for a quarter of an hour here. The deployed alarm is evaluated on calls of the last one.
func (s *running) slowCallsRing(t *testing.T, l *listener) {
	t.Helper()
	var api struct{ Name string }
	if err := s.aws.Get(t.Context(), "apigateway", "/restapis/"+s.StackOutputs["apiId"], &api); err != nil {
		t.Fatal(err)
	}
	deployed, err := cloudwatch.MetricAlarms(t.Context(), s.aws)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	calls := func(slow time.Duration) (all []cloudwatch.Sample) {
		for age := time.Minute; age < 15*time.Minute; age += 30 * time.Second {
			for i := range 10 {
				one := cloudwatch.Sample{
					Namespace: "AWS/ApiGateway", Metric: "Latency", Dimensions: map[string]string{"ApiName": api.Name, "Stage": "api"}, Value: 1000, At: now.Add(-age),
				}
				if i < 2 && age < slow {
					one.Value = 61_000
				}
				all = append(all, one)
			}
		}
		return all
	}
	for _, a := range deployed {
		if !strings.HasSuffix(a.Name, "-api-latency") {
			continue
		}
		for slow, want := range map[time.Duration]string{15 * time.Minute: "ALARM", 9 * time.Minute: "OK", 0: "OK"} {
			if state, err := a.State(calls(slow), now); state != want || err != nil {
				t.Errorf("one call in five slow for %v: %s, %v, want %s", slow, state, err, want)
			}
		}
		l.heard["api-latency"] = true
	}
}

// staysSilent: what no rule can tell of is that it cannot tell.
func (s *running) staysSilent(t *testing.T, l *listener) {
	t.Helper()
	l.messages(t)
	s.query(t, "sns", "2010-03-31", "SetTopicAttributes", map[string]string{
		"TopicArn": s.StackOutputs["alarmTopicArn"], "AttributeName": "Policy", "AttributeValue": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + account + `"},"Action":"sns:Subscribe","Resource":"*"}]}`,
	})
	s.target(t, "kms", "TrentService.DisableKeyRotation", map[string]string{"KeyId": s.StackOutputs["logKeyId"]}, nil)
	s.target(t, "events", "AWSEvents.DisableRule", map[string]string{"Name": "bedrock-app-local-watch-watch"}, nil)
	if heard := slices.DeleteFunc(l.messages(t), func(m string) bool { return strings.Contains(m, " is ") }); len(heard) > 0 {
		t.Errorf("heard %q: the threat model is wrong", heard)
	}
}

// crashing is a function's code that ends at once.
func crashing(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	file, err := w.CreateHeader(header)
	if err == nil {
		_, err = io.WriteString(file, "#!/bin/sh\nexit 1\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
