package components

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// existingVpc is what AWS returns about a VPC to use instead of a new one.
type existingVpc struct {
	dnsSupport, dnsHostnames bool
	subnets                  []existingSubnet
	endpoints                map[string]existingEndpoint // the ones to use, by the service's short name
	others                   map[string]string           // IDs of other endpoints, by service
	offered                  map[string][]string         // zones, by service that gets a new endpoint
}

type existingSubnet struct{ id, vpcId, zone string }

type existingEndpoint struct {
	id, vpcId, serviceName, kind, state string
	privateDns                          bool
	securityGroupIds                    []string
}

// EC2 API Reference: the form of its IDs; older ones have 8 digits.
var ec2ID = regexp.MustCompile(`^(vpc|subnet|vpce)-[0-9a-f]{8}([0-9a-f]{9})?$`)

func isEC2ID(kind, id string) bool {
	match := ec2ID.FindStringSubmatch(id)
	return match != nil && match[1] == kind
}

// CheckExistingVpc rejects malformed IDs, and subnets or endpoints that are given without a VPC.
func CheckExistingVpc(vpcId string, subnetIds []string, endpointIds map[string]string) error {
	var f faults
	want := func(kind, id string) {
		f.reject(!isEC2ID(kind, id), "got %q, want an id such as %s-0123456789abcdef0", id, kind)
	}
	f.reject(vpcId == "" && len(subnetIds)+len(endpointIds) > 0,
		"VpcId: got none, but subnets %q and endpoints %v: want their VPC as well", subnetIds, endpointIds)
	if vpcId != "" {
		want("vpc", vpcId)
		f.reject(len(subnetIds) == 0,
			"SubnetIds: got none, want the private subnets of %s to use, best in two zones", vpcId)
	}
	for _, id := range subnetIds {
		want("subnet", id)
	}
	for _, service := range slices.Sorted(maps.Keys(endpointIds)) {
		want("vpce", endpointIds[service])
	}
	return errors.Join(f...)
}

// CheckVpcEndpointIds rejects malformed and repeated IDs of endpoints.
func CheckVpcEndpointIds(ids []string) error {
	var f faults
	for i, id := range ids {
		f.reject(!isEC2ID("vpce", id), "got %q, want endpoints' ids such as vpce-0123456789abcdef0", id)
		f.reject(slices.Contains(ids[:i], id), "got %q twice, want each endpoint once", id)
	}
	return errors.Join(f...)
}

// check reports everything that an existing VPC lacks at once, in the preview, so that no deployment fails halfway.
func (v existingVpc) check(a CoreVpcArgs, region string) error {
	var errs []error
	lacks := func(format string, values ...any) { errs = append(errs, fmt.Errorf(format, values...)) }
	if !v.dnsSupport || !v.dnsHostnames {
		lacks("VpcId: %s has enableDnsSupport %v and enableDnsHostnames %v: endpoints' private DNS names need both on",
			a.VpcId, v.dnsSupport, v.dnsHostnames)
	}
	zones := map[string]string{}
	for _, subnet := range v.subnets {
		if subnet.vpcId != a.VpcId {
			lacks("SubnetIds: %s is in %s, want subnets of %s", subnet.id, subnet.vpcId, a.VpcId)
		}
		if other, taken := zones[subnet.zone]; taken { // an endpoint can be in one subnet of a zone
			lacks("SubnetIds: %s and %s are both in %s, want one of each zone", other, subnet.id, subnet.zone)
		}
		zones[subnet.zone] = subnet.id
	}
	for _, service := range slices.Sorted(maps.Keys(v.offered)) {
		for _, zone := range slices.Sorted(maps.Keys(zones)) {
			if !slices.Contains(v.offered[service], zone) {
				lacks("SubnetIds: %s is in %s, which does not offer %s; want subnets in %v", zones[zone], zone, service,
					v.offered[service])
			}
		}
	}
	for _, service := range slices.Sorted(maps.Keys(v.endpoints)) {
		e := v.endpoints[service]
		want := endpointService(region, service)
		switch {
		case !slices.Contains(a.EndpointServices, service):
			lacks("EndpointIds: %s is for %s, want one of EndpointServices %v", e.id, service, a.EndpointServices)
		case e.serviceName != want || e.kind != "Interface":
			lacks("EndpointIds: %s is a %s endpoint of %s, want an Interface endpoint of %s", e.id, e.kind, e.serviceName, want)
		case e.vpcId != a.VpcId:
			lacks("EndpointIds: %s is in %s, want one of %s", e.id, e.vpcId, a.VpcId)
		case e.state != "available":
			lacks("EndpointIds: %s is %s, want it available", e.id, e.state)
		case !e.privateDns:
			lacks("EndpointIds: %s has no private DNS, without which the name of %s does not lead to it", e.id, service)
		case len(e.securityGroupIds) == 0:
			lacks("EndpointIds: %s has no security group", e.id)
		}
		for other, o := range v.endpoints { // a client that reached Bedrock's endpoint could call it without the API
			if len(e.securityGroupIds) > 0 && isFunctions(other) && !isFunctions(service) &&
				slices.Contains(o.securityGroupIds, e.securityGroupIds[0]) {
				lacks("EndpointIds: %s and %s share %s, want one for what clients call and another for what the function calls",
					e.id, o.id, e.securityGroupIds[0])
			}
		}
	}
	for _, service := range slices.Sorted(maps.Keys(v.others)) { // a private DNS name can exist only once in a VPC
		lacks("EndpointIds: %s has %s for %s already: use it, or take it away", a.VpcId, v.others[service], service)
	}
	return errors.Join(errs...)
}

