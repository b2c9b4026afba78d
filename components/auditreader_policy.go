package components

import "github.com/private-bedrock/private-bedrock/internal/iamdoc"

// auditedLog names what an auditor reads. keyArn is empty without a customer managed key, and queries is nil without
// Athena.
type auditedLog struct {
	bucket, logGroup, accessLogGroup, keyArn string
	queries                                  *auditedQueries
}

type auditedQueries struct{ database, workgroup, results string }

// auditReaderTrust names the auditors as principals, and leaves nothing to their own policies. IAM stores their unique
// IDs, so that an auditor who is deleted and recreated under the same name has to be added again (IAM User Guide, "AWS
// JSON policy elements: Principal"), and rejects one who doesn't exist.
func auditReaderTrust(auditorArns []string) iamdoc.Statement {
	return iamdoc.Statement{
		Sid: "OnlyTheseAuditors", Effect: "Allow", Principal: map[string][]string{"AWS": auditorArns},
		Action: []string{"sts:AssumeRole"},
	}
}

// auditReaderPolicy lets cmd/audit and, with queries, Athena read the log, and nothing else. Athena calls S3, Glue and
// KMS as the principal that runs the query (Athena User Guide, "Control access to Amazon S3 from Athena").
func auditReaderPolicy(t iamdoc.Target, log auditedLog) (string, error) {
	bucket := t.Bucket(log.bucket)
	statements := []iamdoc.Statement{
		allow("ListRecords", []string{"s3:ListBucket"}, bucket),
		allow("ReadRecords", []string{"s3:GetObject"}, records(bucket, t.Account)...),
		// CloudWatch Logs needs a group's ARN that ends in ":*" (CloudWatch Logs User Guide, "CloudWatch Logs resources and
		// operations").
		allow("ReadLogGroups", []string{"logs:FilterLogEvents"},
			t.ARN("logs", "log-group:"+log.logGroup+":*"), t.ARN("logs", "log-group:"+log.accessLogGroup+":*")),
	}
	if log.keyArn != "" {
		decrypt := allow("DecryptRecords", []string{"kms:Decrypt"}, log.keyArn)
		statements = append(statements, through(decrypt, t.Host("logs"), t.Host("s3")))
	}
	if q := log.queries; q != nil {
		statements = append(statements, q.statements(t)...)
		if log.keyArn != "" { // Athena User Guide, "Encryption at rest"
			encrypt := allow("EncryptResults", []string{"kms:GenerateDataKey"}, log.keyArn)
			statements = append(statements, through(encrypt, t.Host("s3")))
		}
	}
	return iamdoc.RolePolicy(statements...)
}

// statements allow running the saved queries and reading their results.
func (q auditedQueries) statements(t iamdoc.Target) []iamdoc.Statement {
	results := t.Bucket(q.results)
	return []iamdoc.Statement{
		// Of AWS's list, what running a saved query and fetching its results needs (Athena User Guide, "Example workgroup
		// policies"). The resources of Athena's actions are workgroups, for saved queries too.
		allow("RunQueries", []string{
			"athena:BatchGetNamedQuery", "athena:GetNamedQuery", "athena:GetQueryExecution", "athena:GetQueryResults",
			"athena:GetWorkGroup",
			"athena:ListNamedQueries", "athena:StartQueryExecution", "athena:StopQueryExecution",
		}, t.ARN("athena", "workgroup/"+q.workgroup)),
		// Each action on a table also needs its database and the catalog (Athena User Guide, "Configure access to databases
		// and tables in the AWS Glue Data Catalog").
		allow("ReadTable", []string{"glue:GetDatabase", "glue:GetTable"},
			t.ARN("glue", "catalog"), t.ARN("glue", "database/"+q.database),
			t.ARN("glue", "table/"+q.database+"/"+recordsTable)),
		// What AWS allows for the results' location (Athena User Guide, "AWS managed policies for Amazon Athena").
		allow("ResultsLocation", []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}, results),
		allow("WriteAndReadResults", []string{
			"s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
		}, results+"/*"),
	}
}

func allow(sid string, actions []string, resources ...string) iamdoc.Statement {
	return iamdoc.Statement{Sid: sid, Effect: "Allow", Action: actions, Resource: resources}
}

// through restricts a statement on a key to requests that these services make for the principal.
func through(s iamdoc.Statement, services ...string) iamdoc.Statement {
	s.Condition = iamdoc.Conditions{"StringEquals": {"kms:ViaService": services}}
	return s
}
