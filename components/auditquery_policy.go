package components

import "github.com/private-bedrock/private-bedrock/internal/iamdoc"

// resultsBucketPolicy leaves to IAM's policies which principals read and write query results.
func resultsBucketPolicy(bucketArn string) (string, error) {
	return iamdoc.JSON(onlyOverTLS(bucketArn))
}
