//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/bedrock"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/ec2"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
)

// broughtVpc is what the owner of an existing VPC would bring: two subnets, and an execute-api endpoint that lets through
// calls of another API. DNS host names are off, as in every new VPC.
type broughtVpc struct{ vpc, group, endpoint string }

func (s *running) ec2(t *testing.T, action string, parameters map[string]string, out any) {
	t.Helper()
	if err := s.aws.Query(context.Background(), "ec2", "2016-11-15", action, parameters, out); err != nil {
		t.Fatal(err)
	}
}

func (s *running) bringVpc(t *testing.T) (b broughtVpc, subnets [2]string) {
	t.Helper()
	var made struct {
		Vpc    string `xml:"vpc>vpcId"`
		Subnet string `xml:"subnet>subnetId"`
		Group  string `xml:"groupId"`
		Vpce   string `xml:"vpcEndpoint>vpcEndpointId"`
	}
	s.ec2(t, "CreateVpc", map[string]string{"CidrBlock": "172.20.0.0/16"}, &made)
	b.vpc = made.Vpc
	for i, zone := range []string{"a", "c"} {
		s.ec2(t, "CreateSubnet", map[string]string{"VpcId": b.vpc, "CidrBlock": fmt.Sprintf("172.20.%d.0/24", i), "AvailabilityZone": s.Region + zone}, &made)
		subnets[i] = made.Subnet
	}
	s.ec2(t, "CreateSecurityGroup", map[string]string{"VpcId": b.vpc, "GroupName": "endpoints", "GroupDescription": "endpoints"}, &made)
	b.group = made.Group
	var ignored struct{} // docs/deployer.md: only so does the deployer open it to the stack's clients
	s.ec2(t, "CreateTags", map[string]string{"ResourceId.1": b.group, "Tag.1.Key": "System", "Tag.1.Value": "bedrock-app"}, &ignored)
	s.ec2(t, "CreateVpcEndpoint", map[string]string{
		"VpcId": b.vpc, "ServiceName": "com.amazonaws." + s.Region + ".execute-api", "VpcEndpointType": "Interface", "PrivateDnsEnabled": "true",
		"SubnetId.1": subnets[0], "SubnetId.2": subnets[1], "SecurityGroupId.1": b.group,
		"PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Sid":"Owner","Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"arn:aws:execute-api:` + s.Region + ":" + account + `:zzzzzzzzzz/*"}]}`,
	}, &made)
	b.endpoint = made.Vpce
	return b, subnets
}

// user makes a user with an access key.
func (s *running) user(t *testing.T, name, policy string) aws.Credentials {
	t.Helper()
	ctx := context.Background()
	var key struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	var ignored struct{}
	if err := errors.Join(
		iam.Query(ctx, s.aws, "CreateUser", map[string]string{"UserName": name}, &ignored),
		iam.Query(ctx, s.aws, "CreateAccessKey", map[string]string{"UserName": name}, &key),
	); err != nil {
		t.Fatal(err)
	}
	if policy != "" {
		if err := iam.Query(ctx, s.aws, "PutUserPolicy", map[string]string{"UserName": name, "PolicyName": "own", "PolicyDocument": policy}, &ignored); err != nil {
			t.Fatal(err)
		}
	}
	return aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret}
}

// signed calls an API through an endpoint as whom the credentials stand for, with the SDK's own signer.
func (s *running) signed(t *testing.T, who aws.Credentials, host, path, body string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.InvokeURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	sum := sha256.Sum256([]byte(body))
	if err := v4.NewSigner().SignHTTP(context.Background(), who, r, hex.EncodeToString(sum[:]), "execute-api", s.Region, time.Now()); err != nil {
		t.Fatal(err)
	}
	return send(t, r)
}

// secondStack is in a VPC that was there already, with callers who sign, a guardrail and every form of model.
func (s *running) secondStack(t *testing.T) {
	ctx := context.Background()
	first := s.loggingBucket(t)
	content, err := os.ReadFile(filepath.Join(s.root, ".local", "Pulumi.local.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	brought, subnets := s.bringVpc(t)
	var profile struct{ InferenceProfileArn string }
	answer, err := s.aws.Do(ctx, "bedrock", http.MethodPost, "/inference-profiles", map[string]string{"Content-Type": "application/json"},
		[]byte(`{"inferenceProfileName":"team","modelSource":{"copyFrom":"arn:aws:bedrock:`+s.Region+`::foundation-model/amazon.nova-pro-v1:0"}}`))
	if err == nil {
		err = json.Unmarshal(answer, &profile)
	}
	if err != nil {
		t.Fatal(err)
	}
	models := []string{
		"amazon.nova-micro-v1:0", "jp.anthropic.claude-haiku-4-5-20251001-v1:0", "apac.amazon.nova-lite-v1:0", "global.anthropic.claude-sonnet-5",
		profile.InferenceProfileArn,
	}
	provisioned := "arn:aws:bedrock:" + s.Region + ":" + account + ":provisioned-model/a1b2c3d4e5f6"
	config, _, _ := strings.Cut(string(content), "encryptionsalt")
	for _, name := range []string{"vpcCidr", "consumerVpcEndpointIds", "ssmClient", "auditorArns"} { // the first stack's own
		config = regexp.MustCompile(`(?m)^  private-bedrock:`+name+`:.*\n(    - .*\n)*`).ReplaceAllString(config, "")
	}
	config += fmt.Sprintf(`  private-bedrock:manageInvocationLogging: false
  private-bedrock:manageApiGatewayAccount: false
  private-bedrock:vpcId: %s
  private-bedrock:subnetIds: [%s, %s]
  private-bedrock:executeApiEndpointId: %s
  private-bedrock:authorization: AWS_IAM
  private-bedrock:responseStreaming: false
  private-bedrock:callerArns: [%q, %q]
  private-bedrock:allowGlobalInference: true
  private-bedrock:modelIds: ["%s"]
  private-bedrock:alarmEmail: oncall@example.com
  private-bedrock:guardrailBlockedWords: [xyzzy]
  private-bedrock:guardrailContentFilters: [HATE, PROMPT_ATTACK]
  private-bedrock:enforcedGuardrailArns: [%q]
  private-bedrock:serviceTiers: [default, flex]
`, brought.vpc, subnets[0], subnets[1], brought.endpoint, appUser, partnerRole, strings.Join(append(slices.Clone(models), provisioned), `", "`), enforcedGuardrail(s.Region)+":1")
	if err := os.WriteFile(filepath.Join(s.root, ".local", "Pulumi.second.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	app, other := s.user(t, "app", ""), s.user(t, "other", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"execute-api:Invoke","Resource":"*"}]}`)
	command(t, filepath.Join(s.root, ".local"), s.env, "pulumi", "stack", "init", "second")

	if out := s.pulumiFails(t, "second", "preview"); !strings.Contains(out, "enableDnsHostnames false") {
		t.Errorf("a preview in a VPC without DNS host names:\n%s", out)
	}
	var ignored struct{}
	s.ec2(t, "ModifyVpcAttribute", map[string]string{"VpcId": brought.vpc, "EnableDnsHostnames.Value": "true"}, &ignored)
	s.leavesForeignLogging(t, first)
	const warning = "does not allow execute-api:Invoke on"
	if up := s.pulumi(t, "second", "up", "--yes", "--skip-preview"); !strings.Contains(up, warning) {
		t.Errorf("no warning that the brought endpoint's policy lets no call through:\n%s", up)
	}
	var outputs map[string]string
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", "second")), &outputs); err != nil {
		t.Fatal(err)
	}
	if outputs["vpcId"] != brought.vpc || outputs["executeApiEndpointId"] != brought.endpoint {
		t.Errorf("want the VPC and the endpoint that were brought, %+v: %v", brought, outputs)
	}

	before := len(s.objects(t, first))
	host := outputs["apiId"] + "-" + brought.endpoint + ".execute-api.localhost"
	ask := `{"prompt":"Hello","system":"Be brief."}`
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 403 || !strings.Contains(body, "no VPC endpoint policy allows") {
		t.Errorf("before the endpoint's owner lets calls through: status %d: %s", status, body)
	}
	s.ec2(t, "ModifyVpcEndpoint", map[string]string{"VpcEndpointId": brought.endpoint, "PolicyDocument": outputs["executeApiEndpointPolicy"]}, &ignored)
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 200 || !strings.Contains(body, "You said: Hello") {
		t.Errorf("a named caller: status %d: %s", status, body)
	}
	if after := len(s.objects(t, first)); after != before+1 {
		t.Errorf("the first stack's bucket has %d objects, want the second's call as one more than %d", after, before)
	}
	forged := app
	forged.SecretAccessKey = "wrong"
	crossed := outputs["apiId"] + "-" + s.StackOutputs["executeApiEndpointId"] + ".execute-api.localhost" // one stack's endpoint is nobody's key to the other's API
	for name, c := range map[string]struct {
		who        aws.Credentials
		host, want string
	}{
		"another user of the account":            {other, host, "explicit deny"},
		"a wrong secret":                         {forged, host, "signature we calculated does not match"},
		"a key that nobody was given":            {aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x"}, host, "security token"},
		"a named caller at the first's endpoint": {app, crossed, "no VPC endpoint policy allows"},
	} {
		if status, _, body := s.signed(t, c.who, c.host, "/generate", ask); status != 403 || !strings.Contains(body, c.want) {
			t.Errorf("%s: status %d, want 403 and %q: %s", name, status, c.want, body)
		}
	}
	if status, _, body := s.call(t, http.MethodPost, "/generate", host, "application/json", ask); status != 403 || !strings.Contains(body, "Missing Authentication Token") {
		t.Errorf("unsigned: status %d: %s", status, body)
	}
	for _, model := range models {
		question, _ := json.Marshal(map[string]string{"prompt": "Hello", "model": model})
		if status, _, body := s.signed(t, app, host, "/generate", string(question)); status != 200 {
			t.Errorf("%s: status %d: %s", model, status, body)
		}
	}
	for _, blocked := range []string{`{"prompt":"say xyzzy"}`, `{"prompt":"Hello","system":"say xyzzy"}`} {
		if status, _, body := s.signed(t, app, host, "/generate", blocked); status != 200 || !strings.Contains(body, "guardrail_intervened") || strings.Contains(body, "You said") {
			t.Errorf("the guardrail lets %s through: status %d: %s", blocked, status, body)
		}
	}
	s.readmeSigned(t, app, host)
	s.sdksSign(t, app, outputs)
	s.recordsWhoSigned(t, outputs)
	t.Run("tools' definitions, inputs and results are evaluated", func(t *testing.T) { s.guardsTools(t, app, outputs) })
	t.Run("every rule is proved on the deployed policies", func(t *testing.T) { s.proves(t, outputs) })

	if preview := s.pulumi(t, "second", "preview", "--refresh", "--expect-no-changes"); strings.Contains(preview, warning) {
		t.Errorf("a warning although the endpoint's owner lets calls through:\n%s", preview)
	}
	s.pulumi(t, "second", "config", "set", "--path", "guardrailBlockedWords[0]", "plugh")
	s.pulumi(t, "second", "config", "rm", "callerArns") // and now whom IAM lets
	enforced := s.enforceGuardrail(t)
	if status, _, body := s.signed(t, app, host, "/generate", ask); status != 403 {
		t.Errorf("with an enforced guardrail that the stack does not name: status %d, want 403: %s", status, body)
	}
	s.pulumi(t, "second", "config", "set", "--path", "enforcedGuardrailArns[0]", enforced.arn+":1")
	s.pulumi(t, "second", "up", "--yes", "--skip-preview")
	app, other = other, app
	enforced.answersOnlyWhereNamed(t, func(prompt string) (int, string) {
		status, _, body := s.signed(t, app, host, "/generate", `{"prompt":"`+prompt+`"}`)
		return status, body
	})
	if status, _, body := s.signed(t, other, host, "/generate", ask); status != 403 || !strings.Contains(body, "no identity-based policy allows") {
		t.Errorf("a user whom no policy lets: status %d: %s", status, body)
	}
	t.Run("without named callers, IAM's policies decide", func(t *testing.T) { s.provesIam(t, outputs) })
	for word, want := range map[string]bool{"plugh": true, "xyzzy": false} {
		if _, _, body := s.signed(t, app, host, "/generate", `{"prompt":"say `+word+`"}`); strings.Contains(body, "guardrail_intervened") != want {
			t.Errorf("after a change of the guardrail's words, %s: %s", word, body)
		}
	}
	s.pulumi(t, "second", "destroy", "--yes", "--skip-preview") // nothing to look at before: it never managed the logging
	if now := s.loggingBucket(t); now != first {
		t.Errorf("logging goes to %q, want %q as before the second stack", now, first)
	}
	s.keepsBroughtVpc(t, brought, outputs["executeApiEndpointPolicy"])
}

// leavesForeignLogging: a stack that would take the account's logging over says whose it is, at preview, and asks.
func (s *running) leavesForeignLogging(t *testing.T, bucket string) {
	t.Helper()
	s.set(t, "second", "manageInvocationLogging", "true")
	if out := s.pulumiFails(t, "second", "preview"); !strings.Contains(out, "belongs to another owner") || !strings.Contains(out, bucket) || !strings.Contains(out, "set adoptInvocationLogging to true") {
		t.Errorf("the preview does not name %s, whose logging it is:\n%s", bucket, out)
	}
	s.set(t, "second", "adoptInvocationLogging", "true")
	s.pulumi(t, "second", "preview")
	s.set(t, "second", "adoptInvocationLogging", "false")
	s.set(t, "second", "manageInvocationLogging", "false")
}

// recordsWhoSigned: the log names the caller, the model as AWS does, and the guardrail.
func (s *running) recordsWhoSigned(t *testing.T, outputs map[string]string) {
	t.Helper()
	regions, callers := map[string]bool{}, 0
	for _, line := range s.events(t, s.StackOutputs["logGroupName"]) {
		var r bedrock.Record
		if json.Unmarshal([]byte(line), &r) != nil || !strings.Contains(r.Identity.ARN, "bedrock-app-second-function") {
			continue
		}
		callers++
		if strings.Contains(string(r.Input.BodyJSON), "mine") {
			t.Errorf("a caller's own guardrail: %s", r.Input.BodyJSON)
		}
		regions[r.InferenceRegion] = true
		if r.RequestMetadata["caller"] != appUser || r.RequestMetadata["sourceVpce"] != outputs["executeApiEndpointId"] {
			t.Errorf("metadata %v, want caller %s", r.RequestMetadata, appUser)
		}
		if !bytes.Contains(r.Input.BodyJSON, []byte(`"guardrailIdentifier":"`+outputs["guardrailId"]+`"`)) {
			t.Errorf("a call without the guardrail: %s", r.Input.BodyJSON)
		}
	}
	if callers != 12 || !regions[s.Region] {
		t.Errorf("%d records of the second stack's calls, in %v; want 12", callers, regions)
	}
	log := strings.Join(s.events(t, outputs["accessLogGroupName"]), "\n")
	if !strings.Contains(log, appUser) {
		t.Errorf("the access log does not name %s:\n%s", appUser, log)
	}
}

// keepsBroughtVpc: what its owner brought is there after destroy as it was before; then its owner takes it away.
func (s *running) keepsBroughtVpc(t *testing.T, b broughtVpc, policy string) {
	t.Helper()
	endpoints, err := ec2.VPCEndpoints(context.Background(), s.aws)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range endpoints {
		if e.VpcID == b.vpc {
			left = append(left, e.ID)
			if e.Policy != policy {
				t.Errorf("the brought endpoint's policy was changed: %s", e.Policy)
			}
		}
	}
	if !slices.Equal(left, []string{b.endpoint}) {
		t.Errorf("the brought VPC has endpoints %v, want %s alone", left, b.endpoint)
	}
	var groups struct {
		Items []struct {
			ID    string   `xml:"groupId"`
			Rules []string `xml:"ipPermissions>item>ipProtocol"`
		} `xml:"securityGroupInfo>item"`
	}
	s.ec2(t, "DescribeSecurityGroups", map[string]string{"GroupId.1": b.group}, &groups)
	if len(groups.Items) != 1 || len(groups.Items[0].Rules) != 0 {
		t.Errorf("the brought group is left as %+v, want no rule", groups.Items)
	}
	var ignored struct{}
	s.ec2(t, "DeleteVpcEndpoints", map[string]string{"VpcEndpointId.1": b.endpoint}, &ignored)
	s.ec2(t, "DeleteTags", map[string]string{"ResourceId.1": b.group, "Tag.1.Key": "System"}, &ignored)
}
