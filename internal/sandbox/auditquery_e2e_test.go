//go:build e2e

package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/athenatest"
	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/iam"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/invocationlog"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
)

// outputs are a stack's, as they are now.
func (s *running) outputs(t *testing.T, stack string) (outputs map[string]string) {
	t.Helper()
	if err := json.Unmarshal([]byte(command(t, s.root, s.env, "pulumi", "stack", "output", "--json", "--stack", stack)), &outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

// auditWorkgroup is what the emulated AWS says of Athena's workgroup.
type auditWorkgroup struct {
	Configuration struct {
		EnforceWorkGroupConfiguration bool
		BytesScannedCutoffPerQuery    int
		ResultConfiguration           struct {
			OutputLocation, ExpectedBucketOwner string
			EncryptionConfiguration             struct{ EncryptionOption, KmsKey string }
		}
	}
}

func (s *running) auditWorkgroup(t *testing.T, name string) auditWorkgroup {
	t.Helper()
	var out struct{ WorkGroup auditWorkgroup }
	if err := s.aws.Target(t.Context(), "athena", "AmazonAthena.GetWorkGroup", map[string]string{"WorkGroup": name}, &out); err != nil {
		t.Fatal(err)
	}
	return out.WorkGroup
}

// auditTable has the lines that Athena would read, of every object below the deployed table's location.
func (s *running) auditTable(t *testing.T, database string) (lines []athenatest.Line, records int) {
	t.Helper()
	var out struct {
		Table struct {
			PartitionKeys     []struct{ Name string }
			Parameters        map[string]string
			StorageDescriptor struct{ Columns []struct{ Name, Type string } }
		}
	}
	if err := s.aws.Target(t.Context(), "glue", "AWSGlue.GetTable", map[string]string{"DatabaseName": database, "Name": "records"}, &out); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(out.Table.StorageDescriptor.Columns, out.Table.PartitionKeys); got != "[{line string}] [{day}]" {
		t.Errorf("the table has %s", got)
	}
	bucket := s.StackOutputs["logBucketName"]
	location, behind, _ := strings.Cut(out.Table.Parameters["storage.location.template"], "${day}")
	for _, key := range s.objects(t, bucket) {
		path := "s3://" + bucket + "/" + key
		below, ok := strings.CutPrefix(path, location)
		if !ok {
			continue
		}
		const day = "2006/01/02"
		if len(below) <= len(day) || !strings.HasPrefix(below[len(day):], behind) {
			t.Errorf("%s lies below the table's location, but in no day", path)
			continue
		}
		for line := range strings.Lines(string(s.gunzip(t, bucket, key))) {
			lines = append(lines, athenatest.Line{Line: strings.TrimSuffix(line, "\n"), Day: below[:len(day)], Path: path})
			if !strings.Contains(path, "/data/") {
				records++
			}
		}
	}
	return lines, records
}

// queries: what Athena needs is deployed, and every saved query, as it is deployed, answers what the log has.
func (s *running) queries(t *testing.T) {
	outputs := s.outputs(t, "local")
	key, err := s3.BucketKey(t.Context(), s.aws, s.StackOutputs["logBucketName"])
	if err != nil {
		t.Fatal(err)
	}
	workgroup := s.auditWorkgroup(t, outputs["auditWorkgroupName"])
	results := workgroup.Configuration.ResultConfiguration
	if c := workgroup.Configuration; !c.EnforceWorkGroupConfiguration || c.BytesScannedCutoffPerQuery != 100<<30 ||
		results.ExpectedBucketOwner != account || results.EncryptionConfiguration.EncryptionOption != "SSE_KMS" || results.EncryptionConfiguration.KmsKey != key {
		t.Errorf("workgroup %+v, want results by key %s", workgroup, key)
	}
	// A result, that the stack's destruction finds the bucket as it is in use.
	bucket := strings.Trim(strings.TrimPrefix(results.OutputLocation, "s3:/"), "/")
	if _, err := s.aws.Do(t.Context(), "s3", http.MethodPut, "/"+bucket+"/result.csv", nil, []byte("caller\n")); err != nil {
		t.Fatal(err)
	}

	var ids struct{ NamedQueryIds []string }
	var saved struct {
		NamedQueries []struct{ Name, Description, Database, QueryString string }
	}
	if err := s.aws.Target(t.Context(), "athena", "AmazonAthena.ListNamedQueries", map[string]string{"WorkGroup": outputs["auditWorkgroupName"]}, &ids); err != nil {
		t.Fatal(err)
	}
	if err := s.aws.Target(t.Context(), "athena", "AmazonAthena.BatchGetNamedQuery", ids, &saved); err != nil {
		t.Fatal(err)
	}
	lines, records := s.auditTable(t, outputs["auditDatabaseName"])
	large := 0
	for _, line := range lines {
		if strings.Contains(line.Line, `"inputBodyS3Path"`) || strings.Contains(line.Line, `"outputBodyS3Path"`) {
			large++
		}
	}
	if records < 1000 || large == 0 || len(lines) == records {
		t.Fatalf("%d lines, of which %d are records and %d name large bodies: too few to tell anything", len(lines), records, large)
	}
	sum := func(rows []map[string]any, column string) (n int64) {
		for _, row := range rows {
			n += row[column].(int64)
		}
		return n
	}
	for name, c := range map[string]struct {
		parameters []any
		check      func(rows []map[string]any) bool
	}{
		"calls-by-caller":            {nil, func(rows []map[string]any) bool { return sum(rows, "callcount") == int64(records) }},
		"calls-by-model":             {nil, func(rows []map[string]any) bool { return sum(rows, "callcount") == int64(records) }},
		"calls-by-day":               {nil, func(rows []map[string]any) bool { return sum(rows, "callcount") == int64(records) }},
		"tokens-by-caller-and-month": {nil, func(rows []map[string]any) bool { return sum(rows, "callcount") == int64(records) }},
		"one-callers-history": {[]any{"127.0.0.1 VIA " + s.StackOutputs["executeApiEndpointId"]}, func(rows []map[string]any) bool {
			return len(rows) == records && rows[0]["prompt"] != nil && rows[0]["answer"] != nil
		}},
		"text-search": {[]any{"カナリア CANARY"}, func(rows []map[string]any) bool {
			return len(rows) > 0 && !slices.ContainsFunc(rows, func(row map[string]any) bool { return !strings.Contains(fmt.Sprint(row), canary) })
		}},
		"large-bodies":            {nil, func(rows []map[string]any) bool { return len(rows) == large }},
		"guardrail-interventions": {nil, func(rows []map[string]any) bool { return len(rows) == 0 }}, // this stack has no guardrail
		"not-records":             {nil, func(rows []map[string]any) bool { return len(rows) == 0 }},
	} {
		i := slices.IndexFunc(saved.NamedQueries, func(q struct{ Name, Description, Database, QueryString string }) bool { return q.Name == name })
		if i < 0 || saved.NamedQueries[i].Database != outputs["auditDatabaseName"] {
			t.Errorf("%s is not there, or not of database %s: %+v", name, outputs["auditDatabaseName"], saved.NamedQueries)
			continue
		}
		if rows := athenatest.Run(t, saved.NamedQueries[i].QueryString, lines, c.parameters...); !c.check(rows) {
			t.Errorf("%s of %d records, %d with large bodies: %d rows, such as %.600v", name, records, large, len(rows), rows)
		}
	}
	if len(saved.NamedQueries) != 9 {
		t.Errorf("%d saved queries are deployed, and 9 are tested here", len(saved.NamedQueries))
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
