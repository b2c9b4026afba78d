package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// privateApi puts an API in front of the function `functionArn`, which answers calls through the endpoint `vpcEndpointId`
// that are signed, and no others.
func privateApi(ctx *pulumi.Context) error {
	api, err := components.NewPrivateApi(ctx, "api", &components.PrivateApiArgs{
		FunctionArn:             pulumi.String(config.Require(ctx, "functionArn")),
		VpcEndpointIds:          pulumi.ToStringArray([]string{config.Require(ctx, "vpcEndpointId")}),
		Authorization:           "AWS_IAM",
		ManageApiGatewayAccount: true, // once per account and region
	})
	if err != nil {
		return err
	}
	ctx.Export("invokeUrl", api.InvokeUrl)
	return nil
}
