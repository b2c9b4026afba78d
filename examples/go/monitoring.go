package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// monitoring sends email to `alarmEmail` when the API fails, or when a principal changes a resource that the log depends on.
func monitoring(ctx *pulumi.Context) error {
	monitoring, err := components.NewMonitoring(ctx, "watch", &components.MonitoringArgs{
		FunctionArn: pulumi.String(config.Require(ctx, "functionArn")),
		ApiId:       pulumi.String(config.Require(ctx, "apiId")), ApiName: pulumi.String(config.Require(ctx, "apiName")), StageName: "api",
		BucketNames: pulumi.ToStringArray([]string{config.Require(ctx, "logBucketName")}),
		AlarmEmail:  config.Require(ctx, "alarmEmail"),
	})
	if err != nil {
		return err
	}
	ctx.Export("topicArn", monitoring.TopicArn)
	return nil
}
