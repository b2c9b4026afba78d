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

// SsmClientServices are the endpoints that Session Manager needs in a VPC without internet access. Amazon Linux 2023's
// agent doesn't need ec2messages (Systems Manager User Guide, "Improve the security of EC2 instances by using VPC
// endpoints").
var SsmClientServices = []string{"ssm", "ssmmessages"}

// SsmClient is a small Amazon Linux instance inside the VPC, from which you can try the private API. It has no public
// address and no key: connect with `aws ssm start-session --target <InstanceId>`. It attaches the policies of its
// endpoints, which allow only its role. It costs about 4 USD a month, plus its endpoints.
type SsmClient struct {
	pulumi.ResourceState

	// InstanceId is the instance's ID, the target of Session Manager.
	InstanceId pulumi.IDOutput `pulumi:"instanceId"`
}

// SsmClientArgs are SsmClient's arguments.
type SsmClientArgs struct {
	// SubnetId is a subnet whose VPC has endpoints for ssm and ssmmessages. Required.
	SubnetId pulumi.StringInput `pulumi:"subnetId"`
	// SecurityGroupIds are the instance's security groups, such as CoreVpc's clientSecurityGroupId. Required.
	SecurityGroupIds pulumi.StringArrayInput `pulumi:"securityGroupIds"`
	// SsmEndpointId is the VPC's endpoint for ssm. Required.
	SsmEndpointId pulumi.StringInput `pulumi:"ssmEndpointId"`
	// SsmMessagesEndpointId is the VPC's endpoint for ssmmessages. Required.
	SsmMessagesEndpointId pulumi.StringInput `pulumi:"ssmMessagesEndpointId"`
	// Tags are added to every resource that can have tags. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a SsmClientArgs) withDefaults() SsmClientArgs { return a }

func (a SsmClientArgs) validate(string) error {
	var f faults
	f.reject(a.SubnetId == nil || a.SecurityGroupIds == nil || a.SsmEndpointId == nil || a.SsmMessagesEndpointId == nil,
		"SubnetId, SecurityGroupIds, SsmEndpointId, SsmMessagesEndpointId: got nil, want all four, such as CoreVpc's")
	return errors.Join(f...)
}

// NewSsmClient makes an SsmClient.
func NewSsmClient(
	ctx *pulumi.Context, name string, args *SsmClientArgs, opts ...pulumi.ResourceOption,
) (*SsmClient, error) {
	return construct(ctx, name, &SsmClient{}, args, opts)
}

func (c *SsmClient) provision(s scope, a SsmClientArgs) error {
	image, err := ssm.LookupParameter(s.ctx, &ssm.LookupParameterArgs{
		Name: "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
	}, s.lookup())
	if err != nil {
		return fmt.Errorf("the Amazon Linux image: %w", err)
	}
	permissions, err := ssmClientPolicy()
	if err != nil {
		return err
	}
	role, rolePolicy, err := s.newRole(iamdoc.Trust("ec2.amazonaws.com"), pulumi.String(permissions))
	if err != nil {
		return err
	}
	ready := []pulumi.Resource{rolePolicy}
	for _, endpoint := range []struct {
		service string
		id      pulumi.StringInput
		actions []string
	}{{"ssm", a.SsmEndpointId, ssmActions}, {"ssmmessages", a.SsmMessagesEndpointId, ssmMessagesActions}} {
		policy := role.Arn.ApplyT(func(roleArn string) (string, error) {
			return ssmEndpointPolicy(roleArn, endpoint.actions)
		}).(pulumi.StringOutput)
		attached, err := s.named("-"+endpoint.service).newEndpointPolicy(endpoint.id, policy)
		if err != nil {
			return err
		}
		ready = append(ready, attached)
	}
	profile, err := iam.NewInstanceProfile(s.ctx, s.name, &iam.InstanceProfileArgs{
		Role: role.Name, Tags: s.tags,
	}, s.options()...)
	if err != nil {
		return err
	}
	instance, err := ec2.NewInstance(s.ctx, s.name, &ec2.InstanceArgs{
		Ami: pulumi.String(image.Value), InstanceType: pulumi.String("t4g.nano"), IamInstanceProfile: profile.Name,
		SubnetId: a.SubnetId, VpcSecurityGroupIds: a.SecurityGroupIds, AssociatePublicIpAddress: pulumi.Bool(false),
		// Tokens only: a forged request from the instance can't read its role's credentials.
		MetadataOptions: &ec2.InstanceMetadataOptionsArgs{
			HttpEndpoint: pulumi.String("enabled"), HttpTokens: pulumi.String("required"),
		},
		RootBlockDevice: &ec2.InstanceRootBlockDeviceArgs{Encrypted: pulumi.Bool(true), VolumeSize: pulumi.Int(8)},
		Tags:            s.withName(s.name),
		// Otherwise a newer image would replace a running client at any deployment.
	}, s.options(pulumi.DependsOn(ready), pulumi.IgnoreChanges([]string{"ami"}))...)
	if err != nil {
		return err
	}
	c.InstanceId = instance.ID()
	return nil
}
