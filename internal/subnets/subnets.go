// Package subnets divides a VPC's IPv4 range among its Availability Zones, and picks the zones.
package subnets

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// A smaller subnet leaves too few addresses for endpoints and the function's network interfaces: AWS reserves 5
// addresses in each subnet (VPC User Guide, "Subnet CIDR blocks").
const smallestSubnetBits = 27

// ByZone is the subnet of each zone, such as ap-northeast-1a. The zone's last letter decides, so that a zone keeps its
// range when other zones are added or removed: AWS would reject two subnets that overlap while one replaces the other.
func ByZone(vpcCidr string, zones []string) (map[string]string, error) {
	slot, slots := map[string]int{}, 1
	for _, zone := range zones {
		if zone == "" || zone[len(zone)-1] < 'a' || zone[len(zone)-1] > 'z' {
			return nil, fmt.Errorf("got zone %q, want names such as ap-northeast-1a", zone)
		}
		slot[zone] = int(zone[len(zone)-1] - 'a')
		slots = max(slots, slot[zone]+1)
	}
	subnets, err := cut(vpcCidr, slots)
	if err != nil {
		return nil, err
	}
	byZone := map[string]string{}
	for _, zone := range zones {
		byZone[zone] = subnets[slot[zone]]
	}
	return byZone, nil
}

// cut returns n equal subnets from the start of a VPC's range. Their prefix is 8 bits longer than the range's, and at
// most /27. Adding a subnet never moves the ones before it.
func cut(vpcCidr string, n int) ([]string, error) {
	vpc, err := netip.ParsePrefix(vpcCidr)
	switch {
	case err != nil || !vpc.Addr().Is4():
		return nil, fmt.Errorf("got %q, want an IPv4 range such as 10.0.0.0/16", vpcCidr)
	case vpc != vpc.Masked():
		return nil, fmt.Errorf("got %q, whose address is not the range's first: want %s", vpcCidr, vpc.Masked())
	case vpc.Bits() < 16 || vpc.Bits() > 24:
		return nil, fmt.Errorf("got %q, want a prefix of /16 to /24", vpcCidr)
	case !vpc.Addr().IsPrivate():
		return nil, fmt.Errorf("got %q, want a private range: in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", vpcCidr)
	}
	bits := min(vpc.Bits()+8, smallestSubnetBits)
	if room := 1 << (bits - vpc.Bits()); n < 1 || n > room {
		return nil, fmt.Errorf("got %q, which holds 1 to %d subnets of /%d, not %d: want a larger range, or "+
			"availability zones of earlier letters", vpcCidr, room, bits, n)
	}
	subnets := make([]string, n)
	first := vpc.Addr().As4()
	for i := range subnets {
		var address [4]byte
		binary.BigEndian.PutUint32(address[:], binary.BigEndian.Uint32(first[:])+uint32(i)<<(32-bits))
		subnets[i] = netip.PrefixFrom(netip.AddrFrom4(address), bits).String()
	}
	return subnets, nil
}

// PickZones returns the wanted zones or, if there are none, the first two that offer every service. offered lists, by
// service, the zones that offer it.
func PickZones(wanted []string, offered map[string][]string) ([]string, error) {
	var common []string
	for service, zones := range offered {
		if common == nil {
			common = append([]string{}, zones...)
		}
		for _, zone := range wanted {
			if !slices.Contains(zones, zone) {
				return nil, fmt.Errorf("got %q, where %s is not offered, only in %v", zone, service, zones)
			}
		}
		common = slices.DeleteFunc(common, func(zone string) bool { return !slices.Contains(zones, zone) })
	}
	if len(wanted) > 0 {
		return wanted, nil
	}
	slices.Sort(common)
	if len(common) < 2 {
		return nil, fmt.Errorf("only %v offer every endpoint service needed; name the zones to use", common)
	}
	return common[:2], nil
}