// lookupExistingVpc asks AWS about the existing VPC and returns the endpoints to use.
func lookupExistingVpc(s scope, a CoreVpcArgs) (map[string]existingEndpoint, error) {
	network, err := ec2.LookupVpc(s.ctx, &ec2.LookupVpcArgs{Id: &a.VpcId}, s.lookup())
	if err != nil {
		return nil, fmt.Errorf("VpcId: %s: %w", a.VpcId, err)
	}
	v := existingVpc{
		dnsSupport: network.EnableDnsSupport, dnsHostnames: network.EnableDnsHostnames,
		endpoints: map[string]existingEndpoint{}, others: map[string]string{}, offered: map[string][]string{},
	}
	for _, id := range a.SubnetIds {
		subnet, err := ec2.LookupSubnet(s.ctx, &ec2.LookupSubnetArgs{Id: &id}, s.lookup())
		if err != nil {
			return nil, fmt.Errorf("SubnetIds: %s: %w", id, err)
		}
		v.subnets = append(v.subnets, existingSubnet{id, subnet.VpcId, subnet.AvailabilityZone})
	}
	for service, id := range a.EndpointIds {
		e, err := ec2.LookupVpcEndpoint(s.ctx, &ec2.LookupVpcEndpointArgs{Id: &id}, s.lookup())
		if err != nil {
			return nil, fmt.Errorf("EndpointIds: %s: %w", id, err)
		}
		v.endpoints[service] = existingEndpoint{
			id, e.VpcId, e.ServiceName, e.VpcEndpointType, e.State, e.PrivateDnsEnabled,
			slices.Sorted(slices.Values(e.SecurityGroupIds)), // AWS promises no order, and the first gets a rule
		}
	}
	for _, service := range a.EndpointServices {
		if a.EndpointIds[service] != "" {
			continue
		}
		if v.offered[service], err = lookupServiceZones(s, service); err != nil {
			return nil, err
		}
		other, err := ec2.LookupVpcEndpoint(s.ctx, &ec2.LookupVpcEndpointArgs{
			VpcId: &a.VpcId, ServiceName: pulumi.StringRef(endpointService(s.target.Region, service)),
			State: pulumi.StringRef("available"),
		}, s.lookup())
		switch {
		// The AWS provider's errors for no endpoint, and for several, one of which may be this component's own. If another
		// endpoint's private DNS name is in the way, EC2 rejects the new one.
		case err != nil && (strings.Contains(err.Error(), "no matching") || strings.Contains(err.Error(), "multiple")):
		case err != nil:
			return nil, fmt.Errorf("EndpointIds: endpoints of %s in %s: %w", service, a.VpcId, err)
		case other.Tags["Name"] != s.name+"-"+service && other.PrivateDnsEnabled: // otherwise it's this component's own
			v.others[service] = other.Id
		}
	}
	return v.endpoints, v.check(a, s.target.Region)
}
