//go:build e2e

package e2e

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/kms"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/logs"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
)

// logRows: who writes the invocation log, and how it can be reached.
func (s *running) logRows(t *testing.T, p *proof) {
	t.Helper()
	var out struct{ LoggingConfig *invocationlog.Config }
	if err := s.aws.Get(t.Context(), "bedrock", "/logging/modelinvocations", &out); err != nil {
		t.Fatal(err)
	}
	bucket := out.LoggingConfig.S3Config.BucketName
	document, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?policy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.documents["log bucket"] = string(document)
	s.readRole(t, p, "delivery", out.LoggingConfig.CloudWatchConfig.RoleArn)
	s.accessLogRows(t, p, bucket)
	s.keyRows(t, p, bucket, out.LoggingConfig.CloudWatchConfig.LogGroupName, out.LoggingConfig.CloudWatchConfig.RoleArn)

	arn, bedrock := "arn:aws:s3:::"+bucket, iampolicy.Principal{Service: "bedrock.amazonaws.com"}
	put := func(want bool, name string, who iampolicy.Principal, key string, keys map[string][]string) {
		p.resource(want, "log bucket: "+name, "log bucket", iampolicy.Request{Principal: who, Action: "s3:PutObject", Resource: arn + "/" + key, Context: keys})
	}
	source := func(forAccount, region, arnAccount, tls string) map[string][]string {
		return map[string][]string{
			"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:bedrock:" + region + ":" + arnAccount + ":model-invocation-logging"}, "aws:SecureTransport": {tls},
		}
	}
	here := source(account, s.Region, account, "true")
	for _, prefix := range []string{out.LoggingConfig.S3Config.KeyPrefix, out.LoggingConfig.CloudWatchConfig.LargeDataDeliveryS3Config.KeyPrefix} {
		record := prefix + "/AWSLogs/" + account + "/BedrockModelInvocationLogs/" + s.Region + "/2026/01/01/00/x.json.gz"
		put(true, "Bedrock for this account, under "+prefix, bedrock, record, here)
		put(false, "Bedrock for another account, under "+prefix, bedrock, record, source(otherAccount, s.Region, otherAccount, "true"))
		put(false, "Bedrock for another account, with an ARN of this one, under "+prefix, bedrock, record, source(otherAccount, s.Region, account, "true"))
		put(false, "Bedrock in another region, under "+prefix, bedrock, record, source(account, "us-east-1", account, "true"))
		put(false, "Bedrock over plain HTTP, under "+prefix, bedrock, record, source(account, s.Region, account, "false"))
		put(false, "another service, under "+prefix, iampolicy.Principal{Service: "cloudtrail.amazonaws.com"}, record, here)
		put(false, "somebody of another account, under "+prefix, iampolicy.Principal{ARN: partnerRole}, record, here)
		put(false, "nobody known, under "+prefix, iampolicy.Principal{}, record, here)
	}
	put(false, "Bedrock for this account, elsewhere in the bucket", bedrock, "elsewhere/x.json.gz", here)
	auditorRows(p, "log bucket", arn)

	s.trustRows(p, "delivery trust", "bedrock.amazonaws.com", func(region, account string) string {
		return "arn:aws:bedrock:" + region + ":" + account + ":model-invocation-logging"
	})
	group := "arn:aws:logs:" + s.Region + ":" + account + ":log-group:"
	for _, action := range []string{"logs:CreateLogStream", "logs:PutLogEvents"} {
		p.identity(true, "delivery: "+action, "delivery role", iampolicy.Request{Action: action, Resource: group + out.LoggingConfig.CloudWatchConfig.LogGroupName + ":log-stream:" + invocationlog.Stream})
		p.identity(false, "delivery: "+action+" in another group", "delivery role", iampolicy.Request{Action: action, Resource: group + "other:log-stream:" + invocationlog.Stream})
		p.identity(false, "delivery: "+action+" in another stream", "delivery role", iampolicy.Request{Action: action, Resource: group + out.LoggingConfig.CloudWatchConfig.LogGroupName + ":log-stream:other"})
	}
}

