package components

import (
	"errors"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// CoreVpc is a VPC from which nothing leaves but through AWS's own private endpoints: no internet gateway, no NAT,
// no public address. Interface endpoints cost about 0.014 USD an hour for each service and availability zone.
type CoreVpc struct {
	pulumi.ResourceState

	VpcId            pulumi.IDOutput
	PrivateSubnetIds pulumi.StringArrayOutput
	// EndpointIds by the service's short name, such as "execute-api".
	EndpointIds pulumi.StringMapOutput
	// ClientSecurityGroupId is for whatever calls the private API.
	ClientSecurityGroupId pulumi.IDOutput
	// FunctionSecurityGroupId is for functions that call Bedrock.
	FunctionSecurityGroupId pulumi.IDOutput
}

// CoreVpcArgs are CoreVpc's arguments; nil means all defaults.
type CoreVpcArgs struct {
	// CidrBlock of the VPC, /16 to /24. Default: 10.0.0.0/16.
	CidrBlock string
	// AvailabilityZones get a private subnet each. Default: the region's first two that offer every endpoint.
	AvailabilityZones []string
	// EndpointServices are the short names of the AWS services reached from inside, each through an interface
	// endpoint with private DNS. Default: execute-api, bedrock-runtime.
	EndpointServices []string
	// FlowLogRetentionDays of the VPC's flow logs, in days that CloudWatch Logs offers. Default: 90.
	FlowLogRetentionDays int
	Tags                 pulumi.StringMapInput
}

func (a CoreVpcArgs) withDefaults() CoreVpcArgs {
	if a.CidrBlock == "" {
		a.CidrBlock = "10.0.0.0/16"
	}
	if a.EndpointServices == nil {
		a.EndpointServices = []string{"execute-api", "bedrock-runtime"}
	}
	if a.FlowLogRetentionDays == 0 {
		a.FlowLogRetentionDays = 90
	}
	return a
}

func (a CoreVpcArgs) validate() error {
	var errs []error
	if _, err := ZoneSubnets(a.CidrBlock, a.AvailabilityZones); err != nil {
		errs = append(errs, fmt.Errorf("CidrBlock: %w", err))
	}
	if err := CheckRetention(a.FlowLogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("FlowLogRetentionDays: %w", err))
	}
	return errors.Join(errs...)
}

// NewCoreVpc makes a CoreVpc.
func NewCoreVpc(ctx *pulumi.Context, name string, args *CoreVpcArgs, opts ...pulumi.ResourceOption) (*CoreVpc, error) {
	if args == nil {
		args = &CoreVpcArgs{}
	}
	a := args.withDefaults()
	if err := a.validate(); err != nil {
		return nil, fmt.Errorf("CoreVpc %s: %w", name, err)
	}
	c := &CoreVpc{}
	if err := ctx.RegisterComponentResource("private-bedrock:index:CoreVpc", name, c, opts...); err != nil {
		return nil, err
	}
	parent := pulumi.Parent(c)
	to, err := lookupTarget(ctx, c)
	if err != nil {
		return nil, err
	}
	zones, err := lookupZones(ctx, a, to.region, c)
	if err != nil {
		return nil, fmt.Errorf("CoreVpc %s: AvailabilityZones: %w", name, err)
	}
	cidrs, err := ZoneSubnets(a.CidrBlock, zones)
	if err != nil {
		return nil, fmt.Errorf("CoreVpc %s: CidrBlock: %w", name, err)
	}

	network, err := ec2.NewVpc(ctx, name, &ec2.VpcArgs{
		CidrBlock: pulumi.String(a.CidrBlock), Tags: withName(a.Tags, name),
		// Both are needed for an endpoint's private DNS name (VPC User Guide, "DNS attributes for your VPC").
		EnableDnsSupport: pulumi.Bool(true), EnableDnsHostnames: pulumi.Bool(true),
	}, parent)
	if err != nil {
		return nil, err
	}
	// Whatever is put into the VPC without a group of its own gets this one, which admits nothing.
	if _, err := ec2.NewDefaultSecurityGroup(ctx, name+"-default", &ec2.DefaultSecurityGroupArgs{
		VpcId: network.ID(), Tags: withName(a.Tags, name+"-default-admits-nothing"),
	}, parent); err != nil {
		return nil, err
	}
	routes, err := ec2.NewRouteTable(ctx, name+"-private", &ec2.RouteTableArgs{
		VpcId: network.ID(), Tags: withName(a.Tags, name+"-private"),
	}, parent)
	if err != nil {
		return nil, err
	}
	var subnetIds pulumi.StringArray
	for _, zone := range zones {
		subnetName := name + "-private-" + zone
		subnet, err := ec2.NewSubnet(ctx, subnetName, &ec2.SubnetArgs{
			VpcId: network.ID(), AvailabilityZone: pulumi.String(zone), CidrBlock: pulumi.String(cidrs[zone]),
			MapPublicIpOnLaunch: pulumi.Bool(false), Tags: withName(a.Tags, subnetName),
		}, parent)
		if err != nil {
			return nil, err
		}
		if _, err := ec2.NewRouteTableAssociation(ctx, subnetName, &ec2.RouteTableAssociationArgs{
			SubnetId: subnet.ID(), RouteTableId: routes.ID(),
		}, parent); err != nil {
			return nil, err
		}
		subnetIds = append(subnetIds, subnet.ID())
	}

	group := func(suffix, description string) (*ec2.SecurityGroup, error) {
		return ec2.NewSecurityGroup(ctx, name+"-"+suffix, &ec2.SecurityGroupArgs{
			VpcId: network.ID(), Description: pulumi.String(description), Tags: withName(a.Tags, name+"-"+suffix),
		}, parent)
	}
	clients, err := group("clients", "callers of the private API")
	if err != nil {
		return nil, err
	}
	functions, err := group("functions", "functions that call Bedrock")
	if err != nil {
		return nil, err
	}
	// Two groups of endpoints: a client that reached Bedrock's could call it with credentials of its own, past the API.
	clientEndpoints, err := group("client-endpoints", "endpoints that clients call")
	if err != nil {
		return nil, err
	}
	functionEndpoints, err := group("function-endpoints", "endpoints that functions call")
	if err != nil {
		return nil, err
	}
	for _, way := range []struct {
		name     string
		from, to *ec2.SecurityGroup
	}{{"clients", clients, clientEndpoints}, {"functions", functions, functionEndpoints}} {
		if _, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-"+way.name+"-to-endpoints", &vpc.SecurityGroupEgressRuleArgs{
			SecurityGroupId: way.from.ID(), ReferencedSecurityGroupId: way.to.ID(), Tags: a.Tags,
			IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
		}, parent); err != nil {
			return nil, err
		}
		if _, err := vpc.NewSecurityGroupIngressRule(ctx, name+"-endpoints-from-"+way.name, &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: way.to.ID(), ReferencedSecurityGroupId: way.from.ID(), Tags: a.Tags,
			IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
		}, parent); err != nil {
			return nil, err
		}
	}
	endpointIds := pulumi.StringMap{}
	for _, service := range a.EndpointServices {
		guard := clientEndpoints
		if service == "bedrock-runtime" {
			guard = functionEndpoints
		}
		endpoint, err := ec2.NewVpcEndpoint(ctx, name+"-"+service, &ec2.VpcEndpointArgs{
			VpcId: network.ID(), ServiceName: pulumi.String(endpointService(to.region, service)), VpcEndpointType: pulumi.String("Interface"),
			PrivateDnsEnabled: pulumi.Bool(true), SubnetIds: subnetIds, SecurityGroupIds: pulumi.StringArray{guard.ID()},
			Tags: withName(a.Tags, name+"-"+service),
		}, parent)
		if err != nil {
			return nil, err
		}
		endpointIds[service] = endpoint.ID()
	}
	if err := newFlowLog(ctx, name+"-flow-log", a, to, network, parent); err != nil {
		return nil, err
	}

	c.VpcId = network.ID()
	c.PrivateSubnetIds = subnetIds.ToStringArrayOutput()
	c.EndpointIds = endpointIds.ToStringMapOutput()
	c.ClientSecurityGroupId = clients.ID()
	c.FunctionSecurityGroupId = functions.ID()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"vpcId": c.VpcId, "privateSubnetIds": c.PrivateSubnetIds, "endpointIds": c.EndpointIds,
		"clientSecurityGroupId": c.ClientSecurityGroupId, "functionSecurityGroupId": c.FunctionSecurityGroupId,
	})
}

