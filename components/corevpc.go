package components

import (
	"errors"
	"fmt"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/private-bedrock/private-bedrock/internal/subnets"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/vpc"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// CoreVpc is a VPC whose only way out is AWS's private endpoints: it has no internet gateway, no NAT and no public
// address. Interface endpoints cost about 0.014 USD an hour for each service and Availability Zone.
//
// Endpoints allow all access until the component that uses them attaches an endpoint policy.
type CoreVpc struct {
	pulumi.ResourceState

	// VpcId is the ID of the VPC, new or existing.
	VpcId pulumi.StringOutput `pulumi:"vpcId"`
	// PrivateSubnetIds are the IDs of the subnets, one in each zone, without a route to the internet.
	PrivateSubnetIds pulumi.StringArrayOutput `pulumi:"privateSubnetIds"`
	// EndpointIds are the endpoints' IDs by the service's short name, such as "execute-api".
	EndpointIds pulumi.StringMapOutput `pulumi:"endpointIds"`
	// ClientSecurityGroupId is the security group for callers of the private API.
	ClientSecurityGroupId pulumi.IDOutput `pulumi:"clientSecurityGroupId"`
	// FunctionSecurityGroupId is the security group for functions that call Bedrock.
	FunctionSecurityGroupId pulumi.IDOutput `pulumi:"functionSecurityGroupId"`
}

// CoreVpcArgs are CoreVpc's arguments; nil means all defaults.
type CoreVpcArgs struct {
	// CidrBlock is the VPC's IPv4 range, /16 to /24. Default: 10.0.0.0/16.
	CidrBlock string `pulumi:"cidrBlock,optional"`
	// AvailabilityZones are the zones that get a private subnet. Default: the Region's first two that offer every
	// endpoint.
	AvailabilityZones []string `pulumi:"availabilityZones,optional"`
	// EndpointServices are the short names of the AWS services that the VPC reaches, each through an interface endpoint
	// with private DNS. Default: execute-api, bedrock-runtime, bedrock.
	EndpointServices []string `pulumi:"endpointServices,optional"`
	// FlowLogRetentionDays is how long the VPC's flow logs are kept, in days that CloudWatch Logs offers. Default: 90.
	FlowLogRetentionDays int `pulumi:"flowLogRetentionDays,optional"`
	// VpcId is the ID of an existing VPC to use instead of a new one. CidrBlock, AvailabilityZones and
	// FlowLogRetentionDays are then ignored, and the VPC's owner manages its routes and flow logs. Default: a new VPC.
	VpcId string `pulumi:"vpcId,optional"`
	// SubnetIds are subnets of the existing VPC, at most one in each zone. Required with VpcId.
	SubnetIds []string `pulumi:"subnetIds,optional"`
	// EndpointIds are endpoints of the existing VPC to use instead of new ones, by the service's short name. One security
	// group of each, the first by ID, gets a rule that allows this component's group; a program that manages all rules of
	// the group would remove it. A new endpoint takes over the service's private DNS name in the whole VPC, and only this
	// component's callers can use it: other resources in the VPC can no longer reach the service. Default: new endpoints.
	EndpointIds map[string]string `pulumi:"endpointIds,optional"`
	// Tags are added to every resource that can have tags. Default: none.
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

func (a CoreVpcArgs) validate(string) error {
	var f faults
	_, err := subnets.ByZone(a.CidrBlock, a.AvailabilityZones)
	f.check("CidrBlock", err)
	f.check("FlowLogRetentionDays", CheckRetention(a.FlowLogRetentionDays))
	return errors.Join(append(f, CheckExistingVpc(a.VpcId, a.SubnetIds, a.EndpointIds))...)
}

// NewCoreVpc makes a CoreVpc.
func NewCoreVpc(ctx *pulumi.Context, name string, args *CoreVpcArgs, opts ...pulumi.ResourceOption) (*CoreVpc, error) {
	return construct(ctx, name, &CoreVpc{}, args, opts)
}

func (c *CoreVpc) provision(s scope, a CoreVpcArgs) (err error) {
	network := vpcNetwork{id: pulumi.String(a.VpcId), subnetIds: pulumi.ToStringArray(a.SubnetIds)}
	if a.VpcId != "" {
		network.endpoints, err = lookupExistingVpc(s, a)
	} else {
		network.id, network.subnetIds, err = newNetwork(s, a)
	}
	if err != nil {
		return err
	}
	clients, err := network.newCallers(s, "client", "callers of the private API", "endpoints that clients call")
	if err != nil {
		return err
	}
	functions, err := network.newCallers(s, "function", "functions that call Bedrock", "endpoints that functions call")
	if err != nil {
		return err
	}
	endpointIds := pulumi.StringMap{}
	for _, service := range a.EndpointServices {
		from := clients
		if isFunctions(service) {
			from = functions
		}
		if endpointIds[service], err = network.endpoint(s, service, from); err != nil {
			return err
		}
	}
	c.VpcId, c.PrivateSubnetIds = network.id.ToStringOutput(), network.subnetIds.ToStringArrayOutput()
	c.EndpointIds = endpointIds.ToStringMapOutput()
	c.ClientSecurityGroupId, c.FunctionSecurityGroupId = clients.group.ID(), functions.group.ID()
	return nil
}

// isFunctions reports whether a service's endpoint allows functions and not clients: a client that reached it could
// call Bedrock with its own credentials, without the API.
func isFunctions(service string) bool { return service == "bedrock-runtime" || service == "bedrock" }

// vpcNetwork is the VPC that endpoints go into, new or existing.
type vpcNetwork struct {
	id        pulumi.StringInput
	subnetIds pulumi.StringArray
	endpoints map[string]existingEndpoint // by service
}

// callers are those who may call some endpoints.
type callers struct {
	kind             string // client or function
	group, endpoints *ec2.SecurityGroup
	allowed          map[string]bool // security groups that have the rule already: AWS rejects a second one
}

// newCallers makes the security group of callers and the one of their endpoints.
func (n vpcNetwork) newCallers(s scope, kind, description, endpoints string) (c callers, err error) {
	newGroup := func(suffix, description string) (*ec2.SecurityGroup, error) {
		g := s.named(suffix)
		return ec2.NewSecurityGroup(s.ctx, g.name, &ec2.SecurityGroupArgs{
			VpcId: n.id, Description: pulumi.String(description), Tags: s.withName(g.name),
		}, s.options()...)
	}
	c = callers{kind: kind, allowed: map[string]bool{}}
	if c.group, err = newGroup("-"+kind+"s", description); err != nil {
		return c, err
	}
	if c.endpoints, err = newGroup("-"+kind+"-endpoints", endpoints); err != nil {
		return c, err
	}
	return c, c.allow(s, c.endpoints.ID(), "endpoints")
}

// allow lets the callers connect to a security group over HTTPS.
func (c callers) allow(s scope, to pulumi.StringInput, toName string) error {
	from := c.kind + "s"
	if _, err := vpc.NewSecurityGroupEgressRule(s.ctx, s.name+"-"+from+"-to-"+toName, &vpc.SecurityGroupEgressRuleArgs{
		SecurityGroupId: c.group.ID(), ReferencedSecurityGroupId: to, Tags: s.tags,
		IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
	}, s.options()...); err != nil {
		return err
	}
	_, err := vpc.NewSecurityGroupIngressRule(s.ctx, s.name+"-"+toName+"-from-"+from, &vpc.SecurityGroupIngressRuleArgs{
		SecurityGroupId: to, ReferencedSecurityGroupId: c.group.ID(), Tags: s.tags,
		IpProtocol: pulumi.String("tcp"), FromPort: pulumi.Int(443), ToPort: pulumi.Int(443),
	}, s.options()...)
	return err
}

// endpoint is the ID of a service's endpoint: the existing one, which now allows its callers, or a new one.
func (n vpcNetwork) endpoint(s scope, service string, from callers) (pulumi.StringInput, error) {
	if existing, found := n.endpoints[service]; found {
		id := pulumi.String(existing.id)
		group := existing.securityGroupIds[0]
		if from.allowed[group] {
			return id, nil
		}
		from.allowed[group] = true
		return id, from.allow(s, pulumi.String(group), service)
	}
	endpoint := s.named("-" + service)
	made, err := ec2.NewVpcEndpoint(s.ctx, endpoint.name, &ec2.VpcEndpointArgs{
		VpcId: n.id, SubnetIds: n.subnetIds, SecurityGroupIds: pulumi.StringArray{from.endpoints.ID()},
		ServiceName:     pulumi.String(endpointService(s.target.Region, service)),
		VpcEndpointType: pulumi.String("Interface"), PrivateDnsEnabled: pulumi.Bool(true), Tags: s.withName(endpoint.name),
	}, s.options()...)
	if err != nil {
		return nil, err
	}
	return made.ID(), nil
}

// newNetwork makes the VPC with its subnets, without a gateway or a route to the internet.
func newNetwork(s scope, a CoreVpcArgs) (pulumi.StringInput, pulumi.StringArray, error) {
	zones, err := lookupZones(s, a)
	if err != nil {
		return nil, nil, fmt.Errorf("AvailabilityZones: %w", err)
	}
	cidrs, err := subnets.ByZone(a.CidrBlock, zones)
	if err != nil {
		return nil, nil, fmt.Errorf("CidrBlock: %w", err)
	}
	network, err := ec2.NewVpc(s.ctx, s.name, &ec2.VpcArgs{
		CidrBlock: pulumi.String(a.CidrBlock), Tags: s.withName(s.name),
		// An endpoint's private DNS name needs both (VPC User Guide, "DNS attributes for your VPC").
		EnableDnsSupport: pulumi.Bool(true), EnableDnsHostnames: pulumi.Bool(true),
	}, s.options()...)
	if err != nil {
		return nil, nil, err
	}
	// A resource in the VPC without a security group of its own gets this one, which allows nothing.
	if _, err := ec2.NewDefaultSecurityGroup(s.ctx, s.name+"-default", &ec2.DefaultSecurityGroupArgs{
		VpcId: network.ID(), Tags: s.withName(s.name + "-default-admits-nothing"),
	}, s.options()...); err != nil {
		return nil, nil, err
	}
	routes, err := ec2.NewRouteTable(s.ctx, s.name+"-private", &ec2.RouteTableArgs{
		VpcId: network.ID(), Tags: s.withName(s.name + "-private"),
	}, s.options()...)
	if err != nil {
		return nil, nil, err
	}
	var subnetIds pulumi.StringArray
	for _, zone := range zones {
		subnetName := s.name + "-private-" + zone
		subnet, err := ec2.NewSubnet(s.ctx, subnetName, &ec2.SubnetArgs{
			VpcId: network.ID(), AvailabilityZone: pulumi.String(zone), CidrBlock: pulumi.String(cidrs[zone]),
			MapPublicIpOnLaunch: pulumi.Bool(false), Tags: s.withName(subnetName),
		}, s.options()...)
		if err != nil {
			return nil, nil, err
		}
		if _, err := ec2.NewRouteTableAssociation(s.ctx, subnetName, &ec2.RouteTableAssociationArgs{
			SubnetId: subnet.ID(), RouteTableId: routes.ID(),
		}, s.options()...); err != nil {
			return nil, nil, err
		}
		subnetIds = append(subnetIds, subnet.ID())
	}
	return network.ID(), subnetIds, newFlowLog(s.named("-flow-log"), a.FlowLogRetentionDays, network)
}

// newFlowLog records connections by address and port. It has no payload.
func newFlowLog(s scope, retentionDays int, network *ec2.Vpc) error {
	logGroup, err := s.newLogGroup("/aws/vpc/"+s.name, retentionDays)
	if err != nil {
		return err
	}
	trust := iamdoc.TrustForAccount("vpc-flow-logs.amazonaws.com", s.target.Account, s.target.ARN("ec2", "vpc-flow-log/*"))
	role, rolePolicy, err := s.newRole(trust, logGroup.Arn.ApplyT(flowLogPolicy).(pulumi.StringOutput))
	if err != nil {
		return err
	}
	_, err = ec2.NewFlowLog(s.ctx, s.name, &ec2.FlowLogArgs{
		VpcId: network.ID(), TrafficType: pulumi.String("ALL"), MaxAggregationInterval: pulumi.Int(60),
		LogDestination: logGroup.Arn, IamRoleArn: role.Arn, Tags: s.withName(s.name),
	}, s.options(pulumi.DependsOn([]pulumi.Resource{rolePolicy}))...)
	return err
}

func endpointService(region, service string) string { return "com.amazonaws." + region + "." + service }

// lookupZones asks AWS where each endpoint service is offered: a zone without one would fail the deployment halfway.
func lookupZones(s scope, a CoreVpcArgs) ([]string, error) {
	available, err := aws.GetAvailabilityZones(s.ctx, &aws.GetAvailabilityZonesArgs{
		State: pulumi.StringRef("available"),
	}, s.lookup())
	if err != nil {
		return nil, err
	}
	offered := map[string][]string{"EC2": available.Names}
	for _, service := range a.EndpointServices {
		if offered[service], err = lookupServiceZones(s, service); err != nil {
			return nil, err
		}
	}
	return subnets.PickZones(a.AvailabilityZones, offered)
}

func lookupServiceZones(s scope, service string) ([]string, error) {
	found, err := ec2.LookupVpcEndpointService(s.ctx, &ec2.LookupVpcEndpointServiceArgs{
		ServiceName: pulumi.StringRef(endpointService(s.target.Region, service)), ServiceType: pulumi.StringRef("Interface"),
	}, s.lookup())
	if err != nil {
		return nil, fmt.Errorf("endpoint service %s in %s: %w", service, s.target.Region, err)
	}
	return found.AvailabilityZones, nil
}
