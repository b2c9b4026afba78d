package components

import (
	"errors"
	"fmt"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/subnets"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// CoreVpc is a VPC from which nothing leaves but through AWS's own private endpoints: no internet gateway, no NAT,
// no public address. Interface endpoints cost about 0.014 USD an hour for each service and availability zone.
//
// Its endpoints let everybody do everything until a policy is attached: the components that use them do that.
type CoreVpc struct {
	pulumi.ResourceState

	// VpcId of the VPC, new or existing.
	VpcId pulumi.StringOutput `pulumi:"vpcId"`
	// PrivateSubnetIds, one in each zone, without a route to the internet.
	PrivateSubnetIds pulumi.StringArrayOutput `pulumi:"privateSubnetIds"`
	// EndpointIds by the service's short name, such as "execute-api".
	EndpointIds pulumi.StringMapOutput `pulumi:"endpointIds"`
	// ClientSecurityGroupId is for whatever calls the private API.
	ClientSecurityGroupId pulumi.IDOutput `pulumi:"clientSecurityGroupId"`
	// FunctionSecurityGroupId is for functions that call Bedrock.
	FunctionSecurityGroupId pulumi.IDOutput `pulumi:"functionSecurityGroupId"`
}

// CoreVpcArgs are CoreVpc's arguments; nil means all defaults.
type CoreVpcArgs struct {
	// CidrBlock of the VPC, /16 to /24. Default: 10.0.0.0/16.
	CidrBlock string `pulumi:"cidrBlock,optional"`
	// AvailabilityZones get a private subnet each. Default: the region's first two that offer every endpoint.
	AvailabilityZones []string `pulumi:"availabilityZones,optional"`
	// EndpointServices are the short names of the AWS services reached from inside, each through an interface
	// endpoint with private DNS. Default: execute-api, bedrock-runtime, bedrock.
	EndpointServices []string `pulumi:"endpointServices,optional"`
	// FlowLogRetentionDays of the VPC's flow logs, in days that CloudWatch Logs offers. Default: 90.
	FlowLogRetentionDays int `pulumi:"flowLogRetentionDays,optional"`
	// VpcId of an existing VPC to use in place of a new one; CidrBlock, AvailabilityZones and FlowLogRetentionDays then
	// have no meaning, and its routes and flow logs stay its owner's. Default: none.
	VpcId string `pulumi:"vpcId,optional"`
	// SubnetIds of the existing VPC, each in a zone of its own.
	SubnetIds []string `pulumi:"subnetIds,optional"`
	// EndpointIds of the existing VPC, by the service's short name, to use in place of new ones. One security group of
	// each, the first by id, gets a rule that admits this component's; a program that lists all the group's rules would
	// remove it. New ones take the service's name for the whole VPC: nothing else in it reaches the service any more.
	EndpointIds map[string]string `pulumi:"endpointIds,optional"`
	// Tags of everything that can have some. Default: none.
	Tags pulumi.StringMapInput `pulumi:"tags,optional"`
}

func (a CoreVpcArgs) withDefaults() CoreVpcArgs {
	if a.CidrBlock == "" {
		a.CidrBlock = "10.0.0.0/16"
	}
	if a.EndpointServices == nil {
		a.EndpointServices = []string{"execute-api", "bedrock-runtime", "bedrock"}
	}
	if a.FlowLogRetentionDays == 0 {
		a.FlowLogRetentionDays = 90
	}
	return a
}

func (a CoreVpcArgs) validate() error {
	var errs []error
	if _, err := subnets.ByZone(a.CidrBlock, a.AvailabilityZones); err != nil {
		errs = append(errs, fmt.Errorf("CidrBlock: %w", err))
	}
	if err := CheckRetention(a.FlowLogRetentionDays); err != nil {
		errs = append(errs, fmt.Errorf("FlowLogRetentionDays: %w", err))
	}
	if err := CheckExistingVpc(a.VpcId, a.SubnetIds, a.EndpointIds); err != nil {
		errs = append(errs, err)
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
	var vpcId pulumi.StringInput = pulumi.String(a.VpcId)
	subnetIds := pulumi.ToStringArray(a.SubnetIds)
	existing := map[string]existingEndpoint{}
	if a.VpcId != "" {
		if existing, err = lookupExistingVpc(ctx, name, a, to.Region, c); err != nil {
			return nil, fmt.Errorf("CoreVpc %s: %w", name, err)
		}
	} else if vpcId, subnetIds, err = newNetwork(ctx, name, a, to, c); err != nil {
		return nil, err
	}

	group := func(suffix, description string) (*ec2.SecurityGroup, error) {
		return ec2.NewSecurityGroup(ctx, name+"-"+suffix, &ec2.SecurityGroupArgs{
			VpcId: vpcId, Description: pulumi.String(description), Tags: withName(a.Tags, name+"-"+suffix),
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
	clientEndpoints, err := group("client-endpoints", "endpoints that clients call")
	if err != nil {
		return nil, err
	}
	functionEndpoints, err := group("function-endpoints", "endpoints that functions call")
	if err != nil {
		return nil, err
	}
	admit := func(from *ec2.SecurityGroup, fromName string, to pulumi.StringInput, toName string) error {
		if _, err := vpc.NewSecurityGroupEgressRule(ctx, name+"-"+fromName+"-to-"+toName, &vpc.SecurityGroupEgressRuleArgs{
			SecurityGroupId: from.ID(), ReferencedSecurityGroupId: to, Tags: a.Tags,
			IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
		}, parent); err != nil {
			return err
		}
		_, err := vpc.NewSecurityGroupIngressRule(ctx, name+"-"+toName+"-from-"+fromName, &vpc.SecurityGroupIngressRuleArgs{
			SecurityGroupId: to, ReferencedSecurityGroupId: from.ID(), Tags: a.Tags,
			IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
		}, parent)
		return err
	}
	if err := errors.Join(admit(clients, "clients", clientEndpoints.ID(), "endpoints"), admit(functions, "functions", functionEndpoints.ID(), "endpoints")); err != nil {
		return nil, err
	}
	endpointIds := pulumi.StringMap{}
	admitted := map[string]bool{} // AWS refuses a rule that is there already
	for _, service := range a.EndpointServices {
		caller, callers, guard := clients, "clients", clientEndpoints
		if isFunctions(service) {
			caller, callers, guard = functions, "functions", functionEndpoints
		}
		if endpoint, found := existing[service]; found {
			endpointIds[service] = pulumi.String(endpoint.id)
			if group := endpoint.securityGroupIds[0]; !admitted[group] {
				admitted[group] = true
				if err := admit(caller, callers, pulumi.String(group), service); err != nil {
					return nil, err
				}
			}
			continue
		}
		endpoint, err := ec2.NewVpcEndpoint(ctx, name+"-"+service, &ec2.VpcEndpointArgs{
			VpcId: vpcId, ServiceName: pulumi.String(endpointService(to.Region, service)), VpcEndpointType: pulumi.String("Interface"),
			PrivateDnsEnabled: pulumi.Bool(true), SubnetIds: subnetIds, SecurityGroupIds: pulumi.StringArray{guard.ID()},
			Tags: withName(a.Tags, name+"-"+service),
		}, parent)
		if err != nil {
			return nil, err
		}
		endpointIds[service] = endpoint.ID()
	}

	c.VpcId = vpcId.ToStringOutput()
	c.PrivateSubnetIds = subnetIds.ToStringArrayOutput()
	c.EndpointIds = endpointIds.ToStringMapOutput()
	c.ClientSecurityGroupId = clients.ID()
	c.FunctionSecurityGroupId = functions.ID()
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{
		"vpcId": c.VpcId, "privateSubnetIds": c.PrivateSubnetIds, "endpointIds": c.EndpointIds,
		"clientSecurityGroupId": c.ClientSecurityGroupId, "functionSecurityGroupId": c.FunctionSecurityGroupId,
	})
}

// isFunctions tells services whose endpoints admit functions and no clients: a client that reached one could call
// Bedrock with credentials of its own, past the API.
func isFunctions(service string) bool { return service == "bedrock-runtime" || service == "bedrock" }

// newNetwork makes the VPC with its subnets, and neither gateway nor route to the outside.
func newNetwork(ctx *pulumi.Context, name string, a CoreVpcArgs, to iamdoc.Target, c *CoreVpc) (pulumi.StringInput, pulumi.StringArray, error) {
	parent := pulumi.Parent(c)
	zones, err := lookupZones(ctx, a, to.Region, c)
	if err != nil {
		return nil, nil, fmt.Errorf("CoreVpc %s: AvailabilityZones: %w", name, err)
	}
	cidrs, err := subnets.ByZone(a.CidrBlock, zones)
	if err != nil {
		return nil, nil, fmt.Errorf("CoreVpc %s: CidrBlock: %w", name, err)
	}

	network, err := ec2.NewVpc(ctx, name, &ec2.VpcArgs{
		CidrBlock: pulumi.String(a.CidrBlock), Tags: withName(a.Tags, name),
		// Both are needed for an endpoint's private DNS name (VPC User Guide, "DNS attributes for your VPC").
		EnableDnsSupport: pulumi.Bool(true), EnableDnsHostnames: pulumi.Bool(true),
	}, parent)
	if err != nil {
		return nil, nil, err
	}
	// Whatever is put into the VPC without a group of its own gets this one, which admits nothing.
	if _, err := ec2.NewDefaultSecurityGroup(ctx, name+"-default", &ec2.DefaultSecurityGroupArgs{
		VpcId: network.ID(), Tags: withName(a.Tags, name+"-default-admits-nothing"),
	}, parent); err != nil {
		return nil, nil, err
	}
	routes, err := ec2.NewRouteTable(ctx, name+"-private", &ec2.RouteTableArgs{
		VpcId: network.ID(), Tags: withName(a.Tags, name+"-private"),
	}, parent)
	if err != nil {
		return nil, nil, err
	}
	var subnetIds pulumi.StringArray
	for _, zone := range zones {
		subnetName := name + "-private-" + zone
		subnet, err := ec2.NewSubnet(ctx, subnetName, &ec2.SubnetArgs{
			VpcId: network.ID(), AvailabilityZone: pulumi.String(zone), CidrBlock: pulumi.String(cidrs[zone]),
			MapPublicIpOnLaunch: pulumi.Bool(false), Tags: withName(a.Tags, subnetName),
		}, parent)
		if err != nil {
			return nil, nil, err
		}
		if _, err := ec2.NewRouteTableAssociation(ctx, subnetName, &ec2.RouteTableAssociationArgs{
			SubnetId: subnet.ID(), RouteTableId: routes.ID(),
		}, parent); err != nil {
			return nil, nil, err
		}
		subnetIds = append(subnetIds, subnet.ID())
	}
	return network.ID(), subnetIds, newFlowLog(ctx, name+"-flow-log", a, to, network, parent)
}

// newFlowLog records who talked to whom, by address and port; it holds no payload.
func newFlowLog(ctx *pulumi.Context, name string, a CoreVpcArgs, to iamdoc.Target, network *ec2.Vpc, parent pulumi.ResourceOption) error {
	logGroup, err := cloudwatch.NewLogGroup(ctx, name, &cloudwatch.LogGroupArgs{
		Name: pulumi.String("/aws/vpc/" + name), RetentionInDays: pulumi.Int(a.FlowLogRetentionDays), Tags: a.Tags,
	}, parent)
	if err != nil {
		return err
	}
	trust := iamdoc.TrustForAccount("vpc-flow-logs.amazonaws.com", to.Account, to.ARN("ec2", "vpc-flow-log/*"))
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
		if offered[service], err = lookupServiceZones(ctx, region, service, parent); err != nil {
			return nil, err
		}
	}
	return subnets.PickZones(a.AvailabilityZones, offered)
}

func lookupServiceZones(ctx *pulumi.Context, region, service string, parent pulumi.Resource) ([]string, error) {
	s, err := ec2.LookupVpcEndpointService(ctx, &ec2.LookupVpcEndpointServiceArgs{
		ServiceName: pulumi.StringRef(endpointService(region, service)), ServiceType: pulumi.StringRef("Interface"),
	}, pulumi.Parent(parent))
	if err != nil {
		return nil, fmt.Errorf("endpoint service %s in %s: %w", service, region, err)
	}
	return s.AvailabilityZones, nil
}