// newFlowLog records who talked to whom, by address and port; it holds no payload.
func newFlowLog(ctx *pulumi.Context, name string, a CoreVpcArgs, to target, network *ec2.Vpc, parent pulumi.ResourceOption) error {
	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String("/aws/vpc/" + name), RetentionInDays: pulumi.Int(a.FlowLogRetentionDays), Tags: a.Tags,
	}, parent)
	if err != nil {
		return err
	}
	trust, err := trustPolicy("vpc-flow-logs.amazonaws.com", to.account, "arn:"+to.partition+":ec2:"+to.region+":"+to.account+":vpc-flow-log/*")
	if err != nil {
		return err
	}
	role, rolePolicy, err := newRole(ctx, name, trust, logGroup.Arn.ApplyT(flowLogPolicy).(pulumi.StringOutput), a.Tags, parent)
	if err != nil {
		return err
	}
	_, err = ec2.NewFlowLog(ctx, name, &ec2.FlowLogArgs{
		VpcId: network.ID(), TrafficType: pulumi.String("ALL"), MaxAggregationInterval: pulumi.Int(60),
		LogDestination: logGroup.Arn, IamRoleArn: role.Arn, Tags: withName(a.Tags, name),
	}, parent, pulumi.DependsOn([]pulumi.Resource{rolePolicy}))
	return err
}

func endpointService(region, service string) string { return "com.amazonaws." + region + "." + service }

// lookupZones asks AWS where each endpoint service is offered: a zone without one fails the whole deployment half-way.
func lookupZones(ctx *pulumi.Context, a CoreVpcArgs, region string, parent pulumi.Resource) ([]string, error) {
	available, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{State: pulumi.StringRef("available")}, pulumi.Parent(parent))
	if err != nil {
		return nil, err
	}
	offered := map[string][]string{"EC2": available.Names}
	for _, service := range a.EndpointServices {
		s, err := ec2.LookupVpcEndpointService(ctx, &ec2.LookupVpcEndpointServiceArgs{
			ServiceName: pulumi.StringRef(endpointService(region, service)), ServiceType: pulumi.StringRef("Interface"),
		}, pulumi.Parent(parent))
		if err != nil {
			return nil, fmt.Errorf("endpoint service %s in %s: %w", service, region, err)
		}
		offered[service] = s.AvailabilityZones
	}
	return pickZones(a.AvailabilityZones, offered)
}
