// Package components holds the reusable parts of private, audited access to Amazon Bedrock, as Pulumi component
// resources over AWS's own. Each is usable alone; none reads stack configuration.
package components

import (
	"fmt"
	"slices"

	"github.com/private-bedrock/private-bedrock/internal/iamdoc"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

func lookupTarget(ctx *pulumi.Context, parent pulumi.Resource) (iamdoc.Target, error) {
	identity, err := aws.GetCallerIdentity(ctx, &aws.GetCallerIdentityArgs{}, pulumi.Parent(parent))
	if err != nil {
		return iamdoc.Target{}, fmt.Errorf("AWS account: %w", err)
	}
	region, err := aws.GetRegion(ctx, &aws.GetRegionArgs{}, pulumi.Parent(parent))
	if err != nil {
		return iamdoc.Target{}, fmt.Errorf("AWS region: %w", err)
	}
	partition, err := aws.GetPartition(ctx, &aws.GetPartitionArgs{}, pulumi.Parent(parent))
	if err != nil {
		return iamdoc.Target{}, fmt.Errorf("AWS partition: %w", err)
	}
	return iamdoc.Target{Account: identity.AccountId, Region: region.Name, Partition: partition.Partition}, nil
}

// newRole makes a role and its only policy.
func newRole(ctx *pulumi.Context, name string, trust iamdoc.Statement, permissions pulumi.StringInput, tags pulumi.StringMapInput, opts ...pulumi.ResourceOption) (*iam.Role, *iam.RolePolicy, error) {
	assumeRole, err := iamdoc.JSON(trust)
	if err != nil {
		return nil, nil, err
	}
	role, err := iam.NewRole(ctx, name, &iam.RoleArgs{AssumeRolePolicy: pulumi.String(assumeRole), Tags: tags}, opts...)
	if err != nil {
		return nil, nil, err
	}
	rolePolicy, err := iam.NewRolePolicy(ctx, name+"-policy", &iam.RolePolicyArgs{Role: role.Name, Policy: permissions}, opts...)
	return role, rolePolicy, err
}

// keepPolicy is for policies of endpoints: deleting one would put AWS's full access in its place, for as long as the
// endpoint is still there.
var keepPolicy = pulumi.RetainOnDelete(true)

// withName adds the Name tag, which the AWS console shows, to tags.
func withName(tags pulumi.StringMapInput, name string) pulumi.StringMapOutput {
	if tags == nil {
		tags = pulumi.StringMap{}
	}
	return tags.ToStringMapOutput().ApplyT(func(tags map[string]string) map[string]string {
		named := map[string]string{}
		for k, v := range tags {
			named[k] = v
		}
		named["Name"] = name // last: lookupExistingVpc knows the component's own endpoints by it
		return named
	}).(pulumi.StringMapOutput)
}

// CloudWatch Logs API Reference, PutRetentionPolicy.
var retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}

// CheckRetention refuses a number of days for which CloudWatch Logs does not keep a log group.
func CheckRetention(days int) error {
	if !slices.Contains(retentions, days) {
		return fmt.Errorf("got %d, want days that CloudWatch Logs offers: %v", days, retentions)
	}
	return nil
}
