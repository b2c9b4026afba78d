// Package ec2 reads VPC endpoints and subnets from moto, and corrects what moto answers for EC2.
package ec2

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/private-bedrock/private-bedrock/internal/iampolicy"
	"github.com/private-bedrock/private-bedrock/internal/sandbox/wire"
)

// Service corrects what moto answers for EC2.
type Service struct{}

// Handle leaves every request to moto.
func (Service) Handle(http.ResponseWriter, *http.Request) (handled bool, err error) {
	return false, nil
}

// Amend takes out an empty association, which reads as a public address.
func (Service) Amend(response *http.Response) error {
	return wire.Rewrite(response, func(body []byte) ([]byte, error) {
		return bytes.ReplaceAll(body, []byte("<association/>"), nil), nil
	})
}

// VPCEndpoint is what moto knows of an endpoint of this account.
type VPCEndpoint struct {
	ID          string `xml:"vpcEndpointId"`
	VpcID       string `xml:"vpcId"`
	ServiceName string `xml:"serviceName"`
	PrivateDNS  string `xml:"privateDnsEnabled"`
	State       string `xml:"state"`
	Policy      string `xml:"policyDocument"`
}

// Document reads an endpoint's policy. AWS's own full access has the older version, which differs in variables only, and
// those are not understood in any version.
func (e VPCEndpoint) Document() (*iampolicy.Document, error) {
	document, err := iampolicy.ParseResource(strings.Replace(e.Policy, `"2008-10-17"`, `"2012-10-17"`, 1))
	if err != nil {
		return nil, fmt.Errorf("policy of endpoint %s: %w", e.ID, err)
	}
	return &document, nil
}

// VPCEndpoints reads the endpoints that are available.
func VPCEndpoints(ctx context.Context, c wire.Client) ([]VPCEndpoint, error) {
	var out struct {
		Endpoints []VPCEndpoint `xml:"vpcEndpointSet>item"`
	}
	err := c.Query(ctx, "ec2", "2016-11-15", "DescribeVpcEndpoints", nil, &out)
	// moto lists deleted ones for ever
	return slices.DeleteFunc(out.Endpoints, func(e VPCEndpoint) bool { return e.State != "available" }), err
}

// VPCOfSubnet finds the VPC of a subnet.
func VPCOfSubnet(ctx context.Context, c wire.Client, subnetID string) (string, error) {
	var out struct {
		VpcID string `xml:"subnetSet>item>vpcId"`
	}
	err := c.Query(ctx, "ec2", "2016-11-15", "DescribeSubnets", map[string]string{"SubnetId.1": subnetID}, &out)
	return out.VpcID, err
}