// auditorRows: whoever may read a bucket by his own policies may, over TLS.
func auditorRows(p *proof, document, arn string) {
	for _, c := range []struct{ action, resource string }{{"s3:GetObject", arn + "/bedrock/x"}, {"s3:ListBucket", arn}} {
		for tls, want := range map[string]bool{"true": true, "false": false} {
			r := iampolicy.Request{
				Principal: iampolicy.Principal{ARN: "arn:aws:iam::" + account + ":user/auditor"}, Action: c.action, Resource: c.resource,
				Context: map[string][]string{"aws:SecureTransport": {tls}},
			}
			p.row(want, document+": an auditor of the account, "+c.action+", TLS "+tls, func(policy func(string) iampolicy.Document) bool {
				return iampolicy.SameAccount([]iampolicy.Document{everything()}, []iampolicy.Document{policy(document)}, r) == iampolicy.Allow
			})
		}
	}
}

// accessLogRows: who writes the access log of the log's bucket.
func (s *running) accessLogRows(t *testing.T, p *proof, logged string) {
	t.Helper()
	answer, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+logged+"?logging", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var status struct {
		Target string `xml:"LoggingEnabled>TargetBucket"`
	}
	if err := xml.Unmarshal(answer, &status); err != nil || status.Target == "" {
		t.Fatalf("the log's bucket has no access log: %s, %v", answer, err)
	}
	document, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+status.Target+"?policy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.documents["access log bucket"] = string(document)
	arn, delivery := "arn:aws:s3:::"+status.Target, iampolicy.Principal{Service: "logging.s3.amazonaws.com"}
	put := func(want bool, name string, who iampolicy.Principal, bucket, of, forAccount, tls string) {
		p.resource(want, "access log bucket: "+name, "access log bucket", iampolicy.Request{
			Principal: who, Action: "s3:PutObject", Resource: bucket + "/2026-01-01-00-00-00-x",
			Context: map[string][]string{"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:s3:::" + of}, "aws:SecureTransport": {tls}},
		})
	}
	put(true, "S3, of the log's bucket", delivery, arn, logged, account, "true")
	put(false, "S3, of another bucket", delivery, arn, "other", account, "true")
	put(false, "S3, of a bucket of that name in another account", delivery, arn, logged, otherAccount, "true")
	put(false, "S3, over plain HTTP", delivery, arn, logged, account, "false")
	put(false, "S3, into another bucket", delivery, "arn:aws:s3:::other", logged, account, "true")
	put(false, "another service", iampolicy.Principal{Service: "cloudtrail.amazonaws.com"}, arn, logged, account, "true")
	put(false, "somebody of another account", iampolicy.Principal{ARN: partnerRole}, arn, logged, account, "true")
	auditorRows(p, "access log bucket", arn)
}

