package main

import (
	"slices"

	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// ssmClient is an instance to try the private API from, in a VPC of its own.
func ssmClient(ctx *pulumi.Context) error {
	core, err := components.NewCoreVpc(ctx, "core", &components.CoreVpcArgs{
		EndpointServices: slices.Concat([]string{"execute-api"}, components.SsmClientServices),
	})
	if err != nil {
		return err
	}
	client, err := components.NewSsmClient(ctx, "client", &components.SsmClientArgs{
		SubnetId: core.PrivateSubnetIds.Index(pulumi.Int(0)), SecurityGroupIds: pulumi.StringArray{core.ClientSecurityGroupId},
		SsmEndpointId:         core.EndpointIds.MapIndex(pulumi.String("ssm")),
		SsmMessagesEndpointId: core.EndpointIds.MapIndex(pulumi.String("ssmmessages")),
	})
	if err != nil {
		return err
	}
	ctx.Export("instanceId", client.InstanceId)
	return nil
}
