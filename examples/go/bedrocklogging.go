package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// bedrockLogging keeps every prompt and answer of the account and region for seven years, in Glacier after one.
func bedrockLogging(ctx *pulumi.Context) error {
	logging, err := components.NewBedrockLogging(ctx, "bedrock-logging", &components.BedrockLoggingArgs{
		ArchiveAfterDays: 365, ArchiveStorageClass: "GLACIER", ExpireAfterDays: 7 * 365,
	})
	if err != nil {
		return err
	}
	ctx.Export("bucketName", logging.BucketName)
	return nil
}