// keyRows: who encrypts and decrypts with the invocation log's key, as service and by his own policies.
func (s *running) keyRows(t *testing.T, p *proof, bucket, group, deliveryRole string) {
	t.Helper()
	key, err := s3.BucketKey(t.Context(), s.aws, bucket)
	if err != nil {
		t.Fatal(err)
	}
	if ofGroup, err := logs.GroupKey(t.Context(), s.aws, group); err != nil || key == "" || ofGroup != key {
		t.Fatalf("the bucket's key is %q, the log group's %q, %v", key, ofGroup, err)
	}
	if p.documents["log key"], err = kms.KeyPolicy(t.Context(), s.aws, key); err != nil {
		t.Fatal(err)
	}
	by := func(want bool, name, service, action string, keys map[string][]string) {
		p.resource(want, "log key: "+name+": "+action, "log key", iampolicy.Request{Principal: iampolicy.Principal{Service: service}, Action: action, Resource: key, Context: keys})
	}
	source := func(forAccount, region, arnAccount string) map[string][]string {
		return map[string][]string{"aws:SourceAccount": {forAccount}, "aws:SourceArn": {"arn:aws:bedrock:" + region + ":" + arnAccount + ":model-invocation-logging"}}
	}
	const generate, bedrock = "kms:GenerateDataKey", "bedrock.amazonaws.com"
	by(true, "Bedrock", bedrock, generate, source(account, s.Region, account))
	by(false, "Bedrock for another account", bedrock, generate, source(otherAccount, s.Region, otherAccount))
	by(false, "Bedrock for another account, with an ARN of this one", bedrock, generate, source(otherAccount, s.Region, account))
	by(false, "Bedrock in another region", bedrock, generate, source(account, "us-east-1", account))
	by(false, "Bedrock", bedrock, "kms:Decrypt", source(account, s.Region, account))
	by(false, "another service", "cloudtrail.amazonaws.com", generate, source(account, s.Region, account))

	logService, arn := "logs."+s.Region+".amazonaws.com", "arn:aws:logs:"+s.Region+":"+account+":log-group:"
	context := func(group string) map[string][]string {
		return map[string][]string{"kms:EncryptionContext:aws:logs:arn": {arn + group}}
	}
	through := map[string][]string{"kms:ViaService": {logService}}
	for _, r := range logs.Encryption(iampolicy.Principal{ARN: deliveryRole}, through) {
		r.Resource = key
		by(true, "CloudWatch Logs, for the group", logService, r.Action, context(group))
		by(false, "CloudWatch Logs, for another group", logService, r.Action, context("other"))
		by(false, "CloudWatch Logs, for no group", logService, r.Action, nil)
		by(false, "CloudWatch Logs in another region", "logs.us-east-1.amazonaws.com", r.Action, context(group))
		by(false, "another service, for the group", "cloudtrail.amazonaws.com", r.Action, context(group))

		p.row(true, "delivery: "+r.Action+" through CloudWatch Logs", func(policy func(string) iampolicy.Document) bool {
			return iampolicy.SameAccountKeyOrRole([]iampolicy.Document{policy("delivery role")}, []iampolicy.Document{policy("log key")}, r) == iampolicy.Allow
		})
		for name, keys := range map[string]map[string][]string{"by itself": nil, "through S3": {"kms:ViaService": {"s3." + s.Region + ".amazonaws.com"}}} {
			p.identity(false, "delivery: "+r.Action+" "+name, "delivery role", iampolicy.Request{Action: r.Action, Resource: key, Context: keys})
		}
		p.identity(false, "delivery: "+r.Action+" with another key", "delivery role", iampolicy.Request{
			Action: r.Action, Resource: "arn:aws:kms:" + s.Region + ":" + account + ":key/other", Context: through,
		})
	}
	accountRows(p, "log key", key)
}

// accountRows: whom the account's own policies let use a key and change its policy may, and nobody else.
func accountRows(p *proof, document, key string) {
	for _, action := range []string{"kms:Decrypt", "kms:PutKeyPolicy"} {
		who := func(want bool, name, arn string, identity []iampolicy.Document) {
			r := iampolicy.Request{Principal: iampolicy.Principal{ARN: arn}, Action: action, Resource: key}
			p.row(want, document+": "+name+": "+action, func(policy func(string) iampolicy.Document) bool {
				decide := iampolicy.SameAccountKeyOrRole
				if iam.AccountOf(arn) != account {
					decide = iampolicy.CrossAccount
				}
				return decide(identity, []iampolicy.Document{policy(document)}, r) == iampolicy.Allow
			})
		}
		who(true, "somebody whose own policies allow it", "arn:aws:iam::"+account+":user/auditor", []iampolicy.Document{everything()})
		who(false, "somebody whose own policies do not", "arn:aws:iam::"+account+":user/other", nil)
		who(false, "somebody of another account, whose own policies allow it", partnerRole, []iampolicy.Document{everything()})
	}
}

