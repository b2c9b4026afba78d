//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/private-bedrock/private-bedrock/internal/athenatest"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/s3"
)

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
