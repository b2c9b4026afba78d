package subnets

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestSubnets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cidr string
		n    int
		want []string
	}{
		{"10.0.0.0/16", 3, []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"}}, // the seed's
		{"172.16.0.0/20", 2, []string{"172.16.0.0/27", "172.16.0.32/27"}},
		{"192.168.5.0/24", 8, []string{"192.168.5.0/27", "192.168.5.32/27", "192.168.5.64/27", "192.168.5.96/27",
			"192.168.5.128/27", "192.168.5.160/27", "192.168.5.192/27", "192.168.5.224/27"}},
	} {
		got, err := cut(c.cidr, c.n)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("cut(%q, %d) = %v, %v, want %v", c.cidr, c.n, got, err, c.want)
		}
	}
	// A bad range that gets through fails the deployment half-way, or takes addresses of somebody else's.
	for _, c := range []struct {
		cidr string
		n    int
		want string
	}{
		{"", 2, "want an IPv4 range"},
		{"10.0.0.0", 2, "want an IPv4 range"},
		{"10.0.0.0/33", 2, "want an IPv4 range"},
		{"fd00::/16", 2, "want an IPv4 range"},
		{"10.0.1.0/16", 2, "want 10.0.0.0/16"},
		{"10.0.0.0/15", 2, "/16 to /24"},
		{"10.0.0.0/25", 2, "/16 to /24"},
		{"8.8.0.0/16", 2, "private range"},
		{"192.168.5.0/24", 9, "holds 1 to 8 subnets of /27, not 9"},
		{"10.0.0.0/16", 0, "not 0"},
		{"10.0.0.0/16", -1, "not -1"},
	} {
		if got, err := cut(c.cidr, c.n); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), fmt.Sprintf("%q", c.cidr)) {
			t.Errorf("cut(%q, %d) = %v, %v, want an error with %q and the value", c.cidr, c.n, got, err, c.want)
		}
	}
}

// Subnets that overlap, leave the VPC or move when a zone is added would replace what runs in them.
func FuzzSubnets(f *testing.F) {
	f.Add("10.0.0.0/16", 3)
	f.Add("192.168.5.0/24", 8)
	f.Fuzz(func(t *testing.T, cidr string, n int) {
		if n > 1<<10 {
			n %= 1 << 10
		}
		got, err := cut(cidr, n)
		if err != nil {
			return
		}
		vpc := netip.MustParsePrefix(cidr)
		if len(got) != n {
			t.Fatalf("got %d subnets, want %d", len(got), n)
		}
		for i, text := range got {
			subnet := netip.MustParsePrefix(text)
			if !vpc.Contains(subnet.Addr()) || subnet.Bits() > smallestSubnetBits || subnet != subnet.Masked() {
				t.Fatalf("%s is no subnet of %s", subnet, vpc)
			}
			if i > 0 && subnet.Overlaps(netip.MustParsePrefix(got[i-1])) {
				t.Fatalf("%s overlaps %s", subnet, got[i-1])
			}
		}
		if n > 1 {
			fewer, err := cut(cidr, n-1)
			if err != nil || !slices.Equal(fewer, got[:n-1]) {
				t.Fatalf("one subnet fewer gives %v, %v", fewer, err)
			}
		}
	})
}

// A zone whose range moves when another zone comes or goes is replaced, and AWS refuses the overlap meanwhile.
func TestZoneSubnets(t *testing.T) {
	t.Parallel()
	for _, zones := range [][]string{{"ap-northeast-1a", "ap-northeast-1c"}, {"ap-northeast-1c", "ap-northeast-1d"}, {"ap-northeast-1c"}} {
		got, err := ByZone("10.0.0.0/16", zones)
		if err != nil || len(got) != len(zones) || got["ap-northeast-1c"] != "10.0.2.0/24" {
			t.Errorf("%v: %v, %v, want 10.0.2.0/24 for ap-northeast-1c", zones, got, err)
		}
	}
	for _, c := range []struct{ cidr, zone string }{
		{"192.168.5.0/24", "ap-northeast-1i"}, {"10.0.0.0/16", "ap-northeast-1"}, {"10.0.0.0/16", ""}, {"10.0.0.0/8", "ap-northeast-1a"},
	} {
		if got, err := ByZone(c.cidr, []string{c.zone}); err == nil {
			t.Errorf("%s, %q: %v, want an error", c.cidr, c.zone, got)
		}
	}
}

func TestPickZones(t *testing.T) {
	t.Parallel()
	offered := map[string][]string{"EC2": {"a", "b", "c", "d"}, "bedrock-runtime": {"d", "c", "a"}, "execute-api": {"d", "c", "b"}}
	if got, err := PickZones(nil, offered); err != nil || !slices.Equal(got, []string{"c", "d"}) {
		t.Errorf("default zones = %v, %v, want the first two that offer everything: c, d", got, err)
	}
	if got, err := PickZones([]string{"d"}, offered); err != nil || !slices.Equal(got, []string{"d"}) {
		t.Errorf("wanted zones = %v, %v, want d", got, err)
	}
	for _, c := range []struct {
		wanted  []string
		offered map[string][]string
		want    string
	}{
		{[]string{"x"}, offered, `"x"`},
		{[]string{"b"}, offered, "bedrock-runtime"},
		{nil, map[string][]string{"EC2": {"a", "b"}, "bedrock-runtime": {"a"}}, "name the zones"},
	} {
		if got, err := PickZones(c.wanted, c.offered); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("PickZones(%v) = %v, %v, want an error with %s", c.wanted, got, err, c.want)
		}
	}
}