const auditorUser = "arn:aws:iam::" + account + ":user/auditor"

// auditReaderRows: who may be the log's reader, what the reader may, and who reaches the results of queries.
func (s *running) auditReaderRows(t *testing.T, p *proof) {
	t.Helper()
	outputs := s.outputs(t, "local")
	s.readRole(t, p, "audit reader", outputs["auditReaderRoleArn"])
	const role, trust = "audit reader role", "audit reader trust"
	for _, c := range []struct {
		want     bool
		who, arn string
		identity []iampolicy.Document
	}{
		{true, "a named user", auditorUser, nil},
		{true, "a named role of another account, whose own policy allows it", partnerRole, []iampolicy.Document{everything()}},
		{false, "a named role of another account, whose own policy does not", partnerRole, nil},
		{false, "an administrator who is not named", "arn:aws:iam::" + account + ":role/Administrator", []iampolicy.Document{everything()}},
		{false, "another role of that account", "arn:aws:iam::" + otherAccount + ":role/other", []iampolicy.Document{everything()}},
	} {
		p.row(c.want, trust+": "+c.who, func(policy func(string) iampolicy.Document) bool {
			r := iampolicy.Request{Principal: iampolicy.Principal{ARN: c.arn}, Action: "sts:AssumeRole", Resource: outputs["auditReaderRoleArn"]}
			decide := iampolicy.SameAccountKeyOrRole
			if iam.AccountOf(c.arn) != account {
				decide = iampolicy.CrossAccount
			}
			return decide(c.identity, []iampolicy.Document{policy(trust)}, r) == iampolicy.Allow
		})
	}
	p.resource(false, trust+": a service", trust, iampolicy.Request{Principal: iampolicy.Principal{Service: "athena.amazonaws.com"}, Action: "sts:AssumeRole", Resource: outputs["auditReaderRoleArn"]})

	may := func(want bool, action, resource string, keys map[string][]string) {
		name := fmt.Sprint("audit reader: ", action, " on ", resource)
		if keys != nil {
			name += fmt.Sprint(", ", keys)
		}
		p.identity(want, name, role, iampolicy.Request{Action: action, Resource: resource, Context: keys})
	}
	arn := func(service, resource string) string {
		return "arn:aws:" + service + ":" + s.Region + ":" + account + ":" + resource
	}
	log, other := "arn:aws:s3:::"+outputs["logBucketName"], "arn:aws:s3:::other"
	may(true, "s3:ListBucket", log, nil)
	may(false, "s3:ListBucket", other, nil)
	for _, prefix := range []string{"bedrock", "bedrock-large-data"} {
		record := "/" + prefix + "/AWSLogs/" + account + "/BedrockModelInvocationLogs/" + s.Region + "/2026/11/23/10/"
		may(true, "s3:GetObject", log+record+"x.json.gz", nil)
		may(true, "s3:GetObject", log+record+"data/x_input.json.gz", nil)
		may(false, "s3:GetObject", other+record+"x.json.gz", nil)
		for _, action := range []string{"s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"} {
			may(false, action, log+record+"x.json.gz", nil)
		}
	}
	may(false, "s3:GetObject", log+"/elsewhere/x.json.gz", nil)
	may(false, "s3:GetObject", "arn:aws:s3:::"+outputs["logAccessBucketName"]+"/x", nil)
	for _, group := range []string{outputs["logGroupName"], outputs["accessLogGroupName"]} {
		may(true, "logs:FilterLogEvents", arn("logs", "log-group:"+group+":log-stream:"), nil)
		may(false, "logs:PutLogEvents", arn("logs", "log-group:"+group+":log-stream:"+invocationlog.Stream), nil)
		may(false, "logs:DeleteLogGroup", arn("logs", "log-group:"+group+":log-stream:"), nil)
	}
	may(false, "logs:FilterLogEvents", arn("logs", "log-group:/aws/lambda/other:log-stream:"), nil)

	key, err := s3.BucketKey(t.Context(), s.aws, outputs["logBucketName"])
	if err != nil {
		t.Fatal(err)
	}
	via := func(service string) map[string][]string {
		return map[string][]string{"kms:ViaService": {service + "." + s.Region + ".amazonaws.com"}}
	}
	for service, want := range map[string]struct{ decrypt, encrypt bool }{"s3": {true, true}, "logs": {true, false}, "lambda": {false, false}} {
		may(want.decrypt, "kms:Decrypt", key, via(service))
		may(want.encrypt, "kms:GenerateDataKey", key, via(service))
		may(false, "kms:Decrypt", arn("kms", "key/other"), via(service))
		may(false, "kms:GenerateDataKey", arn("kms", "key/other"), via(service))
	}
	may(false, "kms:Decrypt", key, map[string][]string{})
	may(false, "kms:GenerateDataKey", key, map[string][]string{})
	p.row(true, "audit reader: the key's policy, too, lets it decrypt", func(policy func(string) iampolicy.Document) bool {
		r := iampolicy.Request{Principal: iampolicy.Principal{ARN: outputs["auditReaderRoleArn"]}, Action: "kms:Decrypt", Resource: key, Context: via("s3")}
		return iampolicy.SameAccountKeyOrRole([]iampolicy.Document{policy(role)}, []iampolicy.Document{policy("log key")}, r) == iampolicy.Allow
	})

	for _, action := range []string{"BatchGetNamedQuery", "GetNamedQuery", "GetQueryExecution", "GetQueryResults", "GetWorkGroup", "ListNamedQueries", "StartQueryExecution", "StopQueryExecution"} {
		may(true, "athena:"+action, arn("athena", "workgroup/"+outputs["auditWorkgroupName"]), nil)
		may(false, "athena:"+action, arn("athena", "workgroup/primary"), nil)
	}
	for _, action := range []string{"athena:UpdateWorkGroup", "athena:CreateNamedQuery", "athena:DeleteNamedQuery"} {
		may(false, action, arn("athena", "workgroup/"+outputs["auditWorkgroupName"]), nil)
	}
	database := outputs["auditDatabaseName"]
	for _, action := range []string{"glue:GetDatabase", "glue:GetTable"} {
		for _, resource := range []string{"catalog", "database/" + database, "table/" + database + "/records"} {
			may(true, action, arn("glue", resource), nil)
		}
		may(false, action, arn("glue", "database/other"), nil)
		may(false, action, arn("glue", "table/"+database+"/other"), nil)
	}
	may(false, "glue:UpdateTable", arn("glue", "table/"+database+"/records"), nil)

	bucket := strings.Trim(strings.TrimPrefix(s.auditWorkgroup(t, outputs["auditWorkgroupName"]).Configuration.ResultConfiguration.OutputLocation, "s3:/"), "/")
	results := "arn:aws:s3:::" + bucket
	for _, action := range []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"} {
		may(true, action, results, nil)
		may(false, action, other, nil)
	}
	for _, action := range []string{"s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"} {
		may(true, action, results+"/x.csv", nil)
		may(false, action, other+"/x.csv", nil)
	}
	document, err := s.aws.Do(t.Context(), "s3", http.MethodGet, "/"+bucket+"?policy", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.documents["results bucket"] = string(document)
	auditorRows(p, "results bucket", results)
	p.resource(false, "results bucket: somebody of another account", "results bucket", iampolicy.Request{
		Principal: iampolicy.Principal{ARN: partnerRole}, Action: "s3:GetObject", Resource: results + "/x.csv", Context: map[string][]string{"aws:SecureTransport": {"true"}},
	})
}
