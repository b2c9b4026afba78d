package main

import (
	"github.com/private-bedrock/private-bedrock/components"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// bedrockFunction is the function that may call one model, in a VPC of its own. The setting `source` is the folder of a
// checkout's function/.
func bedrockFunction(ctx *pulumi.Context) error {
	const zip = ".build/function.zip"
	if err := components.BuildFunctionZip(ctx.Context(), config.Require(ctx, "source"), "arm64", zip); err != nil {
		return err
	}
	core, err := components.NewCoreVpc(ctx, "core", nil)
	if err != nil {
		return err
	}
	function, err := components.NewBedrockFunction(ctx, "function", &components.BedrockFunctionArgs{
		Code: pulumi.NewFileArchive(zip), ModelIds: []string{"anthropic.claude-haiku-4-5-20251001-v1:0"},
		SubnetIds: core.PrivateSubnetIds, SecurityGroupIds: pulumi.StringArray{core.FunctionSecurityGroupId},
		BedrockRuntimeEndpointId: core.EndpointIds.MapIndex(pulumi.String("bedrock-runtime")),
		BedrockEndpointId:        core.EndpointIds.MapIndex(pulumi.String("bedrock")),
	})
	if err != nil {
		return err
	}
	ctx.Export("functionArn", function.FunctionArn)
	return nil
}
