package deployer

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
)

var update = flag.Bool("update", false, "rewrite the policies from testdata, which make e2e compares with the calls it sees")

// document is a policy and the rights that it is made from.
type document struct {
	file   string
	rights []Right
	beside []Right // the rights of another policy that the same role has
}

func documents(t *testing.T) []document {
	t.Helper()
	read := func(name string) (rights []Right) {
		content, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			right, err := Parse(line)
			if err != nil {
				t.Fatal(err)
			}
			rights = append(rights, right)
		}
		return rights
	}
	preview, deploy := read("preview.txt"), append(read("deploy.txt"), Implied...)
	services, ec2AndIam := []Right{}, []Right{}
	for _, r := range deploy {
		if OfEc2AndIam(r) {
			ec2AndIam = append(ec2AndIam, r)
		} else {
			services = append(services, r)
		}
	}
	return []document{
		{"../../policies/preview-policy.json", preview, nil},
		{"../../policies/deployer-policy.json", services, preview},
		{"../../policies/deployer-policy-ec2-iam.json", ec2AndIam, preview},
	}
}

func parse(t *testing.T, content []byte) iampolicy.Document {
	t.Helper()
	d, err := iampolicy.ParseIdentity(string(content))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func load(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// allows reports whether the policies allow a right on a resource that matches its pattern.
func allows(policies []iampolicy.Document, r Right) bool {
	return allowsIn(policies, r.Action, r.Resource, r.Context())
}

func allowsIn(policies []iampolicy.Document, action, resource string, context map[string][]string) bool {
	if resource != "*" {
		resource = strings.ReplaceAll(resource, "*", "1a2b3c4")
	}
	return iampolicy.SameAccount(policies, nil, iampolicy.Request{Action: action, Resource: resource, Context: context}) == iampolicy.Allow
}

// The policies contain exactly the rights in testdata.
func TestPolicies(t *testing.T) { // not parallel: runs before the tests that read the files
	for _, d := range documents(t) {
		want, err := Policy(d.rights, d.beside)
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(d.file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := load(t, d.file); !bytes.Equal(got, want) {
			t.Errorf("%s doesn't match the rights in testdata: run go test ./internal/deployer -update", d.file)
		}
	}
}

// The policies allow every right of a deployment.
func TestEveryRightIsAllowed(t *testing.T) {
	t.Parallel()
	var policies []iampolicy.Document
	for _, d := range documents(t) { // preview first, because the deployer has all policies
		policies = append(policies, parse(t, load(t, d.file)))
		for _, r := range d.rights {
			if !allows(policies, r) {
				t.Errorf("%s denies %s", d.file, r)
			}
		}
	}
}

// Every part of a policy is used. An unused right would only help an attacker.
func TestNothingIsUnused(t *testing.T) {
	t.Parallel()
	var beside []iampolicy.Document
	for _, d := range documents(t) {
		var whole struct {
			Version   string
			Statement []statement
		}
		if err := json.Unmarshal(load(t, d.file), &whole); err != nil {
			t.Fatal(err)
		}
		for i, s := range whole.Statement {
			if s.Effect == "Deny" { // see TestTagsOpenNothing
				continue
			}
			for without, mutant := range mutants(s) {
				changed := whole
				changed.Statement = slices.Concat(whole.Statement[:i], mutant, whole.Statement[i+1:])
				content, err := json.Marshal(changed)
				if err != nil {
					t.Fatal(err)
				}
				policies := append(slices.Clone(beside), parse(t, content))
				if !slices.ContainsFunc(d.rights, func(r Right) bool { return slices.Contains(s.Action, r.Action) && !allows(policies, r) }) {
					t.Errorf("%s: nothing needs %s in the statement of %s", d.file, without, s.Action[0])
				}
			}
		}
		beside = append(beside, parse(t, load(t, d.file)))
	}
}

// mutants returns variants of a statement without the statement, an action, a resource or a value of a condition.
func mutants(s statement) map[string][]statement {
	all := map[string][]statement{"anything": nil}
	without := func(list []string, set func(m *statement, shorter []string)) {
		for i, item := range list {
			if len(list) > 1 {
				m := s
				set(&m, slices.Delete(slices.Clone(list), i, i+1))
				all[item] = []statement{m}
			}
		}
	}
	without(s.Action, func(m *statement, shorter []string) { m.Action = shorter })
	without(s.Resource, func(m *statement, shorter []string) { m.Resource = shorter })
	for key, values := range s.Condition["StringEquals"] {
		without(values, func(m *statement, shorter []string) {
			m.Condition = map[string]map[string][]string{"StringEquals": {key: shorter}}
		})
	}
	return all
}

// The deployer can't read a prompt, call a model, delete records, or change another system's resources.
func TestDeniedToTheDeployer(t *testing.T) {
	t.Parallel()
	const (
		record   = "arn:aws:s3:::bedrock-logging-1a2b3c4/bedrock/AWSLogs/123456789012/BedrockModelInvocationLogs/ap-northeast-1/2026/11/23/00/1.json.gz"
		logGroup = "arn:aws:logs:ap-northeast-1:123456789012:log-group:/aws/bedrock/bedrock-logging-1a2b3c4:*"
		key      = "arn:aws:kms:ap-northeast-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
		query    = "arn:aws:athena:ap-northeast-1:123456789012:workgroup/bedrock-audit-1a2b3c4"
		roles    = "arn:aws:iam::123456789012:role/"
	)
	var policies []iampolicy.Document
	for _, d := range documents(t) {
		policies = append(policies, parse(t, load(t, d.file)))
	}
	for _, c := range []struct {
		name, actions, resource string
		key, value              string
	}{
		{name: "records are read", actions: "s3:GetObject s3:GetObjectVersion s3:GetObjectAttributes s3:RestoreObject s3:SelectObjectContent", resource: record},
		{name: "records are written, deleted or unlocked", actions: "s3:PutObject s3:DeleteObject s3:DeleteObjectVersion s3:BypassGovernanceRetention s3:PutObjectRetention s3:ReplicateObject", resource: record},
		{name: "the access log is read or deleted", actions: "s3:GetObject s3:PutObject s3:DeleteObject s3:DeleteObjectVersion", resource: "arn:aws:s3:::bedrock-logging-access-1a2b3c4/2026-11-23-00-00-00-x"},
		{name: "answers of queries are read", actions: "s3:GetObject s3:GetObjectVersion s3:PutObject", resource: "arn:aws:s3:::bedrock-audit-1a2b3c4/1.csv"},
		{name: "the log's buckets are deleted", actions: "s3:DeleteBucket s3:DeleteBucketPolicy", resource: "arn:aws:s3:::bedrock-logging-1a2b3c4"},
		{name: "the log group is read, unmasked, written or deleted", resource: logGroup,
			actions: "logs:FilterLogEvents logs:GetLogEvents logs:GetLogRecord logs:StartQuery logs:StartLiveTail logs:Unmask logs:PutLogEvents logs:DeleteLogGroup logs:DeleteLogStream logs:PutSubscriptionFilter logs:AssociateKmsKey"},
		{name: "records are decrypted, or their key is taken away", actions: "kms:Decrypt kms:GenerateDataKey kms:ReEncryptFrom kms:CreateGrant kms:DisableKey kms:PutKeyPolicy kms:ScheduleKeyDeletion", resource: key},
		{name: "the log's key is deleted by the stack's tag", actions: "kms:ScheduleKeyDeletion", resource: key, key: systemTag, value: "bedrock-app"},
		{name: "the log's key is deleted, tagged as the alarms' key first", actions: "kms:TagResource", resource: key, key: "kms:ResourceAliases", value: "alias/bedrock-logging-1a2b3c4"},
		{name: "the log's key loses its alias or its tags", actions: "kms:DeleteAlias kms:UpdateAlias kms:UntagResource", resource: key},
		{name: "queries are run or read", actions: "athena:StartQueryExecution athena:GetQueryExecution athena:GetQueryResults", resource: query},
		{name: "models are called", actions: "bedrock:InvokeModel bedrock:InvokeModelWithResponseStream bedrock:ApplyGuardrail", resource: "arn:aws:bedrock:ap-northeast-1::foundation-model/amazon.nova-micro-v1:0"},
		{name: "logging is switched off", actions: "bedrock:DeleteModelInvocationLoggingConfiguration", resource: "*"},
		{name: "the function is called", actions: "lambda:InvokeFunction", resource: "arn:aws:lambda:ap-northeast-1:123456789012:function:bedrock-app-dev-function-1a2b3c4"},
		{name: "the instance is entered", actions: "ssm:StartSession ssm:SendCommand", resource: "arn:aws:ec2:ap-northeast-1:123456789012:instance/i-0123456789abcdef0"},
		{name: "a role is assumed", actions: "sts:AssumeRole", resource: roles + "bedrock-audit-reader-1a2b3c4"},
		{name: "people get keys", actions: "iam:CreateUser iam:CreateAccessKey iam:CreateLoginProfile iam:PutUserPolicy", resource: "arn:aws:iam::123456789012:user/mallory"},
		{name: "other roles are changed or passed", actions: "iam:CreateRole iam:PutRolePolicy iam:UpdateAssumeRolePolicy iam:PassRole", resource: roles + "admin", key: "iam:PassedToService", value: "lambda.amazonaws.com"},
		{name: "the deployer's own role is changed", actions: "iam:PutRolePolicy iam:AttachRolePolicy iam:DeleteRolePermissionsBoundary", resource: roles + "private-bedrock-deployer"},
		{name: "an administrator's policy is attached", actions: "iam:AttachRolePolicy", resource: roles + "api-gateway-account-1a2b3c4", key: "iam:PolicyARN", value: "arn:aws:iam::aws:policy/AdministratorAccess"},
		{name: "the function's role is an instance's", actions: "iam:PassRole", resource: roles + "bedrock-app-dev-function-1a2b3c4", key: "iam:PassedToService", value: "ec2.amazonaws.com"},
		{name: "another VPC is deleted", actions: "ec2:DeleteVpc ec2:ModifyVpcAttribute", resource: "arn:aws:ec2:ap-northeast-1:123456789012:vpc/vpc-0123456789abcdef0", key: systemTag, value: "payroll"},
		{name: "another system's ports are opened", actions: "ec2:AuthorizeSecurityGroupIngress", resource: "arn:aws:ec2:ap-northeast-1:123456789012:security-group/sg-0123456789abcdef0"},
		{name: "another VPC becomes the stack's by its tag", actions: "ec2:CreateTags ec2:DeleteTags", resource: "arn:aws:ec2:ap-northeast-1:123456789012:vpc/vpc-0123456789abcdef0"},
		{name: "another endpoint is opened", actions: "ec2:ModifyVpcEndpoint ec2:DeleteVpcEndpoints", resource: "arn:aws:ec2:ap-northeast-1:123456789012:vpc-endpoint/vpce-0123456789abcdef0"},
		{name: "other instances are ended", actions: "ec2:TerminateInstances", resource: "arn:aws:ec2:ap-northeast-1:123456789012:instance/i-0123456789abcdef0"},
		{name: "another region is used", actions: "lambda:CreateFunction", resource: "arn:aws:lambda:us-east-1:123456789012:function:bedrock-app-dev-function-1a2b3c4"},
	} {
		context := map[string][]string{systemRequestTag: {"bedrock-app"}} // the deployer chooses it
		if c.key != "" {
			context[c.key] = []string{c.value}
		}
		for action := range strings.FieldsSeq(c.actions) {
			if allowsIn(policies, action, c.resource, context) {
				t.Errorf("%s: %s", c.name, action)
			}
		}
	}
}

// A right that depends on a tag is only as strong as the right to set that tag. The deployer can't tag the log's key or
// another owner's resource, and then delete or change it.
func TestTagsOpenNothing(t *testing.T) {
	t.Parallel()
	tagging := map[string]string{"kms": "kms:TagResource", "ec2": "ec2:CreateTags"}
	requested := map[string][]string{systemRequestTag: {"bedrock-app"}, "aws:RequestTag/Name": {"bedrock-app-dev-watch"}}
	tagged := map[string][]string{systemTag: {"bedrock-app"}, topicKeyTag: {"bedrock-app-dev-watch"}}
	owned := []struct {
		name, service string
		context       map[string][]string
	}{
		{"another system's, by its tag", "kms", map[string][]string{systemTag: {"payroll"}}},
		{"another stack's alarms' key", "kms", map[string][]string{systemTag: {"bedrock-app"}, topicKeyTag: {"bedrock-app-prod-watch"}}},
		{"the log's key, without its tags", "kms", map[string][]string{"kms:ResourceAliases": {"alias/bedrock-logging-1a2b3c4"}}},
		{"another system's, by its alias", "kms", map[string][]string{"kms:ResourceAliases": {"alias/payroll"}}},
		{"another system's, by its tag", "ec2", map[string][]string{systemTag: {"payroll"}}},
	}
	var files [][]byte
	for _, d := range documents(t) {
		files = append(files, load(t, d.file))
	}
	with := func(all ...map[string][]string) map[string][]string {
		context := map[string][]string{}
		for _, one := range all {
			maps.Copy(context, one)
		}
		return context
	}
	parsed := func(files [][]byte) (policies []iampolicy.Document) {
		for _, file := range files {
			policies = append(policies, parse(t, file))
		}
		return policies
	}
	// opened are the resources that the deployer can tag, or delete once they are tagged.
	opened := func(files [][]byte) (names []string) {
		policies := parsed(files)
		for _, file := range files {
			var whole struct{ Statement []statement }
			if err := json.Unmarshal(file, &whole); err != nil {
				t.Fatal(err)
			}
			for _, s := range whole.Statement {
				if !slices.ContainsFunc(slices.Sorted(maps.Keys(s.Condition["StringEquals"])), func(key string) bool { return strings.HasPrefix(key, "aws:ResourceTag/") }) {
					continue
				}
				service, _, _ := strings.Cut(s.Action[0], ":")
				if tagging[service] == "" {
					t.Errorf("%s depends on a tag: name the action that sets one", s.Action[0])
				}
				for _, resource := range s.Resource {
					for _, o := range owned {
						if o.service != service {
							continue
						}
						if allowsIn(policies, tagging[service], resource, with(o.context, requested)) {
							names = append(names, "tagging "+resource+": "+o.name)
						}
						if o.context["kms:ResourceAliases"] != nil && allowsIn(policies, s.Action[0], resource, with(o.context, tagged)) {
							names = append(names, s.Action[0]+" of "+resource+": "+o.name)
						}
					}
				}
			}
		}
		return names
	}
	if got := opened(files); got != nil {
		t.Errorf("the deployer may reach %q", got)
	}
	for i, file := range files { // every Deny has an effect
		var whole struct {
			Version   string
			Statement []statement
		}
		if err := json.Unmarshal(file, &whole); err != nil {
			t.Fatal(err)
		}
		for j, s := range whole.Statement {
			if s.Effect != "Deny" {
				continue
			}
			changed := whole
			changed.Statement = slices.Delete(slices.Clone(whole.Statement), j, j+1)
			content, err := json.Marshal(changed)
			if err != nil {
				t.Fatal(err)
			}
			mutant := slices.Clone(files)
			if mutant[i] = content; opened(mutant) == nil {
				t.Errorf("nothing needs the statement that denies %v with %v", s.Action, s.Condition)
			}
		}
	}
	// The tags of a deployment stay allowed: on a new key, on the default security group of a new VPC, and on EC2
	// resources when they are created.
	for _, new := range []struct {
		action, resource string
		context          map[string][]string
	}{
		{"kms:TagResource", "arn:aws:kms:ap-northeast-1:123456789012:key/*", requested},
		{"ec2:CreateTags", "arn:aws:ec2:ap-northeast-1:123456789012:security-group/*", requested},
		{"ec2:CreateTags", "arn:aws:ec2:ap-northeast-1:123456789012:subnet/*", with(tagged, map[string][]string{"ec2:CreateAction": {"CreateSubnet"}})},
	} {
		if !allowsIn(parsed(files), new.action, new.resource, new.context) {
			t.Errorf("%s of a new resource is denied: %v", new.action, new.context)
		}
	}
}

// A preview only reads, because it runs the pull request's own code.
func TestPreviewOnlyReads(t *testing.T) {
	t.Parallel()
	reads := regexp.MustCompile(`^(apigateway:GET|[a-z0-9]+:(Get|List|Describe)\w+)$`)
	for _, r := range documents(t)[0].rights {
		if !reads.MatchString(r.Action) {
			t.Errorf("a preview may %s", r)
		}
	}
}

// A policy whose placeholders aren't filled in names another account's resources.
func TestPoliciesAreFilledIn(t *testing.T) {
	t.Parallel()
	page := load(t, "../../docs/deployer.md")
	for _, d := range documents(t) {
		for _, placeholder := range []string{"ap-northeast-1", "123456789012", "bedrock-app-dev", `"bedrock-app"`} {
			if bytes.Contains(load(t, d.file), []byte(placeholder)) && !bytes.Contains(page, []byte("'s|"+placeholder+"|")) {
				t.Errorf("%s: the page does not fill in %s", d.file, placeholder)
			}
		}
	}
}

// The policies are within AWS's limit. Otherwise, an administrator could attach a wider policy instead.
func TestPoliciesFit(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		// The longest name of a stack: maxName in config.go.
		document := bytes.ReplaceAll(load(t, d.file), []byte("bedrock-app-dev"), bytes.Repeat([]byte("a"), 37))
		var compact bytes.Buffer
		if err := json.Compact(&compact, document); err != nil {
			t.Fatal(err)
		}
		// IAM User Guide, "IAM and AWS STS quotas": the size of a managed policy, of which a role can have ten.
		if compact.Len() > 6144 {
			t.Errorf("%s has %d characters without white space, want at most 6144", d.file, compact.Len())
		}
	}
}

// Each call requires the correct rights. Otherwise, the policy would be too wide or too narrow.
func TestRights(t *testing.T) {
	t.Parallel()
	const arn = ":ap-northeast-1:123456789012:"
	for _, c := range []struct {
		service, method, uri string
		header               http.Header
		body                 string
		want                 []string
	}{
		{service: "ec2", body: "Action=CreateSubnet&VpcId=vpc-0123456789abcdef0&TagSpecification.1.ResourceType=subnet", want: []string{
			"ec2:CreateSubnet arn:aws:ec2" + arn + "subnet/*", "ec2:CreateSubnet arn:aws:ec2" + arn + "vpc/vpc-0123456789abcdef0",
			"ec2:CreateTags arn:aws:ec2" + arn + "subnet/* ec2:CreateAction=CreateSubnet",
		}},
		{service: "ec2", body: "Action=DeleteVpc&VpcId=vpc-0123456789abcdef0", want: []string{"ec2:DeleteVpc arn:aws:ec2" + arn + "vpc/vpc-0123456789abcdef0 aws:ResourceTag/System="}},
		{service: "ec2", body: "Action=DescribeVpcs", want: []string{"ec2:DescribeVpcs *"}},
		{service: "ec2", body: "Action=DeleteVolume&VolumeId=vol-0123456789abcdef0"},
		{service: "s3", method: "PUT", uri: "/b", header: http.Header{"X-Amz-Bucket-Object-Lock-Enabled": {"true"}}, want: []string{
			"s3:CreateBucket arn:aws:s3:::b", "s3:PutBucketObjectLockConfiguration arn:aws:s3:::b", "s3:PutBucketVersioning arn:aws:s3:::b",
		}},
		{service: "s3", method: "DELETE", uri: "/b?lifecycle=", want: []string{"s3:PutLifecycleConfiguration arn:aws:s3:::b"}},
		{service: "s3", method: "DELETE", uri: "/b?policy=", want: []string{"s3:DeleteBucketPolicy arn:aws:s3:::b"}},
		{service: "s3", method: "HEAD", uri: "/b", want: []string{"s3:ListBucket arn:aws:s3:::b"}},
		{service: "s3", method: "GET", uri: "/b/record.json.gz"},
		{service: "s3", method: "GET", uri: "/b?inventory="},
		{service: "apigateway", method: "PATCH", uri: "/restapis/abc", body: `{"patchOperations":[{"op":"replace","path":"/policy","value":"{}"}]}`, want: []string{
			"apigateway:PATCH arn:aws:apigateway:ap-northeast-1::/restapis/abc", "apigateway:UpdateRestApiPolicy arn:aws:apigateway:ap-northeast-1::/restapis/abc",
		}},
		{service: "apigateway", method: "PATCH", uri: "/account", body: `{"patchOperations":[{"op":"replace","path":"/cloudwatchRoleArn","value":"arn:aws:iam::123456789012:role/r"}]}`, want: []string{
			"apigateway:PATCH arn:aws:apigateway:ap-northeast-1::/account", "iam:PassRole arn:aws:iam::123456789012:role/r iam:PassedToService=apigateway.amazonaws.com",
		}},
		{service: "lambda", uri: "/2015-03-31/functions", body: `{"FunctionName":"f","Role":"arn:aws:iam::123456789012:role/r","Tags":{"System":"x"}}`, want: []string{
			"lambda:CreateFunction arn:aws:lambda" + arn + "function:f", "iam:PassRole arn:aws:iam::123456789012:role/r iam:PassedToService=lambda.amazonaws.com", "lambda:TagResource arn:aws:lambda" + arn + "function:f",
		}},
		{service: "lambda", method: "PUT", uri: "/2017-10-31/functions/f/concurrency", want: []string{"lambda:PutFunctionConcurrency arn:aws:lambda" + arn + "function:f"}},
		{service: "lambda", method: "DELETE", uri: "/2017-10-31/functions/f/concurrency", want: []string{"lambda:DeleteFunctionConcurrency arn:aws:lambda" + arn + "function:f"}},
		{service: "lambda", uri: "/2015-03-31/functions/f/invocations"},
		{service: "bedrock", method: "DELETE", uri: "/logging/modelinvocations", want: []string{"bedrock:DeleteModelInvocationLoggingConfiguration *"}},
		{service: "bedrock", uri: "/model/m/invoke"},
		{service: "iam", body: "Action=AttachRolePolicy&RoleName=r&PolicyArn=p", want: []string{"iam:AttachRolePolicy arn:aws:iam::123456789012:role/r iam:PolicyARN=p"}},
		{service: "iam", body: "Action=CreateUser&UserName=u"},
		{service: "kms", header: http.Header{"X-Amz-Target": {"TrentService.ScheduleKeyDeletion"}}, body: `{"KeyId":"k"}`, want: []string{"kms:ScheduleKeyDeletion arn:aws:kms" + arn + "key/k aws:ResourceTag/Name="}},
		{service: "monitoring", body: "Action=DeleteAlarms&AlarmNames.member.1=a&AlarmNames.member.2=b", want: []string{"cloudwatch:DeleteAlarms arn:aws:cloudwatch" + arn + "alarm:a", "cloudwatch:DeleteAlarms arn:aws:cloudwatch" + arn + "alarm:b"}},
		{service: "sts", body: "Action=AssumeRole&RoleArn=r"},
		{service: "sqs", body: "Action=CreateQueue&QueueName=q"},
	} {
		if c.method == "" {
			c.method = http.MethodPost
		}
		u, err := url.Parse("http://localhost" + c.uri)
		if err != nil {
			t.Fatal(err)
		}
		rights, err := Call{c.service, "ap-northeast-1", "123456789012", c.method, u, c.header, []byte(c.body)}.Rights()
		if (err != nil) != (c.want == nil) {
			t.Errorf("%s %s %s: got error %v, want one only of what is not known", c.service, c.uri, c.body, err)
		}
		var got []string
		for _, r := range rights {
			got = append(got, r.String())
		}
		slices.Sort(got)
		if slices.Sort(c.want); !slices.Equal(got, c.want) {
			t.Errorf("%s %s %s:\n got %q\nwant %q", c.service, c.uri, c.body, got, c.want)
		}
	}
}

// Patterns match the names of the next deployment, and no other names.
func TestPattern(t *testing.T) {
	t.Parallel()
	for got, want := range map[Right]Right{
		{Resource: "arn:aws:iam::123456789012:role/bedrock-app-second-function-1a2b3c4"}: {Resource: "arn:aws:iam::123456789012:role/bedrock-app-dev-*"},
		{Resource: "arn:aws:iam::123456789012:role/bedrock-app-local-function-1a2b3c4", Key: "iam:PassedToService"}: {
			Resource: "arn:aws:iam::123456789012:role/bedrock-app-dev-function-*", Key: "iam:PassedToService"},
		{Resource: "arn:aws:s3:::bedrock-logging-access-1a2b3c4"}:                                  {Resource: "arn:aws:s3:::bedrock-logging-*"},
		{Resource: "arn:aws:ec2:ap-northeast-1:123456789012:vpc/vpc-0123456789abcdef0"}:            {Resource: "arn:aws:ec2:ap-northeast-1:123456789012:vpc/*"},
		{Resource: "arn:aws:apigateway:ap-northeast-1::/restapis/abc/stages/api"}:                  {Resource: "arn:aws:apigateway:ap-northeast-1::/restapis/*"},
		{Resource: "arn:aws:apigateway:ap-northeast-1::/restapis"}:                                 {Resource: "arn:aws:apigateway:ap-northeast-1::/restapis"},
		{Resource: "arn:aws:glue:ap-northeast-1:123456789012:table/bedrock_audit_1a2b3c4/records"}: {Resource: "arn:aws:glue:ap-northeast-1:123456789012:table/bedrock_audit_*/records"},
		{Resource: "arn:aws:kms:ap-northeast-1:123456789012:alias/bedrock-logging-1a2b3c4"}:        {Resource: "arn:aws:kms:ap-northeast-1:123456789012:alias/bedrock-logging-*"},
		{Resource: "arn:aws:kms:ap-northeast-1:123456789012:key/1", Key: topicKeyTag, Value: "bedrock-app-local-watch"}: {
			Resource: "arn:aws:kms:ap-northeast-1:123456789012:key/*", Key: topicKeyTag, Value: "bedrock-app-dev-watch"},
		{Resource: "arn:aws:iam::123456789012:role/other"}: {Resource: "arn:aws:iam::123456789012:role/other"},
	} {
		if p := got.Pattern(); p != want {
			t.Errorf("%v: got %v, want %v", got, p, want)
		}
	}
}
