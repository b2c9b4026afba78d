package components

import (
	"github.com/private-bedrock/private-bedrock/internal/contract"
	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
)

// logDeliveryPolicy lets Bedrock write its one log stream. With a group's ARN that ends in ":*", Bedrock would answer
// "Failed to validate permissions for log group". keyArn is empty if the group has no customer managed key.
func logDeliveryPolicy(t iamdoc.Target, logGroupArn, keyArn string) (string, error) {
	statements := []iamdoc.Statement{{
		Sid: "InvocationLog", Effect: "Allow", Action: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
		Resource: []string{logGroupArn + ":log-stream:aws/bedrock/modelinvocations"},
	}}
	if keyArn != "" {
		// CloudWatch Logs also uses the key as the principal that writes (CloudWatch Logs User Guide, "Encrypt log data in
		// CloudWatch Logs using AWS Key Management Service", step 3, which has this list).
		statements = append(statements, iamdoc.Statement{
			Sid: "KeyThroughCloudWatchLogs", Effect: "Allow", Action: logGroupEncryption, Resource: []string{keyArn},
			Condition: iamdoc.Conditions{"StringEquals": {"kms:ViaService": {t.Host("logs")}}},
		})
	}
	return iamdoc.RolePolicy(statements...)
}

// logGroupEncryption is AWS's list, wildcards included (CloudWatch Logs User Guide, "Encrypt log data in CloudWatch
// Logs using AWS Key Management Service").
var logGroupEncryption = []string{
	"kms:Decrypt", "kms:Describe*", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*",
}

// logKeyPolicy lets Bedrock encrypt records, and CloudWatch Logs encrypt this one group. A key's policy names the key
// itself by "*", and has no other resource (KMS Developer Guide, "Creating a key policy").
func logKeyPolicy(t iamdoc.Target, logGroupName string) (string, error) {
	return iamdoc.JSON(
		iamdoc.AccountDecidesByIAM(t),
		iamdoc.Statement{
			// Bedrock User Guide, "Set up an Amazon S3 destination".
			Sid: "BedrockEncryptsRecords", Effect: "Allow", Principal: iamdoc.Service("bedrock.amazonaws.com"),
			Action: []string{"kms:GenerateDataKey"}, Resource: []string{"*"},
			Condition: iamdoc.BoundTo(t.Account, t.ARN("bedrock", "*")),
		},
		iamdoc.Statement{
			Sid: "CloudWatchLogsEncryptsTheGroup", Effect: "Allow", Principal: iamdoc.Service(t.Host("logs")),
			Action: logGroupEncryption, Resource: []string{"*"},
			Condition: iamdoc.Conditions{"ArnEquals": {
				"kms:EncryptionContext:aws:logs:arn": {t.ARN("logs", "log-group:"+logGroupName)},
			}},
		},
	)
}

// logBucketPolicy lets Bedrock write invocation records of this account and Region, and denies reading and writing
// without TLS (Bedrock User Guide, "Model invocation logging").
func logBucketPolicy(t iamdoc.Target, bucketArn string) (string, error) {
	return iamdoc.JSON(
		iamdoc.Statement{
			Sid: "BedrockWritesInvocationRecords", Effect: "Allow", Principal: iamdoc.Service("bedrock.amazonaws.com"),
			Action: []string{"s3:PutObject"}, Resource: records(bucketArn, t.Account),
			Condition: iamdoc.BoundTo(t.Account, t.ARN("bedrock", "*")),
		},
		onlyOverTLS(bucketArn),
	)
}

// accessLogBucketPolicy lets S3 write the access log of one bucket (S3 User Guide, "Enabling Amazon S3 server access
// logging"). A bucket's ARN names no account: aws:SourceAccount denies an account that reuses the name after a
// deletion.
func accessLogBucketPolicy(bucketArn, loggedBucketArn, account string) (string, error) {
	return iamdoc.JSON(
		iamdoc.Statement{
			Sid: "S3WritesTheAccessLog", Effect: "Allow", Principal: iamdoc.Service("logging.s3.amazonaws.com"),
			Action: []string{"s3:PutObject"}, Resource: []string{bucketArn + "/*"},
			Condition: iamdoc.BoundTo(account, loggedBucketArn),
		},
		onlyOverTLS(bucketArn),
	)
}

// records are everything that Bedrock writes to the bucket, permission check and large bodies included.
func records(bucketArn, account string) (arns []string) {
	for _, prefix := range []string{contract.LogPrefix, contract.LargeDataPrefix} {
		arns = append(arns, bucketArn+"/"+prefix+"/AWSLogs/"+account+"/"+contract.RecordsFolder+"/*")
	}
	return arns
}

// onlyOverTLS denies requests to a bucket without TLS (S3 User Guide, "Security best practices for Amazon S3"). "s3:*":
// every kind of reading and writing is meant.
func onlyOverTLS(bucketArn string) iamdoc.Statement {
	return iamdoc.OnlyOverTLS("s3:*", bucketArn, bucketArn+"/*")
}
