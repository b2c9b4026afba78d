//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
)

func (s *running) updatesInPlace(t *testing.T) {
	s.set(t, "local", "logRetentionDays", "30")
	s.set(t, "local", "throttlingRateLimit", "5")
	s.set(t, "local", "reservedConcurrency", "200")
	up := s.pulumi(t, "local", "up", "--yes", "--skip-preview")
	if !strings.Contains(up, "updated") || strings.Contains(up, "replaced") || strings.Contains(up, "created") || strings.Contains(up, "deleted") {
		t.Errorf("want updates only:\n%s", up)
	}
	s.pulumi(t, "local", "preview", "--expect-no-changes")
}

// longestName previews a stack with every kind of resource, whose name is as long as the settings accept: the provider checks
// all names.
func (s *running) longestName(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(s.root, ".local", "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	config, _, _ := strings.Cut(string(content), "encryptionsalt")
	for name, value := range map[string]string{
		"environment": "x", "adoptInvocationLogging": "true", "ssmClient": "true", "maskPersonalData": "true", "guardrailBlockedWords": "[xyzzy]",
		"alarmEmail": "oncall@example.com", "auditorArns": `["` + auditorUser + `"]`,
	} {
		config = regexp.MustCompile(`(?m)^  private-bedrock:`+name+`:.*\n(    - .*\n)*`).ReplaceAllString(config, "")
		config += "  private-bedrock:" + name + ": " + value + "\n"
	}
	if err := os.WriteFile(filepath.Join(s.root, ".local", "Pulumi.long.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "init", "long")
	const system = "bedrock-app-"
	s.set(t, "long", "environment", strings.Repeat("e", 64))
	found := regexp.MustCompile(`want at most (\d+)`).FindStringSubmatch(s.pulumiFails(t, "long", "preview"))
	if found == nil {
		t.Fatal("a name of 76 characters is not refused in the program's own words")
	}
	most, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	s.set(t, "long", "environment", strings.Repeat("e", most-len(system)+1))
	if out := s.pulumiFails(t, "long", "preview"); !strings.Contains(out, "want at most "+found[1]) || strings.Contains(out, "random chars") {
		t.Errorf("a name that is one too long is not refused in the program's own words:\n%s", out)
	}
	s.set(t, "long", "environment", strings.Repeat("e", most-len(system)))
	s.pulumi(t, "long", "preview")
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "rm", "long", "--yes")
}

// redeploys moves the VPC, and with it the endpoint that the API's policy names, and admits another VPC's. API Gateway
// would go on with the old policy until the next deployment.
func (s *running) redeploys(t *testing.T) {
	api, old := s.StackOutputs["apiId"], s.StackOutputs["executeApiEndpointId"]
	const consumer = consumerEndpoint
	s.set(t, "local", "vpcCidr", "10.1.0.0/16")
	s.pulumi(t, "local", "config", "set", "--path", "consumerVpcEndpointIds[0]", consumer)
	s.pulumi(t, "local", "config", "set", "--path", "auditorArns[0]", auditorUser)
	s.pulumi(t, "local", "up", "--yes", "--skip-preview")
	s.StackOutputs = map[string]string{}
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", "local")), &s.StackOutputs); err != nil {
		t.Fatal(err)
	}
	endpoint := s.StackOutputs["executeApiEndpointId"]
	if s.StackOutputs["apiId"] != api || endpoint == old {
		t.Fatalf("want the same API, %s, behind another endpoint than %s: %v", api, old, s.StackOutputs)
	}
	for host, want := range map[string]int{
		api + "-" + endpoint + ".execute-api.localhost": 200, api + "-" + old + ".execute-api.localhost": 403,
		api + "-" + consumer + ".execute-api.localhost": 200, api + "-vpce-0000000000000beef.execute-api.localhost": 403,
	} {
		if status, _, body := s.call(t, http.MethodPost, "/generate/Hello", host, "", ""); status != want {
			t.Errorf("%s: status %d, want %d: %s", host, status, want, body)
		}
	}
}

// grows adds a client instance, a role for auditors and a mask over personal data, and deploys other code.
func (s *running) grows(t *testing.T) {
	s.set(t, "local", "ssmClient", "true")
	s.set(t, "local", "maskPersonalData", "true")
	s.set(t, "local", "archiveAfterDays", "120")
	s.set(t, "local", "functionMemoryMb", "512")
	s.set(t, "local", "reservedConcurrency", "0")
	s.changeFunction(t)
	s.pulumi(t, "local", "config", "set", "--path", "auditorArns[1]", partnerRole)
	s.pulumi(t, "local", "up", "--yes", "--skip-preview")
	s.pulumi(t, "local", "preview", "--expect-no-changes")
	s.pulumi(t, "local", "refresh", "--preview-only") // reads all there is; moto does not know an instance's security groups
	var mask struct{ PolicyDocument string }
	group := map[string]string{"logGroupIdentifier": s.StackOutputs["logGroupName"]}
	if err := s.aws.Target(t.Context(), "logs", "Logs_20140328.GetDataProtectionPolicy", group, &mask); err != nil || !strings.Contains(mask.PolicyDocument, "EmailAddress") {
		t.Errorf("the log group's mask: %v, %.200s", err, mask.PolicyDocument)
	}
}

// keepsForeignLogging: destroy switches nothing off that has become somebody else's; here, it goes to a log group alone.
func (s *running) keepsForeignLogging(t *testing.T) {
	t.Helper()
	own, err := s.aws.Do(t.Context(), "bedrock", http.MethodGet, loggingPath, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var foreign map[string]map[string]any
	if err := json.Unmarshal(own, &foreign); err != nil {
		t.Fatal(err)
	}
	delete(foreign["loggingConfig"], "s3Config")
	theirs, _ := json.Marshal(foreign)
	put := func(config []byte) {
		t.Helper()
		if _, err := s.aws.Do(t.Context(), "bedrock", http.MethodPut, loggingPath, map[string]string{"Content-Type": "application/json"}, config); err != nil {
			t.Fatal(err)
		}
	}
	put(theirs)
	if out := s.pulumiFails(t, "local", "destroy", "--yes", "--skip-preview", "--run-program"); !strings.Contains(out, "belongs to another owner") {
		t.Errorf("destroy does not say whose logging it is:\n%s", out)
	}
	var now struct{ LoggingConfig *invocationlog.Config }
	if err := s.aws.Get(t.Context(), "bedrock", loggingPath, &now); err != nil || now.LoggingConfig == nil || now.LoggingConfig.CloudWatchConfig == nil {
		t.Errorf("destroy switched somebody else's logging off: %+v, %v", now.LoggingConfig, err)
	}
	put(own)
}

func (s *running) destroys(t *testing.T) {
	gone := s.monitoringIsGone(t)
	s.keepsForeignLogging(t)
	s.pulumi(t, "local", "destroy", "--yes", "--skip-preview", "--run-program")
	gone()
	ctx := context.Background()
	if bucket := s.loggingBucket(t); bucket != "" {
		t.Errorf("logging still goes to %s", bucket)
	}
	for _, c := range []struct{ service, version, action string }{
		{"ec2", "2016-11-15", "DescribeVpcs"}, {"ec2", "2016-11-15", "DescribeSubnets"},
		{"ec2", "2016-11-15", "DescribeSecurityGroups"},
		{"ec2", "2016-11-15", "DescribeFlowLogs"}, {"ec2", "2016-11-15", "DescribeRouteTables"},
		{"iam", "2010-05-08", "ListRoles"},
		{"iam", "2010-05-08", "ListInstanceProfiles"},
	} {
		answer, err := s.aws.Do(ctx, c.service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
			[]byte("Action="+c.action+"&Version="+c.version))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer, []byte("bedrock-app")) {
			t.Errorf("%s still lists the stack's:\n%s", c.action, answer)
		}
	}
	endpoints, err := ec2.VPCEndpoints(ctx, s.aws)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range endpoints {
		t.Errorf("endpoint %s is still there", e.ID)
	}
	for service, path := range map[string]string{"s3": "/", "lambda": "/2015-03-31/functions/", "apigateway": "/restapis", "logs": "", "glue": "", "athena": ""} {
		var answer []byte
		if target := map[string]string{"logs": "Logs_20140328.DescribeLogGroups", "glue": "AWSGlue.GetDatabases", "athena": "AmazonAthena.ListWorkGroups"}[service]; target != "" {
			answer, err = s.aws.Do(ctx, service, http.MethodPost, "/", map[string]string{"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}, []byte("{}"))
		} else {
			answer, err = s.aws.Do(ctx, service, http.MethodGet, path, nil, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(answer, []byte("bedrock-app")) || bytes.Contains(answer, []byte("bedrock-logging")) || bytes.Contains(answer, []byte("bedrock-audit")) || bytes.Contains(answer, []byte("bedrock_audit")) {
			t.Errorf("%s still lists the stack's: %s", service, answer)
		}
	}
	var key struct {
		KeyMetadata struct{ KeyState string }
	}
	if err := s.aws.Target(ctx, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": s.StackOutputs["logKeyId"]}, &key); err != nil || key.KeyMetadata.KeyState != "PendingDeletion" {
		t.Errorf("the log's key is %s, %v", key.KeyMetadata.KeyState, err)
	}
	var account struct{ CloudwatchRoleArn string }
	if err := s.aws.Get(ctx, "apigateway", "/account", &account); err != nil || account.CloudwatchRoleArn != "" {
		t.Errorf("API Gateway's account still names role %q, %v", account.CloudwatchRoleArn, err)
	}
	for _, instance := range s.instances(t) {
		t.Errorf("instance %s", instance)
	}
}

// instances lists those that are not terminated.
func (s *running) instances(t *testing.T) (ids []string) {
	t.Helper()
	var out struct {
		Instances []struct {
			ID    string `xml:"instanceId"`
			State string `xml:"instanceState>name"`
		} `xml:"reservationSet>item>instancesSet>item"`
	}
	if err := s.aws.Query(context.Background(), "ec2", "2016-11-15", "DescribeInstances", nil, &out); err != nil {
		t.Fatal(err)
	}
	for _, i := range out.Instances {
		if i.State != "terminated" {
			ids = append(ids, fmt.Sprint(i.ID, " ", i.State))
		}
	}
	return ids
}

// monitoringIsGone is asked before the stack is, and again after.
func (s *running) monitoringIsGone(t *testing.T) (gone func()) {
	topic, err := sns.Topics{Moto: s.aws}.Attributes(t.Context(), s.StackOutputs["alarmTopicArn"])
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		for action, service := range map[string]string{"DescribeAlarms": "monitoring", "ListDashboards": "monitoring", "ListTopics": "sns"} {
			version := map[string]string{"monitoring": "2010-08-01", "sns": "2010-03-31"}[service]
			answer, err := s.aws.Do(t.Context(), service, http.MethodPost, "/", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte("Action="+action+"&Version="+version))
			if err != nil || bytes.Contains(answer, []byte("bedrock-app-local")) {
				t.Errorf("%s still lists the stack's: %s, %v", action, answer, err)
			}
		}
		var rules struct{ Rules []struct{ Name string } }
		if s.target(t, "events", "AWSEvents.ListRules", map[string]string{"NamePrefix": "bedrock-app-local"}, &rules); len(rules.Rules) > 0 {
			t.Errorf("rules %v are still there", rules.Rules)
		}
		var key struct {
			KeyMetadata struct{ KeyState string }
		}
		if s.target(t, "kms", "TrentService.DescribeKey", map[string]string{"KeyId": topic["KmsMasterKeyId"]}, &key); key.KeyMetadata.KeyState != "PendingDeletion" {
			t.Errorf("the topic's key is %s", key.KeyMetadata.KeyState)
		}
	}
}
