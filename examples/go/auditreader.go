package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// auditReader creates a role for reading the invocation log and the API's access log. Only `auditorArn`, a role or a user, can assume it.
func auditReader(ctx *pulumi.Context) error {
	reader, err := components.NewAuditReader(ctx, "audit-reader", &components.AuditReaderArgs{
		AuditorArns:        []string{config.Require(ctx, "auditorArn")},
		LogBucketName:      pulumi.String(config.Require(ctx, "logBucketName")),
		LogGroupName:       pulumi.String(config.Require(ctx, "logGroupName")),
		AccessLogGroupName: pulumi.String(config.Require(ctx, "accessLogGroupName")),
	})
	if err != nil {
		return err
	}
	ctx.Export("roleArn", reader.RoleArn)
	return nil
}
