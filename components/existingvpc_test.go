package components

import (
	"errors"
	"strings"
	"testing"
)

// What a brought VPC lacks is said at preview, all at once: half-way through a deployment it would cost an hour and
// leave endpoints behind.
func TestExistingVpc(t *testing.T) {
	t.Parallel()
	const id = "vpc-0123456789abcdef0"
	a := CoreVpcArgs{VpcId: id, EndpointServices: []string{"execute-api", "bedrock-runtime", "bedrock"}}
	good := func() existingVpc {
		return existingVpc{
			dnsSupport: true, dnsHostnames: true,
			subnets: []existingSubnet{{"subnet-1", id, "ap-northeast-1a"}, {"subnet-2", id, "ap-northeast-1c"}},
			endpoints: map[string]existingEndpoint{"execute-api": {
				"vpce-1", id, "com.amazonaws.ap-northeast-1.execute-api", "Interface", "available", true, []string{"sg-1"},
			}},
			others:  map[string]string{},
			offered: map[string][]string{"bedrock-runtime": {"ap-northeast-1a", "ap-northeast-1c"}},
		}
	}
	endpoint := func(change func(*existingEndpoint)) func(*existingVpc) {
		return func(v *existingVpc) {
			e := v.endpoints["execute-api"]
			change(&e)
			v.endpoints["execute-api"] = e
		}
	}
	for want, broken := range map[string]func(*existingVpc){
		"":                                      func(*existingVpc) {},
		"enableDnsSupport false":                func(v *existingVpc) { v.dnsSupport = false },
		"enableDnsHostnames false":              func(v *existingVpc) { v.dnsHostnames = false },
		"subnet-1 is in vpc-other":              func(v *existingVpc) { v.subnets[0].vpcId = "vpc-other" },
		"both in ap-northeast-1a":               func(v *existingVpc) { v.subnets[1].zone = "ap-northeast-1a" },
		"does not offer bedrock-runtime":        func(v *existingVpc) { v.offered["bedrock-runtime"] = []string{"ap-northeast-1a"} },
		"vpce-2 for bedrock already":            func(v *existingVpc) { v.others["bedrock"] = "vpce-2" },
		"want an Interface endpoint of com.ama": endpoint(func(e *existingEndpoint) { e.serviceName = "com.amazonaws.ap-northeast-1.bedrock" }),
		"a Gateway endpoint of":                 endpoint(func(e *existingEndpoint) { e.kind = "Gateway" }),
		"vpce-1 is in vpc-other":                endpoint(func(e *existingEndpoint) { e.vpcId = "vpc-other" }),
		"vpce-1 is pending":                     endpoint(func(e *existingEndpoint) { e.state = "pending" }),
		"no private DNS":                        endpoint(func(e *existingEndpoint) { e.privateDns = false }),
		"no security group":                     endpoint(func(e *existingEndpoint) { e.securityGroupIds = nil }),
		"vpce-1 and vpce-2 share sg-1": func(v *existingVpc) {
			v.endpoints["bedrock"] = existingEndpoint{"vpce-2", id, "com.amazonaws.ap-northeast-1.bedrock", "Interface", "available", true, []string{"sg-0", "sg-1"}}
		},
		"want one of EndpointServices": func(v *existingVpc) { v.endpoints["kms"] = v.endpoints["execute-api"] },
	} {
		v := good()
		broken(&v)
		if err := v.check(a, "ap-northeast-1"); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error = %v, want %q", err, want)
		}
	}
	v := existingVpc{subnets: []existingSubnet{{"subnet-1", "vpc-other", "ap-northeast-1a"}}, others: map[string]string{"bedrock": "vpce-2"}}
	if err := v.check(a, "ap-northeast-1"); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("want three faults at once, got %v", err)
	}
}

// Faults that come in another order each time look as if something had changed.
func TestExistingVpcFaultsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	v := existingVpc{endpoints: map[string]existingEndpoint{}, others: map[string]string{}, offered: map[string][]string{}}
	ids := map[string]string{}
	for _, x := range strings.Split("abcdef", "") {
		v.subnets = append(v.subnets, existingSubnet{"subnet-" + x, "vpc-1", "ap-northeast-1" + x})
		v.endpoints[x], v.others[x], v.offered[x], ids[x] = existingEndpoint{id: "vpce-" + x}, "vpce-"+x, nil, x
	}
	faults := func() string {
		return errors.Join(v.check(CoreVpcArgs{VpcId: "vpc-1"}, "ap-northeast-1"), CheckExistingVpc("", nil, ids)).Error()
	}
	first := faults()
	for range 10 {
		if again := faults(); again != first {
			t.Fatalf("first\n%s\nthen\n%s", first, again)
		}
	}
}

// Half a choice would make a second VPC beside the one that was meant.
func TestCheckExistingVpc(t *testing.T) {
	t.Parallel()
	const vpc, subnet, vpce = "vpc-0123456789abcdef0", "subnet-0123456789abcdef0", "vpce-01234567"
	for _, c := range []struct {
		vpcId       string
		subnetIds   []string
		endpointIds map[string]string
		want        string
	}{
		{"", nil, nil, ""},
		{vpc, []string{subnet}, map[string]string{"bedrock": vpce}, ""},
		{"", []string{subnet}, nil, "want their VPC"},
		{"", nil, map[string]string{"bedrock": vpce}, "want their VPC"},
		{vpc, []string{subnet}, map[string]string{"bedrock": "vpce-012345678"}, `got "vpce-012345678"`},
		{vpc, nil, nil, "want the private subnets"},
		{"my-vpc", []string{subnet}, nil, `got "my-vpc"`},
		{subnet, []string{subnet}, nil, "such as vpc-"},
		{vpc, []string{vpc}, nil, "such as subnet-"},
		{vpc, []string{subnet}, map[string]string{"bedrock": "vpce-xyz"}, `got "vpce-xyz"`},
		{vpc, []string{subnet, "x"}, nil, `got "x"`},
	} {
		if err := CheckExistingVpc(c.vpcId, c.subnetIds, c.endpointIds); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q %v: %v, want %q", c.vpcId, c.subnetIds, c.endpointIds, err, c.want)
		}
	}
}
