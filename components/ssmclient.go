package components

import (
	"errors"
	"fmt"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ssm"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// SsmClientServices are the endpoints that Session Manager needs in a VPC without internet. Amazon Linux 2023's
// agent needs no ec2messages (Systems Manager User Guide, "Improve the security of EC2 instances by using VPC endpoints").
var SsmClientServices = []string{"ssm", "ssmmessages"}

// SsmClient is a small Amazon Linux instance inside the VPC to try the private API from. It has no public address
// and no key: `aws ssm start-session --target <InstanceId>` is the only way in. It attaches the policies of its
// endpoints, which let in nobody but its role. It costs about 4 USD a month, and its endpoints more.
type SsmClient struct {
	pulumi.ResourceState

	// InstanceId is the target of Session Manager.
	InstanceId pulumi.IDOutput `pulumi:"instanceId"`
}

// SsmClientArgs are SsmClient's arguments.
type SsmClientArgs struct {
	// SubnetId of a subnet whose VPC has SsmClientServices' endpoints. Required.
	SubnetId pulumi.StringInput `pulumi:"subnetId"`
	// SecurityGroupIds, such as CoreVpc's for clients. Required.
	SecurityGroupIds pulumi.StringArrayInput `pulumi:"securityGroupIds"`
	// SsmEndpointId and SsmMessagesEndpointId of the VPC's endpoints. Required.
	SsmEndpointId         pulumi.StringInput `pulumi:"ssmEndpointId"`
	SsmMessagesEndpointId pulumi.StringInput `pulumi:"ssmMessagesEndpointId"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a SsmClientArgs) validate() error {
	if a.SubnetId == nil || a.SecurityGroupIds == nil || a.SsmEndpointId == nil || a.SsmMessagesEndpointId == nil {
		return errors.New("SubnetId, SecurityGroupIds, SsmEndpointId, SsmMessagesEndpointId: got nil, want all four, such as CoreVpc's")
	}
	return nil
}

// NewSsmClient makes an SsmClient.
func NewSsmClient(ctx *pulumi.Context, name string, args *SsmClientArgs, opts ...pulumi.ResourceOption) (*SsmClient, error) {
	if args == nil {
		args = &SsmClientArgs{}
	}
	if err := args.validate(); err != nil {
		return nil, fmt.Errorf("SsmClient %s: %w", name, err)
	}
	c := &SsmClient{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:SsmClient", name, c, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(c)
	image, err := ssm.LookupParameter(ctx, &ssm.LookupParameterArgs{
		Name: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
	}, parent)
	if err != nil {
		return nil, fmt.Errorf("SsmClient %s: Amazon Linux image: %w", name, err)
	}
	permissions, err := ssmClientPolicy()
	if err != nil {
		return nil, err
	}
	role, rolePolicy, err := newRole(ctx, name, iamdoc.Trust("ec2.amazonaws.com"), pulumi.String(permissions), args.Tags, parent)
	if err != nil {
		return nil, err
	}
	ready := []pulumi.Resource{rolePolicy}
	for _, endpoint := range []struct {
		service string
		id      pulumi.StringInput
		actions []string
	}{{"ssm", args.SsmEndpointId, ssmActions}, {"ssmmessages", args.SsmMessagesEndpointId, ssmMessagesActions}} {
		endpointPolicy, err := ec2.NewVpcEndpointPolicy(ctx, name+"-"+endpoint.service, &ec2.VpcEndpointPolicyArgs{
			VpcEndpointId: endpoint.id, Policy: role.Arn.ApplyT(func(roleArn string) (string, error) {
				return ssmEndpointPolicy(roleArn, endpoint.actions)
			}).(pulumi.StringOutput),
		}, parent, keepPolicy)
		if err != nil {
			return nil, err
		}
		ready = append(ready, endpointPolicy)
	}
	profile, err := iam.NewInstanceProfile(ctx, name, &iam.InstanceProfileArgs{Role: role.Name, Tags: args.Tags}, parent)
	if err != nil {
		return nil, err
	}
	instance, err := ec2.NewInstance(ctx, name, &ec2.InstanceArgs{
		Ami: pulumi.String(image.Value), InstanceType: pulumi.String("t4g.nano"), IamInstanceProfile: profile.Name,
		SubnetId: args.SubnetId, VpcSecurityGroupIds: args.SecurityGroupIds, AssociatePublicIpAddress: pulumi.Bool(false),
		// Tokens only: a forged request from the instance cannot read its role's credentials.
		MetadataOptions: &ec2.InstanceMetadataOptionsArgs{HttpEndpoint: pulumi.String("enabled"), HttpTokens: pulumi.String("required")},
		RootBlockDevice: &ec2.InstanceRootBlockDeviceArgs{Encrypted: pulumi.Bool(true), VolumeSize: pulumi.Int(8)},
		Tags:            withName(args.Tags, name),
		// A newer image would replace a running client at any deployment.
	}, parent, pulumi.DependsOn(ready), pulumi.IgnoreChanges([]string{"ami"}))
	if err != nil {
		return nil, err
	}
	c.InstanceId = instance.ID()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"instanceId": c.InstanceId})
}
