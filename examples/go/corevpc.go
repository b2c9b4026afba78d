package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// coreVpc is a VPC from which nothing leaves but to API Gateway and Bedrock, in two zones.
func coreVpc(ctx *pulumi.Context) error {
	core, err := components.NewCoreVpc(ctx, "core", nil)
	if err != nil {
		return err
	}
	ctx.Export("vpcId", core.VpcId)
	ctx.Export("endpointIds", core.EndpointIds)
	return nil
}
