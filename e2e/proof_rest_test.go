//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/sns"
)

// topicRows: who publishes to the alarms' topic, and encrypts for it.
func (s *running) topicRows(t *testing.T, p *proof) {
	t.Helper()
	topic := s.StackOutputs["alarmTopicArn"]
	attributes, err := sns.Topics{Moto: s.aws}.Attributes(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	key := attributes["KmsMasterKeyId"]
	p.documents["topic"] = attributes["Policy"]
	if p.documents["topic key"], err = kms.KeyPolicy(t.Context(), s.aws, key); err != nil {
		t.Fatal(err)
	}
	alarm := func(region, account, name string) string {
		return "arn:aws:cloudwatch:" + region + ":" + account + ":alarm:" + name
	}
	rule := func(region, account, name string) string {
		return "arn:aws:events:" + region + ":" + account + ":rule/" + name
	}
	const own = "bedrock-app-local-watch-x"
	for service, arn := range map[string]func(region, account, name string) string{"cloudwatch.amazonaws.com": alarm, "events.amazonaws.com": rule} {
		ask := func(want bool, name, by, of, forAccount, source string) {
			keys := map[string][]string{"aws:SourceArn": {source}, "aws:SourceAccount": {forAccount}}
			p.resource(want, "topic: "+service+": "+name, "topic", iam.ServiceRequest(by, "sns:Publish", of, keys))
			if service == "cloudwatch.amazonaws.com" && of == topic {
				for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
					p.resource(want, "topic key: "+service+": "+name+": "+action, "topic key", iam.ServiceRequest(by, action, key, keys))
				}
			}
		}
		ask(true, "for the stack", service, topic, account, arn(s.Region, account, own))
		ask(false, "for another stack", service, topic, account, arn(s.Region, account, "bedrock-app-second-watch-x"))
		ask(false, "for another account", service, topic, otherAccount, arn(s.Region, otherAccount, own))
		ask(false, "in another region", service, topic, account, arn("us-east-1", account, own))
		ask(false, "to another topic", service, topic+"-other", account, arn(s.Region, account, own))
		ask(false, "as another service", "s3.amazonaws.com", topic, account, arn(s.Region, account, own))
		if service == "cloudwatch.amazonaws.com" {
			ask(false, "for another account, with an ARN of this one", service, topic, otherAccount, arn(s.Region, account, own))
		}
	}
	for _, action := range []string{"kms:Decrypt", "kms:GenerateDataKey"} {
		p.resource(true, "topic key: EventBridge, which does not say for whom: "+action, "topic key", iam.ServiceRequest("events.amazonaws.com", action, key, nil))
		p.resource(false, "topic key: another service, which does not say for whom: "+action, "topic key", iam.ServiceRequest("s3.amazonaws.com", action, key, nil))
	}
	p.resource(false, "topic key: EventBridge: kms:CreateGrant", "topic key", iam.ServiceRequest("events.amazonaws.com", "kms:CreateGrant", key, nil))
	for tls, want := range map[string]bool{"true": true, "false": false} {
		r := iampolicy.Request{
			Principal: iampolicy.Principal{ARN: "arn:aws:iam::" + account + ":user/ops"}, Action: "sns:Publish", Resource: topic, Context: map[string][]string{"aws:SecureTransport": {tls}},
		}
		p.row(want, fmt.Sprint("topic: somebody of the account, whose own policies allow it, TLS ", tls), func(policy func(string) iampolicy.Document) bool {
			return iampolicy.SameAccount([]iampolicy.Document{everything()}, []iampolicy.Document{policy("topic")}, r) == iampolicy.Allow
		})
	}
	accountRows(p, "topic key", key)
}

// otherRows: flow logs, API Gateway's log role, the client instance.
func (s *running) otherRows(t *testing.T, p *proof, local, second deployedStack) {
	t.Helper()
	ctx := t.Context()
	var flow struct {
		Logs []struct {
			Resource string `xml:"resourceId"`
			Role     string `xml:"deliverLogsPermissionArn"`
			Group    string `xml:"logGroupName"`
			To       string `xml:"logDestination"`
		} `xml:"flowLogSet>item"`
	}
	if err := s.aws.Query(ctx, "ec2", "2016-11-15", "DescribeFlowLogs", nil, &flow); err != nil {
		t.Fatal(err)
	}
	for _, l := range flow.Logs {
		if l.Resource != local.vpcID {
			continue
		}
		s.readRole(t, p, "flow log", l.Role)
		s.trustRows(p, "flow log trust", "vpc-flow-logs.amazonaws.com", func(region, account string) string {
			return "arn:aws:ec2:" + region + ":" + account + ":vpc-flow-log/fl-0123456789abcdef0"
		})
		group := "arn:aws:logs:" + s.Region + ":" + account + ":log-group:"
		name := "/aws/vpc/bedrock-app-local-flow-log"
		for action, resource := range map[string]string{"logs:CreateLogStream": ":log-stream:x", "logs:PutLogEvents": ":log-stream:x", "logs:DescribeLogStreams": ""} {
			p.identity(true, "flow log: "+action, "flow log role", iampolicy.Request{Action: action, Resource: group + name + resource})
			p.identity(false, "flow log: "+action+" of another group", "flow log role", iampolicy.Request{Action: action, Resource: group + "other" + resource})
		}
	}
	var gateway struct{ CloudwatchRoleArn string }
	if err := s.aws.Get(ctx, "apigateway", "/account", &gateway); err != nil {
		t.Fatal(err)
	}
	s.readRole(t, p, "API Gateway's log", gateway.CloudwatchRoleArn)
	s.trustRows(p, "API Gateway's log trust", "apigateway.amazonaws.com", nil)

	var roles struct {
		Arns []string `xml:"ListRolesResult>Roles>member>Arn"`
	}
	if err := iam.Query(ctx, s.aws, "ListRoles", nil, &roles); err != nil {
		t.Fatal(err)
	}
	for _, arn := range roles.Arns {
		if !strings.Contains(arn, "role/bedrock-app-local-client-") {
			continue
		}
		s.readRole(t, p, "client", arn)
		s.trustRows(p, "client trust", "ec2.amazonaws.com", nil)
		for service, actions := range map[string][]string{
			"ssm":         {"ssm:UpdateInstanceInformation"},
			"ssmmessages": {"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"},
		} {
			for _, action := range actions {
				door := "local " + service + " endpoint"
				r := iampolicy.Request{Action: action, Resource: "*", Context: map[string][]string{"aws:PrincipalArn": {arn}}}
				p.identity(true, "client: "+action, "client role", r)
				p.resource(true, door+": the client's "+action, door, r)
				r.Context = map[string][]string{"aws:PrincipalArn": {"arn:aws:iam::" + account + ":role/Administrator"}}
				p.resource(false, door+": an administrator's "+action, door, r)
			}
		}
	}
}
