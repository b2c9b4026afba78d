package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// auditQuery has Athena read the invocation log in the bucket `logBucketName`.
func auditQuery(ctx *pulumi.Context) error {
	query, err := components.NewAuditQuery(ctx, "audit", &components.AuditQueryArgs{
		LogBucketName: pulumi.String(config.Require(ctx, "logBucketName")),
	})
	if err != nil {
		return err
	}
	ctx.Export("workgroupName", query.WorkgroupName)
	return nil
}
